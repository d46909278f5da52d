"""The picture of a comparison: accuracy over what an item costs."""

import math
from collections.abc import Sequence
from typing import Final

from executionkit._dollars import dollars, shown
from executionkit._text import one_line, shorten
from executionkit.bench._figures import PatternFigures
from executionkit.bench._svg import COLOURS, Drawing

_WIDTH: Final = 760.0
_HEIGHT: Final = 430.0
_LEFT: Final = 64.0
_RIGHT: Final = 170.0
_TOP: Final = 48.0
_BOTTOM: Final = 56.0
_LINE: Final = 17.0


def accuracy_over_cost(patterns: Sequence[PatternFigures]) -> str:
    """Draw each pattern as a dot with the bar of its interval, and its name beside it."""
    prices = [each.usd_per_item for each in patterns]
    known = [float(price) for price in prices if price is not None]
    in_dollars = len(known) == len(patterns) and any(known)
    costs = known if in_dollars else [each.calls_per_item for each in patterns]
    drawing = Drawing(_WIDTH, _HEIGHT, f"Right answers, of {patterns[0].items:,} items, and 95 % intervals")
    steps_x = _ticks(0.0, max(costs) or 1.0)
    low = 100 * min(each.interval.low for each in patterns)
    high = 100 * max(each.interval.high for each in patterns)
    steps_y = _ticks(low, high)

    def x_of(cost: float) -> float:
        return _LEFT + cost / steps_x[-1] * (_WIDTH - _LEFT - _RIGHT)

    def y_of(percent: float) -> float:
        share = (percent - steps_y[0]) / (steps_y[-1] - steps_y[0])
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    for percent in steps_y:
        drawing.line([(_LEFT, y_of(percent)), (_WIDTH - _RIGHT, y_of(percent))], "grid")
        drawing.text(_LEFT - 8, y_of(percent) + 4, f"{percent:g} %", "end")
    for cost in steps_x:
        drawing.line([(x_of(cost), _HEIGHT - _BOTTOM), (x_of(cost), _HEIGHT - _BOTTOM + 5)])
        text = shown(dollars(cost, "cost")) if in_dollars else f"{cost:g}"
        drawing.text(x_of(cost), _HEIGHT - _BOTTOM + 20, text, "middle")
    drawing.line([(_LEFT, _HEIGHT - _BOTTOM), (_WIDTH - _RIGHT, _HEIGHT - _BOTTOM)])
    title = "dollars for an item" if in_dollars else "calls for an item"
    drawing.text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 14, title, "middle")

    taken: list[tuple[float, float]] = []
    for index, (each, cost) in enumerate(zip(patterns, costs, strict=True)):
        colour = COLOURS[index % len(COLOURS)]
        # Dots of one cost would hide each other's bars.
        x = x_of(cost) + 7 * sum(math.isclose(cost, other) for other in costs[:index])
        y, top, bottom = (
            y_of(100 * share) for share in (each.accuracy, each.interval.high, each.interval.low)
        )
        drawing.stroke([(x, top), (x, bottom)], colour)
        for end in (top, bottom):
            drawing.stroke([(x - 4, end), (x + 4, end)], colour)
        drawing.dot(x, y, colour)
        label = f"{shorten(one_line(each.name), 24)}, {100 * each.accuracy:.1f} %"
        drawing.text(x + 10, _free(taken, x, y) + 4, label)
    return drawing.done()


def _free(taken: list[tuple[float, float]], x: float, y: float) -> float:
    """The nearest height to `y` at which no label stands, and take it."""
    width = _RIGHT
    near = [other for at, other in taken if abs(at - x) < width]
    tries = [y + side * step * _LINE / 2 for step in range(4 * len(near) + 1) for side in (-1, 1)]
    free = next((height for height in tries if all(abs(height - other) >= _LINE for other in near)), y)
    taken.append((x, free))
    return free


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, some five of them, from `low` or below to `high` or above."""
    spread = (high - low) or 1.0
    size = 10.0 ** math.floor(math.log10(spread / 4))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= spread / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * index, 12) for index in range(first, max(last, first + 1) + 1)]
