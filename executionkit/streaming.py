"""A reply while it is being written: its events, and the stream that brings them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from executionkit.responses import LLMResponse, ToolCall, size_of

_BYTES_PER_TOKEN: Final = 4
"""The usual rule of thumb, about right in any script; used only where a server reports no usage at all."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer.

    Attributes:
        text: Never empty; all of them joined are the response's `content`.
    """

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of the reasoning, where a server sends it in a field of its own.

    Attributes:
        text: Never empty; all of them joined are the response's `reasoning`.
    """

    text: str


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    """More of a refusal.

    Attributes:
        text: Never empty; all of them joined are the response's `refusal`.
    """

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of a tool call; the whole one follows as `ToolCallDone`.

    Attributes:
        index: Which of the reply's calls, from 0, in the order in which they appeared.
        id: The call's identifier as known by now, "" before it is.
        name: The tool's name as known by now.
        arguments: The next piece of the arguments' JSON text; may be empty.
    """

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCallDone:
    """A tool call, complete. They come at the end, in the order of the response's `tool_calls`.

    Attributes:
        call: The call with its arguments parsed.
    """

    call: ToolCall


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """What the reply cost.

    Attributes:
        input_tokens: Prompt tokens.
        output_tokens: Completion tokens.
        estimated: Whether the server told nothing and this is worked out from the length of the texts.
    """

    input_tokens: int
    output_tokens: int
    estimated: bool


@dataclass(frozen=True, slots=True)
class Finish:
    """The reply is complete; the last event of a stream.

    Attributes:
        reason: The response's `finish_reason`.
        response: The whole reply, as `complete` would have returned it.
    """

    reason: str
    response: LLMResponse


StreamEvent: TypeAlias = (
    TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta | ToolCallDone | UsageEvent | Finish
)
"""What a stream brings. A reply that came through ends with `Finish`."""


class ReplyStream(ABC):
    """A reply on its way: an async iterator of events that is an async context manager too.

    The request goes out on entering, or with the first event where the stream is iterated without `async
    with`. Leaving early ends the request and closes its connection. One task at a time may iterate.

    Example:
        ```python
        from executionkit import MockProvider, TextDelta

        provider = MockProvider(["Hello, world"])
        async with provider.stream([{"role": "user", "content": "Hi"}]) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    print(event.text, end="")
        print(events.response.usage)
        ```
    """

    _opened = False
    _closed = False

    def __init__(self) -> None:
        self._tally = Tally()
        self._response: LLMResponse | None = None

    @property
    def response(self) -> LLMResponse:
        """The whole reply, once the stream has come to its end.

        Raises:
            RuntimeError: It has not; `partial` has what came by now.
        """
        if self._response is None:
            raise RuntimeError("the reply is not complete: iterate the stream to its end first")
        return self._response

    @property
    def partial(self) -> LLMResponse:
        """The reply as far as it has come; `finish_reason` is "incomplete" until it is `response`."""
        return self._response or self._tally.partial()

    @abstractmethod
    async def _open(self) -> None:
        """Send the request."""

    @abstractmethod
    async def _next(self) -> StreamEvent | None:
        """The next event, or None after the last one."""

    @abstractmethod
    async def _close(self) -> None:
        """Release everything; called once, however the stream ends, if `_open` was called."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        await self._begin()
        if self._closed:
            raise StopAsyncIteration
        try:
            event = await self._next()
        except BaseException:
            await self.aclose()
            raise
        if event is None:
            await self.aclose()
            raise StopAsyncIteration
        self._tally.add(event)
        if isinstance(event, Finish):
            self._response = event.response
        return event

    async def _begin(self) -> None:
        if self._opened or self._closed:
            return
        self._opened = True
        try:
            await self._open()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """End the request if it is under way; it may be called any number of times."""
        if not self._closed:
            self._closed = True
            if self._opened:
                await self._close()

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class Tally:
    """What of a reply has been seen: enough to keep it, and to estimate its cost, if nothing more comes."""

    def __init__(self) -> None:
        self._texts: dict[type[StreamEvent], list[str]] = {
            TextDelta: [],
            ReasoningDelta: [],
            RefusalDelta: [],
        }
        self._calls: list[ToolCall] = []
        self._usage: UsageEvent | None = None
        self._size = 0

    def add(self, event: StreamEvent) -> None:
        """Take an event into account."""
        if isinstance(event, (TextDelta, ReasoningDelta, RefusalDelta)):
            self._texts[type(event)].append(event.text)
            self._size += size_of(event.text)
        elif isinstance(event, ToolCallDelta):
            self._size += size_of(event.arguments)
        elif isinstance(event, ToolCallDone):
            self._calls.append(event.call)
        elif isinstance(event, UsageEvent):
            self._usage = event

    def partial(self, prompt_bytes: int = 0) -> LLMResponse:
        """The reply so far, with its usage: the reported one if that has come, else an estimate."""
        usage = estimated_usage(prompt_bytes, self._size)
        if self._usage is not None:
            usage |= {
                "prompt_tokens": self._usage.input_tokens,
                "completion_tokens": self._usage.output_tokens,
                "estimated": self._usage.estimated,
            }
        return LLMResponse(
            "".join(self._texts[TextDelta]),
            self._calls,
            "incomplete",
            usage,
            reasoning="".join(self._texts[ReasoningDelta]),
            refusal="".join(self._texts[RefusalDelta]),
        )


def estimated_usage(prompt_bytes: int, reply_bytes: int) -> dict[str, Any]:
    """Token counts worked out from lengths, marked as such; see `LLMResponse.usage_is_estimated`."""
    return {
        "prompt_tokens": prompt_bytes // _BYTES_PER_TOKEN,
        "completion_tokens": -(-reply_bytes // _BYTES_PER_TOKEN),
        "estimated": True,
    }


def events_of(response: LLMResponse) -> Iterator[StreamEvent]:
    """A reply that is there already, told as a stream would have told it, each text in one piece."""
    if response.reasoning:
        yield ReasoningDelta(response.reasoning)
    if response.content:
        yield TextDelta(response.content)
    if response.refusal:
        yield RefusalDelta(response.refusal)
    for call in response.tool_calls:
        yield ToolCallDone(call)
    if response.reported_input_tokens is not None or response.reported_output_tokens is not None:
        yield UsageEvent(response.input_tokens, response.output_tokens, estimated=False)
    yield Finish(response.finish_reason, response)
