"""Idle connections end without a further call: when they are too old, or when the server closes them."""

import asyncio
import gc
import importlib
import select
import socket
import weakref
from pathlib import Path

import pytest
from loopback import USER, Connection, MakeProvider, Request, Server, reply

from executionkit.provider._http.exchange import watch

MODULES = ("aiohttp", "httpx", "stdlib")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MODULES:
        module = importlib.import_module(f"executionkit.provider._http.{name}")
        monkeypatch.setattr(module, "KEEP_ALIVE", 0.2)


@pytest.mark.usefixtures("short")
async def test_idle_connections_end_after_the_keep_alive_time(server: Server, make: MakeProvider) -> None:
    gate = server.hold()
    async with make() as provider:
        calls = [asyncio.ensure_future(provider.complete(USER)) for _ in range(5)]
        await server.until(lambda: server.held == 5)
        gate.open()
        await asyncio.gather(*calls)
        async with asyncio.timeout(20):
            await server.until(lambda: server.open == 0)
        await provider.complete(USER)  # and a further call opens another
    assert server.connections == 6


async def test_a_connection_that_the_server_closes_is_closed_here(server: Server, make: MakeProvider) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def script(_: Request, connection: Connection) -> None:
        await connection.send(reply())
        connection.writer.write_eof()
        await connection.reader.read()  # returns once the client has closed as well
        loop.call_soon_threadsafe(ended.set)
        connection.close()

    server.script = script
    async with make() as provider:
        await provider.complete(USER)
        async with asyncio.timeout(20):
            await ended.wait()


async def test_no_timer_keeps_a_provider(server: Server, make: MakeProvider) -> None:
    provider = make()
    await provider.complete(USER)
    gone = weakref.ref(provider)
    del provider
    async with asyncio.timeout(20):
        await server.until(lambda: server.open == 0)
    gc.collect()
    assert gone() is None


def timers(port: int) -> list[str]:
    """The kinds of timers of the established connections to a port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return [line[5][:2] for line in lines if line[2].endswith(f":{port:04X}") and line[3] == "01"]


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the system shows no timers of connections")
async def test_the_system_probes_a_silent_connection(server: Server, make: MakeProvider) -> None:
    async with make() as provider:
        await provider.complete(USER)
        async with asyncio.timeout(5):
            # Until the last byte is acknowledged the system shows another timer.
            while timers(server.port) != ["02"]:  # noqa: ASYNC110 - keep-alive; the system tells of no change
                await asyncio.sleep(0.01)


@pytest.mark.skipif(not hasattr(select, "poll"), reason="the system polls no descriptors")
def test_a_descriptor_that_is_another_sockets_by_now_is_not_looked_at() -> None:
    ours, theirs = socket.socketpair()
    has_ended = watch(ours)
    number = ours.fileno()
    assert not has_ended()
    ours.close()
    others = socket.socketpair()
    assert number in [each.fileno() for each in others]
    assert has_ended()
    for each in (theirs, *others):
        each.close()
