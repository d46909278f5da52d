"""Runs `show`: reads the log, and prints its tree or writes its page."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from executionkit._screen import Screen, clean
from executionkit._show.log import Log, LogError, read
from executionkit._show.page import page
from executionkit._show.tree import draw

STDIN = "-"


def main(path: str, html: str | None) -> int:
    """Show a log and return the exit status: 0; 2 if a file can't be used; 1 if nothing could be written.

    Args:
        path: The log; "-" for standard input.
        html: The page to write instead of printing the tree; "-" for standard output.
    """
    name = "standard input" if path == STDIN else Path(path).name
    try:
        with _opened(path) as file:
            log = read(file)
        if html is None:
            screen = Screen.of_stdout()
            draw(log, name, screen)
            screen.flush()
        else:
            _write_page(log, name, path, html)
    except BrokenPipeError:
        # The reader has closed the pipe. Python would try once more on its way out.
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return 1
    except LogError as error:
        return _fail(f"{name}: {error}", 2)
    except OSError as error:
        # Without the name of a file it is no argument that is wrong: the disk may be full.
        return _fail(f"{error.filename or name}: {error.strerror or error}", 2 if error.filename else 1)
    return 0


def _fail(message: str, status: int) -> int:
    print(f"error: {clean(message)}", file=sys.stderr)
    return status


@contextmanager
def _opened(path: str) -> Generator[BinaryIO, None, None]:
    if path == STDIN:
        yield sys.stdin.buffer
    else:
        with open(path, "rb") as file:
            yield file


def _write_page(log: Log, name: str, path: str, html: str) -> None:
    if html == STDIN:
        sys.stdout.buffer.writelines(piece.encode() for piece in page(log, name))
        sys.stdout.buffer.flush()
        return
    if path != STDIN and os.path.exists(html) and os.path.samefile(path, html):
        raise LogError("the page would be written over the log: give another file to --html")
    # As the log: for its owner alone, because it may hold the texts of conversations.
    descriptor = os.open(html, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(page(log, name))
    print(f"wrote {clean(html)}")
