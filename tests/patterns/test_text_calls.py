"""Tool calls written as text: which are told from answers, and what `react_loop` does with them."""

import asyncio
import time
from functools import partial
from typing import Any

import pytest
from fakes import idle

from executionkit import (
    Kit,
    LLMResponse,
    MaxIterationsError,
    MockProvider,
    Observation,
    PatternEvent,
    PatternResult,
    Provider,
    Tool,
    ToolCall,
    ToolStarted,
    pipe,
    react_loop,
    react_loop_sync,
)
from executionkit.patterns._text_calls import read_text_calls
from executionkit.testing import LocalEndpoint

ITEM = {
    "type": "object",
    "properties": {"item": {"type": "string"}, "n": {"type": "integer"}, "fresh": {"type": "boolean"}},
    "required": ["item"],
}
CALL = '{"name": "price", "arguments": {"item": "tea"}}'
TEA = [("price", {"item": "tea"})]
PARAMETERS = '{"name": "price", "parameters": {"item": "tea"}}'


def priced(item: str, n: int = 1, fresh: bool = True) -> str:
    return f"{item}: 3.20"


PRICE = Tool("price", "The price of an item.", ITEM, priced)
NOW = Tool("now", "The time.", {"type": "object", "properties": {}}, lambda: "noon")
TOOLS = {"price": PRICE, "now": NOW}


def read(text: str) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, call.arguments) for call in read_text_calls(text, TOOLS)[0]]


WRITTEN = {
    "raw": CALL,
    "raw, by Llama": PARAMETERS,
    "raw, with a type": '{"type": "function", "name": "price", "parameters": {"item": "tea"}}',
    "raw, as the API has it": (
        '{"id": "1", "type": "function", '
        '"function": {"name": "price", "arguments": "{\\"item\\": \\"tea\\"}"}}'
    ),
    "raw, as a whole message": f'{{"tool_calls": [{CALL}]}}',
    "raw, as agents write it": '{"action": "price", "action_input": {"item": "tea"}}',
    "a list": f"[{CALL}]",
    "after thoughts": f"<think>Tea? <tool_call>no</tool_call></think>\n\n{CALL}",
    "before the end of the turn": f"{CALL}<|im_end|>",
    "fenced": f"```json\n{CALL}\n```",
    "fenced, without a label": f"```\n{CALL}\n```\n",
    "fenced, unclosed": f"```json\n{CALL}",
    "fenced tags": f"```xml\n<tool_call>\n{CALL}\n</tool_call>\n```",
    "Hermes, Qwen": f"<tool_call>\n{CALL}\n</tool_call>",
    "Hermes, unclosed": f"<tool_call>\n{CALL}",
    "Hermes, after words": f"I'll look it up.\n<tool_call>{CALL}</tool_call>",
    "Hermes, with a line break in a string": (
        '<tool_call>{"name": "price", "arguments": {"item": "tea"}}\n</tool_call>'
    ),
    "function_call": f"<function_call>{CALL}</function_call>",
    "functioncall": f"<functioncall> {CALL}",
    "MiniMax": f"<tool_calls>\n{CALL}\n</tool_calls>",
    "MiniMax M2": (
        '<minimax:tool_call>\n<invoke name="price">\n'
        '<parameter name="item">tea</parameter>\n</invoke>\n</minimax:tool_call>'
    ),
    "LM Studio": f"[TOOL_REQUEST]{CALL}[END_TOOL_REQUEST]",
    "Mistral": f"[TOOL_CALLS] [{CALL}]",
    "Mistral, newer": '[TOOL_CALLS]price[ARGS]{"item": "tea"}',
    "Mistral, with an id": '[TOOL_CALLS]price[CALL_ID]abc123456[ARGS]{"item": "tea"}</s>',
    "Llama 3, functions": '<function=price>{"item": "tea"}</function>',
    "Llama 3, unclosed": '<function=price>{"item": "tea"}<|eom_id|>',
    "Llama 3, python tag": f"<|python_tag|>{PARAMETERS}<|eom_id|>",
    "Llama 4": '[price(item="tea")]',
    "Llama 4, with marks": '<|python_start|>[price(item="tea")]<|python_end|>',
    "LFM": '<|tool_call_start|>[price(item="tea")]<|tool_call_end|>',
    "Gemma": '```tool_code\nprice(item="tea")\n```',
    "DeepSeek V3": (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>price\n```json\n"
        '{"item": "tea"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
    ),
    "DeepSeek V3.1": (
        "<｜tool▁calls▁begin｜>"
        '<｜tool▁call▁begin｜>price<｜tool▁sep｜>{"item": "tea"}<｜tool▁call▁end｜>'
        "<｜tool▁calls▁end｜><｜end▁of▁sentence｜>"
    ),
    "Qwen3-Coder": (
        "<tool_call>\n<function=price>\n<parameter=item>\ntea\n</parameter>\n</function>\n</tool_call>"
    ),
    "GLM": "<tool_call>price\n<arg_key>item</arg_key>\n<arg_value>tea</arg_value>\n</tool_call>",
    "Kimi": (
        "<|tool_calls_section_begin|>"
        '<|tool_call_begin|>functions.price:0<|tool_call_argument_begin|>{"item": "tea"}<|tool_call_end|>'
        "<|tool_calls_section_end|>"
    ),
    "Granite": f"<|tool_call|>[{CALL}]",
    "Phi": f"functools[{CALL}]",
    "Cohere": (
        '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "price", "parameters": {"item": "tea"}}]'
        "<|END_ACTION|>"
    ),
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN.keys())
def test_a_call_is_read_in_the_notation_of_its_model(text: str) -> None:
    assert read(text) == TEA


@pytest.mark.parametrize(
    "text",
    [
        f'[{CALL}, {{"name": "now", "arguments": {{}}}}]',
        f'{CALL}\n{{"name": "now", "arguments": null}}',
        f'<|python_tag|>{PARAMETERS}; {{"name": "now", "parameters": {{}}}}',
        f'```json\n{CALL}\n```\n\n```json\n{{"name": "now", "arguments": {{}}}}\n```',
        f"<tool_call>{CALL}</tool_call>\n<tool_call><function=now></function></tool_call>",
        '[price(item="tea"), now()]',
        '[TOOL_CALLS]price[ARGS]{"item": "tea"}[TOOL_CALLS]now[ARGS]{}',
    ],
)
def test_several_calls_are_read_in_their_order(text: str) -> None:
    assert read(text) == [*TEA, ("now", {})]


def test_an_argument_in_pythons_notation_is_what_json_can_carry() -> None:
    free = Tool("free", "", {"type": "object", "additionalProperties": True}, lambda **_: None)
    for text, arguments in (
        (
            r"[free(a=('x', None), b={1: True}, c='C:\\dir')]",
            {"a": ["x", None], "b": {"1": True}, "c": r"C:\dir"},
        ),
        ("[free(a=b'x')]", None),
        ("[free(a={1, 2})]", None),
        ("[free(a=1e999)]", None),
    ):
        calls, _ = read_text_calls(text, {"free": free})
        assert [call.arguments for call in calls] == ([] if arguments is None else [arguments])


def test_an_argument_without_quotes_is_what_its_schema_says() -> None:
    given = "".join(
        f"<parameter={name}>\n{text}\n</parameter>\n"
        for name, text in (("item", "5"), ("n", "5"), ("fresh", "True"))
    )
    assert read(f"<function=price>\n{given}</function>") == [("price", {"item": "5", "n": 5, "fresh": True})]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Tea costs 3.20.",
        f"A tool call looks like this: {CALL}",
        f"A tool call looks like this:\n{CALL}",
        f"Here it is:\n```json\n{CALL}\n```",
        f"{CALL}\nThis asks for the price.",
        f"```json\n{CALL}\n```\nThis asks for the price.",
        f"`<tool_call>{CALL}</tool_call>` is the form.",
        f"The form is\n```\n<tool_call>{CALL}</tool_call>\n```",
        f"<tool_call>{CALL}</tool_call> is the form.",
        f"<tool_call>{CALL}</tool_call>\n<tool_response>3.20</tool_response>\nTea costs 3.20.",
        f"The mark <tool_call>{CALL}</tool_call>",
        f"<think>{CALL}",
        '{"name": "nope", "arguments": {}}',
        f'[{CALL}, {{"name": "nope", "arguments": {{}}}}]',
        '{"name": "price", "arguments": {"itm": "tea"}}',
        '{"name": "price", "arguments": {"item": 3}}',
        '{"name": "price", "arguments": {"item": "tea", "colour": "red"}}',
        '{"name": "price", "arguments": "tea"}',
        '{"name": "price"}',
        '{"name": "price", "arguments": {"item": "tea"}, "answer": "3.20"}',
        '{"name": "price", "description": "The price.", "parameters": {"item": "tea"}}',
        '{"name": "now", "parameters": {"type": "object", "properties": {}}}',
        '{"name": "price", "arguments": {"item": "tea"}',
        "{'name': 'price', 'arguments': {'item': 'tea'}}",
        f'"{CALL}"',
        "[1, 2]",
        "[]",
        "{}",
        '[price("tea")]',
        "[price(item=tea)]",
        '[price(**{"item": "tea"})]',
        '[price(item=open("secret").read())]',
        '[tools.price(item="tea")]',
        "price(item='tea')",
        r"[price(item='C:\dir')]",
        "[price(item='tea', item='scone')]",
        "<function=price><parameter=item>a</parameter><parameter=item>b</parameter></function>",
        "```python\nprice(item='tea')\n```",
        "[price](https://example.org)",
        "<tool_call>",
        "<function=price></function>",
        "<function=price><parameter=n>three</parameter><parameter=item>tea</parameter></function>",
    ],
)  # fmt: skip
def test_an_answer_is_an_answer(text: str) -> None:
    assert read(text) == []


@pytest.mark.parametrize(
    "piece",
    [
        "<tool_call>", "<parameter=a>", "<function=price>", "<function=price><parameter=item>a", "```json\n",
        "[price(", "[", "{", "<|tool_", "<arg_key>", " ", "\n", "```a\nx\n```\n", "[price(item=-", "_▁",
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", ["", "<tool_call>price", "<tool_call>", "[price(item=", "[TOOL_CALLS]"])
def test_reading_takes_linear_time(piece: str, before: str) -> None:
    start = time.process_time()
    read(before + piece * (50_000 // len(piece)))
    assert time.process_time() - start < 0.3


# -- what react_loop does ----------------------------------------------------------------------------------


class Shop:
    """A tool that counts."""

    def __init__(self) -> None:
        self.sold: list[str] = []

    @property
    def tool(self) -> Tool:
        return Tool("price", "The price of an item.", ITEM, self.price)

    async def price(self, item: str, n: int = 1, *, fresh: bool = True) -> str:
        self.sold.append(item)
        return f"{item} costs 3.20"


@pytest.mark.parametrize("finish_reason", ["stop", "tool_calls"])
async def test_a_text_call_is_flagged_and_not_run(
    finish_reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop()
    provider = MockProvider([LLMResponse(CALL, finish_reason=finish_reason)])
    result = await react_loop(provider, "What does tea cost?", [shop.tool])
    assert (result.value, shop.sold) == (CALL, [])
    assert result.unread_tool_calls == result.metadata["unread_tool_calls"] == 1
    (message,) = caplog.messages
    assert "price" in message
    assert "text_calls" in message
    assert "tea" not in message


async def test_an_ordinary_answer_is_not_flagged(caplog: pytest.LogCaptureFixture) -> None:
    for text in ("3.20", f"A tool call looks like this: {CALL}"):
        result = await react_loop(MockProvider([text]), "q", [PRICE])
        assert (result.value, result.unread_tool_calls) == (text, 0)
    assert (await react_loop(MockProvider([CALL]), "q", [])).unread_tool_calls == 0
    assert caplog.messages == []


async def test_a_text_call_is_run_like_any_other() -> None:
    shop, told = Shop(), list[PatternEvent]()
    provider = MockProvider([f"I'll look.\n<tool_call>{CALL}</tool_call>", "Tea costs 3.20."])
    result = await react_loop(provider, "q", [shop.tool], text_calls="run", on_event=told.append)
    assert (result.value, result.unread_tool_calls) == ("Tea costs 3.20.", 0)
    assert (result.rounds, result.tool_calls_made, shop.sold) == (2, 1, ["tea"])
    turn, observation = provider.calls[1].messages[1:]
    assert turn["content"] == "I'll look."
    assert turn["tool_calls"][0]["function"] == {"name": "price", "arguments": '{"item":"tea"}'}
    assert observation == {
        "role": "tool",
        "tool_call_id": turn["tool_calls"][0]["id"],
        "content": "tea costs 3.20",
    }
    kinds = [type(event) for event in told]
    assert kinds.index(ToolStarted) < kinds.index(Observation)


async def test_the_same_call_is_not_run_again_but_answered_without_tools() -> None:
    shop = Shop()
    again = '```json\n{"arguments": {"item": "tea"}, "name": "price"}\n```'
    provider = MockProvider([CALL, again, "Tea costs 3.20."])
    result = await react_loop(provider, "q", [shop.tool], text_calls="run")
    assert (result.value, result.rounds, shop.sold) == ("Tea costs 3.20.", 3, ["tea"])
    assert [call.tools is None for call in provider.calls] == [False, False, True]
    roles = [message["role"] for message in provider.calls[2].messages]
    assert roles == ["user", "assistant", "tool", "user"]
    assert "Answer the question now" in provider.calls[2].messages[-1]["content"]


@pytest.mark.parametrize("begin", ["", "<tool_call>"])
async def test_a_call_repeated_until_the_tokens_are_gone_counts_as_repeated(begin: str) -> None:
    shop = Shop()
    again = LLMResponse(f"{begin}{CALL} {CALL}\n{CALL[:20]}", finish_reason="length")
    provider = MockProvider([CALL, again, "Tea costs 3.20."])
    result = await react_loop(provider, "q", [shop.tool], text_calls="run")
    assert (result.value, result.rounds, shop.sold) == ("Tea costs 3.20.", 3, ["tea"])
    assert (await react_loop(MockProvider([again]), "q", [shop.tool])).unread_tool_calls == 2


async def test_of_several_calls_only_the_new_ones_are_run() -> None:
    shop = Shop()
    scone = CALL.replace("tea", "scone")
    provider = MockProvider([f"[{CALL}, {CALL}]", f"[{CALL}, {scone}]", "done"])
    result = await react_loop(provider, "q", [shop.tool], text_calls="run")
    assert (result.value, shop.sold) == ("done", ["tea", "scone"])


async def test_a_model_that_only_repeats_itself_ends_with_a_flag_or_an_error() -> None:
    shop = Shop()
    result = await react_loop(MockProvider([CALL]), "q", [shop.tool], text_calls="run")
    assert (result.value, result.unread_tool_calls, result.rounds, shop.sold) == (CALL, 1, 3, ["tea"])
    with pytest.raises(MaxIterationsError) as caught:
        await react_loop(MockProvider([CALL]), "q", [shop.tool], text_calls="run", max_rounds=2)
    assert caught.value.metadata["rounds"] == 2


@pytest.mark.parametrize(
    "reply",
    [
        LLMResponse(CALL, finish_reason="length"),
        LLMResponse(CALL, finish_reason="content_filter"),
        LLMResponse(f"A call looks like this:\n<tool_call>{CALL}</tool_call>"),
    ],
)
async def test_a_call_that_was_cut_off_or_is_shown_is_flagged_and_not_run(reply: LLMResponse) -> None:
    shop = Shop()
    result = await react_loop(MockProvider([reply]), "q", [shop.tool], text_calls="run")
    assert (result.unread_tool_calls, result.value, shop.sold) == (1, reply.content, [])


async def test_calls_of_the_server_go_before_those_in_the_text() -> None:
    shop = Shop()
    scone = CALL.replace("tea", "scone")
    asked = LLMResponse(CALL, [ToolCall("c", "price", {"item": "scone"})])
    result = await react_loop(MockProvider([asked, scone, "done"]), "q", [shop.tool], text_calls="run")
    assert (result.value, shop.sold) == ("done", ["scone"])  # which the text asked for once more


async def test_every_door_takes_the_keyword() -> None:
    step = partial(react_loop, tools=[PRICE])
    results: list[PatternResult[str]] = [
        await Kit(MockProvider([CALL, "done"])).react("q", [PRICE], text_calls="run"),
        await pipe(MockProvider([CALL, "done"]), "q", step, text_calls="run"),
        await asyncio.to_thread(
            react_loop_sync, MockProvider([CALL, "done"]), "q", [PRICE], text_calls="run"
        ),
    ]
    assert [result.value for result in results] == ["done"] * 3
    provider = MockProvider(["done"])
    with pytest.raises(ValueError, match="text_calls must be one of 'flag', 'run'"):
        await react_loop(provider, "q", [], text_calls="ask")  # type: ignore[call-overload]
    assert provider.call_count == 0


@pytest.mark.parametrize("listens", [False, True])
async def test_over_the_wire_whole_and_streamed(listens: bool) -> None:
    shop = Shop()
    on_event = (lambda _: None) if listens else None
    async with (
        LocalEndpoint(["<think>Look.</think>" + WRITTEN["DeepSeek V3"], "Tea costs 3.20."]) as endpoint,
        Provider(endpoint.base_url, "m") as provider,
    ):
        result = await react_loop(provider, "q", [shop.tool], text_calls="run", on_event=on_event)
    await idle()
    assert (result.value, shop.sold) == ("Tea costs 3.20.", ["tea"])
