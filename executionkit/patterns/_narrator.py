"""Events for the caller's callback, whose errors never end a run."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self

from executionkit import _checks as checks
from executionkit._logs import write
from executionkit.engine.parallel import is_being_cancelled
from executionkit.engine.retry import RetryConfig
from executionkit.engine.run import Run
from executionkit.events import EventCallback, PatternEnded, PatternEvent, PatternStarted, Retrying
from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse
from executionkit.streaming import events_of
from executionkit.types import TokenUsage

_log = logging.getLogger("executionkit.events")
_telling: ContextVar[tuple["Narrator", ...]] = ContextVar("executionkit.telling", default=())
"""The narrators whose callbacks the code is called by."""


class Narrator:
    """Calls `on_event` with one event at a time, in order; its exceptions are logged and counted.

    Args:
        name: The pattern's name, for the log.
        on_event: The callback, or None.

    Attributes:
        listens: Whether there is a callback; without one, events need not be made.
        errors: How often the callback has raised.

    Raises:
        ValueError: `on_event` is not a function of one argument.
    """

    def __init__(self, name: str, on_event: EventCallback | None) -> None:
        checks.called_with("event", on_event=on_event)
        self.listens: bool = on_event is not None
        self.errors: int = 0
        self._logged: set[type[BaseException]] = set()
        self._name = name
        self._on_event = on_event
        self._turn = asyncio.Lock()

    async def tell(self, event: PatternEvent) -> None:
        """Call the callback, and await it if it is async. Only the cancellation of this task gets out."""
        if self._on_event is None:
            return
        telling = _telling.get()
        if self in telling:
            # The callback has called the model itself: it would wait for its own end.
            await self._call(self._on_event, event)
            return
        async with self._turn:
            token = _telling.set((*telling, self))
            try:
                await self._call(self._on_event, event)
            finally:
                _telling.reset(token)

    async def _call(self, on_event: EventCallback, event: PatternEvent) -> None:
        try:
            outcome = on_event(event)
            if inspect.isawaitable(outcome):
                await outcome
        except (Exception, asyncio.CancelledError) as exc:  # the run is paid for
            if isinstance(exc, asyncio.CancelledError) and is_being_cancelled():
                raise
            self._count(event, exc)

    async def pass_on(self, event: PatternEvent) -> None:
        """Tell an event of a pattern within this one; the `on_event` of a pipe's steps."""
        if isinstance(event, (PatternStarted, PatternEnded)):
            event = replace(event, depth=event.depth + 1)
        await self.tell(event)

    def run(
        self,
        provider: LLMProvider,
        total: int | None,
        *,
        max_cost: TokenUsage | None,
        retry: RetryConfig | None,
        salvage: Callable[[], Mapping[str, Any]],
        is_dialogue: bool = False,
    ) -> Run:
        """Make the pattern's run; with a callback, its beginning and its end are events.

        Args:
            provider: As in `Run`.
            total: As in `PatternStarted`.
            max_cost: As in `Run`.
            retry: As in `Run`.
            salvage: As in `Run`.
            is_dialogue: As in `Run`.
        """
        run = Run if self._on_event is None else partial(_ToldRun, self, total)
        return run(
            self._name,
            provider,
            max_cost=max_cost,
            retry=retry,
            salvage=salvage,
            is_dialogue=is_dialogue,
        )

    def tell_at_once(self, event: PatternEvent) -> None:
        """Call the callback where nothing may wait: one that is async runs up to its first wait.

        The run is being cancelled. A callback that waits for somebody who has gone would keep it for ever.
        """
        if self._on_event is None:
            return
        try:
            outcome = self._on_event(event)
            if inspect.iscoroutine(outcome):
                try:
                    outcome.send(None)
                except StopIteration:
                    return
                outcome.close()
        except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001 - the run is paid for
            self._count(event, exc)

    def _count(self, event: PatternEvent, exc: BaseException) -> None:
        self.errors += 1
        if type(exc) not in self._logged:  # a reply may have a thousand events
            self._logged.add(type(exc))
            what = (self._name, type(event).__name__)
            write(_log, logging.WARNING, "%s: on_event raised for %s", *what, exc=exc)

    def ask(
        self, run: Run, messages: list[dict[str, Any]], **settings: Any
    ) -> Coroutine[Any, Any, LLMResponse]:
        """Call the model; with a callback, stream the reply and hand on its events.

        If the provider can't stream, the events come when the reply is whole.
        """
        if self._on_event is None:
            return run.complete(messages, **settings)
        return self._ask(run, messages, **settings)

    async def _ask(self, run: Run, messages: list[dict[str, Any]], **settings: Any) -> LLMResponse:
        if not run.can_stream:
            reply = await run.complete(messages, **settings)
            for event in events_of(reply):
                await self.tell(event)
            return reply
        async with run.open_stream(messages, **settings) as events:
            async for event in events:
                await self.tell(event)
        return events.response


class _ToldRun(Run):
    """A run whose beginning and end are events."""

    def __init__(
        self, narrator: Narrator, total: int | None, name: str, provider: LLMProvider, **settings: Any
    ) -> None:
        super().__init__(name, provider, **settings)
        self._narrator = narrator
        self._total = total
        self.on_retry = self._tell_retry

    async def _tell_retry(self, attempt: int, wait: float, error: Exception) -> None:
        await self._narrator.tell(Retrying(attempt, wait, error, cost=self.usage))

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            await self._narrator.tell(PatternStarted(self.name, self._total))
        except BaseException as exc:  # a cancellation; `async with` would not tell the end of it
            await self.__aexit__(type(exc), exc, exc.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        left = exc
        try:
            await super().__aexit__(kind, exc, traceback)
        except BaseException as replacement:
            left = replacement
            raise
        finally:
            ended = PatternEnded(self.name, left, cost=self.usage)
            if left is None or isinstance(left, Exception):
                await self._narrator.tell(ended)
            else:
                self._narrator.tell_at_once(ended)
