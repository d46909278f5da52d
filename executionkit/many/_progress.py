"""`Progress`: how far a job is, shown or handed to a function at most ten times a second."""

import asyncio
import inspect
import logging
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from executionkit import _checks as checks
from executionkit._display import Brief
from executionkit._display._line import number, spent
from executionkit._logs import write
from executionkit.engine.parallel import is_being_cancelled
from executionkit.progress._bar import Screen, Unseen, screen_for
from executionkit.progress._line import clock
from executionkit.progress._tally import Figures, Outcome
from executionkit.types import TokenUsage

_log = logging.getLogger("executionkit.many")

_PAUSE: Final = 0.1
"""Seconds between two looks at the figures."""
_WINDOW: Final = 30.0
"""Seconds over which the rate is taken."""
_LINE_EVERY: Final = 30.0
"""Seconds between two lines where there is no terminal."""


@dataclass(frozen=True, slots=True)
class Progress(Brief):
    """How far a job is.

    Attributes:
        done: How many rows have a value, those of earlier starts included.
        failed: How many rows failed.
        total: How many rows there are; None if that is not known, as with a generator or a shard.
        rows_per_second: How many rows of this start ended a second, over the last 30 s.
        eta: The seconds that the rest will take at this rate; None if that is not known.
        cost: The spend of all starts.
        in_flight: How many calls are in flight.
        waiting: How many calls wait for the limits.
        allowed_per_second: How many calls a second the limits let through; None as long as nothing is known.
        refused: How many calls of this start were refused because they came too fast (429).
    """

    done: int
    failed: int
    total: int | None
    rows_per_second: float
    eta: float | None
    cost: TokenUsage = field(default_factory=TokenUsage)
    in_flight: int = 0
    waiting: int = 0
    allowed_per_second: float | None = None
    refused: int = 0


class Listener:
    """Calls a function of the user's, plain or async; counts its exceptions, and logs each kind once.

    Args:
        name: Who calls it, for the log.
        what: The parameter's name, for the log.
        function: The function, or None.

    Attributes:
        listens: Whether there is one.
        errors: How often it has raised.
    """

    def __init__(self, name: str, what: str, function: Callable[[Any], object] | None) -> None:
        self.listens: bool = function is not None
        self.errors: int = 0
        self._logged: set[type[BaseException]] = set()
        self._name, self._what, self._function = name, what, function

    async def tell(self, news: object) -> None:
        """Call the function, and await it if it is async. Only the cancellation of this task gets out."""
        if self._function is None:
            return
        try:
            outcome = self._function(news)
            if inspect.isawaitable(outcome):
                await outcome
        except (Exception, asyncio.CancelledError) as exc:  # the row is paid for
            if isinstance(exc, asyncio.CancelledError) and is_being_cancelled():
                raise
            self.errors += 1
            if type(exc) not in self._logged:  # a job may have a million rows
                self._logged.add(type(exc))
                write(_log, logging.WARNING, "%s: %s raised", self._name, self._what, exc=exc)


class Ticker:
    """Tells how far a job is, as long as it runs.

    Args:
        name: The title of the bar.
        progress: True for a bar, a function to be told, or False for neither.
        snapshot: Gives the figures, from the rate.
        ended: Gives the number of rows that this start has worked on: those of the journal took no time.

    Attributes:
        is_on: Whether there is a bar or a function.

    Raises:
        ValueError: `progress` is neither a bool nor a function of one argument.
    """

    def __init__(
        self, name: str, progress: object, snapshot: Callable[[float], Progress], ended: Callable[[], int]
    ) -> None:
        function = None if isinstance(progress, bool) else progress
        checks.called_with("progress", progress=function)
        if progress is None:
            raise ValueError(
                "progress must be True, False or a function called as progress(progress), got None"
            )
        self.is_on: bool = progress is not False
        self._name = name
        self._listener = Listener(name, "progress", function if callable(function) else None)
        self._shown: _Bar | None = _Bar(name) if progress is True else None
        self._snapshot = snapshot
        self._ended = ended
        self._rates: deque[tuple[float, int]] = deque()
        self._told: Progress | None = None

    @property
    def errors(self) -> int:
        """How often the function has raised."""
        return self._listener.errors

    async def run(self) -> None:
        """Tell of every change, until the task is cancelled."""
        while True:
            await self._look("running")
            await asyncio.sleep(_PAUSE)

    async def close(self, error: BaseException | None, *, is_cancelled: bool) -> None:
        """Tell the last figures."""
        if not self.is_on:
            return
        outcome: Outcome = "cancelled" if is_cancelled else "done" if error is None else "failed"
        if is_cancelled:
            if self._shown is not None:
                self._shown.show(self._now(), outcome)
            return
        await self._look(outcome)

    async def _look(self, outcome: Outcome) -> None:
        now = self._now()
        is_news = now != self._told
        self._told = now
        if self._shown is not None:
            self._shown.show(now, outcome)
        elif is_news:
            await self._listener.tell(now)

    def _now(self) -> Progress:
        ended, moment = self._ended(), time.monotonic()
        rates = self._rates
        if not rates or moment - rates[-1][0] >= _PAUSE:
            rates.append((moment, ended))
        while len(rates) > 2 and moment - rates[1][0] >= _WINDOW:
            rates.popleft()
        since, before = rates[0]
        return self._snapshot((ended - before) / (moment - since) if moment > since else 0.0)


@dataclass(frozen=True)
class _RowFigures(Figures):
    """Figures whose rest is taken from the last rate: rows of earlier starts took no time."""

    eta: float | None = None

    def left(self, seconds: float) -> float | None:
        del seconds
        return self.eta if self.outcome == "running" else None


class _Bar:
    """A bar on a terminal, or a line every 30 s where stderr is no terminal."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._screen: Screen | None = None
        self._is_line = False
        self._next = time.monotonic() + _LINE_EVERY

    def show(self, progress: Progress, outcome: Outcome) -> None:
        """Show the figures; they are the last ones if the outcome is another than "running"."""
        try:
            self._show(progress, outcome)
        except Exception:  # noqa: BLE001 - the terminal has gone, or is another's
            screen, self._screen = self._screen, Unseen()
            self._is_line = False
            if screen is not None:
                with suppress(Exception):
                    screen.leave()

    def _show(self, progress: Progress, outcome: Outcome) -> None:
        if self._screen is None:
            self._screen = screen_for(None)
            # A terminal such as that of an editor can't draw over what stands there.
            self._is_line = isinstance(self._screen, Unseen) or os.environ.get("TERM") in ("dumb", "unknown")
        if self._is_line:
            if outcome != "running" or time.monotonic() >= self._next:
                self._next = time.monotonic() + _LINE_EVERY
                if sys.stderr is not None:
                    sys.stderr.write(f"{self._name}: {_line(progress)}\n")
                    sys.stderr.flush()
            return
        figures = _RowFigures(
            title=self._name,
            done=progress.done + progress.failed,
            total=progress.total,
            failed=progress.failed,
            cost=progress.cost,
            note=f"{_rate(progress)}{_refused(progress)}",
            outcome=outcome,
            eta=progress.eta,
        )
        if outcome == "running":
            self._screen.show(figures)
        else:
            self._screen.close(figures)


def _rate(progress: Progress) -> str:
    rate = progress.rows_per_second
    return f"{number(round(rate)) if rate >= 100 else f'{rate:.3g}'} rows/s"


def _refused(progress: Progress) -> str:
    return f", {number(progress.refused)} refused" if progress.refused else ""


def _line(progress: Progress) -> str:
    """The figures as one line of a log."""
    of = "" if progress.total is None else f" of {number(progress.total)}"
    failed = f", {number(progress.failed)} failed" if progress.failed else ""
    left = "" if not progress.eta else f", {clock(progress.eta)} left"
    ended = number(progress.done + progress.failed)
    return f"{ended}{of} rows{failed}, {_rate(progress)}{left}; {spent(progress.cost)}{_refused(progress)}"
