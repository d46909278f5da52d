"""`bar`: a callback for `on_event` that draws how far a run is."""

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from executionkit import _checks as checks
from executionkit.events import ApprovalAsked, ApprovalGiven, PatternEvent
from executionkit.progress._line import Line
from executionkit.progress._rich import Row, is_drawn
from executionkit.progress._tally import Figures, Tally

if TYPE_CHECKING:
    from rich.console import Console


class Screen(Protocol):
    """Where figures are drawn."""

    def show(self, figures: Figures) -> None:
        """Draw the figures."""
        ...

    def hide(self) -> None:
        """Leave the terminal to others until the next figures."""
        ...

    def close(self, figures: Figures) -> None:
        """Draw the figures for the last time."""
        ...


class ProgressBar:
    """A callback for `on_event` that draws a progress bar; `bar` makes it.

    A bar opens when a run begins, and closes when the run ends, also when it fails or is cancelled. Inside
    `with`, it stays open from the first run to the end of the block, and counts runs.
    """

    def __init__(self, total: int | None, console: "Console | None") -> None:
        self._total = total
        self._console = console
        self._is_held = False
        self._tally = Tally(total, counts_runs=False)
        self._screen: Screen | None = None
        self._is_hidden = False

    def __call__(self, event: PatternEvent, /) -> None:
        """Count an event, and draw what has changed."""
        if not self._is_held and not self._tally.is_open:
            self._tally = Tally(self._total, counts_runs=False)
        before = self._tally.figures()
        self._tally.add(event)
        if isinstance(event, (ApprovalAsked, ApprovalGiven)):
            # A person is asked meanwhile, perhaps on this very terminal.
            self._is_hidden = isinstance(event, ApprovalAsked)
            if self._is_hidden and self._screen is not None:
                self._screen.hide()
        if not self._is_held and not self._tally.is_open:
            self._close()
        elif not self._is_hidden and (self._tally.figures() != before or self._screen is None):
            self._open().show(self._tally.figures())

    def __enter__(self) -> Self:
        self._is_held = True
        self._tally = Tally(self._total, counts_runs=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_held = False
        self._tally.settle(exc)
        self._close()

    def _open(self) -> Screen:
        if self._screen is None:
            self._screen = _screen(self._console)
        return self._screen

    def _close(self) -> None:
        screen, self._screen = self._screen, None
        self._is_hidden = False
        if screen is not None:
            screen.close(self._tally.figures())


class _Nowhere:
    """Draws nothing."""

    def show(self, figures: Figures) -> None: ...

    def hide(self) -> None: ...

    def close(self, figures: Figures) -> None: ...


def _screen(console: "Console | None") -> Screen:
    try:
        return Row(console) if is_drawn(console) else _Nowhere()
    except ImportError:  # rich is not installed
        stream = sys.stderr
        return Line(stream) if stream is not None and stream.isatty() else _Nowhere()


def bar(total: int | None = None, *, console: "Console | None" = None) -> ProgressBar:
    """Make a callback for `on_event` that draws a progress bar.

    It shows how many samples, inputs, drafts, rounds or steps are done, and of how many; failures, calls and
    dollars so far; the time left; and news such as the answer that leads. It is drawn by rich if that is
    installed (the extra `cli`), also in notebooks. Without rich it is one line on stderr, which disappears
    at the end. Where stderr is no terminal, nothing is drawn.

    Texts of the model are cut, and shown without control characters.

    Example:
        ```python
        from executionkit import MockProvider, consensus
        from executionkit.progress import bar

        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        provider = MockProvider(["Paris"])
        question = "The capital of France?"
        await consensus(provider, question, num_samples=20, on_event=bar())

        with bar(total=3) as progress:
            for country in ("France", "Italy", "Spain"):
                await consensus(
                    provider, f"The capital of {country}?", on_event=progress
                )
        ```

    Args:
        total: How many there are to do: runs inside `with`, otherwise what the pattern counts. Defaults to
            the number that the pattern tells.
        console: A console of rich's to draw on. Defaults to stderr.

    Returns:
        The callback. It may be used for one run after the other. Each run has a bar of its own, unless the
        callback is used as a context manager. Then the bar is open until the end of the block.

    Raises:
        ValueError: `total` is less than 1.
    """
    if total is not None:
        checks.at_least(1, total=total)
    return ProgressBar(total, console)
