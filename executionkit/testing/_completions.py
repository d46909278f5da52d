"""A reply in the shape of OpenAI's chat completions, cut to `max_tokens`."""

import json
import time
from typing import Any

from executionkit._text import words_of
from executionkit.responses import LLMResponse, ToolCall
from executionkit.testing._http import Reply, event, json_body
from executionkit.testing._requests import ChatRequest
from executionkit.testing._tokens import count_prompt_tokens, count_tokens, first_tokens


def completion(answer: str | LLMResponse, request: ChatRequest) -> Reply:
    """Make the reply to `request` from `answer`; its alternatives become further choices.

    `count_tokens` counts the tokens. A text of more than the request's `max_tokens` is cut, with
    `finish_reason` "length". A response that has a `usage` of its own reports that one.
    """
    response = LLMResponse(answer) if isinstance(answer, str) else answer
    choices: list[dict[str, Any]] = []
    used = 0
    for index, each in enumerate((response, *response.alternatives)):
        choice, tokens = _choice(each, request.max_tokens)
        choices.append({"index": index, **choice})
        used += tokens
    if not response.usage:
        usage = {
            "prompt_tokens": count_prompt_tokens(request.messages, request.tools),
            "completion_tokens": used,
        }
        usage["total_tokens"] = sum(usage.values())
        response = LLMResponse("", usage=usage)
    if request.streamed:
        # A stream has one choice: the endpoint doesn't interleave the deltas of several.
        first = choices[0]
        pieces = _pieces(first, dict(response.usage), request)
        reply = Reply(200, b"", pieces=pieces)
        reply.input_tokens, reply.output_tokens = response.input_tokens, response.output_tokens
        return reply
    body = {
        "id": f"chatcmpl-{request.number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request.model,
        "choices": choices,
        "usage": dict(response.usage),
    }
    return Reply(
        200, json_body(body), input_tokens=response.input_tokens, output_tokens=response.output_tokens
    )


def _pieces(choice: dict[str, Any], usage: dict[str, Any], request: ChatRequest) -> tuple[bytes, ...]:
    """The reply as the events of a stream: texts word by word, the arguments of a call in two pieces.

    The log-probabilities go with the text, one token to a word, and the rest of them with the last word.
    """
    message, finish_reason = choice["message"], choice["finish_reason"]
    head: dict[str, Any] = {
        "id": f"chatcmpl-{request.number}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": request.model,
    }
    if request.wants_usage:
        head["usage"] = None

    tokens: list[dict[str, Any]] = (choice["logprobs"] or {}).get("content", [])
    words = len(words_of(message["content"] or ""))

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        nonlocal tokens, words
        sent: list[dict[str, Any]] = []
        if "content" in delta:
            words -= 1
            sent, tokens = (tokens[:1], tokens[1:]) if words > 0 else (tokens, [])
        logprobs = {"content": sent, "refusal": None} if sent else None
        piece = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return event(json.dumps({**head, "choices": [piece]}))

    deltas: list[dict[str, Any]] = []
    for name in ("reasoning_content", "content", "refusal"):
        deltas += [{name: word} for word in words_of(message.get(name) or "")]
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        middle = len(function["arguments"]) // 2
        begin = {**call, "index": index, "function": {**function, "arguments": ""}}
        deltas.append({"tool_calls": [begin]})
        for part in (function["arguments"][:middle], function["arguments"][middle:]):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    # The role is sent with the first delta. Alone it would be a piece without content, and `after` counts
    # pieces of content.
    deltas = deltas or [{"content": ""}]
    deltas[0] = {"role": "assistant", **deltas[0]}
    pieces = [*map(chunk, deltas), chunk({}, finish_reason)]
    if request.wants_usage:
        pieces.append(event(json.dumps({**head, "choices": [], "usage": usage})))
    return (*pieces, event("[DONE]"))


def _choice(response: LLMResponse, limit: int | None) -> tuple[dict[str, Any], int]:
    """Make a choice of a response, cut to `limit` tokens; return it with the number of its tokens."""
    content, calls, used, was_cut = _within(response, limit)
    finish_reason = response.finish_reason
    if was_cut:
        finish_reason = "length"
    elif calls and finish_reason == "stop":
        finish_reason = "tool_calls"
    message: dict[str, Any] = {"role": "assistant", "content": None if calls and not content else content}
    if calls:
        message["tool_calls"] = calls
    if response.reasoning:
        message["reasoning_content"] = response.reasoning
    message["refusal"] = response.refusal or None
    return {
        "message": message,
        "logprobs": _logprobs(response, content),
        "finish_reason": finish_reason,
    }, used


def _logprobs(response: LLMResponse, content: str) -> dict[str, Any] | None:
    """The log-probabilities of a response, without those of tokens that were cut off with its text."""
    entries: list[dict[str, Any]] = []
    written = 0
    for each in response.logprobs:
        if written >= len(content) and len(content) < len(response.content):
            break
        written += len(each.token)
        top = [{"token": one.token, "logprob": one.logprob, "bytes": None} for one in each.top]
        entries.append({"token": each.token, "logprob": each.logprob, "bytes": None, "top_logprobs": top})
    return {"content": entries, "refusal": None} if entries else None


def _within(response: LLMResponse, limit: int | None) -> tuple[str, list[dict[str, Any]], int, bool]:
    """Cut a response to `limit` tokens.

    Returns:
        Its text, its tool calls, the number of their tokens, and whether anything was cut.
    """
    used = count_tokens(response.content)
    if limit is not None and used > limit:
        return first_tokens(response.content, limit), [], limit, True
    calls: list[dict[str, Any]] = []
    for call in response.tool_calls:
        arguments = _arguments_text(call)
        name_tokens, argument_tokens = count_tokens(call.name), count_tokens(arguments)
        if limit is not None and used + name_tokens + argument_tokens > limit:
            room = limit - used - name_tokens
            if room < 0:
                return response.content, calls, used, True
            calls.append(_call(call, first_tokens(arguments, room)))
            return response.content, calls, limit, True
        calls.append(_call(call, arguments))
        used += name_tokens + argument_tokens
    return response.content, calls, used, False


def _arguments_text(call: ToolCall) -> str:
    return json.dumps(call.arguments) if call.invalid_arguments is None else call.invalid_arguments


def _call(call: ToolCall, arguments: str) -> dict[str, Any]:
    shown = {"type": "function", "function": {"name": call.name, "arguments": arguments}}
    # A call without an id is sent without one, as some servers do.
    return {"id": call.id, **shown} if call.id else shown
