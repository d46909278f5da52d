"""Strict tools: optional parameters as nullable ones, and their nulls taken out again before the call."""

import enum
import json
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executionkit import LLMResponse, MockProvider, Tool, ToolCall, react_loop, tool
from executionkit._schema import fits
from executionkit._schema._nullable import strict_with_nulls, without_nulls


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


@dataclass
class Item:
    name: str
    size: Size = Size.SMALL
    note: str | None = "none"


@tool(strict=True)
def order(
    items: list[Item], pay: Literal["cash", "card"] = "card", tip: float = 1.5, table: int | None = 7
) -> str:
    "Order."
    return json.dumps([items[0].name, items[0].size.value, items[0].note, pay, tip, table])


def sent(made: Tool) -> dict[str, Any]:
    function: dict[str, Any] = made.to_schema()["function"]
    return function


def closed(schema: Any) -> bool:
    """Whether every object in a schema is closed, and all its properties required."""
    if isinstance(schema, list):
        return all(map(closed, schema))
    if not isinstance(schema, dict):
        return True
    if "properties" in schema and isinstance(schema["properties"], dict):
        properties = schema["properties"]
        if schema.get("additionalProperties") is not False or {*schema["required"]} != {*properties}:
            return False
    return all(map(closed, schema.values()))


def test_what_is_sent_is_closed_and_what_is_checked_stays_as_it_was() -> None:
    function = sent(order)
    assert function["strict"] is True
    assert closed(function["parameters"])
    assert function["parameters"]["properties"]["tip"]["type"] == ["number", "null"]
    assert order.parameters["required"] == ("items",)
    assert "strict" not in sent(tool(name="order")(order.execute))


async def test_a_null_for_an_optional_parameter_is_left_out_however_deep() -> None:
    arguments = {
        "items": [{"name": "tea", "size": None, "note": None}],
        "pay": None,
        "tip": None,
        "table": None,
    }
    asks = LLMResponse("", [ToolCall("c", "order", arguments)])
    provider = MockProvider([asks, "done"])
    await react_loop(provider, "q", [order])
    # Where null is a value, it stays.
    shown = provider.calls[1].messages[-1]["content"]
    assert json.loads(shown) == ["tea", "small", None, "card", 1.5, None]


def test_a_null_for_a_required_parameter_is_an_error() -> None:
    with pytest.raises(ValueError, match="items"):
        order.convert({"items": None})


HAND = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "Its name."},
        "size": {"enum": ["small", "large"]},
        "at": {"$ref": "#/$defs/place"},
        "to": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/place"}]},
    },
    "required": ["name"],
    "$defs": {
        "place": {
            "type": "object",
            "properties": {"x": {"type": "integer"}, "next": {"$ref": "#/$defs/place"}},
            "required": ["x"],
        }
    },
}


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"name": "a", "size": None, "at": None, "to": None}, {"name": "a"}),
        ({"name": "a", "at": {"x": 1, "next": None}}, {"name": "a", "at": {"x": 1}}),
        (
            {"name": "a", "to": {"x": 1, "next": {"x": 2, "next": None}}},
            {"name": "a", "to": {"x": 1, "next": {"x": 2}}},
        ),
        ({"name": None}, {"name": None}),
        ({"name": "a", "other": None}, {"name": "a", "other": None}),
    ],
)
def test_nulls_are_taken_out_by_the_schema(given: dict[str, Any], left: dict[str, Any]) -> None:
    made = Tool("t", "T.", HAND, lambda **_: None, strict=True)
    assert closed(sent(made)["parameters"])
    assert without_nulls(given, made.parameters) == left


simple = st.sampled_from(
    [{"type": "string"}, {"type": "integer"}, {"type": ["number", "null"]}, {"enum": ["a", "b"]}]
)
schemas = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(
            lambda props, required: {
                "type": "object",
                "properties": props,
                "required": [name for name in props if name in required],
            },
            st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
            st.sets(st.sampled_from("abc")),
        ),
    ),
    max_leaves=6,
)


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that fit a schema of those above."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "array":
        return st.lists(values(schema["items"]), max_size=2)
    if schema["type"] == "object":
        required = {k: values(v) for k, v in schema["properties"].items() if k in schema["required"]}
        optional = {k: values(v) for k, v in schema["properties"].items() if k not in schema["required"]}
        return st.fixed_dictionaries(required, optional=optional)
    kinds = {"string": st.text(max_size=2), "integer": st.integers(), "number": st.floats(0, 1)}
    if isinstance(schema["type"], list):
        return st.none() | kinds["number"]
    return kinds[schema["type"]]


def filled(value: Any, schema: dict[str, Any]) -> Any:
    """A value as a strict server makes a model write it: null for whatever is left out."""
    if isinstance(value, list):
        return [filled(item, schema["items"]) for item in value]
    if isinstance(value, dict):
        return {name: filled(value.get(name), rule) for name, rule in schema["properties"].items()}
    return value


@given(
    st.data(), st.dictionaries(st.sampled_from("xyz"), schemas, min_size=1), st.sets(st.sampled_from("xyz"))
)
def test_a_value_survives_the_way_to_a_strict_server_and_back(
    data: st.DataObject, properties: dict[str, Any], required: set[str]
) -> None:
    schema = {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name in required],
    }
    strict = strict_with_nulls(schema)
    assert strict is not None
    value = data.draw(values(schema))
    written = filled(value, schema)
    assert fits(written, strict, strict)
    back = without_nulls(written, schema)
    assert fits(back, schema, schema)
    assert filled(back, schema) == written


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "object", "additionalProperties": True},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}},
        {"type": "object", "properties": {"a": {"type": "array"}}},
    ],
)
def test_what_has_no_strict_form_is_refused_when_the_tool_is_made(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the parameters of t have no strict form"):
        Tool("t", "T.", parameters, lambda **_: None, strict=True)


def test_a_function_that_takes_anything_has_no_strict_form() -> None:
    with pytest.raises(ValueError, match="no strict form"):

        @tool(strict=True)
        def loose(**others: int) -> str:
            "Loose."
            return ""


@pytest.mark.parametrize("name", ["strict", "repeatable"])
def test_the_options_take_nothing_but_true_and_false(name: str) -> None:
    options: dict[str, Any] = {name: 1}
    with pytest.raises(ValueError, match=f"{name} must be True or False"):
        Tool("t", "T.", {"type": "object"}, lambda: None, **options)
