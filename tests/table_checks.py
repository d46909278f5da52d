"""What each kind of table in the documentation is checked for: `CHECKS`, by the first cell of the header."""

import builtins
import inspect
import re
from collections.abc import Callable, Collection
from typing import Any

from described import (
    BACKENDS,
    EXTRAS,
    PUBLIC,
    READERS,
    RUNS,
    fields,
    find,
    parameters,
    result_class,
    tree_of_errors,
)
from pages import Table, spans
from typical_calls import calls_by_default

from executionkit import DEFAULT_RETRY, PatternResult, errors, testing

DEFAULTS = "With the defaults"


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
        is_right = name.startswith("*") or means(cell, actual[name])
        assert is_right, f"{table.where}: the default of {name} is {actual[name]!r}, not {cell}"


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
    for name, cell in table.column("Retried").items() if "Retried" in table.header else ():
        is_retried = DEFAULT_RETRY.should_retry(find(name)("it failed"))
        assert cell.startswith("yes" if is_retried else "no"), f"{table.where}: is {name} retried?"
    if "Parent" in table.header:
        assert set(table.names) == set(tree_of_errors()), f"{table.where}: not all errors, or others"
        for name, cell in table.column("Parent").items():
            assert cell.strip("`") == (tree_of_errors()[name] or ""), f"{table.where}: the parent of {name}"


def check_patterns(table: Table) -> None:
    """All are there; the numbers under `With the defaults` are the fewest and the most calls there can be."""
    same(table, RUNS)
    for name, cell in table.column(DEFAULTS).items() if DEFAULTS in table.header else ():
        stated = {int(number) for number in re.findall(r"\d+", cell)}
        actual = calls_by_default(name)
        assert stated == actual, f"{table.where}: {name} makes {actual or 'as many as asked for'} calls"


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
    assert stated == READERS.keys(), table.where


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
    "Pattern": check_patterns,
    "Event": check_events,
    "Reader": check_readers,
    "Fault": check_faults,
    "Extra": check_extras,
    "Back end": check_backends,
}
