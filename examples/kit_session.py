"""A session that keeps count: several patterns, one running total, failures included."""

import asyncio

from endpoint import open_provider

from executionkit import ConsensusFailedError, Kit
from executionkit.testing import ChatRequest


def simulated(request: ChatRequest) -> str:
    if "Judge how well" in request.prompt:
        return "Score: 10"
    if "colour" in request.prompt:
        return ["red", "green", "blue"][request.number % 3]
    return "Paris"


async def main() -> None:
    with open_provider(simulated) as provider:
        async with provider:
            kit = Kit(provider)
            capital = await kit.consensus(
                "What is the capital of France? Reply with its name only.", num_samples=3
            )
            print(capital, kit.usage)

            sentence = await kit.refine(f"Describe {capital} in one sentence.", max_iterations=2)
            print(sentence, kit.usage)

            try:
                await kit.consensus("Name a colour, one word.", num_samples=3, strategy="unanimous")
            except ConsensusFailedError as error:
                print("no agreement, yet paid for:", error.cost)
            print("total:", kit.usage)


if __name__ == "__main__":
    asyncio.run(main())
