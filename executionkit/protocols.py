"""What a pattern needs of a model: the structural interfaces any backend can satisfy."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol, runtime_checkable

from executionkit.responses import LLMResponse
from executionkit.streaming import StreamEvent


@runtime_checkable
class LLMProvider(Protocol):
    """Anything with an async `complete`: no registration, no base class.

    The parameters are typed as what the patterns hand over (plain lists of plain dicts), so that an
    implementation may accept anything wider, such as `Sequence[Mapping[str, object]]`.
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
            temperature: Sampling temperature; None leaves it to the provider's default.
            max_tokens: The most tokens the reply may have; None leaves it to the provider's default.
            tools: Tool schemas in the OpenAI form; None or empty sends none.
            **kwargs: Further request fields (`stop`, `seed`, `response_format`, ...).

        An exception that carries `dispatched = False` says that the request never left: it is not
        counted as a call.
        """
        ...


@runtime_checkable
class ToolCallingProvider(LLMProvider, Protocol):
    """An `LLMProvider` whose model can call tools."""

    @property
    def supports_tools(self) -> Literal[True]:
        """Always True; a class attribute does as well: `supports_tools: Literal[True] = True`."""
        ...


@runtime_checkable
class StreamingProvider(LLMProvider, Protocol):
    """An `LLMProvider` that can hand a reply over while it is being written."""

    def stream(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        """Send one chat completion request; the arguments are those of `complete`.

        Entering sends the request, leaving ends it. The last event of a reply that came through is a
        `Finish` with the whole response. An async generator function under
        `contextlib.asynccontextmanager` that yields an async generator will do.
        """
        ...
