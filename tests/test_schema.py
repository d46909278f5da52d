"""Tool schemas: what is refused at construction, what calls are refused, and in which words."""

import math
import pickle
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from executionkit import Tool
from executionkit._schema import check_schema, find_errors


def check(schema: Any, value: Any) -> list[str]:
    """The errors of `value` as the argument x, whose schema is `schema`."""
    whole = {"type": "object", "properties": {"x": schema}}
    check_schema(whole)
    return find_errors({"x": value}, whole)


# schema, what fits, what does not, and what is said of the first that does not.
KEYWORDS: dict[str, tuple[Any, list[Any], list[Any], str]] = {
    "nothing": ({}, [None, 1, "a", [], {}], [math.nan], "x: NaN is not a JSON value"),
    "true": (True, [None, 1, "a"], [math.inf], "x: Infinity is not a JSON value"),
    "false": (False, [], [None, 1, {}], "x: no value is allowed here"),
    "null": ({"type": "null"}, [None], [0, False, ""], "x: expected null, got 0"),
    "boolean": ({"type": "boolean"}, [True, False], [1, 0, "true"], "x: expected boolean, got 1"),
    "integer": ({"type": "integer"}, [3, 3.0, -1, 10**30], ["3", 3.5, True], 'x: expected integer, got "3"'),
    "number": ({"type": "number"}, [1, 1.5, -0.0], [True, "1", math.nan], "x: expected number, got true"),
    "string": ({"type": "string"}, ["", "é"], [42, None, ["a"]], "x: expected string, got 42"),
    "array": ({"type": "array"}, [[], [1], (1,)], [{}, "ab"], "x: expected array, got {}"),
    "object": ({"type": "object"}, [{}, MappingProxyType({})], [[], None], "x: expected object, got []"),
    "types": ({"type": ["string", "null"]}, ["a", None], [1], "x: expected string or null, got 1"),
    "nullable": ({"type": "string", "nullable": True}, ["a", None], [1], "x: expected string or null, got 1"),
    "not nullable": ({"type": "string", "nullable": False}, ["a"], [None], "x: expected string, got null"),
    "enum": (
        {"enum": ["a", 1, None]},
        ["a", 1, 1.0, None],
        ["b", True],
        'x: expected one of "a", 1, null, got "b"',
    ),
    "enum of containers": (
        {"enum": [[1, {"a": 2}]]},
        [[1.0, {"a": 2}]],
        [[1], [True, {"a": 2}]],
        "x: expected one",
    ),
    "enum of nothing": ({"enum": []}, [], [1, None], "x: expected one of , got 1"),
    "const": ({"const": {"a": [1, 2]}}, [{"a": [1, 2.0]}], [{"a": [2, 1]}], 'x: expected {"a": [1, 2]}, got'),
    "const zero": ({"const": 0}, [0, 0.0], [False, None, ""], "x: expected 0, got false"),
    "const null": ({"const": None}, [None], [0], "x: expected null, got 0"),
    "minimum": ({"minimum": 1}, [1, 2.5, "0"], [0.5, -1], "x: must be at least 1, got 0.5"),
    "maximum": ({"maximum": 1}, [1, 0.5, "2"], [2], "x: must be at most 1, got 2"),
    "exclusiveMinimum": ({"exclusiveMinimum": 1}, [1.5, "0"], [1, 0], "x: must be more than 1, got 1"),
    "exclusiveMaximum": ({"exclusiveMaximum": 1}, [0.5, "2"], [1, 2], "x: must be less than 1, got 1"),
    "old exclusiveMinimum": (
        {"minimum": 1, "exclusiveMinimum": True},
        [2],
        [1],
        "x: must be more than 1, got 1",
    ),
    "old exclusiveMaximum": (
        {"maximum": 1, "exclusiveMaximum": True},
        [0],
        [1],
        "x: must be less than 1, got 1",
    ),
    "inclusive after all": (
        {"minimum": 1, "exclusiveMinimum": False},
        [1],
        [0],
        "x: must be at least 1, got 0",
    ),
    "multipleOf": (
        {"multipleOf": 0.1},
        [0.3, 0.7, 1, 4.35e1, "a"],
        [0.25],
        "x: must be a multiple of 0.1, got 0.25",
    ),
    "multipleOf cents": (
        {"multipleOf": 0.01},
        [19.99, 0, 1e22, 10**30],
        [0.001],
        "x: must be a multiple of 0.01",
    ),
    "multipleOf large": (
        {"multipleOf": 3},
        [10**30 - 1, 9.0],
        [10**30, 1e300],
        "x: must be a multiple of 3, got 1000",
    ),
    "minLength": (
        {"minLength": 2},
        ["ab", "éé", 1],
        ["a", "😀"],
        "x: must have at least 2 characters, has 1",
    ),
    "maxLength": ({"maxLength": 1}, ["", "😀", 11], ["ab"], "x: must have at most 1 characters, has 2"),
    "a large limit": (
        {"minLength": 1_000_000.0},
        [],
        ["a"],
        "x: must have at least 1000000.0 characters, has 1",
    ),
    "pattern": ({"pattern": "^a+$"}, ["aa", 1], ["ab"], 'x: must match the pattern "^a+$", got "ab"'),
    "pattern anywhere": ({"pattern": r"\d\d"}, ["a12b"], ["1"], 'x: must match the pattern "\\\\d\\\\d"'),
    "minItems": ({"minItems": 1}, [[1], {}], [[]], "x: must have at least 1 items, has 0"),
    "maxItems": ({"maxItems": 1}, [[1], {}], [[1, 2]], "x: must have at most 1 items, has 2"),
    "uniqueItems": (
        {"uniqueItems": True},
        [[1, True, "1", [1]], "aa"],
        [[1, 1.0], [{}, {}]],
        "x: must not have the",
    ),
    "uniqueItems off": ({"uniqueItems": False}, [[1, 1]], [], ""),
    "minProperties": (
        {"minProperties": 1},
        [{"a": 1}, []],
        [{}],
        "x: must have at least 1 properties, has 0",
    ),
    "maxProperties": (
        {"maxProperties": 0},
        [{}, [1]],
        [{"a": 1}],
        "x: must have at most 0 properties, has 1",
    ),
    "required": (
        {"required": ["a", "b"]},
        [{"a": 1, "b": None}, 1],
        [{"a": 1}],
        'x: missing required property "b"',
    ),
    "required two": ({"required": ["a", "b"]}, [], [{}], 'x: missing required properties "a", "b"'),
    "properties": (
        {"properties": {"a": {"type": "null"}}},
        [{"a": None}, {"b": 1}, 1],
        [{"a": 1}],
        "x.a: expected",
    ),
    "odd names": ({"properties": {"a b": False}}, [{}], [{"a b": 1}], 'x["a b"]: no value is allowed here'),
    "patternProperties": (
        {"patternProperties": {"^n": {"type": "integer"}}},
        [{"n1": 1, "m": "a"}, 1],
        [{"n1": "a"}],
        'x.n1: expected integer, got "a"',
    ),
    "additionalProperties": (
        {"properties": {"a": {}, "b": {}}, "patternProperties": {"^n": {}}, "additionalProperties": False},
        [{"a": 1, "n1": 2}, 1],
        [{"a": 1, "c": 2}, {"n": 1, "m": 2}],
        'x: unknown property "c"; allowed: "a", "b"',
    ),
    "no properties at all": (
        {"additionalProperties": False},
        [{}],
        [{"a": 1, "b": 2}],
        'x: unknown properties "a", "b"',
    ),
    "typed additions": (
        {"properties": {"a": {}}, "additionalProperties": {"type": "string"}},
        [{"a": 1, "b": "c"}],
        [{"a": 1, "b": 2}],
        "x.b: expected string, got 2",
    ),
    "propertyNames": (
        {"propertyNames": {"maxLength": 2}},
        [{"ab": 1}, 1],
        [{"abc": 1}],
        'x: property name "abc": must have at most 2 characters, has 3',
    ),
    "dependentRequired": (
        {"dependentRequired": {"a": ["b", "c"]}},
        [{"b": 1}, {"a": 1, "b": 1, "c": 1}, 1],
        [{"a": 1, "b": 1}],
        'x: "a" also needs property "c"',
    ),
    "dependentSchemas": (
        {"dependentSchemas": {"a": {"maxProperties": 1}}},
        [{"a": 1}, {"b": 1, "c": 1}, 1],
        [{"a": 1, "b": 1}],
        "x: must have at most 1 properties, has 2",
    ),
    "dependencies": (
        {"dependencies": {"a": ["b"], "c": {"maxProperties": 1}}},
        [{"a": 1, "b": 1}, {"c": 1}],
        [{"a": 1}, {"c": 1, "d": 1}],
        'x: "a" also needs property "b"',
    ),
    "items": (
        {"items": {"type": "integer"}},
        [[], [1, 2], "a"],
        [[1, "a"]],
        'x[1]: expected integer, got "a"',
    ),
    "prefixItems": (
        {"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": {"type": "null"}},
        [[], [1], [1, "a", None], "a"],
        [["a"], [1, 2], [1, "a", 3]],
        'x[0]: expected integer, got "a"',
    ),
    "old tuples": (
        {"items": [{"type": "integer"}, {"type": "string"}], "additionalItems": False},
        [[], [1], [1, "a"]],
        [[1, "a", None], ["a"]],
        "x[2]: no value is allowed here",
    ),
    "open old tuples": ({"items": [{"type": "integer"}]}, [[1, "a"]], [["a"]], "x[0]: expected integer"),
    "contains": (
        {"contains": {"type": "integer"}},
        [["a", 1], [1, 2], "a"],
        [[], ["a"]],
        'x: must have at least 1 items that fit {"type": "integer"}, has 0',
    ),
    "minContains": (
        {"contains": {"const": 1}, "minContains": 2},
        [[1, 1]],
        [[1]],
        "x: must have at least 2 items",
    ),
    "no contains": ({"contains": {"const": 1}, "minContains": 0}, [[], [1, 1]], [], ""),
    "maxContains": (
        {"contains": {"const": 1}, "maxContains": 1},
        [[1, 2]],
        [[1, 1]],
        "x: must have at most 1 items",
    ),
    "allOf": ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, [1, 2], [3, 0], "x: must be at most 2, got 3"),
    "anyOf": (
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        ["a", 1],
        [1.5, None],
        "x: fits none of the alternatives (expected string, got 1.5 | expected integer, got 1.5)",
    ),
    "anyOf with one of the kind": (
        {"anyOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"type": "null"}]},
        [None, {"a": "b"}],
        [{"a": 1}],
        "x.a: expected string, got 1",
    ),
    "anyOf objects": (
        {
            "anyOf": [
                {"properties": {"a": {"const": 1}}},
                {"properties": {"a": {"const": 2}}},
                {"type": "null"},
            ]
        },
        [{"a": 1}, {"a": 2}],
        [{"a": 3}],
        "x: fits none of the alternatives (a: expected 1, got 3 | a: expected 2, got 3 | expected null,",
    ),
    "oneOf": (
        {"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}, {"const": 7}]},
        [2, 3, 7],
        [6],
        "x: fits more than one of the alternatives (numbers 1, 2)",
    ),
    "oneOf, none": (
        {"oneOf": [{"const": 1}, {"const": 2}]},
        [1],
        [3],
        "x: fits none of the alternatives (expected 1",
    ),
    "not": ({"not": {"type": "string"}}, [1], ["a"], 'x: must not fit {"type": "string"}, got "a"'),
    "if": (
        {"if": {"type": "string"}, "then": {"minLength": 1}, "else": {"minimum": 0}},
        ["a", 1, None],
        ["", -1],
        "x: must have at least 1 characters, has 0",
    ),
    "if alone": ({"if": {"type": "string"}}, ["a", 1], [], ""),
    "then alone": ({"then": False, "else": False}, [1], [], ""),
    "annotations": (
        {
            "title": "X",
            "description": "An x",
            "default": 1,
            "examples": [1],
            "format": "date",
            "deprecated": True,
            "readOnly": True,
            "$comment": "c",
            "x-order": 3,
            "discriminator": {"propertyName": "kind"},
            "contentEncoding": "base64",
        },
        [1, "not a date"],
        [],
        "",
    ),
}


@pytest.mark.parametrize(("schema", "good", "bad", "said"), KEYWORDS.values(), ids=KEYWORDS.keys())
def test_keywords(schema: Any, good: list[Any], bad: list[Any], said: str) -> None:
    for value in good:
        assert check(schema, value) == []
    for value in bad:
        assert len(check(schema, value)) == 1
    if bad:
        assert check(schema, bad[0])[0].startswith(said)


# Root schemas with references: what fits, what does not.
TREE: dict[str, Any] = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["value"],
    "additionalProperties": False,
}
REFERENCES: dict[str, tuple[Any, Any, Any]] = {
    "$defs": (
        {"$defs": {"n": {"minimum": 1}}, "properties": {"x": {"$ref": "#/$defs/n"}}},
        {"x": 1},
        {"x": 0},
    ),
    "definitions": (
        {"definitions": {"n": {"minimum": 1}}, "properties": {"x": {"$ref": "#/definitions/n"}}},
        {"x": 1},
        {"x": 0},
    ),
    "another property": (
        {"properties": {"a": {"minimum": 1}, "b": {"$ref": "#/properties/a"}}},
        {"b": 1},
        {"b": 0},
    ),
    "through an array": (
        {"anyOf": [{"required": ["x"]}, {"maxProperties": 0}], "properties": {"x": {"$ref": "#/anyOf/1"}}},
        {"x": {}},
        {"x": {"y": 1}},
    ),
    "anywhere": (
        {"x-shapes": [{"minimum": 1}], "properties": {"x": {"$ref": "#/x-shapes/0"}}},
        {"x": 1},
        {"x": 0},
    ),
    "escapes": (
        {"$defs": {"a/b~1 é%": {"minimum": 1}}, "properties": {"x": {"$ref": "#/$defs/a~1b~01%20%C3%A9%25"}}},
        {"x": 1},
        {"x": 0},
    ),
    "siblings apply": (
        {"$defs": {"n": {"minimum": 1}}, "properties": {"x": {"$ref": "#/$defs/n", "maximum": 2}}},
        {"x": 2},
        {"x": 3},
    ),
    "to a reference": (
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"required": ["x"]}}},
        {"x": 1},
        {},
    ),
    "false": ({"$defs": {"no": False}, "properties": {"x": {"$ref": "#/$defs/no"}}}, {}, {"x": 1}),
    "root": (TREE, {"value": 1, "children": [{"value": 2}]}, {"value": 1, "children": [{"value": "2"}]}),
}


@pytest.mark.parametrize(("schema", "good", "bad"), REFERENCES.values(), ids=REFERENCES.keys())
def test_references(schema: Any, good: Any, bad: Any) -> None:
    check_schema(schema)
    assert find_errors(good, schema) == []
    assert find_errors(bad, schema) != []
    assert find_errors(bad, read_only(schema)) == find_errors(bad, schema)


REFUSED: dict[str, tuple[Any, str]] = {
    "no mapping": ([], "parameters must be a JSON Schema object, got a value of type list"),
    "true": (True, "got a value of type bool"),
    "no object": (
        {"type": "string"},
        'parameters must describe an object: type must be "object", got "string"',
    ),
    "no object among types": ({"type": ["string", "null"]}, "parameters must describe an object"),
    "unknown type": (
        {"properties": {"a": {"type": "date"}}},
        "parameters at #/properties/a: type must be one of null",
    ),
    "Python's type": (
        {"properties": {"a": {"type": str}}},
        "at #/properties/a/type: <class 'str'> is not a JSON value",
    ),
    "no types": ({"properties": {"a": {"type": []}}}, "type must be one of"),
    "type as a schema": ({"properties": {"a": {"type": {"type": "string"}}}}, "type must be one of"),
    "NaN": (
        {"properties": {"a": {"default": math.nan}}},
        "parameters at #/properties/a/default: nan is not a JSON",
    ),
    "a set": (
        {"properties": {"a": {"enum": {1}}}},
        "parameters at #/properties/a/enum: {1} is not a JSON value",
    ),
    "key": ({"properties": {1: {}}}, "parameters at #/properties: the key 1 is not a string"),
    "no schema": (
        {"properties": {"a": "string"}},
        "#/properties/a: must be a schema (an object, true or false), got",
    ),
    "no schema in a list": ({"allOf": [{}, 1]}, "parameters at #/allOf/1: must be a schema"),
    "no schema among definitions": ({"$defs": {"a": None}}, "parameters at #/$defs/a: must be a schema"),
    "escaped place": (
        {"properties": {"a/b~": {"minLength": -1}}},
        "at #/properties/a~1b~0: minLength must be a whole",
    ),
    "enum": ({"enum": "a"}, 'parameters at #: enum must be an array, got "a"'),
    "required": ({"required": True}, "parameters at #: required must be an array of strings, got true"),
    "required names": ({"required": ["a", 1]}, "required must be an array of strings"),
    "dependentRequired": (
        {"dependentRequired": {"a": {}}},
        "dependentRequired must be an object of arrays of strings",
    ),
    "dependencies": ({"dependencies": []}, "dependencies must be an object of schemas and arrays of strings"),
    "dependencies' names": ({"dependencies": {"a": [1]}}, "dependencies must be an object of schemas and"),
    "dependencies' schemas": ({"dependencies": {"a": 1}}, "at #/dependencies/a: must be a schema"),
    "minimum": ({"minimum": "1"}, 'minimum must be a number, got "1"'),
    "exclusiveMaximum": ({"exclusiveMaximum": "1"}, "exclusiveMaximum must be a number"),
    "multipleOf": ({"multipleOf": 0}, "multipleOf must be a number more than 0, got 0"),
    "minLength": ({"minLength": 1.5}, "minLength must be a whole number of at least 0, got 1.5"),
    "maxItems": ({"maxItems": True}, "maxItems must be a whole number of at least 0, got true"),
    "uniqueItems": ({"uniqueItems": 1}, "uniqueItems must be true or false, got 1"),
    "nullable": ({"nullable": "yes"}, "nullable must be true or false"),
    "pattern": ({"pattern": "("}, 'pattern must be a regular expression, got "("'),
    "pattern of another dialect": ({"pattern": r"\p{Lu}["}, "pattern must be a regular expression"),
    "pattern as a number": ({"pattern": 1}, "pattern must be a regular expression"),
    "patternProperties": (
        {"patternProperties": {"(": {}}},
        "patternProperties must be an object of schemas, each",
    ),
    "properties": ({"properties": []}, "properties must be an object of schemas, got []"),
    "anyOf": ({"anyOf": {}}, "anyOf must be an array of schemas, got {}"),
    "items": ({"items": 1}, "parameters at #/items: must be a schema"),
    "items in an array": ({"items": [1]}, "parameters at #/items/0: must be a schema"),
    "additionalProperties": ({"additionalProperties": "no"}, "#/additionalProperties: must be a schema"),
    "unevaluatedProperties": (
        {"unevaluatedProperties": False},
        "parameters at #: unevaluatedProperties is not supported, use additionalProperties",
    ),
    "unevaluatedItems": (
        {"items": {"unevaluatedItems": False}},
        "#/items: unevaluatedItems is not supported",
    ),
    "$dynamicRef": ({"$dynamicRef": "#a"}, "$dynamicRef is not supported, use $ref"),
    "$recursiveRef": ({"$recursiveRef": "#"}, "$recursiveRef is not supported, use $ref"),
    "$id within": ({"properties": {"a": {"$id": "b"}}}, "#/properties/a: $id is supported at the root only"),
    "$ref": ({"$ref": 1}, "$ref must be a string, got 1"),
    "missing target": ({"$ref": "#/$defs/a"}, 'parameters at #: $ref "#/$defs/a" points at nothing'),
    "missing item": (
        {"allOf": [{}], "$ref": "#/allOf/1"},
        'parameters at #: $ref "#/allOf/1" points at nothing',
    ),
    "target within a number": ({"minimum": 1, "$ref": "#/minimum/a"}, "points at nothing"),
    "target no schema": ({"minimum": 1, "items": {"$ref": "#/minimum"}}, "at #/minimum: must be a schema"),
    "malformed target": ({"x-a": {"type": 1}, "$ref": "#/x-a"}, "parameters at #/x-a: type must be one of"),
    "remote": ({"$ref": "https://example.org/s.json"}, "is not a reference into the same schema"),
    "another file": ({"$ref": "other.json#/a"}, "is not a reference into the same schema"),
    "anchor": ({"$anchor": "a", "items": {"$ref": "#a"}}, "is not a reference into the same schema"),
    "itself": ({"$ref": "#"}, "parameters must not refer to themselves without end: # -> #"),
    "in a circle": (
        {
            "$ref": "#/$defs/a",
            "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}},
        },
        "parameters must not refer to themselves without end: ",
    ),
    "in a circle nobody enters": (
        {"$defs": {"a": {"if": {"$ref": "#/$defs/a"}}}},
        "themselves without end: #/$defs/a",
    ),
    "in a circle by dependentSchemas": ({"dependentSchemas": {"a": {"$ref": "#"}}}, "themselves without end"),
    "in a circle by dependencies": ({"dependencies": {"a": {"$ref": "#"}}}, "themselves without end"),
    "an example": (
        {"name": "str", "title": "str"},
        'parameters must have a keyword of JSON Schema, got {"name": "str", "title": "str"}; an example',
    ),
    "a long chain": (
        {"$defs": {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(100)} | {"d100": {}}},
        "parameters at #/$defs/d0: more than 50 schemas would apply inside each other to one value",
    ),
}


@pytest.mark.parametrize(("schema", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_malformed_and_unsupported_schemas_are_refused(schema: Any, said: str) -> None:
    with pytest.raises(ValueError, match="parameters ") as caught:
        check_schema(schema)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": ["object", "null"]},
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "https://example.org/a",
            "$anchor": "a",
        },
        {
            "properties": {
                "type": {"type": "string"},
                "$ref": {"type": "string"},
                "$id": {},
                "unevaluatedItems": {},
            }
        },
        {
            "properties": {
                "a": {"default": {"$ref": "nowhere", "type": 1}, "enum": [{"type": 1}], "const": {"items": 1}}
            }
        },
        {"required": []},
        {"x-unknown": {"type": 1}},
        {"title": "Anything", "description": "Whatever it takes."},
    ],
    ids=str,
)
def test_these_are_fine(schema: Any) -> None:
    check_schema(schema)
    assert find_errors({}, schema) == []


# As generators write them.
PYDANTIC = {
    "$defs": {
        "Cabin": {"enum": ["economy", "business"], "title": "Cabin", "type": "string"},
        "Passenger": {
            "properties": {
                "name": {"maxLength": 40, "title": "Name", "type": "string"},
                "dob": {"format": "date", "title": "Dob", "type": "string"},
                "seat": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "title": "Seat"},
                "guardian": {"anyOf": [{"$ref": "#/$defs/Passenger"}, {"type": "null"}], "default": None},
            },
            "required": ["name", "dob"],
            "title": "Passenger",
            "type": "object",
        },
    },
    "properties": {
        "cabin": {"$ref": "#/$defs/Cabin", "default": "economy"},
        "passengers": {
            "items": {"$ref": "#/$defs/Passenger"},
            "minItems": 1,
            "title": "Passengers",
            "type": "array",
        },
        "fare": {
            "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": r"^\d+$"}]
        },
        "range": {"maxItems": 2, "minItems": 2, "prefixItems": [{"type": "integer"}, {"type": "integer"}]},
    },
    "required": ["passengers"],
    "title": "book",
    "type": "object",
}
MCP = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "Where to look"},
        "edits": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"oldText": {"type": "string"}, "newText": {"type": "string"}},
                "required": ["oldText", "newText"],
                "additionalProperties": False,
            },
        },
        "span": {
            "type": "array",
            "items": [{"type": "integer"}, {"type": "integer"}],
            "minItems": 2,
            "maxItems": 2,
        },
        "limit": {"type": "integer", "exclusiveMinimum": 0, "default": 10},
        "tags": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "propertyNames": {"pattern": "^[a-z]+$"},
        },
    },
    "required": ["path"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "value", "errors"),
    [
        (PYDANTIC, {"passengers": [{"name": "A", "dob": "2000-01-01", "seat": None}], "fare": 9.5}, []),
        (
            PYDANTIC,
            {"passengers": [{"name": "A", "dob": 42}]},
            ["passengers[0].dob: expected string, got 42"],
        ),
        (
            PYDANTIC,
            {
                "passengers": [{"name": "A", "dob": "x", "guardian": {"name": 1, "dob": "y"}}],
                "range": [1, "2"],
            },
            ["passengers[0].guardian.name: expected string, got 1", 'range[1]: expected integer, got "2"'],
        ),
        (
            PYDANTIC,
            {"cabin": "first"},
            ['cabin: expected one of "economy", "business", got "first"', "missing required"],
        ),
        (
            MCP,
            {"path": "/", "edits": [{"oldText": "a", "newText": "b"}], "span": [1, 2], "tags": {"a": "b"}},
            [],
        ),
        (
            MCP,
            {"edits": [{"oldText": "a"}]},
            ['edits[0]: missing required property "newText"', "missing required"],
        ),
        (
            MCP,
            {"path": "/", "limit": 0, "all": True},
            ["limit: must be more than 0, got 0", 'unknown property "all"'],
        ),
        (
            MCP,
            {"path": "/", "tags": {"A": "b"}},
            ['tags: property name "A": must match the pattern "^[a-z]+$"'],
        ),
    ],
)
def test_generated_schemas(schema: Any, value: Any, errors: list[str]) -> None:
    check_schema(schema)
    found = find_errors(value, schema)
    assert len(found) == len(errors)
    assert all(error.startswith(said) for error, said in zip(found, errors, strict=True))
    oracle = validator_for(schema, default=Draft202012Validator)
    assert oracle(schema).is_valid(value) == (not errors)


def test_no_more_errors_than_asked_for() -> None:
    schema = {"additionalProperties": {"type": "string"}}
    value = {f"p{n}": n for n in range(20)}
    assert len(find_errors(value, schema)) == 5
    assert len(find_errors(value, schema, limit=20)) == 20


def test_messages_stay_short_however_long_the_value() -> None:
    long = "x" * 10_000
    several = [f"{long}{n}" for n in range(50)]
    for schema, value in [
        ({"type": "integer"}, long),
        ({"type": "string"}, several),
        ({"const": long}, {long: long}),
        ({"enum": several}, 1),
        ({"required": several}, {}),
        (
            {"properties": dict.fromkeys(several, True), "additionalProperties": False},
            {f"y{n}": n for n in several},
        ),
        ({"not": {"const": long}}, long),
        ({"anyOf": [{"const": name} for name in several]}, 1),
        ({"dependentRequired": {long: several}}, {long: 1}),
        ({"propertyNames": {"maxLength": 1}}, {long: 1}),
        ({"properties": {long: False}}, {long: 1}),
        ({"pattern": "^y", "minLength": 2}, long),
        ({"contains": {"const": long}}, [1]),
    ]:
        (error,) = check(schema, value)
        assert len(error) <= 520, error[:600]


def test_a_number_too_long_to_write_has_a_message_too() -> None:
    assert check({"type": "string"}, 10**5000) == ["x: expected string, got a number too long to show"]
    assert check({"const": 1}, 10**5000) == ["x: expected 1, got a number too long to show"]
    assert check({"uniqueItems": True}, [10**5000, 10**5001]) == []


def nested(levels: int, inner: Any = None) -> Any:
    value = {} if inner is None else inner
    for _ in range(levels):
        value = {"children": [value], "value": 1}
    return value


def test_recursive_schemas_reach_deep() -> None:
    assert find_errors(nested(30, {"value": 1}), TREE) == []
    (error,) = find_errors(nested(30, {"value": "1"}), TREE)
    assert error.startswith("…")
    assert error.endswith('.children[0].value: expected integer, got "1"')
    assert len(error) < 250


def test_a_value_too_deep_is_an_error_and_no_recursion() -> None:
    for value in (nested(100), nested(100_000)):
        for schema in ({}, TREE, {"const": 1}, {"not": {"$ref": "#/$defs/t"}, "$defs": {"t": {}}}):
            assert find_errors(value, schema) == ["nested more than 100 levels deep"]


def test_schemas_too_deep_inside_each_other_are_an_error_also_where_failing_means_fitting() -> None:
    schema: dict[str, Any] = {
        "$defs": {"node": {"not": {"not": {"properties": {"next": {"$ref": "#/$defs/node"}}}}}},
        "not": {"properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["never"]},
    }
    check_schema(schema)
    value: Any = {}
    for _ in range(60):
        value = {"next": value}
    (error,) = find_errors(value, schema)
    assert error.startswith("nested too deeply to be checked, at next.next.next.")


@pytest.mark.parametrize(
    ("schema", "around"),
    [
        ({"items": {"$ref": "#"}}, lambda value: [value]),
        ({"prefixItems": [{"$ref": "#"}]}, lambda value: [value]),
        ({"properties": {"a": {"$ref": "#"}}}, lambda value: {"a": value}),
        ({"properties": {"a b": {"$ref": "#"}}}, lambda value: {"a b": value}),
        ({"patternProperties": {"a": {"$ref": "#"}}}, lambda value: {"a": value}),
        ({"additionalProperties": {"$ref": "#"}}, lambda value: {"a": value}),
    ],
)
def test_every_way_down_counts(schema: Any, around: Callable[[Any], Any]) -> None:
    check_schema(schema)
    value: Any = 1
    for _ in range(45):
        value = around(value)
    assert find_errors(value, schema) == []
    for _ in range(15):
        value = around(value)
    (error,) = find_errors(value, schema)
    assert error.startswith("nested too deeply to be checked, at ")


def test_alternatives_that_multiply_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executionkit._schema._validator._MAX_STEPS", 5_000)  # of 100,000, to save time
    either = [{"properties": {"next": {"$ref": "#/$defs/node"}, "kind": {"const": n}}} for n in range(3)]
    schema = {"$defs": {"node": {"anyOf": either}}, "properties": {"next": {"$ref": "#/$defs/node"}}}
    check_schema(schema)
    value: Any = {"kind": 9}
    for _ in range(25):
        value = {"next": value}
    assert find_errors(value, schema) == ["too large to be checked"]


@pytest.mark.parametrize(("levels", "keyword"), [(100, "items"), (100_000, "default"), (200, "x-y")])
def test_a_schema_too_deep_is_refused(levels: int, keyword: str) -> None:
    schema: Any = {}
    for _ in range(levels):
        schema = {keyword: schema}
    with pytest.raises(ValueError, match="parameters must not nest more than 100 levels deep"):
        check_schema(schema)


def test_a_schema_that_contains_itself_is_refused() -> None:
    schema: dict[str, Any] = {}
    schema["properties"] = {"a": schema, "b": schema}
    with pytest.raises(ValueError, match="nest more than 100 levels deep"):
        check_schema(schema)


async def _nothing(**_: object) -> str:
    return ""


def test_a_tool_checks_its_parameters_and_survives_pickling() -> None:
    with pytest.raises(ValueError, match=r"parameters at #/properties/a: type must be one of"):
        Tool("book", "Books", {"type": "object", "properties": {"a": {"type": "text"}}}, _nothing)
    tool = pickle.loads(pickle.dumps(Tool("book", "Books", PYDANTIC, _nothing)))
    wrong = {"passengers": [{"name": "A"}]}
    assert find_errors(wrong, tool.parameters) == find_errors(wrong, PYDANTIC) != []


def read_only(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({key: read_only(item) for key, item in value.items()})
    return tuple(map(read_only, value)) if isinstance(value, list) else value
