"""Whole floats as ints, where a schema declares an integer: JSON has one type of number, Python has two."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from executionkit._json import is_array, is_mapping
from executionkit._schema._validator import Schema, fits
from executionkit._schema._values import follow, read_pointer

_EXACT: Final = 2**53
"""Up to here a float is the number that was written. Beyond, it is only if it needs few digits."""
_DIGITS: Final = 15


def with_integers(value: Any, schema: Schema) -> Any:
    """Copy a valid JSON value, with an int for each whole float that the schema declares an integer.

    Raises:
        ValueError: Such a float is so large that it may be another number than the one that was written.
    """
    return _converted(value, schema, schema) if _has_whole_float(value) else value


def _has_whole_float(value: object) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    if is_mapping(value):
        return any(map(_has_whole_float, value.values()))
    return is_array(value) and any(map(_has_whole_float, value))


def _converted(value: Any, schema: Schema, root: Schema) -> Any:
    if isinstance(schema, bool) or isinstance(value, (str, int)) or value is None:
        return value
    if isinstance(value, float):
        value = _number(value, schema)
    elif is_mapping(value):
        value = {name: _member(name, item, schema, root) for name, item in value.items()}
    elif is_array(value):
        value = [_item(index, item, schema, root) for index, item in enumerate(value)]
    for part in _in_place(value, schema, root):
        value = _converted(value, part, root)
    return value


def _number(value: float, schema: Mapping[str, Any]) -> float:
    types = schema.get("type", ())
    choices = schema.get("enum", (schema["const"],) if "const" in schema else ())
    is_declared = "integer" in ((types,) if isinstance(types, str) else types)
    if not value.is_integer() or not (is_declared or any(_is_int(choice, value) for choice in choices)):
        return value
    if abs(value) <= _EXACT:
        return int(value)
    from decimal import Decimal  # not at the top: few numbers are so large

    written = Decimal(repr(value)).normalize()
    if len(written.as_tuple().digits) > _DIGITS:
        raise ValueError(f"{value!r} is too large to be exact: write it without a point and an exponent")
    return int(written)


def _is_int(choice: object, value: float) -> bool:
    return isinstance(choice, int) and not isinstance(choice, bool) and choice == value


def _in_place(value: Any, schema: Mapping[str, Any], root: Schema) -> Iterator[Schema]:
    """The schemas that apply to the same value as this one."""
    if "$ref" in schema:
        yield follow(root, read_pointer(schema["$ref"]))
    yield from schema.get("allOf", ())
    for keyword in ("anyOf", "oneOf"):
        yield from (part for part in schema.get(keyword, ()) if fits(value, part, root))
    if "if" in schema:
        yield schema.get("then" if fits(value, schema["if"], root) else "else", True)
    if is_mapping(value):
        for keyword in ("dependentSchemas", "dependencies"):
            for name, part in schema.get(keyword, {}).items():
                if name in value and not is_array(part):
                    yield part


def _member(name: str, value: Any, schema: Mapping[str, Any], root: Schema) -> Any:
    known = schema.get("properties", {})
    rules = [known[name]] if name in known else []
    patterns = schema.get("patternProperties", {})
    rules += [rule for pattern, rule in patterns.items() if fits(name, {"pattern": pattern}, root)]
    for rule in rules or [schema.get("additionalProperties", True)]:
        value = _converted(value, rule, root)
    return value


def _item(index: int, value: Any, schema: Mapping[str, Any], root: Schema) -> Any:
    items = schema.get("items", True)
    first, rest = (
        (items, schema.get("additionalItems", True))
        if is_array(items)
        else (schema.get("prefixItems", ()), items)
    )
    return _converted(value, first[index] if index < len(first) else rest, root)
