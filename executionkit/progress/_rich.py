"""A progress bar drawn by rich: bars of one console share one display."""

from typing import TYPE_CHECKING

from executionkit.progress._line import clock
from executionkit.progress._tally import Figures

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn, Task, TaskID
    from rich.text import Text

_STYLES = {"running": "", "done": "green", "failed": "red", "cancelled": "yellow"}


def _said(part: str) -> "ProgressColumn":
    """A column with a text out of the figures."""
    from rich.progress import ProgressColumn
    from rich.table import Column
    from rich.text import Text

    class Said(ProgressColumn):
        def render(self, task: "Task") -> "Text":
            # A Text is no markup: a model's "[red]" stays as it is.
            return Text(*_text(part, task.fields["figures"], task.elapsed or 0.0), no_wrap=True)

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

        self.rows = 0
        self.progress = Progress(
            _said("title"),
            BarColumn(bar_width=24),
            *(_said(part) for part in ("count", "details", "time", "note")),
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
        if self._display is None:
            display = _displays.get(self._console)
            if display is None:
                display = _Display(self._console or _on_stderr())
                _displays[self._console] = display
            display.rows += 1
            self._display = display
        progress = self._display.progress
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
        """Leave the terminal to others until the next figures."""
        if self._display is not None:
            live = self._display.progress.live
            live.transient = True
            live.stop()
            live.transient = False

    def close(self, figures: Figures) -> None:
        """Draw the figures for the last time; they stay."""
        self.show(figures)
        display, self._display = self._display, None
        if display is None or self._task is None:
            return
        display.progress.stop_task(self._task)
        display.rows -= 1
        if display.rows == 0:
            _displays.pop(self._console, None)
            display.progress.stop()


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
