"""What a back end is, what it is told and what it hands back."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from executionkit.provider._http.proxies import Proxy
from executionkit.provider._secrets import Secret

KEEP_ALIVE = 60.0
"""Seconds an unused connection is kept; longer than a tool or a thought takes between two rounds."""

# The wording of faults is shared, so that the same failure reads the same whichever back end met it.
CONNECT = "could not connect ({})"
LATE = "could not connect within {:g} s (connect_timeout)"
BROKEN = "the connection broke before the reply was complete"
SILENT = "nothing was heard for {:g} s (timeout)"
TOO_LARGE = "the reply is larger than max_response_bytes ({})"
CLOSED = "the provider was closed while the request was under way"


class Endpoint(NamedTuple):
    """Where requests go and within which limits: everything a back end can prepare once.

    Attributes:
        scheme: "http" or "https".
        host: Name or address, in ASCII, an IPv6 address without brackets.
        port: The port, the scheme's own where none was given.
        target: Path and query of the request line.
        headers: All headers but Host and Content-Length.
        connect_timeout: Seconds until connected, handshake included.
        timeout: Seconds the server may be silent.
        whole_timeout: The same while a whole reply is awaited; None where its deadline comes no later.
        max_bytes: The most a reply's body may have, compressed or not.
    """

    scheme: str
    host: str
    port: int
    target: str
    headers: tuple[tuple[str, Secret], ...]
    connect_timeout: float
    timeout: float
    whole_timeout: float | None
    max_bytes: int

    @property
    def authority(self) -> str:
        """Host and port as a Host header has them: no port where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == default_port(self.scheme) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole URL."""
        return f"{self.scheme}://{self.authority}{self.target}"


def default_port(scheme: str) -> int:
    """The port a URL of this scheme means when it names none."""
    return 443 if scheme == "https" else 80


class Reply(NamedTuple):
    """An HTTP reply as it came: header names in lower case, the body still compressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Dispatch:
    """Whether a request has left: set by the back end, read by whoever has to account for it.

    Attributes:
        sent: True no later than the last byte of the request is handed to the operating system. So while it
            is false the server can't have received the request as a whole.
        called_off: The request was cancelled; it must not be sent any more.
    """

    __slots__ = ("called_off", "sent")

    def __init__(self) -> None:
        self.called_off = False
        self.sent = False


class TransportError(Exception):
    """No reply came, and why, in words; never chained to what a library raised, which may hold headers."""


class ConnectError(TransportError):
    """No connection came about, so nothing was sent."""


class ProxyRefusedError(ConnectError):
    """The proxy answered CONNECT with something else than 200.

    Args:
        status: What it answered.
    """

    def __init__(self, status: int) -> None:
        super().__init__(CONNECT.format(f"the proxy answered {status_line(status)}"))
        self.status = status


def status_line(status: int) -> str:
    """A status with the words that are usual for it; what servers put there can be anything."""
    from http import HTTPStatus  # not at the top: importing the library must not load it

    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


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
            TransportError: None comes.
        """
        while self._head is None:
            if self._ended:
                raise self._fault or TransportError(BROKEN)
            await self._news()
        return self._head

    async def read(self) -> bytes:
        """The next piece of the body, b"" at its end.

        Raises:
            TransportError: It broke off, and everything that came before has been read.
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


class Transport(Protocol):
    """A back end: it posts to one endpoint, within one event loop, as many requests at once as asked for.

    Whatever goes wrong leaves as a `TransportError`, cancellation apart, which ends the request at once.

    Attributes:
        proxy: What it goes through, if it is for us to say.
    """

    proxy: Proxy | None

    async def post(self, body: bytes, dispatch: Dispatch) -> Reply:
        """Post the body and read the whole reply; redirects are not followed."""
        ...

    def stream(self, body: bytes, dispatch: Dispatch) -> Incoming:
        """Post the body and hand the reply over while it arrives; whoever reads it closes it."""
        ...

    async def aclose(self) -> None:
        """Close every connection; requests under way fail."""
        ...


class AsyncHTTPClient(Protocol):
    """What is used of a caller's own `httpx.AsyncClient` or `httpx2.AsyncClient`."""

    def build_request(self, method: str, url: Any, /) -> Any:
        """Make a request with the client's defaults merged in."""
        ...

    async def send(self, request: Any, /) -> Any:
        """Send a request."""
        ...
