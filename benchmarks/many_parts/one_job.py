"""A job in a process of its own, for what only a fresh process can show: its memory, and its start.

`python -m many_parts.one_job JOURNAL ROWS` runs `run_many` over ROWS rows with a provider that answers at
once. It prints a line of JSON: the seconds and the processor time that `run_many` took, and the process's
largest size before and after it, in MB.
"""

import asyncio
import gc
import json
import resource
import sys
import time
from pathlib import Path

from executionkit.many import RateLimits, run_many
from many_parts.jobs import WORKERS, Instant, label, rows


def largest_size() -> float:
    """The most memory that this process has had, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss, which begins with the size of the process that started this one.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024 * 1024 if sys.platform == "darwin" else 1024)


async def main() -> None:
    """Run the job."""
    journal, count = Path(sys.argv[1]), int(sys.argv[2])
    # Whatever is loaded on first use is to be there before.
    await run_many(Instant(), rows(200), label, id="id", limits=RateLimits(max_in_flight=WORKERS))
    gc.collect()
    before = largest_size()
    started, spent = time.perf_counter(), time.process_time()
    result = await run_many(
        Instant(),
        rows(count),
        label,
        id="id",
        journal=journal,
        limits=RateLimits(max_in_flight=WORKERS),
    )
    figures = {
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time() - spent,
        "before": before,
        "after": largest_size(),
        "done": result.done,
        "skipped": result.skipped,
        "calls": result.cost.llm_calls,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main())
