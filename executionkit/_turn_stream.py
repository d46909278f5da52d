"""A turn while it happens: its events, handed over one at a time."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from executionkit.engine.parallel import reap, spawn
from executionkit.events import EventCallback, PatternEvent
from executionkit.patterns.react_loop import ReactResult


class TurnStream:
    """The events of a turn: an async context manager, and an async iterator.

    Entering begins the turn. The turn waits while an event is being dealt with. Leaving before its end
    cancels it. It is entered once, and one task iterates.
    """

    def __init__(
        self,
        alone: Callable[[], AbstractContextManager[None]],
        turn: Callable[[EventCallback], Coroutine[Any, Any, ReactResult]],
    ) -> None:
        self._alone = alone
        self._start = turn
        self._held: AbstractContextManager[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[PatternEvent | None] = asyncio.Queue()
        self._result: ReactResult | None = None
        self._is_dealt_with = True
        self._is_left = False

    @property
    def result(self) -> ReactResult:
        """The turn's result, once its events have ended.

        Raises:
            RuntimeError: They have not, or the turn failed.
        """
        if self._result is None:
            raise RuntimeError("the turn is not complete: iterate its events to their end first")
        return self._result

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise RuntimeError("a stream serves one turn and is entered once: call `stream` again")
        held = self._alone()
        held.__enter__()
        self._held = held
        (self._task,) = spawn(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._task is None or self._held is None:
            return
        self._is_left = True
        try:
            await reap([self._task])
        finally:
            self._held.__exit__(None, None, None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PatternEvent:
        if self._task is None:
            raise RuntimeError("a turn begins with `async with`: enter the stream before iterating it")
        if not self._is_dealt_with:
            self._is_dealt_with = True
            self._events.task_done()
        event = None if self._task.done() and self._events.empty() else await self._events.get()
        if event is None:
            await asyncio.wait([self._task])
            self._task.result()  # which raises what ended the turn
            raise StopAsyncIteration
        self._is_dealt_with = False
        return event

    async def _run(self) -> None:
        try:
            self._result = await self._start(self._tell)
        finally:
            self._events.put_nowait(None)

    async def _tell(self, event: PatternEvent) -> None:
        if self._is_left:
            return  # the turn's end comes when nobody iterates any more
        self._events.put_nowait(event)
        await self._events.join()
