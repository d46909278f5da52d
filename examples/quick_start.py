"""The smallest complete program: ask five times and take the most common answer."""

import asyncio

from endpoint import endpoint

from executionkit import Provider, consensus

QUESTION = "Is 91 a prime number? Reply with yes or no only."


async def main() -> None:
    async with Provider(*endpoint(simulated=["no", "yes", "no", "no", "yes"])) as provider:
        result = await consensus(provider, QUESTION, num_samples=5)
    print(f"{result.value}, say {result.agreement_ratio:.0%} of {result.samples_used} samples")
    print(result.cost)


if __name__ == "__main__":
    asyncio.run(main())
