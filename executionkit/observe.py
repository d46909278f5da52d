"""Observers: told of every run, call, retry, wait and tool while they happen."""

import re
import threading
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import Any, Final, Protocol

from executionkit._display import Brief
from executionkit.responses import LLMResponse, ToolCall
from executionkit.types import TokenUsage, Tool

__all__ = [
    "FAILURES",
    "CallInfo",
    "CallSpan",
    "LeftEarlyError",
    "Observer",
    "RunInfo",
    "RunSpan",
    "ToolInfo",
    "ToolSpan",
    "install",
    "observe",
    "uninstall",
]


@dataclass(frozen=True, slots=True)
class RunInfo(Brief):
    """A pattern, a pipe or a `Run` that begins.

    Attributes:
        name: The pattern's name, such as "consensus".
        model: The provider's model; None if it does not say.
        base_url: The provider's base URL, without credentials and query; None if it does not say.
        max_cost: The run's own ceiling; None for no limit.
    """

    name: str
    model: str | None
    base_url: str | None
    max_cost: TokenUsage | None


@dataclass(frozen=True, slots=True)
class CallInfo(Brief):
    """A call of the model that begins, its retries included.

    Attributes:
        run: The run that makes it: the innermost one that was begun. Where none was, as for `Kit.stream`,
            `Observer.run` was never called for it.
        model: The provider's model; None if it does not say.
        base_url: The provider's base URL, without credentials and query; None if it does not say.
        messages: The conversation, as it is sent. It is content: log or export it only if asked to.
        temperature: As the caller gave it; None for the provider's default.
        max_tokens: As the caller gave it; None for the provider's default.
        tools: The tools that are sent; None for none.
        options: Further arguments of the call, such as `seed`, `stop` or `n`.
        streamed: Whether the reply is streamed to the caller.
    """

    run: RunInfo
    model: str | None
    base_url: str | None
    messages: Sequence[Mapping[str, Any]] = field(repr=False)
    temperature: float | None
    max_tokens: int | None
    tools: Sequence[Mapping[str, Any]] | None = field(repr=False)
    options: Mapping[str, Any] = field(repr=False)
    streamed: bool


@dataclass(frozen=True, slots=True)
class ToolInfo(Brief):
    """A call of a tool that begins. Calls that are not run are told of too; see `ToolSpan.ended`.

    Attributes:
        run: The run whose model asked for it.
        call: The call: name, arguments and id. The arguments are content.
        tool: The tool; None if there is none of that name, or if the call gives the loop its answer.
    """

    run: RunInfo
    call: ToolCall
    tool: Tool | None


class RunSpan:
    """What an observer is told of one run. Each method does nothing; override those that you need."""

    def ended(self, usage: TokenUsage, error: BaseException | None, figures: Mapping[str, object], /) -> None:
        """The run has ended.

        Args:
            usage: What it spent, nested runs included.
            error: The exception that leaves it; None if it succeeded.
            figures: What the pattern says of its result, such as `agreement_ratio` or `rounds`.
        """


class CallSpan:
    """What an observer is told of one call. Each method does nothing; override those that you need."""

    def waiting(self, seconds: float, /) -> None:
        """The call waited for room in a budget, and goes on.

        Args:
            seconds: How long it waited.
        """

    def retrying(self, attempt: int, error: Exception, wait: float, /) -> None:
        """An attempt failed, and another one follows.

        Args:
            attempt: The number of the attempt that failed, from 1.
            error: Its error.
            wait: The wait before the next attempt, in seconds.
        """

    def began(self) -> None:
        """The first event of a streamed reply has come."""

    def partial(self, response: LLMResponse, /) -> None:
        """A streamed reply ended before its end. `failed` follows, and says why.

        Args:
            response: The reply so far. Its `finish_reason` is "incomplete".
        """

    def replayed(self) -> None:
        """The reply was in a journal: nothing is sent, and `spent` tells of no cost."""

    def spent(self, usage: TokenUsage, /) -> None:
        """The call has ended, and this is what it cost. `answered` or `failed` follows.

        Args:
            usage: What was counted for it, failed attempts included. Those of a run's calls add up to the
                usage of the run.
        """

    def answered(self, response: LLMResponse, /) -> None:
        """The reply is complete.

        Args:
            response: The reply.
        """

    def failed(self, error: BaseException, /) -> None:
        """The call failed for good, or was cancelled, or the stream broke off or was left early.

        Args:
            error: Why. For a stream that its reader left, it is a `LeftEarlyError`.
        """


class ToolSpan:
    """What an observer is told of one call of a tool. The method does nothing; override it."""

    def ended(self, text: str, error: BaseException | None, /, *, ran: bool, truncated: bool) -> None:
        """The tool has ended, or is not run.

        Args:
            text: The observation for the model. It is content. "" if the run is cancelled.
            error: The tool's own exception, a TimeoutError if it overran its time, or the exception that
                cancels it; None if it returned.
            ran: Whether the tool ran.
            truncated: Whether the observation was cut.
        """


class LeftEarlyError(Exception):
    """A stream was left before its end. It is never raised; `CallSpan.failed` receives it."""


class Observer(Protocol):
    """Is told of runs, calls and tools.

    Each method returns a context manager that is entered when the thing begins, and left when it has ended,
    so that spans of the user's code nest inside. It is entered and left in the same task, but for a streamed
    call (`CallInfo.streamed`): its stream may be left in another task, so it must set no context variable.

    Exceptions of an observer are logged by the logger `executionkit.observe`, and counted in `FAILURES`. They
    never reach the run. Nor can a context manager suppress the exception of a run.
    """

    def run(self, info: RunInfo, /) -> AbstractContextManager[RunSpan]:
        """A run begins."""
        ...

    def call(self, info: CallInfo, /) -> AbstractContextManager[CallSpan]:
        """A call of the model begins."""
        ...

    def tool(self, info: ToolInfo, /) -> AbstractContextManager[ToolSpan]:
        """A tool is called."""
        ...


_ANSWER_TOOL: Final = re.compile(r"final_answer(_\d+)?")

FAILURES: Final[Counter[str]] = Counter()
"""How often observers have raised in this process, by the observer's class and the exception's."""

_lock = threading.Lock()
_installed: tuple[Observer, ...] = ()
_here: ContextVar[tuple[Observer, ...]] = ContextVar("executionkit.observers", default=())


class _Watch:
    """Whether any observer was ever given: until then a call need not look into its context."""

    __slots__ = ("is_on",)

    def __init__(self) -> None:
        self.is_on: bool = False


WATCH: Final = _Watch()


def install(observer: Observer) -> None:
    """Tell an observer of everything that begins in this process from now on.

    An observer that is installed already is told once.

    Args:
        observer: The observer.

    Raises:
        TypeError: It lacks a method, or a method is async.
    """
    global _installed
    _check(observer)
    with _lock:
        WATCH.is_on = True
        _installed = (*_without(_installed, observer), observer)


def uninstall(observer: Observer) -> None:
    """Tell an observer of nothing that begins from now on. It is told of the end of what has begun.

    Args:
        observer: An observer that may have been installed.
    """
    global _installed
    with _lock:
        _installed = _without(_installed, observer)


@contextmanager
def observe(observer: Observer) -> Generator[None, None, None]:
    """Tell an observer of everything that the block begins, in tasks and threads that it starts too.

    Blocks nest: the observers of all of them are told, the outermost first, and before them those of
    `install`. A block is left in the task that entered it. If another task leaves it, the observer is told
    further of what the first one begins.

    Args:
        observer: The observer.

    Raises:
        TypeError: It lacks a method, or a method is async.
    """
    _check(observer)
    WATCH.is_on = True
    before = _here.get()
    within = (*_without(before, observer), observer)
    _here.set(within)
    try:
        yield
    finally:
        # Not by a token: the block may be left after one around it, or in another task.
        here = _here.get()
        _here.set(before if here is within else _without(here, observer))


def observers() -> tuple[Observer, ...]:
    """The observers that are told of what begins here and now, the outermost first."""
    if not WATCH.is_on:
        return ()
    here = _here.get()
    if not here:
        return _installed
    return (*(each for each in _installed if not any(each is other for other in here)), *here)


def gives_answer(name: str) -> bool:
    """Whether `react_loop` may have given a name to the tool that takes its answer.

    Any other name without a tool is made up by the model, and content.
    """
    return _ANSWER_TOOL.fullmatch(name) is not None


def _without(several: tuple[Observer, ...], one: Observer) -> tuple[Observer, ...]:
    return tuple(each for each in several if each is not one)


def _check(observer: object) -> None:
    if isinstance(observer, type):
        fault = f"{observer.__name__} is a class"
    else:
        methods = {name: getattr(observer, name, None) for name in ("run", "call", "tool")}
        faults = [f"it has no {name}" for name, method in methods.items() if not callable(method)]
        faults += [f"its {name} is async" for name, method in methods.items() if iscoroutinefunction(method)]
        if not faults:
            return
        fault = faults[0]
    raise TypeError(f"an observer needs the methods run, call and tool; {fault}, got {observer!r}")
