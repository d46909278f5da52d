"""Running many calls at once: bounded, results in order, one plain error, no task left behind."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

from executionkit import _checks as checks
from executionkit.engine.bill import add_note

__all__ = ["gather_resilient", "gather_strict"]

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

_NOTES_AT_MOST = 5


class Suspended(BaseException):
    """Ends work that needs a reply which comes at a later start: the other jobs beside it go on."""


OnFailure: TypeAlias = Literal["go on", "cancel the rest"] | Callable[[], object]


@dataclass(slots=True)
class Outcomes(Generic[T]):
    """How each job ended, by index, in the order they ended; a job that did not end is in neither."""

    values: dict[int, T] = field(default_factory=dict)
    failures: dict[int, BaseException] = field(default_factory=dict)

    def results(self) -> list[T]:
        """The values, in the order of the indexes; raises the first failure, with the others in its notes."""
        if self.failures:
            raise merged(self.failures.values())
        return [self.values[index] for index in sorted(self.values)]


async def fan_out(
    job: Callable[[int], Awaitable[T]],
    count: int,
    max_concurrency: int,
    *,
    on_failure: OnFailure,
) -> Outcomes[T]:
    """Run `job(0)` to `job(count - 1)`, at most `max_concurrency` at a time.

    Each awaitable is made inside a worker, when its turn comes, so that none is ever left unawaited.

    A failure is any `Exception`, and a CancelledError that the job raised although its task was not
    cancelled. A job that is `Suspended` stops none of the others; it is raised when they have ended, unless a
    failure has stopped them. Any other exception stops all jobs and is raised.

    Args:
        job: Makes the awaitable of one index.
        count: How many there are.
        max_concurrency: How many may run at once.
        on_failure: The effect of a failure on the other jobs. A callback, such as `Run.halt`, is called after
            each failure: no further job is started, and the running ones go on.
    """
    outcomes = Outcomes[T]()
    indexes = iter(range(count))
    stops = on_failure != "go on"
    stopped = False
    suspended: Suspended | None = None

    async def work() -> None:
        nonlocal stopped, suspended
        for index in indexes:
            if stopped:
                return
            try:
                outcomes.values[index] = await job(index)
            except Suspended as exc:
                suspended = exc
            except (Exception, asyncio.CancelledError) as exc:
                if isinstance(exc, asyncio.CancelledError) and is_being_cancelled():
                    raise
                outcomes.failures[index] = exc
                stopped = stopped or stops
                if callable(on_failure):
                    on_failure()
                if on_failure == "cancel the rest":
                    raise _Enough from None

    workers = spawn(*(work() for _ in range(min(max_concurrency, count))))
    try:
        if workers:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        stopped = True  # no other job may follow one that swallows its cancellation
        await reap(workers)
    ends = [None if worker.cancelled() else worker.exception() for worker in workers]
    for end in ends:
        if end is not None and not isinstance(end, _Enough):
            raise end
    if not outcomes.failures:
        for worker in workers:
            worker.result()  # raises if a worker was cancelled from elsewhere
    if suspended is not None and not (outcomes.failures and stops):
        raise suspended
    return outcomes


async def fan_out_strict(
    job: Callable[[int], Awaitable[T]], count: int, max_concurrency: int, *, on_failure: OnFailure
) -> list[T]:
    """Run the jobs as `fan_out` does, all or nothing.

    Returns:
        The results, in the order of the indexes.

    Raises:
        Exception: The first failure, with the others in its notes; see `merged`.
    """
    return (await fan_out(job, count, max_concurrency, on_failure=on_failure)).results()


class _Enough(Exception):  # noqa: N818 - a signal, not an error
    """Ends the wait for the workers: one failure was enough."""


def spawn(*work: Coroutine[Any, Any, T]) -> list[asyncio.Task[T]]:
    """One task for each part of the work; see `reap`."""
    return [asyncio.create_task(part) for part in work]


def is_being_cancelled() -> bool:
    """Whether the current task was cancelled: otherwise some code raised CancelledError by itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def leave() -> None:
    """Cancel the current task, because its run was halted."""
    this_task().cancel()
    await asyncio.get_running_loop().create_future()


def this_task() -> asyncio.Task[Any]:
    """The task that runs this code."""
    task = asyncio.current_task()
    if task is None:  # pragma: no cover - a coroutine always runs in a task
        raise RuntimeError("a run can wait only inside a task")
    return task


def look_at(task: asyncio.Future[Any]) -> None:
    """Retrieve a task's exception, or asyncio complains that it was never retrieved."""
    if not task.cancelled():
        task.exception()


async def reap(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel the tasks that still run and await their end, even if the caller is cancelled meanwhile."""
    pending = [task for task in tasks if not task.done()]
    cancelled: asyncio.CancelledError | None = None
    while pending:
        for task in pending:
            task.cancel()
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as exc:
            cancelled = exc
        pending = [task for task in pending if not task.done()]
    for task in tasks:
        look_at(task)
    if cancelled is not None:
        raise cancelled


def told(exc: BaseException) -> str:
    """A failure as text, for a result or a note; a group is told by what is in it."""
    return "; also ".join(dict.fromkeys(f"{type(each).__name__}: {each}" for each in leaves(exc)))


def leaves(exc: BaseException) -> Iterator[BaseException]:
    """The failures in a group, and in the groups inside it; any other failure alone."""
    if isinstance(exc, BaseExceptionGroup):
        for each in cast("BaseExceptionGroup[BaseException]", exc).exceptions:
            yield from leaves(each)
    else:
        yield exc


def merged(failures: Iterable[E]) -> E:
    """The one error to raise for several: the first given, with the others in its notes.

    Give them in the order they came. The first one stopped the rest, and later ones may come from the stop: a
    call that was not retried any more.
    """
    # Each object once: one request for several samples may fail them all. By id: an error may lack a hash.
    chosen, *rest = {id(exc): exc for exc in failures}.values()
    texts = [told(exc) for exc in rest]
    counts: dict[str, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    for text, times in list(counts.items())[:_NOTES_AT_MOST]:
        add_note(chosen, f"also failed ({times} times): {text}" if times > 1 else f"also failed: {text}")
    if len(counts) > _NOTES_AT_MOST:
        add_note(chosen, f"and {len(counts) - _NOTES_AT_MOST} other errors")
    return chosen


async def gather_strict(coros: Iterable[Awaitable[T]], max_concurrency: int = 10) -> list[T]:
    """Await all of `coros`, at most `max_concurrency` at a time; all or nothing.

    Example:
        ```python
        from executionkit import MockProvider
        from executionkit.engine.parallel import gather_strict

        provider = MockProvider(["one", "two", "three"])
        message = {"role": "user", "content": "Count."}
        replies = await gather_strict(
            [provider.complete([message]) for _ in range(3)], max_concurrency=1
        )
        assert [reply.content for reply in replies] == ["one", "two", "three"]
        ```

    Returns:
        The results, in the order of `coros`.

    Raises:
        ValueError: `max_concurrency` is less than 1.
        Exception: The first failure, never an ExceptionGroup, after the rest were cancelled and awaited.
            The errors that others raised meanwhile are in its notes.
    """
    return (await _gather(coros, max_concurrency, "cancel the rest")).results()


async def gather_resilient(
    coros: Iterable[Awaitable[T]], max_concurrency: int = 10
) -> list[T | BaseException]:
    """Await all of `coros`, at most `max_concurrency` at a time; a failure is a result like any other.

    The CancelledError of an awaitable is a result too, unless the caller itself was cancelled.

    Example:
        ```python
        from executionkit import MockProvider, PermanentError
        from executionkit.engine.parallel import gather_resilient

        provider = MockProvider(["one", PermanentError("refused")])
        message = {"role": "user", "content": "Count."}
        first, second = await gather_resilient(
            [provider.complete([message]) for _ in range(2)]
        )
        assert first.content == "one"
        assert isinstance(second, PermanentError)
        ```

    Returns:
        Results and exceptions, in the order of `coros`.

    Raises:
        ValueError: `max_concurrency` is less than 1.
    """
    outcomes = await _gather(coros, max_concurrency, "go on")
    every: dict[int, T | BaseException] = {**outcomes.values, **outcomes.failures}
    return [every[index] for index in sorted(every)]


async def _gather(coros: Iterable[Awaitable[T]], max_concurrency: int, on_failure: OnFailure) -> Outcomes[T]:
    jobs: list[Awaitable[T]] = []
    try:
        jobs.extend(coros)  # if the iterator fails, the list has what it made before
        checks.at_least(1, max_concurrency=max_concurrency)
        return await fan_out(lambda index: jobs[index], len(jobs), max_concurrency, on_failure=on_failure)
    finally:
        # For jobs without a turn: a coroutine would warn that it was never awaited, a task would go on.
        for job in jobs:
            if inspect.iscoroutine(job) and inspect.getcoroutinestate(job) == inspect.CORO_CREATED:
                job.close()
        await reap([job for job in jobs if isinstance(job, asyncio.Future)])
