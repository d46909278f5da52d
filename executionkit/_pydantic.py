"""What pydantic needs and says: types in the form that it takes, and its errors as lines for a model."""

import json
import sys
from functools import reduce
from operator import or_
from types import UnionType
from typing import Any, Final, NotRequired, Required, cast, get_args, get_origin, get_type_hints, is_typeddict

from executionkit._text import shorten

MOST_ERRORS: Final = 20
"""The most errors that the model is shown: with the first ones it can mend the rest too."""


def error_lines(exc: ValueError) -> list[str]:
    """The errors of pydantic's ValidationError, each with its place and the value found there."""
    entries = getattr(exc, "errors", None)
    if not callable(entries):
        return [str(exc)]
    lines: list[str] = []
    for entry in cast("list[dict[str, Any]]", entries(include_url=False, include_context=False)):
        place = _place(entry["loc"])
        got = "" if entry["type"] == "missing" else f", got {_shown(entry['input'])}"
        lines.append(f"{place}{': ' if place else ''}{entry['msg']}{got}")
    more = len(lines) - MOST_ERRORS
    return [*lines[:MOST_ERRORS], f"and {more} more"] if more > 0 else lines


def _place(location: tuple[int | str, ...]) -> str:
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step.isidentifier():
            path += f".{step}" if path else step
        else:
            path += f"[{json.dumps(step, ensure_ascii=False)}]"
    return path


def _shown(value: object) -> str:
    return shorten(json.dumps(value, ensure_ascii=False, default=repr), 60)


# -- TypedDicts on Python 3.11, where pydantic takes only those of typing_extensions -----------------------


def for_pydantic(kind: object) -> Any:
    """`kind` with every `typing.TypedDict` in it made over, where this Python needs it."""
    return _made_over(kind, ()) if sys.version_info < (3, 12) else kind


def _made_over(kind: Any, within: tuple[object, ...]) -> Any:
    if is_typeddict(kind):
        # One that refers to itself can't be made over from inside: pydantic then says what to use instead.
        return kind if kind in within else _twin(kind, (*within, kind))
    arguments = get_args(kind)
    replaced = tuple(_made_over(argument, within) for argument in arguments)
    if replaced == arguments:
        return kind
    if isinstance(kind, UnionType):
        return reduce(or_, replaced)
    origin: Any = get_origin(kind)
    return origin[replaced]


def _twin(kind: Any, within: tuple[object, ...]) -> Any:
    from typing_extensions import TypedDict  # comes with pydantic

    fields: dict[str, Any] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        bare = get_args(hint)[0] if get_origin(hint) in (Required, NotRequired) else hint
        need = Required if name in kind.__required_keys__ else NotRequired
        fields[name] = need[_made_over(bare, within)]
    return TypedDict(kind.__name__, fields)  # type: ignore[operator]  # made at run time
