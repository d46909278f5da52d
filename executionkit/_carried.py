"""The forms in which JSON carries values of Python's own types."""

import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from uuid import UUID


def as_carried(value: object) -> object:
    """Turn a value that JSON does not have into one that it has; equal values become the same.

    A decimal becomes a text without trailing zeros, a moment or time of day one in UTC, and anything unknown
    its `repr`.
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal) and value.is_finite():
        return format(value.normalize() if value else Decimal(), "f")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat()
    if isinstance(value, time) and value.utcoffset():
        moment = datetime.combine(date(2000, 1, 2), value).astimezone(UTC)
        if moment.day == 2:  # Python holds times equal only if they are so within one day
            return moment.timetz().isoformat()
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (UUID, PurePath)):
        return str(value)
    pydantic_core = sys.modules.get("pydantic_core")  # it knows its own types, such as URLs
    return pydantic_core.to_jsonable_python(value, fallback=repr) if pydantic_core else repr(value)
