"""`Card`: what a value shows of itself, for every renderer. It holds the values; the renderers cut them."""

from collections.abc import Container, Iterable, Mapping, Sequence, Sized
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from executionkit._display._glimpse import finite

if TYPE_CHECKING:
    from executionkit.types import TokenUsage

__all__ = ["Bars", "Card", "Entry", "Figure", "Fold", "Series", "add_fields"]


@dataclass(slots=True)
class Figure:
    """One figure.

    Attributes:
        label: Its name.
        value: The figure: a number, or a few words.
        brief: How the `repr` shows it; "" if it doesn't.
    """

    label: str
    value: object
    brief: str = ""


@dataclass(slots=True)
class Bars:
    """Numbers to compare, such as votes.

    Attributes:
        title: Their name.
        rows: Each label with its number, of which None is unknown.
        marked: Position of the bar to stand out.
        most: The number of a full bar; None for the greatest of them.
        unknown: What stands in the place of None.
    """

    title: str
    rows: Sequence[tuple[object, float | None]]
    marked: int = 0
    most: float | None = None
    unknown: str = "not judged"

    def lengths(self) -> list[float]:
        """The length of each bar, in [0, 1]."""
        numbers = [finite(number) for _, number in self.rows]
        most = self.most or max(numbers, default=0.0) or 1.0
        return [min(max(number / most, 0.0), 1.0) for number in numbers]


@dataclass(slots=True)
class Series:
    """Scores one after the other, each in [0, 1]."""

    title: str
    points: Sequence[float]


@dataclass(slots=True)
class Entry:
    """An item of a list: a line, and the text that belongs to it."""

    head: str
    body: object = ""


@dataclass(slots=True)
class Fold:
    """A list that is folded where that is possible.

    Attributes:
        title: Its name.
        total: The number of its entries.
        entries: The entries, of which the first are made and shown.
    """

    title: str
    total: int
    entries: Iterable[Entry]

    def first(self, most: int) -> list[Entry]:
        """The first entries, up to one that can't be described."""
        found: list[Entry] = []
        with suppress(Exception):
            found.extend(islice(self.entries, most))
        return found


@dataclass(slots=True)
class Card:
    """What a value shows of itself.

    Attributes:
        name: The name of its class.
        value: The answer, if `has_value`.
        figures: The figures, the most telling first. The cost is not among them.
        cost: The spend.
        left: The rest of the budget, in words; "" without a budget.
        charts: Bars and series.
        folds: Lists that are too long to be shown open.
    """

    name: str
    value: object = None
    has_value: bool = True
    figures: list[Figure] = field(default_factory=list[Figure])
    cost: "TokenUsage | None" = None
    left: str = ""
    charts: list[Bars | Series] = field(default_factory=list["Bars | Series"])
    folds: list[Fold] = field(default_factory=list[Fold])

    def add(self, label: str, value: object, brief: str = "") -> None:
        """Add a figure, unless it says nothing: None, False, 0 or ""."""
        if value is not None and value is not False and value != 0 and value != "":
            self.figures.append(Figure(label, value, brief))

    def by_variant(self, title: str, shares: Sequence[float | None], unknown: str) -> None:
        """Add bars for a prompt and its variants, the best of which stands out; nothing without variants."""
        if shares:
            names = ["prompt", *(f"variant {number}" for number in range(1, len(shares)))]
            best = max(range(len(shares)), key=lambda index: finite(shares[index]))
            self.charts.append(Bars(title, list(zip(names, shares, strict=True)), best, 1.0, unknown))

    def score(self, score: float | None) -> None:
        """Add a score in [0, 1]; None is no score."""
        if score is not None:
            self.figures.append(Figure("score", score, f"score {score:.2f}"))

    def count(self, number: int, one: str, several: str = "") -> None:
        """Add a number of things, unless it is 0; the `repr` has it too."""
        name = one if number == 1 else several or f"{one}s"
        self.add(several or f"{one}s", number, f"{number:,} {name}")


def add_fields(card: Card, items: Mapping[str, object], own: Container[str]) -> None:
    """Add figures that have no description: numbers as they are, of anything else how many.

    Those in `own` are fields of the class. The `repr` has their numbers, and the card their words too. The
    words of others may be a prompt.
    """
    for name, item in items.items():
        label = str(name).replace("_", " ")
        if isinstance(item, bool | int | float):
            text = f"{item:,}" if type(item) is int else f"{item:.2f}" if type(item) is float else str(item)
            card.add(label, item, f"{name} {text}" if name in own else "")
        elif isinstance(item, Sized) and not isinstance(item, str):
            card.add(label, f"{len(item):,}" if len(item) else "")
        elif name in own:
            card.add(label, item)
