"""How a stream may be used: once, by one task, in one event loop; and how it ends."""

import asyncio
import copy
import pickle
from collections.abc import Awaitable, Callable

import pytest
from fakes import ONCE
from loopback import (
    DONE,
    EVENT_STREAM,
    HEAD,
    HELLO,
    USER,
    Connection,
    MakeProvider,
    Request,
    Server,
    chunk,
    frames,
    http,
    piece,
    stream,
)

from executionkit.engine.run import Run
from executionkit.provider import Provider, ProviderError
from executionkit.streaming import Finish, ReplyStream, StreamEvent, TextDelta

Open = Callable[[Provider], ReplyStream]


def of_the_provider(provider: Provider) -> ReplyStream:
    return provider.stream(USER)


def of_a_run(provider: Provider) -> ReplyStream:
    return Run("run", provider, retry=ONCE).stream(USER)


@pytest.fixture(params=[of_the_provider, of_a_run])
def opened(request: pytest.FixtureRequest) -> Open:
    chosen: Open = request.param
    return chosen


def two_halves(server: Server) -> Callable[[], None]:
    """Send the first event; the rest when told to."""
    gate = server.hold(piece(frames(*HELLO[2:]) + DONE) + b"0\r\n\r\n")
    hold = server.script
    assert callable(hold)

    async def script(request: Request, connection: Connection) -> None:
        await connection.send(HEAD + piece(frames(*HELLO[:2])))
        await hold(request, connection)

    server.script = script
    return gate.open


async def rest(events: ReplyStream) -> list[StreamEvent]:
    return [event async for event in events]


async def waiting(what: Awaitable[object]) -> "asyncio.Future[object]":
    """Let a task come to where it waits for the server."""
    task = asyncio.ensure_future(what)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_a_stream_is_entered_once(server: Server, make_one: MakeProvider, opened: Open) -> None:
    server.script = stream(*HELLO)
    async with make_one() as provider:
        events = opened(provider)
        async with events:
            assert await anext(events) == TextDelta("Hel")
            with pytest.raises(RuntimeError, match="entered once: call `stream` again"):
                await events.__aenter__()
            assert isinstance((await rest(events))[-1], Finish)  # which did it no harm
        closed = opened(provider)
        await closed.aclose()
        for spent in (events, closed):
            with pytest.raises(RuntimeError, match="entered once: call `stream` again"):
                await spent.__aenter__()
            assert await rest(spent) == []
    assert len(server.requests) == 1


async def test_a_second_reader_is_refused_and_the_first_goes_on(
    server: Server, make_one: MakeProvider, opened: Open
) -> None:
    go_on = two_halves(server)
    async with make_one() as provider, opened(provider) as events:
        assert await anext(events) == TextDelta("Hel")
        first = await waiting(rest(events))
        with pytest.raises(RuntimeError, match="another task is reading this stream"):
            await anext(events)
        go_on()
        assert isinstance(await first, list)
        assert events.response.content == "Hello"


async def test_no_event_before_the_stream_is_entered(
    server: Server, make_one: MakeProvider, opened: Open
) -> None:
    gate = server.hold(stream(*HELLO))
    async with make_one() as provider:
        events = opened(provider)
        entering = await waiting(events.__aenter__())
        for use in (events.__anext__, events.__aenter__):
            with pytest.raises(RuntimeError, match=r"another task is reading|is entered once"):
                await use()
        gate.open()
        assert await entering is events
        assert isinstance((await rest(events))[-1], Finish)


async def test_tasks_may_take_turns(server: Server, make_one: MakeProvider, opened: Open) -> None:
    server.script = stream(*HELLO)
    async with make_one() as provider, opened(provider) as events:
        seen = [await asyncio.create_task(anext(events)) for _ in range(4)]
    assert seen[-1] == Finish("stop", events.response)


async def test_another_loop_is_refused(server: Server, make_one: MakeProvider, opened: Open) -> None:
    go_on = two_halves(server)
    async with make_one() as provider, opened(provider) as events:
        assert await anext(events) == TextDelta("Hel")
        for use in (events.__anext__, events.__aenter__, events.aclose):

            async def elsewhere(use: Callable[[], Awaitable[object]] = use) -> None:
                await use()

            with pytest.raises(RuntimeError, match=r"in another event loop|entered once"):
                await asyncio.to_thread(asyncio.run, elsewhere())
        go_on()
        assert isinstance((await rest(events))[-1], Finish)
    # Closed it may be anywhere: there is nothing left to do.
    await asyncio.to_thread(asyncio.run, events.aclose())


async def test_closing_it_ends_the_iteration_of_another_task(
    server: Server, make: MakeProvider, opened: Open
) -> None:
    two_halves(server)
    async with make() as provider:
        events = opened(provider)
        await events.__aenter__()
        assert await anext(events) == TextDelta("Hel")
        reader = await waiting(rest(events))
        await events.aclose()
        await server.until(lambda: server.open == 0)
        assert await reader == []
        assert not reader.cancelled()
        assert events.partial.content == "Hel"
        with pytest.raises(RuntimeError, match="not complete"):
            _ = events.response
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_closing_it_while_it_is_being_entered(server: Server, make: MakeProvider, opened: Open) -> None:
    server.hold()
    async with make() as provider:
        events = opened(provider)
        entering = await waiting(events.__aenter__())
        await server.until(lambda: server.held == 1)
        await events.aclose()
        await server.until(lambda: server.open == 0)
        assert await entering is events
        assert await rest(events) == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_cancelled_reader_is_cancelled_though_the_stream_is_closed_too(
    server: Server, make: MakeProvider, opened: Open
) -> None:
    two_halves(server)
    async with make() as provider, opened(provider) as events:
        assert await anext(events) == TextDelta("Hel")
        reader = await waiting(rest(events))
        closing = asyncio.create_task(events.aclose())
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await closing


async def test_whoever_closes_may_be_cancelled_and_it_is_closed_all_the_same(
    server: Server, make: MakeProvider, opened: Open
) -> None:
    two_halves(server)
    async with make() as provider, opened(provider) as events:
        assert await anext(events) == TextDelta("Hel")
        reader = await waiting(rest(events))
        closing = asyncio.create_task(events.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        assert await reader == []
        await server.until(lambda: server.open == 0)


async def test_a_timeout_of_ones_own_stays_a_timeout(
    server: Server, make: MakeProvider, opened: Open
) -> None:
    two_halves(server)
    async with make() as provider, opened(provider) as events:
        assert await anext(events) == TextDelta("Hel")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(events)
        assert await rest(events) == []


async def test_a_stream_can_not_be_pickled_or_copied(make_one: MakeProvider, opened: Open) -> None:
    async with make_one() as provider:
        for use in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="a stream can't be pickled or copied"):
                use(opened(provider))


# What is known of the cost of a stream that was left


async def test_the_estimate_of_a_stream_left_early_has_the_prompt(server: Server, make: MakeProvider) -> None:
    two_halves(server)
    async with make() as provider:
        async with provider.stream(USER) as events:
            assert await anext(events) == TextDelta("Hel")
            for _ in range(2):
                assert events.partial.usage == {
                    "prompt_tokens": len(server.requests[0].body) // 4,
                    "completion_tokens": 1,
                    "estimated": True,
                }
                await events.aclose()
        run = Run("run", provider)
        async with run.stream(USER) as events:
            assert await anext(events) == TextDelta("Hel")
        assumed = run._meter.estimates
        assert events.partial.input_tokens == assumed.input_tokens > 0
        assert events.partial.output_tokens == assumed.output_tokens == 1
        assert events.partial.usage_is_estimated


async def test_a_request_that_was_never_sent_is_not_in_the_estimate(
    server: Server, make: MakeProvider, opened: Open
) -> None:
    async with make() as provider:
        events = opened(provider)
        assert events.partial.input_tokens == 0
        server.stop()
        with pytest.raises(ProviderError, match="could not connect"):
            await events.__aenter__()
        server.start()
    assert events.partial.input_tokens == 0


async def test_a_failure_after_the_request_leaves_the_estimate(server: Server, make: MakeProvider) -> None:
    server.script = http(frames(chunk(content="Hel")) + "data: {torn", "200 OK", EVENT_STREAM)
    async with make() as provider:
        events = provider.stream(USER)
        with pytest.raises(ProviderError):
            await rest(events)
    assert events.partial.input_tokens == len(server.requests[0].body) // 4
    assert events.partial.usage_is_estimated
