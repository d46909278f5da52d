"""The forms of structured output: a checked type, JSON that fits a schema, or any JSON."""

import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import (
    Any,
    Final,
    Generic,
    Literal,
    Protocol,
    TypeAlias,
    TypeVar,
    cast,
)

from executionkit._json import canonical_text, is_record, plain
from executionkit._pydantic import MOST_ERRORS, error_lines, for_pydantic
from executionkit._schema import check_schema, find_errors

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

SchemaMode: TypeAlias = Literal["json_schema", "json_object_schema", "json_object", "none"]
"""A server's mode, the strictest first; "json_object_schema" is a json_object with the schema beside it."""

Rung: TypeAlias = Literal["ask", "fallback", "more_tokens", "repair"]
"""The purpose of a call: the first request, a mode that was refused, more room, a request with the errors."""

Validator: TypeAlias = Callable[[T], bool | str | Awaitable[bool | str | None] | None]
"""`(value)`, async or plain: None, True or "" accepts, False or a text (the reason) rejects."""


class OutputAdapter(Protocol[T_co]):
    """The methods of `pydantic.TypeAdapter` that `structured` calls; it types unions precisely."""

    def validate_json(self, data: str, /) -> T_co:
        """Read a JSON text as the type, or raise a ValueError."""
        ...

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of the type."""
        ...


_KEPT: Final = 1000
"""How many values are remembered, of types that don't read what they write."""


class UnfitError(Exception):
    """A reply that does not fit.

    Attributes:
        errors: The errors, each with its place.
    """

    def __init__(self, *errors: str) -> None:
        super().__init__(*errors)
        self.errors: list[str] = list(errors)


class Output(Generic[T]):
    """The form of the value: its schema, and how JSON is turned into it.

    A schema that describes no object is wrapped in one: servers' schema modes take objects only, and a lone
    number or string can't be found in a text for certain.

    Attributes:
        schema: The schema the model is given; None for any object or array.
    """

    def __init__(
        self,
        schema: Mapping[str, Any] | None,
        check: Callable[[Any], T],
        dumps: Sequence[Callable[[T], object]] = (),
    ) -> None:
        self._check = check
        self._dumps = (*dumps, _itself)
        self._written: deque[tuple[str, T, str]] = deque(maxlen=_KEPT)
        self._wraps = schema is not None and not _describes_object(schema) and _can_move(schema)
        self.schema: Mapping[str, Any] | None = schema
        if schema is not None and self._wraps:
            self.schema = _wrapped(schema)

    def read(self, value: Any) -> T:
        """Turn a JSON value into the value asked for.

        Raises:
            UnfitError: The JSON does not fit.
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

    def canonical(self, value: object) -> str:
        """Write a JSON value in a form that depends only on the value it is read as, and that reads as it.

        A type that doesn't read what it writes has no such form: the JSON that was first read as the value is
        written.

        Raises:
            UnfitError: The JSON does not fit.
        """
        wanted = self.read(value)
        for dump in self._dumps:
            try:
                text = canonical_text(dump(wanted))
                text = f'{{"value":{text}}}' if self._wraps else text
                if self.read(json.loads(text)) == wanted:
                    return text
            except Exception:  # noqa: BLE001, S112  # a type's own hooks may raise anything
                continue
        return self._first_written(wanted, canonical_text(value))

    def _first_written(self, wanted: T, text: str) -> str:
        with suppress(Exception):  # a type's own hooks may raise anything
            form = canonical_text(wanted)  # equality alone is not enough: 1 equals true
            for known_form, known, known_text in self._written:
                if known_form == form and known == wanted:
                    return known_text
            self._written.append((form, wanted, text))
        return text


def output_for(output: object) -> Output[Any]:
    """Make the `Output` for None, a JSON Schema, a type or an `OutputAdapter`.

    Raises:
        ValueError: `output` is something else, or a schema or type that can't be checked.
        ImportError: `output` is a type, and pydantic is not installed.
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
    return Output(schema, lambda value: _validated(adapter, value), _dumps(adapter))


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
    if not isinstance(output, type) and is_record(output):
        name = type(output).__name__
        raise ValueError(f"output must be the class itself, output={name}, got an instance: {output!r}")
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
        # As JSON, not as Python values: strict types take a date, say, from JSON text only.
        return adapter.validate_json(json.dumps(value))
    except RecursionError:
        raise UnfitError("nested too deeply to be checked") from None
    except ValueError as exc:
        raise UnfitError(*error_lines(exc)) from None


def _dumps(adapter: object) -> list[Callable[[Any], object]]:
    """The ways in which pydantic's adapters write a value; none for an adapter that only reads."""
    dump: Any = getattr(adapter, "dump_python", None)
    if not callable(dump):
        return []
    # Python's values first: as JSON, 1.0 and 1.00 of a Decimal are different texts.
    return [
        partial(dump, mode=mode, by_alias=by_alias, warnings=False)
        for mode in ("python", "json")
        for by_alias in (True, False)
    ]


def _itself(value: object) -> object:
    return value


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
