"""The jobs that `many.py` measures: a bare loop of workers, and `run_many` over the same rows and step."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from executionkit import ConsensusResult, LLMProvider, LLMResponse, consensus
from executionkit.many import Journal, ManyResult, RateLimits, run_many

WORKERS = 64
# As long as the prompts and replies of the comparison in the docs: 300 characters, 20 tokens.
PADDING = "It came late, and the box was open, but what was in it works well. " * 4
REPLY = "The review is mixed: late and open, and it works well."

Row = dict[str, Any]
Job = Callable[[LLMProvider, int, Path], Awaitable[object]]


class Instant:
    """A provider that answers in the next turn of the event loop, or after `latency` seconds.

    No real one answers without letting others have a turn, so all rows that are worked on are there at once.

    Attributes:
        model: Its name.
    """

    model = "instant"

    def __init__(self, latency: float = 0.0) -> None:
        self._latency = latency

    async def complete(self, messages: list[dict[str, Any]], **_: Any) -> LLMResponse:
        """Answer; a new response each time, as from a server."""
        await asyncio.sleep(self._latency)
        return LLMResponse(REPLY, usage={"prompt_tokens": 80, "completion_tokens": 14})


def rows(count: int) -> Iterator[Row]:
    """The table."""
    for number in range(count):
        yield {"id": f"r{number}", "text": f"Label review {number}: {PADDING}"}


async def label(provider: LLMProvider, row: Row) -> ConsensusResult:
    """The step: one call for each row."""
    return await consensus(provider, row["text"], num_samples=1)


async def workers(provider: LLMProvider, source: Iterable[Row], at_once: int = WORKERS) -> None:
    """Work through rows as a script does that has no job runner: nothing is kept, limited or resumed."""
    left = iter(source)

    async def worker() -> None:
        for row in left:
            await label(provider, row)

    await asyncio.gather(*(worker() for _ in range(at_once)))


async def bare(provider: LLMProvider, count: int, directory: Path) -> None:
    """The loop of workers."""
    await workers(provider, rows(count))


async def everything(provider: LLMProvider, count: int, directory: Path) -> None:
    """`run_many` with a journal that is committed in groups, and a governor."""
    await _journalled(provider, count, directory, sync="group")


async def unsynced(provider: LLMProvider, count: int, directory: Path) -> None:
    """`run_many` with a journal that nothing is waited for."""
    await _journalled(provider, count, directory, sync="never")


async def without_journal(provider: LLMProvider, count: int, directory: Path) -> None:
    """`run_many` with a governor only."""
    check(await run_many(provider, rows(count), label, id="id", limits=_limits()), count)


async def _journalled(
    provider: LLMProvider, count: int, directory: Path, *, sync: Literal["group", "never"]
) -> None:
    path = directory / f"journal-{time.monotonic_ns()}.jsonl"
    with Journal(path, sync=sync) as journal:
        check(await run_many(provider, rows(count), label, id="id", journal=journal, limits=_limits()), count)
    path.unlink()


def _limits() -> RateLimits:
    return RateLimits(max_in_flight=WORKERS)


def check(result: ManyResult, count: int) -> None:
    """Make sure that all was done: a row that fails costs less time."""
    if (result.done, result.failed, result.cost.llm_calls) != (count, 0, count):
        raise SystemExit(f"{count} rows were to be done with a call each: {result}")


class Turn(NamedTuple):
    """A job, run once.

    Attributes:
        cpu: Processor time of this process, threads included, in microseconds a row.
        rate: Rows a second.
    """

    cpu: float
    rate: float


async def turn(job: Job, provider: LLMProvider, count: int, directory: Path) -> Turn:
    """Run a job once."""
    gc.collect()
    # What is there before is left out of the collections to come: it is not of the job.
    gc.freeze()
    started, spent = time.perf_counter(), time.process_time()
    await job(provider, count, directory)
    return Turn((time.process_time() - spent) / count * 1e6, count / (time.perf_counter() - started))


async def in_turns(
    jobs: Iterable[Job], provider: LLMProvider, count: int, directory: Path, rounds: int
) -> dict[Job, list[Turn]]:
    """Let jobs take turns, so that what slows the machine down slows all of them; the first round warms."""
    found: dict[Job, list[Turn]] = {job: [] for job in jobs}
    for number in range(rounds + 1):
        for job, turns in found.items():
            share = count if number else max(WORKERS, count // 10)
            measured = await turn(job, provider, share, directory)
            if number:
                turns.append(measured)
    return found
