"""One call as a pattern: `ask`."""

from executionkit import (
    LLMProvider,
    LLMResponse,
    PatternResult,
    ProviderError,
    RetryConfig,
    TokenUsage,
)
from executionkit import _checks as checks
from executionkit.engine.run import Run


async def ask(
    provider: LLMProvider,
    prompt: str,
    *,
    system: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    retry: RetryConfig | None = None,
) -> PatternResult[str]:
    """One call; the value is the text of the reply."""
    if temperature is not None:
        checks.between(0.0, 2.0, temperature=temperature)
    if max_tokens is not None:
        checks.at_least(1, max_tokens=max_tokens)
    messages = [{"role": "user", "content": prompt}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    async with Run("ask", provider, retry=retry) as run:
        reply = await run.complete(messages, temperature=temperature, max_tokens=max_tokens)
        return result_of(reply, run.usage)


def result_of(reply: LLMResponse, cost: TokenUsage) -> PatternResult[str]:
    """The result of one call.

    Raises:
        ProviderError: The reply has no text.
    """
    if not reply.content.strip():
        raise ProviderError(f"the reply has no text (finish_reason {reply.finish_reason!r})")
    figures = {"finish_reason": reply.finish_reason, "truncated_responses": int(reply.was_truncated)}
    return PatternResult(reply.content, cost=cost, metadata=figures)
