"""CostTracker: what was spent, to the token, whatever a reply says about itself."""

import asyncio
import copy
from typing import Any

import pytest
from fakes import idle
from hypothesis import given
from hypothesis import strategies as st

from executionkit import CostTracker, LLMResponse, TokenUsage, ToolCall
from executionkit.cost import remaining, tighter


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


# -- replies without usage -------------------------------------------------------------------------------


def test_unknown_tokens_are_reported_as_none_and_charged_by_an_estimate() -> None:
    tracker = CostTracker()
    tracker.record_without_call(LLMResponse("a" * 41, usage={}), prompt_bytes=80)
    assert tracker.to_usage() == TokenUsage()
    assert (tracker.assumed_input, tracker.assumed_output) == (20, 11)
    assert (tracker.charged_input, tracker.charged_output) == (20, 11)


def test_known_tokens_are_charged_as_told() -> None:
    tracker = CostTracker()
    tracker.record_without_call(reply(3, 4, text="a" * 400), prompt_bytes=80)
    assert (tracker.charged_input, tracker.charged_output) == (3, 4)
    assert (tracker.assumed_input, tracker.assumed_output) == (0, 0)


def test_each_side_is_unknown_by_itself() -> None:
    tracker = CostTracker()
    tracker.record_without_call(LLMResponse("a" * 8, usage={"prompt_tokens": 3}))
    assert (tracker.charged_input, tracker.charged_output) == (3, 2)
    assert tracker.to_usage() == TokenUsage(3, 0, 0)


def test_the_estimate_counts_everything_the_model_wrote() -> None:
    calls = [ToolCall("1", "add", {"a": "x" * 100})]
    tracker = CostTracker()
    tracker.record(LLMResponse("a" * 40, calls, reasoning="b" * 40))
    assert tracker.assumed_output >= (40 + 40 + 100) // 4


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("a" * 8, 2), ("é" * 8, 4), ("字" * 8, 6), ("🙂" * 8, 8), ("\ud800" * 8, 6)],
    ids=ascii,
)
def test_the_estimate_goes_by_bytes(text: str, tokens: int) -> None:
    tracker = CostTracker()
    tracker.record(LLMResponse(text))
    assert tracker.assumed_output == tokens


def test_the_estimate_takes_calls_however_odd() -> None:
    tracker = CostTracker()
    tracker.record(LLMResponse("", [ToolCall("1", None, None)]))  # type: ignore[arg-type]  # from a careless provider
    assert tracker.call_count == 1


def test_the_dearest_rate_seen_is_remembered() -> None:
    tracker = CostTracker()
    assert tracker.tokens_per_byte is None
    for tokens, size, rate in ((10, 100, 0.1), (50, 100, 0.5), (1, 100, 0.5)):
        tracker.record_without_call(reply(tokens), prompt_bytes=size)
        assert tracker.tokens_per_byte == rate


def test_a_prompt_that_was_not_measured_teaches_nothing() -> None:
    tracker = CostTracker()
    tracker.record(reply(1000))
    assert tracker.tokens_per_byte is None


# -- holding and waiting ---------------------------------------------------------------------------------


def wait_in_line(tracker: CostTracker, place: int | None = None) -> asyncio.Task[None]:
    return asyncio.create_task(tracker.settled(tracker.take_place() if place is None else place))


async def woken(*waiters: asyncio.Task[None]) -> list[bool]:
    await idle()
    return [waiter.done() for waiter in waiters]


async def test_settling_wakes_who_has_waited_longest_and_that_one_the_next() -> None:
    tracker = CostTracker()
    tracker.hold(5, 7)
    assert (tracker.held_input, tracker.held_output) == (5, 7)
    waiters = [wait_in_line(tracker) for _ in range(3)]
    assert await woken(*waiters) == [False, False, False]
    tracker.settle(5, 7)
    assert await woken(*waiters) == [True, False, False]
    tracker.wake_next()
    assert await woken(*waiters) == [True, True, False]
    tracker.settle(0, 0)
    assert await woken(*waiters) == [True, True, True]
    assert (tracker.held_input, tracker.held_output) == (0, 0)


async def test_who_had_not_room_enough_is_the_next_again() -> None:
    tracker = CostTracker()
    place = tracker.take_place()
    first, second = wait_in_line(tracker, place), wait_in_line(tracker)
    await idle()
    tracker.settle(0, 0)
    await first
    again = wait_in_line(tracker, place)
    await idle()
    tracker.settle(0, 0)
    assert await woken(again, second) == [True, False]
    tracker.settle(0, 0)
    await second


async def test_while_a_stream_is_being_read_all_are_woken() -> None:
    tracker = CostTracker()
    waiters = [wait_in_line(tracker) for _ in range(3)]
    await idle()
    tracker.begin_reading("somebody", 0, 0)
    tracker.settle(0, 0)
    assert await woken(*waiters) == [True, True, True]


async def test_one_who_gave_up_waiting_keeps_nobody_else_from_waking() -> None:
    tracker = CostTracker()
    gone, stays = (wait_in_line(tracker) for _ in range(2))
    await idle()
    gone.cancel()
    await asyncio.wait([gone])
    tracker.settle(0, 0)
    await stays
    assert gone.cancelled()


async def test_a_wake_up_is_for_those_who_wait_already() -> None:
    tracker = CostTracker()
    tracker.settle(0, 0)
    late = wait_in_line(tracker)
    assert await woken(late) == [False]
    tracker.settle(0, 0)
    await late


def test_a_tracker_outlives_its_event_loop() -> None:
    tracker = CostTracker()

    async def wait_in_vain() -> None:
        waiting = wait_in_line(tracker)
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])

    asyncio.run(wait_in_vain())
    tracker.settle(0, 0)
    assert copy.copy(tracker).to_usage() == tracker.to_usage()


# -- budgets ---------------------------------------------------------------------------------------------

LIMITS = st.integers(-3, 12)
SPENT = st.integers(0, 15)


@given(LIMITS, SPENT)
def test_what_is_left_of_a_budget(limit: int, spent: int) -> None:
    left = remaining(TokenUsage(limit, limit, limit), TokenUsage(spent, spent, spent))
    assert left.input_tokens == left.output_tokens == left.llm_calls
    if limit == 0:
        assert left.llm_calls == 0
    elif spent < limit:
        assert left.llm_calls == limit - spent
    else:
        assert left.llm_calls < 0


def test_a_budget_spent_to_the_last_is_not_taken_for_unlimited() -> None:
    assert remaining(TokenUsage(10, 10, 1), TokenUsage(10, 11, 1)) == TokenUsage(-1, -1, -1)


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
    assert remaining(TokenUsage(**{name: 3}), TokenUsage(**{name: 1})) == TokenUsage(**{name: 2})


def test_nothing_is_learnt_from_an_assumption() -> None:
    tracker = CostTracker()
    tracker.record_without_call(LLMResponse("x"), prompt_bytes=40)
    assert (tracker.assumed_input, tracker.tokens_per_byte) == (10, 1.0)
    tracker.record_without_call(LLMResponse("x", usage={"prompt_tokens": 10}), prompt_bytes=40)
    assert tracker.tokens_per_byte == 1.0
