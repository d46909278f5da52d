"""TypedDicts on Python 3.11, where pydantic takes only those of typing_extensions."""

import sys
from functools import reduce
from operator import or_
from types import UnionType
from typing import Any, NotRequired, Required, get_args, get_origin, get_type_hints, is_typeddict


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
