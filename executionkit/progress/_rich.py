"""A progress bar drawn by rich: bars of one console share one display."""

from typing import TYPE_CHECKING

from executionkit.progress._line import clock
from executionkit.progress._tally import Figures, in_encoding

if TYPE_CHECKING:
    from rich.console import Console, OverflowMethod
    from rich.progress import ProgressColumn, Task, TaskID
    from rich.text import Text

_STYLES = {"running": "", "done": "green", "failed": "red", "cancelled": "yellow"}


_NARROW = 60
"""Fewer columns than this are for the figures alone."""


def _said(part: str, encoding: str) -> "ProgressColumn":
    """A column with a text out of the figures."""
    from rich.progress import ProgressColumn
    from rich.table import Column
    from rich.text import Text

    overflow: OverflowMethod = "ellipsis" if encoding.startswith("utf") else "crop"

    class Said(ProgressColumn):
        def render(self, task: "Task") -> "Text":
            # A Text is no markup: a model's "[red]" stays as it is.
            text, style = _text(part, task.fields["figures"], task.elapsed or 0.0)
            return Text(in_encoding(text, encoding), style, no_wrap=True, overflow=overflow)

    # A narrow terminal takes its room from the bar and the news before it cuts a figure.
    return Said(Column(no_wrap=part != "note"))


def _text(part: str, figures: Figures, elapsed: float) -> tuple[str, str]:
    """The text of a column, and its style."""
    style = _STYLES[figures.outcome]
    if part == "title":
        return figures.title, style
    if part == "count":
        return figures.count, "progress.download"
    if part == "details":
        return "  ".join(figures.details), ""
    if part == "note":
        return figures.note, style or "dim"
    left = figures.left(elapsed)
    return f"{clock(left)} left" if left is not None else clock(elapsed), "progress.elapsed"


class _Display:
    """What is drawn on one console as long as a bar is open there."""

    def __init__(self, console: "Console") -> None:
        from rich.progress import BarColumn, Progress

        self.rows: set[Row] = set()
        self.is_hidden_by: set[Row] = set()
        is_narrow = console.width < _NARROW
        parts = ("count", "details") if is_narrow else ("count", "details", "time", "note")
        self.progress = Progress(
            _said("title", console.encoding),
            *(() if is_narrow else (BarColumn(bar_width=24),)),
            *(_said(part, console.encoding) for part in parts),
            console=console,
        )


_displays: "dict[Console | None, _Display]" = {}
"""By console; None is the one on stderr."""


class Row:
    """One bar, a row of the display.

    Args:
        console: Where to draw; None is stderr.
    """

    def __init__(self, console: "Console | None") -> None:
        self._console = console
        self._task: TaskID | None = None
        self._display: _Display | None = None

    def show(self, figures: Figures) -> None:
        """Draw the figures."""
        display = self._joined()
        display.is_hidden_by.discard(self)
        progress = display.progress
        if not display.is_hidden_by:
            progress.start()  # which does nothing while it is drawn
        if self._task is None:
            self._task = progress.add_task("", total=figures.total, figures=figures)
        total, completed = figures.total, figures.done
        if figures.outcome == "done":
            total = completed = max(1, figures.done)  # an early end is an end too
        elif figures.outcome != "running":
            total = total or max(1, figures.done)  # without a total the bar would go on to move
        progress.update(self._task, total=total, completed=completed, figures=figures)

    def hide(self) -> None:
        """Leave the terminal to others until the next figures, with the rows beside this one."""
        display = self._joined()
        display.is_hidden_by.add(self)
        live = display.progress.live
        live.transient = True
        live.stop()
        live.transient = False

    def close(self, figures: Figures) -> None:
        """Draw the figures for the last time; they stay."""
        self.show(figures)
        if self._display is not None and self._task is not None:
            self._display.progress.stop_task(self._task)
        self.leave()

    def leave(self) -> None:
        """Draw no more."""
        display, self._display = self._display, None
        if display is None:
            return
        display.rows.discard(self)
        display.is_hidden_by.discard(self)
        if not display.rows:
            _displays.pop(self._console, None)
            display.progress.stop()

    def _joined(self) -> _Display:
        if self._display is None:
            display = _displays.get(self._console)
            if display is None:
                display = _Display(self._console or _on_stderr())
                _displays[self._console] = display
            display.rows.add(self)
            self._display = display
        return self._display


def is_drawn(console: "Console | None") -> bool:
    """Whether the console is a terminal or a notebook.

    Raises:
        ImportError: rich is not installed.
    """
    looked_at = console or _on_stderr()
    return looked_at.is_terminal or looked_at.is_jupyter


def _on_stderr() -> "Console":
    from rich.console import Console

    return Console(stderr=True)
