"""The forms in which JSON carries values of Python's own types."""

import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, cast
from uuid import UUID

from executionkit._json import as_dicts, canonical, is_record


def as_carried(value: object) -> object:
    """Turn a value that JSON does not have into one that it has; equal values become the same.

    A set becomes a sorted array, a decimal a text without trailing zeros, a moment one in UTC. Anything else
    becomes its `repr`.
    """
    if isinstance(value, Enum):
        return value.value
    if is_record(value):
        return _fields(value)
    if isinstance(value, (set, frozenset)):
        return sorted(cast("set[object]", value), key=canonical)
    if isinstance(value, Decimal) and value.is_finite():
        return format(value.normalize() if value else Decimal(), "f")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat()
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (UUID, PurePath)):
        return str(value)
    pydantic_core = sys.modules.get("pydantic_core")  # it knows its own types, such as URLs
    return pydantic_core.to_jsonable_python(value, fallback=repr) if pydantic_core else repr(value)


def _fields(record: Any) -> object:
    """The fields of a dataclass or model, without what its own hooks would write in their place."""
    names: object = getattr(type(record), "model_fields", None)
    if not isinstance(names, dict):
        return as_dicts(record)
    extra = getattr(record, "__pydantic_extra__", None) or {}
    return {name: getattr(record, name) for name in cast("dict[str, Any]", names)} | extra
