"""Ask a cheap model several times. If its samples disagree, ask a strong one.

Each model has its own kit with a ceiling in dollars, so that the cost of each is known at the end.
EXECUTIONKIT_CHEAP_MODEL and EXECUTIONKIT_STRONG_MODEL name two models of one endpoint.
"""

import asyncio

from endpoint import endpoint

from executionkit import Kit, Provider, Rates, TokenUsage, answers
from executionkit.testing import ChatRequest

QUESTIONS = [
    "What is 17 + 25?",
    "What is the sum of the digits of 2 to the power of 15?",
    "What is 12 * 12?",
]
FORM = "Think first, then end with: The answer is ..."

# Dollars for a million tokens; `prices="genai"` knows those of public models.
PRICES = {"cheap": Rates(input="0.15", output="0.60"), "strong": Rates(input="2.50", output="10.00")}
CEILING = TokenUsage(usd="0.25")


async def answer(question: str, cheap: Kit, strong: Kit) -> str:
    draft = await cheap.consensus(
        f"{question} {FORM}", num_samples=5, key=answers.number, stop="decided", max_tokens=500
    )
    if draft.agreement_ratio >= 0.75:
        return f"{draft.answer} (cheap, {draft.agreement_ratio:.0%} of {draft.samples_used} agree)"
    final = await strong.consensus(f"{question} {FORM}", num_samples=1, key=answers.number, max_tokens=2000)
    return f"{final.answer} (strong: the cheap one said {[number for number, _ in draft.votes]})"


async def main() -> None:
    async with (
        Provider(*endpoint(sometimes_wrong, role="cheap"), prices=PRICES["cheap"]) as small,
        Provider(*endpoint(right, role="strong"), prices=PRICES["strong"]) as large,
    ):
        cheap, strong = Kit(small, max_cost=CEILING), Kit(large, max_cost=CEILING)
        for question in QUESTIONS:
            print(f"{question:<56} {await answer(question, cheap, strong)}")
    for tier, kit in [("cheap", cheap), ("strong", strong)]:
        print(f"{tier:<7} {kit.usage}")


def right(request: ChatRequest) -> str:
    numbers = {"17 + 25": 42, "digits": 26, "12 * 12": 144}
    return next(f"The answer is {number}." for text, number in numbers.items() if text in request.prompt)


def sometimes_wrong(request: ChatRequest) -> str:
    """Guess the answer if it takes more than one step."""
    return f"The answer is {20 + request.number % 3}." if "digits" in request.prompt else right(request)


if __name__ == "__main__":
    asyncio.run(main())
