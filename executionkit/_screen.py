"""The look of the command line: sections, rows, bars and trees, in colour where a terminal takes it."""

import io
import itertools
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "31", "32", "33"

_LABEL, _BAR = 12, 10
_NARROWEST, _LEAST_BESIDE = 60, 44
_PLAIN = str.maketrans(
    {"─": "-", "█": "#", "░": ".", "→": "->", "≠": "!=", "✓": "+", "✗": "x"}
    | {"├": "|", "│": "|", "└": "`", "…": "~"}
)


class Screen:
    """Writes the output of a command.

    Args:
        out: Where to.
        colour: Whether to write ANSI colour codes.
        width: Columns to fill.
        tallest: The most lines of a row; all of them unless it is given.
    """

    def __init__(self, out: TextIO, *, colour: bool, width: int, tallest: int | None = None) -> None:
        self._out = out
        self._tallest = tallest
        self._colour = colour
        self._encoding = out.encoding or "utf-8"
        self._signs = _encodes(self._encoding)
        self._width = width

    @classmethod
    def of_stdout(cls, *, widest: int = 80, tallest: int | None = None) -> "Screen":
        """The screen as it is: colour on a terminal only, and not where `NO_COLOR` is set.

        From 60 to `widest` columns are filled. Where there is no terminal, `COLUMNS` says how many, else 80.
        """
        is_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        # Only the newer of Windows' consoles takes colour codes by default.
        can_colour = sys.platform != "win32" or "WT_SESSION" in os.environ
        colour = is_terminal and can_colour and not os.environ.get("NO_COLOR")
        width = max(_NARROWEST, min(shutil.get_terminal_size().columns, widest))
        return cls(sys.stdout, colour=colour, width=width, tallest=tallest)

    @property
    def width(self) -> int:
        """The columns to fill."""
        return self._width

    def blank(self) -> None:
        """An empty line."""
        self._write("")

    def title(self, text: str) -> None:
        """The first line."""
        self._write(self._styled(text, BOLD))

    def section(self, name: str, summary: str) -> None:
        """The head of a part: its name, what it does, and a line to the right margin."""
        rule = "─" * (self._width - len(name) - len(summary) - 4)
        self.blank()
        self._write(f"{self._styled(name, BOLD)}  {summary}  {self._styled(rule, DIM)}".rstrip())
        self.blank()

    def row(self, label: str, text: str, style: str = "") -> None:
        """A label and its text, wrapped beside it."""
        lines = textwrap.wrap(
            clean(text), self._width - _LABEL - 2, max_lines=self._tallest, placeholder=" ..."
        ) or [""]
        for number, line in enumerate(lines):
            head = self._styled(f"{'' if number else label:<{_LABEL}}", DIM)
            self._write(f"  {head}{self._styled(line, style)}".rstrip())

    def pieces(self, *pieces: tuple[str, str]) -> None:
        """A line of pieces, each a text and its style."""
        self._write("".join(self._styled(text, style) for text, style in pieces).rstrip())

    def paragraph(self, text: str, style: str = "") -> None:
        """A text, wrapped."""
        for line in textwrap.wrap(clean(text), self._width):
            self._write(self._styled(line, style))

    def bar(self, label: str, share: float, text: str, style: str = "") -> None:
        """A bar of `share`, in [0, 1], with a text after it."""
        full = int(share * _BAR + 1e-9)  # the whole bar for 1.0 only
        line = self._styled("█" * full, style) + self._styled("░" * (_BAR - full), DIM)
        room = self._width - _LABEL - _BAR - 4
        shown = " ".join(clean(text).split())
        if len(shown) > room:
            shown = f"{shown[: room - 3].rstrip()}..."
        self._write(f"  {self._styled(f'{label:<{_LABEL}}', DIM)}{line}  {shown}")

    def table(self, rows: list[list[str]]) -> None:
        """Rows of cells: the first to the left, the others to the right; the first row is the head."""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for number, (label, *cells) in enumerate(rows):
            line = f"{label:<{widths[0]}}" + "".join(
                f"{cell:>{width + 3}}" for cell, width in zip(cells, widths[1:], strict=True)
            )
            self._write(f"  {self._styled(line, '' if number else DIM)}")

    def beside(self, code: Sequence[str], draw: Callable[["Screen"], None], *, column: int) -> None:
        """Lines of code, and what `draw` draws: to their right, or below them where the screen is narrow.

        Args:
            code: The lines.
            draw: Draws on the screen that it is given.
            column: The columns that the code is given.
        """
        room = self._width - column - 4
        if room < _LEAST_BESIDE:
            for line in code:
                self.pieces(("  │ ", DIM), (line, ""))
            self.blank()
            draw(self)
            return
        drawing = io.StringIO()
        draw(Screen(drawing, colour=self._colour, width=room, tallest=self._tallest))
        for line, drawn in itertools.zip_longest(code, drawing.getvalue().splitlines(), fillvalue=""):
            self.pieces((f"  {line:<{column}}", ""), ("│", DIM), (drawn, ""))

    def list(self, entries: Mapping[str, str]) -> None:
        """Entries in a column, and a text beside each."""
        width = max(map(len, entries))
        for entry, text in entries.items():
            self.pieces((f"  {entry:<{width}}   ", ""), (text, DIM))

    def flush(self) -> None:
        """Show what was written."""
        self._out.flush()

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._colour and style and text else text

    def _write(self, line: str) -> None:
        if not self._signs:
            line = line.translate(_PLAIN)
        self._out.write(line.encode(self._encoding, "replace").decode(self._encoding) + "\n")


def clean(text: str) -> str:
    """`text` without control characters: a model's words are not trusted with the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def _encodes(encoding: str) -> bool:
    try:
        "".join(map(chr, _PLAIN)).encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
