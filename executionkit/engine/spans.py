"""The spans of all observers for one run, call or tool: told together, closed once, no danger to the run."""

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Final, Generic, TypeVar

from executionkit._logs import write
from executionkit.observe import FAILURES, Observer

S = TypeVar("S")

_log = logging.getLogger("executionkit.observe")

# Code that does not await can't be cancelled: even a CancelledError or a GeneratorExit from it is its own.
_ENDS: Final = (KeyboardInterrupt, SystemExit)


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
            except _ENDS as exc:
                self.close(exc)
                raise
            except BaseException as exc:  # noqa: BLE001 - an observer may raise anything
                _note(watcher, exc)
            else:
                self._opened.append((watcher, manager, span))

    def tell(self, what: Callable[[S], object], about: BaseException | None = None) -> None:
        """Tell each of the spans something, the outermost first; nothing once they are closed.

        Args:
            what: Calls a method of a span.
            about: The exception that they are told of, which they may raise themselves.
        """
        for watcher, _, span in tuple(self._opened):
            try:
                what(span)
            except _ENDS as exc:
                self.close(exc)
                raise
            except BaseException as exc:  # noqa: BLE001 - an observer may raise anything
                _note(watcher, exc, about)

    def close(self, exc: BaseException | None) -> None:
        """Leave the context managers, the innermost first. They can neither replace nor suppress `exc`."""
        kind = None if exc is None else type(exc)
        trace = None if exc is None else exc.__traceback__
        while self._opened:
            watcher, manager, _ = self._opened.pop()
            try:
                manager.__exit__(kind, exc, trace)
            except _ENDS as own:
                if own is not exc:
                    self.close(own)
                    raise
            except BaseException as own:  # noqa: BLE001 - an observer may raise anything
                if own is not exc:
                    _note(watcher, own, exc)


def _note(watcher: Observer, exc: BaseException, about: BaseException | None = None) -> None:
    """Count an exception of an observer, and log the first of its kind.

    The run's own error, which may quote the prompt, is not shown.
    """
    kind = f"{type(watcher).__qualname__}: {type(exc).__name__}"
    FAILURES[kind] += 1
    if FAILURES[kind] == 1:
        is_own = not _would_show(exc, about)
        if is_own:
            exc.__suppress_context__ = True  # it was raised while the run's error was dealt with
        what = "an observer raised, which is logged once: %s"
        write(_log, logging.WARNING, what, kind, exc=exc if is_own else None)


def _would_show(exc: BaseException, other: BaseException | None) -> bool:
    """Whether a traceback of an exception shows the other one as itself or a cause."""
    seen: set[int] = set()
    cause: BaseException | None = exc
    while cause is not None and id(cause) not in seen:
        if cause is other:
            return True
        seen.add(id(cause))
        cause = cause.__cause__
    return False
