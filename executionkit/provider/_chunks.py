"""The chunks of a streamed completion: they become events, and at the end a response."""

from typing import Any

from executionkit._json import a_list, a_text, an_object
from executionkit._text import size_of, well_formed
from executionkit.provider._error_body import an_error
from executionkit.provider._reply import response_from
from executionkit.provider._tool_calls import CallFragments
from executionkit.responses import LLMResponse, text_of
from executionkit.streaming import (
    Finish,
    ReasoningDelta,
    RefusalDelta,
    StreamEvent,
    TextDelta,
    ToolCallDone,
    UsageEvent,
    estimated_usage,
)


class _Text:
    """A text that comes in pieces. Half a surrogate pair waits for the other half, so each piece is valid."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._half = ""

    def add(self, piece: str) -> str:
        piece = self._half + piece
        self._half = piece[-1:] if "\ud800" <= piece[-1:] <= "\udbff" else ""
        piece = well_formed(piece[: len(piece) - len(self._half)])
        self._parts.append(piece)
        return piece

    def flush(self) -> str:
        rest, self._half = well_formed(self._half), ""
        self._parts.append(rest)
        return rest

    def __str__(self) -> str:
        return "".join(self._parts)


class Assembly:
    """Puts a reply together from its chunks, taken in order.

    Args:
        prompt_bytes: The size of the request, to estimate the usage if the server reports none.
    """

    def __init__(self, prompt_bytes: int) -> None:
        self._prompt_bytes = prompt_bytes
        self._content, self._reasoning, self._refusal = _Text(), _Text(), _Text()
        self._calls = CallFragments()
        self._head: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._finish = ""
        self._seen_choice = False
        self.size = 0

    @property
    def is_finished(self) -> bool:
        """Whether the server has said why the model stopped. Only the usage may follow."""
        return bool(self._finish)

    @property
    def is_cut_off(self) -> bool:
        """Whether a reply began, and nothing says that it is whole.

        llama-cpp-python ends a stream like this, with [DONE], when another request comes in. A server that
        never gives a finish reason is believed if it reports the usage.
        """
        return self._seen_choice and not self._finish and not self._usage

    @property
    def is_empty(self) -> bool:
        """Whether no chunk held any part of a reply."""
        return not self._seen_choice

    def add(self, chunk: dict[str, Any]) -> list[StreamEvent]:
        """Take one chunk and return its events."""
        for name in ("id", "created", "model", "system_fingerprint"):
            if name not in self._head and chunk.get(name):
                self._head[name] = chunk[name]
        # Some servers count as they go; the last count covers the whole reply.
        self._usage = an_object(chunk.get("usage")) or self._usage
        events: list[StreamEvent] = []
        for choice in map(an_object, a_list(chunk.get("choices"))):
            # Other choices (`n`) are paid for, but not part of the reply.
            if choice is not None and choice.get("index") in (0, None):
                self._seen_choice = True
                events += self._delta(choice)
                self._finish = a_text(choice.get("finish_reason")) or self._finish
        return events

    def _delta(self, choice: dict[str, Any]) -> list[StreamEvent]:
        delta = an_object(choice.get("delta"))
        if delta is None:
            # A whole message, if nothing came before it, or a completion in the old style.
            whole = an_object(choice.get("message")) if not self.size else None
            delta = whole or {"content": choice.get("text")}
        events: list[StreamEvent] = []
        reasoning = text_of(delta.get("reasoning_content")) or text_of(delta.get("reasoning"))
        if text := self._reasoning.add(reasoning):
            events.append(ReasoningDelta(text))
        if text := self._content.add(text_of(delta.get("content"))):
            events.append(TextDelta(text))
        if text := self._refusal.add(text_of(delta.get("refusal"))):
            events.append(RefusalDelta(text))
        fragments = a_list(delta.get("tool_calls"))
        if not fragments and (legacy := an_object(delta.get("function_call"))) is not None:
            fragments = [{"index": 0, "function": legacy}]
        for fragment in map(an_object, fragments):
            call = None if fragment is None else self._calls.add(fragment)
            if call is not None:
                events.append(call)
                self.size += size_of(call.arguments)
        self.size += sum(
            size_of(event.text)
            for event in events
            if isinstance(event, (TextDelta, ReasoningDelta, RefusalDelta))
        )
        return events

    def finish(self) -> list[StreamEvent]:
        """Return the events that end the stream."""
        rest = [
            (kind, text.flush())
            for kind, text in (
                (ReasoningDelta, self._reasoning),
                (TextDelta, self._content),
                (RefusalDelta, self._refusal),
            )
        ]
        events: list[StreamEvent] = [kind(text) for kind, text in rest if text]
        response = self._response()
        events += map(ToolCallDone, response.tool_calls)
        events.append(UsageEvent(response.input_tokens, response.output_tokens, response.usage_is_estimated))
        events.append(Finish(response.finish_reason, response))
        return events

    def _response(self) -> LLMResponse:
        message: dict[str, Any] = {"role": "assistant", "content": str(self._content)}
        if calls := self._calls.messages():
            message["tool_calls"] = calls
        if reasoning := str(self._reasoning):
            message["reasoning_content"] = reasoning
        if refusal := str(self._refusal):
            message["refusal"] = refusal
        finish = self._finish or None
        choice = {"index": 0, "message": message, "finish_reason": finish}
        body = {**self._head, "choices": [choice], "usage": self._usage or None}
        response = response_from(body, message, self._finish, self._usage)
        if response.reported_input_tokens is None and response.reported_output_tokens is None:
            usage = estimated_usage(self._prompt_bytes, self.size)
            response = response_from(body, message, self._finish, usage)
        return response


def failure_in(chunk: dict[str, Any], kind: str) -> dict[str, Any] | None:
    """Find the error in an event, in the form of an error body; None if it reports no error.

    Args:
        chunk: The event's data.
        kind: The event's type.
    """
    if chunk.get("error"):
        return chunk
    if kind == "error":
        return {"error": chunk}
    if not chunk.get("choices") and (error := an_error(chunk)) is not None:
        return error
    choices = map(an_object, a_list(chunk.get("choices")))
    return next((choice for choice in choices if choice is not None and choice.get("error")), None)
