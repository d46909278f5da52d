"""The endpoint that a back end posts to, and the interface of a back end."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from executionkit._secrets import Secret
from executionkit.provider._http.incoming import Incoming
from executionkit.provider._http.proxies import Proxy

KEEP_ALIVE = 60.0
"""Seconds an unused connection is kept; longer than a tool or a thought takes between two rounds."""

LOOK = 1.0
"""Seconds between two looks at whether unused connections have ended; only while there are some."""


class Endpoint(NamedTuple):
    """Where requests go and within which limits: everything a back end can prepare once.

    Attributes:
        scheme: "http" or "https".
        host: Name or address, in ASCII, an IPv6 address without brackets.
        port: The port. Defaults to the scheme's own.
        target: Path and query of the request line.
        headers: All headers but Host and Content-Length.
        connect_timeout: Seconds until connected, handshake included.
        timeout: Seconds the server may be silent.
        whole_timeout: The same while a whole reply is awaited; None if its deadline comes first anyway.
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
    """The port of a URL with this scheme and without a port."""
    return 443 if scheme == "https" else 80


class Reply(NamedTuple):
    """An HTTP reply as it came: header names in lower case, the body still compressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Dispatch:
    """Whether a request has left. The back end sets it; the accounting of calls reads it.

    Attributes:
        sent: True no later than the last byte of the request is handed to the operating system. So while it
            is false the server can't have received the request as a whole.
        called_off: The request was cancelled; it must not be sent any more.
    """

    __slots__ = ("called_off", "sent")

    def __init__(self) -> None:
        self.called_off = False
        self.sent = False


class Transport(Protocol):
    """A back end: it posts to one endpoint, within one event loop, as many requests at once as asked for.

    Every failure is a `TransportError`. Cancelling ends the request at once.

    Attributes:
        proxy: The proxy that requests go through; None without one, and for a client of the caller's.
    """

    proxy: Proxy | None

    async def post(self, body: bytes, dispatch: Dispatch, endpoint: Endpoint, within: float) -> Reply:
        """Post the body and read the whole reply; redirects are not followed.

        Args:
            body: What to post.
            dispatch: Where to note that it leaves.
            endpoint: The transport's own, or one that differs in the target, the headers or the times.
            within: The most seconds that it may take.

        Raises:
            OverrunError: It took longer.
            TransportError: No reply came.
            ValueError: The back end can't send one of the headers.
        """
        ...

    def stream(self, body: bytes, dispatch: Dispatch, endpoint: Endpoint) -> Incoming:
        """Post the body and hand the reply over while it arrives; the reader closes it."""
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
