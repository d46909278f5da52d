"""Every error the library raises of its own.

    ExecutionKitError            .cost  .metadata
    ├── LLMError                 talking to the provider failed
    │   ├── RateLimitError       HTTP 429: retryable, after .retry_after seconds
    │   ├── PermanentError       repeating the request is useless: 401, 403, 404, most other 4xx
    │   └── ProviderError        any other failure of a request: retryable
    ├── JournalError             a journal can't be read, written or used for this job
    └── PatternError             the pattern's own logic failed
        ├── ApprovalPending      tool calls wait for a person: .calls
        ├── BudgetExhaustedError a ceiling on calls, tokens or dollars is reached
        ├── ConsensusFailedError the vote gave no answer
        └── MaxIterationsError   a loop reached max_rounds

`ToolError` is not in the tree: users' tools raise it, and it never leaves a pattern.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from executionkit._codes import meaning_of
from executionkit.responses import LLMResponse, ToolCall
from executionkit.types import TokenUsage

__all__ = [
    "ApprovalPending",
    "BudgetExhaustedError",
    "ConsensusFailedError",
    "ExecutionKitError",
    "JournalError",
    "LLMError",
    "MaxIterationsError",
    "PatternError",
    "PermanentError",
    "ProviderError",
    "RateLimitError",
    "ToolError",
]


class ExecutionKitError(Exception):
    """Base of every error the library raises.

    Example:
        ```python
        from executionkit import (
            ExecutionKitError,
            MockProvider,
            PermanentError,
            consensus,
        )

        provider = MockProvider(["Paris", PermanentError("no such model")])
        try:
            await consensus(
                provider, "The capital of France?", num_samples=2, max_concurrency=1
            )
        except ExecutionKitError as error:
            assert error.cost.llm_calls == 2
            assert error.metadata["responses"] == ["Paris"]
        ```

    Args:
        message: What happened and what to do about it.
        cost: Everything spent up to the failure.
        metadata: Results that were already paid for; each pattern documents its keys.
    """

    cost: TokenUsage
    metadata: dict[str, Any]

    def __init__(
        self, message: str = "", *, cost: TokenUsage | None = None, metadata: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.cost = TokenUsage() if cost is None else cost
        self.metadata = {} if metadata is None else dict(metadata)


class LLMError(ExecutionKitError):
    """Talking to the provider failed.

    Args:
        message: What happened.
        cost: Everything spent up to the failure.
        metadata: Results that were already paid for.
        status_code: The HTTP status; None when no status was received.
        retry_after: Seconds the server asked to wait; None when it did not say.
        code: The server's own error code or type (`"rate_limit_exceeded"`, ...), if it sent one.
        request_id: The server's identifier of the request, if it sent one.
        dispatched: False when the request never left this process: it is not counted as a call.
        body: The beginning of the body that the server sent, without credentials; None when none came.
    """

    status_code: int | None
    retry_after: float | None
    code: str | None
    request_id: str | None
    dispatched: bool
    body: str | None

    def __init__(
        self,
        message: str = "",
        *,
        cost: TokenUsage | None = None,
        metadata: Mapping[str, Any] | None = None,
        status_code: int | None = None,
        retry_after: float | None = None,
        code: str | None = None,
        request_id: str | None = None,
        dispatched: bool = True,
        body: str | None = None,
    ) -> None:
        super().__init__(message, cost=cost, metadata=metadata)
        self.status_code = status_code
        self.retry_after = retry_after
        self.code = code
        self.request_id = request_id
        self.dispatched = dispatched
        self.body = body

    @property
    def is_context_overflow(self) -> bool:
        """Whether the request was too long for the model, by the meaning of `code`.

        Where the server says so in words only, `code` is `"context_length_exceeded"`.
        """
        return self.code is not None and meaning_of([self.code]) == "context"


class RateLimitError(LLMError):
    """The provider asks to slow down (HTTP 429); retryable after `.retry_after` seconds (1.0 by default)."""

    retry_after: float  # pyright: ignore[reportIncompatibleVariableOverride]  # never None here

    def __init__(
        self,
        message: str = "",
        *,
        cost: TokenUsage | None = None,
        metadata: Mapping[str, Any] | None = None,
        retry_after: float = 1.0,
        status_code: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        dispatched: bool = True,
        body: str | None = None,
    ) -> None:
        super().__init__(
            message,
            cost=cost,
            metadata=metadata,
            status_code=status_code,
            retry_after=retry_after,
            code=code,
            request_id=request_id,
            dispatched=dispatched,
            body=body,
        )


class PermanentError(LLMError):
    """Repeating the request is useless: wrong key, unknown model, malformed or refused request."""


class ProviderError(LLMError):
    """Any other failure of a request: 5xx, transport failure, timeout, a body that is no chat completion."""


class JournalError(ExecutionKitError):
    """A journal can't be read or written, or it is another job's; the message says what to do.

    It ends the work that it comes up in: an outcome that can't be written must not be used, because a later
    start would pay for it again.
    """


class PatternError(ExecutionKitError):
    """The pattern's own logic failed."""


class ApprovalPending(PatternError):  # noqa: N818 - nothing went wrong: the run can go on
    """Tool calls wait for approval, and everything else of the round is done.

    `react_loop` raises it where nothing can be asked in this process. An approver may raise it too, to leave
    the call for later. The conversation is in `.metadata["messages"]`; go on from it with
    `react_loop(provider, None, tools, messages=..., approvals={...})`, in any process.

    Args:
        message: What happened and what to do about it.
        calls: The calls that wait, in the model's order.
        cost: Everything spent up to here.
        metadata: The conversation and the counters of the loop.
    """

    calls: tuple[ToolCall, ...]

    def __init__(
        self,
        message: str = "",
        *,
        calls: Iterable[ToolCall] = (),
        cost: TokenUsage | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, cost=cost, metadata=metadata)
        self.calls = tuple(calls)


class BudgetExhaustedError(PatternError):
    """A ceiling on calls, tokens or dollars leaves no room for a call.

    The message names the ceiling and what was spent of it.
    """


class ConsensusFailedError(PatternError):
    """The vote gave no answer: it had to be unanimous and was not, or no sample had an answer."""


class MaxIterationsError(PatternError):
    """A loop reached `max_rounds` without a final answer."""


class ToolError(Exception):
    """Raise this in a tool to tell the model what went wrong: its text becomes the observation.

    The model sees only the type of any other exception, whose message may contain paths, queries and secrets.

    Example:
        ```python
        from executionkit import ToolError

        PRICES = {"tea": 3.20, "scone": 2.50}


        async def price(item: str) -> float:
            if item not in PRICES:
                raise ToolError(
                    f"{item!r} is not on the menu; there is: {', '.join(PRICES)}"
                )
            return PRICES[item]
        ```
    """


_SPENT: Final = "_executionkit_spent"


def mark_not_dispatched(exc: BaseException) -> None:
    """Note on an exception of any class that the request never left: it is not counted as a call."""
    vars(exc)["dispatched"] = False


def mark_spent(exc: BaseException, reply: LLMResponse) -> None:
    """Note on an exception the reply that it stands for, whose tokens the server reports."""
    vars(exc)[_SPENT] = reply


def take_spent(exc: BaseException) -> LLMResponse | None:
    """Take the reply off an exception that `mark_spent` has put there, so that it is counted once."""
    found = vars(exc).pop(_SPENT, None)
    return found if isinstance(found, LLMResponse) else None


def spent_of(exc: BaseException) -> LLMResponse | None:
    """The reply that `mark_spent` has put on an exception, and that nothing has taken off yet."""
    found = vars(exc).get(_SPENT)
    return found if isinstance(found, LLMResponse) else None


def was_dispatched(exc: BaseException) -> bool:
    """Whether the request that ended with `exc` may have reached the server; True unless it is marked."""
    return getattr(exc, "dispatched", True) is not False
