"""The figures of a span: time, calls, tokens and dollars, summed from inside where a run has not ended."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal, DecimalException
from typing import cast

from executionkit._dollars import shown
from executionkit._show.log import Facts, Span


@dataclass(frozen=True)
class Figures:
    """What a span took.

    Attributes:
        seconds: How long it took; None if it has not ended.
        calls: The requests that were sent.
        input_tokens: Prompt tokens.
        output_tokens: Completion tokens.
        usd: Dollars; None if they are not known.
    """

    seconds: float | None = None
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: Decimal | None = None


def figures_of(span: Span) -> Figures:
    """The figures of one span."""
    end = span.end or {}
    lasted = number(end.get("seconds"))
    usage = mapping(end.get("usage"))
    if span.kind != "tool" and usage:
        # A call without its number of attempts was one.
        calls = _count(usage, "llm_calls") if "llm_calls" in usage else 1
        return Figures(
            lasted, calls, _count(usage, "input_tokens"), _count(usage, "output_tokens"), _usd(usage)
        )
    if span.kind == "call":
        return Figures(lasted, sum(event["event"] == "retry" for event in span.events))
    return replace(total(span.children), seconds=lasted)


def total(spans: list[Span]) -> Figures:
    """The sum over the calls inside spans, without a time. It has no dollars if those of one are unknown.

    Runs are not summed: one that uses a provider directly does not charge the run around it.
    """
    found = [figures_of(span) for span in _spenders(spans)]
    spent = [each for each in found if each.input_tokens or each.output_tokens or each.usd is not None]
    known = [each.usd for each in spent if each.usd is not None]
    return Figures(
        calls=sum(each.calls for each in found),
        input_tokens=sum(each.input_tokens for each in found),
        output_tokens=sum(each.output_tokens for each in found),
        usd=sum(known, Decimal(0)) if known and len(known) == len(spent) else None,
    )


def _spenders(spans: list[Span]) -> Iterator[Span]:
    """The innermost calls: a provider may make its reply of calls of its own."""
    for span in spans:
        inside = list(_spenders(span.children))
        if not inside and (span.kind == "call" or (span.end or {}).get("usage")):
            yield span
        yield from inside


def mapping(value: object) -> Facts:
    """A JSON object; an empty one for anything else."""
    return cast("Facts", value) if isinstance(value, dict) else {}


def number(value: object) -> float | None:
    """A number that can be shown; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e15:
        return None
    return value if math.isfinite(value) else None


def _count(usage: Facts, name: str) -> int:
    value = number(usage.get(name))
    return max(0, int(value)) if value is not None else 0


def _usd(usage: Facts) -> Decimal | None:
    value = usage.get("usd")
    try:
        usd = Decimal(value) if isinstance(value, str) and len(value) < 60 else None
    except DecimalException:
        return None
    return usd if usd is not None and usd.is_finite() and abs(usd) < Decimal(10) ** 12 else None


def in_seconds(seconds: float | None) -> str:
    """A duration for people to read; "" for None."""
    if seconds is None:
        return ""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.00995 else f"{seconds * 1000:.1f} ms"
    if seconds < 99.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} m" if hours else f"{minutes} m {rest:02} s"


def in_dollars(usd: Decimal | None) -> str:
    """An amount for people to read; "" for None."""
    return "" if usd is None else shown(usd)


def in_count(count: int) -> str:
    """A count; "" for none."""
    return f"{count:,}" if count else ""
