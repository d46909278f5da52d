"""What the back ends over httpx and httpx2 have in common: a request's form, and the names of the faults."""

import asyncio
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple, Self

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
from executionkit.provider._http.keep_alive import probe
from executionkit.provider._http.transport import Dispatch, Endpoint, Reply

_PIECE = 262_144
"""Bytes of a request that are written at a time."""


class Way(NamedTuple):
    """An endpoint as httpx takes it: URL, headers, and times for a whole and for a streamed reply."""

    url: Any
    headers: list[tuple[bytes, bytes]]
    timeouts: tuple[dict[str, float | None], dict[str, float | None]]

    def headers_for(self, body: bytes) -> list[tuple[bytes, bytes]]:
        return [*self.headers, (b"Content-Length", b"%d" % len(body))]


class HttpxExchange(ExchangingTransport[Way]):
    """What both transports share: the headers, and the names of the faults.

    Args:
        library: httpx, httpx2 or the core of one of them. Their exceptions have the same names.
        endpoint: Where requests go.
    """

    def __init__(self, library: ModuleType, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        # Any: modules of the same shape, which need not be installed.
        self._library: Any = library

    def _prepared(self, endpoint: Endpoint) -> Way:
        headers = [("Host", endpoint.authority)]
        headers += [(name, value.reveal()) for name, value in endpoint.headers]
        # Each step of connecting has this limit. `_exchange` has the same for all of them together.
        connect = endpoint.connect_timeout
        whole, part = (
            {"connect": connect, "read": silence, "write": silence}
            for silence in (endpoint.whole_timeout, endpoint.timeout)
        )
        return Way(
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


class Upload:
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


class NewestStream:
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
