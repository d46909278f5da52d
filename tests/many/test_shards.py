"""Workers and their coordinator in one process: attempts at shards, and what each of them pays for."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from executionkit import (
    LLMResponse,
    MockProvider,
    PatternResult,
    PermanentError,
    TokenUsage,
    consensus,
)
from executionkit.many import Journal, JournalError, RateLimits
from executionkit.many._cluster.attempts import ShardFolder, totals
from executionkit.many._cluster.coordinator import Coordinator
from executionkit.many._cluster.worker import Plan, ShardEnd, Worker

ROWS = [{"id": f"r{number}", "text": f"text {number}"} for number in range(20)]


class Model(MockProvider):
    """Counts what is asked; the calls from `holds_from` on wait until they are cancelled."""

    holds_from = 10**9
    fails: Exception | None = None

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.held = 0
        self.is_holding = asyncio.Event()

    async def complete(self, messages: Any, **options: Any) -> LLMResponse:
        self.asked.append(str(messages[-1]["content"]))
        if self.fails is not None:
            raise self.fails
        if len(self.asked) > self.holds_from:
            self.held += 1
            self.is_holding.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return LLMResponse("good", usage={"prompt_tokens": 5, "completion_tokens": 1})


async def label(provider: Any, row: dict[str, str]) -> PatternResult[str]:
    return await consensus(provider, f"Label {row['text']}", num_samples=3)


def rows_of(shard: int) -> list[dict[str, str]]:
    return [{**row, "id": f"{shard}{row['id']}"} for row in ROWS]


def plan(directory: Path, model: Model, ceiling: TokenUsage | None = None, **limits: Any) -> Plan:
    return Plan(
        directory=directory,
        provider=lambda: model,
        step=label,
        id="id",
        max_cost=ceiling or TokenUsage(),
        rates=RateLimits(**limits).settings,
        max_rows=4,
        retry=None,
        retry_failed=True,
    )


def coordinator(job: Plan, workers: int = 1, **options: Any) -> Coordinator:
    return Coordinator(job.max_cost, workers, options.get("spent", {}))


async def killed(work: "asyncio.Task[ShardEnd]", model: Model) -> None:
    """End a worker's task once calls of it are held; its journal has no word of them."""
    await asyncio.wait_for(model.is_holding.wait(), 10)
    work.cancel()
    await asyncio.wait([work])


async def test_a_shard_is_done_and_the_next_start_asks_for_nothing(tmp_path: Path) -> None:
    model = Model()
    job = plan(tmp_path, model)
    end = await Worker(0, job, coordinator(job)).work(3, 60, ROWS)
    assert end.error is None
    assert (end.result.done, end.result.cost) == (20, TokenUsage(300, 60, 60))
    assert (end.shard, end.attempt) == (3, 1)
    again = await Worker(0, job, coordinator(job)).work(3, 60, lambda: iter(ROWS))
    assert len(model.asked) == 60
    assert again.attempt == 0
    assert (again.result.done, again.result.skipped, again.result.cost) == (20, 20, end.result.cost)
    assert again.result.cost_now == TokenUsage()
    rows = list(Journal(tmp_path / "00003" / "attempt-1.jsonl").rows())
    assert {row.row: row.index for row in rows} == {row["id"]: 60 + at for at, row in enumerate(ROWS)}


async def test_an_attempt_goes_on_where_the_one_before_was_killed(tmp_path: Path) -> None:
    model = Model()
    model.holds_from = 25
    job = plan(tmp_path, model)
    asks = coordinator(job)
    await killed(asyncio.create_task(Worker(0, job, asks).work(0, 0, ROWS)), model)
    in_flight, model.holds_from = model.held, 10**9
    end = await Worker(1, job, asks).work(0, 0, ROWS)
    assert (end.attempt, end.result.done) == (2, 20)
    assert in_flight <= 12
    assert len(model.asked) == 60 + in_flight
    assert end.result.cost.llm_calls == len(model.asked)
    assert totals(tmp_path / "00000" / "attempt-2.jsonl")[0].llm_calls == len(model.asked)


async def test_the_ceiling_is_kept_over_workers_and_attempts(tmp_path: Path) -> None:
    model = Model()
    model.holds_from = 40
    job = plan(tmp_path, model, TokenUsage(llm_calls=130))
    asks = coordinator(job, workers=2)
    first = asyncio.create_task(Worker(0, job, asks).work(0, 0, ROWS))
    await killed(first, model)
    model.holds_from = 10**9
    ends = await asyncio.gather(
        Worker(1, job, asks).work(0, 0, ROWS),
        Worker(2, job, asks).work(1, 20, rows_of(1)),
        Worker(3, job, asks).work(2, 40, rows_of(2)),
    )
    assert len(model.asked) <= 130
    stopped = [end for end in ends if end.error is not None]
    assert stopped
    assert all(end.is_budget for end in stopped)
    assert all(not end.result.failed for end in ends)
    # What was handed back by those that ended is there for one more round.
    for end in stopped:
        await Worker(4, job, asks).work(end.shard, 20 * end.shard, rows_of(end.shard) if end.shard else ROWS)
    assert 130 - 3 < len(model.asked) <= 130


async def test_a_job_that_starts_again_counts_what_was_spent_before(tmp_path: Path) -> None:
    model = Model()
    job = plan(tmp_path, model)
    await Worker(0, job, coordinator(job)).work(0, 0, ROWS)
    job = plan(tmp_path, model, TokenUsage(llm_calls=70))
    folder = ShardFolder(tmp_path, 0)
    assert folder.journal is not None
    spent = {0: {"llm_calls": totals(folder.journal)[0].llm_calls}}
    asks = Coordinator(job.max_cost, 1, spent)  # type: ignore[arg-type]
    end = await Worker(0, job, asks).work(1, 20, rows_of(1))
    assert end.is_budget
    assert len(model.asked) == 70


async def test_an_attempt_that_was_taken_for_dead_stops_and_what_it_spent_is_counted(tmp_path: Path) -> None:
    model = Model()
    model.holds_from = 4
    job = plan(tmp_path, model, TokenUsage(llm_calls=10_000))
    asks = coordinator(job, workers=2)
    slow = asyncio.create_task(Worker(0, job, asks).work(0, 0, ROWS))
    await asyncio.wait_for(model.is_holding.wait(), 10)
    folder = ShardFolder(tmp_path, 0)
    begun = folder.begin(await asks.number(0, folder.last()))
    assert not begun.is_alone  # the journal of the first one is locked
    await asks.begin(0, 2, {"llm_calls": totals(begun.path)[0].llm_calls}, is_alone=False)  # type: ignore[dict-item]
    lease = await asks.lend(0, 1, {"llm_calls": 1})  # type: ignore[dict-item]
    assert "overtaken by attempt 2" in lease.refusal
    late = (
        '{"t":"sent","row":"r9","req":"00","n":0,"most":[1,1]}\n'
        '{"t":"call","row":"r9","req":"00","n":0,"content":"","finish":"stop",'
        '"usage":{"prompt_tokens":7,"completion_tokens":2}}\n'
    )
    first = tmp_path / "00000" / "attempt-1.jsonl"
    first.write_bytes(first.read_bytes() + late.encode())
    assert folder.lost() == TokenUsage(7, 2, 1)
    slow.cancel()
    await asyncio.wait([slow])
    with pytest.raises(JournalError, match="attempt 2 has begun"):
        folder.begin(2)


async def test_a_torn_line_is_not_copied_into_the_next_attempt(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path, 0)
    first = folder.begin(1)
    first.path.write_bytes(b'{"t":"job","format":1}\n{"t":"sent","row"')
    second = folder.begin(2)
    assert second.is_alone
    lines = [json.loads(line) for line in second.path.read_bytes().splitlines()]
    assert lines == [{"t": "job", "format": 1}, {"t": "attempt", "number": 2, "after": 1, "bytes": 23}]


async def test_a_shard_takes_more_rows_but_no_others(tmp_path: Path) -> None:
    model = Model()
    job = plan(tmp_path, model)
    worker = Worker(0, job, coordinator(job))
    await worker.work(0, 0, ROWS[:5])
    grown = await worker.work(0, 0, ROWS[:8])
    assert (grown.result.done, grown.result.skipped) == (8, 5)
    assert len(model.asked) == 24
    for others in (ROWS[1:9], ROWS[:7], [*ROWS[:7], ROWS[9]]):
        with pytest.raises(JournalError, match="other rows"):
            await worker.work(0, 0, others)
    changed = await worker.work(0, 0, [*ROWS[:7], {"id": "r7", "text": "another"}])
    assert isinstance(changed.error, JournalError)


async def test_an_error_that_concerns_all_rows_comes_back_with_the_shard(tmp_path: Path) -> None:
    model = Model()
    model.fails = PermanentError("no such key", status_code=401)
    job = plan(tmp_path, model)
    end = await Worker(0, job, coordinator(job)).work(0, 0, ROWS)
    assert isinstance(end.error, PermanentError)
    assert not end.is_budget
    assert end.result.failed == 0


async def test_a_job_that_is_stopped_finishes_what_is_in_flight(tmp_path: Path) -> None:
    model = Model()
    job = plan(tmp_path, model)
    asks = coordinator(job)
    await asks.stop("the job was stopped")
    end = await Worker(0, job, asks).work(0, 0, ROWS)
    assert not end.is_budget
    assert "the job was stopped" in str(end.error)
    assert end.result.rows < 20


async def test_the_rates_of_all_workers_together_are_never_more_than_the_whole(tmp_path: Path) -> None:
    seen: list[tuple[float, ...]] = []

    class Watched(Model):
        async def complete(self, messages: Any, **options: Any) -> LLMResponse:
            seen.append(tuple(worker._limits.allowed_per_second or 0.0 for worker in workers))
            return await super().complete(messages, **options)

    model = Watched()
    job = plan(tmp_path, model, requests_per_minute=600_000)
    asks = coordinator(job, workers=2)
    workers = [Worker(number, job, asks) for number in range(2)]
    await asyncio.gather(*(workers[each].work(each, 20 * each, rows_of(each)) for each in range(2)))
    assert len(model.asked) == 120
    assert max(map(sum, seen)) <= 10_000 + 1
    assert all(max(rates) > 0 for rates in seen)
