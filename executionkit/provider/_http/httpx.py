"""The back end over httpx or httpx2, by their public transports."""

import asyncio
import importlib
import importlib.util
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import cache, partial
from types import ModuleType
from typing import Any, TypeVar

from executionkit._text import describe, unquoted
from executionkit.provider._http.exchange import ExchangingTransport
from executionkit.provider._http.faults import (
    BROKEN,
    LATE,
    SILENT,
    ConnectError,
    ProxyRefusedError,
    TransportError,
    connect_error,
)
from executionkit.provider._http.incoming import Incoming
from executionkit.provider._http.proxies import Proxy, proxy_for
from executionkit.provider._http.tls import trusting
from executionkit.provider._http.transport import KEEP_ALIVE, AsyncHTTPClient, Dispatch, Endpoint, Reply

T = TypeVar("T")

_PIECE = 65_536
"""Bytes of a request that are written at a time."""


class _HttpxExchange(ExchangingTransport):
    """What both transports share: the request, the reply, the names of the faults."""

    def __init__(self, library: ModuleType, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        # Any: one of two modules of the same shape, neither of which need be installed.
        self._library: Any = library
        self._url = self._library.URL(endpoint.url)
        headers = [("Host", endpoint.authority)]
        headers += [(name, value.reveal()) for name, value in endpoint.headers]
        self._headers = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        self._upload = _upload_type(library)

    def _outcome(self, exc: Exception) -> Reply | TransportError:
        library = self._library
        if isinstance(exc, library.HTTPStatusError):
            # A hook of the caller's client called raise_for_status(). The status tells more than that.
            failure: Any = exc
            return Reply(failure.response.status_code, dict(failure.response.headers), b"")
        if isinstance(exc, library.ConnectTimeout):
            return ConnectError(LATE.format(self._endpoint.connect_timeout))
        if isinstance(exc, library.ProxyError) and (status := re.match(r"[1-9]\d\d\b", str(exc))):
            return ProxyRefusedError(int(status[0]))
        if isinstance(exc, (library.ConnectError, library.ProxyError)):
            return connect_error(describe(exc))
        if isinstance(exc, (library.ReadTimeout, library.WriteTimeout)):
            return TransportError(SILENT.format(self._endpoint.timeout))
        return TransportError(f"{BROKEN} ({self._words(exc)})")

    def _words(self, exc: Exception) -> str:
        words = describe(exc)
        return unquoted(words) if isinstance(exc, self._library.RemoteProtocolError) else words


class HttpxTransport(_HttpxExchange):
    """Posts through `AsyncHTTPTransport`s, each of one connection.

    A pool looks at all of its connections for every request. One transport for each request at once costs the
    same however many there are. The transport that was used last is used next: its connection is the least
    likely to be closed by now.
    """

    def __init__(self, library: ModuleType, endpoint: Endpoint) -> None:
        super().__init__(library, endpoint)
        self.proxy = proxy_for(endpoint.scheme, endpoint.host, endpoint.port, library.__name__)
        create = self._library.create_ssl_context
        # A bare context trusts nobody and costs nothing. It is for connections that never use it.
        secure = trusting(create) if endpoint.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._open = partial(
            self._library.AsyncHTTPTransport,
            verify=secure,
            trust_env=False,
            limits=self._library.Limits(max_connections=1, keepalive_expiry=KEEP_ALIVE),
            proxy=None if self.proxy is None else self._way(self.proxy, create),
        )
        self._timeouts = [
            # Connecting has a limit of its own, and no request waits for another's connection.
            {"read": silence, "write": silence}
            for silence in (endpoint.whole_timeout, endpoint.timeout)
        ]
        self._idle: deque[tuple[Any, float]] = deque()
        self._all: set[Any] = set()

    def _way(self, proxy: Proxy, create: Callable[[], ssl.SSLContext]) -> Any:
        scheme = proxy.scheme
        if scheme.startswith("socks"):
            if importlib.util.find_spec("socksio") is None:
                raise ImportError(
                    f"{proxy.variable} names a proxy of the kind {scheme}, and socksio is not installed: "
                    f'pip install "{self._library.__name__}[socks]"'
                )
            scheme = "socks5"  # both kinds leave the server's name to the proxy; old versions know only one
        return self._library.Proxy(
            f"{scheme}://{proxy.authority}",
            auth=(proxy.user.reveal(), proxy.password.reveal()) if proxy.authorization else None,
            ssl_context=trusting(create) if scheme == "https" else None,
        )

    async def _exchange(self, body: bytes, dispatch: Dispatch, incoming: Incoming | None) -> Reply:
        transport = self._idle.pop()[0] if self._idle else self._open()
        self._all.add(transport)
        newest = _NewestStream()
        connecting = asyncio.timeout(self._endpoint.connect_timeout)
        try:
            async with connecting:
                # The connection stands once the body is asked for.
                upload = self._upload(body, dispatch, partial(connecting.reschedule, None))
                response = await self._begin(transport, upload, newest, incoming)
            headers = {
                name.decode("ascii").lower(): value.decode("latin-1") for name, value in response.headers.raw
            }
            async with aclosing(aiter(response.stream)) as parts:
                reply = await self._receive(response.status_code, headers, parts, incoming)
            await response.aclose()
        except BaseException as exc:
            await newest.aclose()
            await self._drop(transport)
            if isinstance(exc, TimeoutError) and connecting.expired():
                raise ConnectError(LATE.format(self._endpoint.connect_timeout)) from None
            raise
        if self._closed or _has_surplus(transport, response):
            await self._drop(transport)
        else:
            await self._keep(transport)
        return reply

    async def _begin(
        self, transport: Any, upload: Any, newest: "_NewestStream", incoming: Incoming | None
    ) -> Any:
        """Send the request and read the head of the reply."""
        trace = newest if self.proxy is None else partial(_refuse_other_than_200, newest, upload)
        request = self._library.Request(
            "POST",
            self._url,
            headers=[*self._headers, (b"Content-Length", b"%d" % upload.size)],
            stream=upload,
            extensions={"timeout": self._timeouts[incoming is not None], "trace": trace},
        )
        try:
            return await transport.handle_async_request(request)
        except Exception as exc:
            # This went wrong between here and the proxy, before there was a way to the server.
            if self.proxy is None or upload.begun or self._closed or isinstance(exc, ConnectError):
                raise
            fault, words = self._outcome(exc), self._words(exc)
        raise fault if isinstance(fault, ConnectError) else connect_error(words)

    async def _keep(self, transport: Any) -> None:
        now = asyncio.get_running_loop().time()
        self._idle.append((transport, now))
        if self._idle[0][1] < now - KEEP_ALIVE:
            await self._drop(self._idle.popleft()[0])

    async def _drop(self, transport: Any) -> None:
        self._all.discard(transport)
        await transport.aclose()

    async def _close(self) -> None:
        self._idle.clear()
        closing = [self._drop(transport) for transport in self._all]
        # Shielded, so that all are closed where waiting for it is cancelled.
        await asyncio.shield(asyncio.gather(*closing, return_exceptions=True))


def _has_surplus(transport: Any, response: Any) -> bool:
    """Whether more was read than the reply, which would be taken for the answer to the next request.

    The rest of a TLS record is found through public names. h11's state has none: where it is not found, the
    connection is kept, as httpx itself keeps it.
    """
    stream = response.extensions.get("network_stream")
    encrypted = stream.get_extra_info("ssl_object") if stream else None
    if encrypted is not None:
        try:
            encrypted.read(1)
        except ssl.SSLWantReadError:
            pass
        else:
            return True
    held: Any = next(iter(getattr(getattr(transport, "_pool", None), "connections", ())), None)
    while (inner := getattr(held, "_connection", None)) is not None:
        held = inner
    state = getattr(held, "_h11_state", None)
    return state is not None and bool(state.trailing_data[0])


class ClientTransport(_HttpxExchange):
    """Posts through a caller's own client, with its hooks, limits and defaults; never closes it."""

    def __init__(self, library: ModuleType, endpoint: Endpoint, client: AsyncHTTPClient) -> None:
        super().__init__(library, endpoint)
        self._client: Any = client
        self._anyio: Any = importlib.import_module("anyio") if library.__name__ == "httpx" else None
        # No limit on waiting for a connection: how many there are is for the client to say.
        self._timeout = self._library.Timeout(
            connect=endpoint.connect_timeout, read=endpoint.timeout, write=endpoint.timeout, pool=None
        )

    async def _exchange(self, body: bytes, dispatch: Dispatch, incoming: Incoming | None) -> Reply:
        attempt = partial(self._attempt, body, dispatch, incoming)
        return await (attempt() if self._anyio is None else _in_scope(self._anyio, dispatch, attempt))

    async def _attempt(self, body: bytes, dispatch: Dispatch, incoming: Incoming | None) -> Reply:
        response = await self._send(body, dispatch)
        try:
            headers = {name.lower(): value for name, value in response.headers.items()}
            if not response.is_stream_consumed:
                async with aclosing(aiter(response.stream)) as parts:
                    return await self._receive(response.status_code, headers, parts, incoming)
            # A hook of the caller's client has read it, and so decoded it.
            headers.pop("content-encoding", None)
            if incoming is not None:
                incoming.begin(response.status_code, headers)
                incoming.feed(response.content)
            return Reply(response.status_code, headers, response.content)
        finally:
            await response.aclose()

    async def _send(self, body: bytes, dispatch: Dispatch) -> Any:
        newest = _NewestStream()
        request = self._client.build_request(
            "POST",
            self._url,
            headers=[*self._headers, (b"Content-Length", b"%d" % len(body))],
            content=self._upload(body, dispatch),
            timeout=self._timeout,
            extensions={"trace": newest},
        )
        try:
            return await self._client.send(request, stream=True, follow_redirects=False)
        except BaseException:
            if not dispatch.sent:
                await newest.aclose()
            raise

    async def _close(self) -> None:
        """Leave the client as it is."""


@cache
def _upload_type(library: Any) -> Any:
    """The request's body, as a class of this library."""

    class Upload(library.AsyncByteStream):  # type: ignore[misc]  # the base is known at run time only
        """Notes when the last piece of the body leaves. The headers are out when the first is asked for.

        It is an object and not an async generator, because an abandoned generator leaves a task behind.
        """

        def __init__(
            self, body: bytes, dispatch: Dispatch, connected: Callable[[], None] | None = None
        ) -> None:
            self._body = body
            self._dispatch = dispatch
            self._connected = connected
            self._start = 0

        @property
        def size(self) -> int:
            return len(self._body)

        @property
        def begun(self) -> bool:
            """Whether it was asked for; until then the connection is being made."""
            return self._start > 0

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            start, end = self._start, self._start + _PIECE
            if not start and self._connected is not None:
                self._connected()
            if start >= len(self._body):
                raise StopAsyncIteration
            if self._dispatch.called_off:
                raise asyncio.CancelledError
            self._start = end
            self._dispatch.sent = end >= len(self._body)
            return self._body[start:end]

    return Upload


class _NewestStream:
    """A `trace` extension that knows the stream of the connection that is being made for a request.

    A request that is cancelled during the TLS handshake leaves its socket open: nothing else refers to it.
    """

    def __init__(self) -> None:
        self._stream: Any = None

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._stream = info["return_value"]

    async def aclose(self) -> None:
        """Close the stream; closing it twice does no harm."""
        if self._stream is not None:
            await self._stream.aclose()


async def _refuse_other_than_200(
    newest: _NewestStream, upload: Any, event: str, info: dict[str, Any]
) -> None:
    """The same `trace` extension, taking no answer to CONNECT but 200, as the other back ends do."""
    await newest(event, info)
    if event.endswith(".receive_response_headers.complete") and not upload.begun:
        status = info["return_value"][1]
        if status != 200:
            raise ProxyRefusedError(status)


async def _in_scope(anyio: Any, dispatch: Dispatch, run: Callable[[], Awaitable[T]]) -> T:
    """Run in a task of its own, and cancel that task by a cancel scope.

    httpx, unlike httpx2, loses connections when asyncio cancels it at the wrong moment. It is prepared for
    the cancel scopes of anyio, which comes with it.
    """
    scope = anyio.CancelScope()

    async def scoped() -> T:
        with scope:
            return await run()
        raise asyncio.CancelledError  # the scope has swallowed it

    task = asyncio.ensure_future(scoped())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        dispatch.called_off = True
        scope.cancel()
        await asyncio.wait([task])
        raise
