"""The tree of a log in the terminal."""

import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from executionkit._screen import BOLD, DIM, RED, YELLOW, Screen, clean
from executionkit._show.figures import Figures, in_count, in_dollars, in_seconds, total
from executionkit._show.log import Log
from executionkit._show.rows import Row, Tone, rows_of
from executionkit._text import columns

_STYLES: Final[dict[Tone, str]] = {"error": RED, "retry": YELLOW, "open": YELLOW, "plain": DIM}
_HEAD: Final = (("time", 10), ("calls", 6), ("input", 9), ("output", 8), ("dollars", 11))
_LEAST: Final = 14
"""The columns of a name, however deep it lies."""


def draw(log: Log, name: str, screen: Screen) -> None:
    """Draw the tree of a log."""
    rows = rows_of(log)
    screen.title(summary(log, rows, clean(name)))
    screen.blank()
    has_dollars = any(row.figures.usd is not None for row in rows)
    sums = [cells(each) for each in (over_all(log), *(row.figures for row in rows))]
    table = _Table(screen, sums, has_dollars=has_dollars)
    if rows:
        table.head()
    for row in rows:
        table.draw(row, "", "", "")
    if len(rows) > 1:
        table.line("", "all", cells(over_all(log)), BOLD)
    for complaint in complaints(log):
        screen.blank()
        screen.paragraph(complaint, YELLOW)


def over_all(log: Log) -> Figures:
    """The figures of all runs together, and the time from the first beginning to the latest event."""
    began = [span.began for span in log.roots if span.began is not None]
    found = total(log.roots)
    lasted = None if log.latest is None or not began else max(0.0, log.latest - min(began))
    return Figures(lasted, found.calls, found.input_tokens, found.output_tokens, found.usd)


def summary(log: Log, rows: Sequence[Row], name: str) -> str:
    """The log in one line: how many runs, how they ended, and when the first began."""
    runs = len(rows)
    states = [row.state for row in rows]
    said = [f"{runs} run{'' if runs == 1 else 's'}" if runs else "no run has begun"]
    said += [
        f"{count} {state}"
        for state in ("failed", "cancelled", "unfinished")
        if (count := states.count(state))
    ]
    began = [span.began for span in log.roots if span.began is not None]
    if began:
        said.append(datetime.fromtimestamp(min(began), UTC).strftime("%Y-%m-%d %H:%M:%S UTC"))
    return f"{name}: {', '.join(said)}"


def complaints(log: Log) -> list[str]:
    """What could not be read."""
    found: list[str] = []
    if log.unread:
        count = len(log.unread)
        lines = ", ".join(map(str, log.unread[:5])) + (", ..." if count > 5 else "")
        found.append(
            f"{count} line{' is' if count == 1 else 's are'} no event of a run log and left out: {lines}"
        )
    if log.is_torn:
        found.append("The last line is incomplete and left out: its program was killed, or is writing it.")
    return found


def cells(figures: Figures) -> list[str]:
    """The figures as the texts of a row."""
    return [
        in_seconds(figures.seconds),
        in_count(figures.calls),
        in_count(figures.input_tokens),
        in_count(figures.output_tokens),
        in_dollars(figures.usd),
    ]


class _Table:
    def __init__(self, screen: Screen, figures: Sequence[Sequence[str]], *, has_dollars: bool) -> None:
        self._screen = screen
        # The widest figures are those of whole runs; a space before each, or they would run together.
        widest = [max((len(cell) for cell in column), default=0) for column in zip(*figures, strict=True)]
        head = [(name, max(width, widest[at] + 1)) for at, (name, width) in enumerate(_HEAD)]
        self._columns = head if has_dollars else head[:-1]
        self._room = screen.width - sum(width for _, width in self._columns)

    def head(self) -> None:
        self.line("", "", [name for name, _ in self._columns], DIM)

    def draw(self, row: Row, before: str, branch: str, below: str) -> None:
        """Draw a row, its notes and the rows inside it."""
        style = {"done": BOLD if row.span.kind == "run" else "", "failed": RED}.get(row.state, YELLOW)
        self.line(before + branch, row.label, cells(row.figures), style)
        guide = _kept(before + below + ("│  " if row.rows else "   "), self._room - _LEAST)
        for note in row.notes:
            for line in textwrap.wrap(clean(note.text), self._screen.width - len(guide)):
                self._screen.pieces((guide, DIM), (line, _STYLES[note.tone]))
        for inner in row.rows:
            is_last = inner is row.rows[-1]
            self.draw(inner, before + below, "└─ " if is_last else "├─ ", "   " if is_last else "│  ")

    def line(self, guide: str, label: str, figures: Sequence[str], style: str) -> None:
        """Write one line of the table."""
        guide = _kept(guide, self._room - _LEAST)
        shown = _cut(clean(label), self._room - len(guide))
        gap = " " * (self._room - len(guide) - columns(shown))
        texts = "".join(f"{cell:>{width}}" for cell, (_, width) in zip(figures, self._columns, strict=False))
        self._screen.pieces((guide, DIM), (shown, style), ((gap + texts).rstrip(), "" if label else style))


def _kept(guide: str, room: int) -> str:
    """The end of a guide that is too long for its room."""
    return guide if len(guide) <= room else "…" + guide[len(guide) - room + 1 :]


def _cut(text: str, room: int) -> str:
    if len(text) <= room and columns(text) <= room:
        return text
    text = text[:room]  # nearly all characters take a column or two
    while text and columns(text) > room - 1:
        text = text[:-1]
    return text.rstrip() + "…"
