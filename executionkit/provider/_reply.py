"""What comes back: an HTTP reply, whatever it is, made a response or an error; pure functions, and total."""

import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any, cast

from executionkit._json import a_list, a_text, an_object, loads
from executionkit._text import describe, well_formed
from executionkit.errors import LLMError
from executionkit.provider._failures import Reporter
from executionkit.provider._http.faults import TOO_LARGE
from executionkit.provider._http.transport import Reply
from executionkit.responses import LLMResponse, ToolCall, text_of

_GZIP_MEMBER = b"\x1f\x8b"


def interpret(reply: Reply, limit: int, report: Reporter) -> LLMResponse | LLMError:
    """Make of an HTTP reply, whatever it is, a response or the error to raise."""
    try:
        reply = _unpacked(reply, limit)
    except (ValueError, zlib.error) as exc:
        reply, broken = reply._replace(body=b""), describe(exc)
        return report.unreadable(reply, broken) if 200 <= reply.status < 300 else report.status(reply)
    if not 200 <= reply.status < 300:
        return report.status(reply)
    try:
        payload = loads(reply.body)
    except (ValueError, RecursionError) as exc:
        return report.unreadable(reply, "empty" if not reply.body.strip() else describe(exc))
    body = an_object(payload)
    if body is None:
        return report.unreadable(reply, "JSON, but not an object")
    choices = list(map(an_object, a_list(body.get("choices"))))
    found = [response for each in choices if each and (response := _response(body, each)) is not None]
    if found:
        # The first choice speaks for the request: the usage is that of all of them together.
        others = [dataclasses.replace(response, usage={}) for response in found[1:]]
        return dataclasses.replace(found[0], alternatives=others) if others else found[0]
    choice = choices[0] if choices else None
    if body.get("error"):
        return report.error_within(reply, body)
    if choice is not None and choice.get("error"):
        return report.error_within(reply, choice)
    return report.unreadable(reply, "no message in it")


def _unpacked(reply: Reply, limit: int) -> Reply:
    """Undo the compression, never making more than `limit` bytes."""
    encoding = reply.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity") or not reply.body:
        return reply
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(f"content-encoding {encoding!r}, which was not asked for")
    parts: list[bytes] = []
    rest, room = reply.body, limit
    while rest and (not parts or rest.startswith(_GZIP_MEMBER)):  # what else follows is padding
        stream = zlib.decompressobj(wbits=47)  # gzip or zlib, by its header
        part = stream.decompress(rest, room + 1)
        room -= len(part)
        if room < 0:
            raise ValueError(TOO_LARGE.format(limit))
        if not stream.eof:
            raise ValueError("the compressed body is cut off")
        parts.append(part)
        rest = stream.unused_data
    return reply._replace(body=b"".join(parts))


def _response(body: Mapping[str, Any], choice: Mapping[str, Any]) -> LLMResponse | None:
    """Read what a choice holds; None when it holds no message at all.

    A reply that came through is paid for, so nothing in it is worth an error that would be retried: what is
    missing is taken as empty.
    """
    message = an_object(choice.get("message"))
    finish = a_text(choice.get("finish_reason"))
    failed = bool(choice.get("error"))
    if message is None:
        # A completion in the old style has `text`; one that a filter withheld has no message.
        text = a_text(choice.get("text"))
        if not text and (failed or not finish):
            return None
        message = {"content": text}
    elif failed and not message.get("content"):
        return None
    return response_from(body, message, finish, an_object(body.get("usage")) or {})


def response_from(
    body: Mapping[str, Any], message: Mapping[str, Any], finish: str, usage: Mapping[str, Any]
) -> LLMResponse:
    """The response that a message makes; `body` is what it stood in."""
    calls = _tool_calls(message)
    return LLMResponse(
        well_formed(text_of(message.get("content"))),
        calls,
        finish or ("tool_calls" if calls else "stop"),
        usage,
        body,
        reasoning=well_formed(a_text(message.get("reasoning_content")) or a_text(message.get("reasoning"))),
        refusal=well_formed(a_text(message.get("refusal"))),
    )


def _tool_calls(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    calls = a_list(message.get("tool_calls"))
    if not calls:
        # The form that `tool_calls` replaced; some servers still answer in it.
        legacy = an_object(message.get("function_call"))
        calls = [] if legacy is None else [{"function": legacy}]
    return tuple(_tool_call(call) for call in map(an_object, calls) if call is not None)


def _tool_call(call: Mapping[str, Any]) -> ToolCall:
    function = an_object(call.get("function")) or {}
    # In whatever form they came: ToolCall reads them.
    arguments = cast("dict[str, Any]", function.get("arguments"))
    return ToolCall(a_text(call.get("id")), a_text(function.get("name")), arguments)
