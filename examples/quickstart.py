"""The smallest complete program: ask five times, take the answer most samples gave."""

import asyncio

from endpoint import open_provider

from executionkit import consensus

QUESTION = "Is 91 a prime number? Reply with yes or no only."


async def main() -> None:
    with open_provider(simulated=["no", "yes", "no", "no", "yes"]) as provider:
        async with provider:
            result = await consensus(provider, QUESTION, num_samples=5)
    print(f"{result.value}  ({result.agreement_ratio:.0%} agree)")
    print(result.cost)


if __name__ == "__main__":
    asyncio.run(main())
