"""`consensus` that stops when it is settled, and that survives failures."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Iterator, Sequence
from fractions import Fraction
from math import comb
from typing import Any

import pytest
from fakes import NO_WAIT, ONCE, HeldProvider, idle
from hypothesis import given
from hypothesis import strategies as st

from executionkit import (
    BudgetExhaustedError,
    ConsensusFailedError,
    ConsensusResult,
    Kit,
    MockProvider,
    PatternError,
    PermanentError,
    Provider,
    ProviderError,
    RetryConfig,
    TokenUsage,
    consensus,
    consensus_sync,
    pipe,
)
from executionkit.testing import Fault, LocalEndpoint, MockCall

NOTHING = ""
FAILS = "fails"


def replies(texts: Sequence[str]) -> list[Any]:
    return [ProviderError("503") if text == FAILS else text for text in texts]


def vote(texts: Sequence[str], **options: Any) -> ConsensusResult:
    """What a vote on these samples makes; any sample more than there are is an error."""
    provider = MockProvider(replies(texts), strict=True)
    return consensus_sync(provider, "q", num_samples=len(texts), retry=ONCE, **options)


def winner(texts: Sequence[str]) -> str | None:
    """The winner by the contract's rule, counted by hand."""
    counts = Counter(text for text in texts if text not in (NOTHING, FAILS))
    return max(counts, key=lambda text: counts[text]) if counts else None  # the first of several


def settled(texts: Sequence[str], left: int, confidence: float | None) -> bool:
    """Whether the vote is settled after `texts`, by what the rules are for."""
    if not left:
        return True
    counts = Counter(text for text in texts if text not in (NOTHING, FAILS))
    best, second = (*[number for _, number in counts.most_common(2)], 0, 0)[:2]
    if confidence is not None and best:
        n = best + second + 1
        if Fraction(sum(comb(n, k) for k in range(best + 1)), 2**n) >= Fraction(confidence):
            return True
    leader = winner(texts)
    return leader is not None and all(
        winner([*texts, *[other] * left]) == leader for other in {*counts, "new"}
    )


def stopping_point(texts: Sequence[str], confidence: float | None) -> int:
    """After how many samples a vote that asks for them one at a time stops."""
    return next(n for n in range(len(texts) + 1) if settled(texts[:n], len(texts) - n, confidence))


TEXTS = st.lists(st.sampled_from(["a", "a", "b", "c", NOTHING]), min_size=1, max_size=14)
CONCURRENCY = st.integers(1, 6)


# -- stop="decided" --------------------------------------------------------------------------------------


@given(TEXTS, CONCURRENCY)
def test_a_decided_vote_has_the_winner_of_the_full_vote(texts: list[str], max_concurrency: int) -> None:
    if winner(texts) is None:
        with pytest.raises(ConsensusFailedError, match=f"none of {len(texts)} samples"):
            vote(texts, stop="decided", max_concurrency=max_concurrency)
        return
    full = vote(texts, max_concurrency=max_concurrency)
    early = vote(texts, stop="decided", max_concurrency=max_concurrency)
    assert early.value == full.value == winner(texts)
    assert early.samples_used == stopping_point(texts, None)


@given(TEXTS, CONCURRENCY, st.sampled_from([0.6, 0.8, 0.9375, 0.95, 0.99]))
def test_no_sample_is_paid_for_beyond_the_one_that_settles_the_vote(
    texts: list[str], max_concurrency: int, confidence: float
) -> None:
    provider = MockProvider(texts, strict=True)
    try:
        result = consensus_sync(
            provider, "q", num_samples=len(texts), stop=confidence, max_concurrency=max_concurrency
        )
    except ConsensusFailedError:
        assert winner(texts) is None
        assert provider.call_count == len(texts)
        return
    needed = stopping_point(texts, confidence)
    assert provider.call_count == result.cost.llm_calls == result.samples_used == needed
    assert result.value == winner(texts[:needed])
    assert result.samples_saved == len(texts) - needed
    assert result.confidence >= confidence or settled(texts[:needed], len(texts) - needed, None)


@given(TEXTS, CONCURRENCY, st.sampled_from(["decided", 0.9]), st.randoms(use_true_random=False))
def test_the_outcome_does_not_depend_on_which_reply_comes_first(
    texts: list[str], max_concurrency: int, stop: Any, order: random.Random
) -> None:
    async def shuffled() -> ConsensusResult:
        provider = HeldProvider()
        voting = asyncio.create_task(
            consensus(provider, "q", num_samples=len(texts), stop=stop, max_concurrency=max_concurrency)
        )
        while not voting.done():
            await idle()
            if provider.waiting:
                request = order.choice(provider.waiting)
                request.answer(texts[provider.requests.index(request)])
        return await voting

    if winner(texts) is not None:
        assert asyncio.run(shuffled()) == vote(texts, stop=stop)


# -- windows ---------------------------------------------------------------------------------------------


async def windows(texts: Sequence[str], **options: Any) -> list[int]:
    """How many requests go out at once, time after time, when each window is answered as a whole."""
    provider = HeldProvider()
    voting = asyncio.create_task(consensus(provider, "q", num_samples=len(texts), **options))
    sizes: list[int] = []
    while not voting.done():
        await idle()
        sizes.append(len(provider.waiting))
        for request in list(provider.waiting):
            request.answer(texts[provider.requests.index(request)])
        await idle()
    assert len(provider.requests) == sum(sizes)
    return sizes


@pytest.mark.parametrize(
    ("texts", "options", "sizes"),
    [
        ("aaaaa", {}, [5]),
        ("aaaaa", {"stop": "decided"}, [3]),
        ("aabaa", {"stop": "decided"}, [3, 1]),
        ("ababa", {"stop": "decided"}, [3, 1, 1]),
        ("aaaaaaaaa", {"stop": "decided", "max_concurrency": 9}, [5]),
        ("abcabcabc", {"stop": "decided", "max_concurrency": 9}, [5, 2, 1, 1]),
        ("a" * 40, {"stop": 0.95, "max_concurrency": 40}, [4]),
        ("ab" + "a" * 38, {"stop": 0.95, "max_concurrency": 40}, [4, 3]),
        ("abb" + "a" * 37, {"stop": 0.95, "max_concurrency": 40}, [4, 6]),
        ("aaaaa", {"stop": 0.99}, [3]),
        ("aaaaa", {"strategy": "unanimous", "stop": "decided"}, [2, 1, 1, 1]),
        ("aaaaaaaa", {"strategy": "unanimous", "stop": 0.95}, [2, 1, 1]),
    ],
)
async def test_a_window_is_as_large_as_the_fewest_samples_that_could_settle_the_vote(
    texts: str, options: dict[str, Any], sizes: list[int]
) -> None:
    assert await windows(texts, **options) == sizes


async def test_a_window_larger_than_max_concurrency_goes_out_as_replies_make_room() -> None:
    provider = HeldProvider()
    voting = asyncio.create_task(consensus(provider, "q", num_samples=9, stop="decided", max_concurrency=2))
    await provider.arrived(2)
    await idle()
    assert len(provider.requests) == 2
    provider.waiting[0].answer("a")
    await provider.arrived(3)  # without waiting for the second
    while not voting.done():
        provider.waiting[0].answer("a")
        await idle()
    assert provider.most_waiting == 2
    assert len(provider.requests) == 5
    assert (await voting).samples_saved == 4


async def test_a_unanimous_vote_fails_at_the_first_dissent_and_saves_the_rest() -> None:
    provider = MockProvider(["a", "a", "b", "a", "a"])
    with pytest.raises(ConsensusFailedError, match="2 different answers in 3 samples") as caught:
        await consensus(provider, "q", strategy="unanimous", stop="decided")
    assert provider.call_count == caught.value.cost.llm_calls == 3
    assert caught.value.metadata["responses"] == ["a", "a", "b"]


async def test_a_unanimous_vote_is_unanimous_among_all_that_answered() -> None:
    result = await consensus(
        MockProvider(["a", NOTHING, "a"]), "q", num_samples=3, strategy="unanimous", stop="decided"
    )
    assert (result.value, result.samples_used, result.abstained) == ("a", 3, 1)


# -- what the result says --------------------------------------------------------------------------------


def test_the_result_tells_what_was_used_saved_and_how_clear_it_was() -> None:
    result = vote(["a", "b", "a", "", "a", "a", "b", "a", "a"], stop="decided")
    assert result.value == result.answer == "a"
    assert (result.samples_used, result.samples_saved, result.failed) == (6, 3, 0)
    assert result.votes == (("a", 4), ("b", 1))
    assert (result.margin, result.tie_count, result.unique_responses, result.abstained) == (3, 1, 2, 1)
    assert result.score == result.agreement_ratio == 4 / 6
    assert result.is_majority
    assert result.confidence == 57 / 64
    assert result.metadata["votes"] == (("a", 4), ("b", 1))


def test_a_plurality_is_no_majority_and_a_tie_has_no_margin() -> None:
    result = vote(["a", "b", "a", "c", "d"])
    assert (result.is_majority, result.margin, result.score) == (False, 1, 0.4)
    result = vote(["a", "b"])
    assert (result.is_majority, result.margin, result.confidence) == (False, 0, 0.5)
    # Half of the samples is not more than half of them, whoever abstained.
    assert not vote(["a", ""]).is_majority


@given(TEXTS, st.sampled_from(["all", "decided", 0.8]))
def test_the_figures_of_a_result_agree_with_each_other(texts: list[str], stop: Any) -> None:
    if winner(texts) is None:
        return
    result = vote(texts, stop=stop)
    counts = [count for _, count in result.votes]
    assert sum(counts) + result.abstained == result.samples_used
    assert result.samples_used + result.samples_saved + result.failed == len(texts)
    assert counts == sorted(counts, reverse=True)
    assert result.votes[0] == (result.answer, counts[0])
    assert result.tie_count == counts.count(counts[0])
    assert result.margin == counts[0] - (counts[1] if len(counts) > 1 else 0)
    assert result.unique_responses == len(counts)
    assert result.score == result.agreement_ratio == counts[0] / result.samples_used
    assert result.is_majority == (result.score > 0.5)
    assert 0.5 <= result.confidence < 1
    assert (result.confidence == 0.5) == (result.margin == 0)


# -- budgets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", ["all", "decided", 0.6])
async def test_a_budget_pays_for_all_samples_or_is_refused_for_nothing(stop: Any) -> None:
    provider = MockProvider(["a"])
    with pytest.raises(
        BudgetExhaustedError, match="5 calls are needed, but the budget has only 4 llm_calls left"
    ):
        await consensus(provider, "q", stop=stop, max_cost=TokenUsage(llm_calls=4))
    assert provider.call_count == 0
    result = await consensus(provider, "q", stop=stop, max_cost=TokenUsage(llm_calls=5))
    assert result.value == "a"


async def test_what_an_early_stop_saves_is_left_for_the_next_step() -> None:
    provider = MockProvider(["a"])
    result = await pipe(
        provider, "q", consensus, consensus, num_samples=5, stop="decided", max_budget=TokenUsage(llm_calls=8)
    )
    assert result.cost.llm_calls == provider.call_count == 6


@given(TEXTS, st.integers(0, 3), st.integers(0, 14), CONCURRENCY, st.sampled_from(["all", "decided", 0.8]))
def test_a_vote_keeps_to_its_budget_and_every_failure_carries_what_came_back(
    texts: list[str], failing: int, spare: int, max_concurrency: int, stop: Any
) -> None:
    script: list[Any] = list(texts)
    for _ in range(failing):
        script.insert(len(script) // 2, ProviderError("503"))
    provider = MockProvider(script, strict=True)
    ceiling = len(texts) + spare
    voting = consensus(
        provider,
        "q",
        num_samples=len(texts),
        stop=stop,
        max_concurrency=max_concurrency,
        retry=NO_WAIT,
        max_cost=TokenUsage(llm_calls=ceiling),
    )
    outcome = asyncio.run(outcome_of(voting))
    assert outcome.cost.llm_calls == provider.call_count <= ceiling
    if isinstance(outcome, PatternError):
        came_back = [entry for entry in script[: provider.call_count] if isinstance(entry, str)]
        assert sorted(outcome.metadata["responses"]) == sorted(came_back)


async def outcome_of(voting: Awaitable[ConsensusResult]) -> ConsensusResult | PatternError:
    try:
        return await voting
    except PatternError as error:
        return error


# -- min_samples -----------------------------------------------------------------------------------------


async def test_a_mistake_is_no_sample_that_may_be_missed() -> None:
    def model(call: MockCall) -> str:
        if provider.call_count == 2:
            raise ProviderError("502")
        if provider.call_count == 3:
            raise AttributeError("a typo")
        return "a"

    provider = MockProvider(model)
    with pytest.raises(AttributeError, match="a typo") as caught:
        await consensus(provider, "q", min_samples=1, max_concurrency=1, retry=ONCE)
    notes = "\n".join(caught.value.__notes__)
    assert "also failed: ProviderError: 502" in notes
    assert provider.call_count == 3


@pytest.mark.parametrize("status", [401, 402, 403, 404])
async def test_what_holds_for_every_sample_ends_the_asking(status: int) -> None:
    refused = PermanentError("no", status_code=status)
    provider = MockProvider(exception=refused)
    with pytest.raises(PermanentError):
        await consensus(provider, "q", num_samples=100, min_samples=2, max_concurrency=3, retry=ONCE)
    assert provider.call_count <= 3
    provider = MockProvider(["a", "b", "a", refused])
    result = await consensus(provider, "q", min_samples=3, max_concurrency=1, retry=ONCE)
    assert (result.value, result.failed, provider.call_count) == ("a", 2, 4)


async def test_what_retry_repeats_may_be_missed() -> None:
    provider = MockProvider(["a", ConnectionError("gone"), ConnectionError("gone"), "a"])
    retry = RetryConfig(max_retries=1, base_delay=0.0, retryable=(ConnectionError,))
    result = await consensus(provider, "q", num_samples=3, min_samples=2, max_concurrency=1, retry=retry)
    assert (result.value, result.failures) == ("a", ("ConnectionError: gone",))


async def test_a_vote_survives_as_many_failures_as_it_may_and_reports_them() -> None:
    provider = MockProvider(["a", PermanentError("400"), "b", ProviderError("503"), "a"])
    result = await consensus(provider, "q", min_samples=3, max_concurrency=1, retry=ONCE)
    assert (result.value, result.samples_used, result.failed, result.samples_saved) == ("a", 3, 2, 0)
    assert result.failures == ("PermanentError: 400", "ProviderError: 503")
    # A share of those that came back, not of those that were asked.
    assert result.score == result.agreement_ratio == 2 / 3
    assert result.is_majority
    assert result.cost == TokenUsage(llm_calls=5)


async def test_one_failure_too_many_ends_the_vote_with_what_came_back() -> None:
    provider = MockProvider(["a", PermanentError("first"), "b", ProviderError("second"), "a", "a"])
    with pytest.raises(PermanentError, match="first") as caught:
        await consensus(provider, "q", num_samples=6, min_samples=5, max_concurrency=1, retry=ONCE)
    assert caught.value.metadata["responses"] == ["a", "b"]
    assert caught.value.cost.llm_calls == provider.call_count == 4
    assert caught.value.__notes__ == ["also failed: ProviderError: second"]


async def test_a_failure_is_one_only_after_its_retries() -> None:
    provider = MockProvider(["a", ProviderError("503"), "b", "a"])
    result = await consensus(provider, "q", num_samples=3, min_samples=1, max_concurrency=1, retry=NO_WAIT)
    assert (result.failed, result.samples_used, result.cost.llm_calls) == (0, 3, 4)


async def test_by_default_every_sample_must_come_back() -> None:
    provider = MockProvider(["a", "a", ProviderError("503")])
    for min_samples in (None, 3):
        with pytest.raises(ProviderError):
            await consensus(
                provider, "q", num_samples=3, min_samples=min_samples, max_concurrency=1, retry=ONCE
            )


async def test_a_sample_that_the_budget_can_t_pay_for_any_more_is_one_that_failed() -> None:
    # The retry takes the call that the last sample needed.
    provider = MockProvider(["a", ProviderError("503"), "a", "b"])
    budget = TokenUsage(llm_calls=4)
    options: dict[str, Any] = {"num_samples": 4, "max_concurrency": 1, "retry": NO_WAIT, "max_cost": budget}
    result = await consensus(provider, "q", min_samples=3, **options)
    assert (result.value, result.samples_used, result.failed) == ("a", 3, 1)
    assert "the budget of llm_calls is used up" in result.failures[0]


async def test_nobody_coming_back_is_the_first_failure() -> None:
    provider = MockProvider(exception=ProviderError("503"))
    with pytest.raises(ProviderError) as caught:
        await consensus(provider, "q", num_samples=3, min_samples=1, retry=ONCE)
    assert caught.value.cost.llm_calls == 3
    assert caught.value.__notes__ == ["also failed (2 times): ProviderError: 503"]


async def test_in_flight_samples_are_awaited_when_one_failure_is_too_many() -> None:
    provider = HeldProvider()
    voting = asyncio.create_task(
        consensus(provider, "q", num_samples=9, min_samples=8, max_concurrency=3, retry=ONCE)
    )
    await provider.arrived(3)
    provider.requests[0].fail(ProviderError("one"))
    await provider.arrived(4)  # one may fail: the vote goes on
    provider.requests[3].fail(ProviderError("two"))
    await idle()
    assert not voting.done()
    provider.requests[1].answer("a")
    provider.requests[2].answer("b")
    with pytest.raises(ProviderError, match="one") as caught:
        await voting
    assert len(provider.requests) == 4
    assert caught.value.metadata["responses"] == ["a", "b"]


SAMPLES = st.lists(st.sampled_from(["a", "a", "b", "c", NOTHING, FAILS]), min_size=1, max_size=12)


@given(SAMPLES, st.integers(1, 12), CONCURRENCY, st.sampled_from(["all", "decided", 0.8]))
def test_failures_and_early_stops_together(
    texts: list[str], min_samples: int, max_concurrency: int, stop: Any
) -> None:
    min_samples = min(min_samples, len(texts))
    try:
        result = vote(texts, stop=stop, min_samples=min_samples, max_concurrency=max_concurrency)
    except ProviderError:
        assert texts.count(FAILS) > len(texts) - min_samples
        return
    except ConsensusFailedError:
        assert winner(texts) is None
        return
    used = result.samples_used + result.failed
    assert used == stopping_point(texts, None if stop == "decided" else 0.8) if stop != "all" else len(texts)
    assert result.failed == len(result.failures) == texts[:used].count(FAILS) <= len(texts) - min_samples
    assert result.value == winner(texts[:used])
    if stop != 0.8:
        assert result.value == winner(texts)


# -- the other doors -------------------------------------------------------------------------------------


async def test_kit_and_pipe_take_the_same_keywords() -> None:
    kit = Kit(MockProvider(["a", "b", "a", "a"]))
    result = await kit.consensus("q", num_samples=5, stop="decided", max_concurrency=2)
    assert (result.value, kit.usage.llm_calls) == ("a", 4)


async def test_over_http_under_faults_the_ledgers_agree() -> None:
    samples: Iterator[str | Fault] = iter(
        ["a", Fault.status(503), "b", Fault.status(400), "a", Fault.reset(), "a", "a"]
    )
    with LocalEndpoint(lambda _: next(samples)) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            result = await consensus(
                provider, "q", num_samples=7, min_samples=6, stop="decided", max_concurrency=1, retry=NO_WAIT
            )
        # a, b, one lost, a, a: the two samples left can't change that.
        assert (result.value, result.failed, result.samples_saved) == ("a", 1, 2)
        ledger = endpoint.ledger
    assert result.cost == TokenUsage(ledger.input_tokens, ledger.output_tokens, ledger.calls)
