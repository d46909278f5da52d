"""A parser of server-sent events, as the HTML standard defines them.

It takes pieces of any size, accepts any bytes, and needs time in proportion to their number.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from collections import deque
from typing import NamedTuple

from executionkit._json import loads

BOM = b"\xef\xbb\xbf"

NO_STREAM = (b"{", b"[", b"<", b'"')
"""The first bytes of JSON and HTML. No line of an event stream begins with one of them."""

_BESIDE = BOM + b" \t"
"""What some servers write before the name of a field: the mark of an encoding, or an indentation."""

_STRAY = 16_384
"""The most characters that are kept of lines that belong to no event."""


def without_signs_of_life(beginning: bytes) -> bytes:
    """The beginning of a body without the empty lines and comments before anything else.

    Servers send these while they work, before a stream and before a whole reply. A comment that may still go
    on is kept.
    """
    lines = beginning.removeprefix(BOM).splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.strip() and not (line.lstrip().startswith(b":") and line.endswith((b"\n", b"\r"))):
            return b"".join(lines[number:]).lstrip()
    return b""


class ServerEvent(NamedTuple):
    """One event: its type ("" if the server named none), and its data, the lines joined by newlines."""

    type: str
    data: str


class EventTooLargeError(Exception):
    """One event has more bytes than allowed."""


class EventParser:
    """Takes an event stream in pieces of any size, and returns the events that each piece completes.

    Lines are split as bytes, so that only CR, LF and CRLF end a line (U+2028 does not). They are decoded
    whole, so that no character is torn. Bytes that are not UTF-8 become U+FFFD.

    Args:
        limit: The most bytes that one event may have.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._line: list[bytes] = []
        self._data: list[str] = []
        self._type = ""
        self._next_type = ""
        self._size = 0
        self._after_cr = False
        self._at_start = True
        self._stray: deque[str] = deque()
        self._stray_size = 0

    @property
    def stray(self) -> str:
        """The last lines that belong to no event, such as an error that a server wrote between them."""
        return "\n".join(self._stray)

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """Take the next bytes and return the events that they complete.

        Raises:
            EventTooLargeError: An event has more than `limit` bytes.
        """
        if not piece:
            return []
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        # The LF of a CRLF may be the first byte of the next piece.
        self._after_cr = piece.endswith(b"\r")
        events: list[ServerEvent] = []
        for line in piece.splitlines(keepends=True):
            content = line.rstrip(b"\r\n")
            self._line.append(content)
            self._size += len(content)
            if self._size > self._limit:
                raise EventTooLargeError
            if len(content) < len(line):
                event = self._end_line()
                if event is not None:
                    events.append(event)
        return events

    def finish(self) -> list[ServerEvent]:
        """Return what the stream ended with, without the empty line after it."""
        ended = [self._end_line()] if any(self._line) else []
        return [event for event in (*ended, self._dispatch()) if event is not None]

    def _end_line(self) -> ServerEvent | None:
        line = b"".join(self._line)
        self._line.clear()
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(BOM)
        if not line:
            return self._dispatch()
        if line.startswith(b":"):
            self._size -= len(line)  # a comment: servers send them to show that they are alive
            return None
        name, _, value = line.partition(b":")
        name = name.lstrip(_BESIDE)
        if name == b"data":
            data = value.removeprefix(b" ").decode("utf-8", "replace")
            event = None
            if self._data and self._begins_another(data):
                event = ServerEvent(self._type, self._data.pop())
                self._type, self._next_type = self._next_type, ""
                self._size = len(line)
            self._data.append(data)
            return event
        if name == b"event":
            kind = value.removeprefix(b" ").decode("utf-8", "replace")
            if self._data:
                self._next_type = kind  # of these data, or of another event without an empty line between
            else:
                self._type = kind
        elif name not in (b"id", b"retry"):
            self._keep(line.decode("utf-8", "replace"))
        return None

    def _begins_another(self, line: str) -> bool:
        """Whether a line of data begins another event, without the empty line that belongs between them.

        No JSON goes on like this after an object that is complete.
        """
        held = self._data[0] if len(self._data) == 1 else ""
        if not (held.startswith("{") and held.rstrip().endswith("}")):
            return False
        return line.startswith(("{", "[DONE]")) and _is_json(held)

    def _keep(self, line: str) -> None:
        self._stray.append(line[:_STRAY])
        self._stray_size += len(self._stray[-1])
        while self._stray_size > _STRAY:
            self._stray_size -= len(self._stray.popleft())

    def _dispatch(self) -> ServerEvent | None:
        kind = self._next_type or self._type
        event = ServerEvent(kind, "\n".join(self._data)) if self._data else None
        self._data.clear()
        self._type = self._next_type = ""
        self._size = 0
        return event


def _is_json(text: str) -> bool:
    try:
        loads(text)
    except (ValueError, RecursionError):
        return False
    return True
