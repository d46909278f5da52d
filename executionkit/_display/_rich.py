"""The renderer for terminals, by rich. No text is markup to it, and none moves the cursor."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from executionkit._display._card import Bars, Card, Fold, Series
from executionkit._display._glimpse import finite, glimpse, printable, rows_of
from executionkit._display._line import number, spent, words

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType
    from rich.table import Table
    from rich.text import Text

_ANSWER: Final = 2_000
_MOST_ROWS: Final = 10
_MOST_POINTS: Final = 60
_WIDEST_BAR: Final = 24
_STEPS: Final = "▁▂▃▄▅▆▇█"
_STEPS_IN_ASCII: Final = ".:-=+*%#"


def drawn(card: Card, options: "ConsoleOptions") -> "Iterator[RenderableType]":
    """Draw a card."""
    return _Pen(options).card(card)


class _Pen:
    """What a terminal can show."""

    def __init__(self, options: "ConsoleOptions") -> None:
        self._ascii = options.ascii_only
        self._bar = max(4, min(_WIDEST_BAR, options.max_width // 3))

    def card(self, card: Card) -> "Iterator[RenderableType]":
        heading = _text("").append_text(_text(card.name, 60, "bold"))
        if card.cost is not None:
            heading.append(f"  {spent(card.cost)}", style="dim")
        yield heading
        if card.has_value:
            yield _answer(card.value)
            yield _text("")
        table = _grid()
        for figure in card.figures[:24]:
            table.add_row(_text(figure.label, 60, "dim"), _text(words(figure.value)))
        if card.left:
            table.add_row(_text("left", style="dim"), _text(card.left))
        if table.row_count:
            yield table
        for chart in card.charts:
            if isinstance(chart, Series):
                yield self._series(chart)
            elif chart.rows:
                yield self._bars(chart)
        for fold in card.folds:
            if fold.total:
                yield from self._fold(fold)

    def _bars(self, bars: Bars) -> "Table":
        table = _grid()
        table.title, table.title_justify = _text(bars.title, 80, "dim"), "left"
        lengths = bars.lengths()
        for index, (label, each) in enumerate(bars.rows[:_MOST_ROWS]):
            style, shade = ("bold", "") if index == bars.marked else ("", "dim")
            bar = _text(("#" if self._ascii else "█") * round(self._bar * lengths[index]), style=shade)
            bar.no_wrap = True
            count = _text(bars.unknown if each is None else words(each))
            name = _line(label if isinstance(label, str) else glimpse(label, 60), 60, style)
            table.add_row(name, bar, count)
        table.columns[1].min_width = self._bar
        if (more := len(bars.rows) - _MOST_ROWS) > 0:
            table.add_row(_text(f"… {more:,} more", style="dim"))
        return table

    def _series(self, series: Series) -> "Text":
        scores = list(islice(series.points, _MOST_POINTS))
        steps = _STEPS_IN_ASCII if self._ascii else _STEPS
        shown = _text("").append_text(_text(f"{series.title}  ", 80, "dim"))
        shown.append("".join(steps[round(7 * min(max(point, 0.0), 1.0))] for point in map(finite, scores)))
        shown.append("  " + ", ".join(number(score) for score in scores[:8]))
        return shown

    def _fold(self, fold: Fold) -> "Iterator[Text]":
        arrow = " -> " if self._ascii else " → "
        yield _text(f"{fold.title} ({fold.total:,})", style="dim")
        for entry in fold.first(_MOST_ROWS):
            body = entry.body if isinstance(entry.body, str) else glimpse(entry.body)
            yield _line(arrow.join(part for part in (entry.head, body) if part), indent="  ")
        if (more := fold.total - _MOST_ROWS) > 0:
            yield _text(f"  … {more:,} more", style="dim")


def _text(text: str, limit: int = 100, style: str = "") -> "Text":
    from rich.text import Text

    cut = printable(text[:limit])
    return Text(f"{cut}…" if len(text) > limit else cut, style=style)


def _line(text: str, limit: int = 200, style: str = "", indent: str = "") -> "Text":
    """A text in one line, which ends in an ellipsis where the line does."""
    shown = _text(indent + " ".join(text[: limit * 2].split()), limit, style)
    shown.no_wrap, shown.overflow = True, "ellipsis"
    return shown


def _grid() -> "Table":
    from rich.table import Table

    return Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))


def _answer(value: object) -> "RenderableType":
    if not isinstance(value, str) and (found := rows_of(value)):
        rows, more = found
        table = _grid()
        for name, item in rows:
            told = item if isinstance(item, str) else glimpse(item, 300)
            table.add_row(_text(name, 60, "dim"), _text(told, 400))
        if more:
            table.add_row("", _text(f"… {more:,} more"))
        return table
    text = str.__str__(value) if isinstance(value, str) else glimpse(value, 1_000)
    shown = _text(text, _ANSWER)
    if (more := len(text) - _ANSWER) > 0:
        shown.append(f"\n{more:,} more characters in .value", style="dim")
    return shown
