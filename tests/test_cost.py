"""CostTracker: what was spent, to the token, whatever a reply says about itself."""

import asyncio
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import MESSAGES

from executionkit import (
    BudgetExhaustedError,
    CostTracker,
    LLMResponse,
    MockProvider,
    TokenUsage,
    ToolCall,
    checked_complete,
)
from executionkit.cost import estimates_of, minus, remaining, tighter


def reply(input_tokens: Any = 3, output_tokens: Any = 4, text: str = "x") -> LLMResponse:
    return LLMResponse(text, usage={"prompt_tokens": input_tokens, "completion_tokens": output_tokens})


# -- totals ----------------------------------------------------------------------------------------------


def test_starts_at_nothing() -> None:
    tracker = CostTracker()
    assert tracker.to_usage() == TokenUsage()
    assert (tracker.call_count, tracker.total_tokens) == (0, 0)


def test_record_adds_tokens_and_one_call() -> None:
    tracker = CostTracker()
    tracker.record(reply(3, 4))
    tracker.record(reply(10, 20))
    assert tracker.to_usage() == TokenUsage(13, 24, 2)
    assert (tracker.call_count, tracker.total_tokens) == (2, 37)


def test_a_reserved_call_is_counted_and_its_reply_adds_tokens_only() -> None:
    tracker = CostTracker()
    tracker.reserve_call()
    assert tracker.to_usage() == TokenUsage(0, 0, 1)
    tracker.record_without_call(reply(3, 4))
    assert tracker.to_usage() == TokenUsage(3, 4, 1)


def test_a_reservation_can_be_given_back_but_no_call_that_never_was() -> None:
    tracker = CostTracker()
    tracker.reserve_call()
    tracker.reserve_call()
    tracker.release_call()
    assert tracker.call_count == 1
    tracker.release_call()
    tracker.release_call()
    assert tracker.call_count == 0
    tracker.reserve_call()
    assert tracker.call_count == 1


def test_usage_from_elsewhere_is_added() -> None:
    tracker = CostTracker()
    tracker.add_usage(TokenUsage(1, 2, 3))
    tracker.add_usage(TokenUsage(10, 20, 30))
    assert tracker.to_usage() == TokenUsage(11, 22, 33)


def test_spending_is_never_undone() -> None:
    tracker = CostTracker()
    tracker.add_usage(TokenUsage(5, 5, 5))
    tracker.add_usage(TokenUsage(-3, -3, -3))
    tracker.record(reply(-100, "-100"))
    assert tracker.to_usage() == TokenUsage(5, 5, 6)


def test_to_usage_is_a_snapshot() -> None:
    tracker = CostTracker()
    before = tracker.to_usage()
    tracker.record(reply())
    assert before == TokenUsage()


def test_repr_shows_the_totals_and_nothing_else() -> None:
    tracker = CostTracker()
    tracker.record(reply(3, 4))
    assert repr(tracker) == f"CostTracker({TokenUsage(3, 4, 1)})"


def test_a_tracker_shows_what_the_contract_names_and_no_more() -> None:
    shown = {name for name in dir(CostTracker()) if not name.startswith("_")}
    assert shown == {
        "add_usage",
        "call_count",
        "record",
        "record_without_call",
        "release_call",
        "reserve_call",
        "to_usage",
        "total_tokens",
    }


def test_a_tracker_can_be_copied_and_outlives_its_event_loop() -> None:
    tracker = CostTracker()
    for _ in range(2):
        asyncio.run(checked_complete(MockProvider(["x"]), MESSAGES, tracker, TokenUsage(99, 99, 9), None))
    copied = copy.deepcopy(tracker)
    asyncio.run(checked_complete(MockProvider(["x"]), MESSAGES, copied, TokenUsage(99, 99, 9), None))
    assert (tracker.call_count, copied.call_count) == (2, 3)


# -- replies without usage -------------------------------------------------------------------------------


def estimated(*responses: LLMResponse) -> tuple[int, int]:
    tracker = CostTracker()
    for response in responses:
        tracker.record(response)
    estimates = estimates_of(tracker)
    return estimates.input_tokens, estimates.output_tokens


def test_unknown_tokens_are_reported_as_none_and_estimated_for_budgets() -> None:
    tracker = CostTracker()
    tracker.record(LLMResponse("a" * 41, usage={}))
    assert tracker.to_usage() == TokenUsage(0, 0, 1)
    assert estimates_of(tracker).output_tokens == 11


def test_known_tokens_are_not_estimated_and_each_side_is_known_by_itself() -> None:
    assert estimated(reply(3, 4, text="a" * 400)) == (0, 0)
    assert estimated(LLMResponse("a" * 8, usage={"prompt_tokens": 3})) == (0, 2)


def test_an_estimate_that_came_with_the_reply_is_taken() -> None:
    guess = {"prompt_tokens": 30, "completion_tokens": 20, "estimated": True}
    assert estimated(LLMResponse("a" * 8, usage=guess)) == (30, 20)


def test_the_estimate_counts_everything_the_model_wrote() -> None:
    calls = [ToolCall("1", "add", {"a": "x" * 100})]
    other = LLMResponse("c" * 40)
    _, tokens = estimated(LLMResponse("a" * 40, calls, reasoning="b" * 40, alternatives=[other]))
    assert tokens >= (40 + 40 + 100 + 40) // 4


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("a" * 8, 2), ("é" * 8, 4), ("字" * 8, 6), ("🙂" * 8, 8), ("\ud800" * 8, 6)],
    ids=ascii,
)
def test_the_estimate_goes_by_bytes(text: str, tokens: int) -> None:
    assert estimated(LLMResponse(text)) == (0, tokens)


def test_the_estimate_takes_calls_however_odd() -> None:
    tracker = CostTracker()
    tracker.record(LLMResponse("", [ToolCall("1", None, None)]))  # type: ignore[arg-type]  # from a careless provider
    assert tracker.call_count == 1


async def test_a_budget_counts_the_estimate_of_a_reply_recorded_by_hand() -> None:
    tracker = CostTracker()
    tracker.record(LLMResponse("a" * 400))
    with pytest.raises(BudgetExhaustedError, match="spent 100 of 100, 100 of that assumed"):
        await checked_complete(MockProvider(), MESSAGES, tracker, TokenUsage(output_tokens=100), None)


# -- budgets ---------------------------------------------------------------------------------------------


def left_of(budget: TokenUsage, spent: TokenUsage) -> TokenUsage:
    tracker = CostTracker()
    tracker.add_usage(spent)
    return remaining(budget, tracker)


LIMITS = st.integers(-3, 12)
SPENT = st.integers(0, 15)


@given(LIMITS, SPENT)
def test_what_is_left_of_a_budget(limit: int, spent: int) -> None:
    left = left_of(TokenUsage(limit, limit, limit), TokenUsage(spent, spent, spent))
    assert left.input_tokens == left.output_tokens == left.llm_calls
    if limit == 0:
        assert left.llm_calls == 0
    elif spent < limit:
        assert left.llm_calls == limit - spent
    else:
        assert left.llm_calls < 0


def test_a_budget_spent_to_the_last_is_not_taken_for_unlimited() -> None:
    assert left_of(TokenUsage(10, 10, 1), TokenUsage(10, 11, 1)) == TokenUsage(-1, -1, -1)


def allows(budget: int, spending: int) -> bool:
    return budget == 0 or spending <= max(budget, 0)


@given(LIMITS, LIMITS, SPENT)
def test_the_tighter_of_two_budgets_allows_what_both_allow(a: int, b: int, spending: int) -> None:
    both = tighter(TokenUsage(a, a, a), TokenUsage(b, b, b))
    assert both.input_tokens == both.output_tokens == both.llm_calls
    assert allows(both.llm_calls, spending) == (allows(a, spending) and allows(b, spending))


@pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "llm_calls"])
def test_fields_of_a_budget_do_not_mix(name: str) -> None:
    assert tighter(TokenUsage(**{name: 3}), TokenUsage()) == TokenUsage(**{name: 3})
    assert left_of(TokenUsage(**{name: 3}), TokenUsage(**{name: 1})) == TokenUsage(**{name: 2})


def test_the_usage_between_two_readings() -> None:
    assert minus(TokenUsage(5, 7, 9), TokenUsage(1, 2, 3)) == TokenUsage(4, 5, 6)
