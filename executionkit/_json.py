"""JSON: reading it, writing it, and the values it is made of."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeGuard

from executionkit._text import well_formed


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether it is a mapping of whatever kind."""
    return isinstance(value, Mapping)


def is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether it is a sequence of things, as strings and bytes are not."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview))


def is_collection(value: object) -> TypeGuard[Collection[Any]]:
    """Whether it is a collection of things, as strings are not."""
    return isinstance(value, Collection) and not isinstance(value, str)


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def an_object(value: object) -> dict[str, Any] | None:
    """The value if it is a parsed JSON object, else None."""
    return value if _is_object(value) else None


def a_list(value: object) -> list[Any]:
    """The value if it is a parsed JSON array, else an empty one."""
    return value if _is_list(value) else []


def a_text(value: object) -> str:
    """The value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def plain(value: Any) -> Any:
    """Copy mappings, lists and tuples into dicts and lists, however deep; leave everything else as it is."""
    if value is None or isinstance(value, (str, int, float)):
        return value  # most are, and asking for a Mapping takes ten times as long
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def copied(value: Any) -> Any:
    """Copy mappings, lists and tuples, however deep, as dicts, lists and tuples; leave everything else."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    # A tuple stays one: it may be what a vote was counted by.
    return tuple(map(copied, value)) if type(value) is tuple else value


def as_dicts(value: Any) -> Any:
    """Tell dataclasses and pydantic models as dicts, and tuples as lists, however deep."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {spec.name: getattr(value, spec.name) for spec in fields(value)}
    elif not isinstance(value, type) and hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: as_dicts(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_dicts(item) for item in value]
    return value


def loads(data: bytes | str) -> Any:
    """Parse JSON; an integer of more digits than Python converts becomes a float.

    Raises:
        ValueError: The text is not JSON.
        RecursionError: The JSON is nested too deep.
    """
    try:
        return json.loads(data)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # A senseless count must not cost a paid answer.
        return json.loads(data, parse_int=float)


def loads_strict(text: str) -> Any:
    """Parse JSON as RFC 8259 has it: without NaN and Infinity, and without numbers beyond a float.

    Raises:
        ValueError: The text is not such JSON, or has an integer of more digits than Python converts.
        RecursionError: The JSON is nested too deep.
    """
    return _STRICT.decode(text)


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


_STRICT = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def dumps(value: object) -> bytes:
    """Compact JSON in UTF-8; lone surrogates, which UTF-8 can't carry, become U+FFFD.

    Raises:
        ValueError: A number is NaN or infinite, or the value contains itself.
        TypeError: Something in it has no JSON form.
        RecursionError: It is nested too deep.
    """
    return well_formed(_ENCODER.encode(value)).encode()


def _as_json(value: object) -> dict[Any, Any] | list[Any]:
    if is_mapping(value):
        return dict(value)
    if is_sequence(value):
        return list(value)
    raise TypeError(f"a {type(value).__name__} can't be sent as JSON")


# Made once: json.dumps() makes an encoder anew for every call with options.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_as_json)
