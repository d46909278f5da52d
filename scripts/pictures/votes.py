"""The picture of the home page: calls at equal accuracy, as bars, of votes on recorded replies."""

import asyncio
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from pictures.paper import ASSETS

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import consensus_replay as replay

GROUPS: tuple[tuple[int, tuple[Any, ...]], ...] = (
    (1, ("all",)),
    (5, ("all", "decided")),
    (8, ("all", "decided", 0.9)),
)
"""Ceilings and rules. The first is a single answer, without a vote."""
ORDERINGS = 5
"""The default of benchmarks/consensus_replay.py, which prints the same figures."""

WIDTH, LEFT, SCALE, BAR = 480, 138, 27, 22
THEMES = {
    "light": {"page": "#ffffff", "ink": "#1b1f2b", "soft": "#565d70"},
    "dark": {"page": "none", "ink": "#e6e9f2", "soft": "#a9b1c6"},
}
COLOURS = {"light": ("#9aa3b8", "#2b54c4", "#a34a00"), "dark": ("#7b859f", "#93b1ff", "#ffb347")}
"""Of the full vote, and of the stops as GROUPS has them."""


class Bar:
    """A rule under a ceiling, and the calls of its votes on average."""

    def __init__(self, rule: Any, calls: float, ceiling: int) -> None:
        self.name = f"stop={rule!r}".replace("'", '"')
        self.calls = calls
        self.says = f"{calls:.2f}" + (
            f", {100 - 100 * calls / ceiling:.0f} % fewer" if calls < ceiling else ""
        )


def measured() -> Iterator[tuple[int, float, list[Bar]]]:
    """Hold the votes; returns each ceiling with its accuracy and bars.

    Raises:
        SystemExit: The accuracies of a group differ, so its bars can't stand beside each other.
    """
    figures, _ = asyncio.run(replay.compare(replay.load(replay.DATA), ORDERINGS))
    for ceiling, rules in GROUPS:
        right = {figures[rule, ceiling].right for rule in rules}
        if len(right) > 1:
            raise SystemExit(f"votes of {ceiling} don't have one accuracy: {right}")
        bars = [Bar(rule, figures[rule, ceiling].mean_calls, ceiling) for rule in rules]
        yield ceiling, figures["all", ceiling].accuracy, bars


def drawn(single: tuple[int, float, list[Bar]], groups: list[tuple[int, float, list[Bar]]], name: str) -> str:
    """Draw the bars in the colours of a theme."""
    theme = THEMES[name]
    parts: list[str] = []
    told: list[str] = []

    def write(x: float, y: float, text: str, colour: str = "ink", more: str = "") -> None:
        parts.append(f'<text x="{x:g}" y="{y:g}" fill="{theme[colour]}"{more}>{escape(text)}</text>')

    title = "Calls for a vote, at equal accuracy"
    write(0, 20, title, more=' font-size="18" font-weight="600"')
    y = 40

    def draw(label: str, width: float, says: str, colour: str) -> None:
        write(0, y + 16, label, more=' font-family="ui-monospace,monospace" font-size="14"')
        box = f'x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"'
        parts.append(f'<rect {box} fill="{colour}"/>')
        write(LEFT + width + 8, y + 16, says)

    _, right, (one,) = single
    draw("one answer", one.calls * SCALE, f"{one.calls:.2f}: {right:.1f} % right", COLOURS[name][0])
    told.append(f"One answer: {right:.1f} % right.")
    y += BAR + 14
    for ceiling, accuracy, bars in groups:
        head = f"Up to {ceiling} samples: {accuracy:.1f} % right, by every rule"
        write(0, y + 18, head, "soft")
        told.append(f"{head}: " + ", ".join(f"{bar.name} takes {bar.says}" for bar in bars) + ".")
        y += 28
        for bar, colour in zip(bars, COLOURS[name], strict=False):
            draw(bar.name, bar.calls * SCALE, bar.says, colour)
            y += BAR + 6
        y += 8
    for line in (
        "71 arithmetic problems, 8 recorded replies to each, 5 orders.",
        "Model: Qwen2.5-Coder-0.5B-Instruct, temperature 0.8.",
    ):
        write(0, y + 14, line, "soft", ' font-size="13"')
        y += 18
    height = y + 6
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
            f'height="{height}" role="img" aria-labelledby="title desc" '
            'font-family="system-ui,-apple-system,Segoe UI,Roboto,sans-serif" font-size="15">',
            f'<title id="title">{title}</title>',
            f'<desc id="desc">{escape(" ".join(told))}</desc>',
            f'<rect width="{WIDTH}" height="{height}" fill="{theme["page"]}"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def make() -> list[Path]:
    """Make the picture for both themes."""
    single, *groups = measured()
    made: list[Path] = []
    for name in THEMES:
        picture = ASSETS / f"votes-{name}.svg"
        picture.write_text(drawn(single, groups, name), encoding="utf-8")
        made.append(picture)
    return made
