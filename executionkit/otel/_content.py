"""Messages, replies and tool calls as the conventions write them: redacted, cut, and without pictures."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from executionkit._json import a_text, is_array, is_mapping
from executionkit._prompt import in_words
from executionkit._redaction import cleaned
from executionkit.responses import LLMResponse, ToolCall

MOST: Final = 8_192
"""The most bytes of one part."""


def cut(text: str) -> str:
    """Redact a text, and cut it to `MOST` bytes."""
    return cleaned(text).encode()[:MOST].decode(errors="ignore")


def messages_as_json(messages: Iterable[Mapping[str, Any]]) -> str:
    """The messages of a request."""
    return _written([{"role": a_text(each.get("role")), "parts": _parts_of(each)} for each in messages])


def reply_as_json(reply: LLMResponse) -> str:
    """A reply: a message for each of its choices."""
    return _written([_choice(each) for each in (reply, *reply.alternatives)])


def tools_as_json(tools: Sequence[Mapping[str, Any]]) -> str:
    """The definitions of tools."""
    functions = (tool.get("function") for tool in tools)
    return _written([{"type": "function", **_definition(each)} for each in functions if is_mapping(each)])


def arguments_as_json(call: ToolCall) -> str:
    """The arguments of a tool call."""
    return cut(call.invalid_arguments or _written(call.arguments))


def _parts_of(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    if message.get("role") == "tool":
        identifier = a_text(message.get("tool_call_id"))
        return [{"type": "tool_call_response", "id": identifier, "response": cut(in_words(content))}]
    parts = [_part(piece) for piece in content] if is_array(content) else _text(a_text(content))
    calls = message.get("tool_calls")
    if is_array(calls):
        parts += [_requested(call) for call in calls if is_mapping(call)]
    return parts


def _text(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "content": cut(text)}] if text else []


def _part(piece: object) -> dict[str, Any]:
    kind = a_text(piece.get("type")) if is_mapping(piece) else "text"
    return {"type": kind or "text", "content": cut(in_words([piece]))}


def _requested(call: Mapping[Any, Any]) -> dict[str, Any]:
    function = call.get("function")
    function = function if is_mapping(function) else {}
    return _tool_call(
        ToolCall(a_text(call.get("id")), a_text(function.get("name")), function.get("arguments"))  # type: ignore[arg-type]  # JSON text is read
    )


def _tool_call(call: ToolCall) -> dict[str, Any]:
    written = arguments_as_json(call)
    try:
        arguments: object = json.loads(written)
    except ValueError:  # cut off, or never JSON
        arguments = written
    return {"type": "tool_call", "id": call.id, "name": call.name, "arguments": arguments}


def _choice(reply: LLMResponse) -> dict[str, Any]:
    parts = [{"type": "reasoning", "content": cut(reply.reasoning)}] if reply.reasoning else []
    parts += _text(reply.content) + _text(reply.refusal) + [_tool_call(call) for call in reply.tool_calls]
    return {"role": "assistant", "parts": parts, "finish_reason": reply.finish_reason}


def _definition(function: Mapping[Any, Any]) -> dict[str, Any]:
    defined = {"name": a_text(function.get("name"))}
    if description := a_text(function.get("description")):
        defined["description"] = cut(description)
    written = cut(_written(function.get("parameters")))
    try:
        return {**defined, "parameters": json.loads(written)}
    except ValueError:
        return defined


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
