"""gather_strict and gather_resilient: order, bound, one plain error, nothing left running or unawaited."""

import asyncio
import gc
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from executionkit.engine.parallel import Suspended, fan_out, gather_resilient, gather_strict, merged, reap

GATHERERS: list[Callable[..., Awaitable[list[Any]]]] = [gather_strict, gather_resilient]
both = pytest.mark.parametrize("gather", GATHERERS)


class Outcry(BaseException):
    """What a test framework or another event library raises past `except Exception`."""


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """A coroutine never awaited or an exception never read is found when it is collected."""
    unraisable: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, unraisable.append
    yield
    gc.collect(1)  # what one test leaves is young
    sys.unraisablehook = hook
    assert not unraisable


@pytest.fixture(autouse=True)
async def no_task_left_running() -> Any:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    before = asyncio.all_tasks()
    yield
    gc.collect(1)  # what one test leaves is young
    assert asyncio.all_tasks() - before <= {asyncio.current_task()}
    assert not complaints


class Jobs:
    """Coroutines that say what became of them, and wait for the test."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self.running = 0
        self.most_running = 0

    async def run(
        self, name: str, until: asyncio.Event | None = None, fail: BaseException | None = None
    ) -> str:
        self.started.append(name)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if until is not None:
                await until.wait()
            if fail is not None:
                raise fail
            self.ended.append(name)
            return name
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        finally:
            self.running -= 1


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


async def idle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


# -- both ------------------------------------------------------------------------------------------------


@both
async def test_results_stand_in_the_order_given_whatever_ends_first(gather: Any, jobs: Jobs) -> None:
    gates = [asyncio.Event() for _ in range(3)]
    running = asyncio.create_task(gather([jobs.run(str(i), gate) for i, gate in enumerate(gates)]))
    for gate in reversed(gates):
        await idle()
        gate.set()
    assert await running == ["0", "1", "2"]
    assert jobs.ended == ["2", "1", "0"]


@both
async def test_nothing_to_do_gives_nothing(gather: Any) -> None:
    assert await gather([]) == []
    assert await gather(iter(())) == []


@both
async def test_an_iterator_will_do(gather: Any, jobs: Jobs) -> None:
    assert await gather(jobs.run(name) for name in "abc") == ["a", "b", "c"]


@both
@pytest.mark.parametrize(("limit", "most"), [(1, 1), (3, 3), (7, 7), (1000, 7)])
async def test_never_more_at_once_than_asked_for(gather: Any, jobs: Jobs, limit: int, most: int) -> None:
    gate = asyncio.Event()
    running = asyncio.create_task(gather([jobs.run(str(i), gate) for i in range(7)], limit))
    await idle()
    assert len(jobs.started) == most
    gate.set()
    await running
    assert jobs.most_running == most
    assert len(jobs.ended) == 7


@both
async def test_ten_at_once_by_default(gather: Any, jobs: Jobs) -> None:
    gate = asyncio.Event()
    running = asyncio.create_task(gather([jobs.run(str(i), gate) for i in range(12)]))
    await idle()
    assert jobs.running == 10
    gate.set()
    await running


@both
@pytest.mark.parametrize("limit", [0, -1, 1.5, None, True])
async def test_a_bound_out_of_range_is_refused_before_anything_runs(
    gather: Any, jobs: Jobs, limit: Any
) -> None:
    with pytest.raises(ValueError, match=f"^max_concurrency must be an integer >= 1, got {limit!r}$"):
        await gather([jobs.run("a"), jobs.run("b")], limit)
    assert jobs.started == []


@both
async def test_an_iterator_that_fails_leaves_nothing_it_made_unawaited(gather: Any, jobs: Jobs) -> None:
    def make() -> Iterator[Awaitable[str]]:
        yield jobs.run("a")
        yield jobs.run("b")
        raise LookupError("no third")

    with pytest.raises(LookupError, match="no third"):
        await gather(make())
    assert jobs.started == []


@both
async def test_being_cancelled_cancels_and_awaits_everything(gather: Any, jobs: Jobs) -> None:
    running = asyncio.create_task(gather([jobs.run(name, asyncio.Event()) for name in "abc"], 2))
    await idle()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(jobs.cancelled) == ["a", "b"]
    assert jobs.started == ["a", "b"]


@both
async def test_being_cancelled_twice_still_leaves_nothing_running(gather: Any) -> None:
    cleaning, cleaned = asyncio.Event(), asyncio.Event()
    ended: list[str] = []

    async def slow_to_go() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            try:
                await cleaned.wait()
            finally:
                ended.append("gone")

    running = asyncio.create_task(gather([slow_to_go()]))
    await idle()
    running.cancel()
    await cleaning.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == ["gone"]


@both
async def test_after_being_cancelled_nothing_new_starts_even_where_a_job_swallows_it(
    gather: Any, jobs: Jobs
) -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "so what"
        raise AssertionError

    running = asyncio.create_task(gather([stubborn(), jobs.run("next")], 1))
    await idle()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert jobs.started == []


@both
async def test_what_is_no_exception_stops_everything_and_goes_through(gather: Any, jobs: Jobs) -> None:
    outcry = Outcry()
    others = [jobs.run("waits", asyncio.Event()), jobs.run("raises", fail=outcry), jobs.run("next")]
    with pytest.raises(Outcry) as caught:
        await gather(others, 2)
    assert caught.value is outcry
    assert jobs.started == ["waits", "raises"]
    assert jobs.cancelled == ["waits"]


@both
async def test_of_two_such_only_one_goes_through(gather: Any, jobs: Jobs) -> None:
    with pytest.raises(Outcry):
        await gather([jobs.run("a", fail=Outcry()), jobs.run("b", fail=Outcry())])


@both
async def test_futures_and_other_awaitables_will_do(gather: Any, jobs: Jobs) -> None:
    class Later:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return "later"

    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    future.set_result("future")
    task = asyncio.create_task(jobs.run("task"))
    assert await gather([Later(), future, task]) == ["later", "future", "task"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
@both
async def test_eager_tasks_make_no_difference(gather: Any, jobs: Jobs) -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - 3.11 has no such attribute
    assert await gather([jobs.run(name) for name in "abc"], 2) == ["a", "b", "c"]
    failing = gather([jobs.run("d", fail=ValueError("no")), jobs.run("e", asyncio.Event())], 2)
    if gather is gather_strict:
        with pytest.raises(ValueError, match="no"):
            await failing
    else:
        running = asyncio.ensure_future(failing)
        await idle()
        running.cancel()
        await asyncio.wait([running])


# -- strict ----------------------------------------------------------------------------------------------


async def test_the_first_failure_is_raised_plain_after_the_rest_have_ended(jobs: Jobs) -> None:
    gate = asyncio.Event()
    failure = ValueError("no")
    coros = [
        jobs.run("waits", asyncio.Event()),
        jobs.run("fails", gate, failure),
        jobs.run("waits too", asyncio.Event()),
        jobs.run("has no turn"),
    ]
    running = asyncio.create_task(gather_strict(coros, 3))
    await idle()
    gate.set()
    with pytest.raises(ValueError, match="no") as caught:
        await running
    assert caught.value is failure
    assert (failure.__cause__, failure.__context__) == (None, None)
    assert jobs.cancelled == ["waits", "waits too"]
    assert "has no turn" not in jobs.started


async def test_first_means_in_time_not_in_order(jobs: Jobs) -> None:
    first, second = asyncio.Event(), asyncio.Event()
    coros = [jobs.run("0", second, ValueError("0")), jobs.run("1", first, ValueError("1"))]
    running = asyncio.create_task(gather_strict(coros))
    await idle()
    first.set()
    with pytest.raises(ValueError, match="1"):
        await running


async def test_failures_at_once_are_one_error_with_the_others_in_its_notes(jobs: Jobs) -> None:
    gate = asyncio.Event()
    coros = [jobs.run(str(i), gate, ValueError(f"no {i}")) for i in range(3)]
    running = asyncio.create_task(gather_strict(coros))
    await idle()
    gate.set()
    with pytest.raises(ValueError, match="no 0") as caught:
        await running
    assert caught.value.__notes__ == ["also failed: ValueError: no 1", "also failed: ValueError: no 2"]


async def test_an_error_raised_while_being_cancelled_is_a_note(jobs: Jobs) -> None:
    async def fails_to_clean_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("dirty")

    gate = asyncio.Event()
    running = asyncio.create_task(gather_strict([fails_to_clean_up(), jobs.run("a", gate, ValueError("no"))]))
    await idle()
    gate.set()
    with pytest.raises(ValueError, match="no") as caught:
        await running
    assert caught.value.__notes__ == ["also failed: OSError: dirty"]


async def test_a_second_failure_does_not_cancel_the_others_clean_up(jobs: Jobs) -> None:
    cleaned: list[str] = []
    gate = asyncio.Event()

    async def cleans_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await gate.wait()
            cleaned.append("all of it")

    async def fails_to_clean_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("dirty")

    running = asyncio.create_task(
        gather_strict([cleans_up(), fails_to_clean_up(), jobs.run("a", fail=ValueError("no"))])
    )
    await idle()
    gate.set()
    with pytest.raises(ValueError, match="no"):
        await running
    assert cleaned == ["all of it"]


async def test_being_cancelled_wins_over_a_failure(jobs: Jobs) -> None:
    cleaning, cleaned = asyncio.Event(), asyncio.Event()

    async def cleans_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await cleaned.wait()

    running = asyncio.create_task(gather_strict([cleans_up(), jobs.run("a", fail=ValueError("no"))]))
    await cleaning.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_job_that_cancelled_itself_cancels_the_rest(jobs: Jobs) -> None:
    coros = [jobs.run("waits", asyncio.Event()), jobs.run("gone", fail=asyncio.CancelledError())]
    with pytest.raises(asyncio.CancelledError):
        await gather_strict(coros)
    assert sorted(jobs.cancelled) == ["gone", "waits"]


async def test_tasks_whose_turn_never_came_are_cancelled_and_awaited(jobs: Jobs) -> None:
    waiting = asyncio.create_task(jobs.run("waits", asyncio.Event()))
    await idle()
    with pytest.raises(ValueError, match="no"):
        await gather_strict([jobs.run("a", fail=ValueError("no")), waiting], 1)
    assert waiting.cancelled()
    assert jobs.cancelled == ["waits"]


async def test_the_traceback_leads_to_the_job(jobs: Jobs) -> None:
    with pytest.raises(ValueError, match="no") as caught:
        await gather_strict([jobs.run("a", fail=ValueError("no"))])
    assert "raise fail" in "".join(traceback.format_exception(caught.value))


# -- resilient -------------------------------------------------------------------------------------------


async def test_failures_come_back_as_values_in_their_place(jobs: Jobs) -> None:
    failure = ValueError("no")
    results = await gather_resilient([jobs.run("a"), jobs.run("b", fail=failure), jobs.run("c")], 1)
    assert results == ["a", failure, "c"]
    assert not hasattr(failure, "__notes__")


async def test_nothing_is_cancelled_for_a_failure(jobs: Jobs) -> None:
    gate = asyncio.Event()
    coros = [jobs.run("a", gate), jobs.run("b", fail=ValueError("no")), jobs.run("c")]
    running = asyncio.create_task(gather_resilient(coros))
    await idle()
    assert jobs.started == ["a", "b", "c"]
    gate.set()
    await running
    assert (jobs.ended, jobs.cancelled) == (["c", "a"], [])


async def test_all_may_fail(jobs: Jobs) -> None:
    failures = [ValueError(name) for name in "abc"]
    assert await gather_resilient([jobs.run(str(f), fail=f) for f in failures], 2) == failures


async def test_a_task_that_somebody_else_cancelled_is_a_failure_like_any_other(jobs: Jobs) -> None:
    task = asyncio.create_task(jobs.run("theirs", asyncio.Event()))
    gate = asyncio.Event()
    running = asyncio.create_task(gather_resilient([jobs.run("ours", gate), task, jobs.run("next")], 2))
    await idle()
    task.cancel()
    gate.set()
    ours, theirs, following = await running
    assert (ours, following) == ("ours", "next")
    assert isinstance(theirs, asyncio.CancelledError)


# -- what they are built on ------------------------------------------------------------------------------


async def test_a_callback_on_failure_starts_no_more_and_lets_running_jobs_end(jobs: Jobs) -> None:
    gate = asyncio.Event()
    told: list[int] = []

    def job(index: int) -> Awaitable[str]:
        return jobs.run(str(index), gate if index == 0 else None, ValueError("no") if index == 1 else None)

    running = asyncio.create_task(fan_out(job, 5, 2, on_failure=lambda: told.append(len(jobs.started))))
    await idle()
    assert not running.done()
    gate.set()
    outcomes = await running
    assert outcomes.values == {0: "0"}
    assert [(index, str(exc)) for index, exc in outcomes.failures.items()] == [(1, "no")]
    assert jobs.started == ["0", "1"]
    assert told == [2]


@pytest.mark.parametrize("on_failure", ["go on", "cancel the rest"])
async def test_a_suspended_job_stops_none_of_the_others(jobs: Jobs, on_failure: Any) -> None:
    async def job(index: int) -> str:
        await jobs.run(str(index))
        raise Suspended

    with pytest.raises(Suspended):
        await fan_out(job, 5, 2, on_failure=on_failure)
    assert sorted(jobs.started) == ["0", "1", "2", "3", "4"]


async def test_a_failure_that_stops_the_rest_goes_before_a_suspended_job(jobs: Jobs) -> None:
    async def job(index: int) -> str:
        await jobs.run(str(index))
        raise Suspended if index == 0 else ValueError("no")

    outcomes = await fan_out(job, 5, 1, on_failure=lambda: None)
    assert [*outcomes.failures] == [1]
    assert jobs.started == ["0", "1"]
    with pytest.raises(Suspended):
        await fan_out(job, 3, 1, on_failure="go on")


async def test_a_worker_that_somebody_else_cancels_is_a_cancellation(jobs: Jobs) -> None:
    async def cancels_its_task() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        await fan_out(lambda index: cancels_its_task(), 1, 1, on_failure="go on")


async def test_reaping_waits_for_what_does_not_go_at_once() -> None:
    gate = asyncio.Event()
    ended: list[str] = []

    async def slow_to_go() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await gate.wait()
            ended.append("gone")

    task = asyncio.create_task(slow_to_go())
    await idle()
    reaping = asyncio.create_task(reap([task]))
    await idle()
    assert not reaping.done()
    gate.set()
    await reaping
    assert ended == ["gone"]


def test_one_error_for_many_counts_the_like_and_keeps_to_five_notes() -> None:
    alike = (OSError("same") for _ in range(3))
    failures = [ValueError("first"), *alike, *(KeyError(str(i)) for i in range(6))]
    chosen = merged(failures)
    assert chosen is failures[0]
    assert chosen.__notes__ == [
        "also failed (3 times): OSError: same",
        *(f"also failed: KeyError: '{i}'" for i in range(4)),
        "and 2 other errors",
    ]


def test_an_error_is_no_note_on_itself() -> None:
    same = ValueError("same")
    assert merged([same, same]) is same
    assert not hasattr(same, "__notes__")


def test_errors_without_a_hash_are_merged_too() -> None:
    @dataclass
    class Bare(Exception):
        code: int

    first, second = Bare(1), Bare(1)
    assert merged([first, second, second]) is first
    assert first.__notes__ == ["also failed: Bare: 1"]


@pytest.mark.parametrize("steps", range(3))
@both
async def test_being_cancelled_in_the_moment_a_job_fails_leaves_no_complaint(gather: Any, steps: int) -> None:
    now = asyncio.Event()

    async def fail() -> None:
        await now.wait()
        raise Outcry

    running = asyncio.create_task(gather([fail()]))
    await idle()
    now.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises((asyncio.CancelledError, Outcry)):
        await running  # the fixture hears of what is left behind
