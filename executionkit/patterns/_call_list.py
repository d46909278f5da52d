"""The tool calls of a conversation, each with its result, as a list to show."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from executionkit._display._card import Entry
from executionkit._json import an_object
from executionkit._opening import raw_calls_of
from executionkit.responses import text_of


def calls_in(messages: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """The calls in their order; one without a result is shown without."""
    results = {each.get("tool_call_id"): text_of(each.get("content")) for each in _of(messages, "tool")}
    return [
        Entry(_written(an_object(call.get("function")) or {}), results.get(call.get("id"), ""))
        for message in _of(messages, "assistant")
        for call in raw_calls_of(message)
    ]


def _of(messages: Sequence[Mapping[str, Any]], role: str) -> Iterator[Mapping[str, Any]]:
    return (message for message in messages if message.get("role") == role)


def _written(function: Mapping[str, Any]) -> str:
    arguments = function.get("arguments", "")
    shown = arguments if isinstance(arguments, str) else json.dumps(arguments, default=repr)
    return f"{function.get('name', '')}({shown})"
