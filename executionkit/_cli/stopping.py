"""Signals: the first one stops a job after what is in flight, the second one cancels that as well."""

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

from executionkit._cli.terminal import is_terminal, note

_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]  # Windows has no SIGHUP, which comes when the terminal is closed


class Stopping:
    """Listens to SIGINT, SIGTERM and SIGHUP as long as its block lasts.

    A signal that was ignored when the program began stays so: `nohup` relies on it, and a shell that starts
    jobs in the background.

    Attributes:
        received: The first signal that came; None before.
        has_cut: Whether it came before all of the rows were begun.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.has_cut = False
        self._next_cancel = 0.0
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # signals go nowhere else
            heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._take) for number in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def status(self) -> int:
        """The exit status of a program that was ended by the signal."""
        return 128 + (self.received or signal.SIGINT)

    def watch(self) -> None:
        """Let the second signal cancel the task that runs now."""
        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()

    def until(self, rows: Collection[Any]) -> Iterable[Any]:
        """The rows, up to the first signal."""
        return _Until(rows, self)

    def cancel(self) -> None:
        """Cancel the task that `watch` was called in."""
        if self._loop is not None and self._task is not None and not self._loop.is_closed():
            # The loop sleeps until something of its own happens: this wakes it.
            self._loop.call_soon_threadsafe(self._task.cancel)

    def _take(self, number: int, _: FrameType | None) -> None:
        is_first = self.received is None
        self.received = self.received or number
        if self._loop is None or self._loop.is_closed():
            raise KeyboardInterrupt  # nothing is in flight yet, or any more
        if is_first:
            # By the loop, because a signal may come amid another line.
            self._loop.call_soon_threadsafe(_say_so)
        elif time.monotonic() >= self._next_cancel:
            # Not at once again: the job is closing what is open, and will say what was spent.
            self._next_cancel = time.monotonic() + 1.0
            self.cancel()


def _say_so() -> None:
    if is_terminal(sys.stderr):
        with suppress(OSError):
            print(file=sys.stderr)  # a bar may stand on this line, and "^C" does
    note("stopping after what is in flight; once more cancels that too")


class _Until(Iterable[Any]):
    def __init__(self, rows: Collection[Any], stopping: Stopping) -> None:
        self._rows = rows
        self._stopping = stopping

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Any]:
        for row in self._rows:
            if self._stopping.received is not None:
                self._stopping.has_cut = True
                return
            yield row
