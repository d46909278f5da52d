"""`run_many` and `iter_many`: a step over many rows."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from pathlib import Path
from typing import Any, Final, Generic, Literal, Protocol, TypedDict, TypeVar, Unpack, cast, overload

from executionkit import _checks as checks
from executionkit._blocking import blocking
from executionkit.engine.retry import RetryConfig
from executionkit.many._job import Job
from executionkit.many._journal.journal import Journal
from executionkit.many._limits.limits import RateLimits
from executionkit.many._progress import Progress
from executionkit.many._results import ManyResult, RowResult
from executionkit.many._rows import IdOf
from executionkit.many._step import Asking, Step
from executionkit.protocols import LLMProvider
from executionkit.types import PatternResult, TokenUsage

Row = TypeVar("Row")
T = TypeVar("T")


class ManyOptions(TypedDict, Generic[Row], total=False):
    """The keywords of `run_many` that all jobs have."""

    id: IdOf[Row]
    journal: Journal | str | Path | None
    limits: RateLimits | None
    max_rows: int | None
    max_cost: TokenUsage | None
    retry: RetryConfig | None
    on_failure: Literal["record", "raise"]
    max_failures: int | float | None
    retry_failed: bool
    shard: tuple[int, int] | None
    progress: bool | Callable[[Progress], object]


@overload
async def run_many(
    provider: LLMProvider,
    rows: Iterable[Row] | AsyncIterable[Row],
    step: Asking[Row, PatternResult[T]],
    *,
    on_result: Callable[[RowResult[T]], object] | None = None,
    **options: Unpack[ManyOptions[Row]],
) -> ManyResult: ...
@overload
async def run_many(
    provider: LLMProvider,
    rows: Iterable[Row] | AsyncIterable[Row],
    step: Asking[Row, T],
    *,
    on_result: Callable[[RowResult[T]], object] | None = None,
    **options: Unpack[ManyOptions[Row]],
) -> ManyResult: ...
async def run_many(
    provider: LLMProvider,
    rows: Iterable[Row] | AsyncIterable[Row],
    step: Step[Row, T],
    *,
    id: IdOf[Row] = None,  # noqa: A002 - the plain word for it
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
) -> ManyResult:
    """Run a step over many rows: a pattern, or an async function of yours, once for each of them.

    As many rows are worked on at once as the limits have calls in flight. A row that fails is recorded, and
    the others go on. With a journal, a job that was stopped in any way goes on where it ended: a row that is
    done is not worked on again, and of another row no reply that came is paid for again.

    Example:
        ```python
        import tempfile
        from pathlib import Path

        from executionkit import MockProvider, TokenUsage, consensus
        from executionkit.many import run_many


        async def label(provider, row):
            return await consensus(
                provider, f"Positive or negative? {row['text']}", num_samples=3
            )


        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        provider = MockProvider(["positive"])
        reviews = [{"key": "a", "text": "Superb."}, {"key": "b", "text": "Fine."}]
        result = await run_many(
            provider,
            reviews,
            label,
            id="key",
            journal=Path(tempfile.mkdtemp()) / "labels.jsonl",
            max_cost=TokenUsage(llm_calls=100),
        )
        assert (result.done, result.failed, result.cost.llm_calls) == (2, 0, 6)
        ```

    Args:
        provider: Makes the model calls: a `Provider`, or any object that satisfies `LLMProvider`. Each step
            receives a provider around it, whose calls count.
        rows: The rows, from an iterable or an async iterable. They are read one by one, when there is room
            for another one. A plain iterable is read on the event loop, in its own thread: make it async if
            it waits for something.
        step: An async function `(provider, row)`, a `functools.partial` of one, or a pattern where the rows
            are prompts. It returns a `PatternResult` or any other value.
        id: What names a row in the journal: a field of it, or a function of it that returns a str or an int.
            Defaults to the row's position.
        journal: Where outcomes and replies are kept: a path, or a `Journal`. Values must be such as JSON has
            then; dataclasses and pydantic models are kept as dicts. Defaults to none: nothing is kept,
            nothing resumed.
        limits: The limits of the account, which several jobs may share. Defaults to 64 calls in flight, at a
            rate that is learnt from what the server refuses.
        max_rows: How many rows are worked on at once. Defaults to `limits.max_in_flight`.
        max_cost: Maximum calls and tokens for the whole job, earlier starts with the same journal included.
            Defaults to no limit.
        retry: How failed calls are repeated, in every pattern that has no retries of its own. Calls that were
            refused because they came too fast are repeated besides. Defaults to that of the run around this
            one, else to `DEFAULT_RETRY`.
        on_failure: "record" goes on after a row that failed; "raise" ends the job with its error.
        max_failures: The most rows that may fail at this start: a number, or a share, which counts once 100
            rows have ended. Defaults to any number; but 50 rows that fail alike one after the other end the
            job.
        retry_failed: Whether rows that failed at an earlier start are worked on again.
        shard: `(i, n)` for one of `n` parts of the rows, which other processes don't work on: those for whose
            id `digest % n` is `i`. The digest is the blake2b of the id, of 8 bytes, as a big-endian number.
            Each part needs a journal of its own.
        progress: True draws a bar on stderr, or writes a line every 30 s where stderr is no terminal. A
            function, plain or async, is given a `Progress` at most ten times a second.
        on_result: A function, plain or async, that is given each `RowResult` when the row has ended, rows out
            of the journal included. An exception that it raises is logged and counted.

    Returns:
        A `ManyResult`: figures, and the first failures. The values are in the journal, or in what `on_result`
        was given, or come from `iter_many`.

    Raises:
        ValueError: An argument is out of range, or `rows` are no rows.
        TypeError: `step` is no async function of two arguments, or a pattern, and the rows are no prompts.
        JournalError: The journal is another job's, is in use, is damaged or can't be written; or a row has
            another content than the one it was written for.
        BudgetExhaustedError: `max_cost` is used up.
        PermanentError: The server refuses every request: a wrong key, an unknown model, an empty account.
        PatternError: Too many rows failed, or 50 alike.
        Exception: What `rows` raised, or with `on_failure="raise"` what a row raised.

    Before any of them is raised, the rows under way end. A row that was stopped by what concerns the whole
    job stays open. Each error has `.cost`, that of all starts. `.metadata["done"]` and `["failed"]` are
    numbers of rows, `["failures"]` has the first rows that failed, and `["journal"]` the path of the journal.
    """
    job = Job(
        "run_many",
        provider,
        rows,
        step,
        id=id,
        journal=journal,
        limits=limits,
        max_rows=max_rows,
        max_cost=max_cost,
        retry=retry,
        on_failure=on_failure,
        max_failures=max_failures,
        retry_failed=retry_failed,
        shard=shard,
        progress=progress,
        on_result=on_result,
    )
    return await job.run()


@overload
def iter_many(
    provider: LLMProvider,
    rows: Iterable[Row] | AsyncIterable[Row],
    step: Asking[Row, PatternResult[T]],
    *,
    on_result: Callable[[RowResult[T]], object] | None = None,
    ordered: bool = False,
    max_ahead: int | None = None,
    **options: Unpack[ManyOptions[Row]],
) -> AsyncGenerator[RowResult[T], None]: ...
@overload
def iter_many(
    provider: LLMProvider,
    rows: Iterable[Row] | AsyncIterable[Row],
    step: Asking[Row, T],
    *,
    on_result: Callable[[RowResult[T]], object] | None = None,
    ordered: bool = False,
    max_ahead: int | None = None,
    **options: Unpack[ManyOptions[Row]],
) -> AsyncGenerator[RowResult[T], None]: ...
def iter_many(
    provider: LLMProvider,
    rows: Iterable[Row] | AsyncIterable[Row],
    step: Step[Row, T],
    *,
    id: IdOf[Row] = None,  # noqa: A002 - as in `run_many`
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
    ordered: bool = False,
    max_ahead: int | None = None,
) -> AsyncGenerator[RowResult[T], None]:
    """Run a step over many rows, and hand on how each of them ended.

    Rows come as they end, those of an earlier start out of the journal. A reader that is slow holds the job
    up: no more than `max_ahead` rows are begun and not read. Leaving the loop early cancels what is under
    way; inside `contextlib.aclosing` it has ended when the block has.

    Example:
        ```python
        from executionkit import MockProvider, consensus
        from executionkit.many import iter_many

        provider = MockProvider(["Paris", "Rome"])
        questions = ["The capital of France?", "The capital of Italy?"]
        async for row in iter_many(
            provider, questions, consensus, ordered=True, max_rows=1
        ):
            print(row.index, row.value, row.error)
        ```

    Args:
        provider: As in `run_many`.
        rows: As in `run_many`.
        step: As in `run_many`.
        id: As in `run_many`.
        journal: As in `run_many`.
        limits: As in `run_many`.
        max_rows: As in `run_many`.
        max_cost: As in `run_many`.
        retry: As in `run_many`.
        on_failure: As in `run_many`.
        max_failures: As in `run_many`.
        retry_failed: As in `run_many`.
        shard: As in `run_many`.
        progress: As in `run_many`.
        on_result: As in `run_many`.
        ordered: Whether rows come in the order of the input.
        max_ahead: How many rows may be begun and not read; with `ordered`, how many beyond the oldest one
            that has not ended. Defaults to four times `max_rows`.

    Returns:
        An async generator of `RowResult`.

    Raises:
        ValueError: As in `run_many`, and for `max_ahead`.
        TypeError: As in `run_many`.
        Exception: As in `run_many`, by the generator, after all rows that have ended.
    """
    job = Job(
        "iter_many",
        provider,
        rows,
        step,
        id=id,
        journal=journal,
        limits=limits,
        max_rows=max_rows,
        max_cost=max_cost,
        retry=retry,
        on_failure=on_failure,
        max_failures=max_failures,
        retry_failed=retry_failed,
        shard=shard,
        progress=progress,
        on_result=on_result,
    )
    if max_ahead is not None:
        checks.at_least(1, max_ahead=max_ahead)
    return job.results(ordered=ordered, max_ahead=4 * job.max_rows if max_ahead is None else max_ahead)


class _Twin(Protocol):
    """The type of `run_many_sync`: a type checker would take the first form of `run_many` alone."""

    def __call__(
        self,
        provider: LLMProvider,
        rows: Iterable[Row] | AsyncIterable[Row],
        step: Asking[Row, object],
        *,
        on_result: Callable[[RowResult[Any]], object] | None = None,
        **options: Unpack[ManyOptions[Row]],
    ) -> ManyResult:
        """Run it to its end."""
        ...


run_many_sync: Final = cast("_Twin", blocking(run_many, __name__))
"""`run_many` for a program without an event loop: the same arguments and the same result.

It runs to its end on an event loop of its own. Inside a running loop it raises `RuntimeError`.
"""
