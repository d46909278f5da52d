"""The wait that a server asks for: in `Retry-After`, in other headers, or in the body of an error."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from executionkit._codes import squashed
from executionkit._json import a_text, an_object
from executionkit.provider._error_body import walk

if TYPE_CHECKING:
    from datetime import datetime

_LONGEST = 1e9
"""Seconds. A longer wait means "never"; it is cut to a number that a caller can still sleep for."""

_PREFIXES = ("", "x-", "llm_provider-")
"""Prefixes of the header names. LiteLLM's proxy renames the headers of the server behind it like the last."""

_SAID = 8_000
"""The most characters of one text in which a wait is looked for."""

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?\Z")
_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "\xb5s": 1e-6,
    "\u03bcs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_UNIT_NAMES = {"msec": "ms", "millisecond": "ms", "sec": "s", "second": "s", "min": "m", "minute": "m"} | {
    "hr": "h",
    "hour": "h",
    "day": "d",
}
_PART = re.compile(
    r"\s*(?:and\s+)?([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*"
    r"(ns|us|\xb5s|\u03bcs|(?:ms|msec|millisecond|s|sec|second|min|minute|m|h|hr|hour|d|day)s?)(?![a-z])",
    re.IGNORECASE,
)
_ISO = re.compile(r"PT(?=[0-9])((?:[0-9.]{1,15}[HMS]){1,3})", re.IGNORECASE)
_ADVICE = re.compile(
    r"(?:"
    r"(?:try again|retry(?:ing)?|retried|wait|available|resets?)(?: again)?(?: your request)? "
    r"(?:in|after|for|(?P<at>at)):?"
    r"|(?:please|must|should|need to|have to) wait|(?:^|[.,;:!(]\s{0,2})wait"
    # A field of a body that is quoted in a text, which need not be JSON: `"retryDelay": "39s"`.
    r"|retry[-_ ]?(?:after|delay|in)[\\\"']{0,7}\s{0,3}[:=]\s{0,3}[\\\"']{0,7}"
    r") ?(?:(?:about|at least|approximately|around|another|a further) )?(?=[0-9])",
    re.IGNORECASE | re.MULTILINE,
)
_EASTERN = {"毫秒": 1e-3, "秒": 1.0, "초": 1.0, "分": 60.0, "분": 60.0, "小时": 3600.0}
# Chinese, Japanese and Korean say "after 30 seconds, again".
_EASTERN_ADVICE = re.compile(
    rf"([0-9]{{1,9}}(?:\.[0-9]{{1,9}})?)\s?({'|'.join(_EASTERN)})钟?\s?[之以]?[后後후]"
    r"(?=.{0,20}?(?:[重再][试試]|重新|再次|再度|다시|재시도|お試し))"
)
_RESET = re.compile(r"ratelimit|rate-limit")
_STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]{4,20} ?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})(?![0-9])")

# The names of fields that hold a wait, squashed: retryDelay, retry_after_ms, nextRetryAt, quotaResetDelay.
_NAME = re.compile(
    r"(?:(?:(?P<first>ms|milliseconds|secs|seconds)|time)(?:until|to|before))?"
    r"(?:x|next|quota|ratelimit|limits?|usage|window|requests?|tokens?)*"
    r"(?P<kind>retry|resets?|wait|cooldown|backoff|available)"
    r"(?P<rest>(?:delay|after|in|at|on|time|timestamp|date)*)(?P<unit>ms|millis|milliseconds|s|secs?|seconds)?"
)
_FACTORS = {"ms": 1e-3, "millis": 1e-3, "milliseconds": 1e-3}

# The header of the IETF's draft on rate limits, in its present and in its former form.
_LIMIT = re.compile(r"\b(?:r|remaining)=0\b[^,]*?[;,]\s*(?:t|reset)=([0-9]{1,9})\b")


def retry_after(
    headers: Mapping[str, str],
    now: "datetime | None" = None,
    *,
    payload: object = None,
    is_limit: bool = False,
) -> float | None:
    """Read the wait a reply asks for.

    `Retry-After` counts first, then what the body says, then the time at which a limit ends. A number without
    a unit counts only where its name or its size gives the unit.

    Args:
        headers: The reply's headers, names in lower case.
        now: The present time, to compare a date with. Defaults to the reply's own `Date`, because servers'
            clocks differ from ours; without one, to the local clock.
        payload: The parsed body of an error.
        is_limit: Whether the request met a limit, so that the time at which a limit ends is the wait.

    Returns:
        Finite seconds, 0 or more; None if the server asked for no wait, or for none that makes sense.
    """
    found = _waits(headers, now, payload, is_limit=is_limit)
    return next((wait for wait in found if wait is not None), None)


def _waits(
    headers: Mapping[str, str], now: "datetime | None", payload: object, *, is_limit: bool
) -> Iterator[float | None]:
    clock = _Clock(headers, now)
    for prefix in _PREFIXES:
        yield _asked(headers, prefix, clock)
    facts = [] if payload is None else list(walk(payload))
    inner = [
        {str(key).lower(): str(item) for key, item in value.items() if isinstance(item, (str, int, float))}
        for name, value in facts
        if squashed(name).endswith("headers") and an_object(value) is not None
    ]
    for held in inner:
        yield _asked(held, "", clock)
    named = [(match, value) for name, value in facts if (match := _NAME.fullmatch(squashed(name)))]
    yield from (_told(match, value, clock) for match, value in named if not _is_reset(match))
    yield from (
        _told(match, value, clock)
        for name, value in headers.items()
        if (match := _NAME.fullmatch(squashed(name.removeprefix(_PREFIXES[-1])))) and not _is_reset(match)
    )
    yield _advised("\n".join(a_text(value)[:_SAID] for _, value in facts)[: 8 * _SAID], clock)
    if is_limit:
        yield from (_told(match, value, clock) for match, value in named if _is_reset(match))
        yield _reset(headers, clock)
        yield from (_reset(held, clock) for held in inner)


def _is_reset(name: re.Match[str]) -> bool:
    """Whether a field tells when a limit ends, which is a wait only for a request that has met it."""
    return name["kind"].startswith("reset")


class _Clock:
    """The present time, for waits that are given as a moment."""

    def __init__(self, headers: Mapping[str, str], now: "datetime | None") -> None:
        self._date = headers.get("date", "")
        self._now = now

    def until(self, moment: "datetime") -> float:
        from datetime import UTC, datetime  # loaded only if a server sends a moment

        present = self._now or _date(self._date) or datetime.now(UTC)
        return min(max(0.0, (moment - present).total_seconds()), _LONGEST)

    def since_1970(self, number: float) -> float | None:
        """The wait until a moment in seconds or milliseconds since 1970; None for another number."""
        from datetime import UTC, datetime

        seconds = number / 1000 if 1e12 <= number < 1e13 else number
        return self.until(datetime.fromtimestamp(seconds, UTC)) if 1e9 <= seconds < 1e10 else None


def _asked(headers: Mapping[str, str], prefix: str, clock: _Clock) -> float | None:
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        milliseconds = _number(headers.get(f"{prefix}{name}", ""))
        if milliseconds is not None:
            return min(milliseconds / 1000, _LONGEST)
    value = headers.get(f"{prefix}retry-after", "")
    seconds = _number(value)
    if seconds is not None or not value:
        return seconds and _seconds_or_moment(seconds, clock)
    return _delay(value) if _delay(value) is not None else _moment(value, clock)


def _seconds_or_moment(number: float, clock: _Clock) -> float:
    """Nobody waits for decades: a number as large as that is a moment since 1970, or means "never"."""
    moment = clock.since_1970(number)
    return min(number, _LONGEST) if moment is None else moment


def _told(name: re.Match[str], value: object, clock: _Clock) -> float | None:
    """The wait in a field of a body; a number counts where the name or its size gives the unit."""
    parts = an_object(value)
    if parts is not None:  # a Duration of protobuf
        numbers = [_number(str(parts.get(unit, 0))) for unit in ("seconds", "nanos")]
        return None if None in numbers or "seconds" not in parts else _sum(numbers)
    number = _figure(value)
    if number is None:
        text = a_text(value)
        delay = _delay(text)
        return _moment(text, clock) if delay is None else delay
    if unit := name["unit"] or name["first"]:
        return min(number * _FACTORS.get(unit, 1.0), _LONGEST)
    if name["kind"] == "retry" and name["rest"] == "after":
        return _seconds_or_moment(number, clock)  # the name of the header, whose unit is the second
    return clock.since_1970(number)


def _sum(numbers: "list[float | None]") -> float:
    seconds, nanos = (number or 0.0 for number in numbers)
    return min(seconds + nanos / 1e9, _LONGEST)


def _reset(headers: Mapping[str, str], clock: _Clock) -> float | None:
    """When the limit ends that the request has met: the one of which nothing remains."""
    waits: list[float] = []
    for name, value in headers.items():
        if name == "ratelimit" and (found := _LIMIT.search(value)):
            waits.append(float(found[1]))
        if "reset" not in name or not _RESET.search(name):
            continue
        remaining = _number(
            headers.get(name.replace("reset-after", "reset").replace("reset", "remaining"), "")
        )
        is_only = squashed(name).endswith(("ratelimitreset", "ratelimitresetafter"))
        if remaining != 0 and not (remaining is None and is_only):
            continue
        number = _number(value)
        if number is None:
            delay = _delay(value)
            wait = delay if delay is not None else _moment(value, clock)
        elif name == "ratelimit-reset" and number < _LONGEST:
            wait = number  # the header of the IETF's draft, in seconds
        else:
            wait = clock.since_1970(number)
        if wait is not None:
            waits.append(wait)
    return max(waits, default=None)


def _advised(text: str, clock: _Clock) -> float | None:
    """The wait in words: "Please try again in 1m30s."."""
    for found in _ADVICE.finditer(text):
        rest = text[found.end() : found.end() + 100]
        stamp = _STAMP.match(rest)
        wait = _leading(rest)[0] if stamp is None else _moment(stamp[0], clock)
        if wait is not None and not (found["at"] and stamp is None):  # "at 10h" is a time of the day
            return wait
    eastern = _EASTERN_ADVICE.search(text)
    return min(float(eastern[1]) * _EASTERN[eastern[2]], _LONGEST) if eastern else None


def _leading(text: str) -> tuple[float | None, str]:
    """The delay that a text begins with, and the rest of the text."""
    seconds: float | None = None
    while part := _PART.match(text):
        unit = part[2].lower()
        unit = unit if unit in _UNITS else unit.removesuffix("s")
        seconds = (seconds or 0.0) + float(part[1]) * _UNITS[_UNIT_NAMES.get(unit, unit)]
        text = text[part.end() :]
    return (None if seconds is None else min(seconds, _LONGEST)), text


def _delay(text: str) -> float | None:
    """A delay with its units: "30s", "1.5s", "500ms", "1m30s", "PT30S"."""
    text = text.strip()[:100]
    iso = _ISO.fullmatch(text)
    seconds, rest = _leading(iso[1] if iso else text)
    return None if rest.strip() else seconds


def _figure(value: object) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return _number(str(value)[:400]) if is_number or isinstance(value, str) else None


def _number(text: str) -> float | None:
    text = text.strip()
    if len(text) > 400 or not _NUMBER.match(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _moment(text: str, clock: _Clock) -> float | None:
    date = _date(text[:100])
    return None if date is None else clock.until(date)


def _date(text: str) -> "datetime | None":
    """An HTTP date, or a time stamp with its zone."""
    from datetime import UTC, datetime  # here and above: loaded only if a server sends a date
    from email.utils import parsedate_to_datetime

    try:
        is_stamp = _STAMP.fullmatch(text.strip()) is not None
        date = datetime.fromisoformat(text.strip()) if is_stamp else parsedate_to_datetime(text)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
