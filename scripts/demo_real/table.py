"""The table of quality, and what is said below it."""

from collections.abc import Sequence

from demo_real.measures import Row
from demo_real.promises import Verdict
from executionkit.bench._statistics import wilson

_HEAD = ("", "right", "of", "share", "95 % interval", "calls", "input", "output", "s")


def quality(rows: Sequence[Row]) -> list[str]:
    """The lines of the table, and a line for each note."""
    cells = [_HEAD, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    return lines + [f"{row.name}: {row.note}" for row in rows if row.note]


def _cells(row: Row) -> tuple[str, ...]:
    usage = row.usage
    share, interval = "-", "-"
    if row.count:
        share = f"{row.right / row.count:.0%}"
    if row.count and not row.shared:  # the answers of one vote are too alike for an interval over all of them
        bounds = wilson(row.right / row.count, row.count)
        interval = f"{bounds.low:.0%} to {bounds.high:.0%}"
    figures = (usage.llm_calls, usage.input_tokens, usage.output_tokens)
    numbers = ["-" if row.shared else f"{figure:,}" for figure in figures]
    seconds = "-" if row.shared else f"{row.seconds:.0f}"
    return (row.name, str(row.right), str(row.count), share, interval, *numbers, seconds)


def promises(verdicts: Sequence[Verdict]) -> list[str]:
    """A line for each pattern."""
    width = max(len(verdict.name) for verdict in verdicts)
    return [
        f"{_mark(verdict)} {verdict.name.ljust(width)}  {verdict.usage.llm_calls:3} "
        f"{'call ' if verdict.usage.llm_calls == 1 else 'calls'}  {verdict.broken or verdict.outcome}"
        for verdict in verdicts
    ]


def _mark(verdict: Verdict) -> str:
    return "✗" if verdict.broken else "✓" if verdict.ended else "-"
