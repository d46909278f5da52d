"""What only the standard library back end could get wrong: its threads."""

import asyncio
import errno
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from loopback import DONE, HEAD, HELLO, USER, Connection, Request, Server, frames, piece

from executionkit.provider import Provider, ProviderError
from executionkit.provider._http import stdlib as _stdlib
from executionkit.streaming import Finish, TextDelta


def workers() -> int:
    return sum(thread.name == "executionkit-http" for thread in threading.enumerate())


def stdlib(server: Server, **settings: Any) -> Provider:
    return Provider(server.url, "m", backend="stdlib", **settings)


async def test_threads_are_reused_and_gone_after_aclose(server: Server) -> None:
    gate = server.hold()
    provider = stdlib(server)
    calls = [asyncio.ensure_future(provider.complete(USER)) for _ in range(5)]
    await server.until(lambda: server.held == 5)
    gate.open()
    await asyncio.gather(*calls)
    for _ in range(10):
        await provider.complete(USER)
    assert workers() == 5
    await provider.aclose()
    assert workers() == 0


async def test_idle_threads_end_by_themselves(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_stdlib, "KEEP_ALIVE", 0.01)
    async with stdlib(server) as provider:
        await provider.complete(USER)
        await server.until(lambda: server.open == 0)
        await provider.complete(USER)
    assert server.connections == 2


async def test_closing_does_not_wait_for_a_name_being_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer = threading.Event(), threading.Event()

    def resolve(*_: object, **__: object) -> list[Any]:
        asked.set()
        answer.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(_stdlib, "_FAREWELL", 0.01)
    provider = Provider("http://llm.example/v1", "m", backend="stdlib")
    call = asyncio.ensure_future(provider.complete(USER))
    await asyncio.to_thread(asked.wait)
    call.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await call
    assert getattr(caught.value, "dispatched", True) is False
    await provider.aclose()
    answer.set()


async def test_no_thread_to_be_had(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async with stdlib(server) as provider:
        monkeypatch.setattr(threading.Thread, "start", start)
        with pytest.raises(ProviderError, match="can't start new thread") as caught:
            await provider.complete(USER)
        monkeypatch.undo()
    assert not caught.value.dispatched


@pytest.mark.parametrize("moment", ["before it begins", "under way"])
async def test_a_connect_that_hangs_is_cancelled_at_once(
    monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    connecting, go_on = threading.Event(), threading.Event()
    connect = socket.socket.connect_ex

    def watched(sock: socket.socket, address: Any) -> int:
        if moment == "before it begins":
            connecting.set()
            go_on.wait()
        begun = connect(sock, address)
        connecting.set()
        return begun

    with socket.socket() as full:
        # A listener whose queue is full answers no SYN.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(address)
        monkeypatch.setattr(socket.socket, "connect_ex", watched)
        provider = Provider(f"http://127.0.0.1:{address[1]}/v1", "m", backend="stdlib")
        call = asyncio.ensure_future(provider.complete(USER))
        await asyncio.to_thread(connecting.wait)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        go_on.set()
        await provider.aclose()
        assert workers() == 0
        for sock in waiting:
            sock.close()


COMMENT = piece(":" + "x" * 65_000 + "\n")
MUCH = 1000
"""So many comments are more than all the buffers between a server and its client take."""


class Flood:
    """A server that sends far more than is read, and a thread of ours that should wait.

    Attributes:
        settled: The thread waits, or everything was sent.
        all_sent: It was.
    """

    def __init__(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settled = settled = threading.Event()
        self.all_sent = False
        server.script = self._send

        class Watched(threading.Condition):
            def wait(self, timeout: float | None = None) -> bool:
                if threading.current_thread().name == "executionkit-http":
                    settled.set()
                return super().wait(timeout)

        monkeypatch.setattr(threading, "Condition", Watched)

    async def _send(self, request: Request, connection: Connection) -> None:
        await connection.send(HEAD + piece(frames(*HELLO[:2])))
        for _ in range(MUCH):
            await connection.send(COMMENT)
        self.all_sent = True
        self.settled.set()
        await connection.send(piece(frames(*HELLO[2:]) + DONE) + b"0\r\n\r\n")


async def test_a_busy_loop_is_not_flooded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    flood = Flood(server, monkeypatch)
    async with stdlib(server) as provider, provider.stream(USER) as events:
        assert await anext(events) == TextDelta("Hel")
        flood.settled.wait()  # holding up the loop
        assert not flood.all_sent
        monkeypatch.undo()
        assert isinstance([event async for event in events][-1], Finish)
        assert events.response.content == "Hello"


async def leave(_provider: Provider) -> None:
    """The stream is left by the test."""


@pytest.mark.parametrize("close", [leave, Provider.aclose])
async def test_closing_frees_a_thread_that_waits_for_the_loop(
    server: Server, monkeypatch: pytest.MonkeyPatch, close: Callable[[Provider], Awaitable[None]]
) -> None:
    monkeypatch.setattr(_stdlib, "_LOOK", 3600)  # far beyond the second that closing waits for threads
    flood = Flood(server, monkeypatch)
    provider = stdlib(server)
    async with provider.stream(USER) as events:
        assert await anext(events) == TextDelta("Hel")
        flood.settled.wait()
        await close(provider)
    await provider.aclose()
    assert workers() == 0
    assert not flood.all_sent


def test_a_loop_that_is_closed_without_ceremony_frees_it_too(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    flood = Flood(server, monkeypatch)
    monkeypatch.setattr(_stdlib, "_LOOK", 0.01)
    monkeypatch.setattr(_stdlib, "KEEP_ALIVE", 0.01)
    provider = stdlib(server)

    async def begin() -> object:
        events = provider.stream(USER)
        assert await anext(events) == TextDelta("Hel")
        return events

    loop = asyncio.new_event_loop()
    events = loop.run_until_complete(begin())
    flood.settled.clear()  # by now nothing takes what the thread has handed over: once it waits, it waits
    flood.settled.wait()
    loop.close()
    server.wait_until(lambda: server.open == 0)
    assert not flood.all_sent
    for thread in threading.enumerate():
        if thread.name == "executionkit-http":
            thread.join()
    with pytest.warns(ResourceWarning, match="left open"):
        del events


async def test_a_connection_that_the_system_gives_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    receive = socket.socket.recv_into
    gave_up = threading.Event()

    def given_up(sock: socket.socket, *args: Any, **kwargs: Any) -> int:
        if threading.current_thread().name != "executionkit-http":
            return receive(sock, *args, **kwargs)
        gave_up.set()
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    server.hold()
    monkeypatch.setattr(socket.socket, "recv_into", given_up)
    async with stdlib(server) as provider:
        for call in (provider.complete(USER), provider.stream(USER).__aenter__()):
            gave_up.clear()
            with pytest.raises(
                ProviderError, match=r"connection broke .* \(TimeoutError: .*timed out"
            ) as caught:
                await call
            assert gave_up.is_set()
            assert caught.value.dispatched


def program(server: Server, code: str, *options: str) -> list[str]:
    source = f"""
        import asyncio
        from executionkit.provider import Provider
        provider = Provider({server.url!r}, "m", backend="stdlib")
        USER = {USER!r}
    """
    return [sys.executable, *options, "-c", textwrap.dedent(source) + textwrap.dedent(code)]


async def test_a_frame_that_can_t_be_read_is_refused_at_once(server: Server) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    server.script = head + piece("{}") + b"0\r\n\r\n"
    async with Provider(server.url, "m", backend="stdlib") as provider:
        with pytest.raises(ProviderError, match="its Transfer-Encoding is 'gzip, chunked'"):
            await provider.complete(USER)


def test_interrupting_ends_the_program_at_once(server: Server) -> None:
    server.hold()
    code = """
        async def tick():
            while True:
                await asyncio.sleep(0.05)
        async def main():
            # A loop that turns: a sleeping one misses a signal that comes just before it falls asleep.
            ticking = asyncio.ensure_future(tick())
            await provider.complete(USER)
        asyncio.run(main())
    """
    command = program(server, code, "-W", "error")
    with subprocess.Popen(command, stderr=subprocess.PIPE) as running:
        server.wait_until(lambda: server.held == 1)
        running.send_signal(signal.SIGINT)
        _, stderr = running.communicate(timeout=20)
    assert b"KeyboardInterrupt" in stderr
    assert running.returncode == -signal.SIGINT


def test_a_request_nobody_waits_for_holds_up_no_exit(server: Server) -> None:
    server.hold()
    code = """
        import sys
        async def main():
            task = asyncio.ensure_future(provider.complete(USER))
            await asyncio.sleep(0)
            sys.stdin.readline()
        asyncio.new_event_loop().run_until_complete(main())
    """
    with subprocess.Popen(program(server, code), stdin=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        server.wait_until(lambda: server.held == 1)
        running.communicate(b"\n", timeout=20)
    assert running.returncode == 0
