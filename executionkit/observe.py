"""Observers: told of every run, call, retry, wait and tool while they happen."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from executionkit.responses import LLMResponse, ToolCall
from executionkit.types import TokenUsage, Tool


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A pattern, a pipe or a `Run` that begins.

    Attributes:
        name: The pattern's name, such as "consensus".
        model: The provider's model; None if it does not say.
        base_url: The provider's base URL, without credentials; None if it does not say.
        max_cost: The run's own ceiling; None for no limit.
    """

    name: str
    model: str | None
    base_url: str | None
    max_cost: TokenUsage | None


@dataclass(frozen=True, slots=True)
class CallInfo:
    """A call of the model that begins, its retries included.

    Attributes:
        run: The run that makes it.
        model: The provider's model; None if it does not say.
        base_url: The provider's base URL, without credentials; None if it does not say.
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
    messages: Sequence[Mapping[str, Any]]
    temperature: float | None
    max_tokens: int | None
    tools: Sequence[Mapping[str, Any]] | None
    options: Mapping[str, Any]
    streamed: bool


@dataclass(frozen=True, slots=True)
class ToolInfo:
    """A call of a tool that begins.

    Attributes:
        run: The run whose model asked for it.
        call: The call: name, arguments and id. The arguments are content.
        tool: The tool.
    """

    run: RunInfo
    call: ToolCall
    tool: Tool


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

    def answered(self, response: LLMResponse, /) -> None:
        """The reply is complete.

        Args:
            response: The reply.
        """

    def failed(self, error: BaseException, /) -> None:
        """The call failed for good, or was cancelled, or the stream broke off or was left early.

        Args:
            error: Why.
        """


class ToolSpan:
    """What an observer is told of one call of a tool. The method does nothing; override it."""

    def ended(self, text: str, error: BaseException | None, /, *, ran: bool, truncated: bool) -> None:
        """The tool has ended.

        Args:
            text: The observation for the model. It is content.
            error: The tool's own exception, or the one that cancels it; None if it returned.
            ran: Whether the tool ran.
            truncated: Whether the observation was cut.
        """


class Observer(Protocol):
    """Is told of runs, calls and tools.

    Each method returns a context manager that is entered when the thing begins, and left when it has ended,
    so that spans of the user's code nest inside. It is entered and left in the same task, but for a streamed
    call (`CallInfo.streamed`): its stream may be left in another task, so it must set no context variable.
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
