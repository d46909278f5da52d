"""`Job`: one start of a job over many rows. It hands the rows to tasks, and stops when one failed for all."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, Literal, TypeVar

from executionkit import _checks as checks
from executionkit._display._line import counted
from executionkit.cost import CostTracker
from executionkit.engine.bill import add_note
from executionkit.engine.parallel import look_at, reap
from executionkit.engine.relay import Relaying
from executionkit.engine.retry import RetryConfig
from executionkit.engine.run import Run
from executionkit.engine.watch import where
from executionkit.errors import BudgetExhaustedError, JournalError
from executionkit.many._ends import MOST_FAILURES, Ends
from executionkit.many._journal.book import Book
from executionkit.many._journal.calls import JournalReplies, Recorder, Replayer
from executionkit.many._journal.format import digest_of
from executionkit.many._journal.journal import Journal, book_of
from executionkit.many._journal.outcome import Outcome
from executionkit.many._limits.governor import Governor
from executionkit.many._limits.limits import RateLimits
from executionkit.many._progress import Listener, Progress, Ticker
from executionkit.many._results import ManyResult, RowResult
from executionkit.many._row_work import Known, RowWork, from_journal
from executionkit.many._rows import (
    IdOf,
    Ids,
    NoMoreRows,
    RowError,
    SeenIds,
    Shard,
    Source,
    content_digest,
)
from executionkit.many._step import Step, check_prompt, check_step, step_name
from executionkit.protocols import LLMProvider
from executionkit.types import TokenUsage

Row = TypeVar("Row")
T = TypeVar("T")

_SKIPPED_AT_ONCE: Final = 256
"""After so many rows without work, others get a turn on the event loop."""


class Job(Generic[Row, T]):
    """One start of a job; see `run_many` for the arguments.

    Args:
        name: The function that the user has called, for messages.
        provider: As in `run_many`.
        rows: As in `run_many`.
        step: As in `run_many`.
        inside: Makes the relay that stands inside the replay, in place of the limits and the recording.
        first: The position of the first row, where the rows are a part of others.

    Attributes:
        ends: How the rows have ended.
        total: How many rows there are, as far as is known.
        writes_batches: Whether it sends nothing, so that requests of an earlier batch may wait.
    """

    writes_batches: ClassVar[bool] = False

    def __init__(
        self,
        name: str,
        provider: LLMProvider,
        rows: Iterable[Row] | AsyncIterable[Row],
        step: Step[Row, T],
        *,
        id: IdOf[Row] = None,  # noqa: A002 - the name that users write
        journal: Journal | str | Path | None = None,
        limits: RateLimits | None = None,
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
        first: int = 0,
    ) -> None:
        checks.provider(name, provider)
        checks.budget(max_cost=max_cost)
        checks.one_of(("record", "raise"), on_failure=on_failure)
        if retry is not None and not isinstance(retry, RetryConfig):
            raise ValueError(f"retry must be a RetryConfig or None, got {retry!r}")
        check_step(name, step)
        checks.called_with("result", on_result=on_result)
        if max_rows is not None:
            checks.at_least(1, max_rows=max_rows)
        self._name = name
        self._first = first
        self._shard = Shard(shard)
        self._ids = Ids(id)
        self._source = Source(rows)
        self._step = step
        if limits is not None and not isinstance(limits, RateLimits):
            raise ValueError(f"limits must be a RateLimits or None, got {limits!r}")
        self._limits = RateLimits() if limits is None else limits
        self._refused_before = self._limits.refused
        if journal is not None and not isinstance(journal, Journal):
            journal = Journal(journal)
        self._journal = None if journal is None else book_of(journal)
        self.max_rows: int = self._limits.max_in_flight if max_rows is None else max_rows
        self.ends: Ends = Ends(name, max_failures, is_first_raised=on_failure == "raise")
        self._retry_failed = retry_failed
        self.total: int | None = self._source.total if shard is None else None
        self._seen = None if self._ids.are_positions else SeenIds()
        self._began = time.monotonic()
        self._listener = Listener(name, "on_result", on_result)
        self._ticker = Ticker(name, progress, self.progress, lambda: self.ends.rows - self.ends.skipped)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self._error: BaseException | None = None
        self._wake: asyncio.Future[None] | None = None
        self._no_more = asyncio.Event()
        self._last: tuple[int, str] | None = None
        self._unknown = 0
        self._is_blank, self._has_begun = True, False
        self._path = None if self._journal is None else self._journal.path
        self._is_checked = False
        self._tracker = CostTracker()
        self._run = Run(
            name,
            provider,
            max_cost=max_cost,
            retry=retry,
            tracker=self._tracker,
            salvage=self._so_far,
            relay=self._relaying(journal, inside),
            replies=None if journal is None else JournalReplies(book_of(journal)),
        )
        self._row_work = RowWork(name, step, self._run, self._journal)
        # For a reader: `window` is how many rows may be begun and not handed on.
        self.window: int | None = None
        self._handed_on: Callable[[int, RowResult[T] | None], None] | None = None
        self._ahead = 0
        self._number = 0

    def _relaying(self, journal: Journal | None, inside: Relaying | None) -> Relaying:
        """What stands around each provider: replay, limits and recording, from outside to inside.

        A call that waits for the limits is not recorded yet: its line says that it was sent.
        """
        limits = self._limits
        if inside is None:
            if journal is None:
                return lambda provider: Governor(provider, limits)
            return lambda provider: Replayer(Governor(Recorder(provider, journal), limits), journal)
        if journal is None:
            return inside
        return lambda provider: Replayer(inside(provider), journal)

    # What is known of it from outside.

    @property
    def cost(self) -> TokenUsage:
        """The spend of all starts."""
        return self._run.usage

    @property
    def _last_row(self) -> str:
        """The row that was read last, for messages."""
        position, row_id = self._last or (0, "")
        return f"row {position} (id {row_id!r})" if row_id else f"row {position}"

    def refusal(self, message: str) -> BudgetExhaustedError:
        """The error for a call that `inside` refuses because the budget has no more; it stops the job."""
        return self._run.refusal(message)

    def stop(self) -> None:
        """Begin no more rows. Those under way go on to their end, and then the job ends without an error."""
        self._is_stopping = True
        self._no_more.set()
        self._look_again()

    def progress(self, rate: float) -> Progress:
        """The figures as they are now."""
        ends = self.ends
        left = None if self.total is None else max(0, self.total - ends.rows)
        return Progress(
            done=ends.done,
            failed=ends.failed,
            total=self.total,
            rows_per_second=rate,
            eta=left / rate if left is not None and rate > 0 else None,
            cost=self.cost,
            in_flight=self._limits.in_flight,
            waiting=self._limits.waiting,
            allowed_per_second=self._limits.allowed_per_second,
            refused=self._limits.refused - self._refused_before,
        )

    def result(self) -> ManyResult:
        """What has come of it so far."""
        ends = self.ends
        return ManyResult(
            rows=ends.rows,
            done=ends.done,
            skipped=ends.skipped,
            failed=ends.failed,
            cost=self.cost,
            cost_now=self._run.own_usage,
            replayed_calls=self._row_work.replayed_calls,
            unknown_calls=self._unknown + self._row_work.unknown_calls,
            refused=self._limits.refused - self._refused_before,
            seconds=time.monotonic() - self._began,
            failures=tuple(ends.failures),
            journal=self._path,
            callback_errors=self._listener.errors + self._ticker.errors,
        )

    # The start.

    async def run(self) -> ManyResult:
        """Work on all rows.

        Raises:
            Exception: What has stopped the job, after the rows under way have ended.
        """
        self._began = time.monotonic()
        try:
            return await self._run_all()
        finally:
            if self._journal is not None and self._has_begun:
                self._journal.end_job()
                if not self._row_work.is_journal_shared:
                    self._journal.close()

    async def _open(self, journal: Book) -> None:
        """Open the journal, and charge the job with what earlier starts have spent."""
        # One that is open already may be asked for these rows by a later job.
        self._row_work.is_journal_shared = journal.begin_job()
        self._has_begun = True
        model, base_url = where(self._run.target)
        opening = asyncio.ensure_future(
            asyncio.to_thread(journal.open, model or "", base_url or "", step_name(self._step))
        )
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            # A thread can't be cancelled: it would lock the file after the job has ended.
            await asyncio.wait([opening])
            look_at(opening)
            raise
        if (waiting := journal.waiting) and not self.writes_batches:
            raise JournalError(
                f"{journal.path}: the responses to {counted(waiting, 'request')} of a batch are yet to come."
                " Asked now, each would be paid for twice: read them by read_batch, or give them up by "
                "forget_batch, and begin again"
            )
        self._is_blank = journal.is_blank
        spent = journal.spent(is_priced=self._run.has_prices)
        self._unknown = spent.unknown_calls
        await self._run.require_prices()
        # To the job's own ledger alone: runs around it did not make these calls.
        self._tracker.add_usage(spent.usage)
        self._run.assume(spent.assumed)

    async def _run_all(self) -> ManyResult:
        async with self._run:
            if self._journal is not None:
                await self._open(self._journal)
            ticking = [asyncio.create_task(self._ticker.run())] if self._ticker.is_on else []
            is_cancelled = False
            # In a task of its own: rows that wait for something must not keep the job from its end.
            feeding = asyncio.create_task(self._feed())
            feeding.add_done_callback(self._fed)
            try:
                await self._no_more.wait()
                await reap([feeding])
                while self._tasks:
                    await self._news()
                if self._error is not None:
                    add_note(self._error, f"{self._name}: {self._advice()}")
                    raise self._error
            except asyncio.CancelledError as exc:
                is_cancelled = True
                add_note(exc, f"{self._name}: {self._advice()}")
                raise
            finally:
                self._is_stopping = True
                await reap([feeding, *ticking, *self._tasks])
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
        position = self._first - 1
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
                after = "before the first row" if self._last is None else f"after {self._last_row}"
                add_note(exc, f"{self._name}: the rows raised this {after}")
                self._stop_by(exc)
                return
            position += 1
            if not self._is_checked:
                self._is_checked = True
                check_prompt(self._name, self._step, row)
            idle = 0 if self._begin(position, row) else idle + 1
            if idle >= _SKIPPED_AT_ONCE:
                idle = 0
                await asyncio.sleep(0)

    def _fed(self, feeding: asyncio.Task[None]) -> None:
        if not feeding.cancelled() and (exc := feeding.exception()) is not None:
            self._stop_by(exc)
        self._no_more.set()

    def _begin(self, position: int, row: Row) -> bool:
        """Begin to work on a row; returns whether there is anything to do."""
        row_id, key = "", 0
        error: RowError | None = None
        try:
            row_id = self._ids.of(row, position)
        except RowError as exc:
            error = exc
        if self._seen is not None or self._shard.count > 1:
            key = digest_of(row_id or str(position))  # of rows without an id, one shard has to tell
            if not self._shard.has(key):
                return False
        self._last = position, row_id
        if row_id and self._seen is not None and not self._seen.add(key):
            # A look through all rows, so only for those that the result shows.
            is_shown = self.ends.failed < MOST_FAILURES
            earlier = self._source.first_with(self._ids, row_id, position) if is_shown else None
            whose = "an earlier row's" if earlier is None else f"row {earlier}'s"
            error = RowError(f"id {row_id!r} was {whose}")
        content: int | None = None
        there: Outcome | bool = False
        if self._journal is not None and error is None:
            content = content_digest(row)
            if not self._is_blank:
                there = self._found(self._journal, row_id, content)
        if there is True:
            return False
        number, self._number = self._number, self._number + 1
        self._ahead += 1
        known = Known(position, row_id, content, error, there or None)
        task = asyncio.create_task(self._work(number, known, row))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return True

    def _found(self, journal: Book, row_id: str, content: int | None) -> Outcome | bool:
        """The outcome that the journal has of a row; where no outcome is wanted, whether it has one.

        Raises:
            JournalError: The row is another one than the journal was written for.
        """
        before = journal.digest_of(row_id)
        if before is not None and content is not None and before != content:
            raise JournalError(
                f"{self._last_row} has another content than the row that {journal.path} was written for. "
                "Take the rows as they were, or begin afresh with Journal(path, version=...), which deletes "
                "nothing"
            )
        is_done = journal.is_done(row_id)
        if not is_done and self._retry_failed:
            return False
        is_wanted = not is_done or self._listener.listens or self._handed_on is not None
        outcome = journal.outcome(row_id) if is_wanted else None
        if is_wanted and outcome is None:
            return False
        self.ends.skip(None if outcome is None else from_journal(outcome, 0))
        return outcome if outcome is not None and is_wanted else True

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            self.ends.open += 1
        elif (exc := task.exception()) is not None:
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

    async def _work(self, number: int, known: Known, row: Row) -> None:
        result: RowResult[T] | None = None
        if known.outcome is not None:
            result = from_journal(known.outcome, known.position)
        elif not self._is_stopping:
            ending = await self._row_work.work(known, row)
            if ending.stopping is not None:
                self._stop_by(ending.stopping)
            if (result := ending.result) is not None:
                self._count(result, ending.error)
        if result is None:
            self.ends.open += 1
        elif self._listener.listens:
            await self._listener.tell(result)
        if self._handed_on is not None:
            self._handed_on(number, result)

    def _count(self, result: RowResult[T], error: BaseException | None) -> None:
        """Count a row that has ended, and stop the job if too many have failed."""
        if (stopping := self.ends.add(result, error)) is not None:
            self._stop_by(stopping)

    def _stop_by(self, exc: BaseException) -> None:
        """Begin no more rows, and raise an error when those under way have ended; the first one counts."""
        if self._error is None:
            self._error = exc
        self.stop()

    def _so_far(self) -> Mapping[str, Any]:
        return {
            "done": self.ends.done,
            "failed": self.ends.failed,
            "failures": tuple(self.ends.failures),
            "journal": self._path,
        }

    def _advice(self) -> str:
        rows = self.ends.done
        done = f"{counted(rows, 'row')} {'is' if rows == 1 else 'are'} done"
        if self._journal is None:
            return f"{done}; with a journal, a later start would go on from here"
        return f"{done}; begin again with the same journal to go on from here"
