"""All the meters that a call passes: it is checked and reserved in every one, or in none.

Nothing awaits between a check and its reservation, so two calls can't both pass on the same room.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from executionkit._dollars import EXACT, ZERO
from executionkit._prompt import PART_TOKENS
from executionkit.cost import UNLIMITED, CostTracker, add_reply, counts_of, dollars_of, not_paid
from executionkit.engine import bill
from executionkit.engine.meter import Meter
from executionkit.engine.request import (
    MOST_TOKENS_PER_BYTE,
    NO_PROMPT,
    Prompt,
    Request,
    likely_tokens,
    size_of,
)
from executionkit.engine.room import Hold, Room
from executionkit.engine.tariff import BrokenPricesError, Tariff
from executionkit.responses import LLMResponse
from executionkit.types import TokenUsage


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
        are_paid: Whether the calls are paid for now, and not at another time.
    """

    are_paid: bool = True
    are_limited: bool = False
    limit_dollars: bool = False
    _limit_replies = False
    _limit_prompts = False
    _rooms: tuple[Room, ...] = ()

    def __init__(self, meters: Sequence[Meter], tariff: Tariff | None = None) -> None:
        self._meters: tuple[Meter, ...] = tuple(reversed(meters))
        self._trackers = tuple([meter.tracker for meter in self._meters])
        self.tariff = tariff
        if limits := [meter.max_cost for meter in meters if meter.max_cost is not UNLIMITED]:
            self.are_limited = any(limit != UNLIMITED for limit in limits)
            self.limit_dollars = any(limit.usd for limit in limits)
            self._limit_replies = any(limit.output_tokens or limit.usd for limit in limits)
            self._limit_prompts = any(limit.input_tokens for limit in limits)
            if self.are_limited:  # a ceiling of nothing is none: no call is kept back in its room
                self._rooms = tuple([meter.room for meter in self._meters])

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
        if not self.are_limited:
            return
        for meter in self._meters:
            left = meter.left
            meter.require_any(left)
            meter.require("llm_calls", left.llm_calls, calls, "calls")
            meter.require("output_tokens", left.output_tokens, replies, "replies")

    def require_price(self, requests: Sequence[Request]) -> None:
        """Refuse requests for which some budget in dollars is too small; see `Run.require`."""
        if not self.limit_dollars or not requests:
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
            size, parts = (0, 0) if self.tariff is None else size_of(request)
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
        overrun, usd = max([room.overrun for room in self._rooms]), None
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
        for room in self._rooms:
            room.hold(hold)
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
            paid = self._paid_for(lefts, NO_PROMPT, reply, 1)
            if isinstance(paid, Room):
                return paid
            reply = paid
            usd = self._tariff.at_most(0, reply)
        hold = Hold(reply, 0, reply, 0, is_stream=True, since=bill.now(), usd=usd)
        for room in self._rooms:
            room.kept_calls += 1
            room.hold(hold)
        return hold

    def give_up(self, hold: Hold) -> None:
        """Free a call that was kept back."""
        for room in self._rooms:
            room.kept_calls -= 1
            room.settle(hold)

    def can_pay(self, request: Request) -> bool:
        """Whether a call fits beside those kept back, and leaves input tokens for one more.

        That the tokens of its prompt are known beforehand is an assumption: they are estimated.
        """
        if not self.are_limited:
            return True
        lefts = [(meter, meter.left) for meter in self._meters]
        is_rated = self._limit_prompts and any(room.tokens_per_byte for room in self._rooms)
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
            return NO_PROMPT
        size, parts = size_of(request)
        rates = [room.tokens_per_byte for room in self._rooms]
        known = [rate for rate in rates if rate is not None]
        if not known:
            tokens = max(left.input_tokens for _, left in lefts)
            most = int(size * MOST_TOKENS_PER_BYTE) + parts * PART_TOKENS
            return Prompt(tokens, size, parts, most, likely_tokens(size, parts))
        each = [room.tokens_per_part for room in self._rooms] if parts else []
        taken = max((tokens for tokens in each if tokens is not None), default=PART_TOKENS)
        most = int(size * max(known) + parts * taken) + 1
        return Prompt(most if self._limit_prompts else 0, size, parts, most, most)

    def release(self, hold: Hold, *, dispatched: bool) -> None:
        """End a call that brought no reply: its tokens are unknown and count as zero."""
        if not dispatched:
            for tracker in self._trackers:
                tracker.release_call()
        for room in self._rooms:
            room.settle(hold)

    def record(self, hold: Hold, reply: LLMResponse, *, unfinished: bool = False) -> BrokenPricesError | None:
        """End a call that brought a reply, or part of one; returns the error to raise if prices failed."""
        if reply.usage.get("from_cache") is True:
            self.release(hold, dispatched=False)
            return None
        usd = fault = None
        if self.tariff is not None:
            usd, fault = self._priced(reply, likely_tokens(hold.prompt_bytes, hold.parts))
        counts = counts_of(reply)
        for tracker in self._trackers:
            add_reply(tracker, counts, usd, hold.usd)
        if not self.are_paid or reply.usage.get("replayed") is True:
            for tracker in self._trackers:
                not_paid(tracker, TokenUsage(counts[0] or 0, counts[1] or 0, 1, usd=usd))
        if hold.output_tokens or hold.prompt_bytes:  # else nothing was set aside, and nothing is learnt
            for room in self._rooms:
                room.settle(hold)
            for meter in self._meters:
                meter.learn(hold, reply, counts, usd, unfinished=unfinished)
        return fault

    def charge_failed(self, reply: LLMResponse | None, *, is_paid: bool = True) -> BrokenPricesError | None:
        """Count the tokens that the server reports for a call that failed; returns as `record` does.

        Those of a call that was put off are set aside, and observers are told of no cost.
        """
        if reply is None:
            return None
        usd, fault = (None, None) if self.tariff is None else self._priced(reply, 0)
        usage = TokenUsage(reply.input_tokens, reply.output_tokens, usd=usd)
        self.charge(usage)
        if not is_paid:
            for tracker in self._trackers:
                not_paid(tracker, replace(usage, llm_calls=1))
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


class Kept:
    """A call that is kept back in every budget.

    Args:
        meters: The budgets.
        hold: What was set aside in them.

    Attributes:
        max_tokens: The most output tokens that it may have.
    """

    def __init__(self, meters: Meters, hold: Hold) -> None:
        self.max_tokens: int = hold.max_tokens or 1
        self._meters = meters
        self._hold: Hold | None = hold

    def give_up(self) -> None:
        """Free it; a call that begins without an await in between is sure to get it."""
        hold, self._hold = self._hold, None
        if hold is not None:
            self._meters.give_up(hold)
