"""MockProvider: scripts, exceptions, functions, recording, strictness."""

import asyncio
from typing import Any

import pytest

from executionkit._mock import MockCall, MockProvider, ScriptExhaustedError
from executionkit.errors import ExecutionKitError, ProviderError, RateLimitError
from executionkit.protocols import LLMProvider, ToolCallingProvider
from executionkit.responses import LLMResponse, ToolCall
from executionkit.types import TokenUsage

USER = [{"role": "user", "content": "hello"}]


async def texts(provider: MockProvider, count: int) -> list[str]:
    return [(await provider.complete(USER)).content for _ in range(count)]


def test_satisfies_both_protocols() -> None:
    provider: ToolCallingProvider = MockProvider()
    plain: LLMProvider = MockProvider()
    assert isinstance(provider, ToolCallingProvider)
    assert isinstance(plain, LLMProvider)
    assert provider.supports_tools is True


async def test_replies_in_order_and_starts_over() -> None:
    assert await texts(MockProvider(["a", LLMResponse("b")]), 5) == ["a", "b", "a", "b", "a"]


async def test_without_responses_every_reply_is_empty() -> None:
    provider = MockProvider()
    assert await provider.complete(USER) == LLMResponse("")
    assert await provider.complete(USER) == LLMResponse("")


async def test_a_response_is_handed_out_as_it_is() -> None:
    response = LLMResponse("x", [ToolCall("1", "add", {"a": 1})], "tool_calls", {"prompt_tokens": 3})
    assert await MockProvider([response], usage=TokenUsage(9, 9)).complete(USER) is response


async def test_changing_the_list_afterwards_has_no_effect() -> None:
    script = ["a"]
    provider = MockProvider(script)
    script[:] = ["changed", "b"]
    assert await texts(provider, 2) == ["a", "a"]


async def test_records_each_call() -> None:
    provider = MockProvider(["a"])
    assert provider.last_call is None
    assert provider.call_count == 0
    tools = [{"type": "function", "function": {"name": "add"}}]
    await provider.complete(USER)
    await provider.complete(USER, temperature=0.5, max_tokens=7, tools=tools, stop=["x"], seed=1)
    assert provider.calls == [
        MockCall(USER, None, None, None, {}),
        MockCall(USER, 0.5, 7, tools, {"stop": ["x"], "seed": 1}),
    ]
    assert provider.call_count == 2
    assert provider.last_call is provider.calls[1]


async def test_recorded_calls_are_snapshots() -> None:
    provider = MockProvider()
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": "before"}]}]
    tools: list[dict[str, Any]] = [{"function": {"parameters": {"required": ["a"]}}}]
    stop = ["x"]
    await provider.complete(messages, tools=tools, stop=stop, pair=([1], 2))
    messages[0]["content"][0]["text"] = "after"
    messages.append({"role": "user", "content": "more"})
    tools[0]["function"]["parameters"]["required"].append("b")
    stop.append("y")
    assert provider.calls == [
        MockCall(
            [{"role": "user", "content": [{"type": "text", "text": "before"}]}],
            None,
            None,
            [{"function": {"parameters": {"required": ["a"]}}}],
            {"stop": ["x"], "pair": [[1], 2]},
        )
    ]


async def test_exception_is_raised_on_every_call_and_recorded() -> None:
    provider = MockProvider(["never seen"], ProviderError("down", status_code=503))
    for _ in range(2):
        with pytest.raises(ProviderError, match="down") as caught:
            await provider.complete(USER)
        assert caught.value.status_code == 503
    assert provider.call_count == 2


async def test_nothing_set_on_one_raise_stays_on_the_next() -> None:
    given = ProviderError("down", metadata={"seen": 0})
    given.add_note("from the test")
    given.__cause__ = cause = OSError("refused")
    provider = MockProvider(exception=given)
    first = await failure(provider)
    assert isinstance(first, ExecutionKitError)
    first.cost = TokenUsage(1, 2, 3)
    first.metadata["seen"] = 1
    first.add_note("added")
    second = await failure(provider)
    assert isinstance(second, ExecutionKitError)
    assert second is not first
    assert (second.cost, second.metadata) == (TokenUsage(), {"seen": 0})
    assert second.__notes__ == given.__notes__ == ["from the test"]
    assert second.__cause__ is cause
    assert given.__traceback__ is None


class NeedsTwo(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Prefixes(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(f"failed: {message}")


@pytest.mark.parametrize("given", [NeedsTwo(1, 2), Prefixes("x")])
async def test_what_cannot_be_copied_faithfully_is_raised_itself(given: Exception) -> None:
    assert await failure(MockProvider(exception=given)) is given


async def failure(provider: MockProvider) -> BaseException:
    try:
        await provider.complete(USER)
    except BaseException as error:
        return error
    raise AssertionError("no failure")


@pytest.mark.parametrize(
    "given", [asyncio.CancelledError, asyncio.CancelledError(), ValueError, ValueError("x")]
)
async def test_any_exception_or_class_of_it_can_be_raised(given: BaseException | type[BaseException]) -> None:
    kind = given if isinstance(given, type) else type(given)
    assert type(await failure(MockProvider(exception=given))) is kind
    assert type(await failure(MockProvider([given]))) is kind


async def test_exceptions_inside_the_sequence() -> None:
    provider = MockProvider(["a", RateLimitError("slow down", retry_after=2), ConnectionError, "b"])
    assert await texts(provider, 1) == ["a"]
    limited = await failure(provider)
    assert isinstance(limited, RateLimitError)
    assert limited.retry_after == 2
    assert isinstance(await failure(provider), ConnectionError)
    assert await texts(provider, 2) == ["b", "a"]
    again = await failure(provider)
    assert again is not limited
    assert provider.call_count == 6


async def test_a_function_answers_the_recorded_call() -> None:
    def upper(call: MockCall) -> str:
        return str(call.messages[-1]["content"]).upper()

    provider = MockProvider(upper, usage=TokenUsage(3, 4))
    response = await provider.complete(USER)
    assert (response.content, response.input_tokens, response.output_tokens) == ("HELLO", 3, 4)


async def test_an_async_function_may_wait() -> None:
    gate, asked = asyncio.Event(), asyncio.Event()

    async def answer(call: MockCall) -> LLMResponse:
        asked.set()
        await gate.wait()
        return LLMResponse(f"at {call.temperature}")

    provider = MockProvider(answer)
    task = asyncio.create_task(provider.complete(USER, temperature=0.1))
    await asked.wait()
    assert not task.done()
    gate.set()
    assert (await task).content == "at 0.1"


async def test_a_function_may_return_or_raise_an_exception() -> None:
    returned = MockProvider(lambda _: ProviderError("returned"))
    assert str(await failure(returned)) == "returned"

    def raising(_: MockCall) -> str:
        raise ProviderError("raised")

    assert str(await failure(MockProvider(raising))) == "raised"


async def test_a_function_that_returns_something_else_is_told() -> None:
    provider = MockProvider(lambda _: 3)  # type: ignore[arg-type, return-value]  # the mistake under test
    with pytest.raises(TypeError, match="a reply must be a str, an LLMResponse or an exception, got 3"):
        await provider.complete(USER)


@pytest.mark.parametrize("usage", [TokenUsage(11, 5, 1), {"prompt_tokens": 11, "completion_tokens": 5}])
async def test_usage_is_given_to_texts_and_the_empty_reply(usage: Any) -> None:
    for provider in (MockProvider(["a"], usage=usage), MockProvider(usage=usage)):
        response = await provider.complete(USER)
        assert (response.reported_input_tokens, response.reported_output_tokens) == (11, 5)


@pytest.mark.parametrize("usage", [3, "3", [("prompt_tokens", 3)]])
def test_usage_must_be_a_mapping(usage: Any) -> None:
    with pytest.raises(TypeError, match="usage must be a TokenUsage, a mapping or None, got"):
        MockProvider(["a"], usage=usage)


def test_a_usage_that_would_count_as_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"usage must have one of prompt_tokens, .*, got {'tokens': 3}"):
        MockProvider(["a"], usage={"tokens": 3})


async def test_it_is_closed_and_entered_as_a_provider_is_and_answers_on() -> None:
    async with MockProvider(["a"]) as provider:
        assert await texts(provider, 1) == ["a"]
    await provider.aclose()
    await provider.aclose()
    assert await texts(provider, 1) == ["a"]
    with pytest.raises(ProviderError, match="down"):
        async with MockProvider(exception=ProviderError("down")) as failing:
            await failing.complete(USER)


async def test_without_usage_the_counts_are_unknown() -> None:
    assert (await MockProvider(["a"]).complete(USER)).reported_input_tokens is None


async def test_strict_fails_when_the_script_runs_out() -> None:
    provider = MockProvider(["a"], strict=True)
    assert await texts(provider, 1) == ["a"]
    with pytest.raises(ScriptExhaustedError, match="call 2, but the script has no more replies"):
        await provider.complete(USER)
    assert isinstance(await failure(MockProvider(strict=True)), AssertionError)


@pytest.mark.parametrize("responses", ["text", LLMResponse("x"), ValueError("x"), ValueError, {"q": "a"}, 5])
def test_responses_must_be_a_list_or_a_function(responses: Any) -> None:
    with pytest.raises(TypeError, match="responses must be a list of replies or a function"):
        MockProvider(responses)


@pytest.mark.parametrize("reply", [None, 3, {"content": "x"}, int])
def test_a_reply_of_another_type_is_refused(reply: Any) -> None:
    with pytest.raises(TypeError, match="a reply must be a str, an LLMResponse or an exception"):
        MockProvider(["fine", reply])


def test_exception_must_be_one() -> None:
    with pytest.raises(TypeError, match="exception must be an exception or None, got 'down'"):
        MockProvider([], "down")  # type: ignore[arg-type]  # the mistake under test


def test_strict_needs_a_script() -> None:
    with pytest.raises(ValueError, match="strict=True needs a list of responses"):
        MockProvider(lambda _: "a", strict=True)
    with pytest.raises(ValueError, match="strict=True needs a list of responses"):
        MockProvider(["a"], ValueError("x"), strict=True)
