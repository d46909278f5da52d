"""Reading a run log: lines of JSON to a tree of spans. Nothing in the file is trusted to be as it should."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeAlias

from executionkit.run_log._journal import VERSION

Facts: TypeAlias = dict[str, Any]

KINDS: Final = ("run", "call", "tool")
_BESIDE: Final = ("retry", "wait", "stream")
_DEEPEST: Final = 60
"""Spans that lie deeper are shown beside each other, which keeps the drawing of any file within its stack."""
_NEVER: Final = 1e11
"""Seconds since 1970, in the year 5138. No log was written later."""


class LogError(Exception):
    """The file can't be shown."""


@dataclass
class Span:
    """A run, a call or a tool.

    Attributes:
        kind: "run", "call" or "tool"; "?" if the log has its end only.
        began: When it began, in seconds since 1970; None if the log does not say.
        facts: The facts at its beginning.
        end: The facts at its end; None if the log has no end of it.
        events: Retries, waits and the beginning of a stream, in order.
        children: The spans inside it, in order.
        depth: The number of spans around it.
    """

    kind: str
    began: float | None
    facts: Facts
    end: Facts | None = None
    events: list[Facts] = field(default_factory=list[Facts])
    children: list["Span"] = field(default_factory=list["Span"])
    parent: "Span | None" = field(default=None, compare=False, repr=False)

    @property
    def depth(self) -> int:
        return 0 if self.parent is None else self.parent.depth + 1


@dataclass
class Log:
    """What a file says.

    Attributes:
        roots: The spans that are in no other one.
        latest: The time of the latest event, in seconds since 1970; None if no event has one.
        unread: The numbers of the lines that could not be read.
        is_torn: Whether the file ends within a line.
        spans: All spans by their identifiers.
    """

    roots: list[Span] = field(default_factory=list[Span])
    latest: float | None = None
    unread: list[int] = field(default_factory=list[int])
    is_torn: bool = False
    spans: dict[str, Span] = field(default_factory=dict[str, Span])


def read(lines: Iterable[bytes]) -> Log:
    """Read a log.

    Raises:
        LogError: It is empty, no run log, or one of a newer version.
    """
    log = Log()
    has_lines = has_events = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        has_lines = True
        log.is_torn = not line.endswith(b"\n")
        event = _event(line)
        if event is None:
            if not log.is_torn:
                log.unread.append(number)
            continue
        # A whole event, whether the line is ended or not.
        log.is_torn = False
        has_events = True
        if event["v"] > VERSION:
            raise LogError(
                f"line {number} has version {event['v']} of the format, and this library reads no version "
                f"above {VERSION}: show it with the library that wrote it, or with a newer one"
            )
        _take(log, event)
    if not has_lines:
        raise LogError("the file is empty: no program has logged to it yet")
    if not has_events and log.is_torn and not log.unread:
        raise LogError("the file has only the beginning of a line: nothing to show yet")
    if not has_events:
        raise LogError("the file is no run log: none of its lines is an event that a RunLog has written")
    return log


def _event(line: bytes) -> Facts | None:
    try:
        event: object = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict):
        return None
    version, name = event.get("v"), event.get("event")
    return event if type(version) is int and version > 0 and isinstance(name, str) else None


def _take(log: Log, event: Facts) -> None:
    moment = moment_of(event.get("time"))
    if moment is not None and (log.latest is None or moment > log.latest):
        log.latest = moment
    name, key = event["event"], event.get("id")
    if not isinstance(key, str):
        return
    if name in KINDS:
        if key not in log.spans:
            _put(log, key, Span(name, moment, event), event.get("parent"))
    elif name.removesuffix("_end") in KINDS:
        span = _known(log, key)
        span.kind = name.removesuffix("_end")
        span.end = span.end or event
    elif name in _BESIDE:
        _known(log, key).events.append(event)


def _known(log: Log, key: str) -> Span:
    # A file may have lost its beginning.
    return log.spans.get(key) or _put(log, key, Span("?", None, {}), None)


def _put(log: Log, key: str, span: Span, parent: object) -> Span:
    log.spans[key] = span
    around = log.spans.get(parent) if isinstance(parent, str) else None
    # The span around it has begun before, so that no circle can come about.
    if around is span:
        around = None
    while around is not None and around.depth >= _DEEPEST:
        around = around.parent
    span.parent = around
    (log.roots if around is None else around.children).append(span)
    return span


def moment_of(value: object) -> float | None:
    """A time in seconds since 1970; None if the text is none, or one that can't be shown."""
    try:
        moment = datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment is not None and 0 <= moment < _NEVER else None
