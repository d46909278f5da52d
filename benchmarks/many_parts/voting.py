"""A job that `kills.py` kills: `run_many` over rows, each a vote, until all are done or the budget is spent.

`python voting.py URL JOURNAL --rows 3000 [--ceiling 15000]` prints the result as a line of JSON. The status
is 0 when no row is left open, and 3 when the budget stopped the job.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

from executionkit import (
    BudgetExhaustedError,
    ConsensusResult,
    LLMProvider,
    Provider,
    RetryConfig,
    TokenUsage,
    consensus,
)
from executionkit.many import RateLimits, run_many

SAMPLES = 5
# Faults of the server are to cost little time; they are counted all the same.
RETRY = RetryConfig(max_retries=8, base_delay=0.02, max_delay=0.2)

Row = dict[str, Any]


def rows(count: int) -> Iterator[Row]:
    """The table."""
    for number in range(count):
        yield {"id": f"r{number}", "text": f"Which label has r{number}?"}


async def vote(provider: LLMProvider, row: Row) -> ConsensusResult:
    """The step."""
    return await consensus(provider, row["text"], num_samples=SAMPLES)


async def main() -> int:
    """Run the job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("journal")
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--ceiling", type=int)
    parser.add_argument("--in-flight", type=int, default=64)
    arguments = parser.parse_args()
    ceiling = None if arguments.ceiling is None else TokenUsage(llm_calls=arguments.ceiling)
    async with Provider(arguments.url, "simulated") as provider:
        try:
            result = await run_many(
                provider,
                rows(arguments.rows),
                vote,
                id="id",
                journal=arguments.journal,
                limits=RateLimits(max_in_flight=arguments.in_flight),
                max_cost=ceiling,
                retry=RETRY,
            )
        except BudgetExhaustedError as error:
            print(json.dumps({"stopped": str(error), "calls": error.cost.llm_calls}))
            return 3
    figures = {name: getattr(result, name) for name in ("rows", "done", "skipped", "failed")}
    print(json.dumps({**figures, "calls": result.cost.llm_calls, "unknown": result.unknown_calls}))
    return int(bool(result.failed))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
