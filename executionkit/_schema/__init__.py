"""JSON Schema for tool arguments: refuse at construction what can't be checked, then check every call."""

from executionkit._schema._checking import check_schema
from executionkit._schema._judging import find_errors
from executionkit._schema._values import canonical

__all__ = ["canonical", "check_schema", "find_errors"]
