"""Proxies, as the environment names them, on every back end."""

import base64
import importlib
import json
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
from loopback import (
    BACKENDS,
    USER,
    Connection,
    MakeProvider,
    Request,
    Server,
    http,
    relay_to,
    serving,
)

from executionkit.errors import LLMError
from executionkit.provider import PermanentError, Provider, ProviderError

KEY = "sk-very-secret-key-0123456789"
PASSWORD = "pr0xyS3cret"
CORES = [name for name in BACKENDS if name.startswith("httpx")]
OTHERS = [name for name in BACKENDS if not name.startswith("httpx")]


async def failure(url: str, backend: Any, **settings: Any) -> LLMError:
    """What a call to a server that can't be reached ends with."""
    async with Provider(url, "m", KEY, backend=backend, **settings) as provider:
        with pytest.raises(LLMError) as caught:
            await provider.complete(USER)
    assert not caught.value.dispatched
    shown = str(caught.value)
    assert PASSWORD not in shown
    assert KEY not in shown
    return caught.value


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


@pytest.mark.parametrize("secret", ["x-team", "Authorization"])
async def test_a_proxy_of_a_tunnel_sees_nothing_of_the_request(
    server: Server, backend: Any, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.port}")
    server.script = http("", "503 Service Unavailable")
    async with Provider(
        "https://llm.example/v1", "m", headers={secret: f"Bearer {KEY}"}, backend=backend
    ) as provider:
        with pytest.raises(ProviderError):
            await provider.complete(USER)
    (connect,) = server.requests
    assert KEY not in repr(connect)
    assert not {"x-team", "authorization", "proxy-authorization", "content-type"} & set(connect.headers)


LOGINS = [
    ("us%40er:p%2F%C3%9F%3A", "us@er:p/\N{LATIN SMALL LETTER SHARP S}:"),
    (
        "\N{LATIN SMALL LETTER U WITH DIAERESIS}s:p@\N{EURO SIGN}",
        "\N{LATIN SMALL LETTER U WITH DIAERESIS}s:p@\N{EURO SIGN}",
    ),
    ("token", "token:"),
]
"""What the environment says, and what the proxy is to get."""


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_credentials_go_out_as_utf_8(
    server: Server, backend: Any, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    server.script = http("", "503 Service Unavailable")
    for login, sent in LOGINS:
        monkeypatch.setenv(f"{scheme}_proxy", f"  http://{login}@127.0.0.1:{server.port}/\n")
        async with Provider(f"{scheme}://llm.example/v1", "m", backend=backend) as provider:
            with pytest.raises(ProviderError):
                await provider.complete(USER)
        given = server.requests[-1].headers["proxy-authorization"]
        assert base64.b64decode(given.removeprefix("Basic ")).decode() == sent


NO_PROXY_URLS = [
    f"http://us:{PASSWORD}/x@host:3128",
    f"http://us:{PASSWORD}#x@host:3128",
    f"http://us:{PASSWORD}?x@host:3128",
    f"http://us:12/{PASSWORD}@host:3128",
    f"http://us:{PASSWORD}[x@host:3128",
    f"http://us:{PASSWORD}%DF@host:3128",
    f"http://us:{PASSWORD}\udcdf@host:3128",
    f"us:{PASSWORD}@host:abc",
    f"http://us:{PASSWORD}@host:99999",
    f"http://us:{PASSWORD}@host:0",
    f"http://us:{PASSWORD}@a host:1",
    f"http://us:{PASSWORD}@{'h' * 70}:1",
    f"http://us:{PASSWORD}@",
    "http://[::1",
    "http://",
    "http://:8080",
    "!!!",
    f"ftp://us:{PASSWORD}@host:1",
    f"{PASSWORD}://host:1",
]
"""Values that name no proxy, or none that can be used."""


async def test_what_is_no_proxy(monkeypatch: pytest.MonkeyPatch, backend: Any) -> None:
    for value in NO_PROXY_URLS:
        monkeypatch.setenv("HTTP_PROXY", value)
        error = await failure("http://llm.example/v1", backend)
        assert type(error) is PermanentError, value
        assert str(error).startswith(
            "the connection to llm.example can't be set up: ValueError: HTTP_PROXY must "
        )
    async with Provider("http://llm.example/v1", "m", backend=backend) as provider:
        with pytest.raises(PermanentError, match="HTTP_PROXY must "):
            async with provider.stream(USER):
                pass


async def test_a_librarys_own_exception_stays_within(monkeypatch: pytest.MonkeyPatch, backend: Any) -> None:
    def explode() -> dict[str, str]:
        raise RuntimeError(f"http://us:{PASSWORD}@host")

    monkeypatch.setattr("urllib.request.getproxies", explode)
    error = await failure("http://llm.example/v1", backend)
    assert type(error) is PermanentError
    assert str(error) == (
        "the connection to llm.example can't be set up: RuntimeError: http://[REDACTED]@host. "
        "The HTTP library that is installed may be too old, or too new."
    )
    assert error.__cause__ is None


@pytest.mark.parametrize(
    ("variable", "scheme"), [("HTTP_PROXY", "http"), ("https_proxy", "https"), ("ALL_PROXY", "https")]
)
async def test_a_dead_proxy_is_named(
    backend: Any, monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str
) -> None:
    monkeypatch.setenv(variable, f"us:{PASSWORD}@127.0.0.1:1")
    error = await failure(f"{scheme}://llm.example/v1", backend)
    assert type(error) is ProviderError
    assert str(error).startswith("llm.example: could not connect (ConnectionRefusedError: ")
    assert str(error).endswith(f" through the proxy 127.0.0.1:1 ({variable})")


async def test_a_proxy_of_the_systems_settings_is_named(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"http": "http://[::1]:1"})
    error = await failure("http://llm.example/v1", backend)
    assert str(error).endswith(" through the proxy [::1]:1 (the system's settings)")


REFUSALS: list[tuple[int, str, type[LLMError]]] = [
    (201, "201 Created", ProviderError),
    (302, "302 Found", PermanentError),
    (403, "403 Forbidden", PermanentError),
    (404, "404 Not Found", PermanentError),
    (407, "407 Proxy Authentication Required", PermanentError),
    (429, "429 Too Many Requests", ProviderError),
    (502, "502 Bad Gateway", ProviderError),
    (599, "599", ProviderError),
]
"""What a proxy answers to CONNECT, and the error that it becomes."""


async def test_a_proxy_that_refuses_the_tunnel(
    server: Server, backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = f"us:{PASSWORD}"
    monkeypatch.setenv("HTTPS_PROXY", f"http://{login}@127.0.0.1:{server.port}")
    for status, line, kind in REFUSALS:
        server.requests.clear()
        server.script = http("", f"{status} {login} {base64.b64encode(login.encode()).decode()}")
        error = await failure("https://llm.example/v1", backend)
        assert (type(error), error.status_code) == (kind, status)
        advice = ". Check the user name and password of the proxy in HTTPS_PROXY." if status == 407 else ""
        assert str(error) == (
            f"llm.example: could not connect (the proxy answered {line}) "
            f"through the proxy 127.0.0.1:{server.port} (HTTPS_PROXY){advice}"
        )
        assert [request.target for request in server.requests] == ["llm.example:443"]


@pytest.mark.parametrize("library", CORES)
async def test_a_proxy_of_the_callers_client_that_refuses_the_tunnel(server: Server, library: str) -> None:
    server.script = http("", "407 Proxy Authentication Required")
    module = pytest.importorskip(library)
    async with module.AsyncClient(proxy=f"http://127.0.0.1:{server.port}") as client:
        provider = Provider("https://llm.example/v1", "m", http_client=client)
        with pytest.raises(PermanentError) as caught:
            await provider.complete(USER)
    assert (caught.value.status_code, caught.value.dispatched) == (407, False)
    assert str(caught.value) == (
        "llm.example: could not connect (the proxy answered 407 Proxy Authentication Required). "
        "Check the user name and password of the proxy."
    )


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_proxy_that_hangs_up(
    server: Server, backend: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.port}")

    async def script(request: Request, connection: Connection) -> None:
        getattr(connection, how)()

    server.script = script
    error = await failure("https://llm.example/v1", backend)
    assert type(error) is ProviderError
    assert str(error).startswith("llm.example: could not connect (")
    assert "before the reply" not in str(error)
    assert str(error).endswith(f" through the proxy 127.0.0.1:{server.port} (HTTPS_PROXY)")


async def test_a_proxy_that_answers_for_the_server(
    server: Server, backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = f"us:{PASSWORD}"
    monkeypatch.setenv("HTTP_PROXY", f"http://{login}@127.0.0.1:{server.port}")
    encoded = base64.b64encode(login.encode()).decode()
    server.script = http(json.dumps({"error": f"not you, {login} or {encoded}"}), "407 No")
    async with Provider("http://llm.example/v1", "m", backend=backend) as provider:
        with pytest.raises(PermanentError) as caught:
            await provider.complete(USER)
        with pytest.raises(PermanentError) as streamed:
            async with provider.stream(USER):
                pass
    assert str(streamed.value) == str(caught.value)
    assert caught.value.status_code == 407
    assert str(caught.value) == (
        "llm.example answered 407 Proxy Authentication Required: not you, us:[REDACTED] or [REDACTED]. "
        "Check the user name and password of the proxy in HTTP_PROXY."
    )


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


@pytest.mark.parametrize("place", ["[::1]", "[::1]:1", "::1"])
async def test_no_proxy_knows_an_ipv6_address(
    backend: Any, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert "proxy" in str(await failure("http://[::1]:1/v1", backend))
    monkeypatch.setenv("NO_PROXY", f"example.org, {place}")
    assert "proxy" not in str(await failure("http://[::1]:1/v1", backend))


@pytest.mark.parametrize("backend", OTHERS)
async def test_a_socks_proxy_takes_httpx(monkeypatch: pytest.MonkeyPatch, backend: Any) -> None:
    monkeypatch.setenv("ALL_PROXY", f"socks5://user:{PASSWORD}@127.0.0.1:1")
    error = await failure("http://llm.example/v1", backend)
    assert type(error) is PermanentError
    assert f"ALL_PROXY names a proxy of the kind socks5, which the back end {backend} can't use" in str(error)
    assert str(error).endswith("httpx2, httpx can")


@pytest.mark.parametrize("backend", CORES)
async def test_a_socks_proxy_takes_socksio(monkeypatch: pytest.MonkeyPatch, backend: Any) -> None:
    # The core looks for socksio when it is first imported, and remembers the outcome.
    importlib.import_module("httpcore" if backend == "httpx" else "httpcore2")
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", f"socks5://user:{PASSWORD}@127.0.0.1:1")
    error = await failure("http://llm.example/v1", backend)
    assert type(error) is PermanentError
    assert str(error).endswith(f'socksio is not installed: pip install "{backend}[socks]"')


def socks(server: Server, answer: bytes) -> list[bytes]:
    """Make the server a SOCKS proxy that leads to itself, wherever it is asked to; what it was told."""
    told: list[bytes] = []

    async def on_connect(connection: Connection) -> bool:
        async def counted() -> bytes:
            return await connection.reader.readexactly((await connection.reader.readexactly(1))[0])

        await connection.reader.readexactly(1)
        await counted()
        await connection.send(b"\x05\x02")  # a user and a password are wanted
        await connection.reader.readexactly(1)
        told.extend([await counted(), await counted()])
        await connection.send(b"\x01\x00")
        await connection.reader.readexactly(4)
        told.append(await counted())
        await connection.reader.readexactly(2)
        await connection.send(answer)
        return True

    server.on_connect = on_connect
    return told


@pytest.mark.parametrize("backend", CORES)
async def test_a_socks_proxy(server: Server, monkeypatch: pytest.MonkeyPatch, backend: Any) -> None:
    pytest.importorskip("socksio")
    told = socks(server, b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
    monkeypatch.setenv("ALL_PROXY", f"socks5h://us%3Aer:{PASSWORD}%C3%9F@127.0.0.1:{server.port}")
    async with Provider("http://llm.example/v1", "m", backend=backend) as provider:
        assert (await provider.complete(USER)).content == "hi"
    assert told == [b"us:er", PASSWORD.encode() + b"\xc3\x9f", b"llm.example"]


@pytest.mark.parametrize("backend", CORES)
async def test_a_socks_proxy_that_refuses(
    server: Server, monkeypatch: pytest.MonkeyPatch, backend: Any
) -> None:
    pytest.importorskip("socksio")
    socks(server, b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00")
    monkeypatch.setenv("ALL_PROXY", f"socks5h://us:{PASSWORD}@127.0.0.1:{server.port}")
    error = await failure("http://llm.example/v1", backend)
    assert type(error) is ProviderError
    assert str(error).startswith("llm.example: could not connect (ProxyError: ")
    assert str(error).endswith(f"through the proxy 127.0.0.1:{server.port} (ALL_PROXY)")
