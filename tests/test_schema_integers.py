"""Whole floats become ints where a schema declares an integer, and nowhere else."""

from typing import Any

import pytest

from executionkit import Tool, ToolCall
from executionkit._schema import find_errors, with_integers
from executionkit.patterns._tools import Toolbox

WHOLE = {"type": "integer"}
KINDS = {
    "oneOf": [
        {"properties": {"kind": {"const": "a"}, "n": WHOLE}},
        {"properties": {"kind": {"const": "b"}, "n": {"type": "number"}}},
    ]
}
TREE = {
    "$ref": "#/$defs/tree",
    "$defs": {"tree": {"properties": {"v": WHOLE, "kids": {"items": {"$ref": "#/$defs/tree"}}}}},
}


@pytest.mark.parametrize(
    ("schema", "value", "converted"),
    [
        (WHOLE, 3.0, 3),
        (WHOLE, -0.0, 0),
        ({"type": ["integer", "null"]}, 3.0, 3),
        ({"type": "number"}, 3.0, 3.0),
        ({}, [3.0], [3.0]),
        ({"enum": [1, 2]}, 2.0, 2),
        ({"const": 2}, 2.0, 2),
        ({"anyOf": [{"type": "string"}, WHOLE]}, 3.0, 3),
        ({"allOf": [{"minimum": 1}, WHOLE]}, 3.0, 3),
        ({"items": {"anyOf": [WHOLE, {"type": "number"}]}}, [3.0, 2.5], [3, 2.5]),
        ({"prefixItems": [WHOLE, {"type": "number"}], "items": WHOLE}, [1.0, 2.0, 3.0], [1, 2.0, 3]),
        ({"items": [{"type": "number"}], "additionalItems": WHOLE}, [1.0, 2.0], [1.0, 2]),
        ({"properties": {"a": WHOLE}, "additionalProperties": {}}, {"a": 1.0, "b": 1.0}, {"a": 1, "b": 1.0}),
        ({"patternProperties": {"^a": WHOLE}}, {"a": 1.0, "b": 1.0}, {"a": 1, "b": 1.0}),
        ({"additionalProperties": WHOLE}, {"a": 1.0}, {"a": 1}),
        (KINDS, {"kind": "a", "n": 3.0}, {"kind": "a", "n": 3}),
        (KINDS, {"kind": "b", "n": 3.0}, {"kind": "b", "n": 3.0}),
        (TREE, {"v": 1.0, "kids": [{"v": 2.0, "kids": []}]}, {"v": 1, "kids": [{"v": 2, "kids": []}]}),
        (
            {
                "if": {"required": ["a"]},
                "then": {"properties": {"n": WHOLE}},
                "else": {"additionalProperties": {}},
            },
            {"a": 1, "n": 2.0},
            {"a": 1, "n": 2},
        ),
        ({"dependentSchemas": {"a": {"properties": {"n": WHOLE}}}}, {"a": 1, "n": 2.0}, {"a": 1, "n": 2}),
        (WHOLE, 9.5e15, 9_500_000_000_000_000),
        (WHOLE, -1e23, -(10**23)),
        (WHOLE, 1e300, 10**300),
    ],
)
def test_a_whole_float_is_an_int_where_an_integer_is_declared(
    schema: Any, value: Any, converted: Any
) -> None:
    found = with_integers(value, schema)
    assert repr(found) == repr(converted)  # which tells 3 from 3.0
    assert find_errors(found, schema) == []


@pytest.mark.parametrize("value", [1.2345678901234567e18, 9007199254740994.0, -12345678901234567890.0])
def test_a_float_that_may_be_another_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="too large to be exact"):
        with_integers(value, WHOLE)


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ('{"n": 3.0}', 3),
        ('{"n": 3e0}', 3),
        ('{"n": 3}', 3),
        ('{"n": "3"}', None),
        ('{"n": 3.5}', None),
        ('{"n": NaN}', None),
        ('{"n": 1e400}', None),
        ('{"n": 12345678901234567890.0}', None),
        ('{"n": true}', None),
    ],
)
async def test_an_integer_parameter_is_given_an_int_or_the_tool_is_not_run(
    arguments: Any, given: int | None
) -> None:
    seen: list[object] = []
    tool = Tool("t", "", {"type": "object", "properties": {"n": WHOLE}}, lambda n: seen.append(n))
    call = ToolCall("c", "t", arguments)
    text, ran = await Toolbox({"t": tool}, object(), None).call(call)  # type: ignore[arg-type]
    assert ran == (given is not None)
    assert text.startswith("Error: ") != ran
    assert [(n, type(n)) for n in seen] == ([(given, int)] if ran else [])
    assert call.arguments in ({}, {"n": 3.0}) or not ran  # as the model wrote it
