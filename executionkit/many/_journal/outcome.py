"""What came of a row: its line in the journal, and its row in a table."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from math import isfinite
from typing import Any, Final

from executionkit.many._journal.format import as_json, cost_from, cost_text, digest_from, quoted
from executionkit.types import TokenUsage


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a row.

    Attributes:
        row: The row's id.
        index: Its position in the input; None if it was not written.
        digest: The digest of its content; None if it was not written.
        value: The value, as JSON has it.
        score: The score of the result, if it has one.
        error: Why the row failed; None if it is done.
        cost: What the row cost at its last start.
        metadata: The further fields of its line.
    """

    row: str
    index: int | None
    digest: int | None
    value: Any
    score: float | None
    error: str | None
    cost: TokenUsage
    metadata: Mapping[str, Any]


def outcome_line(
    row: str,
    index: int | None,
    digest: int | None,
    value: object,
    score: float | None,
    error: str | None,
    cost: TokenUsage,
) -> str:
    """The line of an outcome.

    Raises:
        TypeError: JSON has no such value.
    """
    try:
        told = as_json(value)
    except (TypeError, ValueError, RecursionError) as exc:
        raise TypeError(
            f"JSON has no form for the value of row {row!r} ({exc}); return something it has"
        ) from exc
    return (
        f'{{"t":"row","row":{quoted(row)},"i":{"null" if index is None else index},'
        f'"digest":{"null" if digest is None else _hex(digest)},"value":{told},'
        f'"score":{"null" if score is None else _number(score)},'
        f'"error":{"null" if error is None else quoted(error)},'
        f'"cost":{cost_text(cost)}}}\n'
    )


def _number(score: float) -> str:
    return repr(float(score)) if isfinite(score) else as_json(float(score))


def _hex(digest: int) -> str:
    return f'"{digest & (1 << 64) - 1:016x}"'


_OUTCOME_FIELDS: Final = frozenset({"t", "row", "i", "digest", "value", "score", "error", "cost"})


def outcome_from(line: dict[str, Any]) -> Outcome:
    """The outcome that a line has."""
    return Outcome(
        str(line.get("row", "")),
        line.get("i"),
        digest_from(line.get("digest")),
        line.get("value"),
        line.get("score"),
        line.get("error"),
        cost_from(line.get("cost")),
        {name: value for name, value in line.items() if name not in _OUTCOME_FIELDS},
    )


_COLUMNS: Final = {
    "row": "string",
    "i": "int64",
    "value": "string",
    "score": "float64",
    "error": "string",
    "input_tokens": "int64",
    "output_tokens": "int64",
    "llm_calls": "int64",
    "usd": "float64",
}


def write_table(outcomes: Sequence[Outcome], path: str) -> None:
    """Write outcomes as a Parquet file; see `Journal.to_parquet`.

    Raises:
        ImportError: Neither polars nor pyarrow is installed.
    """
    write = _writer()
    are_texts = all(each.value is None or isinstance(each.value, str) for each in outcomes)
    values = [each.value if are_texts or each.value is None else as_json(each.value) for each in outcomes]
    columns: dict[str, list[Any]] = {
        "row": [each.row for each in outcomes],
        "i": [each.index for each in outcomes],
        "value": values,
        "score": [each.score for each in outcomes],
        "error": [each.error for each in outcomes],
        "input_tokens": [each.cost.input_tokens for each in outcomes],
        "output_tokens": [each.cost.output_tokens for each in outcomes],
        "llm_calls": [each.cost.llm_calls for each in outcomes],
        "usd": [None if each.cost.usd is None else float(each.cost.usd) for each in outcomes],
    }
    write(columns, path)


def _writer() -> Callable[[dict[str, list[Any]], str], object]:
    with suppress(ImportError):
        return _by_polars(import_module("polars"))
    with suppress(ImportError):
        return _by_pyarrow(import_module("pyarrow"), import_module("pyarrow.parquet"))
    raise ImportError("to_parquet needs polars or pyarrow: pip install polars")


def _by_polars(polars: Any) -> Callable[[dict[str, list[Any]], str], object]:
    kinds = {"string": polars.String, "int64": polars.Int64, "float64": polars.Float64}
    schema = {name: kinds[kind] for name, kind in _COLUMNS.items()}
    return lambda columns, path: polars.DataFrame(columns, schema=schema).write_parquet(path)


def _by_pyarrow(arrow: Any, parquet: Any) -> Callable[[dict[str, list[Any]], str], object]:
    schema = arrow.schema([(name, getattr(arrow, kind)()) for name, kind in _COLUMNS.items()])
    return lambda columns, path: parquet.write_table(arrow.table(columns, schema=schema), path)
