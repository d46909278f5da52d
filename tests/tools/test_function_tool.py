"""Tools made of functions: their schemas, the objects that arrive, and all refusals at construction."""

import asyncio
import dataclasses
import datetime
import decimal
import enum
import functools
import inspect
import math
import pickle
import subprocess
import sys
import textwrap
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import pydantic
import pytest
from typing_extensions import TypeAliasType

from executionkit import FunctionTool, LLMProvider, Tool, ToolCall, tool

STRING = {"type": "string"}
INTEGER = {"type": "integer"}


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


@dataclasses.dataclass
class Order:
    """An order.

    Attributes:
        item: The item.
    """

    item: str
    title: str = "none"


class Guest(pydantic.BaseModel):
    name: str
    born: datetime.date


class Room(TypedDict):
    number: int


class Point(NamedTuple):
    x: int
    y: int = 0


class Shop:
    def price(self, item: str) -> float:
        """The price of an item."""
        return 3.2

    async def order(self, order: Order) -> str:
        """Order an item."""
        return order.item

    @classmethod
    def names(cls, item: str) -> str:
        """A name."""
        return item

    @staticmethod
    def stock(item: str) -> int:
        """The stock."""
        return 1


class Caller:
    """Calls."""

    def __call__(self, item: str) -> str:
        """Call it."""
        return item


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def plain(item: str) -> str:
    """Do it."""
    return item


def two(item: str, count: int) -> str:
    """Do it."""
    return item * count


def nothing() -> None:
    """Do it."""


def bare(item, count=3):  # type: ignore[no-untyped-def]  # as a user may write it
    """Do it."""


def of(*annotations: Any, **defaults: Any) -> Callable[..., Any]:
    """A function with parameters a, b, ... of these annotations."""
    names = "abcdefgh"[: len(annotations)]
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=annotation,
            default=defaults.get(name, inspect.Parameter.empty),
        )
        for name, annotation in zip(names, annotations, strict=True)
    ]

    def function(**given: Any) -> Any:
        return given

    function.__doc__ = "Do it."
    vars(function)["__signature__"] = inspect.Signature(parameters)
    return function


@pytest.mark.parametrize(
    ("function", "properties", "required"),
    [
        (plain, {"item": STRING}, ["item"]),
        (two, {"item": STRING, "count": INTEGER}, ["item", "count"]),
        (nothing, {}, None),
        (bare, {"item": {}, "count": {"default": 3}}, ["item"]),
        (Shop().price, {"item": STRING}, ["item"]),
        (Shop.names, {"item": STRING}, ["item"]),
        (Shop.stock, {"item": STRING}, ["item"]),
        (wrapped(two), {"item": STRING, "count": INTEGER}, ["item", "count"]),
        (of(bool), {"a": {"type": "boolean"}}, ["a"]),
        (of(float), {"a": {"type": "number"}}, ["a"]),
        (of(Any), {"a": {}}, ["a"]),
        (of(None), {"a": {"type": "null"}}, ["a"]),
        (of(list), {"a": {"type": "array", "items": {}}}, ["a"]),
        (of(list[int]), {"a": {"type": "array", "items": INTEGER}}, ["a"]),
        (of(dict), {"a": {"type": "object", "additionalProperties": True}}, ["a"]),
        (of(dict[str, int]), {"a": {"type": "object", "additionalProperties": INTEGER}}, ["a"]),
        (of(Literal["x", "y"]), {"a": {"type": "string", "enum": ["x", "y"]}}, ["a"]),
        (of(Literal["x"]), {"a": {"type": "string", "const": "x"}}, ["a"]),
        (of(int | None, a=None), {"a": {"anyOf": [INTEGER, {"type": "null"}], "default": None}}, None),
        (of(int | str), {"a": {"anyOf": [INTEGER, STRING]}}, ["a"]),
        (of(Annotated[str, "The city."]), {"a": {"type": "string", "description": "The city."}}, ["a"]),
        (of(str, a=object()), {"a": STRING}, None),
        (of(int, a=5), {"a": {"type": "integer", "default": 5}}, None),
        # NaN is no JSON, and the request could not be read.
        (of(float, a=math.nan), {"a": {"type": "number"}}, None),
        (
            of(float, datetime.time | None, a=math.inf, b=None),
            {
                "a": {"type": "number"},
                "b": {"anyOf": [{"type": "string", "format": "time"}, {"type": "null"}], "default": None},
            },
            None,
        ),
        (of(datetime.date), {"a": {"type": "string", "format": "date"}}, ["a"]),
        (
            of(datetime.date, a=datetime.date(2026, 1, 2)),
            {"a": {"type": "string", "format": "date", "default": "2026-01-02"}},
            None,
        ),
        (of(uuid.UUID), {"a": {"type": "string", "format": "uuid"}}, ["a"]),
        (
            of(Annotated[int, pydantic.Field(ge=0, description="How many.")]),
            {"a": {"type": "integer", "minimum": 0, "description": "How many."}},
            ["a"],
        ),
        (of(Size), {"a": {"$ref": "#/$defs/Size"}}, ["a"]),
        (of(Order), {"a": {"$ref": "#/$defs/Order"}}, ["a"]),
        (of(Literal[1, "x"]), {"a": {"enum": [1, "x"]}}, ["a"]),
    ],
)
def test_the_schema_of_a_function(
    function: Callable[..., object], properties: dict[str, object], required: list[str] | None
) -> None:
    schema = Tool.from_function(function, name="call").to_schema()["function"]["parameters"]
    assert schema["properties"] == properties
    assert schema.get("required") == required
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False


def test_further_keywords() -> None:
    def call(item: str, **others: int) -> None:
        """Do it."""

    made = Tool.from_function(call)
    assert made.parameters["additionalProperties"] == INTEGER
    assert made.convert({"item": "tea", "more": "3"}) == {"item": "tea", "more": 3}
    with pytest.raises(ValueError, match="more: expected integer"):
        made.convert({"item": "tea", "more": "x"})


@pytest.mark.parametrize(
    ("annotation", "given", "arrives"),
    [
        (str, "tea", "tea"),
        (int, 3.0, 3),
        (int, "3", 3),
        (float, 3, 3.0),
        (list[float], [1, "2.5"], [1.0, 2.5]),
        (datetime.date, "2026-01-02", datetime.date(2026, 1, 2)),
        (datetime.timedelta, "PT1H", datetime.timedelta(hours=1)),
        (decimal.Decimal, "1.50", decimal.Decimal("1.50")),
        (
            uuid.UUID,
            "12345678-1234-5678-1234-567812345678",
            uuid.UUID(int=0x12345678123456781234567812345678),
        ),
        (Size, "l", Size.LARGE),
        (Order, {"item": "tea"}, Order("tea")),
        (Guest, {"name": "Ann", "born": "2000-01-02"}, Guest(name="Ann", born=datetime.date(2000, 1, 2))),
        (list[Order], [{"item": "tea"}], [Order("tea")]),
        (Room, {"number": "7"}, {"number": 7}),
        (Point, [1, 2], Point(1, 2)),
        (set[int], [1, 1], {1}),
        (tuple[int, str], [1, "x"], (1, "x")),
        (bytes, "tea", b"tea"),
    ],
)
def test_arguments_arrive_as_objects_of_the_annotated_type(
    annotation: object, given: object, arrives: object
) -> None:
    converted = Tool.from_function(of(annotation), name="call").convert({"a": given})
    assert converted == {"a": arrives}
    assert type(converted["a"]) is type(arrives)


def test_all_errors_are_told_at_once_with_their_places() -> None:
    made = Tool.from_function(of(Guest, int, Size), name="call")
    with pytest.raises(ValueError, match=r"a\.name") as told:
        made.convert({"a": {"name": 3, "born": "soon"}, "b": "x", "d": 1})
    text = str(told.value)
    for place in ("a.name", "a.born", 'got "soon"', "b:", "c:", "d:"):
        assert place in text


def refused(name: str) -> Any:
    """Functions that can't be tools, by name."""

    def generator(item: str) -> Iterator[str]:
        yield item

    async def async_generator(item: str) -> AsyncIterator[str]:
        yield item

    def star(*items: str) -> None: ...

    def positional(item: str, /) -> None: ...

    def unresolved(item: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    class Local: ...

    def foreign(item: Local) -> None: ...

    def provided(provider: int) -> None: ...

    return {
        "generator": generator,
        "async generator": async_generator,
        "star": star,
        "positional": positional,
        "unresolved": unresolved,
        "foreign": foreign,
        "unbound": Shop.price,
        "lambda": lambda item: item,
        "partial": functools.partial(two, count=2),
        "callable object": Caller(),
        "class": Order,
        "number": 3,
        "builtin": dict.fromkeys,
    }[name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("generator", "not generate it"),
        ("async generator", "not generate it"),
        ("star", r"\*items takes arguments without names"),
        ("positional", "'item' is positional-only"),
        ("unresolved", "'item' can't be resolved.*Missing.*module level"),
        ("foreign", "the annotation .*Local of the parameter 'item' can't be checked"),
        ("unbound", "'self' is not bound"),
        ("lambda", "needs a name"),
        ("partial", "needs a name"),
        ("callable object", "needs a name"),
        ("class", "got the class Order"),
        ("number", "got 3"),
        ("builtin", "dict.fromkeys|fromkeys"),
    ],
)
def test_what_can_not_be_a_tool_is_refused_when_it_is_made(name: str, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Tool.from_function(refused(name), description="Do it.")


@pytest.mark.parametrize("name", ["lambda", "partial", "callable object"])
def test_a_name_makes_a_tool_of_it(name: str) -> None:
    made = Tool.from_function(refused(name), name="call", description="Do it.")
    assert made.name == "call"
    assert "item" in made.convert({"item": "tea"})


def test_descriptions_come_from_the_nearest_place() -> None:
    def call(
        a: Annotated[str, "bare"],
        b: Annotated[str, "bare"],
        c: str,
        d: Annotated[int, pydantic.Field(description="field")],
    ) -> None:
        """Do it.

        Args:
            a: doc
            b: doc
            c: doc
            d: doc
            unknown: doc
        """

    made = Tool.from_function(call, parameters={"a": "given"})
    said = {name: entry["description"] for name, entry in made.parameters["properties"].items()}
    assert said == {"a": "given", "b": "bare", "c": "doc", "d": "field"}
    assert made.description == "Do it."
    with pytest.raises(ValueError, match="describes 'e'"):
        Tool.from_function(call, parameters={"e": "given"})


def test_a_tool_without_a_description_warns_at_the_callers_line() -> None:
    def call(item: str) -> None: ...

    with pytest.warns(UserWarning, match="call has no description") as seen:
        tool(call)
    assert seen[0].filename == __file__


def test_a_tool_that_has_lost_its_docstring_says_what_took_it() -> None:
    code = 'import executionkit\n@executionkit.tool\ndef price(item: str) -> None: "The price of an item."'
    ran = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True, check=True)
    assert "price has no description" in ran.stderr
    assert "set description= and parameters=, because `python -OO`" in ran.stderr


def test_a_default_that_the_function_changes_is_in_the_schema_as_it_was() -> None:
    def note(text: str, notes: list[str] = []) -> int:  # noqa: B006 - as people write it
        """Note a text."""
        notes.append(text)
        return len(notes)

    assert tool(note)("tea") == 1
    assert tool(note).to_schema()["function"]["parameters"]["properties"]["notes"]["default"] == []


MaybeCall = TypeAliasType("MaybeCall", ToolCall | None)


def test_injected_parameters_are_not_in_the_schema() -> None:
    def call(item: str, provider, which: ToolCall) -> None:  # type: ignore[no-untyped-def]
        """Do it."""

    def typed(provider: LLMProvider, item: str = "tea") -> None:
        """Do it."""

    def by_hand_too(
        item: str,
        which: Annotated[MaybeCall, "Who asks."] = None,
        provider: LLMProvider | None = None,
    ) -> None:
        """Do it."""

    def argument(provider: str) -> None:
        """Do it."""

    assert dict(tool(call).injected) == {"provider": "provider", "which": "call"}
    assert list(tool(call).parameters["properties"]) == ["item"]
    assert dict(tool(typed).injected) == {"provider": "provider"}
    assert dict(tool(by_hand_too).injected) == {"provider": "provider", "which": "call"}
    assert list(tool(by_hand_too).parameters["properties"]) == ["item"]
    assert list(tool(argument).parameters["properties"]) == ["provider"]


@tool
def decorated(item: str, count: int = 1) -> str:
    """Do it."""
    return item * count


@tool(name="other", description="Otherwise.", timeout=5.0)
async def configured(item: str) -> str:
    """Do it."""
    return item


def test_a_decorated_function_is_still_the_function() -> None:
    assert decorated("tea", count=2) == "teatea"
    assert asyncio.run(configured("tea")) == "tea"
    assert (configured.name, configured.description, configured.timeout) == ("other", "Otherwise.", 5.0)
    assert inspect.signature(decorated) == inspect.signature(decorated.execute)
    assert decorated.__name__ == "decorated"
    assert decorated.__wrapped__ is decorated.execute
    assert tool(name="call", description="Do it.")(functools.partial(two, count=2)).__name__ == "call"
    assert decorated.__doc__ == "Do it."
    assert pickle.loads(pickle.dumps(decorated)) is decorated
    slower = dataclasses.replace(decorated, timeout=9.0)
    assert isinstance(slower, FunctionTool)
    assert slower.convert({"item": "tea", "count": "2"}) == {"item": "tea", "count": 2}


def test_without_pydantic_native_annotations_are_enough_and_others_say_what_they_need() -> None:
    program = """
        import sys
        sys.modules["pydantic"] = None
        import datetime
        from executionkit import tool

        @tool
        def price(item: str, count: int | None = None) -> float:
            "The price."

        assert price.convert({"item": "tea", "count": "3"}) == {"item": "tea", "count": 3}
        try:
            @tool
            def book(day: datetime.date) -> None:
                "Book it."
        except ImportError as error:
            for part in ("book", "date", "'day'", "pip install pydantic"):
                assert part in str(error), error
        else:
            raise SystemExit("made")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
