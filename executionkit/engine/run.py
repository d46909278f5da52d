"""`Run`: a provider around a provider that budgets, retries and counts every model call inside it.

The provider that a pattern hands to its steps, evaluators and tools is its run. A run made around a run is
its child: each call is checked against, and charged to, the run and all its ancestors.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache, partial
from logging import DEBUG
from types import CoroutineType, TracebackType
from typing import Any, Never, Self, TypeVar, cast

from executionkit import _checks as checks
from executionkit._callables import misfit
from executionkit._prompt import measured
from executionkit._text import shorten
from executionkit.cost import UNLIMITED, CostTracker
from executionkit.engine import bill, call_log
from executionkit.engine.budget import Kept, Meters
from executionkit.engine.call_log import is_logged, watchers_of_calls
from executionkit.engine.dealing import Deal, Dealer, DealtStream
from executionkit.engine.meter import Meter
from executionkit.engine.panel_tariff import no_prices_for, tariff_for
from executionkit.engine.parallel import is_being_cancelled, leave, this_task
from executionkit.engine.relay import PARKING, Relay, Relaying, Replies, innermost
from executionkit.engine.request import Request, choices_of, default_max_tokens
from executionkit.engine.retry import DEFAULT_RETRY, RetryConfig, retrying, waited
from executionkit.engine.room import Hold, Room
from executionkit.engine.stream import MeteredStream, Opened, give_back, opened
from executionkit.engine.tariff import tariff_of
from executionkit.engine.watch import CallWatch, RunWatch, info_of, was_there, where
from executionkit.errors import BudgetExhaustedError, PatternError
from executionkit.observe import WATCH, CallInfo, RunInfo, observers
from executionkit.protocols import LLMProvider, StreamingProvider
from executionkit.responses import LLMResponse
from executionkit.streaming import ReplyStream, StreamEvent
from executionkit.types import PatternResult, TokenUsage

T = TypeVar("T")
R = TypeVar("R", bound=PatternResult[Any])
K = TypeVar("K", bound="Run")


class Run:
    """One metered stretch of work; itself an `LLMProvider`.

    A run is transparent: attributes it does not have itself (`supports_tools`, `model`, ...) come from
    the provider it wraps, and it has a `stream` only where that has one. An error that leaves `async with`
    carries the run's spend, and the results that `salvage` gives.

    A CancelledError becomes a PatternError where the code inside raised it, but the task was not cancelled.

    Args:
        name: The pattern's name, for messages.
        provider: The model's provider. If it is a run, this one becomes its child.
        max_cost: The ceiling of this run, nested runs included. Defaults to no limit.
        retry: How failed calls are repeated. Defaults to the retries of the run around this one, else to
            `DEFAULT_RETRY`.
        tracker: The ledger to charge. Defaults to a new one.
        salvage: Returns the metadata for an error that leaves the run.
        within: Another run to check and charge as well, for a provider that is not inside it: a judge's
            beside the model that is judged.
        is_dialogue: Whether the calls are turns of one conversation: of a panel, one member makes them all.
            So it is in a run inside a dialogue.
        relay: Makes the provider around a provider that calls of this run, and of the runs inside it, go
            through. It is asked for each provider that a run is made around, and for each member of a panel.
        replies: Those that the relay answers calls with. Such a call counts in the runs inside this one, and
            neither here nor around it, because it was paid for before.

    Attributes:
        name: The pattern's name.
        on_retry: Called before each wait for another attempt, with the number of the attempt that failed, the
            seconds and the error. Of the runs around a call, only the innermost that has one calls it.

    Raises:
        TypeError: `provider` has no `complete` method.
        ValueError: `retry` is not a RetryConfig, or there is a ceiling in dollars and the provider has no
            prices.
    """

    stream: Callable[..., ReplyStream]

    def __init__(
        self,
        name: str,
        provider: LLMProvider,
        *,
        max_cost: TokenUsage | None = None,
        retry: RetryConfig | None = None,
        tracker: CostTracker | None = None,
        salvage: Callable[[], Mapping[str, Any]] | None = None,
        within: "Run | None" = None,
        is_dialogue: bool = False,
        relay: Relaying | None = None,
        replies: Replies | None = None,
    ) -> None:
        parent = provider if isinstance(provider, Run) else None
        if parent is None:
            checks.provider(name, provider)
        if retry is not None and not isinstance(retry, RetryConfig):
            raise ValueError(f"retry must be a RetryConfig or None, got {retry!r}")
        self.name = name
        self._meter = Meter(name, UNLIMITED if max_cost is None else max_cost, tracker)
        self._salvage = salvage
        around = parent if within is None else within
        inherited: RetryConfig = DEFAULT_RETRY if around is None else around._retry
        self._retry: RetryConfig = inherited if retry is None else retry
        self._target: LLMProvider = provider if parent is None else parent._target
        self._dealer: Dealer | None = self._target if isinstance(self._target, Dealer) else None
        self._deal: Deal | None = None if parent is None else parent._deal
        if is_dialogue and self._dealer is not None and self._deal is None:
            self._deal = self._dealer.deal()
        outer = () if within is None else within._levels
        inner = () if parent is None else parent._levels
        if outer:
            inner = tuple([level for level in inner if level not in outer])
        # Without this run itself, and `stream` is no attribute: a job has a run for each of its rows, and
        # whatever refers to itself is only freed by the collector.
        self._around: tuple[Run, ...] = (*inner, *outer)
        self._whole: Run | None = None  # of `_at`: the run that this is a view of
        # Others may charge a tracker that was given: what the run spends itself is in a ledger of its own.
        own = () if tracker is None else (Meter(name, UNLIMITED, None),)
        self._ledgers: tuple[Meter, ...] = (*own, self._meter)
        # A provider that a run wraps has its prices already, loaded or not.
        tariff = tariff_for(self._target) if parent is None else parent._meters.tariff
        around_it = [meter for level in self._around for meter in level._ledgers]
        self._meters: Meters = Meters([*self._ledgers, *around_it], tariff)
        if tariff is None and self._meters.limit_dollars:
            raise ValueError(f"{name}: {no_prices_for(self._target)}")
        self._relays: tuple[Relaying, ...] = () if parent is None else parent._relays
        if relay is not None or (within is not None and within._relays):
            self._relay_through(() if within is None else within._relays, relay)
        replaying = () if around is None else around._replaying
        own_replies = () if replies is None else ((self, replies),)
        self._replaying: tuple[tuple[Run, Replies], ...] = (*own_replies, *replaying)
        self._watch: RunWatch | None = None
        self._result: PatternResult[Any] | None = None
        self.on_retry: Callable[[int, float, Exception], Awaitable[None]] | None = None
        self._halted = False
        self._parked: set[asyncio.Task[Any]] = set()
        self._since = bill.now()
        self._is_entered = False
        # A run that this one is made around has looked: through relays that takes a while.
        supports_tools: Any = (
            getattr(self._target, "supports_tools", None)
            if parent is None
            else vars(parent).get("supports_tools")
        )
        if supports_tools is not None:
            # From Python 3.12 on isinstance(run, ToolCallingProvider) does not ask `__getattr__`.
            self.supports_tools: Any = supports_tools
        self.can_stream: bool = (
            callable(getattr(self._target, "stream", None)) if parent is None else parent.can_stream
        )
        if self.can_stream:
            # Not a method of `Run`: isinstance(run, StreamingProvider) would hold for every run.
            kind: Any = type(self)  # mypy takes the instances' __hash__ for the class's
            self.__class__ = _streaming(kind)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._target, name)

    def __repr__(self) -> str:
        return f"<Run {shorten(self.name, 60)}: {self.usage}>"

    def __reduce__(self) -> Never:
        # A copy would have a budget of its own: the same money could be spent twice.
        raise TypeError(
            "a run, such as that of a Kit or a Conversation, can't be pickled or deep-copied, because its "
            "budget belongs to this process: hand on the provider, or Conversation.to_dict()"
        )

    def _relay_through(self, outer: Sequence[Relaying], own: Relaying | None) -> None:
        """Put the relays that calls don't go through yet around the provider, those of outer runs last."""
        new = [relay for relay in ([] if own is None else [own]) + list(outer) if relay not in self._relays]
        self._relays = (*self._relays, *new)
        if self._dealer is None:
            for relay in new:
                self._target = relay(self._target)

    @property
    def _levels(self) -> "tuple[Run, ...]":
        """This run and those around it, the innermost first."""
        return (self._whole or self, *self._around)

    @property
    def target(self) -> LLMProvider:
        """The provider that answers; of a panel, in a dialogue, the member that it was dealt to."""
        return innermost(self._target) if self._deal is None else self._deal.member

    def takes(self, **keywords: object) -> bool:
        """Whether every provider that calls may go to takes these keywords, as far as signatures say."""
        of_panel = self._dealer.members if self._dealer is not None and self._deal is None else ()
        targets = of_panel or (self.target,)
        return not any(
            misfit(each.complete, [], temperature=0.0, max_tokens=1, **keywords) for each in targets
        )

    @property
    def innermost(self) -> LLMProvider:
        """The provider inside all the runs and relays."""
        return innermost(self._target)

    @property
    def usage(self) -> TokenUsage:
        """The spend of the run so far, nested runs and failed attempts included."""
        return self._meter.tracker.to_usage()

    @property
    def own_usage(self) -> TokenUsage:
        """The spend of the run without what was in the tracker, or others charge to it."""
        return self._ledgers[0].tracker.to_usage()

    @property
    def has_prices(self) -> bool:
        """Whether the provider has prices."""
        return self._meters.tariff is not None

    @property
    def left(self) -> TokenUsage:
        """The rest of `max_cost`, as a budget."""
        return self._meter.left

    @property
    def info(self) -> RunInfo:
        """What observers know of the run: of the innermost one here that they are told of, or of this one."""
        for level in self._levels:
            if level._watch is not None:
                return level._watch.info
        return info_of(self.name, self._target, self._meter.max_cost)

    def shows(self, result: R) -> R:
        """Show observers the figures of a result when the run ends; see `RunSpan.ended`.

        Args:
            result: The result. Its score is shown, and the fields of its class that are numbers, flags, enums
                or `Literal`. Nothing else is, because it may be content.

        Returns:
            The same result.
        """
        self._result = result
        return result

    async def __aenter__(self) -> Self:
        checks.event_loop(self.name)
        self._is_entered = True
        self._since = bill.now()
        if watchers := observers():
            info = info_of(self.name, self._target, self._meter.max_cost)
            self._watch = RunWatch(watchers, info, self._ledgers[0].tracker)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The run may be used again: an evaluator can keep its provider for the next time.
        self._halted = self._is_entered = False
        watch, self._watch = self._watch, None
        result, self._result = self._result, None
        leaving = None if exc is None else self._leaving(exc)
        if watch is not None:
            watch.end(leaving, result)
        if leaving is not None and leaving is not exc:
            raise leaving from exc

    def _leaving(self, exc: BaseException) -> BaseException:
        """The error that leaves the run for `exc`, with its bill."""
        # A halted run around this one cancels tasks in here.
        if isinstance(exc, asyncio.CancelledError) and not (is_being_cancelled() or self._is_halted()):
            # A task group would take it for the end of a cancelled task and say nothing.
            why = "code that the run calls raised CancelledError, though the run was not cancelled"
            exc = PatternError(f"{self.name}: {why}")
        self._attach_bill(exc)
        return exc

    def _attach_bill(self, exc: BaseException) -> None:
        paid = {} if self._salvage is None else dict(self._salvage())
        self._meter.update_message(exc)
        bill.attach(exc, self.name, self.usage, paid, since=self._since)

    def require(
        self, calls: int, *, replies: int | None = None, prompts: Sequence[list[dict[str, Any]]] = ()
    ) -> None:
        """Refuse before the first of `calls` calls when the budget can't pay for all of them.

        Args:
            calls: The number of calls.
            replies: The number of texts they bring; more than `calls` where some bring several. Defaults to
                `calls`.
            prompts: The messages of the calls, whose price is then looked at as well.

        Raises:
            BudgetExhaustedError: Fewer calls are left, or fewer output tokens than one for each reply, or
                fewer dollars than the prompts and a token of each reply are likely to cost.
        """
        replies = calls if replies is None else replies
        requests = [self._request(each, 1, None, 1, is_stream=False) for each in prompts]
        meters, there = self._meters_of_replies()
        if there:
            meters.require(calls, replies)
            meters.require_price(requests)
            calls, replies, requests = max(0, calls - there), max(0, replies - there), requests[there:]
            if not calls:
                return
        self._meters.require(calls, replies)
        if requests:
            self._meters.require_price(requests)

    def _meters_of_replies(self) -> tuple[Meters, int]:
        """The meters that count calls which are answered by replies that are there, and how many are."""
        for run, replies in self._replaying:
            if there := replies.left:
                return self._inside(run), there
        return self._meters, 0

    def _meters_of(self, request: Request, temperature: object, options: object) -> Meters:
        """The meters that count a call: those inside a run that has its reply already."""
        for run, replies in self._replaying:
            if replies.left and replies.has(
                self._target, request.messages, temperature, request.tools, options
            ):
                return self._inside(run)
        return self._meters

    def _inside(self, run: "Run") -> Meters:
        """The meters of the runs inside another one."""
        levels = self._levels[: self._levels.index(run)]
        meters = Meters([meter for level in levels for meter in level._ledgers], self._meters.tariff)
        meters.are_paid = False
        return meters

    async def require_prices(self) -> None:
        """Refuse a ceiling in dollars, here or around it, on a model without a price.

        Raises:
            ValueError: There is such a ceiling, and no price.
        """
        tariff = self._meters.tariff
        if tariff is not None and self._meters.limit_dollars:
            await tariff.get_ready()
            tariff.at_most(1, 1)

    def charge(self, usage: TokenUsage) -> None:
        """Count usage that did not pass through the run, here and in every run around it."""
        self._meters.charge(usage)

    def assume(self, usage: TokenUsage) -> None:
        """Count an estimate of tokens, and their price, against the ceiling of this run; not in `usage`."""
        self._meter.assume(usage, self._meters.tariff)

    def extend(self, usage: TokenUsage) -> None:
        """Raise the run's ceiling, and wake the calls that wait for room.

        Args:
            usage: What is added to each field of `max_cost` that is limited, and not negative. A field that
                has no limit stays without one.

        Raises:
            ValueError: `usage` is not a TokenUsage, or a field is negative.
        """
        checks.budget(usage=usage)
        self._meter.extend(usage)

    def refusal(self, message: str) -> BudgetExhaustedError:
        """The error for a call that a relay refuses because this run has no more; see `has_refused`."""
        return self._meter.refusal(message)

    def has_refused(self, exc: BaseException) -> bool:
        """Whether a ceiling of this run, or of one around it, has raised the error; not of one inside."""
        return any(meter.has_refused(exc) for level in self._levels for meter in level._ledgers)

    def is_retryable(self, exc: BaseException) -> bool:
        """Whether this run repeats a call that failed by `exc`."""
        return self._retry.should_retry(exc)

    def halt(self) -> None:
        """Dispatch nothing more: calls on the wire go on to their end, tasks about to call are cancelled.

        For patterns that fan out. When one branch has failed for good, the calls in flight are paid for and
        worth keeping, but further ones would be paid in vain.
        """
        self._halted = True
        for task in tuple(self._parked):
            task.cancel()

    async def complete(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        is_final: Callable[[Exception], bool] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        """Call the model once, through every budget and with retries; see `LLMProvider.complete`.

        `max_tokens` is lowered to the output tokens that are left when a budget on them is nearly spent.
        An error for which `is_final` is true is raised without a retry.

        Raises:
            BudgetExhaustedError: A limit of this run, or of one around it, can't pay for the call.
            ValueError: `max_tokens` is less than 1.
            TypeError: The provider's `complete` is not async, or did not return an LLMResponse.
        """
        if self._dealer is not None:
            deal = self._dealt(self._dealer, messages, temperature, tools, kwargs)
            asked = {"temperature": temperature, "max_tokens": max_tokens, "tools": tools, **kwargs}
            return await deal.through(partial(self._complete_at, messages, is_final, asked))
        call = None
        if WATCH.is_on or is_logged(DEBUG):
            call = self._watched(messages, temperature, max_tokens, tools, kwargs, is_stream=False)
        request = self._request(messages, max_tokens, tools, kwargs.get("n"), is_stream=False)
        # Not a function in here: it would have a cell for each name, and the collector would look at all.
        attempt = partial(self._attempt, messages, request, call, temperature, kwargs)
        if call is None:
            return await self._retrying(attempt, None, is_final)
        return await call.around(partial(self._retrying, attempt, call, is_final))

    async def _complete_at(
        self,
        messages: list[dict[str, Any]],
        is_final: Callable[[Exception], bool] | None,
        asked: dict[str, Any],
        member: LLMProvider,
    ) -> LLMResponse:
        return await self._at(member).complete(messages, is_final=is_final, **asked)

    async def _attempt(
        self,
        messages: list[dict[str, Any]],
        request: Request,
        call: CallWatch | None,
        temperature: float | None,
        options: dict[str, Any],
    ) -> LLMResponse:
        meters, hold = await self._admitted(request, temperature, options, call)
        token = PARKING.set(self) if isinstance(self._target, Relay) else None
        try:
            pending = self._target.complete(
                messages,
                temperature=temperature,
                max_tokens=hold.max_tokens,
                tools=request.tools,  # type: ignore[arg-type]  # they are those of `complete`
                **options,
            )
            if type(pending) is not CoroutineType and not inspect.isawaitable(pending):
                kind = type(pending).__name__
                raise TypeError(f"{self.name}: `complete` must be async, the provider's returned {kind}")
            reply = await pending
        except BaseException as exc:
            give_back(meters, hold, exc)
            raise
        finally:
            if token is not None:
                PARKING.reset(token)
        if not isinstance(reply, LLMResponse):
            meters.release(hold, dispatched=True)
            kind = type(reply).__name__
            raise TypeError(f"{self.name}: `complete` must return an LLMResponse, the provider gave {kind}")
        if call is not None:
            call.is_replayed |= was_there(reply)
        fault = meters.record(hold, reply)
        if fault is not None:
            raise fault
        return reply

    def open_stream(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> ReplyStream:
        """Stream one call, through every budget; see `StreamingProvider.stream`.

        Entering sends the request and waits for the first event. A failure before that event is retried; a
        failure after it is raised, because the reply is being paid for.

        The call is counted however the stream ends: with the reported usage, or by an estimate from the text
        received when the stream ended before the usage came.

        Raises:
            TypeError: The provider has no `stream`.
            ValueError: `max_tokens` is less than 1.
        """
        if not self.can_stream:
            raise TypeError(
                f"{self.name}: {type(self._target).__name__} has no `stream`: it can't stream replies"
            )
        if self._dealer is not None:
            return DealtStream(
                self._dealt(self._dealer, messages, temperature, tools, kwargs),
                lambda member: self._at(member).open_stream(
                    messages, temperature=temperature, max_tokens=max_tokens, tools=tools, **kwargs
                ),
                measured(messages).in_bytes,
            )
        call = None
        if WATCH.is_on or is_logged(DEBUG):
            call = self._watched(messages, temperature, max_tokens, tools, kwargs, is_stream=True)
        request = self._request(messages, max_tokens, tools, kwargs.get("n"), is_stream=True)

        def open_stream(hold: Hold) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
            target = cast("StreamingProvider", self._target)
            return target.stream(
                messages, temperature=temperature, max_tokens=hold.max_tokens, tools=tools, **kwargs
            )

        async def attempt() -> Opened:
            meters, hold = await self._admitted(request, temperature, kwargs, call)
            token = PARKING.set(self) if isinstance(self._target, Relay) else None
            try:
                return await opened(open_stream, hold, meters)
            finally:
                if token is not None:
                    PARKING.reset(token)

        return MeteredStream(
            lambda: self._retrying(attempt, call),
            measured(messages).in_bytes,
            # An entered run attaches its bill itself, to the error that leaves it.
            _nothing if self._is_entered else self._attach_bill,
            lambda exc: call_log.broke_off(self.name, where(self._target)[0], exc),
            call,
        )

    async def at_one_member(self, work: Callable[["Run"], Awaitable[T]]) -> T:
        """Do some work whose calls all go to the same member, if the provider is a panel.

        Where the member fails for good, the work is done again with the next one.
        """
        if self._dealer is None:
            return await work(self)
        return await (self._deal or self._dealer.deal()).through(lambda member: work(self._at(member)))

    def _dealt(
        self, dealer: Dealer, messages: object, temperature: object, tools: object, options: object
    ) -> Deal:
        """Who a call is dealt to: the member that gave its reply, if that is there already."""
        deal = self._deal or dealer.deal()
        for _, replies in self._replaying:
            if replies.left:
                deal.give_to(
                    partial(
                        replies.has, messages=messages, temperature=temperature, tools=tools, options=options
                    )
                )
        return deal

    def _at(self, member: LLMProvider) -> "Run":
        """This run for the calls of one member, with that member's prices."""
        run = object.__new__(type(self))
        vars(run).update(vars(self))
        run._whole = self._whole or self
        run._target, run._dealer, run._deal = member, None, None
        for relay in self._relays:
            run._target = relay(run._target)
        run._meters = self._meters.priced_by(tariff_of(member))
        return run

    def _watched(
        self,
        messages: list[dict[str, Any]],
        temperature: float | None,
        max_tokens: int | None,
        tools: list[dict[str, Any]] | None,
        options: dict[str, Any],
        *,
        is_stream: bool,
    ) -> CallWatch | None:
        """Where observers are told of a call; None if there are none."""
        watchers = watchers_of_calls()
        if not watchers:
            return None
        model, base_url = where(self._target)
        info = CallInfo(
            self.info, model, base_url, messages, temperature, max_tokens, tools, options, is_stream
        )
        return CallWatch(watchers, info)

    def _request(
        self,
        messages: list[dict[str, Any]],
        max_tokens: int | None,
        tools: list[dict[str, Any]] | None,
        choices: object,
        *,
        is_stream: bool,
    ) -> Request:
        if max_tokens is not None:
            checks.at_least(1, max_tokens=max_tokens)
        return Request(
            messages,
            tools,
            max_tokens,
            default_max_tokens(self._target) if self._meters.are_limited else 0,
            choices_of(choices),
            is_stream,
        )

    async def keep_back(self, max_tokens: int) -> Kept:
        """Keep back one call of every budget, and its output tokens, which no other call can take.

        Args:
            max_tokens: The most output tokens of the call. If less is left, that is kept back.

        Raises:
            BudgetExhaustedError: Nothing is left of some budget.
        """
        if self._is_halted():
            await leave()
        if (tariff := self._meters.tariff) is not None and not tariff.is_ready:
            await self.park(tariff.get_ready())
        meters, _ = self._meters_of_replies()
        hold = meters.try_keep(max_tokens)
        if not isinstance(hold, Hold):
            hold = await self._room_made(hold, lambda: meters.try_keep(max_tokens), None)
        return Kept(meters, hold)

    def can_pay(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, max_tokens: int
    ) -> bool:
        """Whether the budgets can pay for this call beside the calls that are kept back."""
        meters, _ = self._meters_of_replies()
        return meters.can_pay(self._request(messages, max_tokens, tools, 1, is_stream=False))

    async def _admitted(
        self, request: Request, temperature: object, options: object, call: CallWatch | None
    ) -> tuple[Meters, Hold]:
        """Wait until every budget that counts the request has room for it, and reserve it."""
        if self._is_halted():
            await leave()
        if (tariff := self._meters.tariff) is not None and not tariff.is_ready:
            await self.park(tariff.get_ready())
        while True:
            counting = self._meters_of(request, temperature, options) if self._replaying else self._meters
            meters = counting
            if call is not None:
                meters = counting.beside(call.ledger)
                call.is_replayed = not counting.are_paid
            hold = meters.try_hold(request)
            if isinstance(hold, Hold):  # nearly always
                return meters, hold
            hold = await self._room_made(hold, partial(meters.try_hold, request), call)
            if counting is self._meters or self._meters_of(request, temperature, options) is not self._meters:
                return meters, hold
            meters.release(hold, dispatched=False)  # an equal request got the reply meanwhile

    async def _room_made(
        self, room: Room, try_hold: Callable[[], Hold | Room], call: CallWatch | None
    ) -> Hold:
        """Wait in the queue of one room after the other until `try_hold` finds place in all."""
        hold: Hold | Room = room
        loop = asyncio.get_running_loop()
        began = loop.time()
        place = room.join()
        try:
            while not isinstance(hold, Hold):
                if hold is not room:
                    room.wake_next()
                    room, place = hold, hold.join()
                await self.park(room.wait(place))
                hold = try_hold()
        finally:
            room.wake_next()  # there may be room for one more
        seconds = loop.time() - began
        if call is not None:
            call.tell(lambda span: span.waiting(seconds))
        call_log.waited(self.name, seconds)
        return hold

    def _retrying(
        self,
        attempt: Callable[[], Awaitable[T]],
        call: CallWatch | None,
        is_final: Callable[[Exception], bool] | None = None,
    ) -> Awaitable[T]:
        pause = self._pause if call is None else partial(self._pause, call=call)
        return retrying(attempt, self._retry, pause=pause, stopped=self._is_halted, is_final=is_final)

    def _is_halted(self) -> bool:
        # Each call asks, and a generator for any() would cost more than the rest of the answer.
        if (self._whole or self)._halted:
            return True
        for level in self._around:  # noqa: SIM110
            if level._halted:
                return True
        return False

    async def _pause(
        self, seconds: float, attempt: int, error: Exception, call: CallWatch | None = None
    ) -> None:
        if call is not None:
            call.tell(lambda span: span.retrying(attempt, error, seconds), error)
        # A governor's refusals use up no retry.
        attempts = max(self._retry.max_retries, attempt) + 1
        call_log.retrying(self.name, where(self._target)[0], attempt, attempts, error, seconds)
        for level in self._levels:
            if level.on_retry is not None:
                await level.on_retry(attempt, seconds, error)
                if self._is_halted():  # meanwhile
                    await leave()
                break
        await self.park(waited(self._retry, seconds))

    async def park(self, waiting: Awaitable[T]) -> T:
        """Wait where `halt` can reach the task."""
        task = this_task()
        for level in self._levels:
            level._parked.add(task)
        try:
            return await waiting
        finally:
            for level in self._levels:
                level._parked.discard(task)


@cache
def _streaming(kind: type[K]) -> type[K]:
    """The class of the runs that can stream."""
    members = {"stream": Run.open_stream, "__module__": kind.__module__}
    return cast("type[K]", type(kind.__name__, (kind,), members))


def _nothing(_: BaseException) -> None:
    """Attach nothing to an error."""
