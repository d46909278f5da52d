"""The servers' own modes for structured output: their request fields, refusals, and a memory of both."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from executionkit._output import SchemaMode
from executionkit.errors import LLMError, PermanentError

MODES: Final[tuple[SchemaMode, ...]] = ("json_schema", "json_object_schema", "json_object", "none")

_MOST_SCHEMAS: Final = 256
"""The most schemas that are remembered for a provider."""


def request_fields(mode: SchemaMode, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The body fields that ask the server for `mode`."""
    if mode == "json_schema":
        strict = _strict(schema)
        described = {"name": "reply", "schema": strict or schema, "strict": strict is not None}
        return {"response_format": {"type": "json_schema", "json_schema": described}}
    if mode == "json_object_schema":
        return {"response_format": {"type": "json_object", "schema": schema}}
    return {"response_format": {"type": "json_object"}} if mode == "json_object" else {}


_MODE_WORDS: Final = re.compile(
    # "Failed to initialize samplers": llama.cpp's server, of a grammar that it can't begin with.
    r"response.?format|json.?(?:schema|object|mode)|structured.?output|grammar|guided|schema|samplers",
    re.IGNORECASE,
)
_ROOM_WORDS: Final = re.compile(r"max.?(?:completion.?|new.?|output.?)?tokens|too large", re.IGNORECASE)


def refuses_mode(exc: LLMError) -> bool:
    """Whether the server says that it doesn't have the mode, or not for this schema."""
    return _is_complaint(exc) and _MODE_WORDS.search(str(exc)) is not None


def refuses_room(exc: LLMError) -> bool:
    """Whether the server says that `max_tokens` is too large."""
    return _is_complaint(exc) and _ROOM_WORDS.search(str(exc)) is not None


def _is_complaint(exc: LLMError) -> bool:
    # llama.cpp reports clients' mistakes as 500. Other providers may not have a status.
    status = exc.status_code
    return status in (400, 422, 500, 501) or (status is None and isinstance(exc, PermanentError))


class ModeMemory:
    """The mode that each provider takes for each schema, so that a refusal is paid for once."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[object, dict[str, SchemaMode]] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._known)

    def recall(self, provider: object, schema: Mapping[str, Any]) -> SchemaMode | None:
        """The mode found for this provider and schema, or None."""
        try:
            return self._known.get(provider, {}).get(_key(schema))
        except TypeError:  # a provider that can't be hashed or weakly referenced
            return None

    def learn(self, provider: object, schema: Mapping[str, Any], mode: SchemaMode) -> None:
        """Remember the mode that was found."""
        with suppress(TypeError):
            modes = self._known.setdefault(provider, {})
            if len(modes) >= _MOST_SCHEMAS:
                modes.pop(next(iter(modes)))
            modes[_key(schema)] = mode


def _key(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, sort_keys=True)


MEMORY: Final = ModeMemory()

# -- strict schemas ----------------------------------------------------------------------------------------

_STRICT_KEYWORDS: Final = {
    *("type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf"),
    *("$ref", "$defs", "title", "description"),
}


def _strict(schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema as "strict" servers want it, every object closed; None if that would change its meaning.

    Strict servers want every property required, and a model made to fill in an optional one invents a value.
    """
    try:
        return cast("Mapping[str, Any]", _closed(schema))
    except ValueError:
        return None


def _closed(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        raise ValueError("true and false are no strict schemas")
    members = cast("Mapping[str, Any]", schema)
    if not members.keys() <= _STRICT_KEYWORDS:
        raise ValueError("a keyword that strict schemas don't have")
    closed = dict(members)
    for name in ("properties", "$defs"):
        if name in members:
            closed[name] = {key: _closed(item) for key, item in members[name].items()}
    if "anyOf" in members:
        closed["anyOf"] = [_closed(item) for item in members["anyOf"]]
    if "items" in members:
        closed["items"] = _closed(members["items"])
    if "object" in members.get("type", ()) or "properties" in members:
        is_open = members.get("additionalProperties", "properties" not in members) is not False
        if is_open or set(members.get("properties", {})) != set(members.get("required", ())):
            raise ValueError("not every property is required, or there are others")
        closed["additionalProperties"] = False
    return closed
