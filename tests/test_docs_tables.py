"""Every table of the documentation that states facts about the code is held to the code.

The first cell of a table's header says what it is checked as (`CHECKS` has them all), and the nearest heading
above it that names something public, as `# consensus` or "## Settings of `Provider`", says of what.
"""

import re
import typing
from pathlib import Path

import pytest
from described import FAILURES, PACKAGE, PUBLIC, RUNS, fields, find, result_class
from pages import SITE, Table, prose, spans, tables
from table_checks import CHECKS, subject

from executionkit import ExecutionKitError, PatternEvent, StreamEvent

_REQUIRED = {"Parameter", "Metadata key"}
TABLES = [table for path in SITE for table in tables(path)]


@pytest.mark.parametrize(
    "table",
    [table for table in TABLES if table.kind in CHECKS],
    ids=lambda table: f"{table.where}-{table.kind}",
)
def test_a_table_says_what_is_so(table: Table) -> None:
    CHECKS[table.kind](table)


RIGHT = """
## Settings of `TokenUsage`

| Parameter | Default | |
|---|---|---|
| `input_tokens` | `0` | |
| `output_tokens` | 0 | |
| `llm_calls` | `0` | |

# `consensus`

## Errors

| Error | |
|---|---|
| `ConsensusFailedError`, `ValueError` | |

| Error | Retried |
|---|---|
| `ProviderError` | yes, soon |
| `PermanentError` | no |

| Pattern | With the defaults |
|---|---|
| `consensus` | 5 |
| `best_of_n` | 5, 10 or 25 |
| `refine_loop` | 6, or at most 12 |
| `react_loop` | 8 |
| `structured` | 1 to 4 |
| `map_reduce`, `pipe` | |

# pipe

| Metadata key | |
|---|---|
| `step_count`, `step_metadata` | |

| Event | |
|---|---|
| `TextDelta` | `.text` |

# Extras

| Extra | |
|---|---|
| `httpx`, `httpx2`, `aiohttp`, `orjson`, `pydantic`, `repair` | |
"""

WRONG = {
    "another default": ("`0` | |\n| `output", "`1` | |\n| `output"),
    "a default that is no Python": ("| 0 |", "| none |"),
    "no default": ("| 0 |", "| |"),
    "a default of another kind": ("| 0 |", "| `False` |"),
    "no column of defaults": ("| Default |", "| default |"),
    "a parameter too many": ("| `llm_calls`", "| `calls` | `0` | |\n| `llm_calls`"),
    "a parameter missing": ("| `llm_calls` | `0` | |\n", ""),
    "a parameter twice": ("| `llm_calls`", "| `input_tokens` | `0` | |\n| `llm_calls`"),
    "a name without backticks": ("| `llm_calls`", "| llm_calls"),
    "nothing public above": ("`TokenUsage`", "budgets"),
    "a key that is not there": ("`step_count`", "`steps`"),
    "a key missing": ("`step_count`, ", ""),
    "an error that is not there": ("`ValueError`", "`ValueFault`"),
    "an error that is not retried": ("| no |", "| yes |"),
    "a pattern missing": ("`map_reduce`, ", ""),
    "another number of calls": ("or 25", "or 20"),
    "an event that is not there": ("`TextDelta`", "`Text`"),
    "an event's field that is not there": ("`.text`", "`.content`"),
    "an extra missing": ("`httpx`, ", ""),
}


def _check(text: str, page: Path) -> None:
    page.write_text(text, encoding="utf-8")
    for table in tables(page):
        CHECKS[table.kind](table)


def test_tables_that_are_right_pass(tmp_path: Path) -> None:
    _check(RIGHT, tmp_path / "page.md")


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_table_that_is_wrong_fails(tmp_path: Path, change: tuple[str, str]) -> None:
    assert change[0] in RIGHT
    with pytest.raises(AssertionError, match=r"page\.md"):
        _check(RIGHT.replace(*change), tmp_path / "page.md")


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
    kinds = {table.kind for table in tables(path) if table.kind in _REQUIRED and subject(table) is about}
    return kinds == _REQUIRED


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
