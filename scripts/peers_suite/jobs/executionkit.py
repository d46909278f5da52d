"""`run_many` with a journal."""

import asyncio
import sys
from pathlib import Path

from executionkit import ConsensusResult, LLMProvider, Provider, consensus
from executionkit.many import RateLimits, run_many


async def ask(provider: LLMProvider, row: int) -> ConsensusResult:
    """One question."""
    return await consensus(provider, f"row {row}", num_samples=1)


async def main(url: str, directory: str, rows: str) -> None:
    """Work through the rows."""
    async with Provider(url, "my-model") as provider:
        await run_many(
            provider,
            range(int(rows)),
            ask,
            journal=Path(directory) / "journal.jsonl",
            limits=RateLimits(max_in_flight=64),
        )


asyncio.run(main(*sys.argv[1:]))
