"""Random lives of a job over rows: killed, cut off from power, cancelled, refused, out of budget, sharded."""

import asyncio
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import pytest
from fakes import NO_WAIT
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from executionkit import (
    BudgetExhaustedError,
    ConsensusResult,
    LLMProvider,
    LLMResponse,
    PermanentError,
    ProviderError,
    TokenUsage,
    consensus,
)
from executionkit.many import ManyResult, RateLimits, RowResult, run_many
from executionkit.many._journal import file

ROWS = [f"row {number}" for number in range(5)]
SAMPLES = 3
SHARDS = 2
IN_FLIGHT = 4

Ending = Literal["kill", "power cut", "cancel", "refused", "row refused", "busy"]
moments = st.integers(1, len(ROWS) * SAMPLES)


class Server:
    """A model with a ledger; at the chosen call something happens.

    Attributes:
        calls: The calls that came, by row.
        paid: The replies that were given, by row, with those that a caller who had gone never read.
        moment: What happens at a call, by its number; it may raise.
    """

    model = "simulated"

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self.moment: tuple[int, Callable[[], None]] | None = None
        self.is_dead = False

    async def complete(self, messages: list[dict[str, Any]], **_: Any) -> LLMResponse:
        if self.is_dead:  # The process that calls here has been killed; only the test knows of the rest.
            await asyncio.Event().wait()
        row = messages[-1]["content"]
        self.calls[row] += 1
        number, happen = self.moment or (0, None)
        if happen is not None and self.calls.total() == number:
            happen()
        self.paid[row] += 1
        for _turn in range(self.calls.total() % 3):
            await asyncio.sleep(0)
        return LLMResponse(right(row), usage={"prompt_tokens": 2, "completion_tokens": 1})


def right(row: str) -> str:
    return f"label of {row}"


async def vote(provider: LLMProvider, row: str) -> ConsensusResult:
    return await consensus(provider, row, num_samples=SAMPLES)


class Books(NamedTuple):
    """What is in a journal, by row."""

    sent: Counter[str]
    replies: Counter[str]
    failed: Counter[str]
    values: dict[str, list[Any]]

    @property
    def unknown(self) -> Counter[str]:
        return self.sent - self.replies - self.failed


def books(journal: Path) -> Books:
    found = Books(Counter(), Counter(), Counter(), {})
    for line in journal.read_text().splitlines() if journal.exists() else ():
        record = json.loads(line)
        kind, row = record["t"], record.get("row", "")
        if kind == "sent":
            found.sent[row] += 1
        elif kind == "call":
            found.replies[row] += 1
        elif kind == "fail" and record.get("dispatched") is False:
            found.sent[row] -= 1
        elif kind == "fail" and record["error"] != "CancelledError":
            found.failed[row] += 1
        elif kind == "row" and record["error"] is None:
            found.values.setdefault(row, []).append(record["value"])
    return found


class Disk:
    """In place of the disk: it notes how much of each file was brought to it."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}

    def flush(self, descriptor: int) -> None:
        state = os.fstat(descriptor)
        self._sizes[state.st_ino] = state.st_size

    def size(self, path: Path) -> int:
        return self._sizes.get(path.stat().st_ino, 0)


class Shard:
    """One shard's journal, and what was lost of it.

    Attributes:
        journal: Where it is. A kill leaves a copy of what was written by then, a power cut one of what was
            on the disk.
        lost: The most calls that can have been under way when a job ended early.
        forgotten: The requests that power cuts took out of the journal, by row.
        told: The rows that were told to be done.
    """

    def __init__(self, directory: Path, index: int) -> None:
        self._directory, self._index = directory, index
        self._versions = 0
        self.journal = directory / f"{index}-0.jsonl"
        self.lost = 0
        self.forgotten: Counter[str] = Counter()
        self.told: set[str] = set()

    def end(self, size: int | None = None) -> None:
        """Go on with a copy, as a process does that finds what another one left behind."""
        self._versions += 1
        journal = self._directory / f"{self._index}-{self._versions}.jsonl"
        left = self.journal.read_bytes()
        if size is not None:
            self.forgotten += books(self.journal).sent
            left = left[:size]
        journal.write_bytes(left)
        self.journal = journal
        if size is not None:
            self.forgotten -= books(journal).sent


class Life(RuleBasedStateMachine):
    """Starts of a job that end in every way; the server's ledger is compared with the journals after each."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.server, self.disk = Server(), Disk()
        self.patches = pytest.MonkeyPatch()
        self.patches.setattr(file, "_flush", self.disk.flush)
        self.shards = [Shard(Path(self.directory.name), index) for index in range(SHARDS)]

    @rule(index=st.integers(0, SHARDS - 1), at=moments, ending=st.sampled_from(get_args(Ending)))
    def start(self, index: int, at: int, ending: Ending) -> None:
        self.ended(index, self.server.calls.total() + at, ending, None)

    @rule(index=st.integers(0, SHARDS - 1), further=st.integers(0, 7), is_reversed=st.booleans())
    def start_with_little_left(self, index: int, further: int, is_reversed: bool) -> None:
        self.ended(index, 0, "busy", further, ROWS[::-1] if is_reversed else ROWS)

    @rule(index=st.integers(0, SHARDS - 1))
    def finish(self, index: int) -> None:
        self.ended(index, 0, "busy", None)

    def ended(self, index: int, at: int, ending: Ending, further: int | None, rows: list[str] = ROWS) -> None:
        """Run a job to its end, and compare the books."""
        shard = self.shards[index]
        before, paid = books(shard.journal), self.server.paid.copy()
        ceiling = None if further is None else before.sent.total() + further
        outcome = self.runner.run(self.run(shard, index, at, ending, ceiling, rows))
        self.server.is_dead = False
        after = books(shard.journal)
        assert after.replies >= before.replies
        # All replies of a row that was told to be done are there, even where its own line is not.
        assert all(after.replies[row] == SAMPLES for row in shard.told)
        if not isinstance(outcome, ManyResult) or outcome.failed:
            shard.lost += IN_FLIGHT  # the calls that were cancelled because another one failed
        if isinstance(outcome, asyncio.CancelledError):
            assert ending in ("kill", "power cut", "cancel")
        elif isinstance(outcome, ManyResult):
            assert outcome.done + outcome.failed == outcome.rows
            if not outcome.failed:
                assert outcome.rows == len(after.values)
                needed = {row: SAMPLES - before.replies[row] for row in after.values.keys() - before.values}
                assert self.server.paid - paid == Counter(needed)
        elif isinstance(outcome, BudgetExhaustedError):
            assert ceiling is not None
        else:
            assert isinstance(outcome, PermanentError), repr(outcome)
        if ending not in ("kill", "power cut"):
            assert outcome.cost.llm_calls == after.sent.total()
        assert ceiling is None or after.sent.total() <= max(ceiling, before.sent.total())
        self.compare()

    async def run(
        self, shard: Shard, index: int, at: int, ending: Ending, ceiling: int | None, rows: list[str]
    ) -> Any:
        """Start a job that may end early; its result or error."""

        def tell(result: RowResult[str]) -> None:
            if result.error is None and not self.server.is_dead:
                shard.told.add(result.id)

        # No ceiling at all is what a TokenUsage of 0 calls means.
        max_cost = None if ceiling is None else TokenUsage(llm_calls=ceiling or -1)
        job = asyncio.ensure_future(
            run_many(
                self.server,
                rows,
                vote,
                id=lambda row: row,
                journal=shard.journal,
                limits=RateLimits(max_in_flight=IN_FLIGHT),
                max_cost=max_cost,
                retry=NO_WAIT,
                shard=(index, SHARDS),
                on_result=tell,
            )
        )

        def happen() -> None:
            if ending in ("kill", "power cut"):
                shard.end(self.disk.size(shard.journal) if ending == "power cut" else None)
                self.server.is_dead = True
            if ending in ("kill", "power cut", "cancel"):
                job.cancel()
            elif ending == "busy":
                raise ProviderError("busy", status_code=503)
            else:
                raise PermanentError("refused", status_code=401 if ending == "refused" else 400)

        self.server.moment = (at, happen)
        try:
            return await job
        except BaseException as exc:
            return exc

    def compare(self) -> None:
        """The server's ledger is that of the journals, within what they don't know the outcome of."""
        all_of_it = [books(shard.journal) for shard in self.shards]
        done: Counter[str] = Counter()
        for shard, found in zip(self.shards, all_of_it, strict=True):
            assert found.unknown.total() <= shard.lost
            for row, values in found.values.items():
                assert values == [right(row)]
                assert found.replies[row] == SAMPLES
                done[row] += 1
            for row in found.sent:
                forgotten = shard.forgotten[row]
                assert self.server.calls[row] <= found.sent[row] + forgotten
                assert self.server.paid[row] - found.replies[row] <= found.unknown[row] + forgotten
        # Each row is in one shard, and no call is in none.
        assert set(done.values()) <= {1}
        seen = {row for found in all_of_it for row in found.sent}.union(
            *(each.forgotten for each in self.shards)
        )
        assert self.server.calls.keys() <= seen

    def teardown(self) -> None:
        try:
            for index in range(SHARDS):
                self.finish(index)
            done = [row for shard in self.shards for row in books(shard.journal).values]
            assert sorted(done) == ROWS
        finally:
            self.patches.undo()
            self.runner.close()
            self.directory.cleanup()


Life.TestCase.settings = settings(
    max_examples=20, stateful_step_count=8, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLife = Life.TestCase
