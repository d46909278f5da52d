"""`consensus`: ask the same question several times in parallel and let the answers vote."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal

from executionkit import _checks as checks
from executionkit._keywords import checked_keywords
from executionkit._opening import Messages, openings
from executionkit._prompt import Prompt
from executionkit.engine.retry import RetryConfig
from executionkit.errors import ConsensusFailedError
from executionkit.events import EventCallback
from executionkit.patterns._narrator import Narrator
from executionkit.patterns._options import Options, checked_options, with_logprobs
from executionkit.patterns._poll import Poll
from executionkit.patterns._result_types import Answer, Answer_co
from executionkit.patterns._sampling import Samples, warn_of_unused
from executionkit.patterns._voting import (
    Reader,
    certainty,
    check_confidence,
    check_key,
    check_stop,
    stop_rule,
)
from executionkit.protocols import LLMProvider
from executionkit.types import PatternResult, TokenUsage, VotingStrategy

if TYPE_CHECKING:
    from executionkit._display._card import Card

__all__ = ["consensus"]

_NO_ANSWER: Final[Any] = None


@dataclass(frozen=True)
class ConsensusResult(PatternResult[str], Generic[Answer_co]):
    """The winning answer: `value` is its first original text, `score` its share of the samples.

    `num_samples` equals `samples_used + failed + samples_saved`.

    Attributes:
        agreement_ratio: The winner's share of the samples that came back, abstentions included; the same as
            `score`. After an early stop, fewer than `num_samples` came back.
        unique_responses: Number of different answers.
        tie_count: Number of answers that share the top count. 1 means no tie.
        abstained: Samples without an answer: the reply had no text, a content filter withheld it, or `key`
            found no answer in it. They count in the share.
        truncated_responses: Samples cut off by `max_tokens`. They vote, because labels are often asked for
            with `max_tokens=1`.
        answer: The answer that won: the value that `key` read, or the text with its whitespace collapsed. Its
            type is that of `key`: `ConsensusResult[int]`, say. `ConsensusResult` alone means
            `ConsensusResult[str]`.
        votes: Each answer with its number of votes. The winner comes first, the others by votes, then by
            first appearance.
        margin: The winner's votes minus those of the runner-up. 0 is a tie.
        is_majority: Whether more than half of the samples that came back gave the winning answer.
        confidence: Probability that the winner, and not the runner-up, is the answer this model gives more
            often, in [0.5, 1]: P(Beta(a+1, b+1) > 1/2) for their votes a and b. It does not say that the
            answer is true: a model can be wrong every time.
        samples_used: Samples that came back.
        samples_saved: Samples that an early stop made unnecessary. They were never sent.
        failed: Samples that failed for good; at most `num_samples - min_samples`.
        failures: The error of each failed sample, in sample order.
        callback_errors: How often `on_event` raised an exception.
        agreement_by_variant: For the prompt, and then for each of its `variants`: the share of the samples
            with an answer that gave the winner. None where no sample has an answer. It is empty without
            `variants`.
        by_confidence: Whether the vote went by the replies' log-probabilities, as `confidence` asked. If a
            reply with an answer came without them, or the server refused to send any, it is the plain vote.
        left_out: Samples with an answer that had no vote, because others were more probable. The figures of
            the vote are of the samples that remain.
    """

    agreement_ratio: float = 0.0
    unique_responses: int = 0
    tie_count: int = 0
    abstained: int = 0
    truncated_responses: int = 0
    answer: Answer_co = _NO_ANSWER
    votes: tuple[tuple[Answer_co, int], ...] = ()
    margin: int = 0
    is_majority: bool = False
    confidence: float = 0.5
    samples_used: int = 0
    samples_saved: int = 0
    failed: int = 0
    failures: tuple[str, ...] = ()
    callback_errors: int = 0
    agreement_by_variant: tuple[float | None, ...] = ()
    by_confidence: bool = False
    left_out: int = 0

    def _describe(self, card: "Card") -> None:
        from executionkit._display._card import Bars, Entry, Fold

        most = self.votes[0][1] if self.votes else 0
        if self.samples_used:
            share = f"{most}/{self.samples_used}"
            card.add("agreement", f"{share} ({self.agreement_ratio:.0%})", f"agreement {share}")
        card.add("tie", f"{self.tie_count} answers" if self.tie_count > 1 else "", f"{self.tie_count} tied")
        card.add("margin", self.margin)
        card.add("confidence", self.confidence)
        card.add("abstained", self.abstained)
        card.add("by confidence", self.by_confidence)
        card.add("left out", self.left_out)
        card.add("truncated", self.truncated_responses)
        card.add("saved samples", self.samples_saved)
        card.add("failed", self.failed, f"{self.failed} failed")
        card.charts.append(Bars("Votes", self.votes))
        card.by_variant("Agreement by variant", self.agreement_by_variant, "no answer")
        card.folds.append(Fold("Failures", len(self.failures), map(Entry, self.failures)))


@checked_keywords
async def consensus(
    provider: LLMProvider,
    prompt: Prompt | None,
    *,
    num_samples: int = 5,
    strategy: VotingStrategy | Literal["majority", "unanimous"] = "majority",
    temperature: float = 0.9,
    max_tokens: int = 4096,
    max_concurrency: int = 5,
    retry: RetryConfig | None = None,
    max_cost: TokenUsage | None = None,
    options: Options | None = None,
    key: Callable[[str], Answer | None] | None = None,
    stop: Literal["all", "decided"] | float = "all",
    min_samples: int | None = None,
    choices_per_request: int = 1,
    messages: Messages | None = None,
    system: str | None = None,
    on_event: EventCallback | None = None,
    variants: Sequence[Prompt] = (),
    confidence: Literal["ties"] | float | None = None,
) -> ConsensusResult[Answer]:
    """Ask the same question several times in parallel and return the most common answer.

    This is self-consistency (Wang et al., "Self-Consistency Improves Chain of Thought Reasoning in Language
    Models", ICLR 2023). Without a `key`, the vote compares whole replies and ignores whitespace, so ask for
    the bare answer in a fixed form.

    With an early `stop`, samples are sent in windows. A window holds the fewest samples that could settle the
    vote. It is counted in sample order when all of it has come back, so the result never depends on which
    reply was faster: it is the result of asking for one sample at a time, in fewer rounds.

    Example:
        ```python
        from executionkit import MockProvider, TokenUsage, consensus

        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        provider = MockProvider(["Paris", "Lyon", "Paris"])
        result = await consensus(
            provider,
            "The capital of France? Reply with the name only.",
            num_samples=3,
            max_cost=TokenUsage(llm_calls=5),
        )
        assert (result.value, result.votes) == ("Paris", (("Paris", 2), ("Lyon", 1)))
        ```

    Args:
        provider: Makes the model calls: a `Provider`, or any object that satisfies `LLMProvider`.
        prompt: The question: a text, or a list of texts and parts such as pictures. It is sent as a user
            message after `messages` in every sample; None goes on from `messages` as they stand.
        num_samples: Number of samples; at least 1. With an early `stop` it is the maximum.
        strategy: "majority": the most common answer wins, and a tie goes to the answer seen first, in sample
            order. "unanimous": all answers must be equal.
        temperature: Sampling temperature, in [0, 2]. At 0 the samples hardly differ, and a vote tells little.
        max_tokens: Maximum tokens in one reply; at least 1.
        max_concurrency: Maximum requests in flight at once; at least 1.
        retry: How failed calls are retried. Defaults to those of the run around it, else `DEFAULT_RETRY`.
        max_cost: Maximum calls and tokens for the whole vote, retries included. Defaults to no limit.
        options: Further fields of every request, such as `seed`, `top_p`, `stop` or `reasoning_effort`.
            Fields that the pattern sets itself are refused. An int `seed` goes up by one with each sample.
            Defaults to none.
        key: Reads the answer out of a reply's text. It returns any hashable value, and equal values are one
            vote. It returns None (or NaN) to abstain. It must be a plain function of the text alone, because
            it is called once for each different text. `executionkit.answers` has ready-made ones. Defaults
            to comparing whole texts without regard to whitespace.
        stop: When to stop. "all": when every sample has come back. "decided": when the remaining samples
            can't change the outcome, so the winner is always that of the full vote. A confidence in (0.5, 1):
            when the winner's `confidence` reaches it, or the vote is decided (Adaptive-Consistency: Aggarwal
            et al., EMNLP 2023). An early stop of a "unanimous" vote takes two samples, then one at a time.
            It fails at the first dissent. With a confidence it succeeds once the agreeing samples reach it.
        min_samples: How many samples must come back, in [1, num_samples]. The others may fail, by an error of
            this library, an error that `retry` repeats, or an exhausted budget. A failed sample casts no
            vote. An error that every sample would meet (a wrong key, an unknown model) stops the sampling,
            and unsent samples count as failed. Defaults to `num_samples`.
        choices_per_request: Maximum samples that one request asks for (`n` in its body); at least 1. The
            server then charges for the prompt once. If a server returns fewer, the rest is requested again,
            and no later request asks for more than it returned. If a server refuses the number, fewer are
            requested, and that is remembered for this provider. A refused request costs one call and no
            tokens.
        messages: The conversation so far, in the form of the chat completions API. Every tool call in it must
            have its result. Defaults to none.
        system: The system message, sent first. It must be None if `messages` begin with a
            system or developer message. Defaults to none.
        on_event: Callback, sync or async, that receives each `PatternEvent` as it happens: the beginning,
            each sample, the end. It is called with one event at a time, and the vote waits for it. An
            exception that it raises is logged and counted. Defaults to none.
        variants: Other phrasings of the question: prompts that take the place of `prompt`. Samples are asked
            for in turn: the first by `prompt`, the next by the first variant, and so on, then by `prompt`
            again. In a variant that is a text, `{prompt}` stands for the prompt. The choices of one request
            share a phrasing. No two phrasings may be equal. Defaults to none.
        confidence: What the model's own confidence in its replies does: the mean log-probability of their
            tokens, which the requests then ask for (`logprobs=True`). "ties": a tie goes to the answer whose
            replies are the more probable on average. A share in (0, 1]: only that share of the replies with
            an answer vote, the most probable ones, and ties are broken so too (Fu et al., "Deep Think with
            Confidence", 2025). It needs `stop="all"`. With "ties" a "decided" vote stops when no tie can
            come any more. Without log-probabilities it is the plain vote, and `by_confidence` is False. A
            request that a server refuses for `logprobs` costs one call, and up to `max_concurrency` are in
            flight by then. Later ones are sent without, and that is remembered for this provider. It must be
            None with "unanimous". Defaults to the plain vote.

    Returns:
        A `ConsensusResult`, which explains the `metadata` keys: `agreement_ratio`, `unique_responses`,
        `tie_count`, `abstained`, `truncated_responses`, `answer`, `votes`, `margin`, `is_majority`,
        `confidence`, `samples_used`, `samples_saved`, `failed`, `failures`, `callback_errors`,
        `agreement_by_variant`, `by_confidence`, `left_out`.

    Raises:
        ValueError: A parameter is out of range, or `messages` can't be sent. No call was made.
        BudgetExhaustedError: The calls left can't pay for all samples (raised before the first call, whatever
            `stop` says), or the budget ran out on the way.
        ConsensusFailedError: A "unanimous" vote was not unanimous, or no sample gave an answer.
        LLMError: More samples failed than `min_samples` allows. No further sample is sent, and those in
            flight are awaited.
        Exception: An exception that `key` raised, unchanged. A note on it quotes the reply.

    A `UserWarning` says that most replies of a vote with a `key` were cut off by `max_tokens`. It is not
    given where `max_tokens` leaves room for nothing but a label. Another says that `num_samples` is too small
    for all variants.

    Every error has the texts already paid for in `.metadata["responses"]`, in sample order.
    """
    phrasings = openings(prompt, variants, messages, system)
    checks.at_least(1, num_samples=num_samples, max_concurrency=max_concurrency)
    checks.one_of(tuple(VotingStrategy), strategy=strategy)
    checks.sampling(temperature=temperature, max_tokens=max_tokens, max_cost=max_cost)
    fields = checked_options(options)
    checks.at_least(1, choices_per_request=choices_per_request)
    if min_samples is not None:
        checks.at_least(1, min_samples=min_samples)
        checks.between(1, num_samples, min_samples=min_samples)
    check_key(key)
    check_stop(stop)
    is_unanimous = strategy == VotingStrategy.UNANIMOUS
    check_confidence(confidence, stop, unanimous=is_unanimous)
    if confidence is not None:
        fields = with_logprobs(fields)
    narrator = Narrator("consensus", on_event)
    samples = Samples(
        phrasings,
        temperature=temperature,
        max_tokens=max_tokens,
        max_concurrency=max_concurrency,
        per_request=choices_per_request,
        options=fields,
        may_fail=num_samples - (min_samples or num_samples),
        wants_logprobs=confidence is not None,
    )
    warn_of_unused(len(variants), num_samples)
    reader = Reader(key)
    poll = Poll(samples, reader, narrator, by_confidence=confidence is not None)
    needed = stop_rule(stop, unanimous=is_unanimous)

    async with narrator.run(
        provider,
        num_samples,
        max_cost=max_cost,
        retry=retry,
        salvage=lambda: {"responses": samples.texts},
    ) as run:
        # For all samples, early stop or not: half a vote costs money and gives no answer. An early stop may
        # end up with one sample to a request, however many a request could hold.
        samples.recall(run)
        calls = samples.requests_for(num_samples) if stop == "all" else num_samples
        run.require(calls, replies=num_samples)
        await poll.hold(run, num_samples, needed)
        if isinstance(confidence, (int, float)):
            poll.leave_out(confidence)
        if key is not None:
            poll.warn_of_truncation("consensus", max_tokens)
        _require_a_winner(poll, has_key=key is not None, is_unanimous=is_unanimous)
        by_variant = _agreement(poll, reader) if variants else ()
        return run.shows(_result(poll, num_samples, run.usage, narrator, by_variant))


def _require_a_winner(poll: Poll, *, has_key: bool, is_unanimous: bool) -> None:
    votes, count = poll.votes, len(poll.samples.replies)
    if votes.winner is None:
        raise ConsensusFailedError(
            f"none of {count} samples gave an answer: every reply was empty or filtered"
            + (", or `key` found no answer in it" if has_key else "")
            + "; the replies are in metadata['responses']"
        )
    if is_unanimous and len(votes.counts) > 1:
        raise ConsensusFailedError(
            f"the vote was not unanimous: {len(votes.counts)} different answers in {count} samples, "
            f"{votes.most} for the most common; the replies are in metadata['responses']"
        )


def _agreement(poll: Poll, reader: Reader) -> tuple[float | None, ...]:
    """Of each phrasing, the share of the samples with an answer that gave the winner."""
    samples = poll.samples
    given = [list[bool]() for _ in range(samples.openings)]
    for sample, reply in samples.replies.items():
        answer = reader.answer(sample, reply)
        if answer is not None:
            given[samples.opening_of(sample)].append(answer == poll.votes.winner)
    return tuple(sum(votes) / len(votes) if votes else None for votes in given)


def _result(
    poll: Poll,
    num_samples: int,
    cost: TokenUsage,
    narrator: Narrator,
    by_variant: tuple[float | None, ...],
) -> ConsensusResult[Any]:
    votes, samples, share = poll.votes, poll.samples, poll.share()
    return ConsensusResult(
        value=poll.winning_text(),
        score=share,
        cost=cost,
        agreement_ratio=share,
        unique_responses=len(votes.counts),
        tie_count=votes.tied,
        abstained=votes.abstained,
        truncated_responses=samples.truncated,
        answer=votes.winner,
        votes=votes.ranking(),
        margin=votes.most - votes.second,
        is_majority=2 * votes.most > poll.count,
        confidence=certainty(votes.most, votes.second),
        samples_used=len(samples.replies),
        samples_saved=num_samples - samples.asked,
        failed=len(samples.failures),
        failures=samples.reports,
        callback_errors=narrator.errors,
        agreement_by_variant=by_variant,
        by_confidence=votes.by_confidence,
        left_out=poll.left_out,
    )
