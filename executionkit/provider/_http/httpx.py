"""The back end over httpx or httpx2: the pools of their cores, or a caller's own client."""

import asyncio
import importlib
import importlib.util
import re
import ssl
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from functools import cache, partial
from types import ModuleType
from typing import Any, NamedTuple, Self, TypeVar

from executionkit._text import describe, unquoted
from executionkit.provider._http.exchange import ExchangingTransport, watch
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
from executionkit.provider._http.keep_alive import probe
from executionkit.provider._http.proxies import Proxy, proxy_for
from executionkit.provider._http.tls import trusting
from executionkit.provider._http.transport import KEEP_ALIVE, LOOK, AsyncHTTPClient, Dispatch, Endpoint, Reply

T = TypeVar("T")

_PIECE = 262_144
"""Bytes of a request that are written at a time."""


class _Way(NamedTuple):
    """An endpoint as httpx takes it: URL, headers, and times for a whole and for a streamed reply."""

    url: Any
    headers: list[tuple[bytes, bytes]]
    timeouts: tuple[dict[str, float | None], dict[str, float | None]]

    def headers_for(self, body: bytes) -> list[tuple[bytes, bytes]]:
        return [*self.headers, (b"Content-Length", b"%d" % len(body))]


class _HttpxExchange(ExchangingTransport[_Way]):
    """What both transports share: the headers, and the names of the faults.

    Args:
        library: httpx, httpx2 or the core of one of them. Their exceptions have the same names.
        endpoint: Where requests go.
    """

    def __init__(self, library: ModuleType, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        # Any: modules of the same shape, which need not be installed.
        self._library: Any = library

    def _prepared(self, endpoint: Endpoint) -> _Way:
        headers = [("Host", endpoint.authority)]
        headers += [(name, value.reveal()) for name, value in endpoint.headers]
        # Each step of connecting has this limit. `_exchange` has the same for all of them together.
        connect = endpoint.connect_timeout
        whole, part = (
            {"connect": connect, "read": silence, "write": silence}
            for silence in (endpoint.whole_timeout, endpoint.timeout)
        )
        return _Way(
            self._library.URL(endpoint.url),
            [(name.encode(), value.encode("latin-1")) for name, value in headers],
            (whole, part),
        )

    def _outcome(self, exc: Exception, endpoint: Endpoint) -> Reply | TransportError:
        library = self._library
        if isinstance(exc, library.ConnectTimeout):
            return ConnectError(LATE.format(endpoint.connect_timeout))
        if isinstance(exc, library.ProxyError) and (status := re.match(r"[1-9]\d\d\b", str(exc))):
            return ProxyRefusedError(int(status[0]))
        if isinstance(exc, (library.ConnectError, library.ProxyError)):
            return connect_error(describe(exc))
        if isinstance(exc, (library.ReadTimeout, library.WriteTimeout)):
            return TransportError(SILENT.format(endpoint.timeout))
        return TransportError(f"{BROKEN} ({self._words(exc)})")

    def _words(self, exc: Exception) -> str:
        words = describe(exc)
        return unquoted(words) if isinstance(exc, self._library.RemoteProtocolError) else words


class HttpxTransport(_HttpxExchange):
    """Posts through pools of one connection each.

    A pool looks at all of its connections for every request. A pool for each request at once costs the same
    however many there are. The pool that was used last is used next, because its connection is the least
    likely to be closed by now.
    """

    def __init__(self, library: ModuleType, endpoint: Endpoint) -> None:
        super().__init__(
            importlib.import_module("httpcore" if library.__name__ == "httpx" else "httpcore2"), endpoint
        )
        name, create = library.__name__, library.create_ssl_context
        self.proxy = proxy_for(endpoint.scheme, endpoint.host, endpoint.port, name)
        # A bare context trusts no authority and costs nothing. It is for connections that never use it.
        secure = trusting(create) if endpoint.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        make = (
            self._library.AsyncConnectionPool
            if self.proxy is None
            else self._through(self.proxy, name, create)
        )
        self._open: Callable[[], Any] = partial(make, ssl_context=secure, max_connections=1)
        self._idle: deque[_Line] = deque()
        self._all: set[_Line] = set()
        self._look: asyncio.TimerHandle | None = None
        self._dropping: set[asyncio.Task[None]] = set()

    def _through(
        self, proxy: Proxy, library: str, create: Callable[[], ssl.SSLContext]
    ) -> Callable[..., Any]:
        """How to make a pool that goes through the proxy."""
        core = self._library
        url = core.URL(scheme=proxy.scheme, host=proxy.host, port=proxy.port, target="/")
        login = (proxy.user.reveal().encode(), proxy.password.reveal().encode())
        auth = login if proxy.authorization else None
        if not proxy.scheme.startswith("socks"):
            encrypted = trusting(create) if proxy.scheme == "https" else None
            return partial(core.AsyncHTTPProxy, url, auth, proxy_ssl_context=encrypted)
        if importlib.util.find_spec("socksio") is None:
            raise ImportError(
                f"{proxy.variable} names a proxy of the kind {proxy.scheme}, and socksio is not installed: "
                f'pip install "{library}[socks]"'
            )
        return partial(core.AsyncSOCKSProxy, url, auth)

    async def _exchange(
        self, endpoint: Endpoint, way: _Way, body: bytes, dispatch: Dispatch, incoming: Incoming | None
    ) -> Reply:
        line = await self._kept()
        # The connection stands once the body is asked for.
        connecting = asyncio.timeout(None if line.stands else endpoint.connect_timeout)
        upload = _Upload(body, dispatch, None if line.stands else partial(connecting.reschedule, None))
        newest = _NewestStream()
        try:
            async with connecting:
                response = await self._begin(endpoint, way, line, upload, newest, incoming)
            headers = {
                name.decode("ascii").lower(): value.decode("latin-1") for name, value in response.headers
            }
            async with aclosing(aiter(response.stream)) as parts:
                reply = await self._receive(response.status, headers, parts, incoming)
            await response.aclose()
        except BaseException as exc:
            await newest.aclose()
            await self._drop(line)
            if isinstance(exc, TimeoutError) and connecting.expired():
                raise ConnectError(LATE.format(endpoint.connect_timeout)) from None
            raise
        await self._keep(line, response)
        return reply

    async def _begin(
        self,
        endpoint: Endpoint,
        way: _Way,
        line: "_Line",
        upload: "_Upload",
        newest: "_NewestStream",
        incoming: Incoming | None,
    ) -> Any:
        """Send the request and read the head of the reply."""
        extensions: dict[str, Any] = {"timeout": way.timeouts[incoming is not None]}
        if not line.stands:
            through = self.proxy is not None
            extensions["trace"] = partial(_refuse_other_than_200, newest, upload) if through else newest
        request = self._library.Request(
            "POST",
            way.url,
            headers=way.headers_for(upload.body),
            content=upload,
            extensions=extensions,
        )
        try:
            return await line.pool.handle_async_request(request)
        except Exception as exc:
            # This went wrong between here and the proxy, before there was a way to the server.
            if self.proxy is None or upload.begun or self._closed or isinstance(exc, ConnectError):
                raise
            fault, words = self._outcome(exc, endpoint), self._words(exc)
        raise fault if isinstance(fault, ConnectError) else connect_error(words)

    async def _kept(self) -> "_Line":
        """The line that was used last and still stands, else a new one."""
        while self._idle:
            line = self._idle.pop()
            if line.since > asyncio.get_running_loop().time() - KEEP_ALIVE and not line.has_news():
                return line
            await self._drop(line)
        line = _Line(self._open())
        self._all.add(line)
        return line

    async def _keep(self, line: "_Line", response: Any) -> None:
        stream = response.extensions["network_stream"]
        held = line.pool.connections
        if self._closed or not held or self._has_surplus(held[0], stream):
            await self._drop(line)
            return
        if not line.stands:
            line.stands = True
            line.has_news = watch(stream.get_extra_info("socket"))
        line.since = asyncio.get_running_loop().time()
        self._idle.append(line)
        self._look_later()

    def _look_later(self) -> None:
        if self._look is None and self._idle and not self._closed:
            # Weak, so that the timer keeps no transport that was dropped.
            wait = min(LOOK, KEEP_ALIVE)
            look = partial(_look_at, weakref.ref(self))
            self._look = asyncio.get_running_loop().call_later(wait, look)

    def look(self) -> None:
        """Close the idle connections that are too old, or that the server has closed."""
        self._look = None
        oldest = asyncio.get_running_loop().time() - KEEP_ALIVE
        for line in [line for line in self._idle if line.since <= oldest or line.has_news()]:
            self._idle.remove(line)
            task = asyncio.ensure_future(self._drop(line))
            self._dropping.add(task)
            task.add_done_callback(self._dropping.discard)
        self._look_later()

    def _has_surplus(self, connection: Any, stream: Any) -> bool:
        """Whether more was read than the reply, which would be taken for the answer to the next request.

        h11's state has no public name. Where it is not found, the connection is kept, as httpx keeps it.
        """
        encrypted = stream.get_extra_info("ssl_object") if self._endpoint.scheme == "https" else None
        if encrypted is not None:
            try:
                encrypted.read(1)  # what was received may hold more records than were asked for
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                return True
            else:
                return True
        while (inner := getattr(connection, "_connection", None)) is not None:
            connection = inner
        state = getattr(connection, "_h11_state", None)
        return state is not None and bool(state.trailing_data[0])

    async def _drop(self, line: "_Line") -> None:
        self._all.discard(line)
        await line.pool.aclose()

    async def _close(self) -> None:
        self._idle.clear()
        if self._look is not None:
            self._look.cancel()
        closing = [self._drop(line) for line in self._all]
        # Shielded, so that all are closed where waiting for it is cancelled.
        await asyncio.shield(asyncio.gather(*closing, return_exceptions=True))


def _look_at(transport: "Callable[[], HttpxTransport | None]") -> None:
    alive = transport()
    if alive is not None:
        alive.look()


class _Line:
    """A pool of one connection.

    Attributes:
        pool: The pool.
        stands: Whether it has served a request, so that the next finds it connected.
        has_news: Whether there is something to read while no request is under way.
        since: When it became idle.
    """

    __slots__ = ("has_news", "pool", "since", "stands")

    has_news: Callable[[], bool]
    since: float

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.stands = False


class ClientTransport(_HttpxExchange):
    """Posts through a caller's own client, with its hooks, limits and defaults; never closes it."""

    def __init__(self, library: ModuleType, endpoint: Endpoint, client: AsyncHTTPClient) -> None:
        super().__init__(library, endpoint)
        self._client: Any = client
        self._anyio: Any = importlib.import_module("anyio") if library.__name__ == "httpx" else None

    async def _exchange(
        self,
        endpoint: Endpoint,  # noqa: ARG002 - the interface has it
        way: _Way,
        body: bytes,
        dispatch: Dispatch,
        incoming: Incoming | None,
    ) -> Reply:
        attempt = partial(self._attempt, way, body, dispatch, incoming)
        return await (attempt() if self._anyio is None else _in_scope(self._anyio, dispatch, attempt))

    async def _attempt(self, way: _Way, body: bytes, dispatch: Dispatch, incoming: Incoming | None) -> Reply:
        response = await self._send(way, body, dispatch)
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

    async def _send(self, way: _Way, body: bytes, dispatch: Dispatch) -> Any:
        newest = _NewestStream()
        request = self._client.build_request(
            "POST",
            way.url,
            headers=way.headers_for(body),
            content=body,
            # No limit on waiting for a connection: how many there are is for the client to say.
            timeout=self._library.Timeout(**way.timeouts[True], pool=None),
            extensions={"trace": newest},
        )
        stream, watched = _types(self._library)
        request.stream = stream(body, dispatch)
        request.__class__ = (
            watched  # the client makes the request, so its class can be changed only afterwards
        )
        try:
            return await self._client.send(request, stream=True, follow_redirects=False)
        except BaseException as exc:
            if not dispatch.sent:
                await newest.aclose()
                # Who has read the content may have sent it; it was a hook if no connection came about.
                library = self._library
                unconnected = (library.ConnectError, library.ConnectTimeout, library.PoolTimeout)
                dispatch.sent = request.was_read and not isinstance(exc, unconnected)
            raise

    def _outcome(self, exc: Exception, endpoint: Endpoint) -> Reply | TransportError:
        if isinstance(exc, self._library.HTTPStatusError):
            # A hook of the client called raise_for_status(). The status tells more than that.
            failure: Any = exc
            return Reply(failure.response.status_code, dict(failure.response.headers), b"")
        if not isinstance(exc, self._library.RequestError):
            return TransportError(f"the http_client failed ({describe(exc)})")
        return super()._outcome(exc, endpoint)

    async def _close(self) -> None:
        """Leave the client as it is."""


@cache
def _types(library: Any) -> tuple[Any, Any]:
    """The body and the request as a caller's client takes them."""

    class Stream(library.ByteStream):  # type: ignore[misc]  # the base is known at run time only
        """The body, any number of times: the client may have to send it again."""

        def __init__(self, body: bytes, dispatch: Dispatch) -> None:
            super().__init__(body)
            self._body = body
            self._dispatch = dispatch

        def __aiter__(self) -> "_Upload":
            return _Upload(self._body, self._dispatch)

        def __iter__(self) -> Iterator[bytes]:
            self._dispatch.sent = True
            yield self._body

    class Watched(library.Request):  # type: ignore[misc]  # the base is known at run time only
        """A request that notes that its content was read, by a hook or by a transport of another kind."""

        was_read = False

        @property
        def content(self) -> bytes:
            self.was_read = True
            return bytes(super().content)

        def read(self) -> bytes:
            self.was_read = True
            return bytes(super().read())

        async def aread(self) -> bytes:
            self.was_read = True
            return bytes(await super().aread())

    return Stream, Watched


class _Upload:
    """The body of a request. It notes when its last piece leaves; by then the headers are out.

    It is an object and not an async generator, because an abandoned generator leaves a task behind.

    Args:
        body: What to post.
        dispatch: Where to note that it has left.
        connected: Called when the first piece is asked for: the connection stands.
    """

    def __init__(self, body: bytes, dispatch: Dispatch, connected: Callable[[], None] | None = None) -> None:
        self.body = body
        self._dispatch = dispatch
        self._connected = connected
        self._start = 0

    @property
    def begun(self) -> bool:
        """Whether it was asked for; until then the connection is being made."""
        return self._start > 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        start, end = self._start, self._start + _PIECE
        if not start and self._connected is not None:
            self._connected()
        if start >= len(self.body):
            raise StopAsyncIteration
        if self._dispatch.called_off:
            raise asyncio.CancelledError
        self._start = end
        self._dispatch.sent |= end >= len(self.body)
        return self.body[start:end]


class _NewestStream:
    """A `trace` extension that knows the stream of the connection that is being made for a request.

    A request that is cancelled during the TLS handshake leaves its socket open: nothing else refers to it.
    """

    def __init__(self) -> None:
        self._stream: Any = None

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._stream = info["return_value"]
            probe(self._stream.get_extra_info("socket"))

    async def aclose(self) -> None:
        """Close the stream; closing it twice does no harm."""
        if self._stream is not None:
            await self._stream.aclose()


async def _refuse_other_than_200(
    newest: _NewestStream, upload: _Upload, event: str, info: dict[str, Any]
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
