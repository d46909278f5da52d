"""An HTTP reply, unpacked and read: it becomes a response or an error, whatever bytes it holds."""

import dataclasses
import re
import zlib
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from executionkit._json import a_list, a_text, an_object, is_list, is_object, loads
from executionkit._messages import joined
from executionkit._text import describe, well_formed
from executionkit.errors import LLMError, mark_spent
from executionkit.provider._chunks import Assembly, failure_in
from executionkit.provider._codings import unpacked
from executionkit.provider._error_body import error_among, opened
from executionkit.provider._failures import Reporter
from executionkit.provider._headers import facts_of
from executionkit.provider._http.transport import Reply
from executionkit.provider._logprobs import logprobs_in
from executionkit.provider._message import answer_in, failure_of, response_from
from executionkit.provider._sse import BOM, NO_STREAM, EventParser, EventTooLargeError, ServerEvent
from executionkit.provider._usage import real_usage, usage_in
from executionkit.responses import LLMResponse, text_of

_END = re.compile(rb"(?<=})\s*(?:data:\s*)?\[DONE\]$")
"""The end of a stream on the last line of a reply."""

_ODD = 16_384
"""The most characters that are looked at of an event that was not understood."""


def interpret(reply: Reply, limit: int, report: Reporter, asked: int = 1) -> LLMResponse | LLMError:
    """Turn any HTTP reply into a response, or into the error to raise.

    Args:
        reply: The reply.
        limit: The most bytes that its body may have once it is unpacked.
        report: Writes the errors.
        asked: How many choices were asked for.
    """
    try:
        body = unpacked(reply.body, reply.headers, limit)
    except (ValueError, zlib.error) as exc:
        reply, broken = reply._replace(body=b""), describe(exc)
        return report.unreadable(reply, broken) if 200 <= reply.status < 300 else report.status(reply)
    if body is not reply.body:
        reply = reply._replace(body=body)
    if not 200 <= reply.status < 300:
        return report.status(reply)
    return _interpreted(reply, limit, report, asked)


def _interpreted(reply: Reply, limit: int, report: Reporter, asked: int) -> LLMResponse | LLMError:
    """Read an unpacked reply whose status is 2xx."""
    bare = _without_marks(reply.body)
    if bare and not bare.startswith(NO_STREAM):
        events = EventParser(limit)
        with suppress(EventTooLargeError):
            read = [*events.feed(reply.body), *events.finish()]
            if read:
                odd: deque[str] = deque(maxlen=4)
                outcome = _from_events(reply, read, report, asked, odd)
                if isinstance(outcome, LLMError):
                    return explained(outcome, (*odd, events.stray), reply, report)
                return outcome
    try:
        payload = opened(loads(bare))
    except (ValueError, RecursionError) as exc:
        if (rest := _without_marks(bare, is_sure=True)) != bare:
            return _interpreted(reply._replace(body=rest), limit, report, asked)
        if lines := _chunks_by_line(bare):
            return _from_events(reply, lines, report, asked, deque(maxlen=0))
        return report.unreadable(reply, "empty" if not reply.body.strip() else describe(exc))
    if is_list(payload) and len(payload) == 1:
        payload = payload[0]
    completion = an_object(payload)
    if completion is None:
        return report.unreadable(reply, "JSON, but not an object")
    return _read(reply, completion, report, asked)


def explained(failure: LLMError, odd: Iterable[str], reply: Reply, report: Reporter) -> LLMError:
    """The error that the server wrote in what was not understood, if there is one; else `failure`."""
    text = "\n".join(odd).strip()
    found = error_among(text) if text and failure.code is None else None
    if found is None:
        return failure
    return report.error_within(reply._replace(body=text.encode("utf-8", "replace")), found)


def _read(reply: Reply, body: Mapping[str, Any], report: Reporter, asked: int) -> LLMResponse | LLMError:
    choices = [choice for choice in a_list(body.get("choices")) if is_object(choice)]
    answers = [answer for answer in map(answer_in, choices) if answer is not None]
    if answers:
        facts = facts_of(reply, report)
        logprobs = [choice.get("logprobs") for choice in choices]
        if any(logprobs):
            logprobs = _by_answer(choices, is_one=asked == 1)
            facts["logprobs"] = logprobs_in(logprobs[0])
        if len(answers) > 1:
            if asked == 1:
                answers = joined(answers)
            # The usage covers all choices together, so only the first one carries it.
            facts["alternatives"] = [
                response_from(body, message, finish, {}, logprobs=logprobs_in(sent))
                for (message, finish), sent in zip(answers[1:], logprobs[1:], strict=False)
            ]
        message, finish = answers[0]
        first = response_from(body, message, finish, real_usage(usage_in(body), body), **facts)
        if not (body.get("error") and _is_empty(first)):
            return first
    messages = [an_object(choice.get("message", choice.get("delta"))) or {} for choice in choices]
    failure = body if body.get("error") else None
    for choice, message in zip(choices, messages, strict=True):
        failure = failure or failure_of(choice, message, a_text(choice.get("finish_reason")))
    if failure is None:
        return report.unreadable(reply, "no message in it")
    texts = (well_formed(text_of(message.get("content"))) for message in messages)
    text = next(filter(str.strip, texts), "")
    return with_what_came(report.error_within(reply, failure), text, real_usage(usage_in(body), body))


def with_what_came(failure: LLMError, text: str, usage: Mapping[str, Any]) -> LLMError:
    """The error, with the text that came before it and the tokens that were spent on that."""
    if text:
        failure.metadata["partial_text"] = text
    counted = LLMResponse("", usage=usage)
    if counted.total_tokens or counted.reported_usd:
        mark_spent(failure, counted)
    return failure


def _by_answer(choices: list[dict[str, Any]], *, is_one: bool) -> list[object]:
    """The `logprobs` of each answer. An answer in several choices has those of the first that has some."""
    sent: list[object] = [choice.get("logprobs") for choice in choices if answer_in(choice) is not None]
    return [*filter(None, sent), *(None for each in sent if not each)] if is_one else sent


def _with_facts(response: LLMResponse, reply: Reply, report: Reporter) -> LLMResponse:
    facts = facts_of(reply, report)
    return dataclasses.replace(response, **facts) if facts else response


def _is_empty(response: LLMResponse) -> bool:
    return not (response.content.strip() or response.tool_calls or response.refusal)


def _without_marks(body: bytes, *, is_sure: bool = False) -> bytes:
    """A body without the signs of life around it and the end of a stream after it.

    Some servers send these with a whole reply as well. Unless `is_sure`, it is not split where nothing looks
    like that.
    """
    body = body.removeprefix(BOM).strip()
    if not is_sure and body[:1] != b":" and body[-6:] != b"[DONE]":
        return body
    lines = body.splitlines()
    first, last = 0, len(lines)
    while first < last and _is_mark(lines[first]):
        first += 1
    while first < last and _is_mark(lines[last - 1]):
        last -= 1
    return _END.sub(b"", b"\n".join(lines[first:last]))


def _chunks_by_line(body: bytes) -> list[ServerEvent]:
    """The chunks of a stream that came as bare lines of JSON; empty for other bodies."""
    lines = [line for line in map(bytes.strip, body.splitlines()) if line]
    if len(lines) < 2 or not all(line.startswith(b"{") or line == b"[DONE]" for line in lines):
        return []
    return [ServerEvent("", line.decode("utf-8", "replace")) for line in lines]


def _is_mark(line: bytes) -> bool:
    line = line.strip()
    return not line or line.startswith((b":", b"event:")) or line.removeprefix(b"data:").strip() == b"[DONE]"


def _from_events(
    reply: Reply, events: Iterable[ServerEvent], report: Reporter, asked: int, odd: deque[str]
) -> LLMResponse | LLMError:
    """Read an event stream that came for a whole reply; `odd` takes events that were not understood."""
    assembly = Assembly(None, asked)
    for event in events:
        data = event.data.strip()
        if not data:
            continue
        if data == "[DONE]":
            break
        piece = reply._replace(body=data.encode("utf-8", "replace"))
        try:
            parsed: object = opened(loads(data))
        except (ValueError, RecursionError) as exc:
            if assembly.is_finished:
                break
            parsed = opened(data)
            if parsed is data and event.type != "error":
                odd.append(data[:_ODD])
                return with_what_came(report.unreadable(piece, describe(exc)), assembly.text, assembly.usage)
        if not parsed and event.type != "error":
            continue  # null or {}: a sign of life
        chunk = an_object(parsed)
        failure = {"error": parsed} if chunk is None else failure_in(chunk, event.type)
        if failure is not None:
            if assembly.is_finished:
                break
            if chunk is None and event.type != "error":
                return report.unreadable(piece, "JSON, but not an object")
            return with_what_came(report.error_within(piece, failure), assembly.text, assembly.usage)
        if not assembly.add(chunk or {}) and chunk and not chunk.get("choices"):
            odd.append(data[:_ODD])
    if assembly.is_empty:
        return report.unreadable(reply, "no message in it")
    if assembly.is_cut_off:
        cut_off = report.unreadable(reply, "a stream that ended before the reply was finished")
        return with_what_came(cut_off, assembly.text, assembly.usage)
    failure = assembly.failure
    if failure is not None:
        return with_what_came(report.error_within(reply, failure), assembly.text, assembly.usage)
    return _with_facts(assembly.response(), reply, report)
