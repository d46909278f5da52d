"""The figures of a progress bar, counted from events."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Final, Literal, TypeAlias

from executionkit._display._line import counted
from executionkit._dollars import shown as dollars
from executionkit._text import one_line, shorten
from executionkit.events import (
    CandidateScored,
    DraftScored,
    InputDone,
    PairCompared,
    PatternEnded,
    PatternEvent,
    PatternStarted,
    Reducing,
    Rejected,
    Retrying,
    RoundStarted,
    SampleDone,
    StepDone,
    TierDone,
    ToolStarted,
)
from executionkit.types import TokenUsage

Outcome: TypeAlias = Literal["running", "done", "failed", "cancelled"]

_NOTE_AT_MOST: Final = 30
_UNITS: Final[dict[str, type[PatternEvent]]] = {
    "consensus": SampleDone,
    "cascade": SampleDone,
    "best_of_n": SampleDone,
    "refine_loop": DraftScored,
    "react_loop": RoundStarted,
    "map_reduce": InputDone,
    "pipe": StepDone,
}
"""What each pattern tells when one of its `total` units has ended."""
_LOOKS_LIKE: Final = str.maketrans({"›": ">", "×": "x", "…": "..."})


@dataclass(frozen=True, slots=True)
class Figures:
    """One line of figures.

    Attributes:
        title: What runs, such as "consensus" or "pipe › consensus 2/5".
        done: How many samples, inputs, drafts, rounds, steps or runs have ended.
        total: How many there will be at most; None if that is not known.
        failed: How many of them failed.
        cost: The spend so far; None if it is not known yet.
        note: The latest news, such as the answer that leads.
        outcome: How it ended, or "running".
    """

    title: str
    done: int
    total: int | None
    failed: int
    cost: TokenUsage | None
    note: str
    outcome: Outcome

    @property
    def count(self) -> str:
        """Such as "3/20"; "" if there is nothing to say."""
        if self.total is None:
            return str(self.done) if self.done else ""
        return f"{self.done}/{self.total}"

    @property
    def details(self) -> list[str]:
        """Failures, calls and dollars, as far as there are any."""
        parts = [f"{self.failed} failed"] if self.failed else []
        if self.cost is not None:
            parts.append(counted(self.cost.llm_calls, "call"))
            if self.cost.usd is not None:
                parts.append(dollars(self.cost.usd))
        return parts

    def left(self, seconds: float) -> float | None:
        """The seconds until the end if all goes on as in the `seconds` so far; None if that is not known."""
        if self.outcome != "running" or not self.total or not 0 < self.done <= self.total:
            return None
        return seconds / self.done * (self.total - self.done)


@dataclass(slots=True)
class _Level:
    """A pattern, or a step of a pipe.

    Attributes:
        title: Its name.
        total: How many units there will be.
        units: The events that tell of the end of one.
        done: How many units have ended.
        failed: How many units failed.
        cost: Its spend so far.
    """

    title: str
    total: int | None
    units: tuple[type[PatternEvent], ...]
    done: int = 0
    failed: int = 0
    cost: TokenUsage | None = None


class Tally:
    """Counts what a bar shows.

    Args:
        total: The total to show in place of that of the run.
        counts_runs: Whether the units are whole runs.

    Attributes:
        is_open: Whether a run is under way.
    """

    def __init__(self, total: int | None, *, counts_runs: bool) -> None:
        self.is_open = False
        self._total = total
        self._counts_runs = counts_runs
        self._runs = self._failed_runs = self._open = 0
        self._spent: list[TokenUsage] = []
        self._levels: list[_Level] = []
        self._note = ""
        self._most_votes = self._rejected = 0
        self._best = -1.0
        self._outcome: Outcome = "running"

    def figures(self) -> Figures:
        """The figures as they are now."""
        if self._counts_runs:
            done, total, failed = self._runs, self._total, self._failed_runs
            title = " › ".join(["runs", *self._titles(self._levels)])
        else:
            first = self._levels[0] if self._levels else _Level("", None, ())
            done, failed = first.done, first.failed
            total = first.total if self._total is None else self._total
            title = " › ".join([first.title, *self._titles(self._levels[1:])])
        return Figures(title, done, total, failed, self._cost(), self._note, self._outcome)

    def add(self, event: PatternEvent) -> None:
        """Count one event."""
        match event:
            case PatternStarted():
                self._start(event)
            case PatternEnded():
                self._end(event)
            case SampleDone() | InputDone():
                self._count(event, failed=event.failed)
            case DraftScored() | StepDone() | RoundStarted():
                self._count(event, failed=False)
            case _:
                pass
        if self._levels and not isinstance(event, (PatternStarted, PatternEnded)):
            cost = getattr(event, "cost", None)
            if isinstance(cost, TokenUsage):
                self._levels[-1].cost = cost
        self._note = self._said_of(event)

    def settle(self, error: BaseException | None) -> None:
        """End it, as the code inside `with` ended."""
        self._levels = []
        self._note = ""
        self._outcome = _outcome(error)

    def _start(self, event: PatternStarted) -> None:
        if event.depth == 0:
            self._open += 1
            if not self.is_open:
                self.is_open = True
                self._levels = []
        unit = _UNITS.get(event.pattern)
        level = _Level(event.pattern, event.total, (unit,) if unit else ())
        if event.depth == 0 and self._levels:  # beside another run of this bar
            first = self._levels[0]
            first.units += level.units
            first.total = None if first.total is None or level.total is None else first.total + level.total
        elif not event.depth or self._open == 1:  # of runs beside each other, nothing says whose step it is
            self._levels.append(level)
        self._most_votes = self._rejected = 0
        self._best = -1.0

    def _end(self, event: PatternEnded) -> None:
        if event.depth:
            del self._levels[max(1, event.depth) :]
            if self._levels:
                parent = self._levels[-1].cost
                self._levels[-1].cost = event.cost if parent is None else parent + event.cost
            return
        self._open -= 1
        self._runs += 1
        self._failed_runs += event.error is not None
        self._spent.append(event.cost)
        for level in self._levels:
            level.cost = None
        if self._open == 0:
            self.is_open = False
            if self._counts_runs:
                self._levels = []
            else:
                self._outcome = _outcome(event.error)

    def _count(self, event: PatternEvent, *, failed: bool) -> None:
        for level in reversed(self._levels):
            if isinstance(event, level.units):
                level.done += 1
                level.failed += failed
                return

    def _cost(self) -> TokenUsage | None:
        # The events of runs beside each other don't say whose they are, so only ended runs count there.
        running = [level.cost for level in self._levels if level.cost is not None] if self._open == 1 else []
        costs = [*self._spent, *running]
        return reduce(add, costs) if costs else None

    @staticmethod
    def _titles(levels: Iterable[_Level]) -> list[str]:
        return [f"{each.title} {each.done}/{each.total}" if each.total else each.title for each in levels]

    def _said_of(self, event: PatternEvent) -> str:
        match event:
            case SampleDone() if event.votes > self._most_votes:
                self._most_votes = event.votes
                return f"{shown(event.answer)} ×{event.votes}"
            case TierDone():
                self._most_votes = 0
                return f"tier {event.tier} disagrees" if event.escalates else f"tier {event.tier} answers"
            case CandidateScored() | DraftScored():
                self._best = max(self._best, event.score)
                return f"best {self._best:.2f}"
            case PairCompared():
                return f"compared {event.done}/{event.total}"
            case Reducing():
                return f"reducing {event.groups} groups" if event.groups > 1 else "reducing"
            case Rejected():
                self._rejected += 1
                return f"{self._rejected} rejected"
            case Retrying():
                return f"retry in {event.wait:.1f} s"
            case ToolStarted():
                return shown(event.call.name)
            case PatternEnded(depth=0):
                outcome = _outcome(event.error)
                said = {"done": self._note, "failed": type(event.error).__name__}
                return said.get(outcome, outcome)
            case PatternStarted():
                return ""
            case _:
                return self._note


def shown(value: object) -> str:
    """A model's text as it may stand on a terminal: one short line, without anything that controls it."""
    text = "".join(char for char in one_line(str(value)) if unicodedata.category(char) not in ("Cf", "Co"))
    return shorten(text, _NOTE_AT_MOST)


def in_encoding(text: str, encoding: str) -> str:
    """A text as a terminal of that encoding can show it."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_LOOKS_LIKE).encode(encoding, "replace").decode(encoding)
    return text


def _outcome(error: BaseException | None) -> Outcome:
    if error is None:
        return "done"
    return "failed" if isinstance(error, Exception) else "cancelled"
