"""Choose the best of several candidates: by a program, then by a model that compares pairs."""

import asyncio
import re

from endpoint import endpoint

from executionkit import LLMProvider, Pairwise, Provider, best_of_n
from executionkit.testing import ChatRequest

TASK = "Name our tea shop. Two words, both with the same first letter."


def alliterates(name: str, provider: LLMProvider) -> float:
    words = name.split()
    return 0.5 * (len(words) == 2) + 0.5 * (len({word[0].lower() for word in words}) == 1)


async def by_program(provider: Provider) -> None:
    result = await best_of_n(
        provider,
        TASK,
        evaluator=alliterates,
        num_samples=4,
        target_score=1.0,
        max_concurrency=1,
    )
    print(
        f"by program: {result.value!r} after {len(result.candidates)} of 4 candidates, "
        f"{result.cost}"
    )


async def by_pairs(provider: Provider) -> None:
    result = await best_of_n(
        provider, TASK, evaluator=Pairwise("Easy to remember."), num_samples=4
    )
    print(f"by pairs:   {result.value!r}, {result.cost}")
    for name, score in sorted(zip(result.candidates, result.scores, strict=True), key=str):
        print(f"  {name:<16} won {score or 0:.2f}")
    print(
        f"  {result.disagreements} of {result.comparisons} verdicts changed with the order: "
        "ties"
    )


async def main() -> None:
    async with Provider(*endpoint(simulated)) as provider:
        await by_program(provider)
        await by_pairs(provider)


NAMES = ["Tea House", "Teapot Terrace", "The Leaf", "Tannin Tales"]


def simulated(request: ChatRequest) -> str:
    """Give four names. As a judge, prefer the longer of two, and slightly the first."""
    shown = re.findall(r"^<[ab]-\w+>\n(.*)\n</", request.prompt, re.MULTILINE)
    if not shown:
        return NAMES[(request.number - 1) % len(NAMES)]
    first, second = shown
    return f"Better: {'A' if len(first) + 1 >= len(second) else 'B'}"


if __name__ == "__main__":
    asyncio.run(main())
