"""Let three models vote, and leave one out whose key is refused.

EXECUTIONKIT_FIRST_MODEL, EXECUTIONKIT_SECOND_MODEL and EXECUTIONKIT_THIRD_MODEL name three
models of one endpoint.
"""

import asyncio

from endpoint import endpoint

from executionkit import Panel, Provider, Rates, answers, consensus
from executionkit.testing import Fault

QUESTION = (
    "Which planet has the most moons? Think first, "
    "then end with the name alone on the last line."
)


async def main() -> None:
    first = Provider(
        *endpoint(["It is large.\nSaturn"], role="first"), prices=Rates(0.15, 0.60)
    )
    second = Provider(
        *endpoint(["I take the largest.\nJupiter"], role="second"),
        prices=Rates(0.10, 0.40),
    )
    third = Provider(
        *endpoint([Fault.status(401)] * 9, role="third"), prices=Rates(2.50, 10.00)
    )
    async with Panel([first, second, third], weights=(2, 1, 1)) as panel:
        result = await consensus(
            panel, QUESTION, num_samples=8, key=answers.last_line, max_tokens=500
        )
        print(
            f"{result.answer}: "
            f"{', '.join(f'{count} {answer}' for answer, count in result.votes)}"
        )
        print(result.cost)
        for provider, calls, error in zip(
            panel.members, panel.dealt, panel.passed_over, strict=True
        ):
            print(
                f"{getattr(provider, 'model', '')}: {calls} calls",
                f"({error})" if error else "",
            )


if __name__ == "__main__":
    asyncio.run(main())
