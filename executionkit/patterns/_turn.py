"""The model's turn in a conversation, as it goes back to the server: as the server gave it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from executionkit._json import STRICT, a_list, a_text, an_object, is_list, plain
from executionkit._messages import REASONING_FIELDS, joined, raw_calls
from executionkit.responses import LLMResponse, ToolCall, text_of

_ARGUMENTS: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

_OWN: Final = frozenset({"role", "content", "tool_calls", "function_call", "usage"})
_OWN_OF_CALL: Final = frozenset({"id", "type", "function"})
_OWN_OF_FUNCTION: Final = frozenset({"name", "arguments"})


def turn_of(reply: LLMResponse, calls: Sequence[ToolCall]) -> dict[str, Any]:
    """The assistant's message for a reply.

    Fields that the library does not know are kept: many servers want their signatures and reasoning back
    beside the tool calls. They are read from `reply.raw`, if that is a completion which the reply is from.

    Args:
        reply: The reply.
        calls: Its tool calls, with the ids that their results name.
    """
    turn: dict[str, Any] = {"role": "assistant", "content": reply.content or (None if calls else "")}
    given = message_of(reply)
    if not given:
        if calls:
            turn["tool_calls"] = [_own_form(call, _ARGUMENTS.encode(call.arguments)) for call in calls]
        return turn
    content = given.get("content")
    if text_of(content) == reply.content and (is_list(content) or content == ""):
        turn["content"] = plain(content)
    if calls:
        asked = raw_calls(given)
        beside = asked if len(asked) == len(calls) else [{}] * len(calls)
        turn["tool_calls"] = list(map(_call, calls, beside))
    return {**turn, **_unknown(given, _OWN)}


def without_reasoning(turn: dict[str, Any]) -> dict[str, Any]:
    """A turn without the fields of its reasoning: some servers refuse them once the turn has ended."""
    if REASONING_FIELDS.isdisjoint(turn):
        return turn
    return {name: value for name, value in turn.items() if name not in REASONING_FIELDS}


def _call(call: ToolCall, given: Mapping[str, Any]) -> dict[str, Any]:
    function = an_object(given.get("function")) or {}
    form = _own_form(call, _arguments(call, function.get("arguments")))
    form["function"] |= _unknown(function, _OWN_OF_FUNCTION)
    form["type"] = a_text(given.get("type")) or "function"
    return form | _unknown(given, _OWN_OF_CALL)


def _own_form(call: ToolCall, arguments: str) -> dict[str, Any]:
    # Arguments that were no JSON object go back as {}: some servers parse what stands here, and refuse a
    # history they can't. The model reads the raw text in the observation.
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _arguments(call: ToolCall, given: object) -> str:
    if isinstance(given, str):
        try:
            if STRICT.decode(given) == call.arguments:
                return given
        except (ValueError, RecursionError):
            pass
    return _ARGUMENTS.encode(call.arguments)


def _unknown(fields: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    if fields.keys() <= known:
        return {}
    # A null says nothing, and some servers refuse the nulls that they themselves send.
    return {name: plain(value) for name, value in fields.items() if name not in known and value is not None}


def message_of(reply: LLMResponse) -> Mapping[str, Any]:
    """The message in `raw` that the reply was read from; empty if there is none."""
    if reply.raw is None:
        return {}
    body = an_object(reply.raw) or {}
    found = [
        an_object(choice.get("message")) for choice in map(an_object, a_list(body.get("choices"))) if choice
    ]
    messages: list[Mapping[str, Any]] = [message for message in found if message is not None]
    if len(messages) < 2:  # nearly all replies
        return messages[0] if messages and _is_of(messages[0], reply) else {}
    # The parts of one answer may have come in several choices; of several answers, it is one.
    whole = joined([(message, "") for message in messages])[0][0]
    return next((message for message in (whole, *messages) if _is_of(message, reply)), {})


def _is_of(message: Mapping[str, Any], reply: LLMResponse) -> bool:
    """Whether the message asks for the reply's calls. A provider may have changed a reply, and kept `raw`."""
    calls = raw_calls(message)
    if not calls:
        return not reply.tool_calls
    names = [(an_object(call.get("function")) or {}).get("name") or "" for call in calls]
    return names == [call.name for call in reply.tool_calls]
