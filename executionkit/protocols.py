"""The interfaces that a provider satisfies: any object with these methods will do."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol, runtime_checkable

from executionkit.responses import LLMResponse
from executionkit.streaming import StreamEvent


@runtime_checkable
class LLMProvider(Protocol):
    """Any object with an async `complete`: there is nothing to register or to inherit from.

    The parameters have the types that the patterns pass: lists of dicts. An implementation may accept wider
    types, such as `Sequence[Mapping[str, object]]`.
    """

    async def complete(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        """Send one chat completion request and return the reply.

        Args:
            messages: The conversation in the OpenAI chat form.
            temperature: Sampling temperature. Defaults to the provider's own.
            max_tokens: The most tokens that the reply may have. Defaults to the provider's own.
            tools: Tool schemas in the OpenAI form; an empty list is the same as no tools.
            **kwargs: Further request fields (`stop`, `seed`, `response_format`, ...).

        Set `dispatched = False` on an exception if the request never left: then it is not counted as a call.
        """
        ...


@runtime_checkable
class ToolCallingProvider(LLMProvider, Protocol):
    """An `LLMProvider` whose model can call tools."""

    @property
    def supports_tools(self) -> Literal[True]:
        """Always True. A class attribute works too: `supports_tools: Literal[True] = True`."""
        ...


@runtime_checkable
class StreamingProvider(LLMProvider, Protocol):
    """An `LLMProvider` that can stream a reply while the model writes it."""

    def stream(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        """Stream one chat completion; the arguments are those of `complete`.

        Entering sends the request, and leaving ends it. The last event of a complete reply is a `Finish` with
        the whole response. The simplest implementation is an async generator function that yields an async
        generator, decorated with `contextlib.asynccontextmanager`.
        """
        ...
