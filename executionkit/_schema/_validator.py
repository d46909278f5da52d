"""Checking a value against a schema; the errors are written so that a model can act on them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

from executionkit._json import is_array, show
from executionkit._schema._keywords import ASSERTIONS, named
from executionkit._schema._values import MAX_DEPTH, follow, is_integer, kind, nests_deeper, read_pointer
from executionkit._text import shorten

_MAX_STEPS: Final = 100_000
"""The most times that schemas may be applied in one check, because recursive alternatives multiply."""

Schema: TypeAlias = Mapping[str, Any] | bool
_Error: TypeAlias = tuple[str, str]  # where, and what


def find_errors(value: object, schema: Schema, *, limit: int = 5) -> list[str]:
    """Check a value against a schema that `check_schema` has accepted.

    Args:
        value: A JSON value as `json.loads` makes it; tuples and read-only mappings are accepted too.
        schema: The schema.
        limit: The most errors to report, at least 1.

    Returns:
        The errors, each with its place in the value (`passengers[0].dob: expected string, got 42`). The list
        is empty if the value is valid. A value that is too deep or too large to be checked is not valid.
        A pattern that can't be checked here (see `check_schema`) makes nothing invalid, in no combination.
    """
    if nests_deeper(value, MAX_DEPTH):
        return [f"nested more than {MAX_DEPTH} levels deep"]
    try:
        errors = islice(_Check(schema).errors(value, schema, _Place("", 0)), limit)
        return [f"{_end(path)}: {problem}" if path else problem for path, problem in errors]
    except _GaveUp as exc:
        return [str(exc)]


def fits(value: object, schema: Schema, root: Schema) -> bool:
    """Whether a value fits a schema within another one, in which its references are looked up."""
    try:
        return _Check(root).fits(value, schema, _Place("", 0))
    except _GaveUp:
        return False


def _end(path: str) -> str:
    return path if len(path) <= 200 else f"…{path[-199:]}"


class _GaveUp(Exception):  # noqa: N818 - not an error: it ends the whole check, also inside `not` and `anyOf`
    """The value is too deep or too large to be checked."""


class _Place(NamedTuple):
    """A place in the value, and the number of schemas applied inside each other to reach it."""

    path: str
    depth: int

    def same(self) -> "_Place":
        return _Place(self.path, self.depth + 1)

    def item(self, index: int) -> "_Place":
        return _Place(f"{self.path}[{index}]", self.depth + 1)

    def member(self, name: str) -> "_Place":
        if not name.isidentifier():
            return _Place(f"{self.path}[{show(name)}]", self.depth + 1)
        return _Place(f"{self.path}.{name}" if self.path else name, self.depth + 1)

    def error(self, problem: str) -> _Error:
        return self.path, problem


class _Check:
    """One check of one value.

    Attributes:
        root: The whole schema, for references.
        doubts: The patterns so far that a text had to be let through, because they can't be checked.
    """

    def __init__(self, root: Schema) -> None:
        self.root = root
        self.doubts = 0
        self._steps = 0

    def errors(self, value: Any, schema: Schema, place: _Place) -> Iterator[_Error]:
        self._steps += 1
        if place.depth > MAX_DEPTH:
            raise _GaveUp(f"nested too deeply to be checked, at {_end(place.path)}")
        if self._steps > _MAX_STEPS:
            raise _GaveUp("too large to be checked")
        value_kind = kind(value)
        if value_kind is None:
            yield place.error(f"{show(value)} is not a JSON value")
            return
        if isinstance(schema, bool):
            if not schema:
                yield place.error("no value is allowed here")
            return
        if not _has_type(value, schema):
            yield place.error(f"expected {_types(schema)}, got {show(value)}")
            return  # all other errors follow from this one
        for keyword, argument in schema.items():
            if keyword in ASSERTIONS:
                wanted, test = ASSERTIONS[keyword]
                if wanted in (value_kind, None):
                    problem = test(argument, value, schema)
                    if problem is not None:
                        yield place.error(problem)
            elif keyword in _APPLICATORS:
                wanted, apply = _APPLICATORS[keyword]
                if wanted in (value_kind, None):
                    yield from apply(self, argument, value, schema, place)

    def fits(self, value: Any, schema: Schema, place: _Place) -> bool:
        """Whether a value fits; a pattern that can't be checked stands in no one's way."""
        return next(self.errors(value, schema, place.same()), None) is None

    def surely_fits(self, value: Any, schema: Schema, place: _Place) -> bool:
        """Whether a value fits, with every pattern on the way checked."""
        before = self.doubts
        return self.fits(value, schema, place) and self.doubts == before

    def matches(self, pattern: str, text: str) -> bool | None:
        """Whether a pattern matches; None if it can't be checked."""
        from executionkit._schema._patterns import compiled  # not at the top: few schemas need it

        expression = compiled(pattern)
        if expression is None:
            self.doubts += 1
            return None
        return expression.search(text) is not None


def _has_type(value: Any, schema: Mapping[str, Any]) -> bool:
    if "type" not in schema or (value is None and schema.get("nullable")):
        return True
    types = schema["type"]
    types = (types,) if isinstance(types, str) else types
    return kind(value) in types or ("integer" in types and is_integer(value))


def _types(schema: Mapping[str, Any]) -> str:
    types = schema["type"]
    names = [types] if isinstance(types, str) else list(types)
    if schema.get("nullable"):
        names.append("null")
    return " or ".join(names)


# Applicators: (check, argument, value, schema, place) -> errors.


def _ref(check: _Check, argument: str, value: Any, _: Mapping[str, Any], place: _Place) -> Iterator[_Error]:
    yield from check.errors(value, follow(check.root, read_pointer(argument)), place.same())


def _all_of(
    check: _Check, argument: Sequence[Schema], value: Any, _: Mapping[str, Any], place: _Place
) -> Iterator[_Error]:
    for part in argument:
        yield from check.errors(value, part, place.same())


def _any_of(
    check: _Check, argument: Sequence[Schema], value: Any, _: Mapping[str, Any], place: _Place
) -> Iterator[_Error]:
    reasons: list[_Error] = []
    for choice in argument:
        reason = next(check.errors(value, choice, place.same()), None)
        if reason is None:
            return
        reasons.append(reason)
    within = [reason for reason in reasons if reason[0] != place.path]
    if len(within) == 1:  # the other alternatives are for other kinds of value, such as null
        yield within[0]
    else:
        told = (
            f"{path[len(place.path) :].lstrip('.')}: {problem}".removeprefix(": ")
            for path, problem in reasons
        )
        yield place.error(shorten(f"fits none of the alternatives ({' | '.join(dict.fromkeys(told))})", 300))


def _one_of(
    check: _Check, argument: Sequence[Schema], value: Any, schema: Mapping[str, Any], place: _Place
) -> Iterator[_Error]:
    fitting: list[str] = []
    is_possible = False
    for number, choice in enumerate(argument, 1):
        before = check.doubts
        if check.fits(value, choice, place):
            is_possible = True
            if check.doubts == before:
                fitting.append(str(number))
    if not is_possible:
        yield from _any_of(check, argument, value, schema, place)
    elif len(fitting) > 1:
        yield place.error(f"fits more than one of the alternatives (numbers {', '.join(fitting)})")


def _not(
    check: _Check, argument: Schema, value: Any, _: Mapping[str, Any], place: _Place
) -> Iterator[_Error]:
    if check.surely_fits(value, argument, place):
        yield place.error(f"must not fit {show(argument)}, got {show(value)}")


def _if(
    check: _Check, argument: Schema, value: Any, schema: Mapping[str, Any], place: _Place
) -> Iterator[_Error]:
    before = check.doubts
    does_fit = check.fits(value, argument, place)
    is_sure = not does_fit or check.doubts == before
    otherwise = schema.get("else", True)
    if not is_sure and check.fits(value, otherwise, place):
        return
    yield from check.errors(value, schema.get("then", True) if does_fit else otherwise, place.same())


def _pattern(
    check: _Check, argument: str, value: str, _: Mapping[str, Any], place: _Place
) -> Iterator[_Error]:
    if check.matches(argument, value) is False:
        yield place.error(f"must match the pattern {show(argument)}, got {show(value)}")


def _properties(
    check: _Check,
    argument: Mapping[str, Schema],
    value: Mapping[str, Any],
    _: Mapping[str, Any],
    place: _Place,
) -> Iterator[_Error]:
    for name, rule in argument.items():
        if name in value:
            yield from check.errors(value[name], rule, place.member(name))


def _pattern_properties(
    check: _Check,
    argument: Mapping[str, Schema],
    value: Mapping[str, Any],
    _: Mapping[str, Any],
    place: _Place,
) -> Iterator[_Error]:
    for pattern, rule in argument.items():
        for name, item in value.items():
            if check.matches(pattern, name):
                yield from check.errors(item, rule, place.member(name))


def _additional_properties(
    check: _Check, argument: Schema, value: Mapping[str, Any], schema: Mapping[str, Any], place: _Place
) -> Iterator[_Error]:
    known = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    # A name that a pattern might match, if it could be checked, is none of the others.
    names = [
        name
        for name in value
        if name not in known and all(check.matches(pattern, name) is False for pattern in patterns)
    ]
    if argument is not False:
        for name in names:
            yield from check.errors(value[name], argument, place.member(name))
    elif names:
        allowed = f"; allowed: {', '.join(map(show, known))}" if known else ""
        yield place.error(shorten(f"unknown {named(names)}{allowed}", 300))


def _property_names(
    check: _Check, argument: Schema, value: Mapping[str, Any], _: Mapping[str, Any], place: _Place
) -> Iterator[_Error]:
    for name in value:
        for _path, problem in check.errors(name, argument, place.same()):
            yield place.error(f"property name {show(name)}: {problem}")


def _dependent(
    check: _Check, argument: Mapping[str, Any], value: Mapping[str, Any], _: Mapping[str, Any], place: _Place
) -> Iterator[_Error]:
    for name, needs in argument.items():
        if name not in value:
            continue
        if is_array(needs):
            missing = [other for other in needs if other not in value]
            if missing:
                yield place.error(f"{show(name)} also needs {named(missing)}")
        else:
            yield from check.errors(value, needs, place.same())


def _prefix_items(
    check: _Check, argument: Sequence[Schema], value: Sequence[Any], _: Mapping[str, Any], place: _Place
) -> Iterator[_Error]:
    for index, (item, rule) in enumerate(zip(value, argument, strict=False)):
        yield from check.errors(item, rule, place.item(index))


def _items(
    check: _Check, argument: Any, value: Sequence[Any], schema: Mapping[str, Any], place: _Place
) -> Iterator[_Error]:
    if is_array(argument):  # the older form of prefixItems
        yield from _prefix_items(check, argument, value, schema, place)
        start, rest = len(argument), schema.get("additionalItems", True)
    else:
        start, rest = len(schema.get("prefixItems", ())), argument
    for index in range(start, len(value)):
        yield from check.errors(value[index], rest, place.item(index))


def _contains(
    check: _Check, argument: Schema, value: Sequence[Any], schema: Mapping[str, Any], place: _Place
) -> Iterator[_Error]:
    least, most = schema.get("minContains", 1), schema.get("maxContains")
    count = sum(check.fits(item, argument, place) for item in value)
    if count < least:
        yield place.error(f"must have at least {show(least)} items that fit {show(argument)}, has {count}")
    if most is not None and count > most:
        count = sum(check.surely_fits(item, argument, place) for item in value)
    if most is not None and count > most:
        yield place.error(f"must have at most {show(most)} items that fit {show(argument)}, has {count}")


_Applicator: TypeAlias = Callable[[_Check, Any, Any, Mapping[str, Any], _Place], Iterator[_Error]]

# By keyword: the kind of value that it applies to (None: every kind), and the function.
_APPLICATORS: Final[dict[str, tuple[str | None, _Applicator]]] = {
    "$ref": (None, _ref),
    "allOf": (None, _all_of),
    "anyOf": (None, _any_of),
    "oneOf": (None, _one_of),
    "not": (None, _not),
    "if": (None, _if),
    "pattern": ("string", _pattern),
    "properties": ("object", _properties),
    "patternProperties": ("object", _pattern_properties),
    "additionalProperties": ("object", _additional_properties),
    "propertyNames": ("object", _property_names),
    "dependentRequired": ("object", _dependent),
    "dependentSchemas": ("object", _dependent),
    "dependencies": ("object", _dependent),
    "prefixItems": ("array", _prefix_items),
    "items": ("array", _items),
    "contains": ("array", _contains),
}
