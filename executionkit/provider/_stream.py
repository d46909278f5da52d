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
from executionkit.errors import LLMError, mark_not_dispatched
from executionkit.provider._chunks import Assembly, failure_in
from executionkit.provider._codings import Unpacker, strange_codings
from executionkit.provider._error_body import opened
from executionkit.provider._failures import Reporter
from executionkit.provider._headers import facts_of
from executionkit.provider._http.faults import TOO_LARGE, TransportError
from executionkit.provider._http.incoming import Incoming
from executionkit.provider._http.transport import Dispatch, Endpoint, Reply, Transport
from executionkit.provider._reply import explained, interpret, with_what_came
from executionkit.provider._settings import Limits
from executionkit.provider._sse import (
    BOM,
    NO_STREAM,
    EventParser,
    EventTooLargeError,
    ServerEvent,
    without_signs_of_life,
)
from executionkit.streaming import ReplyStream, StreamEvent, events_of

_BEGINNING = 16_384
"""Bytes of a body that are kept, to show in the error if the body turns out not to be a stream."""

_LINGER = 0.2
"""Seconds that a finished stream waits for the end of its body, so that the connection can be kept."""

_ENDED = "the stream ended before the reply was finished"
_NOTHING = "nothing of a reply came within {:g} s (timeout)"
_UNEXPLAINED = "the server ended the stream without saying why the model stopped (no finish_reason)"


class Outgoing(NamedTuple):
    """A request that is ready to be sent.

    Attributes:
        body: What to post.
        asked: How many choices it asks for.
        endpoint: Where to.
        limits: How long the request may take, and how much its reply may bring.
        report: Writes the errors.
        renewed: Makes the request anew with another key, after a 401; gives None if there is no other.
        prompt_bytes: The size of the request without the data of pictures and files; for estimates.
    """

    body: bytes
    asked: int
    endpoint: Endpoint
    limits: Limits
    report: Reporter
    renewed: Callable[[], Awaitable["Outgoing | None"]]
    prompt_bytes: int


class ProviderStream(ReplyStream):
    """One request whose reply is handed over while it arrives.

    Args:
        prepare: Checks the arguments and makes the request.
        connect: Returns the transport.
    """

    _asked: int
    _limits: Limits
    _report: Reporter
    _parser: EventParser

    _incoming: Incoming | None = None
    _assembly: Assembly
    _unpacker: Unpacker

    def __init__(
        self, prepare: Callable[[], Awaitable[Outgoing]], connect: Callable[[], Awaitable[Transport]]
    ) -> None:
        super().__init__()
        self._prepare = prepare
        self._connect = connect
        self._dispatch = Dispatch()
        self._events: deque[StreamEvent] = deque()
        self._failure: LLMError | None = None
        self._is_over = False
        self._beginning = b""
        self._reply = Reply(0, {}, b"")
        self._deadline: float | None = None
        self._patience: float | None = None
        self._is_waiting = False
        self._is_ending = False
        self._odd: deque[str] = deque(maxlen=4)

    async def _open(self) -> None:
        prompt_bytes = 0
        try:
            outgoing = await self._prepare()
            prompt_bytes = outgoing.prompt_bytes
            failure = await self._send(await self._connect(), outgoing)
            if failure is not None and failure.status_code == 401:
                again = await outgoing.renewed()
                if again is not None:
                    failure = await self._send(await self._connect(), again)
        except BaseException as exc:
            if not self._dispatch.sent:
                mark_not_dispatched(exc)
            raise
        finally:
            if self._dispatch.sent:
                self._prompt_bytes = prompt_bytes
        if failure is not None:
            # Raised outside of every `except`, because the exceptions of HTTP libraries hold the headers.
            raise failure

    async def _send(self, transport: Transport, outgoing: Outgoing) -> LLMError | None:
        body, self._asked, endpoint, self._limits, report, _, prompt_bytes = outgoing
        self._beginning = b""
        self._report = report.through(transport.proxy)
        self._parser = EventParser(self._limits.max_bytes)
        self._assembly = Assembly(prompt_bytes, self._asked)
        now = asyncio.get_running_loop().time()
        if self._limits.deadline is not None:
            self._deadline = now + self._limits.deadline
        # Comments and empty chunks keep a connection alive. They are no reply.
        self._patience = now + self._limits.timeout
        self._incoming = transport.stream(body, self._dispatch, endpoint)
        try:
            async with asyncio.timeout_at(now + self._limits.whole):
                return await self._begin_reply(self._incoming)
        except TimeoutError:
            until = self._patience if self._deadline is None else self._deadline
            fault = self._overrun(until) if self._is_waiting else self._limits.overrun()
        except TransportError as exc:
            fault = exc
        return self._report.fault(fault, self._dispatch)

    async def _begin_reply(self, incoming: Incoming) -> LLMError | None:
        """Read until it is clear whether this is a stream; if not, read and interpret the whole reply."""
        status, headers = await incoming.head()
        self._reply = Reply(status, headers, b"")
        parts: list[bytes] = []
        size = 0
        self._is_waiting = 200 <= status < 300
        if self._is_waiting:
            start = b""
            # A body that can't be unpacked is not a stream; `interpret` says what is wrong with it.
            with suppress(ValueError, zlib.error):
                self._unpacker = Unpacker(headers, self._limits.max_bytes)
                while not start and (part := await self._soon(incoming)):
                    parts.append(part)
                    size = self._checked(size + len(part))
                    self._beginning = without_signs_of_life(self._beginning + self._unpacker.feed(part))
                    start = _first_byte(self._beginning)
            if start and start not in NO_STREAM:
                self._take(self._beginning)
                return None
        self._is_waiting = False
        while part := await incoming.read():
            parts.append(part)
            size = self._checked(size + len(part))
        reply = Reply(status, headers, b"".join(parts))
        whole = interpret(reply, self._limits.max_bytes, self._report, self._asked)
        if isinstance(whole, LLMError):
            return whole
        self._events.extend(events_of(whole))
        self._is_over = True
        return None

    def _checked(self, size: int) -> int:
        if size > self._limits.max_bytes:
            raise TransportError(TOO_LARGE.format(self._limits.max_bytes))
        return size

    async def _soon(self, incoming: Incoming) -> bytes:
        """The next piece, as long as there is nothing of a reply."""
        try:
            async with asyncio.timeout_at(self._patience):
                return await incoming.read()
        except TimeoutError:
            fault = self._overrun(self._patience)
        raise fault

    async def _next(self) -> StreamEvent | None:
        while not self._events and not self._is_over:
            await self._read_more()
        if self._events:
            return self._events.popleft()
        if self._failure is None:
            return None
        raise with_what_came(self._failure, self.partial.content, self._assembly.usage)

    async def _read_more(self) -> None:
        incoming = self._incoming
        if incoming is None:  # pragma: no cover - a stream that was opened has one
            raise RuntimeError("the stream was not opened")
        limits = [moment for moment in (self._deadline, self._patience) if moment is not None]
        until = min(limits, default=None)
        try:
            async with asyncio.timeout_at(until):
                piece = await incoming.read()
        except TimeoutError:
            self._break_off(self._overrun(until))
        except TransportError as exc:
            self._break_off(exc)
        else:
            try:
                if piece:
                    self._take(self._unpacker.feed(piece))
                else:
                    self._end()
            except (ValueError, zlib.error) as exc:
                self._fail(self._report.unreadable(self._reply, describe(exc)))

    def _overrun(self, until: float | None) -> TransportError:
        if until == self._patience and until != self._deadline:
            return TransportError(_NOTHING.format(self._limits.timeout))
        return self._limits.overrun()

    def _take(self, piece: bytes) -> None:
        try:
            events = self._parser.feed(piece)
        except EventTooLargeError:
            self._break_off(TransportError(TOO_LARGE.format(self._limits.max_bytes)))
            return
        for event in events:
            self._take_event(event)

    def _end(self) -> None:
        for last in self._parser.finish():
            self._take_event(last, is_last=True)
        self._break_off(TransportError(_ENDED))

    def _take_event(self, event: ServerEvent, *, is_last: bool = False) -> None:
        data = event.data.strip()
        if self._is_over or not data:
            return
        if data == "[DONE]":
            if self._assembly.is_cut_off:
                self._break_off(TransportError(_UNEXPLAINED))
            else:
                self._complete()
            return
        try:
            parsed: object = opened(loads(data))
        except (ValueError, RecursionError) as exc:
            if is_last:
                return  # a torn event: the stream ended within it
            parsed = opened(data)
            if parsed is data and event.type != "error":
                self._odd.append(data[:_BEGINNING])
                parsed = exc
        if not parsed and event.type != "error":
            return  # null or {}: a sign of life
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
        added = self._assembly.add(chunk or {})
        self._events.extend(added)
        if self._assembly.is_finished:
            self._expect_end()
        elif added:
            self._patience = None
        elif chunk and not chunk.get("choices"):
            self._odd.append(data[:_BEGINNING])
        if self._assembly.size > self._limits.max_bytes:
            self._break_off(TransportError(TOO_LARGE.format(self._limits.max_bytes)))

    def _expect_end(self) -> None:
        """Wait for the usage, and for the end; but signs of life hold up no reply that is finished."""
        if not self._is_ending:
            self._is_ending = True
            self._patience = asyncio.get_running_loop().time() + self._limits.timeout

    def _complete(self) -> None:
        if self._assembly.is_empty:
            body = self._beginning[:_BEGINNING]
            reply = self._reply._replace(body=body)
            self._failure = self._explained(self._report.unreadable(reply, "no message in it"))
        elif (failure := self._assembly.failure) is not None:
            self._failure = self._report.error_within(self._reply, failure)
        else:
            self._events.extend(self._assembly.finish(facts_of(self._reply, self._report)))
        self._is_over = True

    def _break_off(self, fault: TransportError) -> None:
        self._fail(self._report.fault(fault, self._dispatch))

    def _fail(self, failure: LLMError) -> None:
        """End the stream; with an error unless the reply is finished already, and so paid for."""
        if self._is_over:
            return
        if self._assembly.is_finished:
            self._complete()
            return
        if self._assembly.is_empty and strange_codings(self._reply.headers):
            reply = self._reply._replace(body=self._beginning[:_BEGINNING])
            failure = self._report.unreadable(reply, "no events in it")
        self._failure = self._explained(failure)
        self._is_over = True

    def _explained(self, failure: LLMError) -> LLMError:
        """The error that the server wrote outside of the events, if there is one; else `failure`."""
        return explained(failure, (*self._odd, self._parser.stray), self._reply, self._report)

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
            with suppress(RuntimeError):  # its loop was closed, and the connection with it
                self._incoming.close()


def _first_byte(beginning: bytes) -> bytes:
    """The first byte that tells a stream from other bodies; b"" until it has come."""
    is_open = beginning[:1] == b":" and len(beginning) < _BEGINNING
    return b"" if is_open or BOM.startswith(beginning) else beginning[:1]
