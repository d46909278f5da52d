"""What structured output is to become: a checked type, JSON that fits a schema, or any JSON."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar, cast

from executionkit._json import plain
from executionkit._schema import check_schema, find_errors
from executionkit._structured.structure import OutputAdapter
from executionkit._structured.typed_dicts import for_pydantic

T = TypeVar("T")

MOST_ERRORS: Final = 20
"""How many errors are told at the most: a model mends the first ones as well by themselves."""


class UnfitError(Exception):
    """A reply is not what was asked for.

    Attributes:
        errors: What is wrong, each with its place.
    """

    def __init__(self, *errors: str) -> None:
        super().__init__(*errors)
        self.errors: list[str] = list(errors)


class Output(Generic[T]):
    """What a reply must be read into.

    A schema of something else than an object is wrapped: servers' schema modes take objects only, and text in
    which a lone number or string would have to be found is no safe place for it.

    Attributes:
        schema: The schema the model is given; None for any object or array.
    """

    def __init__(self, schema: Mapping[str, Any] | None, check: Callable[[Any], T]) -> None:
        self._check = check
        self._wraps = schema is not None and not _describes_object(schema) and _can_move(schema)
        self.schema: Mapping[str, Any] | None = schema
        if schema is not None and self._wraps:
            self.schema = _wrapped(schema)

    def read(self, value: Any) -> T:
        """Turn a JSON value into what was asked for.

        Raises:
            UnfitError: It does not fit.
        """
        if self._wraps and isinstance(value, dict) and set(cast("dict[str, Any]", value)) == {"value"}:
            try:
                return self._check(value["value"])
            except UnfitError as exc:
                unfit = exc
            try:  # a type that is itself an object with one property called "value"
                return self._check(value)
            except UnfitError:
                raise unfit from None
        return self._check(value)


def output_for(output: object) -> Output[Any]:
    """Make ready to read `output`: None, a JSON Schema, or a type or `OutputAdapter`.

    Raises:
        ValueError: It is none of these, or a schema or type that can't be checked.
        ImportError: It is a type, and pydantic is not installed.
    """
    if output is None:
        return Output(None, lambda value: value)
    if isinstance(output, Mapping):
        return _by_schema(cast("Mapping[str, Any]", output))
    adapter = _adapter(output)
    try:
        schema = adapter.json_schema()
    except Exception as exc:  # a type's own hooks may raise anything
        raise ValueError(f"output has no JSON Schema, got {output!r}: {exc}") from exc
    return Output(schema, lambda value: _validated(adapter, value))


def _by_schema(given: Mapping[str, Any]) -> Output[Any]:
    schema = cast("dict[str, Any]", plain(given))
    try:
        check_schema(schema, any_type=True)
    except ValueError as exc:
        raise ValueError(f"output{str(exc).removeprefix('parameters')}") from None

    def check(value: Any) -> Any:
        errors = find_errors(value, schema, limit=MOST_ERRORS)
        if errors:
            raise UnfitError(*errors)
        return value

    return Output(schema, check)


def _adapter(output: object) -> OutputAdapter[Any]:
    if not isinstance(output, type) and hasattr(output, "validate_json") and hasattr(output, "json_schema"):
        return cast("OutputAdapter[Any]", output)
    wanted = f"output must be a type that pydantic can check, a JSON Schema or None, got {output!r}"
    if isinstance(output, (str, bytes, int, float, list, tuple, set)):
        raise ValueError(wanted)
    try:
        from pydantic import TypeAdapter
    except ImportError:
        raise ImportError(
            "a type as output needs pydantic: pip install pydantic, or give a JSON Schema"
        ) from None
    try:
        return cast("OutputAdapter[Any]", TypeAdapter(for_pydantic(output)))
    except Exception as exc:  # a type's own hooks may raise anything
        raise ValueError(f"{wanted}: {exc}") from exc


def _validated(adapter: OutputAdapter[T], value: Any) -> T:
    try:
        # As JSON, not as Python values: strict types then take what JSON can say of them.
        return adapter.validate_json(json.dumps(value))
    except RecursionError:
        raise UnfitError("nested too deeply to be checked") from None
    except ValueError as exc:
        raise UnfitError(*_told(exc)) from None


def _told(exc: ValueError) -> list[str]:
    """The errors in pydantic's ValidationError, each with its place and what stood there."""
    entries = getattr(exc, "errors", None)
    if not callable(entries):
        return [str(exc)]
    told: list[str] = []
    for entry in cast("list[dict[str, Any]]", entries(include_url=False, include_context=False)):
        place = _place(entry["loc"])
        got = "" if entry["type"] == "missing" else f", got {_shown(entry['input'])}"
        told.append(f"{place}{': ' if place else ''}{entry['msg']}{got}")
    more = len(told) - MOST_ERRORS
    return [*told[:MOST_ERRORS], f"and {more} more"] if more > 0 else told


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
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else f"{text[:59]}…"


# -- wrapping ----------------------------------------------------------------------------------------------

_DEFINITIONS: Final = ("$defs", "definitions", "$schema", "$id")


def _describes_object(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    reference = schema.get("$ref")
    if kind is None and isinstance(reference, str):  # as pydantic has it for a model that refers to itself
        target = schema.get("$defs", {}).get(reference.removeprefix("#/$defs/"))
        return isinstance(target, Mapping) and target.get("type") == "object"
    return kind == "object" or (kind is None and "properties" in schema)


def _can_move(schema: object) -> bool:
    """Whether every reference still points at the same thing when the schema moves a level down."""
    if isinstance(schema, Mapping):
        members = cast("Mapping[str, Any]", schema)
        reference = members.get("$ref")
        if isinstance(reference, str) and not reference.startswith(("#/$defs/", "#/definitions/")):
            return False
        return all(_can_move(item) for item in members.values())
    return not isinstance(schema, list) or all(map(_can_move, schema))


def _wrapped(schema: Mapping[str, Any]) -> dict[str, Any]:
    inner = {name: item for name, item in schema.items() if name not in _DEFINITIONS}
    outer = {name: item for name, item in schema.items() if name in _DEFINITIONS}
    shape = {"properties": {"value": inner}, "required": ["value"], "additionalProperties": False}
    return {"type": "object", **shape, **outer}
