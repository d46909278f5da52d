"""A stream that fails and says why outside of its events; one that never begins; odd codings of a body."""

import asyncio
import gzip
import json
from typing import Any

import pytest
from loopback import (
    DONE,
    USER,
    Connection,
    MakeProvider,
    Request,
    Server,
    chunk,
    completion,
    frames,
    http,
    stream,
)

from executionkit.errors import LLMError, PermanentError, ProviderError, RateLimitError
from executionkit.provider import Provider

TOO_LONG = {"code": 400, "message": "the request exceeds the context size", "type": "invalid_request_error"}
BUSY = {"error": {"message": "the upstream is overloaded", "code": 503}}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


async def whole(provider: Provider) -> str:
    return (await provider.complete(USER)).content


async def streamed(provider: Provider) -> str:
    async with provider.stream(USER) as events:
        async for _ in events:
            pass
    return events.response.content


async def failure(provider: Provider, ask: Any = streamed) -> LLMError:
    async with provider:
        with pytest.raises(LLMError) as caught:
            await ask(provider)
    return caught.value


@pytest.mark.parametrize(
    ("lines", "kind", "words"),
    [
        (f"error: {json.dumps(TOO_LONG)}\n\n", PermanentError, "exceeds the context size"),
        (f"{json.dumps(BUSY)}\n\n", ProviderError, "the upstream is overloaded"),
        (json.dumps(BUSY), ProviderError, "the upstream is overloaded"),
        (json.dumps(BUSY, indent=2), ProviderError, "the upstream is overloaded"),
        (f"{json.dumps(BUSY)}\n\n{DONE}", ProviderError, "the upstream is overloaded"),
        (
            f"[ERROR] {json.dumps({'error': {'code': 429, 'message': 'slow down'}})}\n",
            RateLimitError,
            "slow down",
        ),
        ("error: it broke\n\n", ProviderError, "it broke"),
        (
            f"data: {json.dumps({'object': 'error', **TOO_LONG})}\n\n",
            PermanentError,
            "exceeds the context size",
        ),
        ('data: {"type": "ThrottlingException", "message": "slow down"}\n\n', RateLimitError, "slow down"),
        ('event: fail\ndata: {"message": "out of memory"}\n\n', ProviderError, "out of memory"),
        ('data: {"error": {"message": "bad n", "http_code": "422"}}\n\n', PermanentError, "bad n"),
        ('data: {"error": {"message": "bad n", "code": "HTTP_400"}}\n\n', PermanentError, "bad n"),
        ("RuntimeError: out of memory\n", ProviderError, "out of memory"),
        ('data: {"exception": "out of memory"}\n\n', ProviderError, "out of memory"),
        ("<html><head><title>502 Bad Gateway</title></head></html>", ProviderError, "502 Bad Gateway"),
        ('data: {"throttlingException": {"message": "slow down"}}\n\n', RateLimitError, "slow down"),
        (
            'data: {"Message": "not allowed", "__type": "AccessDeniedException"}\n\n',
            PermanentError,
            "not allowed",
        ),
        (
            'data: {"choices": null, "base_resp": {"status_code": 1002, "status_msg": "too quick"}}\n\n',
            ProviderError,
            "too quick",
        ),
        (f"data: {json.dumps(json.dumps(BUSY))}\n\n", ProviderError, "the upstream is overloaded"),
        (f"data: Error: {json.dumps({'error': TOO_LONG})}\n\n", PermanentError, "exceeds the context size"),
        (f"data: data: {json.dumps({'error': TOO_LONG})}\n\n", PermanentError, "exceeds the context size"),
        ("data: null\n\ndata: {}\n\n", ProviderError, "ended before"),
        ("warning: {not JSON\n\n", ProviderError, "ended before"),
    ],
)
async def test_an_error_outside_of_the_events(
    server: Server, make_one: MakeProvider, lines: str, kind: type[LLMError], words: str
) -> None:
    server.script = stream(chunk(content="par"), end=lines)
    found = await failure(make_one())
    assert (type(found), found.metadata["partial_text"]) == (kind, "par")
    assert words in str(found)
    found = await failure(make_one(), whole)
    assert (type(found), words in str(found)) == (kind, True), found
    server.script = stream(chunk(content="all"), chunk("stop"), end=lines)
    async with make_one() as provider:
        for ask in (streamed, whole):
            assert await ask(provider) == "all"  # it was complete, and is paid for


@pytest.mark.parametrize(
    "sign",
    [b": still at it\n\n", b"\n", b'data: {"type": "ping"}\n\n', b'data: {"choices": [{"delta": {}}]}\n\n'],
)
async def test_signs_of_life_alone_are_no_reply(server: Server, make: MakeProvider, sign: bytes) -> None:
    async def script(_: Request, connection: Connection) -> None:
        await connection.send(HEAD)
        while not connection.reader.at_eof():
            await connection.send(sign)
            try:
                await asyncio.wait_for(connection.reader.read(1), 0.02)
            except TimeoutError:
                continue
        connection.close()

    server.script = script
    found = await failure(make(timeout=0.2, connect_timeout=60.0, deadline=60.0))
    assert isinstance(found, ProviderError)
    assert "nothing of a reply came within 0.2 s (timeout)" in str(found)


CODINGS = [
    "none",
    "utf-8",
    "identity, identity",
    "UTF8",
    "",
    ",",
    "foo",
    "application/json",
    "x-gzip-none",
    "null",
]


@pytest.mark.parametrize("coding", CODINGS)
async def test_what_is_no_coding_does_no_harm(server: Server, make: MakeProvider, coding: str) -> None:
    header = f"Content-Encoding: {coding}"
    async with make() as provider:
        server.script = http(json.dumps(completion("hi")), "200 OK", header)
        assert await whole(provider) == "hi"
        body = frames(chunk(content="hi"), chunk("stop")) + DONE
        server.script = http(body, "200 OK", header, "Content-Type: text/event-stream")
        assert await streamed(provider) == "hi"
        packed = gzip.compress(json.dumps(completion("hi")).encode())
        server.script = http(packed, "200 OK", f"Content-Encoding: identity, gzip, {coding}")
        assert await whole(provider) == "hi"


@pytest.mark.parametrize("coding", ["br", "gzip, zstd"])
async def test_a_coding_that_was_undone_may_still_be_named(
    server: Server, make_one: MakeProvider, coding: str
) -> None:
    server.script = [
        http(json.dumps(completion("hi")), "200 OK", f"Content-Encoding: {coding}"),
        http(frames(chunk(content="hi"), chunk("stop")) + DONE, "200 OK", f"Content-Encoding: {coding}"),
        http('{"error": {"message": "in words"}}', "400 Bad Request", f"Content-Encoding: {coding}"),
    ]
    async with make_one() as provider:
        assert (await whole(provider), await streamed(provider)) == ("hi", "hi")
        with pytest.raises(PermanentError, match="in words"):
            await whole(provider)


async def test_signs_of_life_hold_up_no_reply_that_is_finished(server: Server, make: MakeProvider) -> None:
    async def script(_: Request, connection: Connection) -> None:
        await connection.send(HEAD + frames(chunk(content="all"), chunk("stop")).encode())
        while not connection.reader.at_eof():
            await connection.send(b": still here\n\n")
            try:
                await asyncio.wait_for(connection.reader.read(1), 0.02)
            except TimeoutError:
                continue
        connection.close()

    server.script = script
    async with make(timeout=0.4, deadline=60.0) as provider:
        assert await streamed(provider) == "all"


@pytest.mark.parametrize("signs", [": wait\n\n", "\ufeff: wait\r\n", "\n: wait\n: more\n\n\n", ": wait\r"])
async def test_signs_of_life_before_a_whole_reply(server: Server, make_one: MakeProvider, signs: str) -> None:
    body = signs.encode() + json.dumps(completion("hi")).encode()

    async def in_pieces(_: Request, connection: Connection) -> None:
        await connection.send(HEAD)
        for byte in body:
            connection.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        connection.close()

    for script in (http(body), in_pieces):
        server.script = script
        async with make_one() as provider:
            assert await streamed(provider) == "hi"


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br", "gzip, gzip", "foo"])
@pytest.mark.parametrize("body", [b"\x0b\x02\x80\x01\x02\x03", bytes(range(200))])
@pytest.mark.parametrize("ask", [whole, streamed])
async def test_a_coding_that_can_t_be_undone_is_not_asked_for_again(
    server: Server, make_one: MakeProvider, coding: str, ask: Any, body: bytes
) -> None:
    server.script = http(body, "200 OK", f"Content-Encoding: {coding}")
    assert isinstance(await failure(make_one(), ask), PermanentError)
