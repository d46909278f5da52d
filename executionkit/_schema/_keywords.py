"""The keywords that test a value without a schema inside them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from executionkit._json import canonical, show
from executionkit._text import shorten

Assertion: TypeAlias = Callable[[Any, Any, Mapping[str, Any]], str | None]
"""(the keyword's argument, the value, the schema around it) -> the problem, or None."""


def _enum(argument: Sequence[Any], value: Any, _: Mapping[str, Any]) -> str | None:
    wanted = canonical(value)
    if any(canonical(choice) == wanted for choice in argument):
        return None
    return f"expected one of {shorten(', '.join(map(show, argument)), 200)}, got {show(value)}"


def _const(argument: Any, value: Any, _: Mapping[str, Any]) -> str | None:
    if canonical(argument) == canonical(value):
        return None
    return f"expected {show(argument)}, got {show(value)}"


def _minimum(argument: Any, value: Any, schema: Mapping[str, Any]) -> str | None:
    if schema.get("exclusiveMinimum") is True:
        return _exclusive_minimum(argument, value, schema)
    return None if value >= argument else f"must be at least {show(argument)}, got {show(value)}"


def _maximum(argument: Any, value: Any, schema: Mapping[str, Any]) -> str | None:
    if schema.get("exclusiveMaximum") is True:
        return _exclusive_maximum(argument, value, schema)
    return None if value <= argument else f"must be at most {show(argument)}, got {show(value)}"


def _exclusive_minimum(argument: Any, value: Any, _: Mapping[str, Any]) -> str | None:
    is_within = isinstance(argument, bool) or value > argument
    return None if is_within else f"must be more than {show(argument)}, got {show(value)}"


def _exclusive_maximum(argument: Any, value: Any, _: Mapping[str, Any]) -> str | None:
    is_within = isinstance(argument, bool) or value < argument
    return None if is_within else f"must be less than {show(argument)}, got {show(value)}"


def _multiple_of(argument: Any, value: Any, _: Mapping[str, Any]) -> str | None:
    from fractions import Fraction  # not at the top: it imports decimal, and the keyword is rare

    # The numbers as written: 0.3 is a multiple of 0.1, though the binary floats are not.
    number, step = (Fraction(n if isinstance(n, int) else repr(n)) for n in (value, argument))
    return None if number % step == 0 else f"must be a multiple of {show(argument)}, got {show(value)}"


def _at_least(things: str) -> Assertion:
    def test(argument: float, value: Any, _: Mapping[str, Any]) -> str | None:
        if len(value) >= argument:
            return None
        return f"must have at least {show(argument)} {things}, has {len(value)}"

    return test


def _at_most(things: str) -> Assertion:
    def test(argument: float, value: Any, _: Mapping[str, Any]) -> str | None:
        if len(value) <= argument:
            return None
        return f"must have at most {show(argument)} {things}, has {len(value)}"

    return test


def _unique_items(argument: bool, value: Sequence[Any], _: Mapping[str, Any]) -> str | None:  # noqa: FBT001 - a keyword's argument
    if not argument or len(set(map(canonical, value))) == len(value):
        return None
    return "must not have the same item twice"


def _required(argument: Sequence[str], value: Mapping[str, Any], _: Mapping[str, Any]) -> str | None:
    missing = [name for name in argument if name not in value]
    return f"missing required {named(missing)}" if missing else None


def named(names: Sequence[str]) -> str:
    """List the names of properties, after "property" or "properties"."""
    noun = "property" if len(names) == 1 else "properties"
    return f"{noun} {shorten(', '.join(map(show, names)), 200)}"


ASSERTIONS: Final[dict[str, tuple[str | None, Assertion]]] = {
    "enum": (None, _enum),
    "const": (None, _const),
    "minimum": ("number", _minimum),
    "maximum": ("number", _maximum),
    "exclusiveMinimum": ("number", _exclusive_minimum),
    "exclusiveMaximum": ("number", _exclusive_maximum),
    "multipleOf": ("number", _multiple_of),
    "minLength": ("string", _at_least("characters")),
    "maxLength": ("string", _at_most("characters")),
    "minItems": ("array", _at_least("items")),
    "maxItems": ("array", _at_most("items")),
    "uniqueItems": ("array", _unique_items),
    "minProperties": ("object", _at_least("properties")),
    "maxProperties": ("object", _at_most("properties")),
    "required": ("object", _required),
}
"""By keyword: the kind of value that it applies to (None: every kind), and the test."""
