"""A provider around a provider that keeps a count of its own, to hold the library's against."""

from typing import Any, Literal

from executionkit import LLMProvider, LLMResponse, TokenUsage


class Tally:
    """Hands every call on and counts it: a call when it is sent, tokens when the reply says them.

    Attributes:
        usage: What has been counted.
        overrun: Whether a reply had more tokens than `max_tokens` allowed it, which is the endpoint's doing.
        supports_tools: True, as of the provider within.
    """

    supports_tools: Literal[True] = True

    def __init__(self, provider: LLMProvider) -> None:
        self._provider = provider
        self.usage = TokenUsage()
        self.overrun = False

    async def complete(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        """Ask the provider."""
        self.usage += TokenUsage(llm_calls=1)
        try:
            reply = await self._provider.complete(
                messages, temperature=temperature, max_tokens=max_tokens, tools=tools, **kwargs
            )
        except BaseException as error:  # a cancelled call may not have left either, and says so
            if getattr(error, "dispatched", True) is False:
                self.usage = TokenUsage(
                    self.usage.input_tokens, self.usage.output_tokens, self.usage.llm_calls - 1
                )
            raise
        self.usage += TokenUsage(reply.input_tokens, reply.output_tokens)
        self.overrun |= max_tokens is not None and reply.output_tokens > max_tokens
        return reply
