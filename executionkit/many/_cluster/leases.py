"""What one coordinator lends to many workers: pieces of a budget, and shares of a rate.

Nothing here knows how workers and coordinator talk to each other, and nothing waits.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, NamedTuple, TypeAlias

from executionkit._dollars import EXACT, ZERO
from executionkit.errors import ExecutionKitError
from executionkit.types import TokenUsage

Limit: TypeAlias = Literal["llm_calls", "output_tokens", "input_tokens", "usd"]
Amounts: TypeAlias = Mapping[Limit, Decimal]
"""An amount for each limit that there is."""

LIMITS: Final[tuple[Limit, ...]] = ("llm_calls", "output_tokens", "input_tokens", "usd")
PIECE: Final = 64
"""The most calls that are lent at a time."""

_SMALLEST: Final[dict[Limit, Decimal]] = {
    **dict.fromkeys(LIMITS, Decimal(1)),
    "usd": Decimal("0.000001"),
}


class StaleAttemptError(ExecutionKitError):
    """A later attempt at the shard has begun: this one must stop."""


def amounts(usage: TokenUsage, limits: Iterable[Limit]) -> dict[Limit, Decimal]:
    """The amounts of a usage that are limited."""
    return {limit: Decimal(getattr(usage, limit) or 0) for limit in limits}


class Lease(NamedTuple):
    """A piece of the budget.

    Attributes:
        amounts: What the worker may spend beyond what it was lent before. Nothing is in it if there is
            nothing to lend now.
        is_last: Whether no other worker holds anything that could come back.
        refusal: Why nothing will be lent to this worker any more; "" as long as it can ask again.
    """

    amounts: Amounts
    is_last: bool
    refusal: str = ""


@dataclass(slots=True, eq=False)
class _Account:
    """One shard: what its journals say was spent, what is lent, and what may be spent by a lost attempt."""

    attempt: int = 0
    is_open: bool = False
    spent: dict[Limit, Decimal] = field(default_factory=dict["Limit", Decimal])
    lent: dict[Limit, Decimal] = field(default_factory=dict["Limit", Decimal])
    held: dict[Limit, Decimal] = field(default_factory=dict["Limit", Decimal])

    def of(self, limit: Limit) -> Decimal:
        parts = (each.get(limit, ZERO) for each in (self.spent, self.lent, self.held))
        total = ZERO
        for part in parts:
            total = EXACT.add(total, part)
        return total


class Ledger:
    """A budget of all shards together, lent in pieces to the attempts at them.

    The sum of all that is spent and lent never exceeds the ceiling, as long as an attempt spends only its
    lease. Pieces become smaller when little is left, so that little lies with workers that don't need
    it. The lease of an attempt that was lost counts as spent until its journal says what of it was used.

    Args:
        ceiling: The budget; 0 or None on a field is no limit.
        workers: The number of workers.
    """

    def __init__(self, ceiling: TokenUsage, workers: int) -> None:
        self._workers = workers
        self.limits: Final[tuple[Limit, ...]] = tuple(each for each in LIMITS if getattr(ceiling, each))
        self._ceiling = {each: max(ZERO, Decimal(getattr(ceiling, each))) for each in self.limits}
        self._used = dict.fromkeys(self.limits, ZERO)
        self._accounts: dict[int, _Account] = {}

    @property
    def left(self) -> Amounts:
        """What is neither spent nor lent."""
        return {each: EXACT.subtract(self._ceiling[each], self._used[each]) for each in self.limits}

    @property
    def is_worth_another_round(self) -> bool:
        """Whether more is left than small change: over a piece of calls, over a hundredth of the rest."""
        return all(
            rest > (PIECE if limit == "llm_calls" else self._ceiling[limit] / 100)
            for limit, rest in self.left.items()
        )

    def spent_by_others(self, shard: int) -> Amounts:
        """What shards other than this one have spent or been lent."""
        account = self._accounts.get(shard, _Account())
        return {each: EXACT.subtract(self._used[each], account.of(each)) for each in self.limits}

    def begin(self, shard: int, attempt: int, spent: Amounts, *, is_alone: bool) -> None:
        """Begin an attempt at a shard.

        Args:
            shard: The shard.
            attempt: The number of the attempt.
            spent: What the journals of all earlier attempts say was spent.
            is_alone: Whether the attempt before is sure to have ended. If it may go on, the rest of its lease
                counts as spent until `settle`.

        Raises:
            StaleAttemptError: A later attempt, or this one, has begun before.
        """
        account = self._accounts.setdefault(shard, _Account())
        if attempt <= account.attempt:
            raise StaleAttemptError(_stale(shard, attempt, account.attempt))
        self._close(account, spent, is_alone=is_alone)
        account.attempt, account.is_open = attempt, True

    def lend(self, shard: int, attempt: int, need: Amounts) -> Lease:
        """Lend an attempt what its next call needs, and up to 64 times as much.

        If less than needed is left, all of it is lent, but only to the last that holds anything: what others
        hold may come back.

        Raises:
            StaleAttemptError: A later attempt at the shard has begun, or this one has ended.
        """
        account = self._current(shard, attempt)
        is_last = not any(each.is_open and each is not account for each in self._accounts.values())
        left = self.left
        given: dict[Limit, Decimal] = {}
        for limit in self.limits:
            needed = need.get(limit, ZERO)
            fair = left[limit] / (2 * self._workers)
            piece = max(needed, min(needed * PIECE, fair))
            if limit != "usd":
                piece = Decimal(int(piece))
            if piece > left[limit]:
                if not is_last or left[limit] < _SMALLEST[limit]:
                    return Lease({}, is_last)
                piece = left[limit]
            given[limit] = piece
        for limit, piece in given.items():
            account.lent[limit] = EXACT.add(account.lent.get(limit, ZERO), piece)
            self._used[limit] = EXACT.add(self._used[limit], piece)
        return Lease(given, is_last)

    def end(self, shard: int, attempt: int, spent: Amounts) -> None:
        """End an attempt, and take back what it did not spend.

        Args:
            shard: The shard.
            attempt: The number of the attempt.
            spent: What the shard has spent in all its attempts.

        Raises:
            StaleAttemptError: A later attempt at the shard has begun, or this one has ended.
        """
        account = self._current(shard, attempt)
        self._close(account, spent, is_alone=True)
        account.is_open = False

    def settle(self, shard: int, spent: Amounts) -> None:
        """Take back what the lost attempts at a shard held, now that all its journals have been read."""
        account = self._accounts.setdefault(shard, _Account())
        if not account.is_open:
            self._close(account, spent, is_alone=True)
            self._put(account, held=dict.fromkeys(self.limits, ZERO))

    def _current(self, shard: int, attempt: int) -> _Account:
        account = self._accounts.get(shard)
        if account is None or account.attempt != attempt or not account.is_open:
            raise StaleAttemptError(_stale(shard, attempt, 0 if account is None else account.attempt))
        return account

    def _close(self, account: _Account, spent: Amounts, *, is_alone: bool) -> None:
        """Settle the lease of an attempt by what its journal says."""
        held = dict(account.held)
        if not is_alone:
            for limit in self.limits:
                used = EXACT.subtract(spent.get(limit, ZERO), account.spent.get(limit, ZERO))
                rest = max(ZERO, EXACT.subtract(account.lent.get(limit, ZERO), used))
                held[limit] = EXACT.add(held.get(limit, ZERO), rest)
        # A journal that was lost with its disk takes nothing back: money that was spent stays spent.
        most: dict[Limit, Decimal] = {
            each: max(spent.get(each, ZERO), account.spent.get(each, ZERO)) for each in self.limits
        }
        self._put(account, spent=most, lent={}, held=held)

    def _put(self, account: _Account, **parts: dict[Limit, Decimal]) -> None:
        before = {each: account.of(each) for each in self.limits}
        for name, values in parts.items():
            setattr(account, name, values)
        for limit in self.limits:
            change = EXACT.subtract(account.of(limit), before[limit])
            self._used[limit] = EXACT.add(self._used[limit], change)


def _stale(shard: int, attempt: int, current: int) -> str:
    if attempt == current:
        return f"attempt {attempt} at shard {shard} has ended"
    return f"attempt {attempt} at shard {shard} was overtaken by attempt {current}; it stops here"


class Shares:
    """A rate that workers share: each holds a part of it for a short time, and renews it.

    All parts together are never more than the whole. A worker that is not heard of keeps its part until its
    time is over, because it may be using it. Workers that could use more get equal parts of what the others
    leave.

    Args:
        workers: The number of workers.
        seconds: How long a part is held.
    """

    def __init__(self, workers: int, seconds: float) -> None:
        self._workers = workers
        self._seconds = seconds
        self._parts: dict[int, tuple[float, float, float]] = {}  # the part, the part wanted, until when

    def renew(self, worker: int, wanted: float, now: float) -> float:
        """Renew a worker's part.

        Args:
            worker: The worker.
            wanted: The part of the whole that it could use, from 0 to 1.
            now: A time, in seconds.

        Returns:
            The part that it may use, from now on for `seconds`; 0.0 if others still hold everything.
        """
        self._parts = {each: part for each, part in self._parts.items() if part[2] > now or each == worker}
        wishes = {each: part[1] for each, part in self._parts.items() if each != worker}
        wishes[worker] = min(1.0, max(_LEAST / self._workers, wanted))
        others = sum(part[0] for each, part in self._parts.items() if each != worker)
        part = max(0.0, min(fair_parts(wishes)[worker], 1.0 - others))
        if worker not in self._parts:
            part = min(part, 1 / self._workers)  # those that begin a moment later would find nothing
        self._parts[worker] = (part, wishes[worker], now + self._seconds)
        return part

    def leave(self, worker: int) -> None:
        """Give back the part of a worker that uses nothing any more."""
        self._parts.pop(worker, None)


_LEAST: Final = 0.1
"""The part of an equal share that a worker without work keeps, for calls that it might begin."""


def fair_parts(wishes: Mapping[int, float]) -> dict[int, float]:
    """Divide 1 so that each gets its wish, or as much as all others whose wishes aren't met."""
    parts: dict[int, float] = {}
    rest = 1.0
    for number, worker in enumerate(sorted(wishes, key=lambda each: wishes[each])):
        parts[worker] = min(wishes[worker], rest / (len(wishes) - number))
        rest -= parts[worker]
    return parts
