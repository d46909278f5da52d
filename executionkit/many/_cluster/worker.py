"""`Worker`: works on one shard of a job after the other, on what a coordinator lends."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from executionkit._dollars import EXACT
from executionkit.cost import minus
from executionkit.engine.parallel import reap
from executionkit.engine.retry import RetryConfig
from executionkit.engine.tariff import tariff_of
from executionkit.errors import BudgetExhaustedError
from executionkit.many._cluster.attempts import PATIENCE, Begun, ShardFolder, is_being_written, totals
from executionkit.many._cluster.coordinator import HELD_SECONDS, Renewed
from executionkit.many._cluster.leased import Leased
from executionkit.many._cluster.leases import LIMITS, Amounts, Lease, Limit, StaleAttemptError, amounts
from executionkit.many._cluster.pocket import Pocket
from executionkit.many._job import Job
from executionkit.many._journal.calls import Recorder
from executionkit.many._journal.journal import Journal
from executionkit.many._limits.governor import Governor
from executionkit.many._limits.limits import RateLimits
from executionkit.many._results import ManyResult, RowResult
from executionkit.many._rows import IdOf, Ids, RowError, content_digest
from executionkit.many._step import Asking
from executionkit.protocols import LLMProvider
from executionkit.types import TokenUsage

RENEWED_EVERY: Final = 0.5
"""Seconds between two renewals of a worker's part of the rate."""


class Asked(Protocol):
    """What a worker asks its coordinator; see `Coordinator`."""

    async def number(self, shard: int, last: int) -> int: ...
    async def begin(self, shard: int, attempt: int, spent: Amounts, *, is_alone: bool) -> Amounts: ...
    async def lend(self, shard: int, attempt: int, need: Amounts) -> Lease: ...
    async def end(self, shard: int, attempt: int, spent: Amounts) -> None: ...
    async def renew(self, worker: int, wanted: float) -> Renewed: ...


@dataclass(frozen=True)
class Plan:
    """What is the same for all shards of a job.

    Attributes:
        directory: The directory with the journals.
        provider: Makes the provider, where it is used.
        step: As in `run_many`.
        id: As in `run_many`.
        max_cost: The budget of all shards.
        rates: The arguments of each worker's `RateLimits`; its rates are those of all workers.
        max_rows: As in `run_many`.
        retry: As in `run_many`.
        retry_failed: As in `run_many`.
    """

    directory: Path
    provider: Callable[[], LLMProvider]
    step: Asking[Any, Any]
    id: IdOf[Any]
    max_cost: TokenUsage
    rates: dict[str, Any]
    max_rows: int | None
    retry: RetryConfig | None
    retry_failed: bool

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits of the budget."""
        return tuple(each for each in LIMITS if getattr(self.max_cost, each))


class ShardEnd(NamedTuple):
    """How an attempt at a shard ended.

    Attributes:
        shard: The number of the shard.
        attempt: The number of the attempt; 0 if there was nothing to do.
        result: The figures of the shard.
        error: What stopped it; None if all its rows ended.
        is_budget: Whether the budget stopped it: it can go on if something is given back.
    """

    shard: int
    attempt: int
    result: ManyResult
    error: BaseException | None = None
    is_budget: bool = False


class Worker:
    """Works on the shards that it is given. Those that it is given at once share its limits.

    Args:
        number: The number of the worker.
        plan: The job.
        coordinator: Whom it asks.
    """

    def __init__(self, number: int, plan: Plan, coordinator: Asked) -> None:
        self._number = number
        self._plan = plan
        self._coordinator = coordinator
        self._provider_made: LLMProvider | None = None
        self._limits: RateLimits = RateLimits(**plan.rates)
        self._limits.scale(0.0)  # until the coordinator has given it a part
        self._pockets: set[Pocket] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._ids: Ids[Any] = Ids(plan.id)

    async def work(self, shard: int, first: int, rows: Any) -> ShardEnd:
        """Work on a shard.

        Args:
            shard: Its number.
            first: The position of its first row in the input.
            rows: The rows: an iterable, a function that returns one, or a table of pyarrow.
        """
        if self._provider_made is None:  # not before: an error here is told to the driver
            self._provider_made = self._plan.provider()
        found = await asyncio.to_thread(_rows_of, rows)
        folder = ShardFolder(self._plan.directory, shard)
        digest = await asyncio.to_thread(self._checked, folder, first, found)
        ended = folder.ended()
        if ended.get("digest") == digest and not (ended["result"]["failed"] and self._plan.retry_failed):
            return ShardEnd(shard, 0, _from_file(ended["result"], folder))
        number = await self._coordinator.number(shard, folder.last())
        begun = await self._begun(folder, number)
        end = await self._attempt(shard, number, first, found, begun, folder.lost())
        if end.error is None:
            folder.end({"digest": digest, "result": end.result.to_dict()})
        return end

    @property
    def _provider(self) -> LLMProvider:
        if self._provider_made is None:  # pragma: no cover - `work` makes it first
            raise RuntimeError("there is no provider yet")
        return self._provider_made

    def _checked(self, folder: ShardFolder, first: int, rows: list[Any]) -> str:
        """See that the rows are those of the shard; returns a digest of them."""
        ids: list[str] = []
        content = blake2b(digest_size=16)
        for position, row in enumerate(rows, first):
            try:
                ids.append(self._ids.of(row, position))
            except RowError:
                ids.append("")
            content.update(f"{ids[-1]}\0{content_digest(row)}\0".encode("utf-8", "surrogatepass"))
        folder.require_rows(ids)
        return content.hexdigest()

    async def _begun(self, folder: ShardFolder, number: int) -> Begun:
        """Make the journal of an attempt, when the process of the one before has ended."""
        before = folder.journal
        until = time.monotonic() + PATIENCE
        # It is another process: nothing tells of its end.
        while before is not None and is_being_written(before) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        return await asyncio.to_thread(folder.begin, number)

    async def _attempt(
        self,
        shard: int,
        number: int,
        first: int,
        rows: list[Any],
        begun: Begun,
        lost: TokenUsage,
    ) -> ShardEnd:
        # Not the cost that the job has: that of replies which are there is counted when they are replayed.
        before, assumed = await asyncio.to_thread(totals, begun.path)
        journal = Journal(begun.path)
        others = await self._coordinator.begin(
            shard, number, self._amounts(before + lost, assumed), is_alone=begun.is_alone
        )

        async def ask(need: Amounts) -> Lease:
            try:
                return await self._coordinator.lend(shard, number, need)
            except Exception as exc:  # noqa: BLE001 - whatever the connection to it raises
                return Lease({}, is_last=False, refusal=str(exc))

        pocket = Pocket(
            ask,
            self._plan.limits,
            lambda message: job.refusal(message),
        )
        job: Job[Any, Any] = Job(
            "run_many_on_ray",
            self._provider,
            rows,
            self._plan.step,
            id=self._plan.id,
            journal=journal,
            limits=self._limits,
            max_rows=self._plan.max_rows,
            max_cost=_beside(self._plan.max_cost, others),
            retry=self._plan.retry,
            retry_failed=self._plan.retry_failed,
            first=first,
            inside=lambda provider: Leased(Governor(Recorder(provider, journal), self._limits), pocket),
        )
        error: BaseException | None = None
        try:
            async with self._spending(pocket):
                await job.run()
        except Exception as exc:  # noqa: BLE001 - the driver raises it
            error = exc
        after, assumed = await asyncio.to_thread(totals, begun.path)
        try:
            await self._coordinator.end(shard, number, self._amounts(after + lost, assumed))
        except StaleAttemptError:
            pass
        except Exception:
            if not pocket.is_withdrawn:  # else the loss of the coordinator has been reported
                raise
        cost, cost_now = after + lost, minus(after, before)
        result = replace(job.result(), cost=cost, cost_now=cost_now, refused=pocket.refused)
        is_budget = isinstance(error, BudgetExhaustedError) and not pocket.is_withdrawn
        return ShardEnd(shard, number, result, error, is_budget)

    def _amounts(self, spent: TokenUsage, assumed: TokenUsage) -> Amounts:
        """What is counted against the budget: of calls whose outcome is unknown, the most that they cost."""
        total = amounts(spent, self._plan.limits)
        for limit in ("input_tokens", "output_tokens"):
            if limit in total:
                total[limit] += getattr(assumed, limit)
        if "usd" in total and (tariff := tariff_of(self._provider)) is not None:
            bound = tariff.at_most(assumed.input_tokens, assumed.output_tokens)
            total["usd"] = EXACT.add(total["usd"], bound)
        return total

    @asynccontextmanager
    async def _spending(self, pocket: Pocket) -> AsyncGenerator[None, None]:
        """Renew this worker's part of the rate while any shard is worked on."""
        self._pockets.add(pocket)
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            self._pockets.discard(pocket)
            if not self._pockets:
                renewing, self._renewing = self._renewing, None
                await reap([renewing])

    async def _renew(self) -> None:
        until, calls, at = 0.0, 0, time.monotonic()
        while True:
            asked = time.monotonic()
            ended = sum(pocket.calls for pocket in self._pockets)
            wanted = self._wanted(ended - calls, asked - at)
            calls, at = ended, asked
            try:
                # It is held from before the question was asked: then the coordinator's time ends later.
                patience = max(RENEWED_EVERY, until - asked)
                # `wait_for` of Python 3.11 can lose the cancellation of its task.
                async with asyncio.timeout(patience):
                    renewed = await self._coordinator.renew(self._number, wanted)
            except TimeoutError:
                self._limits.scale(0.0)
                continue
            except Exception as exc:  # noqa: BLE001 - whatever the connection to it raises
                self._withdraw(str(exc))
                return
            if renewed.stopped:
                self._withdraw(renewed.stopped)
            self._limits.scale(renewed.part)
            until = asked + HELD_SECONDS
            await asyncio.sleep(RENEWED_EVERY)

    def _withdraw(self, why: str) -> None:
        for pocket in self._pockets:
            pocket.withdraw(why)

    def _wanted(self, calls: int, seconds: float) -> float:
        """The part of the rate that this worker could use."""
        per_minute: float | None = self._plan.rates.get("requests_per_minute")
        if self._limits.waiting or not per_minute or seconds <= 0:
            return 1.0
        return 1.25 * calls / seconds * 60 / per_minute


def _rows_of(given: Any) -> list[Any]:
    found: Any = given() if callable(given) else given
    return list(found.to_pylist() if hasattr(found, "to_pylist") else found)


def _beside(ceiling: TokenUsage, others: Amounts) -> TokenUsage:
    """The ceiling of one shard: what the others leave of the whole."""
    left: dict[str, Any] = {}
    for limit, amount in others.items():
        rest = EXACT.subtract(Decimal(getattr(ceiling, limit)), amount)
        left[limit] = -1 if rest <= 0 else rest if limit == "usd" else int(rest)
    return replace(ceiling, **left)


def _from_file(figures: dict[str, Any], folder: ShardFolder) -> ManyResult:
    """The result of a shard all of whose rows ended at an earlier start."""
    cost = TokenUsage(**figures["cost"])
    failures: tuple[RowResult[Any], ...] = tuple(
        RowResult(each["index"], each["id"], error=each["error"], from_journal=True)
        for each in figures["failures"]
    )
    return ManyResult(
        rows=figures["rows"],
        done=figures["done"],
        skipped=figures["rows"],
        failed=figures["failed"],
        cost=cost,
        cost_now=TokenUsage(usd=None if cost.usd is None else 0),
        unknown_calls=figures["unknown_calls"],
        failures=failures,
        journal=folder.journal,
    )
