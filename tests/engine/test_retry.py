"""RetryConfig and with_retry: what is repeated, after how long, and how it ends."""

import asyncio
import math
import os
import pickle
from collections.abc import Awaitable, Callable
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executionkit import (
    DEFAULT_RETRY,
    BudgetExhaustedError,
    ExecutionKitError,
    LLMError,
    MockProvider,
    PatternError,
    PermanentError,
    ProviderError,
    RateLimitError,
    RetryConfig,
    consensus,
)
from executionkit.engine.retry import with_retry


class Clock:
    """Sleeps at once, and says how long it would have been."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def config(self, **fields: Any) -> RetryConfig:
        return RetryConfig(sleep=self.sleep, **fields)


class Flaky:
    """Raises each of `failures` in turn, then returns "done"."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.attempts = 0

    async def __call__(self, *args: object, **kwargs: object) -> str:
        self.attempts += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


def down(count: int) -> list[ProviderError]:
    return [ProviderError(f"down {number}") for number in range(1, count + 1)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def full_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every draw comes out at its upper end."""
    monkeypatch.setattr(os, "urandom", lambda size: b"\xff" * size)


# -- the settings ----------------------------------------------------------------------------------------


def test_the_defaults() -> None:
    assert RetryConfig() == DEFAULT_RETRY
    assert RetryConfig(3, 1.0, 60.0, 2.0, (RateLimitError, ProviderError)) == DEFAULT_RETRY
    assert DEFAULT_RETRY.max_retry_after == 60.0


def test_what_came_later_is_given_by_name() -> None:
    with pytest.raises(TypeError):
        RetryConfig(3, 1.0, 60.0, 2.0, (), 60.0)  # type: ignore[call-arg]  # what is refused


def test_what_waits_is_no_part_of_what_a_config_is(clock: Clock) -> None:
    assert clock.config() == DEFAULT_RETRY
    assert repr(clock.config()) == repr(DEFAULT_RETRY)


def test_a_config_is_frozen_and_can_be_replaced_and_pickled() -> None:
    with pytest.raises(FrozenInstanceError):
        DEFAULT_RETRY.max_retries = 9  # type: ignore[misc]  # what is refused
    changed = replace(DEFAULT_RETRY, max_retries=9)
    assert changed.max_retries == 9
    assert pickle.loads(pickle.dumps(changed)) == changed


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("max_retries", [-1, 1.0, None, True, "3"]),
        ("base_delay", [-0.1, math.nan, math.inf, None, "1"]),
        ("max_delay", [-1, math.nan, math.inf, 10**400]),
        ("exponential_base", [0.99, 0, -2, math.nan, math.inf]),
        ("max_retry_after", [-1, math.nan, math.inf, None]),
        ("sleep", [5, "1"]),
        ("retryable", [None, ProviderError, [ProviderError], ("ProviderError",), (ProviderError("x"),)]),
        ("retryable", [(asyncio.CancelledError,), (BaseException,), (ProviderError, KeyboardInterrupt)]),
    ],
)
def test_what_is_out_of_range_is_named_with_its_value(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ValueError, match=f"^{name} must be ") as caught:
            RetryConfig(**{name: value})
        assert str(caught.value).endswith(f"got {value!r}")


@pytest.mark.parametrize(
    ("exc", "retried"),
    [
        (RateLimitError("x"), True),
        (ProviderError("x"), True),
        (PermanentError("x"), False),
        (LLMError("x"), False),
        (PatternError("x"), False),
        (BudgetExhaustedError("x"), False),
        (ValueError("x"), False),
        (asyncio.CancelledError(), False),
        (KeyboardInterrupt(), False),
    ],
    ids=repr,
)
def test_what_is_worth_repeating(exc: BaseException, retried: bool) -> None:
    assert DEFAULT_RETRY.should_retry(exc) is retried


def test_what_is_worth_repeating_can_be_chosen() -> None:
    config = RetryConfig(retryable=(ConnectionError,))
    assert config.should_retry(ConnectionResetError())
    assert not config.should_retry(ProviderError("x"))
    assert not RetryConfig(retryable=(Exception,)).should_retry(asyncio.CancelledError())


# -- the delay -------------------------------------------------------------------------------------------


def test_the_delay_is_drawn_between_nothing_and_the_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", lambda size: b"\x40" + bytes(size - 1))
    config = RetryConfig(base_delay=0.5, max_delay=3.0, exponential_base=2.0)
    assert [config.get_delay(attempt) for attempt in range(1, 6)] == [0.125, 0.25, 0.5, 0.75, 0.75]


@given(
    base=st.floats(0, 1e300),
    ceiling=st.floats(0, 1e300),
    exponent=st.floats(1, 1e300) | st.integers(1, 10**30),
    attempt=st.integers(1, 100_000),
)
def test_no_delay_is_ever_out_of_bounds(base: float, ceiling: float, exponent: float, attempt: int) -> None:
    config = RetryConfig(base_delay=base, max_delay=ceiling, exponential_base=exponent)
    delay = config.get_delay(attempt)
    assert 0 <= delay <= ceiling
    if attempt == 1:
        assert delay <= base
    if base == 0:
        assert delay == 0


@pytest.mark.parametrize(("base", "ceiling"), [(1.0, 60.0), (1e-300, 60.0), (0.0, 0.0)])
def test_a_power_too_large_for_a_float_is_the_ceiling(base: float, ceiling: float, full_jitter: None) -> None:
    assert RetryConfig(base_delay=base, exponential_base=10).get_delay(10_000) == ceiling


@pytest.mark.parametrize("attempt", [0, -1, 1.5, None])
def test_attempts_are_numbered_from_one(attempt: Any) -> None:
    with pytest.raises(ValueError, match=r"^attempt must be an integer >= 1, got "):
        DEFAULT_RETRY.get_delay(attempt)


# -- how often -------------------------------------------------------------------------------------------


def test_a_spent_budget_is_never_retried() -> None:
    config = RetryConfig(retryable=(Exception,))
    assert config.should_retry(ProviderError("503"))
    assert not config.should_retry(BudgetExhaustedError("spent"))


async def test_success_is_handed_through_with_the_arguments(clock: Clock) -> None:
    async def join(a: int, *, b: int) -> tuple[int, int]:
        return a, b

    assert await with_retry(join, clock.config(), 1, b=2) == (1, 2)
    assert clock.waits == []


@pytest.mark.parametrize("max_retries", [0, 1, 3])
async def test_max_retries_counts_retries(clock: Clock, max_retries: int) -> None:
    flaky = Flaky(*down(10))
    with pytest.raises(ProviderError, match=f"^down {max_retries + 1}"):
        await with_retry(flaky, clock.config(max_retries=max_retries))
    assert flaky.attempts == max_retries + 1
    assert len(clock.waits) == max_retries


async def test_the_last_attempt_may_be_the_one_that_succeeds(clock: Clock) -> None:
    flaky = Flaky(*down(3))
    assert await with_retry(flaky, clock.config()) == "done"
    assert flaky.attempts == 4


@pytest.mark.parametrize(
    "exc", [PermanentError("no"), ValueError("no"), BudgetExhaustedError("no")], ids=repr
)
async def test_what_is_not_worth_repeating_is_raised_at_once(clock: Clock, exc: Exception) -> None:
    flaky = Flaky(exc)
    with pytest.raises(type(exc)) as caught:
        await with_retry(flaky, clock.config())
    assert caught.value is exc
    assert flaky.attempts == 1
    assert exc.__cause__ is None
    assert not hasattr(exc, "__notes__")


async def test_giving_up_says_after_how_many_attempts(clock: Clock) -> None:
    with pytest.raises(ProviderError) as caught:
        await with_retry(Flaky(*down(9)), clock.config(max_retries=2))
    assert caught.value.__notes__ == ["gave up after 3 attempts"]


async def test_one_attempt_needs_no_such_note(clock: Clock) -> None:
    with pytest.raises(ProviderError) as caught:
        await with_retry(Flaky(*down(9)), clock.config(max_retries=0))
    assert not hasattr(caught.value, "__notes__")


# -- how long --------------------------------------------------------------------------------------------


async def test_waits_grow_up_to_their_ceiling(clock: Clock, full_jitter: None) -> None:
    await with_retry(Flaky(*down(4)), clock.config(max_retries=4, base_delay=1.0, max_delay=3.0))
    assert clock.waits == [1.0, 2.0, 3.0, 3.0]


async def test_a_rate_limit_is_waited_out_with_jitter_on_top(clock: Clock, full_jitter: None) -> None:
    limits = [RateLimitError("x", retry_after=seconds) for seconds in (5.0, 0.5)]
    await with_retry(Flaky(*limits), clock.config(base_delay=1.0))
    assert clock.waits == [6.0, 2.5]


async def test_a_rate_limit_is_waited_out_even_beyond_max_delay(clock: Clock) -> None:
    await with_retry(Flaky(RateLimitError("x", retry_after=30)), clock.config(base_delay=0, max_delay=1.0))
    assert clock.waits == [30.0]


async def test_a_rate_limit_that_names_no_time_waits_a_second(clock: Clock) -> None:
    await with_retry(Flaky(RateLimitError("x")), clock.config(base_delay=0))
    assert clock.waits == [1.0]


async def test_retry_after_is_honoured_on_any_error_worth_repeating(clock: Clock) -> None:
    flaky = Flaky(ProviderError("503", retry_after=9.0), ProviderError("503"))
    await with_retry(flaky, clock.config(base_delay=0))
    assert clock.waits == [9.0, 0.0]


@pytest.mark.parametrize("nonsense", [-5.0, math.nan, -math.inf])
async def test_a_nonsensical_retry_after_is_no_time_at_all(clock: Clock, nonsense: float) -> None:
    await with_retry(Flaky(RateLimitError("x", retry_after=nonsense)), clock.config(base_delay=0))
    assert clock.waits == [0.0]


@pytest.mark.parametrize("asked", [60.5, 3600, math.inf])
async def test_a_wait_beyond_max_retry_after_is_not_begun(clock: Clock, asked: float) -> None:
    flaky = Flaky(RateLimitError("slow down", retry_after=asked))
    with pytest.raises(RateLimitError) as caught:
        await with_retry(flaky, clock.config())
    assert (flaky.attempts, clock.waits) == (1, [])
    assert str(caught.value) == (
        f"slow down (not retried: the server asks to wait {asked:g} s, max_retry_after is 60 s)"
    )
    assert caught.value.retry_after == asked


async def test_max_retry_after_can_be_set(clock: Clock) -> None:
    config = clock.config(max_retry_after=5, base_delay=0)
    assert await with_retry(Flaky(RateLimitError("x", retry_after=5)), config) == "done"
    with pytest.raises(RateLimitError, match="max_retry_after is 5 s"):
        await with_retry(Flaky(RateLimitError("x", retry_after=5.1)), config)


async def test_an_error_object_raised_again_says_it_once(clock: Clock) -> None:
    exc = RateLimitError("slow down", retry_after=3600)
    for _ in range(2):
        with pytest.raises(RateLimitError):
            await with_retry(Flaky(exc), clock.config())
    assert str(exc).count("not retried") == 1


@pytest.mark.parametrize(("asked", "least"), [("5", 5.0), ("soon", 0.0), ([5], 0.0)])
async def test_a_retry_after_that_is_no_number_hides_no_error(clock: Clock, asked: Any, least: float) -> None:
    flaky = Flaky(RateLimitError("slow down", retry_after=asked))
    await with_retry(flaky, clock.config(base_delay=0.0))
    assert clock.waits == [least]


@pytest.mark.parametrize("config", [None, 3])
async def test_what_is_no_config_is_refused_before_the_first_attempt(config: Any) -> None:
    flaky = Flaky()
    with pytest.raises(ValueError, match="config must be a RetryConfig"):
        await with_retry(flaky, config)
    assert flaky.attempts == 0


async def test_a_refusal_on_a_later_attempt_says_so_too(clock: Clock) -> None:
    flaky = Flaky(ProviderError("down"), RateLimitError("slow down", retry_after=100))
    with pytest.raises(RateLimitError, match="not retried"):
        await with_retry(flaky, clock.config())
    assert flaky.attempts == 2


async def test_without_a_sleep_of_its_own_it_is_asyncios(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    await with_retry(Flaky(RateLimitError("x", retry_after=7)), RetryConfig(base_delay=0))
    assert waits == [7.0]


# -- cancellation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("exc", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(3)], ids=repr)
async def test_what_ends_the_task_or_the_program_is_never_retried(clock: Clock, exc: BaseException) -> None:
    flaky = Flaky(exc)
    config = clock.config(retryable=(Exception,))
    with pytest.raises(type(exc)):
        await with_retry(flaky, config)
    assert (flaky.attempts, clock.waits) == (1, [])


async def test_cancellation_ends_an_attempt_on_the_wire() -> None:
    started, never = asyncio.Event(), asyncio.Event()
    attempts: list[int] = []

    async def hang() -> None:
        attempts.append(1)
        started.set()
        await never.wait()

    task = asyncio.create_task(with_retry(hang, RetryConfig(base_delay=0)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert attempts == [1]


async def test_cancellation_ends_a_wait() -> None:
    waiting, never = asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        waiting.set()
        await never.wait()

    flaky = Flaky(*down(1))
    task = asyncio.create_task(with_retry(flaky, RetryConfig(sleep=sleep)))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert flaky.attempts == 1


async def test_what_waits_may_be_a_plain_function() -> None:
    waits: list[float] = []
    config = RetryConfig(sleep=waits.append, base_delay=0)
    assert await with_retry(Flaky(*down(2)), config) == "done"
    assert waits == [0, 0]
    result = await consensus(MockProvider([*down(2), "x"]), "q", num_samples=1, retry=config)
    assert (result.cost.llm_calls, waits) == (3, [0] * 4)


# -- causes ----------------------------------------------------------------------------------------------


async def fails(clock: Clock, *failures: Exception) -> Exception:
    with pytest.raises(type(failures[-1])) as caught:
        await with_retry(Flaky(*failures), clock.config(max_retries=len(failures) - 1))
    return caught.value


async def test_an_error_of_another_kind_has_the_one_before_as_its_cause(clock: Clock) -> None:
    first, second = ProviderError("down"), BudgetExhaustedError("spent")
    assert await fails(clock, first, second) is second
    assert second.__cause__ is first


async def test_an_error_of_the_same_kind_explains_itself(clock: Clock) -> None:
    assert (await fails(clock, *down(3))).__cause__ is None


async def test_a_real_cause_is_kept(clock: Clock) -> None:
    real = OSError("reset")
    second = RateLimitError("slow down")
    second.__cause__ = real
    assert (await fails(clock, ProviderError("down"), second)).__cause__ is real


async def test_causes_form_a_chain(clock: Clock) -> None:
    first, second, third = RateLimitError("a"), ProviderError("b"), PermanentError("c")
    await fails(clock, first, second, third)
    assert (third.__cause__, second.__cause__, first.__cause__) == (second, first, None)


@pytest.mark.parametrize("order", ["aba", "abca", "abab", "abcab"])
async def test_objects_raised_twice_form_no_circle(clock: Clock, order: str) -> None:
    errors: dict[str, Exception] = {"a": RateLimitError("a"), "b": ProviderError("b"), "c": OSError("c")}
    sleep: Callable[[float], Awaitable[None]] = clock.sleep
    config = RetryConfig(len(order) - 1, sleep=sleep, retryable=(ExecutionKitError, OSError))
    with pytest.raises(type(errors[order[-1]])) as caught:
        await with_retry(Flaky(*(errors[letter] for letter in order)), config)
    seen: list[BaseException] = []
    cause: BaseException | None = caught.value
    while cause is not None:
        assert cause not in seen
        seen.append(cause)
        cause = cause.__cause__
