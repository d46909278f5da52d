"""A job over rows, to be killed: `python -m interop_suite.rows_job BASE_URL BACKEND JOURNAL`; prints JSON."""

import asyncio
import json
import sys
from functools import partial

from executionkit import consensus
from executionkit.many import RateLimits, run_many
from interop_suite.checking import QUICK, Target
from interop_suite.counted import MODEL
from interop_suite.llama_cpp import KEY

ROWS = [f"Name a thing that is {colour}." for colour in ("red", "green", "blue", "white", "black")]
SAMPLES = 3
IN_FLIGHT = 2


async def run(base_url: str, backend: str, journal: str) -> None:
    """Vote on every row that the journal has no answer for."""
    step = partial(consensus, num_samples=SAMPLES, max_tokens=12, retry=QUICK)
    limits = RateLimits(max_in_flight=IN_FLIGHT)
    async with Target(base_url, backend, KEY, MODEL).provider() as provider:
        result = await run_many(provider, ROWS, step, journal=journal, limits=limits)
    print(json.dumps({"done": result.done, "calls": result.cost.llm_calls, "unknown": result.unknown_calls}))


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
