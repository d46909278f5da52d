"""The tool calls of a conversation, each with its result, as a list to show."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from executionkit._display._card import Entry, Fold
from executionkit._json import an_object
from executionkit._opening import raw_calls_of
from executionkit.responses import text_of


def calls_of(messages: Sequence[Mapping[str, Any]]) -> Fold:
    """The calls in their order; one without a result is shown without."""
    calls = [call for message in _of(messages, "assistant") for call in raw_calls_of(message)]
    results = {each.get("tool_call_id"): each.get("content") for each in _of(messages, "tool")}
    entries = (
        Entry(_written(an_object(call.get("function")) or {}), text_of(results.get(call.get("id"), "")))
        for call in calls
    )
    return Fold("Tool calls in the conversation", len(calls), entries)


def _of(messages: Sequence[Mapping[str, Any]], role: str) -> Iterator[Mapping[str, Any]]:
    return (message for message in messages if message.get("role") == role)


def _written(function: Mapping[str, Any]) -> str:
    arguments = function.get("arguments", "")
    shown = arguments if isinstance(arguments, str) else json.dumps(arguments, default=repr)
    return f"{function.get('name', '')}({shown})"
