"""JSON Schema: a schema is checked when a tool is made, and the arguments of every call against it."""

from executionkit._schema._validator import find_errors
from executionkit._schema._wellformed import check_schema

__all__ = ["check_schema", "find_errors"]
