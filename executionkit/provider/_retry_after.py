"""The wait that a server asks for: `retry-after-ms`, and `Retry-After` in seconds or as an HTTP date."""

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_LONGEST = 1e9
"""Seconds. A longer wait means "never"; it is cut to a number that a caller can still sleep for."""

_PREFIXES = ("", "llm_provider-")
"""Prefixes of the header names. LiteLLM's proxy renames the headers of the server behind it like this."""

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?\Z")


def retry_after(headers: Mapping[str, str], now: "datetime | None" = None) -> float | None:
    """Read the wait a reply asks for.

    Args:
        headers: The reply's headers, names in lower case.
        now: The present time, to compare a date with. Defaults to the reply's own `Date`, because servers'
            clocks differ from ours; without one, to the local clock.

    Returns:
        Finite seconds, 0 or more; None if the server asked for no wait, or for none that makes sense.
    """
    waits = (_asked(headers, prefix, now) for prefix in _PREFIXES)
    return next((wait for wait in waits if wait is not None), None)


def _asked(headers: Mapping[str, str], prefix: str, now: "datetime | None") -> float | None:
    milliseconds = _number(headers.get(f"{prefix}retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get(f"{prefix}retry-after", "")
    seconds = _number(value)
    if seconds is not None or not value:
        return seconds
    from datetime import UTC, datetime  # here and below: loaded only if a server sends a date

    until = _date(value)
    if until is None:
        return None
    present = now or _date(headers.get("date", "")) or datetime.now(UTC)
    return min(max(0.0, (until - present).total_seconds()), _LONGEST)


def _number(text: str) -> float | None:
    text = text.strip()
    if not _NUMBER.match(text):
        return None
    number = float(text)
    return min(number, _LONGEST) if math.isfinite(number) else None


def _date(text: str) -> "datetime | None":
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
