"""What `run_many` adds to a bare loop of workers over the same rows, beside it in the same run.

    python benchmarks/many.py [--full] [--only NAME]

`--full` takes the numbers of rows that the aims are meant for; without it there are fewer, and all is done in
about two minutes. The names are: processor, wire, memory, load, commit, votes.

Bare is 64 workers that take rows from one iterator and call the step: `consensus` with one sample. `run_many`
has everything on: a journal in a temporary directory, committed to the disk in groups, and a governor with 64
in flight and no known limit. Bare and `run_many` take turns, and each figure is the median of the differences
or ratios within the rounds. Processor time is that of this process, threads included.

- processor: the provider answers at once
- wire: over HTTP, 64 in flight, replies after 50 ms from a server in a process of its own
- memory: the largest size of a process over few rows, and over ten times as many
- load: the start of a job whose rows are all done
- commit: replies after half a second, with a journal committed in groups and with one never committed
- votes: votes that stop at a confidence of 0.95, over the replies recorded in `data/`, as in
  `consensus_replay.py`: the same samples a row, and the same winners

Not shown: limits, and what is paid twice after a kill, which is in `kills.py`; other disks.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import consensus_replay as replay
from many_parts.jobs import (
    WORKERS,
    Instant,
    Job,
    Turn,
    bare,
    everything,
    in_turns,
    label,
    rows,
    unsynced,
    without_journal,
)
from wire_parts import server

from executionkit import ConsensusFailedError, LLMProvider, LLMResponse, Provider, consensus
from executionkit.many import run_many

ADDED_US = 80.0
WIRE_SHARE = 0.93
GROWN_MB = 2.0
LOAD_SECONDS, LOAD_MB = 5.0, 80.0
COMMIT_SHARE = 0.99
LATENCY = 0.05
STOP = 0.95


class Sizes(NamedTuple):
    """How much is measured.

    Attributes:
        processor: Rows of a turn with a provider that answers at once.
        wire: Rows of a turn over HTTP.
        memory: Rows of the smaller of two jobs.
        load: Rows that are done.
        commit: Rows of a turn with replies after half a second.
        rounds: Turns of each job.
    """

    processor: int
    wire: int
    memory: int
    load: int
    commit: int
    rounds: int


SHORT = Sizes(processor=4_000, wire=2_500, memory=5_000, load=1_000_000, commit=6 * WORKERS, rounds=5)
FULL = Sizes(processor=20_000, wire=20_000, memory=20_000, load=1_000_000, commit=40 * WORKERS, rounds=5)

Part = Callable[[Sizes, Path], Awaitable[bool]]


def tell(*, is_met: bool, reached: str, aim: str) -> bool:
    """Print a figure beside its aim."""
    print(f"  {'met   ' if is_met else 'MISSED'}  {reached}, aim {aim}\n", flush=True)
    return is_met


def table(found: dict[Job, list[Turn]]) -> None:
    """Print the medians of each job."""
    for job, turns in found.items():
        cpu, rate = (statistics.median(each) for each in zip(*turns, strict=True))
        low, _, high = statistics.quantiles([each.cpu for each in turns], n=4, method="inclusive")
        middle = f"({low:,.0f} to {high:,.0f})"
        print(f"  {job.__name__:<16} {cpu:8,.0f} us a row {middle:>18} {rate:10,.0f} rows/s")


async def processor(sizes: Sizes, directory: Path) -> bool:
    """Processor time that is added, with a provider that answers at once."""
    print(f"Processor time of a row, {sizes.processor:,} rows, replies at once; median of {sizes.rounds}")
    jobs = [bare, without_journal, everything]
    found = await in_turns(jobs, Instant(), sizes.processor, directory, sizes.rounds)
    table(found)
    added = {
        job: statistics.median(
            mine.cpu - theirs.cpu for mine, theirs in zip(found[job], found[bare], strict=True)
        )
        for job in jobs
    }
    print(f"  added: without a journal {added[without_journal]:.0f} us")
    reached = added[everything]
    return tell(is_met=reached <= ADDED_US, reached=f"added: {reached:.0f} us", aim=f"{ADDED_US:.0f} us")


async def wire(sizes: Sizes, directory: Path) -> bool:
    """Rows a second over HTTP."""
    print(f"Over HTTP, {sizes.wire:,} rows, {WORKERS} in flight, replies after {LATENCY * 1000:.0f} ms")
    with server.own() as own:
        async with Provider(f"{own.root}/after/{LATENCY}/v1", "bench-model") as provider:
            found = await in_turns([bare, everything], provider, sizes.wire, directory, sizes.rounds)
    table(found)
    share = ratio(found[everything], found[bare])
    return tell(
        is_met=share >= WIRE_SHARE, reached=f"{share:.1%} of the bare loop's rate", aim=f"{WIRE_SHARE:.0%}"
    )


def ratio(mine: list[Turn], theirs: list[Turn]) -> float:
    """The median of the ratios of the rates within each round."""
    return statistics.median(one.rate / other.rate for one, other in zip(mine, theirs, strict=True))


def in_process(journal: Path, count: int) -> dict[str, float]:
    """Run a job in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "many_parts.one_job", str(journal), str(count)],
        cwd=Path(__file__).parent,
        capture_output=True,
        check=True,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


async def memory(sizes: Sizes, directory: Path) -> bool:
    """How much a process grows with the rows."""
    few, many = sizes.memory, 10 * sizes.memory
    print(f"Largest size of a process, {few:,} and {many:,} rows")
    found = [in_process(directory / f"memory-{count}.jsonl", count) for count in (few, many)]
    for count, figures in zip((few, many), found, strict=True):
        size = f"{figures['after']:7.1f} MB, {figures['before']:.1f} before"
        print(f"  {count:9,} rows {size}; {figures['cpu'] / count * 1e6:.0f} us a row")
    again = in_process(directory / f"memory-{many}.jsonl", many)
    skipped = f"{again['skipped']:,} rows skipped in {again['cpu']:.1f} s"
    print(f"  the second start over them: {again['after']:.1f} MB, {skipped}")
    grown = found[1]["after"] - found[0]["after"]
    return tell(is_met=grown <= GROWN_MB, reached=f"grown by {grown:.1f} MB", aim=f"{GROWN_MB:.0f} MB")


async def load(sizes: Sizes, directory: Path) -> bool:
    """The start over a journal in which all rows are done."""
    journal = directory / "load.jsonl"
    await run_many(Instant(), list(rows(2))[1:], label, id="id", journal=journal)
    size = multiply(journal, sizes.load) / 1e6
    print(f"The start over {sizes.load:,} rows that are done, {size:,.0f} MB of journal")
    nothing = in_process(directory / "none.jsonl", 0)
    found = in_process(journal, 0)
    journal.unlink()
    if found["calls"] != sizes.load:
        raise SystemExit(f"{found['calls']} calls were read from the journal instead of {sizes.load}")
    more = found["after"] - nothing["after"]
    print(f"  {found['seconds']:.1f} s, of them {found['cpu']:.1f} s of processor time")
    return tell(
        is_met=found["cpu"] <= LOAD_SECONDS and more <= LOAD_MB,
        reached=f"{found['cpu']:.1f} s and {more:.0f} MB over an empty journal",
        aim=f"{LOAD_SECONDS:.0f} s and {LOAD_MB:.0f} MB",
    )


def multiply(journal: Path, count: int) -> int:
    """Write the lines that one row has in a journal over and over, with other ids; the size of it."""
    lines = journal.read_bytes().splitlines(keepends=True)
    head = [line for line in lines if b'"row":"r1"' not in line]
    body = b"".join(line for line in lines if b'"row":"r1"' in line)
    before, *parts = body.split(b'"r1"')
    with journal.open("wb") as file:
        file.writelines(head)
        for number in range(count):
            file.write(before + b"".join(b'"r%d"%b' % (number, part) for part in parts))
    return journal.stat().st_size


async def commit(sizes: Sizes, directory: Path) -> bool:
    """What the commits cost where replies take as long as a model's."""
    print(f"Commits in groups, {sizes.commit:,} rows, {WORKERS} in flight, replies after 500 ms")
    found = await in_turns([unsynced, everything], Instant(0.5), sizes.commit, directory, 3)
    table(found)
    share = ratio(found[everything], found[unsynced])
    return tell(
        is_met=share >= COMMIT_SHARE, reached=f"{share:.1%} of the rate without", aim=f"{COMMIT_SHARE:.0%}"
    )


class Recorded:
    """A provider that answers a question with its recorded replies, one after another."""

    model = "recorded"

    def __init__(self, questions: list[replay.Question]) -> None:
        self._left = {f"question {index}": iter(each.samples) for index, each in enumerate(questions)}
        self.calls = 0

    async def complete(self, messages: list[dict[str, Any]], **_: Any) -> LLMResponse:
        """Answer with the next reply."""
        self.calls += 1
        return LLMResponse(next(self._left[messages[-1]["content"]]))


async def votes(sizes: Sizes, directory: Path) -> bool:
    """Votes that stop early, each a row, beside the same votes one by one."""
    questions = replay.load(replay.DATA)
    print(f"Votes of {replay.RECORDED} that stop at {STOP}, over {len(questions)} recorded questions")

    async def vote(provider: LLMProvider, row: int) -> Any:
        key = questions[row].key
        try:
            result = await consensus(
                provider, f"question {row}", num_samples=replay.RECORDED, stop=STOP, key=key
            )
        except ConsensusFailedError:
            return None
        return result.answer

    alone, together = Recorded(questions), Recorded(questions)
    winners = [await vote(alone, row) for row in range(len(questions))]
    given: dict[int, Any] = {}
    result = await run_many(
        together,
        range(len(questions)),
        vote,
        journal=directory / "votes.jsonl",
        on_result=lambda row: given.update({row.index: row.value}),
    )
    right = sum(given[row] == question.gold for row, question in enumerate(questions))
    print(f"  {right / len(questions):.1%} right; {result}")
    is_met = together.calls == alone.calls and [given[row] for row in range(len(questions))] == winners
    samples = [each.calls / len(questions) for each in (together, alone)]
    return tell(is_met=is_met, reached=f"{samples[0]:.3f} samples a row", aim=f"{samples[1]:.3f}")


PARTS: tuple[Part, ...] = (processor, wire, memory, load, commit, votes)


async def main() -> int:
    """Print the figures; 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description="Measure run_many beside a bare loop.")
    parser.add_argument("--full", action="store_true", help="as many rows as the aims are meant for")
    parser.add_argument("--only", action="append", choices=[part.__name__ for part in PARTS])
    arguments = parser.parse_args()
    sizes = FULL if arguments.full else SHORT
    with tempfile.TemporaryDirectory() as directory:
        met = [
            await part(sizes, Path(directory))
            for part in PARTS
            if not arguments.only or part.__name__ in arguments.only
        ]
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
