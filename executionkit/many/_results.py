"""What comes of a job: `RowResult` for each row, `ManyResult` for all of them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from executionkit._display import Brief, Displayed
from executionkit._display._line import counted, number
from executionkit._dollars import shown as dollars
from executionkit._json import as_dicts
from executionkit.types import PatternResult, TokenUsage

if TYPE_CHECKING:
    from executionkit._display._card import Card

T_co = TypeVar("T_co", covariant=True)


# Frozen but not slotted, as `PatternResult`.
@dataclass(frozen=True, repr=False)
class RowResult(Brief, Generic[T_co]):
    """How one row ended.

    Attributes:
        index: The position of the row in the input, from 0.
        id: Its id; "" if it has none that can be used.
        value: What the step returned, or the `value` of the `PatternResult` that it returned; as JSON has it
            where it comes out of the journal. None if the row failed.
        result: The `PatternResult` that the step returned; None if it returned something else, if the row
            failed, and where it comes out of the journal.
        error: The kind of the error and its message; None if the row did not fail.
        cost: The spend of the row, that of replies out of the journal included.
        replayed_calls: How many of its calls were answered by the journal.
        from_journal: Whether the row ended at an earlier start.
    """

    index: int
    id: str
    value: T_co | None = None
    result: PatternResult[T_co] | None = None
    error: str | None = None
    cost: TokenUsage = field(default_factory=TokenUsage)
    replayed_calls: int = 0
    from_journal: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The outcome as plain dicts and lists, ready for `json.dumps`, without `result`."""
        return {
            "index": self.index,
            "id": self.id,
            "value": as_dicts(self.value),
            "error": self.error,
            "cost": self.cost.to_dict(),
            "replayed_calls": self.replayed_calls,
            "from_journal": self.from_journal,
        }


@dataclass(frozen=True, repr=False)
class ManyResult(Displayed):
    """How a job ended; `print` shows it in one line.

    Attributes:
        rows: How many rows ended, `done + failed`.
        done: How many have a value, those of earlier starts included.
        skipped: How many of the rows ended at an earlier start, and were not worked on again.
        failed: How many failed.
        cost: The spend of all starts. Calls whose outcome is unknown count in it as calls.
        cost_now: The spend of this start.
        replayed_calls: How many calls were answered by the journal.
        unknown_calls: How many calls were sent, and nothing tells what came of them: the program was killed
            while they were in flight, or they were cancelled.
        refused: How many calls were refused because they came too fast (429).
        seconds: How long this start took.
        failures: The first 100 rows that failed.
        journal: The path of the journal; None without one.
        callback_errors: How often `on_result`, or a function given as `progress`, raised an exception.
    """

    rows: int
    done: int
    skipped: int
    failed: int
    cost: TokenUsage
    cost_now: TokenUsage
    replayed_calls: int = 0
    unknown_calls: int = 0
    refused: int = 0
    seconds: float = 0.0
    failures: tuple[RowResult[Any], ...] = ()
    journal: Path | None = None
    callback_errors: int = 0

    def __str__(self) -> str:
        ended = f"{counted(self.rows, 'row')}: {number(self.done)} done"
        if self.failed:
            ended += f", {number(self.failed)} failed"
        cost = self.cost
        tokens = f"{_rounded(cost.input_tokens)} + {_rounded(cost.output_tokens)} tokens"
        price = "" if cost.usd is None else f", {dollars(cost.usd)}"
        parts = [ended, f"{counted(cost.llm_calls, 'call')}, {tokens}{price}"]
        if self.refused:
            parts.append(f"{number(self.refused)} refused")
        if self.skipped:
            parts.append(f"{counted(self.skipped, 'row')} out of the journal")
        return "; ".join(parts)

    def _card(self) -> "Card":
        from executionkit._display._card import Card, Entry, Figure, Fold

        card = Card(type(self).__name__, has_value=False, cost=self.cost)
        card.figures.append(Figure("rows", self.rows, counted(self.rows, "row")))
        card.add("done", self.done, f"{number(self.done)} done")
        card.add("failed", self.failed, f"{number(self.failed)} failed")
        card.add("out of the journal", self.skipped, f"{number(self.skipped)} skipped")
        card.add("replayed calls", self.replayed_calls)
        card.add("unknown calls", self.unknown_calls, f"{number(self.unknown_calls)} unknown")
        card.add("refused", self.refused)
        card.add("seconds", round(self.seconds, 2))
        card.add("cost of this start", str(self.cost_now) if self.cost_now != self.cost else "")
        card.add("callback errors", self.callback_errors)
        failures = (Entry(f"row {each.index}, id {each.id!r}", each.error) for each in self.failures)
        if self.failures:
            card.folds.append(Fold("Failures", self.failed, failures))
        return card

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain dicts and lists, ready for `json.dumps`."""
        return {
            "rows": self.rows,
            "done": self.done,
            "skipped": self.skipped,
            "failed": self.failed,
            "cost": self.cost.to_dict(),
            "cost_now": self.cost_now.to_dict(),
            "replayed_calls": self.replayed_calls,
            "unknown_calls": self.unknown_calls,
            "refused": self.refused,
            "seconds": self.seconds,
            "failures": [each.to_dict() for each in self.failures],
            "journal": None if self.journal is None else str(self.journal),
            "callback_errors": self.callback_errors,
        }


def _rounded(count: int) -> str:
    """A number of tokens: "49,955", "2.1 M"."""
    return number(count) if count < 1_000_000 else f"{count / 1e6:,.1f} M"


def no_json(index: int, why: BaseException) -> str:
    """The error of a row whose value JSON does not have."""
    return f"TypeError: JSON has no form for the value of row {index} ({why}); return something it has"
