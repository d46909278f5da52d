"""Any value in few characters, whatever its size: no more of it is walked than is shown."""

import collections
import dataclasses
import functools
import math
import re
from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from itertools import islice
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType
from typing import Any, Final, NamedTuple, cast

from executionkit._text import one_line, shorten, well_formed

_MOST_ITEMS: Final = 8
_DEPTH: Final = 4
_NOTE: Final = 16
"""Characters kept free for the number of items that are not shown."""

# By the repr of a class whose items may be walked: another one may hide what must not be seen.
_BRACKETS: Final[dict[object, tuple[str, str]]] = {
    list.__repr__: ("[", "]"),
    tuple.__repr__: ("(", ")"),
    set.__repr__: ("{", "}"),
    frozenset.__repr__: ("frozenset({", "})"),
    collections.deque.__repr__: ("deque([", "])"),
}
_MAPPINGS: Final = (
    dict.__repr__,
    MappingProxyType.__repr__,
    collections.OrderedDict.__repr__,
    collections.defaultdict.__repr__,
    collections.Counter.__repr__,
)


class _Tuple(NamedTuple):
    """Has the `repr` that all named tuples have."""


@dataclasses.dataclass
class _Record:
    """Has the `repr` that all dataclasses have."""


_GENERATED: Final = frozenset(
    cast("FunctionType", kind.__repr__).__code__.co_filename for kind in (_Tuple, _Record)
)

_UNSEEN: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # what sets a terminal's colours
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)


def printable(text: str) -> str:
    """Take out control characters, line breaks and tabs apart, and those that turn a text's direction."""
    return _UNSEEN.sub("", well_formed(text.replace("\r\n", "\n")))


def glimpse(value: object, room: int = 80) -> str:
    """The `repr` of a value, cut to `room` characters.

    Containers, dataclasses and pydantic models are walked as far as they are shown. A `repr` that a class has
    written itself is used as it is, because it may hide a secret. If it raises, the class is named.
    """
    return shorten(_form(value, room, _DEPTH), room)


def provider_line(provider: object) -> str:
    """A provider by its class and model, because one of a user's may have its key among its fields."""
    model: object = getattr(provider, "model", None)
    name = f" {shorten(str.__repr__(model), 50)}" if isinstance(model, str) else ""
    return f"<{type(provider).__name__[:40]}{name}>"


def rows_of(value: object) -> tuple[list[tuple[str, object]], int] | None:
    """The fields of a value, at most 20, and how many more there are; None if there are none."""
    try:
        pairs = _pairs(value)
        if pairs is None:
            return None
        found = [(key if isinstance(key, str) else glimpse(key), item) for key, item in islice(pairs, 20)]
        return (found, sum(1 for _ in pairs)) if found else None
    except Exception:  # noqa: BLE001 - a model's own code may raise anything
        return None


def _pairs(value: object) -> "Iterable[tuple[object, object]] | None":
    kind = type(value)
    if isinstance(value, Mapping):
        return iter(value.items()) if kind.__repr__ in _MAPPINGS else None
    fields = _fields(value)
    return None if fields is None else iter(fields)


def _form(value: object, room: int, depth: int) -> str:
    try:
        return _simple(value, room) or _walked(value, room, depth)
    except Exception:  # noqa: BLE001 - a value of another's making may raise anything
        return _named(value)


def _simple(value: object, room: int) -> str:
    """A value without items; "" for others."""
    kind = type(value)
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, Enum):
        return f"{kind.__name__}.{value.name}"
    if isinstance(value, int):
        return repr(value) if value.bit_length() <= 200 else f"<an int of {value.bit_length():,} bits>"
    if isinstance(value, str):
        if kind.__repr__ is not str.__repr__:
            return one_line(repr(value)[: room + 1])
        text = str.__str__(value)
        # Cut inside the quotes.
        return repr(text) if len(text) <= room - 2 else repr(shorten(text[: room * 2], max(room - 2, 1)))
    if isinstance(value, bytes | bytearray):
        return f"<{len(value):,} bytes>"
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, FunctionType | MethodType | BuiltinFunctionType):
        return f"<function {value.__qualname__}>"  # what a method is bound to may have a secret
    if callable(getattr(kind, "complete", None)):
        return provider_line(value)
    if isinstance(value, functools.partial):
        return f"<partial of {_form(value.func, room, 0)}>"
    return ""


def _walked(value: object, room: int, depth: int) -> str:
    kind = type(value)
    if depth <= 0:
        return "…"
    fields = _fields(value)
    if fields is not None:
        return _joined(f"{kind.__name__}(", ")", fields, None, room, depth, "=")
    if kind.__repr__ in _MAPPINGS:
        mapping = cast("Mapping[object, object]", value)
        return _joined("{", "}", mapping.items(), len(mapping), room, depth, ": ")
    if brackets := _BRACKETS.get(kind.__repr__):
        items = cast("Collection[object]", value)
        if not items and len(brackets[0]) == 1 and isinstance(value, set):
            return "set()"
        return _joined(*brackets, ((None, item) for item in items), len(items), room, depth, "")
    return _named(value) if kind.__repr__ is object.__repr__ else one_line(repr(value)[: room + 1])


def _joined(
    before: str,
    after: str,
    pairs: Iterable[tuple[object, object]],
    length: int | None,
    room: int,
    depth: int,
    sign: str,
) -> str:
    left = room - len(before) - len(after) - _NOTE
    shown: list[str] = []
    used = 0
    for key, item in islice(pairs, _MOST_ITEMS):
        if used >= left and shown:
            break
        name = "" if not sign else key if sign == "=" else _form(key, max(left - used, 8), depth - 1)
        text = f"{name}{sign}{_form(item, max(left - used - len(str(name)), 8), depth - 1)}"
        shown.append(text)
        used += len(text) + 2
    if length is not None and length > len(shown):
        shown.append(f"… {length - len(shown):,} more")
    comma = "," if before == "(" and length == 1 else ""
    return f"{before}{', '.join(shown)}{comma}{after}"


def _fields(value: object) -> list[tuple[str, object]] | None:
    """The fields of a value whose `repr` was generated; None of any other."""
    kind = type(value)
    code = getattr(kind.__repr__, "__code__", None)
    if code is not None and code.co_filename in _GENERATED:
        if dataclasses.is_dataclass(value):
            return [
                (spec.name, getattr(value, spec.name, None))
                for spec in dataclasses.fields(value)
                if spec.repr
            ]
        if isinstance(value, tuple) and isinstance(labels := getattr(kind, "_fields", None), tuple):
            return list(zip(cast("tuple[str, ...]", labels), cast("tuple[object, ...]", value), strict=False))
    if getattr(kind.__repr__, "__module__", "") == "pydantic.main":
        arguments = cast("Any", value).__repr_args__()
        return [(name or "", item) for name, item in islice(arguments, 100)]
    return None


def _named(value: object) -> str:
    return f"<{type(value).__name__[:40]} object>"


def finite(value: object) -> float:
    """A number as one that can be drawn; 0 for what can't be."""
    try:
        found = float(value) if isinstance(value, int | float) else 0.0
    except OverflowError:
        return 0.0
    return found if math.isfinite(found) else 0.0
