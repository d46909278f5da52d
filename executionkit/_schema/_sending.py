"""Schemas as they are sent: their patterns in plain form."""

from collections.abc import Mapping
from typing import Any

from executionkit._json import is_array, is_mapping, plain
from executionkit._schema._wellformed import SCHEMA, SCHEMA_ARRAY, SCHEMA_OBJECT


def sendable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a schema, its patterns in the plain form; the original still has to be checked against."""
    return {keyword: _sent(keyword, argument) for keyword, argument in schema.items()}


def _sent(keyword: str, argument: Any) -> Any:
    if keyword == "pattern" and isinstance(argument, str):
        from executionkit._schema._patterns import (
            plain as plain_pattern,
        )  # not at the top: few schemas need it

        return plain_pattern(argument)
    if keyword in SCHEMA_OBJECT and is_mapping(argument):
        return {name: _sent_schema(item) for name, item in argument.items()}
    if keyword in SCHEMA or keyword in SCHEMA_ARRAY:
        return [_sent_schema(item) for item in argument] if is_array(argument) else _sent_schema(argument)
    return plain(argument)


def _sent_schema(schema: Any) -> Any:
    return sendable(schema) if is_mapping(schema) else plain(schema)
