"""`Quota`: a rate read from the headers that name a limit, what remains of it, and when it is whole again."""

import re
from collections.abc import Mapping
from typing import Final

_AGREEING: Final = 3
"""Replies in a row that must tell the same before it is believed."""

_PERIODS: Final = (1.0, 10.0, 60.0)
"""Seconds. Limits by the hour or the day admit bursts, which a rate would forbid."""

_NEARLY: Final = 0.1
_UNITS: Final = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)")
_NUMBER: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?\Z")


class Quota:
    """Reads the limit of one kind.

    Servers say how much a limit is, and not for how long. In a bucket that fills steadily, what is missing is
    back after the reset time, which gives the rate. It counts where it fits the limit for a second, ten
    seconds or a minute, in several replies in a row. Other figures are passed over.

    Args:
        kind: "requests" or "tokens".
    """

    def __init__(self, kind: str) -> None:
        self._names = tuple(f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset"))
        self._by_minute = tuple(
            f"x-ratelimit-{what}-{'req' if kind == 'requests' else 'tokens'}-minute"
            for what in ("limit", "remaining")
        )
        self._seen: tuple[float, float] | None = None
        self._times = 0

    def read(self, headers: Mapping[str, str]) -> float | None:
        """The rate a second, when it is first believed; else None."""
        found = self._found(headers)
        if found is None:
            return None
        if found != self._seen:
            self._seen, self._times = found, 0
        self._times += 1
        limit, period = found
        return limit / period if self._times == _AGREEING else None

    def _found(self, headers: Mapping[str, str]) -> tuple[float, float] | None:
        limit, left = (_number(headers.get(name)) for name in self._by_minute)
        if limit is not None and left is not None and limit >= 2 and left <= limit:
            return limit, 60.0
        limit, left = (_number(headers.get(name)) for name in self._names[:2])
        reset = _seconds(headers.get(self._names[2]))
        if limit is None or left is None or not reset or limit - left < 2:
            return None
        rate = (limit - left) / reset
        for period in _PERIODS:
            if abs(rate * period / limit - 1) <= _NEARLY:
                return limit, period
        return None


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _NUMBER.match(text) else None


def _seconds(text: str | None) -> float | None:
    """A duration: "1.2s", "6m0s", "350ms", or seconds without a unit."""
    if text is None:
        return None
    number = _number(text)
    if number is not None:
        return number
    parts = _PART.findall(text)
    if not parts or "".join(f"{value}{unit}" for value, unit in parts) != text:
        return None
    return sum(float(value) * _UNITS[unit] for value, unit in parts)
