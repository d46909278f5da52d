"""`Provider(stream_always=True)`: replies and errors as without it, and leaving ends the generation."""

import asyncio
import contextlib
import json
import traceback
from typing import Any

import pytest
from fakes import NO_WAIT
from loopback import (
    HEAD,
    HELLO,
    USAGE,
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

from executionkit import BudgetExhaustedError, LLMResponse, Provider, TokenUsage, consensus
from executionkit.errors import LLMError, PermanentError, ProviderError, RateLimitError
from executionkit.testing import Answer, Fault, LocalEndpoint


@pytest.mark.parametrize("way_out", ["cancelled", "timed out", "closed"])
async def test_leaving_ends_the_generation(server: Server, make: MakeProvider, way_out: str) -> None:
    written = 0

    async def script(_: Request, connection: Connection) -> None:
        nonlocal written
        with contextlib.suppress(ConnectionError):
            await connection.send(HEAD)
            while not connection.reader.at_eof():
                await connection.send(piece(frames(chunk(content="word "))))
                written += 1
                await server._notify()
                await asyncio.sleep(0.005)
        connection.close()

    server.script = script
    async with make(stream_always=True) as provider:
        options: dict[str, Any] = {"timeout": 0.3} if way_out == "timed out" else {}
        call = asyncio.ensure_future(provider.complete(USER, **options))
        await server.until(lambda: written > 2)
        if way_out == "cancelled":
            call.cancel()
        elif way_out == "closed":
            await provider.aclose()
        outcome = (await asyncio.gather(call, return_exceptions=True))[0]
        await server.until(lambda: server.open == 0)
    if way_out == "cancelled":
        assert isinstance(outcome, asyncio.CancelledError)
    else:
        assert isinstance(outcome, ProviderError)
        assert outcome.metadata["partial_text"].startswith("word word")
        words = "within 0.3 s (timeout)" if way_out == "timed out" else "the provider was closed"
        assert words in str(outcome)


LOOK = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sea"}'}}
PROBABLE = {"content": [{"token": "Hello", "logprob": -0.1}]}


def both(message: dict[str, Any], pieces: list[dict[str, Any]], finish: str) -> tuple[bytes, bytes]:
    """One reply as it comes whole, and as a stream."""
    body = completion(**{"content": "", **message})
    body["choices"][0]["finish_reason"] = finish
    head = "X-Request-Id: req-7"
    events = frames(*(chunk(**each) for each in pieces), chunk(finish), USAGE) + "data: [DONE]\n\n"
    return (
        http(json.dumps(body), "200 OK", head),
        http(events, "200 OK", "Content-Type: text/event-stream", head),
    )


REPLIES = {
    "text": both({"content": "Hello"}, [{"content": "Hel"}, {"content": "lo"}], "stop"),
    "cut off": both({"content": "Hel"}, [{"content": "Hel"}], "length"),
    "reasoning": both(
        {"content": "4", "reasoning_content": "2+2"}, [{"reasoning_content": "2+2"}, {"content": "4"}], "stop"
    ),
    "refusal": both({"content": None, "refusal": "No."}, [{"refusal": "No."}], "stop"),
    "tool calls": both(
        {"content": None, "tool_calls": [LOOK]}, [{"tool_calls": [{"index": 0, **LOOK}]}], "tool_calls"
    ),
}


@pytest.mark.parametrize("what", REPLIES)
async def test_the_reply_is_the_same(server: Server, make: MakeProvider, what: str) -> None:
    whole, streamed = REPLIES[what]

    async def script(request: Request, connection: Connection) -> None:
        await connection.send(streamed if request.json.get("stream") else whole)

    server.script = script
    async with make() as plain, make(stream_always=True) as provider:
        expected, found = [await each.complete(USER, temperature=0.1) for each in (plain, provider)]
    for name in (
        "content",
        "tool_calls",
        "finish_reason",
        "reasoning",
        "refusal",
        "request_id",
        "total_tokens",
    ):
        assert getattr(found, name) == getattr(expected, name)
    asked, streamed_asked = [request.json for request in server.requests]
    assert streamed_asked == {**asked, "stream": True, "stream_options": {"include_usage": True}}


async def test_several_choices_and_what_stands_beside_them(server: Server, make_one: MakeProvider) -> None:
    def part(index: int, text: str) -> dict[str, Any]:
        choice = {"index": index, "delta": {"content": text}, "logprobs": PROBABLE, "finish_reason": "stop"}
        return {"choices": [choice], "x_vendor": {"took": 3}}

    server.script = stream(part(1, "two"), part(0, "one"), USAGE)
    async with make_one(stream_always=True) as provider:
        found = await provider.complete(USER, n=2, logprobs=True)
    assert [found.content, *(other.content for other in found.alternatives)] == ["one", "two"]
    assert found.raw["choices"][0]["logprobs"] == PROBABLE
    assert found.raw["x_vendor"] == {"took": 3}


async def test_a_server_that_does_not_stream(server: Server, make_one: MakeProvider) -> None:
    async with make_one(stream_always=True) as provider:
        assert await provider.complete(USER) == LLMResponse(
            "hi", [], "stop", completion()["usage"], completion()
        )
        server.script = http('{"error": {"message": "streaming is not supported"}}', "400 Bad Request")
        with pytest.raises(PermanentError, match="streaming is not supported") as caught:
            await provider.complete(USER)
    assert "needs stream_always=False" in "".join(traceback.format_exception(caught.value))


ERRORS: list[tuple[bytes, type[LLMError]]] = [
    (http("{}", "503 Busy"), ProviderError),
    (http('{"error": {"message": "slow down"}}', "429 Slow", "Retry-After: 2"), RateLimitError),
    (http("{}", "401 No"), PermanentError),
    (stream(chunk(content="x"), {"error": {"message": "overloaded", "code": 503}}), ProviderError),
    (stream(chunk(content="x"), {"error": {"message": "bad", "code": 400}}), PermanentError),
    (stream(chunk(content="x"), end=""), ProviderError),
]


@pytest.mark.parametrize(("answer", "kind"), ERRORS)
async def test_errors_are_of_the_same_kinds(
    server: Server, make_one: MakeProvider, answer: bytes, kind: type[LLMError]
) -> None:
    server.script = answer
    async with make_one(stream_always=True) as provider:
        with pytest.raises(kind) as caught:
            await provider.complete(USER)
    assert type(caught.value) is kind
    assert caught.value.dispatched


async def test_a_reply_that_breaks_off_is_asked_for_again(server: Server, make_one: MakeProvider) -> None:
    """As a whole reply would be; text that has come makes no difference."""
    server.script = [stream(chunk(content="Hel"), end=""), stream(*HELLO)]
    async with make_one(stream_always=True) as provider:
        found = await consensus(provider, "q", num_samples=1, retry=NO_WAIT)
    assert (found.value, found.cost.llm_calls) == ("Hello", 2)


async def test_ceilings_hold_and_the_ledgers_agree(backend: Any) -> None:
    script: list[Answer] = [
        Fault.status(503),
        "one",
        Fault.cut_body(sent=3),
        Fault.error_event(after=1),
        "one",
    ]
    with LocalEndpoint([*script, "one"] * 3) as endpoint:
        async with Provider(endpoint.base_url, "m", backend=backend, stream_always=True) as provider:
            ceiling = TokenUsage(llm_calls=5)
            with pytest.raises(BudgetExhaustedError) as caught:
                await consensus(provider, "q", num_samples=5, retry=NO_WAIT, max_cost=ceiling)
        ledger = await endpoint.settle()
    assert caught.value.cost.llm_calls == ledger.calls == 5


async def test_an_argument_is_refused_before_anything_is_sent(server: Server, make_one: MakeProvider) -> None:
    async with make_one(stream_always=True) as provider:
        with pytest.raises(TypeError, match=r"^complete\(\) must not set 'stream'") as caught:
            await provider.complete(USER, stream=True)
    assert getattr(caught.value, "dispatched", True) is False
    assert server.requests == []
    with pytest.raises(ValueError, match="stream_always must be True or False"):
        make_one(stream_always="yes")


def test_it_is_shown_where_it_is_set(make_one: MakeProvider) -> None:
    assert "stream_always=True" in repr(make_one(stream_always=True))
    assert "stream_always" not in repr(make_one())
