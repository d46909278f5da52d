"""Check and reserve: whether a call fits every budget around it, and the tokens set aside while it runs.

Nothing awaits between a check and its reservation, so two calls can't both pass on the same room.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from heapq import heappop, heappush
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from executionkit._dollars import EXACT, ZERO, in_full
from executionkit._prompt import PART_TOKENS, measured
from executionkit._text import size_of
from executionkit.cost import (
    UNLIMITED,
    CostTracker,
    Counts,
    Tokens,
    add_reply,
    counts_of,
    dollars_of,
    estimates_of,
    remaining,
    usd_at_most,
)
from executionkit.engine import bill, call_log
from executionkit.engine.tariff import BrokenPricesError, Tariff
from executionkit.errors import BudgetExhaustedError
from executionkit.responses import LLMResponse
from executionkit.streaming import BYTES_PER_TOKEN
from executionkit.types import TokenUsage

Limit: TypeAlias = Literal["llm_calls", "output_tokens", "input_tokens", "usd"]

_MOST_TOKENS_PER_BYTE: Final = 1.0
"""The upper bound for a tokenizer that works on bytes."""


_COUNTED: Final[tuple[Limit, ...]] = ("llm_calls", "output_tokens", "input_tokens", "usd")
_NEVER_LOW: Final = TokenUsage(-1, -1, -1)


class Request(NamedTuple):
    """The arguments of a call that matter to a budget."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] | None
    max_tokens: int | None
    default_max_tokens: int
    choices: int
    is_stream: bool


class Prompt(NamedTuple):
    """The size of a prompt.

    Attributes:
        tokens: The tokens to set aside for it under a ceiling on input tokens; 0 where there is none.
        size: The bytes of its texts.
        parts: The number of its other parts.
        most: The most tokens that it is expected to come to.
        likely: The tokens that it likely comes to; less than `most` before the first reply.
    """

    tokens: int = 0
    size: int = 0
    parts: int = 0
    most: int = 0
    likely: int = 0


_NO_PROMPT: Final = Prompt()


class Hold(NamedTuple):
    """The tokens and dollars a call has set aside in every ledger while it runs, and its `max_tokens`.

    Attributes:
        since: The time at which the call began; see `bill.now`.
        overrun: The part of `output_tokens` that is beyond what the call may write.
        parts: The pictures and other parts of the prompt that `prompt_bytes` doesn't count.
        usd: The most that the call may cost; None where nothing limits dollars.
    """

    max_tokens: int | None
    input_tokens: int
    output_tokens: int
    prompt_bytes: int
    is_stream: bool
    since: int
    overrun: int = 0
    parts: int = 0
    usd: Decimal | None = None


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
        if hold.usd:
            held.usd = EXACT.add(held.usd, hold.usd)

    def settle(self, hold: Hold) -> None:
        """Give back the tokens of a call that has ended, and wake the first in line."""
        held = self.streams if hold.is_stream else self.calls
        held.input_tokens -= hold.input_tokens
        held.output_tokens -= hold.output_tokens
        if hold.usd:
            held.usd = EXACT.subtract(held.usd, hold.usd)
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
    limits = (max_cost.input_tokens, max_cost.output_tokens, max_cost.llm_calls)
    usd = max_cost.usd
    low = EXACT.divide(usd, Decimal(10)) if usd and usd > 0 else usd
    return TokenUsage(*(ceiling // 10 if ceiling > 0 else -1 for ceiling in limits), usd=low)


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
        self._low = _NEVER_LOW if max_cost is UNLIMITED else _tenth_of(max_cost)

    @property
    def left(self) -> TokenUsage:
        """The rest of the ceiling, as a budget; estimates and calls kept back count as spent."""
        return remaining(self.max_cost, self.tracker, self.room.kept_calls)

    def require_any(self, left: TokenUsage) -> None:
        """Refuse a call when nothing is left of some limit."""
        low, usd = self._low, left.usd
        if (
            left.llm_calls > low.llm_calls
            and left.output_tokens > low.output_tokens
            and left.input_tokens > low.input_tokens
            and (usd is None or low.usd is None or usd > low.usd)
        ):
            return
        if (
            left.llm_calls >= 0
            and left.output_tokens >= 0
            and left.input_tokens >= 0
            and (usd is None or usd >= 0)
        ):
            self._warn(left)
            return
        limit: Limit = "input_tokens" if left.input_tokens < 0 else "usd"
        limit = "output_tokens" if left.output_tokens < 0 else limit
        limit = limit if left.llm_calls >= 0 else "llm_calls"
        refusal = BudgetExhaustedError(self._used_up(limit))
        if self._refusals is None:
            self._refusals = WeakKeyDictionary()
        self._refusals[refusal] = limit
        raise refusal

    def _warn(self, left: TokenUsage) -> None:
        """Warn, once for each limit, that a call begins with no more than a tenth of it left."""
        for limit in _COUNTED:
            rest, low = getattr(left, limit), getattr(self._low, limit)
            if rest is not None and rest <= low:
                ceiling = getattr(self.max_cost, limit)
                call_log.nearly_spent(self.name, limit, ceiling - rest, ceiling)
                used: dict[str, Any] = {limit: -1}
                self._low = replace(self._low, **used)

    def require(self, limit: Limit, left: int, needed: int, noun: str) -> None:
        """Refuse a call that needs more of a limit than is left; 0 left is no limit."""
        if left and left < needed:
            problem = f"{needed:,} {noun} are needed, but the budget has only {left:,} {limit} left"
            raise BudgetExhaustedError(self._message(problem, limit, f"allow more {limit} or ask for less"))

    def require_dollars(self, left: TokenUsage, needed: Decimal) -> None:
        """Refuse calls that cost more dollars than are left."""
        if left.usd and left.usd < needed:
            problem = (
                f"at least {in_full(needed)} are needed, but the budget has only {in_full(left.usd)} left"
            )
            raise BudgetExhaustedError(self._message(problem, "usd", "allow more usd or ask for less"))

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

    def affordable(
        self, free: Decimal, tariff: Tariff, prompt: Prompt, reply: int, choices: int
    ) -> int | Room:
        """The output tokens that the dollars left pay for beside calls in flight, or the room to wait for.

        Args:
            free: The dollars left.
            tariff: The prices.
            prompt: The prompt.
            reply: The output tokens to pay for.
            choices: The fewest that are of use.
        """
        calls, streams = self.room.calls.usd, self.room.streams.usd
        if calls or streams:
            free = EXACT.subtract(free, EXACT.add(calls, streams))
        most = reply + self.room.overrun
        if tariff.at_most(prompt.most, most) <= free:
            return reply
        if calls:
            return self.room
        bought = tariff.buys(free, prompt.most, most)
        if bought < choices and prompt.likely < prompt.most and not streams:
            bought = tariff.buys(free, prompt.likely, most)  # an upper bound is no reason to refuse
        if bought >= choices:
            return min(reply, bought)
        if streams:
            others = " and closing answers" if self.room.kept_calls else ""
            problem = f"open streams{others} have set aside the last {in_full(streams)}"
            advice = "read them to their end first, or open them with a smaller max_tokens"
        else:
            problem = f"{in_full(free)} don't pay for a prompt of about {prompt.likely:,} tokens and a reply"
            advice = "allow more usd or send a shorter prompt"
        raise BudgetExhaustedError(self._message(problem, "usd", advice))

    def update_message(self, exc: BaseException) -> None:
        """Bring a refusal of this meter up to date: calls in flight when it was raised have ended since."""
        if self._refusals and isinstance(exc, BudgetExhaustedError) and exc in self._refusals:
            exc.args = (self._used_up(self._refusals[exc]),)

    def _used_up(self, limit: Limit) -> str:
        advice = f"allow more {limit} or ask for less"
        return self._message(f"the budget of {limit} is used up", limit, advice)

    def _message(self, problem: str, limit: Limit, advice: str) -> str:
        return f"{self.name}: {problem}: {self._figures(limit)}; {advice}"

    def _figures(self, limit: Limit) -> str:
        ceiling = getattr(self.max_cost, limit)
        if ceiling <= 0:
            return "nothing was left of it to begin with"
        if limit == "usd":
            spent = usd_at_most(self.tracker)
            if spent is None:
                return f"a part of the spend has no price, so the ceiling of {in_full(ceiling)} can't be kept"
            assumed = self.estimates.usd
            return _of(in_full(spent), in_full(ceiling), in_full(assumed) if assumed else "")
        estimated = 0 if limit == "llm_calls" else getattr(self.estimates, limit)
        counted = getattr(self.tracker.to_usage(), limit) + estimated
        figures = _of(f"{counted:,}", f"{ceiling:,}", f"{estimated:,}" if estimated else "")
        if limit == "llm_calls" and self.room.kept_calls:
            figures += f", and {self.room.kept_calls:,} kept back for closing answers"
        return figures

    def learn(
        self, hold: Hold, reply: LLMResponse, counts: Counts, usd: Decimal | None, *, unfinished: bool
    ) -> None:
        """Learn from a reply that was counted, or from a part of one, how large replies and prompts are."""
        reported, written, _, _ = counts
        if hold.output_tokens:
            known = reply.output_tokens if written is None else written
            beyond = known - hold.output_tokens + hold.overrun
            self.room.overrun = max(self.room.overrun, beyond)
        if unfinished:
            # The server may have written, and bill, more than has arrived: all that was set aside is spent.
            known = written or reply.output_tokens
            self.estimates.output_tokens += max(0, hold.output_tokens - known)
            if hold.usd is not None and usd is not None and usd < hold.usd:
                self.estimates.usd = EXACT.add(self.estimates.usd, EXACT.subtract(hold.usd, usd))
        if hold.prompt_bytes:
            if reported is None and not reply.input_tokens:
                self.estimates.input_tokens += _likely_tokens(hold.prompt_bytes, hold.parts)
            self.room.learn(hold, reported)


def _of(spent: str, ceiling: str, assumed: str) -> str:
    figures = f"spent {spent} of {ceiling}"
    return f"{figures}, {assumed} of that assumed because replies came without usage" if assumed else figures


def _likely_tokens(size: int, parts: int) -> int:
    return size // BYTES_PER_TOKEN + parts * PART_TOKENS


class Meters:
    """The meters a call has to pass: those of a run and of the runs around it.

    Where several refuse, the error of the outermost is raised: the ceiling of a step in a pipe is only its
    share of the pipe's, and the cost on the error is that of the whole pipe.

    Args:
        meters: The innermost first.
        tariff: The prices of the provider; None if it has none.

    Attributes:
        are_limited: Whether any of them has a ceiling.
        limit_dollars: Whether any of them has one in dollars.
        tariff: The prices of the provider; None if it has none.
    """

    are_limited: bool = False
    limit_dollars: bool = False
    _limit_replies = False
    _limit_prompts = False

    def __init__(self, meters: Sequence[Meter], tariff: Tariff | None = None) -> None:
        self._meters: tuple[Meter, ...] = tuple(reversed(meters))
        self._trackers = tuple([meter.tracker for meter in self._meters])
        self.tariff = tariff
        if limits := [meter.max_cost for meter in meters if meter.max_cost is not UNLIMITED]:
            self.are_limited = any(limit != UNLIMITED for limit in limits)
            self.limit_dollars = any(limit.usd for limit in limits)
            self._limit_replies = any(limit.output_tokens or limit.usd for limit in limits)
            self._limit_prompts = any(limit.input_tokens for limit in limits)

    def beside(self, ledger: CostTracker) -> "Meters":
        """These meters for one call, which is charged to a ledger of its own as well."""
        meters = object.__new__(Meters)
        vars(meters).update(vars(self))
        meters._trackers = (*self._trackers, ledger)
        return meters

    def priced_by(self, tariff: Tariff | None) -> "Meters":
        """These meters, with the prices of another provider."""
        meters = object.__new__(Meters)
        vars(meters).update(vars(self))
        meters.tariff = tariff
        return meters

    def require(self, calls: int, replies: int) -> None:
        """Refuse `calls` calls for `replies` texts that some budget can't pay for; see `Run.require`."""
        for meter in self._meters:
            left = meter.left
            meter.require_any(left)
            meter.require("llm_calls", left.llm_calls, calls, "calls")
            meter.require("output_tokens", left.output_tokens, replies, "replies")

    def require_price(self, requests: Sequence[Request]) -> None:
        """Refuse requests for which some budget in dollars is too small; see `Run.require`."""
        if not self.limit_dollars:
            return
        lefts = [(meter, meter.left) for meter in self._meters]
        needed = ZERO
        for request in requests:
            tokens = self._prompt(request, lefts).likely
            needed = EXACT.add(needed, self._tariff.at_most(tokens, request.max_tokens or 1))
        for meter, left in lefts:
            meter.require_dollars(left, needed)

    def try_hold(self, request: Request) -> Hold | Room:
        """Reserve one call in every ledger, or return the room that the call has to wait for.

        A call that does not fit waits while other calls hold tokens. With none in flight it gets what is
        left, less what open streams have set aside.

        Raises:
            BudgetExhaustedError: Nothing is left of some budget, or open streams leave nothing of it.
        """
        if not self.are_limited:
            self._reserve_call()
            # The size is for the price of a reply without usage.
            size, parts = (0, 0) if self.tariff is None else _size_of(request)
            return Hold(request.max_tokens, 0, 0, size, request.is_stream, bill.now(), 0, parts)
        lefts = [(meter, meter.left) for meter in self._meters]
        for meter, left in lefts:
            meter.require_any(left)
        reply = (request.max_tokens or request.default_max_tokens) * request.choices
        for meter, left in lefts:
            if left.output_tokens:
                meter.require("output_tokens", left.output_tokens, request.choices, "choices")
                reply = min(reply, left.output_tokens)
        prompt = self._prompt(request, lefts)
        for meter, left in lefts:
            fitting = meter.fitting(left, prompt.tokens, reply, request.choices)
            if isinstance(fitting, Room):
                return fitting
            reply = fitting
        overrun, usd = max([meter.room.overrun for meter in self._meters]), None
        if self.limit_dollars:
            paid = self._paid_for(lefts, prompt, reply, request.choices)
            if isinstance(paid, Room):
                return paid
            reply = paid
            usd = self._tariff.at_most(prompt.most, reply + overrun)
        max_tokens = reply // request.choices if self._limit_replies else request.max_tokens
        hold = Hold(
            max_tokens,
            prompt.tokens,
            reply + overrun,
            prompt.size,
            request.is_stream,
            bill.now(),
            overrun,
            prompt.parts,
            usd,
        )
        self._reserve_call()
        for meter in self._meters:
            meter.room.hold(hold)
        return hold

    def _reserve_call(self) -> None:
        for tracker in self._trackers:
            tracker.reserve_call()
            if self.tariff is not None:
                dollars_of(tracker).begin()

    @property
    def _tariff(self) -> Tariff:
        if self.tariff is None:  # pragma: no cover - a run with a ceiling in dollars is not made without
            raise RuntimeError("there are no prices")
        return self.tariff

    def _paid_for(
        self, lefts: list[tuple[Meter, TokenUsage]], prompt: Prompt, reply: int, choices: int
    ) -> int | Room:
        """The output tokens that every ceiling in dollars pays for, or the room to wait for."""
        for meter, left in lefts:
            if left.usd:
                paid = meter.affordable(left.usd, self._tariff, prompt, reply, choices)
                if isinstance(paid, Room):
                    return paid
                reply = paid
        return reply

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
        usd = None
        if self.limit_dollars:
            paid = self._paid_for(lefts, _NO_PROMPT, reply, 1)
            if isinstance(paid, Room):
                return paid
            reply = paid
            usd = self._tariff.at_most(0, reply)
        hold = Hold(reply, 0, reply, 0, is_stream=True, since=bill.now(), usd=usd)
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
        measured_prompt = self._prompt(request, lefts)
        prompt = measured_prompt.tokens if is_rated else 0
        reply = request.max_tokens or request.default_max_tokens
        usd = ZERO
        if self.limit_dollars:
            # The prompt of the call that is kept back has this one's prompt and reply in it.
            most = measured_prompt.likely
            usd = EXACT.add(self._tariff.at_most(most, reply), self._tariff.at_most(most + reply, 0))
        for meter, left in lefts:
            free = left.output_tokens - meter.room.streams.output_tokens
            if min(left.llm_calls, left.output_tokens, left.input_tokens) < 0 or (
                (left.output_tokens and free < reply) or (left.input_tokens and left.input_tokens <= prompt)
            ):
                return False
            if left.usd and EXACT.subtract(left.usd, meter.room.streams.usd) < usd:
                return False
        return True

    def _prompt(self, request: Request, lefts: list[tuple[Meter, TokenUsage]]) -> Prompt:
        """The size of a prompt, and the tokens it may come to, where some ceiling limits them.

        The rates are learnt from the replies seen. Before the first one a prompt may have any size, so all
        the input tokens that are left are set aside for it: it goes alone. Of dollars the price of a token
        for each byte is set aside, which is the most that texts come to.
        """
        if not (self._limit_prompts or self.limit_dollars):
            return _NO_PROMPT
        size, parts = _size_of(request)
        rates = [meter.room.tokens_per_byte for meter in self._meters]
        known = [rate for rate in rates if rate is not None]
        if not known:
            tokens = max(left.input_tokens for _, left in lefts)
            most = int(size * _MOST_TOKENS_PER_BYTE) + parts * PART_TOKENS
            return Prompt(tokens, size, parts, most, _likely_tokens(size, parts))
        each = [meter.room.tokens_per_part for meter in self._meters] if parts else []
        taken = max((tokens for tokens in each if tokens is not None), default=PART_TOKENS)
        most = int(size * max(known) + parts * taken) + 1
        return Prompt(most if self._limit_prompts else 0, size, parts, most, most)

    def release(self, hold: Hold, *, dispatched: bool) -> None:
        """End a call that brought no reply: its tokens are unknown and count as zero."""
        if not dispatched:
            for tracker in self._trackers:
                tracker.release_call()
        if self.are_limited:  # else nothing was set aside
            for meter in self._meters:
                meter.room.settle(hold)

    def record(self, hold: Hold, reply: LLMResponse, *, unfinished: bool = False) -> BrokenPricesError | None:
        """End a call that brought a reply, or part of one; returns the error to raise if prices failed."""
        usd = fault = None
        if self.tariff is not None:
            usd, fault = self._priced(reply, _likely_tokens(hold.prompt_bytes, hold.parts))
        counts = counts_of(reply)
        for tracker in self._trackers:
            add_reply(tracker, counts, usd, hold.usd)
        if hold.output_tokens or hold.prompt_bytes:  # else nothing was set aside, and nothing is learnt
            for meter in self._meters:
                meter.room.settle(hold)
                meter.learn(hold, reply, counts, usd, unfinished=unfinished)
        return fault

    def charge_failed(self, reply: LLMResponse | None) -> BrokenPricesError | None:
        """Count the tokens that the server reports for a call that failed; returns as `record` does."""
        if reply is None:
            return None
        usd, fault = (None, None) if self.tariff is None else self._priced(reply, 0)
        self.charge(TokenUsage(reply.input_tokens, reply.output_tokens, usd=usd))
        return fault

    def _priced(
        self, reply: LLMResponse, prompt_tokens: int
    ) -> tuple[Decimal | None, BrokenPricesError | None]:
        try:
            return self._tariff.price(reply, prompt_tokens), None
        except BrokenPricesError as exc:
            return None, exc

    def charge(self, usage: TokenUsage) -> None:
        """Count what was spent without passing the meters."""
        for tracker in self._trackers:
            tracker.add_usage(usage)


def _size_of(request: Request) -> tuple[int, int]:
    """The bytes of a prompt's texts and tools, and the number of its other parts."""
    size, parts = measured(request.messages)
    return size + (size_of(repr(request.tools)) if request.tools else 0), parts
