"""`pipe`: what goes from step to step, who gets which keyword, one budget over everything."""

import asyncio
import json
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from fakes import NO_WAIT, ONCE, HeldProvider

from executionkit import (
    BudgetExhaustedError,
    ExecutionKitError,
    Kit,
    LLMProvider,
    LLMResponse,
    MockProvider,
    PatternResult,
    PermanentError,
    PipeResult,
    ProviderError,
    RetryConfig,
    TokenUsage,
    Tool,
    ToolCall,
    consensus,
    pipe,
    react_loop,
    refine_loop,
)


async def ask(provider: LLMProvider, prompt: str) -> PatternResult[str]:
    """A step that knows nothing of budgets: one call, a cost it never counted."""
    reply = await provider.complete([{"role": "user", "content": prompt}])
    return PatternResult(reply.content)


async def good(_text: str, _provider: LLMProvider) -> float:
    return 1.0


def giving(value: object, **metadata: Any) -> Any:
    """A step that calls nobody."""

    async def step(_provider: LLMProvider, _prompt: str) -> PatternResult[object]:
        return PatternResult(value, metadata=metadata)

    return step


# -- from step to step -----------------------------------------------------------------------------------


async def test_no_steps_give_the_prompt_back_at_no_cost() -> None:
    provider = MockProvider(["x"])
    result: PipeResult[str] = await pipe(provider, "as it was", max_budget=TokenUsage(llm_calls=1))
    assert isinstance(result, PipeResult)
    assert (result.value, result.score, result.cost) == ("as it was", None, TokenUsage())
    assert dict(result.metadata) == {"step_count": 0, "step_metadata": [], "callback_errors": 0}
    assert provider.call_count == 0


async def test_the_value_of_one_step_is_the_prompt_of_the_next() -> None:
    provider = MockProvider(["one", "two", "three"], usage=TokenUsage(3, 2))
    result = await pipe(provider, "zero", ask, ask, ask)
    assert [call.messages[0]["content"] for call in provider.calls] == ["zero", "one", "two"]
    assert result.value == "three"
    assert result.cost == TokenUsage(9, 6, 3)


async def test_the_result_is_the_last_step_s_with_the_metadata_of_all() -> None:
    provider = MockProvider(["draft", "draft", "other", "better"])
    result = await pipe(
        provider, "q", partial(consensus, num_samples=3), partial(refine_loop, evaluator=good)
    )
    assert (result.value, result.score) == ("better", 1.0)
    assert result.cost.llm_calls == 4
    assert (result.metadata["iterations"], result.metadata["converged"]) == (0, True)
    assert (result.metadata["step_count"], result.step_count) == (2, 2)
    first, second = result.metadata["step_metadata"]
    assert first["agreement_ratio"] == pytest.approx(2 / 3)
    assert second["stop_reason"] == "target"


@dataclass
class Film:
    title: str
    years: tuple[int, ...] = ()


class Told(Film):
    def __str__(self) -> str:
        return f"a film called {self.title}"


@pytest.mark.parametrize(
    ("value", "prompt"),
    [
        ("text", "text"),
        ({"ok": True, "none": None, "é": [1]}, '{"ok": true, "none": null, "é": [1]}'),
        ([1, None, "a"], '[1, null, "a"]'),
        (("a", {"b": True}), '["a", {"b": true}]'),
        (Film("M", (1931,)), '{"title": "M", "years": [1931]}'),
        (Told("M"), "a film called M"),
        ([Film("M")], '[{"title": "M", "years": []}]'),
        (42, "42"),
        (None, "None"),
    ],
)
async def test_a_value_becomes_the_next_prompt_as_json_where_it_is_data(value: object, prompt: str) -> None:
    provider = MockProvider(["done"])
    await pipe(provider, "q", giving(value), ask)
    assert provider.calls[0].messages[0]["content"] == prompt


async def test_read_only_mappings_become_json_as_well() -> None:
    provider = MockProvider(["done"])
    await pipe(provider, "q", giving(PatternResult("", metadata={"a": {"b": [1]}}).metadata), ask)
    assert json.loads(provider.calls[0].messages[0]["content"]) == {"a": {"b": [1]}}


async def test_a_pipe_is_a_step_too() -> None:
    async def inner(provider: LLMProvider, prompt: str) -> PipeResult[str]:
        return await pipe(provider, prompt, ask, ask)

    result = await pipe(MockProvider(["a", "b", "c"]), "q", inner, ask)
    assert result.value == "c"
    assert result.cost.llm_calls == 3
    assert result.step_metadata[0]["step_count"] == 2


# -- keywords --------------------------------------------------------------------------------------------


async def test_each_step_gets_only_the_keywords_it_has_parameters_for() -> None:
    given: list[dict[str, object]] = []

    async def one(provider: LLMProvider, prompt: str, *, style: str = "", max_tokens: int = 1) -> Any:
        given.append({"style": style, "max_tokens": max_tokens})
        return PatternResult(prompt)

    async def two(provider: LLMProvider, prompt: str, **rest: object) -> Any:
        given.append(rest)
        return PatternResult(prompt)

    async def three(provider: LLMProvider, prompt: str) -> Any:
        return PatternResult(prompt)

    await pipe(MockProvider(), "q", one, two, three, style="terse", max_tokens=5, extra=1)
    assert given == [{"style": "terse", "max_tokens": 5}, {"style": "terse", "max_tokens": 5, "extra": 1}]


async def test_a_preset_of_partial_wins_over_a_shared_keyword() -> None:
    provider = MockProvider(["a"])
    await pipe(
        provider,
        "q",
        partial(partial(consensus, num_samples=1), temperature=0.1),
        partial(consensus, max_tokens=9),
        num_samples=2,
        temperature=0.5,
    )
    assert [(call.temperature, call.max_tokens) for call in provider.calls] == [
        (0.1, 4096),
        (0.5, 9),
        (0.5, 9),
    ]


async def test_react_loop_s_catch_all_is_not_handed_what_another_step_takes() -> None:
    provider = MockProvider(["a"])
    await pipe(
        provider, "q", consensus, partial(react_loop, tools=[]), num_samples=1
    )  # a warning is an error
    assert provider.call_count == 2


async def test_a_keyword_that_is_preset_everywhere_warns_that_it_is() -> None:
    with pytest.warns(UserWarning, match="'num_samples' is ignored: .* set already"):
        await pipe(MockProvider(["a"]), "q", partial(consensus, num_samples=1), num_samples=3)


async def test_the_provider_and_the_prompt_are_no_keywords_of_a_step() -> None:
    async def step(llm: LLMProvider, text: str) -> PatternResult[str]:
        return PatternResult(text)

    with pytest.warns(UserWarning, match="'text' is ignored"):
        result = await pipe(MockProvider(), "q", step, text="other")
    assert result.value == "q"


async def test_retry_holds_for_steps_that_do_not_take_it_too() -> None:
    provider = MockProvider([ProviderError("503"), "a"])
    result = await pipe(provider, "q", ask, retry=NO_WAIT)
    assert (result.value, result.cost.llm_calls) == ("a", 2)
    with pytest.raises(ProviderError) as caught:
        await pipe(MockProvider([ProviderError("503"), "a"]), "q", ask, retry=ONCE)
    assert caught.value.cost.llm_calls == 1


# -- what is no step -------------------------------------------------------------------------------------


async def test_what_cannot_be_called_is_refused_before_any_call() -> None:
    provider = MockProvider(["a"])
    with pytest.raises(TypeError, match="a step must be an async callable"):
        await pipe(provider, "q", ask, "ask")  # type: ignore[arg-type]  # what is wrong is the point
    assert provider.call_count == 0


async def test_a_step_that_is_not_async_is_named() -> None:
    def step(_provider: LLMProvider, prompt: str) -> PatternResult[str]:
        return PatternResult(prompt)

    with pytest.raises(TypeError, match=r"must be async, .*step.* returned PatternResult"):
        await pipe(MockProvider(), "q", step)  # type: ignore[arg-type]  # what is wrong is the point


async def test_a_step_that_returns_something_else_is_named_and_what_it_spent_is_told() -> None:
    async def step(provider: LLMProvider, prompt: str) -> str:
        return (await ask(provider, prompt)).value

    with pytest.raises(TypeError, match=r"must return a PatternResult, .*step.* returned 'b'") as caught:
        await pipe(MockProvider(["a", "b"]), "q", ask, step)  # type: ignore[arg-type]  # the point
    assert vars(caught.value)["cost"] == TokenUsage(llm_calls=2)
    assert vars(caught.value)["metadata"]["value"] == "a"


@pytest.mark.parametrize("budget", [5, (1, 2, 3), {"llm_calls": 1}])
async def test_a_budget_that_is_none_is_refused(budget: Any) -> None:
    with pytest.raises(ValueError, match="max_budget must be a TokenUsage or None, got"):
        await pipe(MockProvider(), "q", max_budget=budget)


# -- one budget ------------------------------------------------------------------------------------------


async def budgets_seen(*spent: TokenUsage, max_budget: TokenUsage | None, **shared: Any) -> list[object]:
    """What each step is handed as max_cost when the steps before spend these."""
    seen: list[object] = []

    def step(cost: TokenUsage) -> Any:
        async def run(provider: LLMProvider, prompt: str, *, max_cost: object = "nothing") -> Any:
            seen.append(max_cost)
            return PatternResult(prompt, cost=cost)

        return run

    await pipe(MockProvider(), "q", *map(step, spent), max_budget=max_budget, **shared)
    return seen


async def test_what_is_left_goes_to_each_step_as_max_cost() -> None:
    spent = [TokenUsage(10, 5, 1), TokenUsage(80, 10, 1), TokenUsage(20, 0, 1), TokenUsage()]
    seen = await budgets_seen(*spent, max_budget=TokenUsage(100, 0, 3))
    assert seen == [
        TokenUsage(100, 0, 3),
        TokenUsage(90, 0, 2),
        TokenUsage(10, 0, 1),
        TokenUsage(-1, 0, -1),  # overspent and spent: negative, so that neither is taken for "no limit"
    ]


async def test_without_a_budget_no_max_cost_is_handed_on() -> None:
    assert await budgets_seen(TokenUsage(), max_budget=None) == ["nothing"]


async def test_a_shared_max_cost_is_tightened_to_what_is_left() -> None:
    spent = [TokenUsage(0, 0, 4), TokenUsage()]
    seen = await budgets_seen(
        *spent, max_budget=TokenUsage(llm_calls=6), max_cost=TokenUsage(output_tokens=50, llm_calls=5)
    )
    assert seen == [TokenUsage(0, 50, 5), TokenUsage(0, 50, 2)]


async def test_a_step_s_own_tighter_max_cost_holds() -> None:
    provider = MockProvider(["a"])
    step = partial(consensus, num_samples=3, max_cost=TokenUsage(llm_calls=2))
    with pytest.raises(BudgetExhaustedError, match="consensus"):
        await pipe(provider, "q", step, max_budget=TokenUsage(llm_calls=50))
    assert provider.call_count == 0


async def test_a_step_s_own_wider_max_cost_does_not_widen_the_pipe_s() -> None:
    provider = MockProvider(["a"])
    step = partial(consensus, num_samples=3, max_cost=TokenUsage(llm_calls=50))
    with pytest.raises(BudgetExhaustedError, match="pipe"):
        await pipe(provider, "q", step, max_budget=TokenUsage(llm_calls=2))
    assert provider.call_count == 0


async def test_a_step_that_knows_nothing_of_budgets_is_bound_by_the_pipe_s() -> None:
    provider = MockProvider(["a"])
    with pytest.raises(BudgetExhaustedError, match="pipe: the budget of llm_calls") as caught:
        await pipe(provider, "q", ask, ask, ask, max_budget=TokenUsage(llm_calls=2))
    assert provider.call_count == 2
    assert caught.value.cost == TokenUsage(llm_calls=2)


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        (
            TokenUsage(llm_calls=5),
            "3 calls are needed, but the budget has only 2 llm_calls left: spent 3 of 5",
        ),
        (TokenUsage(llm_calls=3), "the budget of llm_calls is used up: spent 3 of 3"),
        (TokenUsage(output_tokens=22), "the budget of output_tokens is used up: spent 25 of 22"),
        (TokenUsage(input_tokens=45), "the budget of input_tokens is used up: spent 50 of 45"),
    ],
)
async def test_when_the_whole_budget_is_out_the_error_tells_of_the_whole(
    budget: TokenUsage, told: str
) -> None:
    provider = MockProvider(["7"], usage=TokenUsage(10, 5))
    vote = partial(consensus, num_samples=3)
    with pytest.raises(BudgetExhaustedError) as caught:
        await pipe(provider, "q", vote, vote, max_budget=budget)
    assert str(caught.value).startswith(f"pipe: {told};")
    assert caught.value.cost == TokenUsage(
        10 * provider.call_count, 5 * provider.call_count, provider.call_count
    )


async def test_two_patterns_share_the_calls_and_the_second_gets_what_the_first_left() -> None:
    provider = MockProvider(["7"])
    with pytest.raises(BudgetExhaustedError) as caught:
        await pipe(
            provider,
            "q",
            partial(consensus, num_samples=5),
            partial(refine_loop, target_score=1.0, patience=9, max_iterations=9),
            max_budget=TokenUsage(llm_calls=8),
        )
    assert provider.call_count == caught.value.cost.llm_calls == 8
    # Both what the steps before left and what the failed one had paid for.
    assert caught.value.metadata["value"] == "7"
    assert caught.value.metadata["step_metadata"][0]["agreement_ratio"] == 1.0
    assert (caught.value.metadata["best_text"], caught.value.metadata["best_score"]) == ("7", 0.7)


async def test_the_recipe_five_drafts_voted_the_winner_refined_under_one_budget() -> None:
    provider = MockProvider(
        lambda call: "9" if call.temperature == 0.1 else "draft", usage=TokenUsage(100, 50)
    )
    result = await pipe(
        provider,
        "q",
        partial(consensus, num_samples=5),
        partial(refine_loop, target_score=0.9, max_iterations=3),
        max_budget=TokenUsage(20_000, 10_000, 20),
    )
    assert (result.value, result.score) == ("draft", 0.9)
    assert result.cost == TokenUsage(700, 350, 7)


async def test_parallel_samples_of_a_step_keep_the_pipe_s_output_tokens() -> None:
    provider = HeldProvider()
    run = asyncio.create_task(
        pipe(
            provider,
            "q",
            partial(consensus, num_samples=4, max_tokens=40, max_concurrency=4),
            max_budget=TokenUsage(output_tokens=100),
        )
    )
    await provider.arrived(2)
    promised = [request.max_tokens or 4096 for request in provider.waiting]
    assert promised == [40, 40]
    for number in range(4):
        (await provider.arrived(number + 1)).answer(usage={"completion_tokens": 20})
    assert (await run).cost == TokenUsage(0, 80, 4)


# -- failures and what they cost -------------------------------------------------------------------------


async def test_an_error_in_step_two_carries_the_cost_of_step_one_and_its_value() -> None:
    provider = MockProvider(["a", "a", "a", PermanentError("401")], usage=TokenUsage(10, 5))
    with pytest.raises(PermanentError) as caught:
        await pipe(provider, "q", partial(consensus, num_samples=3), ask)
    assert caught.value.cost == TokenUsage(30, 15, 4)
    assert caught.value.metadata["value"] == "a"
    assert [step["unique_responses"] for step in caught.value.metadata["step_metadata"]] == [1]


async def test_an_error_in_step_one_says_that_nothing_was_finished() -> None:
    with pytest.raises(PermanentError) as caught:
        await pipe(MockProvider([PermanentError("401")]), "q", ask, ask)
    assert caught.value.metadata == {"value": None, "step_metadata": []}


async def test_what_a_pipe_inside_had_paid_for_is_not_hidden_by_the_pipe_around_it() -> None:
    async def inner(provider: LLMProvider, prompt: str) -> PatternResult[str]:
        return await pipe(provider, prompt, ask, ask, ask)

    async def middle(provider: LLMProvider, prompt: str) -> PatternResult[str]:
        return await pipe(provider, prompt, ask, inner)

    provider = MockProvider(["outer", "middle", "inner 1", "inner 2", PermanentError("403")])
    with pytest.raises(PermanentError) as caught:
        await pipe(provider, "q", ask, middle)
    metadata = caught.value.metadata
    assert metadata["value"] == "outer"
    assert metadata["inner"]["value"] == "middle"
    assert metadata["inner"]["inner"]["value"] == "inner 2"
    assert len(metadata["inner"]["inner"]["step_metadata"]) == 2
    assert caught.value.cost.llm_calls == 5


async def test_an_error_that_is_raised_again_and_again_keeps_nothing_of_earlier_runs() -> None:
    error = PermanentError("403")

    class Refusing:
        async def complete(self, messages: object, **_: object) -> LLMResponse:
            raise error

    for number in range(3):
        with pytest.raises(PermanentError) as caught:
            await pipe(Refusing(), "q", giving(f"value {number}"), ask)
        assert caught.value.metadata == {"value": f"value {number}", "step_metadata": [{}]}


async def test_a_foreign_error_goes_through_as_it_is_with_the_cost_noted() -> None:
    async def broken(provider: LLMProvider, prompt: str) -> PatternResult[str]:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        await pipe(MockProvider(["a"]), "q", ask, broken)
    assert vars(caught.value)["cost"] == TokenUsage(llm_calls=1)
    assert vars(caught.value)["metadata"]["value"] == "a"
    assert caught.value.__notes__ == ["pipe: spent 1 call, 0 tokens"]


# -- steps with a provider of their own ------------------------------------------------------------------


def elsewhere(other: LLMProvider) -> Any:
    """A step that asks another provider than the one it is handed."""

    async def step(_provider: LLMProvider, prompt: str, *, max_cost: TokenUsage | None = None) -> Any:
        return await consensus(other, prompt, num_samples=2, max_cost=max_cost, retry=ONCE)

    return step


async def test_what_a_step_spends_by_a_provider_of_its_own_is_counted_from_what_it_says() -> None:
    here = MockProvider(["here"], usage=TokenUsage(1, 1))
    other = MockProvider(["there"], usage=TokenUsage(10, 10))
    kit = Kit(here)
    result = await kit.pipe("q", ask, elsewhere(other), ask)
    assert result.cost == kit.usage == TokenUsage(22, 22, 4)


async def test_a_budget_holds_for_a_provider_of_a_step_s_own_by_what_the_step_says() -> None:
    here, other = MockProvider(["here"]), MockProvider(["there"])
    with pytest.raises(BudgetExhaustedError):
        await pipe(here, "q", elsewhere(other), ask, ask, max_budget=TokenUsage(llm_calls=3))
    assert (other.call_count, here.call_count) == (2, 1)


async def test_a_step_that_fails_at_a_provider_of_its_own_has_its_cost_counted() -> None:
    here, other = MockProvider(["here"]), MockProvider(["there", ProviderError("503")])
    kit = Kit(here)
    with pytest.raises(ExecutionKitError) as caught:
        await kit.pipe("q", ask, elsewhere(other))
    assert caught.value.cost == kit.usage == TokenUsage(llm_calls=3)


async def test_so_has_one_that_fails_there_with_a_foreign_error() -> None:
    here, other = MockProvider(["here"]), MockProvider(["there", OSError("disk")])
    kit = Kit(here)
    with pytest.raises(OSError, match="disk") as caught:
        await kit.pipe("q", ask, elsewhere(other))
    assert vars(caught.value)["cost"] == kit.usage == TokenUsage(llm_calls=3)


async def test_a_step_that_goes_through_the_run_is_not_counted_twice() -> None:
    async def honest(provider: LLMProvider, prompt: str) -> PatternResult[str]:
        result = await consensus(provider, prompt, num_samples=3)
        return PatternResult(result.value, cost=result.cost)

    result = await pipe(MockProvider(["a"], usage=TokenUsage(2, 1)), "q", honest, honest)
    assert result.cost == TokenUsage(12, 6, 6)


# -- transparency ----------------------------------------------------------------------------------------


async def test_a_step_sees_the_provider_s_own_attributes() -> None:
    seen: list[object] = []

    class Named(MockProvider):
        model = "tiny"

    async def step(provider: Any, prompt: str) -> PatternResult[str]:
        seen.extend([provider.model, provider.supports_tools, hasattr(provider, "nonsense")])
        return PatternResult(prompt)

    await pipe(Named(), "q", step)
    assert seen == ["tiny", True, False]


async def test_react_loop_works_as_a_step() -> None:
    async def look() -> str:
        return "a cat"

    tool = Tool("look", "Look.", {"type": "object", "properties": {}}, look)
    asked = LLMResponse("", tool_calls=[ToolCall("1", "look", {})])
    provider = MockProvider([asked, "It is a cat.", "A cat, then."])
    result = await pipe(
        provider, "q", partial(react_loop, tools=[tool]), ask, max_budget=TokenUsage(llm_calls=3)
    )
    assert result.value == "A cat, then."
    assert result.step_metadata[0]["tool_calls_made"] == 1


async def test_react_loop_as_a_step_wants_a_provider_that_calls_tools() -> None:
    class Plain:
        complete = MockProvider(["a"]).complete

    with pytest.raises(TypeError, match="supports_tools"):
        await pipe(Plain(), "q", partial(react_loop, tools=[]))


async def test_cancelling_a_pipe_ends_the_request_and_keeps_the_kit_s_total() -> None:
    provider = HeldProvider()
    kit = Kit(provider)
    run = asyncio.create_task(kit.pipe("q", ask, partial(consensus, num_samples=3), retry=RetryConfig()))
    (await provider.arrived(1)).answer("a", usage={"completion_tokens": 4})
    await provider.arrived(4)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert provider.waiting == []
    assert kit.usage == TokenUsage(0, 4, 4)


async def test_a_ceiling_for_each_step_in_the_place_of_one_for_all_is_warned_of() -> None:
    once = partial(consensus, num_samples=1)
    spend = TokenUsage(llm_calls=1)
    with pytest.warns(UserWarning, match="max_budget the one for all of them") as met:
        await pipe(MockProvider(["a"]), "q", once, once, max_cost=spend)
    assert met[0].filename == __file__
    await pipe(MockProvider(["a"]), "q", once, max_cost=spend)
    await pipe(MockProvider(["a"]), "q", once, once, max_cost=spend, max_budget=TokenUsage(llm_calls=2))


class CircuitOpenError(Exception):
    """Somebody else's error, which can carry attributes."""


@pytest.mark.parametrize("failure", [PermanentError("circuit open"), CircuitOpenError()])
async def test_an_error_that_is_raised_again_brings_no_cost_of_an_earlier_run(failure: Exception) -> None:
    """A circuit breaker remembers the failure, and raises the same object."""
    mock = MockProvider(["a", "a", failure, failure, failure], usage=TokenUsage(9, 1))
    kit = Kit(mock)
    for calls in (3, 1, 1):
        steps = [partial(consensus, num_samples=2), ask] if calls == 3 else [ask]
        with pytest.raises(type(failure)) as caught:
            await kit.pipe("q", *steps, retry=ONCE)
        assert vars(caught.value)["cost"].llm_calls == calls
    assert kit.usage == TokenUsage(18, 2, 5)
    assert mock.call_count == 5


# -- ceilings ------------------------------------------------------------------------------------------------


async def knows_nothing(provider: LLMProvider, prompt: str) -> PatternResult[str]:
    for _ in range(3):
        await provider.complete([{"role": "user", "content": prompt}])
    return PatternResult(prompt)


async def test_max_cost_holds_for_a_step_that_has_no_such_parameter() -> None:
    provider = MockProvider(["x"])
    with pytest.raises(BudgetExhaustedError):
        await pipe(provider, "q", knows_nothing, max_cost=TokenUsage(llm_calls=2))
    assert provider.call_count == 2


async def test_a_pipe_in_a_step_with_further_keywords_is_bound() -> None:
    async def nested(provider: LLMProvider, prompt: str, **kwargs: Any) -> PatternResult[str]:
        return await pipe(provider, prompt, knows_nothing, **kwargs)

    provider = MockProvider(["x"])
    with pytest.raises(BudgetExhaustedError):
        await pipe(provider, "q", nested, max_budget=TokenUsage(llm_calls=2))
    assert provider.call_count == 2


async def test_a_misspelt_ceiling_does_not_end_in_a_steps_further_keywords() -> None:
    async def takes_all(provider: LLMProvider, prompt: str, **kwargs: Any) -> PatternResult[str]:
        return PatternResult(f"{prompt} {sorted(kwargs)}")

    provider = MockProvider(["x"])
    for name in ("max_buget", "max_costs", "maxBudget"):
        misspelt: dict[str, Any] = {name: TokenUsage(llm_calls=1)}
        with pytest.raises(TypeError, match=r"did you mean 'max_(budget|cost)'"):
            await pipe(provider, "q", takes_all, **misspelt)
    assert (await pipe(provider, "q", takes_all, colour="red")).value == "q ['colour']"
    assert provider.call_count == 0
