"""Bytes that nobody asked for: no call ever gets them for its answer, on any back end."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from loopback import Connection, MakeProvider, Request, Server, completion, http, reply

from executionkit import Provider
from executionkit.provider import PermanentError, ProviderError


def asking(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def answer(request: Request) -> bytes:
    """A reply that names the question."""
    return reply(f"answer to {request.json['messages'][0]['content']}")


def stranger() -> bytes:
    return reply("somebody else's")


def streamed(request: Request) -> bytes:
    """The same as a stream of events."""
    delta = {"content": f"answer to {request.json['messages'][0]['content']}"}
    chunk = json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]})
    body = f"data: {chunk}\n\ndata: [DONE]\n\n"
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return f"{head}{len(body):x}\r\n{body}\r\n0\r\n\r\n".encode()


async def ask(provider: Provider, text: str) -> str:
    return (await provider.complete(asking(text))).content


async def ask_in_a_stream(provider: Provider, text: str) -> str:
    async with provider.stream(asking(text)) as events:
        async for _ in events:
            pass
    return events.response.content


async def check(provider: Provider, server: Server | None = None) -> None:
    """Whole and streamed, by turns, everybody gets his own."""
    for number, way in enumerate([ask, ask, ask_in_a_stream, ask_in_a_stream, ask, ask]):
        assert await way(provider, f"question {number}") == f"answer to question {number}"
        if server is not None:
            await server.until(lambda: server.held == 0)


def own(request: Request) -> bytes:
    return streamed(request) if request.json.get("stream") else answer(request)


SURPLUS = {
    "a reply": stranger(),
    "half a head": b"HTTP/1.1 200 OK\r\nX-Half: ",
    "an empty line": b"\r\n",
}


@pytest.mark.parametrize("what", SURPLUS)
async def test_more_than_the_reply(server: Server, make: MakeProvider, what: str) -> None:
    async def script(request: Request, connection: Connection) -> None:
        await connection.send(own(request) + SURPLUS[what])

    server.script = script
    async with make() as provider:
        await check(provider)


@pytest.mark.parametrize("together", [True, False], ids=["one record", "two records"])
async def test_more_than_the_reply_over_tls(
    secure: Server, backend: Any, ca_file: Path, monkeypatch: pytest.MonkeyPatch, *, together: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))

    async def script(request: Request, connection: Connection) -> None:
        for part in [own(request) + stranger()] if together else [own(request), stranger()]:
            connection.writer.write(part)

    secure.script = script
    async with Provider(secure.url, "m", backend=backend) as provider:
        await check(provider, secure)


@pytest.mark.parametrize("turns", [0, 1, 9], ids=["unheard", "just heard", "heard"])
async def test_a_reply_on_a_connection_that_rests(server: Server, make: MakeProvider, turns: int) -> None:
    """A late 408, or the answer to a request that was given up: a whole one, ready to be taken for ours."""
    spoken = server.gate()

    async def script(request: Request, connection: Connection) -> None:
        await connection.send(own(request))
        if len(server.requests) == 1:
            await spoken.wait()
            await connection.send(http(json.dumps(completion("too late")), "408 Request Timeout"))
            said.set_result(None)

    server.script = script
    async with make() as provider:
        said: Any = server.loop.create_future()
        assert await ask(provider, "first") == "answer to first"
        spoken.open()

        async def until_said() -> None:
            await said

        # Waiting in the loop lets it hear; blocking it does not.
        heard = asyncio.run_coroutine_threadsafe(until_said(), server.loop)
        if turns:
            await asyncio.wrap_future(heard)
        else:
            heard.result()
        for _ in range(turns):
            await asyncio.sleep(0)
        await check(provider)


async def test_interim_replies_are_passed_over(server: Server, make: MakeProvider) -> None:
    async def script(request: Request, connection: Connection) -> None:
        for status in (100, 100, 102, 103, 103):
            await connection.send(f"HTTP/1.1 {status} Soon\r\nLink: </x>\r\n\r\n".encode())
        await connection.send(own(request))

    server.script = script
    async with make() as provider:
        await check(provider)
    assert server.connections == 1


async def test_switching_protocols_is_no_reply(server: Server, make: MakeProvider) -> None:
    async def script(request: Request, connection: Connection) -> None:
        switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
        await connection.send(switch + stranger() if len(server.requests) == 1 else own(request))

    server.script = script
    async with make() as provider:
        with pytest.raises(ProviderError):
            await ask(provider, "first")
        await check(provider)


async def test_a_length_that_can_be_read_in_two_ways(server: Server, make: MakeProvider) -> None:
    async with make() as provider:
        for stated in ("5, 6", "+5", "-1", "1_0", "x", "5\r\nContent-Length: 6"):
            server.script = f"HTTP/1.1 200 OK\r\nContent-Length: {stated}\r\n\r\n".encode() + b" " * 99
            with pytest.raises(ProviderError, match="the connection broke before the reply was complete"):
                await ask(provider, "first")
        server.script = reply()
        assert await ask(provider, "second") == "hi"


async def send_until_it_is_stuck(server: Server, provider: Provider) -> "asyncio.Task[str]":
    """Begin to send more than the system takes, to a server that reads nothing but the beginning of it."""
    loop = asyncio.get_running_loop()
    begun = loop.create_future()

    async def read_no_further(connection: Connection) -> bool:
        # Or the system may take tens of megabytes for it.
        connection.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        await connection.reader.readuntil(b"\r\n\r\n")
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a Transport
        loop.call_soon_threadsafe(begun.set_result, None)
        await gate.wait()
        await connection.send(http("too large for me", "413 Content Too Large", "Connection: close"))
        connection.reset()
        return False

    gate, server.on_connect = server.gate(), read_no_further
    call = asyncio.ensure_future(ask(provider, "x" * 12_000_000))
    await begun
    for _ in range(500):
        await asyncio.sleep(0)
    loop.call_soon(gate.open)
    return call


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
async def test_a_server_that_reads_no_further_and_says_why(
    request: pytest.FixtureRequest,
    backend: Any,
    ca_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    over_tls: bool,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    server: Server = request.getfixturevalue("secure" if over_tls else "server")
    async with Provider(server.url, "m", backend=backend) as provider:
        call = await send_until_it_is_stuck(server, provider)
        with pytest.raises(ProviderError if backend.startswith("httpx") else PermanentError) as caught:
            await call
    # httpx reads nothing while it writes: a server that hangs up at once has said it to no one.
    if not backend.startswith("httpx"):
        assert "413" in str(caught.value)


async def test_a_large_request_cancelled_on_its_way_was_not_sent(server: Server, make: MakeProvider) -> None:
    async with make() as provider:
        call = await send_until_it_is_stuck(server, provider)
        call.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await call
    assert getattr(caught.value, "dispatched", True) is False


FORK = """
import asyncio, os, sys
from executionkit import Provider

async def ask(text):
    return (await provider.complete([{"role": "user", "content": text}])).content

provider = Provider(sys.argv[1], "m", backend=sys.argv[2], timeout=30.0)
loop = asyncio.new_event_loop()
print(loop.run_until_complete(ask("before")), flush=True)
child = os.fork()
if not child:
    print(loop.run_until_complete(ask("child")), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(loop.run_until_complete(ask("parent")), flush=True)
loop.run_until_complete(provider.aclose())
loop.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_leaves_its_parents_connections_alone(server: Server, backend: str) -> None:
    async def script(request: Request, connection: Connection) -> None:
        await connection.send(own(request))

    server.script = script
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, server.url, backend]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[:3] == ["answer to before", "answer to child", "answer to parent"]
    assert [request.connection for request in server.requests] == [1, 2, 1]
