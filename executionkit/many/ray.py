"""`run_many_on_ray`: a step over many rows, on the workers of a Ray cluster."""

import importlib
import os
import socket
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, TypeVar, cast

from executionkit import _checks as checks
from executionkit.engine.retry import RetryConfig
from executionkit.errors import PatternError
from executionkit.many._cluster.attempts import claim
from executionkit.many._cluster.fleet import Cut, Fleet
from executionkit.many._cluster.result import RayResult
from executionkit.many._cluster.worker import Plan
from executionkit.many._limits.limits import RateLimits
from executionkit.many._results import ManyResult
from executionkit.many._rows import IdOf, Source
from executionkit.many._step import Asking
from executionkit.protocols import LLMProvider
from executionkit.types import TokenUsage

__all__ = ["RayResult", "run_many_on_ray"]

Row = TypeVar("Row")


class Batches(Protocol):
    """A dataset of Ray Data."""

    def iter_batches(self, *, batch_size: int, batch_format: str) -> Iterable[Any]:
        """The rows, so many at a time."""
        ...


Key: TypeAlias = str | Callable[[], str | Awaitable[str]]

_FORMAT: Final = 1
_MISSING: Final = (
    'run_many_on_ray needs Ray: pip install "ray[data]>=2.50", or install this package with the extra `ray`'
)


def run_many_on_ray(
    provider: LLMProvider | Callable[[], LLMProvider],
    rows: Iterable[Row] | Sequence[Callable[[], Iterable[Row]]] | Batches,
    step: Asking[Row, Any],
    *,
    journal: str | Path,
    id: IdOf[Row] = None,  # noqa: A002 - as in `run_many`
    key: Key | None = None,
    rows_per_shard: int = 1000,
    num_actors: int = 8,
    actor_options: Mapping[str, Any] | None = None,
    limits: RateLimits | None = None,
    max_rows: int | None = None,
    max_cost: TokenUsage | None = None,
    retry: RetryConfig | None = None,
    retry_failed: bool = True,
    on_shard: Callable[[ManyResult], object] | None = None,
) -> RayResult:
    """Run a step over many rows on the workers of a Ray cluster, with one budget and one rate for all.

    The rows are cut into shards. A worker works on two at a time, and writes a journal for each. If it dies,
    its shards begin again elsewhere: what is in their journals is not paid for again. If this program dies,
    start it again with the same rows and the same directory.

    Args:
        provider: As in `run_many`; or a function that makes it in each worker. It is pickled without its API
            key: see `key`.
        rows: The rows, a dataset of Ray Data, or a list of functions: each returns the rows of one shard, and
            is called in the worker. Rows must come in the same order at each start.
        step: As in `run_many`. It is pickled.
        journal: The directory for the journals. All workers must see it under this path.
        id: As in `run_many`. Positions count over all shards; with functions as rows, within each shard.
        key: Where each worker finds the provider's API key: "env:NAME" for an environment variable of the
            worker's machine, or a function that returns it, such as one that asks a secret store.
        rows_per_shard: The rows of a shard. It stays the same at each start.
        num_actors: The number of workers.
        actor_options: Options of the workers for Ray, such as `{"num_cpus": 0.5}`. By default they are spread
            over the machines and hold no CPU, so that Ray Data can read the rows meanwhile.
        limits: The limits. The rates are those of all workers together; `max_in_flight` is each worker's.
        max_rows: As in `run_many`, for each shard.
        max_cost: The budget of all workers, attempts and starts together.
        retry: As in `run_many`.
        retry_failed: As in `run_many`.
        on_shard: Called with the figures of each shard that has ended.

    Returns:
        The figures of all shards.

    Raises:
        ImportError: Ray is not installed.
        ValueError: An argument can't be used.
        JournalError: The directory is another job's, or is in use.
        BudgetExhaustedError: The budget is used up. The journals have the rows that are done.
        Exception: What has stopped a shard, after the calls in flight have ended.

    Each error of the library has the `.metadata["done"]`, `["failed"]`, `["failures"]` and `["journal"]` of
    `run_many`.
    """
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as exc:
        raise ImportError(_MISSING) from exc
    checks.at_least(1, rows_per_shard=rows_per_shard, num_actors=num_actors)
    checks.budget(max_cost=max_cost)
    checks.called_with("result", on_shard=on_shard)
    if limits is not None and not isinstance(limits, RateLimits):
        raise ValueError(f"limits must be a RateLimits or None, got {limits!r}")
    if not hasattr(rows, "iter_batches"):
        if isinstance(rows, AsyncIterable):
            raise ValueError("rows must be an iterable here, not an async one: it is read in a plain loop")
        Source(cast("Iterable[Row]", rows))  # what is no table of rows is refused
    directory = Path(journal).absolute()
    plan = Plan(
        directory=directory,
        provider=_maker(provider, key),
        step=step,
        id=id,
        max_cost=max_cost or TokenUsage(),
        rates=(limits or RateLimits()).settings,
        max_rows=max_rows,
        retry=retry,
        retry_failed=retry_failed,
    )
    claim(directory, {"format": _FORMAT, "rows_per_shard": rows_per_shard})
    return Fleet(ray, plan, num_actors, dict(actor_options or {}), on_shard).run(_cut(rows, rows_per_shard))


def _maker(provider: LLMProvider | Callable[[], LLMProvider], key: Key | None) -> Callable[[], LLMProvider]:
    """A function that makes the provider in a worker.

    Raises:
        ValueError: The provider would come out of its pickle without its key.
    """
    if not callable(getattr(provider, "complete", None)):
        if not callable(provider):
            raise TypeError(f"run_many_on_ray: {type(provider).__name__} has no `complete` method")
        if key is not None:
            raise ValueError(
                "key must be None where a function makes the provider: it can give the key itself"
            )
        return provider
    made = cast("Any", provider)
    if key is None:
        secrets = [name for name in ("api_key", "headers") if getattr(provider, name, None)]
        if secrets:
            advice = (
                "give key='env:NAME'" if secrets == ["api_key"] else "give a function that makes the provider"
            )
            raise ValueError(
                f"the provider has {' and '.join(secrets)}, which are not sent to other machines; {advice}, "
                "so that each worker finds them where it runs"
            )
        return lambda: made
    name = key.removeprefix("env:") if isinstance(key, str) else ""
    if not callable(key) and (name == key or not name):
        raise ValueError("key must be 'env:NAME' or a function; a key itself is not sent to other machines")
    bare: Any = replace(made, api_key="")
    return lambda: replace(bare, api_key=key if callable(key) else _key_in(name))


def _key_in(name: str) -> str:
    """The key in an environment variable of this machine."""
    found = os.environ.get(name)
    if not found:
        raise PatternError(
            f"run_many_on_ray: the environment variable {name} is not set on {socket.gethostname()}, where a "
            "worker runs; set it before Ray is started there"
        )
    return found


def _cut(rows: Any, rows_per_shard: int) -> Iterator[Cut]:
    """The shards of some rows."""
    if hasattr(rows, "iter_batches"):
        # Without this, blocks come in the order in which they get ready.
        rows.context.execution_options.preserve_order = True
        first = 0
        tables = rows.iter_batches(batch_size=rows_per_shard, batch_format="pyarrow")
        for number, table in enumerate(tables):
            yield Cut(number, first, table)
            first += table.num_rows
        return
    remaining = iter(rows)
    number = first = 0
    while found := list(islice(remaining, rows_per_shard)):
        if all(callable(each) for each in found):
            for each in found:
                yield Cut(number, 0, each)
                number += 1
            continue
        yield Cut(number, first, found)
        number, first = number + 1, first + len(found)
