"""`run_many_on_ray`: a step over many rows, on the workers of a Ray cluster."""

import importlib
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar, cast

from executionkit import _checks as checks
from executionkit.cost import minus
from executionkit.engine.bill import add_note
from executionkit.engine.retry import RetryConfig
from executionkit.errors import BudgetExhaustedError, ExecutionKitError, JournalError, PatternError
from executionkit.many._attempts import ShardFolder, is_being_written, totals, write_whole
from executionkit.many._coordinator import Coordinator, Renewed
from executionkit.many._job import Step
from executionkit.many._journal import Journal
from executionkit.many._leases import Amounts, Lease, amounts
from executionkit.many._limits import RateLimits
from executionkit.many._results import ManyResult, RowResult
from executionkit.many._rows import IdOf
from executionkit.many._worker import PATIENCE, Plan, ShardEnd, Worker
from executionkit.protocols import LLMProvider
from executionkit.types import TokenUsage

Row = TypeVar("Row")
T = TypeVar("T")

Key: TypeAlias = str | Callable[[], str | Awaitable[str]]

_FORMAT: Final = 1
_MOST_DEATHS: Final = 3
"""So many workers may die on one shard at one start. A shard that takes too much memory kills each one."""
_MOST_FAILURES: Final = 100
_AT_ONCE: Final = 2
"""Shards that a worker works on at once: while the last calls of one come home, the other sends its first."""
_GRACE: Final = 30.0
"""Seconds for calls in flight when the job is stopped; then the workers are killed."""
_MISSING: Final = (
    'run_many_on_ray needs Ray: pip install "ray[data]>=2.50", or install this package with the extra `ray`'
)


@dataclass(frozen=True, repr=False)
class RayResult(ManyResult):
    """How a job on a cluster ended; its figures are those of all shards.

    Attributes:
        shards: The figures of each shard, by its number.
        deaths: How many workers died, and were replaced.
    """

    shards: Mapping[int, ManyResult] = field(default_factory=dict[int, ManyResult])
    deaths: int = 0

    def outcomes(self) -> Iterator[dict[str, Any]]:
        """What came of each row: `id`, `index`, `value`, `score` and `error`, shard by shard."""
        for shard in sorted(self.shards):
            path = self.shards[shard].journal
            if path is not None:
                yield from _outcomes({"item": os.fspath(path)})

    def dataset(self) -> Any:
        """The same as a dataset of Ray Data, read from the journals by the cluster."""
        data = importlib.import_module("ray.data")
        found = (self.shards[shard].journal for shard in sorted(self.shards))
        return data.from_items([os.fspath(path) for path in found if path is not None]).flat_map(_outcomes)


def run_many_on_ray(
    provider: LLMProvider | Callable[[], LLMProvider],
    rows: Iterable[Row] | Sequence[Callable[[], Iterable[Row]]],
    step: Step[Row, T],
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

    The rows are cut into shards. A worker works on one shard at a time, and writes a journal for it. If a
    worker dies, its shard begins again elsewhere: what is in the journal is not paid for again. If this
    program dies, start it again with the same rows and the same directory.

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
        actor_options: Options of the workers for Ray, such as `{"num_cpus": 0.5}`.
        limits: The limits. The rates are those of all workers together; `max_in_flight` is each worker's.
        max_rows: As in `run_many`, for each worker.
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
        BudgetExhaustedError: The budget is used up. What is done is in the journals.
        Exception: What has stopped a shard, after the calls in flight have ended.
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
    _claim(directory, {"format": _FORMAT, "rows_per_shard": rows_per_shard})
    return _Fleet(ray, plan, num_actors, dict(actor_options or {}), on_shard).run(_cut(rows, rows_per_shard))


class _Cut(NamedTuple):
    """A shard's rows, before they are sent to a worker."""

    number: int
    first: int
    rows: Any


class _OnRay:
    """The coordinator as a worker sees it: its methods run in an actor.

    Args:
        actor: The actor.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def number(self, shard: int, last: int) -> int:
        number: int = await self._actor.number.remote(shard, last)
        return number

    async def begin(self, shard: int, attempt: int, spent: Amounts, *, is_alone: bool) -> Amounts:
        others: Amounts = await self._actor.begin.remote(shard, attempt, spent, is_alone=is_alone)
        return others

    async def lend(self, shard: int, attempt: int, need: Amounts) -> Lease:
        lease: Lease = await self._actor.lend.remote(shard, attempt, need)
        return lease

    async def end(self, shard: int, attempt: int, spent: Amounts) -> None:
        await self._actor.end.remote(shard, attempt, spent)

    async def renew(self, worker: int, wanted: float) -> Renewed:
        renewed: Renewed = await self._actor.renew.remote(worker, wanted)
        return renewed


class _Actor:
    """A worker in a process of its own."""

    def __init__(self, number: int, plan: Plan, coordinator: Any) -> None:
        self._worker = Worker(number, plan, _OnRay(coordinator))

    async def work(self, shard: int, first: int, rows: Any) -> ShardEnd:
        end = await self._worker.work(shard, first, rows)
        if end.error is not None and not isinstance(end.error, ExecutionKitError):
            # Another's error may be of a class that this process does not have.
            told = PatternError(f"run_many_on_ray: {type(end.error).__name__}: {end.error}")
            return end._replace(error=told)
        return end


def _cause(exc: Any) -> BaseException:
    """The error that a worker raised."""
    cause = exc.cause
    return cause if isinstance(cause, BaseException) else exc


class _Fleet:
    """The workers of one start, and the shards that they work on."""

    def __init__(
        self,
        ray: Any,
        plan: Plan,
        count: int,
        options: dict[str, Any],
        on_shard: Callable[[ManyResult], object] | None,
    ) -> None:
        self._ray = ray
        self._plan = plan
        self._count = count
        self._options = {"num_cpus": 1, "max_concurrency": 4, **options, "max_restarts": 0}
        self._on_shard = on_shard
        self._began = time.monotonic()
        before = _spent_before(plan.directory)
        self._before = sum((each for each, _ in before.values()), TokenUsage())
        spent = {shard: amounts(_with(*each), plan.limits) for shard, each in before.items()}
        self._coordinator = ray.remote(Coordinator).options(num_cpus=0).remote(plan.max_cost, count, spent)
        self._actors: dict[int, Any] = {}
        self._working: dict[Any, tuple[int, _Cut]] = {}
        self._dead: set[int] = set()
        self._numbers = iter(range(1 << 60))
        self._deaths: dict[int, int] = {}
        self._ends: dict[int, ShardEnd] = {}
        self._stopped: list[_Cut] = []
        self._error: BaseException | None = None

    def run(self, shards: Iterator[_Cut]) -> RayResult:
        """Work on all shards.

        Raises:
            Exception: What has stopped a shard.
        """
        try:
            self._round(shards)
            while self._error is None and self._stopped and self._is_worth_another_round():
                again, self._stopped = self._stopped, []
                spent = self._spent_now()
                # One after the other: then nothing lies with a worker that doesn't need it.
                for each in again:
                    self._round(iter([each]))
                if self._spent_now() == spent:
                    break
        except BaseException as exc:
            self._leave(exc)
            raise
        finally:
            self._kill()
        result = self._result()
        error = self._error
        if error is None and self._stopped:
            error = BudgetExhaustedError(
                f"run_many_on_ray: the budget is used up: spent {result.cost} of {self._plan.max_cost}; "
                f"allow more and start again: what is in {self._plan.directory} is not paid for again"
            )
            error.__cause__ = self._ends[self._stopped[0].number].error
        if error is not None:
            self._bill(error, result)
            raise error
        return result

    def _round(self, shards: Iterator[_Cut]) -> None:
        """Work on shards until there are no more, or one was stopped."""
        again: list[_Cut] = []
        is_over = False
        while True:
            while not is_over and len(self._working) < _AT_ONCE * self._count:
                following = again.pop() if again else next(shards, None)
                if following is None:
                    break
                self._begin(following)
            if not self._working:
                return
            ready, _ = self._ray.wait([*self._working], num_returns=1)
            for reference in ready:
                worker, shard = self._working.pop(reference)
                try:
                    end: ShardEnd = self._ray.get(reference)
                except self._ray.exceptions.RayActorError as exc:
                    self._actors.pop(worker, None)
                    self._dead.add(worker)
                    if self._buried(shard, exc):
                        again.append(shard)
                    continue
                except self._ray.exceptions.RayTaskError as exc:
                    end = ShardEnd(
                        shard.number, 0, ManyResult(0, 0, 0, 0, TokenUsage(), TokenUsage()), _cause(exc)
                    )
                self._take(end, shard)
                if worker not in (each for each, _ in self._working.values()):
                    self._coordinator.leave.remote(worker)
            is_over = self._error is not None or bool(self._stopped)

    def _begin(self, shard: _Cut) -> None:
        load = Counter(dict.fromkeys(self._actors, 0))
        load.update(worker for worker, _ in self._working.values() if worker in self._actors)
        worker = min(load, key=lambda each: load[each], default=-1)
        if worker < 0 or (load[worker] and len(self._actors) < self._count):
            worker = next(self._numbers)
            made = self._ray.remote(_Actor).options(**self._options)
            self._actors[worker] = made.remote(worker, self._plan, self._coordinator)
        reference = self._actors[worker].work.remote(shard.number, shard.first, shard.rows)
        self._working[reference] = worker, shard

    def _buried(self, shard: _Cut, exc: BaseException) -> bool:
        """Count the death of a worker; returns whether its shard begins again."""
        deaths = self._deaths[shard.number] = self._deaths.get(shard.number, 0) + 1
        if self._error is not None:
            return False
        if deaths < _MOST_DEATHS:
            return True
        self._stop(
            PatternError(
                f"run_many_on_ray: {deaths} workers died on shard {shard.number}; Ray says: "
                f"{str(exc).splitlines()[0]}. Make shards smaller, or give workers more memory "
                "(actor_options), and start again: what is in the journals is not paid for again"
            )
        )
        return False

    def _take(self, end: ShardEnd, shard: _Cut) -> None:
        self._ends[end.shard] = end
        if end.is_budget:
            self._stopped.append(shard)
        elif end.error is not None:
            self._stop(end.error)
        elif self._on_shard is not None:
            self._on_shard(end.result)

    def _stop(self, error: BaseException) -> None:
        """Let all workers finish what is in flight; the first error is raised then."""
        if self._error is None:
            self._error = error
            self._coordinator.stop.remote("run_many_on_ray: another shard has stopped the job")

    def _leave(self, exc: BaseException) -> None:
        """Stop, because of Ctrl-C or an error of the rows. Calls in flight are paid for, so they may end."""
        add_note(exc, f"run_many_on_ray: what is done is in {self._plan.directory}: start again to go on")
        self._coordinator.stop.remote("run_many_on_ray: the job was stopped")
        if self._working:
            self._ray.wait([*self._working], num_returns=len(self._working), timeout=_GRACE)

    def _kill(self) -> None:
        for actor in (*self._actors.values(), self._coordinator):
            self._ray.kill(actor)

    def _is_worth_another_round(self) -> bool:
        """Settle what lost attempts held, and see whether enough is left to go on."""
        spent = {
            shard: amounts(_with(*each), self._plan.limits)
            for shard, each in _spent_before(self._plan.directory).items()
        }
        is_worth_it: bool = self._ray.get(self._coordinator.settle.remote(spent))
        return is_worth_it

    def _spent_now(self) -> TokenUsage:
        return sum((end.result.cost for end in self._ends.values()), TokenUsage())

    def _result(self) -> RayResult:
        results = {shard: end.result for shard, end in sorted(self._ends.items())}
        every = [*results.values()]
        lost = sum((ShardFolder(self._plan.directory, each).lost() for each in results), TokenUsage())
        cost = sum((each.cost for each in every), TokenUsage()) + lost
        failures: list[RowResult[Any]] = []
        for each in every:
            failures += each.failures[: _MOST_FAILURES - len(failures)]
        return RayResult(
            rows=sum(each.rows for each in every),
            done=sum(each.done for each in every),
            skipped=sum(each.skipped for each in every),
            failed=sum(each.failed for each in every),
            cost=cost,
            cost_now=minus(cost, self._before),
            replayed_calls=sum(each.replayed_calls for each in every),
            unknown_calls=sum(each.unknown_calls for each in every),
            refused=sum(each.refused for each in every),
            seconds=time.monotonic() - self._began,
            failures=tuple(failures),
            journal=self._plan.directory,
            callback_errors=sum(each.callback_errors for each in every),
            shards=results,
            deaths=len(self._dead),
        )

    def _bill(self, error: BaseException, result: RayResult) -> None:
        if isinstance(error, ExecutionKitError):
            error.cost = result.cost
            error.metadata = {
                **error.metadata,
                "done": result.done,
                "failed": result.failed,
                "failures": result.failures,
                "journal": result.journal,
            }


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


def _cut(rows: Any, rows_per_shard: int) -> Iterator[_Cut]:
    """The shards of some rows."""
    if hasattr(rows, "iter_batches"):
        # Without this, blocks come in the order in which they get ready.
        rows.context.execution_options.preserve_order = True
        first = 0
        tables = rows.iter_batches(batch_size=rows_per_shard, batch_format="pyarrow")
        for number, table in enumerate(tables):
            yield _Cut(number, first, table)
            first += table.num_rows
        return
    remaining = iter(rows)
    number = first = 0
    while found := list(islice(remaining, rows_per_shard)):
        if all(callable(each) for each in found):
            for each in found:
                yield _Cut(number, 0, each)
                number += 1
            continue
        yield _Cut(number, first, found)
        number, first = number + 1, first + len(found)


def _claim(directory: Path, job: dict[str, Any]) -> None:
    """See that a directory is this job's, or make it so.

    Raises:
        JournalError: It is another job's, or its shards are being written.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / "job.json"
    if not path.exists():
        if any(directory.iterdir()):
            raise JournalError(f"{directory} is not empty, and no directory of run_many_on_ray")
        write_whole(path, job)
    there = json.loads(path.read_bytes())
    for name, value in job.items():
        if there.get(name) != value:
            raise JournalError(
                f"{directory} was written with {name}={there.get(name)!r}, and now it is {value!r}: take "
                "another directory"
            )
    until = time.monotonic() + PATIENCE
    for folder in _folders(directory):
        last = folder.journal
        while last is not None and is_being_written(last):
            # The workers of a program that was killed end a little later than it did.
            if time.monotonic() > until:
                raise JournalError(f"{last} is being written by another process: wait for its end")
            time.sleep(0.1)


def _folders(directory: Path) -> list[ShardFolder]:
    return [ShardFolder(directory, int(each.name)) for each in directory.iterdir() if each.name.isdigit()]


def _spent_before(directory: Path) -> dict[int, tuple[TokenUsage, TokenUsage]]:
    """What each shard has spent so far, and what is assumed of calls whose outcome is unknown."""
    found = {}
    for folder in _folders(directory):
        last = folder.journal
        if last is not None:
            usage, assumed = totals(last)
            found[folder.number] = usage + folder.lost(), assumed
    return found


def _with(usage: TokenUsage, assumed: TokenUsage) -> TokenUsage:
    return TokenUsage(
        usage.input_tokens + assumed.input_tokens,
        usage.output_tokens + assumed.output_tokens,
        usage.llm_calls,
        usd=usage.usd,
    )


def _outcomes(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for row in Journal(item["item"]).rows():
        yield {"id": row.row, "index": row.index, "value": row.value, "score": row.score, "error": row.error}
