"""A provider around a provider that keeps what passes through it, for the demo to show."""

from typing import Any, Literal

from executionkit import LLMError, LLMProvider, LLMResponse
from executionkit._text import collapsed


class Recorder:
    """Hands every call on and remembers it; whatever has this shape can be given to a pattern.

    Attributes:
        replies: The replies since the last `clear`, each with the temperature it was asked for with.
        failures: The attempts that failed.
        messages: The conversation of the latest call.
    """

    supports_tools: Literal[True] = True

    def __init__(self, provider: LLMProvider) -> None:
        self._provider = provider
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.replies: list[tuple[float | None, LLMResponse]] = []
        self.failures: list[LLMError] = []
        self.messages: list[dict[str, Any]] = []

    async def complete(
        self, messages: list[dict[str, Any]], *, temperature: float | None = None, **kwargs: Any
    ) -> LLMResponse:
        """Ask the provider."""
        self.messages = messages
        try:
            reply = await self._provider.complete(messages, temperature=temperature, **kwargs)
        except LLMError as error:
            self.failures.append(error)
            raise
        self.replies.append((temperature, reply))
        return reply

    def texts(self, *, temperature: float) -> list[str]:
        """The texts of the replies asked for with this temperature, each on one line."""
        return [collapsed(reply.content) for asked, reply in self.replies if asked == temperature]
