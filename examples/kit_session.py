"""A session with a running total over several patterns, including failures."""

import asyncio

from endpoint import endpoint

from executionkit import ConsensusFailedError, Kit, Provider
from executionkit.testing import ChatRequest


async def main() -> None:
    async with Provider(*endpoint(simulated)) as provider:
        kit = Kit(provider)
        capital = await kit.consensus(
            "What is the capital of France? Reply with its name only.", num_samples=3
        )
        print(f"{capital.value:<42} {kit.usage}")

        sentence = await kit.refine(f"Describe {capital} in one sentence.", max_iterations=2)
        print(f"{sentence.value:<42} {kit.usage}")

        try:
            await kit.consensus(
                "Name a colour, one word.", num_samples=3, strategy="unanimous"
            )
        except ConsensusFailedError as error:
            print(f"{'no agreement, but paid for':<42} {error.cost}")
    print(f"{'in all':<42} {kit.usage}")


def simulated(request: ChatRequest) -> str:
    if "Judge how well" in request.prompt:
        return "Score: 10"
    if "colour" in request.prompt:
        return ["red", "green", "blue"][request.number % 3]
    return "Paris lies on the Seine." if "Describe" in request.prompt else "Paris"


if __name__ == "__main__":
    asyncio.run(main())
