"""Tables read row by row, and what is said of those that can't be."""

import builtins
import csv
import datetime
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from executionkit.many import read_csv, read_jsonl, read_parquet


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "table"


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"", []),
        (b"id,text\n", []),
        (b"\xef\xbb\xbfid,text\r\n\r\n1,a\r\n\r\n2,b", [["1", "a"], ["2", "b"]]),
        (b'id,text\n1,"a,\r\nb ""c"""\n', [["1", 'a,\r\nb "c"']]),
        ("id,text\n1,é\x00\u2028z\n".encode(), [["1", "é\x00\u2028z"]]),
        (b"id,text\n1,\n", [["1", ""]]),
    ],
)
def test_csv_is_read_as_it_stands(table: Path, data: bytes, rows: list[list[str]]) -> None:
    table.write_bytes(data)
    found = read_csv(table)
    assert [[*row.values()] for row in found] == rows
    assert [*found] == [dict(zip(("id", "text"), row, strict=True)) for row in rows]


def test_a_cell_may_be_larger_than_the_limit_of_the_csv_module(table: Path) -> None:
    before = csv.field_size_limit()
    table.write_text("text\n" + "x" * (before + 1) + "\n", encoding="utf-8")
    assert [len(row["text"]) for row in read_csv(table)] == [before + 1]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            b"id;text\n1;a\n",
            r"table, line 1: only one column: is ';' the delimiter of this file, and not ','\?",
        ),
        (b"id,id\n", "line 1: two columns are called 'id'"),
        (b",\n1,a\n", "line 1: the first line must name the columns"),
        ("id,text\n".encode("utf-16"), "line 1: the text is UTF-16"),
    ],
)
def test_a_first_line_that_names_no_columns_is_refused(table: Path, data: bytes, said: str) -> None:
    table.write_bytes(data)
    with pytest.raises(ValueError, match=said):
        list(read_csv(table, on_bad=print))


def test_bad_rows_of_csv_are_named_and_can_be_passed_over(table: Path) -> None:
    table.write_bytes(b'id,text\n1,caf\xe9\n2,ok\n3\n"4"x,a\n5,ok\n6,"open\n7,lost\n')
    bad: list[ValueError] = []
    assert [row["id"] for row in read_csv(table, on_bad=bad.append)] == ["2", "5"]
    assert [str(error) for error in bad] == [
        "table, line 2: the text is not UTF-8 (byte 0xe9 at column 6); convert the file to UTF-8",
        "table, line 4: 1 cell where line 1 names 2 columns",
        "table, line 5: a quote in a cell that is in quotes; it must be doubled",
        "table, line 7: a quote that is not closed makes one cell of all up to line 8",
    ]
    with pytest.raises(ValueError, match="line 2"):
        list(read_csv(table))


def test_the_delimiter_is_one_character(table: Path) -> None:
    table.write_bytes(b"id\ttext\n1\ta,b\n")
    assert [*read_csv(table, delimiter="\t")] == [{"id": "1", "text": "a,b"}]
    for wrong in ("", ",,", '"', "\n"):
        with pytest.raises(ValueError, match="delimiter must be one character"):
            read_csv(table, delimiter=wrong)


def test_bad_lines_of_json_are_named_and_can_be_passed_over(table: Path) -> None:
    lines = [
        b'\xef\xbb\xbf{"a": 1}',
        b"",
        b'"text"',
        b"NaN",
        b'{"a": 1',
        b"[" * 100_000,
        b'"caf\xe9"',
        b"1" * 5_000,
    ]
    table.write_bytes(b"\r\n".join([*lines, b'{"cut":']))
    bad: list[ValueError] = []
    rows = read_jsonl(table, on_bad=bad.append)
    assert [*rows] == [{"a": 1}, "text"]
    assert [str(error).partition(" (")[0] for error in bad[:4]] == [
        "table, line 4: NaN is not JSON",
        "table, line 5: no JSON",
        "table, line 6: the JSON is nested too deep",
        "table, line 7: the text is not UTF-8",
    ]
    assert "line 8" in str(bad[4])
    assert str(bad[5]).endswith("; the file may have been cut off here")
    assert [*rows] == [{"a": 1}, "text"]


@pytest.mark.parametrize("package", ["polars", "pyarrow"])
def test_parquet_is_read_with_either_package(
    table: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    polars = pytest.importorskip("polars")
    pytest.importorskip(package)
    found = importlib.util.find_spec
    other = {"polars": "pyarrow", "pyarrow": "polars"}[package]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == other else found(name))
    day = datetime.date(2026, 11, 30)
    polars.DataFrame({"id": [1, 2], "day": [day, None]}).write_parquet(table)
    assert [*read_parquet(table)] == [{"id": 1, "day": day}, {"id": 2, "day": None}]
    assert [*read_parquet(table, columns=["id"])] == [{"id": 1}, {"id": 2}]
    with pytest.raises(ValueError, match="table: there is no column 'text'; there are 'id', 'day'"):
        list(read_parquet(table, columns=["text"]))
    table.write_bytes(b"no parquet")
    with pytest.raises(ValueError, match="table: it can't be read as Parquet"):
        list(read_parquet(table))


def test_parquet_needs_a_package(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="polars or pyarrow"):
        read_parquet(table)


def test_nothing_is_opened_before_the_first_row_and_all_is_closed(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    real = builtins.open

    def noting(*args: Any, **kwargs: Any) -> Any:
        opened.append(real(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr("builtins.open", noting)
    rows = read_jsonl(table)
    with pytest.raises(FileNotFoundError):
        next(iter(rows))
    table.write_bytes(b"1\n2\n")
    reading = iter(rows)
    opened.clear()
    assert next(reading) == 1
    reading.close()  # type: ignore[attr-defined]
    assert [file.closed for file in opened] == [True]
    assert repr(rows) == "Rows('table')"
