"""`Fleet`: the workers of a job on Ray, and the shards that they are given."""

import importlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from executionkit.cost import minus
from executionkit.engine.bill import add_note
from executionkit.errors import BudgetExhaustedError, ExecutionKitError, PatternError
from executionkit.many._cluster.attempts import folders, spent_in
from executionkit.many._cluster.coordinator import Coordinator, Renewed
from executionkit.many._cluster.leases import Amounts, Lease, amounts
from executionkit.many._cluster.result import RayResult
from executionkit.many._cluster.worker import Plan, ShardEnd, Worker
from executionkit.many._results import ManyResult, RowResult
from executionkit.types import TokenUsage

_AT_ONCE: Final = 2
"""Shards that a worker works on at once: while the last calls of one come home, the other sends its first."""
_MOST_DEATHS: Final = 3
"""So many workers may die on one shard at one start. A shard that takes too much memory kills each one."""
_MOST_FAILURES: Final = 100
_GRACE: Final = 30.0
"""Seconds for calls in flight when the job is stopped; then the workers are killed."""


class Cut(NamedTuple):
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
        self._gone: Any = importlib.import_module("ray").exceptions.RayActorError

    async def number(self, shard: int, last: int) -> int:
        number: int = await self._answer(self._actor.number.remote(shard, last))
        return number

    async def begin(self, shard: int, attempt: int, spent: Amounts, *, is_alone: bool) -> Amounts:
        others: Amounts = await self._answer(
            self._actor.begin.remote(shard, attempt, spent, is_alone=is_alone)
        )
        return others

    async def lend(self, shard: int, attempt: int, need: Amounts) -> Lease:
        lease: Lease = await self._answer(self._actor.lend.remote(shard, attempt, need))
        return lease

    async def end(self, shard: int, attempt: int, spent: Amounts) -> None:
        await self._answer(self._actor.end.remote(shard, attempt, spent))

    async def renew(self, worker: int, wanted: float) -> Renewed:
        renewed: Renewed = await self._answer(self._actor.renew.remote(worker, wanted))
        return renewed

    async def _answer(self, reference: Any) -> Any:
        try:
            return await reference
        except self._gone as exc:
            raise PatternError(
                "run_many_on_ray: the coordinator of the job is gone; start again: what is in the journals "
                "is not paid for again"
            ) from exc


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


class Fleet:
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
        self._options = {"scheduling_strategy": "SPREAD", **options, "max_restarts": 0}
        self._on_shard = on_shard
        self._began = time.monotonic()
        before = spent_in(plan.directory)
        self._before = sum((each for each, _ in before.values()), TokenUsage())
        spent = {shard: amounts(everything(*each), plan.limits) for shard, each in before.items()}
        self._coordinator = ray.remote(Coordinator).options(num_cpus=0).remote(plan.max_cost, count, spent)
        self._actors: dict[int, Any] = {}
        self._working: dict[Any, tuple[int, Cut]] = {}
        self._dead: set[int] = set()
        self._numbers = iter(range(1 << 60))
        self._deaths: dict[int, int] = {}
        self._ends: dict[int, ShardEnd] = {}
        self._stopped: list[Cut] = []
        self._error: BaseException | None = None

    def run(self, shards: Iterator[Cut]) -> RayResult:
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
                if self._error is None and not self._stopped:
                    self._round(shards)
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
                f"run_many_on_ray: the budget is used up: {_of(result.cost, self._plan)} spent; "
                f"allow more and start again: what is in {self._plan.directory} is not paid for again"
            )
            stopped = self._ends.get(self._stopped[0].number)
            error.__cause__ = None if stopped is None else stopped.error
        if error is not None:
            self._bill(error, result)
            raise error
        return result

    def _round(self, shards: Iterator[Cut]) -> None:
        """Work on shards until there are no more, or one was stopped."""
        again: list[Cut] = []
        is_over = False
        while True:
            while not is_over and len(self._working) < _AT_ONCE * self._count:
                following = again.pop() if again else next(shards, None)
                if following is None:
                    break
                self._begin(following)
            if not self._working:
                self._stopped += again
                return
            ready, _ = self._ray.wait([*self._working], num_returns=1)
            for reference in ready:
                worker, shard = self._working.pop(reference)
                try:
                    end: ShardEnd = self._ray.get(reference)
                except self._ray.exceptions.RayTaskError as exc:
                    end = ShardEnd(
                        shard.number, 0, ManyResult(0, 0, 0, 0, TokenUsage(), TokenUsage()), _cause(exc)
                    )
                except self._ray.exceptions.RayActorError as exc:
                    self._actors.pop(worker, None)
                    self._dead.add(worker)
                    if self._buried(shard, exc):
                        again.append(shard)
                    continue
                self._take(end, shard)
                if worker not in (each for each, _ in self._working.values()):
                    self._coordinator.leave.remote(worker)
            is_over = self._error is not None or bool(self._stopped)

    def _begin(self, shard: Cut) -> None:
        load = Counter(dict.fromkeys(self._actors, 0))
        load.update(worker for worker, _ in self._working.values() if worker in self._actors)
        worker = min(load, key=lambda each: load[each], default=-1)
        if worker < 0 or (load[worker] and len(self._actors) < self._count):
            worker = next(self._numbers)
            made = self._ray.remote(_Actor).options(**self._options)
            self._actors[worker] = made.remote(worker, self._plan, self._coordinator)
        reference = self._actors[worker].work.remote(shard.number, shard.first, shard.rows)
        self._working[reference] = worker, shard

    def _buried(self, shard: Cut, exc: BaseException) -> bool:
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

    def _take(self, end: ShardEnd, shard: Cut) -> None:
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
            shard: amounts(everything(*each), self._plan.limits)
            for shard, each in spent_in(self._plan.directory).items()
        }
        is_worth_it: bool = self._ray.get(self._coordinator.settle.remote(spent))
        return is_worth_it

    def _spent_now(self) -> TokenUsage:
        return sum((end.result.cost for end in self._ends.values()), TokenUsage())

    def _result(self) -> RayResult:
        results = {shard: end.result for shard, end in sorted(self._ends.items())}
        every = [*results.values()]
        cost = TokenUsage()
        for folder in folders(self._plan.directory):
            end = self._ends.get(folder.number)
            if end is not None and (end.attempt or end.error is None):
                cost += end.result.cost
            else:  # this start has not come to it, or its worker has not come to its rows
                cost += folder.spent()[0]
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


def _of(cost: TokenUsage, plan: Plan) -> str:
    """What was spent of each limit."""
    spent = [
        f"{getattr(cost, limit) or 0:,} of {max(0, getattr(plan.max_cost, limit)):,} {limit}"
        for limit in plan.limits
    ]
    return " and ".join(spent)


def everything(usage: TokenUsage, assumed: TokenUsage) -> TokenUsage:
    """What counts against a budget: what was spent, and what is assumed of calls whose outcome is unknown."""
    return TokenUsage(
        usage.input_tokens + assumed.input_tokens,
        usage.output_tokens + assumed.output_tokens,
        usage.llm_calls,
        usd=usage.usd,
    )
