"""`Run`: a provider around a provider that budgets, retries and counts every model call inside it.

Whatever a pattern, step, evaluator or tool is handed as its provider is a run, and a run made around a run
is its child: each call is checked against, and charged to, the run and all its ancestors.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

from executionkit import _checks as checks
from executionkit._text import size_of
from executionkit.cost import UNLIMITED, CostTracker
from executionkit.engine.bill import enrich, without_cost
from executionkit.engine.budget import Hold, Meter, Metering, Request
from executionkit.engine.parallel import is_being_cancelled, waiting_tasks
from executionkit.engine.retry import DEFAULT_RETRY, RetryConfig, retrying, waited
from executionkit.engine.stream import MeteredStream, Opened, opened, refuse_own_cancellation
from executionkit.errors import PatternError
from executionkit.protocols import LLMProvider, StreamingProvider
from executionkit.responses import LLMResponse
from executionkit.streaming import ReplyStream, StreamEvent
from executionkit.types import TokenUsage

T = TypeVar("T")

DEFAULT_MAX_TOKENS: Final = 4096
"""What a call is held to be able to cost when neither it nor its provider says, as in the patterns."""


class Run:
    """One metered stretch of work; itself an `LLMProvider`.

    A run is transparent: attributes it does not have itself (`supports_tools`, `model`, ...) come from
    the provider it wraps, and it has a `stream` only where that has one. Leaving `async with` by an error
    puts the run's spend, and what `salvage` says was already paid for, on that error.

    A CancelledError that the code it calls raises though nobody cancelled the task is a PatternError.

    Args:
        name: What the run is called in messages: the pattern's name.
        provider: What answers; when it is a run, this one becomes its child.
        max_cost: The ceiling of this run, nested runs included; None or a zero field is no limit.
        retry: How failed calls are repeated; None means `DEFAULT_RETRY`.
        tracker: A ledger to charge instead of one of the run's own.
        salvage: Gives the metadata for an error that leaves the run.
        within: Another run whose budgets hold for this one too, and which is charged as well, where
            `provider` is not inside it: a judge beside the model that is judged.

    Raises:
        TypeError: `provider` has no `complete` method.
        ValueError: `retry` is not a RetryConfig.
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
    ) -> None:
        _check_provider(name, provider)
        if retry is not None and not isinstance(retry, RetryConfig):
            raise ValueError(f"retry must be a RetryConfig or None, got {retry!r}")
        self.name = name
        self._meter = Meter(
            name,
            UNLIMITED if max_cost is None else max_cost,
            CostTracker() if tracker is None else tracker,
        )
        inherited: RetryConfig = DEFAULT_RETRY if within is None else within._retry
        self._retry: RetryConfig = inherited if retry is None else retry
        self._salvage = salvage
        parent = provider if isinstance(provider, Run) else None
        self._target: LLMProvider = provider if parent is None else parent._target
        around = (*(parent._levels if parent else ()), *(within._levels if within else ()))
        self._levels: tuple[Run, ...] = tuple(dict.fromkeys((self, *around)))
        self._metering = Metering([level._meter for level in self._levels])
        self._halted = False
        self._parked: set[asyncio.Task[Any]] = set()
        self._enriched_inside: int | None = None
        self._is_entered = False
        supports_tools = getattr(self._target, "supports_tools", None)
        if supports_tools is not None:
            # From Python 3.12 on isinstance(run, ToolCallingProvider) does not ask `__getattr__`.
            self.supports_tools: Any = supports_tools
        self.can_stream: bool = callable(getattr(self._target, "stream", None))
        if self.can_stream:
            # Not a method of the class: isinstance(run, StreamingProvider) would hold for every run.
            self.stream = self.open_stream

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._target, name)

    def __repr__(self) -> str:
        return f"<Run {self.name}: {self.usage}>"

    @property
    def target(self) -> LLMProvider:
        """The provider that answers in the end, whatever runs are around it."""
        return self._target

    @property
    def usage(self) -> TokenUsage:
        """What the run has spent so far, nested runs and failed attempts included."""
        return self._meter.tracker.to_usage()

    @property
    def left(self) -> TokenUsage:
        """What is left of `max_cost`, as a budget."""
        return self._meter.left

    async def __aenter__(self) -> Self:
        self._is_entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # An evaluator may keep its provider for the next time: that is over, not being wound up.
        self._halted = self._is_entered = False
        if exc is None:
            return
        # A run around this one that is wound up cancels tasks in here.
        if isinstance(exc, asyncio.CancelledError) and not (is_being_cancelled() or self._is_halted()):
            # As it is it would pass for a cancellation of the run, which task groups swallow.
            why = "code that the run calls raised CancelledError, though nobody cancelled the run"
            replacement = PatternError(f"{self.name}: {why}")
            self._enrich(replacement)
            raise replacement from exc
        self._enrich(exc)

    def _enrich(self, exc: BaseException) -> None:
        paid = {} if self._salvage is None else dict(self._salvage())
        # Known by its id: a reference would keep the error, and the frames it came through, alive.
        from_inside = self._enriched_inside == id(exc)
        if len(self._levels) > 1:
            self._levels[1]._enriched_inside = id(exc)
        self._meter.retell(exc)
        enrich(exc, self.name, self.usage, paid, from_inside=from_inside)

    def require(self, calls: int, *, replies: int | None = None) -> None:
        """Refuse before the first of `calls` calls when the budget can't pay for all of them.

        Args:
            calls: How many calls there will be.
            replies: How many texts they bring where some bring several; `calls` by default.

        Raises:
            BudgetExhaustedError: Fewer calls are left, or fewer output tokens than one for each reply.
        """
        self._metering.require(calls, calls if replies is None else replies)

    def charge(self, usage: TokenUsage) -> None:
        """Count what was spent beside the run, here and in every run around it."""
        self._metering.charge(usage)

    def is_retryable(self, exc: BaseException) -> bool:
        """Whether this run repeats a call that failed like this."""
        return self._retry.should_retry(exc)

    def halt(self) -> None:
        """Dispatch nothing more: calls on the wire go on to their end, tasks about to call are cancelled.

        For patterns that fan out: when one branch has failed for good, what is in flight is paid for and
        worth keeping, and anything further would be paid in vain.
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
        **kwargs: Any,
    ) -> LLMResponse:
        """One call through every budget, with retries; see `LLMProvider.complete`.

        `max_tokens` is lowered to what is left where a budget on output tokens is nearly spent.

        Raises:
            BudgetExhaustedError: A limit of this run or of one around it is used up.
            ValueError: `max_tokens` is less than 1.
            TypeError: The provider's `complete` is not async, or returned something else than a response.
        """
        request = self._request(messages, max_tokens, tools, kwargs)

        async def attempt() -> LLMResponse:
            hold = await self._admitted(request)
            try:
                pending = self._target.complete(
                    messages, temperature=temperature, max_tokens=hold.max_tokens, tools=tools, **kwargs
                )
                if not inspect.isawaitable(pending):
                    kind = type(pending).__name__
                    raise TypeError(f"{self.name}: `complete` must be async, the provider's returned {kind}")
                reply = await pending
            except BaseException as exc:
                self._metering.release(hold, dispatched=getattr(exc, "dispatched", True) is not False)
                without_cost(exc)
                refuse_own_cancellation(exc)
                raise
            if not isinstance(reply, LLMResponse):
                self._metering.release(hold, dispatched=True)
                kind = type(reply).__name__
                raise TypeError(
                    f"{self.name}: `complete` must return an LLMResponse, the provider gave {kind}"
                )
            self._metering.record(hold, reply)
            return reply

        return await self._retrying(attempt)

    def open_stream(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> ReplyStream:
        """One streamed call through every budget; see `StreamingProvider.stream`, as which a run offers it.

        Entering sends the request and waits for the first event. Until then a failure is retried as any
        other; once something has come, a failure is raised: the reply is being paid for.

        However the stream ends, the call is counted: with the usage that was reported, or where it ended
        before that, with an estimate from the text that had come.

        Raises:
            TypeError: The provider has no `stream`.
            ValueError: `max_tokens` is less than 1.
        """
        if not self.can_stream:
            raise TypeError(
                f"{self.name}: {type(self._target).__name__} has no `stream`: it can't stream replies"
            )
        request = self._request(messages, max_tokens, tools, kwargs)

        def open_stream(hold: Hold) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
            target = cast("StreamingProvider", self._target)
            return target.stream(
                messages, temperature=temperature, max_tokens=hold.max_tokens, tools=tools, **kwargs
            )

        async def attempt() -> Opened:
            hold = await self._admitted(request)
            return await opened(open_stream, hold, self._metering)

        return MeteredStream(
            lambda: self._retrying(attempt),
            self._metering,
            size_of(repr(messages)),
            # An error that leaves an entered run gets it there, once: a pipe counts what a step's error cost.
            _as_it_is if self._is_entered else self._enrich,
        )

    def _request(
        self,
        messages: list[dict[str, Any]],
        max_tokens: int | None,
        tools: list[dict[str, Any]] | None,
        further: Mapping[str, Any],
    ) -> Request:
        if max_tokens is not None:
            checks.at_least(1, max_tokens=max_tokens)
        choices = further.get("n")
        return Request(
            messages,
            tools,
            max_tokens,
            self._default_max_tokens() if self._metering.is_limited else 0,
            choices if isinstance(choices, int) and choices > 1 else 1,
        )

    async def _admitted(self, request: Request) -> Hold:
        """Wait until every budget has room for the request, and reserve it."""
        if self._is_halted():
            await _leave()
        hold = self._metering.try_hold(request)
        if isinstance(hold, Hold):
            return hold
        ledger, place = hold, hold.take_place()
        try:
            while not isinstance(hold, Hold):
                if hold is not ledger:
                    ledger.wake_next()
                    ledger, place = hold, hold.take_place()
                await self._park(ledger.settled(place, waiting_tasks()))
                hold = self._metering.try_hold(request)
            return hold
        finally:
            ledger.wake_next()  # there may be room for one more

    def _retrying(self, attempt: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        return retrying(attempt, self._retry, pause=self._pause, stopped=self._is_halted)

    def _default_max_tokens(self) -> int:
        default = getattr(self._target, "default_max_tokens", None)
        return default if isinstance(default, int) and default > 0 else DEFAULT_MAX_TOKENS

    def _is_halted(self) -> bool:
        return any(level._halted for level in self._levels)

    async def _pause(self, seconds: float) -> None:
        await self._park(waited(self._retry, seconds))

    async def _park(self, waiting: Awaitable[object]) -> None:
        """Wait where `halt` can reach the task."""
        task = _this_task()
        for level in self._levels:
            level._parked.add(task)
        try:
            await waiting
        finally:
            for level in self._levels:
                level._parked.discard(task)


def _check_provider(name: str, provider: object) -> None:
    if isinstance(provider, type):
        found = f"{provider.__name__} is a class, not an instance of it"
    elif not callable(getattr(provider, "complete", None)):
        found = f"{type(provider).__name__} has no `complete`"
    else:
        return
    wanted = "an async `complete(messages, *, temperature, max_tokens, tools, **kwargs)`"
    raise TypeError(f"{name}: the provider needs {wanted}; {found}")


def _as_it_is(_: BaseException) -> None:
    """Put nothing on an error."""


async def _leave() -> None:
    """Cancel the current task: the run it works for was halted."""
    _this_task().cancel()
    await asyncio.get_running_loop().create_future()


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:  # pragma: no cover - a coroutine always runs in a task
        raise RuntimeError("a run can wait only inside a task")
    return task
