"""Checking a schema itself: well formed, without unsupported keywords, without endless references."""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from executionkit._json import is_array, is_mapping, show
from executionkit._schema._values import (
    MAX_DEPTH,
    Tokens,
    follow,
    is_integer,
    kind,
    nests_deeper,
    pointer,
    read_pointer,
)
from executionkit._text import shorten

_MAX_IN_PLACE: Final = 50
"""The most schemas that may apply to one value, through `$ref`, `allOf` and similar keywords."""

_TYPES: Final = ("null", "boolean", "integer", "number", "string", "array", "object")

_REFUSED: Final = {
    "unevaluatedProperties": "use additionalProperties",
    "unevaluatedItems": "use items",
    "$dynamicRef": "use $ref",
    "$recursiveRef": "use $ref",
}

SCHEMA: Final = {"additionalItems", "additionalProperties", "contains", "else", "if", "items", "not"} | {
    "propertyNames",
    "then",
}
SCHEMA_ARRAY: Final = {"allOf", "anyOf", "oneOf", "prefixItems"}
SCHEMA_OBJECT: Final = {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
_IN_PLACE: Final = {
    "allOf",
    "anyOf",
    "dependencies",
    "dependentSchemas",
    "else",
    "if",
    "not",
    "oneOf",
    "then",
}


def check_schema(schema: Mapping[str, Any], *, any_type: bool = False) -> None:
    r"""Require a JSON Schema that `find_errors` can check arguments against.

    The dialect is Draft 2020-12, with the older spellings that are still generated and can't be mistaken:
    `items` as an array with `additionalItems`, `dependencies`, true and false for `exclusiveMinimum` and
    `exclusiveMaximum`, and OpenAPI's `nullable`, which lets null pass the `type` beside it. `format`, content
    keywords and unknown keywords are annotations. Keywords beside a `$ref` apply too.

    Patterns are those of ECMA-262, and what Python and Rust add for the beginning and the end of a text. One
    that Python can't match for certain, such as `\p{L}`, is not checked: a warning in the log says so, once.

    Args:
        schema: The schema.
        any_type: Accept a schema of any type, not only of an object.

    Raises:
        ValueError: The schema is malformed, does not describe an object, refers to a place that is missing or
            to itself without end, nests more than 100 levels deep, or uses a keyword that can't be checked.
            The message holds the place as a JSON pointer.
    """
    if not is_mapping(schema):
        raise ValueError(
            f"parameters must be a JSON Schema object, got a value of type {type(schema).__name__}"
        )
    if not schema.keys() & KEYWORDS and not all(map(_is_annotation, schema)):
        raise ValueError(
            f"parameters must have a keyword of JSON Schema, got {show(schema)}; an example of the "
            'values is not a schema; a schema describes them: {"type": "object", "properties": ...}'
        )
    if nests_deeper(schema, MAX_DEPTH):
        raise ValueError(f"parameters must not nest more than {MAX_DEPTH} levels deep")
    _require_json(schema, ())
    if not any_type:
        _require_object(schema)

    in_place: dict[Tokens, list[Tokens]] = {}
    pending: list[Tokens] = [()]
    while pending:
        place = pending.pop()
        if place not in in_place:
            found = list(_check_one(schema, place))
            in_place[place] = [target for target, applies_in_place in found if applies_in_place]
            pending += [target for target, _ in found]
    _require_an_end(in_place)


def _fail(place: Tokens, problem: str) -> ValueError:
    return ValueError(f"parameters at {pointer(place)}: {problem}")


def _require_json(value: object, place: Tokens) -> None:
    """Require JSON throughout, because the schema is sent to the server with its annotations."""
    if kind(value) is None:
        raise _fail(place, f"{shorten(repr(value), 60)} is not a JSON value")
    if is_mapping(value):
        for name, item in value.items():
            if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - it is users' data
                raise _fail(place, f"the key {name!r} is not a string")
            _require_json(item, (*place, name))
    elif is_array(value):
        for index, item in enumerate(value):
            _require_json(item, (*place, str(index)))


def _require_object(schema: Mapping[str, Any]) -> None:
    types = schema.get("type", "object")
    if types != "object" and not (is_array(types) and "object" in types):
        raise ValueError(f'parameters must describe an object: type must be "object", got {show(types)}')


def _require_an_end(in_place: dict[Tokens, list[Tokens]]) -> None:
    height: dict[Tokens, int] = {}
    try:
        for place in TopologicalSorter(in_place).static_order():
            height[place] = 1 + max((height[target] for target in in_place[place]), default=0)
    except CycleError as exc:
        cycle = " -> ".join(map(pointer, reversed(exc.args[1])))
        raise ValueError(f"parameters must not refer to themselves without end: {cycle}") from None
    place = max(height, key=height.__getitem__)
    if height[place] > _MAX_IN_PLACE:
        raise _fail(place, f"more than {_MAX_IN_PLACE} schemas would apply inside each other to one value")


def _check_one(root: Mapping[str, Any], place: Tokens) -> Iterator[tuple[Tokens, bool]]:
    """Check one schema; yield the schemas it leads to, and whether they apply to the same value."""
    schema = follow(root, place)
    if isinstance(schema, bool):
        return
    if not is_mapping(schema):
        raise _fail(place, f"must be a schema (an object, true or false), got {show(schema)}")
    if place and "$id" in schema:
        raise _fail(place, "$id is supported at the root only")
    for keyword, argument in schema.items():
        if keyword in _REFUSED:
            raise _fail(place, f"{keyword} is not supported, {_REFUSED[keyword]}")
        if keyword in _SHAPES:
            is_right, wanted = _SHAPES[keyword]
            if not is_right(argument):
                raise _fail(place, f"{keyword} must be {wanted}, got {show(argument)}")
            if keyword in _PATTERNS:
                _report_unchecked(_PATTERNS[keyword](argument), f"parameters at {pointer(place)}: {keyword}")
        for below in _children(keyword, argument):
            yield (*place, keyword, *below), keyword in _IN_PLACE
    if "$ref" in schema:
        yield _target(root, schema["$ref"], place), True


def _target(root: Mapping[str, Any], ref: str, place: Tokens) -> Tokens:
    try:
        target = read_pointer(ref)
        follow(root, target)
    except LookupError:
        raise _fail(place, f"$ref {show(ref)} points at nothing") from None
    except ValueError as exc:
        raise _fail(place, f"$ref {exc}") from None
    return target


def _children(keyword: str, argument: Any) -> list[Tokens]:
    if keyword in SCHEMA_ARRAY or (keyword == "items" and is_array(argument)):
        return [(str(index),) for index in range(len(argument))]
    if keyword in SCHEMA_OBJECT:
        return [(name,) for name in argument]
    if keyword == "dependencies":
        return [(name,) for name, needs in argument.items() if not is_array(needs)]
    return [()] if keyword in SCHEMA else []


def _is_type(value: Any) -> bool:
    names = value if is_array(value) else [value]
    return len(names) > 0 and all(name in _TYPES for name in names)


def _is_count(value: Any) -> bool:
    return is_integer(value) and value >= 0


def _is_names(value: Any) -> bool:
    return is_array(value) and all(isinstance(name, str) for name in value)


def _is_pattern(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    from executionkit._schema._patterns import compiled  # not at the top: few schemas need it

    try:
        compiled(value)
    except ValueError:
        return False
    return True


_PATTERNS: Final[dict[str, Callable[[Any], Collection[str]]]] = {
    "pattern": lambda pattern: (pattern,),
    "patternProperties": lambda schemas: schemas,
}


def _report_unchecked(patterns: Collection[str], where: str) -> None:
    from executionkit._schema._patterns import compiled

    for pattern in patterns:
        if compiled(pattern) is None:
            _report(f"{where} {show(pattern)}")


@lru_cache(maxsize=1024)  # each is said once: tools are often made anew for every request
def _report(constraint: str) -> None:
    import logging  # not at the top: hardly any schema needs it

    from executionkit._logs import write

    what = "%s is not checked: Python's regular expressions can't match it for certain"
    write(logging.getLogger("executionkit.schema"), logging.WARNING, what, constraint)


def _is(*kinds: str) -> Callable[[Any], bool]:
    return lambda value: kind(value) in kinds


def _of(names: set[str], is_right: Callable[[Any], bool], wanted: str) -> dict[str, Any]:
    return dict.fromkeys(names, (is_right, wanted))


_SHAPES: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    **_of({"type"}, _is_type, f"one of {', '.join(_TYPES)}, or an array of them"),
    **_of({"enum"}, _is("array"), "an array"),
    **_of({"required"}, _is_names, "an array of strings"),
    **_of(
        {"dependentRequired"},
        lambda value: is_mapping(value) and all(map(_is_names, value.values())),
        "an object of arrays of strings",
    ),
    **_of(
        {"dependencies"},
        lambda value: (
            is_mapping(value) and all(_is_names(needs) or not is_array(needs) for needs in value.values())
        ),
        "an object of schemas and arrays of strings",
    ),
    **_of({"minimum", "maximum"}, _is("number"), "a number"),
    **_of({"exclusiveMinimum", "exclusiveMaximum"}, _is("number", "boolean"), "a number"),
    **_of({"multipleOf"}, lambda value: kind(value) == "number" and value > 0, "a number more than 0"),
    **_of(
        {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"}
        | {"minContains", "maxContains"},
        _is_count,
        "a whole number of at least 0",
    ),
    **_of({"uniqueItems", "nullable"}, _is("boolean"), "true or false"),
    **_of({"pattern"}, _is_pattern, "a regular expression"),
    **_of({"$ref"}, _is("string"), "a string"),
    **_of(SCHEMA_ARRAY, _is("array"), "an array of schemas"),
    **_of(SCHEMA_OBJECT, _is("object"), "an object of schemas"),
    **_of(
        {"patternProperties"},
        lambda value: is_mapping(value) and all(map(_is_pattern, value)),
        "an object of schemas, each under a regular expression",
    ),
}

KEYWORDS: Final = {*_SHAPES, *SCHEMA, *SCHEMA_ARRAY, *SCHEMA_OBJECT, *_REFUSED, "const"}
_ANNOTATIONS: Final = {
    *("$schema", "$id", "$comment", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary"),
    *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"),
    *("format", "contentEncoding", "contentMediaType", "contentSchema"),
}


def _is_annotation(keyword: Any) -> bool:
    return keyword in _ANNOTATIONS or str(keyword).startswith("x-")
