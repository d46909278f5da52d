"""Streamed replies over the wire, on every back end: events, errors, early exits, what is counted."""

import asyncio
import gzip
import json
from typing import Any

import pytest
from fakes import NO_WAIT
from hypothesis import given, settings
from hypothesis import strategies as st
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
    completion,
    frames,
    http,
    piece,
    stream,
)

from executionkit.engine.run import Run
from executionkit.provider import LLMError, PermanentError, Provider, ProviderError, RateLimitError
from executionkit.provider._chunks import Assembly
from executionkit.responses import LLMResponse, ToolCall
from executionkit.streaming import (
    Finish,
    ReasoningDelta,
    RefusalDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallDone,
    UsageEvent,
)


async def collected(provider: Provider, **settings: Any) -> tuple[list[StreamEvent], LLMResponse]:
    async with provider.stream(USER, **settings) as events:
        return [event async for event in events], events.response


async def failure(provider: Provider) -> tuple[list[StreamEvent], LLMError]:
    seen: list[StreamEvent] = []
    async with provider:
        with pytest.raises(LLMError) as caught:
            await drain(provider, seen)
    assert caught.value.__context__ is None
    return seen, caught.value


async def drain(provider: Provider | Run, seen: list[StreamEvent], **settings: Any) -> None:
    async with provider.stream(USER, **settings) as events:
        async for event in events:
            seen.append(event)  # noqa: PERF401  # what came before an error is what this is about


def text(events: list[StreamEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


# A stream that goes well


async def test_the_events_of_a_text(server: Server, make: MakeProvider) -> None:
    server.script = stream(*HELLO)
    async with make() as provider:
        events, response = await collected(provider, seed=1)
        assert events == [
            TextDelta("Hel"),
            TextDelta("lo"),
            UsageEvent(3, 2, estimated=False),
            Finish("stop", response),
        ]
        whole = LLMResponse("Hello", usage={"prompt_tokens": 3, "completion_tokens": 2}, raw=response.raw)
        assert response == whole
        await collected(provider)
    assert server.connections == 1
    sent = server.requests[0].json
    assert (sent["stream"], sent["stream_options"], sent["seed"]) == (True, {"include_usage": True}, 1)


async def test_it_is_an_iterator_without_a_context_too(server: Server, make_one: MakeProvider) -> None:
    server.script = stream(*HELLO)
    async with make_one() as provider:
        events = provider.stream(USER)
        with pytest.raises(RuntimeError, match="not complete"):
            _ = events.response
        assert text([event async for event in events]) == "Hello" == events.response.content
        assert [event async for event in events] == []
        await events.aclose()
        never = provider.stream(USER)
        await never.aclose()
        assert [event async for event in never] == []
    assert len(server.requests) == 1


async def test_texts_beside_the_answer(server: Server, make_one: MakeProvider) -> None:
    server.script = stream(
        chunk(reasoning_content="Let me "),
        chunk(reasoning="see."),
        chunk(content=[{"type": "text", "text": "No"}]),
        chunk(refusal="I can't."),
        chunk("stop"),
    )
    async with make_one() as provider:
        events, response = await collected(provider)
    assert events[:4] == [
        ReasoningDelta("Let me "),
        ReasoningDelta("see."),
        TextDelta("No"),
        RefusalDelta("I can't."),
    ]
    assert (response.reasoning, response.content, response.refusal) == ("Let me see.", "No", "I can't.")


async def test_what_is_not_reported_is_estimated_and_says_so(server: Server, make_one: MakeProvider) -> None:
    server.script = stream(*HELLO[:-1], {"choices": [], "usage": None})
    async with make_one(omit={"stream_options"}) as provider:
        run = Run("run", provider)
        async with run.stream(USER) as events:
            seen = [event async for event in events]
    assert "stream_options" not in server.requests[0].json
    usage = next(event for event in seen if isinstance(event, UsageEvent))
    assert usage.estimated
    assert usage.output_tokens == 2
    assert usage.input_tokens == len(server.requests[0].body) // 4
    assert events.response.usage_is_estimated
    assert events.response.reported_output_tokens is None
    assert run.usage.output_tokens == 0  # reported tokens only
    assert run._meter.estimates.output_tokens == 2


@pytest.mark.parametrize("end", ["", DONE, "data: [DONE]", "data:[DONE]\n", ": bye\n\n"])
async def test_a_finished_reply_needs_no_particular_end(
    server: Server, make_one: MakeProvider, end: str
) -> None:
    server.script = stream(*HELLO, end=end)
    async with make_one() as provider:
        events, response = await collected(provider)
    assert (text(events), response.output_tokens) == ("Hello", 2)


async def test_comments_byte_order_mark_and_torn_bytes(server: Server, make: MakeProvider) -> None:
    body = ("\ufeff: PROCESSING\r\n\r\n" + frames(chunk(content="ü\u2028😀"), chunk("stop")) + DONE).encode()

    async def script(request: Request, connection: Connection) -> None:
        await connection.send(HEAD)
        for at in range(len(body)):
            await connection.send(b"1\r\n%b\r\n" % body[at : at + 1])
        await connection.send(b"0\r\n\r\n")

    server.script = script
    async with make() as provider:
        assert (await collected(provider))[1].content == "ü\u2028😀"


async def test_half_a_surrogate_pair_waits_for_the_other(server: Server, make_one: MakeProvider) -> None:
    server.script = stream(chunk(content="a\ud83d"), chunk(content="\ude00b\ud83d"), chunk("stop"))
    async with make_one() as provider:
        events, response = await collected(provider)
    assert response.content == "a😀b\ufffd" == text(events)


async def test_gzip_byte_by_byte(server: Server, make: MakeProvider) -> None:
    # Most of the bytes unpack to nothing by themselves, which is not the end of the stream.
    first, rest = (frames(*HELLO) + DONE).encode()[:40], (frames(*HELLO) + DONE).encode()[40:]
    packed = gzip.compress(first) + gzip.compress(rest) + b"\0\0"

    async def script(_: Request, connection: Connection) -> None:
        await connection.send(HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))
        for byte in packed:
            await connection.send(b"1\r\n%c\r\n" % byte)
        await connection.send(b"0\r\n\r\n")

    server.script = script
    async with make() as provider:
        assert (await collected(provider))[1].content == "Hello"


async def test_other_choices_are_left_aside(server: Server, make_one: MakeProvider) -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": "length"}]}
    server.script = stream(chunk(content="first"), other, chunk("stop"), other)
    async with make_one() as provider:
        response = (await collected(provider))[1]
    assert (response.content, response.finish_reason) == ("first", "stop")


# Tool calls


def assembled(*fragments: Any, finish: str = "tool_calls") -> tuple[ToolCall, ...]:
    assembly = Assembly(0)
    for fragment in fragments:
        assembly.add(chunk(tool_calls=fragment if isinstance(fragment, list) else [fragment]))
    assembly.add(chunk(finish))
    events = assembly.finish()
    response = next(event.response for event in events if isinstance(event, Finish))
    assert tuple(event.call for event in events if isinstance(event, ToolCallDone)) == response.tool_calls
    return tuple(response.tool_calls)


def call(
    arguments: Any = None, name: str | None = None, call_id: str | None = None, **index: Any
) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {**index, "function": function, **({} if call_id is None else {"id": call_id})}


BOTH = (ToolCall("a", "add", {"x": 1}), ToolCall("b", "sub", {"y": 2}))

FRAGMENTED: dict[str, list[Any]] = {
    "by index, in turns": [
        call("", "add", "a", index=0),
        call("", "sub", "b", index=1),
        call('{"x"', index=0),
        call('{"y', index=1),
        call(": 1}", index=0),
        call('": 2}', index=1),
    ],
    "two in a chunk": [
        [call('{"x"', "add", "a", index=0), call('{"y"', "sub", "b", index=1)],
        [call(":1}", index=0), call(":2}", index=1)],
    ],
    "the name with every fragment": [
        call('{"x"', "add", "a", index=0),
        call(":1}", "add", "a", index=0),
        call('{"y"', "sub", "b", index=1),
        call(":2}", "sub", "b", index=1),
    ],
    "the name in pieces": [
        call(None, "a", "a", index=0),
        call(None, "dd", index=0),
        call('{"x": 1}', index=0),
        call('{"y": 2}', "sub", "b", index=1),
    ],
    "no index": [
        call('{"x"', "add", "a"),
        call(":1}"),
        call('{"y"', "sub", "b"),
        call(":2}"),
    ],
    "no index, the id with every fragment": [
        call('{"x"', "add", "a"),
        call('{"y"', "sub", "b", index=7),
        call(":1}", call_id="a"),
        call(":2}", index=7),
    ],
    "the same index for both": [
        call('{"x": 1}', "add", "a", index=0),
        call('{"y": 2}', "sub", "b", index=0),
    ],
    "arguments as objects": [
        [call({"x": 1}, "add", "a", index=0), call({"y": 2}, "sub", "b", index=1)],
    ],
}


@pytest.mark.parametrize("kind", FRAGMENTED)
def test_calls_however_they_are_cut(kind: str) -> None:
    assert assembled(*FRAGMENTED[kind]) == BOTH


def test_calls_without_ids_or_arguments_or_anything() -> None:
    assert assembled(call(None, "ping", index=0), {}, {"index": 3}, None, finish="stop") == (
        ToolCall("", "ping", {}),
    )
    (first, second) = assembled(call("{}", "ping"), call("{}", "ping"))
    assert first == second == ToolCall("", "ping", {})
    (bad,) = assembled(call('{"x": ', "ping", "a", index=0))
    assert bad.invalid_arguments == '{"x": '


async def test_calls_over_the_wire_with_finish_reason_stop(server: Server, make_one: MakeProvider) -> None:
    fragments = FRAGMENTED["the name with every fragment"]
    server.script = stream(*(chunk(tool_calls=[fragment]) for fragment in fragments), chunk("stop"))
    async with make_one() as provider:
        events, response = await collected(provider)
    assert tuple(response.tool_calls) == BOTH
    assert response.finish_reason == "stop"
    deltas = [event for event in events if isinstance(event, ToolCallDelta)]
    assert deltas[0] == ToolCallDelta(0, "a", "add", '{"x"')
    assert "".join(event.arguments for event in deltas if event.index == 1) == '{"y":2}'
    assert [event.call for event in events if isinstance(event, ToolCallDone)] == list(BOTH)


async def test_the_older_form_of_a_call(server: Server, make_one: MakeProvider) -> None:
    server.script = stream(
        chunk(function_call={"name": "add", "arguments": '{"x"'}),
        chunk(function_call={"arguments": ":1}"}),
        chunk("function_call"),
    )
    async with make_one() as provider:
        assert (await collected(provider))[1].tool_calls == (ToolCall("", "add", {"x": 1}),)


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    *("choices", "delta", "message", "content", "tool_calls", "function", "index", "id"),
                    *("name", "arguments", "usage", "finish_reason", "text", "prompt_tokens", "reasoning"),
                    *("function_call", "error"),
                )
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=50)
@given(chunks=st.lists(st.dictionaries(st.sampled_from(["choices", "usage", "id"]), _JUNK), max_size=4))
def test_chunks_of_any_shape_make_a_reply(chunks: list[dict[str, Any]]) -> None:
    assembly = Assembly(10)
    seen = [event for item in chunks for event in assembly.add(item)] + assembly.finish()
    assert isinstance(seen[-1], Finish)
    assert text(seen) == seen[-1].response.content


# What goes wrong


@pytest.mark.parametrize(
    ("status", "kind"),
    [("429 Too Many", RateLimitError), ("401 No", PermanentError), ("503 Down", ProviderError)],
)
async def test_a_status_is_the_error_that_complete_raises(
    server: Server, make_one: MakeProvider, status: str, kind: type[LLMError]
) -> None:
    server.script = http('{"error": {"message": "because"}}', status, "Retry-After: 7")
    seen, error = await failure(make_one())
    with pytest.raises(LLMError) as caught:
        async with make_one() as provider:
            await provider.complete(USER)
    assert type(error) is type(caught.value) is kind
    assert str(error) == str(caught.value)
    assert (error.status_code, error.retry_after) == (caught.value.status_code, 7)
    assert seen == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<!doctype html><title>Sign in</title>", "an HTML page, 'Sign in'"),
        ('\n {"error": {"message": "overloaded"}}', "overloaded"),
        ('{"choices": []}', "no message in it"),
        ("[1, 2]", "not an object"),
        ('{"message": {"content": "ollama"}}\n{"done": true}\n', "no message in it"),
        ("", "empty"),
        ("upstream connect error", "the stream ended before"),
        (frames({"choices": []}) + DONE, "no message in it"),
        (DONE, "no message in it"),
    ],
)
async def test_what_is_no_stream(server: Server, make_one: MakeProvider, body: str, words: str) -> None:
    server.script = http(body, "200 OK", EVENT_STREAM)
    seen, error = await failure(make_one())
    assert isinstance(error, ProviderError)
    assert words in str(error)
    assert seen == []


async def test_a_whole_reply_is_taken_at_its_word(server: Server, make_one: MakeProvider) -> None:
    server.script = http(json.dumps(completion("all at once")), "200 OK", "Content-Type: application/json")
    async with make_one() as provider:
        events, response = await collected(provider)
    assert [type(event) for event in events] == [TextDelta, UsageEvent, Finish]
    assert (response.content, response.output_tokens) == ("all at once", 2)


@pytest.mark.parametrize(
    ("frame", "kind", "words"),
    [
        ('data: {"error": {"message": "slow down", "code": 429}}\n\n', RateLimitError, "slow down"),
        ('data: {"error": "broken"}\n\n', ProviderError, "broken"),
        ('event: error\ndata: {"message": "no", "type": "invalid_request_error"}\n\n', PermanentError, "no"),
        ("event: error\ndata: it broke\n\n", ProviderError, "it broke"),
        ('data: {"choices": [{"error": {"message": "moderated"}}]}\n\n', ProviderError, "moderated"),
        ("data: {nonsense\n\n", ProviderError, "JSONDecodeError"),
        (f"data: {'[' * 200_000}\n\n", ProviderError, "RecursionError"),
        ("data: 7\n\n", ProviderError, "not an object"),
    ],
)
async def test_an_error_inside_the_stream(
    server: Server, make_one: MakeProvider, frame: str, kind: type[LLMError], words: str
) -> None:
    server.script = stream(*HELLO[:2], end=frame)
    seen, error = await failure(make_one())
    assert type(error) is kind
    assert words in str(error)
    assert text(seen) == "Hel" == error.metadata["partial_text"]
    server.script = stream(*HELLO[:4], end=frame)
    async with make_one() as provider:
        assert (await collected(provider))[1].content == "Hello"  # it was complete, and is paid for


async def test_an_end_before_the_finish(server: Server, make_one: MakeProvider) -> None:
    for end in ("", "data: {torn"):
        server.script = stream(*HELLO[:3], end=end)
        seen, error = await failure(make_one())
        assert isinstance(error, ProviderError)
        assert "ended before the reply was finished" in str(error)
        assert text(seen) == "Hello" == error.metadata["partial_text"]


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("finished", [False, True])
async def test_a_connection_that_breaks(
    server: Server, make: MakeProvider, *, reset: bool, finished: bool
) -> None:
    read = server.gate()

    async def script(request: Request, connection: Connection) -> None:
        await connection.send(HEAD + piece(frames(*HELLO[: 4 if finished else 2])))
        await read.wait()
        if reset:
            connection.reset()
        else:
            connection.close()

    server.script = script
    async with make() as provider, provider.stream(USER) as events:
        assert await anext(events) == TextDelta("Hel")
        read.open()
        if finished:
            assert text([event async for event in events]) == "lo"
            assert events.response.content == "Hello"
        else:
            with pytest.raises(ProviderError, match="broke") as caught:
                await anext(events)
            assert caught.value.dispatched


async def test_silence_and_the_deadline(server: Server, make: MakeProvider) -> None:
    async def script(request: Request, connection: Connection) -> None:
        await connection.send(HEAD + piece(frames(*HELLO[:2])))
        await asyncio.sleep(3600)

    server.script = script
    seen, error = await failure(make(timeout=0.2))
    assert text(seen) == "Hel"
    assert "nothing was heard for 0.2 s (timeout)" in str(error)
    seen, error = await failure(make(deadline=0.2))
    assert text(seen) == "Hel"
    assert "within 0.2 s (deadline)" in str(error)


async def test_no_answer_at_all(server: Server, make: MakeProvider) -> None:
    gate = server.hold()
    _, error = await failure(make(deadline=0.2))
    assert "no complete reply within 0.2 s (deadline)" in str(error)
    assert error.dispatched
    gate.open()


@pytest.mark.parametrize(
    "body", [frames(chunk(content="x" * 5000)), frames(*[chunk(content="x" * 300)] * 10)]
)
async def test_more_than_may_come(server: Server, make: MakeProvider, body: str) -> None:
    server.script = http(body + DONE, "200 OK", EVENT_STREAM)
    _, error = await failure(make(max_response_bytes=2000))
    assert "larger than max_response_bytes (2000)" in str(error)


async def test_a_whole_reply_of_more_than_may_come(server: Server, make_one: MakeProvider) -> None:
    async def script(request: Request, connection: Connection) -> None:
        await connection.send(HEAD + piece(json.dumps(completion("x"))[:-1]))
        for _ in range(50):
            await connection.send(piece(" " * 100))

    server.script = script
    _, error = await failure(make_one(max_response_bytes=2000))
    assert "larger than max_response_bytes (2000)" in str(error)


async def test_a_stream_that_can_not_be_unpacked_any_more(server: Server, make_one: MakeProvider) -> None:
    packed = gzip.compress(frames(*HELLO[:2]).encode())
    head = HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    go_on = server.gate()

    async def script(_: Request, connection: Connection) -> None:
        await connection.send(head + b"%x\r\n%b\r\n" % (len(packed), packed))
        await go_on.wait()
        await connection.send(b"4\r\n\x1f\x8b\xff\xff\r\n0\r\n\r\n")

    server.script = script
    async with make_one() as provider, provider.stream(USER) as events:
        assert await anext(events) == TextDelta("Hel")
        go_on.open()
        with pytest.raises(ProviderError, match=r"not a chat completion \(error: Error -3") as caught:
            await anext(events)
    assert caught.value.metadata["partial_text"] == "Hel"


async def test_nothing_listens(make: MakeProvider, server: Server) -> None:
    server.stop()
    _, error = await failure(make())
    assert "could not connect" in str(error)
    assert not error.dispatched
    server.start()


async def test_wrong_arguments_send_nothing(server: Server, make_one: MakeProvider) -> None:
    async with make_one() as provider:
        for wrong, kind in (({"temperature": 3}, ValueError), ({"stream": False}, TypeError)):
            with pytest.raises(kind) as caught:
                await drain(provider, [], **wrong)
            assert vars(caught.value)["dispatched"] is False
    with pytest.raises(ValueError, match="stream"):
        make_one(omit={"stream"})
    assert server.requests == []


# Leaving early


def endless(server: Server) -> None:
    async def script(request: Request, connection: Connection) -> None:
        await connection.send(HEAD + piece(frames(chunk(content="Hel"))))
        await connection.reader.read()
        connection.close()

    server.script = script


async def test_leaving_early_closes_the_connection_and_counts_what_was_seen(
    server: Server, make: MakeProvider
) -> None:
    endless(server)
    async with make() as provider:
        run = Run("run", provider)
        async with run.stream(USER) as events:
            async for event in events:
                assert event == TextDelta("Hel")
                break
        await server.until(lambda: server.open == 0)
        assert events.partial.content == "Hel"
        assert events.partial.finish_reason == "incomplete"
        assert run.usage.llm_calls == len(server.requests) == 1
        assert run._meter.estimates.output_tokens == 1
        assert run._meter.estimates.input_tokens > 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_cancelling_closes_the_connection(server: Server, make: MakeProvider) -> None:
    endless(server)

    async def read() -> None:
        async with provider.stream(USER) as events:
            async for _ in events:
                got.set()

    async with make() as provider:
        got = asyncio.Event()
        task = asyncio.ensure_future(read())
        await got.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.until(lambda: server.open == 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_stream_that_is_dropped_warns_and_closes(server: Server, make: MakeProvider) -> None:
    endless(server)
    async with make() as provider:
        events = provider.stream(USER)
        assert await anext(events) == TextDelta("Hel")
        with pytest.warns(ResourceWarning, match="left open"):
            del events
        await server.until(lambda: server.open == 0)


async def test_closing_the_provider_ends_its_streams(server: Server, make: MakeProvider) -> None:
    endless(server)
    provider = make()
    async with provider.stream(USER) as events:
        assert await anext(events) == TextDelta("Hel")
        await provider.aclose()
        with pytest.raises(ProviderError, match="the provider was closed while"):
            await anext(events)


async def test_many_at_once(server: Server, make: MakeProvider) -> None:
    server.script = stream(*HELLO)
    async with make() as provider:
        results = await asyncio.gather(*(collected(provider) for _ in range(50)))
    assert {response.content for _, response in results} == {"Hello"}


# Retries


async def test_a_failure_before_the_first_event_is_retried_and_none_after_it(
    server: Server, make_one: MakeProvider
) -> None:
    broken = stream(chunk(role="assistant", content=""), end='data: {"error": "overloaded"}\n\n')
    server.script = [http("", "503 Down"), broken, stream(*HELLO)]
    async with make_one() as provider:
        run = Run("run", provider, retry=NO_WAIT)
        async with run.stream(USER) as events:
            assert text([event async for event in events]) == "Hello"
        assert run.usage.llm_calls == len(server.requests) == 3
        server.script = [stream(*HELLO[:2], end='data: {"error": "overloaded"}\n\n'), stream(*HELLO)]
        with pytest.raises(ProviderError, match="overloaded") as caught:
            await drain(run, [])
        assert run.usage.llm_calls == len(server.requests) == 4
        assert caught.value.cost == run.usage
        assert run._meter.estimates.output_tokens == 1


async def test_who_is_cancelled_while_a_finished_stream_ends_leaves_no_connection(
    server: Server, make: MakeProvider
) -> None:
    gate = server.gate()

    async def script(request: Request, connection: Connection) -> None:
        await connection.send(HEAD + piece(frames(*HELLO) + DONE))  # and not the last chunk
        await gate.wait()

    server.script = script
    async with make() as provider:
        read = asyncio.Event()

        async def reader() -> None:
            async with provider.stream(USER) as events:
                async for event in events:
                    if isinstance(event, Finish):
                        read.set()

        task = asyncio.ensure_future(reader())
        await read.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.open()
        await server.until(lambda: server.open == 0)
