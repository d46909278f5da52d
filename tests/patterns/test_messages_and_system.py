"""Earlier messages and a system message: what is sent and refused, and how a broken run goes on."""

import asyncio
import json
from types import MappingProxyType
from typing import Any

import pytest
from fakes import ONCE

from executionkit import (
    LLMResponse,
    MaxIterationsError,
    MockProvider,
    Observation,
    ProviderError,
    Tool,
    ToolCall,
    react_loop,
)

USER = {"role": "user", "content": "What does tea cost?"}
ANSWER = {"role": "assistant", "content": "3.20."}
SYSTEM = {"role": "system", "content": "Be brief."}


def asking(*ids: str) -> dict[str, Any]:
    function = {"name": "price", "arguments": '{"item": "tea"}'}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": own, "type": "function", "function": function} for own in ids],
    }


def result_of(own: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": own, "content": "3.2"}


def asks(*ids: str, **fields: Any) -> LLMResponse:
    return LLMResponse("", [ToolCall(own, "price", {"item": own}) for own in ids], **fields)


# -- what is refused before any call ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([USER, "hello"], r"messages\[1\] must be a message \(a dict\), got 'hello'"),
        ([{"content": "hello"}], r"messages\[0\] must have a role out of .*, got None"),
        ([USER, {"role": "bot", "content": "x"}], r"messages\[1\] must have a role out of .*, got 'bot'"),
        ([{"role": "user"}], r"messages\[0\] must have a text or a list of parts as its content, got None"),
        ([{"role": "user", "content": 3}], r"messages\[0\] must have a text or a list of parts .*, got 3"),
        ([{"role": "user", "content": ["a"]}], r"messages\[0\] must have a text or a list of parts .*'a'"),
        ([USER, result_of("a")], r"messages\[1\] must have the tool_call_id of a call before it .*, got 'a'"),
        ([USER, asking("a"), USER], r"messages\[2\] must come after the result of the tool call 'a' in mess"),
        ([USER, asking("a", "b"), result_of("b"), ANSWER], r"messages\[3\] must come after .* call 'a' in"),
        ([USER, asking("a"), result_of("a"), result_of("a")], r"messages\[3\] must have the tool_call_id"),
        ([USER, asking("a"), result_of("b")], r"messages\[2\] must have the tool_call_id .*, got 'b'"),
        ([USER, asking("a", "a")], r"messages\[1\] must have tool calls with .* an id of their own"),
        ([USER, asking("")], r"messages\[1\] must have tool calls with .* an id of their own"),
        ([USER, {**asking("a"), "tool_calls": "price"}], r"messages\[1\] must have tool calls with"),
        ([USER, asking("a")], r"messages must have the results of their tool calls .*'a'"),
    ],
)
async def test_messages_that_cannot_be_sent_are_refused_with_their_index(messages: Any, told: str) -> None:
    provider = MockProvider(["42"])
    with pytest.raises(ValueError, match=f"^{told}"):
        await react_loop(provider, "And a scone?", [], messages=messages)
    assert provider.call_count == 0


@pytest.mark.parametrize("messages", [None, [], [SYSTEM], [USER, ANSWER]])
async def test_without_a_prompt_there_must_be_something_to_reply_to(messages: Any) -> None:
    with pytest.raises(ValueError, match=r"^prompt must be a str.* got None"):
        await react_loop(MockProvider(["42"]), None, [], messages=messages)


@pytest.mark.parametrize("role", ["system", "developer"])
async def test_of_two_system_messages_neither_wins(role: str) -> None:
    with pytest.raises(ValueError, match=rf"^system must be None when messages begin with a {role} message"):
        await react_loop(
            MockProvider(), "q", [], messages=[{"role": role, "content": "x"}], system="Be brief."
        )


# -- what is sent ----------------------------------------------------------------------------------------


async def test_the_system_message_goes_first_and_the_prompt_last() -> None:
    provider = MockProvider(["2.80."])
    earlier = (MappingProxyType(USER), MappingProxyType(ANSWER))
    result = await react_loop(provider, "And a scone?", [], messages=earlier, system="Be brief.")
    sent = [SYSTEM, USER, ANSWER, {"role": "user", "content": "And a scone?"}]
    assert provider.calls[0].messages == sent
    assert result.messages == (*sent, {"role": "assistant", "content": "2.80."})
    assert json.loads(json.dumps(result.messages)) == list(result.messages)


async def test_a_turn_goes_on_from_the_messages_of_the_last_one() -> None:
    def price(item: str) -> float:
        """The price of an item."""
        return len(item)

    provider = MockProvider([asks("a", "b"), "Both cost 1.", "As I said, 1."])
    first = await react_loop(provider, "a and b?", [price], system="Be brief.")
    second = await react_loop(provider, "Sure?", [price], messages=first.messages)
    assert provider.calls[2].messages == [*first.messages, {"role": "user", "content": "Sure?"}]
    assert [message["role"] for message in second.messages] == [
        *("system", "user", "assistant", "tool", "tool", "assistant"),
        *("user", "assistant"),
    ]


async def test_neither_the_caller_s_messages_nor_the_reply_s_are_shared_with_the_result() -> None:
    given = [{"role": "user", "content": [{"type": "text", "text": "q"}]}]
    answer = {"role": "assistant", "content": "42", "signature": {"of": "it"}}
    reply = LLMResponse("42", raw={"choices": [{"message": answer}]})
    result = await react_loop(MockProvider([reply]), None, [], messages=given)
    given[0]["content"][0]["text"] = "changed"  # type: ignore[index]  # a list of parts
    answer["signature"]["of"] = "another"  # type: ignore[index]
    assert result.messages == (
        {"role": "user", "content": [{"type": "text", "text": "q"}]},
        {"role": "assistant", "content": "42", "signature": {"of": "it"}},
    )
    assert result.metadata["messages"] == result.messages


# -- going on --------------------------------------------------------------------------------------------


async def test_a_run_that_failed_goes_on_from_its_transcript() -> None:
    ran: list[str] = []

    def price(item: str) -> str:
        """The price of an item."""
        ran.append(item)
        return "3.2"

    provider = MockProvider([asks("a"), ProviderError("503"), "3.20."])
    with pytest.raises(ProviderError) as caught:
        await react_loop(provider, "q", [price], retry=ONCE)
    result = await react_loop(provider, None, [price], messages=caught.value.metadata["messages"])
    assert (result.value, ran) == ("3.20.", ["a"])
    assert provider.calls[2].messages == provider.calls[1].messages


async def test_every_error_of_the_loop_leaves_a_transcript_to_go_on_from() -> None:
    for replies, rounds in (([LLMResponse("")], 2), ([asks("a"), LLMResponse("<think>hm</think>")], 2)):
        with pytest.raises(ProviderError, match="neither an answer") as caught:
            await react_loop(MockProvider(replies), "q", [], max_rounds=rounds)
        result = await react_loop(MockProvider(["42"]), None, [], messages=caught.value.metadata["messages"])
        assert result.value == "42"
    with pytest.raises(MaxIterationsError) as spent:
        await react_loop(MockProvider([asks("a")]), "q", [], max_rounds=2)
    again = await react_loop(MockProvider(["42"]), None, [], messages=spent.value.metadata["messages"])
    assert [message["role"] for message in again.messages] == [
        "user",
        *["assistant", "tool"] * 2,
        "assistant",
    ]


async def test_calls_without_a_result_are_run_first() -> None:
    ran: list[str] = []

    def price(item: str) -> str:
        """The price of an item."""
        ran.append(item)
        return f"{item}!"

    provider = MockProvider(["Done."])
    messages = [USER, asking("a", "b", "c"), result_of("b")]
    result = await react_loop(provider, None, [price], messages=messages)
    assert ran == ["tea", "tea"]
    assert [m["tool_call_id"] for m in provider.calls[0].messages[2:]] == ["b", "a", "c"]
    assert (result.tool_calls_made, result.rounds) == (2, 1)


async def test_a_tool_that_was_run_before_a_cancellation_is_not_run_again() -> None:
    ran: list[str] = []
    done = asyncio.Event()

    async def price(item: str) -> str:
        """The price of an item."""
        ran.append(item)
        if item == "slow":
            await asyncio.Event().wait()
        return item

    def listen(event: object) -> None:
        if isinstance(event, Observation):
            done.set()

    provider = MockProvider([asks("slow", "fast"), "Done."])
    run = asyncio.create_task(react_loop(provider, "q", [price], on_event=listen))
    await done.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await run
    messages = vars(caught.value)["metadata"]["messages"]
    assert [m["content"] for m in messages if m["role"] == "tool"] == ["fast"]

    async def quick(item: str) -> str:
        """The price of an item."""
        ran.append(f"{item} again")
        return item

    tools = [Tool.from_function(quick, name="price")]
    result = await react_loop(provider, None, tools, messages=messages)
    assert (result.value, ran) == ("Done.", ["slow", "fast", "slow again"])


async def test_calls_of_a_reply_that_was_cut_off_are_never_run_later() -> None:
    async def stop(event: object) -> None:
        task = asyncio.current_task()
        if isinstance(event, Observation) and task is not None:
            task.cancel()
            await asyncio.sleep(0)

    provider = MockProvider([asks("a", "b", finish_reason="length"), "Done."])
    with pytest.raises(asyncio.CancelledError) as caught:
        await react_loop(provider, "q", [], on_event=stop)
    messages = vars(caught.value)["metadata"]["messages"]
    result = await react_loop(provider, None, [], messages=messages)
    assert (result.value, result.tool_calls_made) == ("Done.", 0)
