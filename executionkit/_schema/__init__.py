"""JSON Schema: checking schemas, checking arguments against them, and writing them as servers take them."""

from executionkit._schema._integers import with_integers
from executionkit._schema._sending import sendable
from executionkit._schema._validator import find_errors, fits
from executionkit._schema._wellformed import check_schema

__all__ = ["check_schema", "find_errors", "fits", "sendable", "with_integers"]
