"""`cascade`: when a tier agrees, what is asked and paid for, what a failure keeps."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from fakes import ONCE, HeldProvider, Scripted
from hypothesis import given
from hypothesis import strategies as st

from executionkit import (
    BudgetExhaustedError,
    CascadeResult,
    ConsensusFailedError,
    Kit,
    LLMProvider,
    LLMResponse,
    MockProvider,
    PatternEvent,
    PatternResult,
    PermanentError,
    Provider,
    Rates,
    SampleDone,
    Tier,
    TierDone,
    TokenUsage,
    answers,
    cascade,
    cascade_sync,
    pipe,
)
from executionkit.testing import LocalEndpoint

CHEAP, STRONG = Rates(input=1, output=1), Rates(input=20, output=20)
USED = TokenUsage(input_tokens=100, output_tokens=10)


def mock(*replies: str | LLMResponse | Exception, prices: Rates | None = None) -> MockProvider:
    return MockProvider(list(replies), usage=USED, prices=prices)


# -- when a tier has been asked enough -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_samples", "agreement", "votes"),
    [(1, 1.0, 1), (3, 2 / 3, 2), (3, 0.67, 3), (5, 0.6, 3), (10, 0.7, 7), (10, 0.3, 3), (4, 0.0, 1)],
)
def test_a_share_of_the_samples_is_so_many_votes(num_samples: int, agreement: float, votes: int) -> None:
    provider = MockProvider(["yes"])
    result = cascade_sync([Tier(provider, num_samples, agreement), Tier(mock("no"))], "q")
    assert (result.escalated, result.samples_by_tier, result.value) == (False, (votes,), "yes")


SHARES = st.sampled_from([0.4, 0.5, 2 / 3, 0.8, 1.0])
TIERS = st.lists(st.tuples(st.integers(1, 6), SHARES), min_size=1, max_size=3)
DELAYS = st.lists(st.integers(0, 9), min_size=1, max_size=5)


@given(TIERS, st.lists(st.sampled_from("aabc"), min_size=18, max_size=18), st.integers(1, 6), DELAYS)
def test_no_sample_is_asked_for_that_could_not_change_what_comes_next(
    shapes: list[tuple[int, float]], script: list[str], max_concurrency: int, delays: list[int]
) -> None:
    provider = Scripted(script, delays)
    result = cascade_sync(
        [Tier(provider, count, share) for count, share in shapes],
        "q",
        options={"seed": 0},
        max_concurrency=max_concurrency,
    )
    begin, expected = 0, list[int]()
    replies, asked, most, needed = script, 0, 0, 0.0
    for index, (count, share) in enumerate(shapes):
        replies = script[begin : begin + count]
        needed = -(-count * share // 1)
        asked = next(k for k in range(count + 1) if is_settled(replies, k, needed, index == len(shapes) - 1))
        begin += asked
        expected.append(asked)
        most = Counter(replies[:asked]).most_common(1)[0][1]
        if most >= needed:
            break
    assert result.samples_by_tier == tuple(expected)
    assert len(provider.asked) == result.cost.llm_calls == begin
    assert (result.tier, result.escalated) == (len(expected) - 1, len(expected) > 1)
    assert result.answer == first_of_the_most(replies[:asked])
    if most < needed:  # the vote of the last tier is the full one
        assert result.answer == first_of_the_most(replies)
    assert sum((cost for cost in result.cost_by_tier), TokenUsage()) == result.cost


def is_settled(replies: list[str], asked: int, needed: float, is_last: bool) -> bool:
    """Whether these replies decide, tried with every way in which the rest could vote."""
    counts, left = Counter(replies[:asked]), len(replies) - asked
    most = max(counts.values(), default=0)
    if most >= needed:
        return True
    if not is_last:
        return most + left < needed
    winner = first_of_the_most(replies[:asked])
    return all(first_of_the_most([*replies[:asked], *[other] * left]) == winner for other in "abcd")


def first_of_the_most(replies: Sequence[str]) -> str | None:
    return Counter(replies).most_common(1)[0][0] if replies else None


async def test_the_samples_of_a_window_are_in_flight_at_once() -> None:
    cheap, strong = HeldProvider(), HeldProvider()
    run = asyncio.create_task(cascade([Tier(cheap, 2), Tier(strong, 3)], "q"))
    await cheap.arrived(2)
    assert strong.requests == []
    for request, text in zip(cheap.requests, "ab", strict=True):
        request.answer(text)
    await strong.arrived(2)
    for request in strong.requests:
        request.answer("b")
    result = await run
    assert (result.value, result.samples_by_tier, len(strong.requests)) == ("b", (2, 2), 2)


async def test_a_sample_without_an_answer_agrees_with_nothing() -> None:
    result = await cascade([Tier(mock("7", "?"), 2), Tier(mock("7"))], "q", key=answers.number)
    assert (result.tier, result.abstained, result.samples_by_tier) == (1, 1, (2, 1))
    assert result.votes_by_tier == (((7, 1),), ((7, 1),))


# -- what is sent ----------------------------------------------------------------------------------------


async def test_each_tier_deals_the_phrasings_from_the_prompt_on() -> None:
    cheap, strong = mock("1", "2", "3"), mock("4")
    await cascade(
        [Tier(cheap, 3, 0.5), Tier(strong, 3)], "q", variants=("r", "{prompt} s"), max_concurrency=1
    )
    assert [call.messages[-1]["content"] for call in cheap.calls] == ["q", "r", "q s"]
    assert [call.messages[-1]["content"] for call in strong.calls] == ["q", "r"]


async def test_several_samples_are_drawn_and_a_single_one_is_not_unless_the_tier_says_so() -> None:
    tiers = [mock("a", "b"), mock("c", "d"), mock("e")]
    second = Tier(tiers[1], 2, temperature=0.5, max_tokens=7)
    await cascade([Tier(tiers[0], 2), second, Tier(tiers[2])], "q")
    sent = [{(call.temperature, call.max_tokens) for call in tier.calls} for tier in tiers]
    assert sent == [{(0.9, 4096)}, {(0.5, 7)}, {(0.0, 4096)}]


async def test_variants_for_which_no_tier_has_samples_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="^num_samples=2 is less than the prompt and its 2 variants"):
        await cascade([Tier(mock("a"), 2), Tier(mock("a"))], "q", variants=("r", "s"))


async def test_replies_that_were_cut_off_are_warned_of_where_a_key_reads_them() -> None:
    cut = LLMResponse("The answer", finish_reason="length")
    with pytest.warns(UserWarning, match=r"^cascade: tier 0: 2 of 2 replies were cut off by max_tokens=50"):
        result = await cascade([Tier(mock(cut), 2, max_tokens=50), Tier(mock("7"))], "q", key=answers.number)
    assert (result.answer, result.truncated_responses) == (7, 2)


# -- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tiers", [[], (), None, "cheap", 3, Tier(mock())])
async def test_tiers_are_a_list_of_tiers(tiers: Any) -> None:
    with pytest.raises(ValueError, match=r"^tiers must be a list of at least one Tier, got "):
        await cascade(tiers, "q")
    provider = mock("a")
    with pytest.raises(ValueError, match=r"^tiers\[1\] must be a Tier, got .*; write Tier\(provider\)$"):
        await cascade([Tier(provider), provider], "q")  # type: ignore[list-item]  # what is wrong is the point
    with pytest.raises(ValueError, match=r"^tiers must be a list"):
        await Kit(provider).cascade(tiers, "q")
    assert provider.call_count == 0


@pytest.mark.parametrize(
    "wrong",
    [
        *({"num_samples": value} for value in (0, 1.5, True, None)),
        *({"agreement": value} for value in (-0.1, 1.1, float("nan"), "all", None)),
        *({"temperature": value} for value in (-0.1, 2.1, "hot")),
        *({"max_tokens": value} for value in (0, None)),
    ],
)
def test_a_tier_checks_its_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be "):
        Tier(mock(), **wrong)
    with pytest.raises(TypeError, match="the provider needs an async `complete"):
        Tier("gpt-4")  # type: ignore[arg-type]  # what is wrong is the point


# -- one budget ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (TokenUsage(llm_calls=4), "3 calls are needed, but the budget has only 2 llm_calls left"),
        (TokenUsage(output_tokens=22), "3 replies are needed, but the budget has only 2 output_tokens left"),
        # A cheap reply costs 0.00011, a strong one at least 0.00002 and as much for each token of its prompt.
        (TokenUsage(usd="0.00025"), r"at least \$0.\d+ are needed, but the budget has only \$0.00003 left"),
    ],
)
async def test_a_tier_that_can_t_be_paid_for_is_not_begun_and_the_error_has_the_votes(
    budget: TokenUsage, said: str
) -> None:
    cheap, strong = mock("6", "7", prices=CHEAP), mock("7", prices=STRONG)
    tiers = [Tier(cheap, 2, max_tokens=10), Tier(strong, 3, max_tokens=10)]
    with pytest.raises(BudgetExhaustedError, match=said) as caught:
        await cascade(tiers, "q", max_cost=budget, max_concurrency=1)
    assert (cheap.call_count, strong.call_count) == (2, 0)
    assert caught.value.cost == TokenUsage(200, 20, 2, usd="0.00022")
    assert caught.value.metadata == {
        "responses": ["6", "7"],
        "votes_by_tier": [[["6", 1], ["7", 1]]],
        "cost_by_tier": [caught.value.cost.to_dict()],
    }
    assert caught.value.__notes__[0].startswith("tier 1 was not asked")


async def test_a_ceiling_in_dollars_needs_prices_for_every_tier_before_any_call() -> None:
    cheap = mock("a", prices=CHEAP)
    with pytest.raises(ValueError, match="needs prices"):
        await cascade([Tier(cheap, 2), Tier(mock("b"))], "q", max_cost=TokenUsage(usd=1))
    assert cheap.call_count == 0


async def test_each_tier_s_calls_have_its_own_price_and_are_in_its_own_ledger() -> None:
    with LocalEndpoint(["6", "7"]) as cheap_end, LocalEndpoint(["7"]) as strong_end:
        cheap = Provider(cheap_end.base_url, "small", prices=CHEAP)
        strong = Provider(strong_end.base_url, "large", prices=STRONG)
        async with cheap, strong:
            kit = Kit(strong)
            result = await kit.cascade([Tier(cheap, 2), Tier(strong)], "q")
        spent = [end.ledger.usage for end in (cheap_end, strong_end)]
    priced = [
        (usage.input_tokens + usage.output_tokens) * Decimal(each) / 1_000_000
        for usage, each in zip(spent, (1, 20), strict=True)
    ]
    assert [cost.usd for cost in result.cost_by_tier] == priced
    assert [cost.llm_calls for cost in result.cost_by_tier] == [2, 1] == [usage.llm_calls for usage in spent]
    assert result.cost == sum(result.cost_by_tier, TokenUsage()) == kit.usage


async def test_the_budgets_of_a_kit_and_of_a_pipe_hold_for_all_tiers() -> None:
    cheap, strong = mock("6", "7"), mock("7")
    kit = Kit(cheap, max_cost=TokenUsage(llm_calls=2))
    with pytest.raises(BudgetExhaustedError, match=r"^kit: "):
        await kit.cascade([Tier(cheap, 2), Tier(strong)], "q")
    assert (strong.call_count, kit.usage.llm_calls) == (0, 2)

    async def step(provider: LLMProvider, prompt: str) -> PatternResult[str]:
        return await cascade([Tier(provider, 2), Tier(strong)], prompt)

    with pytest.raises(BudgetExhaustedError, match=r"^pipe: ") as caught:
        await pipe(mock("6", "7"), "q", step, max_budget=TokenUsage(llm_calls=2))
    assert (strong.call_count, caught.value.cost.llm_calls) == (0, 2)
    result = await pipe(mock("6", "7"), "q", step, step, max_budget=TokenUsage(llm_calls=6))
    assert (result.cost.llm_calls, strong.call_count) == (6, 2)

    untracked = Kit(cheap, track_cost=False)
    await untracked.cascade([Tier(cheap), Tier(strong)], "q")
    assert untracked.usage == TokenUsage()


# -- what goes wrong -------------------------------------------------------------------------------------


async def test_a_tier_that_fails_is_an_error_and_no_disagreement() -> None:
    cheap, strong = mock("6", PermanentError("gone", status_code=410)), mock("7")
    with pytest.raises(PermanentError, match="gone") as caught:
        await cascade([Tier(cheap, 3), Tier(strong)], "q", max_concurrency=1, retry=ONCE)
    assert strong.call_count == 0
    assert caught.value.metadata["responses"] == ["6"]
    assert caught.value.metadata["votes_by_tier"] == [[["6", 1]]]  # of a window that broke off


async def test_without_an_answer_of_the_last_tier_the_votes_are_on_the_error() -> None:
    with pytest.raises(ConsensusFailedError, match="none of 1 samples of tier 1 gave an answer") as caught:
        await cascade([Tier(mock("6", "7"), 2), Tier(mock("?"))], "q", key=answers.number)
    assert caught.value.metadata["votes_by_tier"] == [[[6, 1], [7, 1]], []]
    assert caught.value.cost.llm_calls == 3


# -- what is told ----------------------------------------------------------------------------------------


async def test_the_samples_are_numbered_over_all_tiers_and_each_tier_has_an_end() -> None:
    events: list[PatternEvent] = []
    result: CascadeResult = await cascade(
        [Tier(mock("6", "7"), 2), Tier(mock("7"), 3)],
        "q",
        variants=("r",),
        max_concurrency=1,
        on_event=events.append,
    )
    told = [event for event in events if isinstance(event, SampleDone | TierDone)]
    assert told == [
        SampleDone(0, "6", 1, failed=False, variant=0),
        SampleDone(1, "7", 1, failed=False, variant=1),
        TierDone(0, "6", 1, 2, escalates=True),
        SampleDone(2, "7", 1, failed=False, variant=0),
        SampleDone(3, "7", 2, failed=False, variant=1),
        TierDone(1, "7", 2, 2, escalates=False),
    ]
    assert [event.cost.llm_calls for event in told] == [1, 2, 2, 3, 4, 4]
    assert result.cost.llm_calls == 4
