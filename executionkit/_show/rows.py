"""The rows of a log: what there is to say of each span, for the terminal and for the page."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from executionkit._show.figures import Figures, figures_of, in_seconds, mapping, number
from executionkit._show.log import Facts, Log, Span
from executionkit._text import one_line, shorten

Tone: TypeAlias = Literal["error", "retry", "open", "plain"]
State: TypeAlias = Literal["done", "failed", "cancelled", "left early", "put off", "unfinished"]

_CANCELLED: Final = ("CancelledError", "GeneratorExit", "KeyboardInterrupt")
_ENDS: Final[dict[str, State]] = {"LeftEarlyError": "left early", "Suspended": "put off"}
_SHOWN: Final = 100
"""So many of the spans inside another are shown, and as many that failed."""
_LONGEST: Final = 1_000
"""The characters of a name or a message that are looked at."""
_ORDINARY: Final = ("stop", "tool_calls", "function_call")


@dataclass(frozen=True)
class Note:
    """A remark on a span, in one line."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Row:
    """A span as it is shown.

    Attributes:
        span: The span.
        label: Its name.
        figures: What it took.
        state: How it ended.
        notes: Its retries, errors and figures.
        rows: Those of the spans inside it.
    """

    span: Span
    label: str
    figures: Figures
    state: State
    notes: list[Note]
    rows: list["Row"]


def rows_of(log: Log) -> list[Row]:
    """The rows of a log."""
    return [_row(span) for span in log.roots]


def _row(span: Span) -> Row:
    state = _state(span)
    shown = _shown(span.children)
    notes = list(_notes(span, state))
    if len(shown) < len(span.children):
        notes.append(
            Note(
                f"{len(shown):,} of {len(span.children):,} inside are shown: the first, and some that failed"
            )
        )
    return Row(span, _label(span), figures_of(span), state, notes, [_row(child) for child in shown])


def _shown(spans: list[Span]) -> list[Span]:
    """The spans to show of many: the first, and the first of those that did not end well."""
    if len(spans) <= 2 * _SHOWN:
        return spans
    ill = [span for span in spans[_SHOWN:] if _state(span) != "done"][:_SHOWN]
    return [*spans[:_SHOWN], *ill]


def _state(span: Span) -> State:
    if span.end is None:
        return "unfinished"
    error = mapping(span.end.get("error"))
    if not error:
        return "done"
    if (state := _ENDS.get(_word(error.get("type")))) is not None:
        return state
    return "cancelled" if error.get("type") in _CANCELLED else "failed"


def _label(span: Span) -> str:
    name = _word(span.facts.get("name"))
    if span.kind == "call":
        alone = "" if span.parent is not None else _word(span.facts.get("run"))
        words = ["call", _word(span.facts.get("model")), f"of {alone}" if alone else ""]
        return " ".join(word for word in words if word)
    return f"tool {name or '(unknown)'}" if span.kind == "tool" else name or "?"


def _word(value: object) -> str:
    return one_line(value[:_LONGEST]) if isinstance(value, str) else ""


def _notes(span: Span, state: State) -> Iterator[Note]:
    if not span.facts:
        yield Note("its beginning is not in the log", "open")
    for event in span.events:
        yield _beside(event)
    end = span.end or {}
    said = list(_of_call(span, end) if span.kind == "call" else _of_tool(end) if span.kind == "tool" else ())
    # Most counts are 0, and most flags False: they would hide the others.
    said += [f"{_word(key)} {_value(value)}" for key, value in mapping(end.get("figures")).items() if value]
    if said:
        yield Note(", ".join(said))
    if state == "unfinished":
        yield Note("unfinished: the log has no end of it", "open")
    elif state == "cancelled":
        yield Note(f"cancelled ({error_in_words(end.get('error'))})", "open")
    elif state == "left early":
        yield Note("left before its end", "open")
    elif state == "put off":
        yield Note("put off: it needs a reply that comes later, from a batch", "open")
    elif state == "failed":
        yield Note(f"failed: {error_in_words(end.get('error'))}", "error")


def _beside(event: Facts) -> Note:
    if event["event"] == "wait":
        return Note(f"waited {in_seconds(number(event.get('seconds')) or 0)} for room in a budget", "retry")
    if event["event"] == "stream":
        return Note(f"the stream began after {in_seconds(number(event.get('seconds')) or 0)}")
    attempt = number(event.get("attempt"))
    which = "an attempt" if attempt is None else f"attempt {attempt:.0f}"
    wait = in_seconds(number(event.get("wait")) or 0)
    return Note(f"{which} failed: {error_in_words(event.get('error'))}; waited {wait}", "retry")


def error_in_words(value: object) -> str:
    """An error by type, status, code and message, as far as the log has them."""
    error = mapping(value)
    status = number(error.get("status"))
    words = [
        _word(error.get("type")) or "an error",
        "" if status is None else f"HTTP {status:.0f}",
        _word(error.get("code")),
        _word(error.get("message")),
    ]
    return shorten(", ".join(word for word in words if word), 600)


def _of_call(span: Span, end: Facts) -> Iterator[str]:
    for key, words in (("cached_tokens", "cached"), ("reasoning_tokens", "for reasoning")):
        if count := number(end.get(key)):
            yield f"{count:,.0f} tokens {words}"
    if end.get("replayed") is True:
        yield "replayed: nothing was sent"
    if end.get("estimated") is True:
        yield "tokens estimated"
    if (choices := number(end.get("choices"))) is not None:
        yield f"{choices:.0f} choices"
    if count := number(end.get("tool_calls")):
        yield f"asks for {count:.0f} tool{'' if count == 1 else 's'}"
    reason = _word(end.get("finish_reason"))
    if reason and reason not in _ORDINARY:
        yield f"finish_reason {reason}"
    if span.facts.get("streamed") is True:
        yield "streamed"


def _of_tool(end: Facts) -> Iterator[str]:
    if end.get("ran") is False:
        yield "did not run"
    if end.get("truncated") is True:
        yield "its observation was cut"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return " ".join(_value(item) for item in value[:50])
    return shorten(one_line(str(value)), 100)
