"""Taking untyped data for what it is, for the type checkers' eyes too."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeGuard


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether it is a mapping of whatever kind."""
    return isinstance(value, Mapping)


def is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether it is a sequence of things, as strings and bytes are not."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview))


def is_collection(value: object) -> TypeGuard[Collection[Any]]:
    """Whether it is a collection of things, as strings are not."""
    return isinstance(value, Collection) and not isinstance(value, str)


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def an_object(value: object) -> dict[str, Any] | None:
    """The value if it is a parsed JSON object, else None."""
    return value if _is_object(value) else None


def a_list(value: object) -> list[Any]:
    """The value if it is a parsed JSON array, else an empty one."""
    return value if _is_list(value) else []


def a_text(value: object) -> str:
    """The value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""
