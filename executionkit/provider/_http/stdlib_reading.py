"""Reading one HTTP/1.1 reply from a blocking socket, by `http.client`'s parser."""

import http
import http.client
import io
import socket
from collections.abc import Mapping
from typing import Any, Protocol

from executionkit.provider._http.faults import TOO_LARGE, TransportError
from executionkit.provider._http.transport import Reply


class Listener(Protocol):
    """Takes a reply while it arrives."""

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the head."""
        ...

    def feed(self, part: bytes) -> None:
        """Take the next part of the body."""
        ...


def read_reply(sock: socket.socket, limit: int, listener: Listener | None) -> tuple[Reply, bool]:
    """Read one reply; also tell whether the connection may be used again."""
    reader = _Reader(sock)
    response = http.client.HTTPResponse(reader, method="POST")  # type: ignore[arg-type]  # asks it for makefile() alone
    try:
        _read_head(response)
        headers = {name.lower(): value for name, value in response.getheaders()}
        if listener is None:
            body = _read_body(response, limit)
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


def _read_head(response: http.client.HTTPResponse) -> None:
    """Read the final head, and refuse one that can be read in two ways."""
    response.begin()
    while 101 < response.status < 200:  # an interim reply (RFC 9110, 15.2); http.client skips only 100
        response.headers = None  # type: ignore[assignment]  # or begin() would think that it has begun
        response.begin()
    if response.headers.defects:  # from there on http.client takes the headers for the body
        raise http.client.HTTPException("a malformed header line")
    coding = response.headers.get("Transfer-Encoding", "").strip()
    if coding.lower() not in ("", "chunked", "identity"):  # http.client would take the frame for the body
        raise http.client.HTTPException(f"its Transfer-Encoding is {coding!r}")
    # Of several lengths http.client takes the first, and it has no objection to a sign or an underscore.
    stated = ",".join(response.headers.get_all("Content-Length", []))
    lengths = {length.strip() for length in stated.split(",")}
    if stated and not (len(lengths) == 1 and lengths.pop().isdecimal()):
        raise http.client.HTTPException(f"its Content-Length is {stated!r}")


def _read_body(response: http.client.HTTPResponse, limit: int) -> bytes:
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
    """Reads from a socket until `stopped` is set."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.stopped = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        return None if self.stopped else self._socket.recv_into(buffer)


class _Reader(io.BufferedReader):
    """Reads one reply. Once it is closed, `has_surplus` tells whether more had come than was read."""

    has_surplus = False

    def __init__(self, sock: socket.socket) -> None:
        self._source = _Source(sock)
        super().__init__(self._source)

    def makefile(self, _mode: str) -> "_Reader":
        return self

    def close(self) -> None:
        if not self.closed:
            self._source.stopped = True
            self.has_surplus = bool(self.peek())
        super().close()
