"""Vote on five drafts and refine the winner, on one budget; then on one that is too small."""

import asyncio
from functools import partial

from endpoint import endpoint

from executionkit import (
    BudgetExhaustedError,
    LLMProvider,
    PatternResult,
    Provider,
    TokenUsage,
    consensus,
    pipe,
    refine_loop,
)
from executionkit.testing import ChatRequest

TASK = "Write a tagline for a tea house. Reply with the tagline only."


async def as_task(provider: LLMProvider, prompt: str) -> PatternResult[str]:
    """Turn the winner of the vote into the task of the next step."""
    return PatternResult(f"Improve this tagline. Reply with the tagline only.\n\n{prompt}")


STEPS = (
    partial(consensus, num_samples=5, max_tokens=500),
    as_task,
    partial(refine_loop, target_score=0.9, max_iterations=3, max_tokens=500),
)


async def main() -> None:
    async with Provider(*endpoint(simulated)) as provider:
        budget = TokenUsage(llm_calls=20, input_tokens=20_000, output_tokens=10_000)
        result = await pipe(provider, TASK, *STEPS, max_budget=budget)
        print(f"{result.value!r}, scores {result.metadata['score_history']}")
        print(f"{result.step_count} steps: {result.cost}")

        try:
            await pipe(provider, TASK, *STEPS, max_budget=TokenUsage(llm_calls=6))
        except BudgetExhaustedError as error:
            print(f"\n{error}")
            print(f"spent: {error.cost}")
            print(f"saved: {error.metadata.get('unscored_text') or error.metadata['value']!r}")


def simulated(request: ChatRequest) -> str:
    """Score longer texts higher, and write a longer text when asked for a better one."""
    if "Judge how well" in request.prompt:
        return "Score: 9.5" if "leaf by leaf" in request.prompt else "Score: 7"
    if "Improve" in request.prompt:
        return (
            "Time, poured slowly, leaf by leaf."
            if "rated" in request.prompt
            else "Time, poured slowly."
        )
    return "Time, poured." if request.number % 2 else "Tea time."


if __name__ == "__main__":
    asyncio.run(main())
