"""Streams above the wire: the run that meters them, the kit, the mock, the endpoint, patterns that tell."""

import asyncio
import copy
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from fakes import NO_WAIT, ONCE, HeldProvider, idle
from runs import MESSAGES, Ledgered, calls, ended, holds_nothing, output, start, used

from executionkit import (
    BudgetExhaustedError,
    DraftScored,
    DraftStarted,
    Finish,
    Kit,
    LLMProvider,
    LLMResponse,
    MaxIterationsError,
    MockProvider,
    Observation,
    PatternEvent,
    PatternResult,
    Provider,
    ProviderError,
    RateLimitError,
    ReasoningDelta,
    RefusalDelta,
    ReplyStream,
    RoundStarted,
    StreamEvent,
    StreamingProvider,
    TextDelta,
    TokenUsage,
    Tool,
    ToolCall,
    ToolCallDone,
    ToolCallingProvider,
    ToolStarted,
    UsageEvent,
    consensus,
    pipe,
    react_loop,
    react_loop_sync,
    refine_loop,
)
from executionkit.engine.run import Run
from executionkit.testing import Fault, LocalEndpoint

REPLY = LLMResponse(
    "two words",
    [ToolCall("1", "look", {"at": "it"})],
    "tool_calls",
    {"prompt_tokens": 3, "completion_tokens": 2},
    reasoning="hm hm",
    refusal="no no",
)


async def drained(stream: ReplyStream) -> list[StreamEvent]:
    async with stream as events:
        return [event async for event in events]


def text(events: list[Any]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def drained_from(events: ReplyStream) -> None:
    async for _ in events:
        pass


class Scripted:
    """Streams what it is told, the way somebody else would write it."""

    def __init__(self, *events: StreamEvent | BaseException) -> None:
        self.events = events
        self.left = 0

    async def complete(self, messages: list[dict[str, Any]], **kwargs: Any) -> LLMResponse:
        raise AssertionError("only its streams are asked for")

    @asynccontextmanager
    async def stream(
        self, messages: list[dict[str, Any]], **kwargs: Any
    ) -> AsyncGenerator[AsyncIterator[StreamEvent], None]:
        async def bring() -> AsyncIterator[StreamEvent]:
            for event in self.events:
                if isinstance(event, BaseException):
                    raise event
                yield event

        events = bring()
        try:
            yield events
        finally:
            self.left += 1
            await events.aclose()  # type: ignore[attr-defined]  # an async generator, which has it


# The mock


async def test_the_mock_tells_a_reply_word_by_word() -> None:
    mock = MockProvider([REPLY])
    events = await drained(mock.stream(MESSAGES, max_tokens=5, seed=1))
    assert events == [
        ReasoningDelta("hm"),
        ReasoningDelta(" hm"),
        TextDelta("two"),
        TextDelta(" words"),
        RefusalDelta("no"),
        RefusalDelta(" no"),
        ToolCallDone(REPLY.tool_calls[0]),
        UsageEvent(3, 2, estimated=False),
        Finish("tool_calls", REPLY),
    ]
    assert mock.calls == [(MESSAGES, None, 5, None, {"seed": 1})]


async def test_the_mock_raises_what_its_script_says() -> None:
    mock = MockProvider([ProviderError("503"), "hi"])
    with pytest.raises(ProviderError):
        await drained(mock.stream(MESSAGES))
    assert text(await drained(mock.stream(MESSAGES))) == "hi"


def test_who_can_stream() -> None:
    assert isinstance(MockProvider(), StreamingProvider)
    assert isinstance(Provider("http://127.0.0.1/v1", "m"), StreamingProvider)
    assert not isinstance(object(), StreamingProvider)


async def test_what_a_step_is_handed_can_do_what_the_provider_can() -> None:
    class Plain:
        async def complete(self, messages: list[dict[str, Any]], **kwargs: Any) -> LLMResponse:
            return LLMResponse("a")

    asked: list[tuple[bool, bool]] = []

    async def step(provider: LLMProvider, prompt: str) -> PatternResult[str]:
        asked.append((isinstance(provider, StreamingProvider), isinstance(provider, ToolCallingProvider)))
        return PatternResult(prompt)

    for provider in (Plain(), MockProvider()):
        await pipe(provider, "q", step)
        await Kit(provider).pipe("q", step)
    assert asked == [(False, False)] * 2 + [(True, True)] * 2


# The run


async def test_a_run_counts_a_stream_as_it_counts_a_call() -> None:
    parent = Ledgered("parent", MockProvider(["a b c"], usage=TokenUsage(5, 3)))
    child = Ledgered("child", parent, max_cost=output(10))
    assert text(await drained(child.stream(MESSAGES, max_tokens=4))) == "a b c"
    assert parent.usage == child.usage == TokenUsage(5, 3, 1)
    assert holds_nothing(parent, child)


async def test_a_stream_that_is_left_early_counts_in_full_against_a_ceiling() -> None:
    run = Ledgered("run", MockProvider(["12345678 12345678"]), max_cost=output(100))
    async with run.stream(MESSAGES) as events:
        async for event in events:
            assert event == TextDelta("12345678")
            break
        assert not holds_nothing(run)
    assert run.usage == TokenUsage(llm_calls=1)
    assert run.assumed.output_tokens == 100
    assert run.assumed.input_tokens > 0
    assert holds_nothing(run)
    assert events.partial.usage_is_estimated


async def test_a_stream_left_unread_or_never_entered() -> None:
    run = Ledgered("run", MockProvider(["12345678 1"]))
    async with run.stream(MESSAGES):
        pass  # the first event has come
    assert (run.usage.llm_calls, run.assumed.output_tokens) == (1, 2)
    run.stream(MESSAGES)
    await run.stream(MESSAGES).aclose()
    assert run.usage.llm_calls == 1


async def test_what_was_reported_before_leaving_counts() -> None:
    run = Ledgered("run", MockProvider(["a"], usage=TokenUsage(7, 5)))
    async with run.stream(MESSAGES) as events:
        async for event in events:
            if isinstance(event, UsageEvent):
                break
    assert run.usage == TokenUsage(7, 5, 1)


async def test_a_stream_that_is_dropped_is_settled() -> None:
    run = Ledgered("run", MockProvider(["a b"]), max_cost=output(100))
    events = run.stream(MESSAGES)
    await anext(events)
    del events
    gc.collect()
    assert holds_nothing(run)
    assert run.assumed.output_tokens == 100


async def test_a_failure_in_the_middle_is_raised_with_its_cost_and_not_retried() -> None:
    source = Scripted(TextDelta("12345678"), ProviderError("broke"))
    run = Ledgered("run", source, retry=NO_WAIT, max_cost=calls(5))
    with pytest.raises(ProviderError, match="broke") as caught:
        await drained(run.stream(MESSAGES))
    assert (run.usage.llm_calls, source.left) == (1, 1)
    assert caught.value.cost == run.usage
    assert run.assumed.output_tokens == 4096
    assert holds_nothing(run)


@pytest.mark.parametrize(
    "events", [(), (ProviderError("early"),), (RateLimitError("early", retry_after=0.0),)]
)
async def test_a_failure_before_the_first_event_is_retried_and_every_attempt_is_a_call(events: Any) -> None:
    source = Scripted(*events)
    run = Ledgered("run", source, retry=NO_WAIT, max_cost=calls(3))
    with pytest.raises((ProviderError, BudgetExhaustedError, RateLimitError)) as caught:
        await drained(run.stream(MESSAGES))
    assert run.usage.llm_calls == source.left == caught.value.cost.llm_calls
    assert holds_nothing(run)


async def test_a_request_that_never_left_is_no_call() -> None:
    run = Ledgered("run", MockProvider([ProviderError("no route", dispatched=False)]), retry=ONCE)
    with pytest.raises(ProviderError):
        await drained(run.stream(MESSAGES))
    assert run.usage == TokenUsage()


async def test_a_stream_without_a_finish_is_an_error_and_counted() -> None:
    run = Ledgered("run", Scripted(TextDelta("12345678")), retry=NO_WAIT)
    with pytest.raises(ProviderError, match="without a Finish"):
        await drained(run.stream(MESSAGES))
    assert (run.usage.llm_calls, run.assumed.output_tokens) == (1, 2)


async def test_what_is_iterable_but_no_iterator_is_read_once() -> None:
    class Again:
        async def __aiter__(self) -> AsyncIterator[StreamEvent]:
            yield TextDelta("a")
            yield Finish("stop", LLMResponse("a"))

    class Careless(Scripted):
        @asynccontextmanager
        async def stream(
            self, messages: list[dict[str, Any]], **kwargs: Any
        ) -> AsyncGenerator[AsyncIterator[StreamEvent], None]:
            yield Again()  # type: ignore[misc]  # what is wrong is the point

    events = await drained(Run("run", Careless()).stream(MESSAGES))
    assert text(events) == "a"


@pytest.mark.parametrize("events", [[], [TextDelta("a")]])
async def test_a_stream_that_raises_cancelled_error_of_its_own_is_a_provider_error(
    events: list[StreamEvent],
) -> None:
    run = Run("run", Scripted(*events, asyncio.CancelledError()), retry=ONCE)
    with pytest.raises(ProviderError, match="the call was not cancelled"):
        await drained(run.stream(MESSAGES))
    assert run.usage.llm_calls == 1


# A call never waits for a stream


async def _in_a_task_group(run: Run) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(run.complete(MESSAGES, max_tokens=20))


WAYS: dict[str, Callable[[Run], Awaitable[object]]] = {
    "call": lambda run: run.complete(MESSAGES, max_tokens=20),
    "task": lambda run: asyncio.create_task(run.complete(MESSAGES, max_tokens=20)),
    "task group": _in_a_task_group,
    "stream": lambda run: drained(run.stream(MESSAGES, max_tokens=20)),
    "pattern": lambda run: consensus(run, "q", num_samples=2, max_tokens=20),
    "child": lambda run: Run("child", run, max_cost=output(90)).complete(MESSAGES, max_tokens=20),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_beside_a_stream_gets_what_the_stream_leaves(way: str) -> None:
    mock = MockProvider(["a b c"], usage=TokenUsage(1, 2))
    run = Ledgered("run", mock, max_cost=output(100))
    async with run.stream(MESSAGES, max_tokens=90) as events:
        await WAYS[way](run)
        assert text([event async for event in events]) == "a b c"
    asked = [call.max_tokens for call in mock.calls]
    assert asked == ([90, 10] if way in {"call", "task", "stream", "child"} else [90, 10, 8])
    assert holds_nothing(run)


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_is_refused_where_a_stream_leaves_nothing(way: str) -> None:
    mock = MockProvider(["a b c"], usage=TokenUsage(1, 2))
    run = Ledgered("run", mock, max_cost=output(100))
    async with run.stream(MESSAGES) as events:
        with pytest.raises((BudgetExhaustedError, ExceptionGroup)) as caught:
            await WAYS[way](run)
        assert text([event async for event in events]) == "a b c"
    refused = caught.value.exceptions[0] if isinstance(caught.value, ExceptionGroup) else caught.value
    assert str(refused) == (
        "run: open streams have set aside the last 100 output_tokens: spent 0 of 100; "
        "read them to their end first, or open them with a smaller max_tokens"
    )
    assert mock.call_count == 1
    await run.complete(MESSAGES)
    assert mock.calls[-1].max_tokens == 98


async def test_several_choices_beside_a_stream_need_a_token_each() -> None:
    mock = MockProvider(["a b c"], usage=TokenUsage(1, 2))
    run = Ledgered("run", mock, max_cost=output(100))
    async with run.stream(MESSAGES, max_tokens=98) as events:
        with pytest.raises(BudgetExhaustedError, match="open streams have set aside the last 98"):
            await run.complete(MESSAGES, max_tokens=20, n=3)
        await run.complete(MESSAGES, max_tokens=20, n=2)
        await drained_from(events)
    assert [call.max_tokens for call in mock.calls] == [98, 1]


async def test_prompts_of_streams_count_beside_those_of_calls_in_flight() -> None:
    provider = HeldCalls()
    run = Ledgered("run", provider, max_cost=TokenUsage(input_tokens=1000))
    first = start(run)
    await provider.arrived(1)
    provider.waiting[0].answer(usage=used(1, 300))  # so much a prompt of this length takes
    await first
    async with run.stream(MESSAGES) as events:
        second, third = start(run), start(run)
        await idle()
        assert len(provider.waiting) == 1
        await drained_from(events)
        await idle()
        assert len(provider.waiting) == 2
    for request in list(provider.waiting):
        request.answer(usage=used(1, 1))
    await asyncio.gather(second, third)


async def test_a_prompt_beside_a_stream_goes_whatever_the_stream_has_set_aside() -> None:
    mock = MockProvider(["a b"], usage=TokenUsage(10, 2))
    run = Ledgered("run", mock, max_cost=TokenUsage(input_tokens=25))
    async with run.stream(MESSAGES) as first, run.stream(MESSAGES) as second:
        await run.complete(MESSAGES)
        for events in (first, second):
            assert text([event async for event in events]) == "a b"
    with pytest.raises(BudgetExhaustedError, match="spent 30 of 25"):
        await run.complete(MESSAGES)
    assert holds_nothing(run)


class HeldCalls(HeldProvider):
    """Its calls wait for the test, its streams do not."""

    def stream(self, messages: list[dict[str, Any]], **kwargs: Any) -> ReplyStream:
        return MockProvider(["a b"], usage=TokenUsage(1, 2)).stream(messages, **kwargs)


async def test_beside_calls_and_streams_a_call_waits_for_the_calls_and_gets_the_rest() -> None:
    provider = HeldCalls()
    run = Ledgered("run", provider, max_cost=output(100))
    async with run.stream(MESSAGES, max_tokens=30) as events:
        first, second, third = start(run, 60), start(run, 60), start(run, 60)
        await idle()
        assert [request.max_tokens for request in provider.requests] == [60]
        provider.waiting[0].answer(usage=used(20))
        await provider.arrived(2)
        assert provider.waiting[0].max_tokens == 50
        provider.waiting[0].answer(usage=used(50))
        await asyncio.gather(first, second)
        assert "open streams have set aside the last 30 output_tokens" in str(await ended(third))
        await drained_from(events)
    assert run.usage == TokenUsage(1, 72, 3)
    assert holds_nothing(run)


async def test_a_stream_waits_for_calls_as_a_call_does() -> None:
    provider = HeldCalls()
    run = Ledgered("run", provider, max_cost=output(100))
    first = start(run, 90)
    await provider.arrived(1)
    streaming = asyncio.create_task(drained(run.stream(MESSAGES, max_tokens=90)))
    await idle()
    assert not streaming.done()
    provider.waiting[0].answer(usage=used(50))
    await first
    assert text(await streaming) == "a b"
    assert run.usage == TokenUsage(1, 52, 2)
    assert holds_nothing(run)


async def test_the_end_of_a_stream_lets_a_call_go_that_waits_for_another() -> None:
    provider = HeldCalls()
    run = Ledgered("run", provider, max_cost=output(100))
    async with run.stream(MESSAGES, max_tokens=50) as events:
        tasks = [start(run, 30), start(run, 60)]
        await idle()
        assert len(provider.waiting) == 1
        await drained_from(events)
    await idle()
    assert [request.max_tokens for request in provider.waiting] == [30, 60]
    for request in list(provider.waiting):
        request.answer(usage=used(1))
    await asyncio.gather(*tasks)


async def test_streams_left_early_do_not_pass_the_ceiling() -> None:
    mock = MockProvider(["word " * 100])
    run = Ledgered("run", mock, max_cost=output(40))
    for _ in range(2):
        async with run.stream(MESSAGES, max_tokens=20) as events:
            await anext(aiter(events))
    with pytest.raises(BudgetExhaustedError):
        await drained(run.stream(MESSAGES, max_tokens=20))
    assert mock.call_count == 2


async def test_what_can_not_stream_is_said_at_once() -> None:
    class Plain:
        async def complete(self, messages: list[dict[str, Any]], **kwargs: Any) -> LLMResponse:
            return LLMResponse("a")

    class Strange(Plain):
        async def stream(self, messages: list[dict[str, Any]], **kwargs: Any) -> None:
            """No context manager."""

    with pytest.raises(TypeError, match="Plain has no `stream`"):
        Kit(Plain()).stream("q")
    with pytest.raises(AttributeError, match="stream"):
        Run("run", Plain()).stream(MESSAGES)
    run = Run("run", Strange())
    with pytest.raises(TypeError, match="must return an async context manager"):
        await drained(run.stream(MESSAGES))


async def test_a_halted_run_opens_no_stream() -> None:
    mock = MockProvider(["a"])
    run = Run("run", mock)
    run.halt()
    task = asyncio.create_task(drained(run.stream(MESSAGES)))
    assert isinstance(await ended(task), asyncio.CancelledError)
    assert mock.call_count == 0


# Other uses than reading it once; what a provider's own streams do is in provider/test_stream_use.py


async def test_the_mock_s_stream_is_entered_once_too() -> None:
    for opened in (MockProvider(["a b"]), Run("run", MockProvider(["a b"]))):
        events = opened.stream(MESSAGES)
        assert text(await drained(events)) == "a b"
        with pytest.raises(RuntimeError, match="entered once"):
            await drained(events)
        with pytest.raises(TypeError, match="can't be pickled or copied"):
            copy.copy(events)


@pytest.mark.parametrize("metered", [False, True])
async def test_closing_the_mock_s_stream_while_its_function_thinks(*, metered: bool) -> None:
    thinking = asyncio.Event()

    async def think(_call: object) -> str:
        thinking.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody wakes it")

    mock = MockProvider(think)
    events = Run("run", mock).stream(MESSAGES) if metered else mock.stream(MESSAGES)
    reading = asyncio.create_task(drained(events))
    await thinking.wait()
    await events.aclose()
    assert await reading == []
    assert mock.call_count == 1


async def test_closing_a_run_s_stream_ends_the_iteration_whoever_wrote_the_provider() -> None:
    waiting = asyncio.Event()

    class Slow(Scripted):
        @asynccontextmanager
        async def stream(
            self, messages: list[dict[str, Any]], **kwargs: Any
        ) -> AsyncGenerator[AsyncIterator[StreamEvent], None]:
            async def bring() -> AsyncIterator[StreamEvent]:
                yield TextDelta("12345678")
                waiting.set()
                await asyncio.Event().wait()

            events = bring()
            try:
                yield events
            finally:
                self.left += 1
                await events.aclose()  # type: ignore[attr-defined]  # an async generator, which has it

    source = Slow()
    run = Ledgered("run", source, max_cost=output(100))
    events = run.stream(MESSAGES)
    reading = asyncio.create_task(drained(events))
    await waiting.wait()
    await events.aclose()
    assert await reading == [TextDelta("12345678")]
    assert (source.left, run.usage.llm_calls, run.assumed.output_tokens) == (1, 1, 100)
    assert events.partial.input_tokens == run.assumed.input_tokens > 0
    assert holds_nothing(run)


# The kit


async def test_a_kit_streams_an_answer_and_counts_it() -> None:
    mock = MockProvider(["a b"], usage=TokenUsage(4, 2))
    kit = Kit(mock)
    async with kit.stream("q", temperature=0.1, stop=["x"]) as events:
        assert text([event async for event in events]) == "a b"
    assert events.response.content == "a b"
    assert kit.usage == TokenUsage(4, 2, 1)
    await drained(kit.stream([{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]))
    assert [call.messages[0]["role"] for call in mock.calls] == ["user", "system"]
    assert mock.calls[0].kwargs == {"stop": ["x"]}
    untracked = Kit(mock, track_cost=False)
    await drained(untracked.stream("q"))
    assert untracked.usage == TokenUsage()


async def test_a_kit_s_stream_has_a_budget_and_its_errors_a_cost() -> None:
    kit = Kit(MockProvider([ProviderError("a"), ProviderError("b"), "c"]))
    with pytest.raises(BudgetExhaustedError) as caught:
        await drained(kit.stream("q", max_cost=calls(2), retry=NO_WAIT))
    assert caught.value.cost == kit.usage == TokenUsage(llm_calls=2)
    for prompt in (None, [], [""], [{"role": "user"}, 3], {"role": "user"}):
        with pytest.raises(ValueError, match="prompt must be a str, "):
            kit.stream(prompt)  # type: ignore[arg-type]  # what is wrong is the point
    with pytest.raises(ValueError, match="temperature"):
        kit.stream("q", temperature=9)
    with pytest.raises(ValueError, match="max_cost"):
        kit.stream("q", max_cost=5)  # type: ignore[arg-type]  # what is wrong is the point


# The endpoint


BACKENDS = ["auto", "stdlib"]


@pytest.mark.parametrize("backend", BACKENDS)
async def test_the_endpoint_streams_what_it_would_have_said(backend: Any) -> None:
    calling = LLMResponse(
        "", [ToolCall("1", "a", {"x": [1, 2]}), ToolCall("2", "b", {})], reasoning="so be it"
    )
    script: list[str | LLMResponse] = ["one two three", calling, "", "cut off here"]
    with LocalEndpoint(script) as endpoint:
        async with Provider(endpoint.base_url, "m", backend=backend) as provider:
            for limit in (100, 100, 100, 2):
                streamed = await drained(provider.stream(MESSAGES, max_tokens=limit))
                assert isinstance(streamed[-1], Finish)
                assert text(streamed) == streamed[-1].response.content
            whole = [await provider.complete(MESSAGES, max_tokens=limit) for limit in (100, 100, 100, 2)]
            kit = Kit(provider)
            again = [await drained(kit.stream("hello", max_tokens=limit)) for limit in (100, 100, 100, 2)]
        ledger = endpoint.ledger
    for events, reply in zip(again, whole, strict=True):
        finish = events[-1]
        assert isinstance(finish, Finish)
        for name in ("content", "tool_calls", "finish_reason", "reasoning", "refusal"):
            assert getattr(finish.response, name) == getattr(reply, name)
        assert (finish.response.input_tokens, finish.response.output_tokens) == (
            reply.input_tokens,
            reply.output_tokens,
        )
    assert ledger.calls == 12
    assert ledger.statuses == (200,) * 12
    assert kit.usage == TokenUsage(ledger.input_tokens // 3, ledger.output_tokens // 3, 4)


@pytest.mark.parametrize("backend", BACKENDS)
async def test_the_endpoint_s_faults_inside_a_stream(backend: Any) -> None:
    faults = [
        Fault.cut_body("one two three"),
        Fault.reset("body", reply="one two three"),
        Fault.error_event("one two three"),
        Fault.error_event("one two", after=2, error={"message": "slow down", "code": "rate_limit"}),
    ]
    with LocalEndpoint([*faults, "fine"]) as endpoint:
        async with Provider(endpoint.base_url, "m", backend=backend) as provider:
            run = Run("run", provider)
            for kind in (ProviderError, ProviderError, ProviderError, RateLimitError):
                seen: list[StreamEvent] = []
                stream = run.stream(MESSAGES)
                with pytest.raises(kind) as caught:
                    await _into(stream, seen)
                assert text(seen).startswith("one")
                assert caught.value.metadata["partial_text"] == text(seen)
            assert text(await drained(run.stream(MESSAGES))) == "fine"
        assert run.usage.llm_calls == endpoint.ledger.calls == 5


async def _into(stream: ReplyStream, seen: list[StreamEvent]) -> None:
    async with stream as events:
        async for event in events:
            seen.append(event)  # noqa: PERF401  # what came before an error is what this is about


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_stall_ends_when_released_or_left(backend: Any) -> None:
    with LocalEndpoint([Fault.stall("one two three")]) as endpoint:
        async with Provider(endpoint.base_url, "m", backend=backend) as provider:
            async with provider.stream(MESSAGES) as events:
                assert await anext(events) == TextDelta("one")
                assert endpoint.ledger.in_flight == 1
                endpoint.release_hung()
                assert text([event async for event in events]) == " two three"
            assert endpoint.ledger.output_tokens == events.response.output_tokens == 3
            async with provider.stream(MESSAGES) as events:
                assert await anext(events) == TextDelta("one")
            await endpoint.wait_until(lambda ledger: ledger.undelivered == 1)
            async with Provider(endpoint.base_url, "m", backend=backend, timeout=0.2) as hasty:
                with pytest.raises(ProviderError, match=r"nothing was heard for 0\.2 s"):
                    await drained(hasty.stream(MESSAGES))


async def test_stalls_and_error_events_for_who_does_not_stream() -> None:
    with LocalEndpoint([Fault.error_event("a"), Fault.stall("b", after=0)]) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            with pytest.raises(ProviderError, match="Simulated failure"):
                await provider.complete(MESSAGES)
            waiting = asyncio.create_task(provider.complete(MESSAGES))
            await endpoint.wait_until(lambda ledger: len(ledger.requests) == 2 and ledger.in_flight == 1)
            await endpoint.settle()
            endpoint.release_hung()
            assert (await waiting).content == "b"


async def test_the_usage_is_reported_only_to_who_asks() -> None:
    with LocalEndpoint(["one two"]) as endpoint:
        async with Provider(endpoint.base_url, "m", omit={"stream_options"}) as provider:
            events = await drained(provider.stream(MESSAGES))
        assert endpoint.ledger.output_tokens == 2
    assert next(event for event in events if isinstance(event, UsageEvent)).estimated


# Patterns that tell what they do


def look() -> str:
    return "a cat"


LOOK = Tool("look", "Look.", {"type": "object", "properties": {}}, look)
ASKED = LLMResponse("", [ToolCall("1", "look", {}), ToolCall("2", "fly", {})])


class NotStreaming:
    """The mock without its stream."""

    supports_tools = True

    def __init__(self, mock: MockProvider) -> None:
        self.complete = mock.complete


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("is_async", [True, False])
async def test_react_loop_tells_what_happens(*, streaming: bool, is_async: bool) -> None:
    seen: list[PatternEvent] = []
    mock = MockProvider([ASKED, "a cat"])

    async def later(event: PatternEvent) -> None:
        await asyncio.sleep(0)
        seen.append(event)

    on_event: Callable[[PatternEvent], Awaitable[None] | None] = later if is_async else seen.append
    provider: Any = mock if streaming else NotStreaming(mock)
    result = await react_loop(provider, "q", [LOOK], on_event=on_event, max_observation_chars=40)
    steps = [event for event in seen if isinstance(event, (RoundStarted, ToolStarted))]
    assert steps == [
        RoundStarted(1),
        ToolStarted(1, ToolCall("1", "look", {})),
        ToolStarted(1, ToolCall("2", "fly", {})),
        RoundStarted(2),
    ]
    cat, fly = sorted((e for e in seen if isinstance(e, Observation)), key=lambda e: e.call.id)
    assert (cat.round, cat.text, cat.ran, cat.truncated) == (1, "a cat", True, False)
    assert (fly.ran, fly.truncated, len(fly.text)) == (False, True, 40)
    words = ["a", " cat"] if streaming else ["a cat"]
    assert [event.text for event in seen if isinstance(event, TextDelta)] == words
    assert isinstance(seen[-2], Finish)
    assert (result.value, result.callback_errors) == ("a cat", 0)
    quiet = await react_loop(MockProvider([ASKED, "a cat"]), "q", [LOOK], max_observation_chars=40)
    assert quiet == result


async def test_refine_loop_tells_what_happens() -> None:
    async def score(text: str, _provider: LLMProvider) -> float:
        return {"bad": 0.2, "worse": 0.1, "good": 1.0}[text]

    seen: list[PatternEvent] = []
    mock = MockProvider(["bad", "worse", "good"])
    result = await refine_loop(mock, "q", evaluator=score, on_event=seen.append)
    assert [event for event in seen if isinstance(event, (DraftStarted, DraftScored))] == [
        DraftStarted(0),
        DraftScored(0, "bad", 0.2, is_best=True),
        DraftStarted(1),
        DraftScored(1, "worse", 0.1, is_best=False),
        DraftStarted(2),
        DraftScored(2, "good", 1.0, is_best=True),
    ]
    assert text(seen) == "badworsegood"
    assert result.metadata["callback_errors"] == 0


async def test_a_stream_that_breaks_ends_the_loop_with_what_was_paid() -> None:
    with LocalEndpoint([ASKED, Fault.error_event("one two")]) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            with pytest.raises(ProviderError) as caught:
                await react_loop(provider, "q", [LOOK], on_event=lambda _: None, retry=NO_WAIT)
        assert caught.value.cost.llm_calls == endpoint.ledger.calls == 2
    assert caught.value.metadata["partial_text"] == "one"
    assert len(caught.value.metadata["messages"]) == 4


async def test_the_cost_is_the_same_streamed_or_not() -> None:
    def model(_request: Any) -> LLMResponse:
        return ASKED

    with LocalEndpoint(model) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            for on_event in (None, lambda _: None):
                before = endpoint.ledger.usage
                with pytest.raises(MaxIterationsError) as caught:
                    await react_loop(provider, "q", [LOOK], max_rounds=2, on_event=on_event)
                after = endpoint.ledger.usage
                assert before + caught.value.cost == after


def test_the_blocking_twin_tells_too() -> None:
    seen: list[PatternEvent] = []
    react_loop_sync(MockProvider(["a"]), "q", [LOOK], on_event=seen.append)
    assert seen[1:3] == [RoundStarted(1), TextDelta("a")]


async def told(provider: LLMProvider, prompt: str) -> PatternResult[str]:
    """A step that reads a stream."""
    assert isinstance(provider, StreamingProvider)
    async with provider.stream([{"role": "user", "content": prompt}]) as events:
        return PatternResult(text([event async for event in events]))


@pytest.mark.parametrize("ceiling", [None, 3])
async def test_a_step_whose_stream_fails_is_charged_once(ceiling: int | None) -> None:
    mock = MockProvider(["a", "a", "a", ProviderError("down")], usage=TokenUsage(10, 1))
    kit = Kit(mock)
    budget = None if ceiling is None else TokenUsage(llm_calls=ceiling)
    with pytest.raises((ProviderError, BudgetExhaustedError)) as caught:
        await kit.pipe("q", partial(consensus, num_samples=3), told, max_budget=budget, retry=ONCE)
    assert mock.call_count == (ceiling or 4)
    assert caught.value.cost == kit.usage == TokenUsage(30, 3, mock.call_count)
