"""`map_reduce`: order, the tree of reductions, what is skipped and what never is, what a failure keeps."""

import asyncio
from collections.abc import Sequence
from typing import Any, TypedDict

import pytest
from fakes import ONCE, HeldProvider, idle

from executionkit import (
    BudgetExhaustedError,
    ExecutionKitError,
    LLMResponse,
    MapReduceResult,
    MockProvider,
    PatternError,
    PermanentError,
    Provider,
    ProviderError,
    RateLimitError,
    RetryConfig,
    TokenUsage,
    map_reduce,
)
from executionkit.testing import ChatRequest, Fault, LocalEndpoint, MockCall


class Prompts(TypedDict):
    map_prompt: str
    reduce_prompt: str


PROMPTS: Prompts = {"map_prompt": "M:{input}", "reduce_prompt": "R:{results}"}


def asked(provider: MockProvider) -> list[str]:
    return [call.messages[0]["content"] for call in provider.calls]


def echo(call: MockCall) -> str:
    """Maps x to <x>, and says of a reduction what was in it."""
    text = str(call.messages[0]["content"])
    return f"<{text[2:]}>" if text.startswith("M:") else "(" + "+".join(text[2:].split("\n\n---\n\n")) + ")"


# -- mapping and reducing --------------------------------------------------------------------------------


async def test_each_input_is_mapped_and_the_results_are_reduced_in_order() -> None:
    provider = MockProvider(echo, usage=TokenUsage(10, 5))
    result = await map_reduce(provider, ["a", "b", "c"], **PROMPTS)
    assert isinstance(result, MapReduceResult)
    assert (result.value, result.score, result.cost) == ("(<a>+<b>+<c>)", None, TokenUsage(40, 20, 4))
    assert dict(result.metadata) == {
        "map_count": 3,
        "map_results": ["<a>", "<b>", "<c>"],
        "reduce_calls": 1,
        "failed": [],
        "truncated_responses": 0,
        "finish_reason": "stop",
        "callback_errors": 0,
    }
    assert {(call.temperature, call.max_tokens) for call in provider.calls} == {(0.3, 4096)}


async def test_order_is_that_of_the_inputs_whichever_came_first() -> None:
    provider = HeldProvider()
    run = asyncio.create_task(map_reduce(provider, ("a", "b", "c"), **PROMPTS))
    await provider.arrived(3)
    for request in reversed(provider.requests):
        request.answer(f"<{request.prompt[2:]}>")
        await idle()
    final = await provider.arrived(4)
    assert final.prompt == "R:<a>\n\n---\n\n<b>\n\n---\n\n<c>"
    final.answer("done")
    assert (await run).value == "done"


async def test_at_most_max_concurrency_are_in_flight() -> None:
    provider = HeldProvider()
    run = asyncio.create_task(map_reduce(provider, list("abcdef"), max_concurrency=2, **PROMPTS))
    while not run.done():
        await idle()
        for request in provider.waiting[:1]:
            request.answer()
    assert provider.most_waiting == 2
    assert (await run).cost.llm_calls == 7


async def test_one_input_is_reduced_as_well() -> None:
    assert (await map_reduce(MockProvider(echo), ["a"], **PROMPTS)).value == "(<a>)"


async def test_braces_in_prompts_and_inputs_are_left_alone() -> None:
    provider = MockProvider(["{results}"])
    await map_reduce(provider, ["{input} {x}"], map_prompt="{y} {input}", reduce_prompt="{z}: {results}")
    assert asked(provider) == ["{y} {input} {x}", "{z}: {results}"]


async def test_without_a_mark_the_text_follows_at_the_end() -> None:
    provider = MockProvider(["m"])
    await map_reduce(provider, ["a"], map_prompt="Summarise.", reduce_prompt="Merge.")
    assert asked(provider) == ["Summarise.\n\na", "Merge.\n\nm"]


async def test_prompts_may_be_functions() -> None:
    def merge(results: Sequence[str]) -> str:
        return f"R:{len(results)} {results[0]}"

    provider = MockProvider(["m"])
    await map_reduce(provider, ["a", "b"], map_prompt=str.upper, reduce_prompt=merge)
    assert asked(provider) == ["A", "B", "R:2 m"]


# -- the tree --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["map_prompt", "reduce_prompt"])
async def test_a_function_that_makes_no_prompt_is_told_before_the_call(name: str) -> None:
    async def late(_: object) -> str:
        return "too late"

    for function in (lambda _: None, late):
        provider = MockProvider(["m"])
        prompts: dict[str, Any] = {**PROMPTS, name: function}
        with pytest.raises(TypeError, match=f"{name} must return a str and be a plain function"):
            await map_reduce(provider, ["a"], **prompts)
        assert all(isinstance(prompt, str) for prompt in asked(provider))


async def test_results_beyond_the_limit_are_reduced_in_groups_of_neighbours() -> None:
    # Three of "<x>" with two separators are 23 characters.
    result = await map_reduce(MockProvider(echo), list("abcdefg"), max_reduce_chars=23, **PROMPTS)
    assert result.value == "(((<a>+<b>+<c>)+(<d>+<e>+<f>))+<g>)"
    assert result.reduce_calls == 4
    assert result.cost.llm_calls == 7 + 4


async def test_two_go_together_even_beyond_the_limit() -> None:
    result = await map_reduce(MockProvider(echo), list("abcde"), max_reduce_chars=1, **PROMPTS)
    assert result.value == "(((<a>+<b>)+(<c>+<d>))+<e>)"
    assert result.reduce_calls == 4


@pytest.mark.parametrize("limit", [1, 10, 40, 1000])
async def test_every_result_gets_in_once_and_in_order(limit: int) -> None:
    for count in range(1, 20):
        inputs = [chr(ord("a") + number) for number in range(count)]
        result = await map_reduce(MockProvider(echo), inputs, max_reduce_chars=limit, **PROMPTS)
        assert [char for char in result.value if char.isalpha()] == inputs
        assert result.cost.llm_calls == count + result.reduce_calls
        assert result.reduce_calls <= max(1, count - 1)


# -- failures --------------------------------------------------------------------------------------------


def failing(error: BaseException | LLMResponse) -> MockProvider:
    return MockProvider(lambda call: error if call.messages[0]["content"] == "M:b" else echo(call))


@pytest.mark.parametrize(
    "error",
    [
        ProviderError("503", status_code=503),
        RateLimitError("429", retry_after=0.0),
        PermanentError("content policy", status_code=400),
        PermanentError("too long", status_code=413),
        LLMResponse(""),
        LLMResponse("x", finish_reason="content_filter"),
        LLMResponse("", refusal="no"),
    ],
)
async def test_an_input_that_fails_is_skipped_and_reported_where_asked_for(
    error: ExecutionKitError | LLMResponse,
) -> None:
    result = await map_reduce(failing(error), ["a", "b", "c"], on_failure="skip", retry=ONCE, **PROMPTS)
    assert (result.value, result.map_results, result.map_count) == ("(<a>+<c>)", ["<a>", None, "<c>"], 3)
    (report,) = result.failed
    assert report["index"] == 1
    kind = (
        type(error).__name__ if isinstance(error, ExecutionKitError) else "PatternError: the reply to input 1"
    )
    assert report["error"].startswith(kind)

    with pytest.raises(type(error) if isinstance(error, ExecutionKitError) else PatternError) as caught:
        await map_reduce(failing(error), ["a", "b", "c"], max_concurrency=1, retry=ONCE, **PROMPTS)
    assert caught.value.cost.llm_calls == 2
    assert caught.value.metadata == {"map_results": ["<a>", None, None], "failed": [], "reduce_results": []}


@pytest.mark.parametrize(
    "error",
    [
        PermanentError("wrong key", status_code=401),
        PermanentError("no such model", status_code=404),
        PermanentError("no connection", dispatched=False),
        BudgetExhaustedError("an inner one"),
        TypeError("a mistake"),
    ],
)
async def test_what_concerns_every_input_is_never_skipped(error: Exception) -> None:
    provider = failing(error)
    with pytest.raises(type(error)):
        await map_reduce(
            provider, ["a", "b", "c"], on_failure="skip", max_concurrency=1, retry=ONCE, **PROMPTS
        )
    assert provider.call_count == 2


async def test_when_every_input_fails_the_first_error_is_raised_with_the_others_as_notes() -> None:
    provider = MockProvider([ProviderError("one"), ProviderError("two")])
    with pytest.raises(ProviderError, match="one") as caught:
        await map_reduce(provider, ["a", "b"], on_failure="skip", max_concurrency=1, retry=ONCE, **PROMPTS)
    assert caught.value.__notes__ == ["also failed: ProviderError: two"]
    assert [report["index"] for report in caught.value.metadata["failed"]] == [0, 1]


async def test_a_failed_reduction_is_raised_and_keeps_what_was_paid() -> None:
    def reply(call: MockCall) -> str | BaseException:
        text = call.messages[0]["content"]
        return ProviderError("503") if "<c>" in text and text.startswith("R") else echo(call)

    with pytest.raises(ProviderError) as caught:
        await map_reduce(
            MockProvider(reply),
            list("abcd"),
            on_failure="skip",
            max_reduce_chars=1,
            max_concurrency=1,
            retry=ONCE,
            **PROMPTS,
        )
    assert caught.value.metadata == {
        "map_results": ["<a>", "<b>", "<c>", "<d>"],
        "failed": [],
        "reduce_results": ["(<a>+<b>)"],
    }
    assert caught.value.cost.llm_calls == 6


async def test_an_empty_reduction_is_an_error() -> None:
    provider = MockProvider(["m", ""])
    with pytest.raises(PatternError, match="the reduction of 1 results has no text"):
        await map_reduce(provider, ["a"], on_failure="skip", **PROMPTS)


async def test_thoughts_are_not_reduced() -> None:
    replies = ["<think>a or b</think>\n\na", "b", "c", "[THINK]so[/THINK]a, b", "<think>all</think>abc"]
    provider = MockProvider(replies)
    result = await map_reduce(provider, ["1", "2", "3"], **PROMPTS, max_reduce_chars=9, max_concurrency=1)
    assert result.map_results == replies[:3]
    prompts = [call.messages[-1]["content"] for call in provider.calls[3:]]
    assert not any("think" in prompt.lower() for prompt in prompts)
    assert (result.reduce_calls, result.value) == (2, replies[4])


async def test_a_result_of_nothing_but_thoughts_is_an_error() -> None:
    with pytest.raises(PatternError, match="the reply to input 0 has no text"):
        await map_reduce(MockProvider(["<think>hm"]), ["a"], **PROMPTS)


async def test_what_was_cut_off_is_counted() -> None:
    provider = MockProvider([LLMResponse("m", finish_reason="length")])
    result = await map_reduce(provider, ["a", "b"], **PROMPTS)
    assert (result.truncated_responses, result.finish_reason) == (3, "length")


# -- budgets ---------------------------------------------------------------------------------------------


async def test_a_budget_that_cannot_pay_for_every_input_and_a_reduction_is_refused_for_nothing() -> None:
    provider = MockProvider(echo)
    with pytest.raises(BudgetExhaustedError) as caught:
        await map_reduce(provider, ["a", "b"], max_cost=TokenUsage(llm_calls=2), **PROMPTS)
    assert (provider.call_count, caught.value.cost) == (0, TokenUsage())
    assert (await map_reduce(provider, ["a", "b"], max_cost=TokenUsage(llm_calls=3), **PROMPTS)).reduce_calls


async def test_a_budget_that_ends_in_the_tree_keeps_the_reductions() -> None:
    with pytest.raises(BudgetExhaustedError) as caught:
        await map_reduce(
            MockProvider(echo),
            list("abcd"),
            max_reduce_chars=1,
            max_cost=TokenUsage(llm_calls=6),
            on_failure="skip",
            **PROMPTS,
        )
    assert caught.value.metadata["reduce_results"] == ["(<a>+<b>)", "(<c>+<d>)"]


async def test_a_text_among_the_inputs_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"inputs\[1\] must be a str"):
        await map_reduce(MockProvider(), ["a", 3], **PROMPTS)  # type: ignore[arg-type]  # what is wrong is the point


async def test_a_function_makes_prompts_of_any_inputs() -> None:
    pages = [(1, "Alice"), (2, "the rabbit")]
    provider = MockProvider(echo)
    result = await map_reduce(
        provider,
        pages,
        map_prompt=lambda page: f"Page {page[0]}: {page[1]}",
        reduce_prompt="Sum up: {results}",
    )
    asked = {call.messages[0]["content"] for call in provider.calls}
    assert {"Page 1: Alice", "Page 2: the rabbit"} < asked
    assert result.map_count == 2
    wrong: list[Any] = ["", "text", b"text", [], 3]
    for inputs in wrong:  # a text is one input, and no list of its characters
        with pytest.raises(ValueError, match="inputs must be a sequence of at least one input"):
            await map_reduce(provider, inputs, map_prompt=str, reduce_prompt="r")


async def test_over_http_among_faults_both_ledgers_agree() -> None:
    def simulated(request: ChatRequest) -> str | Fault:
        if request.number % 4 == 0:
            return Fault.status(503)
        if request.number % 7 == 0:
            return Fault.reset()
        if "poison" in request.prompt:
            return Fault.status(400)
        return f"summary {request.number}"

    inputs = [f"chapter {number}" for number in range(12)] + ["poison"]
    with LocalEndpoint(simulated) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            result = await map_reduce(
                provider,
                inputs,
                map_prompt="Summarise.",
                reduce_prompt="Merge.",
                on_failure="skip",
                max_reduce_chars=60,
                retry=RetryConfig(max_retries=50, base_delay=0.0),
            )
        assert result.cost == endpoint.ledger.usage
    assert [report["index"] for report in result.failed] == [12]
    assert result.reduce_calls > 1
