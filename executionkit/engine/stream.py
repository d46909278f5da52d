"""A streamed call under the meters: opened as often as retries allow, settled however it ends."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import NamedTuple, TypeAlias

from executionkit.engine import bill
from executionkit.engine.budget import Meters
from executionkit.engine.parallel import Suspended, is_being_cancelled
from executionkit.engine.room import Hold
from executionkit.engine.watch import CallWatch, was_there
from executionkit.errors import PatternError, ProviderError, take_spent, was_dispatched
from executionkit.observe import LeftEarlyError
from executionkit.streaming import Finish, ReplyStream, StreamEvent

Manager: TypeAlias = AbstractAsyncContextManager[AsyncIterator[StreamEvent]]


class Opened(NamedTuple):
    """A stream that has begun to bring events, the tokens its call has set aside, and where it is charged."""

    manager: Manager
    events: AsyncIterator[StreamEvent]
    first: StreamEvent
    hold: Hold
    meters: Meters


async def opened(open_stream: Callable[[Hold], Manager], hold: Hold, meters: Meters) -> Opened:
    """Open a stream and wait for its first event; a failure gives back what was set aside."""
    try:
        manager = open_stream(hold)
        if not hasattr(manager, "__aenter__"):
            if inspect.iscoroutine(manager):
                manager.close()  # or it would warn that it was never awaited
            kind = type(manager).__name__
            raise TypeError(f"`stream` must return an async context manager, the provider's returned {kind}")
        # One iterator for all events: an iterable that is no iterator would begin anew each time.
        events = aiter(await manager.__aenter__())
        try:
            first = await anext(events, None)
            if first is None:
                raise ProviderError("the provider's stream ended without an event")
        except BaseException as exc:
            await manager.__aexit__(type(exc), exc, exc.__traceback__)
            raise
    except BaseException as exc:
        give_back(meters, hold, exc)
        raise
    return Opened(manager, events, first, hold, meters)


def give_back(meters: Meters, hold: Hold, exc: BaseException) -> None:
    """End a call that the provider failed by `exc`: its tokens are free again, but those that it reports."""
    meters.release(hold, dispatched=was_dispatched(exc))
    fault = meters.charge_failed(take_spent(exc), is_paid=not isinstance(exc, Suspended))
    _received(exc, hold)
    if fault is not None:
        raise fault from exc


def _received(exc: BaseException, hold: Hold) -> None:
    """Make a provider's exception one of this run.

    A CancelledError becomes a ProviderError unless the task was cancelled: as it is it would leave the
    pattern, and a TaskGroup would take it for the end of a cancelled task and say nothing.
    """
    bill.take_off(exc, since=hold.since)
    if isinstance(exc, asyncio.CancelledError) and not is_being_cancelled():
        raise ProviderError("the provider raised CancelledError, though the call was not cancelled") from exc


class MeteredStream(ReplyStream):
    """A stream of a run.

    Args:
        begin: Opens the provider's stream, retries included.
        prompt_bytes: The size of the prompt, for the estimate where the stream ends before its usage.
        attach_bill: Puts what was spent on an error that leaves the stream.
        report: Logs the error by which the provider's stream broke off.
        watch: Where observers are told of the call; None if there are none.
    """

    _source: Opened | None = None
    _first: StreamEvent | None = None
    _settled = False

    def __init__(
        self,
        begin: Callable[[], Awaitable[Opened]],
        prompt_bytes: int,
        attach_bill: Callable[[BaseException], object],
        report: Callable[[BaseException], object],
        watch: CallWatch | None,
    ) -> None:
        super().__init__()
        self._begin_source = begin
        self._prompt_size = prompt_bytes
        self._attach_bill = attach_bill
        self._report = report
        self._watch = watch

    async def _open(self) -> None:
        watch = self._watch
        if watch is not None:
            watch.begin()
        try:
            self._source = await self._begin_source()
            if watch is not None:
                watch.tell(lambda span: span.began())
        except BaseException as exc:
            if watch is not None:
                watch.end(exc)
            self._attach_bill(exc)
            raise
        self._first = self._source.first
        self._prompt_bytes = self._prompt_size

    async def _next(self) -> StreamEvent | None:
        source = self._source
        if source is None:  # pragma: no cover - a stream that was opened has one
            raise RuntimeError("the stream was not opened")
        event, self._first = self._first, None
        if event is None:
            try:
                event = await self._following(source)
            except BaseException as exc:
                if isinstance(exc, Exception):  # and not this task's end
                    self._report(exc)
                self._settle(source, why=exc)
                self._attach_bill(exc)
                await self._leave(exc)
                raise
        if isinstance(event, Finish) and (fault := self._settle(source, event)) is not None:
            self._attach_bill(fault)
            await self._leave(fault)
            raise fault
        return event

    async def _following(self, source: Opened) -> StreamEvent | None:
        try:
            event = await anext(source.events, None)
        except BaseException as exc:
            _received(exc, source.hold)
            raise
        if event is None and not self._settled:
            raise ProviderError("the provider's stream ended without a Finish event")
        return event

    def _settle(
        self, source: Opened, finish: Finish | None = None, *, why: BaseException | None = None
    ) -> PatternError | None:
        """Count the call; returns the error to raise if its price could not be told."""
        if self._settled:
            return None
        self._settled = True
        reply = self._tally.partial(self._prompt_bytes) if finish is None else finish.response
        fault = source.meters.record(source.hold, reply, unfinished=finish is None)
        if self._watch is not None:
            if finish is None:
                self._watch.tell(lambda span: span.partial(reply))
            self._watch.is_replayed |= was_there(reply)
            left = LeftEarlyError("the stream was left before its end")
            self._watch.end(fault or (reply if finish is not None else why or left))
        return fault

    async def _leave(self, exc: BaseException | None) -> None:
        source, self._source = self._source, None
        if source is not None:
            if self._first is not None:
                self._tally.add(self._first)
            fault = self._settle(source)
            kind = None if exc is None else type(exc)
            trace: TracebackType | None = None if exc is None else exc.__traceback__
            await source.manager.__aexit__(kind, exc, trace)
            if fault is not None and exc is None:
                self._attach_bill(fault)
                raise fault

    async def _close(self) -> None:
        await self._leave(None)

    def __del__(self) -> None:
        # The provider's stream is dropped with this one and closes its connection; the call must be settled.
        if self._source is not None:
            self._settle(self._source)
