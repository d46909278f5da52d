"""What httpx, httpx2 and their cores share: the request's body, cancelling, the stream being opened."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from executionkit._text import describe, unquoted
from executionkit.provider._http.transport import (
    BROKEN,
    CONNECT,
    LATE,
    SILENT,
    ConnectError,
    Dispatch,
    Endpoint,
    ProxyRefusedError,
    TransportError,
)

T = TypeVar("T")


_PIECE = 65_536
"""The bytes of a request that are written before looking whether the server takes them."""


class Body:
    """Yields the request's body, noting when the last of it leaves.

    The headers are out when the body is asked for, and each piece is written at once (older anyio lets other
    tasks run first: a request cancelled in just that moment counts as sent although its body was not).
    An object and not an async generator, because an abandoned generator leaves a task behind to close it.

    Args:
        body: What to post.
        dispatch: Where to note that it has left.
        connected: Called when the first of it is asked for: the connection stands.
    """

    def __init__(self, body: bytes, dispatch: Dispatch, connected: Callable[[], None] | None = None) -> None:
        self._body = body
        self._dispatch = dispatch
        self._connected = connected
        self._start = 0

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


class NewestStream:
    """Knows, as a `trace` extension, the stream of the connection that is being made for a request.

    A request that is cancelled during the TLS handshake leaves its socket open: nobody but the trace has it.
    """

    def __init__(self) -> None:
        self._stream: Any = None

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        """Take note of an event."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._stream = info["return_value"]

    async def aclose(self) -> None:
        """Close it; it doesn't matter if that was done already."""
        if self._stream is not None:
            await self._stream.aclose()


async def in_scope(anyio: Any, dispatch: Dispatch, run: Callable[[], Awaitable[T]]) -> T:
    """Run in a task of its own, so that cancelling ours reaches it through a cancel scope.

    httpx (mended in httpx2) forgets connections when asyncio cancels it at the wrong moment. What it is
    prepared for are the cancel scopes of anyio, which comes with it.
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


def words_of(exc: Exception, library: Any) -> str:
    """An exception of httpx's or its core's in words, without what it quotes of the reply."""
    return unquoted(describe(exc)) if isinstance(exc, library.RemoteProtocolError) else describe(exc)


def fault_of(exc: Exception, library: Any, endpoint: Endpoint) -> TransportError:
    """The fault that an exception of httpx's, or of its core's, tells of: their names are the same."""
    if isinstance(exc, library.ConnectTimeout):
        return ConnectError(LATE.format(endpoint.connect_timeout))
    if isinstance(exc, library.ProxyError) and (status := re.match(r"[1-9]\d\d\b", str(exc))):
        return ProxyRefusedError(int(status[0]))
    if isinstance(exc, (library.ConnectError, library.ProxyError)):
        return ConnectError(CONNECT.format(describe(exc)))
    if isinstance(exc, (library.ReadTimeout, library.WriteTimeout)):
        return TransportError(SILENT.format(endpoint.timeout))
    return TransportError(f"{BROKEN} ({words_of(exc, library)})")
