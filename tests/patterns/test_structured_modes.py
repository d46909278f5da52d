"""The servers' modes for structured output: what is sent, what counts as refused, what is remembered."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from executionkit import LLMError, PermanentError, ProviderError, RateLimitError
from executionkit._schema import check_schema
from executionkit._schema_modes import ModeMemory, refuses_mode, refuses_room, request_fields

CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"$ref": "#/$defs/b"}},
    "required": ["a", "b"],
    "$defs": {"b": {"type": "object", "properties": {"c": {"type": "null"}}, "required": ["c"]}},
}


def test_what_each_mode_sends() -> None:
    schema = {"type": "object"}
    assert request_fields("none", schema) == {}
    assert request_fields("json_object", schema) == {"response_format": {"type": "json_object"}}
    assert request_fields("json_object_schema", schema) == {
        "response_format": {"type": "json_object", "schema": schema}
    }
    assert request_fields("json_schema", schema) == {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "reply", "schema": schema, "strict": False},
        }
    }


def sent(schema: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = request_fields("json_schema", schema)["response_format"]["json_schema"]
    return described


def test_a_schema_that_needs_every_property_is_closed_and_strict() -> None:
    described = sent(CLOSED)
    assert described["strict"] is True
    assert described["schema"]["additionalProperties"] is False
    assert described["schema"]["$defs"]["b"]["additionalProperties"] is False
    assert "additionalProperties" not in CLOSED


@pytest.mark.parametrize(
    "schema",
    [
        {**CLOSED, "required": ["a"]},  # a model made to fill in what is optional invents it
        {**CLOSED, "additionalProperties": True},
        {**CLOSED, "minProperties": 1},
        {"type": "object"},
        {"type": ["object", "null"]},
        {**CLOSED, "properties": {"a": {"type": "object"}, "b": {"type": "null"}}},
        {**CLOSED, "properties": {"a": True, "b": {"type": "null"}}},
        {**CLOSED, "properties": {"a": {}, "b": {"type": "null"}}},
        {**CLOSED, "properties": {"a": {"type": "array"}, "b": {"type": "null"}}},
        {**CLOSED, "properties": {"a": {"$ref": "#/$defs/none"}, "b": {"type": "null"}}},
        {**CLOSED, "properties": {"a": {"$ref": "#/$defs/b", "type": "string"}, "b": {"type": "null"}}},
        {**CLOSED, "properties": {"a": {"$ref": "#/properties/a", "title": "A"}, "b": {"type": "null"}}},
        {
            **CLOSED,
            "properties": {"a": {"oneOf": [{"type": "integer"}, {"enum": [1]}]}, "b": {"type": "null"}},
        },
        {**CLOSED, "allOf": [{"properties": {"d": {"type": "null"}}, "additionalProperties": False}]},
        {**CLOSED, "anyOf": [{"type": "object", "properties": {}}]},
        {**CLOSED, "properties": {"a": {"items": {"pattern": "x"}}, "b": {"anyOf": [{"type": "null"}]}}},
    ],
)
def test_any_other_schema_is_sent_as_it_is(schema: dict[str, Any]) -> None:
    assert sent(schema) == {"name": "reply", "schema": schema, "strict": False}


def record(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), **more}


HERO = record({"title": {"type": "string"}}, additionalProperties=False, description="Anybody.")
NODE = record(
    {
        "value": {"type": "integer"},
        "next": {"anyOf": [{"$ref": "#/$defs/Node", "description": "SAID"}, {"type": "null"}]},
    }
)


def hero(rule: dict[str, Any], **definitions: Any) -> dict[str, Any]:
    return record({"hero": rule}, **{"$defs": {"Hero": HERO, **definitions}})


STORIES: dict[str, dict[str, Any]] = {
    "description": hero({"$ref": "#/$defs/Hero", "description": "SAID"}),
    "title": hero({"$ref": "#/$defs/Hero", "title": "SAID"}),
    "default": hero({"$ref": "#/$defs/Hero", "default": {"title": "x"}, "description": "SAID"}),
    "nullable": hero({"$ref": "#/$defs/Hero", "nullable": True, "description": "SAID"}),
    "allOf of one": hero({"allOf": [{"$ref": "#/$defs/Hero"}], "description": "SAID"}),
    "allOf of one alone": hero({"allOf": [{"$ref": "#/$defs/Hero"}], "default": None}),
    "inheritance": hero(
        {"allOf": [{"$ref": "#/$defs/Base"}, record({"b": {"type": "null"}})], "description": "SAID"},
        Base=record({"a": {"type": "null"}}),
    ),
    "same keywords": hero({"$ref": "#/$defs/Hero", "type": "object", "required": ["title"], "title": "SAID"}),
    "chain": hero({"$ref": "#/$defs/Alias", "title": "SAID"}, Alias={"$ref": "#/$defs/Hero", "title": "-"}),
    "escapes": hero({"$ref": "#/$defs/a~1b%20%7E0", "title": "SAID"}, **{"a/b ~": HERO}),
    "nested": hero({"$ref": "#/$defs/Out/$defs/In", "title": "SAID"}, Out={"$defs": {"In": HERO}}),
    "definitions": record(
        {"hero": {"$ref": "#/definitions/Hero", "title": "SAID"}}, definitions={"Hero": HERO}
    ),
    "into properties": record({"a": HERO, "hero": {"$ref": "#/properties/a", "title": "SAID"}}),
    "items": record({"a": {"type": "array", "items": {"$ref": "#/$defs/Hero", "title": "SAID"}}})
    | {"$defs": {"Hero": HERO}},
    "recursive": record({"head": {"$ref": "#/$defs/Node", "title": "First"}}, **{"$defs": {"Node": NODE}}),
    "recursive root": {"$ref": "#/$defs/Node", "$defs": {"Node": NODE}},
    "to the root": record({"up": {"anyOf": [{"$ref": "#", "description": "SAID"}, {"type": "null"}]}}),
    "enumeration": hero({"$ref": "#/$defs/C", "description": "SAID"}, C={"enum": ["a", "b"]}),
    "unused": hero({"$ref": "#/$defs/Hero", "title": "SAID"}, Other={"type": "string", "minLength": 1}),
    "kinds": hero(
        {
            "discriminator": {"propertyName": "kind"},
            "oneOf": [{"$ref": "#/$defs/A", "title": "SAID"}, {"$ref": "#/$defs/B"}],
        },
        A=record({"kind": {"const": "a"}}),
        B=record({"kind": {"const": "b"}}),
    ),
}


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema in a strict one: nothing else in it is a mapping, except `properties` and `$defs`."""
    yield schema
    inside = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    for inner in [*inside, *schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())]:
        yield from nodes(inner)


@pytest.mark.parametrize("name", STORIES)
def test_references_are_sent_as_strict_servers_take_them_with_their_words(name: str) -> None:
    schema = STORIES[name]
    check_schema(schema)
    described = sent(schema)
    assert described["strict"] is True
    check_schema(described["schema"])  # whose references lead somewhere
    assert described["schema"]["type"] == "object"
    for node in nodes(described["schema"]):
        assert node.keys() == {"$ref"} or node.keys() & {"type", "anyOf"}
        assert not node.keys() & {"allOf", "oneOf", "nullable", "default", "definitions", "discriminator"}
        assert node.get("additionalProperties", False) is False
    assert ("SAID" in json.dumps(described)) == ("SAID" in json.dumps(schema))
    assert sent(described["schema"])["strict"]


def test_both_descriptions_of_a_reference_are_kept() -> None:
    described = sent(STORIES["description"])["schema"]["properties"]["hero"]
    assert described["description"] == "SAID\nAnybody."


def test_references_to_references_do_not_multiply() -> None:
    def twice(number: int) -> dict[str, Any]:
        ref = f"#/$defs/D{number}"
        return record({"a": {"$ref": ref, "title": f"a{number}"}, "b": {"$ref": ref, "title": f"b{number}"}})

    schema = twice(0) | {"$defs": {**{f"D{n}": twice(n + 1) for n in range(20)}, "D20": HERO}}
    assert len(json.dumps(sent(schema))) < 30_000


def test_a_value_gets_its_type_and_keeps_null() -> None:
    described = sent(
        record({"a": {"const": 1}, "b": {"enum": ["x", None]}, "c": {"type": "string", "nullable": True}})
    )["schema"]["properties"]
    assert [described[name]["type"] for name in "abc"] == ["integer", ["string", "null"], ["string", "null"]]


@pytest.mark.parametrize(
    "exc",
    [
        PermanentError(
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported", status_code=400
        ),
        PermanentError("response_format.type must be one of text", status_code=422),
        PermanentError("Unrecognized request argument supplied: response_format", status_code=400),
        PermanentError("failed to parse grammar", status_code=400),
        PermanentError("Failed to initialize samplers: std::exception", status_code=400),
        PermanentError("json mode is not available here"),
        ProviderError("JSON schema conversion failed", status_code=500),
        PermanentError("structured outputs are not implemented", status_code=501),
        PermanentError("No endpoints found that can handle the requested parameters.", status_code=404),
    ],
)
def test_a_refused_mode(exc: LLMError) -> None:
    assert refuses_mode(exc)


@pytest.mark.parametrize(
    "exc",
    [
        PermanentError("no such model", status_code=400),
        PermanentError("no such model", status_code=404),
        PermanentError("wrong key: see the schema", status_code=401),
        RateLimitError("response_format", status_code=429),
        ProviderError("response_format", status_code=503),
        ProviderError("response_format"),
    ],
)
def test_no_refused_mode(exc: LLMError) -> None:
    assert not refuses_mode(exc)


@pytest.mark.parametrize(
    ("message", "status", "is_refused"),
    [
        ("max_tokens is too large: 8192. This model supports at most 4096", 400, True),
        ("'max_completion_tokens' exceeds the limit", 400, True),
        ("max_new_tokens must be <= 512", 422, True),
        ("no such model", 400, False),
        ("max_tokens", 401, False),
    ],
)
def test_refused_room(message: str, status: int, is_refused: bool) -> None:
    assert refuses_room(PermanentError(message, status_code=status)) is is_refused


class Backend:
    """Can be hashed, and referred to weakly."""


def test_a_mode_is_remembered_for_each_provider_and_schema() -> None:
    memory, one, other = ModeMemory(), Backend(), Backend()
    memory.learn(one, {"type": "object", "required": []}, "none")
    assert memory.recall(one, {"required": [], "type": "object"}) == "none"
    assert memory.recall(one, {"type": "object"}) is None
    assert memory.recall(other, {"type": "object", "required": []}) is None


def test_only_so_many_schemas_are_remembered() -> None:
    memory, backend = ModeMemory(), Backend()
    for number in range(1000):
        memory.learn(backend, {"const": number}, "none")
    known = [number for number in range(1000) if memory.recall(backend, {"const": number})]
    assert known[-1] == 999
    assert len(known) < 300


def test_a_provider_that_is_gone_is_forgotten() -> None:
    memory, backend = ModeMemory(), Backend()
    memory.learn(backend, {}, "none")
    assert len(memory) == 1
    del backend
    assert len(memory) == 0


@pytest.mark.parametrize("odd", [{"unhashable": 1}, ("not weakly",)])
def test_a_provider_that_cannot_be_remembered_is_none_the_worse(odd: object) -> None:
    memory = ModeMemory()
    memory.learn(odd, {}, "none")
    assert memory.recall(odd, {}) is None
