"""Ask about a picture: a vote on its colour, and a caption that a judge compares with it."""

import asyncio
import base64

from endpoint import endpoint

from executionkit import Provider, Rubric, TokenUsage, consensus, refine_loop
from executionkit.parts import image
from executionkit.testing import ChatRequest

# One red dot. In your program: image("chart.png", detail="low")
RED_DOT = image(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
        "AAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
    )
)


async def main() -> None:
    async with Provider(*endpoint(simulated)) as provider:
        colour = await consensus(
            provider,
            ["Which colour is it? One word.", RED_DOT],
            num_samples=3,
            options={"seed": 7, "top_p": 0.9},
        )
        print(
            f"{colour.value} ({colour.agreement_ratio:.0%} of {colour.samples_used} samples)"
        )
        caption = await refine_loop(
            provider,
            ["Write a caption for this picture.", RED_DOT],
            evaluator=Rubric("True of the picture. At most four words."),
            max_cost=TokenUsage(llm_calls=8),
        )
        print(f"{caption.value} (score {caption.score})")
    print(f"the picture as logs show it: {RED_DOT['image_url']['url']!r}")


def simulated(request: ChatRequest) -> str:
    """See red; write a long caption first, and judge it."""
    text = str(request.messages[-1]["content"])
    if "Which colour" in text:
        return "red"
    if text.startswith("[{'type': 'text', 'text': 'Judge"):
        return "Score: 10" if "A red dot" in text else "Use fewer words. Score: 4"
    return (
        "A red dot."
        if "fewer words" in text
        else "This picture shows a single dot that is red."
    )


if __name__ == "__main__":
    asyncio.run(main())
