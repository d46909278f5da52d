"""The verdict on schemas and values is that of jsonschema, on everything that both understand."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator, Draft7Validator, Draft202012Validator
from jsonschema.exceptions import SchemaError

from executionkit._schema import check_schema, find_errors

names = st.sampled_from(["a", "b", "ab", "é"])
numbers = st.integers(-4, 4) | st.sampled_from([-0.5, 0.0, 0.5, 1.0, 2.5, 3.0])
scalars = st.none() | st.booleans() | numbers | st.sampled_from(["", "a", "b", "ab", "aab", "é", "1"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=10,
)
counts = st.integers(0, 3) | st.just(2.0)
patterns = st.sampled_from(["a", "^a", "b$", "^a+b?$", "^.$", "[^ab]"])
types = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])


def shortlists(of: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(of, max_size=3, unique_by=repr)


LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "type": types | st.lists(types, min_size=1, max_size=3, unique=True),
    "enum": shortlists(values),
    "const": values,
    "minimum": numbers,
    "maximum": numbers,
    "exclusiveMinimum": numbers,
    "exclusiveMaximum": numbers,
    "multipleOf": st.sampled_from([1, 2, 3, 0.5, 1.0]),
    "minLength": counts,
    "maxLength": counts,
    "pattern": patterns,
    "minItems": counts,
    "maxItems": counts,
    "uniqueItems": st.booleans(),
    "minProperties": counts,
    "maxProperties": counts,
    "required": st.lists(names, max_size=2, unique=True),
    "dependentRequired": st.dictionaries(names, st.lists(names, max_size=2, unique=True), max_size=2),
    "minContains": counts,
    "maxContains": counts,
    "title": st.just("T"),
    "format": st.sampled_from(["date", "email"]),
}
LEAVES_AND_REFS = {
    **LEAVES,
    "$ref": st.sampled_from(["#", "#/$defs/a", "#/$defs/b", "#/properties/a", "#/%24defs/b"]),
}


def branches(inner: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    several = st.lists(inner, min_size=1, max_size=3)
    by_name = st.dictionaries(names, inner, max_size=3)
    by_pattern = st.dictionaries(patterns, inner, max_size=2)
    one = ["additionalProperties", "propertyNames", "items", "contains", "not", "if", "then", "else"]
    return {
        **dict.fromkeys(one, inner),
        **dict.fromkeys(["anyOf", "oneOf", "allOf", "prefixItems"], several),
        **dict.fromkeys(["properties", "dependentSchemas"], by_name),
        "patternProperties": by_pattern,
    }


@st.composite
def some_of(draw: st.DrawFn, choices: dict[str, st.SearchStrategy[Any]], most: int) -> dict[str, Any]:
    """Schemas of a few keywords: with many, next to nothing would fit."""
    keywords = draw(st.lists(st.sampled_from(sorted(choices)), max_size=most, unique=True))
    return {keyword: draw(choices[keyword]) for keyword in keywords}


schemas: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | some_of(LEAVES_AND_REFS, 2),
    lambda inner: some_of({**LEAVES_AND_REFS, **branches(inner)}, 3) | some_of(branches(inner), 2),
    max_leaves=6,
)
objects = st.dictionaries(names, values, max_size=3)


def read_only(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({key: read_only(item) for key, item in value.items()})
    return tuple(map(read_only, value)) if isinstance(value, list) else value


@settings(max_examples=120, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(schemas, schemas, schemas, schemas, objects)
def test_the_verdict_is_that_of_jsonschema(a: Any, b: Any, one: Any, rest: Any, value: Any) -> None:
    schema = {"$defs": {"a": a, "b": b}, "properties": {"a": one}, "additionalProperties": rest}
    try:
        check_schema(schema)
    except ValueError as exc:
        assume("without end" not in str(exc))
        raise
    errors = find_errors(value, schema)
    assert (not errors) == Draft202012Validator(schema).is_valid(value), errors
    assert find_errors(read_only(value), read_only(schema)) == errors


def check(schema: Any, value: Any) -> list[str]:
    whole = {"properties": {"x": schema}}
    check_schema(whole)
    return find_errors({"x": value}, whole)


OLD: dict[str, st.SearchStrategy[Any]] = {
    "items": st.lists(some_of(LEAVES, 1) | st.booleans(), max_size=3),
    "additionalItems": some_of(LEAVES, 1) | st.booleans(),
    "dependencies": st.dictionaries(
        names, st.lists(names, max_size=2, unique=True) | st.booleans(), max_size=2
    ),
}


@given(st.fixed_dictionaries({}, optional=OLD), values)
def test_older_tuples_and_dependencies_mean_what_they_meant(old: dict[str, Any], value: Any) -> None:
    assert (not check(old, value)) == Draft7Validator(old).is_valid(value)


@given(
    st.fixed_dictionaries({"minimum": numbers, "maximum": numbers}),
    st.fixed_dictionaries(
        {}, optional={"exclusiveMinimum": st.booleans(), "exclusiveMaximum": st.booleans()}
    ),
    numbers,
)
def test_older_exclusive_bounds_mean_what_they_meant(
    bounds: dict[str, Any], exclusive: dict[str, bool], value: float
) -> None:
    schema = {**bounds, **exclusive}
    assert (not check(schema, value)) == Draft4Validator(schema).is_valid(value)


KEYWORDS = sorted({*LEAVES, *branches(schemas), "$defs"} - {"title", "format"})


@settings(max_examples=100)
@given(st.sampled_from(KEYWORDS), values | schemas | st.lists(schemas, min_size=1, max_size=2))
def test_schemas_are_refused_as_the_meta_schema_has_it(keyword: str, argument: Any) -> None:
    schema = {"properties": {"x": {keyword: argument}}}
    assume("$ref" not in json.dumps(argument))
    is_older = keyword.startswith("exclusive") or keyword == "items"
    assume(not (is_older and isinstance(argument, (bool, list))))
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as exc:
        if exc.validator in ("uniqueItems", "minItems"):
            return  # a name or a type said twice, no alternatives at all: odd, and harmless
        with pytest.raises(ValueError, match="parameters"):
            check_schema(schema)
    else:
        check_schema(schema)
