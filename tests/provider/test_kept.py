"""What servers put in unusual places, and what they put beside the answer: whole and streamed."""

import json
import pickle
import time
from typing import Any

import pytest
from fakes import NO_WAIT
from loopback import USER, MakeProvider, Server, chunk, completion, frames, http, stream

from executionkit import TokenUsage, Tool, consensus, react_loop
from executionkit._secrets import Secret
from executionkit.provider import LLMError, PermanentError, Provider, ProviderError
from executionkit.provider._chunks import Assembly
from executionkit.provider._failures import Reporter
from executionkit.provider._headers import facts_of
from executionkit.provider._http.transport import Reply
from executionkit.responses import LLMResponse, ToolCall

CALL: dict[str, Any] = {
    "id": "c1",
    "type": "function",
    "function": {"name": "look", "arguments": '{"at": "sea"}'},
}


def look(at: str = "") -> str:
    return f"{at}: blue"


def ignore(_: object) -> None:
    """Listen, so that replies are streamed."""


LOOK = Tool(
    "look",
    "Look.",
    {"type": "object", "properties": {"at": {"type": "string"}}},
    look,
)
USAGE = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}


async def asked(provider: Provider, *, streamed: bool, **fields: Any) -> LLMResponse:
    if not streamed:
        return await provider.complete(USER, **fields)
    async with provider.stream(USER, **fields) as events:
        async for _ in events:
            pass
    return events.response


def assembled(*chunks: dict[str, Any], choices: int = 1) -> LLMResponse:
    assembly = Assembly(0, choices)
    for item in chunks:
        assembly.add(item)
    return assembly.response()


def choice(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


# The turn goes back as it came

SIGNED = {**CALL, "extra_content": {"google": {"thought_signature": "c2ln"}}}
FINAL = http(json.dumps(completion("Blue.")))
FINAL_STREAM = stream(chunk(content="Blue."), chunk("stop"))


async def turn_sent_back(server: Server, provider: Provider, first: bytes, *, streamed: bool) -> Any:
    server.script = [first, FINAL_STREAM if streamed else FINAL]
    listen = ignore if streamed else None
    async with provider:
        result = await react_loop(provider, "q", [LOOK], on_event=listen, retry=NO_WAIT)
    assert result.value == "Blue."
    return server.requests[1].json["messages"][1]


@pytest.mark.parametrize(
    "message",
    [
        {"tool_calls": [SIGNED]},
        {"tool_calls": [{**CALL, "function": {**CALL["function"], "thought_signature": "s"}}]},
        {"tool_calls": [CALL], "reasoning_content": "I should look."},
        {
            "tool_calls": [CALL],
            "reasoning_details": [{"type": "reasoning.encrypted", "data": "x", "id": "r"}],
        },
        {"tool_calls": [CALL], "thinking_blocks": [{"type": "thinking", "thinking": "a", "signature": "b"}]},
        {"tool_calls": [CALL], "next_year": {"deep": [1, None, {"er": True}]}, "empty": ""},
        {
            "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}],
            "tool_calls": [CALL],
        },
    ],
)
async def test_a_turn_goes_back_as_it_came(
    server: Server, make: MakeProvider, message: dict[str, Any]
) -> None:
    whole = {"role": "assistant", "content": None, **message}
    body = {"choices": [{"message": whole, "finish_reason": "tool_calls"}]}
    assert await turn_sent_back(server, make(), http(json.dumps(body)), streamed=False) == whole


async def test_a_streamed_turn_goes_back_put_together(server: Server, make: MakeProvider) -> None:
    thinking = [{"type": "thinking", "thinking": "I ", "signature": None}]
    first = stream(
        chunk(role="assistant", reasoning_content="Let ", thinking_blocks=thinking, odd="a"),
        chunk(reasoning_content="me.", thinking_blocks=[{"type": "thinking", "thinking": "see"}], odd="b"),
        chunk(thinking_blocks=[{"type": "thinking", "thinking": "", "signature": "sig"}]),
        chunk(reasoning_details=[{"type": "reasoning.text", "text": "He", "index": 0, "id": None}]),
        chunk(reasoning_details=[{"type": "reasoning.text", "text": "re", "index": 0, "signature": "x"}]),
        chunk(reasoning_details=[{"type": "reasoning.encrypted", "data": "y", "index": 1}]),
        chunk(tool_calls=[{"index": 0, **CALL, "function": {"name": "look", "arguments": '{"at": '}}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": '"sea"}'}}]),
        chunk(tool_calls=[{"index": 0, "extra_content": {"google": {"thought_signature": "c2ln"}}}]),
        chunk("tool_calls"),
    )
    assert await turn_sent_back(server, make(), first, streamed=True) == {
        "role": "assistant",
        "content": None,
        "tool_calls": [SIGNED],
        "reasoning_content": "Let me.",
        "odd": "ab",
        "thinking_blocks": [{"type": "thinking", "thinking": "I see", "signature": "sig"}],
        "reasoning_details": [
            {"type": "reasoning.text", "text": "Here", "index": 0, "id": None, "signature": "x"},
            {"type": "reasoning.encrypted", "data": "y", "index": 1},
        ],
    }


async def test_a_turn_keeps_what_is_ours(server: Server, make_one: MakeProvider) -> None:
    broken = {"id": "", "function": {"name": "look", "arguments": "no JSON"}}
    body = completion("", tool_calls=[broken], function_call=None, refusal=None)
    turn = await turn_sent_back(server, make_one(), http(json.dumps(body)), streamed=False)
    (call,) = turn.pop("tool_calls")
    assert turn == {"role": "assistant", "content": ""}
    assert call.pop("id")
    assert call == {"type": "function", "function": {"name": "look", "arguments": "{}"}}


async def test_fields_that_a_server_refuses_are_held_back(server: Server, make_one: MakeProvider) -> None:
    body = completion("", tool_calls=[SIGNED], reasoning_content="hm", other=1)
    provider = make_one(omit_from_turns=["reasoning_content", "extra_content"])
    turn = await turn_sent_back(server, provider, http(json.dumps(body)), streamed=False)
    assert turn == {"role": "assistant", "content": "", "tool_calls": [CALL], "other": 1}
    assert server.requests[1].json["messages"][0] == {"role": "user", "content": "q"}


@pytest.mark.parametrize("wrong", ["reasoning", [1], ["content"], ["tool_calls"], None])
def test_fields_that_can_not_be_held_back(make_one: MakeProvider, wrong: Any) -> None:
    with pytest.raises(ValueError, match="omit_from_turns"):
        make_one(omit_from_turns=wrong)


# Usage


@pytest.mark.parametrize(
    ("usage", "output"),
    [
        ({"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 1025}, 1005),
        ({"prompt_tokens": 20, "total_tokens": 1025}, 1005),
        (
            {
                "prompt_tokens": 20,
                "completion_tokens": 5,
                "completion_tokens_details": {"reasoning_tokens": 9},
            },
            9,
        ),
        ({"prompt_tokens": 20, "completion_tokens": 5, "reasoning_tokens": 8}, 8),
        ({"input_tokens": 20, "output_tokens": 5, "total_tokens": 30}, 10),
        ({"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}, 5),
        ({"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 5}, 5),
        ({"completion_tokens": 5, "total_tokens": 25}, 5),
        ({"input_tokens": 20, "cache_read_input_tokens": 90, "output_tokens": 5, "total_tokens": 115}, 5),
        ({"prompt_tokens": 0, "completion_tokens": 0, "input_tokens": 20, "output_tokens": 5}, 5),
    ],
)
async def test_output_is_never_less_than_the_usage_implies(
    server: Server, make_one: MakeProvider, usage: dict[str, Any], output: int
) -> None:
    server.script = http(json.dumps({**completion("yes"), "usage": usage}))
    async with make_one() as provider:
        assert (await consensus(provider, "q", num_samples=1)).cost.output_tokens == output
    assert assembled(choice(content="yes"), {"choices": [], "usage": usage}).output_tokens == output


def test_output_that_was_not_reported_stays_unknown() -> None:
    assert LLMResponse("a", usage={"prompt_tokens": 20}).reported_output_tokens is None
    assert LLMResponse("a", usage={"total_tokens": 20}).reported_output_tokens is None


PLACES: list[dict[str, Any]] = [
    {"choices": [{"index": 0, "usage": USAGE}]},
    {"choices": [{"index": 0, "message": {"usage": USAGE}}]},
    {"x_groq": {"id": "r", "usage": USAGE}},
    {"metadata": {"usage": USAGE}, "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}},
    {"choices": [{"index": 0, "usage": USAGE}], "usage": None},
    {"vendor": {"parts": [{"meta": {"usage": USAGE}}]}, "usage": {"prompt_tokens": 0}},
]


@pytest.mark.parametrize("place", PLACES)
async def test_usage_wherever_it_stands(server: Server, make: MakeProvider, place: dict[str, Any]) -> None:
    first: dict[str, Any] = place.get("choices", [{}])[0]
    message: dict[str, Any] = {**first.get("message", {}), "content": "hi"}
    given = {**place, "choices": [{**first, "message": message, "finish_reason": "stop"}]}
    in_delta = json.loads(json.dumps(place).replace("message", "delta"))
    last = {"choices": [{"index": 0, "delta": {}}], **in_delta}
    server.script = [http(json.dumps(given)), stream(chunk(content="hi"), last, chunk("stop"))]
    async with make() as provider:
        for streamed in (False, True):
            found = await asked(provider, streamed=streamed)
            assert (found.content, found.input_tokens, found.output_tokens) == ("hi", 1000, 500)
            assert not found.usage_is_estimated


def test_zeros_and_nulls_replace_no_figure() -> None:
    found = assembled(
        choice(content="hi", finish="stop"),
        {"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 1, "details": {"cached": 7}}},
        {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 500, "details": {"cached": 0}}},
        {"choices": [], "usage": {"prompt_tokens": None, "completion_tokens": 0, "details": None}},
    )
    assert found.usage == {"prompt_tokens": 1000, "completion_tokens": 500, "details": {"cached": 7}}


def test_what_the_model_wrote_is_no_usage() -> None:
    found = assembled(choice(content="hi", finish="stop", parsed={"usage": {"prompt_tokens": 9}}))
    assert found.usage_is_estimated or not found.usage


# Tool calls in pieces


def call(arguments: Any = None, name: str | None = None, **fields: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {**fields, "function": {key: value for key, value in function.items() if value is not None}}


PARIS, ROME = {"city": "Paris"}, {"city": "Rome"}
P, R = '{"city": "Paris"}', '{"city": "Rome"}'


@pytest.mark.parametrize("index", [{}, {"index": 0}, {"index": "0"}])
@pytest.mark.parametrize(
    ("fragments", "wanted"),
    [
        ([call(P, "f"), call(R, "f")], [PARIS, ROME]),
        ([call(P, "f"), call(R, "g")], [PARIS, ROME]),
        ([call(P, "f", id="a"), call(R, "f", id="b")], [PARIS, ROME]),
        ([call('{"city": ', "f"), call('"Paris"}'), call('{"city": ', "f"), call('"Rome"}')], [PARIS, ROME]),
        ([call("", "f"), call(P), call("", "f"), call(R)], [PARIS, ROME]),
        ([call(P, "f"), call("", "f")], [PARIS]),
        ([call("{}", "f", id="x"), call('{"city": '), call('"Paris"}')], [PARIS]),
        ([call("", "f", id="1"), call(P[:5], "", id="2"), call(P[5:], "", id="3")], [PARIS]),
        ([call("{}", "f", id="x"), call(P, "f", id="x")], [PARIS]),
        ([call("null", "f", id="x"), call(P)], [PARIS]),
        ([call({}, "f", id="x"), call(PARIS)], [PARIS]),
        ([call('{"city": ', "f"), call('"Paris"}'), call(P)], [PARIS]),
        ([call(P, "f", id="x"), call(P, "f", id="x")], [PARIS]),
        ([call('{"ci', "f"), call('{"city": "Pa'), call(P)], [PARIS]),
        ([call(PARIS, "f"), call(ROME, "f")], [PARIS, ROME]),
        ([call("{}", "f")], [{}]),
        ([call("{}", "f"), call("{}")], [{}]),
        ([call("null", "f")], [{}]),
        ([call("", "f"), call(P, "g")], [{}, PARIS]),
        ([call('{"a": "}', "f"), call('{"}')], [{"a": "}{"}]),
        ([call('{"a": "\\', "f"), call('"}"}')], [{"a": '"}'}]),
        ([call('{"a": ', "f"), call('{"a": 1}'), call("}")], [{"a": {"a": 1}}]),
        ([call('{"a": ', "f"), call("{}"), call("}")], [{"a": {}}]),
        (
            [call(P[:5], "f", id="1"), call(R[:5], "g", id="2"), call(P[5:], id="1"), call(R[5:], id="2")],
            [PARIS, ROME],
        ),
        ([call(json.dumps(P)[:9], "f"), call(json.dumps(P)[9:])], [PARIS]),
    ],
)
def test_calls_that_are_cut_otherwise_than_in_the_book(
    fragments: list[dict[str, Any]], wanted: list[Any], index: dict[str, Any]
) -> None:
    found = assembled(*(choice(tool_calls=[{**index, **each}]) for each in fragments), choice(finish="stop"))
    assert [(each.arguments, each.invalid_arguments) for each in found.tool_calls] == [
        (arguments, None) for arguments in wanted
    ]


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        *(("{}" + P, PARIS), (P + "\n" + P, PARIS), (P + " {}", PARIS), ("null" + P, PARIS)),
        *(("null", {}), ('""', {}), ("{}" * 3, {}), (json.dumps(P), PARIS)),
    ],
)
async def test_arguments_said_twice_in_a_whole_reply(
    server: Server, make_one: MakeProvider, text: str, arguments: Any
) -> None:
    server.script = http(json.dumps(completion(tool_calls=[{"id": "a", **call(text, "f")}])))
    async with make_one() as provider:
        assert (await asked(provider, streamed=False)).tool_calls == (ToolCall("a", "f", arguments),)


@pytest.mark.parametrize("pieces", [[P + R], [P + "x"], [P, R], [P[:5], P[5:], R[:1], R[1:]]])
def test_arguments_that_stay_invalid(pieces: list[str]) -> None:
    fragments = [
        choice(tool_calls=[call(piece, None if number else "f", index=0)])
        for number, piece in enumerate(pieces)
    ]
    (found,) = assembled(*fragments, choice(finish="stop")).tool_calls
    assert found.invalid_arguments == "".join(pieces)


def test_arguments_cut_within_a_character() -> None:
    assembly = Assembly(0)
    events = [
        event
        for piece in ('{"city": "\ud83d', '\ude00"}')
        for event in assembly.add(choice(tool_calls=[call(piece, index=0, id="x")]))
    ]
    assert [getattr(event, "arguments", None) for event in events] == ['{"city": "', '\N{GRINNING FACE}"}']
    assert assembly.response().tool_calls[0].arguments == {"city": "\N{GRINNING FACE}"}


def test_long_arguments_take_linear_time() -> None:
    began = time.process_time()
    pieces = ["{", *['{"a":'] * 15_000]
    (found,) = assembled(*(choice(tool_calls=[call(each, "f", index=0)]) for each in pieces)).tool_calls
    assert found.invalid_arguments
    (found,) = assembled(choice(tool_calls=[call("{} " * 100_000 + "x", "f", index=0)])).tool_calls
    assert found.invalid_arguments
    assert time.process_time() - began < 10


# Choices


SPLIT = [
    {"index": 0, "message": {"content": "Looking."}, "finish_reason": "stop"},
    {"index": 1, "message": {"tool_calls": [CALL]}, "finish_reason": "tool_calls"},
    {"index": 2, "message": {"content": None, "tool_calls": [{**CALL, "id": "c2"}]}, "finish_reason": "stop"},
]


def in_chunks(choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    renamed = [{("delta" if key == "message" else key): each[key] for key in each} for each in choices]
    return [{"choices": [each]} for each in renamed]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
async def test_one_answer_in_several_choices(
    server: Server, make_one: MakeProvider, order: tuple[int, ...]
) -> None:
    choices = [{**SPLIT[place], "index": number} for number, place in enumerate(order)]
    server.script = [http(json.dumps({"choices": choices})), stream(*in_chunks(choices))]
    async with make_one() as provider:
        for streamed in (False, True):
            found = await asked(provider, streamed=streamed)
            assert (found.content, found.finish_reason, found.alternatives) == ("Looking.", "tool_calls", ())
            assert {each.id for each in found.tool_calls} == {"c1", "c2"}


async def test_a_split_turn_goes_back_whole(server: Server, make_one: MakeProvider) -> None:
    second = {"tool_calls": [SIGNED], "odd": 1, "reasoning": "mm"}
    first = {**SPLIT[0], "message": {"content": "Looking.", "reasoning": "hm"}}
    choices = [first, {**SPLIT[1], "message": second}]
    turn = await turn_sent_back(server, make_one(), http(json.dumps({"choices": choices})), streamed=False)
    assert turn == {"role": "assistant", "content": "Looking.", **second, "reasoning": "hmmm"}


@pytest.mark.parametrize("fields", [{"n": 3}, {"extra_body": {"n": 3}}, {"n": 1, "extra_body": {"n": 3}}])
async def test_choices_that_were_asked_for_stay_apart(
    server: Server, make_one: MakeProvider, fields: dict[str, Any]
) -> None:
    server.script = [http(json.dumps({"choices": SPLIT})), stream(*in_chunks(SPLIT))]
    async with make_one() as provider:
        for streamed in (False, True):
            found = await asked(provider, streamed=streamed, **fields)
            assert (found.content, found.tool_calls) == ("Looking.", ())
            assert [each.has_tool_calls for each in found.alternatives] == [True, True]


@pytest.mark.parametrize("field", ["refusal", "reasoning_text"])
async def test_what_is_said_beside_the_text_is_part_of_the_answer(
    server: Server, make_one: MakeProvider, field: str
) -> None:
    choices = [
        {"index": 0, "message": {"content": None}, "finish_reason": "stop"},
        {"index": 1, "message": {"content": None, field: "No."}, "finish_reason": "stop"},
    ]
    server.script = [http(json.dumps({"choices": choices})), stream(*in_chunks(choices))]
    async with make_one() as provider:
        for streamed in (False, True):
            found = await asked(provider, streamed=streamed)
            assert (found.refusal or found.reasoning, found.alternatives) == ("No.", ())


def test_a_second_text_is_another_answer() -> None:
    second = choice(1, content="Bye.", tool_calls=[{"index": 0, **CALL}])
    found = assembled(choice(content="Hi."), second, choice(1, "length"), choice(finish="stop"))
    assert (found.content, found.tool_calls, found.finish_reason) == ("Hi.", (), "stop")


# A stream for a whole reply


LOGGED = {"id": "c", "choices": [{"index": 0, "delta": {"content": "hi"}}]}


@pytest.mark.parametrize(
    "body",
    [
        frames(LOGGED, choice(finish="stop"), {"choices": [], "usage": USAGE}) + "data: [DONE]\n\n",
        ": hello\n\n" + frames(LOGGED, choice(finish="stop"), {"choices": [], "usage": USAGE}),
        frames({**completion("hi"), "usage": USAGE}),
        "\n".join(map(json.dumps, (LOGGED, choice(finish="stop"), {"choices": [], "usage": USAGE}))),
        "data: null\n\n" + frames({}, LOGGED, choice(finish="stop"), {"choices": [], "usage": USAGE}),
        json.dumps({**completion("hi"), "usage": USAGE}) + "\n\ndata: [DONE]\n\n",
        json.dumps({**completion("hi"), "usage": USAGE}) + " data: [DONE]",
    ],
)
async def test_a_stream_for_a_whole_reply(server: Server, make: MakeProvider, body: str) -> None:
    server.script = http(body, "200 OK", "Content-Type: text/event-stream")
    async with make() as provider:
        for streamed in (False, True):
            found = await asked(provider, streamed=streamed)
            assert (found.content, found.input_tokens, found.output_tokens) == ("hi", 1000, 500)


async def test_signs_of_life_before_a_whole_reply(server: Server, make_one: MakeProvider) -> None:
    server.script = http(": still here\n\n" + json.dumps(completion("hi"), indent=1) + "\ndata:[DONE]")
    async with make_one() as provider:
        assert (await asked(provider, streamed=False)).content == "hi"


async def test_calls_in_a_stream_for_a_whole_reply(server: Server, make_one: MakeProvider) -> None:
    server.script = http(frames(choice(tool_calls=[{"index": 0, **CALL}]), choice(finish="tool_calls")))
    async with make_one() as provider:
        found = await asked(provider, streamed=False)
    assert found.tool_calls == (ToolCall("c1", "look", {"at": "sea"}),)
    assert found.reported_output_tokens is None


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (
            frames(LOGGED, {"error": {"message": "no such model", "code": 404}}),
            PermanentError,
            "no such model",
        ),
        ('event: error\ndata: {"message": "overloaded"}\n\n', ProviderError, "overloaded"),
        (frames(LOGGED), ProviderError, "ended before"),
        ("data: [DONE]\n\n", ProviderError, "not a chat completion"),
        ("data: {torn\n\n", ProviderError, "not a chat completion"),
        (
            json.dumps(LOGGED) + '\n{"error": {"message": "no such model", "code": 404}}',
            PermanentError,
            "no such model",
        ),
    ],
)
async def test_an_error_in_a_stream_for_a_whole_reply(
    server: Server, make_one: MakeProvider, body: str, kind: type[LLMError], words: str
) -> None:
    server.script = http(body)
    async with make_one() as provider:
        with pytest.raises(kind, match=words):
            await asked(provider, streamed=False)


# What is kept of a stream


def test_a_stream_keeps_what_a_whole_reply_would_have_kept() -> None:
    def entry(token: str) -> dict[str, Any]:
        return {"token": token, "logprob": -0.1}

    first = choice(content="ha", annotations=[{"type": "url_citation", "url_citation": {"url": "a"}}])
    first["choices"][0] |= {"logprobs": {"content": [entry("ha")], "refusal": None}, "token_ids": [7]}
    first |= {"citations": ["a"], "service_tier": "flex", "prompt_filter_results": [{"index": 0}]}
    second = choice(content="ha", annotations=[{"type": "url_citation", "url_citation": {"url": "b"}}])
    second["choices"][0] |= {"logprobs": {"content": [entry("ha")]}, "token_ids": [7], "stop_reason": None}
    second |= {"citations": ["a", "b"]}
    third = choice(finish="stop", audio={"id": "x", "data": "AA", "transcript": "ha"}, channel="final")
    third["choices"][0] |= {"content_filter_results": {"hate": {"severity": "safe"}}, "stop_reason": 2}
    fourth = {**choice(audio={"id": "x", "data": "BB", "expires_at": 5}), "timings": {"predicted_n": 2}}
    found = assembled(first, second, third, fourth).raw
    (only,) = found["choices"]
    assert only["logprobs"] == {"content": [entry("ha"), entry("ha")], "refusal": None}
    assert (only["token_ids"], only["stop_reason"]) == ([7, 7], 2)
    assert only["content_filter_results"] == {"hate": {"severity": "safe"}}
    assert [each["url_citation"]["url"] for each in only["message"]["annotations"]] == ["a", "b"]
    assert only["message"]["audio"] == {"id": "x", "data": "AABB", "transcript": "ha", "expires_at": 5}
    assert only["message"]["channel"] == "final"
    assert (found["citations"], found["service_tier"]) == (["a", "b"], "flex")
    assert found["prompt_filter_results"] == [{"index": 0}]
    assert found["timings"] == {"predicted_n": 2}


async def test_unknown_fields_count_as_what_may_come(server: Server, make_one: MakeProvider) -> None:
    server.script = stream(*[chunk(odd="x" * 300, content="a")] * 10, chunk("stop"))
    async with make_one(max_response_bytes=1000) as provider:
        with pytest.raises(ProviderError, match="1000"):
            await asked(provider, streamed=True)


HI = {"type": "text", "text": "hi"}


def test_blocks_in_pieces() -> None:
    def text(piece: str, **fields: Any) -> dict[str, Any]:
        return {"type": "reasoning.text", "text": piece, **fields}

    secret = {"type": "reasoning.encrypted", "data": "x", "index": 0}
    pieces = [
        [text("He", index=0)],
        [secret],
        [text("re", index=0), {"text": "!", "index": 0}],
        [secret],
        [{**secret, "data": "y"}],
        [text("a"), text("b")],
        [text("c")],
        [text("", signature="s")],
        [text("", signature="ig")],
        [text("d")],
        [{"type": "image", "url": "u"}],
        [{"type": "image", "url": "v"}],
    ]
    found = assembled(*(choice(reasoning_details=piece) for piece in pieces), choice(finish="stop"))
    assert found.raw["choices"][0]["message"]["reasoning_details"] == [
        text("Here!", index=0),
        secret,
        {**secret, "data": "y"},
        text("a"),
        text("bc", signature="sig"),
        text("d"),
        {"type": "image", "url": "u"},
        {"type": "image", "url": "v"},
    ]
    ran = {"index": 0, "type": "search", "arguments": "{}"}
    (only,) = assembled(*(choice(executed=[each]) for each in (ran, ran, {**ran, "output": "o"}))).raw[
        "choices"
    ]
    assert only["message"]["executed"] == [{**ran, "output": "o"}]
    (only,) = assembled(*[choice(content=[{"type": "text", "text": "ha"}])] * 3).raw["choices"]
    assert only["message"]["content"] == [{"type": "text", "text": "hahaha"}]


@pytest.mark.parametrize(("opening", "closing"), [('{"text":', "}"), ("[", "]")])
def test_what_is_nested_too_deep_spoils_no_reply(opening: str, closing: str) -> None:
    deep = json.loads(opening * 600 + '"x"' + closing * 600)
    odd = choice(content="a", odd=deep, reasoning=deep, tool_calls=[{"index": 0, **CALL, "odd": deep}])
    found = assembled(odd, odd, choice(finish="stop"))
    assert (found.content, found.has_tool_calls) == ("aa", True)


def test_a_value_that_comes_with_each_chunk_is_one_value() -> None:
    same: dict[str, Any] = {
        "channel": "final",
        "signature": "s",
        "extra": {"signature": "t", "thought_signature": "t"},
        "reasoning_opaque": "o",
        "thinking": "ha",
    }
    (only,) = assembled(*[choice(content="a", **same)] * 3, choice(finish="stop")).raw["choices"]
    assert only["message"] == {"role": "assistant", "content": "aaa", **same, "thinking": "hahaha"}


def test_a_block_said_again_with_its_result_is_one_block() -> None:
    begun = {"index": 0, "type": "search", "arguments": "{}", "output": None}
    done = {**begun, "output": "found"}
    found = assembled(choice(executed_tools=[begun]), choice(executed_tools=[done]), choice(finish="stop"))
    assert found.raw["choices"][0]["message"]["executed_tools"] == [done]


def test_log_probabilities_without_an_object_around_them() -> None:
    entries = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -0.5}]
    chunks = [choice(content=entry["token"]) for entry in entries]
    for item, entry in zip(chunks, entries, strict=True):
        item["choices"][0]["logprobs"] = [entry]
    found = assembled(*chunks, choice(finish="stop"))
    assert found.raw["choices"][0]["logprobs"] == entries
    assert [each.token for each in found.logprobs] == ["a", "b"]


def test_pieces_take_linear_time() -> None:
    began = time.process_time()
    found = assembled(*[choice(odd_text="ab", list=[{"type": "text", "text": "x"}])] * 30_000)
    assert len(found.raw["choices"][0]["message"]["odd_text"]) == 60_000
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "message",
    [
        {"reasoning": [{"type": "text", "text": "hm"}]},
        {"reasoning": {"content": "hm"}},
        {"reasoning_text": "hm", "reasoning_opaque": "x"},
        {"reasoning_details": [{"type": "reasoning.text", "text": each} for each in "hm"]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "x"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, HI]},
        {"content": [{"type": "reasoning", "text": "hm"}, HI]},
    ],
)
async def test_reasoning_in_its_forms(
    server: Server, make_one: MakeProvider, message: dict[str, Any]
) -> None:
    message = {"content": "hi", **message}
    body = {"choices": [{"message": message, "finish_reason": "stop"}]}
    server.script = [http(json.dumps(body)), stream(chunk(**message), chunk("stop"))]
    async with make_one() as provider:
        for streamed in (False, True):
            found = await asked(provider, streamed=streamed)
            assert (found.content, found.reasoning) == ("hi", "hm")
            assert found.raw["choices"][0]["message"]["content"] == message["content"]


# Headers

LIMITS = (
    "X-RateLimit-Remaining-Tokens: 100",
    "x-request-id: r-1",
    "Set-Cookie: a=b",
    "X-RateLimit-Key: sk-me",
)


async def test_headers_that_a_governor_needs(server: Server, make: MakeProvider) -> None:
    body = frames(chunk(content="hi"), chunk("stop"))
    server.script = [http(json.dumps(completion("hi")), "200 OK", *LIMITS), http(body, "200 OK", *LIMITS)]
    async with make(api_key="sk-me") as provider:
        for streamed in (False, True):
            found = await asked(provider, streamed=streamed)
            for reply in (found, pickle.loads(pickle.dumps(found))):
                assert reply.request_id == "r-1"
                assert reply.headers == {"x-ratelimit-remaining-tokens": "100", "x-request-id": "r-1"}


@pytest.mark.parametrize(
    "value", ["1999990", "6m0s", "2030-01-01T00:00:00Z", "gpt-4o", "sk-12345678", "Bearer abcdefgh"]
)
def test_a_header_that_shows_a_secret_is_not_kept(value: str) -> None:
    reply = Reply(200, {"x-ratelimit-a": value, "x-ratelimit-b": "3"}, b"")
    is_a_credential = " " in value or value.startswith("sk-")
    for key in ("another-0123", value.upper()):
        kept = facts_of(reply, Reporter("host", "model", (Secret(key),)))["headers"]
        assert ("x-ratelimit-a" in kept) is (key != value.upper() and not is_a_credential)
        assert kept["x-ratelimit-b"] == "3"


# Failed generations

EMPTY = [
    {"message": {"content": ""}, "finish_reason": "error"},
    {"message": {"content": None}, "finish_reason": "stop", "error": {"message": "boom"}},
    {"message": {"content": ""}, "finish_reason": "malformed_function_call"},
    {"message": {"content": ""}, "finish_reason": "UNEXPECTED_TOOL_CALL"},
    {"message": {"content": ""}, "finish_reason": "stop", "native_finish_reason": "MALFORMED_FUNCTION_CALL"},
]


@pytest.mark.parametrize("failed", EMPTY)
async def test_a_failed_generation_is_retried(
    server: Server, make_one: MakeProvider, failed: dict[str, Any]
) -> None:
    server.script = [http(json.dumps({"choices": [failed]})), FINAL]
    async with make_one() as provider:
        assert (await react_loop(provider, "q", [LOOK], retry=NO_WAIT)).value == "Blue."
    server.script = [stream(*in_chunks([{"index": 0, **failed}])), FINAL_STREAM]
    async with make_one() as provider:
        result = await react_loop(provider, "q", [LOOK], retry=NO_WAIT, on_event=ignore)
    assert result.value == "Blue."
    assert len(server.requests) == 4


async def test_a_body_with_an_error_and_no_text(server: Server, make_one: MakeProvider) -> None:
    server.script = http(json.dumps({**completion(""), "error": {"message": "boom"}}))
    async with make_one() as provider:
        with pytest.raises(ProviderError, match="boom"):
            await asked(provider, streamed=False)


@pytest.mark.parametrize(
    "error",
    [
        {"message": "x", "type": "invalid_request_error", "code": "tool_use_failed"},
        {"message": "Failed to call a function. See 'failed_generation'.", "type": "invalid_request_error"},
        {"message": "Failed to parse tool call: Unexpected end of content"},
        {"message": "x", "type": "invalid_request_error", "failed_generation": "<f>"},
        {"message": "x", "type": "invalid_request_error", "failed_generation": '{"type": "billing"}'},
    ],
)
async def test_a_refusal_of_the_models_own_text_is_retried(
    server: Server, make_one: MakeProvider, error: dict[str, Any]
) -> None:
    server.script = [http(json.dumps({"error": error}), "400 Bad Request"), FINAL]
    async with make_one() as provider:
        assert (await react_loop(provider, "q", [LOOK], retry=NO_WAIT)).value == "Blue."


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_generation_that_failed_after_some_text_is_retried(
    server: Server, make_one: MakeProvider, is_streamed: bool
) -> None:
    half = {"content": "half"}
    count = {"choices": [], "usage": {"prompt_tokens": 30, "completion_tokens": 20}}
    broken = stream(chunk(**half), chunk("error"), count) if is_streamed else None
    usage = {"prompt_tokens": 30, "completion_tokens": 20}
    whole = {"choices": [{"message": half, "finish_reason": "error"}], "usage": usage}
    server.script = [broken or http(json.dumps(whole)), FINAL]
    async with make_one(stream_always=is_streamed) as provider:
        with pytest.raises(ProviderError, match="the generation failed") as caught:
            await provider.complete(USER)
        assert caught.value.metadata["partial_text"] == "half"
        server.script = [broken or http(json.dumps(whole)), FINAL]
        result = await react_loop(provider, "q", [LOOK], retry=NO_WAIT)
        assert result.value == "Blue."
        final = completion("Blue.")["usage"]
        assert result.cost == TokenUsage(30 + final["prompt_tokens"], 20 + final["completion_tokens"], 2)
