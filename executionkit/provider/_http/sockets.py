"""The network beneath httpcore, over asyncio's own transports: connect, encrypt, write, read.

httpcore takes it through its public interface for network back ends. The one it brings along reads nothing
while it writes, so what a server says before it hangs up is lost; what a TLS record holds besides a reply
stays hidden in it; and whether a request that is cancelled over TLS has left can't be told.
"""

import asyncio
import select
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from typing import Any, TypeAlias, TypeVar, cast

from executionkit._text import describe
from executionkit.provider._http.transport import BROKEN, CONNECT, SILENT, ConnectError, TransportError

T = TypeVar("T")
_Address: TypeAlias = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]

_HEAD_START = 0.25
"""Seconds that one address of a host has before the next is tried beside it; as RFC 8305 recommends."""

_PIECE = 65_536
"""From how many bytes on what is written goes out by itself, and is waited for."""

_UNREAD = 262_144
"""The bytes received and not yet asked for at which the server has to wait."""


_NO_LIMIT = 86_400.0
"""Seconds for a handshake, because asyncio's own limit comes sooner than the caller's may."""


def watch(transport: Any) -> Callable[[], bool]:
    """Tells of a kept connection whether there is something to read: its end, or nothing that is for us.

    It asks the system, because the event loop hears of it only in its next turn.
    """
    descriptor = transport.get_extra_info("socket").fileno()
    if hasattr(select, "poll"):
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        return lambda: bool(waiting.poll(0))
    return lambda: bool(select.select([descriptor], [], [], 0)[0])  # pragma: no cover - Windows has no poll


class AsyncioNetwork:
    """Opens connections; for how long is the caller's to limit."""

    def __init__(self) -> None:
        self._streams: set[AsyncioStream] = set()

    async def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> "AsyncioStream":
        """Open a connection to the first of a host's addresses that takes it.

        Raises:
            TransportError: None does.
        """

        async def connect() -> AsyncioStream:
            return await self._race(await _addresses(host, port))

        return await _connected(connect())

    async def aclose(self) -> None:
        """Close all connections; also where the wait for their ends is cancelled."""
        streams = tuple(self._streams)
        for stream in streams:
            stream.abort()
        for stream in streams:
            await stream.aclose()

    async def _race(self, addresses: Sequence[_Address]) -> "AsyncioStream":
        attempts: list[asyncio.Task[AsyncioStream]] = []
        winner: asyncio.Task[AsyncioStream] | None = None
        failure: BaseException = OSError("the name has no address")
        under_way: set[asyncio.Task[AsyncioStream]] = set()
        try:
            while winner is None:
                if len(attempts) < len(addresses):
                    attempts.append(asyncio.ensure_future(self._open(addresses[len(attempts)])))
                    under_way.add(attempts[-1])
                elif not under_way:
                    raise failure
                head_start = _HEAD_START if len(attempts) < len(addresses) else None
                done, under_way = await asyncio.wait(
                    under_way, timeout=head_start, return_when=asyncio.FIRST_COMPLETED
                )
                for attempt in done:
                    fault = attempt.exception()
                    if fault is None:
                        winner = attempt
                    else:
                        failure = fault
            return winner.result()
        finally:
            losers = [attempt for attempt in attempts if attempt is not winner]
            for loser in losers:
                loser.cancel()
                loser.add_done_callback(_close_unused)
            try:
                if losers:
                    await asyncio.wait(losers)
            except BaseException:
                if winner is not None:
                    _close_unused(winner)
                raise

    async def _open(self, address: _Address) -> "AsyncioStream":
        family, kind, protocol, _, place = address
        loop = asyncio.get_running_loop()
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(0)
            await loop.sock_connect(sock, place)
            _, stream = await loop.create_connection(lambda: AsyncioStream(self._streams), sock=sock)
        except BaseException:
            sock.close()
            raise
        return stream


async def _addresses(host: str, port: int) -> Sequence[_Address]:
    kind = socket.SOCK_STREAM
    try:
        # An address needs no thread to resolve it.
        return socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=kind)


def _close_unused(attempt: "asyncio.Task[AsyncioStream]") -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().abort()


class AsyncioStream(asyncio.Protocol):
    """One connection. Small writes go out together, when the answer to them is read.

    Args:
        open_streams: Where it enters itself while it is open.
    """

    _transport: asyncio.Transport
    _is_readable: Callable[[], bool]

    def __init__(self, open_streams: "set[AsyncioStream]") -> None:
        self._open_streams = open_streams
        self._unsent: list[bytes] = []
        self._unread: list[bytes] = []
        self._size = 0
        self._ended = False
        self._fault: Exception | None = None
        self._news: asyncio.Future[None] | None = None
        self._is_writable = asyncio.Event()
        self._is_writable.set()
        self._is_lost = asyncio.Event()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        # Not asked whether it is one: uvloop's are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._is_readable = watch(transport)
        self._open_streams.add(self)

    def data_received(self, data: bytes) -> None:
        """Something has come."""
        self._unread.append(data)
        self._size += len(data)
        if self._size > _UNREAD:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Nothing more will come."""
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, whoever ended it."""
        self._fault = exc
        self._open_streams.discard(self)
        self._is_lost.set()
        self._end()

    def pause_writing(self) -> None:
        """The server is slow to read."""
        self._is_writable.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._is_writable.set()

    def _end(self) -> None:
        self._ended = True
        self._is_writable.set()
        self._wake()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    # What httpcore calls.

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002  # httpcore gives it by name
        """What has come, all of it, however much is asked for; b"" at the end.

        Raises:
            TransportError: Nothing came in time, or the connection broke.
        """
        self._flush()
        if not self._unread and not self._ended:
            self._news = asyncio.get_running_loop().create_future()
            await _heard(self._news, timeout)
        if not self._unread and self._fault is not None:
            raise TransportError(f"{BROKEN} ({describe(self._fault)})")
        data = b"".join(self._unread)
        self._unread.clear()
        self._size = 0
        if not self._ended:
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send. What can't be sent any more is passed over: the server may have said why.

        Raises:
            TransportError: It was not taken in time.
        """
        self._unsent.append(buffer)
        if len(buffer) >= _PIECE:
            if self._is_readable():
                # A reply already. To be refused what is written would lose it: it is read first.
                await asyncio.sleep(0)
            self._flush()
            if not self._is_writable.is_set():
                await _heard(self._is_writable.wait(), timeout)

    def _flush(self) -> None:
        if self._unsent and not self._ended:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, *_: object, **__: object
    ) -> "AsyncioStream":
        """Go on encrypted.

        Raises:
            TransportError: It did not come to that.
        """

        async def encrypt() -> asyncio.Transport | None:
            loop = asyncio.get_running_loop()
            return await loop.start_tls(
                self._transport,
                self,
                ssl_context,
                server_hostname=server_hostname,
                ssl_handshake_timeout=_NO_LIMIT,
            )

        try:
            if self._unread:  # it would never reach the handshake, which would wait for it
                raise ConnectError(CONNECT.format("the server speaks first, so it does not speak TLS"))
            secure = None if self._ended else await _connected(encrypt())
            if secure is None:
                raise ConnectError(CONNECT.format("the other side hung up"))
        except BaseException:
            self.abort()
            self.connection_lost(None)  # asyncio tells it only to whom it has told the beginning
            await asyncio.sleep(0)  # as in aclose
            raise
        self._transport = secure
        return self

    async def aclose(self) -> None:
        """Close at once, in the middle of whatever it is; in order would be to wait for the server."""
        self.abort()
        await self._is_lost.wait()  # a turn of the loop, after which the socket is closed as well

    def abort(self) -> None:
        """Begin to close."""
        self._transport.abort()

    def get_extra_info(self, info: str) -> Any:
        """What httpcore wants to know: whether a connection that is kept has something to read."""
        if info == "is_readable":
            return bool(self._unread) or self._ended or self._is_readable()
        return self._transport.get_extra_info(info)


async def _connected(connecting: Coroutine[Any, Any, T]) -> T:
    try:
        return await connecting
    except Exception as exc:  # noqa: BLE001  # not connected, whatever the reason
        fault = ConnectError(CONNECT.format(describe(exc)))
    raise fault


async def _heard(waiting: "asyncio.Future[T] | Coroutine[Any, Any, T]", timeout: float | None) -> None:
    try:
        # A time limit is a timer for each call: only where there is one.
        async with nullcontext() if timeout is None else asyncio.timeout(timeout):
            await waiting
    except TimeoutError:
        fault = TransportError(SILENT.format(timeout))
    else:
        return
    raise fault
