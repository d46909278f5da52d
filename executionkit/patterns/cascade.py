"""`cascade`: ask a cheap model several times, and a stronger one only where its answers disagree."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic

from executionkit import _checks as checks
from executionkit._display import Brief
from executionkit._json import is_sequence
from executionkit._keywords import checked_keywords
from executionkit._opening import Messages, openings
from executionkit._prompt import Prompt, brief
from executionkit.engine.bill import add_note
from executionkit.engine.retry import RetryConfig
from executionkit.engine.run import Run
from executionkit.errors import BudgetExhaustedError, ConsensusFailedError
from executionkit.events import EventCallback, TierDone
from executionkit.patterns._narrator import Narrator
from executionkit.patterns._options import Options, checked_options, for_sample
from executionkit.patterns._poll import Poll
from executionkit.patterns._result_types import Answer, Answer_co
from executionkit.patterns._sampling import Samples, warn_of_unused
from executionkit.patterns._voting import Reader, agreeing, check_key, final
from executionkit.protocols import LLMProvider
from executionkit.types import PatternResult, TokenUsage

if TYPE_CHECKING:
    from executionkit._display._card import Card

_NO_ANSWER: Final[Any] = None

_MOST_SHOWN: Final = 8
"""Tiers whose cost is in the picture of a result."""

_VARIED: Final = 0.9
"""The temperature of a tier with several samples, which must be able to differ."""


@dataclass(frozen=True)
class Tier(Brief):
    """A model of a `cascade`, and how often it is asked.

    Example:
        ```python
        from executionkit import MockProvider, Tier

        # In your program: cheap = Provider("http://localhost:8000/v1", "small-model")
        cheap, strong = MockProvider(["Paris"]), MockProvider(["Paris"])
        tiers = [
            Tier(cheap, 2),  # both samples must agree
            Tier(cheap, 5, 0.8),  # four of five must
            Tier(strong),  # one sample, whose answer stands
        ]
        ```

    Attributes:
        provider: Makes the calls: a `Provider`, or any object that satisfies `LLMProvider`.
        num_samples: Maximum number of samples; at least 1.
        agreement: Share of the `num_samples` samples that must give the same answer, in [0, 1]. If fewer do,
            the next tier is asked. Samples without an answer count in the share. The last tier need not
            reach it: its vote ends there, or once the samples left can't change the winner.
        temperature: Sampling temperature, in [0, 2]. Defaults to 0.9 with several samples, because they
            should differ, and to 0.0 with one.
        max_tokens: Maximum tokens in one reply; at least 1.

    Raises:
        ValueError: A setting is out of range.
        TypeError: `provider` has no `complete` method.
    """

    provider: LLMProvider
    num_samples: int = 1
    agreement: float = 1.0
    temperature: float | None = None
    max_tokens: int = 4096

    def __post_init__(self) -> None:
        checks.at_least(1, num_samples=self.num_samples, max_tokens=self.max_tokens)
        checks.between(0.0, 1.0, agreement=self.agreement)
        if self.temperature is not None:
            checks.between(0.0, 2.0, temperature=self.temperature)
        Run("cascade", self.provider)  # which refuses what is no provider


@dataclass(frozen=True)
class CascadeResult(PatternResult[str], Generic[Answer_co]):
    """The answer of the first tier that agreed, or of the last one.

    `value` is the first text that gave the answer, `score` the answer's share of that tier's samples.

    Attributes:
        tier: Position of the tier whose answer it is.
        escalated: Whether it is another tier than the first.
        agreement_ratio: The answer's share of that tier's samples, those without an answer included; the same
            as `score`.
        answer: The answer: the value that `key` read, or the text with its whitespace collapsed. Its type is
            that of `key`: `CascadeResult[int]`, say. `CascadeResult` alone means `CascadeResult[str]`.
        votes_by_tier: Of each tier that was asked: each answer with its number of votes, the most common
            first, then by first appearance.
        samples_by_tier: The number of samples of each tier that was asked. Those that an early stop made
            unnecessary were never sent.
        abstained: Samples without an answer: the reply had no text, a content filter withheld it, or `key`
            found no answer in it.
        truncated_responses: Samples cut off by `max_tokens`. They vote.
        callback_errors: How often `on_event` raised an exception.
        cost_by_tier: Cost of each tier that was asked. The sum is `cost`. Not in `metadata`.
    """

    tier: int = 0
    escalated: bool = False
    agreement_ratio: float = 0.0
    answer: Answer_co = _NO_ANSWER
    votes_by_tier: tuple[tuple[tuple[Answer_co, int], ...], ...] = ()
    samples_by_tier: tuple[int, ...] = ()
    abstained: int = 0
    truncated_responses: int = 0
    callback_errors: int = 0
    cost_by_tier: tuple[TokenUsage, ...] = field(default=(), metadata={"mirrored": False})

    def _describe(self, card: "Card") -> None:
        from executionkit._display._card import Bars, Figure
        from executionkit._display._line import spent

        card.figures.append(Figure("tier", self.tier, f"tier {self.tier}"))
        if self.votes_by_tier and self.votes_by_tier[-1] and self.samples_by_tier:
            share = f"{self.votes_by_tier[-1][0][1]}/{self.samples_by_tier[-1]}"
            card.add("agreement", f"{share} ({self.agreement_ratio:.0%})", f"agreement {share}")
        card.add("abstained", self.abstained)
        card.add("truncated", self.truncated_responses)
        for index, cost in enumerate(self.cost_by_tier[:_MOST_SHOWN] if len(self.cost_by_tier) > 1 else ()):
            card.add(f"cost of tier {index}", spent(cost))
        for index, votes in enumerate(self.votes_by_tier[-2:], max(0, len(self.votes_by_tier) - 2)):
            card.charts.append(Bars(f"Votes of tier {index}", votes))


@checked_keywords
async def cascade(
    tiers: Sequence[Tier],
    prompt: Prompt | None,
    *,
    key: Callable[[str], Answer | None] | None = None,
    variants: Sequence[Prompt] = (),
    max_concurrency: int = 5,
    retry: RetryConfig | None = None,
    max_cost: TokenUsage | None = None,
    options: Options | None = None,
    messages: Messages | None = None,
    system: str | None = None,
    on_event: EventCallback | None = None,
) -> CascadeResult[Answer]:
    """Ask one model after the other, the cheapest first, until the samples of one agree.

    Each tier is asked until its `agreement` is reached, or can't be reached any more. Then the next tier is
    asked. The answer of the last tier stands: it is the most common one of its samples. After Yue et al.,
    "Large Language Model Cascades with Mixture of Thoughts Representations for Cost-efficient Reasoning",
    ICLR 2024. As there, ask by several phrasings (`variants`): samples of one share its mistakes, and agree
    on them.

    Samples are sent in windows. A window holds the fewest samples whose answers could settle the tier. So the
    result never depends on which reply was faster.

    Example:
        ```python
        from executionkit import MockProvider, Tier, cascade

        # In your program: cheap = Provider("http://localhost:8000/v1", "small-model")
        cheap, strong = MockProvider(["6 March", "7 March"]), MockProvider(["7 March"])
        result = await cascade(
            [Tier(cheap, 2), Tier(strong)],
            "Today is 29 February. Which day is a week from today? The day only.",
            variants=("{prompt} Count the days one by one first.",),
        )
        assert (result.value, result.tier, result.escalated) == ("7 March", 1, True)
        assert result.votes_by_tier[0] == (("6 March", 1), ("7 March", 1))
        ```

    Args:
        tiers: The models, at least one, each with the number of samples and the agreement that is enough. The
            cascade runs on the first one's provider: if that is the provider of a step or of a kit, the
            calls of all tiers count there.
        prompt: The question: a text, or a list of texts and parts such as pictures. It is sent as a user
            message after `messages` in every sample; None goes on from `messages` as they stand.
        key: Reads the answer out of a reply's text, for all tiers. It returns any hashable value, and equal
            values are one vote. It returns None (or NaN) to abstain. It must be a plain function of the text
            alone, because it is called once for each different text. `executionkit.answers` has ready-made
            ones. Defaults to comparing whole texts without regard to whitespace.
        variants: Other phrasings of the question: prompts that take the place of `prompt`. The samples of
            each tier are asked for in turn: the first by `prompt`, the next by the first variant, and so on,
            then by `prompt` again. In a variant that is a text, `{prompt}` stands for the prompt. No two
            phrasings may be equal. Defaults to none.
        max_concurrency: Maximum requests in flight at once; at least 1.
        retry: How failed calls are retried. Defaults to those of the run around it, else `DEFAULT_RETRY`.
        max_cost: Maximum calls, tokens and dollars for all tiers together, retries included. Defaults to no
            limit.
        options: Further fields of every request, such as `seed`, `top_p`, `stop` or `reasoning_effort`.
            Fields that the pattern sets itself are refused. An int `seed` goes up by one with each sample.
            Defaults to none.
        messages: The conversation so far, in the form of the chat completions API. Every tool call in it must
            have its result. Defaults to none.
        system: The system message, sent first. It must be None if `messages` begin with a
            system or developer message. Defaults to none.
        on_event: Callback, sync or async, that receives each `PatternEvent` as it happens: the beginning,
            each sample, the outcome of each tier, the end. It is called with one event at a time, and the
            cascade waits for it. An exception that it raises is logged and counted. Defaults to none.

    Returns:
        A `CascadeResult`, which explains the `metadata` keys: `tier`, `escalated`,
        `agreement_ratio`, `answer`, `votes_by_tier`, `samples_by_tier`, `abstained`, `truncated_responses`,
        `callback_errors`.

    Raises:
        ValueError: A parameter is out of range, or `messages` can't be sent. No call was made.
        BudgetExhaustedError: What is left can't pay for all samples of a tier (raised before the tier's first
            call), or the budget ran out on the way.
        ConsensusFailedError: No tier agreed, and no sample of the last one has an answer.
        LLMError: A call failed for good. No further sample is sent, and those in flight are awaited.
        Exception: An exception that `key` raised, unchanged. A note on it quotes the reply.

    A `UserWarning` says that most replies of a tier were cut off by `max_tokens` where there is a `key`.
    Another says that no tier has enough samples for all variants.

    Every error has what was paid for in its metadata, tier by tier. `.metadata["votes_by_tier"]` has the
    answers with their votes, `["cost_by_tier"]` the costs as dicts, and `["responses"]` the texts, in sample
    order.
    """
    tiers = _checked(tiers)
    phrasings = openings(prompt, variants, messages, system)
    checks.at_least(1, max_concurrency=max_concurrency)
    checks.budget(max_cost=max_cost)
    fields = checked_options(options)
    check_key(key)
    narrator = Narrator("cascade", on_event)
    warn_of_unused(len(variants), max(tier.num_samples for tier in tiers))
    reader = Reader(key)
    polls: list[Poll] = []

    def salvage() -> dict[str, Any]:
        return {
            "responses": [text for poll in polls for text in poll.samples.texts],
            "votes_by_tier": [[list(each) for each in poll.so_far()] for poll in polls],
            "cost_by_tier": [door.usage.to_dict() for door in doors[: len(polls)]],
        }

    total = sum(tier.num_samples for tier in tiers)
    run = narrator.run(tiers[0].provider, total, max_cost=max_cost, retry=retry, salvage=salvage)
    # Each tier has a ledger of its own within that of the cascade.
    doors = [Run("cascade", tier.provider, within=run) for tier in tiers]
    async with run:
        for door in doors:
            await door.require_prices()
        for index, (tier, door) in enumerate(zip(tiers, doors, strict=True)):
            asked = sum(poll.samples.asked for poll in polls)
            samples = _samples(tier, phrasings, max_concurrency, for_sample(fields, asked))
            _require(door, samples, tier.num_samples, index)
            poll = Poll(samples, reader, narrator, first=asked)
            polls.append(poll)
            needed, is_last = _needed(tier), index == len(tiers) - 1
            rule = final(needed) if is_last else agreeing(needed)
            await poll.hold(door, tier.num_samples, rule, pattern=run)
            if key is not None:
                poll.warn_of_truncation(f"cascade: tier {index}", tier.max_tokens)
            votes, escalates = poll.votes, not is_last and poll.votes.most < needed
            if narrator.listens:
                await narrator.tell(
                    TierDone(index, votes.winner, votes.most, samples.asked, escalates, cost=run.usage)
                )
            if not escalates:
                break
        _require_an_answer(polls[-1], len(tiers), has_key=key is not None)
        return run.shows(_result(polls, doors, run.usage, narrator))


def _checked(tiers: object) -> tuple[Tier, ...]:
    if not is_sequence(tiers) or not tiers:
        raise ValueError(f"tiers must be a list of at least one Tier, got {brief(tiers)}")
    for index, tier in enumerate(tiers):
        if not isinstance(tier, Tier):
            advice = "; write Tier(provider)" if hasattr(tier, "complete") else ""
            raise ValueError(f"tiers[{index}] must be a Tier, got {brief(tier)}{advice}")
    return tuple(tiers)


def _needed(tier: Tier) -> int:
    """The votes that one answer must have."""
    # 0.7 * 10 is a little more than 7 in floats.
    return max(1, math.ceil(round(tier.agreement * tier.num_samples, 9)))


def _samples(
    tier: Tier, phrasings: list[list[dict[str, Any]]], max_concurrency: int, options: Options
) -> Samples:
    usual = _VARIED if tier.num_samples > 1 else 0.0
    return Samples(
        phrasings,
        temperature=usual if tier.temperature is None else tier.temperature,
        max_tokens=tier.max_tokens,
        max_concurrency=max_concurrency,
        options=options,
    )


def _require(door: Run, samples: Samples, count: int, index: int) -> None:
    """Refuse a tier whose vote could not end."""
    try:
        door.require(count, prompts=samples.prompts(count))
    except BudgetExhaustedError as exc:
        if index:
            add_note(exc, f"tier {index} was not asked; metadata['votes_by_tier'] has the votes so far")
        raise


def _require_an_answer(poll: Poll, tiers: int, *, has_key: bool) -> None:
    if poll.votes.winner is None:
        raise ConsensusFailedError(
            f"no tier agreed, and none of {len(poll.samples.replies)} samples of tier {tiers - 1} gave an "
            "answer: every reply was empty or filtered"
            + (", or `key` found no answer in it" if has_key else "")
            + "; the replies are in metadata['responses'], and metadata['votes_by_tier'] has the votes"
        )


def _result(polls: list[Poll], doors: list[Run], cost: TokenUsage, narrator: Narrator) -> CascadeResult[Any]:
    last, tier = polls[-1], len(polls) - 1
    return CascadeResult(
        value=last.winning_text(),
        score=last.share(),
        cost=cost,
        tier=tier,
        escalated=tier > 0,
        agreement_ratio=last.share(),
        answer=last.votes.winner,
        votes_by_tier=tuple(poll.votes.ranking() for poll in polls),
        samples_by_tier=tuple(len(poll.samples.replies) for poll in polls),
        abstained=sum(poll.votes.abstained for poll in polls),
        truncated_responses=sum(poll.samples.truncated for poll in polls),
        callback_errors=narrator.errors,
        cost_by_tier=tuple(door.usage for door in doors[: len(polls)]),
    )
