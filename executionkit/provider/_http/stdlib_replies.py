"""Reads one HTTP/1.1 reply from a blocking socket, by http.client and more strictly than it."""

import http
import http.client
import io
import re
import socket
from collections.abc import Mapping
from typing import Any, Protocol

from executionkit.provider._http.faults import TOO_LARGE, TransportError
from executionkit.provider._http.transport import Reply

_HEADER = re.compile(rb"(?:(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:|[ \t])[^\r\n\0]*)?(?:\r?\n)?")
"""A header line, one that goes on with the last, or the empty one that ends them (RFC 9112, 5)."""


class Listener(Protocol):
    """Who wants a reply while it arrives."""

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the head."""
        ...

    def feed(self, part: bytes) -> None:
        """Take the next part of the body."""
        ...


def read_reply(sock: socket.socket, limit: int, listener: Listener | None) -> tuple[Reply, bool]:
    """Read one reply; also tell whether the connection may be used again."""
    response = http.client.HTTPResponse(sock, method="POST")
    response.fp.close()
    response.fp = reader = _Reader(sock)
    try:
        _begin(response)
        reader.is_in_head = False
        headers = {name.lower(): value for name, value in response.getheaders()}
        if listener is None:
            body = _body(response, limit)
        else:
            body = b""
            listener.begin(response.status, headers)
            while part := response.read1(65_536):
                listener.feed(part)
        if response.length:  # what is still to come of the declared length; read() itself doesn't mind
            raise http.client.IncompleteRead(b"", response.length)
    finally:
        response.close()
    ends = response.will_close or response.status == http.HTTPStatus.SWITCHING_PROTOCOLS
    return Reply(response.status, headers, body), not (ends or reader.has_surplus)


def _begin(response: http.client.HTTPResponse) -> None:
    """Read the head: the final one, and of one opinion about the length."""
    response.begin()
    while 101 < response.status < 200:  # an interim reply (RFC 9110, 15.2); http.client skips only 100
        response.headers = None  # type: ignore[assignment]  # or begin() would think that it has begun
        response.begin()
    # Of several lengths http.client would take the first, and of a sign or an underscore think nothing.
    stated = ",".join(response.headers.get_all("Content-Length", []))
    lengths = {length.strip() for length in stated.split(",")}
    if stated and not (len(lengths) == 1 and lengths.pop().isdecimal()):
        raise http.client.HTTPException(f"its Content-Length is {stated!r}")


def _body(response: http.client.HTTPResponse, limit: int) -> bytes:
    declared = response.length or 0
    parts: list[bytes] = []
    size = 0
    while max(declared, size) <= limit and (part := response.read(min(65_536, limit + 1 - size))):
        parts.append(part)
        size += len(part)
    if max(declared, size) > limit:
        raise TransportError(TOO_LARGE.format(limit))
    return b"".join(parts)


class _Source(io.RawIOBase):
    """What a socket receives, until it is told to stop."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.stopped = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        return None if self.stopped else self._socket.recv_into(buffer)


class _Reader(io.BufferedReader):
    """Reads one reply.

    It refuses half a line, and what is no header line among the headers: http.client takes headers that break
    off for headers that are complete, and where one is malformed the rest of them for the body.

    Attributes:
        is_in_head: Whether a status line and its headers are being read, interim ones included.
        has_surplus: Once it is closed: more had come than was read.
    """

    is_in_head = True
    has_surplus = False
    _is_at_status = True

    def __init__(self, sock: socket.socket) -> None:
        self._source = _Source(sock)
        super().__init__(self._source)

    def close(self) -> None:
        if not self.closed:
            self._source.stopped = True
            self.has_surplus = bool(self.peek())
        super().close()

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n") and (size is None or len(line) != size):
            raise ConnectionError("it ended within a line" if line else "it ended without a reply")
        if self.is_in_head:
            if not self._is_at_status and _HEADER.fullmatch(line) is None:
                raise http.client.HTTPException("a malformed header line")
            self._is_at_status = not line.strip(b"\r\n")
        return line
