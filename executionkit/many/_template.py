"""Prompts with the fields of a row in them: "Label this review: {text}"."""

import re
from collections.abc import Mapping
from typing import Any, Final

from executionkit._json import is_array
from executionkit._shown import shown
from executionkit._text import one_line, shorten

_NAME: Final = r"[^\W\d][\w.-]*(?: +[\w.-]+)*"
_FIELD: Final = re.compile(rf"\{{\{{({_NAME})\}}\}}|\{{({_NAME})\}}")
_MISSING: Final = object()
_KINDS: Final[dict[type, str]] = {
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    list: "an array",
    type(None): "null",
}


class FieldError(ValueError):
    """A row lacks a field that the prompt needs."""


class Template:
    """A text in which `{name}` stands for a field of a row.

    A name begins with a letter and goes on with letters, digits, `_`, `-`, points and inner spaces, directly
    between its braces. `{a.b}` is the field "a.b", or else field "b" of what is in "a"; a number counts in a
    list. `{{name}}` is written as `{name}`. All other braces stand for themselves, so JSON in a prompt needs
    no care.

    Attributes:
        names: The names, in the order of their first appearance.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self.names = list(dict.fromkeys(match[2] for match in _FIELD.finditer(text) if match[2]))

    def __str__(self) -> str:
        return self._text

    def fill(self, row: object) -> str:
        """The text with the fields of a row: texts as they are, anything else as JSON.

        Raises:
            FieldError: The row lacks a field, or has null there.
        """
        return _FIELD.sub(
            lambda match: f"{{{match[1]}}}" if match[1] else _text_of(row, match[2]), self._text
        )


def _text_of(row: object, name: str) -> str:
    found = _find(row, name)
    if found is _MISSING:
        raise FieldError(
            f"no field {name!r}; {what_is_there(row)}. For braces in the prompt, write {{{{{name}}}}}"
        )
    if found is None:
        raise FieldError(f"field {name!r} is null")
    return shown(found)


def _find(row: object, name: str) -> Any:
    if isinstance(row, Mapping) and name in row:
        return row[name]
    found: Any = row
    for part in name.split("."):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif is_array(found) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            return _MISSING
    return found


def what_is_there(row: object) -> str:
    """The fields of a row, for messages."""
    if not isinstance(row, Mapping):
        return f"the row is no object, but {_KINDS.get(type(row), f'a {type(row).__name__}')}"
    return f"the row has {shorten(one_line(', '.join(map(str, row))), 200) or 'no fields'}"
