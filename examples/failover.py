"""When one provider is rate limited, ask the next: a provider of one's own around others.

Anything with such a `complete` is a provider, so patterns, budgets and kits work with it. The pattern counts
one call for each question it puts to the group, however many members were asked for it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from endpoint import endpoint

from executionkit import Kit, LLMResponse, Provider, RateLimitError, TokenUsage
from executionkit.testing import Fault


class Failover:
    """Asks the first provider that is not resting; one that is rate limited rests as long as it asked for."""

    supports_tools: Literal[True] = True

    def __init__(self, *providers: Provider) -> None:
        self.providers = providers
        self.rests_until = dict.fromkeys(providers, 0.0)
        self.log: Counter[str] = Counter()

    async def complete(self, messages: Sequence[dict[str, Any]], **options: Any) -> LLMResponse:
        for provider in self.providers:
            if time.monotonic() < self.rests_until[provider]:
                continue
            try:
                response = await provider.complete(messages, **options)
            except RateLimitError as error:
                self.rests_until[provider] = time.monotonic() + error.retry_after
                self.log[f"{provider.model} refused"] += 1
            else:
                self.log[f"{provider.model} answered"] += 1
                return response
        # The retries of the pattern wait that long, then ask again.
        wait = max(0.0, min(self.rests_until.values()) - time.monotonic())
        raise RateLimitError("every provider is rate limited", retry_after=wait)


async def main() -> None:
    first = Provider(*endpoint(simulated=[Fault.rate_limited(retry_after=30)], role="first"))
    second = Provider(*endpoint(simulated=["Paris", "Rome"], role="second"))
    async with first, second:
        group = Failover(first, second)
        kit = Kit(group)
        for country in ("France", "Italy"):
            question = f"What is the capital of {country}? Reply with its name only."
            result = await kit.consensus(question, num_samples=1, max_cost=TokenUsage(llm_calls=3))
            print(result.value)
    print(", ".join(f"{what} {count}" for what, count in group.log.items()))
    print(kit.usage)


if __name__ == "__main__":
    asyncio.run(main())
