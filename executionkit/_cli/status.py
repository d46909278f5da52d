"""The command `status`: how far the job of a journal is, also while it runs."""

import json
import os
import time
from argparse import Namespace
from collections import Counter
from datetime import datetime
from typing import Any, Final

from executionkit._cli.options import InputError, count
from executionkit._cli.terminal import answer
from executionkit._json import an_object

_ABOUT = """\
Show what is in a journal: rows, spend, failures by kind, and how fast the last start is. Nothing is locked,
so it can be asked while the job runs.

  executionkit status labels.jsonl --total 10000
"""

_MOST_KINDS: Final = 10


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("status", help="show how far a job is", description=_ABOUT)
    parser.add_argument("journal", metavar="JOURNAL", help="the journal of a job")
    parser.add_argument("--total", type=count, metavar="N", help="the number of rows, for the time left")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.set_defaults(run=_run, parser=parser)


class _Rate:
    """The rows of the last start, and the time that they took."""

    def __init__(self, path: str) -> None:
        self.rows = 0
        self._began: float | None = None
        with open(path, "rb") as file:
            for line in file:
                if line.startswith(b'{"t":"row"'):
                    self.rows += 1
                elif line.startswith((b'{"t":"start"', b'{"t":"job"')):
                    self.rows = 0
                    self._began = _time_of(line)
        self._last = os.stat(path).st_mtime
        self.silent = time.time() - self._last

    @property
    def per_second(self) -> float | None:
        """Rows a second; None where that can't be told."""
        if self._began is None or not self.rows or self._last - self._began < 1.0:
            return None
        return self.rows / (self._last - self._began)


def _time_of(line: bytes) -> float | None:
    try:
        found = an_object(json.loads(line)) or {}
        return datetime.fromisoformat(found["at"]).timestamp()
    except (ValueError, KeyError, TypeError):
        return None


def _run(options: Namespace) -> int:
    from executionkit.errors import JournalError
    from executionkit.many import Journal
    from executionkit.many._journal.load import load

    if not os.path.exists(options.journal):
        raise InputError(f"{options.journal}: there is no such journal")
    kinds: Counter[str] = Counter()
    done = 0
    try:
        with open(options.journal, "rb") as file:
            found = load(file, options.journal, None)
        for outcome in Journal(options.journal).rows():
            if outcome.error is None:
                done += 1
            else:
                kinds[outcome.error.partition(":")[0]] += 1
    except OSError as error:
        raise InputError(f"{options.journal} can't be read: {error.strerror or error}") from error
    except JournalError as error:
        raise InputError(str(error)) from error
    usage, unknown = found.since.usage, found.since.unknown
    rate = _Rate(options.journal)
    failed = kinds.total()
    left = None if options.total is None else max(0, options.total - done - failed)
    eta = left / rate.per_second if left is not None and rate.per_second else None
    if options.json:
        figures = {"done": done, "failed": failed, "failures": dict(kinds), "cost": usage.to_dict()}
        figures |= {"unknown_calls": unknown, "rows_per_second": rate.per_second, "eta": eta}
        answer(json.dumps(figures | {"silent": round(rate.silent, 1)}))
        return 0
    of = "" if options.total is None else f" of {options.total:,}"
    answer(f"rows      {done + failed:,}{of}: {done:,} done, {failed:,} failed")
    answer(f"spent     {usage}")
    if unknown:
        calls = "1 call" if unknown == 1 else f"{unknown:,} calls"
        answer(f"unknown   {calls} in flight, now or when a start was cut short; they count as spent")
    for kind, times in kinds.most_common(_MOST_KINDS):
        answer(f"failures  {times:,} x {kind}")
    if rate.per_second:
        answer(f"rate      {rate.per_second:,.1f} rows a second at the last start")
    if eta is not None:
        answer(f"left      {_clock(eta)}")
    answer(f"written   {_clock(rate.silent)} ago")
    return 0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
    )
