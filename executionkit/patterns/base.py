"""For patterns of your own: the documented door to the model, and the check on scores."""

from typing import Any

from executionkit import _checks as checks
from executionkit.cost import CostTracker
from executionkit.engine.convergence import validate_score
from executionkit.engine.retry import RetryConfig
from executionkit.engine.run import Run
from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse
from executionkit.types import TokenUsage

__all__ = ["checked_complete", "validate_score"]


async def checked_complete(
    provider: LLMProvider,
    messages: list[dict[str, Any]],
    tracker: CostTracker,
    budget: TokenUsage | None,
    retry: RetryConfig | None,
    **kwargs: Any,
) -> LLMResponse:
    """Call a model once, as every pattern of the library does: checked, counted, retried.

    Example:
        ```python
        from executionkit import (
            CostTracker,
            MockProvider,
            PatternResult,
            TokenUsage,
            checked_complete,
        )


        async def translate_twice(provider, prompt, *, max_cost=None, retry=None):
            tracker = CostTracker()
            text = prompt
            for language in ("French", "English"):
                message = {
                    "role": "user",
                    "content": f"Translate into {language}: {text}",
                }
                text = (
                    await checked_complete(
                        provider, [message], tracker, max_cost, retry
                    )
                ).content
            return PatternResult(text, cost=tracker.to_usage())


        provider = MockProvider(["le thé", "tea"])
        result = await translate_twice(
            provider, "tea", max_cost=TokenUsage(llm_calls=4)
        )
        assert (result.value, result.cost.llm_calls) == ("tea", 2)
        ```

    Args:
        provider: What answers; inside a pattern's run the call is charged there too.
        messages: The conversation in the OpenAI chat form.
        tracker: The ledger charged; share one between the calls of one piece of work. Every attempt that
            is dispatched counts as a call, failed ones too.
        budget: The ceiling on what `tracker` holds; None is no limit.
        retry: How a failed call is repeated; None means `DEFAULT_RETRY`.
        **kwargs: What `LLMProvider.complete` takes: `temperature`, `max_tokens`, `tools`, ...

    Returns:
        The reply.

    Raises:
        BudgetExhaustedError: The budget is spent; nothing was sent.
        LLMError: The call failed for good.
        ValueError: `tracker`, `budget` or `retry` is of the wrong kind, or `max_tokens` is less than 1.
    """
    checks.budget(budget=budget)
    if not isinstance(tracker, CostTracker):
        raise ValueError(f"tracker must be a CostTracker, got {tracker!r}")
    async with Run("checked_complete", provider, max_cost=budget, retry=retry, tracker=tracker) as run:
        return await run.complete(messages, **kwargs)
