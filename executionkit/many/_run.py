"""`run_many` and `iter_many`: a step over many rows."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from pathlib import Path
from typing import Final, Literal, TypeVar

from executionkit import _checks as checks
from executionkit._blocking import blocking
from executionkit.engine.retry import RetryConfig
from executionkit.many._job import Job, Step
from executionkit.many._journal import Journal
from executionkit.many._limits import RateLimits
from executionkit.many._progress import Progress
from executionkit.many._results import ManyResult, RowResult
from executionkit.many._rows import IdOf
from executionkit.protocols import LLMProvider
from executionkit.types import TokenUsage

Row = TypeVar("Row")
T = TypeVar("T")


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
    """Run a step over many rows."""
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
    """Run a step over many rows, and hand on how each one ended."""
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


run_many_sync: Final = blocking(run_many, __name__)
