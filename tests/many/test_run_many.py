"""A step over many rows: every row ends once, and the bill is the server's."""

import asyncio
import functools
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from watching import Watcher, spent

from executionkit import (
    BudgetExhaustedError,
    Kit,
    LLMProvider,
    LLMResponse,
    MockProvider,
    Panel,
    PatternError,
    PatternResult,
    PermanentError,
    Provider,
    ProviderError,
    Rates,
    RetryConfig,
    Tier,
    TokenUsage,
    cascade,
    consensus,
    refine_loop,
)
from executionkit.errors import JournalError
from executionkit.many import (
    Journal,
    ManyResult,
    Progress,
    RateLimits,
    Recorder,
    Replayer,
    RowResult,
    iter_many,
    run_many,
    run_many_sync,
)
from executionkit.many._job import Job
from executionkit.many._journal.journal import book_of
from executionkit.observe import observe
from executionkit.testing import ChatRequest, Fault, Limits, LocalEndpoint, MockCall

AT_ONCE = RetryConfig(base_delay=0.0)


async def ask(provider: LLMProvider, row: str) -> str:
    return (await provider.complete([{"role": "user", "content": row}])).content


async def vote(provider: LLMProvider, row: str) -> PatternResult[str]:
    return await consensus(provider, row, num_samples=3)


def echo(request: ChatRequest) -> str | Fault:
    return Fault.status(400) if "bad" in request.prompt else f"<{request.prompt}>"


def rows_of(count: int) -> list[str]:
    return [f"row {number}" for number in range(count)]


async def others() -> set[asyncio.Task[Any]]:
    """The tasks that are left, when what was cancelled has had its turn."""
    for _ in range(3):
        await asyncio.sleep(0)
    return asyncio.all_tasks() - {asyncio.current_task()}


async def test_rows_are_worked_on_at_once_up_to_the_limit_and_the_bill_is_that_of_the_server() -> None:
    ended: list[RowResult[str]] = []
    async with LocalEndpoint(echo) as endpoint, Provider(endpoint.base_url, "m") as provider:
        gate = endpoint.hold()
        job = asyncio.create_task(
            run_many(provider, rows_of(40), vote, max_rows=4, on_result=ended.append, retry=AT_ONCE)
        )
        ledger = await endpoint.wait_in_flight(12)
        assert (await endpoint.settle()).calls == 12
        gate.release()
        result = await job
        assert (result.rows, result.done, result.failed, result.skipped) == (40, 40, 0, 0)
        assert result.cost == result.cost_now == endpoint.ledger.usage
        assert ledger.calls < result.cost.llm_calls == 120
    assert {row.index: row.value for row in ended} == {n: f"<row {n}>" for n in range(40)}
    assert all(row.id == str(row.index) and row.cost.llm_calls == 3 for row in ended)
    assert sum((row.cost for row in ended), TokenUsage()) == result.cost
    assert all(row.result is not None and row.result.score == 1.0 for row in ended)
    assert str(result).startswith("40 rows: 40 done; 120 calls, ")


async def test_a_row_fails_alone_and_keeps_its_cost_and_its_reason() -> None:
    async def step(provider: LLMProvider, row: str) -> object:
        if row == "row 3":
            raise KeyError("text")
        if row == "row 5":  # a ceiling of its own, not the job's
            return await consensus(provider, row, num_samples=2, max_cost=TokenUsage(llm_calls=1))
        if row == "row 7":
            await ask(provider, row)
            raise asyncio.CancelledError
        return await consensus(provider, f"bad {row}" if row == "row 9" else row, num_samples=2)

    async with LocalEndpoint(echo) as endpoint, Provider(endpoint.base_url, "m") as provider:
        result = await run_many(provider, rows_of(20), step, max_cost=TokenUsage(llm_calls=1000))
        assert result.cost == endpoint.ledger.usage
    assert (result.rows, result.done, result.failed) == (20, 16, 4)
    failures = {row.index: row for row in result.failures}
    errors = {index: (row.error or "").partition(":")[0] for index, row in failures.items()}
    assert errors == {
        3: "KeyError",
        5: "BudgetExhaustedError",
        7: "PatternError",
        9: "PermanentError",
    }
    assert {index: row.cost.llm_calls for index, row in failures.items()} == {3: 0, 5: 0, 7: 1, 9: 2}
    assert json.loads(json.dumps(result.to_dict()))["failed"] == 4
    assert "4 failed" in repr(result)


@pytest.mark.parametrize(
    ("options", "bad", "ends"),
    [
        ({}, 60, "the last 50 rows failed with PermanentError"),
        ({"max_failures": 2}, 60, "3 of 3 rows failed, max_failures is 2"),
        ({"max_failures": 0.25}, 40, "of 100 rows failed, max_failures is 0.25"),
        ({"on_failure": "raise"}, 1, "400"),
    ],
)
async def test_too_many_failures_end_the_job_after_what_is_under_way(
    options: dict[str, Any], bad: int, ends: str
) -> None:
    rows = [f"{'bad ' if number < bad else ''}{number}" for number in range(300)]
    async with LocalEndpoint(echo) as endpoint, Provider(endpoint.base_url, "m") as provider:
        with pytest.raises((PatternError, PermanentError), match=ends) as caught:
            await run_many(provider, rows, ask, max_rows=1, **options)
        assert caught.value.cost == endpoint.ledger.usage
    facts = caught.value.metadata
    assert facts["done"] + facts["failed"] == endpoint.ledger.calls < 300
    assert facts["failed"] == min(bad, facts["failed"]) == len(facts["failures"])
    assert "rows are done; with a journal" in caught.value.__notes__[-1]


async def test_refusals_by_a_limit_are_counted_and_lose_no_row() -> None:
    limits = Limits(requests_per_minute=12_000, burst=0.02, retry_after="milliseconds")
    async with LocalEndpoint(echo, limits=limits) as endpoint, Provider(endpoint.base_url, "m") as provider:
        # More refusals than there are retries.
        result = await run_many(provider, rows_of(60), ask, retry=RetryConfig(max_retries=0))
        ledger = await endpoint.settle()
        assert (result.done, result.failed) == (60, 0)
        assert result.cost == ledger.usage
        assert result.refused == ledger.statuses.count(429) > 0


async def test_a_wrong_key_stops_the_job_and_no_row_has_failed_by_it() -> None:
    async with LocalEndpoint(echo, api_key="right") as endpoint:
        async with Provider(endpoint.base_url, "m", api_key="wrong") as provider:
            with pytest.raises(PermanentError, match="401") as caught:
                await run_many(provider, rows_of(100), vote, max_rows=4)
        assert caught.value.cost.llm_calls == endpoint.ledger.calls <= 12
    assert (caught.value.metadata["done"], caught.value.metadata["failed"]) == (0, 0)


async def test_a_quota_that_is_used_up_stops_the_job_and_no_row_has_failed_by_it() -> None:
    used_up = PermanentError("used up", status_code=429, code="insufficient_quota")
    with pytest.raises(PermanentError, match="used up") as caught:
        await run_many(MockProvider(["Yes"] * 5, exception=used_up), rows_of(100), vote, max_rows=4)
    assert caught.value.cost.llm_calls <= 17
    assert caught.value.metadata["failed"] == 0


async def test_what_stops_the_job_leaves_rows_open_that_wait_for_another_attempt(tmp_path: Path) -> None:
    waiting = asyncio.Event()

    async def model(call: MockCall) -> str:
        if "row 0" in str(call.messages):
            raise ProviderError("busy")
        await waiting.wait()
        raise PermanentError("no such key", status_code=401)

    async def wait(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    job: Job[str, str] = Job(
        "run_many",
        MockProvider(model),
        rows_of(2),
        vote,
        retry=RetryConfig(sleep=wait),
        journal=tmp_path / "j",
    )
    with pytest.raises(PermanentError, match="no such key"):
        await job.run()
    assert (job.ends.done, job.ends.failed, job.ends.open) == (0, 0, 2)


async def test_a_row_that_fails_in_a_task_group_is_told_by_what_failed_there() -> None:
    failures: dict[str, Exception] = {
        "a": ProviderError("busy"),
        "b": ValueError("odd"),
        "key": PermanentError("no such key", status_code=401),
    }

    async def fail(provider: LLMProvider, name: str) -> None:
        await ask(provider, name)
        raise failures[name]

    async def step(provider: LLMProvider, row: str) -> None:
        async with asyncio.TaskGroup() as group:
            for name in row.split():
                group.create_task(fail(provider, name))

    result = await run_many(MockProvider(["x"]), ["a b"], step)
    assert [row.error for row in result.failures] == ["ProviderError: busy; also ValueError: odd"]
    with pytest.raises(PermanentError, match="no such key") as caught:
        await run_many(MockProvider(["x"]), ["a", "b key", "b"], step, max_rows=1)
    assert (caught.value.cost.llm_calls, caught.value.metadata["failed"]) == (3, 1)


async def test_a_job_that_its_ceiling_stopped_goes_on_and_pays_for_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "votes.jsonl"
    async with LocalEndpoint(echo) as endpoint, Provider(endpoint.base_url, "m") as provider:
        with pytest.raises(BudgetExhaustedError, match="run_many: the budget of llm_calls") as caught:
            await run_many(provider, rows_of(30), vote, journal=path, max_cost=TokenUsage(llm_calls=40))
        assert caught.value.cost == endpoint.ledger.usage
        assert 30 < caught.value.cost.llm_calls <= 40  # calls that waited for their turn were called off
        facts = caught.value.metadata
        assert facts["failed"] == 0
        assert 0 < facts["done"] <= 13
        assert facts["journal"] == path
        with pytest.raises(BudgetExhaustedError):  # of all starts together
            await run_many(provider, rows_of(30), vote, journal=path, max_cost=TokenUsage(llm_calls=60))
        assert 50 < endpoint.ledger.calls <= 60

        kit = Kit(provider)
        ended: list[RowResult[str]] = []
        before = endpoint.ledger.calls
        result = await kit.run_many(rows_of(30), vote, journal=path, on_result=ended.append)
        assert result.cost == endpoint.ledger.usage
        assert result.cost.llm_calls == 90
        # What the journal has answered costs the kit nothing.
        assert result.replayed_calls == sum(row.replayed_calls for row in ended)
        assert kit.usage == result.cost_now
        assert kit.usage.llm_calls == endpoint.ledger.calls - before
        assert sum(row.from_journal for row in ended) == result.skipped > 0

        again = await run_many(provider, rows_of(30), vote, journal=path)
        assert (again.done, again.skipped, again.cost, again.cost_now) == (30, 30, result.cost, TokenUsage())
        async with aclosing(iter_many(provider, rows_of(30), vote, journal=path, ordered=True)) as outcomes:
            kept = [row async for row in outcomes]
        assert [row.value for row in kept] == [f"<row {number}>" for number in range(30)]
        assert all(row.from_journal and row.result is None for row in kept)
        assert endpoint.ledger.calls == 90


class Writer:
    """A model that always writes all it may, and bills it to the end, whoever reads it.

    Attributes:
        billed: The calls that were billed.
        answered: How many of the next calls are answered.
    """

    model = "writer"
    prices = Rates(input=0, output=1)

    def __init__(self) -> None:
        self.billed, self.answered = 0, 2
        self.is_busy = asyncio.Event()

    async def complete(
        self, messages: list[dict[str, Any]], *, max_tokens: int | None = None, **_: Any
    ) -> LLMResponse:
        self.billed, self.answered = self.billed + 1, self.answered - 1
        if self.billed == 6:
            self.is_busy.set()
        if self.answered < 0:
            await asyncio.Event().wait()
        return LLMResponse("x", usage={"prompt_tokens": 1, "completion_tokens": max_tokens})


@pytest.mark.parametrize("ceiling", [TokenUsage(output_tokens=100), TokenUsage(usd="0.0001")])
async def test_a_ceiling_counts_what_was_cut_off_and_replies_of_rows_that_come_last(
    ceiling: TokenUsage, tmp_path: Path
) -> None:
    async def step(provider: LLMProvider, row: str) -> object:
        return await consensus(provider, row, num_samples=3, max_tokens=10)

    path, provider = tmp_path / "journal.jsonl", Writer()

    async def start(rows: str, max_cost: TokenUsage | None = ceiling) -> ManyResult:
        return await run_many(provider, list(rows), step, id=str, journal=path, max_rows=2, max_cost=max_cost)

    job = asyncio.ensure_future(start("abcdefgh"))
    await provider.is_busy.wait()
    job.cancel()
    await asyncio.wait([job])
    provider.answered = 100
    with pytest.raises(BudgetExhaustedError, match=r"40 of that assumed|0\.00004 of that assumed") as caught:
        await start("hgfedcba")
    assert provider.billed == caught.value.cost.llm_calls == 10
    assert caught.value.cost.output_tokens == 60
    result = await start("hgfedcba", None)
    assert (result.done, result.unknown_calls, result.cost.llm_calls) == (8, 4, provider.billed)
    assert result.cost.llm_calls == 8 * 3 + 4


async def test_observers_tell_replayed_calls_from_paid_ones(tmp_path: Path) -> None:
    path, works = tmp_path / "journal.jsonl", False

    async def step(provider: LLMProvider, row: str) -> str:
        found = (await vote(provider, row)).value
        if not works:
            raise ValueError(row)
        return found + await ask(provider, "and then?")

    provider = MockProvider(["a"], usage=TokenUsage(5, 2))
    await run_many(provider, ["row"], step, journal=path)
    works = True
    watcher = Watcher()
    with observe(watcher):
        result = await run_many(provider, ["row"], step, journal=path)
    calls = watcher.of("call")
    assert [any(name == "replayed" for name, _ in call.told) for call in calls] == [True, True, True, False]
    paid = TokenUsage(5, 2, 1)
    assert spent(calls) == result.cost_now == paid
    runs = {node.name.removeprefix("run "): node.heard("ended")[0] for node in watcher.of("run")}
    assert runs == {"run_many": paid, "row": paid, "consensus": TokenUsage()}


@pytest.mark.parametrize("are_streamed", [False, True])
async def test_observers_tell_the_calls_that_a_replayer_answers_without_a_job(
    tmp_path: Path, *, are_streamed: bool
) -> None:
    provider, costs = MockProvider(["a"], usage=TokenUsage(5, 2)), []
    watcher = Watcher()
    with Journal(tmp_path / "journal.jsonl") as journal, observe(watcher):
        for _ in range(2):
            with journal.row("1"):
                kit = Kit(Replayer(Recorder(provider, journal), journal))
                if are_streamed:
                    async with kit.stream("?") as events:
                        assert [event async for event in events]
                else:
                    await kit.consensus("?", num_samples=1)
                costs.append(kit.usage)
    first, second = calls = watcher.of("call")
    assert [any(name == "replayed" for name, _ in call.told) for call in calls] == [False, True]
    assert spent([first]) == costs[0] == costs[1] == TokenUsage(5, 2, 1)
    assert spent([second]) == TokenUsage()


async def test_a_row_that_took_less_than_it_asked_for_stays_open(tmp_path: Path) -> None:
    async def refine(provider: LLMProvider, row: str) -> PatternResult[str]:
        # With a ceiling of its own it would end well; the job's cuts it short.
        return await refine_loop(
            provider, row, evaluator=lambda text, judge: 0.1, max_iterations=3, on_budget="return"
        )

    provider = MockProvider(["one", "two", "three", "four"])
    path = tmp_path / "journal.jsonl"
    with pytest.raises(BudgetExhaustedError):
        await run_many(provider, ["a"], refine, journal=path, max_cost=TokenUsage(llm_calls=2))
    result = await run_many(provider, ["a"], refine, journal=path)
    assert (result.done, result.skipped, result.replayed_calls) == (1, 0, 2)
    assert result.cost.llm_calls == len(provider.calls) == 4


async def test_failed_rows_are_tried_again_unless_they_shall_not_be(tmp_path: Path) -> None:
    path, works = tmp_path / "journal.jsonl", False

    async def step(provider: LLMProvider, row: str) -> object:
        text = await ask(provider, row)
        return text if works or row != "row 1" else {1, 2}

    provider = MockProvider(["yes"])
    first = await run_many(provider, rows_of(3), step, journal=path)
    assert [row.error for row in first.failures] == [
        "TypeError: JSON has no form for the value of row 1 (Object of type set is not JSON serializable); "
        "return something it has"
    ]
    left = await run_many(provider, rows_of(3), step, journal=path, retry_failed=False)
    assert (left.done, left.failed, left.skipped) == (2, 1, 3)
    assert left.failures[0].from_journal
    works = True
    again = await run_many(provider, rows_of(3), step, journal=path)
    assert (again.done, again.failed, again.replayed_calls) == (3, 0, 1)
    assert len(provider.calls) == again.cost.llm_calls == 3


async def test_a_row_with_another_content_is_refused_before_it_is_paid_for(tmp_path: Path) -> None:
    path, provider = tmp_path / "journal.jsonl", MockProvider(["yes"])
    await run_many(provider, ["a", "b"], ask, journal=path)
    with pytest.raises(JournalError, match=r"row 1 \(id '1'\) has another content.*version="):
        await run_many(provider, ["a", "c"], ask, journal=path)
    assert len(provider.calls) == 2
    afresh = await run_many(provider, ["a", "c"], ask, journal=Journal(path, version="2"))
    assert (afresh.done, afresh.skipped, len(provider.calls)) == (2, 0, 4)


@pytest.mark.parametrize(
    ("harm", "told"),
    [(Path.unlink, "somebody has deleted it"), (lambda path: os.truncate(path, 0), "has cut it off")],
)
async def test_a_journal_that_is_lost_meanwhile_stops_the_job(
    harm: Callable[[Path], object], told: str, tmp_path: Path
) -> None:
    path, provider = tmp_path / "journal.jsonl", MockProvider(["yes"])

    async def step(inner: LLMProvider, row: str) -> str:
        text = await ask(inner, row)
        if row == "row 1":
            harm(path)
        return text

    with pytest.raises(JournalError, match=told):
        await run_many(provider, rows_of(9), step, journal=path, max_rows=1)
    assert len(provider.calls) <= 3


async def test_a_journal_is_of_one_job_at_a_time_and_of_one_step(tmp_path: Path) -> None:
    provider, begun, gate = MockProvider(["yes"]), asyncio.Event(), asyncio.Event()

    async def step(inner: LLMProvider, row: str) -> str:
        begun.set()
        await gate.wait()
        return await ask(inner, row)

    with Journal(tmp_path / "journal.jsonl") as journal:
        first = asyncio.ensure_future(run_many(provider, ["a"], step, journal=journal))
        await begun.wait()
        with pytest.raises(JournalError, match="another job of this program"):
            await run_many(provider, ["a"], step, journal=journal)
        gate.set()
        assert (await first).done == 1
        journal.reopen()
        with pytest.raises(JournalError, match=r"written for step .*step'"):
            await run_many(provider, ["a"], ask, journal=journal)
        assert (await run_many(provider, ["a", "b"], step, journal=journal)).skipped == 1
    with pytest.raises(JournalError, match="is a pipe or a device"):
        await run_many(provider, ["a"], step, journal=os.devnull)


async def test_a_reply_is_replayed_by_the_member_of_a_panel_that_gave_it(tmp_path: Path) -> None:
    members = [MockProvider(["one"]), MockProvider(["two"])]
    members[0].model, members[1].model = "first", "second"  # type: ignore[attr-defined]
    works = False

    async def step(provider: LLMProvider, row: str) -> str:
        text = await ask(provider, row)
        if not works:
            raise ValueError("not yet")
        return text

    path, values = tmp_path / "journal.jsonl", dict[str, object]()

    def keep(row: RowResult[str]) -> None:
        values[row.id] = row.value

    await run_many(Panel(members), ["a", "b"], step, id=str, journal=path, max_rows=1)
    works = True
    # In another order, each row comes at another member's turn.
    again = await run_many(
        Panel(members), ["b", "c", "a"], step, id=str, journal=path, max_rows=1, on_result=keep
    )
    assert (again.replayed_calls, [len(member.calls) for member in members]) == (2, [2, 1])
    assert values == {"b": "two", "c": "one", "a": "one"}


async def test_what_is_kept_of_an_error_is_short_and_has_no_key(tmp_path: Path) -> None:
    async def step(_: LLMProvider, row: str) -> str:
        raise ValueError(f"no answer with api_key={row} " + 9000 * "x")

    path = tmp_path / "journal.jsonl"
    result = await run_many(MockProvider(["-"]), ["sk-secret-123456"], step, journal=path, id=lambda _: "a")
    assert (result.failures[0].error or "").startswith("ValueError: no answer with api_key=[REDACTED] xxx")
    assert "secret" not in path.read_text()
    assert path.stat().st_size < 4000


async def test_in_order_no_more_rows_are_begun_than_the_window_has() -> None:
    begun: list[int] = []
    first, full = asyncio.Event(), asyncio.Event()

    async def step(_: LLMProvider, row: int) -> int:
        begun.append(row)
        if row == 9:
            full.set()
        if row == 0:
            await first.wait()
        return row * row

    outcomes = iter_many(MockProvider(["-"]), range(50), step, ordered=True, max_rows=4, max_ahead=10)
    async with aclosing(outcomes):
        oldest = asyncio.ensure_future(anext(outcomes))
        await full.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        assert begun == list(range(10))
        first.set()
        assert [(await oldest).index] + [row.index async for row in outcomes] == list(range(50))


async def test_a_slow_reader_holds_the_job_up() -> None:
    begun: list[int] = []

    async def step(_: LLMProvider, row: int) -> int:
        begun.append(row)
        return row

    def numbers() -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    async with aclosing(iter_many(MockProvider(["-"]), numbers(), step, max_rows=2)) as outcomes:
        async for row in outcomes:
            for _ in range(50):
                await asyncio.sleep(0)
            assert len(begun) <= row.index + 9
            if row.index == 20:
                break
    assert await others() == set()


async def test_leaving_early_and_cancellation_leave_no_task_and_no_connection(tmp_path: Path) -> None:
    async with LocalEndpoint(echo) as endpoint, Provider(endpoint.base_url, "m") as provider:
        async with aclosing(iter_many(provider, rows_of(100), vote, max_rows=4)) as outcomes:
            await anext(outcomes)
        assert await others() == set()

        begun = (await endpoint.settle()).calls
        endpoint.hold()
        path = tmp_path / "journal.jsonl"
        limits = RateLimits(max_in_flight=7)
        job = asyncio.create_task(
            run_many(provider, rows_of(100), vote, max_rows=4, journal=path, limits=limits)
        )
        await endpoint.wait_in_flight(7)
        job.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await job
        assert "begin again with the same journal" in " ".join(caught.value.__notes__)
        assert await others() == set()
        ledger = await endpoint.settle()
        assert (ledger.in_flight, ledger.calls - begun) == (0, 7)
        assert caught.value.cost.llm_calls == 7  # type: ignore[attr-defined]  # of 12 that were to be made
        assert limits.in_flight == limits.waiting == 0
    with Journal(path) as journal:  # its lock is free, and then taken
        book_of(journal).open("m", endpoint_url(path), "test_run_many.vote")
        with pytest.raises(JournalError, match="process") as locked:
            await run_many(MockProvider(["-"]), rows_of(1), vote, journal=path)
        assert locked.value.metadata["done"] == 0


def endpoint_url(path: Path) -> str:
    return str(json.loads(path.read_text().splitlines()[0])["base_url"])


async def test_stop_lets_the_rows_under_way_end() -> None:
    async with LocalEndpoint(echo) as endpoint, Provider(endpoint.base_url, "m") as provider:
        gate = endpoint.hold()
        job: Job[str, str] = Job("run_many", provider, rows_of(100), vote, max_rows=4)
        running = asyncio.create_task(job.run())
        await endpoint.wait_in_flight(12)
        job.stop()
        gate.release()
        result = await running
        assert (result.rows, result.done) == (4, 4)
        assert result.cost == endpoint.ledger.usage


async def plain(_: object, row: str) -> str:
    return row


def not_async(_: object, row: str) -> str:
    return row


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"rows": "abc"}, ValueError, "rows must be an iterable of rows.*got a str"),
        ({"rows": {"a": 1}}, ValueError, "got a dict"),
        ({"rows": None}, ValueError, "got None"),
        ({"step": None}, TypeError, "step must be an async function"),
        ({"step": not_async}, TypeError, "step must be an async function, .*not_async returned str"),
        ({"step": len}, TypeError, r"step is called with \(provider, row\)"),
        ({"step": Kit}, TypeError, "got the class Kit"),
        (
            {"step": consensus, "rows": [{"text": "a"}]},
            TypeError,
            "consensus takes a prompt.*is of type dict",
        ),
        ({"step": functools.partial(consensus, num_samples=3), "rows": [1]}, TypeError, "is of type int"),
        ({"provider": object()}, TypeError, "has no `complete`"),
        ({"id": ""}, ValueError, "id must be"),
        ({"id": lambda: 1}, ValueError, "id must be a function called as"),
        ({"shard": (16, 16)}, ValueError, r"0 <= i < n, got \(16, 16\)"),
        ({"shard": (0.0, 2)}, ValueError, "shard must be a pair"),
        ({"max_rows": 0}, ValueError, "max_rows must be"),
        ({"max_failures": True}, ValueError, "max_failures must be"),
        ({"max_failures": 1.5}, ValueError, "max_failures must be"),
        ({"on_failure": "stop"}, ValueError, "on_failure must be one of"),
        ({"max_cost": 5}, ValueError, "max_cost must be"),
        ({"retry": 3}, ValueError, "retry must be"),
        ({"limits": 3}, ValueError, "limits must be"),
        ({"progress": None}, ValueError, "progress must be"),
        ({"progress": lambda: 1}, ValueError, "progress must be a function called as"),
        ({"on_result": 1}, ValueError, "on_result must be"),
    ],
)
async def test_bad_input_is_refused_before_the_first_call(
    change: dict[str, Any], error: type[Exception], says: str
) -> None:
    provider = MockProvider(["-"])
    given: dict[str, Any] = {"provider": provider, "rows": ["a", "b"], "step": plain, **change}
    with pytest.raises(error, match=says):
        await run_many(given.pop("provider"), given.pop("rows"), given.pop("step"), **given)
    assert not provider.calls


class Frame:
    """A table that iterates over its columns."""

    def iter_rows(self) -> None: ...

    def __iter__(self) -> Iterator[str]:
        return iter(["text"])


async def test_a_table_by_columns_is_refused_with_what_to_give() -> None:
    with pytest.raises(ValueError, match=r"a Frame.*df\.iter_rows\(named=True\)"):
        await run_many(MockProvider(["-"]), Frame(), plain)


async def test_rows_with_bad_ids_fail_and_the_others_go_on() -> None:
    ids: list[object] = ["x", 2, None, True, 1.5, "", "x", 3, "2"]
    rows = [{"key": each} for each in ids] + [{"other": 1}]

    async def step(_: object, row: dict[str, object]) -> object:
        return row["key"]

    result = await run_many(MockProvider(["-"]), rows, step, id="key", max_rows=1)
    assert {row.index: (row.id, row.error) for row in result.failures} == {
        2: ("", "row 2 has no id: it must be a text or an int, got None"),
        3: ("", "row 3 has no id: it must be a text or an int, got True"),
        4: ("", "row 4 has no id: it must be a text or an int, got 1.5"),
        5: ("", "row 5 has no id: it must be a text or an int, got ''"),
        6: ("x", "id 'x' was row 0's"),
        8: ("2", "id '2' was row 1's"),
        9: ("", "row 9 has no id: it has no field 'key'"),
    }
    assert result.done == 3


@pytest.mark.parametrize("fails_at", [0, 3])
async def test_rows_may_be_async_and_their_error_comes_after_what_is_under_way(fails_at: int) -> None:
    async def rows() -> AsyncIterator[str]:
        for number in range(5):
            await asyncio.sleep(0)
            if number == fails_at:
                raise OSError("the disk has gone")
            yield f"row {number}"

    async with LocalEndpoint(echo) as endpoint, Provider(endpoint.base_url, "m") as provider:
        with pytest.raises(OSError, match="the disk has gone") as caught:
            await run_many(provider, rows(), ask)
        assert caught.value.cost == endpoint.ledger.usage  # type: ignore[attr-defined]
        assert caught.value.metadata["done"] == fails_at  # type: ignore[attr-defined]
    after = "after row 2 (id '2')" if fails_at else "before the first row"
    assert f"run_many: the rows raised this {after}" in caught.value.__notes__


async def test_shards_part_the_rows_and_their_bounds_never_move() -> None:
    seen: list[list[str]] = []
    for number in range(4):
        mine: list[str] = []

        async def step(_: object, row: str, mine: list[str] = mine) -> None:
            mine.append(row)

        await run_many(MockProvider(["-"]), rows_of(200), step, id=lambda row: row, shard=(number, 4))
        seen.append(mine)
    assert sorted(row for mine in seen for row in mine) == sorted(rows_of(200))
    assert [len(mine) for mine in seen] == [65, 58, 36, 41]  # of this digest and no other


async def test_every_row_has_a_context_of_its_own_and_a_run_of_its_own() -> None:
    provider = MockProvider(["yes"])
    other = MockProvider(["no"])
    panel = Panel([provider, other])

    async def tiers(run: LLMProvider, row: str) -> PatternResult[str]:
        return await cascade([Tier(run, num_samples=1), Tier(provider, num_samples=1)], row)

    kit = Kit(panel)
    result = await kit.run_many(rows_of(10), tiers)
    assert (result.done, result.cost) == (10, kit.usage)
    assert kit.usage.llm_calls == len(provider.calls) + len(other.calls)


async def test_those_who_listen_are_told_and_their_errors_are_counted() -> None:
    told: list[Progress] = []

    async def on_result(row: RowResult[str]) -> None:
        await asyncio.sleep(0)
        if row.index == 4:
            raise RuntimeError("the listener's")

    result = await run_many(
        MockProvider(["yes"]), rows_of(10), ask, on_result=on_result, progress=told.append, max_rows=2
    )
    assert (result.done, result.callback_errors) == (10, 1)
    last = told[-1]
    assert (last.done, last.failed, last.total, last.cost) == (10, 0, 10, result.cost)
    assert last.in_flight == last.waiting == 0


async def test_without_a_terminal_that_can_draw_progress_is_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    journal = tmp_path / "journal.jsonl"
    await run_many(MockProvider(["yes"]), rows_of(3), ask, progress=True, journal=journal)
    shown = capsys.readouterr().err
    assert shown.startswith("run_many: 3 of 3 rows, ")
    assert "3 calls" in shown
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    await run_many(MockProvider(["yes"]), rows_of(3), ask, progress=True, journal=journal)
    # Rows out of the journal took no time, and say nothing about those that are left.
    assert capsys.readouterr().err.startswith("run_many: 3 of 3 rows, 0 rows/s; 3 calls, ")


def test_the_twin_for_scripts_does_the_same(tmp_path: Path) -> None:
    result = run_many_sync(MockProvider(["yes"]), rows_of(3), ask, journal=tmp_path / "journal.jsonl")
    assert isinstance(result, ManyResult)
    assert (result.done, result.journal) == (3, tmp_path / "journal.jsonl")
    again = run_many_sync(MockProvider(["no"]), rows_of(3), ask, journal=tmp_path / "journal.jsonl")
    assert (again.skipped, again.cost_now) == (3, TokenUsage())


async def test_rows_that_wait_for_something_keep_no_job_from_its_end(tmp_path: Path) -> None:
    async def rows() -> AsyncIterator[str]:
        yield "a"
        yield "bad"
        await asyncio.Event().wait()

    provider = MockProvider(lambda call: "yes" if "bad" not in str(call.messages) else PermanentError("no"))
    with pytest.raises(PermanentError, match="no"):
        await run_many(provider, rows(), ask, on_failure="raise")
    path = tmp_path / "journal.jsonl"
    await run_many(provider, ["a", "b"], ask, journal=path)

    async def changed() -> AsyncIterator[str]:
        yield "a"
        yield "c"
        await asyncio.Event().wait()

    with pytest.raises(JournalError, match="row 1"):
        await run_many(provider, changed(), ask, journal=path)
    assert await others() == set()


async def test_an_id_is_known_again_among_thousands() -> None:
    ids = [f"id {number}" for number in range(5_000)]
    rows = [*ids, "id 4999", "id 0", "new"]

    async def step(_: object, row: str) -> str:
        return row

    result = await run_many(MockProvider(["-"]), rows, step, id=str)
    assert [row.error for row in result.failures] == [
        "id 'id 4999' was row 4999's",
        "id 'id 0' was row 0's",
    ]
    assert result.done == 5_001
