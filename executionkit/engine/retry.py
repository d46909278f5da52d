"""Retrying a call: which errors, after how long, how often."""

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, ParamSpec, TypeVar

from executionkit import _checks as checks
from executionkit._codes import meaning_of
from executionkit.engine.bill import add_note
from executionkit.engine.tariff import BrokenPricesError, NoPriceError
from executionkit.errors import (
    BudgetExhaustedError,
    JournalError,
    LLMError,
    PermanentError,
    ProviderError,
    RateLimitError,
)

__all__ = ["DEFAULT_RETRY", "RetryConfig", "with_retry"]

P = ParamSpec("P")
T = TypeVar("T")

_NEVER_RETRIED: Final = (BudgetExhaustedError, BrokenPricesError, NoPriceError, JournalError)
"""They would come again, and the second after another reply was paid for."""

_MOST_REFUSALS: Final = 30
_LONGEST_REFUSED: Final = 600.0
"""A call that was refused so often, over so many seconds, is refused for itself: it may be too large."""

_PACED: Final = "_executionkit_paced"
_OF_ACCOUNT: Final = "_executionkit_of_account"


def mark_paced(exc: BaseException) -> None:
    """Note on a refusal that a governor makes the next attempt wait: it uses up no retry, and no pause."""
    vars(exc)[_PACED] = True


def take_paced(exc: BaseException) -> bool:
    """Take the mark off an exception that `mark_paced` has put there; one object may be raised twice."""
    return vars(exc).pop(_PACED, False) is True


def mark_of_account(exc: BaseException) -> None:
    """Note on an exception that it concerns every call: no other request succeeds for a long time."""
    vars(exc)[_OF_ACCOUNT] = True


@dataclass(frozen=True, slots=True)
class RetryConfig:
    """When and how a failed call is repeated.

    Example:
        ```python
        from executionkit import MockProvider, ProviderError, RetryConfig, consensus

        patient = RetryConfig(
            max_retries=5, base_delay=0.0
        )  # a delay of 0 is for tests
        provider = MockProvider([ProviderError("busy"), "Paris"])
        result = await consensus(
            provider, "The capital of France?", num_samples=1, retry=patient
        )
        assert result.cost.llm_calls == 2
        ```

    Attributes:
        max_retries: Retries after the first attempt: 3 means up to 4 attempts, 0 means exactly one. Under a
            `Governor`, refusals by a rate limit use up none of them.
        base_delay: The longest wait before the first retry, in seconds; 0 or more.
        max_delay: The longest wait before any retry, in seconds, unless the server asks for more; 0 or more.
        exponential_base: The factor by which the longest wait grows from retry to retry; 1 or more.
        retryable: The types of exceptions to retry.
        max_retry_after: The longest Retry-After, in seconds, that is waited for. When a server asks for
            more, the error is raised at once.
        sleep: An async or plain function that waits for the given seconds. Defaults to `asyncio.sleep`.
            Pass a fake one to control time in a test. A plain function must not block the event loop.

    Raises:
        ValueError: A field is out of range.
    """

    max_retries: int = 3
    base_delay: float = 1.0
    max_delay: float = 60.0
    exponential_base: float = 2.0
    retryable: tuple[type[Exception], ...] = (RateLimitError, ProviderError)
    max_retry_after: float = field(default=60.0, kw_only=True)
    sleep: Callable[[float], Awaitable[object] | object] | None = field(
        default=None, kw_only=True, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        checks.at_least(0, max_retries=self.max_retries)
        checks.between(
            0.0,
            float("inf"),
            base_delay=self.base_delay,
            max_delay=self.max_delay,
            max_retry_after=self.max_retry_after,
        )
        checks.between(1.0, float("inf"), exponential_base=self.exponential_base)
        if self.sleep is not None and not callable(self.sleep):
            raise ValueError(f"sleep must be a callable or None, got {self.sleep!r}")
        kinds = self.retryable
        if not isinstance(kinds, tuple) or not all(
            isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds
        ):
            # Cancellation and interpreter exit are BaseExceptions, and must never be retried.
            raise ValueError(f"retryable must be a tuple of Exception types, got {kinds!r}")

    def should_retry(self, exc: BaseException) -> bool:
        """Whether to retry after `exc`. Cancellation and a spent budget are never retried."""
        return isinstance(exc, self.retryable) and not isinstance(exc, _NEVER_RETRIED)

    def get_delay(self, attempt: int) -> float:
        """Seconds to wait before retry number `attempt` (from 1), with full jitter.

        Uniform in [0, min(base_delay * exponential_base**(attempt-1), max_delay)]: "Full Jitter" of Marc
        Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
        """
        checks.at_least(1, attempt=attempt)
        try:
            ceiling = min(self.base_delay * float(self.exponential_base) ** (attempt - 1), self.max_delay)
        except OverflowError:
            ceiling = self.max_delay if self.base_delay else 0.0
        # Not the module random: a retry may be needed where no file can be opened, and it is rarely loaded.
        return ceiling * (int.from_bytes(os.urandom(7), "big") / 2**56)


DEFAULT_RETRY: Final = RetryConfig()
"""The retries where `retry` is None."""


async def with_retry(
    fn: Callable[P, Awaitable[T]], config: RetryConfig, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Await `fn(*args, **kwargs)`, and repeat it as `config` says.

    A wait is at least the server's `retry_after`, even beyond `max_delay`. Jitter is added, so that clients
    with the same `retry_after` don't all come back at once.

    Example:
        ```python
        from executionkit import ProviderError, RetryConfig
        from executionkit.engine.retry import with_retry

        attempts = []


        async def flaky(text):
            attempts.append(text)
            if len(attempts) < 3:
                raise ProviderError("busy")
            return text.upper()


        assert await with_retry(flaky, RetryConfig(base_delay=0.0), "hello") == "HELLO"
        ```

    Raises:
        ValueError: `config` is not a RetryConfig; `fn` was not called.
        Exception: The last attempt's error, with a note of the number of attempts. If its type differs from
            that of the error before, its `__cause__` is the error before: for example when a budget ran out
            between two attempts.
    """
    if not isinstance(config, RetryConfig):
        raise ValueError(f"config must be a RetryConfig, got {config!r}")
    return await retrying(lambda: fn(*args, **kwargs), config)


async def retrying(
    attempt: Callable[[], Awaitable[T]],
    config: RetryConfig,
    *,
    pause: Callable[[float, int, Exception], Awaitable[object]] | None = None,
    stopped: Callable[[], bool] | None = None,
    is_final: Callable[[Exception], bool] | None = None,
) -> T:
    """The loop under `with_retry`, for callers with a pause of their own, or with reasons to stop.

    A pause is given its seconds, the number of the attempt that failed, and its error.
    """
    failures = refusals = 0
    refused_since = 0.0
    before: Exception | None = None
    while True:
        try:
            return await attempt()
        except Exception as exc:  # of any type: `should_retry` decides
            is_paced = take_paced(exc)
            if is_paced:
                refusals += 1
                refused_since = refused_since or time.monotonic()
                is_paced = refusals < _MOST_REFUSALS or time.monotonic() - refused_since < _LONGEST_REFUSED
            if not is_paced:
                failures += 1
            if before is not None and exc.__cause__ is None and not _explains(exc, before):
                exc.__cause__ = before
            is_over = (is_final and is_final(exc)) or not (is_paced or config.should_retry(exc))
            if is_over or (stopped and stopped()):
                raise
            if failures > config.max_retries:
                if failures + refusals > 1:
                    add_note(exc, f"gave up after {failures + refusals} attempts")
                raise
            wait = 0.0 if is_paced else _wait_before_retry(exc, failures, config)
            if wait is None:
                raise
            before = exc
        await (pause(wait, failures + refusals, before) if pause else waited(config, wait))


async def waited(config: RetryConfig, seconds: float) -> None:
    """Wait as `config` says."""
    outcome = (config.sleep or asyncio.sleep)(seconds)
    if inspect.isawaitable(outcome):
        await outcome


def _explains(exc: Exception, before: Exception) -> bool:
    """Whether `before` has the same type, or has `exc` among its causes: one object may be raised twice."""
    if type(exc) is type(before):
        return True
    cause: BaseException | None = before
    while cause is not None and cause is not exc:
        cause = cause.__cause__
    return cause is exc


def _seconds(asked: object) -> float | None:
    """The seconds a server asked for. Other people's providers may pass the header on as text."""
    try:
        return None if asked is None else float(asked)  # type: ignore[arg-type]  # a TypeError is caught
    except (TypeError, ValueError):
        return None


def _wait_before_retry(exc: Exception, attempt: int, config: RetryConfig) -> float | None:
    asked = _seconds(exc.retry_after) if isinstance(exc, LLMError) else None
    if asked is None:
        return config.get_delay(attempt)
    if asked > config.max_retry_after:
        # In the message, not in a note: a log that shows only `str(exc)` must say it too.
        limit = config.max_retry_after
        told = f" (not retried: the server asks to wait {asked:g} s, max_retry_after is {limit:g} s)"
        if told not in str(exc):
            exc.args = (f"{exc}{told}", *exc.args[1:])
        return None
    return max(0.0, asked) + config.get_delay(attempt)


def concerns_one_request(exc: BaseException) -> bool:
    """Whether another request may succeed: not with a wrong key, an unknown model, or without funds."""
    if isinstance(exc, PermanentError):
        is_out_of_funds = exc.code is not None and meaning_of([exc.code]) == "funds"  # mostly under 429
        return exc.dispatched and exc.status_code not in (401, 402, 403, 404) and not is_out_of_funds
    return not isinstance(exc, _NEVER_RETRIED) and _OF_ACCOUNT not in vars(exc)
