"""Refine a text against criteria that a program can check, and see where the score came from."""

import asyncio

from endpoint import open_provider

from executionkit import LLMProvider, refine_loop

TASK = (
    "Tell a customer that the order is late. Apologise, name the new date (Friday), at most 120 characters."
)

DRAFTS = [
    "Your order is late.",
    "We are sorry: your order is late. It will arrive soon.",
    "We are sorry: your order is late. It will arrive on Friday.",
]


async def criteria(text: str, provider: LLMProvider) -> float:
    """The share of the criteria that are met; a call made through `provider` would count as well."""
    met = ["sorry" in text.lower(), "friday" in text.lower(), len(text) <= 120]
    return sum(met) / len(met)


async def main() -> None:
    with open_provider(simulated=DRAFTS) as provider:
        async with provider:
            result = await refine_loop(
                provider, TASK, evaluator=criteria, target_score=1.0, max_iterations=4, max_tokens=200
            )
    print(result.value)
    print("scores:", ", ".join(f"{score:.2f}" for score in result.score_history))
    print(f"stopped by {result.stop_reason} after {result.iterations} improvements, {result.cost}")


if __name__ == "__main__":
    asyncio.run(main())
