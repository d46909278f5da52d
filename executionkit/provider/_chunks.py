"""The chunks of a streamed completion: they become events, and at the end a response."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from executionkit._json import a_list, a_text, an_object, is_list
from executionkit._messages import reasoning_of, telling
from executionkit._text import size_of, well_formed, whole_characters
from executionkit.provider._error_body import an_error
from executionkit.provider._growth import Fields
from executionkit.provider._logprobs import SentLogprobs, logprobs_in
from executionkit.provider._message import failure_of, is_failure, response_from
from executionkit.provider._tool_calls import CallFragments
from executionkit.provider._usage import latest_usage, real_usage, usage_in
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

# The fields that are read here; the others are kept as they come.
_BODY: Final = frozenset(
    {"id", "created", "model", "system_fingerprint", "object", "choices", "usage", "error"}
)
_CHOICE: Final = frozenset({"index", "delta", "message", "text", "finish_reason", "usage", "logprobs"})
_MESSAGE: Final = frozenset({"role", "content", "refusal", "tool_calls", "function_call", "usage"})


class _Text:
    """A text that comes in pieces. Half a surrogate pair waits for the other half, so each piece is valid."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._half = ""

    def add(self, piece: str) -> str:
        if not piece:
            return ""
        piece, self._half = whole_characters(self._half + piece)
        self._parts.append(piece)
        return piece

    def flush(self) -> str:
        rest, self._half = well_formed(self._half), ""
        self._parts.append(rest)
        return rest

    def __str__(self) -> str:
        return "".join(self._parts)


class _Answer:
    """One answer, as much of it as has arrived."""

    def __init__(self) -> None:
        self.calls = CallFragments()
        self.finish = ""
        self._content, self._reasoning, self._refusal = _Text(), _Text(), _Text()
        self._parts: Fields | None = None
        self._message = Fields(_MESSAGE, texts_grow=True)
        self._choice = Fields(_CHOICE, texts_grow=False)
        self._logprobs = SentLogprobs()
        self.size = 0
        self.kept = 0

    def add(self, choice: dict[str, Any], number: int) -> list[StreamEvent]:
        """Take a choice of one chunk and return its events."""
        self.finish = telling(self.finish, a_text(choice.get("finish_reason")))
        delta = an_object(choice.get("delta"))
        if delta is None:
            # A whole message, if nothing came before it, or a completion in the old style.
            whole = an_object(choice.get("message")) if not self.size else None
            delta = whole or {"content": choice.get("text")}
        events: list[StreamEvent] = []
        if text := self._reasoning.add(reasoning_of(delta)):
            events.append(ReasoningDelta(text))
            self.size += size_of(text)
        content = delta.get("content")
        if self._parts is not None or is_list(content):
            self._add_parts(content)
        if text := self._content.add(text_of(content)):
            events.append(TextDelta(text))
            self.size += size_of(text)
        if text := self._refusal.add(text_of(delta.get("refusal"))):
            events.append(RefusalDelta(text))
            self.size += size_of(text)
        if "tool_calls" in delta or "function_call" in delta:
            before = self.calls.size
            for call in self.calls.add_all(_fragments(delta), number):
                events.append(call)
                self.size += size_of(call.arguments)
            self.kept += self.calls.size - before
        self.kept += self._message.add(delta) + self._choice.add(choice)
        if choice.get("logprobs"):
            self.kept += self._logprobs.add(choice["logprobs"])
        return events

    @property
    def text(self) -> str:
        """The text for the reader."""
        return str(self._content)

    @property
    def reasoning(self) -> str:
        """The reasoning, in whatever fields it came."""
        return str(self._reasoning)

    def _add_parts(self, content: object) -> None:
        """Keep the content's parts, once one came, because not all of them are text."""
        if self._parts is None:
            self._parts = Fields(frozenset(), texts_grow=True)
            if before := str(self._content):
                self._parts.add({"content": [{"type": "text", "text": before}]})
        text = text_of(content)
        if is_list(content) or text:
            parts = content if is_list(content) else [{"type": "text", "text": text}]
            self.kept += self._parts.add({"content": parts})

    def flush(self) -> list[StreamEvent]:
        """Return the events of what still waited for its other half."""
        events: list[StreamEvent] = []
        if text := self._reasoning.flush():
            events.append(ReasoningDelta(text))
        if text := self._content.flush():
            events.append(TextDelta(text))
        if text := self._refusal.flush():
            events.append(RefusalDelta(text))
        return events

    def choice(self, index: int) -> dict[str, Any]:
        """The answer in the form of a whole reply."""
        calls = self.calls.messages()
        # The "" with which many streams open is no content. A whole reply has null there.
        text = str(self._content) or (None if calls else "")
        content = text if self._parts is None else self._parts.settled().get("content")
        message: dict[str, Any] = {"role": "assistant", "content": content, **self._message.settled()}
        if calls:
            message["tool_calls"] = calls
        if refusal := str(self._refusal):
            message["refusal"] = refusal
        return {
            "index": index,
            "message": message,
            "finish_reason": self.finish or None,
            **self._logprobs.settled(),
            **self._choice.settled(),
        }


class Assembly:
    """Puts a reply together from its chunks, taken in order.

    Where one answer was asked for, the choices are its parts: some servers send the text in one and the tool
    calls in another. A choice that brings a second text is another answer, and left aside. Where several
    were asked for, the events are those of the first one.

    Args:
        prompt_bytes: The size of the request, to estimate the usage if the server reports none; None leaves
            it unknown.
        asked: How many choices were asked for.
    """

    def __init__(self, prompt_bytes: int | None, asked: int = 1) -> None:
        self._prompt_bytes = prompt_bytes
        self._asked = asked
        self._answers: dict[int, _Answer] = {0: _Answer()}
        self._first = self._answers[0]
        self._speaker: int | None = None
        self._others: set[int] = set()
        self._head: dict[str, Any] = {}
        self._body = Fields(_BODY, texts_grow=False)
        self._kept = 0
        self._usage: dict[str, Any] = {}
        self._seen_choice = False

    @property
    def size(self) -> int:
        """About how many bytes of the reply have come and are held."""
        held = self._kept
        for answer in self._answers.values():
            held += answer.size + answer.kept
        return held

    @property
    def is_finished(self) -> bool:
        """Whether the server has said why the model stopped. Only the usage may follow."""
        return bool(self._first.finish) and not is_failure(self._first.finish)

    @property
    def is_cut_off(self) -> bool:
        """Whether a reply began, and nothing says that it is whole.

        llama-cpp-python ends a stream like this, with [DONE], when another request comes in. A server that
        never gives a finish reason is believed if it reports the usage.
        """
        return self._seen_choice and not self._first.finish and not self._usage

    @property
    def is_empty(self) -> bool:
        """Whether no chunk held any part of a reply."""
        return not self._seen_choice

    @property
    def usage(self) -> dict[str, Any]:
        """The usage that the server has reported."""
        return real_usage(self._usage, self._body.settled())

    @property
    def text(self) -> str:
        """The text that has come."""
        return self._first.text

    @property
    def failure(self) -> dict[str, Any] | None:
        """The error, in the form of an error body, where the generation failed."""
        choice = self._first.choice(0)
        return failure_of(choice, choice["message"], self._first.finish)

    def add(self, chunk: dict[str, Any]) -> list[StreamEvent]:
        """Take one chunk and return its events."""
        for name in ("id", "created", "model", "system_fingerprint"):
            if name not in self._head and chunk.get(name):
                self._head[name] = chunk[name]
        self._kept += self._body.add(chunk)
        # Some servers count as they go; the last count covers the whole reply.
        if usage := usage_in(chunk):
            self._usage = latest_usage(self._usage, usage)
        events: list[StreamEvent] = []
        for choice in map(an_object, a_list(chunk.get("choices"))):
            if choice is not None:
                events += self._add_choice(choice)
        return events

    def _add_choice(self, choice: dict[str, Any]) -> list[StreamEvent]:
        index = choice.get("index")
        number = index if isinstance(index, int) and index > 0 else 0
        if self._asked > 1:
            answer = self._answers.setdefault(number, _Answer()) if number < self._asked else None
        else:
            answer = self._first if self._is_part(choice, number) else None
        if answer is None:
            return []
        self._seen_choice = self._seen_choice or answer is self._first
        events = answer.add(choice, number if self._asked == 1 else 0)
        return events if answer is self._first else []

    def _is_part(self, choice: dict[str, Any], number: int) -> bool:
        if number == self._speaker:
            return True
        if number in self._others:
            return False
        if _speaks(choice):
            if self._speaker is None or number == 0:
                self._speaker = number
            else:
                self._others.add(number)
                return False
        return True

    def finish(self, facts: Mapping[str, Any] | None = None) -> list[StreamEvent]:
        """Return the events that end the stream; `facts` are fields of the response that no chunk has."""
        events = self._first.flush()
        response = replace(self._response(), **facts) if facts else self._response()
        events += map(ToolCallDone, response.tool_calls)
        events.append(UsageEvent(response.input_tokens, response.output_tokens, response.usage_is_estimated))
        events.append(Finish(response.finish_reason, response))
        return events

    def response(self) -> LLMResponse:
        """Return the whole reply."""
        self._first.flush()
        return self._response()

    def _response(self) -> LLMResponse:
        answers = [answer for _, answer in sorted(self._answers.items())]
        choices = [answer.choice(index) for index, answer in enumerate(answers)]
        rest = self._body.settled()
        usage = real_usage(self._usage, rest)
        body = {**self._head, "choices": choices, "usage": usage or None, **rest}

        def response(number: int, counts: dict[str, Any]) -> LLMResponse:
            message, answer = choices[number]["message"], answers[number]
            logprobs = logprobs_in(choices[number].get("logprobs"))
            return response_from(body, message, answer.finish, counts, answer.reasoning, logprobs=logprobs)

        found = response(0, usage)
        if (
            self._prompt_bytes is not None
            and found.reported_input_tokens is None
            and found.reported_output_tokens is None
        ):
            written = sum(answer.size for answer in answers)
            found = response(0, estimated_usage(self._prompt_bytes, written))
        others = [response(number, {}) for number in range(1, len(answers))]
        return replace(found, alternatives=others) if others else found


def _fragments(delta: dict[str, Any]) -> list[dict[str, Any]]:
    fragments = a_list(delta.get("tool_calls"))
    if not fragments and (legacy := an_object(delta.get("function_call"))) is not None:
        fragments = [{"index": 0, "function": legacy}]
    return [fragment for fragment in map(an_object, fragments) if fragment is not None]


def _speaks(choice: dict[str, Any]) -> bool:
    delta = an_object(choice.get("delta", choice.get("message")))
    return bool(text_of(choice.get("text")) if delta is None else text_of(delta.get("content")))


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
