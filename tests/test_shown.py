"""Values of Python as the text that a model reads."""

import array
import collections
import itertools
import json
import threading
import types
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from datetime import time as clock
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple, TypedDict
from unittest.mock import Mock

import attrs
import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretStr, computed_field

from executionkit import Tool, ToolCall, ToolError
from executionkit._shown import shown
from executionkit.patterns._tools import Toolbox


class Colour(Enum):
    RED = "red"
    MIXED = (1, 2)


class Size(IntEnum):
    SMALL = 1


class Name(StrEnum):
    TEA = "tea"


@dataclass
class Order:
    item: str
    tags: set[Colour] = field(default_factory=set)
    token: str = field(default="hush", repr=False)


class Price(BaseModel):
    amount: Decimal = Field(default=Decimal("1.50"), serialization_alias="AMOUNT")
    at: datetime = datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    key: SecretStr = SecretStr("hush")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def doubled(self) -> str:
        return str(self.amount * 2)


class Prices(RootModel[list[Price]]):
    pass


class Loose(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    ratio: Fraction
    other: object


class Point(NamedTuple):
    x: int
    y: int


class Film(TypedDict):
    title: str


@attrs.define
class Cat:
    name: str
    colour: Colour = Colour.RED
    chip: str = attrs.field(default="hush", repr=False)


class Plain:
    pass


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("secret")


class Frame:
    """As data frames have it."""

    def to_dict(self, orient: str = "dict") -> object:
        return [{"a": 1, "b": float("nan")}] if orient == "records" else {"a": {0: 1}}


class Vector:
    """As arrays of numbers have it."""

    def tolist(self) -> list[float]:
        return [1.0, float("-inf")]


class Row(tuple[int, ...]):
    """As databases return it."""

    _fields: ClassVar = ("a", "b")

    def _asdict(self) -> dict[str, int]:
        return dict(zip(self._fields, self, strict=True))


def circle() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["me"] = found
    return found


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth else []


PRICE = {"amount": "1.50", "at": "2024-01-01T00:00:00+02:00", "key": "**********", "doubled": "3.00"}


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (Colour.RED, "red"),
        (Colour.MIXED, [1, 2]),
        ([Size.SMALL, Name.TEA], [1, "tea"]),
        (Order("tea", {Colour.RED}), {"item": "tea", "tags": ["red"]}),
        ([Order("tea")], [{"item": "tea", "tags": []}]),
        ({"best": Price()}, {"best": PRICE}),
        (Prices([Price()]), [PRICE]),
        (Loose(ratio=Fraction(1, 3), other=Plain()), {"ratio": "1/3", "other": "<Plain object>"}),
        ([Point(1, 2)], [{"x": 1, "y": 2}]),
        (SimpleNamespace(a={1}), {"a": [1]}),
        (Film(title="M"), {"title": "M"}),
        (Cat("Tom"), {"name": "Tom", "colour": "red"}),
        (Row((1, 2)), {"a": 1, "b": 2}),
        (Frame(), [{"a": 1, "b": "NaN"}]),
        (Vector(), [1.0, "-Infinity"]),
        (array.array("i", [1, 2]), [1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", 1}), ["b", 1]),
        ({Point(2, 1), Point(1, 2)}, [{"x": 1, "y": 2}, {"x": 2, "y": 1}]),
        ({"b": 1, "a": 2}.keys(), ["b", "a"]),
        (collections.deque([1]), [1]),
        (collections.UserString("text"), "text"),
        (types.MappingProxyType({"a": (1,)}), {"a": [1]}),
        (range(3), [0, 1, 2]),
        ((n for n in range(2)), [0, 1]),
        (b"caf\xc3\xa9", "café"),
        (b"\xff\x00", "data:application/octet-stream;base64,/wA="),
        (memoryview(b"x"), "x"),
        (datetime(2024, 5, 1, 12, tzinfo=timezone(-timedelta(hours=5))), "2024-05-01T12:00:00-05:00"),
        (
            [date(2024, 5, 1), clock(3, 4), datetime(2024, 5, 1)],
            ["2024-05-01", "03:04:00", "2024-05-01T00:00:00"],
        ),
        (timedelta(days=1, seconds=5400, microseconds=5), "P1DT1H30M0.000005S"),
        (timedelta(seconds=-90), "-P0DT0H1M30S"),
        (Decimal("1.50"), "1.50"),
        ([1 + 2j, uuid.UUID(int=1)], ["(1+2j)", "00000000-0000-0000-0000-000000000001"]),
        (PurePosixPath("a/b"), "a/b"),
        (ValueError("no"), "ValueError: no"),
        (Plain(), "<Plain object>"),
        ({"it": Unprintable()}, {"it": "<Unprintable object>"}),
        (10**700, hex(10**700)),
        (
            {(1, 2): "t", Colour.RED: 1, None: 2, True: 3, date(2024, 1, 2): 4},
            {"[1, 2]": "t", "red": 1, "null": 2, "true": 3, "2024-01-02": 4},
        ),
        ({1: "a", "1": "b"}, [[1, "a"], ["1", "b"]]),
        (circle(), {"me": "[circular]"}),
        ({"\ud800": "\ud83d\ude00"}, {"\ufffd": "\U0001f600"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_shown_as_json(value: object, form: object) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    assert json.loads(shown(value), parse_constant=refuse) == form


@pytest.mark.parametrize(
    ("text", "same"), [("as it is\n", "as it is\n"), (Name.TEA, "tea"), ("\ud800", "\ufffd")]
)
def test_a_string_is_shown_as_it_is(text: str, same: str) -> None:
    assert shown(text) == same


def test_two_runs_show_the_same_text() -> None:
    assert shown({"b", "a", Plain}) == shown({Plain, "a", "b"})
    assert "0x" not in shown([Plain()])


def web() -> list[Any]:
    """A few lists, and more ways through them than anybody can go."""
    found: list[Any] = []
    for _ in range(60):
        found = [found, found]
    return found


@pytest.mark.parametrize(
    "make", [itertools.count, web, lambda: nested(900), lambda: {"n": itertools.count()}]
)
def test_what_has_no_end_is_shown_in_part(make: Callable[[], object]) -> None:
    assert len(shown(make())) < 2_000_000


def test_a_mock_is_no_model() -> None:
    assert shown(Mock()).startswith('"<Mock ')


async def observed(execute: Callable[[], object]) -> str:
    box = Toolbox({"t": Tool("t", "", {"type": "object"}, execute)}, Mock(), None)
    return (await box.call(ToolCall("c", "t", {})))[0]


async def test_an_iterator_that_fails_is_a_tool_that_fails() -> None:
    def rows() -> Iterator[int]:
        yield 1
        raise ToolError("the table has gone")

    assert await observed(lambda: rows()) == "Error: the table has gone"


async def test_the_result_of_a_plain_function_is_written_in_its_thread() -> None:
    class Where:
        def __str__(self) -> str:
            return threading.current_thread().name

    assert await observed(Where) == '"executionkit-tool"'


def test_a_moment_in_utc_stays_there() -> None:
    assert shown([datetime(2024, 1, 1, tzinfo=UTC)]) == '["2024-01-01T00:00:00+00:00"]'
