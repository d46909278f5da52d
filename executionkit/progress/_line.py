"""A progress bar in one line of text, where rich is not installed."""

import os
import unicodedata
from time import monotonic
from typing import TextIO

from executionkit.progress._tally import Figures


class Line:
    """Draws one line over and over, and wipes it away at the end.

    Args:
        stream: A terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._since = monotonic()
        self._cells = 0

    def show(self, figures: Figures) -> None:
        """Draw the figures over the line that is there."""
        encoding = self._stream.encoding or "ascii"
        text = _text(figures, monotonic() - self._since).encode(encoding, "replace").decode(encoding)
        # A text in the last column would wrap the line on some terminals.
        text, cells = _cut(text, _columns(self._stream) - 1)
        self._write(text + " " * (self._cells - cells))
        self._cells = cells

    def hide(self) -> None:
        """Wipe the line away."""
        if self._cells:
            self._write(" " * self._cells + "\r")
            self._cells = 0

    def close(self, figures: Figures) -> None:
        """Wipe the line away for good."""
        del figures
        self.hide()

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


def _columns(stream: TextIO) -> int:
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return columns or 80


def _cut(text: str, width: int) -> tuple[str, int]:
    """Cut a text to columns; returns it and the columns that it takes."""
    cells = 0
    for index, char in enumerate(text):
        size = 0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if cells + size > width:
            return text[:index], cells
        cells += size
    return text, cells
