"""Classify by vote, and let a person decide if the samples disagree.

A model that is unsure contradicts itself, so the agreement shows which answers to check.
The vote ends as soon as the remaining samples can't change the winner.
"""

import asyncio

from endpoint import endpoint

from executionkit import ConsensusFailedError, Provider, TokenUsage, answers, consensus
from executionkit.testing import ChatRequest

REVIEWS = [
    "The tea was perfect.",
    "The scones were dry.",
    "The tea was fine, the scones less so.",
]
PROMPT = (
    "Is this review positive or negative? "
    "Give a reason, then one of the two words alone on a line."
)


async def main() -> None:
    async with Provider(*endpoint(simulated)) as provider:
        spent = TokenUsage()
        for review in REVIEWS:
            try:
                result = await consensus(
                    provider,
                    f"{PROMPT}\n\n{review}",
                    num_samples=5,
                    key=answers.label("positive", "negative"),
                    stop="decided",
                    max_tokens=200,
                )
            except ConsensusFailedError as error:  # no sample contains one of the two words
                print(f"{review:<40} ask a person")
                spent += error.cost
                continue
            verdict = str(result.answer) if result.agreement_ratio > 0.8 else "ask a person"
            votes = ", ".join(f"{count} {answer}" for answer, count in result.votes)
            print(
                f"{review:<40} {verdict:<14} ({votes}; samples saved: {result.samples_saved})"
            )
            spent += result.cost
    print(spent)


def simulated(request: ChatRequest) -> str:
    """Answer the first two reviews consistently, and the third one inconsistently."""
    is_good = "perfect" in request.prompt or ("fine" in request.prompt and request.number % 2)
    return "They liked it.\npositive" if is_good else "They found fault.\nnegative"


if __name__ == "__main__":
    asyncio.run(main())
