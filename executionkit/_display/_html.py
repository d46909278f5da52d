"""The renderer for notebooks: HTML without scripts, styles that fit both themes, and drawings in SVG."""

from collections.abc import Sequence
from html import escape
from itertools import islice
from typing import Final

from executionkit._display._card import Bars, Card, Fold, Series
from executionkit._display._glimpse import finite, glimpse, printable, rows_of
from executionkit._display._line import number, spent, words
from executionkit._dollars import shown

_ROOM: Final = 32_000
"""The most bytes of text in one card. A notebook is saved with everything it shows."""

_ANSWER: Final = 3_000
_MOST_BARS: Final = 10
_MOST_ENTRIES: Final = 8
_MOST_POINTS: Final = 200

_CELL: Final = "padding:0.1em 0.8em 0.1em 0;text-align:left;vertical-align:top;"
_PROSE: Final = "white-space:pre-wrap;overflow-wrap:anywhere;"
_MUTED: Final = "opacity:0.75;"


def html(card: Card) -> str:
    """Draw a card as HTML that is well-formed XML."""
    return _Page().card(card)


class _Page:
    """One card, with what is left of its room."""

    def __init__(self) -> None:
        self._left = _ROOM

    def card(self, card: Card) -> str:
        parts = [f"<strong>{self.text(card.name, 60)}</strong>"]
        if card.has_value:
            parts.append(self._answer(card.value))
        parts.append(self._figures(card))
        parts.extend(
            self._bars(chart) if isinstance(chart, Bars) else self._series(chart) for chart in card.charts
        )
        parts.extend(self._fold(fold) for fold in card.folds if fold.total)
        inner = "".join(parts)
        # No colours: text and drawings have those of the notebook's theme.
        return f'<div class="executionkit" style="max-width:60em;line-height:1.4;">{inner}</div>'

    def text(self, text: str, limit: int) -> str:
        """A text of a model or a server, cut and escaped."""
        cut = printable(text[:limit])
        shown = escape(cut)
        if len(shown.encode()) > self._left:
            shown = escape(cut[: max(self._left, 0) // 6])  # the longest that a character becomes
        self._left -= len(shown.encode())
        rest = len(text) - limit
        return f"{shown}…" if rest > 0 else shown

    def _answer(self, value: object) -> str:
        if not isinstance(value, str) and (found := rows_of(value)):
            rows, more = found
            note = f"… {more:,} more" if more else ""
            cells = [(name, item if isinstance(item, str) else glimpse(item, 300)) for name, item in rows]
            return self._table([*cells, ("", note)] if note else cells, "The value", 400)
        text = str.__str__(value) if isinstance(value, str) else glimpse(value, 1_000)
        note = f"<p>{self._note(len(text) - _ANSWER)}</p>" if len(text) > _ANSWER else ""
        return f'<div style="{_PROSE}margin:0.4em 0;" dir="auto">{self.text(text, _ANSWER)}</div>{note}'

    def _note(self, more: int) -> str:
        return f'<span style="{_MUTED}">{more:,} more characters in <code>.value</code></span>'

    def _figures(self, card: Card) -> str:
        rows = [(figure.label, words(figure.value)) for figure in card.figures[:24]]
        if card.cost is not None:
            rows.append(("calls", number(card.cost.llm_calls)))
            tokens = number(card.cost.input_tokens), number(card.cost.output_tokens)
            rows.append(("tokens", "{} in, {} out".format(*tokens)))
            if card.cost.usd is not None:
                rows.append(("dollars", shown(card.cost.usd)))
        if card.left:
            rows.append(("left", card.left))
        return self._table(rows, f"Figures: {spent(card.cost)}" if card.cost is not None else "Figures", 100)

    def _table(self, rows: Sequence[tuple[str, str]], name: str, limit: int) -> str:
        lines = "".join(
            f'<tr style="background:none;"><th scope="row" style="{_CELL}font-weight:normal;{_MUTED}">'
            f'{self.text(label, 80)}</th><td style="{_CELL}{_PROSE}">{self.text(value, limit)}</td></tr>'
            for label, value in rows
        )
        label = self.text(name, 120)
        return f'<table aria-label="{label}" style="margin:0.4em 0;"><tbody>{lines}</tbody></table>'

    def _bars(self, bars: Bars) -> str:
        if not bars.rows:
            return ""
        lengths = bars.lengths()
        lines: list[str] = []
        for index, (label, each) in enumerate(bars.rows[:_MOST_BARS]):
            shown = self.text(label if isinstance(label, str) else glimpse(label, 60), 60)
            self._left -= 2 * len(shown.encode())  # it is in the drawing's two labels as well
            count = bars.unknown if each is None else number(each)
            weight, opacity = ("bold", 1) if index == bars.marked else ("normal", 0.45)
            size = f'width="{100 * lengths[index]:.1f}" height="10"'
            drawing = (
                f'<svg role="img" aria-label="{shown}: {count}" width="200" height="12" viewBox="0 0 100 10" '
                f'preserveAspectRatio="none"><title>{shown}: {count}</title>'
                f'<rect {size} fill="currentColor" fill-opacity="{opacity}"/></svg>'
            )
            lines.append(
                f'<tr style="background:none;"><th scope="row" style="{_CELL}{_PROSE}font-weight:{weight};">'
                f'{shown}</th><td style="{_CELL}">{drawing}</td><td style="{_CELL}">{count}</td></tr>'
            )
        if (more := len(bars.rows) - _MOST_BARS) > 0:
            lines.append(
                f'<tr style="background:none;"><td colspan="3" style="{_CELL}">… {more:,} more</td></tr>'
            )
        title = self.text(bars.title, 80)
        caption = f'<caption style="caption-side:top;text-align:left;{_MUTED}">{title}</caption>'
        return f'<table style="margin:0.4em 0;">{caption}<tbody>{"".join(lines)}</tbody></table>'

    def _series(self, series: Series) -> str:
        scores = list(islice(series.points, _MOST_POINTS))
        if not scores:
            return ""
        points = [finite(score) for score in scores]
        title = self.text(series.title, 80)
        figures = ", ".join(number(score) for score in scores[:30])
        step = 220 / max(len(points) - 1, 1)
        dots = [(10 + step * index, 42 - 36 * min(max(point, 0), 1)) for index, point in enumerate(points)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
        best = dots[max(range(len(points)), key=points.__getitem__)]
        return (
            f'<div style="margin:0.4em 0;"><div style="{_MUTED}">{title}: {figures}</div>'
            f'<svg role="img" aria-label="{title}: {figures}" width="240" height="48" viewBox="0 0 240 48">'
            f"<title>{title}: {figures}</title>"
            '<path d="M10 6H230M10 42H230" stroke="currentColor" stroke-opacity="0.2"/>'
            f'<polyline points="{path}" fill="none" stroke="currentColor" stroke-width="2"/>'
            f'<circle cx="{best[0]:.1f}" cy="{best[1]:.1f}" r="4" fill="currentColor"/></svg></div>'
        )

    def _fold(self, fold: Fold) -> str:
        lines: list[str] = []
        for entry in fold.first(_MOST_ENTRIES):
            body = entry.body if isinstance(entry.body, str) else glimpse(entry.body, 400)
            shown = f'<div style="{_PROSE}" dir="auto">{self.text(body, 400)}</div>' if body else ""
            head = f'<div style="{_MUTED}{_PROSE}">{self.text(entry.head, 160)}</div>'
            lines.append(f'<li style="margin:0.3em 0;">{head}{shown}</li>')
        if (more := fold.total - _MOST_ENTRIES) > 0:
            lines.append(f"<li>… {more:,} more</li>")
        summary = f"{self.text(fold.title, 80)} ({fold.total:,})"
        return (
            f'<details style="margin:0.3em 0;"><summary style="cursor:pointer;">{summary}</summary>'
            f"<ol>{''.join(lines)}</ol></details>"
        )
