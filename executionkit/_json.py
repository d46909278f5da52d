"""JSON: reading and writing it, telling its kinds of value apart, copying and comparing values."""

import json
import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import MappingProxyType
from typing import Any, Final, TypeGuard, cast

from executionkit._text import shorten, well_formed


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether it is a mapping of any kind."""
    return isinstance(value, (dict, Mapping))  # a dict is told at once, by its type


def is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether it is a sequence other than a string or bytes."""
    return isinstance(value, (list, Sequence)) and not isinstance(value, (str, bytes, bytearray, memoryview))


def is_collection(value: object) -> TypeGuard[Collection[Any]]:
    """Whether it is a collection other than a string."""
    return isinstance(value, Collection) and not isinstance(value, str)


def is_array(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether it is a JSON array as Python holds one; read-only copies are tuples."""
    return isinstance(value, (list, tuple))


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether it is a parsed JSON object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether it is a parsed JSON array."""
    return isinstance(value, list)


def an_object(value: object) -> dict[str, Any] | None:
    """The value if it is a parsed JSON object, else None."""
    return value if is_object(value) else None


def is_json(value: object) -> bool:
    """Whether it can be written as JSON, which has neither NaN nor the infinities."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def a_list(value: object) -> list[Any]:
    """The value if it is a parsed JSON array, else an empty one."""
    return value if is_list(value) else []


def a_text(value: object) -> str:
    """The value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def plain(value: Any) -> Any:
    """Copy mappings, lists and tuples into dicts and lists, however deep; leave everything else as it is."""
    # In this order because the check for a Mapping is slow, and most values are dicts, lists or scalars.
    if type(value) is not dict:
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        if isinstance(value, (str, int, float)) or not isinstance(value, (MappingProxyType, Mapping)):
            return value
    return {key: item if type(item) is str else plain(item) for key, item in value.items()}


_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


def copied(value: Any) -> Any:
    """Copy mappings, lists and tuples, however deep, as dicts, lists and tuples; leave everything else."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (dict, Mapping)):  # a dict is told at once, by its type
        # Most values of a result are scalars, and a call takes longer than a look at the type.
        return {key: item if type(item) in _SCALARS else copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    # A tuple stays a tuple, because it may be the key of a vote.
    return tuple(map(copied, value)) if type(value) is tuple else value


def is_record(value: object) -> bool:
    """Whether it is an instance of a dataclass or a pydantic model."""
    return not isinstance(value, type) and (is_dataclass(value) or hasattr(value, "model_dump"))


def as_dicts(value: Any) -> Any:
    """Turn dataclasses and pydantic models into dicts, and tuples into lists, however deep."""
    if type(value) in _SCALARS:
        return value
    if is_dataclass(value) and not isinstance(value, type):
        value = {spec.name: getattr(value, spec.name) for spec in fields(value)}
    elif not isinstance(value, type) and hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: as_dicts(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_dicts(item) for item in value]
    return value


def canonical(value: object) -> Hashable:
    """Make a value that is equal for two JSON values exactly where they are: 1 is 1.0, true is not 1."""
    if isinstance(value, bool):
        return "boolean", value
    if is_mapping(value):
        return "object", frozenset((name, canonical(item)) for name, item in value.items())
    if is_array(value):
        return "array", tuple(map(canonical, value))
    return value


def canonical_text(value: object) -> str:
    """Write a value as JSON in one form: two values have the same text exactly where JSON holds them equal.

    The order of keys doesn't matter, 1 and 1.0 are the same, 1 and true are not. Values of Python that JSON
    does not have take the form in which JSON usually carries them, so equal ones have the same text: a set
    is a sorted array, a decimal has no trailing zeros, a moment is in UTC. Anything else is written as its
    `repr`.
    """
    form = _one_form(value)
    return json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_as_carried)


def _as_carried(value: object) -> object:
    if is_record(value):
        return _one_form(own_fields(value))
    secret = getattr(value, "get_secret_value", None)
    if callable(secret):  # a model's dump hides it, and all of them would be the same
        return _one_form(secret())
    if isinstance(value, (set, frozenset)):
        return sorted(map(_one_form, cast("set[object]", value)), key=canonical_text)
    from executionkit._carried import as_carried  # not at the top: few programs need it

    return _one_form(as_carried(value))


def own_fields(record: Any) -> dict[str, object]:
    """The fields of a dataclass or model, without what its own hooks would write in their place."""
    if is_dataclass(record) and not hasattr(record, "model_fields"):
        return {spec.name: getattr(record, spec.name) for spec in fields(record)}
    names = cast("Mapping[str, Any]", getattr(type(record), "model_fields", {}))
    extra = getattr(record, "__pydantic_extra__", None) or {}
    return {name: getattr(record, name) for name in names} | extra


def _one_form(value: object) -> object:
    if is_mapping(value):
        return {str(key): _one_form(item) for key, item in value.items()}
    if is_array(value):
        return [_one_form(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and value.bit_length() > _LONGEST_INT:
        return hex(value)
    return value


_LONGEST_INT = 2_000
"""In bits. Python refuses to write integers of many digits; this is less than its strictest limit."""


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


STRICT: Final = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, strict=False)
"""Decodes what the standard calls JSON: NaN and numbers beyond a float's range are a ValueError.

Control characters in strings are read as what they are, because models write line breaks and tabs so.
"""


def show(value: object, limit: int = 60) -> str:
    """A value as JSON, cut to `limit` characters, for models and people to read."""
    try:
        return shorten(json.dumps(value, ensure_ascii=False, default=_shown), limit)
    except ValueError:  # an int of more digits than Python is willing to write
        return "a number too long to show"


def _shown(value: object) -> object:
    return dict(value) if is_mapping(value) else repr(value)


def loads(data: bytes | str) -> Any:
    """Parse JSON; an integer of more digits than Python converts becomes a float.

    Control characters in strings are read as what they are.

    Raises:
        ValueError: The text is not JSON.
        RecursionError: The JSON is nested too deep.
    """
    if isinstance(data, bytes):
        # In the other encodings of JSON there is a zero among the first bytes, or a mark before them.
        is_utf8 = data[:1] < b"\x80" and 0 not in data[:4]
        data = data.decode("utf-8" if is_utf8 else json.detect_encoding(data), "surrogatepass")
    try:
        return _LENIENT.decode(data)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # An absurd count must not make a paid reply fail.
        return json.loads(data, parse_int=float, strict=False)


def dumps(value: object) -> bytes:
    """Write compact JSON in UTF-8. Lone surrogates become U+FFFD, because UTF-8 can't carry them.

    Raises:
        ValueError: A number is NaN or infinite, or the value contains itself.
        TypeError: A value in it has no JSON form.
        RecursionError: It is nested too deep.
    """
    return well_formed(_ENCODER.encode(value)).encode()


def _as_json(value: object) -> dict[Any, Any] | list[Any]:
    if is_mapping(value):
        return dict(value)
    if is_sequence(value):
        return list(value)
    raise TypeError(f"a value of type {type(value).__name__} can't be sent as JSON")


# Made once, because json.loads() and json.dumps() make new ones for every call with options.
_LENIENT = json.JSONDecoder(strict=False)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_as_json)
