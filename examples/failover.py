"""When one provider is rate limited, use the next one.

Any object with a `complete` like this one is a provider, so patterns, budgets and kits work
with it. It raises each refusal again. The pattern then retries with the next provider, and
every attempt counts.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from endpoint import endpoint

from executionkit import (
    Kit,
    LLMResponse,
    Provider,
    RateLimitError,
    RetryConfig,
    TokenUsage,
)
from executionkit.testing import Fault


class Failover:
    """Uses the first provider that is not resting.

    A rate-limited provider rests as long as it asked for.
    """

    supports_tools: Literal[True] = True

    def __init__(self, *providers: Provider) -> None:
        self.rests_until = dict.fromkeys(providers, 0.0)
        self.asked: Counter[str] = Counter()

    async def complete(
        self, messages: Sequence[dict[str, Any]], **options: Any
    ) -> LLMResponse:
        now = time.monotonic()
        provider = min(self.rests_until, key=lambda each: max(now, self.rests_until[each]))
        self.asked[provider.model] += 1
        try:
            return await provider.complete(messages, **options)
        except RateLimitError as error:
            self.rests_until[provider] = time.monotonic() + error.retry_after
            # A retry need not wait if another provider is available now.
            error.retry_after = max(0.0, min(self.rests_until.values()) - time.monotonic())
            raise


async def main() -> None:
    first = Provider(*endpoint(simulated=[Fault.rate_limited(retry_after=30)], role="first"))
    second = Provider(*endpoint(simulated=["Paris"], role="second"))
    async with first, second:
        group = Failover(first, second)
        kit = Kit(group)
        for attempt in ("with the rate limit still unknown", "with the rate limit known"):
            result = await kit.consensus(
                "What is the capital of France? Reply with its name only.",
                num_samples=3,
                retry=RetryConfig(base_delay=0.05),
                max_cost=TokenUsage(llm_calls=8),
            )
            print(f"{result.value}: {result.cost.llm_calls} calls {attempt}")
    print(f"asked: {dict(group.asked)}")
    print(kit.usage)


if __name__ == "__main__":
    asyncio.run(main())
