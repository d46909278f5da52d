"""`Relay`: a provider around a provider, for what is done with each call on its way."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse
from executionkit.streaming import StreamEvent

T = TypeVar("T")


class Parking(Protocol):
    """A run, as a relay sees it: where calls wait that it may call off."""

    async def park(self, waiting: Awaitable[T]) -> T:
        """Wait where the run can cancel the task, because nothing more is to be sent."""
        ...


PARKING: Final[ContextVar[Parking | None]] = ContextVar("executionkit_parking", default=None)
"""The run whose call is on its way."""


async def parked(waiting: Awaitable[T]) -> T:
    """Wait before a call is sent; the run that makes it may call it off meanwhile."""
    parking = PARKING.get()
    return await (waiting if parking is None else parking.park(waiting))


class Relay:
    """A provider that passes calls on to another one; what it does on the way is a matter of its class.

    It is transparent: attributes that it does not have itself (`model`, `prices`, ...) are those of
    the provider inside. It has a `stream` only where that has one.

    A subclass writes `complete` and `open_stream`. Each passes on the arguments that it was given.

    Args:
        provider: The provider inside.

    Attributes:
        provider: The provider inside.
    """

    stream: Callable[..., AbstractAsyncContextManager[AsyncIterator[StreamEvent]]]

    def __init__(self, provider: LLMProvider) -> None:
        if not callable(getattr(provider, "complete", None)):
            raise TypeError(f"{type(self).__name__}: {type(provider).__name__} has no `complete` method")
        self.provider = provider
        supports_tools = getattr(provider, "supports_tools", None)
        if supports_tools is not None:
            # From Python 3.12 on isinstance(relay, ToolCallingProvider) does not ask `__getattr__`.
            self.supports_tools: Any = supports_tools
        if callable(getattr(provider, "stream", None)):
            # Not a method of the class: isinstance(relay, StreamingProvider) would hold for every relay.
            self.stream = self.open_stream

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "provider":
            raise AttributeError(name)
        return getattr(self.provider, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.provider!r})"

    async def complete(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        """Pass a call on; see `LLMProvider.complete`."""
        return await self.provider.complete(
            messages, temperature=temperature, max_tokens=max_tokens, tools=tools, **kwargs
        )

    def open_stream(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        """Pass a streamed call on; see `StreamingProvider.stream`."""
        inner: _Streams = self.provider  # type: ignore[assignment]  # `stream` is here only where it has one
        return inner.stream(messages, temperature=temperature, max_tokens=max_tokens, tools=tools, **kwargs)


class _Streams(Protocol):
    def stream(
        self, messages: list[dict[str, Any]], **kwargs: Any
    ) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]: ...


class Replies(Protocol):
    """Replies that are there for calls, and were paid for before."""

    @property
    def left(self) -> int:
        """How many are there for the work that is done here."""
        ...

    def has(
        self, provider: LLMProvider, messages: object, temperature: object, tools: object, options: object
    ) -> bool:
        """Whether one of them answers such a call to a provider."""
        ...


Relaying: TypeAlias = Callable[[LLMProvider], LLMProvider]
"""Makes a relay around a provider. That may be a relay itself, so one provider can be inside several."""


def innermost(provider: LLMProvider) -> LLMProvider:
    """The provider inside all relays."""
    while isinstance(provider, Relay):
        provider = provider.provider
    return provider
