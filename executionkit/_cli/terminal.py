"""What commands write: answers on stdout, figures and errors on stderr, nothing that drives a terminal."""

import io
import os
import re
import sys
from contextlib import suppress
from typing import IO, Final, TextIO

from executionkit._text import one_line, well_formed

# C0 but for tab and line feed, DEL, C1, and the marks that turn the direction of a text around.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def safe(text: str) -> str:
    """A text without control characters, for a terminal: a model's words are not trusted with it."""
    return _UNSAFE.sub("", text)


def prepare() -> None:
    """Let no character stop a write, and no stream be missing.

    A character that the encoding lacks is replaced. A stream that was closed leads nowhere: otherwise the
    next file that is opened, such as a journal, would stand in its place.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            if name not in _nowhere:
                # Of a file that is not closed at the end of the program, Python would warn.
                there = os.open(os.devnull, os.O_RDWR)
                _nowhere[name] = open(there, mode, encoding="utf-8", closefd=False)  # noqa: SIM115 - it stays open
            setattr(sys, name, _nowhere[name])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace" if stream is sys.stderr else "replace")


_nowhere: Final[dict[str, IO[str]]] = {}
"""What stands in place of streams that were closed when the program began."""


def has_stdout() -> bool:
    """Whether what is written to stdout comes anywhere."""
    return sys.stdout is not _nowhere.get("stdout")


def is_terminal(stream: TextIO) -> bool:
    """Whether a stream is a terminal."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):  # a stand-in, or closed
        return False


def write(text: str) -> None:
    """Write a text of a model's to stdout: as it is, but without control characters to a terminal."""
    sys.stdout.write(safe(text) if is_terminal(sys.stdout) else well_formed(text))


def answer(text: str) -> None:
    """Write an answer and a line break."""
    write(text if text.endswith("\n") else f"{text}\n")


def note(text: str) -> None:
    """Write a line to stderr, if it is still there: a job goes on when its terminal has gone."""
    with suppress(OSError):
        print(safe(one_line(text)), file=sys.stderr, flush=True)


def give_up_stdout() -> None:
    """Let what is still to be written go nowhere: the reader has gone, and Python would try once more."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
