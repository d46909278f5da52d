"""Check and reserve: whether a call fits every budget around it, and what it sets aside while in flight.

Nothing in here awaits, so nothing can slip in between a check and its reservation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple
from weakref import WeakKeyDictionary

from executionkit._text import size_of
from executionkit.cost import UNLIMITED, CostTracker, remaining
from executionkit.engine.parallel import waiting_tasks
from executionkit.errors import BudgetExhaustedError
from executionkit.responses import LLMResponse
from executionkit.types import TokenUsage

Limit = Literal["llm_calls", "output_tokens", "input_tokens"]

_LIMITS: Final[tuple[Limit, ...]] = ("llm_calls", "output_tokens", "input_tokens")


@dataclass(slots=True, eq=False)
class Meter:
    """One run's ledger and its ceiling."""

    name: str
    max_cost: TokenUsage
    tracker: CostTracker
    _refusals: WeakKeyDictionary[BudgetExhaustedError, tuple[Limit, str]] | None = None

    @property
    def left(self) -> TokenUsage:
        """What is left of the ceiling, as a budget."""
        tracker = self.tracker
        spent = TokenUsage(tracker.charged_input, tracker.charged_output, tracker.call_count)
        return remaining(self.max_cost, spent)

    def exhausted(self, limit: Limit, detail: str = "") -> BudgetExhaustedError:
        """The error that says which ceiling was reached, and what had been spent of it."""
        refusal = BudgetExhaustedError(self._told(limit, detail))
        if self._refusals is None:
            self._refusals = WeakKeyDictionary()
        self._refusals[refusal] = limit, detail
        return refusal

    def retell(self, exc: BaseException) -> None:
        """Bring an error of this meter up to date: calls in flight when it was raised have ended since."""
        if self._refusals and isinstance(exc, BudgetExhaustedError) and exc in self._refusals:
            exc.args = (self._told(*self._refusals[exc]),)

    def _told(self, limit: Limit, detail: str) -> str:
        ceiling = getattr(self.max_cost, limit)
        spent, assumed = {
            "llm_calls": (self.tracker.call_count, 0),
            "output_tokens": (self.tracker.charged_output, self.tracker.assumed_output),
            "input_tokens": (self.tracker.charged_input, self.tracker.assumed_input),
        }[limit]
        figures = f"spent {spent:,} of {ceiling:,}" if ceiling > 0 else "nothing was left of it to begin with"
        if assumed:
            figures += f", {assumed:,} of that assumed because replies came without usage"
        what = f"{detail} ({figures})" if detail else figures
        return f"{self.name}: the budget of {limit} is used up: {what}; allow more {limit} or ask for less"


class Request(NamedTuple):
    """What a call is about to ask for."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] | None
    max_tokens: int | None
    default_max_tokens: int
    choices: int


class Hold(NamedTuple):
    """What a call in flight has set aside in every ledger, and the most tokens it may ask for."""

    max_tokens: int | None
    input_tokens: int
    output_tokens: int
    prompt_bytes: int


class Metering:
    """The meters a call has to pass: a run's own and those of the runs around it.

    Where several refuse, the outermost one's error is raised: the ceiling of a step in a pipe is no more than
    its share of the pipe's, and it is the whole that the error's cost tells.

    Args:
        meters: The innermost first.

    Attributes:
        is_limited: Whether any of them has a ceiling.
    """

    def __init__(self, meters: Sequence[Meter]) -> None:
        self.meters: tuple[Meter, ...] = tuple(reversed(meters))
        self.is_limited: bool = any(meter.max_cost != UNLIMITED for meter in self.meters)
        self._measures_prompts = any(meter.max_cost.input_tokens for meter in self.meters)

    def require(self, calls: int, replies: int) -> None:
        """Refuse `calls` calls for `replies` texts that some budget can't pay for; see `Run.require`."""
        for meter in self.meters:
            left = meter.left
            if left.llm_calls and left.llm_calls < calls:
                have = max(0, left.llm_calls)
                raise meter.exhausted("llm_calls", f"{calls} calls asked for, {have} left")
            if left.output_tokens and left.output_tokens < replies:
                have = max(0, left.output_tokens)
                raise meter.exhausted("output_tokens", f"{replies} replies asked for, {have} tokens left")
            if left.input_tokens < 0:
                raise meter.exhausted("input_tokens")

    def try_hold(self, request: Request) -> Hold | CostTracker:
        """Reserve one call in every ledger, or return the ledger to wait on for room.

        A call that does not fit waits only while others hold tokens: with none in flight the whole rest
        of every budget is open to it. Streams that are read by whoever waits for the call are no others.

        Raises:
            BudgetExhaustedError: Nothing is left of some budget, whatever is in flight.
        """
        if not self.is_limited:
            for meter in self.meters:
                meter.tracker.reserve_call()
            return Hold(request.max_tokens, 0, 0, 0)

        lefts = [(meter, meter.left) for meter in self.meters]
        for meter, left in lefts:
            for limit in _LIMITS:
                if getattr(left, limit) < 0:
                    raise meter.exhausted(limit)
        max_tokens = request.max_tokens
        reply = (max_tokens or request.default_max_tokens) * request.choices
        for meter, left in lefts:
            if left.output_tokens:
                reply = min(reply, left.output_tokens)
                if reply < request.choices:
                    asked = f"{request.choices} choices asked for, {reply} tokens left"
                    raise meter.exhausted("output_tokens", asked)
                max_tokens = reply // request.choices

        prompt, size = self._estimate(request, lefts) if self._measures_prompts else (0, 0)
        for meter, left in lefts:
            tracker = meter.tracker
            room = left.output_tokens - tracker.held_output
            if left.output_tokens and room < reply:
                if tracker.held_elsewhere(waiting_tasks())[1]:
                    return tracker
                # The rest is set aside for streams that end only when we go on: waiting would never end.
                if room < request.choices:
                    asked = f"{tracker.held_output:,} tokens are set aside for a stream that is being read"
                    raise meter.exhausted("output_tokens", f"{asked}: give it a smaller max_tokens")
                reply, max_tokens = room, room // request.choices
            room = left.input_tokens - tracker.held_input
            is_short = left.input_tokens and room < min(prompt, left.input_tokens)
            if is_short and tracker.held_elsewhere(waiting_tasks())[0]:
                return tracker
        for meter in self.meters:
            meter.tracker.reserve_call()
            meter.tracker.hold(prompt, reply)
        return Hold(max_tokens, prompt, reply, size)

    def _estimate(self, request: Request, lefts: list[tuple[Meter, TokenUsage]]) -> tuple[int, int]:
        """What the prompt may come to, in tokens, and its size in bytes.

        The rate is learnt from the replies seen. Before the first one a prompt may be anything, so it is
        held to take all that is left: it goes alone.
        """
        size = size_of(repr(request.messages)) + (size_of(repr(request.tools)) if request.tools else 0)
        rates = [meter.tracker.tokens_per_byte for meter in self.meters]
        known = [rate for rate in rates if rate is not None]
        if not known:
            return max(left.input_tokens for _, left in lefts), size
        return int(size * max(known)) + 1, size

    def release(self, hold: Hold, *, dispatched: bool) -> None:
        """End a call that brought no reply: what it cost in tokens is unknown and counts as zero."""
        for meter in self.meters:
            if not dispatched:
                meter.tracker.release_call()
            meter.tracker.settle(hold.input_tokens, hold.output_tokens)

    def begin_reading(self, hold: Hold, reader: object) -> None:
        """Note that a call is a stream, which ends only when `reader`, a task, reads on."""
        for meter in self.meters:
            meter.tracker.begin_reading(reader, hold.input_tokens, hold.output_tokens)

    def end_reading(self, hold: Hold, reader: object) -> None:
        """Note that such a stream has ended."""
        for meter in self.meters:
            meter.tracker.end_reading(reader, hold.input_tokens, hold.output_tokens)

    def record(self, hold: Hold, reply: LLMResponse, *, unfinished: bool = False) -> None:
        """End a call that brought a reply, or part of one.

        The server may have written, and bill, more of an unfinished reply than has arrived: against a
        ceiling all that the call had set aside counts as spent.
        """
        for meter in self.meters:
            meter.tracker.settle(hold.input_tokens, hold.output_tokens)
        for meter in self.meters:
            if unfinished:
                known = reply.reported_output_tokens or reply.output_tokens
                meter.tracker.assumed_output += max(0, hold.output_tokens - known)
            meter.tracker.record_without_call(reply, prompt_bytes=hold.prompt_bytes)

    def charge(self, usage: TokenUsage) -> None:
        """Count what was spent without passing the meters."""
        for meter in self.meters:
            meter.tracker.add_usage(usage)
