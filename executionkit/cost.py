"""`CostTracker`, the ledger behind every run, and the arithmetic of usage and budgets."""

from dataclasses import dataclass
from typing import Final

from executionkit._text import size_of
from executionkit.responses import LLMResponse
from executionkit.streaming import BYTES_PER_TOKEN
from executionkit.types import TokenUsage

UNLIMITED: Final = TokenUsage()


@dataclass(slots=True, eq=False)
class Tokens:
    """Two counts of tokens that go up and down.

    Attributes:
        input_tokens: Prompt tokens.
        output_tokens: Completion tokens.
    """

    input_tokens: int = 0
    output_tokens: int = 0


class CostTracker:
    """A running total of tokens and calls, as providers reported them.

    The tokens of a reply without usage are unknown. They count as zero here; against a token budget they
    count by an estimate. Several runs may share a tracker, within one event loop at a time.

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

    __slots__ = ("__weakref__", "_calls", "_estimates", "_input", "_output")

    def __init__(self) -> None:
        self._calls = 0
        self._input = 0
        self._output = 0
        self._estimates = Tokens()

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
        """The totals as a value."""
        return TokenUsage(self._input, self._output, self._calls)

    def record(self, response: LLMResponse) -> None:
        """Add the tokens of a response, and one call."""
        self._calls += 1
        self.record_without_call(response)

    def record_without_call(self, response: LLMResponse) -> None:
        """Add the tokens of a response whose call was reserved before."""
        spent_in, spent_out = response.reported_input_tokens, response.reported_output_tokens
        if spent_in is None:
            self._estimates.input_tokens += response.input_tokens
        else:
            self._input += spent_in
        if spent_out is None:
            known = response.output_tokens
            self._estimates.output_tokens += known or -(-_reply_size(response) // BYTES_PER_TOKEN)
        else:
            self._output += spent_out

    def reserve_call(self) -> None:
        """Count a call before it is dispatched."""
        self._calls += 1

    def release_call(self) -> None:
        """Give back the reservation of a call that was never sent. The count never falls below zero."""
        self._calls = max(0, self._calls - 1)

    def add_usage(self, usage: TokenUsage) -> None:
        """Add tokens and calls spent elsewhere. Negative fields add nothing."""
        self._input += max(0, usage.input_tokens)
        self._output += max(0, usage.output_tokens)
        self._calls += max(0, usage.llm_calls)


def estimates_of(tracker: CostTracker) -> Tokens:
    """The estimated tokens of replies without usage. They count against a budget, and not in the totals."""
    return tracker._estimates  # pyright: ignore[reportPrivateUsage]  # not for users, so no public attribute


def _reply_size(response: LLMResponse) -> int:
    calls = sum(size_of(f"{call.name}{call.arguments}") for call in response.tool_calls)
    others = sum(map(_reply_size, response.alternatives))
    return size_of(response.content) + size_of(response.reasoning) + calls + others


def minus(after: TokenUsage, before: TokenUsage) -> TokenUsage:
    """The usage between two readings, field by field."""
    return TokenUsage(
        after.input_tokens - before.input_tokens,
        after.output_tokens - before.output_tokens,
        after.llm_calls - before.llm_calls,
    )


def remaining(budget: TokenUsage, spent: TokenUsage) -> TokenUsage:
    """The rest of a budget, as a budget: 0 stays "no limit", and a field used up becomes -1."""

    def left(limit: int, used: int) -> int:
        if limit == 0:
            return 0
        return limit - used if limit > used else -1

    return TokenUsage(
        left(budget.input_tokens, spent.input_tokens),
        left(budget.output_tokens, spent.output_tokens),
        left(budget.llm_calls, spent.llm_calls),
    )


def tighter(one: TokenUsage, other: TokenUsage) -> TokenUsage:
    """The budget that keeps to both: field by field the smaller, where 0 is no limit."""

    def smaller(a: int, b: int) -> int:
        return min(a, b) if a and b else a or b

    return TokenUsage(
        smaller(one.input_tokens, other.input_tokens),
        smaller(one.output_tokens, other.output_tokens),
        smaller(one.llm_calls, other.llm_calls),
    )
