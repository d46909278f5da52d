"""Judges: `Rubric` scores one text, `Pairwise` compares two, `Confidence` takes the model's own word."""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import cast

from executionkit import _checks as checks
from executionkit._callables import misfit, signature_of
from executionkit._display import Brief
from executionkit._prompt import Prompt
from executionkit.engine.convergence import validate_score
from executionkit.engine.run import Run
from executionkit.protocols import LLMProvider
from executionkit.types import Evaluation, Scorer, Verdict


class _Judge(Brief):
    """Settings of `Rubric` and `Pairwise`. Each declares the fields itself, to keep `criteria` positional."""

    criteria: str
    judge: LLMProvider | None
    max_chars: int
    max_tokens: int

    def __post_init__(self) -> None:
        checks.text(criteria=self.criteria)
        checks.at_least(1, max_chars=self.max_chars, max_tokens=self.max_tokens)
        if self.judge is not None:
            Run(type(self).__name__, self.judge)  # which refuses what is no provider

    def _metered(self, provider: LLMProvider) -> LLMProvider:
        """The judge, with its calls charged to the run it works for."""
        if self.judge is None:
            return provider
        return Run("judge", self.judge, within=provider) if isinstance(provider, Run) else self.judge


@dataclass(frozen=True)
class Rubric(_Judge):
    """A model that scores a text against your criteria: an evaluator for `best_of_n` and `refine_loop`.

    The model gives its reasons and a number from 0 to 10, at temperature 0.1. The reply is bound to a JSON
    Schema if the server has a mode for that (`response_format`); otherwise the model is asked for a last line
    with the number. If the number can't be read, the model is asked once more. So a text takes one call, or
    two. A server that refuses the mode costs one call more, once for each provider.

    The task and the text are fenced in tags that neither can close from inside. Pictures and other parts of
    the task are shown too.

    Example:
        ```python
        from executionkit import MockProvider, Rubric, best_of_n

        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        provider = MockProvider(["We are sorry.", "It names no date. Score: 4"])
        rubric = Rubric("Apologises once, names a date.")
        result = await best_of_n(
            provider, "Answer the complaint.", evaluator=rubric, num_samples=1
        )
        assert result.score == 0.4
        ```

    Attributes:
        criteria: The criteria, in your own words.
        judge: The model that judges. Its calls count against the budget of the pattern that it works for.
            Defaults to the pattern's own provider.
        max_chars: Maximum characters shown of the task's texts, and of the text; at least 1.
        max_tokens: Maximum tokens in a reply that is asked for a second time; at least 1. The first reply may
            have 256.
        expected: Whether the score is the expectation over the numbers that the judge might have written, by
            the probabilities of their tokens (G-Eval: Liu et al., "G-Eval: NLG Evaluation using GPT-4 with
            Better Human Alignment", EMNLP 2023). It tells apart texts that get the same number. The request
            asks for `top_logprobs`. A server that refuses them costs a call or two more, once for each
            provider. If none come, the score is the number that was written: `Evaluation.stated` and
            `expected_scores` of the results say which it is.

    Raises:
        ValueError: A setting is out of range.
        TypeError: `judge` has no `complete` method.
    """

    criteria: str
    _: KW_ONLY
    judge: LLMProvider | None = None
    max_chars: int = 32768
    max_tokens: int = 4096
    expected: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.expected not in (True, False):
            raise ValueError(f"expected must be True or False, got {self.expected!r}")

    async def __call__(self, text: str, provider: LLMProvider, *, task: Prompt = "") -> Evaluation:
        """Score a text, in [0, 1]. The judge's reasons are the feedback.

        Raises:
            PatternError: The judge's replies can't be read.
        """
        from executionkit._judge import judge

        return await judge(
            task,
            text,
            self._metered(provider),
            criteria=self.criteria,
            max_chars=self.max_chars,
            max_tokens=self.max_tokens,
            expected=self.expected,
        )


@dataclass(frozen=True)
class Pairwise(_Judge):
    """A model that says which of two texts is better, for `best_of_n`.

    Models favour a position: GPT-4 gave the same verdict after a swap in 65 % of cases (Zheng et al.,
    "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", NeurIPS 2023). So the model sees each pair in
    both orders. If its two verdicts disagree, the pair is a tie. Comparing n texts takes n * (n - 1) calls.
    Verdicts are asked for as `Rubric` asks for scores.

    Example:
        ```python
        from executionkit import MockProvider, Pairwise, best_of_n

        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        provider = MockProvider(
            ["Tea.", "Tea, hot and strong.", "Better: B", "Better: A"]
        )
        judge = Pairwise("Easy to remember.")
        result = await best_of_n(
            provider, "Praise tea.", evaluator=judge, num_samples=2, max_concurrency=1
        )
        assert (result.value, result.scores) == ("Tea, hot and strong.", [0.0, 1.0])
        ```

    Attributes:
        criteria: The criteria, in your own words. "" leaves it to the task.
        judge: The model that judges. Its calls count against the budget of the pattern that it works for.
            Defaults to the pattern's own provider.
        max_chars: Maximum characters shown of the task's texts, and of each text; at least 1.
        max_tokens: Maximum tokens in a reply that is asked for a second time; at least 1.

    Raises:
        ValueError: A setting is out of range.
        TypeError: `judge` has no `complete` method.
    """

    criteria: str = ""
    _: KW_ONLY
    judge: LLMProvider | None = None
    max_chars: int = 32768
    max_tokens: int = 4096

    async def compare(self, task: Prompt, first: str, second: str, provider: LLMProvider) -> Verdict:
        """Compare two texts, shown in this order: "first", "second" or "tie".

        Raises:
            PatternError: The judge's replies can't be read.
        """
        from executionkit._judge import compare

        return await compare(
            task,
            first,
            second,
            self._metered(provider),
            criteria=self.criteria,
            max_chars=self.max_chars,
            max_tokens=self.max_tokens,
        )


@dataclass(frozen=True)
class Confidence(Brief):
    """The model's own confidence as the judge of its candidates, for `best_of_n`: no further call is made.

    A candidate's score is the geometric mean of its tokens' probabilities: e to the power of their mean
    log-probability (`LLMResponse.mean_logprob`). The candidates are asked for with `logprobs=True`. The
    server has to send log-probabilities, or the pattern fails at the first reply. Long and short candidates
    compare, because it is a mean.

    A model can be sure of a mistake. Try it on questions whose answers you know.

    Example:
        ```python
        from executionkit import (
            Confidence,
            LLMResponse,
            MockProvider,
            TokenLogprob,
            best_of_n,
        )


        def reply(text, logprob):
            return LLMResponse(text, logprobs=(TokenLogprob(text, logprob),))


        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        provider = MockProvider([reply("Lyon", -1.2), reply("Paris", -0.1)])
        result = await best_of_n(
            provider, "The capital of France?", evaluator=Confidence(), num_samples=2
        )
        assert result.value == "Paris"
        ```
    """


async def require_prices(evaluator: object, run: Run) -> None:
    """Refuse a judge of another provider without prices where the run has a ceiling in dollars.

    Raises:
        ValueError: It has none, or none for its model.
    """
    if isinstance(evaluator, _Judge):
        door = evaluator._metered(run)  # pyright: ignore[reportPrivateUsage]  # of this module
        if isinstance(door, Run):
            await door.require_prices()


def expectations(evaluations: Iterable[Evaluation]) -> int:
    """How many scores are expectations."""
    return sum(evaluation.stated is not None for evaluation in evaluations)


def for_task(scorer: Scorer, task: Prompt) -> Callable[[str, LLMProvider], Awaitable[Evaluation]]:
    """Make `scorer` an async function that returns a checked `Evaluation`; it is given the task if it asks.

    Raises:
        ValueError: `scorer` can't be called with a text and a provider. The function raises it for a score
            that is not a number in [0, 1].
        TypeError: (by the function) The feedback is not a str.
    """
    ask = cast("Callable[..., object]", scorer)
    if _wants_task(scorer):
        ask = partial(ask, task=task)
    checks.called_with("text", "provider", evaluator=ask)

    async def evaluate(text: str, provider: LLMProvider) -> Evaluation:
        outcome = ask(text, provider)
        if inspect.isawaitable(outcome):
            outcome = await outcome
        if not isinstance(outcome, Evaluation):
            return Evaluation(validate_score(outcome))
        if not isinstance(outcome.feedback, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users' data
            raise TypeError(f"feedback must be a str, got {outcome.feedback!r}")
        return replace(outcome, score=validate_score(outcome.score))

    return evaluate


def _wants_task(scorer: Callable[..., object]) -> bool:
    signature = signature_of(scorer)
    parameters = signature.parameters.values() if signature else ()
    # The first two are given by position, whatever they are called.
    names_task = any(
        p.name == "task" and (p.kind is p.KEYWORD_ONLY or (p.kind is p.POSITIONAL_OR_KEYWORD and index > 1))
        for index, p in enumerate(parameters)
    )
    # A decorator may supply it to the function that it wraps, and take none.
    return names_task and not misfit(scorer, "", None, task="")
