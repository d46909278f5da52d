"""What structured output is to become: schemas, types, wrapping, and how errors are told."""

import json
import sys
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from executionkit._output import UnfitError, output_for
from executionkit._pydantic import MOST_ERRORS


class Item(BaseModel):
    name: str
    price: Annotated[float, Field(gt=0)]


class Order(BaseModel):
    items: list[Item]
    note: str | None = None


class Node(BaseModel):
    value: int
    next: Optional["Node"] = None


@dataclass
class Point:
    x: int
    y: int = 0


class Inner(TypedDict):
    n: int


class Outer(TypedDict, total=False):
    inner: list[Inner]
    other: Inner | None


class More(Outer):
    name: str
    size: NotRequired[int]


def errors_of(output: object, value: object) -> list[str]:
    with pytest.raises(UnfitError) as caught:
        output_for(output).read(value)
    return caught.value.errors


@pytest.mark.parametrize(
    ("output", "value", "expected"),
    [
        (None, {"a": 1}, {"a": 1}),
        (None, [1], [1]),
        (Order, {"items": [{"name": "x", "price": 1}]}, Order(items=[Item(name="x", price=1)])),
        (Point, {"x": 1}, Point(1)),
        (Node, {"value": 1, "next": {"value": 2}}, Node(value=1, next=Node(value=2))),
        (More, {"name": "x", "inner": [{"n": 1}]}, {"name": "x", "inner": [{"n": 1}]}),
        (dict[str, int], {"value": 1}, {"value": 1}),
        (list[Point], {"value": [{"x": 1}]}, [Point(1)]),
        (list[Point], [{"x": 1}], [Point(1)]),
        (int, {"value": 3}, 3),
        (Literal["a", "b"], {"value": "a"}, "a"),
        (TypeAdapter(int | str), {"value": "x"}, "x"),
        (date, {"value": "2024-02-29"}, date(2024, 2, 29)),
        (Decimal, {"value": "1.10"}, Decimal("1.10")),
        ({"type": "array", "items": {"type": "integer"}}, {"value": [1, 2]}, [1, 2]),
        ({"type": "array", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "null"}}}, [None], [None]),
        ({"properties": {"a": {"type": "integer"}}}, {"a": 1}, {"a": 1}),
    ],
)
def test_a_value_is_read_as_what_was_asked_for(output: object, value: object, expected: object) -> None:
    read = output_for(output).read(value)
    assert read == expected
    assert type(read) is type(expected)


class Valued(BaseModel):
    value: int


@pytest.mark.parametrize("value", [{"value": 3}, {"value": {"value": 3}}])
def test_a_type_with_one_property_called_value_is_read_wrapped_or_bare(value: object) -> None:
    read: object = output_for(TypeAdapter(Valued | list[int])).read(value)
    assert read == Valued(value=3)


def test_strict_types_take_what_json_can_say_of_them() -> None:
    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)
        day: date
        pair: tuple[int, int]

    read: Any = output_for(Strict).read({"day": "2024-01-01", "pair": [1, 2]})
    assert (read.day, read.pair) == (date(2024, 1, 1), (1, 2))
    assert errors_of(Strict, {"day": "2024-01-01", "pair": ["1", 2]}) == [
        'pair[0]: Input should be a valid integer, got "1"'
    ]


def test_errors_name_the_place_the_reason_and_what_stood_there() -> None:
    value = {"items": [{"name": "x", "price": "dear"}, {"price": -1.5}], "note": ["y" * 100]}
    assert errors_of(Order, value) == [
        'items[0].price: Input should be a valid number, unable to parse string as a number, got "dear"',
        "items[1].name: Field required",
        "items[1].price: Input should be greater than 0, got -1.5",
        f'note: Input should be a valid string, got ["{"y" * 57}…',
    ]


def test_errors_of_a_schema_are_told_the_same_way() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}}
    assert errors_of(schema, {"a": [1, "2"]}) == ['a[1]: expected integer, got "2"']


def test_a_name_that_is_no_identifier_is_quoted_in_its_place() -> None:
    assert errors_of(dict[str, int], {"a b": "x"})[0].startswith('["a b"]: ')


def test_the_errors_of_the_wrapped_value_are_told() -> None:
    assert errors_of(list[int], {"value": [1, "x"]})[0].startswith("[1]: ")


def test_not_every_error_of_many_is_told() -> None:
    errors = errors_of(list[int], ["x"] * 50)
    assert len(errors) == MOST_ERRORS + 1
    assert errors[-1] == f"and {50 - MOST_ERRORS} more"


def test_an_error_of_a_model_s_own_validator_is_told() -> None:
    class Even(BaseModel):
        n: int

        def model_post_init(self, _context: object) -> None:
            if self.n % 2:
                raise ValueError("n must be even")

    assert "n must be even" in errors_of(Even, {"n": 3})[0]


def test_a_value_too_deep_is_unfit() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert errors_of(list[Any], deep) == ["nested too deeply to be checked"]
    while deep:  # taken apart by hand: freeing it all at once would recurse
        deep = deep.pop()


class Celsius:
    """An adapter of one's own, which knows nothing of pydantic."""

    def validate_json(self, data: str, /) -> float:
        if (degrees := json.loads(data)) < -273.15:
            raise ValueError("colder than cold")
        return float(degrees)

    def json_schema(self) -> dict[str, Any]:
        return {"type": "number"}


def test_an_adapter_of_one_s_own() -> None:
    output = output_for(Celsius())
    assert output.read({"value": 20}) == 20.0
    assert errors_of(Celsius(), -300) == ["colder than cold"]


# -- the schema the model is given -------------------------------------------------------------------------


@pytest.mark.parametrize("output", [Order, Point, Node, More, {"type": "object"}, {"properties": {}}])
def test_an_object_is_asked_for_as_it_is(output: object) -> None:
    schema = output_for(output).schema
    assert schema is not None
    assert "value" not in schema.get("properties", {})


@pytest.mark.parametrize("output", [list[Item], int, Literal["a"], Item | Point, {"enum": [1, 2]}])
def test_anything_else_is_wrapped_in_an_object(output: object) -> None:
    schema = output_for(output).schema
    assert schema is not None
    assert (schema["type"], schema["required"], schema["additionalProperties"]) == (
        "object",
        ["value"],
        False,
    )
    assert "$defs" not in schema["properties"]["value"]


def test_a_schema_that_refers_to_its_root_stays_where_it_is() -> None:
    schema = {"type": "array", "items": {"$ref": "#"}}
    output = output_for(schema)
    assert output.schema == schema
    assert output.read([[], [[]]]) == [[], [[]]]


def test_any_object_or_array_has_no_schema() -> None:
    assert output_for(None).schema is None


def test_a_schema_given_is_not_the_caller_s_object() -> None:
    given: dict[str, Any] = {"type": "object", "required": ["a"]}
    output = output_for(given)
    given["required"].append("b")
    assert output.read({"a": 1}) == {"a": 1}


# -- what can't be asked for -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "output",
    [3, "int", b"x", [int], (int,), {"type": "whole"}, {"$ref": "#/nowhere"}, object(), type("A", (), {})],
)
def test_what_cannot_be_checked_is_refused(output: object) -> None:
    with pytest.raises(ValueError, match=r"^output"):
        output_for(output)


@pytest.mark.parametrize("output", [Item(name="tea", price=3), Point(1)])
def test_an_instance_in_place_of_its_class_is_refused_with_what_to_write(output: object) -> None:
    name = type(output).__name__
    with pytest.raises(
        ValueError, match=rf"^output must be the class itself, output={name}, got an instance"
    ):
        output_for(output)


def test_an_example_in_place_of_a_schema_is_refused_in_a_whole_sentence() -> None:
    with pytest.raises(
        ValueError, match=r"^output must have a keyword of JSON Schema, got .* is not a schema;"
    ):
        output_for({"name": "str"})


def test_a_type_without_a_schema_is_refused() -> None:
    from collections.abc import Callable

    with pytest.raises(ValueError, match=r"^output has no JSON Schema"):
        output_for(dict[str, Callable[[], int]])


def test_a_type_needs_pydantic_a_schema_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(ImportError, match="pip install pydantic"):
        output_for(Point)
    assert output_for({"type": "object"}).read({}) == {}


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pydantic takes them itself")
def test_a_typed_dict_that_refers_to_itself_is_refused_with_what_to_use_instead() -> None:
    with pytest.raises(ValueError, match=r"typing_extensions\.TypedDict"):
        output_for(Chain)


class Chain(TypedDict):
    next: Optional["Chain"]
