"""A progress bar drawn by rich: bars of one console share one display."""

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID
from rich.text import Text

from executionkit.progress._line import clock
from executionkit.progress._tally import Figures

_STYLES = {"running": "", "done": "green", "failed": "red", "cancelled": "yellow"}


class _Said(ProgressColumn):
    """A text out of the figures."""

    def __init__(self, part: str) -> None:
        self._part = part
        super().__init__()

    def render(self, task: Task) -> Text:
        figures: Figures = task.fields["figures"]
        style = _STYLES[figures.outcome]
        # A Text is no markup: a model's "[red]" stays as it is.
        if self._part == "title":
            return Text(figures.title, style)
        if self._part == "count":
            return Text(figures.count, "progress.download", no_wrap=True)
        if self._part == "details":
            return Text("  ".join(figures.details), no_wrap=True)
        if self._part == "note":
            return Text(figures.note, style or "dim", no_wrap=True, overflow="ellipsis")
        elapsed = task.elapsed or 0.0
        left = figures.left(elapsed)
        return Text(f"{clock(left)} left" if left is not None else clock(elapsed), "progress.elapsed")


class _Display:
    """What is drawn on one console as long as a bar is open there."""

    def __init__(self, console: Console) -> None:
        self.rows = 0
        self.progress = Progress(
            _Said("title"),
            BarColumn(bar_width=24),
            *(_Said(part) for part in ("count", "details", "time", "note")),
            console=console,
        )


_displays: dict[Console | None, _Display] = {}
"""By console; None is the one on stderr."""


class Row:
    """One bar, a row of the display.

    Args:
        console: Where to draw; None is stderr.
    """

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._task: TaskID | None = None
        self._display: _Display | None = None

    def show(self, figures: Figures) -> None:
        """Draw the figures."""
        if self._display is None:
            display = _displays.get(self._console)
            if display is None:
                display = _Display(self._console or Console(stderr=True))
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


def is_drawn(console: Console | None) -> bool:
    """Whether there is anybody to look at it: a terminal or a notebook."""
    looked_at = console or Console(stderr=True)
    return looked_at.is_terminal or looked_at.is_jupyter
