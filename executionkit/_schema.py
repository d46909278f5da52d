"""JSON Schema for tool arguments: refuse at construction what can't be checked, then check every call."""

from collections.abc import Mapping
from typing import Any


def check_schema(schema: Mapping[str, Any]) -> None:
    """Placeholder while the module is being written."""
