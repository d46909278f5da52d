"""`Coordinator`: the workers of a job ask it for attempts, leases and their part of the rate."""

import time
from collections.abc import Mapping
from typing import NamedTuple

from executionkit.many._cluster.leases import Amounts, Lease, Ledger, Shares, StaleAttemptError
from executionkit.types import TokenUsage

HELD_SECONDS = 3.0
"""How long a worker may use its part of the rate without renewing it."""


class Renewed(NamedTuple):
    """The answer to a worker that renews its part of the rate.

    Attributes:
        part: The part of the rate that it may use.
        stopped: Why the job stops; "" if it goes on.
    """

    part: float
    stopped: str


class Coordinator:
    """The one owner of a job's budget and rate. It runs as an actor, one call at a time.

    It keeps nothing on a disk: after its end, the journals say what was spent.

    Args:
        ceiling: The budget of the job.
        workers: The number of workers.
        spent: What the shards spent at earlier starts.
    """

    def __init__(self, ceiling: TokenUsage, workers: int, spent: Mapping[int, Amounts]) -> None:
        self._ledger = Ledger(ceiling, workers)
        for shard, amount in spent.items():
            self._ledger.settle(shard, amount)
        self._shares = Shares(workers, HELD_SECONDS)
        self._attempts: dict[int, int] = {}
        self._stopped = ""

    async def number(self, shard: int, last: int) -> int:
        """Give out the number of the next attempt at a shard.

        Args:
            shard: The shard.
            last: The number of the last attempt that has a journal.
        """
        number = self._attempts[shard] = max(self._attempts.get(shard, 0), last) + 1
        return number

    async def begin(self, shard: int, attempt: int, spent: Amounts, *, is_alone: bool) -> Amounts:
        """Begin an attempt; returns what all others have spent or hold."""
        self._ledger.begin(shard, attempt, spent, is_alone=is_alone)
        return self._ledger.spent_by_others(shard)

    async def lend(self, shard: int, attempt: int, need: Amounts) -> Lease:
        """Lend what the next call needs, or more."""
        if self._stopped:
            return Lease({}, is_last=False, refusal=self._stopped)
        try:
            return self._ledger.lend(shard, attempt, need)
        except StaleAttemptError as exc:
            return Lease({}, is_last=False, refusal=str(exc))

    async def end(self, shard: int, attempt: int, spent: Amounts) -> None:
        """End an attempt."""
        self._ledger.end(shard, attempt, spent)

    async def settle(self, spent: Mapping[int, Amounts]) -> bool:
        """Take back what lost attempts held; returns whether what is left is worth another round."""
        for shard, amount in spent.items():
            self._ledger.settle(shard, amount)
        return self._ledger.is_worth_another_round

    async def renew(self, worker: int, wanted: float) -> Renewed:
        """Renew a worker's part of the rate."""
        return Renewed(self._shares.renew(worker, wanted, time.monotonic()), self._stopped)

    async def leave(self, worker: int) -> None:
        """Give back the part of the rate of a worker that has nothing to do."""
        self._shares.leave(worker)

    async def stop(self, why: str) -> None:
        """Lend nothing any more: workers finish what is in flight."""
        self._stopped = self._stopped or why
