"""The typed answer of `react_loop`: how it is given, read, refused, and what a failure keeps."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pydantic
import pytest
from test_structured_mending import MENDED, REFUSED

from executionkit import (
    ApprovalPending,
    Kit,
    LLMResponse,
    MaxIterationsError,
    MockProvider,
    Observation,
    PatternError,
    PatternEvent,
    Provider,
    TokenUsage,
    Tool,
    ToolCall,
    ToolStarted,
    pipe,
    react_loop,
    react_loop_sync,
    structured,
)
from executionkit.testing import Answer, ChatRequest, Fault, LocalEndpoint


@dataclass
class Film:
    title: str
    year: int


class Node(pydantic.BaseModel):
    name: str
    children: list["Node"] = []


GOOD = {"title": "M", "year": 1931}
M = Film("M", 1931)


def price(item: str) -> float:
    """The price of an item."""
    return {"tea": 3.2}[item]


TEA = ("price", {"item": "tea"})


def calls(*wanted: tuple[str, Any], content: str = "", **fields: Any) -> LLMResponse:
    asked = [ToolCall(f"c{index}", name, arguments) for index, (name, arguments) in enumerate(wanted)]
    return LLMResponse(content, tool_calls=asked, **fields)


def answer(arguments: Any, content: str = "", **fields: Any) -> LLMResponse:
    return calls(("final_answer", arguments), content=content, **fields)


async def failure(replies: Sequence[str | LLMResponse], **options: Any) -> PatternError:
    with pytest.raises(PatternError) as caught:
        await react_loop(MockProvider(replies), "q", [price], **{"output": Film, **options})
    return caught.value


def unanswered(messages: Sequence[Mapping[str, Any]]) -> set[str]:
    """The calls without a result: no server takes such a conversation."""
    asked = {call["id"] for message in messages for call in message.get("tool_calls", ())}
    return asked - {message["tool_call_id"] for message in messages if message["role"] == "tool"}


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
async def test_the_whole_conversation_over_http(is_streamed: bool) -> None:
    replies = [
        calls(TEA),
        answer({"title": "M", "year": "soon", "director": {}}),
        calls(("final_answer", GOOD), TEA, content="I am sure."),
    ]
    events: list[PatternEvent] = []
    with LocalEndpoint(replies) as endpoint:
        async with Provider(endpoint.base_url, "simulated") as provider:
            listener = events.append if is_streamed else None
            result = await react_loop(provider, "q", [price], output=Film, on_event=listener)
        bodies = [request.body for request in endpoint.ledger.requests]
    assert (result.value, result.text, result.rounds, result.tool_calls_made) == (M, "I am sure.", 3, 2)
    assert not unanswered(result.messages)
    assert result.messages[-1] == {"role": "assistant", "content": json.dumps(GOOD)}
    assert result.cost.llm_calls == 3
    first, _, last = bodies
    assert first is not None
    assert last is not None
    assert [offered["function"]["name"] for offered in first["tools"]] == ["price", "final_answer"]
    schema = first["tools"][1]["function"]["parameters"]
    assert schema["type"] == "object"
    assert schema["required"] == ["title", "year"]
    refusal = last["messages"][-1]
    assert (refusal["role"], refusal["tool_call_id"]) == ("tool", "c0")
    assert (
        'year: Input should be a valid integer, unable to parse string as an integer, got "soon"'
        in (refusal["content"])
    )
    assert refusal["content"].endswith("Call final_answer again with the whole answer, mended.")
    if is_streamed:
        started = [event.call.name for event in events if isinstance(event, ToolStarted)]
        seen = [(event.call.name, event.ran) for event in events if isinstance(event, Observation)]
        assert started == ["price", "price"]
        assert seen == [("price", True), ("final_answer", False), ("price", True), ("final_answer", False)]


OUTPUTS: list[tuple[Any, Any, Any]] = [
    (Film, GOOD, M),
    (int, {"value": 3}, 3),
    (str, {"value": "M"}, "M"),
    (Film | int, {"value": GOOD}, M),
    (Film | int, GOOD, M),
    (pydantic.TypeAdapter(list[Film]), {"value": [GOOD]}, [M]),
    (Node, {"name": "a", "children": [{"name": "b"}]}, Node(name="a", children=[Node(name="b")])),
    ({"type": "array", "items": {"type": "integer"}}, {"value": [1, 2]}, [1, 2]),
    ({"properties": {"n": {"type": "integer"}}}, {"n": 1}, {"n": 1}),
    ({}, {"value": None}, None),
]


@pytest.mark.parametrize(("output", "arguments", "value"), OUTPUTS)
async def test_every_form_is_given_by_a_call_or_read_from_a_text(
    output: Any, arguments: dict[str, Any], value: object
) -> None:
    text = json.dumps(arguments)
    for reply in (answer(arguments), answer(text), LLMResponse(text), f"So:\n```json\n{text}\n```"):
        provider = MockProvider([reply])
        result = await react_loop(provider, "q", [price], output=output)
        assert (result.value, provider.call_count) == (value, 1)
        tools = provider.calls[0].tools or []
        assert tools[1]["function"]["parameters"]["type"] == "object"
        assert "$ref" not in tools[1]["function"]["parameters"]


@pytest.mark.parametrize("text", [*(broken for broken, _ in MENDED), *REFUSED])
async def test_slips_are_read_as_structured_reads_them(text: str) -> None:
    form = {"type": ["object", "array"]}
    try:
        expected = (await structured(MockProvider([text]), "q", form, max_retries=0)).value
    except PatternError as exc:
        reasons = exc.metadata["errors"]
        for reply in (answer(text), LLMResponse(text)):
            error = await failure([reply, reply], output=form, max_retries=0)
            assert error.metadata["errors"] == reasons
    else:
        for reply in (answer(text), LLMResponse(text)):
            result = await react_loop(MockProvider([reply]), "q", [], output=form)
            assert json.dumps(result.value) == json.dumps(expected)


async def test_after_max_retries_the_error_has_the_last_answer_and_its_faults() -> None:
    provider = MockProvider([calls(("final_answer", {"title": "M"}), TEA)])
    with pytest.raises(
        PatternError, match=r"no answer fitted in 3 attempts .*year: Field required"
    ) as caught:
        await react_loop(provider, "q", [price], output=Film, max_retries=2)
    error = caught.value
    assert error.metadata["last_text"] == '{"title": "M"}'
    assert error.metadata["errors"] == ["year: Field required"]
    assert (error.metadata["rounds"], error.metadata["tool_calls_made"]) == (3, 3)
    assert error.cost.llm_calls == provider.call_count == 3
    assert not unanswered(error.metadata["messages"])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (LLMResponse("M, of 1931."), "there is no JSON object or array in the reply"),
        (LLMResponse('{"title": "M"}'), "year: Field required"),
        (LLMResponse('{"title": "M", "year": 1931', finish_reason="length"), "cut off"),
        (LLMResponse("", refusal="I can't."), "the model refused: I can't."),
        (LLMResponse("", finish_reason="content_filter"), "withheld by a content filter"),
        (LLMResponse('{"name": "price", "arguments": {"item": "tea"}}'), "a tool call written as text"),
    ],
)
async def test_a_text_that_is_not_the_answer_is_asked_for_once_as_a_call(
    text: LLMResponse, fault: str
) -> None:
    provider = MockProvider([text, calls(TEA), answer(GOOD)])
    result = await react_loop(provider, "q", [price], output=Film, max_retries=0)
    assert (result.value, result.unread_tool_calls) == (M, 0)
    asked = provider.calls[1].messages[-1]
    assert asked["role"] == "user"
    assert fault in asked["content"]
    assert asked["content"].endswith("Give the answer by calling final_answer.")
    error = await failure([text, text])
    assert "asked to call final_answer, the model wrote another text" in str(error)
    assert fault in error.metadata["errors"][0]
    assert error.cost.llm_calls == 2


async def test_a_call_that_was_cut_off_is_no_answer() -> None:
    cut = answer(GOOD, finish_reason="length")
    error = await failure([cut], max_retries=1)
    assert error.metadata["errors"] == ["the reply was cut off by max_tokens before its end"]
    assert error.metadata["truncated_responses"] == 2


async def test_of_two_answers_in_one_reply_the_first_that_fits_is_taken() -> None:
    both = calls(("final_answer", {}), ("final_answer", GOOD), ("final_answer", {"title": "N", "year": 1}))
    assert (await react_loop(MockProvider([both]), "q", [], output=Film, max_retries=0)).value == M


CALL = json.dumps({"name": "final_answer", "arguments": GOOD})
LOOK = json.dumps({"name": "price", "arguments": {"item": "tea"}})


@pytest.mark.parametrize(
    ("replies", "text_calls", "rounds"),
    [
        ([CALL], "flag", 1),
        ([f"Here it is:\n<tool_call>{CALL}</tool_call>"], "flag", 1),
        ([json.dumps({"name": "final_answer", "arguments": {**GOOD, "director": "Lang"}})], "flag", 1),
        (["<function=final_answer><parameter=title>M</parameter><parameter=year>1931</parameter>"], "run", 1),
        ([json.dumps({"name": "final_answer", "arguments": {"title": "M"}}), CALL], "flag", 2),
        ([LOOK, CALL], "run", 2),
        ([f"{LOOK}\n{CALL}"], "run", 1),
        ([LOOK, f"{LOOK}\n{CALL}"], "run", 2),
        ([LOOK, LOOK, CALL], "run", 3),
    ],
)
async def test_the_answer_as_a_call_written_as_text(replies: list[str], text_calls: Any, rounds: int) -> None:
    provider = MockProvider(replies)
    result = await react_loop(provider, "q", [price], output=Film, text_calls=text_calls)
    assert (result.value, result.rounds, result.unread_tool_calls) == (M, rounds, 0)
    if replies.count(LOOK) == 2:  # asked again for what was run: only the answer is left to be called
        assert [offered["function"]["name"] for offered in provider.calls[2].tools or []] == ["final_answer"]
        assert "calling final_answer" in provider.calls[2].messages[-1]["content"]


async def test_a_name_that_is_taken_is_left_to_the_users_tool() -> None:
    taken = [
        Tool.from_function(price, name="final_answer"),
        Tool.from_function(price, name="final_answer_2"),
    ]
    provider = MockProvider([calls(("final_answer", {"item": "tea"})), calls(("final_answer_3", GOOD))])
    result = await react_loop(provider, "q", taken, output=Film)
    assert (result.value, result.tool_calls_made) == (M, 1)


async def test_other_ends_keep_the_last_fault() -> None:
    wrong = answer({"title": "M"})
    with pytest.raises(MaxIterationsError) as caught:
        await react_loop(MockProvider([wrong]), "q", [], output=Film, max_rounds=1)
    assert caught.value.metadata["errors"] == ["year: Field required"]
    for budget in range(1, 4):
        error = await failure([wrong], max_cost=TokenUsage(llm_calls=budget))
        assert error.cost.llm_calls == budget
        assert error.metadata["last_text"] == '{"title": "M"}'


async def test_a_broken_off_run_goes_on_from_its_messages() -> None:
    error = await failure([calls(TEA), answer({"title": "M"})], max_retries=0)
    messages = error.metadata["messages"]
    provider = MockProvider([answer(GOOD)])
    result = await react_loop(provider, None, [price], output=Film, messages=messages)
    assert (result.value, list(result.messages[: len(messages)])) == (M, messages)
    further = await react_loop(provider, "Really?", [price], output=Film, messages=result.messages)
    assert further.value == M
    asked = {
        "id": "c9",
        "type": "function",
        "function": {"name": "final_answer", "arguments": json.dumps(GOOD)},
    }
    pending = [*messages, {"role": "assistant", "content": None, "tool_calls": [asked]}]
    given = await react_loop(provider, None, [price], output=Film, messages=pending)
    assert (given.value, given.rounds, provider.call_count) == (M, 0, 2)


async def test_at_a_limit_the_closing_call_must_be_the_answer() -> None:
    limits: list[dict[str, Any]] = [{"max_rounds": 2}, {"max_cost": TokenUsage(llm_calls=2)}]
    for limit in limits:
        provider = MockProvider([calls(TEA), calls(TEA, ("final_answer", GOOD))])
        result = await react_loop(provider, "q", [price], output=Film, on_limit="answer", **limit)
        assert (result.value, result.tool_calls_made, result.cost.llm_calls) == (M, 1, 2)
        assert result.stop_reason in ("max_rounds", "budget")
        closing = provider.calls[1]
        assert closing.kwargs["tool_choice"] == {"type": "function", "function": {"name": "final_answer"}}
        assert closing.messages[-1]["content"].endswith("by calling final_answer.")
        error = await failure([calls(TEA), answer({})], on_limit="answer", **limit)
        assert error.metadata["errors"] == ["title: Field required", "year: Field required"]
        assert error.cost.llm_calls == 2
        assert "llm_calls" in str(error) or "the model was asked for does not fit output" in str(error)


async def test_a_server_that_refuses_the_choice_of_the_tool_is_asked_without_it() -> None:
    def model(request: ChatRequest) -> Answer:
        if request.field("tool_choice"):
            return Fault.status(400, body={"error": {"message": "tool_choice is not supported"}})
        return answer(GOOD)

    with LocalEndpoint(model) as endpoint:
        async with Provider(endpoint.base_url, "simulated") as provider:
            for attempts in (2, 1):  # which is remembered
                result = await react_loop(provider, "q", [price], output=Film, tool_choice="none")
                assert (result.value, result.cost.llm_calls) == (M, attempts)


async def test_an_answer_beside_a_call_that_waits_for_approval_waits_too() -> None:
    asks = Tool.from_function(price, needs_approval=True)
    provider = MockProvider([calls(("final_answer", GOOD), TEA)])
    with pytest.raises(ApprovalPending) as caught:
        await react_loop(provider, "q", [asks], output=Film)
    assert [call.name for call in caught.value.calls] == ["price"]
    messages = caught.value.metadata["messages"]
    approvals = {call.id: True for call in caught.value.calls}
    result = await react_loop(provider, None, [asks], output=Film, messages=messages, approvals=approvals)
    assert (result.value, result.tool_calls_made, provider.call_count) == (M, 1, 1)
    assert not unanswered(result.messages)


async def test_an_output_that_no_tool_can_have_is_refused_before_any_call() -> None:
    provider = MockProvider(["q"])
    nested = {"type": "array", "items": {"$ref": "#"}}
    with pytest.raises(ValueError, match=r"^output must describe an object"):
        await react_loop(provider, "q", [], output=nested)
    assert provider.call_count == 0


async def test_kit_and_pipe_hand_it_on() -> None:
    kit = Kit(MockProvider([answer(GOOD, "Done.")]))
    assert (await kit.react("q", [price], output=Film)).value == M
    assert kit.usage.llm_calls == 1
    step = partial(react_loop, tools=[price], output=Film)
    piped = await pipe(MockProvider([answer(GOOD)]), "q", step)
    assert piped.value == M  # type: ignore[comparison-overlap]


def test_from_a_script() -> None:
    assert react_loop_sync(MockProvider([answer(GOOD)]), "q", [price], output=Film).value == M
