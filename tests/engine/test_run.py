"""Run: a provider around a provider; what it counts, what errors carry out of it, how it is halted."""

import asyncio
import contextlib
import gc
import pickle
import weakref
from typing import Any

import pytest
from fakes import NO_WAIT, ONCE, HeldProvider, idle
from runs import HOLD, MESSAGES, Ledgered, Pauses, calls, ended, holds_nothing, output, start, used

from executionkit import (
    BudgetExhaustedError,
    LLMProvider,
    LLMResponse,
    MockProvider,
    PatternError,
    PermanentError,
    ProviderError,
    RateLimitError,
    RetryConfig,
    TokenUsage,
    ToolCallingProvider,
)
from executionkit.engine.run import Run

# -- a provider around a provider ------------------------------------------------------------------------


async def test_a_call_goes_through_as_it_is() -> None:
    provider = MockProvider(["hi"])
    tools = [{"type": "function", "function": {"name": "add"}}]
    reply = await Run("r", provider).complete(
        MESSAGES, temperature=0.5, max_tokens=7, tools=tools, stop=["x"], seed=1
    )
    assert reply.content == "hi"
    assert provider.calls == [(MESSAGES, 0.5, 7, tools, {"stop": ["x"], "seed": 1})]
    await Run("r", provider).complete(MESSAGES)
    assert provider.last_call == (MESSAGES, None, None, None, {})


class Named(MockProvider):
    model = "m-1"


class Toolless:
    async def complete(self, messages: list[dict[str, Any]], **kwargs: Any) -> LLMResponse:
        return LLMResponse("x")


def test_a_run_is_transparent_however_deep() -> None:
    run: Any = Run("inner", Run("outer", Named()))
    assert (run.model, run.supports_tools) == ("m-1", True)
    with pytest.raises(AttributeError, match="base_url"):
        run.base_url  # noqa: B018 - the attribute access is what is tested
    with pytest.raises(AttributeError):
        run._script  # noqa: B018 - the attribute access is what is tested


@pytest.mark.parametrize("provider", [MockProvider(["hi"]), Toolless()])
async def test_a_run_is_freed_without_the_collector(provider: LLMProvider) -> None:
    gc.disable()
    try:
        run = Run("outer", provider)
        async with Run("inner", run, max_cost=output(9)) as inner:
            await inner.complete(MESSAGES)
        gone = [weakref.ref(each) for each in (run, inner)]
        del run, inner
        assert [each() for each in gone] == [None, None]
    finally:
        gc.enable()


def test_a_run_satisfies_the_protocols_its_provider_does() -> None:
    for run in (Run("r", MockProvider()), Run("inner", Run("outer", MockProvider()))):
        assert isinstance(run, LLMProvider)
        assert isinstance(run, ToolCallingProvider)
    run = Run("r", Toolless())
    assert isinstance(run, LLMProvider)
    assert not isinstance(run, ToolCallingProvider)
    assert not hasattr(run, "supports_tools")


def test_a_run_says_what_it_is_and_has_spent() -> None:
    assert repr(Run("consensus", MockProvider())) == f"<Run consensus: {TokenUsage()}>"


class NoComplete:
    pass


class OddComplete:
    complete = "not callable"


@pytest.mark.parametrize(
    ("provider", "found"),
    [
        (NoComplete(), "NoComplete has no `complete`"),
        (OddComplete(), "OddComplete has no `complete`"),
        (None, "NoneType has no `complete`"),
        ("gpt-4o", "str has no `complete`"),
        (MockProvider, "MockProvider is a class, not an instance of it"),
    ],
)
def test_what_is_no_provider_is_refused_with_what_is_missing(provider: Any, found: str) -> None:
    with pytest.raises(TypeError, match=r"^consensus: the provider needs an async `complete") as caught:
        Run("consensus", provider)
    assert str(caught.value).endswith(found)


@pytest.mark.parametrize("retry", [3, "none", RetryConfig], ids=repr)
def test_what_is_no_retry_config_is_refused(retry: Any) -> None:
    with pytest.raises(ValueError, match=r"^retry must be a RetryConfig or None, got "):
        Run("r", MockProvider(), retry=retry)


class Blocking:
    def complete(self, messages: list[dict[str, Any]], **kwargs: Any) -> LLMResponse:
        return LLMResponse("x")


class Textual:
    async def complete(self, messages: list[dict[str, Any]], **kwargs: Any) -> Any:
        return "x"


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        (Blocking(), "^r: `complete` must be async, the provider's returned LLMResponse$"),
        (Textual(), "^r: `complete` must return an LLMResponse, the provider gave str$"),
    ],
)
async def test_a_provider_that_answers_wrongly_is_told_so(provider: Any, message: str) -> None:
    run = Ledgered("r", provider, max_cost=output(100))
    with pytest.raises(TypeError, match=message):
        await run.complete(MESSAGES)
    assert run.usage == calls(1)
    assert holds_nothing(run)


@pytest.mark.parametrize("max_tokens", [0, -1, 1.5, "100", True], ids=repr)
async def test_max_tokens_out_of_range_is_refused_before_any_call(max_tokens: Any) -> None:
    provider = MockProvider()
    run = Run("r", provider, max_cost=output(100))
    with pytest.raises(ValueError, match=f"^max_tokens must be an integer >= 1, got {max_tokens!r}$"):
        await run.complete(MESSAGES, max_tokens=max_tokens)
    assert (provider.call_count, run.usage) == (0, TokenUsage())


# -- what is counted -------------------------------------------------------------------------------------


async def test_tokens_and_calls_add_up_here_and_in_every_run_around() -> None:
    provider = MockProvider(["x"], usage=TokenUsage(3, 4))
    top = Run("top", provider)
    left, right = Run("left", top), Run("right", top)
    deep = Run("deep", left)
    for run in (deep, deep, left, right, top):
        await run.complete(MESSAGES)
    assert deep.usage == TokenUsage(6, 8, 2)
    assert left.usage == TokenUsage(9, 12, 3)
    assert right.usage == TokenUsage(3, 4, 1)
    assert top.usage == TokenUsage(15, 20, 5)


async def test_every_attempt_counts_failed_ones_too() -> None:
    provider = MockProvider([ProviderError("a"), RateLimitError("b", retry_after=0), "x"], usage=used(4))
    top = Run("top", provider)
    run = Run("r", top, retry=NO_WAIT)
    await run.complete(MESSAGES)
    assert run.usage == top.usage == TokenUsage(0, 4, 3)


async def test_the_innermost_run_decides_on_retries() -> None:
    provider = MockProvider(exception=ProviderError("down"))
    outer = Run("outer", provider, retry=NO_WAIT)
    with pytest.raises(ProviderError):
        await Run("inner", outer, retry=ONCE).complete(MESSAGES)
    assert provider.call_count == 1


async def test_permanent_errors_are_not_retried_through_a_run() -> None:
    provider = MockProvider(exception=PermanentError("401"))
    with pytest.raises(PermanentError):
        await Run("r", provider, retry=NO_WAIT).complete(MESSAGES)
    assert provider.call_count == 1


async def test_an_attempt_that_never_left_is_not_counted() -> None:
    refused = ProviderError("no route to host", dispatched=False)
    top = Run("top", MockProvider([refused, refused, "x"]))
    run = Run("r", top, retry=NO_WAIT)
    await run.complete(MESSAGES)
    assert run.usage == top.usage == calls(1)


class Unsent(Exception):
    dispatched = False


class Sent(Exception):
    dispatched = None


@pytest.mark.parametrize(("exc", "count"), [(Unsent(), 0), (Sent(), 1), (OSError("reset"), 1)])
async def test_any_exception_can_say_that_it_never_left(exc: Exception, count: int) -> None:
    run = Run("r", MockProvider(exception=exc))
    with pytest.raises(type(exc)):
        await run.complete(MESSAGES)
    assert run.usage == calls(count)


async def test_a_call_cancelled_on_the_wire_was_made() -> None:
    provider = HeldProvider()
    top = Ledgered("top", provider, max_cost=output(100))
    run = Ledgered("r", top)
    task = start(run, 100)
    await provider.arrived(1)
    task.cancel()
    assert isinstance(await ended(task), asyncio.CancelledError)
    assert run.usage == top.usage == calls(1)
    assert holds_nothing(run, top)


async def test_a_provider_that_raises_cancelled_error_is_told_from_cancelling() -> None:
    provider = MockProvider([asyncio.CancelledError("its own"), "a", asyncio.CancelledError("its own")])
    run = Run("run", provider, retry=NO_WAIT)
    assert (await run.complete(MESSAGES)).content == "a"
    assert run.usage.llm_calls == 2
    with pytest.raises(ProviderError, match="the call was not cancelled") as caught:
        await Run("run", provider, retry=ONCE).complete(MESSAGES)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


async def test_a_call_cancelled_between_attempts_adds_nothing_and_holds_nothing() -> None:
    pauses = Pauses()
    provider = MockProvider(exception=ProviderError("down"))
    run = Ledgered("r", provider, retry=pauses.retry, max_cost=output(100))
    task = start(run, 100)
    await idle()
    assert len(pauses.waiting) == 1
    assert holds_nothing(run)
    task.cancel()
    assert isinstance(await ended(task), asyncio.CancelledError)
    assert run.usage == calls(provider.call_count) == calls(1)


async def test_spending_beside_the_run_is_charged_to_all() -> None:
    top = Run("top", MockProvider(), max_cost=calls(3))
    run = Run("r", top)
    run.charge(TokenUsage(1, 2, 3))
    run.charge(TokenUsage(-5, -5, -5))
    assert run.usage == top.usage == TokenUsage(1, 2, 3)
    with pytest.raises(BudgetExhaustedError):
        await run.complete(MESSAGES)


# -- what errors carry out -------------------------------------------------------------------------------


async def fail_inside(*runs: Run, exc: BaseException, attempts: int = 2) -> None:
    """Make calls in the last of nested runs and leave all of them by `exc`."""

    async def work() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for run in runs:
                await stack.enter_async_context(run)
            for _ in range(attempts):
                await runs[-1].complete(MESSAGES)
            raise exc

    with pytest.raises(type(exc)) as caught:
        await work()
    assert caught.value is exc


async def test_our_errors_carry_what_was_spent_and_what_was_paid_for() -> None:
    provider = MockProvider(["x"], usage=TokenUsage(3, 4))
    run = Run("r", provider, salvage=lambda: {"texts": ["x", "x"]})
    error = PatternError("no", cost=TokenUsage(9, 9, 9), metadata={"mine": 1})
    await fail_inside(run, exc=error)
    assert error.cost == TokenUsage(6, 8, 2)
    assert error.metadata == {"mine": 1, "texts": ["x", "x"]}
    assert not hasattr(error, "__notes__")


@pytest.mark.parametrize(
    "exc",
    [OSError("reset"), ExceptionGroup("several", [ValueError()]), SystemExit(3)],
)
async def test_anybody_elses_carry_it_too_and_a_note_of_it(exc: BaseException) -> None:
    provider = MockProvider(["x"], usage=TokenUsage(3, 4))
    await fail_inside(Run("r", provider, salvage=lambda: {"texts": ["x"]}), exc=exc)
    facts = vars(exc)
    assert facts["cost"] == TokenUsage(6, 8, 2)
    assert facts["metadata"] == {"texts": ["x"]}
    assert exc.__notes__ == ["r: spent 2 calls, 14 tokens"]


async def test_an_exceptions_own_cost_and_metadata_are_left_alone() -> None:
    class Invoice(Exception):
        def __init__(self) -> None:
            super().__init__("x")
            self.cost = 9.99
            self.metadata = "theirs"

    exc = Invoice()
    await fail_inside(Run("r", MockProvider(), salvage=lambda: {"texts": []}), exc=exc)
    assert (exc.cost, exc.metadata) == (9.99, "theirs")


@pytest.mark.parametrize("exc", [PatternError("no"), OSError("reset")], ids=repr)
async def test_the_outermost_runs_total_is_what_an_error_leaves_with(exc: Any) -> None:
    provider = MockProvider(["x"], usage=TokenUsage(1, 1))
    outer = Run("outer", provider, salvage=lambda: {"outer": 1, "both": "outer"})
    inner = Run("inner", outer, salvage=lambda: {"nested": 2, "both": "nested"})
    await outer.complete(MESSAGES)
    await fail_inside(outer, inner, exc=exc)
    assert exc.cost == TokenUsage(3, 3, 3)
    assert exc.metadata == {"outer": 1, "nested": 2, "both": "outer", "inner": {"both": "nested"}}


async def test_an_error_of_one_run_taken_into_another_is_its_own_again() -> None:
    error = PatternError("no")
    await fail_inside(Run("first", MockProvider()), exc=error, attempts=3)
    await fail_inside(Run("second", MockProvider()), exc=error, attempts=1)
    assert error.cost == calls(1)


async def test_failed_attempts_are_in_the_cost_of_the_error() -> None:
    run = Run("r", MockProvider(exception=ProviderError("down")), retry=NO_WAIT)
    with pytest.raises(ProviderError) as caught:
        async with run:
            await run.complete(MESSAGES)
    assert caught.value.cost == calls(4)
    assert pickle.loads(pickle.dumps(caught.value)).cost == calls(4)


async def test_leaving_without_an_error_changes_nothing() -> None:
    async with Run("r", MockProvider(["x"]), salvage=lambda: {"a": 1}) as run:
        assert (await run.complete(MESSAGES)).content == "x"


# -- halting ---------------------------------------------------------------------------------------------


async def test_what_is_on_the_wire_when_a_run_is_halted_comes_to_its_end() -> None:
    provider = HeldProvider()
    run = Run("r", provider)
    task = start(run)
    await provider.arrived(1)
    run.halt()
    provider.waiting[0].answer("paid for")
    assert (await task).content == "paid for"
    assert run.usage == calls(1)


async def test_what_waits_for_room_is_cancelled() -> None:
    provider = HeldProvider()
    run = Run("r", provider, max_cost=output(100))
    first, second = start(run, 100), start(run, 100)
    await idle()
    run.halt()
    assert isinstance(await ended(second), asyncio.CancelledError)
    provider.waiting[0].answer(usage=used(1))
    await first
    assert len(provider.requests) == 1


async def test_what_was_just_woken_is_cancelled_as_well() -> None:
    provider = MockProvider(["x"])
    run = Ledgered("r", provider, max_cost=output(100))
    run.room.hold(HOLD)
    task = start(run, 100)
    await idle()
    run.room.settle(HOLD)
    run.halt()
    assert isinstance(await ended(task), asyncio.CancelledError)
    assert provider.call_count == 0
    assert holds_nothing(run)


async def test_what_waits_to_be_retried_is_cancelled() -> None:
    pauses = Pauses()
    provider = MockProvider(exception=ProviderError("down"))
    run = Run("r", provider, retry=pauses.retry)
    task = start(run)
    await idle()
    run.halt()
    assert isinstance(await ended(task), asyncio.CancelledError)
    assert provider.call_count == 1


async def test_what_fails_on_the_wire_after_that_is_not_retried() -> None:
    provider = HeldProvider()
    run = Run("r", provider, retry=NO_WAIT)
    task = start(run)
    await provider.arrived(1)
    run.halt()
    provider.waiting[0].fail(ProviderError("down"))
    assert isinstance(await ended(task), ProviderError)
    assert len(provider.requests) == 1


async def test_nothing_is_begun_in_a_halted_run_nor_in_one_inside_it() -> None:
    provider = MockProvider(["x"])
    top = Run("top", provider)
    inside, beside = Run("inside", top), Run("beside", provider)
    top.halt()
    for run in (top, inside):
        assert isinstance(await ended(start(run)), asyncio.CancelledError)
    assert (provider.call_count, top.usage) == (0, TokenUsage())
    assert (await beside.complete(MESSAGES)).content == "x"


async def test_a_halt_is_over_with_the_run() -> None:
    async with Run("run", MockProvider(["a"])) as run:
        run.halt()
    assert (await Run("another", run).complete(MESSAGES)).content == "a"


async def test_a_halt_reaches_those_who_wait_inside_and_nobody_outside() -> None:
    provider = HeldProvider()
    top = Run("top", provider, max_cost=output(100))
    halted, other = Run("halted", top), Run("other", top)
    deep = Run("deep", halted)
    first = start(other, 100)
    await idle()
    waits_inside, waits_outside = start(deep, 100), start(other, 100)
    await idle()
    halted.halt()
    assert isinstance(await ended(waits_inside), asyncio.CancelledError)
    assert not waits_outside.done()
    for task in (first, waits_outside):
        await idle()
        provider.waiting[0].answer(usage=used(10))
        await task


async def test_a_task_that_has_done_waiting_is_out_of_the_halts_reach() -> None:
    provider = HeldProvider()
    run = Run("r", provider, max_cost=output(100))
    done = asyncio.Event()

    async def goes_on() -> str:
        await run.complete(MESSAGES, max_tokens=100)
        await done.wait()
        return "went on"

    tasks = [asyncio.create_task(goes_on()) for _ in range(2)]
    for number in (1, 2):
        await provider.arrived(number)
        provider.waiting[0].answer(usage=used(10))
    await idle()
    run.halt()
    done.set()
    assert await asyncio.gather(*tasks) == ["went on"] * 2
