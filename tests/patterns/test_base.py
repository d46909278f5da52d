"""checked_complete: the door to the model for patterns of one's own."""

import asyncio
from typing import Any

import pytest
from fakes import NO_WAIT, HeldProvider, idle

from executionkit import (
    BudgetExhaustedError,
    CostTracker,
    LLMProvider,
    LLMResponse,
    MockProvider,
    PatternResult,
    ProviderError,
    RateLimitError,
    RetryConfig,
    TokenUsage,
    checked_complete,
    pipe,
)
from executionkit.patterns import base

MESSAGES = [{"role": "user", "content": "hello"}]


def test_base_offers_the_documented_helpers() -> None:
    assert base.checked_complete is checked_complete
    assert base.validate_score(0.5) == 0.5
    with pytest.raises(ValueError, match="score must be"):
        base.validate_score(2)


async def test_the_reply_comes_back_and_the_tracker_is_charged() -> None:
    provider = MockProvider(["hi"], usage=TokenUsage(3, 4))
    tracker = CostTracker()
    reply = await checked_complete(provider, MESSAGES, tracker, None, None)
    assert reply.content == "hi"
    assert tracker.to_usage() == TokenUsage(3, 4, 1)


async def test_everything_else_reaches_the_provider() -> None:
    provider = MockProvider(["hi"])
    tools = [{"type": "function", "function": {"name": "add"}}]
    await checked_complete(
        provider, MESSAGES, CostTracker(), None, None, temperature=0.1, max_tokens=5, tools=tools, seed=1
    )
    assert provider.last_call == (MESSAGES, 0.1, 5, tools, {"seed": 1})


async def test_every_attempt_counts() -> None:
    provider = MockProvider([ProviderError("a"), RateLimitError("b", retry_after=0), "hi"])
    tracker = CostTracker()
    await checked_complete(provider, MESSAGES, tracker, None, NO_WAIT)
    assert tracker.to_usage() == TokenUsage(0, 0, 3)


async def test_no_retry_config_means_the_default_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(seconds: float) -> None:
        pass

    monkeypatch.setattr(asyncio, "sleep", at_once)
    provider = MockProvider(exception=ProviderError("down"))
    with pytest.raises(ProviderError):
        await checked_complete(provider, MESSAGES, CostTracker(), None, None)
    assert provider.call_count == 4


async def test_the_budget_is_a_ceiling_on_what_the_tracker_holds() -> None:
    provider = MockProvider(["hi"])
    tracker = CostTracker()
    tracker.add_usage(TokenUsage(llm_calls=2))
    budget = TokenUsage(llm_calls=3)
    await checked_complete(provider, MESSAGES, tracker, budget, None)
    with pytest.raises(BudgetExhaustedError, match="spent 3 of 3") as caught:
        await checked_complete(provider, MESSAGES, tracker, budget, None)
    assert caught.value.cost == TokenUsage(llm_calls=3)
    assert provider.call_count == 1


async def test_calls_at_once_share_the_tracker_and_its_budget() -> None:
    provider, tracker = HeldProvider(), CostTracker()
    budget = TokenUsage(output_tokens=100)
    calls = [
        asyncio.create_task(checked_complete(provider, MESSAGES, tracker, budget, None, max_tokens=60))
        for _ in range(2)
    ]
    await idle()
    assert len(provider.requests) == 1
    provider.waiting[0].answer(usage={"completion_tokens": 60})
    await provider.arrived(2)
    assert provider.waiting[0].max_tokens == 40
    provider.waiting[0].answer(usage={"completion_tokens": 40})
    await asyncio.gather(*calls)
    assert tracker.to_usage() == TokenUsage(0, 100, 2)


async def test_a_failure_carries_what_the_tracker_holds() -> None:
    provider = MockProvider(["hi", ProviderError("down")], usage=TokenUsage(3, 4))
    tracker = CostTracker()
    once = RetryConfig(max_retries=0)
    await checked_complete(provider, MESSAGES, tracker, None, once)
    with pytest.raises(ProviderError) as caught:
        await checked_complete(provider, MESSAGES, tracker, None, once)
    assert caught.value.cost == tracker.to_usage() == TokenUsage(3, 4, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tracker", None),
        ("tracker", TokenUsage()),
        ("budget", 5),
        ("budget", {"llm_calls": 1}),
        ("retry", 3),
        ("max_tokens", 0),
        ("max_tokens", "many"),
    ],
)
async def test_what_is_out_of_range_is_refused_before_any_call(name: str, value: Any) -> None:
    provider = MockProvider(["hi"])
    given: dict[str, Any] = {"tracker": CostTracker(), "budget": None, "retry": None, name: value}
    with pytest.raises(ValueError, match=f"^{name} must be ") as caught:
        await checked_complete(provider, MESSAGES, **given)
    assert repr(value) in str(caught.value)
    assert provider.call_count == 0


async def test_what_is_no_provider_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^checked_complete: the provider needs an async"):
        await checked_complete(None, MESSAGES, CostTracker(), None, None)  # type: ignore[arg-type]  # what is refused


# -- in a pattern of one's own ---------------------------------------------------------------------------


async def twice(
    provider: LLMProvider, prompt: str, *, max_cost: TokenUsage | None = None
) -> PatternResult[str]:
    tracker = CostTracker()
    replies: list[LLMResponse] = []
    for _ in range(2):
        messages = [{"role": "user", "content": prompt}]
        replies.append(await checked_complete(provider, messages, tracker, max_cost, NO_WAIT))
    return PatternResult(replies[-1].content, cost=tracker.to_usage())


async def test_a_pattern_of_ones_own_is_metered_by_the_pipe_around_it() -> None:
    provider = MockProvider(["a", ProviderError("down"), "b"], usage=TokenUsage(1, 2))
    result = await pipe(provider, "q", twice)
    assert (result.value, result.cost) == ("b", TokenUsage(2, 4, 3))


async def test_a_pattern_of_ones_own_is_bound_by_the_pipes_budget() -> None:
    provider = MockProvider(["a"])
    with pytest.raises(BudgetExhaustedError) as caught:
        await pipe(provider, "q", twice, twice, max_budget=TokenUsage(llm_calls=3))
    assert provider.call_count == 3
    assert caught.value.cost == TokenUsage(llm_calls=3)
