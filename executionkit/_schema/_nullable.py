"""Optional properties for strict servers, which want every property: as required ones that may be null."""

from collections.abc import Mapping
from typing import Any, Final

from executionkit._json import is_array, is_list, is_mapping, plain
from executionkit._schema._strict import strict
from executionkit._schema._validator import fits
from executionkit._schema._values import follow, read_pointer
from executionkit._schema._wellformed import SCHEMA, SCHEMA_ARRAY, SCHEMA_OBJECT

_WORDS: Final = ("title", "description")


def strict_with_nulls(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Write a schema as strict servers want it, with optional properties nullable; None if that fails."""
    try:
        return strict(_all_required(schema, schema))
    except (ValueError, LookupError, RecursionError):
        return None


def without_nulls(value: Any, schema: Mapping[str, Any]) -> Any:
    """Take out of a value the nulls that stand for optional properties, whose own schemas allow no null."""
    return _without(value, schema, schema)


def _all_required(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for keyword, argument in schema.items():
        if keyword in SCHEMA_OBJECT and is_mapping(argument):
            written[keyword] = {name: _inner(item, root) for name, item in argument.items()}
        elif keyword in SCHEMA or keyword in SCHEMA_ARRAY:
            several = is_array(argument)
            written[keyword] = [_inner(a, root) for a in argument] if several else _inner(argument, root)
        else:
            written[keyword] = plain(argument)
    properties = schema.get("properties")
    if is_mapping(properties):
        required = schema.get("required", ())
        for name, rule in properties.items():
            if name not in required and not fits(None, rule, root):
                written["properties"][name] = _or_null(written["properties"][name])
        written["required"] = list(dict.fromkeys([*required, *properties]))
    return written


def _inner(schema: Any, root: Mapping[str, Any]) -> Any:
    return _all_required(schema, root) if is_mapping(schema) else plain(schema)


def _or_null(rule: Any) -> dict[str, Any]:
    if not is_mapping(rule):
        raise ValueError("true and false are no strict schemas")
    types = rule.get("type")
    if types is not None and not rule.keys() & {"enum", "const", "$ref", "allOf", "anyOf", "oneOf", "not"}:
        return {**rule, "type": [*([types] if isinstance(types, str) else types), "null"]}
    words = {word: rule[word] for word in _WORDS if word in rule}
    return {**words, "anyOf": [{k: v for k, v in rule.items() if k not in words}, {"type": "null"}]}


def _without(value: Any, schema: Any, root: Mapping[str, Any]) -> Any:
    if not is_mapping(schema):
        return value
    if "$ref" in schema:
        value = _without(value, follow(root, read_pointer(schema["$ref"])), root)
    for member in schema.get("allOf", ()):
        value = _without(value, member, root)
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        candidate = _without(value, choice, root)
        if fits(candidate, choice, root):
            value = candidate
            break
    if is_list(value):
        items = schema.get("items")
        return [_without(item, items, root) for item in value] if is_mapping(items) else value
    if not is_mapping(value):
        return value
    properties, required = schema.get("properties", {}), schema.get("required", ())
    return {
        name: _without(item, properties.get(name), root)
        for name, item in value.items()
        if item is not None
        or name not in properties
        or name in required
        or fits(None, properties[name], root)
    }
