"""The back end over httpx or httpx2: their core's connections, one for each request at once."""

import asyncio
import importlib
import importlib.util
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing, nullcontext
from functools import partial
from types import ModuleType
from typing import Any

from executionkit.provider._http.anyio import Body, NewestStream, fault_of, words_of
from executionkit.provider._http.exchange import ExchangingTransport
from executionkit.provider._http.proxies import proxy_for
from executionkit.provider._http.sockets import AsyncioNetwork
from executionkit.provider._http.tls import trusting
from executionkit.provider._http.transport import (
    BROKEN,
    CONNECT,
    KEEP_ALIVE,
    LATE,
    ConnectError,
    Dispatch,
    Endpoint,
    Incoming,
    ProxyRefusedError,
    Reply,
    TransportError,
)


class HttpcoreTransport(ExchangingTransport):
    """Posts through connections of httpcore, without the pool and the client around them.

    A pool looks at all of its connections for every request. Here each request has a connection for itself,
    and the one that was used last is used next: it is the least likely to be closed by now.
    """

    def __init__(self, library: ModuleType, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        # Any: one of two modules of the same shape, neither of which need be installed.
        core: Any = importlib.import_module("httpcore" if library.__name__ == "httpx" else "httpcore2")
        self._library: Any = library
        self._core = core
        self._url = core.URL(endpoint.url)
        self._origin = self._url.origin
        headers = [
            ("Host", endpoint.authority),
            *((name, value.reveal()) for name, value in endpoint.headers),
        ]
        self._headers = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        self._timeouts = [
            {"read": silence, "write": silence} for silence in (endpoint.whole_timeout, endpoint.timeout)
        ]
        self.proxy = proxy_for(endpoint.scheme, endpoint.host, endpoint.port, library.__name__)
        self._network = AsyncioNetwork()
        self._pool = self._connection_maker()
        self._idle: deque[tuple[Any, float]] = deque()

    def _connection_maker(self) -> Any:
        """A pool that holds nothing: it knows how to connect, through proxies as well."""
        create = self._library.create_ssl_context
        # A bare context trusts nobody and costs nothing: it is for connections that never use it.
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        proxy, way = None, self.proxy
        if way is not None:
            if way.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
                name = self._library.__name__
                raise ImportError(
                    f"{way.variable} names a proxy of the kind {way.scheme}, and socksio is not installed: "
                    f'pip install "{name}[socks]"'
                )
            proxy = self._core.Proxy(
                self._core.URL(scheme=way.scheme, host=way.host, port=way.port, target="/"),
                auth=(way.user.reveal().encode(), way.password.reveal().encode())
                if way.authorization
                else None,
                ssl_context=trusting(create) if way.scheme == "https" else None,
            )
        return self._core.AsyncConnectionPool(
            ssl_context=trusting(create) if self._endpoint.scheme == "https" else bare,
            proxy=proxy,
            keepalive_expiry=KEEP_ALIVE,
            network_backend=self._network,
        )

    async def _exchange(self, body: bytes, dispatch: Dispatch, incoming: Incoming | None) -> Reply:
        connection = await self._kept()
        connecting = None
        extensions: dict[str, Any] = {"timeout": self._timeouts[incoming is not None]}
        newest = NewestStream()
        if connection is None:
            connection = self._pool.create_connection(self._origin)
            # There is time for it until the request's body is asked for.
            connecting = asyncio.timeout(self._endpoint.connect_timeout)
            extensions["trace"] = newest
        content = Body(body, dispatch, connecting and partial(connecting.reschedule, None))
        if connecting is not None and self.proxy is not None:
            extensions["trace"] = _refusing(newest, content)
        request = self._core.Request(
            b"POST",
            self._url,
            headers=[*self._headers, (b"Content-Length", b"%d" % len(body))],
            content=content,
            extensions=extensions,
        )
        try:
            async with connecting or nullcontext():
                response = await self._begin(connection, request, content)
            headers = {
                name.decode("ascii").lower(): value.decode("latin-1") for name, value in response.headers
            }
            async with aclosing(aiter(response.stream)) as parts:
                reply = await self._receive(response.status, headers, parts, incoming)
            await response.aclose()
        except BaseException as exc:
            await newest.aclose()
            await self._drop(connection)
            if isinstance(exc, TimeoutError) and connecting is not None and connecting.expired():
                raise ConnectError(LATE.format(self._endpoint.connect_timeout)) from None
            raise
        await (self._drop if _has_surplus(connection) else self._keep)(connection)
        return reply

    async def _begin(self, connection: Any, request: Any, content: Body) -> Any:
        """Send the request and read the reply's head."""
        try:
            return await connection.handle_async_request(request)
        except Exception as exc:
            # What goes wrong between here and the proxy, before there is a way to the server.
            if self.proxy is None or content.begun or self._closed or isinstance(exc, ConnectError):
                raise
            fault = fault_of(exc, self._core, self._endpoint)
            why = str(exc) if isinstance(exc, TransportError) else words_of(exc, self._core)
        if isinstance(fault, ConnectError):
            raise fault
        raise ConnectError(CONNECT.format("the proxy hung up" if why.startswith(BROKEN) else why))

    async def _kept(self) -> Any:
        """The connection that was used last, if it still stands."""
        while self._idle:
            connection, _ = self._idle.pop()
            if not (connection.is_closed() or connection.has_expired()):
                return connection
            await self._drop(connection)
        return None

    async def _keep(self, connection: Any) -> None:
        if self._closed or connection.is_closed():
            await self._drop(connection)
            return
        now = asyncio.get_running_loop().time()
        self._idle.append((connection, now))
        if self._idle[0][1] < now - KEEP_ALIVE:
            await self._drop(self._idle.popleft()[0])

    async def _drop(self, connection: Any) -> None:
        if not connection.is_closed():
            await connection.aclose()

    def _outcome(self, exc: Exception) -> Reply | TransportError:
        return fault_of(exc, self._core, self._endpoint)

    async def _close(self) -> None:
        self._idle.clear()
        await self._network.aclose()


def _refusing(newest: NewestStream, content: Body) -> Callable[[str, dict[str, Any]], Awaitable[None]]:
    """The same `trace` extension, taking no answer to CONNECT but 200, as the other back ends do."""

    async def look(event: str, info: dict[str, Any]) -> None:
        await newest(event, info)
        if event.endswith(".receive_response_headers.complete") and not content.begun:
            status = info["return_value"][1]
            if status != 200:
                raise ProxyRefusedError(status)

    return look


def _has_surplus(connection: Any) -> bool:
    """Whether more was read than the reply: h11 would take it for the answer to the next request.

    The core has no public way to h11's state; where it is not found, no connection is kept.
    """
    while (inner := getattr(connection, "_connection", None)) is not None:
        connection = inner
    state = getattr(connection, "_h11_state", None)
    return state is None or bool(state.trailing_data[0])
