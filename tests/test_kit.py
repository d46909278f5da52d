"""`Kit`: the patterns as methods, and a total that misses nothing."""

import asyncio
import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from fakes import NO_WAIT, ONCE, HeldProvider

from executionkit import (
    BudgetExhaustedError,
    ConsensusFailedError,
    Conversation,
    Kit,
    LLMProvider,
    LLMResponse,
    MockProvider,
    PatternResult,
    PermanentError,
    ProviderError,
    TokenUsage,
    Tool,
    ToolCall,
    consensus,
    pipe,
    react_loop,
    refine_loop,
)


async def good(_text: str, _provider: LLMProvider) -> float:
    return 1.0


async def test_the_four_methods_and_their_running_total() -> None:
    async def look() -> str:
        return "a cat"

    tool = Tool("look", "Look.", {"type": "object", "properties": {}}, look)
    asked = LLMResponse("", tool_calls=[ToolCall("1", "look", {})], usage={"completion_tokens": 2})
    script: list[str | LLMResponse] = ["a", "a", "draft", asked, "a cat it is", "b", "b", "b"]
    provider = MockProvider(script, usage=TokenUsage(10, 2))
    kit = Kit(provider)
    assert kit.usage == TokenUsage()

    assert (await kit.consensus("q", num_samples=2)).value == "a"
    assert kit.usage == TokenUsage(20, 4, 2)
    assert (await kit.refine("q", evaluator=good)).value == "draft"
    assert kit.usage == TokenUsage(30, 6, 3)
    assert (await kit.react("q", [tool])).value == "a cat it is"
    assert kit.usage == TokenUsage(40, 10, 5)
    result = await kit.pipe("q", consensus, num_samples=3, max_budget=TokenUsage(llm_calls=3))
    assert result.value == "b"
    assert kit.usage == TokenUsage(70, 16, 8)
    assert provider.call_count == 8


async def test_a_result_s_cost_is_its_own_not_the_kit_s() -> None:
    kit = Kit(MockProvider(["a"]))
    await kit.consensus("q", num_samples=2)
    assert (await kit.consensus("q", num_samples=3)).cost == TokenUsage(llm_calls=3)


async def test_without_tracking_the_total_stays_zero() -> None:
    provider = MockProvider(["a"], usage=TokenUsage(1, 1))
    kit = Kit(provider, track_cost=False)
    assert (await kit.consensus("q")).cost == TokenUsage(5, 5, 5)
    await kit.pipe("q", consensus)
    assert kit.usage == TokenUsage()
    assert kit.metered is provider


async def test_what_failed_calls_spent_is_in_the_total() -> None:
    provider = MockProvider(
        ["a", "b", ProviderError("503"), ProviderError("503"), "c", PermanentError("401")]
    )
    kit = Kit(provider)
    with pytest.raises(ConsensusFailedError):
        await kit.consensus("q", num_samples=2, strategy="unanimous")
    assert kit.usage.llm_calls == 2
    assert (await kit.consensus("q", num_samples=1, retry=NO_WAIT)).cost.llm_calls == 3
    assert kit.usage.llm_calls == 5
    with pytest.raises(PermanentError) as caught:
        await kit.refine("q")
    assert caught.value.cost.llm_calls == 1
    assert kit.usage.llm_calls == provider.call_count == 6


async def test_a_budget_that_refuses_before_the_first_call_costs_nothing() -> None:
    kit = Kit(MockProvider(["a"]))
    with pytest.raises(BudgetExhaustedError):
        await kit.consensus("q", num_samples=3, max_cost=TokenUsage(llm_calls=2))
    assert kit.usage == TokenUsage()


async def test_what_a_cancelled_call_spent_is_in_the_total() -> None:
    provider = HeldProvider()
    kit = Kit(provider)
    vote = asyncio.create_task(kit.consensus("q", num_samples=8, max_concurrency=4))
    await provider.arrived(4)
    provider.requests[0].answer(usage={"prompt_tokens": 3, "completion_tokens": 1})
    await provider.arrived(5)
    vote.cancel()
    with pytest.raises(asyncio.CancelledError):
        await vote
    assert kit.usage == TokenUsage(3, 1, 5)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_runs_side_by_side_add_up() -> None:
    provider = HeldProvider()
    kit = Kit(provider)
    one = asyncio.create_task(kit.consensus("one", num_samples=2))
    two = asyncio.create_task(kit.consensus("two", num_samples=3, retry=ONCE))
    await provider.arrived(5)
    for request in provider.requests:
        if request.prompt == "one":
            request.answer(usage={"prompt_tokens": 1})
        else:
            request.fail(ProviderError("503"))
    assert (await one).cost == TokenUsage(1 * 2, 0, 2)
    with pytest.raises(ProviderError) as caught:
        await two
    assert caught.value.cost == TokenUsage(llm_calls=3)
    assert kit.usage == TokenUsage(2, 0, 5)


async def test_steps_and_patterns_of_one_s_own_count_through_metered() -> None:
    async def ask(provider: LLMProvider, prompt: str) -> PatternResult[str]:
        return PatternResult((await provider.complete([{"role": "user", "content": prompt}])).content)

    kit = Kit(MockProvider(["a"]))
    await kit.pipe("q", ask, ask)
    await ask(kit.metered, "q")
    await consensus(kit.metered, "q", num_samples=2)
    assert kit.usage.llm_calls == 5


def test_one_kit_after_another_event_loop() -> None:
    kit = Kit(MockProvider(["a"]))
    for _ in range(3):
        asyncio.run(kit.consensus("q", num_samples=2, max_cost=TokenUsage(output_tokens=9000)))
    assert kit.usage.llm_calls == 6


def test_a_loop_that_ends_in_the_middle_leaves_the_kit_usable() -> None:
    held = HeldProvider()
    kit = Kit(held)

    async def leave_in_the_middle() -> None:
        task = asyncio.create_task(kit.consensus("q", max_tokens=60, max_cost=TokenUsage(output_tokens=90)))
        (await held.arrived(1)).answer(usage={"completion_tokens": 10})
        await held.arrived(2)  # in flight, and others wait for room
        assert not task.done()

    async def go_on() -> None:
        task = asyncio.create_task(kit.consensus("q", num_samples=1, max_cost=TokenUsage(output_tokens=90)))
        (await held.arrived(3)).answer(usage={"completion_tokens": 5})
        await task

    asyncio.run(leave_in_the_middle())
    asyncio.run(go_on())
    assert kit.usage == TokenUsage(0, 15, 3)


@pytest.mark.parametrize("provider", [None, "gpt", object(), MockProvider])
def test_what_cannot_complete_is_no_provider(provider: Any) -> None:
    with pytest.raises(TypeError, match=r"kit: the provider needs an async `complete"):
        Kit(provider)


def test_the_methods_have_the_patterns_signatures_less_the_provider() -> None:
    kit = Kit(MockProvider())
    methods: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
        (kit.consensus, consensus),
        (kit.refine, refine_loop),
        (kit.react, react_loop),
        (kit.pipe, pipe),
    ]
    for method, pattern in methods:
        ours, theirs = inspect.signature(method).parameters, inspect.signature(pattern).parameters
        assert [*map(str, ours.values())] == [*map(str, theirs.values())][1:]
    assert (inspect.getdoc(consensus) or "none") in (inspect.getdoc(Kit.consensus) or "")


def test_its_repr_shows_the_total() -> None:
    kit = Kit(MockProvider())
    assert repr(kit).startswith("Kit(<")
    assert repr(kit) == "Kit(<MockProvider>, 0 calls, 0 + 0 tokens)"


@pytest.mark.parametrize("copied", [copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("made", [Kit, Conversation])
def test_what_holds_a_budget_says_why_it_cant_be_copied(
    made: Callable[[MockProvider], object], copied: Callable[[object], object]
) -> None:
    with pytest.raises(TypeError, match=r"budget.* hand on the provider, or Conversation\.to_dict"):
        copied(made(MockProvider()))
