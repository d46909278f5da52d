"""A progress bar in one line of text, where rich is not installed."""

import os
from time import monotonic
from typing import TextIO
from weakref import WeakKeyDictionary

from executionkit._text import columns
from executionkit.progress._tally import Figures, in_encoding

_drawn: WeakKeyDictionary[TextIO, int] = WeakKeyDictionary()
"""The columns that are drawn on each stream. Lines beside each other draw over each other."""


class Line:
    """Draws one line over and over, and wipes it away at the end.

    Args:
        stream: A terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._since = monotonic()

    def show(self, figures: Figures) -> None:
        """Draw the figures over the line that is there."""
        text = in_encoding(_text(figures, monotonic() - self._since), self._stream.encoding or "ascii")
        # A text in the last column would wrap the line on some terminals.
        text, cells = _cut(text, _width_of(self._stream) - 1)
        self._write(text + " " * (_drawn.get(self._stream, 0) - cells))
        _drawn[self._stream] = cells

    def hide(self) -> None:
        """Wipe the line away."""
        if cells := _drawn.pop(self._stream, 0):
            self._write(" " * cells + "\r")

    def close(self, figures: Figures) -> None:
        """Wipe the line away for good."""
        del figures
        self.hide()

    def leave(self) -> None:
        """Forget what is drawn."""
        _drawn.pop(self._stream, None)

    def _write(self, text: str) -> None:
        self._stream.write("\r" + text)
        self._stream.flush()


def _text(figures: Figures, seconds: float) -> str:
    parts = [figures.title, figures.count] if figures.count else [figures.title]
    if figures.total:
        parts.append(f"{100 * figures.done // figures.total}%")
    parts += figures.details
    left = figures.left(seconds)
    if left is not None:
        parts.append(f"{clock(left)} left")
    if figures.note:
        parts.append(figures.note)
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """Seconds as "m:ss" or "h:mm:ss"."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _width_of(stream: TextIO) -> int:
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        width = 0
    return width or 80


def _cut(text: str, width: int) -> tuple[str, int]:
    """Cut a text to columns; returns it and the columns that it takes."""
    cells = 0
    for index, char in enumerate(text):
        size = columns(char)
        if cells + size > width:
            return text[:index], cells
        cells += size
    return text, cells
