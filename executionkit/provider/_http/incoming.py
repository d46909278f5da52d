"""A reply that is read while it arrives."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

from executionkit.provider._http.faults import BROKEN, TOO_LARGE, TransportError


class Incoming:
    """The head of a reply, and its body piece by piece; fed and read in the same event loop.

    The back end reads ahead of the reader, up to `limit` bytes: a slow reader does not make a fast server
    look stalled, nor does it hold the connection.

    Args:
        limit: The most bytes to keep unread.
        stop: Ends the request at once; called at most once, and not after the end.
    """

    def __init__(self, limit: int, stop: Callable[[], None]) -> None:
        self._limit = limit
        self._stop = stop
        self._head: tuple[int, Mapping[str, str]] | None = None
        self._parts: deque[bytes] = deque()
        self._unread = 0
        self._ended = False
        self._fault: TransportError | None = None
        self._waiter: asyncio.Future[None] | None = None

    # What the back end calls.

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """The head has come: the status, and the headers by their names in lower case."""
        self._head = status, headers
        self._wake()

    def feed(self, part: bytes) -> None:
        """More of the body has come, as it was sent: still compressed."""
        if self._ended or not part:
            return
        self._parts.append(part)
        self._unread += len(part)
        if self._unread > self._limit:
            self._stop()
            self.end(TransportError(TOO_LARGE.format(self._limit)))
        self._wake()

    def end(self, fault: TransportError | None = None) -> None:
        """Nothing more will come: the body is complete, or `fault` tells why not. The first call counts."""
        if not self._ended:
            self._ended = True
            self._fault = fault
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the reader calls.

    async def head(self) -> tuple[int, Mapping[str, str]]:
        """Wait for the head.

        Raises:
            TransportError: The request ended before a head came.
        """
        while self._head is None:
            if self._ended:
                raise self._fault or TransportError(BROKEN)
            await self._news()
        return self._head

    async def read(self) -> bytes:
        """The next piece of the body, b"" at its end.

        Raises:
            TransportError: The body broke off, and everything before has been read.
        """
        while not self._parts:
            if self._ended:
                if self._fault is not None:
                    raise self._fault
                return b""
            await self._news()
        part = self._parts.popleft()
        self._unread -= len(part)
        return part

    async def wait_ended(self, seconds: float) -> None:
        """Wait, for so long at the most, until nothing more will come."""
        try:
            async with asyncio.timeout(seconds):
                while not self._ended:
                    await self._news()
        except TimeoutError:
            pass

    def close(self) -> None:
        """End the request if it is under way."""
        if not self._ended:
            self._stop()
            self.end()
        self._parts.clear()

    async def _news(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
