"""Tables read row by row: `read_jsonl`, `read_csv`, `read_parquet`."""

import csv
import importlib
import importlib.util
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, Final, Generic, TypeAlias, TypeVar

from executionkit._display._line import counted
from executionkit._json import STRICT
from executionkit._text import describe, one_line, shorten

Row_co = TypeVar("Row_co", covariant=True)
Path: TypeAlias = str | os.PathLike[str]
OnBad: TypeAlias = Callable[[ValueError], object]

_BOM: Final = b"\xef\xbb\xbf"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_BATCH: Final = 1_000
_MOST_CHARS: Final = 256 * 1024 * 1024
"""The longest cell of a CSV file. A quote that is never closed makes a cell of the rest of the file."""


class Rows(Iterable[Row_co], Generic[Row_co]):
    """The rows of a file. Each iteration opens the file and reads it from its beginning, row by row.

    Attributes:
        name: The file's name, as messages have it.
    """

    def __init__(self, name: str, read: Callable[[], Iterator[tuple[str, Row_co]]]) -> None:
        self.name = name
        self._read = read

    def __iter__(self) -> Iterator[Row_co]:
        return (row for _, row in self._read())

    def with_places(self) -> Iterator[tuple[str, Row_co]]:
        """The rows, each with its place for messages: "line 3"."""
        return self._read()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


def read_jsonl(path: Path, *, on_bad: OnBad | None = None) -> Rows[Any]:
    r"""Read a file of JSON Lines row by row.

    The file is UTF-8, with or without a byte order mark. Empty lines are passed over. A row may be any JSON
    value, but not NaN or an infinity.

    Example:
        ```python
        from pathlib import Path

        from executionkit.many import read_jsonl

        Path("reviews.jsonl").write_text('{"id": 1, "text": "Good."}\n')
        assert [row["text"] for row in read_jsonl("reviews.jsonl")] == ["Good."]
        ```

    Args:
        path: The file.
        on_bad: Called with the error of each line that can't be read, and the line is passed over. Defaults
            to raising it.

    Returns:
        The rows. They can be iterated over again.

    Raises:
        ValueError: A line can't be read. The message names the file and the line. It is raised when the
            iteration comes to the line.
        OSError: The file can't be read.
    """
    name = _name(path)
    return Rows(name, lambda: _opened(path, lambda file: jsonl_rows(file, name, on_bad)))


def read_csv(path: Path, *, delimiter: str = ",", on_bad: OnBad | None = None) -> Rows[dict[str, str]]:
    r"""Read a CSV file row by row. Its first line has the names of the columns.

    The file is UTF-8, with or without a byte order mark. Cells in quotes may hold line breaks. All values are
    texts. Empty lines are passed over. A column without a name, such as the index that pandas writes first,
    is called "column 1" by its place.

    Example:
        ```python
        from pathlib import Path

        from executionkit.many import read_csv

        Path("reviews.csv").write_text('id,text\n1,"Good,\nreally."\n')
        assert [*read_csv("reviews.csv")] == [{"id": "1", "text": "Good,\nreally."}]
        ```

    Args:
        path: The file.
        delimiter: The character between cells; "\t" for a file of tab-separated values.
        on_bad: Called with the error of each row that can't be read, and the row is passed over. Defaults to
            raising it.

    Returns:
        The rows, as dicts. They can be iterated over again.

    Raises:
        ValueError: `delimiter` is not one character. Or, when the iteration comes to it: the first line can't
            be the names of columns, or a row can't be read. The message names the file and the line.
        OSError: The file can't be read.
    """
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError(f"delimiter must be one character, and no quote or line break, got {delimiter!r}")
    name = _name(path)
    return Rows(name, lambda: _opened(path, lambda file: csv_rows(file, name, delimiter, on_bad)))


def read_parquet(path: Path, *, columns: Sequence[str] | None = None) -> Rows[dict[str, Any]]:
    """Read a Parquet file row by row, with polars or pyarrow, whichever is installed.

    Example:
        <!-- not run: it needs such a file, and polars or pyarrow -->
        ```python
        from executionkit.many import read_parquet

        for row in read_parquet("reviews.parquet", columns=["id", "text"]):
            print(row["id"], row["text"])
        ```

    Args:
        path: The file.
        columns: The columns to read. Defaults to all of them.

    Returns:
        The rows, as dicts. They can be iterated over again.

    Raises:
        ImportError: Neither polars nor pyarrow is installed.
        ValueError: The file is no Parquet file, or lacks a column. It is raised when the iteration begins.
        OSError: The file can't be read.
    """
    name = _name(path)
    batches = _parquet_reader()
    wanted = None if columns is None else list(columns)

    def rows() -> Iterator[tuple[str, dict[str, Any]]]:
        count = 0
        with open(path, "rb"):  # a missing file is an OSError, whichever package reads it
            pass
        try:
            for batch in batches(os.fspath(path), wanted):
                for row in batch:
                    count += 1
                    yield f"row {count}", row
        except OSError:
            raise
        except _NoColumnError as exc:
            raise ValueError(f"{name}: {exc}") from None
        except Exception as exc:  # both packages have errors of their own
            raise ValueError(f"{name}: it can't be read as Parquet ({describe(exc)})") from exc

    return Rows(name, rows)


def jsonl_rows(file: Iterable[bytes], name: str, on_bad: OnBad | None) -> Iterator[tuple[str, Any]]:
    """The rows of JSON Lines, and their places, from lines of bytes."""
    for number, raw in enumerate(file, 1):
        line = raw.removeprefix(_BOM) if number == 1 else raw
        if not line.strip():
            continue
        try:
            row = STRICT.decode(_decoded(line).strip())
        except (ValueError, RecursionError) as exc:
            _report(f"{name}, line {number}: {_why_no_json(exc, line)}", on_bad, exc)
        else:
            yield f"line {number}", row


def csv_rows(
    file: Iterable[bytes], name: str, delimiter: str, on_bad: OnBad | None
) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of CSV, and their places, from lines of bytes."""
    lines = _Lines(file)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        names = _columns(reader, delimiter)
    except (ValueError, csv.Error) as exc:  # without names no row can be read
        raise ValueError(f"{name}, line 1: {_why_no_cells(exc, lines.number)}") from exc
    while names:
        first = lines.number + 1
        try:
            cells = _next_of(reader)
            if cells and len(cells) != len(names):
                there, named = counted(len(cells), "cell"), counted(len(names), "column")
                raise ValueError(f"{there} where line 1 names {named}")
        except (ValueError, csv.Error) as exc:
            reader = csv.reader(lines, delimiter=delimiter, strict=True)  # the old one is amid a cell
            _report(f"{name}, line {first}: {_why_no_cells(exc, lines.number)}", on_bad, exc)
            continue
        if cells is None:
            return
        if cells:
            yield f"line {first}", dict(zip(names, cells, strict=True))


class _Lines(Iterator[str]):
    """Lines of a file as texts, counted."""

    def __init__(self, file: Iterable[bytes]) -> None:
        self._lines = iter(file)
        self.number = 0

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        return _decoded(line.removeprefix(_BOM) if self.number == 1 else line)


def _next_of(reader: Iterator[list[str]]) -> list[str] | None:
    """The cells of the next row; none for an empty line, None at the end."""
    # The limit belongs to the process, and the reader looks at it for every cell.
    before = csv.field_size_limit(_MOST_CHARS)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(before)


def _columns(reader: Iterator[list[str]], delimiter: str) -> list[str]:
    """The names of the columns; empty for an empty file."""
    names: list[str] = []
    while not names:
        cells = _next_of(reader)
        if cells is None:
            return []
        names = [cell.strip() for cell in cells]
    if names and not any(names):
        raise ValueError("the first line must name the columns")
    names = [column or f"column {at}" for at, column in enumerate(names, 1)]
    for at, column in enumerate(names):
        if column in names[:at]:
            raise ValueError(f"two columns are called {shorten(one_line(column), 60)!r}")
    if len(names) == 1 and (other := next((sign for sign in ";\t|," if sign in names[0]), None)):
        raise ValueError(f"only one column: is {other!r} the delimiter of this file, and not {delimiter!r}?")
    return names


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as exc:
        marked = "UTF-16" if line.startswith(_UTF_16) else "not UTF-8"
        byte = f" (byte 0x{line[exc.start]:02x} at column {exc.start + 1})"
        raise ValueError(f"the text is {marked}{byte}; convert the file to UTF-8") from exc


def _why_no_json(exc: Exception, line: bytes) -> str:
    if isinstance(exc, RecursionError):
        return "the JSON is nested too deep"
    if isinstance(exc, json.JSONDecodeError):
        cut = "" if line.endswith(b"\n") else "; the file may have been cut off here"
        return f"no JSON ({exc.msg.removesuffix(' at')} at column {exc.colno}){cut}"
    return one_line(str(exc))


def _why_no_cells(exc: Exception, last: int) -> str:
    said = one_line(str(exc))
    if "unexpected end" in said:
        return f"a quote that is not closed makes one cell of all up to line {last}"
    if "expected after" in said:
        return "a quote in a cell that is in quotes; it must be doubled"
    if "new-line character" in said:
        return "a carriage return that ends no line: put it in quotes, or convert the line breaks"
    return said


def _report(message: str, on_bad: OnBad | None, cause: Exception) -> None:
    error = ValueError(message)
    if on_bad is None:
        raise error from cause
    on_bad(error)


def _opened(
    path: Path, read: Callable[[BinaryIO], Iterator[tuple[str, Row_co]]]
) -> Iterator[tuple[str, Row_co]]:
    with open(path, "rb") as file:
        yield from read(file)


def _name(path: Path) -> str:
    return shorten(one_line(os.path.basename(os.fspath(path))), 80)


Batches: TypeAlias = Callable[[str, list[str] | None], Iterator[list[dict[str, Any]]]]


def _parquet_reader() -> Batches:
    """The function of the package that is there, which reads batches of rows."""
    for package, read in (("pyarrow", _by_pyarrow), ("polars", _by_polars)):
        if importlib.util.find_spec(package) is not None:
            return read
    raise ImportError("Parquet files need polars or pyarrow: pip install polars")


def _by_pyarrow(path: str, columns: list[str] | None) -> Iterator[list[dict[str, Any]]]:
    parquet: Any = importlib.import_module("pyarrow.parquet")
    with parquet.ParquetFile(path) as file:
        _check_columns(columns, file.schema_arrow.names)
        for batch in file.iter_batches(_BATCH, columns=columns):
            yield batch.to_pylist()


def _by_polars(path: str, columns: list[str] | None) -> Iterator[list[dict[str, Any]]]:
    polars: Any = importlib.import_module("polars")
    frame: Any = polars.scan_parquet(path, glob=False)
    _check_columns(columns, frame.collect_schema().names())
    if columns is not None:
        frame = frame.select(columns)
    for start in itertools.count(0, _BATCH):
        rows = frame.slice(start, _BATCH).collect().to_dicts()
        if not rows:
            return
        yield rows


class _NoColumnError(Exception):
    """The file lacks a column."""


def _check_columns(wanted: list[str] | None, there: list[str]) -> None:
    missing = [name for name in wanted or () if name not in there]
    if missing:
        raise _NoColumnError(f"there is no column {missing[0]!r}; there are {', '.join(map(repr, there))}")
