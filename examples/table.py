"""Label the rows of a table by votes: the first start meets its ceiling, the second goes on.

The journal keeps every reply, so the second start pays only for the rest. It would do the same
after a crash. Here it lies in a temporary folder: give it a path of your own.
"""

import asyncio
import tempfile
from pathlib import Path

from endpoint import endpoint

from executionkit import (
    BudgetExhaustedError,
    ConsensusResult,
    LLMProvider,
    Provider,
    TokenUsage,
    answers,
    consensus,
)
from executionkit.many import RowResult, run_many
from executionkit.testing import ChatRequest

ROWS = [
    {"id": "r1", "text": "The tea was perfect."},
    {"id": "r2", "text": "The scones were dry."},
    {"id": "r3", "text": "A perfect afternoon."},
    {"id": "r4", "text": "An hour for the bill."},
    {"id": "r5", "text": "Perfect cake, and a garden."},
    {"id": "r6", "text": "Cold, twice."},
]


async def label(provider: LLMProvider, row: dict[str, str]) -> ConsensusResult:
    return await consensus(
        provider,
        f"Is this review positive or negative? One word.\n\n{row['text']}",
        num_samples=3,
        key=answers.label("positive", "negative"),
        stop="decided",
        max_tokens=20,
    )


def show(row: RowResult[str]) -> None:
    print(f"  {row.id} {row.value}{' (from the journal)' if row.from_journal else ''}")


async def start(provider: LLMProvider, journal: Path, ceiling: int) -> None:
    """Run the job, or what is left of it. The ceiling holds for all starts together."""
    print(f"a ceiling of {ceiling} calls")
    try:
        result = await run_many(
            provider,
            ROWS,
            label,
            id="id",
            journal=journal,
            max_rows=2,
            max_cost=TokenUsage(llm_calls=ceiling),
            on_result=show,
        )
    except BudgetExhaustedError as error:
        print(f"ended early with {error.metadata['done']} of {len(ROWS)} rows: {error.cost}")
    else:
        print(f"{result.done} rows: {result.cost}, of which now {result.cost_now}")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "reviews.jsonl"
        async with Provider(*endpoint(simulated)) as provider:
            await start(provider, journal, ceiling=7)
            await start(provider, journal, ceiling=40)


def simulated(request: ChatRequest) -> str:
    return "positive" if "perfect" in request.prompt.lower() else "negative"


if __name__ == "__main__":
    asyncio.run(main())
