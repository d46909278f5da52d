"""A reply while it is being written: its events, and the stream that brings them."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Never, Self, SupportsIndex, TypeAlias

from executionkit._display import Brief
from executionkit._text import size_of
from executionkit.responses import LLMResponse, ToolCall

BYTES_PER_TOKEN: Final = 4
"""A rule of thumb, about right in any script, for replies whose server reports no usage."""

_SPENT = "a stream serves one request and is entered once: call `stream` again for another request"
_BUSY = (
    "another task is reading this stream: only one at a time can; open a second stream for a second reader"
)
_ELSEWHERE = "this stream was opened in another event loop: read and close it in that one"


@dataclass(frozen=True, slots=True)
class TextDelta(Brief):
    """A piece of the answer.

    Attributes:
        text: The piece, never empty. All pieces joined are the response's `content`.
    """

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta(Brief):
    """A piece of the reasoning, from servers that send it in a field of its own.

    Attributes:
        text: The piece, never empty. All pieces joined are the response's `reasoning`.
    """

    text: str


@dataclass(frozen=True, slots=True)
class RefusalDelta(Brief):
    """A piece of a refusal.

    Attributes:
        text: The piece, never empty. All pieces joined are the response's `refusal`.
    """

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta(Brief):
    """A piece of a tool call. The whole call follows as `ToolCallDone`.

    Attributes:
        index: The number of the call in the reply, from 0, in order of appearance.
        id: The call's identifier so far; "" before it has come.
        name: The tool's name so far.
        arguments: The next piece of the arguments' JSON text; may be empty.
    """

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCallDone(Brief):
    """A whole tool call. Whole calls come at the end, in the order of the response's `tool_calls`.

    Attributes:
        call: The call with its arguments parsed.
    """

    call: ToolCall


@dataclass(frozen=True, slots=True)
class UsageEvent(Brief):
    """The reply's token counts.

    Attributes:
        input_tokens: Prompt tokens.
        output_tokens: Completion tokens.
        estimated: Whether the server reported no usage, and the counts are estimated from the texts' length.
    """

    input_tokens: int
    output_tokens: int
    estimated: bool


@dataclass(frozen=True, slots=True)
class Finish(Brief):
    """The last event of a stream: the reply is complete.

    Attributes:
        reason: The response's `finish_reason`.
        response: The whole reply, as `complete` would have returned it.
    """

    reason: str
    response: LLMResponse


StreamEvent: TypeAlias = (
    TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta | ToolCallDone | UsageEvent | Finish
)
"""An event of a stream. A complete reply ends with `Finish`."""


class ReplyStream(ABC):
    """A reply while it arrives: an async iterator of events, and an async context manager.

    Entering sends the request. Without `async with`, the first iteration sends it. Leaving early ends the
    request and closes its connection.

    A stream serves one request: it is entered once, in one event loop, and one task at a time may iterate.
    Any other use raises a RuntimeError.

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

    _loop: asyncio.AbstractEventLoop | None = None
    _entered = False
    _opened = False
    _closed = False
    _under_way: asyncio.Timeout | None = None
    _prompt_bytes = 0
    """The size of the prompt, once it was sent, for an estimate if the usage does not come."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._response: LLMResponse | None = None
        self._turn = asyncio.Lock()

    @property
    def response(self) -> LLMResponse:
        """The whole reply, once the stream has ended.

        Raises:
            RuntimeError: The stream has not ended; `partial` has the reply so far.
        """
        if self._response is None:
            raise RuntimeError("the reply is not complete: iterate the stream to its end first")
        return self._response

    @property
    def partial(self) -> LLMResponse:
        """The reply so far; `finish_reason` is "incomplete" until the stream has ended.

        Until the reported usage has come, its usage is an estimate and marked as one: of the texts, and of
        the prompt if that was sent.
        """
        return self._response or self._tally.partial(self._prompt_bytes)

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
        event = None if self._closed else await self._alone(self._advance)
        if event is None:
            raise StopAsyncIteration
        return event

    async def __aenter__(self) -> Self:
        if self._entered or self._closed:
            raise RuntimeError(_SPENT)
        await self._alone(self._enter)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the request if it is under way.

        Any task of the loop may call it, any number of times. The iteration ends for a task that is waiting
        for an event.
        """
        if self._closed:
            return
        self._require_own_loop()
        self._closed = True
        if self._under_way is not None:
            # A timeout cancels the step in a way that neither its task nor a timeout around it sees.
            self._under_way.reschedule(asyncio.get_running_loop().time())
        async with self._turn:
            await self._release()

    async def _alone(self, step: Callable[[], Awaitable[StreamEvent | None]]) -> StreamEvent | None:
        """Take a step that no other task takes meanwhile; None if another task closed the stream."""
        self._require_own_loop()
        if self._turn.locked():
            raise RuntimeError(_BUSY)
        self._loop = asyncio.get_running_loop()
        async with self._turn:
            try:
                async with asyncio.timeout(None) as self._under_way:
                    return await step()
            except BaseException as exc:
                if self._closed and isinstance(exc, TimeoutError):
                    return None
                self._closed = True
                raise
            finally:
                self._under_way = None
                if self._closed:
                    await self._release()

    async def _enter(self) -> None:
        self._entered = True
        await self._begin()

    async def _advance(self) -> StreamEvent | None:
        await self._begin()
        event = await self._next()
        if event is None:
            self._closed = True
            return None
        self._tally.add(event)
        if isinstance(event, Finish):
            self._response = event.response
        return event

    async def _begin(self) -> None:
        if not self._opened:
            self._opened = True
            await self._open()

    async def _release(self) -> None:
        if self._opened:
            self._opened = False
            await self._close()

    def _require_own_loop(self) -> None:
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise RuntimeError(_ELSEWHERE)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Never:
        raise TypeError("a stream can't be pickled or copied: the reply is on its way to this process")


class Tally:
    """The parts of a reply seen so far: enough to keep it and to estimate its cost if no more comes."""

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
    """Token counts estimated from lengths, and marked so; see `LLMResponse.usage_is_estimated`."""
    return {
        "prompt_tokens": prompt_bytes // BYTES_PER_TOKEN,
        "completion_tokens": -(-reply_bytes // BYTES_PER_TOKEN),
        "estimated": True,
    }


def events_of(response: LLMResponse) -> Iterator[StreamEvent]:
    """The events of a reply that is there already, each text in one piece."""
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
