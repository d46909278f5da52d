"""`Conversation`: turns that are kept whole or not at all, on one budget."""

import asyncio
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest
from fakes import ONCE, HeldProvider, idle

from executionkit import (
    BudgetExhaustedError,
    Conversation,
    Finish,
    Kit,
    LLMProvider,
    LLMResponse,
    MockProvider,
    Observation,
    PatternEnded,
    PatternError,
    PatternEvent,
    PatternResult,
    Provider,
    ProviderError,
    RoundStarted,
    TextDelta,
    TokenUsage,
    ToolCall,
    ToolStarted,
    consensus,
    react_loop,
)
from executionkit.patterns.react_loop import ReactOptions
from executionkit.testing import LocalEndpoint, MockCall

SYSTEM = {"role": "system", "content": "Be brief."}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def asks(*items: str) -> LLMResponse:
    return LLMResponse("", [ToolCall(item, "price", {"item": item}) for item in items])


def price(item: str) -> float:
    """The price of an item."""
    return len(item)


def roles(chat: Conversation) -> list[str]:
    return [str(message["role"]) for message in chat.messages]


# -- turns -----------------------------------------------------------------------------------------------


async def test_turns_are_one_conversation() -> None:
    provider = MockProvider([asks("tea"), "3.", "5."], usage=TokenUsage(10, 2))
    chat = Conversation(provider, system="Be brief.", tools=[price])
    assert chat.messages == (SYSTEM,)
    first = await chat.send("Tea?")
    second = await chat.send("Scone?")
    assert (first.value, first.cost) == ("3.", TokenUsage(10, 2, 2))
    assert (second.value, second.cost) == ("5.", TokenUsage(10, 2, 1))
    assert chat.messages == second.messages == (*first.messages, user("Scone?"), said("5."))
    assert provider.calls[2].messages == [*first.messages, user("Scone?")]
    assert provider.calls[2].messages[0] == SYSTEM
    assert chat.usage == TokenUsage(20, 4, 3)


async def test_a_provider_that_knows_no_tools_needs_none() -> None:
    class Plain:
        async def complete(self, messages: list[dict[str, Any]], **_: Any) -> LLMResponse:
            return LLMResponse(f"{len(messages)} messages")

    chat = Conversation(Plain())
    assert [(await chat.send("q")).value, (await chat.send("q")).value] == ["1 messages", "3 messages"]
    with pytest.raises(TypeError, match="supports_tools = True; Plain "):
        await Conversation(Plain(), tools=[price]).send("q")


async def test_the_budget_is_that_of_the_whole_conversation() -> None:
    chat = Conversation(MockProvider(["a"]), max_cost=TokenUsage(llm_calls=2))
    await chat.send("1")
    assert chat.left == TokenUsage(llm_calls=1)
    await chat.send("2")
    before = chat.messages
    with pytest.raises(BudgetExhaustedError) as caught:
        await chat.send("3")
    assert (caught.value.cost, chat.messages, chat.left.llm_calls) == (TokenUsage(), before, -1)


async def test_options_hold_for_every_turn_or_for_one() -> None:
    provider = MockProvider(["a"])
    chat = Conversation(provider, temperature=0.0, max_history_messages=2)
    for _ in range(3):
        await chat.send("q")
    await chat.send("q", temperature=1.0, max_history_messages=None)
    assert [(call.temperature, len(call.messages)) for call in provider.calls] == [
        *[(0.0, 1)] * 3,
        (1.0, 7),
    ]


def test_the_options_are_all_parameters_of_the_loop_that_a_conversation_does_not_hold() -> None:
    parameters = inspect.signature(react_loop).parameters.values()
    named = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
    assert ReactOptions.__annotations__.keys() == named - {
        *("messages", "system", "max_cost", "approvals", "output", "max_retries")
    }


async def test_a_keyword_of_another_place_says_where_it_belongs() -> None:
    chat = Conversation(MockProvider(["42"]))
    elsewhere: dict[str, dict[str, Any]] = {
        "set on the Conversation": {"system": "s"},
        "ask": {"output": int},
    }
    for words, keywords in elsewhere.items():
        with pytest.raises(TypeError, match=words):
            await chat.send("q", **keywords)


@pytest.mark.parametrize(
    "keywords",
    [{"max_round": 3}, {"approval_gate": print}, {"colour": "red"}, {"tools": 3}, {"provider": object()}],
)
def test_what_a_conversation_does_not_take_is_refused_at_once(keywords: dict[str, Any]) -> None:
    given: dict[str, Any] = {"provider": MockProvider(), **keywords}
    with pytest.raises(TypeError):
        Conversation(**given)


@pytest.mark.parametrize(
    ("keywords", "told"),
    [
        ({"system": " "}, "^system must be"),
        ({"messages": "q"}, "^messages must be"),
        ({"messages": [user("q"), {"role": "tool"}]}, r"^messages\[1\] must have"),
        ({"messages": [SYSTEM], "system": "Be long."}, "^system must be None"),
        ({"max_cost": 3}, "^max_cost must be"),
        ({"tools": [price, price]}, "different names"),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(keywords: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Conversation(MockProvider(), **keywords)


async def test_a_prompt_that_is_none_leaves_all_as_it_was() -> None:
    chat = Conversation(MockProvider(["a", ProviderError("503")]))
    await chat.send("q")
    with pytest.raises(ProviderError):
        await chat.send("r", retry=ONCE)
    state = chat.to_dict()
    for wrong in (None, 3, b"q"):
        with pytest.raises(ValueError, match="prompt must be"):
            await chat.send(wrong)  # type: ignore[arg-type]  # what is wrong is the point
    with pytest.raises(TypeError, match="max_rounds"):
        await chat.send("q", max_round=3)  # type: ignore[call-arg]  # what is wrong is the point
    assert chat.to_dict() == state


async def test_the_messages_are_nobody_else_s() -> None:
    given = [user("q"), said("a")]
    chat = Conversation(MockProvider(["b"]), messages=given)
    given[0]["content"] = "changed"
    chat.messages[0]["content"] = "changed"  # type: ignore[index]  # a Mapping to users
    turn = await chat.send("r")
    turn.messages[0]["content"] = "changed"  # type: ignore[index]  # a Mapping to users
    chat.to_dict()["messages"][0]["content"] = "changed"
    assert chat.messages[0] == user("q")


# -- turns that fail -------------------------------------------------------------------------------------


async def test_a_turn_that_failed_is_gone_on_with() -> None:
    ran: list[str] = []

    def price(item: str) -> float:
        """The price of an item."""
        ran.append(item)
        return 3

    provider = MockProvider(["Hi.", asks("tea"), ProviderError("503"), "3."])
    chat = Conversation(provider, tools=[price], retry=ONCE)
    await chat.send("Hello")
    before = chat.messages
    with pytest.raises(ProviderError) as caught:
        await chat.send("Tea?")
    assert chat.messages == before
    assert len(caught.value.metadata["messages"]) == 5
    turn = await chat.resume()
    assert (turn.value, ran, chat.usage.llm_calls) == ("3.", ["tea"], 4)
    assert roles(chat) == ["user", "assistant", "user", "assistant", "tool", "assistant"]
    with pytest.raises(RuntimeError, match="no turn to go on with"):
        await chat.resume()


async def test_a_turn_that_failed_is_forgotten_with_the_next_one() -> None:
    chat = Conversation(MockProvider([ProviderError("503"), "b"]), retry=ONCE)
    with pytest.raises(ProviderError):
        await chat.send("a?")
    await chat.send("b?")
    assert chat.messages == (user("b?"), said("b"))
    with pytest.raises(RuntimeError, match="no turn"):
        await chat.resume()


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_messages_of_a_turn_that_broke_off_are_gone_on_with(count: int) -> None:
    call = {"id": "tea", "type": "function", "function": {"name": "price", "arguments": '{"item": "tea"}'}}
    broken = [user("Tea?"), {"role": "assistant", "content": None, "tool_calls": [call]}]
    broken.append({"role": "tool", "tool_call_id": "tea", "content": "3"})
    done = [user("Hi"), said("Hi.")]
    chat = Conversation(MockProvider(["3."]), messages=[*done, *broken[:count]], tools=[price])
    assert chat.messages == tuple(done)
    turn = await chat.resume()
    assert turn.value == "3."
    assert chat.messages[:2] == tuple(done)
    assert chat.messages[2:3] == (broken[0],)


# -- one turn at a time ----------------------------------------------------------------------------------


async def test_a_second_turn_at_once_is_refused() -> None:
    provider = HeldProvider()
    chat = Conversation(provider)
    turn = asyncio.create_task(chat.send("q"))
    await provider.arrived(1)
    for other in (chat.send("r"), chat.resume(), chat.ask("r"), chat.stream("r").__aenter__()):
        with pytest.raises(RuntimeError, match="a turn is under way"):
            await other
    provider.requests[0].answer("a")
    await turn
    assert chat.messages == (user("q"), said("a"))


async def test_a_cancelled_turn_is_as_if_it_had_not_been() -> None:
    provider = HeldProvider()
    chat = Conversation(provider)
    turn = asyncio.create_task(chat.send("q"))
    await provider.arrived(1)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert (chat.messages, chat.usage.llm_calls) == ((), 1)
    again = asyncio.create_task(chat.resume())
    await provider.arrived(2)
    provider.requests[1].answer("a")
    assert (await again).value == "a"
    assert chat.messages == (user("q"), said("a"))


# -- streams ---------------------------------------------------------------------------------------------


async def test_the_events_of_a_turn_come_one_at_a_time() -> None:
    heard: list[object] = []
    chat = Conversation(MockProvider([asks("tea"), "3."]), tools=[price], on_event=heard.append)
    stream = chat.stream("Tea?")
    with pytest.raises(RuntimeError, match="enter the stream"):
        await anext(stream)
    async with stream as events:
        with pytest.raises(RuntimeError, match="not complete"):
            _ = events.result
        told = [event async for event in events]
        assert [event async for event in events] == []
    assert [type(event).__name__ for event in told] == [
        *("PatternStarted", "RoundStarted", "ToolCallDone", "Finish", "ToolStarted", "Observation"),
        *("RoundStarted", "TextDelta", "Finish", "PatternEnded"),
    ]
    assert (told, events.result.value) == (heard, "3.")
    assert chat.messages == events.result.messages
    with pytest.raises(RuntimeError, match="entered once"):
        await stream.__aenter__()


async def test_the_turn_waits_while_an_event_is_dealt_with_and_ends_when_it_is_left() -> None:
    ran: list[str] = []

    def price(item: str) -> float:
        """The price of an item."""
        ran.append(item)
        return 3

    heard: list[PatternEvent] = []
    provider = MockProvider([asks("tea"), "3."])
    chat = Conversation(provider, tools=[price], on_event=heard.append)
    before = asyncio.all_tasks()
    async with chat.stream("Tea?") as events:
        async for event in events:
            await idle()
            if isinstance(event, ToolStarted):
                break
    assert asyncio.all_tasks() == before
    assert isinstance(heard[-1], PatternEnded)
    assert isinstance(heard[-1].error, asyncio.CancelledError)
    assert (ran, chat.messages, provider.call_count) == ([], (), 1)
    assert (await chat.resume()).value == "3."
    assert (ran, provider.call_count) == (["tea"], 2)


async def test_what_ends_a_streamed_turn_comes_after_its_events() -> None:
    replies: list[str | LLMResponse | BaseException] = [asks("tea"), ProviderError("503"), "3."]
    chat = Conversation(MockProvider(replies), tools=[price], retry=ONCE)
    async with chat.stream("Tea?") as events:
        told = [await anext(events) for _ in range(8)]
        with pytest.raises(ProviderError, match="503") as caught:
            await anext(events)
    assert [type(event) for event in told[-3:]] == [Observation, RoundStarted, PatternEnded]
    assert caught.value.cost.llm_calls == 2
    assert chat.messages == ()
    await chat.resume()


async def test_a_streamed_turn_on_the_wire() -> None:
    with LocalEndpoint(["Tea costs 3.", "And a scone 5."]) as endpoint:
        async with Provider(endpoint.base_url, "simulated") as provider:
            chat = Conversation(provider)
            for prompt, answer in (("Tea?", "Tea costs 3."), ("Scone?", "And a scone 5.")):
                async with chat.stream(prompt) as events:
                    texts = [event.text async for event in events if isinstance(event, TextDelta)]
                assert "".join(texts) == events.result.value == answer
                assert len(texts) > 1
        assert chat.usage == endpoint.ledger.usage
    assert len(chat.messages) == 4


async def test_a_stream_left_after_its_last_event_but_one_is_not_kept() -> None:
    chat = Conversation(MockProvider(["a"]))
    async with chat.stream("q") as events:
        async for event in events:
            if isinstance(event, Finish):
                break
    assert chat.messages == ()


# -- data ------------------------------------------------------------------------------------------------


@dataclass
class Order:
    item: str
    count: int


async def test_data_is_asked_for_with_the_options_of_the_conversation() -> None:
    provider = MockProvider(['{"item": "tea", "count": 2}'])
    chat = Conversation(provider, options={"seed": 4}, max_tokens=70, temperature=0.9)
    await chat.ask("q", Order)
    await chat.ask("q", Order, options={"seed": 5}, max_tokens=80)
    sent = [(call.kwargs["seed"], call.max_tokens, call.temperature) for call in provider.calls]
    assert sent == [(4, 70, 0.0), (5, 80, 0.0)]
    for held in ({"system": "s"}, {"messages": [user("r")]}):
        with pytest.raises(TypeError, match="it is set on the Conversation"):
            await chat.ask("q", Order, **cast("Any", held))
    assert len(chat.messages) == 4


async def test_data_is_asked_for_within_the_conversation() -> None:
    provider = MockProvider(["Noted.", '{"item": "tea"}', '{"item": "tea", "count": 2}', "2."])
    chat = Conversation(provider, system="Be brief.", max_history_messages=3)
    await chat.send("Two teas.")
    order = await chat.ask("Summarise my order.", Order)
    assert order.value == Order("tea", 2)
    assert chat.messages[3:] == (user("Summarise my order."), said('{"item": "tea", "count": 2}'))
    assert provider.calls[1].messages[0]["content"].startswith("Be brief.\n\nReply with one JSON")
    assert provider.calls[1].messages[1:] == [user("Summarise my order.")]
    await chat.send("How many?", max_history_messages=None)
    assert provider.calls[3].messages == [*chat.messages[:-1]]
    assert chat.usage.llm_calls == 4


async def test_data_that_is_never_right_leaves_all_as_it_was() -> None:
    chat = Conversation(MockProvider(["Hi.", "no"]))
    await chat.send("Hello")
    state = chat.to_dict()["messages"]
    with pytest.raises(PatternError):
        await chat.ask("How many?", {"type": "integer"}, max_retries=1)
    assert (chat.to_dict()["messages"], chat.usage.llm_calls) == (state, 3)


# -- to_dict and from_dict -------------------------------------------------------------------------------


async def test_a_conversation_goes_on_in_another_process() -> None:
    replies: list[str | LLMResponse | BaseException] = ["Hi.", asks("tea"), ProviderError("503")]
    chat = Conversation(MockProvider(replies, usage=TokenUsage(10, 2)), tools=[price], system="Be brief.")
    await chat.send("Hello")
    with pytest.raises(ProviderError):
        await chat.send("Tea?", retry=ONCE)
    saved = json.dumps(chat.to_dict())

    provider = MockProvider(["3.", "b"], usage=TokenUsage(10, 2))
    budget = TokenUsage(llm_calls=4)
    twin = Conversation.from_dict(provider, json.loads(saved), tools=[price], max_cost=budget)
    assert (twin.messages, twin.usage, twin.left.llm_calls) == (chat.messages, chat.usage, 1)
    assert json.dumps(twin.to_dict()) == saved
    assert (await twin.resume()).value == "3."
    with pytest.raises(BudgetExhaustedError):
        await twin.send("q")


async def test_tokens_that_were_estimated_are_remembered() -> None:
    budget = TokenUsage(output_tokens=40)
    chat = Conversation(MockProvider([LLMResponse("x" * 80)]), max_cost=budget)
    await chat.send("q")
    assert chat.left.output_tokens < 40
    twin = Conversation.from_dict(MockProvider(), chat.to_dict(), max_cost=budget)
    assert twin.left == chat.left


@pytest.mark.parametrize(
    "data",
    [None, 3, {}, {"messages": []}, {"messages": [], "usage": {"calls": 3}}, {"usage": {}, "messages": "q"},
     {"messages": [], "usage": {}, "pending": [3]}, {"messages": [], "usage": {"llm_calls": "3"}},
     {"messages": [], "usage": {}, "estimated": {"input_tokens": "3"}}],
)  # fmt: skip
def test_other_data_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match=r"must be|messages\[0\]"):
        Conversation.from_dict(MockProvider(), data)


def test_user_messages_without_an_answer_are_a_turn_that_is_not_complete() -> None:
    begun = [user("q"), said("a"), user("r"), user("s")]
    chat = Conversation(MockProvider(), messages=begun)
    assert (chat.messages, chat.to_dict()["pending"]) == ((user("q"), said("a")), begun)


def test_the_errors_of_a_stored_state_show_no_data() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}}
    state: dict[str, Any] = {"messages": [{"role": "user", "content": [picture]}]}
    makes: list[Callable[[], object]] = [
        lambda: Conversation.from_dict(MockProvider(), state),
        lambda: Conversation(MockProvider(), messages=cast("Any", state)),
        lambda: Conversation(MockProvider(), system=cast("Any", [picture])),
        lambda: Conversation(MockProvider(), messages=[{"role": "user", "content": [picture, "a"]}]),
    ]
    for make in makes:
        with pytest.raises(ValueError, match="image/png, 3 kB"):
            make()


# -- scripts and kits ------------------------------------------------------------------------------------


def test_a_script_sends_without_an_event_loop() -> None:
    with LocalEndpoint(["a", "b"]) as endpoint:
        chat = Conversation(Provider(endpoint.base_url, "simulated"))
        assert [chat.send_sync("1").value, chat.send_sync("2", temperature=0.0).value] == ["a", "b"]
    assert len(chat.messages) == 4


async def test_a_blocking_send_in_a_running_loop_says_what_to_use() -> None:
    with pytest.raises(RuntimeError, match=r"use `await send\("):
        Conversation(MockProvider()).send_sync("q")


async def test_a_kit_s_conversation_spends_the_kit_s_budget() -> None:
    kit = Kit(MockProvider(["a"]), system="Be brief.", max_cost=TokenUsage(llm_calls=3))
    chat = kit.conversation(max_cost=TokenUsage(llm_calls=2))
    await chat.send("q")
    await kit.consensus("q", num_samples=1)
    assert (chat.messages[0], chat.usage.llm_calls, kit.usage.llm_calls) == (SYSTEM, 1, 2)
    await chat.send("q")
    with pytest.raises(BudgetExhaustedError):
        await kit.react("q", [])
    other = kit.conversation(messages=[{"role": "developer", "content": "Be long."}])
    assert roles(other) == ["developer"]


async def test_a_kit_s_system_message_is_the_default_of_its_methods() -> None:
    def first(call: MockCall) -> str:
        return str(call.messages[0]["content"])

    provider = MockProvider(["a"])
    kit = Kit(provider, system="Be brief.")
    await kit.consensus("q", num_samples=1)
    await kit.react("q", [], messages=[{"role": "system", "content": "Be long."}, user("p"), said("a")])
    await kit.consensus("q", num_samples=1, system=None)
    await kit.consensus("q", num_samples=1, system="Be kind.")
    await kit.pipe("q", consensus, bare, num_samples=1)
    async with kit.stream("q") as events:
        _ = [event async for event in events]
    await kit.pipe("q", bare)
    assert list(map(first, provider.calls)) == [
        *("Be brief.", "Be long.", "q", "Be kind."),
        *("Be brief.", "a", "Be brief.", "q"),
    ]


async def bare(provider: LLMProvider, prompt: str) -> PatternResult[str]:
    return PatternResult((await provider.complete([user(prompt)])).content)


@pytest.mark.parametrize(
    "keywords",
    [{"system": ""}, {"system": 3}, {"max_cost": 3}, {"max_cost": TokenUsage(), "track_cost": False}],
)
def test_a_kit_refuses_what_it_cannot_use(keywords: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Kit(MockProvider(), **keywords)
