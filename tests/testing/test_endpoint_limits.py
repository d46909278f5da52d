"""Rate limits of the local endpoint."""

from typing import Any

import pytest

from executionkit import LLMError, LLMResponse, Provider, RateLimitError
from executionkit.testing import Limits, LocalEndpoint

HI = [{"role": "user", "content": "Hi"}]


class Clock:
    """Time that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


async def outcomes(endpoint: LocalEndpoint, count: int, **kwargs: Any) -> list[LLMResponse | LLMError]:
    found: list[LLMResponse | LLMError] = []
    async with Provider(endpoint.base_url, "m") as provider:
        for _ in range(count):
            try:
                found.append(await provider.complete(HI, **kwargs))
            except LLMError as exc:
                found.append(exc)
    return found


async def test_a_bucket_fills_steadily_and_can_be_changed_while_the_endpoint_runs() -> None:
    clock = Clock()
    limits = Limits(60, burst=2, clock=clock)
    with LocalEndpoint(["ok"], limits=limits) as endpoint:
        await outcomes(endpoint, 3)
        clock.now += 1
        await outcomes(endpoint, 2)
        limits.change(600)
        clock.now += 0.25
        await outcomes(endpoint, 3)
        assert endpoint.ledger.statuses == (200, 200, 429, 200, 429, 200, 200, 429)


async def test_a_window_admits_its_share_and_refuses_until_it_ends() -> None:
    clock = Clock()
    with LocalEndpoint(["ok"], limits=Limits(60, window=3, clock=clock)) as endpoint:
        clock.now += 1
        *_, refusal = await outcomes(endpoint, 4)
        assert isinstance(refusal, RateLimitError)
        assert refusal.retry_after == 2.0
        clock.now += 2
        await outcomes(endpoint, 1)
        assert endpoint.ledger.statuses == (200, 200, 200, 429, 200)


async def test_tokens_of_prompt_and_reply_count() -> None:
    clock = Clock()
    # A prompt of four tokens and a reply of six; twenty in a burst.
    with LocalEndpoint(["a b c d e f"], limits=Limits(None, 600, burst=2, clock=clock)) as endpoint:
        *_, refusal = await outcomes(endpoint, 3)
        assert isinstance(refusal, RateLimitError)
        assert (refusal.code, refusal.status_code) == ("rate_limit_exceeded", 429)
        assert "tokens per min" in str(refusal)
        clock.now += 0.4
        await outcomes(endpoint, 1)
        assert endpoint.ledger.statuses == (200, 200, 429, 200)


@pytest.mark.parametrize(
    ("form", "wait"), [("seconds", 1.0), ("milliseconds", 0.6), ("date", 1.0), ("body", 0.6), ("none", 1.0)]
)
async def test_each_form_of_retry_after_is_one_that_providers_read(form: Any, wait: float) -> None:
    with LocalEndpoint(["ok"], limits=Limits(100, burst=0.6, retry_after=form, clock=Clock())) as endpoint:
        _, refusal = await outcomes(endpoint, 2)
    assert isinstance(refusal, RateLimitError)
    assert refusal.retry_after == pytest.approx(wait, abs=1.0 if form == "date" else 1e-9)


async def test_headers_tell_of_the_limits() -> None:
    with LocalEndpoint(["ok"], limits=Limits(60, 6_000, burst=60, headers=True, clock=Clock())) as endpoint:
        _, reply = await outcomes(endpoint, 2)
    assert isinstance(reply, LLMResponse)
    assert {name: value for name, value in reply.headers.items() if name.startswith("x-ratelimit")} == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "58",
        "x-ratelimit-reset-requests": "2s",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "5990",
        "x-ratelimit-reset-tokens": "100ms",
    }


def test_wrong_limits_are_refused() -> None:
    with pytest.raises(ValueError, match="requests_per_minute must be a finite number > 0, got 0"):
        Limits(0)
    with pytest.raises(ValueError, match="retry_after must be one of"):
        Limits(60, retry_after="soon")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="limits must be a Limits or None, got 60"):
        LocalEndpoint(limits=60)  # type: ignore[arg-type]
