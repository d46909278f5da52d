"""Check and reserve: whether a call fits every budget around it, and the tokens set aside while it runs.

Nothing awaits between a check and its reservation, so two calls can't both pass on the same room.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from executionkit._prompt import PART_TOKENS, measured
from executionkit._text import size_of
from executionkit.cost import UNLIMITED, CostTracker, Tokens, estimates_of, remaining
from executionkit.engine import bill, call_log
from executionkit.errors import BudgetExhaustedError
from executionkit.responses import LLMResponse
from executionkit.streaming import BYTES_PER_TOKEN
from executionkit.types import TokenUsage

Limit: TypeAlias = Literal["llm_calls", "output_tokens", "input_tokens"]

_MOST_TOKENS_PER_BYTE: Final = 1.0
"""The upper bound for a tokenizer that works on bytes."""


_COUNTED: Final[tuple[Limit, ...]] = ("llm_calls", "output_tokens", "input_tokens")
_NEVER_LOW: Final = TokenUsage(-1, -1, -1)


class Request(NamedTuple):
    """The arguments of a call that matter to a budget."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] | None
    max_tokens: int | None
    default_max_tokens: int
    choices: int
    is_stream: bool


class Hold(NamedTuple):
    """The tokens a call has set aside in every ledger while it runs, and the `max_tokens` it is sent with.

    Attributes:
        since: The time at which the call began; see `bill.now`.
        overrun: The part of `output_tokens` that is beyond what the call may write.
        parts: The pictures and other parts of the prompt that `prompt_bytes` doesn't count.
    """

    max_tokens: int | None
    input_tokens: int
    output_tokens: int
    prompt_bytes: int
    is_stream: bool
    since: int
    overrun: int = 0
    parts: int = 0


@dataclass(slots=True, eq=False)
class Room:
    """The tokens set aside in one ledger, and the calls that wait in line for some of them.

    A call never waits for a stream, which ends only when its reader goes on.

    Attributes:
        calls: Set aside for calls in flight.
        streams: Set aside for open streams.
        tokens_per_byte: The highest rate of prompt tokens seen so far in this ledger; None before the first.
        overrun: The most output tokens that a reply had beyond its `max_tokens`, which some servers don't
            apply to hidden reasoning. As many more are set aside for the calls that follow.
        kept_calls: Calls that are kept back for later. Their tokens are set aside like those of streams: no
            call waits for them.
        tokens_per_part: The most prompt tokens that a picture or another part took; None before the first.
    """

    calls: Tokens = field(default_factory=Tokens)
    streams: Tokens = field(default_factory=Tokens)
    tokens_per_byte: float | None = None
    overrun: int = 0
    kept_calls: int = 0
    tokens_per_part: float | None = None
    _line: list[tuple[int, "asyncio.Future[None]"]] = field(
        default_factory=list[tuple[int, "asyncio.Future[None]"]]
    )
    _places: int = 0

    def hold(self, hold: Hold) -> None:
        """Set tokens aside for a call that is about to be dispatched."""
        held = self.streams if hold.is_stream else self.calls
        held.input_tokens += hold.input_tokens
        held.output_tokens += hold.output_tokens

    def settle(self, hold: Hold) -> None:
        """Give back the tokens of a call that has ended, and wake the first in line."""
        held = self.streams if hold.is_stream else self.calls
        held.input_tokens -= hold.input_tokens
        held.output_tokens -= hold.output_tokens
        if self._line:
            self.wake_next()

    def join(self) -> int:
        """A place in the line, behind all places given before."""
        self._places += 1
        return self._places

    async def wait(self, place: int) -> None:
        """Wait until a call has ended and no earlier place waits."""
        turn = asyncio.get_running_loop().create_future()
        heappush(self._line, (place, turn))
        await turn

    def learn(self, hold: Hold, reported: int | None) -> None:
        """Learn from the prompt tokens of a call how large prompts are; None if they weren't reported."""
        rate = _MOST_TOKENS_PER_BYTE if reported is None else reported / hold.prompt_bytes
        if hold.parts and reported is not None:
            # The rate of texts tells which of the tokens are the parts'.
            rate = self.tokens_per_byte or 1 / BYTES_PER_TOKEN
            taken = (reported - rate * hold.prompt_bytes) / hold.parts
            self.tokens_per_part = max(self.tokens_per_part or 0.0, taken)
        self.tokens_per_byte = max(self.tokens_per_byte or 0.0, rate)

    def wake_next(self) -> None:
        """Wake the first in line. A call that was woken does this for the next one when it leaves the line.

        If all were woken at once, n waiting calls would check n times each.
        """
        while self._line:
            _, turn = heappop(self._line)
            if not turn.done():
                turn.set_result(None)
                return


_ROOMS: Final[WeakKeyDictionary[CostTracker, Room]] = WeakKeyDictionary()


def room_of(tracker: CostTracker) -> Room:
    """The room of a tracker that several runs may share."""
    room = _ROOMS.get(tracker)
    if room is None:
        room = _ROOMS[tracker] = Room()
    return room


def _tenth_of(max_cost: TokenUsage) -> TokenUsage:
    """A tenth of each limit; -1 where there is none, because `Meter.left` has 0 there."""
    if max_cost is UNLIMITED:
        return _NEVER_LOW
    limits = (max_cost.input_tokens, max_cost.output_tokens, max_cost.llm_calls)
    return TokenUsage(*(ceiling // 10 if ceiling > 0 else -1 for ceiling in limits))


class Meter:
    """One run's ledger, its ceiling, and the room in it.

    Args:
        name: The run's name, for messages.
        max_cost: The ceiling.
        tracker: The ledger. Defaults to a new one.
    """

    def __init__(self, name: str, max_cost: TokenUsage, tracker: CostTracker | None) -> None:
        self.name = name
        self.max_cost = max_cost
        self.tracker: CostTracker = CostTracker() if tracker is None else tracker
        self.estimates: Tokens = estimates_of(self.tracker)
        self.room: Room = Room() if tracker is None else room_of(tracker)
        self._refusals: WeakKeyDictionary[BudgetExhaustedError, Limit] | None = None
        self._low = _tenth_of(max_cost)

    @property
    def left(self) -> TokenUsage:
        """The rest of the ceiling, as a budget; estimated tokens and calls kept back count as spent."""
        spent, estimates = self.tracker.to_usage(), self.estimates
        if self.room.kept_calls:
            spent += TokenUsage(llm_calls=self.room.kept_calls)
        if estimates.input_tokens or estimates.output_tokens:
            spent += TokenUsage(estimates.input_tokens, estimates.output_tokens)
        return remaining(self.max_cost, spent)

    def require_any(self, left: TokenUsage) -> None:
        """Refuse a call when nothing is left of some limit."""
        low = self._low
        if (
            left.llm_calls > low.llm_calls
            and left.output_tokens > low.output_tokens
            and left.input_tokens > low.input_tokens
        ):
            return
        if left.llm_calls >= 0 and left.output_tokens >= 0 and left.input_tokens >= 0:
            self._warn(left)
            return
        limit: Limit = "input_tokens" if left.output_tokens >= 0 else "output_tokens"
        limit = limit if left.llm_calls >= 0 else "llm_calls"
        refusal = BudgetExhaustedError(self._used_up(limit))
        if self._refusals is None:
            self._refusals = WeakKeyDictionary()
        self._refusals[refusal] = limit
        raise refusal

    def _warn(self, left: TokenUsage) -> None:
        """Warn, once for each limit, that a call begins with no more than a tenth of it left."""
        for limit in _COUNTED:
            if getattr(left, limit) <= getattr(self._low, limit):
                ceiling = getattr(self.max_cost, limit)
                call_log.nearly_spent(self.name, limit, ceiling - getattr(left, limit), ceiling)
                self._low = replace(self._low, **{limit: -1})

    def require(self, limit: Limit, left: int, needed: int, noun: str) -> None:
        """Refuse a call that needs more of a limit than is left; 0 left is no limit."""
        if left and left < needed:
            problem = f"{needed:,} {noun} are needed, but the budget has only {left:,} {limit} left"
            raise BudgetExhaustedError(self._message(problem, limit, f"allow more {limit} or ask for less"))

    def fitting(self, left: TokenUsage, prompt: int, reply: int, choices: int) -> int | Room:
        """The output tokens for a call beside those in flight, or the room if the call has to wait.

        It waits for calls only: beside open streams it gets the output tokens that they have left.
        """
        calls, streams = self.room.calls, self.room.streams
        if left.output_tokens:
            free = left.output_tokens - calls.output_tokens - streams.output_tokens
            if free < reply + self.room.overrun:
                if calls.output_tokens:
                    return self.room
                if free < choices:
                    others = " and closing answers" if self.room.kept_calls else ""
                    last = f"the last {streams.output_tokens:,} output_tokens"
                    problem = f"open streams{others} have set aside {last}"
                    advice = "read them to their end first, or open them with a smaller max_tokens"
                    raise BudgetExhaustedError(self._message(problem, "output_tokens", advice))
                reply = min(reply, free)
        if left.input_tokens and calls.input_tokens:
            free = left.input_tokens - calls.input_tokens - streams.input_tokens
            if free < prompt:
                return self.room
        return reply

    def update_message(self, exc: BaseException) -> None:
        """Bring a refusal of this meter up to date: calls in flight when it was raised have ended since."""
        if self._refusals and isinstance(exc, BudgetExhaustedError) and exc in self._refusals:
            exc.args = (self._used_up(self._refusals[exc]),)

    def _used_up(self, limit: Limit) -> str:
        advice = f"allow more {limit} or ask for less"
        return self._message(f"the budget of {limit} is used up", limit, advice)

    def _message(self, problem: str, limit: Limit, advice: str) -> str:
        ceiling = getattr(self.max_cost, limit)
        usage, estimates = self.tracker.to_usage(), self.estimates
        estimated = 0 if limit == "llm_calls" else getattr(estimates, limit)
        spent = getattr(usage, limit) + estimated
        figures = f"spent {spent:,} of {ceiling:,}" if ceiling > 0 else "nothing was left of it to begin with"
        if limit == "llm_calls" and self.room.kept_calls:
            figures += f", and {self.room.kept_calls:,} kept back for closing answers"
        if estimated:
            figures += f", {estimated:,} of that assumed because replies came without usage"
        return f"{self.name}: {problem}: {figures}; {advice}"

    def record(self, hold: Hold, reply: LLMResponse, *, unfinished: bool) -> None:
        """Count the tokens of a reply, or of part of one, and learn from it how large prompts are."""
        self.tracker.record_without_call(reply)
        if hold.output_tokens:
            beyond = reply.output_tokens - hold.output_tokens + hold.overrun
            self.room.overrun = max(self.room.overrun, beyond)
        if unfinished:
            # The server may have written, and bill, more than has arrived: all that was set aside is spent.
            known = reply.reported_output_tokens or reply.output_tokens
            self.estimates.output_tokens += max(0, hold.output_tokens - known)
        if hold.prompt_bytes:
            reported = reply.reported_input_tokens
            if reported is None and not reply.input_tokens:
                self.estimates.input_tokens += hold.prompt_bytes // BYTES_PER_TOKEN + hold.parts * PART_TOKENS
            self.room.learn(hold, reported)


class Meters:
    """The meters a call has to pass: those of a run and of the runs around it.

    Where several refuse, the error of the outermost is raised: the ceiling of a step in a pipe is only its
    share of the pipe's, and the cost on the error is that of the whole pipe.

    Args:
        meters: The innermost first.

    Attributes:
        are_limited: Whether any of them has a ceiling.
    """

    def __init__(self, meters: Sequence[Meter]) -> None:
        self._meters: tuple[Meter, ...] = tuple(reversed(meters))
        self.are_limited: bool = any(meter.max_cost != UNLIMITED for meter in self._meters)
        self._limit_replies = any(meter.max_cost.output_tokens for meter in self._meters)
        self._limit_prompts = any(meter.max_cost.input_tokens for meter in self._meters)

    def beside(self, meter: Meter) -> "Meters":
        """These meters, and one that only counts."""
        return Meters([meter, *reversed(self._meters)])

    def require(self, calls: int, replies: int) -> None:
        """Refuse `calls` calls for `replies` texts that some budget can't pay for; see `Run.require`."""
        for meter in self._meters:
            left = meter.left
            meter.require_any(left)
            meter.require("llm_calls", left.llm_calls, calls, "calls")
            meter.require("output_tokens", left.output_tokens, replies, "replies")

    def try_hold(self, request: Request) -> Hold | Room:
        """Reserve one call in every ledger, or return the room that the call has to wait for.

        A call that does not fit waits while other calls hold tokens. With none in flight it gets what is
        left, less what open streams have set aside.

        Raises:
            BudgetExhaustedError: Nothing is left of some budget, or open streams leave nothing of it.
        """
        if not self.are_limited:
            for meter in self._meters:
                meter.tracker.reserve_call()
            return Hold(request.max_tokens, 0, 0, 0, request.is_stream, bill.now())
        lefts = [(meter, meter.left) for meter in self._meters]
        for meter, left in lefts:
            meter.require_any(left)
        reply = (request.max_tokens or request.default_max_tokens) * request.choices
        for meter, left in lefts:
            if left.output_tokens:
                meter.require("output_tokens", left.output_tokens, request.choices, "choices")
                reply = min(reply, left.output_tokens)
        prompt, size, parts = self._prompt(request, lefts) if self._limit_prompts else (0, 0, 0)
        for meter, left in lefts:
            fitting = meter.fitting(left, prompt, reply, request.choices)
            if isinstance(fitting, Room):
                return fitting
            reply = fitting
        max_tokens = reply // request.choices if self._limit_replies else request.max_tokens
        overrun = max(meter.room.overrun for meter in self._meters)
        hold = Hold(max_tokens, prompt, reply + overrun, size, request.is_stream, bill.now(), overrun, parts)
        for meter in self._meters:
            meter.tracker.reserve_call()
            meter.room.hold(hold)
        return hold

    def try_keep(self, max_tokens: int) -> Hold | Room:
        """Keep back one call for later, and its output tokens; or return the room that has to be waited for.

        Raises:
            BudgetExhaustedError: Nothing is left of some budget.
        """
        if not self.are_limited:
            return Hold(max_tokens, 0, 0, 0, is_stream=True, since=bill.now())
        lefts = [(meter, meter.left) for meter in self._meters]
        reply = max_tokens
        for meter, left in lefts:
            meter.require_any(left)
            reply = min(reply, left.output_tokens or reply)
        for meter, left in lefts:
            fitting = meter.fitting(left, 0, reply, 1)
            if isinstance(fitting, Room):
                return fitting
            reply = fitting
        hold = Hold(reply, 0, reply, 0, is_stream=True, since=bill.now())
        for meter in self._meters:
            meter.room.kept_calls += 1
            meter.room.hold(hold)
        return hold

    def give_up(self, hold: Hold) -> None:
        """Free a call that was kept back."""
        if self.are_limited:
            for meter in self._meters:
                meter.room.kept_calls -= 1
                meter.room.settle(hold)

    def can_pay(self, request: Request) -> bool:
        """Whether a call fits beside those kept back, and leaves input tokens for one more.

        That the tokens of its prompt are known beforehand is an assumption: they are estimated.
        """
        if not self.are_limited:
            return True
        lefts = [(meter, meter.left) for meter in self._meters]
        is_rated = self._limit_prompts and any(meter.room.tokens_per_byte for meter in self._meters)
        prompt = self._prompt(request, lefts)[0] if is_rated else 0
        reply = request.max_tokens or request.default_max_tokens
        for meter, left in lefts:
            free = left.output_tokens - meter.room.streams.output_tokens
            if min(left.llm_calls, left.output_tokens, left.input_tokens) < 0 or (
                (left.output_tokens and free < reply) or (left.input_tokens and left.input_tokens <= prompt)
            ):
                return False
        return True

    def _prompt(self, request: Request, lefts: list[tuple[Meter, TokenUsage]]) -> tuple[int, int, int]:
        """The tokens a prompt may come to, the bytes of its texts, and the number of its other parts.

        The rates are learnt from the replies seen. Before the first one a prompt may have any size, so all
        that is left is set aside for it: it goes alone.
        """
        size, parts = measured(request.messages)
        size += size_of(repr(request.tools)) if request.tools else 0
        rates = [meter.room.tokens_per_byte for meter in self._meters]
        known = [rate for rate in rates if rate is not None]
        if not known:
            return max(left.input_tokens for _, left in lefts), size, parts
        each = [meter.room.tokens_per_part for meter in self._meters] if parts else []
        taken = max((tokens for tokens in each if tokens is not None), default=PART_TOKENS)
        return int(size * max(known) + parts * taken) + 1, size, parts

    def release(self, hold: Hold, *, dispatched: bool) -> None:
        """End a call that brought no reply: its tokens are unknown and count as zero."""
        for meter in self._meters:
            if not dispatched:
                meter.tracker.release_call()
            meter.room.settle(hold)

    def record(self, hold: Hold, reply: LLMResponse, *, unfinished: bool = False) -> None:
        """End a call that brought a reply, or part of one."""
        for meter in self._meters:
            meter.room.settle(hold)
            meter.record(hold, reply, unfinished=unfinished)

    def charge(self, usage: TokenUsage) -> None:
        """Count what was spent without passing the meters."""
        for meter in self._meters:
            meter.tracker.add_usage(usage)
