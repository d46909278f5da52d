"""Budgets: which calls go, which wait, which are refused, in whatever order they come and end."""

import asyncio
import math
import pickle
from typing import Any, Literal

import pytest
from fakes import NO_WAIT, ONCE, HeldProvider, idle
from runs import HOLD, MESSAGES, Ledgered, Pauses, calls, ended, holds_nothing, output, prompts, start, used

from executionkit import (
    BudgetExhaustedError,
    CostTracker,
    LLMResponse,
    MockProvider,
    ProviderError,
    TokenUsage,
    consensus,
)
from executionkit.engine.budget import Meters
from executionkit.engine.request import Request
from executionkit.engine.room import Hold, Room
from executionkit.engine.run import Run

# -- a budget of calls -----------------------------------------------------------------------------------


async def test_a_budget_of_calls_pays_for_exactly_as_many() -> None:
    provider = MockProvider(["x"])
    run = Run("consensus", provider, max_cost=calls(2))
    await run.complete(MESSAGES)
    assert run.left == calls(1)
    await run.complete(MESSAGES)
    assert run.left == calls(-1)
    with pytest.raises(BudgetExhaustedError) as caught:
        await run.complete(MESSAGES)
    assert str(caught.value) == (
        "consensus: the budget of llm_calls is used up: spent 2 of 2; allow more llm_calls or ask for less"
    )
    assert provider.call_count == 2


async def test_a_field_of_zero_is_no_limit() -> None:
    run = Run("r", MockProvider(["x"], usage=TokenUsage(10**6, 10**6)), max_cost=TokenUsage())
    for _ in range(10):
        await run.complete(MESSAGES)
    assert run.left == TokenUsage()


@pytest.mark.parametrize("field", ["llm_calls", "output_tokens", "input_tokens"])
async def test_a_negative_field_has_nothing_left(field: str) -> None:
    provider = MockProvider(["x"])
    run = Run("r", provider, max_cost=TokenUsage(**{field: -1}))
    with pytest.raises(
        BudgetExhaustedError, match=f"{field} is used up: nothing was left of it to begin with"
    ):
        await run.complete(MESSAGES)
    with pytest.raises(BudgetExhaustedError, match=f"the budget of {field}"):
        run.require(1)
    assert (provider.call_count, run.usage) == (0, TokenUsage())


async def test_a_budget_of_one_call_is_told_from_one_of_none() -> None:
    run = Run("r", MockProvider(), max_cost=calls(1))
    await run.complete(MESSAGES)
    with pytest.raises(BudgetExhaustedError, match="spent 1 of 1"):
        await run.complete(MESSAGES)


async def test_calls_beside_others_are_held_for_as_much_as_a_reply_was_beyond_its_max_tokens() -> None:
    provider = HeldProvider()
    voting = asyncio.create_task(
        consensus(
            provider, "q", num_samples=9, max_concurrency=3, max_tokens=100, max_cost=output(4000), retry=ONCE
        )
    )
    in_flight: list[int] = []
    for number in range(4):
        await provider.arrived(number + 1)
        await idle()
        in_flight.append(len(provider.waiting))
        provider.waiting[0].answer(usage={"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 1020})
    with pytest.raises(BudgetExhaustedError) as caught:
        await voting
    # The fourth waits until 1000 tokens fit beside what is in flight.
    assert in_flight == [3, 3, 2, 1]
    assert caught.value.cost == TokenUsage(80, 4000, 4)


async def test_without_any_budget_nothing_is_held_or_measured() -> None:
    provider = MockProvider(["x"], usage=TokenUsage(5, 5))
    run = Ledgered("r", provider)
    await run.complete(MESSAGES, max_tokens=7, n=3)
    assert holds_nothing(run)
    assert run.room.tokens_per_byte is None
    assert [call.max_tokens for call in provider.calls] == [7]


async def test_calls_at_once_share_a_budget_of_calls() -> None:
    provider = HeldProvider()
    run = Run("r", provider, max_cost=calls(5))
    tasks = [start(run) for _ in range(20)]
    await idle()
    assert len(provider.requests) == 5
    refused = [task for task in tasks if task.done()]
    assert len(refused) == 15
    assert {type(task.exception()) for task in refused} == {BudgetExhaustedError}
    for request in list(provider.waiting):
        request.answer()
    await asyncio.gather(*(task for task in tasks if task not in refused))
    assert run.usage == calls(5)


async def test_retries_come_out_of_the_same_budget_and_say_what_they_failed_of() -> None:
    provider = MockProvider(exception=ProviderError("down"))
    run = Run("r", provider, max_cost=calls(3), retry=NO_WAIT)
    with pytest.raises(BudgetExhaustedError, match="spent 3 of 3") as caught:
        async with run:
            await run.complete(MESSAGES)
    assert provider.call_count == 3
    assert isinstance(caught.value.__cause__, ProviderError)
    assert caught.value.cost == calls(3)


@pytest.mark.parametrize(
    ("outer", "inner", "name"), [(2, 9, "outer"), (9, 2, "inner"), (2, 0, "outer"), (2, 2, "outer")]
)
async def test_the_smaller_ceiling_of_the_runs_around_holds(outer: int, inner: int, name: str) -> None:
    provider = MockProvider(["x"])
    run = Run("inner", Run("middle", Run("outer", provider, max_cost=calls(outer))), max_cost=calls(inner))
    await run.complete(MESSAGES)
    await run.complete(MESSAGES)
    with pytest.raises(BudgetExhaustedError, match=f"^{name}: "):
        await run.complete(MESSAGES)
    assert provider.call_count == 2


async def test_a_call_that_was_never_sent_can_be_made_again() -> None:
    provider = MockProvider([ProviderError("no route", dispatched=False)] * 3 + ["x"])
    run = Run("r", provider, max_cost=calls(1), retry=NO_WAIT)
    assert (await run.complete(MESSAGES)).content == "x"
    assert run.usage == calls(1)


async def test_a_refused_call_leaves_no_trace_in_any_level() -> None:
    top = Ledgered("top", MockProvider(), max_cost=TokenUsage(1000, 1000, 1000))
    run = Ledgered("r", top, max_cost=calls(-1))
    with pytest.raises(BudgetExhaustedError):
        await run.complete(MESSAGES)
    assert top.usage == run.usage == TokenUsage()
    assert holds_nothing(top, run)


# -- a budget of output tokens ---------------------------------------------------------------------------


async def test_max_tokens_is_lowered_to_what_is_left() -> None:
    provider = MockProvider(["x"], usage=used(40))
    run = Run("r", provider, max_cost=output(100))
    for _ in range(3):
        await run.complete(MESSAGES, max_tokens=60)
    assert [call.max_tokens for call in provider.calls] == [60, 60, 20]
    with pytest.raises(BudgetExhaustedError, match="output_tokens is used up: spent 120 of 100"):
        await run.complete(MESSAGES, max_tokens=60)


class Small(MockProvider):
    default_max_tokens = 50


class Silly(MockProvider):
    default_max_tokens = "many"


@pytest.mark.parametrize(("provider", "sent"), [(Small(), 50), (MockProvider(), 4096), (Silly(), 4096)])
async def test_a_call_that_names_no_max_tokens_may_cost_the_providers_default(
    provider: MockProvider, sent: int
) -> None:
    await Run("r", provider, max_cost=output(10_000)).complete(MESSAGES)
    assert [call.max_tokens for call in provider.calls] == [sent]


async def test_without_a_budget_of_tokens_max_tokens_is_left_to_the_provider() -> None:
    provider = Small()
    await Run("r", provider, max_cost=calls(5)).complete(MESSAGES)
    assert [call.max_tokens for call in provider.calls] == [None]


async def test_calls_go_together_while_their_worst_case_fits() -> None:
    provider = HeldProvider()
    run = Ledgered("r", provider, max_cost=output(100))
    tasks = [start(run, 40) for _ in range(4)]
    await idle()
    assert [request.max_tokens for request in provider.waiting] == [40, 40]
    provider.waiting[0].answer(usage=used(10))
    await idle()
    assert [request.max_tokens for request in provider.waiting] == [40, 40]
    provider.waiting[0].answer(usage=used(10))
    await idle()
    assert [request.max_tokens for request in provider.waiting] == [40, 40]
    for request in list(provider.waiting):
        request.answer(usage=used(40))
    await asyncio.gather(*tasks)
    assert run.usage == TokenUsage(0, 100, 4)
    assert holds_nothing(run)


async def test_a_call_that_does_not_fit_waits_for_all_the_rest_before_it_asks_for_less() -> None:
    provider = HeldProvider()
    run = Run("r", provider, max_cost=output(100))
    first, second = start(run, 60), start(run, 60)
    await idle()
    assert len(provider.requests) == 1
    provider.waiting[0].answer(usage=used(50))
    await provider.arrived(2)
    assert provider.waiting[0].max_tokens == 50
    provider.waiting[0].answer(usage=used(50))
    await asyncio.gather(first, second)


async def test_a_waiting_call_is_refused_when_the_ones_in_flight_spend_everything() -> None:
    provider = HeldProvider()
    run = Run("r", provider, max_cost=output(100))
    first, second, third = start(run, 100), start(run, 100), start(run, 1)
    await idle()
    provider.waiting[0].answer(usage=used(100))
    assert await ended(first) is None
    for task in (second, third):
        assert isinstance(await ended(task), BudgetExhaustedError)
    assert len(provider.requests) == 1


async def test_a_call_waits_behind_one_level_only_for_what_that_level_holds() -> None:
    provider = HeldProvider()
    top = Ledgered("top", provider, max_cost=output(100))
    one, two = Ledgered("one", top), Ledgered("two", top, max_cost=output(80))
    first, second = start(one, 100), start(two, 80)
    await idle()
    assert len(provider.requests) == 1
    provider.waiting[0].answer(usage=used(70))
    await provider.arrived(2)
    assert provider.waiting[0].max_tokens == 30
    provider.waiting[0].answer(usage=used(30))
    await asyncio.gather(first, second)
    assert (one.usage, two.usage, top.usage) == (
        TokenUsage(0, 70, 1),
        TokenUsage(0, 30, 1),
        TokenUsage(0, 100, 2),
    )
    assert holds_nothing(one, two, top)


async def test_a_call_that_waits_in_two_levels_one_after_the_other_gets_through() -> None:
    provider = HeldProvider()
    top = Ledgered("top", provider, max_cost=output(100))
    child = Ledgered("child", top, max_cost=output(50))
    tasks = [start(child, 50), start(top, 50)]
    await idle()
    tasks.append(start(child, 20))
    await idle()
    assert len(provider.requests) == 2
    provider.waiting[0].answer(usage=used(20))
    await provider.arrived(3)
    assert provider.waiting[1].max_tokens == 20
    for request in list(provider.waiting):
        request.answer(usage=used(5))
    await asyncio.gather(*tasks)
    assert holds_nothing(child, top)


@pytest.mark.parametrize("ending", ["fails", "is cancelled", "answers nonsense"])
async def test_whatever_way_a_call_ends_it_gives_back_what_it_held(ending: str) -> None:
    provider = HeldProvider()
    top = Ledgered("top", provider, max_cost=output(100))
    run = Ledgered("r", top, max_cost=output(100), retry=ONCE)
    first, second = start(run, 100), start(run, 100)
    await idle()
    if ending == "fails":
        provider.waiting[0].fail(ProviderError("down"))
    elif ending == "is cancelled":
        first.cancel()
    else:
        provider.waiting[0].reply.set_result("text")  # type: ignore[arg-type]  # what is refused
    await provider.arrived(2)
    assert provider.waiting[0].max_tokens == 100
    provider.waiting[0].answer(usage=used(1))
    await second
    assert await ended(first) is not None
    assert run.usage == TokenUsage(0, 1, 2)
    assert holds_nothing(run, top)


async def test_a_call_between_attempts_holds_nothing_and_gets_in_line_again() -> None:
    pauses, provider = Pauses(), HeldProvider()
    run = Run("r", provider, max_cost=output(100), retry=pauses.retry)
    first, second = start(run, 100), start(run, 100)
    await idle()
    provider.waiting[0].fail(ProviderError("down"))
    await provider.arrived(2)
    pauses.waiting[0].set()
    await idle()
    assert len(provider.requests) == 2
    provider.waiting[0].answer(usage=used(30))
    await second
    await provider.arrived(3)
    assert provider.waiting[0].max_tokens == 70
    provider.waiting[0].answer(usage=used(70))
    await first
    assert run.usage == TokenUsage(0, 100, 3)


async def test_a_waiting_call_that_is_cancelled_was_never_made() -> None:
    provider = HeldProvider()
    run = Ledgered("r", provider, max_cost=output(100))
    first, second, third = (start(run, 100) for _ in range(3))
    await idle()
    second.cancel()
    assert isinstance(await ended(second), asyncio.CancelledError)
    provider.waiting[0].answer(usage=used(10))
    await provider.arrived(2)
    provider.waiting[0].answer(usage=used(10))
    await asyncio.gather(first, third)
    assert run.usage == TokenUsage(0, 20, 2)
    assert holds_nothing(run)


async def test_a_call_woken_and_cancelled_in_one_breath_keeps_nobody_waiting() -> None:
    provider = MockProvider(["x"])
    run = Ledgered("r", provider, max_cost=output(100))
    run.room.hold(HOLD)
    first, second = start(run, 100), start(run, 100)
    await idle()
    run.room.settle(HOLD)
    first.cancel()
    assert (await second).content == "x"
    assert isinstance(await ended(first), asyncio.CancelledError)
    assert provider.call_count == 1
    assert holds_nothing(run)


async def test_waiting_calls_go_in_the_order_they_came() -> None:
    provider = HeldProvider()
    run = Run("r", provider, max_cost=output(100))
    tasks = [start(run, 100, str(number)) for number in range(4)]
    for number in range(4):
        await provider.arrived(number + 1)
        provider.waiting[0].answer(usage=used(10))
    await asyncio.gather(*tasks)
    assert [request.prompt for request in provider.requests] == ["0", "1", "2", "3"]


async def test_the_end_of_a_call_makes_no_more_than_two_of_those_that_wait_check_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checks: list[Request] = []
    try_hold = Meters.try_hold

    def counted(meters: Meters, request: Request) -> Hold | Room:
        checks.append(request)
        return try_hold(meters, request)

    monkeypatch.setattr(Meters, "try_hold", counted)
    provider = HeldProvider()
    run = Run("r", provider, max_cost=output(100))
    tasks = [start(run, 100) for _ in range(100)]
    for number in range(100):
        await provider.arrived(number + 1)
        provider.waiting[0].answer(usage=used(0))
    await asyncio.gather(*tasks)
    assert len(checks) <= 100 + 2 * 100


async def test_of_those_that_wait_none_goes_before_one_that_came_earlier() -> None:
    provider = HeldProvider()
    run = Run("r", provider, max_cost=output(100))
    tasks = [start(run, most, str(most)) for most in (40, 60, 80, 10)]
    await idle()
    assert [request.prompt for request in provider.requests] == ["40", "60"]
    provider.waiting[0].answer(usage=used(20))
    await idle()
    assert [request.prompt for request in provider.requests] == ["40", "60"]
    provider.waiting[0].answer(usage=used(0))
    await idle()
    assert [(request.prompt, request.max_tokens) for request in provider.waiting] == [("80", 80)]
    provider.waiting[0].answer(usage=used(75))
    await idle()
    assert [(request.prompt, request.max_tokens) for request in provider.waiting] == [("10", 5)]
    provider.waiting[0].answer(usage=used(0))
    await asyncio.gather(*tasks)


async def test_whoever_goes_on_to_wait_in_another_line_lets_the_next_one_look() -> None:
    provider = HeldProvider()
    top = Ledgered("top", provider, max_cost=output(100))
    child = Ledgered("child", top, max_cost=output(50))
    tasks = [start(child, 50), start(top, 50), start(child, 20), start(top, 30)]
    await idle()
    assert [request.max_tokens for request in provider.waiting] == [50, 50]
    provider.waiting[1].answer(usage=used(0))
    await idle()
    assert [request.max_tokens for request in provider.waiting] == [50, 30]
    for _ in range(3):
        provider.waiting[0].answer(usage=used(0))
        await idle()
    await asyncio.gather(*tasks)
    assert holds_nothing(child, top)


@pytest.mark.parametrize(
    ("leaves", "sent", "endings"),
    [
        ("goes", [50, 30], [type(None), type(None)]),
        ("is cancelled", [30], [asyncio.CancelledError, type(None)]),
        ("is refused", [], [BudgetExhaustedError, BudgetExhaustedError]),
    ],
)
async def test_whoever_leaves_the_line_lets_the_next_one_look(
    leaves: str, sent: list[int], endings: list[type]
) -> None:
    provider = HeldProvider()
    run = Ledgered("r", provider, max_cost=TokenUsage(0, 100, 3 if leaves == "is refused" else 9))
    first, second, third = (start(run, most) for most in (100, 50, 30))
    await idle()
    provider.waiting[0].answer(usage=used(0))
    if leaves == "is cancelled":
        run.room.wake_next()
        second.cancel()
    elif leaves == "is refused":
        run.charge(calls(2))
    await idle()
    assert [request.max_tokens for request in provider.waiting] == sent
    for request in list(provider.waiting):
        request.answer(usage=used(0))
    await first
    assert [type(await ended(task)) for task in (second, third)] == endings
    assert holds_nothing(run)


async def test_a_server_that_ignores_max_tokens_is_not_called_again() -> None:
    provider = MockProvider(["x"], usage=used(500))
    run = Run("r", provider, max_cost=output(100))
    await run.complete(MESSAGES)
    with pytest.raises(BudgetExhaustedError, match="spent 500 of 100"):
        await run.complete(MESSAGES)
    assert run.usage == TokenUsage(0, 500, 1)


async def test_tokens_of_a_failed_attempt_are_unknown_and_count_as_none() -> None:
    provider = MockProvider([ProviderError("down"), "x"], usage=used(10))
    run = Run("r", provider, max_cost=output(100), retry=NO_WAIT)
    await run.complete(MESSAGES, max_tokens=100)
    assert [call.max_tokens for call in provider.calls] == [100, 100]
    assert run.left == output(90)


@pytest.mark.parametrize("usage", [{}, used(None), used("many"), used(-5), used(math.nan)], ids=repr)
async def test_replies_without_usage_are_charged_by_their_length(usage: dict[str, Any]) -> None:
    provider = MockProvider([LLMResponse("x" * 200, usage=usage)])
    run = Run("r", provider, max_cost=output(100))
    await run.complete(MESSAGES)
    assert run.left == output(50)
    assert run.usage.output_tokens == 0
    await run.complete(MESSAGES)
    with pytest.raises(BudgetExhaustedError) as caught:
        await run.complete(MESSAGES)
    assert "spent 100 of 100, 100 of that assumed for replies without usage" in str(caught.value)


async def test_several_choices_cost_as_many_replies() -> None:
    provider = HeldProvider()
    run = Run("r", provider, max_cost=output(100))
    first, second = start(run, 30, n=3), start(run, 20)
    await idle()
    assert [request.max_tokens for request in provider.waiting] == [30]
    provider.waiting[0].answer(usage=used(90))
    await first
    await idle()
    assert [request.max_tokens for request in provider.waiting] == [10]
    provider.waiting[0].answer(usage=used(0))
    await second


async def test_what_is_left_is_shared_between_the_choices() -> None:
    provider = MockProvider(["x"], usage=used(98))
    run = Run("r", provider, max_cost=output(100))
    await run.complete(MESSAGES, max_tokens=60, n=3)
    assert [(call.max_tokens, call.kwargs) for call in provider.calls] == [(33, {"n": 3})]
    with pytest.raises(
        BudgetExhaustedError, match="3 choices are needed, but the budget has only 2 output_tokens left"
    ):
        await run.complete(MESSAGES, max_tokens=60, n=3)
    assert provider.call_count == 1


@pytest.mark.parametrize("n", [None, 0, 1, -2, "3", True], ids=repr)
async def test_an_odd_number_of_choices_is_one(n: Any) -> None:
    provider = MockProvider(["x"])
    await Run("r", provider, max_cost=output(100)).complete(MESSAGES, max_tokens=60, n=n)
    assert [call.max_tokens for call in provider.calls] == [60]


# -- a budget of input tokens ----------------------------------------------------------------------------


async def test_the_first_prompt_goes_alone_and_teaches_what_the_others_may_cost() -> None:
    provider = HeldProvider()
    run = Ledgered("r", provider, max_cost=prompts(1000))
    tasks = [start(run) for _ in range(5)]
    await idle()
    assert len(provider.requests) == 1
    provider.waiting[0].answer(usage=used(1, 300))
    await idle()
    assert len(provider.waiting) == 2
    for request in list(provider.waiting):
        request.answer(usage=used(1, 300))
    await idle()
    assert len(provider.waiting) == 1
    provider.waiting[0].answer(usage=used(1, 300))
    outcomes = [await ended(task) for task in tasks]
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 4 + [BudgetExhaustedError]
    assert run.usage == TokenUsage(1200, 4, 4)
    assert holds_nothing(run)


@pytest.mark.parametrize("budget", [1, 299, 300, 301, 900, 1000, 2999])
@pytest.mark.parametrize("at_once", [1, 4, 20])
async def test_at_most_the_last_prompt_is_over(budget: int, at_once: int) -> None:
    provider = MockProvider(["x"], usage=used(1, 300))
    run = Run("r", provider, max_cost=prompts(budget))
    gate = asyncio.Semaphore(at_once)

    async def call() -> None:
        async with gate:
            await run.complete(MESSAGES)

    outcomes = [
        await ended(asyncio.ensure_future(task)) for task in [asyncio.create_task(call()) for _ in range(20)]
    ]
    assert {type(outcome) for outcome in outcomes} <= {type(None), BudgetExhaustedError}
    assert budget <= run.usage.input_tokens < budget + 300
    assert run.usage.llm_calls == provider.call_count


async def test_nothing_is_refused_on_an_estimate() -> None:
    provider = MockProvider(["x"], usage=used(1, 900))
    run = Run("r", provider, max_cost=prompts(1000))
    await run.complete(MESSAGES)
    await run.complete([{"role": "user", "content": "long" * 10_000}])
    with pytest.raises(BudgetExhaustedError, match="input_tokens is used up: spent 1,800 of 1,000"):
        await run.complete(MESSAGES)


async def test_the_error_of_an_overrun_tells_of_the_calls_that_were_still_in_flight_too() -> None:
    provider = HeldProvider()
    run = asyncio.create_task(
        consensus(provider, "q", num_samples=9, max_concurrency=4, max_cost=prompts(50), retry=ONCE)
    )
    await provider.arrived(1)
    provider.waiting[0].answer(usage=used(5, 1))
    await provider.arrived(5)
    for _ in range(4):
        provider.waiting[0].answer(usage=used(5, 40))
        await idle()
    caught = await ended(run)
    assert isinstance(caught, BudgetExhaustedError)
    assert str(caught).startswith("consensus: the budget of input_tokens is used up: spent 161 of 50;")
    assert caught.cost == TokenUsage(161, 25, 5)
    assert str(pickle.loads(pickle.dumps(caught))) == str(caught)


async def test_a_first_call_that_fails_teaches_nothing_so_the_next_goes_alone_too() -> None:
    provider = HeldProvider()
    run = Run("r", provider, max_cost=prompts(1000), retry=ONCE)
    tasks = [start(run) for _ in range(3)]
    await idle()
    provider.waiting[0].fail(ProviderError("down"))
    await idle()
    assert len(provider.waiting) == 1
    provider.waiting[0].answer(usage=used(1, 10))
    await idle()
    provider.waiting[0].answer(usage=used(1, 10))
    assert isinstance(await ended(tasks[0]), ProviderError)
    await asyncio.gather(*tasks[1:])


async def test_what_a_run_around_has_learnt_need_not_be_learnt_again() -> None:
    provider = HeldProvider()
    top = Run("top", provider, max_cost=prompts(1000))
    first = start(top)
    await provider.arrived(1)
    provider.waiting[0].answer(usage=used(1, 10))
    await first
    run = Run("r", top, max_cost=prompts(500))
    tasks = [start(run) for _ in range(3)]
    await idle()
    assert len(provider.waiting) == 3
    for request in list(provider.waiting):
        request.answer(usage=used(1, 10))
    await asyncio.gather(*tasks)


async def test_a_prompt_is_measured_in_bytes_so_that_scripts_weigh_alike() -> None:
    provider = HeldProvider()
    run = Run("r", provider, max_cost=prompts(1000))
    first = start(run, text="word " * 200)
    await provider.arrived(1)
    provider.waiting[0].answer(usage=used(1, 250))
    await first
    two = [start(run, text="字" * 600) for _ in range(2)]
    await idle()
    assert len(provider.waiting) == 1
    for number in (2, 3):
        await provider.arrived(number)
        provider.waiting[0].answer(usage=used(1, 300))
    await asyncio.gather(*two)


@pytest.mark.parametrize(
    ("usages", "at_once"),
    [
        ([used(1, 20)], 2),
        ([used(1, 300), used(1, 20)], 1),  # the dearest rate counts
        ([{}], 1),  # no rate is known, so the prompt is taken to be as dense as text can be
    ],
    ids=["cheap", "dear before", "unknown"],
)
async def test_prompts_are_reserved_by_the_dearest_rate_seen(
    usages: list[dict[str, Any]], at_once: int
) -> None:
    provider = HeldProvider()
    run = Run("r", provider, max_cost=prompts(1000))
    for number, usage in enumerate(usages):
        first = start(run, text="x" * 200)
        await provider.arrived(number + 1)
        provider.waiting[0].answer(usage=usage)
        await first
    two = [start(run, text="x" * 450) for _ in range(2)]
    await idle()
    assert len(provider.waiting) == at_once
    while provider.waiting:
        provider.waiting[0].answer(usage=used(1, 1))
        await idle()
    await asyncio.gather(*two)


async def test_a_level_that_is_not_limited_by_prompts_measures_none() -> None:
    top = Ledgered("top", MockProvider(["x"], usage=TokenUsage(5, 5)), max_cost=calls(9))
    await Run("r", top, max_cost=output(100)).complete(MESSAGES)
    assert top.room.tokens_per_byte is None
    assert holds_nothing(top)


async def test_tools_are_part_of_the_prompt() -> None:
    provider = HeldProvider()
    run = Run("r", provider, max_cost=prompts(1000))
    tools = [{"type": "function", "function": {"name": "n" * 1000}}]
    first = start(run)
    await provider.arrived(1)
    provider.waiting[0].answer(usage=used(1, 30))
    await first
    two = [start(run, tools=tools) for _ in range(2)]
    await idle()
    assert len(provider.waiting) == 1
    provider.waiting[0].answer(usage=used(1, 30))
    await idle()
    provider.waiting[0].answer(usage=used(1, 30))
    await asyncio.gather(*two)


async def test_prompts_of_unknown_size_are_charged_by_their_length() -> None:
    provider = MockProvider(["x"])
    run = Run("r", provider, max_cost=prompts(1000))
    text = [{"role": "user", "content": "x" * 2000}]
    await run.complete(text)
    assert 400 <= run.left.input_tokens <= 500
    await run.complete(text)
    with pytest.raises(BudgetExhaustedError, match="assumed for replies without usage"):
        await run.complete(text)
    assert run.usage.input_tokens == 0


async def test_all_three_limits_hold_together() -> None:
    provider = MockProvider(["x"], usage=TokenUsage(10, 10))
    for budget, count in (
        (TokenUsage(100, 30, 9), 3),
        (TokenUsage(20, 300, 9), 2),
        (TokenUsage(100, 100, 4), 4),
    ):
        run = Run("r", provider, max_cost=budget)
        for _ in range(count):
            await run.complete(MESSAGES, max_tokens=10)
        with pytest.raises(BudgetExhaustedError):
            await run.complete(MESSAGES, max_tokens=10)


# -- one ledger for several runs -------------------------------------------------------------------------


async def test_runs_may_share_a_ledger_and_its_budget() -> None:
    provider = HeldProvider()
    tracker = CostTracker()
    one = Run("one", provider, tracker=tracker, max_cost=TokenUsage(0, 100, 3))
    two = Run("two", provider, tracker=tracker, max_cost=TokenUsage(0, 100, 3))
    tasks = [start(one, 100), start(two, 100)]
    await idle()
    assert len(provider.waiting) == 1
    provider.waiting[0].answer(usage=used(40))
    await provider.arrived(2)
    assert provider.waiting[0].max_tokens == 60
    provider.waiting[0].answer(usage=used(20))
    await asyncio.gather(*tasks)
    assert one.usage == two.usage == tracker.to_usage() == TokenUsage(0, 60, 2)
    third = start(one, 1)
    await provider.arrived(3)
    provider.waiting[0].answer()
    await third
    with pytest.raises(BudgetExhaustedError, match=r"^two: .*spent 3 of 3"):
        await two.complete(MESSAGES)


# -- refusing beforehand ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (calls(4), "5 calls are needed, but the budget has only 4 llm_calls left: spent 0 of 4; allow more"),
        (
            output(4),
            "5 replies are needed, but the budget has only 4 output_tokens left: spent 0 of 4; allow",
        ),
        (calls(-1), "the budget of llm_calls is used up: nothing was left of it to begin with; allow more"),
        (output(-1), "the budget of output_tokens is used up: nothing was left of it to begin with; allow"),
        (prompts(-1), "the budget of input_tokens is used up: nothing was left of it to begin with; allow"),
    ],
)
@pytest.mark.parametrize("outside", [False, True])
def test_more_calls_than_the_budget_pays_for_are_refused_beforehand(
    budget: TokenUsage, message: str, outside: bool
) -> None:
    limited = Run("limited", MockProvider(), max_cost=budget)
    run = Run("inner", limited) if outside else limited
    with pytest.raises(BudgetExhaustedError) as caught:
        run.require(5)
    assert str(caught.value).startswith(f"limited: {message}")


@pytest.mark.parametrize("budget", [TokenUsage(), calls(5), output(5), prompts(1)])
def test_as_many_as_it_pays_for_are_not(budget: TokenUsage) -> None:
    Run("inner", Run("outer", MockProvider(), max_cost=budget)).require(5)


async def test_calls_already_made_are_not_there_to_be_promised() -> None:
    run = Run("r", MockProvider(), max_cost=calls(5))
    await run.complete(MESSAGES)
    run.require(4)
    with pytest.raises(
        BudgetExhaustedError,
        match="5 calls are needed, but the budget has only 4 llm_calls left: spent 1 of 5",
    ):
        run.require(5)


# -- everything at once ----------------------------------------------------------------------------------


class Honest:
    """A model that writes as much as it is allowed to, fails now and then, and keeps its own ledger."""

    supports_tools: Literal[True] = True

    def __init__(self) -> None:
        self.calls = 0
        self.written = 0
        self.promised = 0
        self.most_promised = 0

    async def complete(
        self, messages: list[dict[str, Any]], *, max_tokens: int | None = None, **kwargs: Any
    ) -> LLMResponse:
        assert max_tokens is not None
        self.calls += 1
        number = self.calls
        self.promised += max_tokens
        self.most_promised = max(self.most_promised, self.written + self.promised)
        try:
            for _ in range(number * 7 % 5):
                await asyncio.sleep(0)
        finally:
            self.promised -= max_tokens
        if number % 4 == 3:
            raise ProviderError("down")
        written = max_tokens if number % 2 else max_tokens // 3
        self.written += written
        return LLMResponse("x", usage=used(written))


@pytest.mark.parametrize("budget", [1, 50, 333, 1000])
async def test_no_interleaving_promises_the_wire_more_than_the_budget(budget: int) -> None:
    provider = Honest()
    top = Ledgered("top", provider, max_cost=TokenUsage(0, budget, 40), retry=NO_WAIT)
    children = [Ledgered(f"child {i}", top, retry=NO_WAIT, max_cost=output(budget // 2)) for i in range(3)]
    runs = [top, *children, Ledgered("grandchild", children[0], retry=NO_WAIT)]
    tasks = [start(runs[i % len(runs)], 10 + 13 * i % 90) for i in range(60)]
    for victim in tasks[::11]:
        await asyncio.sleep(0)
        victim.cancel()
    outcomes = [await ended(task) for task in tasks]
    kinds = {type(outcome) for outcome in outcomes}
    assert kinds <= {type(None), BudgetExhaustedError, asyncio.CancelledError, ProviderError}
    assert provider.most_promised <= budget
    assert provider.calls <= 40
    assert top.usage.llm_calls == provider.calls
    assert holds_nothing(*runs)
