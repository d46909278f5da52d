"""Every table of the documentation that states facts about the code is held to the code.

The first cell of a table's header says what it is checked as (`CHECKS` below has them all), and the nearest
heading above it that names something public, as `# consensus` or "## Settings of `Provider`", says of what.
"""

import builtins
import inspect
import re
import typing
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from described import (
    BACKENDS,
    EXTRAS,
    FAILURES,
    PACKAGE,
    PUBLIC,
    RUNS,
    fields,
    find,
    parameters,
    result_class,
    tree_of_errors,
)
from pages import SITE, Table, prose, spans, tables

from executionkit import ExecutionKitError, PatternEvent, PatternResult, StreamEvent, answers, errors, testing

TABLES = [table for path in SITE for table in tables(path)]


def subject(table: Table) -> Any:
    """What a table is about: the nearest heading that names something."""
    for heading in table.headings:
        for name in spans(heading) or [heading.strip()]:
            if (found := find(name)) is not None:
                return found
    raise AssertionError(f"{table.where}: no heading above the table names something public")


def means(cell: str, value: object) -> bool:
    """Whether a cell, read as Python, is the value; an empty one is no value."""
    text = cell.strip("`").replace("\\|", "|")
    if value is inspect.Parameter.empty or text in ("", "required"):
        return value is inspect.Parameter.empty and text in ("", "required")
    try:
        stated = eval(text, {**PUBLIC})
    except Exception:  # whatever the page says there, it is not the default
        return False
    return bool(stated == value) and isinstance(stated, bool) == isinstance(value, bool)


def same(table: Table, expected: Collection[str], optional: Collection[str] = ()) -> None:
    """Require a table to have a row for each name and no other."""
    stated, expected = set(table.names), set(expected)
    assert len(table.names) == len(stated), f"{table.where}: a name comes twice"
    assert all(spans(row[0]) for row in table.rows), f"{table.where}: names go in backticks"
    assert stated - expected - set(optional) == set(), f"{table.where}: there is no such thing"
    assert expected - stated - set(optional) == set(), f"{table.where}: the table leaves these out"


def check_parameters(table: Table) -> None:
    about = subject(table)
    actual = parameters(about)
    same(table, actual, () if isinstance(about, type) else ("provider", "prompt"))
    for name, cell in table.column("Default").items():
        no_default = {"*": (), "**": {}}.get(name[: name.count("*")], actual[name])
        wrong = name[0] != "*" and not means(cell, no_default)
        assert not wrong, f"{table.where}: the default of {name} is {actual[name]!r}, not {cell}"


def check_shared_keywords(table: Table) -> None:
    """Each is a parameter of every pattern; where a default is stated, it is that of all."""
    cells = table.column("Default") if "Default" in table.header else {}
    for name in table.names:
        for pattern in RUNS.keys() - {"pipe"}:
            actual = parameters(PUBLIC[pattern])
            assert name in actual, f"{table.where}: {pattern} has no {name}"
            assert not cells.get(name) or means(cells[name], actual[name]), (
                f"{table.where}: {pattern}, {name}"
            )


def check_metadata_keys(table: Table) -> None:
    pattern = subject(table)
    keys = set(RUNS[pattern.__name__]().metadata)
    same(table, keys)
    assert keys <= {field.name for field in fields(result_class(pattern))}


def check_fields(table: Table) -> None:
    about = subject(table)
    common = {field.name for field in fields(PatternResult)}
    if isinstance(about, type):
        names = {field.name for field in fields(about)}
        same(table, names, common if issubclass(about, PatternResult) else set())
    else:
        same(table, {field.name for field in fields(result_class(about))} - common, common)


def check_errors(table: Table) -> None:
    for name in table.names:
        kind = vars(errors).get(name) or vars(builtins).get(name)
        assert isinstance(kind, type) and issubclass(kind, BaseException), f"{table.where}: {name}"  # noqa: PT018
    if "Parent" in table.header:
        assert set(table.names) == set(tree_of_errors()), f"{table.where}: not all errors, or others"
        for name, cell in table.column("Parent").items():
            assert cell.strip("`") == (tree_of_errors()[name] or ""), f"{table.where}: the parent of {name}"


def check_events(table: Table) -> None:
    """The names are public classes, and a `.name` elsewhere in a row is an attribute of them."""
    for row in table.rows:
        classes = [find(name) for name in spans(row[0])]
        assert None not in classes, f"{table.where}: {row[0]} has something that is not there"
        named = [name[1:] for cell in row[1:] for name in spans(cell) if re.fullmatch(r"\.\w+", name)]
        for name in named:
            is_there = any(name in {field.name for field in fields(kind)} for kind in classes)
            assert is_there, f"{table.where}: {row[0]} has no .{name}"


def check_readers(table: Table) -> None:
    stated = {name.partition("(")[0] for name in table.names}
    assert stated == set(answers.__all__), table.where


def check_faults(table: Table) -> None:
    actual = {name for name, value in vars(testing.Fault).items() if isinstance(value, classmethod)}
    stated = {name.removeprefix("Fault.").partition("(")[0] for name in table.names}
    assert stated == actual, table.where


def check_extras(table: Table) -> None:
    same(table, EXTRAS)


def check_backends(table: Table) -> None:
    assert {name.strip("\"'") for name in table.names} == BACKENDS, table.where


CHECKS: dict[str, Callable[[Table], None]] = {
    "Parameter": check_parameters,
    "Shared keyword": check_shared_keywords,
    "Metadata key": check_metadata_keys,
    "Field": check_fields,
    "Error": check_errors,
    "Event": check_events,
    "Reader": check_readers,
    "Fault": check_faults,
    "Extra": check_extras,
    "Back end": check_backends,
}


@pytest.mark.parametrize(
    "table",
    [table for table in TABLES if table.kind in CHECKS],
    ids=lambda table: f"{table.where}-{table.kind}",
)
def test_a_table_says_what_is_so(table: Table) -> None:
    CHECKS[table.kind](table)


def test_every_kind_of_table_is_there() -> None:
    # A header that was spelt otherwise would not be checked.
    assert {table.kind for table in TABLES} >= {"Parameter", "Metadata key", "Event", "Reader"}


@pytest.mark.parametrize("pattern", RUNS)
def test_a_pattern_has_one_page_with_its_parameters_and_metadata_keys(pattern: str) -> None:
    about = PUBLIC[pattern]
    own = [path for path in SITE if path.parent.name == "patterns" and _is_page_of(path, about)]
    assert len(own) == 1, f"{pattern} has these pages in docs/patterns: {own}"
    named = set(re.findall(r"\w+", " ".join(spans(prose(own[0])))))
    result = {field.name for field in fields(result_class(about))} - {"cost", "metadata"}
    assert result - named == set(), "the page does not name these fields of the result"
    with pytest.raises(ExecutionKitError) as failure:
        FAILURES[pattern]()
    assert set(failure.value.metadata) - named == set(), "the page does not name these keys of an error"


def _is_page_of(path: Path, about: object) -> bool:
    kinds = {table.kind for table in tables(path) if table.kind in CHECKS and subject(table) is about}
    return {"Parameter", "Metadata key"} <= kinds


def test_there_is_a_page_for_every_pattern() -> None:
    modules = {path.stem for path in (PACKAGE / "patterns").glob("*.py")}
    assert modules - {"__init__", "base"} | {"pipe"} == RUNS.keys() == FAILURES.keys()


@pytest.mark.parametrize("name", ["Provider", "RetryConfig"])
def test_the_settings_are_in_a_table(name: str) -> None:
    about = [subject(table) for table in TABLES if table.kind == "Parameter"]
    assert PUBLIC[name] in about


def test_the_unions_of_events_are_told_in_full() -> None:
    told = {find(name) for table in TABLES if table.kind == "Event" for name in table.names}
    assert {*typing.get_args(StreamEvent), *typing.get_args(PatternEvent)} <= told
