"""Would voting help on my data, at what cost? Three patterns over the same questions.

Put your questions with their answers in the place of QUESTIONS.
"""

import asyncio
import random

from endpoint import endpoint

from executionkit import Provider, Rates, TokenUsage, answers, bench
from executionkit.testing import ChatRequest

QUESTIONS = [
    {"question": f"{n} * 7 + {n % 9}", "answer": n * 7 + n % 9} for n in range(11, 131)
]

# Dollars for a million tokens; `prices="genai"` knows those of public models.
PRICES = Rates(input="0.15", output="0.60")


async def main() -> None:
    patterns = bench.steps(
        "ask,consensus:3,consensus:9:decided",
        "What is {question}? End with: The answer is ...",
        key=answers.number,
        max_tokens=200,
    )
    async with Provider(*endpoint(right_three_times_in_four), prices=PRICES) as provider:
        result = await bench.compare(
            QUESTIONS, patterns, provider=provider, max_cost=TokenUsage(llm_calls=2_000)
        )
    print(result)
    for outcome in result.wrong("consensus:9:decided")[:3]:
        print(f"item {outcome.item}: {outcome.answer or outcome.error}")


chance = random.Random(7)


def right_three_times_in_four(request: ChatRequest) -> str:
    """Answer the sum in the prompt, and be off by one now and then."""
    first, _, _, _, rest = request.prompt.removeprefix("What is ").split("?")[0].split(" ")
    off = chance.choice([0, 0, 0, chance.choice([-10, -1, 1, 10])])
    return f"The answer is {int(first) * 7 + int(rest) + off}."


if __name__ == "__main__":
    asyncio.run(main())
