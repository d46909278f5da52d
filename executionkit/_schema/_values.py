"""JSON as Python holds it: kinds of value, equality, showing, and pointers into a document."""

import json
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, Final, TypeGuard

MAX_DEPTH: Final = 100
"""How deep a schema or a value may nest, and how many schemas may apply inside each other.

Far beyond what tools use, and low enough that no check comes near Python's recursion limit.
"""

Tokens = tuple[str, ...]
"""A JSON pointer, taken apart and unescaped."""


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether a value is a JSON object; read-only copies of one are."""
    return isinstance(value, Mapping)


def is_array(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether a value is a JSON array; read-only copies of one are."""
    return isinstance(value, (list, tuple))


def kind(value: object) -> str | None:
    """The JSON type of a value, "number" for every number; None for what JSON does not have."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if is_object(value):
        return "object"
    if is_array(value):
        return "array"
    # NaN and the infinities: Python's parser makes them of `NaN` and 1e999, a tool expects neither.
    if isinstance(value, int) or (isinstance(value, float) and value - value == 0):
        return "number"
    return None


def is_integer(value: object) -> bool:
    """Whether a value is a whole number; 3.0 is one, as JSON has no other way to tell."""
    return kind(value) == "number" and value % 1 == 0  # type: ignore[operator]  # kind() narrows it


def canonical(value: object) -> Hashable:
    """Something equal for two values exactly where JSON holds them equal: 1 is 1.0, true is not 1."""
    if isinstance(value, bool):
        return "boolean", value
    if is_object(value):
        return "object", frozenset((name, canonical(item)) for name, item in value.items())
    if is_array(value):
        return "array", tuple(map(canonical, value))
    return value


def nests_deeper(value: object, limit: int) -> bool:
    """Whether a value has more than `limit` objects and arrays inside each other."""
    items: Collection[Any]
    if is_object(value):
        items = value.values()
    elif is_array(value):
        items = value
    else:
        return False
    return limit == 0 or any(nests_deeper(item, limit - 1) for item in items)


def cut(text: str, limit: int) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def show(value: object, limit: int = 60) -> str:
    """A value as JSON, cut to `limit` characters: models and people both read it."""
    try:
        return cut(json.dumps(value, ensure_ascii=False, default=_plain), limit)
    except ValueError:  # an int of more digits than Python is willing to write
        return "a number too long to show"


def _plain(value: object) -> object:
    return dict(value) if is_object(value) else repr(value)


def pointer(tokens: Tokens) -> str:
    """Write a JSON pointer as a URI fragment, the way `$ref` has it."""
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
    """What a pointer points at.

    Raises:
        LookupError: Nothing is there.
    """
    for token in tokens:
        if is_object(document):
            document = document[token]
        elif is_array(document) and token.isdecimal() and len(token) < 9:
            document = document[int(token)]
        else:
            raise LookupError(token)
    return document
