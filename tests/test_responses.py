"""LLMResponse and ToolCall: whatever a server sends as content and usage, reading it never fails."""

import copy
import math
import pickle
from dataclasses import FrozenInstanceError
from types import MappingProxyType
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executionkit import LLMResponse, MockProvider, ToolCall, consensus
from executionkit.responses import text_of, token_count

CALL = ToolCall("c1", "add", {"a": [1]})

# -- fields ----------------------------------------------------------------------------------------------


def test_fields_stand_in_order_and_default_to_an_empty_stop() -> None:
    raw = {"id": "x"}
    assert LLMResponse("hi", [CALL], "tool_calls", {"prompt_tokens": 1}, raw).raw is raw
    reply = LLMResponse("hi")
    assert (reply.content, reply.tool_calls, reply.finish_reason) == ("hi", (), "stop")
    assert (reply.usage, reply.raw, reply.reasoning, reply.refusal) == ({}, None, "", "")
    assert not reply.has_tool_calls


async def test_a_reply_without_a_finish_reason_has_stopped() -> None:
    missing: Any = None  # as providers of users' own pass on what an SDK has
    result = await consensus(MockProvider([LLMResponse("hi", finish_reason=missing)]), "?", num_samples=1)
    assert result.value == "hi"


def test_tool_calls_become_a_tuple_of_their_own() -> None:
    calls = [CALL]
    reply = LLMResponse("", calls)
    calls.append(CALL)
    assert reply.tool_calls == (CALL,)
    assert reply.has_tool_calls
    assert LLMResponse("", None).tool_calls == ()  # type: ignore[arg-type]  # what servers send


def test_alternatives_become_a_tuple_of_their_own() -> None:
    others = [LLMResponse("b")]
    reply = LLMResponse("a", alternatives=others)
    others.clear()
    assert reply.alternatives == (LLMResponse("b"),)
    assert LLMResponse("a").alternatives == ()


def test_a_call_has_no_invalid_arguments_unless_told() -> None:
    assert CALL.invalid_arguments is None
    assert ToolCall("c", "add", {}, invalid_arguments='{"a":').invalid_arguments == '{"a":'


def test_replies_and_calls_are_frozen() -> None:
    for frozen, name in ((LLMResponse("x"), "content"), (LLMResponse("x"), "usage"), (CALL, "arguments")):
        with pytest.raises(FrozenInstanceError):
            setattr(frozen, name, "new")


@pytest.mark.parametrize("make", [lambda usage: usage, MappingProxyType], ids=["dict", "proxy"])
def test_usage_is_read_only_and_a_copy(make: Any) -> None:
    usage = {"prompt_tokens": 3}
    reply = LLMResponse("x", usage=make(usage))
    usage["prompt_tokens"] = 99
    assert reply.input_tokens == 3
    assert isinstance(reply.usage, MappingProxyType)
    with pytest.raises(TypeError):
        reply.usage["prompt_tokens"] = 4  # type: ignore[index]  # what is refused


class Own(LLMResponse):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [
        LLMResponse("x"),
        Own("x", usage={"prompt_tokens": 3}),
        LLMResponse("x", [CALL], "length", {"prompt_tokens_details": {"cached_tokens": 2}}, {"id": 1}),
        LLMResponse("", reasoning="hm", refusal="no"),
        LLMResponse("x", alternatives=[LLMResponse("y", [CALL]), Own("z")]),
        CALL,
        ToolCall("c", "add", {}, invalid_arguments="{"),
    ],
    ids=str,
)
def test_pickled_and_copied_they_are_the_same(value: Any) -> None:
    twins = [pickle.loads(pickle.dumps(value, protocol)) for protocol in range(2, 6)]
    for twin in [*twins, copy.copy(value), copy.deepcopy(value)]:
        assert type(twin) is type(value)
        assert twin == value


def test_a_deep_copy_shares_nothing_changeable() -> None:
    reply = LLMResponse("x", [ToolCall("c", "add", {"a": [1]})], usage={"d": {"n": [1]}})
    twin = copy.deepcopy(reply)
    twin.tool_calls[0].arguments["a"].append(2)
    twin.usage["d"]["n"].append(2)
    assert reply.tool_calls[0].arguments == {"a": [1]}
    assert reply.usage == {"d": {"n": [1]}}


# -- content ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("as it is ", "as it is "),
        ("", ""),
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "one "}, {"type": "text", "text": "two"}], "one two"),
        (({"type": "text", "text": "one"}, "two"), "onetwo"),
        ([{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "seen"}], "seen"),
        ([{"type": "text", "text": None}, {"type": "text"}, None, 3, {"type": "text", "text": "x"}], "x"),
        ([[{"text": "nested"}]], "nested"),
        ({"type": "text", "text": "alone"}, "alone"),
        ({"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, ""),
        (b"bytes", ""),
        (12, "12"),
        (0.5, "0.5"),
        ([1, 2], ""),
        (True, ""),
    ],
    ids=repr,
)
def test_content_in_any_shape_is_text(content: Any, text: str) -> None:
    assert LLMResponse(content).content == text
    assert text_of(content) == text


@pytest.mark.parametrize("name", ["reasoning", "refusal"])
@pytest.mark.parametrize(("sent", "text"), [(None, ""), ("hm", "hm"), ([{"type": "text", "text": "x"}], "x")])
def test_reasoning_and_refusal_are_text_too(name: str, sent: Any, text: str) -> None:
    assert getattr(LLMResponse("", **{name: sent}), name) == text


# -- usage -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({}, (0, 0)),
        ({"prompt_tokens": 3, "completion_tokens": 4}, (3, 4)),
        ({"input_tokens": 3, "output_tokens": 4}, (3, 4)),
        ({"input_tokens": 3, "prompt_tokens": 9, "output_tokens": 4, "completion_tokens": 9}, (3, 4)),
        ({"input_tokens": None, "prompt_tokens": 9, "output_tokens": "?", "completion_tokens": 8}, (9, 8)),
        ({"prompt_tokens": 3}, (3, 0)),
        ({"total_tokens": 7}, (0, 0)),
        ({"prompt_tokens": "3", "completion_tokens": "4.0"}, (3, 4)),
        ({"prompt_tokens": 3.0, "completion_tokens": 4.9}, (3, 4)),
    ],
    ids=repr,
)
def test_either_spelling_of_the_counts(usage: dict[str, Any], counts: tuple[int, int]) -> None:
    reply = LLMResponse("x", usage=usage)
    assert (reply.input_tokens, reply.output_tokens) == counts
    assert reply.total_tokens == sum(counts)


UNKNOWN: list[Any] = [
    None,
    "",
    "many",
    "-3",
    -3,
    -0.5,
    math.nan,
    math.inf,
    "nan",
    "inf",
    "1e999",
    True,
    False,
    [],
    [3],
    {},
]


@pytest.mark.parametrize("value", UNKNOWN, ids=repr)
def test_a_count_that_is_none_is_unknown_and_counts_as_zero(value: Any) -> None:
    reply = LLMResponse("x", usage={"prompt_tokens": value, "completion_tokens": value})
    assert (reply.reported_input_tokens, reply.reported_output_tokens) == (None, None)
    assert (reply.input_tokens, reply.output_tokens, reply.total_tokens) == (0, 0, 0)


def test_a_count_of_zero_is_known() -> None:
    reply = LLMResponse("x", usage={"prompt_tokens": 0, "completion_tokens": "0"})
    assert (reply.reported_input_tokens, reply.reported_output_tokens) == (0, 0)


@pytest.mark.parametrize("usage", [None, [], "usage", 3, [("prompt_tokens", 3)]], ids=repr)
def test_a_usage_block_that_is_no_mapping_is_unknown(usage: Any) -> None:
    reply = LLMResponse("x", usage=usage)
    assert reply.usage == {}
    assert reply.reported_input_tokens is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
NAMES = [
    "prompt_tokens",
    "completion_tokens",
    "input_tokens",
    "output_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
]
DETAILS = st.dictionaries(st.sampled_from(["cached_tokens", "reasoning_tokens"]), JSON)


@settings(max_examples=50)
@given(JSON | st.dictionaries(st.sampled_from(NAMES), JSON | DETAILS))
def test_no_usage_block_ever_raises_or_subtracts(usage: Any) -> None:
    reply = LLMResponse("x", usage=usage)
    counts = (
        reply.input_tokens,
        reply.output_tokens,
        reply.total_tokens,
        reply.cached_tokens,
        reply.reasoning_tokens,
    )
    for count in counts:
        assert type(count) is int
        assert count >= 0


@settings(max_examples=50)
@given(JSON)
def test_no_content_ever_raises(content: Any) -> None:
    assert isinstance(LLMResponse(content).content, str)


@given(st.integers(0, 10**15 - 1))
def test_whole_numbers_are_read_exactly(count: int) -> None:
    assert token_count(count) == count


@pytest.mark.parametrize(
    ("usage", "cached", "reasoning"),
    [
        ({}, 0, 0),
        (
            {
                "prompt_tokens_details": {"cached_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 6},
            },
            5,
            6,
        ),
        (
            {
                "input_tokens_details": {"cached_tokens": 5},
                "output_tokens_details": {"reasoning_tokens": "6"},
            },
            5,
            6,
        ),
        ({"prompt_tokens_details": None, "completion_tokens_details": [1]}, 0, 0),
        (
            {
                "prompt_tokens_details": {"cached_tokens": None},
                "completion_tokens_details": {"reasoning_tokens": -1},
            },
            0,
            0,
        ),
    ],
)
def test_details_of_the_counts(usage: dict[str, Any], cached: int, reasoning: int) -> None:
    reply = LLMResponse("x", usage=usage)
    assert (reply.cached_tokens, reply.reasoning_tokens) == (cached, reasoning)


# -- why it stopped --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "truncated", "filtered"),
    [
        ("stop", False, False),
        ("length", True, False),
        ("max_tokens", True, False),
        ("content_filter", False, True),
        ("tool_calls", False, False),
        ("MAX_TOKENS", True, False),
        ("model_length", True, False),
        ("SAFETY", False, True),
        ("sensitive", False, True),
        ("", False, False),
    ],
)
def test_finish_reasons(reason: str, truncated: bool, filtered: bool) -> None:
    reply = LLMResponse("x", finish_reason=reason)
    assert (reply.was_truncated, reply.was_filtered) == (truncated, filtered)


@pytest.mark.parametrize(
    ("given", "invalid"),
    [
        (None, None),
        ('{"x": 1', '{"x": 1'),
        ('{"x": NaN}', '{"x": NaN}'),
        ('{"x": 1e999}', '{"x": 1e999}'),
        ([1], "[1]"),
        (3, "3"),
    ],
)
def test_arguments_that_are_no_mapping_are_kept_as_invalid(given: Any, invalid: str | None) -> None:
    call = ToolCall("1", "look", given)
    assert (call.arguments, call.invalid_arguments) == ({}, invalid)


def test_arguments_handed_on_as_json_text_are_read() -> None:
    call = ToolCall("1", "look", cast("Any", '{"x": [1.5]}'))
    assert (call.arguments, call.invalid_arguments) == ({"x": [1.5]}, None)


def test_control_characters_in_arguments_are_read_as_what_they_are() -> None:
    call = ToolCall("1", "run", cast("Any", '{"code": "a\n\tb\r\n\x00"}'))
    assert (call.arguments, call.invalid_arguments) == ({"code": "a\n\tb\r\n\x00"}, None)
    broken = ToolCall("1", "run", cast("Any", '{"code":\x00 "a"}'))
    assert broken.invalid_arguments == '{"code":\x00 "a"}'
