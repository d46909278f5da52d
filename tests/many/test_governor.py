"""Governors: calls wait for room, in one line, over event loops and threads."""

import asyncio
import gc
import logging
import pickle
import re
import threading
from collections.abc import Iterable
from typing import Any

import pytest

from executionkit import (
    LLMError,
    LLMProvider,
    LLMResponse,
    MockProvider,
    PermanentError,
    Provider,
    ProviderError,
    RateLimitError,
    RetryConfig,
    TextDelta,
    consensus,
)
from executionkit.engine.retry import concerns_one_request
from executionkit.errors import was_dispatched
from executionkit.many import Governor, RateLimits, run_many
from executionkit.testing import Limits, LocalEndpoint

HI = [{"role": "user", "content": "Hi"}]


class Held:
    """A provider whose replies wait until they are released."""

    def __init__(self) -> None:
        self.calls = 0
        self.release = asyncio.Event()

    async def complete(self, messages: list[dict[str, Any]], **_: Any) -> LLMResponse:
        self.calls += 1
        await self.release.wait()
        return LLMResponse(str(messages[0]["content"]))


async def turns(count: int = 20) -> None:
    """Let everything that can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_no_more_calls_at_once_than_allowed_and_each_in_its_turn() -> None:
    held, limits = Held(), RateLimits(max_in_flight=2)
    governor = Governor(held, limits)
    ended: list[str] = []

    async def ask(name: str) -> None:
        reply = await governor.complete([{"role": "user", "content": name}])
        ended.append(reply.content)

    tasks = [asyncio.create_task(ask(name)) for name in "abcde"]
    await turns()
    assert (held.calls, limits.in_flight, limits.waiting) == (2, 2, 3)
    tasks[2].cancel()
    await turns()
    assert limits.waiting == 2
    with pytest.raises(asyncio.CancelledError) as caught:
        await tasks[2]
    assert not was_dispatched(caught.value)
    held.release.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert ended == ["a", "b", "d", "e"]
    assert (limits.in_flight, limits.waiting) == (0, 0)


async def test_a_call_that_is_cancelled_just_as_its_turn_comes_gives_the_turn_on() -> None:
    held, limits = Held(), RateLimits(max_in_flight=1)
    governor = Governor(held, limits)
    first, second, third = [asyncio.create_task(governor.complete(HI)) for _ in range(3)]
    await turns()
    # The end of the first wakes the second, which has not run yet when it is cancelled.
    first.add_done_callback(lambda _: second.cancel())
    held.release.set()
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert third.result().content == "Hi"
    assert (limits.in_flight, limits.waiting) == (0, 0)


async def test_refusals_use_up_no_retries_whatever_the_pattern_was_given() -> None:
    script: Iterable[Any] = [RateLimitError("slow down", retry_after=0.0)] * 3 + ["Paris"]
    limits = RateLimits()
    governor = Governor(MockProvider(script), limits)
    result = await consensus(governor, "?", num_samples=1, retry=RetryConfig(max_retries=1, base_delay=0.0))
    assert (result.value, result.cost.llm_calls, limits.refused) == ("Paris", 4, 3)


async def test_a_refusal_goes_back_into_the_line_though_the_pattern_retries_nothing() -> None:
    governor = Governor(MockProvider([RateLimitError("slow down", retry_after=0.0), "Paris"]))
    result = await consensus(governor, "?", num_samples=1, retry=RetryConfig(max_retries=0, retryable=()))
    assert (result.value, result.cost.llm_calls) == ("Paris", 2)


async def test_calls_that_wait_are_not_sent_any_more_after_one_has_failed_for_good() -> None:
    class Closed:
        calls = 0

        async def complete(self, messages: list[dict[str, Any]], **_: Any) -> LLMResponse:
            self.calls += 1
            await turns()  # the others are in the line by then
            raise PermanentError("wrong key", status_code=401)

    closed, limits = Closed(), RateLimits(max_in_flight=1)

    async def step(provider: LLMProvider, row: int) -> Any:
        return await consensus(provider, str(row), num_samples=3)

    with pytest.raises(PermanentError) as caught:
        await run_many(closed, range(20), step, limits=limits, max_rows=10)
    assert closed.calls == caught.value.cost.llm_calls <= 3  # of 60
    assert (limits.in_flight, limits.waiting, caught.value.metadata["failed"]) == (0, 0, 0)


async def test_governors_of_the_same_limits_inside_each_other_are_one() -> None:
    limits = RateLimits(max_in_flight=1)
    governor = Governor(Governor(MockProvider(["Paris"]), limits), limits)
    result = await run_many(governor, ["?"], consensus, limits=limits)
    assert (result.done, limits.in_flight, limits.waiting) == (1, 0, 0)
    async with governor.stream(HI) as events:
        assert [event async for event in events]
    assert limits.in_flight == 0


async def test_other_failures_use_up_retries_as_ever() -> None:
    busy = ProviderError("busy", status_code=503)
    governor = Governor(MockProvider(exception=busy), RateLimits())
    with pytest.raises(ProviderError) as caught:
        await consensus(governor, "?", num_samples=1, retry=RetryConfig(max_retries=2, base_delay=0.0))
    assert caught.value.cost.llm_calls == 3


async def test_an_overloaded_server_that_names_its_wait_is_waited_for() -> None:
    busy = ProviderError("busy", status_code=503, retry_after=0.01)
    limits = RateLimits()
    governor = Governor(MockProvider([busy, busy, busy, "Paris"]), limits)
    result = await consensus(governor, "?", num_samples=1, retry=RetryConfig(max_retries=0))
    assert (result.value, limits.refused, limits.allowed_per_second) == ("Paris", 3, None)


async def test_without_a_governor_refusals_use_up_retries() -> None:
    refusal = RateLimitError("slow down", retry_after=0.0)
    await consensus(Governor(MockProvider([refusal, "Paris"])), "?", num_samples=1)
    with pytest.raises(RateLimitError):  # the same object, without the mark of the governor
        await consensus(MockProvider(exception=refusal), "?", num_samples=1, retry=RetryConfig(max_retries=0))


async def test_a_wait_of_hours_ends_the_calls_that_wait_too_and_says_when_to_come_back() -> None:
    script: list[Any] = [RateLimitError("requests per day", retry_after=10_800.0), "Paris"]
    limits = RateLimits(max_in_flight=1)
    governor = Governor(MockProvider(script), limits)
    outcomes = await asyncio.gather(*(governor.complete(HI) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in outcomes] == [RateLimitError] * 3
    sent, waited, _ = [each for each in outcomes if isinstance(each, LLMError)]
    assert (sent.dispatched, waited.dispatched) == (True, False)
    assert "3 h 0 min" in str(waited)
    assert waited.retry_after == pytest.approx(10_800, abs=5)
    assert not any(concerns_one_request(each) for each in (sent, waited))
    with pytest.raises(RateLimitError):
        await governor.complete(HI)
    assert limits.waiting == 0


async def test_a_quota_that_is_used_up_is_not_waited_for() -> None:
    limits = RateLimits()
    with pytest.raises(PermanentError):
        await Governor(MockProvider(exception=PermanentError("no credit", status_code=402)), limits).complete(
            HI
        )
    assert limits.refused == 0


async def test_a_step_that_reads_a_stream_may_call_the_model_meanwhile() -> None:
    limits = RateLimits(max_in_flight=1)
    governor = Governor(MockProvider(["Paris is the capital"]), limits)
    texts: list[str] = []
    async with governor.stream(HI) as events:
        async for event in events:
            if isinstance(event, TextDelta) and not texts:
                assert limits.in_flight == 1
                texts += [(await governor.complete(HI)).content]
    assert texts == ["Paris is the capital"]
    assert (limits.in_flight, limits.waiting) == (0, 0)


async def test_a_stream_that_is_dropped_gives_its_room_back() -> None:
    limits = RateLimits(max_in_flight=1)
    governor = Governor(MockProvider(["Paris is the capital"]), limits)
    stream = governor.stream(HI)
    await stream.__aenter__()
    assert limits.in_flight == 1
    del stream
    gc.collect()
    assert limits.in_flight == 0


async def test_a_closed_loop_holds_up_no_other() -> None:
    limits = RateLimits(max_in_flight=1)
    blocked = asyncio.new_event_loop()
    held = Held()
    task = blocked.create_task(Governor(held, limits).complete(HI))
    behind = blocked.create_task(Governor(held, limits).complete(HI))
    thread = threading.Thread(target=lambda: blocked.run_until_complete(turns()))
    thread.start()
    thread.join()
    assert (limits.in_flight, limits.waiting) == (1, 1)
    mine = asyncio.create_task(Governor(MockProvider(["Paris"]), limits).complete(HI))
    await turns()
    assert not mine.done()
    # Closed around its tasks, which end without having run again.
    task._log_destroy_pending = behind._log_destroy_pending = False  # type: ignore[attr-defined]
    blocked.close()
    again = await Governor(MockProvider(["Rome"]), limits).complete(HI)
    assert (again.content, (await mine).content) == ("Rome", "Paris")
    assert (limits.in_flight, limits.waiting) == (0, 0)


def test_several_threads_share_the_limits() -> None:
    limits = RateLimits(max_in_flight=3)
    most, now, lock = 0, 0, threading.Lock()

    class Counting:
        async def complete(self, messages: list[dict[str, Any]], **_: Any) -> LLMResponse:
            nonlocal most, now
            with lock:
                now += 1
                most = max(most, now)
            await turns(3)
            with lock:
                now -= 1
            return LLMResponse("ok")

    async def job() -> None:
        await consensus(Governor(Counting(), limits), "?", num_samples=20)

    threads = [threading.Thread(target=lambda: asyncio.run(job())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert 1 <= most <= 3
    assert (limits.in_flight, limits.waiting) == (0, 0)


async def test_over_http_two_jobs_share_an_account_and_lose_nothing() -> None:
    server = Limits(6_000, burst=0.5, retry_after="milliseconds")
    limits = RateLimits(requests_per_minute=6_000)
    with LocalEndpoint(["Paris"], limits=server) as endpoint:
        async with Provider(endpoint.base_url, "m") as one, Provider(endpoint.base_url, "m") as other:
            votes = [consensus(Governor(each, limits), "?", num_samples=12) for each in (one, other)]
            results = await asyncio.gather(*votes)
        assert [result.value for result in results] == ["Paris", "Paris"]
        assert endpoint.ledger.statuses.count(200) == 24
        assert endpoint.ledger.statuses.count(429) == limits.refused
        assert endpoint.ledger.calls == sum(result.cost.llm_calls for result in results)


async def test_over_http_the_limit_that_headers_name_is_kept() -> None:
    with LocalEndpoint(["Paris"], limits=Limits(6_000, headers=True)) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            limits = RateLimits()
            await consensus(Governor(provider, limits), "?", num_samples=40)
    assert limits.allowed_per_second == pytest.approx(100, rel=0.02)
    assert limits.refused == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ratelimit-limit-requests": "1", "x-ratelimit-remaining-requests": "0"},
        {
            "x-ratelimit-limit-requests": "10",
            "x-ratelimit-remaining-requests": "-3",
            "x-ratelimit-reset-requests": "1s",
        },
        {
            "x-ratelimit-limit-requests": "14400",  # of a day
            "x-ratelimit-remaining-requests": "14370",
            "x-ratelimit-reset-requests": "3m0s",
        },
        {
            "x-ratelimit-limit-tokens": "9" * 300,
            "x-ratelimit-remaining-tokens": "NaN",
            "x-ratelimit-reset-tokens": "soon",
        },
    ],
)
async def test_headers_that_say_nothing_of_a_rate_change_nothing(headers: dict[str, str]) -> None:
    limits = RateLimits()
    governor = Governor(MockProvider([LLMResponse("Paris", headers=headers)]), limits)
    for _ in range(10):
        await governor.complete(HI)
    assert limits.allowed_per_second is None


async def test_what_is_learnt_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "executionkit.limits")
    limits = RateLimits(requests_per_minute=600_000)
    governor = Governor(MockProvider([*["Paris"] * 30, RateLimitError("no", retry_after=0.0)]), limits)
    for _ in range(30):
        await governor.complete(HI)
    with pytest.raises(RateLimitError):
        await governor.complete(HI)
    (line,) = caplog.records
    assert line.levelno == logging.INFO
    assert vars(line)["ek_event"] == "limit"
    assert vars(line)["ek_requests_per_second"] == pytest.approx(limits.allowed_per_second, rel=0.01)


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [
        ({"requests_per_minute": 0}, "requests_per_minute must be a finite number > 0, got 0"),
        ({"tokens_per_minute": -1.5}, "tokens_per_minute must be a finite number > 0, got -1.5"),
        ({"max_in_flight": 0}, "max_in_flight must be an integer >= 1, got 0"),
        ({"burst": float("nan")}, "burst must be a finite number > 0, got nan"),
        ({"adaptive": "yes"}, "adaptive must be True or False, got 'yes'"),
    ],
)
def test_limits_out_of_range_are_refused_with_the_value(wrong: dict[str, Any], shown: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(shown)}$"):
        RateLimits(**wrong)


async def test_a_part_of_the_rates_lets_so_many_calls_go_and_none_lets_none() -> None:
    limits = RateLimits(requests_per_minute=60_000)
    limits.scale(0.0)
    call = asyncio.create_task(Governor(MockProvider(["Paris"]), limits).complete(HI))
    await turns()
    assert (limits.waiting, limits.in_flight) == (1, 0)
    limits.scale(0.5)
    assert (await call).content == "Paris"
    assert limits.allowed_per_second == 500
    with pytest.raises(ValueError, match=r"part must be in \[0, 1\], got 2"):
        limits.scale(2)


def test_a_copy_of_limits_has_the_figures_and_a_line_of_its_own() -> None:
    limits = pickle.loads(pickle.dumps(RateLimits(3_000, 2e6, 8, adaptive=False)))
    assert (limits.requests_per_minute, limits.max_in_flight, limits.adaptive) == (3_000, 8, False)
    assert repr(limits) == "RateLimits(requests_per_minute=3000, tokens_per_minute=2e+06, max_in_flight=8)"
