"""TLS and proxies, with what the environment says of them, on every back end."""

import asyncio
import base64
import contextlib
import socket
import ssl
import sys
import threading
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
    http,
    relay_to,
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
        with pytest.raises(ProviderError, match=r"could not connect.*CERTIFICATE_VERIFY_FAILED") as caught:
            await provider.complete(USER)
    assert not caught.value.dispatched
    assert not secure.requests


async def test_the_wrong_host_name_is_not(
    authority: Any, backend: Any, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    with serving(context) as server:
        async with Provider(server.url, "m", backend=backend) as provider:
            with pytest.raises(ProviderError, match="CERTIFICATE_VERIFY_FAILED"):
                await provider.complete(USER)


async def test_a_ca_file_that_is_not_there(
    secure: Server, backend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere.pem"))
    async with Provider(secure.url, "m", backend=backend) as provider:
        with pytest.raises(PermanentError, match="can't be set up: FileNotFoundError") as caught:
            await provider.complete(USER)
    assert not caught.value.dispatched


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
    async with Provider(url, "m", backend=backend, connect_timeout=0.5) as provider:
        with pytest.raises(
            ProviderError, match=r"could not connect within 0\.5 s \(connect_timeout\)"
        ) as caught:
            await provider.complete(USER)
        gate.open()
    assert not caught.value.dispatched


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


# Proxies


async def tunnel(request: Request, connection: Connection) -> None:
    """What a proxy does with CONNECT: every name leads to 127.0.0.1."""
    _, _, port = request.target.rpartition(":")
    await connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await relay_to(int(port), connection)


async def test_plain_http_through_a_proxy(
    server: Server, backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://user:p%40ss@127.0.0.1:{server.port}")
    async with Provider("http://llm.example/v1?x=1", "m", KEY, backend=backend) as provider:
        for _ in range(2):
            assert (await provider.complete(USER)).content == "hi"
    assert server.connections == 1
    request = server.requests[0]
    assert request.target == "http://llm.example/v1/chat/completions?x=1"
    assert request.headers["host"] == "llm.example"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert base64.b64decode(request.headers["proxy-authorization"].removeprefix("Basic ")) == b"user:p@ss"


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
async def test_https_through_a_tunnel(
    server: Server,
    authority: Any,
    backend: Any,
    ca_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    monkeypatch.setenv(variable, f"user:pass@127.0.0.1:{server.port}")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("llm.example").configure_cert(context)
    server.script = tunnel
    with serving(context) as target:
        async with Provider(f"https://llm.example:{target.port}/v1", "m", KEY, backend=backend) as provider:
            for _ in range(2):
                assert (await provider.complete(USER)).content == "hi"
        assert len(target.requests) == 2
        assert target.connections == 1
        assert "proxy-authorization" not in target.requests[0].headers
    (connect,) = server.requests
    assert (connect.method, connect.target) == ("CONNECT", f"llm.example:{target.port}")
    assert base64.b64decode(connect.headers["proxy-authorization"].removeprefix("Basic ")) == b"user:pass"
    assert KEY not in repr(connect)


async def test_a_proxy_that_refuses_the_tunnel(
    server: Server, backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.port}")
    server.script = http("", "407 Proxy Authentication Required")
    async with Provider("https://llm.example/v1", "m", KEY, backend=backend) as provider:
        with pytest.raises(ProviderError, match=r"could not connect.*407") as caught:
            await provider.complete(USER)
    assert not caught.value.dispatched
    assert server.requests[0].target == "llm.example:443"


async def test_no_proxy_is_respected(
    server: Server, make: MakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "example.org,127.0.0.1")
    async with make() as provider:
        assert (await provider.complete(USER)).content == "hi"
    monkeypatch.setenv("NO_PROXY", "example.org")
    async with make() as provider:
        with pytest.raises(ProviderError, match="could not connect"):
            await provider.complete(USER)


@pytest.mark.parametrize("backend", [name for name in BACKENDS if not name.startswith("httpx")])
async def test_a_proxy_that_cannot_be_used(
    server: Server, monkeypatch: pytest.MonkeyPatch, backend: Any
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:pass@127.0.0.1:1")
    async with Provider(server.url, "m", backend=backend) as provider:
        with pytest.raises(PermanentError, match="a socks5 proxy is set") as caught:
            await provider.complete(USER)
    assert not caught.value.dispatched
    assert "pass" not in str(caught.value)


async def test_the_second_address_of_a_host_is_tried(
    server: Server, make: MakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # localhost is ::1 first and 127.0.0.1 second on most machines; the server is on the latter only.
    server.script = reply("found")
    async with make(base_url=f"http://localhost:{server.port}/v1") as provider:
        assert (await provider.complete(USER)).content == "found"


@contextlib.contextmanager
def silent_address() -> Iterator[tuple[str, int]]:
    """An address that answers nothing: a listener whose queue is full."""
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.2", 0))
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

    def both(host: str, port: int, *arguments: Any, **options: Any) -> Any:
        if host != "two.example":
            return resolve(host, port, *arguments, **options)
        found = (resolve(*place, type=socket.SOCK_STREAM) for place in (silent, ("127.0.0.1", server.port)))
        return list(chain.from_iterable(found))

    with silent_address() as silent:
        monkeypatch.setattr(socket, "getaddrinfo", both)
        # The standard library back end gives each address its share of the time.
        async with make(base_url="http://two.example/v1", connect_timeout=0.5) as provider:
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
