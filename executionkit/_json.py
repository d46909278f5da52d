"""JSON, by orjson where it is installed; what comes of it is what the standard library makes of it."""

import importlib
import json
from functools import cache
from math import isfinite
from typing import Any

from executionkit._shapes import is_mapping, is_sequence
from executionkit._text import well_formed

_LONG = 16_384
"""From how many bytes on looking for integers that orjson can't hold may take longer than orjson saves."""

_DIGITS = bytes(ord("0") if chr(byte).isdigit() else ord(" ") for byte in range(128)).ljust(256)
_BEYOND_64_BITS = b"0" * 19


@cache
def _orjson() -> Any:
    """The module, None where it is not installed."""
    try:
        return importlib.import_module("orjson")
    except ImportError:
        return None


def loads(data: bytes | str) -> Any:
    """The value; an integer of more digits than Python converts becomes a float.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is nested too deep.
    """
    orjson = _orjson()
    if orjson is not None and len(data) < _LONG:
        try:
            raw = data.encode() if isinstance(data, str) else data
            if _BEYOND_64_BITS not in raw.translate(_DIGITS):  # or they would be floats
                return orjson.loads(raw)
        except (ValueError, RecursionError):
            pass  # json takes more: NaN, lone surrogates, UTF-16; and its words are the known ones
    try:
        return json.loads(data)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # A senseless count must not cost a paid answer.
        return json.loads(data, parse_int=float)


def dumps(value: object) -> bytes:
    """Compact JSON in UTF-8; lone surrogates, which UTF-8 can't carry, become U+FFFD.

    Raises:
        ValueError: A number is NaN or infinite, or the value contains itself.
        TypeError: Something in it has no JSON form.
        RecursionError: It is nested too deep.
    """
    orjson = _orjson()
    if orjson is not None:
        try:
            if _is_plain(value):
                encoded: bytes = orjson.dumps(value)
                return encoded
        except (TypeError, RecursionError):
            pass  # lone surrogates, integers beyond 64 bits, too deep for orjson
    return well_formed(_ENCODER.encode(value)).encode()


def _is_plain(value: object) -> bool:
    """Whether orjson writes it as json does; it makes null of NaN, and text of what json refuses."""
    kind = type(value)
    if isinstance(value, dict) and kind is dict:
        for key, item in value.items():
            if type(key) is not str or not (type(item) is str or _is_plain(item)):
                return False
        return True
    if isinstance(value, list) and kind is list:
        return all(map(_is_plain, value))
    if isinstance(value, float) and kind is float:
        return isfinite(value)
    return kind is str or kind is int or kind is bool or value is None


def _as_json(value: object) -> dict[Any, Any] | list[Any]:
    if is_mapping(value):
        return dict(value)
    if is_sequence(value):
        return list(value)
    raise TypeError(f"a {type(value).__name__} can't be sent as JSON")


# Made once: json.dumps() makes an encoder anew for every call with options.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_as_json)
