"""`ProviderStream`: one streamed request, from its body to the last event."""

import asyncio
import warnings
import zlib
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from executionkit._json import an_object, loads
from executionkit._text import describe
from executionkit.errors import LLMError
from executionkit.provider._chunks import Assembly, failure_in
from executionkit.provider._failures import Reporter
from executionkit.provider._http.faults import TOO_LARGE, TransportError
from executionkit.provider._http.incoming import Incoming
from executionkit.provider._http.transport import Dispatch, Reply, Transport
from executionkit.provider._reply import interpret
from executionkit.provider._sse import EventParser, EventTooLargeError, ServerEvent
from executionkit.provider._unpacking import Unpacker
from executionkit.streaming import ReplyStream, StreamEvent, events_of

_BEGINNING = 16_384
"""The bytes of a body kept to tell what it was, should it turn out to be no stream."""

_LINGER = 0.2
"""Seconds a stream that has said all waits for its end on the wire, so that its connection can be kept."""

_ENDED = "the stream ended before the reply was finished"
_UNEXPLAINED = "the server ended the stream without saying why the model stopped (no finish_reason)"


class Limits(NamedTuple):
    """How long a stream may take, and how much it may bring.

    Attributes:
        beginning: Seconds until the reply's head is there.
        name: The setting that this comes from.
        total: Seconds altogether; None is no limit.
        max_bytes: The most bytes of an event, and of a reply's texts.
    """

    beginning: float
    name: str
    total: float | None
    max_bytes: int


class ProviderStream(ReplyStream):
    """One request whose reply is handed over while it arrives.

    Args:
        body: Writes the request.
        connect: Gives the transport, or the error that there is none.
        limits: The limits.
        report: Writes the errors.
    """

    _incoming: Incoming | None = None
    _assembly: Assembly
    _unpacker: Unpacker

    def __init__(
        self,
        body: Callable[[], bytes],
        connect: Callable[[], Awaitable[Transport | LLMError]],
        limits: Limits,
        report: Reporter,
    ) -> None:
        super().__init__()
        self._body = body
        self._connect = connect
        self._limits = limits
        self._report = report
        self._parser = EventParser(limits.max_bytes)
        self._dispatch = Dispatch()
        self._events: deque[StreamEvent] = deque()
        self._failure: LLMError | None = None
        self._is_over = False
        self._beginning = b""
        self._reply = Reply(0, {}, b"")
        self._deadline: float | None = None

    async def _open(self) -> None:
        body = b""
        try:
            body = self._body()
            failure = await self._send(body)
        except BaseException as exc:
            if not self._dispatch.sent:
                setattr(exc, _DISPATCHED, False)
            raise
        finally:
            if self._dispatch.sent:
                self._prompt_bytes = len(body)
        if failure is not None:
            # Raised where no other exception is being handled: those of HTTP libraries hold the headers.
            raise failure

    async def _send(self, body: bytes) -> LLMError | None:
        transport = await self._connect()
        if isinstance(transport, LLMError):
            return transport
        self._report = self._report.through(transport.proxy)
        self._assembly = Assembly(len(body))
        now = asyncio.get_running_loop().time()
        self._deadline = None if self._limits.total is None else now + self._limits.total
        self._incoming = transport.stream(body, self._dispatch)
        try:
            async with asyncio.timeout_at(now + self._limits.beginning):
                return await self._begin_reply(self._incoming)
        except TimeoutError:
            fault = TransportError(
                f"no complete reply within {self._limits.beginning:g} s ({self._limits.name})"
            )
        except TransportError as exc:
            fault = exc
        return self._report.fault(fault, self._dispatch)

    async def _begin_reply(self, incoming: Incoming) -> LLMError | None:
        """Read until it is clear whether this is a stream; if not, read and interpret the whole reply."""
        status, headers = await incoming.head()
        self._reply = Reply(status, headers, b"")
        parts: list[bytes] = []
        size = 0
        if 200 <= status < 300:
            start = b""
            with suppress(
                ValueError, zlib.error
            ):  # what can't be unpacked is no stream; `interpret` says why
                self._unpacker = Unpacker(headers, self._limits.max_bytes)
                while not start and (part := await incoming.read()):
                    parts.append(part)
                    self._beginning += self._unpacker.feed(part)
                    start = _first_byte(self._beginning)
            if start and start not in _NO_STREAM:
                self._take(self._beginning)
                return None
            size = sum(map(len, parts))
        while part := await incoming.read():
            parts.append(part)
            size += len(part)
            if size > self._limits.max_bytes:
                raise TransportError(TOO_LARGE.format(self._limits.max_bytes))
        whole = interpret(Reply(status, headers, b"".join(parts)), self._limits.max_bytes, self._report)
        if isinstance(whole, LLMError):
            return whole
        self._events.extend(events_of(whole))
        self._is_over = True
        return None

    async def _next(self) -> StreamEvent | None:
        while not self._events and not self._is_over:
            await self._read_more()
        if self._events:
            return self._events.popleft()
        if self._failure is None:
            return None
        text = self.partial.content
        if text:
            self._failure.metadata["partial_text"] = text
        raise self._failure

    async def _read_more(self) -> None:
        incoming = self._incoming
        if incoming is None:  # pragma: no cover - a stream that was opened has one
            raise RuntimeError("the stream was not opened")
        try:
            async with asyncio.timeout_at(self._deadline):
                piece = await incoming.read()
        except TimeoutError:
            fault = TransportError(f"no complete reply within {self._limits.total:g} s (deadline)")
        except TransportError as exc:
            fault = exc
        else:
            try:
                self._take(self._unpacker.feed(piece) if piece else b"")
            except (ValueError, zlib.error) as exc:
                self._fail(self._report.unreadable(self._reply, describe(exc)))
            return
        self._fail(self._report.fault(fault, self._dispatch))

    def _take(self, piece: bytes) -> None:
        """Take the next bytes of the stream; none at its end."""
        if piece:
            try:
                events = self._parser.feed(piece)
            except EventTooLargeError:
                fault = TransportError(TOO_LARGE.format(self._limits.max_bytes))
                self._fail(self._report.fault(fault, self._dispatch))
                return
        else:
            last = self._parser.finish()
            events = [] if last is None else [last]
        for event in events:
            self._take_event(event, is_last=not piece)
        if not piece:
            self._fail(self._report.fault(TransportError(_ENDED), self._dispatch))

    def _take_event(self, event: ServerEvent, *, is_last: bool) -> None:
        data = event.data.strip()
        if self._is_over or not data:
            return
        if data == "[DONE]":
            if self._assembly.is_cut_off:
                self._fail(self._report.fault(TransportError(_UNEXPLAINED), self._dispatch))
            else:
                self._complete()
            return
        try:
            parsed: object = loads(data)
        except (ValueError, RecursionError) as exc:
            if is_last:
                return  # torn off, which is the end of the stream and not the fault of the event
            parsed = data if event.type == "error" else exc
        chunk = an_object(parsed)
        reply = self._reply._replace(body=data.encode("utf-8", "replace"))
        if chunk is None and event.type != "error":
            why = describe(parsed) if isinstance(parsed, Exception) else "JSON, but not an object"
            self._fail(self._report.unreadable(reply, why))
            return
        failure = failure_in(chunk, event.type) if chunk is not None else {"error": parsed}
        if failure is not None:
            self._fail(self._report.error_within(reply, failure))
            return
        self._events.extend(self._assembly.add(chunk or {}))
        if self._assembly.size > self._limits.max_bytes:
            fault = TransportError(TOO_LARGE.format(self._limits.max_bytes))
            self._fail(self._report.fault(fault, self._dispatch))

    def _complete(self) -> None:
        if self._assembly.is_empty:
            body = self._beginning[:_BEGINNING]
            self._failure = self._report.unreadable(self._reply._replace(body=body), "no message in it")
        else:
            self._events.extend(self._assembly.finish())
        self._is_over = True

    def _fail(self, failure: LLMError) -> None:
        """End the stream; by an error unless the reply itself was finished already, and so paid for."""
        if self._is_over:
            return
        if self._assembly.is_finished:
            self._complete()
            return
        self._failure = failure
        self._is_over = True

    async def _close(self) -> None:
        if self._incoming is not None:
            try:
                if self._is_over and self._failure is None:
                    await self._incoming.wait_ended(_LINGER)
            finally:
                self._incoming.close()

    def __del__(self) -> None:
        if self._incoming is not None and not self._closed:
            warnings.warn(
                f"a stream was left open: {self!r}; use `async with`", ResourceWarning, stacklevel=1
            )
            with suppress(RuntimeError):  # its loop was closed, and its connection with that
                self._incoming.close()


_BOM = b"\xef\xbb\xbf"
_NO_STREAM = (b"{", b"[", b"<")
"""What JSON and HTML begin with, and no line of an event stream does."""


def _first_byte(beginning: bytes) -> bytes:
    """The first byte that tells what a body is; b"" while there is none."""
    if _BOM.startswith(beginning):
        return b""
    # An event stream may begin with any number of empty lines.
    return beginning.removeprefix(_BOM).lstrip()[:1] or beginning[_BEGINNING:][:1]


_DISPATCHED = "dispatched"  # a name, because exceptions of Python's own declare no such attribute
