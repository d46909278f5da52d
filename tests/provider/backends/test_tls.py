"""TLS and proxies, with what the environment says of them, on every back end."""

import asyncio
import contextlib
import errno
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from loopback import (
    BACKENDS,
    USER,
    Connection,
    Gate,
    MakeProvider,
    Request,
    Server,
    reply,
    serving,
)

from executionkit.provider import PermanentError, Provider, ProviderError

KEY = "sk-very-secret-key-0123456789"


async def test_a_ca_from_the_environment_is_trusted(
    secure: Server, backend: Any, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    async with Provider(secure.url, "m", KEY, backend=backend) as provider:
        for _ in range(3):
            assert (await provider.complete(USER)).content == "hi"
    assert secure.connections == 1
    assert secure.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_an_unknown_ca_is_not(secure: Server, backend: Any) -> None:
    async with Provider(secure.url, "m", KEY, backend=backend) as provider:
        with pytest.raises(PermanentError, match=r"could not connect.*CERTIFICATE_VERIFY_FAILED") as caught:
            await provider.complete(USER)
    assert not caught.value.dispatched
    assert not secure.requests
    assert str(caught.value).endswith(". SSL_CERT_FILE can name a file with the authorities to trust.")


async def test_the_wrong_host_name_is_not(
    authority: Any, backend: Any, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    with serving(context) as server:
        async with Provider(server.url, "m", backend=backend) as provider:
            with pytest.raises(PermanentError, match="CERTIFICATE_VERIFY_FAILED") as caught:
                await provider.complete(USER)
    assert "SSL_CERT_FILE" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "content", "why"),
    [
        ("SSL_CERT_FILE", None, "FileNotFoundError"),
        ("SSL_CERT_FILE", "", "SSLError"),
        ("SSL_CERT_FILE", "junk", "SSLError"),
        ("SSL_CERT_DIR", None, "FileNotFoundError"),
        ("SSL_CERT_DIR", "a file", "NotADirectoryError"),
    ],
)
async def test_authorities_that_cannot_be_read(
    backend: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    content: str | None,
    why: str,
) -> None:
    path = tmp_path / "ca"
    if content is not None:
        path.write_text(content)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv(variable, str(path))
    async with Provider("https://llm.example/v1", "m", backend=backend) as provider:
        with pytest.raises(PermanentError) as caught:
            await provider.complete(USER)
    assert not caught.value.dispatched
    assert f"can't be set up: OSError: {variable} names '{path}', which can't be used ({why}: " in str(
        caught.value
    )


async def test_the_file_goes_before_the_directory_and_one_of_several_directories_is_enough(
    secure: Server, backend: Any, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    async with Provider(secure.url, "m", backend=backend) as provider:
        await provider.complete(USER)
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_DIR", f"/nowhere{os.pathsep}{ca_file.parent}")
    async with Provider(secure.url, "m", backend=backend) as provider:
        with pytest.raises(PermanentError, match="CERTIFICATE_VERIFY_FAILED"):
            await provider.complete(USER)


async def test_a_ca_file_that_was_replaced_is_read_again(
    secure: Server, backend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: Any
) -> None:
    path = tmp_path / "rotated.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    type(authority)().cert_pem.write_to_path(str(path))
    async with Provider(secure.url, "m", backend=backend) as provider:
        with pytest.raises(PermanentError, match="CERTIFICATE_VERIFY_FAILED"):
            await provider.complete(USER)
    authority.cert_pem.write_to_path(str(tmp_path / "new.pem"))
    (tmp_path / "new.pem").rename(path)
    async with Provider(secure.url, "m", backend=backend) as provider:
        assert (await provider.complete(USER)).content == "hi"


async def test_many_at_once_over_tls_and_cancelled(
    secure: Server, backend: Any, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    async with Provider(secure.url, "m", backend=backend) as provider:
        gate = secure.hold()
        calls = [asyncio.ensure_future(provider.complete(USER)) for _ in range(20)]
        await secure.until(lambda: secure.held == 20)
        for call in calls[:10]:
            call.cancel()
        gate.open()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [True] * 10 + [
            False
        ] * 10
        await asyncio.gather(*(provider.complete(USER) for _ in range(10)))
    assert len(secure.requests) == 30


async def test_a_kept_connection_closed_while_the_loop_was_busy_is_mended_over_tls(
    secure: Server, backend: Any, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    gate, closed = secure.gate(), threading.Event()

    async def script(request: Request, connection: Connection) -> None:
        await connection.send(reply())
        await gate.wait()
        connection.shut()
        closed.set()

    secure.script = script
    async with Provider(secure.url, "m", backend=backend) as provider:
        await provider.complete(USER)
        gate.open()
        closed.wait()  # holding up the loop, so that it hears of the end when it writes
        await provider.complete(USER)
    assert secure.connections == 2


async def test_our_count_is_the_servers_over_tls(
    secure: Server, backend: Any, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    sent = 0

    async def call(provider: Provider, turns: int) -> None:
        nonlocal sent
        task = asyncio.ensure_future(provider.complete(USER))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError as exc:
            sent += getattr(exc, "dispatched", True) is not False
        else:
            sent += 1

    async with Provider(secure.url, "m", backend=backend) as provider:
        for turns in range(1, 60):
            await call(provider, turns)
    async with Provider(secure.url, "m", backend=backend) as last:
        await last.complete(USER)
    await secure.until(lambda: secure.open == 0)
    assert sent + 1 == len(secure.requests)


# Connecting


def mute(server: Server) -> Gate:
    """A server that takes connections and says nothing, until the gate is opened."""
    gate = server.gate()

    async def say_nothing(connection: Connection) -> bool:
        await gate.wait()
        return False

    server.on_connect = say_nothing
    return gate


WAYS = {"handshake": {}, "tunnel": {"HTTPS_PROXY": "http://127.0.0.1:{}"}}
"""What a server that says nothing keeps a client from: encrypting, or getting through a proxy."""


@pytest.mark.parametrize("way", WAYS)
async def test_what_takes_longer_than_connect_timeout(
    server: Server, backend: Any, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    for name, value in WAYS[way].items():
        monkeypatch.setenv(name, value.format(server.port))
    gate = mute(server)
    url = f"https://127.0.0.1:{server.port}/v1"
    async with Provider(url, "m", backend=backend, connect_timeout=0.3) as provider:
        with pytest.raises(
            ProviderError, match=r"could not connect within 0\.3 s \(connect_timeout\)"
        ) as caught:
            await provider.complete(USER)
        gate.open()
    assert not caught.value.dispatched
    assert ("through the proxy" in str(caught.value)) == (way == "tunnel")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_aclose_ends_what_is_still_connecting(
    server: Server, backend: Any, monkeypatch: pytest.MonkeyPatch, way: str, *, streamed: bool
) -> None:
    for name, value in WAYS[way].items():
        monkeypatch.setenv(name, value.format(server.port))
    gate = mute(server)
    provider = Provider(f"https://127.0.0.1:{server.port}/v1", "m", backend=backend)

    async def call() -> None:
        if streamed:
            async with provider.stream(USER):
                pass
        else:
            await provider.complete(USER)

    task = asyncio.ensure_future(call())
    await server.until(lambda: server.connections == 1)
    await provider.aclose()
    with pytest.raises(ProviderError, match="the provider was closed") as caught:
        await task
    assert not caught.value.dispatched
    assert not task.cancelled()
    gate.open()
    await server.until(lambda: server.open == 0)


async def test_the_second_address_of_a_host_is_tried(
    server: Server, make: MakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # localhost is ::1 first and 127.0.0.1 second on most machines; the server is on the latter only.
    server.script = reply("found")
    async with make(base_url=f"http://localhost:{server.port}/v1") as provider:
        assert (await provider.complete(USER)).content == "found"


@contextlib.contextmanager
def silent_address(port: int = 0) -> Iterator[tuple[str, int]]:
    """An address that answers nothing: a listener whose queue is full."""
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.2", port))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()


@pytest.mark.skipif(sys.platform != "linux", reason="has no 127.0.0.2 elsewhere")
async def test_an_address_that_answers_nothing_holds_nobody_up(
    server: Server, make: MakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def resolve_two(host: str | bytes, port: int, *_: Any, **__: Any) -> Any:
        hosts = ["127.0.0.2", "127.0.0.1"] if host in ("two.example", b"two.example") else [host]
        return list(chain.from_iterable(resolve(each, port, type=socket.SOCK_STREAM) for each in hosts))

    monkeypatch.setattr(socket, "getaddrinfo", resolve_two)
    with silent_address(server.port):
        # The standard library back end gives each address its share of the time.
        url = f"http://two.example:{server.port}/v1"
        async with make(base_url=url, connect_timeout=0.6) as provider:
            assert (await provider.complete(USER)).content == "hi"


@pytest.mark.skipif(sys.platform != "linux", reason="has no 127.0.0.2 elsewhere")
async def test_aclose_ends_a_call_to_an_address_that_answers_nothing(make: MakeProvider) -> None:
    with silent_address() as (host, port):
        provider = make(base_url=f"http://{host}:{port}/v1")
        call = asyncio.ensure_future(provider.complete(USER))
        while not call.done():
            # It may not have come to connecting yet: then the next one ends it.
            await asyncio.sleep(0)
            await provider.aclose()
        with pytest.raises(ProviderError, match="the provider was closed"):
            await call


# Addresses


async def test_an_address_in_a_short_form(server: Server, make: MakeProvider) -> None:
    async with make(base_url=f"http://127.1:{server.port}/v1") as provider:
        assert (await provider.complete(USER)).content == "hi"
    assert server.requests[0].headers["host"] == f"127.1:{server.port}"


async def test_the_zone_of_an_address(make: MakeProvider) -> None:
    async with make(base_url="http://[fe80::1%251]:1/v1") as provider:
        with pytest.raises(ProviderError) as caught:
            await provider.complete(USER)
    assert str(caught.value).startswith("[fe80::1%1]:1: could not connect")


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name == "aiohttp"])
async def test_an_address_that_aiohttp_takes_for_none(make: MakeProvider) -> None:
    async with make(base_url="http://1.2.3.4.5/v1") as provider:
        with pytest.raises(ProviderError, match=r"could not connect") as caught:
            await provider.complete(USER)
    assert not caught.value.dispatched


# What is shown of a reply that can't be read


@pytest.mark.parametrize(
    "reply_",
    [
        b"HTTP/1.1 200 OK\r\nSet-Cookie: id=abcdefC00KIE; Path=/\r\nX: 1\r\n",
        b"HTTP/1.1 200 OK\r\nSet-Cookie id=abcdefC00KIE\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: id=abcdefC00KIE\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: id=abcdefC00KIE\r\nContent-Length: 9\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: id=abcdefC00KIE" + b"x" * 70_000 + b"\r\n\r\n",
        b"",
    ],
)
async def test_neither_headers_of_the_reply_nor_the_url(
    server: Server, make: MakeProvider, reply_: bytes
) -> None:
    async def script(request: Request, connection: Connection) -> None:
        await connection.send(reply_)
        connection.close()

    server.script = script
    async with make(base_url=f"{server.url}?code=s1gnature") as provider:
        with pytest.raises(ProviderError) as caught:
            await provider.complete(USER)
    shown = str(caught.value)
    assert "C00KIE" not in shown
    assert "s1gnature" not in shown
    assert "/v1" not in shown
    assert not re.search(r"\b400\b", shown)


async def test_a_cancellation_at_the_end_of_connect_timeout_is_one(server: Server, backend: Any) -> None:
    gate = mute(server)
    async with Provider(
        f"https://127.0.0.1:{server.port}/v1", "m", backend=backend, connect_timeout=0.5
    ) as provider:
        call = asyncio.ensure_future(provider.complete(USER))
        await server.until(lambda: server.connections == 1)
        time.sleep(0.6)  # noqa: ASYNC251  # holds up the loop, so that it hears of both in one turn
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        gate.open()


# Other event loops


@pytest.mark.parametrize("over_tls", [False, True])
def test_uvloop(
    server: Server,
    secure: Server,
    backend: Any,
    ca_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    over_tls: bool,
) -> None:
    uvloop = pytest.importorskip("uvloop")
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    chosen = secure if over_tls else server

    async def calls() -> None:
        async with Provider(chosen.url, "m", backend=backend) as provider:
            for _ in range(2):
                assert (await provider.complete(USER)).content == "hi"
            async with provider.stream(USER) as events:
                assert [event async for event in events]
            assert events.response.content == "hi"
            gate = chosen.hold()
            call = asyncio.ensure_future(provider.complete(USER))
            await chosen.until(lambda: chosen.held == 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            gate.open()
        await chosen.until(lambda: chosen.open == 0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(calls())
    assert chosen.connections == 1


STARVED = """
import os, resource
from executionkit.provider._http.tls import default_context, trusting

held, (_, most) = [], resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
try:
    while True:
        held.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
try:
    trusting(default_context)
except OSError as exc:
    print(exc.errno)
for descriptor in held:
    os.close(descriptor)
print(trusting(default_context).cert_store_stats() == default_context().cert_store_stats())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are limited as Linux does it")
def test_a_store_that_could_not_be_read_is_not_kept() -> None:
    named = {"SSL_CERT_FILE", "SSL_CERT_DIR"}
    environment = {name: value for name, value in os.environ.items() if name not in named}
    done = subprocess.run(
        [sys.executable, "-c", STARVED], check=True, capture_output=True, text=True, env=environment
    )
    assert done.stdout.split() == [str(errno.EMFILE), "True"]
