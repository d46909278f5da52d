"""Schemas as strict servers take them, which know a subset of JSON Schema."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from executionkit._json import is_mapping, plain
from executionkit._schema._values import follow, is_integer, kind, pointer, read_pointer
from executionkit._schema._wellformed import KEYWORDS

_STRICT: Final = {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf"}
_WORDS: Final = ("title", "description")
_TAKEN_APART: Final = {"$ref", "allOf", "oneOf", "nullable"}
_UNSTRICT: Final = {*KEYWORDS, "format"} - _STRICT - _TAKEN_APART - {"$defs", "definitions"}
_SHAPE: Final = ("properties", "additionalProperties")


def strict(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Write a schema as "strict" servers want it; None if that would change its meaning.

    They want every object closed and every property required, and a model made to fill in an optional one
    invents a value. They refuse keywords beside a `$ref`, `allOf`, and an array or a value of no type. A
    reference with keywords beside it is replaced by what it refers to, with these keywords.
    """
    try:
        return _Strict(schema).whole()
    except (ValueError, LookupError, RecursionError):
        return None


class _Strict:
    """One schema on its way to a strict server."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._definitions: dict[str, Any] = {}
        self._names: dict[str, str] = {}
        self._met: set[str] = set()

    def whole(self) -> dict[str, Any]:
        closed = self._closed(_merged(self._parts(self._root, ())))
        if closed["type"] != "object" or "anyOf" in closed:
            raise ValueError("the root of a strict schema is an object")
        return {**closed, "$defs": self._definitions} if self._definitions else closed

    def _written(self, schema: Any) -> dict[str, Any]:
        own = _own(schema)
        if own.keys() == {"$ref"}:
            return self._reference(own["$ref"])
        if own.keys() == {"allOf"} and len(own["allOf"]) == 1:
            return self._written(own["allOf"][0])
        if not own.keys() & {"$ref", "allOf"}:
            return self._closed(own)
        # In its place the first time, and a definition from then on: a schema may refer to itself, or be
        # referred to so often that it would fill pages.
        key = json.dumps(plain(own), sort_keys=True)
        if key in self._met:
            return self._defined(key, own)
        self._met.add(key)
        return self._closed(_merged(self._parts(own, ())))

    def _reference(self, ref: str) -> dict[str, Any]:
        tokens = read_pointer(ref)
        return self._defined(pointer(tokens), follow(self._root, tokens)) if tokens else {"$ref": "#"}

    def _defined(self, key: str, schema: Any) -> dict[str, Any]:
        if key not in self._names:
            if key.startswith("#"):
                wanted = re.sub(r"[^A-Za-z0-9_-]", "_", key.rpartition("/")[2]) or "definition"
                merged = schema
            else:
                wanted = "described"
                merged = _merged(self._parts(schema, ()))
            name = self._names[key] = self._free(wanted)
            self._definitions[name] = {}  # holds the place, because it may refer to itself
            self._definitions[name] = self._written(merged)
        return {"$ref": f"#/$defs/{self._names[key]}"}

    def _free(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._definitions:
            number += 1
            name = f"{wanted}_{number}"
        return name

    def _parts(self, schema: Any, within: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        """The schemas that apply together: the keywords of one, its reference and the members of `allOf`."""
        own = _own(schema)
        ref, members = own.pop("$ref", None), own.pop("allOf", ())
        yield own
        if ref is not None:
            if ref in within:
                raise ValueError("a reference that leads to itself")
            yield from self._parts(follow(self._root, read_pointer(ref)), (*within, ref))
        for member in members:
            yield from self._parts(member, within)

    def _closed(self, own: dict[str, Any]) -> dict[str, Any]:
        closed = dict(own)
        if "oneOf" in own:
            if "anyOf" in own or not self._are_apart(own["oneOf"]):
                raise ValueError("strict schemas have no oneOf, and anyOf would mean something else")
            closed["anyOf"] = closed.pop("oneOf")
        types = self._types(own)
        if types:
            closed["type"] = types[0] if len(types) == 1 else list(types)
        elif "anyOf" not in closed:
            raise ValueError("a value of any type")
        if "anyOf" in closed:
            closed["anyOf"] = [self._written(choice) for choice in closed["anyOf"]]
        if "items" in own:
            closed["items"] = self._written(own["items"])
        elif "array" in types:
            raise ValueError("an array of anything")
        if "properties" in own:
            closed["properties"] = {name: self._written(rule) for name, rule in own["properties"].items()}
        if "object" in types:
            is_open = own.get("additionalProperties", "properties" not in own) is not False
            if is_open or set(own.get("properties", ())) != set(own.get("required", ())):
                raise ValueError("not every property is required, or there are others")
            closed["additionalProperties"] = False
        return closed

    def _types(self, own: Mapping[str, Any]) -> Sequence[str]:
        if "type" in own:
            return [own["type"]] if isinstance(own["type"], str) else own["type"]
        if "properties" in own:
            return ["object"]
        values = [own["const"]] if "const" in own else own.get("enum", ())
        return list(dict.fromkeys(_type_of(value) for value in values))

    def _are_apart(self, choices: Sequence[Any]) -> bool:
        """Whether no value can fit two of the schemas: their types differ, or the value of one property."""
        seen = [_merged(self._parts(choice, ())) for choice in choices]
        types = [name for choice in seen for name in self._types(choice)]
        if (
            all(map(self._types, seen))
            and len(types) == len(set(types))
            and not {"integer", "number"} <= {*types}
        ):
            return True
        tags = [dict(_tags(choice)) for choice in seen]
        shared = set(tags[0]).intersection(*tags[1:]) if tags else ()
        return any(len({tag[name] for tag in tags}) == len(tags) for name in shared)


def _own(schema: Any) -> dict[str, Any]:
    """The keywords of one schema that mean something to a strict server, `nullable` as a type."""
    if not is_mapping(schema):
        raise ValueError("true and false are no strict schemas")
    if schema.keys() & _UNSTRICT:
        raise ValueError("a keyword that strict schemas don't have")
    own = {
        name: item
        for name, item in schema.items()
        if name in _STRICT or name in _TAKEN_APART or name in _WORDS
    }
    if own.pop("nullable", False) and "type" in own:
        types = [own["type"]] if isinstance(own["type"], str) else own["type"]
        own["type"] = list(dict.fromkeys([*types, "null"]))
    return own


def _merged(parts: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """One schema for several that apply together, with the first title and every description."""
    merged: dict[str, Any] = {}
    for part in parts:
        one, two = ({name: schema[name] for name in _SHAPE if name in schema} for schema in (merged, part))
        if one and two and one != two:
            # Each says which properties are known, so that both are right only together with no "others".
            if (
                "additionalProperties" in {**one, **two}
                or one["properties"].keys() & two["properties"].keys()
            ):
                raise ValueError("properties that can't be made one")
            merged["properties"] = {**one["properties"], **two["properties"]}
        for name, item in part.items():
            if name not in merged:
                merged[name] = item
            elif name == "description" and item != merged[name]:
                merged[name] = f"{merged[name]}\n{item}"
            elif name == "required":
                merged[name] = list(dict.fromkeys([*merged[name], *item]))
            elif name not in _WORDS and name not in _SHAPE and merged[name] != item:
                raise ValueError("keywords that can't be made one")
    return merged


def _tags(choice: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The required properties of an object that have one value only, and these values."""
    required = choice.get("required", ()) if choice.get("type") == "object" else ()
    for name in required:
        rule: object = choice.get("properties", {}).get(name)
        if not is_mapping(rule):
            continue
        values: Sequence[Any] = [rule["const"]] if "const" in rule else rule.get("enum", ())
        if len(values) == 1 and isinstance(values[0], str):
            yield name, values[0]


def _type_of(value: Any) -> str:
    found = kind(value)
    if found is None:
        raise ValueError("no JSON value")
    return "integer" if found == "number" and is_integer(value) else found
