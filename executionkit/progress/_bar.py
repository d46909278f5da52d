"""`bar`: a callback for `on_event` that draws how far a run is."""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from executionkit import _checks as checks
from executionkit.events import ApprovalAsked, ApprovalGiven, PatternEnded, PatternEvent
from executionkit.progress._line import Line
from executionkit.progress._rich import Row, is_drawn
from executionkit.progress._tally import Figures, Tally

if TYPE_CHECKING:
    from rich.console import Console


_lock = threading.RLock()
"""One bar may be told by several threads, and bars share a terminal."""


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

    def leave(self) -> None:
        """Draw no more."""
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
        self._questions: list[str] = []

    def __call__(self, event: PatternEvent, /) -> None:
        """Count an event, and draw what has changed."""
        with _lock:
            self._take(event)

    def _take(self, event: PatternEvent) -> None:
        if not self._is_held and not self._tally.is_open:
            self._tally = Tally(self._total, counts_runs=False)
        before = None if self._questions or self._screen is None else self._tally.figures()
        self._tally.add(event)
        if isinstance(event, (ApprovalAsked, ApprovalGiven)):
            # A person is asked meanwhile, perhaps on this very terminal. Several are, in runs at once.
            if isinstance(event, ApprovalAsked):
                self._questions.append(event.call.id)
            elif event.call.id in self._questions:
                self._questions.remove(event.call.id)
            if self._questions:
                self._draw(lambda screen: screen.hide())
        elif isinstance(event, PatternEnded) and event.error is not None:
            self._questions.clear()  # the run may have ended without the answer
        figures = self._tally.figures()
        if not self._is_held and not self._tally.is_open:
            self._close()
        elif not self._questions and figures != before:
            self._draw(lambda screen: screen.show(figures))

    def __enter__(self) -> Self:
        self._is_held = True
        self._tally = Tally(self._total, counts_runs=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _lock:
            self._is_held = False
            self._tally.settle(exc)
            with suppress(Exception):  # the block's own end is what counts
                self._close()

    def _draw(self, draw: Callable[[Screen], None]) -> None:
        if self._screen is None:
            self._screen = screen_for(self._console)
        try:
            draw(self._screen)
        except Exception:
            # The terminal has gone, or is another's: to be told of it once is enough.
            broken, self._screen = self._screen, Unseen()
            with suppress(Exception):
                broken.leave()
            raise

    def _close(self) -> None:
        figures = self._tally.figures()
        try:
            if self._screen is not None:
                self._draw(lambda screen: screen.close(figures))
        finally:
            self._screen = None
            self._questions.clear()


class Unseen:
    """Draws nothing."""

    def show(self, figures: Figures) -> None: ...

    def hide(self) -> None: ...

    def close(self, figures: Figures) -> None: ...

    def leave(self) -> None: ...


def screen_for(console: "Console | None") -> Screen:
    """The terminal or notebook to draw on; `Unseen` if there is none."""
    with suppress(ImportError):  # rich is not installed
        return Row(console) if is_drawn(console) else Unseen()
    with suppress(Exception):  # there is none, it is closed, or a stand-in without `isatty`
        if sys.stderr.isatty():
            return Line(sys.stderr)
    return Unseen()


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
