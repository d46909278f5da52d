"""`best_of_n`: several candidates in parallel, each judged, the best one returned."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import TYPE_CHECKING, Any, Final, Literal

from executionkit import _checks as checks
from executionkit._keywords import checked_keywords
from executionkit._opening import Messages, openings, task_of
from executionkit._prompt import Content, Prompt
from executionkit._refusals import refuses_logprobs
from executionkit._text import collapsed
from executionkit.engine.bill import add_note
from executionkit.engine.parallel import fan_out, fan_out_strict, told
from executionkit.engine.retry import RetryConfig
from executionkit.engine.run import Run
from executionkit.errors import LLMError, PatternError
from executionkit.evaluators import Confidence, Pairwise, Rubric, expectations, for_task, require_prices
from executionkit.events import CandidateScored, EventCallback, PairCompared, SampleDone
from executionkit.patterns._narrator import Narrator
from executionkit.patterns._options import Options, checked_options, for_sample, with_logprobs
from executionkit.patterns._sampling import blame, warn_of_unused
from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse
from executionkit.types import Evaluation, PatternResult, Scorer, TokenUsage, Verdict

if TYPE_CHECKING:
    from executionkit._display._card import Card


@dataclass(frozen=True)
class BestOfNResult(PatternResult[str]):
    """The best of several candidates. `value` is its text, `score` its score.

    Attributes:
        best_index: Position of the best candidate in `candidates`.
        candidates: Every text that came back, in sample order.
        scores: The score of each candidate. With a `Pairwise` it is the share of comparisons that the
            candidate won; a tie counts as half a win. None means not judged: the candidate has no text, or
            another one reached the target first.
        feedback: The evaluator's feedback on each candidate; "" where it gave none.
        stop_reason: "target" when a candidate reached `target_score`, otherwise "num_samples".
        undecided: Whether the evaluator told no candidates apart: two different ones or more were judged, and
            all have the same score. This happens when a weak model gives each the same number, or contradicts
            itself on every pair. Then the first candidate is returned.
        comparisons: Pairs that a `Pairwise` compared, each in both orders.
        disagreements: Pairs in which its verdict depended on the order. They count as ties.
        empty_responses: Samples without an answer: no text, or withheld by a content filter. They are not
            judged.
        truncated_responses: Samples cut off by `max_tokens`. They are judged like any other.
        failed: Samples that failed, or whose judging failed, while another one reached the target.
        failures: The error of each failed sample, in sample order.
        callback_errors: How often `on_event` raised an exception.
        score_by_variant: For the prompt, and then for each of its `variants`: the mean score of its judged
            candidates, None where none was judged. It is empty without `variants`.
        expected_scores: Scores that are expectations, by a `Rubric(expected=True)`. The others are the
            numbers that the judge wrote, because no log-probabilities came.
    """

    best_index: int = 0
    candidates: list[str] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)
    feedback: list[str] = field(default_factory=list)
    stop_reason: Literal["target", "num_samples"] = "num_samples"
    undecided: bool = False
    comparisons: int = 0
    disagreements: int = 0
    empty_responses: int = 0
    truncated_responses: int = 0
    failed: int = 0
    failures: tuple[str, ...] = ()
    callback_errors: int = 0
    score_by_variant: tuple[float | None, ...] = ()
    expected_scores: int = 0

    def _describe(self, card: "Card") -> None:
        from executionkit._display._card import Bars, Entry, Fold

        card.score(self.score)
        card.add("candidates", len(self.candidates), f"best of {len(self.candidates)}")
        card.add("stopped by", self.stop_reason)
        card.add("undecided", self.undecided, "undecided")
        card.add("expected scores", self.expected_scores)
        card.add("comparisons", self.comparisons)
        card.add("disagreements", self.disagreements)
        card.add("empty", self.empty_responses)
        card.add("truncated", self.truncated_responses)
        card.add("failed", self.failed, f"{self.failed} failed")
        rows = list(zip(self.candidates, self.scores, strict=False))
        card.charts.append(Bars("Scores", rows, marked=self.best_index, most=1.0))
        card.by_variant("Score by variant", self.score_by_variant, "not judged")
        pairs = zip(self.candidates, self.feedback, strict=False)
        notes = (Entry(text, note) for text, note in pairs if note)
        card.folds.append(Fold("Feedback", sum(map(bool, self.feedback)), notes))
        card.folds.append(Fold("Failures", len(self.failures), map(Entry, self.failures)))


class _TargetReached(Exception):  # noqa: N818 - a signal, not an error
    """Ends the sampling: one candidate is good enough."""


@dataclass(slots=True)
class _Field:
    """The candidates and what was said of them so far."""

    replies: dict[int, LLMResponse] = field(default_factory=dict[int, LLMResponse])
    evaluations: dict[int, Evaluation] = field(default_factory=dict[int, Evaluation])
    verdicts: dict[tuple[int, int], Verdict] = field(default_factory=dict[tuple[int, int], Verdict])

    @property
    def answered(self) -> list[int]:
        """The samples that are an answer, in order."""
        return [
            i for i, reply in sorted(self.replies.items()) if reply.content.strip() and not reply.was_filtered
        ]

    def scores(self) -> list[float | None]:
        return [self.evaluations[i].score if i in self.evaluations else None for i in sorted(self.replies)]

    def feedback(self) -> list[str]:
        return [self.evaluations[i].feedback if i in self.evaluations else "" for i in sorted(self.replies)]

    def salvage(self) -> dict[str, Any]:
        paid: dict[str, Any] = {
            "candidates": [self.replies[index].content for index in sorted(self.replies)],
            "scores": self.scores(),
        }
        if any(evaluation.feedback for evaluation in self.evaluations.values()):
            paid["feedback"] = self.feedback()
        if self.verdicts:
            paid["verdicts"] = [[*pair, verdict] for pair, verdict in sorted(self.verdicts.items())]
        return paid


@checked_keywords
async def best_of_n(
    provider: LLMProvider,
    prompt: Prompt | None,
    *,
    evaluator: Scorer | Pairwise | Confidence,
    num_samples: int = 5,
    target_score: float | None = None,
    temperature: float = 0.9,
    max_tokens: int = 4096,
    max_concurrency: int = 5,
    retry: RetryConfig | None = None,
    max_cost: TokenUsage | None = None,
    options: Options | None = None,
    messages: Messages | None = None,
    system: str | None = None,
    on_event: EventCallback | None = None,
    variants: Sequence[Prompt] = (),
) -> BestOfNResult:
    """Write several candidates in parallel, judge each, and return the best.

    Use it for texts, code and plans: no two samples agree word for word, so `consensus` has nothing to count.
    The candidates are independent of each other. If two have the same score, the earlier one wins.

    Example:
        ```python
        from executionkit import MockProvider, best_of_n


        def brevity(text, provider):
            return 1 / len(text.split())


        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        provider = MockProvider(["Tea, hot and strong.", "Tea."])
        result = await best_of_n(
            provider, "Praise tea.", evaluator=brevity, num_samples=2
        )
        assert (result.value, result.scores) == ("Tea.", [0.25, 1.0])
        ```

    Args:
        provider: Makes the model calls: a `Provider`, or any object that satisfies `LLMProvider`.
        prompt: The task: a text, or a list of texts and parts such as pictures. It is sent as a user message
            after `messages` in every sample; None goes on from `messages` as they stand. The judge is shown
            the last user message as the task.
        evaluator: Judges the candidates. A function `(text, provider)`, sync or async, returns a score in
            [0, 1] or an `Evaluation`; the calls it makes through that provider count against `max_cost`. A
            `Rubric` has a model score each candidate. A `Pairwise` has a model compare every two candidates,
            in both orders. `Confidence()` takes the candidate whose tokens were the most probable, without a
            judge. Anything else is refused before the first call.
        num_samples: Maximum number of candidates; at least 1.
        target_score: A score that is good enough, in [0, 1]. When a candidate reaches it, nothing more is
            sent. Candidates in flight are awaited and kept, and judged if that takes no further call. A
            `Pairwise` gives no score to reach, so the two can't be combined. Defaults to judging all
            candidates.
        temperature: Sampling temperature, in [0, 2]. At 0 the candidates hardly differ.
        max_tokens: Maximum tokens in one reply; at least 1.
        max_concurrency: Maximum requests in flight at once; at least 1. With a `target_score`, a lower number
            saves calls and takes longer.
        retry: How failed calls are retried. Defaults to those of the run around it, else `DEFAULT_RETRY`.
        max_cost: Maximum calls and tokens for candidates and judging together, retries included. Defaults to
            no limit.
        options: Further fields of every request, such as `seed`, `top_p`, `stop` or `reasoning_effort`.
            Fields that the pattern sets itself are refused. An int `seed` goes up by one with each sample. A
            judge's requests don't have them. Defaults to none.
        messages: The conversation so far, in the form of the chat completions API. Every tool call in it must
            have its result. Defaults to none.
        system: The system message, sent first, but never to a judge. It must be None if `messages`
            begin with a system or developer message. Defaults to none.
        on_event: Callback, sync or async, that receives each `PatternEvent` as it happens: the beginning,
            each candidate, its score, each comparison, the end. It is called with one event at a time, and
            the pattern waits for it. An exception that it raises is logged and counted. Defaults to none.
        variants: Other phrasings of the task: prompts that take the place of `prompt`. Candidates are asked
            for in turn: the first by `prompt`, the next by the first variant, and so on, then by `prompt`
            again. A judge is always shown `prompt`, so that all candidates are judged alike. In a variant
            that is a text, `{prompt}` stands for the prompt. No two phrasings may be equal. Defaults to none.

    Returns:
        A `BestOfNResult`, which explains the `metadata` keys: `best_index`, `candidates`, `scores`,
        `feedback`, `stop_reason`, `undecided`, `comparisons`, `disagreements`, `empty_responses`,
        `truncated_responses`, `failed`, `failures`, `callback_errors`, `score_by_variant`,
        `expected_scores`.

    Raises:
        ValueError: A parameter is out of range or `messages` can't be sent (no call was made), or the
            evaluator's score is not a number in [0, 1].
        BudgetExhaustedError: The calls left can't pay for all samples and, with a `Rubric` or `Pairwise`, for
            judging them (raised before the first call), or the budget ran out on the way.
        PatternError: No sample has an answer, a judge's replies can't be read, or `Confidence()` found no
            log-probabilities in a reply.
        LLMError: A call failed for good. Nothing further is sent, and calls in flight are awaited. If a
            candidate in flight then reaches the target, it is returned, and `failures` names the error.

    A `UserWarning` says that `num_samples` is too small for all variants.

    Every error has the `.metadata["candidates"]` and `["scores"]` already paid for, and `["feedback"]` if
    there was any. After comparisons it has `["verdicts"]`: the positions of two candidates as shown, and
    which was better.
    """
    phrasings = openings(prompt, variants, messages, system)
    task = task_of(phrasings[0])
    checks.at_least(1, num_samples=num_samples, max_concurrency=max_concurrency)
    # A class is callable too, and would be found out after the first paid call.
    is_judge = isinstance(evaluator, (Pairwise, Confidence))
    if isinstance(evaluator, type) or not (callable(evaluator) or is_judge):
        kinds = "a callable, a Rubric, a Pairwise or a Confidence"
        raise ValueError(f"evaluator must be {kinds}, got {evaluator!r}")
    if target_score is not None:
        checks.between(0.0, 1.0, target_score=target_score)
        if isinstance(evaluator, Pairwise):
            raise ValueError(f"target_score must be None with a Pairwise evaluator, got {target_score!r}")
    checks.sampling(temperature=temperature, max_tokens=max_tokens, max_cost=max_cost)
    fields = checked_options(options)
    warn_of_unused(len(variants), num_samples)
    if isinstance(evaluator, Confidence):
        fields = with_logprobs(fields)
    narrator = Narrator("best_of_n", on_event)
    candidates = _Field()
    evaluate = None if isinstance(evaluator, (Pairwise, Confidence)) else for_task(evaluator, task)

    async with narrator.run(
        provider, num_samples, max_cost=max_cost, retry=retry, salvage=candidates.salvage
    ) as run:

        async def sample(index: int) -> None:
            variant = index % len(phrasings)
            try:
                reply = candidates.replies[index] = await run.complete(
                    list(phrasings[variant]),
                    temperature=temperature,
                    max_tokens=max_tokens,
                    **for_sample(fields, index),
                )
            except Exception as exc:
                blame(variant, exc)
                if isinstance(evaluator, Confidence) and isinstance(exc, LLMError) and refuses_logprobs(exc):
                    add_note(exc, f"Confidence() asked for logprobs; {_WITHOUT_LOGPROBS}")
                if narrator.listens:
                    await narrator.tell(
                        SampleDone(index, None, 0, failed=True, variant=variant, cost=run.usage)
                    )
                raise
            is_answer = bool(reply.content.strip()) and not reply.was_filtered
            if narrator.listens:
                text = reply.content if is_answer else None
                await narrator.tell(SampleDone(index, text, 0, failed=False, variant=variant, cost=run.usage))
            if isinstance(evaluator, Pairwise) or not is_answer:
                return
            evaluation = _confidence_in(reply) if evaluate is None else await evaluate(reply.content, run)
            candidates.evaluations[index] = evaluation
            if narrator.listens:
                await narrator.tell(CandidateScored(index, evaluation.score, cost=run.usage))
            if target_score is not None and evaluation.score >= target_score:
                raise _TargetReached

        if isinstance(evaluator, Confidence) and not run.takes(logprobs=True):
            raise ValueError(
                "evaluator must not be Confidence() with a provider whose `complete` takes no `logprobs`; "
                + _WITHOUT_LOGPROBS
            )
        await require_prices(evaluator, run)
        run.require(calls=num_samples + _judging_calls(evaluator, num_samples))
        outcomes = await fan_out(sample, num_samples, max_concurrency, on_failure=run.halt)
        is_reached = any(isinstance(exc, _TargetReached) for exc in outcomes.failures.values())
        # A call that the end of the run has cancelled did not fail.
        ended = (_TargetReached, asyncio.CancelledError)
        failures = [told(exc) for _, exc in sorted(outcomes.failures.items()) if not isinstance(exc, ended)]
        if not is_reached:
            outcomes.results()
        if not candidates.answered:
            raise PatternError(
                f"none of {num_samples} samples gave an answer: every reply was empty or filtered"
            )
        pairs: list[tuple[int, int]] = []
        if isinstance(evaluator, Pairwise):
            pairs = await _compare_all(evaluator, task, candidates, run, max_concurrency, narrator)
        errors = narrator.errors
        result = _result(
            candidates, pairs, run.usage, tuple(failures), errors, len(phrasings), is_reached=is_reached
        )
        return run.shows(result)


_WITHOUT_LOGPROBS: Final = "for a model without them use a Rubric, a Pairwise or a function as the evaluator"


def _confidence_in(reply: LLMResponse) -> Evaluation:
    mean = reply.mean_logprob
    if mean is None:
        raise PatternError(
            "best_of_n: Confidence() needs log-probabilities, and the reply came without, although they were "
            f"asked for; {_WITHOUT_LOGPROBS}"
        )
    return Evaluation(min(1.0, math.exp(mean)))


def _judging_calls(evaluator: Scorer | Pairwise | Confidence, count: int) -> int:
    if isinstance(evaluator, Pairwise):
        return count * (count - 1)
    return count if isinstance(evaluator, Rubric) else 0


async def _compare_all(
    judge: Pairwise, task: Content, candidates: _Field, run: Run, max_concurrency: int, narrator: Narrator
) -> list[tuple[int, int]]:
    """Compare every two different candidates in both orders, and score them by what came of it."""
    texts = {index: candidates.replies[index].content for index in candidates.answered}
    twins: dict[str, list[int]] = {}
    for index, text in texts.items():
        twins.setdefault(collapsed(text), []).append(index)
    different = [indexes[0] for indexes in twins.values()]
    pairs = list(permutations(different, 2))

    async def judge_pair(number: int) -> None:
        first, second = pairs[number]
        verdict = await judge.compare(task, texts[first], texts[second], run)
        candidates.verdicts[first, second] = verdict
        if narrator.listens:
            done = len(candidates.verdicts)
            await narrator.tell(PairCompared(first, second, verdict, done, len(pairs), cost=run.usage))

    await fan_out_strict(judge_pair, len(pairs), max_concurrency, on_failure=run.halt)
    for indexes in twins.values() if len(different) > 1 else ():
        won = sum(_won(candidates.verdicts, indexes[0], other) for other in different if other != indexes[0])
        for index in indexes:
            candidates.evaluations[index] = Evaluation(won / (len(different) - 1))
    for index, evaluation in sorted(candidates.evaluations.items()) if narrator.listens else ():
        await narrator.tell(CandidateScored(index, evaluation.score, cost=run.usage))
    return [(first, second) for first, second in pairs if first < second]


def _won(verdicts: dict[tuple[int, int], Verdict], one: int, other: int) -> float:
    """1 when both orders say that `one` is better, 0 when both say that `other` is, else one half."""
    said = verdicts[one, other], verdicts[other, one]
    return {("first", "second"): 1.0, ("second", "first"): 0.0}.get(said, 0.5)


def _result(
    candidates: _Field,
    pairs: list[tuple[int, int]],
    cost: TokenUsage,
    failures: tuple[str, ...],
    callback_errors: int,
    phrasings: int,
    *,
    is_reached: bool,
) -> BestOfNResult:
    indexes = sorted(candidates.replies)
    replies = [candidates.replies[index] for index in indexes]
    judged = {index: evaluation.score for index, evaluation in sorted(candidates.evaluations.items())}
    best = max(judged, key=judged.__getitem__, default=candidates.answered[0])
    different = {collapsed(candidates.replies[index].content) for index in judged}
    swapped = {"first": "second", "second": "first", "tie": "tie"}
    verdicts = candidates.verdicts
    return BestOfNResult(
        value=candidates.replies[best].content,
        score=judged.get(best),
        cost=cost,
        best_index=indexes.index(best),
        candidates=[reply.content for reply in replies],
        scores=candidates.scores(),
        feedback=candidates.feedback(),
        stop_reason="target" if is_reached else "num_samples",
        undecided=not is_reached and len(different) > 1 and len(set(judged.values())) == 1,
        expected_scores=expectations(candidates.evaluations.values()),
        comparisons=len(pairs),
        disagreements=sum(verdicts[one, two] != swapped[verdicts[two, one]] for one, two in pairs),
        empty_responses=len(replies) - len(candidates.answered),
        truncated_responses=sum(reply.was_truncated for reply in replies),
        failed=len(failures),
        failures=failures,
        callback_errors=callback_errors,
        score_by_variant=_means(judged, phrasings) if phrasings > 1 else (),
    )


def _means(judged: dict[int, float], phrasings: int) -> tuple[float | None, ...]:
    """The mean score of each phrasing's candidates."""
    scores = [[score for index, score in judged.items() if index % phrasings == n] for n in range(phrasings)]
    return tuple(sum(found) / len(found) if found else None for found in scores)
