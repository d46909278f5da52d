"""`Governor`: lets calls pass when the limits of the account have room for them."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

from executionkit.engine.relay import Relay
from executionkit.many._limits.limits import RateLimits
from executionkit.many._limits.line import Line
from executionkit.many._limits.pace import Ticket
from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse
from executionkit.streaming import Finish, StreamEvent

_held: ContextVar[tuple[Ticket, ...]] = ContextVar("held", default=())
"""The streams that the running task, or one around it, has opened."""


class Governor(Relay):
    """A provider around a provider whose calls wait for room under the account's limits.

    It does not retry. A refusal goes up to the pattern, which counts it as a call and tries again. Under a
    governor, refusals by a limit don't use up `max_retries`: the call goes back into the line, and waits for
    what the server asks there.

    Example:
        ```python
        from executionkit import MockProvider, RateLimitError, consensus
        from executionkit.many import Governor, RateLimits

        refusal = RateLimitError("slow down", retry_after=0.01)
        limits = RateLimits()
        governor = Governor(MockProvider([refusal, "Paris"]), limits)
        result = await consensus(governor, "The capital of France?", num_samples=1)
        assert (result.value, result.cost.llm_calls, limits.refused) == ("Paris", 2, 1)
        ```

    Args:
        provider: The provider inside.
        limits: The limits of the account. Governors that are given the same object share them. Defaults to 64
            calls in flight, and rates that are learnt.
    """

    def __init__(self, provider: LLMProvider, limits: RateLimits | None = None) -> None:
        super().__init__(provider)
        if not isinstance(limits, (RateLimits, type(None))):
            raise ValueError(f"limits must be a RateLimits or None, got {limits!r}")
        self.limits: RateLimits = RateLimits() if limits is None else limits
        self._is_double = _governs(provider, self.limits)

    async def complete(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        """Pass a call on when there is room; see `LLMProvider.complete`."""
        if self._is_double:
            return await super().complete(
                messages, temperature=temperature, max_tokens=max_tokens, tools=tools, **kwargs
            )
        line = self.limits.line
        size = line.size_of(messages, tools, kwargs.get("n"))
        ticket = await line.enter(size, beside=_is_beside())
        try:
            reply = await self.provider.complete(
                messages, temperature=temperature, max_tokens=max_tokens, tools=tools, **kwargs
            )
        except BaseException as exc:
            line.failed(ticket, exc)
            raise
        line.answered(ticket, size, reply)
        return reply

    def open_stream(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        """Pass a streamed call on when there is room; see `StreamingProvider.stream`.

        It counts as in flight until it is closed. A call that is made while a stream of the same task is open
        does not wait for room in flight: the stream might end only after it.
        """
        manager = super().open_stream(
            messages, temperature=temperature, max_tokens=max_tokens, tools=tools, **kwargs
        )
        if self._is_double:
            return manager
        return _GovernedStream(self.limits.line, manager, messages, tools)


def _governs(provider: LLMProvider, limits: RateLimits) -> bool:
    """Whether calls wait for these limits further inside: a call that has room must not wait for more."""
    while isinstance(provider, Relay):
        if isinstance(provider, Governor) and provider.limits is limits:
            return True
        provider = provider.provider
    return False


def _is_beside() -> bool:
    """Whether the running task holds an open stream."""
    held = _held.get()
    return bool(held) and any(ticket.is_open for ticket in held)


class _GovernedStream(AbstractAsyncContextManager[AsyncIterator[StreamEvent]]):
    """A stream that takes its room when it is entered, and gives it back when it is left."""

    _ticket: Ticket | None = None
    _reply: LLMResponse | None = None
    _fault: BaseException | None = None
    _events: AsyncIterator[StreamEvent] | None = None

    def __init__(
        self,
        line: Line,
        manager: AbstractAsyncContextManager[AsyncIterator[StreamEvent]],
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None,
    ) -> None:
        self._line = line
        self._manager = manager
        self._size = line.size_of(messages, tools, 1)

    async def __aenter__(self) -> AsyncIterator[StreamEvent]:
        self._ticket = await self._line.enter(self._size, beside=_is_beside())
        try:
            events = await self._manager.__aenter__()
        except BaseException as exc:
            self._end(exc)
            raise
        held = tuple(ticket for ticket in _held.get() if ticket.is_open)
        _held.set((*held, self._ticket))
        self._events = aiter(events)
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        if self._events is None:
            raise StopAsyncIteration
        try:
            event = await anext(self._events)
        except StopAsyncIteration:
            raise
        except Exception as exc:
            self._fault = exc
            raise
        if isinstance(event, Finish):
            self._reply = event.response
        return event

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._events = None
        try:
            return await self._manager.__aexit__(kind, exc, trace)
        finally:
            self._end(self._fault)

    def _end(self, fault: BaseException | None) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is None:
            return
        if fault is not None:
            self._line.failed(ticket, fault)
        else:
            self._line.answered(ticket, self._size, self._reply or LLMResponse(""))

    def __del__(self) -> None:
        self._end(None)
