"""`Outcome`: one pattern on one item; `PatternFigures`: one pattern on all of them."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from executionkit._display import Brief
from executionkit._dollars import EXACT
from executionkit.bench._statistics import Interval
from executionkit.types import TokenUsage


@dataclass(frozen=True, slots=True)
class Outcome(Brief):
    """One pattern on one item.

    Attributes:
        pattern: The pattern's name.
        item: The item's id.
        grade: The grade, in [0, 1]; 0 where the pattern failed.
        answer: The value as text; None where the pattern failed.
        error: The failure, in words; None where there was none.
        cost: The spend, failed attempts included.
        seconds: The time from the start to the end, with waits for limits.
    """

    pattern: str
    item: str
    grade: float
    answer: str | None
    error: str | None
    cost: TokenUsage
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The outcome as plain data, ready for `json.dumps`."""
        return {
            "pattern": self.pattern,
            "item": self.item,
            "grade": self.grade,
            "answer": self.answer,
            "error": self.error,
            "cost": self.cost.to_dict(),
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True)
class PatternFigures(Brief):
    """One pattern over all the items compared.

    Attributes:
        name: The pattern's name.
        items: The number of items.
        accuracy: The mean grade.
        interval: Its 95 % interval.
        difference: The accuracy minus that of the first pattern; 0 for the first.
        difference_interval: Its 95 % interval; None for the first pattern.
        items_needed: The items with which four of five comparisons would show a true difference of 2 points
            to the first pattern; None for the first.
        failures: The items on which the pattern failed. Their grade is 0.
        cost: The spend on all the items.
        p50_seconds: The median of the time an item took.
        p95_seconds: The time that 95 % of the items took at most.
    """

    name: str
    items: int
    accuracy: float
    interval: Interval
    difference: float
    difference_interval: Interval | None
    items_needed: int | None
    failures: int
    cost: TokenUsage
    p50_seconds: float
    p95_seconds: float

    @property
    def calls_per_item(self) -> float:
        """The calls for an item, failed attempts included."""
        return self.cost.llm_calls / self.items

    @property
    def tokens_per_item(self) -> float:
        """The tokens for an item, input and output together."""
        return (self.cost.input_tokens + self.cost.output_tokens) / self.items

    @property
    def usd_per_item(self) -> Decimal | None:
        """The dollars for an item; None if a price is not known."""
        return None if self.cost.usd is None else EXACT.divide(self.cost.usd, Decimal(self.items))

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data, ready for `json.dumps`."""
        usd = self.usd_per_item
        between = self.difference_interval
        return {
            "name": self.name,
            "items": self.items,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "difference": self.difference,
            "difference_interval": None if between is None else list(between),
            "items_needed": self.items_needed,
            "failures": self.failures,
            "cost": self.cost.to_dict(),
            "calls_per_item": self.calls_per_item,
            "tokens_per_item": self.tokens_per_item,
            "usd_per_item": None if usd is None else str(usd),
            "p50_seconds": self.p50_seconds,
            "p95_seconds": self.p95_seconds,
        }
