"""The back end over httpx or httpx2: the connection pools of their cores."""

import asyncio
import importlib
import importlib.util
import ssl
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from types import ModuleType
from typing import Any

from executionkit.provider._http.exchange import watch
from executionkit.provider._http.faults import LATE, ConnectError, ProxyRefusedError, connect_error
from executionkit.provider._http.httpx_exchange import HttpxExchange, NewestStream, Upload, Way
from executionkit.provider._http.httpx_network import network_of
from executionkit.provider._http.incoming import Incoming
from executionkit.provider._http.proxies import Proxy, proxy_for
from executionkit.provider._http.tls import trusting
from executionkit.provider._http.transport import KEEP_ALIVE, LOOK, Dispatch, Endpoint, Reply


class HttpxTransport(HttpxExchange):
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
        network = network_of(self._library)
        self._open: Callable[[], Any] = partial(
            make, ssl_context=secure, max_connections=1, network_backend=network
        )
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
        self, endpoint: Endpoint, way: Way, body: bytes, dispatch: Dispatch, incoming: Incoming | None
    ) -> Reply:
        line = await self._kept()
        newest = NewestStream()
        connecting: asyncio.Timeout | None = None
        try:
            if line.stands:
                upload = Upload(body, dispatch)
                response = await self._begin(endpoint, way, line, upload, newest, incoming)
            else:
                # The connection stands once the body is asked for.
                connecting = asyncio.timeout(endpoint.connect_timeout)
                upload = Upload(body, dispatch, partial(connecting.reschedule, None))
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
            if isinstance(exc, TimeoutError) and connecting is not None and connecting.expired():
                raise ConnectError(LATE.format(endpoint.connect_timeout)) from None
            raise
        await self._keep(line, response)
        return reply

    async def _begin(
        self,
        endpoint: Endpoint,
        way: Way,
        line: "_Line",
        upload: "Upload",
        newest: "NewestStream",
        incoming: Incoming | None,
    ) -> Any:
        """Send the request and read the head of the reply."""
        extensions: dict[str, Any] = {"timeout": way.timeouts[incoming is not None]}
        if not line.stands:
            through = self.proxy is not None
            extensions["trace"] = partial(_refuse_other_than_200, newest, upload) if through else newest
        request = self._library.Request("POST", way.url, content=upload, extensions=extensions)
        # Not as an argument, which is checked name by name: these are bytes already.
        request.headers = way.headers_for(upload.body)
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


async def _refuse_other_than_200(
    newest: NewestStream, upload: Upload, event: str, info: dict[str, Any]
) -> None:
    """The same `trace` extension, taking no answer to CONNECT but 200, as the other back ends do."""
    await newest(event, info)
    if event.endswith(".receive_response_headers.complete") and not upload.begun:
        status = info["return_value"][1]
        if status != 200:
            raise ProxyRefusedError(status)
