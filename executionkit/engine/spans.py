"""The spans of all observers for one run, call or tool: told together, closed once, no danger to the run."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Final, Generic, TypeVar

from executionkit.observe import FAILURES, Observer

S = TypeVar("S")

_log = logging.getLogger("executionkit.observe")

# Code that does not await can't be cancelled: a CancelledError from it is its own.
_OWN: Final = (Exception, asyncio.CancelledError)


class Spans(Generic[S]):
    """The spans that observers have opened for one thing.

    An observer that can't open its span is told nothing further of the thing. KeyboardInterrupt and
    SystemExit get out, because they end the program, after all spans are closed.

    Args:
        watchers: The observers, the outermost first.
        open_span: Asks one of them for its context manager.
    """

    __slots__ = ("_opened",)

    def __init__(
        self, watchers: Iterable[Observer], open_span: Callable[[Observer], AbstractContextManager[S]]
    ) -> None:
        self._opened: list[tuple[Observer, AbstractContextManager[S], S]] = []
        for watcher in watchers:
            try:
                manager = open_span(watcher)
                span = manager.__enter__()
            except _OWN as exc:
                _note(watcher, exc)
            except BaseException as exc:
                self.close(exc)
                raise
            else:
                self._opened.append((watcher, manager, span))

    def tell(self, what: Callable[[S], object]) -> None:
        """Tell each of the spans something, the outermost first; nothing once they are closed."""
        for watcher, _, span in tuple(self._opened):
            try:
                what(span)
            except _OWN as exc:
                _note(watcher, exc)

    def close(self, exc: BaseException | None) -> None:
        """Leave the context managers, the innermost first. They can neither replace nor suppress `exc`."""
        kind = None if exc is None else type(exc)
        trace = None if exc is None else exc.__traceback__
        while self._opened:
            watcher, manager, _ = self._opened.pop()
            try:
                manager.__exit__(kind, exc, trace)
            except _OWN as own:
                if own is not exc:
                    _note(watcher, own)
            except BaseException as own:
                if own is not exc:
                    self.close(own)
                    raise


def _note(watcher: Observer, exc: BaseException) -> None:
    """Count an exception of an observer, and log the first of its kind."""
    kind = f"{type(watcher).__qualname__}: {type(exc).__name__}"
    FAILURES[kind] += 1
    if FAILURES[kind] == 1:
        # It was raised while the run's error was dealt with, and that may quote the prompt.
        exc.__suppress_context__ = True
        _log.warning("an observer raised, which is logged once: %s", kind, exc_info=exc)
