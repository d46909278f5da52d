"""The lines of a journal: what stands in them, and how replies are written and read back."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from hashlib import blake2b
from json.encoder import encode_basestring
from typing import Any, Final

from executionkit._json import an_object, canonical_text, loads, plain
from executionkit.engine.tool_memory import Observed
from executionkit.patterns._turn import message_of, turn_of
from executionkit.responses import LLMResponse, TokenLogprob, ToolCall
from executionkit.types import TokenUsage

FORMAT: Final = 1
"""The version of the format. It grows when a reader of the version before would misread a journal."""

JOB: Final = b'{"t":"job"'
"""How the line of a job begins, which is the first one of a journal."""

_HEADER_WITH_PRICE: Final = "x-litellm-response-cost"
_DIGEST: Final = re.compile("[0-9a-f]{1,16}")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_PLAIN: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_CARRYING: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str)
_SORTED: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=canonical_text)


def quoted(text: str) -> str:
    """A text as a JSON string."""
    return encode_basestring(text)


def encoded(line: str) -> bytes:
    """A line of JSON in UTF-8. Lone surrogates become escapes, because UTF-8 can't carry them."""
    try:
        return line.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", line).encode()


def as_json(value: object) -> str:
    """A value as JSON.

    Raises:
        TypeError: JSON has no such value.
        ValueError: A number is NaN or infinite, or the value contains itself.
    """
    return _PLAIN.encode(value)


def digest_of(text: str) -> int:
    """A number of 64 bits for a text."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def digest_from(given: object) -> int | None:
    """The number that 16 hex digits stand for; None where there are none."""
    return int(given, 16) if isinstance(given, str) and _DIGEST.fullmatch(given) else None


def request_text(identity: str, messages: object, temperature: object, tools: object, options: object) -> str:
    """All that the answer to a request depends on, apart from `max_tokens`, as one text."""
    parts = [messages, temperature, tools or None, options]
    try:
        text = _SORTED.encode(parts)
    except (TypeError, ValueError):  # keys of several types, or a value that contains itself
        text = canonical_text(parts)
    return f"{identity}{text}" if identity else text


def request_digest(text: str) -> str:
    """The 16 hex digits by which a journal knows a request."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def cost_text(usage: TokenUsage) -> str:
    """A usage as the journal has it: input tokens, output tokens, calls, and dollars where they are known."""
    usd = "" if usage.usd is None else f',"{usage.usd}"'
    return f"[{usage.input_tokens},{usage.output_tokens},{usage.llm_calls}{usd}]"


def cost_from(given: object) -> TokenUsage:
    """The usage that `cost_text` wrote; none where it stands in no such form."""
    if not isinstance(given, list) or not 3 <= len(given) <= 4:
        return TokenUsage()
    counts = [each if type(each) is int else 0 for each in given[:3]]
    try:
        return TokenUsage(*counts, usd=given[3] if len(given) > 3 else None)
    except ValueError:
        return TokenUsage(*counts)


def reply_text(reply: LLMResponse) -> str:
    """The fields of a reply as members of a JSON object, without its braces."""
    usage = _counts(reply.usage) or _safe(dict(reply.usage))
    finish = reply.finish_reason
    told = quoted(finish) if type(finish) is str else _safe(finish)
    text = f'"content":{quoted(reply.content)},"finish":{told},"usage":{usage}'
    rest = _rest_of(reply)
    return f"{text},{_safe(rest)[1:-1]}" if rest else text


def _counts(usage: Mapping[str, Any], *, has_details: bool = True) -> str:
    """Counts as JSON, in half the time of an encoder; "" where there is anything else.

    Args:
        usage: Counts by name.
        has_details: Whether further counts may stand in the place of one.
    """
    told: list[str] = []
    for name, count in usage.items():
        text = ""
        if type(count) is int:
            text = str(count)
        elif count is None:
            text = "null"
        elif type(count) is dict and has_details:
            text = _counts(count, has_details=False)
        if not text or type(name) is not str:
            return ""
        told.append(f"{quoted(name)}:{text}")
    return f"{{{','.join(told)}}}"


def _rest_of(reply: LLMResponse) -> dict[str, Any]:
    """What few replies have."""
    rest: dict[str, Any] = {}
    if reply.tool_calls:
        rest["tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": plain(call.arguments)}
            | ({} if call.invalid_arguments is None else {"invalid_arguments": call.invalid_arguments})
            for call in reply.tool_calls
        ]
    if reply.reasoning:
        rest["reasoning"] = reply.reasoning
    if reply.refusal:
        rest["refusal"] = reply.refusal
    if reply.alternatives:
        rest["alternatives"] = [_whole(each) for each in reply.alternatives]
    if reply.request_id is not None:
        rest["request_id"] = reply.request_id
    if reply.logprobs:
        rest["logprobs"] = [_logprob(each) for each in reply.logprobs]
    if (price := reply.headers.get(_HEADER_WITH_PRICE)) is not None:
        rest["price"] = price
    if reply.raw is not None and (message := _sent_back(reply)):
        rest["message"] = message
    return rest


def _whole(reply: LLMResponse) -> dict[str, Any]:
    usage = dict(reply.usage)
    return {"content": reply.content, "finish": reply.finish_reason, "usage": usage} | _rest_of(reply)


def _sent_back(reply: LLMResponse) -> dict[str, Any]:
    """The message of the reply as the server gave it, where the turn that goes back to it has more of it.

    Its signatures, its reasoning and the very text of its arguments: without them the next request would be
    another one after a resume. A text that the reply has as well is not written twice.
    """
    message = message_of(reply)
    if not message or (not reply.tool_calls and _is_plain(message, reply.content)):
        return {}
    bare = replace(reply, raw=None)
    if turn_of(reply, reply.tool_calls) == turn_of(bare, reply.tool_calls):
        return {}
    kept = {name: value for name, value in plain(message).items() if name != "role" and value is not None}
    same = [name for name, value in kept.items() if value == reply.reasoning and reply.reasoning]
    for name in same:
        del kept[name]
    if kept.get("content") == reply.content:
        del kept["content"]
        kept["+content"] = True
    if same:
        kept["+reasoning"] = same
    return kept


def _is_plain(message: Mapping[str, Any], content: str) -> bool:
    """Whether a message has a text and nothing else, as most have."""
    return message.get("content") == content and all(
        value is None for name, value in message.items() if name not in ("role", "content")
    )


def _raw_of(kept: Mapping[str, Any], content: str, reasoning: str) -> dict[str, Any]:
    message = {name: value for name, value in kept.items() if not name.startswith("+")}
    if kept.get("+content"):
        message["content"] = content
    for name in kept.get("+reasoning") or ():
        message[name] = reasoning
    return {"choices": [{"message": {"role": "assistant"} | message}]}


def reply_from(line: Mapping[str, Any]) -> LLMResponse:
    """The reply that a line has."""
    content, reasoning = line.get("content") or "", line.get("reasoning") or ""
    message, price = an_object(line.get("message")), line.get("price")
    return LLMResponse(
        content,
        [
            ToolCall(
                call.get("id") or "",
                call.get("name") or "",
                call.get("arguments") or {},
                invalid_arguments=call.get("invalid_arguments"),
            )
            for call in line.get("tool_calls") or ()
        ],
        line.get("finish") or "stop",
        line.get("usage") or {},
        None if message is None else _raw_of(message, content, reasoning),
        reasoning=reasoning,
        refusal=line.get("refusal") or "",
        alternatives=[reply_from(each) for each in line.get("alternatives") or ()],
        request_id=line.get("request_id"),
        headers={} if price is None else {_HEADER_WITH_PRICE: price},
        logprobs=tuple(_logprob_from(each) for each in line.get("logprobs") or ()),
    )


def sent_line(row: str, request: str, n: int, most: tuple[int, int]) -> str:
    """The line of a request that is about to be sent; see `Book.write_sent`."""
    return f'{{"t":"sent","row":{row},"req":"{request}","n":{n},"most":[{most[0]},{most[1]}]}}\n'


def reply_line(
    row: str, request: str, n: int, reply: LLMResponse, usd: Decimal | None, rest: Mapping[str, object] | None
) -> str:
    """The line of a reply; see `Book.write_reply`."""
    cost = cost_text(TokenUsage(reply.input_tokens, reply.output_tokens, 1, usd=usd))
    more = f",{as_json(dict(rest))[1:-1]}" if rest else ""
    return f'{{"t":"call","row":{row},"req":"{request}","n":{n},{reply_text(reply)}{more},"cost":{cost}}}\n'


def failure_line(
    row: str,
    request: str,
    n: int,
    exc: BaseException,
    spent: TokenUsage | None,
    *,
    dispatched: bool,
    is_cut: bool,
) -> str:
    """The line of a request that brought no reply; see `Book.write_failure`."""
    status = getattr(exc, "status_code", None)
    more = "" if type(status) is not int else f',"status":{status}'
    more += "" if dispatched else ',"dispatched":false'
    more += ',"cut":true' if is_cut else ""
    more += "" if spent is None else f',"cost":{cost_text(spent)}'
    kind = quoted(type(exc).__name__)
    return f'{{"t":"fail","row":{row},"req":"{request}","n":{n},"error":{kind}{more}}}\n'


def tool_line(row: str, request: str, n: int, call: ToolCall, observed: Observed) -> str:
    """The line of what came of a call of a tool; see `Book.write_tool`."""
    line: dict[str, Any] = {"call": call.id, "name": call.name, "observation": observed.text}
    if observed.remark:
        line["remark"] = observed.remark
    if observed.parts:
        line["parts"] = plain(list(observed.parts))
    if observed.error is not None:
        line["error"] = observed.error
    if not observed.ran:
        line["ran"] = False
    if observed.declined:
        line["declined"] = True
    return f'{{"t":"tool","row":{row},"req":"{request}","n":{n},{as_json(line)[1:]}\n'


def observed_from(line: Mapping[str, Any]) -> Observed:
    """What came of a call of a tool, from its line."""
    return Observed(
        str(line.get("observation", "")),
        str(line.get("remark", "")),
        tuple(line.get("parts") or ()),
        line.get("error"),
        line.get("ran") is not False,
        line.get("declined") is True,
    )


def parsed(line: bytes) -> dict[str, Any] | None:
    """A line as an object; None if it is no JSON object."""
    try:
        return an_object(loads(line))
    except (ValueError, RecursionError):
        return None


def _safe(value: object) -> str:
    """A value as JSON. What JSON lacks becomes a text, so that a paid reply can't fail here."""
    try:
        return _CARRYING.encode(value)
    except (TypeError, ValueError, RecursionError):
        return _CARRYING.encode(_finite(value))


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _logprob(token: TokenLogprob) -> list[Any]:
    return [token.token, token.logprob, *([[_logprob(each) for each in token.top]] if token.top else [])]


def _logprob_from(given: list[Any]) -> TokenLogprob:
    top = tuple(_logprob_from(each) for each in given[2]) if len(given) > 2 else ()
    return TokenLogprob(given[0], float(given[1]), top)
