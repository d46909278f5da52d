"""The command `export`: the outcomes in a journal as a file of JSON Lines, CSV or Parquet."""

import json
import os
from argparse import Namespace
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TextIO

from executionkit._cli.options import STDIN, InputError, UsageError
from executionkit._cli.terminal import answer, note

_ABOUT = """\
Write what came of the rows in a journal to a file, in their order: row (its id), i (its position), value,
score, error, tokens, calls and dollars.

  executionkit export labels.jsonl labels.csv

The file appears when it is whole; one that is there is replaced. In CSV and Parquet a value that is no text
is written as JSON. Texts are written as they are: with --for-spreadsheets, a CSV file begins with a byte
order mark, and a text that a spreadsheet would take for a formula has an apostrophe before it.
"""

_COLUMNS: Final = ("row", "i", "value", "score", "error", "input_tokens", "output_tokens", "llm_calls", "usd")
_SUFFIXES: Final = (".jsonl", ".csv", ".parquet")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "export", help="write the outcomes in a journal to a file", description=_ABOUT
    )
    parser.add_argument("journal", metavar="JOURNAL", help="the journal of a job")
    parser.add_argument(
        "out", metavar="OUT", help="a .jsonl, .csv or .parquet file; - for JSON Lines on standard output"
    )
    parser.add_argument("--for-spreadsheets", action="store_true", help="CSV for Excel and the like")
    parser.set_defaults(run=_run, parser=parser)


def _run(options: Namespace) -> int:
    check_out(options.out, options.journal)
    export(options.journal, options.out, for_spreadsheets=options.for_spreadsheets)
    return 0


def check_out(out: str, *others: str) -> None:
    """See that the file can be written, and is none of the others, before anything is done for it."""
    if out == STDIN:
        return
    if Path(out).suffix.lower() not in _SUFFIXES:
        raise UsageError(f"{out}: the name must end in .jsonl, .csv or .parquet")
    if not Path(out).absolute().parent.is_dir():
        raise UsageError(f"{out}: there is no such folder")
    if Path(out).is_dir():
        raise UsageError(f"{out} is a folder: give the name of a file")
    for other in others:
        if os.path.realpath(out) == os.path.realpath(other):
            raise UsageError(f"the results would be written over {other}: give another file")


def export(journal: str, out: str, *, for_spreadsheets: bool = False) -> None:
    """Write the outcomes in a journal to a file."""
    from executionkit.errors import JournalError
    from executionkit.many import Journal

    if not os.path.exists(journal):
        raise InputError(f"{journal}: there is no such journal")
    source = Journal(journal)
    try:
        if out == STDIN:
            for record in _records(source):
                answer(json.dumps(record, ensure_ascii=False))
            return
        with _replaced(out) as path:
            if out.lower().endswith(".parquet"):
                source.to_parquet(path)
            else:
                write = _write_csv if out.lower().endswith(".csv") else _write_jsonl
                with open(path, "w", encoding="utf-8", newline="") as file:
                    write(file, _records(source), for_spreadsheets=for_spreadsheets)
    except JournalError as error:
        raise InputError(str(error)) from error
    except ImportError as error:
        raise UsageError(str(error)) from error
    note(f"wrote {out}")


@contextmanager
def _replaced(out: str) -> Generator[str, None, None]:
    """A file to write to, which takes the place of `out` at the end."""
    import tempfile  # not at the top: `--help` has no use for it

    target = Path(out).absolute()
    descriptor, path = tempfile.mkstemp(prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent)
    os.close(descriptor)
    try:
        yield path
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        os.replace(path, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise


def _records(journal: Any) -> Iterator[dict[str, Any]]:
    for outcome in journal.rows(ordered=True):
        cost = outcome.cost
        found = {"row": outcome.row, "i": outcome.index, "value": outcome.value}
        found |= {"score": outcome.score, "error": outcome.error}
        found |= {"input_tokens": cost.input_tokens, "output_tokens": cost.output_tokens}
        yield found | {"llm_calls": cost.llm_calls, "usd": None if cost.usd is None else str(cost.usd)}


def _write_jsonl(file: TextIO, records: Iterable[dict[str, Any]], *, for_spreadsheets: bool) -> None:
    del for_spreadsheets  # they read no JSON Lines
    for record in records:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _write_csv(file: TextIO, records: Iterable[dict[str, Any]], *, for_spreadsheets: bool) -> None:
    import csv

    if for_spreadsheets:
        file.write("\ufeff")
    writer = csv.writer(file)
    writer.writerow(_COLUMNS)
    cell: Callable[[Any], Any] = _harmless if for_spreadsheets else _cell
    for record in records:
        writer.writerow([cell(record[name]) for name in _COLUMNS])


def _cell(value: Any) -> Any:
    is_plain = value is None or (isinstance(value, (str, int, float)) and not isinstance(value, bool))
    return value if is_plain else json.dumps(value, ensure_ascii=False)


def _harmless(value: Any) -> Any:
    """A cell that a spreadsheet shows, and does not run: "=1+1" is a formula there, "-5" is a number."""
    shown = _cell(value)
    if not isinstance(shown, str) or not shown.startswith(_FORMULA):
        return shown
    try:
        float(shown)
    except ValueError:
        return f"'{shown}"
    return shown
