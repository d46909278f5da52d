"""Ask a cheap model by two phrasings, and a strong one only where the two answers disagree.

EXECUTIONKIT_CHEAP_MODEL and EXECUTIONKIT_STRONG_MODEL name two models of one endpoint.
"""

import asyncio

from endpoint import endpoint

from executionkit import Kit, Provider, Rates, Tier, TokenUsage, answers
from executionkit.testing import ChatRequest

QUESTIONS = [
    "What is 17 + 25?",
    "What is the sum of the digits of 2 to the power of 15?",
    "What is 12 * 12?",
]
FORM = "{} End with: The answer is ..."
VARIANTS = ("Write a Python program for it and say what it prints. {prompt}",)

# Dollars for a million tokens; `prices="genai"` knows those of public models.
CHEAP, STRONG = Rates(input="0.15", output="0.60"), Rates(input="2.50", output="10.00")


async def main() -> None:
    async with (
        Provider(*endpoint(sometimes_wrong, role="cheap"), prices=CHEAP) as small,
        Provider(*endpoint(right, role="strong"), prices=STRONG) as large,
    ):
        tiers = [Tier(small, 2, max_tokens=500), Tier(large, max_tokens=2000)]
        kit = Kit(large, max_cost=TokenUsage(usd="0.25"))
        for question in QUESTIONS:
            result = await kit.cascade(
                tiers, FORM.format(question), variants=VARIANTS, key=answers.number
            )
            cheap = [answer for answer, _ in result.votes_by_tier[0]]
            why = (
                f"strong: the cheap one said {cheap}"
                if result.escalated
                else "cheap: both agree"
            )
            print(f"{question:<56} {result.answer} ({why})")
        print(f"in all  {kit.usage}")


def right(request: ChatRequest) -> str:
    numbers = {"17 + 25": 42, "digits": 26, "12 * 12": 144}
    return next(
        f"The answer is {number}."
        for text, number in numbers.items()
        if text in request.prompt
    )


def sometimes_wrong(request: ChatRequest) -> str:
    """Guess the answer if it takes more than one step."""
    if "digits" not in request.prompt:
        return right(request)
    return "The answer is 27." if "Python" in request.prompt else "The answer is 25."


if __name__ == "__main__":
    asyncio.run(main())
