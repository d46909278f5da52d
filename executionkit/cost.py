"""`CostTracker`, the ledger behind every run, and the arithmetic of usage and budgets."""

# The functions here know the tracker from inside: some of what it counts is not for users.
# pyright: reportPrivateUsage=false

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

from executionkit._dollars import EXACT, ZERO
from executionkit._text import size_of
from executionkit.responses import LLMResponse
from executionkit.streaming import BYTES_PER_TOKEN
from executionkit.types import TokenUsage, usd_of

__all__ = ["CostTracker"]

UNLIMITED: Final = TokenUsage()

Counts: TypeAlias = tuple[int | None, int | None, int, int]
"""The tokens of a reply: input and output as the server reported them, then estimates of those it did not."""


@dataclass(slots=True, eq=False)
class Tokens:
    """Counts of tokens, and their price, that go up and down.

    Attributes:
        input_tokens: Prompt tokens.
        output_tokens: Completion tokens.
        usd: Dollars.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    usd: Decimal = ZERO


@dataclass(slots=True, eq=False)
class Dollars:
    """The prices of what a tracker has counted.

    Attributes:
        known: The sum of the known prices; None before the first.
        is_complete: Whether everything counted has a price.
        is_bounded: Whether the estimates of the tracker hold at least the price of everything that has none.
    """

    known: Decimal | None = None
    is_complete: bool = True
    is_bounded: bool = True

    def add(self, usd: Decimal) -> None:
        """Count a known price."""
        self.known = usd if self.known is None else EXACT.add(self.known, usd)

    def begin(self) -> None:
        """Note that calls are priced from here on: without a reply they cost nothing, which is known."""
        if self.known is None:
            self.known = ZERO


class CostTracker:
    """A running total of tokens, calls and dollars, as providers reported and priced them.

    The tokens of a reply without usage are unknown. They count as zero here; against a token budget they
    count by an estimate. Runs record their replies with a price, if the provider has prices. A reply that is
    recorded by hand has none. Several runs may share a tracker, within one event loop at a time.

    Example:
        ```python
        from executionkit import CostTracker, LLMResponse, TokenUsage

        tracker = CostTracker()
        tracker.record(
            LLMResponse("Paris", usage={"prompt_tokens": 12, "completion_tokens": 1})
        )
        assert tracker.to_usage() == TokenUsage(
            input_tokens=12, output_tokens=1, llm_calls=1
        )
        ```
    """

    __slots__ = ("__weakref__", "_calls", "_dollars", "_estimates", "_input", "_output", "_unpaid")

    def __init__(self) -> None:
        self._calls = 0
        self._input = 0
        self._output = 0
        self._estimates = Tokens()
        self._dollars = Dollars()
        self._unpaid = UNLIMITED

    def __repr__(self) -> str:
        return f"CostTracker({self.to_usage()})"

    @property
    def call_count(self) -> int:
        """Calls recorded or reserved."""
        return self._calls

    @property
    def total_tokens(self) -> int:
        """Input and output tokens together."""
        return self._input + self._output

    def to_usage(self) -> TokenUsage:
        """The totals as a value; its `usd` is None unless every reply was priced."""
        usd = self._dollars.known if self._dollars.is_complete else None
        return TokenUsage(self._input, self._output, self._calls, usd=usd)

    def record(self, response: LLMResponse) -> None:
        """Add the tokens of a response, and one call."""
        self._calls += 1
        self.record_without_call(response)

    def record_without_call(self, response: LLMResponse) -> None:
        """Add the tokens of a response whose call was reserved before."""
        add_reply(self, counts_of(response), None, None)

    def reserve_call(self) -> None:
        """Count a call before it is dispatched."""
        self._calls += 1

    def release_call(self) -> None:
        """Give back the reservation of a call that was never sent. The count never falls below zero."""
        self._calls = max(0, self._calls - 1)

    def add_usage(self, usage: TokenUsage) -> None:
        """Add tokens, calls and dollars spent elsewhere. Negative fields add nothing."""
        if usage.usd is not None:
            self._dollars.add(max(ZERO, usage.usd))
        elif usage.input_tokens > 0 or usage.output_tokens > 0 or usage.llm_calls > 0:
            self._dollars.is_complete = self._dollars.is_bounded = False
        self._input += max(0, usage.input_tokens)
        self._output += max(0, usage.output_tokens)
        self._calls += max(0, usage.llm_calls)


def not_paid(tracker: CostTracker, usage: TokenUsage) -> None:
    """Note that a part of what a tracker has counted was paid for at another time, or is not yet."""
    tracker._unpaid += usage


def paid_now(tracker: CostTracker) -> TokenUsage:
    """The totals of a tracker without what was or will be paid for at another time."""
    usage, unpaid = tracker.to_usage(), tracker._unpaid
    return usage if unpaid is UNLIMITED else minus(usage, unpaid)


def estimates_of(tracker: CostTracker) -> Tokens:
    """The estimated tokens of replies without usage. They count against a budget, and not in the totals."""
    return tracker._estimates


def dollars_of(tracker: CostTracker) -> Dollars:
    """The prices of what a tracker has counted."""
    return tracker._dollars


def add_reply(tracker: CostTracker, counts: Counts, usd: Decimal | None, bound: Decimal | None) -> None:
    """Add the tokens of a response whose call was reserved before, and its price.

    Args:
        tracker: The ledger.
        counts: The tokens.
        usd: The price; None if there is none.
        bound: The most that it may cost, which is taken for its price against a budget; None if not known.
    """
    spent_in, spent_out, estimated_in, estimated_out = counts
    tracker._input += spent_in or 0
    tracker._output += spent_out or 0
    estimates, dollars = tracker._estimates, tracker._dollars
    if estimated_in or estimated_out:
        estimates.input_tokens += estimated_in
        estimates.output_tokens += estimated_out
    if usd is not None:
        dollars.add(usd)
    elif bound is None:
        dollars.is_complete = dollars.is_bounded = False
    else:
        dollars.is_complete = False
        estimates.usd = EXACT.add(estimates.usd, bound)


def counts_of(response: LLMResponse) -> Counts:
    """The tokens of a response, reported and estimated."""
    spent_in, spent_out = response.reported_input_tokens, response.reported_output_tokens
    return (
        spent_in,
        spent_out,
        response.input_tokens if spent_in is None else 0,
        response.output_tokens or estimated_tokens(response) if spent_out is None else 0,
    )


def estimated_tokens(response: LLMResponse) -> int:
    """The output tokens of a reply, estimated from the length of everything in it."""
    return -(-_reply_size(response) // BYTES_PER_TOKEN)


def _reply_size(response: LLMResponse) -> int:
    calls = sum(size_of(f"{call.name}{call.arguments}") for call in response.tool_calls)
    others = sum(map(_reply_size, response.alternatives))
    return size_of(response.content) + size_of(response.reasoning) + calls + others


def minus(after: TokenUsage, before: TokenUsage) -> TokenUsage:
    """The usage between two readings, field by field; without `usd` if one of them has an unknown part."""
    return TokenUsage(
        after.input_tokens - before.input_tokens,
        after.output_tokens - before.output_tokens,
        after.llm_calls - before.llm_calls,
        usd=usd_of(EXACT.subtract, after, before),
    )


def remaining(budget: TokenUsage, tracker: CostTracker, kept_calls: int = 0) -> TokenUsage:
    """The rest of a budget, as a budget: 0 stays "no limit", and a field used up becomes -1.

    Estimates and calls that are kept back count as spent. Dollars are used up as well where some of the spend
    has no bound.
    """
    # Several times a call under a budget, so it makes one object only.
    estimates = estimates_of(tracker)
    return TokenUsage(
        _left(budget.input_tokens, tracker._input + estimates.input_tokens),
        _left(budget.output_tokens, tracker._output + estimates.output_tokens),
        _left(budget.llm_calls, tracker.call_count + kept_calls),
        usd=_usd_left(budget.usd, tracker) if budget.usd else None,
    )


def _left(limit: int, used: int) -> int:
    if limit == 0:
        return 0
    return limit - used if limit > used else -1


def _usd_left(limit: Decimal, tracker: CostTracker) -> Decimal:
    spent = usd_at_most(tracker)
    rest = None if spent is None else EXACT.subtract(limit, spent)
    return rest if rest is not None and rest > 0 else _USED_UP


def usd_at_most(tracker: CostTracker) -> Decimal | None:
    """The dollars spent, with those assumed; None where some have no bound."""
    dollars = dollars_of(tracker)
    return EXACT.add(dollars.known or ZERO, estimates_of(tracker).usd) if dollars.is_bounded else None


_USED_UP: Final = Decimal(-1)


def tighter(one: TokenUsage, other: TokenUsage) -> TokenUsage:
    """The budget that keeps to both: field by field the smaller, where 0 is no limit."""

    def smaller(a: int, b: int) -> int:
        return min(a, b) if a and b else a or b

    return TokenUsage(
        smaller(one.input_tokens, other.input_tokens),
        smaller(one.output_tokens, other.output_tokens),
        smaller(one.llm_calls, other.llm_calls),
        usd=min(one.usd, other.usd) if one.usd and other.usd else one.usd or other.usd or None,
    )
