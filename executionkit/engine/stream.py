"""A streamed call under the meters: opened as often as retries allow, settled however it ends."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from contextvars import Token
from types import TracebackType
from typing import NamedTuple, TypeAlias

from executionkit.engine.bill import without_cost
from executionkit.engine.budget import Hold, Metering
from executionkit.engine.parallel import is_being_cancelled, waits_for_what_it_starts, waits_no_more
from executionkit.errors import ProviderError
from executionkit.streaming import Finish, ReplyStream, StreamEvent

Manager: TypeAlias = AbstractAsyncContextManager[AsyncIterator[StreamEvent]]


class Opened(NamedTuple):
    """A stream that has begun to bring events, and what its call has set aside."""

    manager: Manager
    events: AsyncIterator[StreamEvent]
    first: StreamEvent
    hold: Hold


async def opened(open_stream: Callable[[Hold], Manager], hold: Hold, metering: Metering) -> Opened:
    """Open a stream and wait for its first event; a failure gives back what was set aside."""
    try:
        manager = open_stream(hold)
        if not hasattr(manager, "__aenter__"):
            if inspect.iscoroutine(manager):
                manager.close()  # or it would warn that nobody awaited it
            kind = type(manager).__name__
            raise TypeError(f"`stream` must return an async context manager, the provider's returned {kind}")
        # Once: what is iterable but no iterator would begin anew.
        events = aiter(await manager.__aenter__())
        try:
            first = await anext(events, None)
            if first is None:
                raise ProviderError("the provider's stream ended without an event")
        except BaseException as exc:
            await manager.__aexit__(type(exc), exc, exc.__traceback__)
            raise
    except BaseException as exc:
        metering.release(hold, dispatched=getattr(exc, "dispatched", True) is not False)
        without_cost(exc)
        refuse_own_cancellation(exc)
        raise
    return Opened(manager, events, first, hold)


def refuse_own_cancellation(exc: BaseException) -> None:
    """Raise a ProviderError for a CancelledError that the provider raised though nobody cancelled us.

    As it is it would leave the pattern, and a TaskGroup would take that for a cancelled task and say nothing.
    """
    if isinstance(exc, asyncio.CancelledError) and not is_being_cancelled():
        raise ProviderError("the provider raised CancelledError, though nobody cancelled the call") from exc


class MeteredStream(ReplyStream):
    """A stream of a run.

    Args:
        begin: Opens the provider's stream, retries included.
        metering: Where the call is charged.
        prompt_bytes: The size of the prompt, for the estimate where the stream ends before its usage.
        enrich: Puts what was spent on an error that leaves the stream.
    """

    _source: Opened | None = None
    _reader: object = None
    _reading: Token[tuple[object, ...]] | None = None
    _settled = False

    def __init__(
        self,
        begin: Callable[[], Awaitable[Opened]],
        metering: Metering,
        prompt_bytes: int,
        enrich: Callable[[BaseException], object],
    ) -> None:
        super().__init__()
        self._begin_source = begin
        self._metering = metering
        self._prompt_size = prompt_bytes
        self._enrich = enrich
        self._first: StreamEvent | None = None

    async def _open(self) -> None:
        try:
            self._source = await self._begin_source()
        except BaseException as exc:
            self._enrich(exc)
            raise
        self._first = self._source.first
        self._prompt_bytes = self._prompt_size
        self._reader = asyncio.current_task()
        self._reading = waits_for_what_it_starts()  # it may: and then the stream must not be waited for
        self._metering.begin_reading(self._source.hold, self._reader)

    async def _next(self) -> StreamEvent | None:
        source = self._source
        if source is None:  # pragma: no cover - a stream that was opened has one
            raise RuntimeError("the stream was not opened")
        event, self._first = self._first, None
        if event is None:
            try:
                event = await self._following(source)
            except BaseException as exc:
                self._settle(source)
                self._enrich(exc)
                await self._leave(exc)
                raise
        if isinstance(event, Finish):
            self._settle(source, event)
        return event

    async def _following(self, source: Opened) -> StreamEvent | None:
        try:
            event = await anext(source.events, None)
        except BaseException as exc:
            without_cost(exc)
            refuse_own_cancellation(exc)
            raise
        if event is None and not self._settled:
            raise ProviderError("the provider's stream ended without a Finish event")
        return event

    def _settle(self, source: Opened, finish: Finish | None = None) -> None:
        if not self._settled:
            self._settled = True
            self._metering.end_reading(source.hold, self._reader)
            reply = self._tally.partial(self._prompt_bytes) if finish is None else finish.response
            self._metering.record(source.hold, reply, unfinished=finish is None)

    async def _leave(self, exc: BaseException | None) -> None:
        source, self._source = self._source, None
        if source is not None:
            if self._first is not None:
                self._tally.add(self._first)
            self._settle(source)
            if self._reading is not None:
                waits_no_more(self._reading)
            kind = None if exc is None else type(exc)
            trace: TracebackType | None = None if exc is None else exc.__traceback__
            await source.manager.__aexit__(kind, exc, trace)

    async def _close(self) -> None:
        await self._leave(None)

    def __del__(self) -> None:
        # The provider's stream, dropped with this one, closes its connection; the meters need telling.
        if self._source is not None:
            self._settle(self._source)
