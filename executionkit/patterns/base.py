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
    """Call a model once, checked, counted and retried as in every pattern of the library.

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
                task = f"Translate into {language}: {text}"
                messages = [{"role": "user", "content": task}]
                reply = await checked_complete(
                    provider, messages, tracker, max_cost, retry
                )
                text = reply.content
            return PatternResult(text, cost=tracker.to_usage())


        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        provider = MockProvider(["le thé", "tea"])
        budget = TokenUsage(llm_calls=4)
        result = await translate_twice(provider, "tea", max_cost=budget)
        assert (result.value, result.cost.llm_calls) == ("tea", 2)
        ```

    Args:
        provider: Makes the model calls: a `Provider`, or any object that satisfies `LLMProvider`. If it is
            the provider that a pattern handed on, the call counts against that pattern's budget too.
        messages: The conversation, in the form of the chat completions API.
        tracker: The ledger to charge. Share one between all calls of a piece of work. Each attempt that is
            sent counts as a call, failed ones included.
        budget: Maximum calls and tokens that `tracker` may hold. None sets no limit.
        retry: How failed calls are retried. None: those of the run around it, else `DEFAULT_RETRY`.
        **kwargs: Further arguments of `LLMProvider.complete`: `temperature`, `max_tokens`, `tools`, ...

    Returns:
        The reply.

    Raises:
        BudgetExhaustedError: The budget is used up. No request was sent.
        LLMError: The call failed for good.
        ValueError: `tracker`, `budget` or `retry` has the wrong type, or `max_tokens` is less than 1.
    """
    checks.budget(budget=budget)
    if not isinstance(tracker, CostTracker):
        raise ValueError(f"tracker must be a CostTracker, got {tracker!r}")
    async with Run("checked_complete", provider, max_cost=budget, retry=retry, tracker=tracker) as run:
        return await run.complete(messages, **kwargs)
