"""The lines that say what is being done, for work that takes minutes."""

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class Step:
    """One piece of work, as long as it goes on.

    Attributes:
        state: How far it is, to be shown; may be set from anywhere.
    """

    def __init__(self) -> None:
        self.state = ""


class Steps:
    """Says on a stream which step is under way, how far it is, and how long it took.

    On a terminal the line is written anew each second. Elsewhere there is a line every half minute.

    Args:
        total: How many steps there are.
        out: The stream.
    """

    def __init__(self, total: int, out: TextIO | None = None) -> None:
        self._total = total
        self._out = sys.stderr if out is None else out
        self._number = 0

    @contextmanager
    def step(self, text: str, *, quiet: bool = False) -> Iterator[Step]:
        """Show a step as long as the block lasts, if it is quiet only where it begins and ends."""
        self._number += 1
        head = f"[{self._number}/{self._total}] {text}"
        step, over, started = Step(), threading.Event(), time.monotonic()
        live = self._out.isatty() and not quiet
        if not live:
            self._write(f"{head} ...\n")

        def beat() -> None:
            while not over.wait(1 if live else 30):
                line = ", ".join(filter(None, (head, step.state, _spelt(time.monotonic() - started))))
                self._write(f"\r\x1b[K{line[: _width()]}" if live else f"{line}\n")

        thread = threading.Thread(target=beat, daemon=True)
        if not quiet:
            thread.start()
        outcome = "ended early"
        try:
            yield step
            outcome = "done"
        finally:
            over.set()
            if not quiet:
                thread.join()
            line = ", ".join(
                filter(None, (f"{head}: {outcome}", step.state, _spelt(time.monotonic() - started)))
            )
            self._write(f"\r\x1b[K{line}\n" if live else f"{line}\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def _width() -> int:
    return shutil.get_terminal_size().columns - 1


def _spelt(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
