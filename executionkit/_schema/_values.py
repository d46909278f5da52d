"""JSON as Python holds it: the kinds of value, depth, and pointers into a document."""

from collections.abc import Collection
from typing import Any, Final

from executionkit._json import is_array, is_mapping, show

MAX_DEPTH: Final = 100
"""How deep a schema or a value may nest, and how many schemas may apply inside each other.

Far beyond what tools use, and low enough that no check comes near Python's recursion limit.
"""

Tokens = tuple[str, ...]
"""A JSON pointer, taken apart and unescaped."""


def kind(value: object) -> str | None:
    """The JSON type of a value, "number" for every number; None if it is not a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if is_mapping(value):
        return "object"
    if is_array(value):
        return "array"
    # Not NaN and the infinities: Python's parser returns them for `NaN` and 1e999, but no tool expects them.
    if isinstance(value, int) or (isinstance(value, float) and value - value == 0):
        return "number"
    return None


def is_integer(value: object) -> bool:
    """Whether a value is a whole number. 3.0 is one too, because JSON has a single type of number."""
    return kind(value) == "number" and value % 1 == 0  # type: ignore[operator]  # kind() narrows it


def nests_deeper(value: object, limit: int) -> bool:
    """Whether a value has more than `limit` objects and arrays inside each other."""
    items: Collection[Any]
    if is_mapping(value):
        items = value.values()
    elif is_array(value):
        items = value
    else:
        return False
    return limit == 0 or any(nests_deeper(item, limit - 1) for item in items)


def pointer(tokens: Tokens) -> str:
    """Write a JSON pointer as a URI fragment, as in a `$ref`."""
    return "/".join(["#", *(token.replace("~", "~0").replace("/", "~1") for token in tokens)])


def read_pointer(ref: str) -> Tokens:
    """Take a local `$ref` apart.

    Raises:
        ValueError: It points outside the document, or at an anchor.
    """
    from urllib.parse import unquote  # not at the top: few schemas have a $ref

    start, *tokens = unquote(ref).split("/")
    if start != "#":
        raise ValueError(f'{show(ref)} is not a reference into the same schema, such as "#/$defs/name"')
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in tokens)


def follow(document: object, tokens: Tokens) -> Any:
    """Find the value that a pointer points at.

    Raises:
        LookupError: Nothing is there.
    """
    for token in tokens:
        if is_mapping(document):
            document = document[token]
        elif is_array(document) and token.isdecimal() and len(token) < 9:
            document = document[int(token)]
        else:
            raise LookupError(token)
    return document
