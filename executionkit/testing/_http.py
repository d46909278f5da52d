"""The endpoint's HTTP/1.1: request heads are parsed, replies become bytes."""

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from executionkit.testing._faults import Cut

MAX_HEAD = 64 * 1024


class BadRequestError(Exception):
    """The bytes are not a request that this server reads: it answers 400 and closes the connection."""


@dataclass(slots=True)
class Head:
    """A request line and its headers, names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    length: int
    keep_alive: bool


@dataclass(slots=True)
class Reply:
    """One reply, and how much of it is sent."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict[str, str])
    input_tokens: int = 0
    output_tokens: int = 0
    breaks: Cut | None = None
    sent: int | None = None
    resets: bool = False
    pieces: tuple[bytes, ...] = ()
    stalls_after: int | None = None

    def to_bytes(self, *, close: bool) -> bytes:
        """The bytes to send; `close` tells the client that the connection will be closed."""
        if self.breaks == "start":
            return b""
        if self.pieces:
            self.body = b"".join(_chunk(piece) for piece in (*self.pieces, b""))
            headers = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
        else:
            headers = {"content-type": "application/json", "content-length": str(len(self.body))}
        headers |= {name.lower(): value for name, value in self.headers.items()}
        if close:
            headers["connection"] = "close"
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
        if self.breaks is None:
            return head + self.body
        if self.breaks == "headers":
            return head
        return head + self.body[: len(self.body) // 2 if self.sent is None else self.sent]

    def stalled_at(self, whole: bytes, pieces: int) -> int:
        """The number of bytes of the `whole` reply that are sent before it stalls, after so many pieces."""
        if not self.pieces:
            return 0
        return max(0, len(whole) - sum(len(_chunk(piece)) for piece in (*self.pieces[pieces:], b"")))


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def event(data: str) -> bytes:
    """One server-sent event."""
    return f"data: {data}\n\n".encode()


def parse_head(data: bytes) -> Head:
    """Read a request head, without the empty line that ends it.

    Raises:
        BadRequestError: It isn't HTTP/1.x, a header is malformed, or the body's length isn't declared.
    """
    request_line, *lines = data.decode("latin-1").split("\r\n")
    method, _, rest = request_line.partition(" ")
    target, _, version = rest.rpartition(" ")
    if not target or version not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequestError(f"not an HTTP/1.1 request line: {request_line[:80]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequestError(f"not a header line: {line[:80]!r}")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if "transfer-encoding" in headers:
        raise BadRequestError("this server reads bodies with a Content-Length only")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise BadRequestError(f"not a Content-Length: {length[:80]!r}")
    wish = headers.get("connection", "").lower()
    keep_alive = wish != "close" if version == "HTTP/1.1" else wish == "keep-alive"
    return Head(method, target, headers, int(length), keep_alive)


def json_body(value: Any) -> bytes:
    """`value` as compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def error_body(status: int, message: str, *, code: str | None = None, param: str | None = None) -> bytes:
    """An error object in the shape OpenAI sends."""
    kind = (
        "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    )
    return json_body({"error": {"message": message, "type": kind, "param": param, "code": code}})


def error_reply(status: int, message: str, *, code: str | None = None, param: str | None = None) -> Reply:
    """A reply with an error object."""
    return Reply(status, error_body(status, message, code=code, param=param))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
