"""`Line`: the calls that wait for room, and how they get it."""

import asyncio
import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeGuard

from executionkit._prompt import measured
from executionkit.engine.relay import parked
from executionkit.engine.request import choices_of
from executionkit.engine.retry import mark_of_account, mark_paced
from executionkit.errors import (
    LLMError,
    ProviderError,
    RateLimitError,
    mark_not_dispatched,
    was_dispatched,
)
from executionkit.many._limits import pace_log
from executionkit.many._limits.pace import LONGEST_PAUSE, Pace, Ticket
from executionkit.many._limits.quota import Quota
from executionkit.many._limits.sizes import Size, Sizes
from executionkit.responses import LLMResponse

_LOOK_AGAIN: Final = 1.0
"""The most seconds until a loop whose calls wait looks at the line again, whatever the other loops do."""

_OVERLOADED: Final = (503, 529)
_OF_TOKENS: Final = re.compile(r"\btokens?\b|\bTPM\b|\bITPM\b|\bOTPM\b", re.IGNORECASE)
_OF_REQUESTS: Final = re.compile(r"\brequests per|\bRPM\b|\brequests?[-_ ](?:limit|rate)", re.IGNORECASE)


class Line:
    """The calls of one account: those in flight, and those that wait, in their order.

    Event loops and threads share it. Each loop whose calls wait has a timer of its own, so that one that is
    blocked or closed holds up no other.

    Args:
        requests: The calls a second; None if that is not known.
        tokens: The tokens a second; None if that is not known.
        max_in_flight: The most calls at once.
        adaptive: Whether rates are learnt.
        burst: The seconds of a rate that may be sent at once.
        clock: Returns the seconds that have passed.
    """

    def __init__(
        self,
        requests: float | None,
        tokens: float | None,
        max_in_flight: int,
        *,
        adaptive: bool,
        burst: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._adaptive = adaptive
        self._known = requests is not None, tokens is not None
        self._pace = Pace(requests, tokens, max_in_flight, adaptive=adaptive, burst=burst)
        self._sizes = Sizes()
        self._quotas = Quota("requests"), Quota("tokens")
        self._lock = threading.RLock()
        self._line: deque[_Waiter] = deque()
        self._loops: dict[asyncio.AbstractEventLoop, _Alarm] = {}
        self._open: dict[Ticket, asyncio.AbstractEventLoop] = {}

    @property
    def in_flight(self) -> int:
        """The calls that were sent and have not ended."""
        return self._pace.in_flight

    @property
    def waiting(self) -> int:
        """The calls that wait."""
        return len(self._line)

    @property
    def refused(self) -> int:
        """The calls that were refused."""
        return self._pace.refused

    @property
    def allowed(self) -> float | None:
        """The calls a second that may be sent; None before anything is known."""
        with self._lock:
            requests, tokens = self._pace.rates(self._clock())
            by_tokens = None if tokens is None else tokens / self._sizes.mean
        return min((each for each in (requests, by_tokens) if each is not None), default=None)

    def scale(self, part: float) -> None:
        """Keep to a part of the given rates from now on."""
        with self._lock:
            self._pace.scale(self._clock(), part)
            self._move()

    def size_of(
        self, messages: object, tools: Sequence[Mapping[str, Any]] | None, choices: object
    ) -> Size | None:
        """The size of a call; None where no limit of tokens is known."""
        if not self._known[1] and self._pace.rates(self._clock())[1] is None:
            return None
        size = measured(messages)
        tool_bytes = len(repr(tools)) if tools else 0
        return Size(size.text_bytes + tool_bytes, size.parts, choices_of(choices))

    async def enter(self, size: Size | None, *, beside: bool) -> Ticket:
        """Wait for room, and take it."""
        tokens = self._sizes.estimate(size)
        loop = asyncio.get_running_loop()
        with self._lock:
            now = self._clock()
            if not self._line or beside:
                self._refuse_if_long(now)
                if self._pace.wait(now, tokens, beside=beside) <= 0:
                    return self._send(now, tokens, loop)
            waiter = _Waiter(loop, tokens, beside=beside)
            # A stream of its task holds room until it ends, so those ahead may wait for this one.
            self._line.appendleft(waiter) if beside else self._line.append(waiter)
            alarm = self._loops.get(loop)
            if alarm is None:
                alarm = self._loops[loop] = _Alarm()
            alarm.waiting += 1
            self._move()
        try:
            return await parked(waiter.turn)
        except BaseException as exc:
            mark_not_dispatched(exc)
            with self._lock:
                if waiter.ticket is not None:
                    self._leave(waiter.ticket, self._pace.give_back)
                else:
                    self._drop(waiter)
                    self._move()
            raise

    def _refuse_if_long(self, now: float) -> None:
        pause = self._pace.paused(now)
        if pause > LONGEST_PAUSE:
            raise _closed(pause)

    def _send(self, now: float, tokens: float, loop: asyncio.AbstractEventLoop) -> Ticket:
        ticket = self._pace.send(now, tokens)
        self._open[ticket] = loop
        return ticket

    def _leave(self, ticket: Ticket, how: Callable[[Ticket], object]) -> None:
        with self._lock:
            self._open.pop(ticket, None)
            how(ticket)
            self._move()

    def answered(self, ticket: Ticket, size: Size | None, reply: LLMResponse) -> None:
        """End a call that was answered; a cache's answer needed no room."""
        if reply.is_from_cache:
            self._leave(ticket, self._pace.give_back)
            return
        with self._lock:
            prompt, written = reply.input_tokens, reply.output_tokens
            if total := prompt + written:
                self._sizes.learn(size, prompt, written)
            tokens = float(total) if total else None
            if reply.headers and self._adaptive:
                self._read(reply.headers)
            self._leave(ticket, lambda each: self._pace.answer(each, tokens))

    def _read(self, headers: Mapping[str, str]) -> None:
        """Begin with a rate that the server names, and that is not given."""
        for index, quota in enumerate(self._quotas):
            rate = None if self._known[index] else quota.read(headers)
            if rate is not None:
                self._pace.seed(self._clock(), rate, of_tokens=bool(index))
                pace_log.named(None if index else rate, rate if index else None)

    def failed(self, ticket: Ticket, exc: BaseException) -> None:
        """End a call that failed; a refusal makes all calls wait."""
        if not was_dispatched(exc):
            self._leave(ticket, self._pace.give_back)
            return
        if not _is_refusal(exc):
            self._leave(ticket, self._pace.fail)
            return
        wait = max(0.0, _seconds(exc.retry_after))
        of_tokens = _says_tokens(exc) if isinstance(exc, RateLimitError) else None
        with self._lock:
            now = self._clock()
            before = self._pace.paused(now)
            is_lesson = self._pace.refuse(now, ticket, wait, of_tokens=of_tokens)
            pause = self._pace.paused(now)
            in_vain = self._pace.seconds_without_answer(now)
            requests, tokens = self._pace.rates(now)
            if pause > LONGEST_PAUSE or in_vain > LONGEST_PAUSE:
                mark_of_account(exc)
            else:
                mark_paced(exc)
            self._leave(ticket, self._pace.fail)
        if is_lesson:
            pace_log.learnt(requests, tokens, pause)
        elif pause > before + 1:
            pace_log.paused(pause)

    def _move(self) -> None:
        """Let go those at the head of the line for whom there is room, and set the alarms."""
        if not self._line:
            return
        now = self._clock()
        pause = self._pace.paused(now)
        wait = 0.0
        while self._line:
            waiter = self._line[0]
            if waiter.turn.done() or waiter.loop.is_closed():
                self._drop(waiter)
                continue
            if pause > LONGEST_PAUSE:
                self._drop(waiter)
                waiter.wake(None, _closed(pause))
                continue
            wait = self._pace.wait(now, waiter.tokens, beside=waiter.beside)
            if wait == math.inf and self._sweep():
                continue
            if wait > 0:
                break
            self._drop(waiter)
            waiter.ticket = self._send(now, waiter.tokens, waiter.loop)
            waiter.wake(waiter.ticket, None)
        if self._line:
            self._set_alarm(min(wait, _LOOK_AGAIN))

    def _drop(self, waiter: "_Waiter") -> None:
        if self._line and self._line[0] is waiter:
            self._line.popleft()
        else:
            try:
                self._line.remove(waiter)
            except ValueError:
                return
        alarm = self._loops[waiter.loop]
        alarm.waiting -= 1
        if not alarm.waiting:
            del self._loops[waiter.loop]
            if alarm.handle is not None and not waiter.loop.is_closed():
                alarm.cancel(waiter.loop)

    def _sweep(self) -> bool:
        """Give up the calls of loops that were closed around them."""
        lost = [ticket for ticket, loop in self._open.items() if loop.is_closed()]
        for ticket in lost:
            del self._open[ticket]
            self._pace.fail(ticket)
        return bool(lost)

    def _set_alarm(self, seconds: float) -> None:
        """Look at the line again after so many seconds, in the running loop or in one whose calls wait."""
        loop = _running_loop()
        alarm = self._loops.get(loop) if loop is not None else None
        if loop is not None and alarm is not None:
            alarm.set(loop, seconds, self._alarmed)
            return
        head = self._line[0].loop
        head.call_soon_threadsafe(self._alarmed, head)

    def _alarmed(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            alarm = self._loops.get(loop)
            if alarm is not None:
                alarm.handle = None
                self._move()


class _Waiter:
    """A call in the line."""

    __slots__ = ("beside", "loop", "ticket", "tokens", "turn")

    def __init__(self, loop: asyncio.AbstractEventLoop, tokens: float, *, beside: bool) -> None:
        self.loop = loop
        self.tokens = tokens
        self.beside = beside
        self.turn: asyncio.Future[Ticket] = loop.create_future()
        self.ticket: Ticket | None = None

    def wake(self, ticket: Ticket | None, error: Exception | None) -> None:
        if _running_loop() is self.loop:
            self._set(ticket, error)
            return
        try:
            self.loop.call_soon_threadsafe(self._set, ticket, error)
        except RuntimeError:  # it was closed at this moment; `_sweep` finds the ticket
            return

    def _set(self, ticket: Ticket | None, error: Exception | None) -> None:
        if self.turn.done():
            return
        if error is not None:
            self.turn.set_exception(error)
        elif ticket is not None:
            self.turn.set_result(ticket)


class _Alarm:
    """The timer of one event loop whose calls wait."""

    __slots__ = ("at", "handle", "waiting")

    def __init__(self) -> None:
        self.at = 0.0
        self.handle: asyncio.TimerHandle | None = None
        self.waiting = 0

    def set(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        ring: Callable[[asyncio.AbstractEventLoop], None],
    ) -> None:
        at = loop.time() + seconds
        if self.handle is not None:
            if self.at <= at + 0.0005:
                return
            self.handle.cancel()
        # Not asked of the handle: that of uvloop has no `when` if the time has come.
        self.at, self.handle = at, loop.call_later(seconds, ring, loop)

    def cancel(self, loop: asyncio.AbstractEventLoop) -> None:
        handle, self.handle = self.handle, None
        if handle is not None and _running_loop() is loop:  # else it rings once, for nothing
            handle.cancel()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _closed(pause: float) -> RateLimitError:
    """The error of calls that are not sent, because the server asks for a very long wait."""
    error = RateLimitError(
        f"the server takes no calls for the next {_duration(pause)}: come back then",
        retry_after=pause,
        dispatched=False,
    )
    mark_of_account(error)
    return error


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min"


def _is_refusal(exc: BaseException) -> TypeGuard[LLMError]:
    """Whether a server took no call: for a limit, or because it is overloaded and says for how long."""
    if isinstance(exc, RateLimitError):
        return True
    return isinstance(exc, ProviderError) and exc.status_code in _OVERLOADED and exc.retry_after is not None


def _says_tokens(exc: LLMError) -> bool:
    """Whether the server's words tell of a limit of tokens."""
    said = f"{exc.code or ''} {exc} {exc.body or ''}"[:4_000]
    return _OF_TOKENS.search(said) is not None and _OF_REQUESTS.search(said) is None


def _seconds(asked: object) -> float:
    """The seconds a server asked for. Other people's providers may pass the header on as text."""
    try:
        seconds = float(asked)  # type: ignore[arg-type]  # a TypeError is caught
    except (TypeError, ValueError):
        return 1.0
    return seconds if math.isfinite(seconds) else LONGEST_PAUSE * 2
