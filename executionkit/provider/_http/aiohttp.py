"""The back end over aiohttp."""

import asyncio
import importlib
import socket
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

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
from executionkit.provider._http.proxies import proxy_for
from executionkit.provider._http.tls import default_context, trusting
from executionkit.provider._http.transport import KEEP_ALIVE, Dispatch, Endpoint, Reply

_PIECE = 262_144
"""The bytes of a request that are written before looking whether the server takes them."""

_LINE = 65_536
"""The longest status or header line; what http.client takes."""


class _Way(NamedTuple):
    """An endpoint as aiohttp takes it: `options` are further arguments of a request."""

    url: Any
    timeouts: tuple[Any, Any]
    options: dict[str, Any]


class AiohttpTransport(ExchangingTransport[_Way]):
    """Posts through a `ClientSession` that keeps no cookies, unpacks nothing and limits no connections."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        # Any: it need not be installed.
        self._library: Any = importlib.import_module("aiohttp")
        self._new_url = importlib.import_module("yarl").URL
        self._headers = _headers_of(endpoint)
        self._context = trusting(default_context) if endpoint.scheme == "https" else None
        self.proxy = way = proxy_for(endpoint.scheme, endpoint.host, endpoint.port, "aiohttp")
        self._proxying: dict[str, Any] = {}
        self._login: dict[str, str] = {}
        if way is not None:
            login = {"Proxy-Authorization": way.authorization.reveal()} if way.authorization else {}
            if endpoint.scheme == "http":
                self._login = login
            else:
                self._proxying["proxy_headers"] = login
            self._proxying["proxy"] = self._new_url.build(
                scheme=way.scheme, host=_canonical(way.host), port=way.port
            )
            # With each request: headers of the session's own go to the proxy as well, the key among them.
            self._headers = {}
        self._upload = _upload_type(self._library)
        # How to tell, of each connection that has served a request, whether it has ended.
        self._watched: WeakKeyDictionary[Any, Callable[[], bool]] = WeakKeyDictionary()
        self._session: Any = None

    def _prepared(self, endpoint: Endpoint) -> _Way:
        options = dict(self._proxying)
        if endpoint is not self._endpoint or self.proxy is not None:
            options["headers"] = _headers_of(endpoint) | self._login
        whole, part = (
            self._library.ClientTimeout(total=None, connect=endpoint.connect_timeout, sock_read=silence)
            for silence in (endpoint.whole_timeout, endpoint.timeout)
        )
        url = self._new_url(endpoint._replace(host=_canonical(endpoint.host)).url, encoded=True)
        return _Way(url, (whole, part), options)

    def _open(self) -> Any:
        library = self._library
        return library.ClientSession(
            connector=library.TCPConnector(
                # The number of requests at once is the caller's to limit.
                limit=0,
                keepalive_timeout=KEEP_ALIVE,
                ssl=True if self._context is None else self._context,
                # Not what else is installed: the same names are found on every machine.
                resolver=library.ThreadedResolver(),
            ),
            headers=self._headers,
            cookie_jar=library.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=_LINE,
            max_field_size=_LINE,
        )

    async def _exchange(
        self, endpoint: Endpoint, way: _Way, body: bytes, dispatch: Dispatch, incoming: Incoming | None
    ) -> Reply:
        if self._session is None:
            self._session = self._open()
        others = len(self._watched)
        while True:
            upload = self._upload(body, dispatch, self._watched, endpoint.timeout)
            fault = None
            try:
                response = await self._session.post(
                    way.url,
                    data=upload,
                    timeout=way.timeouts[incoming is not None],
                    allow_redirects=False,
                    **way.options,
                )
                try:
                    # A reply that was there before the request answers another one. On a new connection it is
                    # taken, because that is how an overloaded server speaks.
                    upload.found_useless |= not upload.begun and others > 0
                    if upload.found_useless:
                        raise ConnectionError("there was a reply already")
                    headers = {name.lower(): value for name, value in response.headers.items()}
                    parts = response.content.iter_any()
                    return await self._receive(response.status, headers, parts, incoming)
                finally:
                    if not response.closed:
                        response.close()
            except BaseException as exc:
                dispatch.called_off = isinstance(exc, asyncio.CancelledError)
                upload.abandon()
                if not isinstance(exc, Exception):
                    raise
                if not upload.found_useless:
                    if "proxy_headers" not in way.options or upload.begun or self._closed:
                        raise
                    # This went wrong between here and the proxy, before there was a way to the server.
                    outcome = self._outcome(exc, endpoint)
                    is_named = isinstance(outcome, ConnectError)
                    fault = outcome if is_named else connect_error(self._words(exc))
            if fault is not None:
                raise fault
            # That was a kept connection, and nothing has been written on it. There are others.
            others -= 1

    def _outcome(self, exc: Exception, endpoint: Endpoint) -> TransportError:
        library = self._library
        if isinstance(exc, library.ClientHttpProxyError):
            refusal: Any = exc
            return ProxyRefusedError(refusal.status)
        if isinstance(exc, library.ConnectionTimeoutError):
            return ConnectError(LATE.format(endpoint.connect_timeout))
        if isinstance(exc, (library.ClientConnectorError, library.InvalidURL)):
            return connect_error(self._words(exc))
        if isinstance(exc, TimeoutError):
            return TransportError(SILENT.format(endpoint.timeout))
        return TransportError(f"{BROKEN} ({self._words(exc)})")

    def _words(self, exc: Exception) -> str:
        """The words of an exception, without the URL, the reply's head and a status that was not sent."""
        library = self._library
        said: Any = exc
        if isinstance(exc, library.ClientPayloadError) and isinstance(exc.__cause__, Exception):
            said = exc.__cause__
        if isinstance(said, library.ServerDisconnectedError):
            text = "the server hung up"
        elif isinstance(said, (library.ClientResponseError, library.http.HttpProcessingError)):
            text = unquoted(said.message)
        elif isinstance(said, (library.InvalidURL, library.ServerTimeoutError)):
            text = ""
        else:
            return describe(exc)
        return f"{type(said).__name__}: {text}" if text else type(said).__name__

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _headers_of(endpoint: Endpoint) -> dict[str, str]:
    headers = {"Host": endpoint.authority, **{name: value.reveal() for name, value in endpoint.headers}}
    if not all(map(str.isascii, headers.values())):
        raise ValueError("aiohttp would send header values beyond ASCII as UTF-8; use another backend")
    return headers


def _canonical(host: str) -> str:
    """The host; of an address in one of the short forms (127.1), which aiohttp refuses, the whole form."""
    if not host.replace(".", "").isdigit():
        return host
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return host


@cache
def _upload_type(library: Any) -> Any:
    """The request body as aiohttp takes it."""

    class Upload(library.Payload):  # type: ignore[misc]  # the base is known at run time only
        """Writes the body, noting that it leaves; aiohttp sends the headers together with its first piece."""

        def __init__(
            self,
            body: bytes,
            dispatch: Dispatch,
            watched: "WeakKeyDictionary[Any, Callable[[], bool]]",
            timeout: float,
        ) -> None:
            super().__init__(body)
            self._body = body
            self._dispatch = dispatch
            self._watched = watched
            self._timeout = timeout
            self._transport: asyncio.Transport | None = None
            self.begun = False
            self.found_useless = False

        @property
        def size(self) -> int:
            return len(self._body)

        def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
            return self._body.decode(encoding, errors)

        async def write(self, writer: Any) -> None:
            transport, protocol = writer.transport, writer.protocol
            self.begun, self._transport = True, transport
            has_news = self._watched.get(protocol)
            if has_news is None:
                probe(sock := transport.get_extra_info("socket"))
                has_news = self._watched[protocol] = watch(sock)
            elif protocol.should_close or transport is None or transport.is_closing() or has_news():
                self.found_useless = True
                raise ConnectionError("the connection has ended")
            last = max(0, len(self._body) - _PIECE)
            for start in range(0, last, _PIECE):
                if has_news():
                    # A reply already. To be refused what is written would lose it: it is read first.
                    await asyncio.sleep(0)
                await writer.write(self._body[start : min(start + _PIECE, last)], drain=False)
                async with asyncio.timeout(self._timeout):
                    await writer.drain()
            if self._dispatch.called_off:
                raise asyncio.CancelledError
            self._dispatch.sent = True
            await writer.write(self._body[last:], drain=False)

        async def write_with_length(self, writer: Any, _content_length: int | None) -> None:
            await self.write(writer)

        def abandon(self) -> None:
            """End the connection at once: it would be shut down in order, which waits for the server."""
            if self._transport is not None:
                self._transport.abort()

    return Upload
