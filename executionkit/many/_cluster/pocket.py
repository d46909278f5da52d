"""`Pocket`: what one worker was lent and has not spent."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal
from typing import Final, TypeAlias

from executionkit._dollars import EXACT, ZERO
from executionkit.errors import BudgetExhaustedError, mark_not_dispatched
from executionkit.many._cluster.leases import Amounts, Lease, Limit

Ask: TypeAlias = Callable[[Amounts], Awaitable[Lease]]
"""Asks the coordinator for what the next call lacks."""


class Pocket:
    """What one worker was lent and has not spent.

    Args:
        ask: Asks for more.
        limits: The limits of the budget. Nothing else is counted.
        refuse: Makes the error for a call that is refused.

    Attributes:
        calls: How many calls have ended.
        refused: How many of them were refused because they came too fast.
        is_withdrawn: Whether it was closed from outside, and not because the budget is used up.
    """

    def __init__(
        self,
        ask: Ask,
        limits: Iterable[Limit],
        refuse: Callable[[str], BudgetExhaustedError] = BudgetExhaustedError,
    ) -> None:
        self.limits: Final = frozenset(limits)
        self._ask = ask
        self._refuse = refuse
        self._free: dict[Limit, Decimal] = dict.fromkeys(self.limits, ZERO)
        self._in_flight = 0
        self._asking = asyncio.Lock()
        self._changed = asyncio.Event()
        self._closed = ""
        self.calls = self.refused = 0
        self.is_withdrawn = False

    def withdraw(self, why: str) -> None:
        """Refuse every call from now on. Those in flight go on to their end."""
        self.is_withdrawn = True
        self._close(why)

    def _close(self, why: str) -> None:
        self._closed = self._closed or why
        self._changed.set()

    async def take(self, need: Amounts, *, is_stream: bool = False) -> Amounts:
        """Take what a call may need; of output tokens and dollars less, if that is all that is left anywhere.

        It may wait for calls in flight, but not for an open stream, which ends only when its reader goes on.

        Raises:
            BudgetExhaustedError: Nothing more is lent.
        """
        while self._closed or not self._has(need):
            if self._closed:
                raise self._refusal()
            async with self._asking:
                # Meanwhile another call may have asked for both, or given something back.
                if self._closed or self._has(need):
                    continue
                rest = await self._asked(need)
            if rest is not None:
                need = rest
                break
            if not self._has(need) and not self._closed:
                await self._changed.wait()
        for limit in self.limits:
            self._free[limit] = EXACT.subtract(self._free[limit], need.get(limit, ZERO))
        self._in_flight += not is_stream
        return need

    async def _asked(self, need: Amounts) -> Amounts | None:
        """Ask for what a call lacks; returns a smaller need if that is all there is."""
        lease = await self._ask(self._lacks(need))
        for limit, more in lease.amounts.items():
            self._free[limit] = EXACT.add(self._free[limit], more)
        if lease.refusal:
            self.withdraw(lease.refusal)
        elif not self._has(need):
            lacking: list[Limit] = [limit for limit, lack in self._lacks(need).items() if lack]
            # Calls in flight give back the tokens that they don't need, but they are calls in any case.
            if self._in_flight and "llm_calls" not in lacking:
                self._changed.clear()
            elif (
                lease.is_last and "llm_calls" not in lacking and all(self._free[each] > 0 for each in lacking)
            ):
                return {limit: min(amount, self._free[limit]) for limit, amount in need.items()}
            else:
                self._close(_used_up(lacking))
        return None

    def settle(self, taken: Amounts, spent: Amounts, *, is_stream: bool = False) -> None:
        """Put back what a call has not spent."""
        for limit in self.limits:
            rest = EXACT.subtract(taken.get(limit, ZERO), spent.get(limit, ZERO))
            self._free[limit] = EXACT.add(self._free[limit], rest)
        self._in_flight -= not is_stream
        self.calls += 1
        self._changed.set()

    def refusal(self) -> BudgetExhaustedError:
        """The error for a call of which not a token can be paid for."""
        self._close(_used_up([limit for limit in ("output_tokens", "usd") if limit in self.limits]))
        return self._refusal()

    def _refusal(self) -> BudgetExhaustedError:
        refusal = self._refuse(self._closed)
        mark_not_dispatched(refusal)
        return refusal

    def _has(self, need: Amounts) -> bool:
        return all(self._free[limit] >= need.get(limit, ZERO) for limit in self.limits)

    def _lacks(self, need: Amounts) -> Amounts:
        return {
            limit: max(ZERO, EXACT.subtract(need.get(limit, ZERO), self._free[limit]))
            for limit in self.limits
        }


def _used_up(lacking: list[Limit]) -> str:
    limits = " and ".join(lacking)
    return (
        f"run_many_on_ray: the budget of all shards has no {limits} left for another call; allow more "
        f"{limits} with max_cost=... and start again: what is in the journals is not paid for again"
    )
