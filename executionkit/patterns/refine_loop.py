"""`refine_loop`: generate, score, improve the best so far, until it is good enough or stands still."""

import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from executionkit import _checks as checks
from executionkit._keywords import checked_keywords
from executionkit._opening import Messages, opening, task_of
from executionkit._prompt import Prompt, in_words
from executionkit._text import collapsed
from executionkit.engine.convergence import ConvergenceDetector
from executionkit.engine.retry import RetryConfig
from executionkit.engine.thoughts import spoken
from executionkit.errors import BudgetExhaustedError
from executionkit.evaluators import Rubric, expectations, for_task, require_prices
from executionkit.events import DraftScored, DraftStarted, EventCallback
from executionkit.patterns._narrator import Narrator
from executionkit.patterns._options import Options, checked_options
from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse
from executionkit.types import Evaluation, PatternResult, Scorer, TokenUsage

if TYPE_CHECKING:
    from executionkit._display._card import Card

__all__ = ["refine_loop"]

StopReason: TypeAlias = Literal["target", "plateau", "max_iterations", "budget"]

# The earlier attempts are turns of the conversation: small models copy the labels of a list of attempts.
# The task comes first, because prompt caches go by the beginning, and the best attempt last. The task comes
# again at the end, because small models otherwise talk about the criticism.
_RATING = "This was rated {score:.2f} on a scale from 0 to 1."
_IMPROVE = "Write a better answer to the same task:"
_IMPROVE_WITH_REASONS = (
    "Write a better answer to the same task: start from your last answer, the best so far, and mend what "
    "was criticised, without losing what is good. The task:"
)
_END = "Reply with the improved answer only."
_ECHO = re.compile(
    r"rated \d\.\d\d on a scale from 0 to 1|Write a better answer to the same task:"
    r"|Reply with the improved answer only",
    re.IGNORECASE,
)


class Attempt(NamedTuple):
    """One text of the loop, with its score and feedback.

    Attributes:
        text: The text that the model wrote.
        score: The evaluator's score; None if the budget ended before the text was scored.
        feedback: The evaluator's reasons; "" if it gave none.
    """

    text: str
    score: float | None
    feedback: str


@dataclass(frozen=True)
class RefineResult(PatternResult[str]):
    """The best text of the loop. `score` is its score, or None if the budget ended before any was scored.

    Attributes:
        iterations: Number of improvements written. 0 means that the first text was enough.
        converged: Whether the loop reached the target or a plateau before `max_iterations` or the budget ran
            out.
        score_history: All scores in order, the first text's included.
        stop_reason: "target", "plateau", "max_iterations", or "budget" (only with `on_budget="return"`).
        truncated_responses: Texts cut off by `max_tokens`.
        echoed_responses: Texts that repeated the words around the earlier attempts instead of being an
            attempt. They score 0, and the evaluator doesn't see them.
        finish_reason: Why the model stopped writing the returned text ("stop", "length", ...).
        callback_errors: How often `on_event` raised. Each time is logged as a warning, and the loop goes on.
        attempts: Every text with its score and feedback, in order. Not in `metadata`.
        expected_scores: Scores that are expectations, by a `Rubric(expected=True)`. The others are the
            numbers that the judge wrote, because no log-probabilities came.
    """

    iterations: int = 0
    converged: bool = False
    score_history: list[float] = field(default_factory=list)
    stop_reason: StopReason = "max_iterations"
    truncated_responses: int = 0
    echoed_responses: int = 0
    finish_reason: str = "stop"
    callback_errors: int = 0
    attempts: list[Attempt] = field(default_factory=list, metadata={"mirrored": False})
    expected_scores: int = 0

    def _describe(self, card: "Card") -> None:
        from executionkit._display._card import Entry, Fold, Series

        card.score(self.score)
        card.count(self.iterations, "iteration")
        card.add("stopped by", self.stop_reason, self.stop_reason)
        card.add("truncated", self.truncated_responses)
        card.add("echoed", self.echoed_responses)
        card.add("expected scores", self.expected_scores)
        card.add("finish reason", self.finish_reason if self.finish_reason != "stop" else "")
        card.add("callback errors", self.callback_errors)
        card.charts.append(Series("Scores", self.score_history))
        entries = (
            Entry(f"{'not scored' if score is None else f'{score:.2f}'} {feedback}".rstrip(), text)
            for text, score, feedback in self.attempts
        )
        card.folds.append(Fold("Attempts", len(self.attempts), entries))


@dataclass(slots=True)
class _Progress:
    """The texts and scores so far, for the next request and for the metadata of an error."""

    replies: list[LLMResponse] = field(default_factory=list[LLMResponse])
    scores: list[float] = field(default_factory=list[float])
    feedback: list[str] = field(default_factory=list[str])
    best: int = 0
    has_feedback: bool = False
    expected_scores: int = 0
    said: set[str] = field(default_factory=set[str])
    echoes: set[int] = field(default_factory=set[int])

    def scored(self, evaluation: Evaluation) -> None:
        """Take in what was said of the last reply; of equal ones the first stays the best."""
        self.scores.append(evaluation.score)
        self.expected_scores += expectations([evaluation])
        self.feedback.append(evaluation.feedback)
        if evaluation.feedback:
            self.has_feedback = True
            self.said.add(collapsed(evaluation.feedback))
        if evaluation.score > self.scores[self.best]:
            self.best = len(self.scores) - 1

    def shown(self, most: int) -> list[int]:
        """The attempts for the next request: the latest others, if there is feedback, and then the best."""
        if not self.scores or not self._can_be_shown(self.best):
            return []
        if not self.has_feedback:
            return [self.best]
        # From the end, so that a request costs no more the more attempts there were.
        latest = (index for index in reversed(range(len(self.scores))) if index != self.best)
        others = [*islice(filter(self._can_be_shown, latest), most - 1)]
        return [*reversed(others), self.best]

    def _can_be_shown(self, index: int) -> bool:
        # Servers refuse an empty message, and an echo that is shown would be copied again.
        reply = self.replies[index]
        return bool(spoken(reply.content).strip()) and not reply.was_filtered and index not in self.echoes

    @property
    def best_score(self) -> float | None:
        return self.scores[self.best] if self.scores else None

    def attempt(self, index: int) -> Attempt:
        is_scored = index < len(self.scores)
        return Attempt(
            self.replies[index].content,
            self.scores[index] if is_scored else None,
            self.feedback[index] if is_scored else "",
        )

    def salvage(self) -> dict[str, Any]:
        paid: dict[str, Any] = {
            "best_text": self.replies[self.best].content if self.replies else None,
            "best_score": self.best_score,
            "score_history": list(self.scores),
        }
        if len(self.replies) > len(self.scores):
            paid["unscored_text"] = self.replies[-1].content
        if self.has_feedback:
            paid["feedback_history"] = list(self.feedback)
        return paid


@checked_keywords
async def refine_loop(
    provider: LLMProvider,
    prompt: Prompt | None,
    *,
    evaluator: Scorer | None = None,
    max_eval_chars: int = 32768,
    target_score: float = 0.9,
    max_iterations: int = 5,
    patience: int = 3,
    delta_threshold: float = 0.01,
    temperature: float = 0.7,
    max_tokens: int = 4096,
    max_cost: TokenUsage | None = None,
    options: Options | None = None,
    retry: RetryConfig | None = None,
    on_event: EventCallback | None = None,
    on_budget: Literal["raise", "return"] = "raise",
    attempts_shown: int = 3,
    messages: Messages | None = None,
    system: str | None = None,
) -> RefineResult:
    """Write an answer, score it, and ask for a better one until it is good enough or stops improving.

    Each improvement starts from the best text so far, its score and the evaluator's feedback. With feedback,
    the latest other attempts come before it. They are turns of the conversation: the task, then each attempt
    and what was said of it. The best-scoring text is returned, whatever the last one scored. If two have the
    same score, the earlier one is kept. A reply that the server's content filter withheld, or that repeats
    the words around the attempts, scores 0 and is not shown to the evaluator.

    This is Self-Refine (Madaan et al., "Self-Refine: Iterative Refinement with Self-Feedback", NeurIPS 2023).
    It found that feedback that says what to change beats a bare score.

    A model that judges its own reasoning without any outside fact tends to abandon right answers (Huang et
    al., "Large Language Models Cannot Self-Correct Reasoning Yet", ICLR 2024). For answers that are right or
    wrong, use `consensus`, or an evaluator that runs a check.

    Example:
        ```python
        from executionkit import Evaluation, MockProvider, refine_loop


        def brief(text, provider):
            if len(text) < 20:
                return Evaluation(1.0)
            return Evaluation(0.3, "Use fewer words.")


        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        provider = MockProvider(["Tea is a drink that comforts.", "Tea comforts."])
        result = await refine_loop(provider, "Praise tea.", evaluator=brief)
        assert (result.value, result.score_history) == ("Tea comforts.", [0.3, 1.0])
        ```

    Args:
        provider: Makes the model calls: a `Provider`, or any object that satisfies `LLMProvider`.
        prompt: The task: a text, or a list of texts and parts such as pictures. It is sent as a user message
            after `messages`; None goes on from `messages` as they stand.
            The task is then the last user message.
        evaluator: Scores each text. A function `(text, provider)`, sync or async, returns a score in [0, 1]
            or an `Evaluation` with feedback; the calls it makes through that provider count against
            `max_cost`. A parameter named `task` receives the task. A sync function runs on the event loop.
            A `Rubric` has a model score each text. Anything else is refused before the first call. By
            default the same model judges: it gives its reasons and a number from 0 to 10, at temperature 0.1,
            and is asked once more if the number can't be read.
        max_eval_chars: Maximum characters of the text that the default evaluator is shown; at least 1.
        target_score: The score that is good enough, in [0, 1].
        max_iterations: Maximum number of improvements. 0 writes and scores one text.
        patience: How many consecutive changes within `delta_threshold` end the loop; at least 1.
        delta_threshold: The largest change of score that counts as no improvement, in [0, 1].
        temperature: Sampling temperature, in [0, 2].
        max_tokens: Maximum tokens in one reply; at least 1.
        max_cost: Maximum calls and tokens for writing and scoring together, retries included. Defaults to no
            limit.
        options: Further fields of every request, such as `seed`, `top_p`, `stop` or `reasoning_effort`.
            Fields that the pattern sets itself are refused. The evaluator's requests don't have them.
            Defaults to none.
        retry: How failed calls are retried. Defaults to those of the run around it, else `DEFAULT_RETRY`.
        on_event: Callback, sync or async, that receives each `PatternEvent` as it happens: drafts, scores,
            and the stream of the model's own replies (not of the evaluator's). It is called with one event at
            a time, and the loop waits for it. An exception that it raises is logged and counted. Replies are
            then streamed, if the provider can stream. A stream that breaks off after its first event is not
            retried.
        on_budget: How to treat a budget that ends on the way: "raise" the error, or "return" the best text so
            far with `stop_reason` "budget". Without any text the error is raised in both cases.
        attempts_shown: How many attempts the next request shows once there is feedback: the best one and the
            latest others; at least 1. Without feedback it shows the best text and its score.
        messages: The conversation so far, in the form of the chat completions API. Every tool call in it must
            have its result. Defaults to none.
        system: The system message, sent first, but never to the evaluator. It must be None if `messages`
            begin with a system or developer message. Defaults to none.

    Returns:
        A `RefineResult`, which explains the `metadata` keys: `iterations`, `converged`, `score_history`,
        `stop_reason`, `truncated_responses`, `echoed_responses`, `expected_scores`,
        `finish_reason`, `callback_errors`.

    Raises:
        ValueError: A parameter is out of range or `messages` can't be sent (no call was made), or the
            evaluator's score is not a number in [0, 1].
        BudgetExhaustedError: The budget ran out before the loop was done.
        PatternError: The default evaluator's replies can't be read as a score.
        LLMError: A call failed for good.

    Every error has the `.metadata["best_text"]`, `["best_score"]` and `["score_history"]` already paid for.
    It has `["feedback_history"]` if there was feedback, and `["unscored_text"]` if a text could not be scored
    any more. An evaluator's own exception is raised unchanged, with the same metadata on it.
    """
    conversation = opening(prompt, messages, system)
    task = task_of(conversation)
    said = in_words(task)
    checks.at_least(0, max_iterations=max_iterations)
    checks.at_least(1, max_eval_chars=max_eval_chars, attempts_shown=attempts_shown)
    checks.between(0.0, 1.0, target_score=target_score)
    checks.one_of(("raise", "return"), on_budget=on_budget)
    # A class is callable too, and would be found out after the first paid call.
    if evaluator is not None and (isinstance(evaluator, type) or not callable(evaluator)):
        raise ValueError(f"evaluator must be a callable, a Rubric or None, got {evaluator!r}")
    checks.sampling(temperature=temperature, max_tokens=max_tokens, max_cost=max_cost)
    fields = checked_options(options)
    detector = ConvergenceDetector(delta_threshold, patience, score_threshold=target_score)
    progress = _Progress()
    narrator = Narrator("refine_loop", on_event)
    default = Rubric("", max_chars=max_eval_chars, max_tokens=max_tokens)
    evaluate = for_task(default if evaluator is None else evaluator, task)

    async with narrator.run(
        provider, max_iterations + 1, max_cost=max_cost, retry=retry, salvage=progress.salvage
    ) as run:
        await require_prices(evaluator, run)
        stop_reason: StopReason = "max_iterations"
        try:
            while len(progress.replies) <= max_iterations:
                request = _request(conversation, said, progress, attempts_shown)
                iteration = len(progress.replies)
                await narrator.tell(DraftStarted(iteration))
                reply = await narrator.ask(
                    run,
                    request,
                    temperature=temperature,
                    max_tokens=max_tokens,
                    **fields,
                )
                progress.replies.append(reply)
                is_echo = _is_echo(reply.content, said, progress)
                if is_echo:
                    progress.echoes.add(iteration)
                # An evaluator can't judge the rest of a text that a filter withheld.
                is_nothing = is_echo or reply.was_filtered
                progress.scored(Evaluation(0.0) if is_nothing else await evaluate(reply.content, run))
                score, is_best = progress.scores[-1], progress.best == iteration
                if narrator.listens:
                    scored = DraftScored(iteration, reply.content, score, is_best, cost=run.usage)
                    await narrator.tell(scored)
                if detector.should_stop(score):
                    stop_reason = detector.stop_reason or stop_reason
                    break
        except BudgetExhaustedError:
            if on_budget == "raise" or not progress.replies:
                raise
            stop_reason = "budget"
        return run.shows(_result(progress, run.usage, stop_reason, narrator.errors))


def _request(
    conversation: list[dict[str, Any]], task: str, progress: _Progress, shown: int
) -> list[dict[str, Any]]:
    messages = list(conversation)
    for index in progress.shown(shown):
        text, score, feedback = progress.attempt(index)
        said = [_RATING.format(score=score), *([feedback] if feedback else [])]
        if index == progress.best:
            said += [_IMPROVE_WITH_REASONS if progress.has_feedback else _IMPROVE, task, _END]
        messages += [
            {"role": "assistant", "content": spoken(text)},
            {"role": "user", "content": "\n\n".join(said)},
        ]
    return messages


def _is_echo(text: str, task: str, progress: _Progress) -> bool:
    """Whether a text repeats the words around the earlier attempts instead of being an attempt."""
    if not progress.scores:
        return False
    if progress.said and collapsed(text) in progress.said:
        return True
    return _ECHO.search(text) is not None and _ECHO.search(task) is None


def _result(
    progress: _Progress, cost: TokenUsage, stop_reason: StopReason, callback_errors: int
) -> RefineResult:
    best = progress.replies[progress.best]
    return RefineResult(
        value=best.content,
        score=progress.best_score,
        cost=cost,
        iterations=len(progress.replies) - 1,
        converged=stop_reason in ("target", "plateau"),
        score_history=list(progress.scores),
        stop_reason=stop_reason,
        truncated_responses=sum(reply.was_truncated for reply in progress.replies),
        echoed_responses=len(progress.echoes),
        expected_scores=progress.expected_scores,
        finish_reason=best.finish_reason,
        callback_errors=callback_errors,
        attempts=[progress.attempt(index) for index in range(len(progress.replies))],
    )
