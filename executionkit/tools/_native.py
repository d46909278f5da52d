"""Annotations that JSON has itself: their schemas, and the conversion of arguments as pydantic does it.

The schemas and the verdicts are those of pydantic's lax mode, so that a tool does not change when pydantic is
installed. The words of the errors are this package's own.
"""

from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

from executionkit._json import is_list, is_object, show
from executionkit.tools._unfit import UnfitArgumentsError, member

K = TypeVar("K", bound=Hashable)

Exactness: TypeAlias = Literal[0, 1, 2]
"""How well a value fits: 2 as it is, 1 as an integer for a number, 0 converted.

A union takes the best fit. Anything fits `Any` as an integer fits a number, and an array of `Any` as it is.
"""


class Converted(NamedTuple):
    """A value of the annotated type, and how well the JSON value fitted."""

    value: object
    exactness: Exactness


class Kind(NamedTuple):
    """A native annotation.

    Attributes:
        schema: Its JSON Schema.
        convert: Turns a JSON value at a place into one of the type, or raises an UnfitArgumentsError.
    """

    schema: dict[str, Any]
    convert: Callable[[object, str], Converted]


def kind_of(annotation: object) -> Kind | None:
    """The kind of an annotation; None if JSON has no such type."""
    with suppress(TypeError):  # an annotation without a hash, such as Annotated[int, {...}]
        if annotation in _SIMPLE:
            return _SIMPLE[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner, *extras = arguments
        return kind_of(inner) if all(isinstance(extra, str) for extra in extras) else None
    if origin is Literal:
        return _literal(arguments) if all(type(argument) is str for argument in arguments) else None
    if origin in (Union, UnionType):
        members = [kind_of(argument) for argument in arguments]
        known = [member for member in members if member is not None]
        return _union(known) if len(known) == len(members) else None
    if origin is list or (origin is dict and arguments[0] is str):
        items = kind_of(arguments[-1])
        return None if items is None else _list(items) if origin is list else _dict(items)
    return None


def _fails(place: str, expected: str, value: object) -> UnfitArgumentsError:
    return UnfitArgumentsError(f"{place}: expected {expected}, got {show(value)}")


def _any(value: object, _: str) -> Converted:
    return Converted(value, 1)


def _string(value: object, place: str) -> Converted:
    if not isinstance(value, str):
        raise _fails(place, "string", value)
    return Converted(value, 2)


_TRUTHS: Final = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), False),
}


def _integer(value: object, place: str) -> Converted:
    if isinstance(value, bool):
        return Converted(int(value), 0)
    if isinstance(value, int):
        return Converted(value, 2)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2.0**63:
        return Converted(int(value), 0)
    if isinstance(value, str) and value.strip().isascii():
        whole, point, rest = value.strip().partition(".")
        if not point or (rest and not rest.strip("0")):
            with suppress(ValueError):
                return Converted(int(whole), 0)
    raise _fails(place, "integer", value)


def _number(value: object, place: str) -> Converted:
    if isinstance(value, float):
        return Converted(value, 2)
    if isinstance(value, int):
        with suppress(OverflowError):  # an integer beyond all floats
            return Converted(float(value), 0 if isinstance(value, bool) else 1)
    if isinstance(value, str) and value.strip().isascii():
        with suppress(ValueError):
            return Converted(float(value), 0)
    raise _fails(place, "number", value)


def _boolean(value: object, place: str) -> Converted:
    if isinstance(value, bool):
        return Converted(value, 2)
    if isinstance(value, (int, float)) and value in (0, 1):
        return Converted(bool(value), 0)
    if isinstance(value, str) and value.lower() in _TRUTHS:
        return Converted(_TRUTHS[value.lower()], 0)
    raise _fails(place, "boolean", value)


def _null(value: object, place: str) -> Converted:
    if value is not None:
        raise _fails(place, "null", value)
    return Converted(value, 2)


def _literal(choices: tuple[str, ...]) -> Kind:
    def convert(value: object, place: str) -> Converted:
        if not isinstance(value, str) or value not in choices:
            raise _fails(place, " or ".join(map(show, choices)), value)
        return Converted(value, 2)

    known = {"const": choices[0]} if len(choices) == 1 else {"enum": list(choices)}
    return Kind({**known, "type": "string"}, convert)


def _union(kinds: list[Kind]) -> Kind:
    def convert(value: object, place: str) -> Converted:
        best: Converted | None = None
        errors: list[str] = []
        for kind in kinds:
            try:
                found = kind.convert(value, place)
            except UnfitArgumentsError as exc:
                errors += exc.errors
            else:
                if best is None or found.exactness > best.exactness:
                    best = found
        if best is None:
            raise UnfitArgumentsError(*errors)
        return best

    schemas = [schema for kind in kinds for schema in kind.schema.get("anyOf", [kind.schema])]
    different = [schema for number, schema in enumerate(schemas) if schema not in schemas[:number]]
    return Kind(different[0] if len(different) == 1 else {"anyOf": different}, convert)


def _list(items: Kind) -> Kind:
    def convert(value: object, place: str) -> Converted:
        if not is_list(value):
            raise _fails(place, "array", value)
        found = all_converted({index: (items, item, f"{place}[{index}]") for index, item in enumerate(value)})
        return Converted(list(found.values.values()), found.exactness if items.schema else 2)

    return Kind({"items": items.schema, "type": "array"}, convert)


def _dict(items: Kind) -> Kind:
    def convert(value: object, place: str) -> Converted:
        if not is_object(value):
            raise _fails(place, "object", value)
        found = all_converted({name: (items, item, member(place, name)) for name, item in value.items()})
        return Converted(found.values, found.exactness)

    return Kind({"additionalProperties": items.schema or True, "type": "object"}, convert)


class AllConverted(NamedTuple, Generic[K]):
    """Converted values by name or index, and how well the worst of them fitted."""

    values: dict[K, object]
    exactness: Exactness


def all_converted(entries: Mapping[K, tuple[Kind, object, str]]) -> AllConverted[K]:
    """Convert each value by its kind, at its place.

    Raises:
        UnfitArgumentsError: Some don't fit; it has the errors of all.
    """
    values: dict[K, object] = {}
    exactness: Exactness = 2
    errors: list[str] = []
    for key, (kind, value, place) in entries.items():
        try:
            values[key], fit = kind.convert(value, place)
        except UnfitArgumentsError as exc:
            errors += exc.errors
        else:
            exactness = min(exactness, fit)
    if errors:
        raise UnfitArgumentsError(*errors)
    return AllConverted(values, exactness)


_ANYTHING: Final = Kind({}, _any)
_SIMPLE: Final[dict[object, Kind]] = {
    Any: _ANYTHING,
    str: Kind({"type": "string"}, _string),
    int: Kind({"type": "integer"}, _integer),
    float: Kind({"type": "number"}, _number),
    bool: Kind({"type": "boolean"}, _boolean),
    None: Kind({"type": "null"}, _null),
    NoneType: Kind({"type": "null"}, _null),
    list: _list(_ANYTHING),
    dict: _dict(_ANYTHING),
}
