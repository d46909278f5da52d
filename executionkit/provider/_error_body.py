"""Reading an error body: the reason, the codes and every other fact, wherever they stand in it."""

import json
import re
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from executionkit._codes import Meaning, meaning_of, squashed, status_in
from executionkit._json import a_list, a_text, an_object, is_list, is_object

_FACTS = 2_000
"""The most facts that are looked at."""

_DEEP = 12
"""The most levels of a body, texts that are JSON included."""

_LONG = 65_536
"""The longest text that is looked into."""

_LOOK = 16_384
"""The most characters of one reason. The text of an error is cut earlier."""

_TRIES = 50
"""How often JSON is looked for in lines that were not understood."""

_DECODER = json.JSONDecoder(strict=False)

_REASONS = 4
"""The most reasons that a message has beside the first."""

_WORDS = frozenset(
    {"message", "msg", "errormessage", "errormsg", "errmsg", "detail", "description", "errordescription"}
    | {"reason", "reasons", "raw", "error", "errors", "details", "cause", "hint", "statusmsg", "explanation"}
    | {"exception"}
)
"""The names under which servers say in words what went wrong."""

_WORD_ENDS = ("error", "message", "reason", "description")
"""The ends of further such names: `upstream_error`, `internalMessage`."""

_MESSAGES = frozenset(
    {"message", "msg", "detail", "errormessage", "errormsg", "errmsg", "statusmsg", "exception"}
)
"""The names under which the words of an error stand, where nothing else says that it is one."""

_ERROR_LINE = re.compile(
    r"^(?:[\w.]{0,60}(?:error|exception)\b|fatal):[ \t]*(\S.*)", re.IGNORECASE | re.MULTILINE
)
"""A line that gives an error in words: `error: it broke`, `RuntimeError: out of memory`."""

_CODES = frozenset(
    {"code", "type", "status", "errorcode", "errortype", "errcode", "statuscode", "originalstatuscode"}
    | {"httpstatus", "httpstatuscode", "httpcode"}
)


class Told(NamedTuple):
    """What an error body tells.

    Attributes:
        words: The reason; empty where there is none.
        code: The code that says the most.
        meaning: What the codes mean.
        status: The HTTP status among the codes.
    """

    words: str = ""
    code: str | None = None
    meaning: Meaning | None = None
    status: int | None = None


def read(payload: object, also: str = "") -> Told:
    """Read an error body, in the forms that servers use.

    `{"error": {"message", "code", "type"}}`, the same in a list, `{"error": "text"}`, `{"message"}`,
    `{"detail": "text"}`, `{"detail": [{"loc", "msg"}]}`.
    Further reasons and codes may stand in objects and texts within.

    Args:
        payload: The parsed body.
        also: A code that came in a header.
    """
    payload = opened(payload)
    body = an_object(next(iter(a_list(payload)), payload))
    if body is None:
        return Told(code=also or None, meaning=meaning_of([also]))
    error = opened(body.get("error"))
    facts = an_object(error) or body
    outer = [str(facts[name]) for name in ("code", "type", "status") if _is_code(facts.get(name))]
    outer += [str(value) for name, value in facts.items() if squashed(name) in _CODES and _is_code(value)]
    outer += filter(None, [also])
    inner = [
        str(value)
        for name, value in walk(body)
        if _is_code(value) and (squashed(name) in _CODES or squashed(name) == "reason") and name[:1] != "@"
    ]
    if "failed_generation" in facts:
        outer.append("failed_generation")
    meaning, within = meaning_of(outer), meaning_of(inner)
    status = next(filter(None, map(status_in, (*outer, *inner))), None)
    # The text of a failed generation is the model's, so codes in it mean nothing.
    if meaning not in ("generation", "funds") and (
        within in ("funds", "context") or (meaning is None and not any(map(status_in, outer)))
    ):
        meaning = within
    words = _reason(body, facts, error)
    return Told(words, _telling(meaning, outer, inner), meaning, status)


def an_error(payload: object, *, failed: bool = False) -> dict[str, Any] | None:
    """The object that reports an error, where there is one in a 2xx reply that is no completion.

    Args:
        payload: The parsed body, or a part of it.
        failed: Whether the reply has failed already, so that a message by itself is a reason.
    """
    payload = opened(payload)
    body = an_object(next(iter(a_list(payload)), payload))
    if body is None:
        return None
    if body.get("error") or body.get("errors"):
        return body
    if body.get("choices"):
        return next(
            (each for each in map(an_object, a_list(body["choices"])) if each and each.get("error")), None
        )
    if (named := _named(body)) is not None:
        return named
    if not _has_words(body):
        inner = (facts for facts in map(an_object, body.values() if failed else ()) if facts)
        return next(({"error": facts} for facts in inner if _has_words(facts)), None)
    codes = [
        str(value)
        for name, value in body.items()
        if (squashed(name) in _CODES or name == "object") and _is_code(value)
    ]
    says_so = any((status_in(code) or 0) >= 400 or "error" in squashed(code) for code in codes)
    return body if failed or says_so or meaning_of(codes) is not None else None


def _named(body: dict[str, Any]) -> dict[str, Any] | None:
    """An error whose name is the key that it stands under: `{"throttlingException": {"message": ...}}`."""
    for name, value in body.items():
        facts = an_object(value)
        if facts and squashed(name).endswith(("exception", "error")) and _has_words(facts):
            return {"error": {"type": name, **facts}}
    return None


def _has_words(facts: dict[str, Any]) -> bool:
    return any(squashed(name) in _MESSAGES and bool(_words(value)) for name, value in facts.items())


def error_among(text: str) -> dict[str, Any] | None:
    """The error in lines that were not understood: JSON that says so, or words behind `error:`."""
    position = text.find("{")
    for _ in range(_TRIES):
        if position < 0:
            break
        try:
            found, end = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            end = position + 1
        else:
            error = an_error(found, failed=True)
            if error is not None:
                return error
        position = text.find("{", end)
    if is_html(text):
        return {"error": text}
    said = _ERROR_LINE.search(text)
    return {"error": opened(said[1].strip())} if said else None


def _telling(meaning: Meaning | None, outer: list[str], inner: list[str]) -> str | None:
    """The code that says the most: of no money or no room, else the first that is no bare status."""
    outer = [code for code in outer if code != "failed_generation"]
    decisive = meaning in ("funds", "context")
    said = [code for code in (*outer, *inner) if decisive and meaning_of([code]) == meaning]
    said += [code for code in outer if status_in(code) is None]
    return next(iter((*said, *outer)), None)


def _is_code(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() not in ("", "none", "null")  # as LiteLLM writes that there is none
    return isinstance(value, int) and not isinstance(value, bool)


def walk(payload: object) -> Iterator[tuple[str, Any]]:
    """All facts of a body by their names, the outer ones first; texts that are JSON are opened."""
    waiting = deque([("", payload, 0)])
    for _ in range(_FACTS):
        if not waiting:
            return
        name, value, depth = waiting.popleft()
        value = opened(value)
        yield name, value
        if depth < _DEEP and len(waiting) < _FACTS:
            if is_object(value):
                waiting.extend((str(key), item, depth + 1) for key, item in value.items())
            elif is_list(value):
                waiting.extend((name, item, depth + 1) for item in value[:_FACTS])


def opened(value: object) -> object:
    """What a text holds, if that is JSON, as it is or as an event; else the value itself."""
    if not isinstance(value, str):
        return value
    text = value[: _LONG + 1].strip().removeprefix("data:").lstrip()
    if text[:1] in ("{", "[") and len(text) <= _LONG:
        try:
            found: object = json.loads(text, strict=False)
        except (ValueError, RecursionError):
            return value
        return found
    return value


def _reason(body: dict[str, Any], facts: dict[str, Any], error: object) -> str:
    candidates = (
        *(facts.get(name) for name in ("message", "msg", "detail")),
        *(error, body.get("errors"), facts.get("title")),
    )
    first = next((words for words in map(_words, candidates) if words), "")
    first = first[:_LOOK]
    reasons = [] if first.startswith(("{", "[")) else [first]
    for name, value in walk(body):
        faults = _by_field(name, value)
        text = (faults or a_text(value))[:_LOOK].strip()
        # A single word is a code, and no reason beside another.
        if (
            len(reasons) > _REASONS
            or not (faults or _holds_words(name, text))
            or (first and " " not in text and text.isascii())
        ):
            continue
        text = title(text) if is_html(text) else text
        if not any(text[:2_000] in reason or reason in text[:2_000] for reason in reasons if reason):
            reasons.append(text)
    return "; ".join(filter(None, reasons)) or first


def _holds_words(name: str, text: str) -> bool:
    name = squashed(name)
    return name in _WORDS or (" " in text and name.endswith(_WORD_ENDS))


def _by_field(name: str, value: object) -> str:
    """The faults of the fields of a request, in the form of RFC 9457: `{"errors": {"n": ["too large"]}}`."""
    fields = an_object(value) if squashed(name) == "errors" else None
    if fields is None or any(squashed(field) in _WORDS | _CODES for field in fields):
        return ""
    return "; ".join(f"{field}: {words}" for field, fault in fields.items() if (words := _words(fault)))


def _words(value: object, depth: int = 0) -> str:
    value = opened(value)
    fact = an_object(value)
    if fact is None:
        text = a_text(value)
        items = a_list(value)[:20] if depth < _DEEP else ()
        return (
            title(text)
            if is_html(text)
            else text or "; ".join(filter(None, (_words(item, depth + 1) for item in items)))
        )
    message = a_text(fact.get("msg"))
    if not message:
        inner = (fact.get(name) for name in ("message", "detail", "error", "errors"))
        within = (_words(item, depth + 1) for item in inner if item and depth < _DEEP)
        return next(filter(None, within), "") or _as_json(fact)
    place = ".".join(map(str, a_list(fact.get("loc"))))
    return f"{place}: {message}" if place else message


def _as_json(value: object) -> str:
    try:
        return json.dumps(value)
    except (ValueError, RecursionError):
        return ""


def is_html(text: str) -> bool:
    """Whether a text is an HTML page."""
    start = text[:2_000].lstrip()[:1000].lower()
    return start.startswith("<") and ("<html" in start or start.startswith("<!doctype"))


def title(text: str) -> str:
    """Name an HTML page by its title, if it has one."""
    import html  # not at the top: importing the library must not load it

    lower = text.lower()
    start = lower.find(">", lower.find("<title")) + 1 if "<title" in lower else 0
    end = lower.find("</title", start)
    named = html.unescape(text[start : min(end, start + 600)]).strip() if 0 < start < end else ""
    return f"an HTML page, {named!r}" if named else "an HTML page"
