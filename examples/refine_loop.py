"""Refine a text with an evaluator in plain Python that tells the model what to change.

A score says that a text is bad, and feedback says why. Here both come from plain Python, so
judging costs nothing.
"""

import asyncio

from endpoint import endpoint

from executionkit import Evaluation, LLMProvider, Provider, TokenUsage, refine_loop

TASK = "Tell a customer that their order is late, in at most 120 characters."


def checked(text: str, provider: LLMProvider) -> Evaluation:
    """Score the text by the share of criteria that it meets.

    Calls through `provider` would count too.
    """
    criteria = {
        "apologise": "sorry" in text.lower(),
        "name the new date, Friday": "friday" in text.lower(),
        "take at most 120 characters": len(text) <= 120,
    }
    missing = [name for name, is_met in criteria.items() if not is_met]
    return Evaluation(1 - len(missing) / len(criteria), "; ".join(missing))


async def main() -> None:
    async with Provider(*endpoint(simulated)) as provider:
        result = await refine_loop(
            provider,
            TASK,
            evaluator=checked,
            target_score=1.0,
            max_iterations=4,
            max_tokens=200,
            max_cost=TokenUsage(llm_calls=6),
            on_budget="return",  # return the best text so far if the calls run out
        )
    for attempt in result.attempts:
        print(
            f"{attempt.score or 0:.2f}  {attempt.text}  "
            f"{attempt.feedback and f'-> {attempt.feedback}'}"
        )
    print(
        f"{result.value!r} after {result.iterations} improvements, "
        f"stopped by {result.stop_reason}"
    )
    print(result.cost)


simulated = [
    "Your order is late.",
    "We are sorry: your order is late. It will arrive soon.",
    "We are sorry: your order is late. It will arrive on Friday.",
]


if __name__ == "__main__":
    asyncio.run(main())
