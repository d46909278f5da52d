"""One ledger with its ceiling: whether a call fits in what is left, and the errors where it doesn't."""

from contextvars import ContextVar
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias
from weakref import WeakKeyDictionary

from executionkit._dollars import EXACT, in_full
from executionkit.cost import UNLIMITED, CostTracker, Counts, Tokens, estimates_of, remaining, usd_at_most
from executionkit.engine import call_log
from executionkit.engine.request import Prompt, likely_tokens
from executionkit.engine.room import Hold, Room, room_of
from executionkit.engine.tariff import Tariff
from executionkit.errors import BudgetExhaustedError
from executionkit.responses import LLMResponse
from executionkit.types import TokenUsage

Limit: TypeAlias = Literal["llm_calls", "output_tokens", "input_tokens", "usd"]

_COUNTED: Final[tuple[Limit, ...]] = ("llm_calls", "output_tokens", "input_tokens", "usd")
REFUSALS: Final[ContextVar[list[BudgetExhaustedError] | None]] = ContextVar(
    "executionkit.refusals", default=None
)
"""Where there is a list, every refusal is added to it: a pattern may go on after one, with less."""
_NEVER_LOW: Final = TokenUsage(-1, -1, -1)


class Meter:
    """One run's ledger, its ceiling, and the room in it.

    Args:
        name: The run's name, for messages.
        max_cost: The ceiling.
        tracker: The ledger. Defaults to a new one.
    """

    def __init__(self, name: str, max_cost: TokenUsage, tracker: CostTracker | None) -> None:
        self.name = name
        self.max_cost: TokenUsage = max_cost
        self.tracker: CostTracker = CostTracker() if tracker is None else tracker
        self.estimates: Tokens = estimates_of(self.tracker)
        # Made when it is asked for: without a ceiling nothing is set aside, and a job has a run for each row.
        self._room: Room | None = None if tracker is None else room_of(tracker)
        self._refusals: WeakKeyDictionary[BudgetExhaustedError, Limit | None] | None = None
        self._low = _NEVER_LOW if max_cost is UNLIMITED else _tenth_of(max_cost)

    @property
    def room(self) -> Room:
        """The tokens that calls have set aside here."""
        room = self._room
        if room is None:
            room = self._room = Room()
        return room

    def extend(self, usage: TokenUsage) -> None:
        """Raise the ceiling, and wake the first call that waits for room; it wakes the others.

        Raises:
            ValueError: A field of `usage` is negative.
        """
        for limit in _COUNTED:
            more, ceiling = getattr(usage, limit), getattr(self.max_cost, limit)
            if more is not None and more < 0:
                raise ValueError(f"usage must not have a negative {limit}, got {usage!r}")
            if more and ceiling:  # 0 and None are no limit; -1 says that nothing is left
                raised: dict[str, Any] = {limit: max(ceiling, 0) + more}
                self.max_cost = replace(self.max_cost, **raised)
        self._low = _tenth_of(self.max_cost)
        self.room.wake_next()

    @property
    def left(self) -> TokenUsage:
        """The rest of the ceiling, as a budget; estimates and calls kept back count as spent."""
        return remaining(self.max_cost, self.tracker, self.room.kept_calls)

    def assume(self, usage: TokenUsage, tariff: Tariff | None) -> None:
        """Count tokens as spent by an estimate, at the most that they may cost."""
        self.estimates.input_tokens += usage.input_tokens
        self.estimates.output_tokens += usage.output_tokens
        if tariff is not None and tariff.is_ready and (usage.input_tokens or usage.output_tokens):
            most = tariff.at_most(usage.input_tokens, usage.output_tokens)
            self.estimates.usd = EXACT.add(self.estimates.usd, most)

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
        raise self.refusal(self._used_up(limit), limit)

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
            raise self.refusal(self._message(problem, limit, f"allow more {limit} or ask for less"))

    def require_dollars(self, left: TokenUsage, needed: Decimal) -> None:
        """Refuse calls that cost more dollars than are left."""
        if left.usd and left.usd < needed:
            problem = (
                f"at least {in_full(needed)} are needed, but the budget has only {in_full(left.usd)} left"
            )
            raise self.refusal(self._message(problem, "usd", "allow more usd or ask for less"))

    def fitting(self, left: TokenUsage, prompt: int, reply: int, choices: int) -> int | Room:
        """The output tokens for a call beside those in flight, or the room if the call has to wait.

        It waits for calls only: beside open streams it gets the output tokens that they have left.
        """
        room = self.room
        calls, streams = room.calls, room.streams
        if left.output_tokens:
            free = left.output_tokens - calls.output_tokens - streams.output_tokens
            if free < reply + room.overrun:
                if calls.output_tokens:
                    return room
                if free < choices:
                    others = " and closing answers" if room.kept_calls else ""
                    last = f"the last {streams.output_tokens:,} output_tokens"
                    problem = f"open streams{others} have set aside {last}"
                    advice = "read them to their end first, or open them with a smaller max_tokens"
                    raise self.refusal(self._message(problem, "output_tokens", advice))
                reply = min(reply, free)
        if left.input_tokens and calls.input_tokens:
            free = left.input_tokens - calls.input_tokens - streams.input_tokens
            if free < prompt:
                return room
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
        raise self.refusal(self._message(problem, "usd", advice))

    def update_message(self, exc: BaseException) -> None:
        """Bring a refusal of this meter up to date: calls in flight when it was raised have ended since."""
        if self._refusals and isinstance(exc, BudgetExhaustedError) and (limit := self._refusals.get(exc)):
            exc.args = (self._used_up(limit),)

    def has_refused(self, exc: BaseException) -> bool:
        """Whether this meter, and not one of another run, has raised the error."""
        refusals = self._refusals
        return refusals is not None and isinstance(exc, BudgetExhaustedError) and exc in refusals

    def refusal(self, message: str, limit: Limit | None = None) -> BudgetExhaustedError:
        """The error for a call that is refused; if a `limit` is used up, its message is kept up to date."""
        refusal = BudgetExhaustedError(message)
        if self._refusals is None:
            self._refusals = WeakKeyDictionary()
        self._refusals[refusal] = limit
        if (told := REFUSALS.get()) is not None:
            told.append(refusal)
        return refusal

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
                self.estimates.input_tokens += likely_tokens(hold.prompt_bytes, hold.parts)
            self.room.learn(hold, reported)


def _of(spent: str, ceiling: str, assumed: str) -> str:
    figures = f"spent {spent} of {ceiling}"
    return f"{figures}, {assumed} of that assumed for replies without usage or end" if assumed else figures


def _tenth_of(max_cost: TokenUsage) -> TokenUsage:
    """A tenth of each limit; -1 where there is none, because `Meter.left` has 0 there."""
    limits = (max_cost.input_tokens, max_cost.output_tokens, max_cost.llm_calls)
    usd = max_cost.usd
    low = EXACT.divide(usd, Decimal(10)) if usd and usd > 0 else usd
    return TokenUsage(*(ceiling // 10 if ceiling > 0 else -1 for ceiling in limits), usd=low)
