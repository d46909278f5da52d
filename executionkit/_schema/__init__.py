"""JSON Schema for tool arguments: refuse at construction what can't be checked, then check every call."""

from executionkit._schema._validator import find_errors
from executionkit._schema._wellformed import check_schema

__all__ = ["check_schema", "find_errors"]
