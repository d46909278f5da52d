"""`refine_loop`: generate, score, improve the best so far, until it is good enough or stands still."""

from dataclasses import dataclass, field
from typing import Any, Literal

from executionkit.engine import checks
from executionkit.engine.convergence import ConvergenceDetector, validate_score
from executionkit.engine.retry import RetryConfig
from executionkit.engine.run import Run
from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse
from executionkit.types import Evaluator, PatternResult, TokenUsage

_IMPROVE = """\
{prompt}

Here is an answer that was rated {score:.2f} on a scale from 0 to 1:

{best}

Write a better answer to the task above. Reply with the improved answer only."""


@dataclass(frozen=True)
class RefineResult(PatternResult[str]):
    """The best text of the loop; `score` is its score.

    Attributes:
        iterations: Improvements asked for: 0 means the first text was enough.
        converged: Whether the loop ended because the target was reached or the scores stood still,
            rather than because `max_iterations` ran out.
        score_history: The scores in order, the first generation's included.
        stop_reason: "target", "plateau" or "max_iterations".
        truncated_responses: Generations cut off by `max_tokens`.
        finish_reason: Why the model stopped writing the text returned ("stop", "length", ...).
    """

    iterations: int = 0
    converged: bool = False
    score_history: list[float] = field(default_factory=list[float])
    stop_reason: Literal["target", "plateau", "max_iterations"] = "max_iterations"
    truncated_responses: int = 0
    finish_reason: str = "stop"


@dataclass(slots=True)
class _Progress:
    """What the loop has so far: what an error carries out of it."""

    best: LLMResponse | None = None
    best_score: float | None = None
    unscored: LLMResponse | None = None
    scores: list[float] = field(default_factory=list[float])
    truncated: int = 0

    def scored(self, score: float) -> None:
        self.scores.append(score)
        if self.best_score is None or score > self.best_score:
            self.best, self.best_score = self.unscored, score
        self.unscored = None

    def salvage(self) -> dict[str, Any]:
        best = self.best or self.unscored
        paid: dict[str, Any] = {
            "best_text": None if best is None else best.content,
            "best_score": self.best_score,
            "score_history": list(self.scores),
        }
        if self.unscored is not None:
            paid["unscored_text"] = self.unscored.content
        return paid


async def refine_loop(
    provider: LLMProvider,
    prompt: str,
    *,
    evaluator: Evaluator | None = None,
    max_eval_chars: int = 32768,
    target_score: float = 0.9,
    max_iterations: int = 5,
    patience: int = 3,
    delta_threshold: float = 0.01,
    temperature: float = 0.7,
    max_tokens: int = 4096,
    max_cost: TokenUsage | None = None,
    retry: RetryConfig | None = None,
) -> RefineResult:
    """Generate an answer, score it, and ask for a better one until it is good enough.

    Each improvement starts from the best text so far and its score, and the best-scoring text is
    returned, however the last one did; of two that score the same the earlier is kept. After Madaan et
    al., "Self-Refine: Iterative Refinement with Self-Feedback", NeurIPS 2023.

    Args:
        provider: What answers.
        prompt: The task.
        evaluator: `async (text, provider) -> score` in [0, 1]; calls made through the provider it is
            handed count against `max_cost`. None asks the same model for a number from 0 to 10
            (temperature 0.1, a short reply; a reply that can't be read is asked for once more).
        max_eval_chars: What the default evaluator is shown of the text at the most; at least 1.
        target_score: The score that is good enough, in [0, 1].
        max_iterations: Improvements at the most; 0 generates and scores once.
        patience: How many changes in a row within `delta_threshold` end the loop; at least 1.
        delta_threshold: The largest change of score that counts as standing still, in [0, 1].
        temperature: Sampling temperature of the generations, in [0, 2].
        max_tokens: The most tokens a generation may have; at least 1.
        max_cost: The ceiling for generations and evaluations together; None is no limit.
        retry: How failed calls are repeated; None means `DEFAULT_RETRY`.

    Returns:
        The best text. `metadata` keys: `iterations`, `converged`, `score_history`, `stop_reason`,
        `truncated_responses`, `finish_reason`.

    Raises:
        ValueError: A parameter is out of range (nothing was called), or the evaluator's score is not a
            number in [0, 1].
        BudgetExhaustedError: The budget ran out before the loop was done.
        PatternError: The default evaluator's replies can't be read as a score.
        LLMError: A call failed for good.

    Every error has `.metadata["best_text"]`, `["best_score"]` and `["score_history"]` of what was already
    paid for, and `["unscored_text"]` where a text was generated that could not be scored any more. An
    evaluator's own exception goes through as it is, with the same facts on it.
    """
    checks.text(prompt=prompt)
    checks.at_least(0, max_iterations=max_iterations)
    checks.at_least(1, max_eval_chars=max_eval_chars)
    checks.between(0.0, 1.0, target_score=target_score)
    if evaluator is not None and not callable(evaluator):
        raise ValueError(f"evaluator must be an async callable or None, got {evaluator!r}")
    checks.sampling(temperature=temperature, max_tokens=max_tokens, max_cost=max_cost)
    detector = ConvergenceDetector(delta_threshold, patience, score_threshold=target_score)
    progress = _Progress()

    async with Run("refine_loop", provider, max_cost=max_cost, retry=retry, salvage=progress.salvage) as run:

        async def attempt(request: str) -> bool:
            """Generate and score one text; whether the detector says that it is enough."""
            reply = await run.complete(
                [{"role": "user", "content": request}], temperature=temperature, max_tokens=max_tokens
            )
            progress.unscored = reply
            progress.truncated += reply.was_truncated
            if evaluator is None:
                # Not at the top: its regular expressions take time to compile.
                from executionkit.engine.judge import judge

                score = await judge(
                    prompt, reply.content, run, max_chars=max_eval_chars, max_tokens=max_tokens
                )
            else:
                score = await evaluator(reply.content, run)
            progress.scored(validate_score(score))
            return detector.should_stop(progress.scores[-1])

        done = await attempt(prompt)
        iterations = 0
        while not done and iterations < max_iterations:
            iterations += 1
            best = progress.best.content if progress.best is not None else ""
            done = await attempt(_IMPROVE.format(prompt=prompt, best=best, score=progress.best_score))

        return _result(progress, run.usage, iterations, detector)


def _result(
    progress: _Progress, cost: TokenUsage, iterations: int, detector: ConvergenceDetector
) -> RefineResult:
    best = progress.best or LLMResponse("")
    return RefineResult(
        value=best.content,
        score=progress.best_score,
        cost=cost,
        iterations=iterations,
        converged=detector.stop_reason is not None,
        score_history=list(progress.scores),
        stop_reason=detector.stop_reason or "max_iterations",
        truncated_responses=progress.truncated,
        finish_reason=best.finish_reason,
    )
