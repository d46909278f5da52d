"""Classify reviews by vote, and send those the samples disagree on to a person.

A unanimous vote is cheap insurance: where the model is unsure, it says so by contradicting itself.
"""

import asyncio

from endpoint import open_provider

from executionkit import ConsensusFailedError, Provider, consensus
from executionkit.testing import ChatRequest

REVIEWS = ["The tea was perfect.", "The scones were dry.", "The tea was fine, the scones less so."]


async def classify(provider: Provider, review: str) -> str:
    prompt = f"Is this review positive or negative? Reply with one word.\n\n{review}"
    try:
        result = await consensus(
            provider, prompt, num_samples=3, strategy="unanimous", temperature=1.0, max_tokens=5
        )
    except ConsensusFailedError as error:
        return f"ask a person: {', '.join(error.metadata['responses'])} ({error.cost.llm_calls} calls)"
    return result.value


def simulated(request: ChatRequest) -> str:
    """Sure of the first two reviews, not of the third."""
    if "perfect" in request.prompt or ("fine" in request.prompt and request.number % 2):
        return "positive"
    return "negative"


async def main() -> None:
    with open_provider(simulated) as provider:
        async with provider:
            for review in REVIEWS:
                print(f"{review:<40} {await classify(provider, review)}")


if __name__ == "__main__":
    asyncio.run(main())
