"""Relays: providers around the providers that calls of a run go to; and ceilings that grow."""

import asyncio
from typing import Any

import pytest

from executionkit import (
    BudgetExhaustedError,
    LLMResponse,
    MockProvider,
    Panel,
    ProviderError,
    RetryConfig,
    Rubric,
    Tier,
    TokenUsage,
    best_of_n,
    cascade,
    consensus,
)
from executionkit.engine.relay import Relay, innermost
from executionkit.engine.run import Run
from executionkit.protocols import LLMProvider, StreamingProvider
from executionkit.testing import MockCall


class Counting(Relay):
    """Counts the calls that go through it."""

    calls = 0

    async def complete(self, messages: list[dict[str, Any]], **kwargs: Any) -> LLMResponse:
        self.calls += 1
        return await super().complete(messages, **kwargs)


class Counted:
    """Makes relays, and has the calls that went to each provider inside."""

    def __init__(self) -> None:
        self._relays: list[Counting] = []

    def __call__(self, provider: LLMProvider) -> LLMProvider:
        self._relays.append(Counting(provider))
        return self._relays[-1]

    def of(self, provider: LLMProvider) -> int:
        return sum(relay.calls for relay in self._relays if innermost(relay) is provider)


async def test_calls_of_patterns_inside_a_run_go_through_its_relay() -> None:
    relays, provider = Counted(), MockProvider(["a"])
    async with Run("job", provider, relay=relays) as job:
        await consensus(job, "?", num_samples=3)
    assert relays.of(provider) == 3
    assert job.usage.llm_calls == 3


async def test_every_model_that_a_run_inside_calls_has_a_relay() -> None:
    cheap, strong, judge = MockProvider(["a", "b"]), MockProvider(["c"]), MockProvider(["7"])
    relays = Counted()
    async with Run("job", cheap, relay=relays) as job:
        await cascade([Tier(job, 2), Tier(strong)], "?")
        await best_of_n(job, "?", evaluator=Rubric("Is it good?", judge=judge), num_samples=2)
    assert [relays.of(each) for each in (cheap, strong, judge)] == [4, 1, 2]
    assert job.usage.llm_calls == 7


async def test_the_members_of_a_panel_have_a_relay_each() -> None:
    relays, panel = Counted(), Panel([MockProvider(["a"]), MockProvider(["a"])])
    async with Run("job", panel, relay=relays) as job:
        await consensus(job, "?", num_samples=4)
    assert [relays.of(member) for member in panel.members] == [2, 2]
    assert panel.dealt == (2, 2)


async def test_what_is_remembered_of_a_server_is_remembered_of_the_provider_inside() -> None:
    provider = MockProvider(["a"])
    run = Run("inner", Run("job", provider, relay=Counted()))
    assert run.target is run.innermost is provider
    assert innermost(Counting(Counting(provider))) is provider


def test_a_relay_streams_and_calls_tools_where_its_provider_does() -> None:
    class Plain:
        async def complete(self, messages: list[dict[str, Any]], **kwargs: Any) -> LLMResponse:
            return LLMResponse("")

    assert isinstance(Relay(MockProvider([])), StreamingProvider)
    assert not isinstance(Relay(Plain()), StreamingProvider)
    assert Relay(MockProvider([])).supports_tools
    with pytest.raises(TypeError, match="no `complete`"):
        Relay(object())  # type: ignore[arg-type]


async def test_a_run_without_retries_of_its_own_has_those_of_the_run_around_it() -> None:
    provider = MockProvider([ProviderError("busy")] * 5 + ["a"])
    async with Run("job", provider, retry=RetryConfig(max_retries=5, base_delay=0)) as job:
        assert (await consensus(job, "?", num_samples=1)).cost.llm_calls == 6


async def test_a_ceiling_that_is_raised_lets_calls_through() -> None:
    run = Run("job", MockProvider(["a"]), max_cost=TokenUsage(llm_calls=-1))
    with pytest.raises(BudgetExhaustedError):
        await run.complete([{"role": "user", "content": "?"}])
    run.extend(TokenUsage(llm_calls=2, output_tokens=5))
    assert run.left == TokenUsage(llm_calls=2)  # a field without a limit stays without one
    await consensus(run, "?", num_samples=2)
    with pytest.raises(BudgetExhaustedError):
        await run.complete([{"role": "user", "content": "?"}])
    with pytest.raises(ValueError, match="negative llm_calls"):
        run.extend(TokenUsage(llm_calls=-1))


async def test_a_raised_ceiling_wakes_a_call_that_waits_for_room() -> None:
    release, begun = asyncio.Event(), asyncio.Event()

    async def slow(call: MockCall) -> str:
        begun.set()
        await release.wait()
        return "a"

    run = Run("job", MockProvider(slow), max_cost=TokenUsage(output_tokens=100))
    asked = [{"role": "user", "content": "?"}]
    first = asyncio.create_task(run.complete(asked, max_tokens=100))
    await begun.wait()
    begun.clear()
    second = asyncio.create_task(run.complete(asked, max_tokens=100))
    await asyncio.sleep(0)
    assert not begun.is_set()
    run.extend(TokenUsage(output_tokens=100))
    await begun.wait()  # it is sent although the first has not come back
    release.set()
    await asyncio.gather(first, second)
