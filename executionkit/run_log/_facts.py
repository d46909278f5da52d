"""What a run log says of errors, replies, figures and messages, as values of JSON."""

import math
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

from executionkit._json import is_mapping, is_sequence
from executionkit._prompt import in_words
from executionkit._redaction import cleaned, redact
from executionkit._shown import shown
from executionkit._text import one_line, shorten
from executionkit.errors import LLMError, was_dispatched
from executionkit.responses import LLMResponse, ToolCall
from executionkit.types import TokenUsage

Facts: TypeAlias = dict[str, Any]

_NAME: Final = 200
_TEXT: Final = 8_000
_MOST: Final = 50
"""The most numbers of a figure, and the most tool calls of a message."""

# What a pattern calls a thing, and not what a model has said.
_WORD: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)


def name(value: object) -> str | None:
    """A name, in one line; None if it is no text."""
    return _in_line(value) if isinstance(value, str) else None


@lru_cache(maxsize=256)
def _in_line(value: str) -> str:
    # Every call says the same model and the same URL.
    return shorten(one_line(value), _NAME)


@lru_cache(maxsize=256)
def address(url: str | None) -> str | None:
    """A base URL as observers have it, also without credentials in its path."""
    return None if url is None else name(redact(url))


def text(value: str) -> str:
    """A text of a conversation: without credentials, and its beginning only if it is long."""
    kept = shorten(cleaned(value), _TEXT)
    return kept if len(value) <= _TEXT else f"{kept} [{len(value):,} characters in all]"


def number(value: object) -> int | float | None:
    """A number that JSON has; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) else None


def seconds(value: float) -> float:
    """A duration, to the microsecond."""
    return round(value, 6) if math.isfinite(value) else 0.0


def usage(value: TokenUsage | None) -> Facts | None:
    """Calls, tokens and dollars; None for no limit at all."""
    if value is None:
        return None
    found: Facts = {
        "input_tokens": value.input_tokens,
        "output_tokens": value.output_tokens,
        "llm_calls": value.llm_calls,
    }
    return found if value.usd is None else found | {"usd": str(value.usd)}


def error(exc: BaseException, *, content: bool) -> Facts:
    """The type of an error, and its status and code. Its message may quote a prompt: it is content."""
    kind = type(exc)
    home = kind.__module__.partition(".")[0]
    is_known = home == "executionkit" or home in sys.stdlib_module_names
    found: Facts = {"type": kind.__qualname__ if is_known else f"{kind.__module__}.{kind.__qualname__}"}
    if isinstance(exc, LLMError):
        if exc.status_code is not None:
            found["status"] = exc.status_code
        if exc.code is not None:
            found["code"] = name(cleaned(exc.code))
        if exc.request_id is not None:
            found["request_id"] = name(exc.request_id)
    if not was_dispatched(exc):
        found["dispatched"] = False
    if content and (message := str(exc)):
        found["message"] = text(message)
    return found


def figures(values: Mapping[str, object]) -> Facts:
    """The figures of a result: numbers, words such as "majority", and short lists of them."""
    found: Facts = {}
    for key, value in values.items():
        form = _figure(value)
        if form is not None:
            found[str(key)[:_NAME]] = form
    return found


def _figure(value: object) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value) if _WORD.fullmatch(value) else None
    if is_sequence(value):
        items = [_figure(item) for item in value[:_MOST]]
        return None if None in items or len(value) > _MOST else items
    return number(value)


def counts(response: LLMResponse) -> Facts:
    """The tokens that a reply reports, and its dollars."""
    return {"input_tokens": response.input_tokens, "output_tokens": response.output_tokens}


def reply(response: LLMResponse, *, content: bool) -> Facts:
    """The facts of a reply; with `content`, its texts."""
    found: Facts = {
        "cached_tokens": response.cached_tokens or None,
        "reasoning_tokens": response.reasoning_tokens or None,
        "estimated": response.usage_is_estimated or None,
        "finish_reason": name(response.finish_reason),
        "tool_calls": len(response.tool_calls) or None,
    }
    if response.alternatives:
        found["choices"] = 1 + len(response.alternatives)
    if response.request_id is not None:
        found["request_id"] = name(response.request_id)
    if content:
        found["reply"] = _turn(response)
        if response.alternatives:
            found["alternatives"] = [_turn(other) for other in response.alternatives]
    return found


def _turn(response: LLMResponse) -> Facts:
    found: Facts = {"role": "assistant", "text": text(response.content)}
    for part in ("reasoning", "refusal"):
        if said := getattr(response, part):
            found[part] = text(said)
    if response.tool_calls:
        found["tool_calls"] = [asked(call) for call in response.tool_calls[:_MOST]]
    return found


def asked(call: ToolCall) -> Facts:
    """A tool call with its arguments, which are content."""
    return {"name": name(call.name), "arguments": text(shown(call.arguments))}


def message(value: Mapping[str, Any]) -> Facts:
    """A message of a conversation. Pictures and files in it are described."""
    found: Facts = {"role": name(value.get("role")) or "?", "text": text(in_words(value.get("content")))}
    calls = value.get("tool_calls")
    if is_sequence(calls):
        functions = [call.get("function") for call in calls[:_MOST] if is_mapping(call)]
        found["tool_calls"] = [
            {"name": name(function.get("name")), "arguments": text(shown(function.get("arguments")))}
            for function in functions
            if is_mapping(function)
        ]
    return found


def digest(value: Mapping[str, Any]) -> int:
    """A number that tells a message from others. The message itself may be changed by its owner."""
    return hash((value.get("role"), in_words(value.get("content")), repr(value.get("tool_calls"))))
