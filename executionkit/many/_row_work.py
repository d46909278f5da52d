"""`RowWork`: the work on one row. It runs the step, judges how it ended, and writes the outcome down."""

import asyncio
from dataclasses import replace
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

from executionkit._json import as_dicts
from executionkit._redaction import redact
from executionkit._text import shorten
from executionkit.cost import minus
from executionkit.engine.meter import REFUSALS
from executionkit.engine.parallel import Suspended, is_being_cancelled, leaves, told
from executionkit.engine.retry import concerns_one_request
from executionkit.engine.run import Run
from executionkit.errors import BudgetExhaustedError, JournalError
from executionkit.many._journal.book import Book
from executionkit.many._journal.outcome import Outcome
from executionkit.many._journal.row import scope_of
from executionkit.many._journal.scope import Scope
from executionkit.many._results import RowResult, no_json
from executionkit.many._rows import RowError
from executionkit.many._step import NotAsyncError, Step, asked
from executionkit.types import PatternResult

Row = TypeVar("Row")
T = TypeVar("T")

_LONGEST_ERROR: Final = 2000
"""The most characters of a row's error that are kept."""


class Known(NamedTuple):
    """What is known of a row before it is worked on.

    Attributes:
        position: Its position in the input.
        row_id: Its id; "" if it has none.
        content: The digest of its content.
        error: Why it can't be worked on.
        outcome: What came of it at an earlier start.
    """

    position: int
    row_id: str
    content: int | None
    error: RowError | None
    outcome: Outcome | None


class Ending(NamedTuple, Generic[T]):
    """How the work on a row ended.

    Attributes:
        result: What came of it; None if the row stays open.
        error: What failed, if it concerns this row alone.
        stopping: What failed, if it concerns the job.
    """

    result: RowResult[T] | None = None
    error: BaseException | None = None
    stopping: BaseException | None = None


class RowWork(Generic[Row, T]):
    """Works on rows, each in the task of its caller.

    Args:
        name: The function that the user has called, for messages.
        step: As in `run_many`.
        run: The run of the job.
        journal: Where outcomes are written.

    Attributes:
        replayed_calls: The calls that were answered from the journal.
        unknown_calls: The calls that were cut off while they were in flight.
        is_journal_shared: Whether a later job may ask the same open journal for these rows.
    """

    def __init__(self, name: str, step: Step[Row, T], run: Run, journal: Book | None) -> None:
        self._name = name
        self._step = step
        self._run = run
        self._journal = journal
        self._is_halted = False
        self.replayed_calls = self.unknown_calls = 0
        self.is_journal_shared = False

    async def work(self, known: Known, row: Row) -> Ending[T]:
        """Work on a row."""
        if known.error is not None:
            return Ending(RowResult(known.position, known.row_id, error=str(known.error)), known.error)
        refusals: list[BudgetExhaustedError] = []
        REFUSALS.set(refusals)
        run = Run("row", self._run)
        journal = self._journal
        scope: Scope[Any] = Scope(self, known.row_id) if journal is None else scope_of(journal, known.row_id)
        value: T | None = None
        returned: PatternResult[T] | None = None
        error: BaseException | None = None
        try:
            with scope:
                async with run:
                    found = await self._asked(run, row)
            if isinstance(found, PatternResult):
                returned = cast("PatternResult[T]", found)
                value = returned.value
            else:
                value = found
        except asyncio.CancelledError as exc:
            if is_being_cancelled():
                raise
            if self._is_halted:  # a part of the step was about to call
                return Ending()
            error = exc
        except Exception as exc:  # noqa: BLE001 - it is the user's step
            error = exc
        except BaseException as exc:
            # The row needs a reply that comes at a later start. A step may have asked in a task group.
            if any(isinstance(each, Suspended) for each in leaves(exc)):
                return Ending()
            raise
        finally:
            self.replayed_calls += scope.replayed
            if scope.cut.llm_calls:
                self.unknown_calls += scope.cut.llm_calls
                self._run.assume(replace(scope.cut, llm_calls=0))
        for refusal in refusals:
            if self._run.has_refused(refusal):
                # Even where the pattern went on with less than was asked: more may be allowed next time.
                return Ending(stopping=refusal)
        if error is not None and (stopping := self._of_the_job(error)) is not None:
            return Ending(stopping=stopping)
        result: RowResult[T] = RowResult(
            known.position,
            known.row_id,
            value,
            returned,
            None if error is None else redact(shorten(told(error), _LONGEST_ERROR)),
            run.usage,
            scope.replayed,
        )
        if journal is not None:
            try:
                result = self._written(journal, result, known.content)
            except JournalError as exc:
                return Ending(stopping=self._of_the_job(exc))
        return Ending(result, error)

    async def _asked(self, run: Run, row: Row) -> PatternResult[T] | T:
        found = await asked(self._name, self._step, run, row)
        if isinstance(found, PatternResult):
            cost, metered = cast("PatternResult[T]", found).cost, run.usage
            if cost != metered:  # a step may have called a provider of its own
                run.charge(minus(cost, metered))
        return found

    def _of_the_job(self, error: BaseException) -> BaseException | None:
        """The failure, if it would come again with every other row; what these would send is refused then.

        A step that asks in a task group fails by a group. One such failure in it is enough.
        """
        for each in leaves(error):
            if isinstance(each, NotAsyncError):
                return TypeError(str(each))
            if not (isinstance(each, BudgetExhaustedError) or concerns_one_request(each)):
                self._is_halted = True
                self._run.halt()
                return each
        return None

    def _written(self, journal: Book, result: RowResult[T], content: int | None) -> RowResult[T]:
        """Write the outcome of a row down; it fails if JSON has no such value."""
        score = None if result.result is None else result.result.score
        try:
            journal.write_row(
                result.id,
                index=result.index,
                digest=content,
                value=as_dicts(result.value),
                score=score,
                error=result.error,
                cost=result.cost,
                remember=self.is_journal_shared,
            )
        except (TypeError, ValueError, RecursionError) as exc:
            error = no_json(result.index, exc.__cause__ or exc)
            result = replace(result, value=None, result=None, error=error)
            journal.write_row(
                result.id,
                index=result.index,
                digest=content,
                error=error,
                cost=result.cost,
                remember=self.is_journal_shared,
            )
        return result


def from_journal(outcome: Outcome, position: int) -> RowResult[Any]:
    """The result of a row that an earlier start has worked on."""
    value, error, cost = outcome.value, outcome.error, outcome.cost
    return RowResult(position, outcome.row, value, None, error, cost, from_journal=True)
