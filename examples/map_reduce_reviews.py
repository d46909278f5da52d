"""Find complaints that many reviews share, and skip the reviews that the server refuses."""

import asyncio

from endpoint import endpoint

from executionkit import Provider, TokenUsage, map_reduce
from executionkit.testing import ChatRequest, Fault

REVIEWS = [
    "The tea was perfect, the scones were dry.",
    "Dry scones again.",
    "(a review that the server's filter refuses)",
    "The bill took an hour.",
    "An hour for a bill, and the scones were dry.",
]


async def main() -> None:
    async with Provider(*endpoint(simulated)) as provider:
        result = await map_reduce(
            provider,
            REVIEWS,
            map_prompt="What does this review complain of? "
            "A few words, or 'nothing'.\n\n{input}",
            reduce_prompt="Count these complaints.\n\n{results}",
            on_failure="skip",
            max_cost=TokenUsage(llm_calls=20),
        )
    print(result.value)
    print(f"{result.map_count} reviews, {result.reduce_calls} reduction, {result.cost}")
    for report in result.failed:
        print(f"skipped review {report['index']}: {report['error']}")


COMPLAINTS = {"dry": "dry scones", "bill": "a slow bill"}


def simulated(request: ChatRequest) -> str | Fault:
    """Find two kinds of complaints in a review, and count them in a reduction."""
    text = request.prompt
    if "refuses" in text:
        return Fault.status(400)
    if text.startswith("What does"):
        found = [complaint for word, complaint in COMPLAINTS.items() if word in text.lower()]
        return ", ".join(found) or "nothing"
    return ", ".join(
        f"{complaint} ({text.count(complaint)})" for complaint in COMPLAINTS.values()
    )


if __name__ == "__main__":
    asyncio.run(main())
