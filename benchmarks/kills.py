"""What a job over many rows pays twice when it is killed at random moments, by the ledger of the server.

    python benchmarks/kills.py [--kills 10] [--rows 600] [--in-flight 64] [--seed 7]

Each row is a vote of five over real HTTP. The job runs in a process of its own. It is ended again and again,
and started again, until all rows are done: with `kill -9`, with a terminal's Ctrl-C, and with SIGTERM. A
second kind of job has a ceiling on calls that is too low for all rows. The server takes 12 to 108 ms for a
reply and answers every fiftieth call with 503. It counts the calls of each row.

Moments are random: most lie where a random number of further calls has come, and a fifth of them in the start
of the process, while it loads the journal.

Aims, after the last start:

- every row is in the journal once, with the right answer and five replies; with a ceiling, the rows that are
  there
- the server saw no call that the journal does not know of
- calls paid twice, which are the replies that the server gave and the journal has not: at most those whose
  outcome is unknown to the journal, of each row and in all; and those are at most what can be in flight at
  once for every kill
- with a ceiling: neither the server's calls nor the journal's pass it, and the job uses all of it

Not shown: power cuts, and disks that are full or far away.
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from many_parts import voting

from executionkit.testing import Answer, ChatRequest, Fault, LocalEndpoint

JOB = Path(voting.__file__)
LABELS = ("good", "bad", "mixed", "neither")
DEADLINE = 600.0


class Server:
    """The simulated model, with its ledger.

    Attributes:
        calls: The calls that came, by row.
        answered: The replies that were given, by row. Replies to a process that was gone are among them.
        faults: The calls that were answered with an error.
        open: The calls under way.
        most_open: The most that were under way at once.
    """

    def __init__(self, seed: int) -> None:
        self.calls: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.faults = self.open = self.most_open = 0
        self._chance = random.Random(seed)

    @property
    def total(self) -> int:
        """All calls that came."""
        return self.calls.total()

    async def reply(self, request: ChatRequest) -> Answer:
        """Answer after a while."""
        row = request.prompt.split()[-1].rstrip("?")
        self.calls[row] += 1
        number = self.calls[row]
        is_fault = self._chance.random() < 0.02
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await asyncio.sleep(self._chance.uniform(0.012, 0.108))
        finally:
            self.open -= 1
            # A client that has gone has the service go on: the reply is paid for all the same.
            if is_fault:
                self.faults += 1
            else:
                self.answered[row] += 1
        if is_fault:
            return Fault.status(503)
        # One vote of five is for another label, and the vote is right all the same.
        return other(row) if number % 5 == 3 else right(row)


def right(row: str) -> str:
    """The label that wins the vote."""
    return LABELS[blake2b(row.encode()).digest()[0] % len(LABELS)]


def other(row: str) -> str:
    """A label that loses it."""
    return LABELS[(LABELS.index(right(row)) + 1) % len(LABELS)]


class Books(NamedTuple):
    """What is in a journal, read here without the library.

    Attributes:
        sent: The requests, by row.
        replies: The replies, by row.
        failed: The requests that failed, by row.
        values: The answers of each row.
    """

    sent: Counter[str]
    replies: Counter[str]
    failed: Counter[str]
    values: dict[str, list[Any]]

    @property
    def unknown(self) -> Counter[str]:
        """The requests without an outcome, by row. Those that were cancelled may be paid for too."""
        return self.sent - self.replies - self.failed


def books(journal: Path) -> Books:
    """Read a journal; a last line that was torn off counts for nothing."""
    found = Books(Counter(), Counter(), Counter(), {})
    for line in journal.read_text(encoding="utf-8").splitlines(keepends=True) if journal.exists() else ():
        if not line.endswith("\n"):
            break
        record = json.loads(line)
        kind, row = record["t"], record.get("row", "")
        if kind == "sent":
            found.sent[row] += 1
        elif kind == "call":
            found.replies[row] += 1
        elif kind == "fail" and record.get("dispatched") is False:
            found.sent[row] -= 1  # it never left
        elif kind == "fail" and record["error"] != "CancelledError":
            found.failed[row] += 1
        elif kind == "row" and not record.get("error"):
            found.values.setdefault(row, []).append(record["value"])
    return found


class Plan(NamedTuple):
    """A job and how it is ended.

    Attributes:
        name: What it is called.
        ending: The signal.
        kills: How often.
        rows: How many rows.
        in_flight: The most requests at once.
        ceiling: The most calls; None for no ceiling.
    """

    name: str
    ending: signal.Signals
    kills: int
    rows: int
    in_flight: int
    ceiling: int | None = None


class Outcome(NamedTuple):
    """What became of a job.

    Attributes:
        kills: How often it was ended before it was through.
        open: What was under way at the server, in all, when it was.
        status: The status of the last process.
        told: What the last process printed.
        problems: What was wrong with a process that was ended.
    """

    kills: int
    open: int
    status: int
    told: dict[str, Any]
    problems: list[str]


async def start(plan: Plan, url: str, journal: Path) -> asyncio.subprocess.Process:
    """Start the job."""
    ceiling = [] if plan.ceiling is None else ["--ceiling", str(plan.ceiling)]
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(JOB),
        url,
        str(journal),
        *("--rows", str(plan.rows), "--in-flight", str(plan.in_flight), *ceiling),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def moment(plan: Plan, server: Server, left: int, started: float, chance: random.Random) -> None:
    """Wait for a random moment, of which `left` are to come."""
    if chance.random() < 0.2:
        await asyncio.sleep(chance.uniform(0, started))
        return
    expected = plan.ceiling or plan.rows * voting.SAMPLES
    further = max(1, (expected - server.total) // left)
    goal = server.total + chance.randint(1, max(1, int(1.6 * further)))
    while server.total < goal:  # noqa: ASYNC110  # the thread of the endpoint counts
        await asyncio.sleep(0.002)
    await asyncio.sleep(chance.uniform(0, 0.05))


async def run(plan: Plan, server: Server, url: str, journal: Path, chance: random.Random) -> Outcome:
    """Run the job to its end, however often it is ended before."""
    kills = under_way = 0
    start_up = 0.5
    problems: list[str] = []
    while True:
        process = await start(plan, url, journal)
        began, calls = time.monotonic(), server.total
        telling = asyncio.ensure_future(process.communicate())
        if kills < plan.kills:
            waiting = asyncio.ensure_future(moment(plan, server, plan.kills - kills, start_up, chance))
            await asyncio.wait([waiting, telling], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if not telling.done():
                if not kills and server.total > calls:
                    start_up = time.monotonic() - began
                kills += 1
                under_way += server.open
                process.send_signal(plan.ending)
        out, errors = await asyncio.wait_for(telling, DEADLINE)
        if process.returncode in (0, 1, 3) and out:
            return Outcome(kills, under_way, process.returncode, json.loads(out), problems)
        if process.returncode not in (-plan.ending, 130) or b"was never" in errors or b"Task " in errors:
            problems.append(f"status {process.returncode}: {errors.decode()[-2000:]}")
            if process.returncode != -plan.ending and len(problems) > 2:
                return Outcome(kills, under_way, process.returncode or 0, {}, problems)


def check(plan: Plan, server: Server, found: Books, outcome: Outcome) -> list[tuple[bool, str]]:
    """Compare the journal with the server's ledger."""
    ids = [f"r{number}" for number in range(plan.rows)]
    missing = [row for row in ids if row not in found.values]
    doubled = [row for row, values in found.values.items() if len(values) > 1]
    wrong = [row for row, values in found.values.items() if any(value != right(row) for value in values)]
    replies = [row for row in found.values if found.replies[row] != voting.SAMPLES]
    strange = server.calls - found.sent
    # A reply that came and whose outcome is not in the journal is paid for again, where it is asked again.
    twice = server.answered - found.replies
    unknown = found.unknown
    at_most = outcome.kills * plan.in_flight
    lines = [
        (not doubled, f"rows doubled: {len(doubled)}"),
        (not wrong, f"rows wrong: {len(wrong)}"),
        (not replies, f"done rows whose replies in the journal are not five: {len(replies)}"),
        (not strange, f"calls that the server saw and the journal did not: {strange.total()}"),
        (
            twice <= unknown and unknown.total() <= at_most,
            f"replies paid and lost: {twice.total():,} <= unknown to the journal {unknown.total():,}"
            f" <= in flight at the kills {at_most:,} ({outcome.open:,} of them at the server)",
        ),
        (not outcome.problems, f"processes that ended otherwise than asked: {len(outcome.problems)}"),
    ]
    if plan.ceiling is None:
        lines.insert(0, (not missing and outcome.status == 0, f"rows missing: {len(missing)}"))
        paid, needed = server.answered.total(), plan.rows * voting.SAMPLES
        lines.append((paid - needed == twice.total(), f"replies paid: {paid:,} for {needed:,} needed"))
    else:
        sent = found.sent.total()
        lines.append(
            (
                server.total <= sent <= plan.ceiling and (sent == plan.ceiling or outcome.status == 0),
                f"ceiling: the server's calls {server.total:,} <= the journal's {sent:,} <= {plan.ceiling:,};"
                f" {plan.rows - len(missing):,} rows done",
            )
        )
        charged = outcome.told.get("calls")
        lines.append((charged == sent, f"calls that the last process counts: {charged}"))
    return lines


async def job(plan: Plan, seed: int) -> bool:
    """Run a job, and print what became of it; whether all is well."""
    chance = random.Random(seed)
    server = Server(seed)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory, LocalEndpoint(server.reply) as endpoint:
        journal = Path(directory) / "journal.jsonl"
        outcome = await run(plan, server, endpoint.base_url, journal, chance)
        await endpoint.settle()
        while server.open:  # noqa: ASYNC110  # likewise
            await asyncio.sleep(0.01)
        found = books(journal)
    lines = check(plan, server, found, outcome)
    seconds = time.monotonic() - began
    figures = f"{plan.rows:,} rows, {outcome.kills} kills, {server.faults} faults, {seconds:.0f} s"
    print(f"\n{plan.name}: {figures}")
    print(f"  at most {server.most_open} at once at the server; the last process said {outcome.told}")
    for is_met, line in lines:
        print(f"  {'met   ' if is_met else 'MISSED'}  {line}")
    for problem in outcome.problems[:3]:
        print(f"  {problem}", file=sys.stderr)
    return all(is_met for is_met, _ in lines)


async def main() -> int:
    """Run all jobs; 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description="Kill jobs over many rows, and compare the books.")
    parser.add_argument("--kills", type=int, default=10, help="how often the job is ended with kill -9")
    parser.add_argument("--rows", type=int, default=600, help="rows of that job; the others have a third")
    parser.add_argument("--in-flight", type=int, default=64, help="requests at once")
    parser.add_argument("--seed", type=int, default=7, help="chooses the moments")
    parser.add_argument("--only", help="the name of the job to run")
    arguments = parser.parse_args()
    kills, rows, in_flight = arguments.kills, arguments.rows, arguments.in_flight
    few = max(1, rows // 3)
    # Enough for all rows and a kill in five: the others take away from the rows that get done.
    ceiling = few * voting.SAMPLES + in_flight * (kills // 2) // 5
    plans = [
        Plan("kill -9", signal.SIGKILL, kills, rows, in_flight),
        Plan("kill -9 under a ceiling", signal.SIGKILL, kills // 2, few, in_flight, ceiling),
        Plan("Ctrl-C", signal.SIGINT, kills // 2, few, in_flight),
        Plan("SIGTERM", signal.SIGTERM, kills // 2, few, in_flight),
    ]
    wanted = [plan for plan in plans if arguments.only in (None, plan.name)]
    results = [await job(plan, arguments.seed) for plan in wanted]
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
