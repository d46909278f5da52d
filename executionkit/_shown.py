"""A value of Python as the text that a model reads: a string as it is, anything else as JSON."""

import base64
import json
import math
from collections import UserString
from collections.abc import Iterable, Iterator, Mapping, MappingView, Sequence, Set
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta
from enum import Enum
from itertools import islice
from types import SimpleNamespace
from typing import Any, Final, cast

from executionkit._prompt import Data
from executionkit._text import well_formed

_MAX_DEPTH: Final = 100
_MAX_VALUES: Final = 100_000
"""The most values shown. No model reads as many; an endless iterator or a web of references has more."""

_MAX_BITS: Final = 2_000
"""The largest integer shown in decimal. Python refuses to write one of many digits."""

_NOT_SHOWN: Final = "[more is not shown]"


def shown(value: object) -> str:
    """Write a value for a model: a string as it is, anything else as JSON.

    Values keep what they say: a moment its offset, a decimal its digits. Models, dataclasses, attrs classes
    and named tuples are objects, without the fields that their `repr` leaves out; sets are arrays in order.
    Bytes are their text, or a data URL if they are no UTF-8. NaN and the infinities are strings, and so is
    every other value: the string that `str` makes of it.

    An exception of an iterator's own code gets out. A value that can't be shown is shown by its type.
    """
    if isinstance(value, str):
        return well_formed(str.__str__(value))
    if isinstance(value, Iterator):
        value = list(islice(cast("Iterator[object]", value), _MAX_VALUES))
    return json.dumps(_Walk().form(value), ensure_ascii=False)


class _Walk:
    """One walk through one value, to the forms that JSON has."""

    def __init__(self) -> None:
        self._left = _MAX_VALUES
        self._around: list[int] = []

    def form(self, value: object) -> Any:
        self._left -= 1
        if value is None or isinstance(value, (str, int, float)):
            return _scalar(value)
        if self._left < 0 or len(self._around) >= _MAX_DEPTH:
            return _NOT_SHOWN
        if id(value) in self._around:
            return "[circular]"
        self._around.append(id(value))
        try:
            return self._compound(value)
        except Exception:  # noqa: BLE001 - the tool has run, which a value that can't be shown must not hide
            return _described(value)
        finally:
            self._around.pop()

    def _compound(self, value: Any) -> Any:
        if isinstance(value, Enum):
            return self.form(value.value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return _text_of(bytes(value))
        if isinstance(value, (date, time)):
            return value.isoformat()
        if isinstance(value, timedelta):
            return _duration(value)
        if isinstance(value, BaseException):
            return f"{type(value).__name__}: {value}"
        content = value if type(value) in (dict, list, tuple, set) else _content(value)
        if content is not value:
            return self.form(content)
        if isinstance(value, Mapping):
            return self._object(cast("Mapping[object, object]", value))
        if isinstance(value, Set) and not isinstance(value, MappingView):
            return _in_order(self._array(value))
        if isinstance(value, (Sequence, MappingView, Iterator)) and not isinstance(value, UserString):
            return self._array(cast("Iterable[object]", value))
        return _described(value)

    def _array(self, values: Iterable[object]) -> list[Any]:
        found: list[Any] = []
        for item in values:
            if self._left <= 0:
                found.append(_NOT_SHOWN)
                break
            found.append(self.form(item))
        return found

    def _object(self, value: Mapping[object, object]) -> Any:
        pairs: list[list[Any]] = []
        for key, item in value.items():
            if self._left <= 0:
                pairs.append([_NOT_SHOWN, None])
                break
            pairs.append([self.form(key), self.form(item)])
        found = {_name(key): item for key, item in pairs}
        # Keys may have one name, such as 1 and "1": neither value may be lost.
        return found if len(found) == len(pairs) else pairs


def _name(key: object) -> str:
    return key if isinstance(key, str) else json.dumps(key, ensure_ascii=False)


# By the name of the method, the keywords to try. Pydantic; polars; pyarrow; pandas and the clients of many
# services; numpy, array and torch; series of polars; named tuples and the rows of databases.
_CONTENT: Final[tuple[tuple[str, tuple[dict[str, str], ...]], ...]] = (
    ("model_dump", ({"mode": "json"}, {})),
    ("to_dicts", ({},)),
    ("to_pylist", ({},)),
    ("to_dict", ({"orient": "records"}, {})),
    ("tolist", ({},)),
    ("to_list", ({},)),
    ("_asdict", ({},)),
)


def _content(value: object) -> object:
    """The content of an object, by a method of its own or by its fields; the object itself without either."""
    kind = type(value)
    for name, attempts in _CONTENT:
        method = getattr(kind, name, None)
        if callable(method):
            for keywords in attempts:
                try:
                    return method(value, **keywords)
                except Exception:  # noqa: BLE001, S112 - the next form may do
                    continue
    names = _field_names(value)
    return value if names is None else {name: getattr(value, name) for name in names if hasattr(value, name)}


def _field_names(value: object) -> list[str] | None:
    """The fields of a dataclass, an attrs class, a msgspec struct or a namespace that its `repr` has."""
    if is_dataclass(value):
        return None if isinstance(value, type) else [spec.name for spec in fields(value) if spec.repr]
    if isinstance(value, SimpleNamespace):
        return list(vars(value))
    kind: Any = type(value)
    if isinstance(attributes := getattr(kind, "__attrs_attrs__", None), tuple):
        return [spec.name for spec in attributes if spec.repr is not False]
    if isinstance(names := getattr(kind, "__struct_fields__", None), tuple):
        return list(cast("tuple[str, ...]", names))
    return None


def _scalar(value: str | float | Enum | None) -> Any:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Data):
        return f"[{value.described()}]"
    if isinstance(value, str):
        return well_formed(str.__str__(value))
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        return hex(value)
    return value


def _text_of(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"data:application/octet-stream;base64,{base64.b64encode(value).decode()}"


def _duration(value: timedelta) -> str:
    """A duration by ISO 8601."""
    length = abs(value)
    hours, rest = divmod(length.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = f".{length.microseconds:06}" if length.microseconds else ""
    return f"{'-' if value < length else ''}P{length.days}DT{hours}H{minutes}M{seconds}{fraction}S"


def _in_order(items: list[Any]) -> list[Any]:
    """The items of a set: by value where they can be compared, else by their text."""
    try:
        return sorted(items)
    except TypeError:
        return sorted(items, key=lambda item: json.dumps(item, ensure_ascii=False, sort_keys=True))


def _described(value: object) -> str:
    kind = type(value)
    try:
        if kind.__str__ is not object.__str__ or kind.__repr__ is not object.__repr__:
            return well_formed(str(value))
    except Exception:  # noqa: BLE001, S110 - then by its type
        pass
    return f"<{kind.__name__} object>"  # without its address, which differs from run to run
