"""`Comparison`: how right each pattern was, how sure that is, and what it cost."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from executionkit._display import Displayed
from executionkit._display._line import counted
from executionkit._dollars import shown
from executionkit._text import columns, one_line, shorten
from executionkit.bench._figures import Outcome, PatternFigures
from executionkit.bench._plot import accuracy_over_cost
from executionkit.bench._statistics import (
    Interval,
    interval_of_difference,
    interval_of_mean,
    items_needed,
    mean,
    percentile,
)
from executionkit.types import TokenUsage

if TYPE_CHECKING:
    from executionkit._display._card import Card

_POINTS: Final = 0.02
"""The difference that a comparison without a result is measured by."""


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Displayed):
    """Patterns over the same items; `print` shows the table and the advice.

    Attributes:
        patterns: The figures of each pattern, in the order given. The first is what the others are compared
            with.
        items: The number of items compared: those that every pattern came to an end with.
        cost: The spend of all of it: of earlier starts with the same journal, and of items that not every
            pattern came to an end with, too.
        advice: The result in words, a line for each pattern after the first.
        outcomes: Every pattern on every item compared.
    """

    patterns: tuple[PatternFigures, ...]
    items: int
    cost: TokenUsage
    advice: tuple[str, ...]
    outcomes: tuple[Outcome, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return "\n".join([counted(self.items, "item"), *_table(self.patterns), *self.advice])

    def __getitem__(self, name: str) -> PatternFigures:
        """The figures of the pattern with this name.

        Raises:
            KeyError: There is no such pattern.
        """
        for each in self.patterns:
            if each.name == name:
                return each
        raise KeyError(
            f"no pattern is called {name!r}, only {', '.join(repr(p.name) for p in self.patterns)}"
        )

    def wrong(self, name: str) -> list[Outcome]:
        """The outcomes of a pattern whose grade is below 1, in the order of the items.

        Raises:
            KeyError: There is no such pattern.
        """
        found = self[name].name
        return [each for each in self.outcomes if each.pattern == found and each.grade < 1]

    def plot(self, path: str | Path) -> None:
        """Write a picture of accuracy over cost per item, as SVG, with a bar for each interval.

        Cost is dollars if the price of every pattern is known, else calls.

        Args:
            path: The file to write; one that exists is replaced.

        Raises:
            OSError: The file can't be written.
        """
        Path(path).write_text(accuracy_over_cost(self.patterns), encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data, ready for `json.dumps`; outcomes have a `to_dict` of their own."""
        return {
            "items": self.items,
            "patterns": [each.to_dict() for each in self.patterns],
            "cost": self.cost.to_dict(),
            "advice": list(self.advice),
        }

    def _card(self) -> "Card":
        from executionkit._display._card import Bars, Card, Entry, Figure, Fold

        best = max(range(len(self.patterns)), key=lambda index: self.patterns[index].accuracy)
        card = Card(type(self).__name__, has_value=False, cost=self.cost)
        card.count(self.items, "item")
        for each in self.patterns:
            between = _interval(each.interval)
            words = f"{_percent(each.accuracy)} % {between}, {each.calls_per_item:,.1f} calls an item"
            card.figures.append(Figure(each.name, words, f"{each.name} {_percent(each.accuracy)} %"))
        bars = [(each.name, 100 * each.accuracy) for each in self.patterns]
        card.charts.append(Bars("right answers in percent", bars, best, 100.0))
        card.folds.append(Fold("advice", len(self.advice), (Entry(line) for line in self.advice)))
        return card


def compared(
    names: Sequence[str],
    outcomes: Mapping[str, Mapping[str, Outcome]],
    cost: TokenUsage,
    *,
    resamples: int,
    seed: int,
) -> Comparison | None:
    """Compare the patterns over the items that all of them came to an end with; None if there are none.

    Args:
        names: The names of the patterns.
        outcomes: For each item's id the outcomes by the pattern's name.
        cost: The spend of all of it.
        resamples: The resamples of a bootstrap.
        seed: The seed of its random numbers.
    """
    whole = [each for each in outcomes.values() if len(each) == len(names)]
    if not whole:
        return None
    found: list[PatternFigures] = []
    first = [each[names[0]].grade for each in whole]
    for index, name in enumerate(names):
        mine = [each[name] for each in whole]
        grades = [outcome.grade for outcome in mine]
        gains = [grade - other for grade, other in zip(grades, first, strict=True)]
        seconds = [outcome.seconds for outcome in mine]
        found.append(
            PatternFigures(
                name=name,
                items=len(whole),
                accuracy=mean(grades),
                interval=interval_of_mean(grades, resamples=resamples, seed=seed),
                difference=mean(gains) if index else 0.0,
                difference_interval=interval_of_difference(gains, resamples=resamples, seed=seed)
                if index
                else None,
                items_needed=items_needed(gains, _POINTS) if index else None,
                failures=sum(outcome.error is not None for outcome in mine),
                cost=sum((outcome.cost for outcome in mine), TokenUsage()),
                p50_seconds=statistics.median(seconds),
                p95_seconds=percentile(seconds, 0.95),
            )
        )
    listed = tuple(each[name] for each in whole for name in names)
    return Comparison(tuple(found), len(whole), cost, tuple(_advice(found)), listed)


def _advice(patterns: Sequence[PatternFigures]) -> list[str]:
    """What the figures come to, in words."""
    first = patterns[0]
    base = _label(first)
    if not any(each.accuracy for each in patterns):
        return [
            "No pattern has a right answer: look at some of their answers, and whether the grade fits them."
        ]
    lines: list[str] = []
    for each in patterns[1:]:
        name, between = _label(each), each.difference_interval or Interval(0.0, 0.0)
        price = _price(each, first)
        if between.low > 0 or between.high < 0:
            word = "better" if between.low > 0 else "worse"
            size = f"{_percent(abs(each.difference))} points {_interval(between)}"
            lines.append(f"{name} is {word} than {base} by {size}{price}.")
        else:
            seen = f"No difference between {name} and {base} is seen: {_signed(each.difference)} points"
            lines.append(f"{seen} {_interval(between)}{price}. {_missing(each)}")
    failed = [f"{_label(each)} {each.failures:,}" for each in patterns if each.failures]
    if failed:
        lines.append(f"Failures count as wrong answers: {', '.join(failed)}.")
    return lines


def _price(pattern: PatternFigures, first: PatternFigures) -> str:
    """What a pattern costs, as a multiple of the first one's calls, and of its dollars where that differs."""
    if not (pattern.cost.llm_calls and first.cost.llm_calls):
        return ""
    calls = f"{pattern.cost.llm_calls / first.cost.llm_calls:.1f} ×"
    if not (pattern.cost.usd and first.cost.usd):
        return f", for {calls} the calls"
    usd = f"{float(pattern.cost.usd) / float(first.cost.usd):.1f} ×"
    return f", for {calls} the calls" + (f" and {usd} the dollars" if usd != calls else "")


def _missing(pattern: PatternFigures) -> str:
    """How many items would show a small difference."""
    needed, points = pattern.items_needed or 0, f"{100 * _POINTS:.0f} points"
    if needed <= pattern.items:
        return f"One of {points} would most likely have been seen."
    return f"Some {needed:,} items would be needed to see one of {points}."


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _signed(share: float) -> str:
    rounded = round(100 * share, 1)
    return f"{rounded:+.1f}" if rounded else "0.0"


def _interval(interval: Interval) -> str:
    return f"[{', '.join(f'{round(100 * end, 1) + 0.0:.1f}' for end in interval)}]"


def _label(pattern: PatternFigures) -> str:
    return shorten(one_line(pattern.name), 40)


def _table(patterns: Sequence[PatternFigures]) -> list[str]:
    """The table, without the columns that would be empty."""
    cells: dict[str, list[str]] = {
        "pattern": [_label(each) for each in patterns],
        "accuracy": [f"{_percent(each.accuracy)} %" for each in patterns],
        "95 % interval": [_interval(each.interval) for each in patterns],
        "calls/item": [f"{each.calls_per_item:,.1f}" for each in patterns],
        "tokens/item": [f"{each.tokens_per_item:,.0f}" for each in patterns],
        "$/item": ["" if (usd := each.usd_per_item) is None else shown(usd) for each in patterns],
        "p50 s": [_seconds(each.p50_seconds) for each in patterns],
        "p95 s": [_seconds(each.p95_seconds) for each in patterns],
        "failed": [f"{each.failures:,}" if each.failures else "" for each in patterns],
    }
    kept = {name: column for name, column in cells.items() if any(column)}
    widths = [max(map(columns, [name, *column])) for name, column in kept.items()]

    def line(texts: Sequence[str]) -> str:
        pads = [width - columns(text) for width, text in zip(widths, texts, strict=True)]
        first = texts[0] + " " * pads[0]
        return "  ".join([first, *(" " * pad + text for pad, text in zip(pads[1:], texts[1:], strict=True))])

    return [line(list(kept)), *(line(row) for row in zip(*kept.values(), strict=True))]


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f}" if math.isfinite(seconds) and seconds < 100 else f"{seconds:,.0f}"
