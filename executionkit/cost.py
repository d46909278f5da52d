"""What was spent: `CostTracker`, the one ledger behind every run, and the arithmetic of budgets."""

import asyncio
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Final

from executionkit._text import size_of
from executionkit.responses import LLMResponse
from executionkit.types import TokenUsage

UNLIMITED: Final = TokenUsage()

_BYTES_PER_TOKEN: Final = 4
"""The usual rule of thumb, about right in any script; used only where a server reports no usage at all."""

_MOST_TOKENS_PER_BYTE: Final = 1.0
"""What a tokenizer that works on bytes makes of a text at the most."""


class CostTracker:
    """A running total of tokens and calls.

    `call_count`, `total_tokens` and `to_usage()` report what providers reported, to the token. Where a
    reply came without usage its tokens are unknown: they count as zero there, and by an estimate from the
    text's length (`assumed_input`, `assumed_output`) against a token budget.

    A tracker also knows what calls on the wire may still come to (`held_input`, `held_output`), so that
    several runs may share one. It belongs to one event loop at a time.

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

    __slots__ = (
        "_calls",
        "_input",
        "_output",
        "_places",
        "_readers",
        "_waiters",
        "assumed_input",
        "assumed_output",
        "held_input",
        "held_output",
        "tokens_per_byte",
    )

    def __init__(self) -> None:
        self._calls = 0
        self._input = 0
        self._output = 0
        self.assumed_input: int = 0
        self.assumed_output: int = 0
        self.held_input: int = 0
        self.held_output: int = 0
        self.tokens_per_byte: float | None = None
        self._readers: list[tuple[object, int, int]] = []
        self._waiters: list[tuple[int, asyncio.Future[None], Iterable[object]]] = []
        self._places = 0

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

    @property
    def charged_input(self) -> int:
        """Input tokens as a budget counts them: reported ones and assumed ones."""
        return self._input + self.assumed_input

    @property
    def charged_output(self) -> int:
        """Output tokens as a budget counts them: reported ones and assumed ones."""
        return self._output + self.assumed_output

    def to_usage(self) -> TokenUsage:
        """The totals as a value."""
        return TokenUsage(self._input, self._output, self._calls)

    def record(self, response: LLMResponse) -> None:
        """Add a response's tokens and one call."""
        self._calls += 1
        self.record_without_call(response)

    def record_without_call(self, response: LLMResponse, *, prompt_bytes: int = 0) -> None:
        """Add a response's tokens only: its call was reserved before.

        Args:
            response: The reply.
            prompt_bytes: The size of its prompt (see `size_of`) where that was measured; what the next
                prompts will come to is learnt from it.
        """
        spent_in = response.reported_input_tokens
        if spent_in is None:
            self.assumed_input += response.input_tokens or prompt_bytes // _BYTES_PER_TOKEN
        else:
            self._input += spent_in
        if prompt_bytes:
            # Nothing is learnt from an assumption: the next prompts are held to be as dense as text can be.
            rate = _MOST_TOKENS_PER_BYTE if spent_in is None else spent_in / prompt_bytes
            self.tokens_per_byte = max(self.tokens_per_byte or 0.0, rate)
        spent_out = response.reported_output_tokens
        if spent_out is None:
            self.assumed_output += response.output_tokens or -(-_answer_size(response) // _BYTES_PER_TOKEN)
        else:
            self._output += spent_out

    def reserve_call(self) -> None:
        """Count a call before it is dispatched."""
        self._calls += 1

    def release_call(self) -> None:
        """Give a reservation back: the call was never sent. The count never falls below zero."""
        self._calls = max(0, self._calls - 1)

    def add_usage(self, usage: TokenUsage) -> None:
        """Add what was spent elsewhere. Negative fields add nothing: spending is never undone."""
        self._input += max(0, usage.input_tokens)
        self._output += max(0, usage.output_tokens)
        self._calls += max(0, usage.llm_calls)

    def hold(self, input_tokens: int, output_tokens: int) -> None:
        """Set tokens aside for a call about to be dispatched."""
        self.held_input += input_tokens
        self.held_output += output_tokens

    def settle(self, input_tokens: int, output_tokens: int) -> None:
        """Give back what was set aside for a call that has ended, and wake who has waited longest."""
        self.held_input -= input_tokens
        self.held_output -= output_tokens
        if self._waiters:
            self.wake_next()

    def wake_next(self) -> None:
        """Wake who has waited longest: due from whoever was woken, once it waits here no more.

        Woken all at once, of many that wait each would look again whenever a call ends. While a stream is
        being read all are woken: its reader may be among them, and then the others wait for it.
        """
        while self._waiters:
            _, waiter, _ = heappop(self._waiters)
            if not waiter.done():
                waiter.set_result(None)
                if not self._readers:
                    return

    def take_place(self) -> int:
        """A place in the line of those who wait for room, behind all that were given before."""
        self._places += 1
        return self._places

    async def settled(self, place: int, waiting: Iterable[object] = ()) -> None:
        """Wait until a call that holds tokens here has ended, and those with an earlier place don't wait.

        Args:
            place: The caller's place in the line: the same again when there was not room enough.
            waiting: The tasks that do nothing until then.
        """
        waiter = asyncio.get_running_loop().create_future()
        heappush(self._waiters, (place, waiter, waiting))
        await waiter

    def begin_reading(self, reader: object, input_tokens: int, output_tokens: int) -> None:
        """Note that what was set aside is for a stream, which ends only when `reader`, a task, reads on."""
        self._readers.append((reader, input_tokens, output_tokens))

    def end_reading(self, reader: object, input_tokens: int, output_tokens: int) -> None:
        """Note that such a stream has ended."""
        self._readers.remove((reader, input_tokens, output_tokens))

    def held_elsewhere(self, waiting: Iterable[object]) -> tuple[int, int]:
        """The input and output tokens held by calls that can end while the tasks in `waiting` do nothing."""
        held_input, held_output = self.held_input, self.held_output
        if self._readers:
            # Whoever waits here already reads no stream of its own either.
            others = (task for _, waiter, tasks in self._waiters if not waiter.done() for task in tasks)
            stuck = {*waiting, *others}
            for reader, input_tokens, output_tokens in self._readers:
                if reader in stuck:
                    held_input, held_output = held_input - input_tokens, held_output - output_tokens
        return held_input, held_output


def _answer_size(response: LLMResponse) -> int:
    calls = sum(size_of(f"{call.name}{call.arguments}") for call in response.tool_calls)
    others = sum(map(_answer_size, response.alternatives))
    return size_of(response.content) + size_of(response.reasoning) + calls + others


def remaining(budget: TokenUsage, spent: TokenUsage) -> TokenUsage:
    """What is left of a budget, as a budget: 0 stays "no limit", and a field used up becomes -1."""

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
    """The budget that holds both ceilings: field by field the smaller, where 0 is no limit."""

    def smaller(a: int, b: int) -> int:
        return min(a, b) if a and b else a or b

    return TokenUsage(
        smaller(one.input_tokens, other.input_tokens),
        smaller(one.output_tokens, other.output_tokens),
        smaller(one.llm_calls, other.llm_calls),
    )
