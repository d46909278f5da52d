"""`Job`: one start of a job over many rows. It hands the rows to tasks, and judges how each of them ended."""

import asyncio
import functools
import inspect
import re
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, cast

from executionkit import _checks as checks
from executionkit._callables import misfit
from executionkit.cost import CostTracker, minus
from executionkit.engine.bill import add_note
from executionkit.engine.meter import REFUSALS
from executionkit.engine.parallel import Suspended, is_being_cancelled, reap, told
from executionkit.engine.relay import Relaying
from executionkit.engine.retry import RetryConfig, concerns_one_request
from executionkit.engine.run import Run
from executionkit.errors import BudgetExhaustedError, PatternError
from executionkit.many._progress import Listener, Progress, Ticker
from executionkit.many._results import ManyResult, RowResult
from executionkit.many._rows import (
    IdOf,
    Ids,
    NoMoreRows,
    RowError,
    SeenIds,
    Shard,
    Source,
    digest,
)
from executionkit.protocols import LLMProvider
from executionkit.types import PatternResult, TokenUsage

Row = TypeVar("Row")
T = TypeVar("T")

Step: TypeAlias = Callable[[LLMProvider, Row], Awaitable[PatternResult[T] | T]]

_MOST_FAILURES: Final = 100
"""How many failed rows a result holds."""
_ALIKE: Final = 50
"""So many rows in a row that fail alike stop the job: the next one would be paid for as well."""
_FOR_A_SHARE: Final = 100
"""So many rows must have ended before a share of failures says something."""
_SKIPPED_AT_ONCE: Final = 256
"""After so many rows without work, others get a turn on the event loop."""
_OWN: Final = re.compile(r"""(["'`]).*?\1|\d+""")
"""What differs between failures that are alike: numbers and quoted texts."""


class Job(Generic[Row, T]):
    """One start of a job; see `run_many` for the arguments.

    Args:
        name: The function that the user has called, for messages.
        provider: As in `run_many`.
        rows: As in `run_many`.
        step: As in `run_many`.
        inside: Makes the relay that stands inside the replay, in place of the limits and the recording.

    Attributes:
        done: How many rows have a value.
        failed: How many rows failed.
        skipped: How many of both are from an earlier start.
        open: How many rows were begun and have no outcome: they are for a later start.
        replayed: How many calls the journal has answered.
        total: How many rows there are, as far as is known.
    """

    def __init__(
        self,
        name: str,
        provider: LLMProvider,
        rows: Iterable[Row] | AsyncIterable[Row],
        step: Step[Row, T],
        *,
        id: IdOf[Row] = None,  # noqa: A002 - the name that users write
        journal: object = None,
        limits: object = None,
        max_rows: int | None = None,
        max_cost: TokenUsage | None = None,
        retry: RetryConfig | None = None,
        on_failure: Literal["record", "raise"] = "record",
        max_failures: int | float | None = None,
        retry_failed: bool = True,
        shard: tuple[int, int] | None = None,
        progress: bool | Callable[[Progress], object] = False,
        on_result: Callable[[RowResult[T]], object] | None = None,
        inside: Relaying | None = None,
    ) -> None:
        checks.provider(name, provider)
        checks.budget(max_cost=max_cost)
        checks.one_of(("record", "raise"), on_failure=on_failure)
        if retry is not None and not isinstance(retry, RetryConfig):
            raise ValueError(f"retry must be a RetryConfig or None, got {retry!r}")
        _check_failures(max_failures)
        _check_step(name, step)
        checks.called_with("result", on_result=on_result)
        if max_rows is not None:
            checks.at_least(1, max_rows=max_rows)
        self._name = name
        self._shard = Shard(shard)
        self._ids = Ids(id)
        self._source = Source(rows)
        self._step = step
        self._provider = provider
        self.max_rows: int = 64 if max_rows is None else max_rows
        self._max_cost, self._retry = max_cost, retry
        self._raises = on_failure == "raise"
        self._max_failures = max_failures
        self._retry_failed = retry_failed
        self.total: int | None = self._source.total if shard is None else None
        self.done = self.failed = self.skipped = self.open = self.replayed = 0
        self._failures: list[RowResult[Any]] = []
        self._failed_now = self._ended_now = 0
        self._seen = None if self._ids.are_positions else SeenIds()
        self._alike = ""
        self._alike_count = 0
        self._began = time.monotonic()
        self._listener = Listener(name, "on_result", on_result)
        self._ticker = Ticker(name, progress, self.progress)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self._error: BaseException | None = None
        self._wake: asyncio.Future[None] | None = None
        self._last = ""
        self._is_checked = False
        self._tracker = CostTracker()
        self._run = Run(
            name,
            provider,
            max_cost=max_cost,
            retry=retry,
            tracker=self._tracker,
            salvage=self._so_far,
            relay=inside,
        )
        # For a reader: `window` is how many rows may be begun and not handed on.
        self.window: int | None = None
        self._handed_on: Callable[[int, RowResult[T] | None], None] | None = None
        self._ahead = 0
        self._number = 0

    # What is known of it from outside.

    @property
    def cost(self) -> TokenUsage:
        """The spend of all starts."""
        return self._run.usage

    @property
    def rows_under_way(self) -> int:
        """How many rows are worked on."""
        return len(self._tasks)

    def stop(self) -> None:
        """Begin no more rows. Those under way go on to their end, and then the job ends without an error."""
        self._is_stopping = True
        self._look_again()

    def progress(self, rate: float) -> Progress:
        """The figures as they are now."""
        ended = self.done + self.failed
        left = None if self.total is None else max(0, self.total - ended)
        return Progress(
            done=self.done,
            failed=self.failed,
            total=self.total,
            rows_per_second=rate,
            eta=left / rate if left is not None and rate > 0 else None,
            cost=self.cost,
            in_flight=len(self._tasks),
            waiting=0,
            allowed_per_second=None,
            refused=0,
        )

    def result(self) -> ManyResult:
        """What has come of it so far."""
        return ManyResult(
            rows=self.done + self.failed,
            done=self.done,
            skipped=self.skipped,
            failed=self.failed,
            cost=self.cost,
            cost_now=self.cost,
            replayed_calls=self.replayed,
            unknown_calls=0,
            refused=0,
            seconds=time.monotonic() - self._began,
            failures=tuple(self._failures),
            journal=None,
            callback_errors=self._listener.errors + self._ticker.errors,
        )

    # The start.

    async def run(self) -> ManyResult:
        """Work on all rows.

        Raises:
            Exception: What has stopped the job, after the rows under way have ended.
        """
        self._began = time.monotonic()
        async with self._run:
            ticking = [asyncio.create_task(self._ticker.run())] if self._ticker.is_on else []
            is_cancelled = False
            try:
                await self._feed()
                while self._tasks:
                    await self._news()
                if self._error is not None:
                    raise self._error
            except asyncio.CancelledError as exc:
                is_cancelled = True
                add_note(exc, f"{self._name}: {self._advice()}")
                raise
            finally:
                self._is_stopping = True
                await reap([*ticking, *self._tasks])
                await self._ticker.close(self._error, is_cancelled=is_cancelled)
        return self.result()

    async def results(self, *, ordered: bool, max_ahead: int) -> AsyncGenerator[RowResult[T], None]:
        """Work on all rows, and hand on how each one ended; see `iter_many`."""
        ready: dict[int, RowResult[T] | None] = {}
        news = asyncio.Event()

        def take(number: int, result: RowResult[T] | None) -> None:
            ready[number] = result
            news.set()

        self._handed_on, self.window = take, max_ahead
        # In a task of its own, so that what observers set in the context does not reach the reader's code.
        working = asyncio.create_task(self.run())
        working.add_done_callback(lambda _: news.set())
        following = 0
        try:
            while True:
                while ready and (not ordered or following in ready):
                    number = following if ordered else next(iter(ready))
                    result = ready.pop(number)
                    following += 1
                    self._ahead -= 1
                    self._look_again()
                    if result is not None:
                        yield result
                if working.done():
                    # Rows that stay open leave gaps in the order.
                    if not ready:
                        break
                    following = min(ready)
                    continue
                news.clear()
                await news.wait()
            await working
        finally:
            await reap([working])

    async def _feed(self) -> None:
        """Begin a row whenever there is room for one."""
        idle = 0
        position = -1
        while not self._is_stopping:
            if len(self._tasks) >= self.max_rows or (self.window is not None and self._ahead >= self.window):
                idle = 0
                await self._news()
                continue
            try:
                row = await self._source.next()
            except NoMoreRows:
                return
            except Exception as exc:  # noqa: BLE001 - they are the user's rows
                after = f"after {self._last}" if self._last else "before the first row"
                add_note(exc, f"{self._name}: the rows raised this {after}")
                self._stop_by(exc)
                return
            position += 1
            if not self._is_checked:
                self._is_checked = True
                _check_prompt(self._name, self._step, row)
            idle = 0 if self._begin(position, row) else idle + 1
            if idle >= _SKIPPED_AT_ONCE:
                idle = 0
                await asyncio.sleep(0)

    def _begin(self, position: int, row: Row) -> bool:
        """Begin to work on a row; returns whether there is anything to do."""
        row_id, key = "", 0
        error: RowError | None = None
        try:
            row_id = self._ids.of(row, position)
        except RowError as exc:
            error = exc
        if self._seen is not None or self._shard.count > 1:
            key = digest(row_id or str(position))  # of rows without an id, one shard has to tell
            if not self._shard.has(key):
                return False
        self._last = f"row {position} (id {row_id!r})" if row_id else f"row {position}"
        if row_id and self._seen is not None and (before := self._seen.add(key, position)) is not None:
            error = RowError(f"id {row_id!r} was row {before}'s")
        number, self._number = self._number, self._number + 1
        self._ahead += 1
        work = self._work(number, position, row_id, row, error)
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._stop_by(exc)
        self._look_again()

    def _look_again(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None and not wake.done():
            wake.set_result(None)

    async def _news(self) -> None:
        """Wait until a row has ended, or was read."""
        self._wake = asyncio.get_running_loop().create_future()
        await self._wake

    # One row.

    async def _work(self, number: int, position: int, row_id: str, row: Row, error: RowError | None) -> None:
        result: RowResult[T] | None = None
        if not self._is_stopping:
            if error is None:
                result = await self._worked(position, row_id, row)
            else:
                result = RowResult(position, row_id, error=str(error))
                self._count(result, error)
        if result is None:
            self.open += 1
        elif self._listener.listens:
            await self._listener.tell(result)
        if self._handed_on is not None:
            self._handed_on(number, result)

    async def _worked(self, position: int, row_id: str, row: Row) -> RowResult[T] | None:
        """Work on a row; returns None if it stays open, since what failed concerns the job."""
        refusals: list[BudgetExhaustedError] = []
        REFUSALS.set(refusals)
        run = Run("row", self._run)
        value: T | None = None
        returned: PatternResult[T] | None = None
        error: BaseException | None = None
        try:
            async with run:
                found = await self._asked(run, row)
            if isinstance(found, PatternResult):
                returned = cast("PatternResult[T]", found)
                value = returned.value
            else:
                value = found
        except (Exception, asyncio.CancelledError) as exc:
            if isinstance(exc, asyncio.CancelledError) and is_being_cancelled():
                raise
            error = exc
        except BaseException as exc:
            if _is_suspended(exc):
                return None
            raise
        for refusal in refusals:
            if self._run.has_refused(refusal):
                # Even where the pattern went on with less than was asked: more may be allowed next time.
                self._stop_by(refusal)
                return None
        if error is not None and self._is_of_the_job(error):
            return None
        text = None if error is None else told(error)
        result = RowResult(position, row_id, value, returned, text, run.usage)
        self._count(result, error)
        return result

    async def _asked(self, run: Run, row: Row) -> PatternResult[T] | T:
        pending: object = self._step(run, row)
        if not inspect.isawaitable(pending):
            kind = type(pending).__name__
            raise _NotAsyncError(
                f"{self._name}: step must be an async function, {_name(self._step)} returned {kind}"
            )
        found = await cast("Awaitable[PatternResult[T] | T]", pending)
        if isinstance(found, PatternResult):
            # A step may have called a provider of its own.
            run.charge(minus(cast("PatternResult[T]", found).cost, run.usage))
        return found

    def _is_of_the_job(self, error: BaseException) -> bool:
        """Whether a failure would come again with every other row; the job is stopped then."""
        if isinstance(error, _NotAsyncError):
            self._stop_by(TypeError(str(error)))
            return True
        if isinstance(error, BudgetExhaustedError) or concerns_one_request(error):
            return False
        self._stop_by(error)
        self._run.halt()  # what other rows would send is refused as well
        return True

    def _count(self, result: RowResult[T], error: BaseException | None) -> None:
        """Count a row that has ended, and stop the job if too many have failed."""
        self._ended_now += 1
        if error is None:
            self.done += 1
            self._alike_count = 0
            return
        self.failed += 1
        self._failed_now += 1
        if len(self._failures) < _MOST_FAILURES:
            self._failures.append(result)
        if self._raises:
            add_note(error, f"{self._name}: this came of row {result.index} (id {result.id!r})")
            self._stop_by(error)
        if self._bears_no_more():
            failed = f"{self._failed_now:,} of {self._ended_now:,} rows failed"
            self._stop_by(
                PatternError(
                    f"{self._name}: {failed}, max_failures is {self._max_failures}; the last one, "
                    f"row {result.index}: {result.error}; {self._advice()}"
                ),
                error,
            )
        kind = _OWN.sub("", (result.error or "")[:500])
        self._alike_count = self._alike_count + 1 if kind == self._alike else 1
        self._alike = kind
        if self._alike_count >= _ALIKE:
            self._stop_by(
                PatternError(
                    f"{self._name}: the last {_ALIKE} rows failed with {result.error}; every further row "
                    f"would be paid for as well; {self._advice()}"
                ),
                error,
            )

    def _bears_no_more(self) -> bool:
        most = self._max_failures
        if most is None:
            return False
        if isinstance(most, int):
            return self._failed_now > most
        return self._ended_now >= _FOR_A_SHARE and self._failed_now > most * self._ended_now

    def _stop_by(self, exc: BaseException, cause: BaseException | None = None) -> None:
        """Begin no more rows, and raise an error when those under way have ended; the first one counts."""
        if self._error is None:
            exc.__cause__ = exc.__cause__ or cause
            self._error = exc
        self.stop()

    def _so_far(self) -> Mapping[str, Any]:
        return {
            "done": self.done,
            "failed": self.failed,
            "failures": tuple(self._failures),
            "journal": None,
        }

    def _advice(self) -> str:
        return f"{self.done:,} rows are done and lost without a journal: give one to go on where it ended"


def _is_suspended(exc: BaseException) -> bool:
    """Whether a row needs a reply that comes at a later start. A step may have asked in a task group."""
    if isinstance(exc, BaseExceptionGroup):
        return exc.subgroup(Suspended) is not None
    return isinstance(exc, Suspended)


class _NotAsyncError(TypeError):
    """The step is no async function."""


def _check_failures(most: object) -> None:
    if most is None or (type(most) is int and most >= 0) or (isinstance(most, float) and 0.0 <= most <= 1.0):
        return
    raise ValueError(f"max_failures must be an int >= 0, a share in [0, 1], or None, got {most!r}")


def _check_step(name: str, step: object) -> None:
    """Require a step that can be called with a provider and a row."""
    if not callable(step):
        raise TypeError(f"{name}: step must be an async function (provider, row), got {step!r}")
    if isinstance(step, type):
        raise TypeError(
            f"{name}: step must be an async function (provider, row), got the class {step.__name__}"
        )
    if why := misfit(step, None, None):
        raise TypeError(f"{name}: step is called with (provider, row), {_name(step)} can't be: {why}")


def _check_prompt(name: str, step: object, row: object) -> None:
    """Refuse rows that are no prompts where the step is a pattern."""
    pattern: Any = step
    while isinstance(pattern, functools.partial):
        pattern = pattern.func
    if not str(getattr(pattern, "__module__", "")).startswith("executionkit.patterns"):
        return
    if isinstance(row, (str, list, tuple)):
        return
    raise TypeError(
        f"{name}: {pattern.__name__} takes a prompt, and the first row is a {type(row).__name__}; write a "
        f"step: async def step(provider, row): return await {pattern.__name__}(provider, row[...])"
    )


def _name(step: object) -> str:
    """The name of a step, for messages and the journal."""
    while isinstance(step, functools.partial):
        step = step.func
    named = step if hasattr(step, "__qualname__") else type(step)
    return f"{getattr(named, '__module__', '?')}.{getattr(named, '__qualname__', '?')}"
