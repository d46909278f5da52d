"""The input of a job: opened by its suffix, and looked through before the first call."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from executionkit._cli.options import STDIN, InputError, UsageError
from executionkit._cli.terminal import note

if TYPE_CHECKING:
    from executionkit.many import Rows

_MOST_NOTES: Final = 5
_SUFFIXES: Final = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")


def add_table(parser: ArgumentParser) -> None:
    """Add the arguments that say where the rows are."""
    parser.add_argument(
        "rows",
        metavar="ROWS",
        help="a .jsonl, .csv, .tsv or .parquet file; - for JSON Lines on standard input",
    )
    parser.add_argument("--id", metavar="FIELD", help="the field with each row's id; default: its position")
    parser.add_argument(
        "--delimiter", metavar="SIGN", help="between the cells of a CSV file; default: a comma"
    )
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="pass over rows that can't be read or used, and don't refuse the whole input",
    )


class Input(Collection[Any]):
    """The rows of a file that can be used, and how many there are.

    Args:
        options: The arguments.
        check: Raises a ValueError for a row that can't be used.
        stack: Closes what is opened for as long as the rows are needed.

    Raises:
        UsageError: The file can't be read, or has a row that can't be used, and it is not to be skipped.
    """

    def __init__(self, options: Namespace, check: Callable[[Any], object], stack: ExitStack) -> None:
        self._check = check
        self._id: str | None = options.id
        self._skips: bool = options.skip_bad
        self._bad = 0
        self._on_bad: Callable[[ValueError], object] = self._count_bad if self._skips else _refuse
        try:
            self._rows = _opened(options, self._take_bad, stack)
            self._count = sum(1 for _ in self)
        except OSError as error:
            raise InputError(f"{options.rows}: {error.strerror or error}") from error
        except ImportError as error:
            raise UsageError(str(error)) from error
        except ValueError as error:
            raise InputError(f"{error}. No call was made") from error
        if self._bad > _MOST_NOTES:
            note(f"skipped: and {self._bad - _MOST_NOTES:,} more")
        self._on_bad = _pass_over if self._skips else _changed
        if not self._count:
            raise InputError(f"{self._rows.name} has no rows" + (" that can be used" if self._bad else ""))

    def __contains__(self, row: object) -> bool:
        return any(row == each for each in self)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        for place, row in self._rows.with_places():
            try:
                if self._id is not None and not (isinstance(row, Mapping) and self._id in row):
                    raise _without_id(row, self._id)
                self._check(row)
            except ValueError as error:
                self._take_bad(ValueError(f"{self._rows.name}, {place}: {error}"))
                continue
            yield row

    def _take_bad(self, error: ValueError) -> None:
        self._on_bad(error)

    def _count_bad(self, error: ValueError) -> None:
        self._bad += 1
        if self._bad <= _MOST_NOTES:
            note(f"skipped: {error}")


def _without_id(row: object, name: str) -> ValueError:
    from executionkit.many._template import what_is_there

    return ValueError(f"no field {name!r}, which --id names; {what_is_there(row)}")


def _refuse(error: ValueError) -> None:
    """End the command for a row that can't be used."""
    raise InputError(f"{error}; --skip-bad passes over such rows. No call was made") from error


def _changed(error: ValueError) -> None:
    """The row could be used when the input was looked through."""
    raise ValueError(f"{error}; the file has changed since the command began") from error


def _pass_over(_: ValueError) -> None:
    """They were told of already, when the input was looked through."""


def _opened(options: Namespace, on_bad: Callable[[ValueError], object], stack: ExitStack) -> "Rows[Any]":
    from executionkit.many import read_csv, read_jsonl, read_parquet

    path: str = options.rows
    suffix = Path(path).suffix.lower()
    delimiter: str | None = options.delimiter
    if delimiter is not None:
        delimiter = delimiter.replace("\\t", "\t")
        if suffix not in (".csv", ".tsv", "") or (suffix == "" and path != STDIN):
            raise UsageError("--delimiter is for CSV files")
    if path == STDIN:
        return _from_stdin(delimiter, on_bad, stack)
    if suffix in (".jsonl", ".ndjson"):
        return read_jsonl(path, on_bad=on_bad)
    if suffix in (".csv", ".tsv"):
        if delimiter is None:
            delimiter = "\t" if suffix == ".tsv" else ","
        try:
            return read_csv(path, delimiter=delimiter, on_bad=on_bad)
        except ValueError as error:
            raise UsageError(f"--{error}") from error
    if suffix == ".parquet":
        return read_parquet(path)
    raise UsageError(f"{path}: the name must end in {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}")


def _from_stdin(
    delimiter: str | None, on_bad: Callable[[ValueError], object], stack: ExitStack
) -> "Rows[Any]":
    """Standard input: copied to a file without a name first, because it is read twice."""
    import tempfile

    from executionkit.many._tables import Rows, csv_rows, jsonl_rows

    spool = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
    source: BinaryIO = sys.stdin.buffer
    while piece := source.read(1 << 20):
        spool.write(piece)

    def rows() -> Iterator[tuple[str, Any]]:
        spool.seek(0)
        name = "standard input"
        return (
            jsonl_rows(spool, name, on_bad) if delimiter is None else csv_rows(spool, name, delimiter, on_bad)
        )

    return Rows("standard input", rows)
