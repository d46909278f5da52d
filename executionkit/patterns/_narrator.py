"""Events for the caller's callback, whose errors never end a run."""

import asyncio
import inspect
import logging
from collections.abc import Coroutine
from typing import Any

from executionkit import _checks as checks
from executionkit.engine.parallel import is_being_cancelled
from executionkit.engine.run import Run
from executionkit.events import EventCallback, PatternEvent
from executionkit.responses import LLMResponse
from executionkit.streaming import events_of

_log = logging.getLogger("executionkit.events")


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
        self._name = name
        self._on_event = on_event
        self._turn = asyncio.Lock()

    async def tell(self, event: PatternEvent) -> None:
        """Call the callback, and await it if it is async. Only the cancellation of this task gets out."""
        if self._on_event is None:
            return
        async with self._turn:
            try:
                outcome = self._on_event(event)
                if inspect.isawaitable(outcome):
                    await outcome
            except (Exception, asyncio.CancelledError) as exc:  # the run is paid for
                if isinstance(exc, asyncio.CancelledError) and is_being_cancelled():
                    raise
                self.errors += 1
                _log.warning("%s: on_event raised for %s", self._name, type(event).__name__, exc_info=True)

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
