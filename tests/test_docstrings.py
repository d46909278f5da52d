"""Docstrings, of which the reference is made, name the parameters, fields, keys and errors there are."""

import builtins
import dataclasses
import inspect
import re
from typing import Any, is_typeddict

import pytest
from described import FAILURES, PUBLIC, RUNS, parameters
from pages import spans

from executionkit import ExecutionKitError, answers, errors


def _members(kind: type[Any]) -> dict[str, Any]:
    found = {name: getattr(value, "__func__", value) for name, value in vars(kind).items()}
    return {f"{kind.__name__}.{name}": value for name, value in found.items() if not name.startswith("_")}


OBJECTS: dict[str, Any] = {
    **PUBLIC,
    **{f"answers.{name}": getattr(answers, name) for name in answers.__all__},
}
CLASSES = {name: value for name, value in OBJECTS.items() if inspect.isclass(value)}
FUNCTIONS = {
    name: value
    for each in (OBJECTS, *map(_members, CLASSES.values()))
    for name, value in each.items()
    if inspect.isfunction(value)
}


def docstring(of: object) -> str:
    """An object's own docstring, not that of a base class."""
    return inspect.cleandoc(vars(of)["__doc__"] or "" if inspect.isclass(of) else of.__doc__ or "")


def section(of: object, title: str) -> set[str]:
    """The names told in a docstring's section: an entry `name: text` or `name (type): text` for each."""
    found = re.search(rf"^{title}:\n((?: .*\n?|\n)+)", docstring(of), re.MULTILINE)
    return set(re.findall(r"^ {4}([*\w]+)(?: \(.+?\))?: ", found[1], re.MULTILINE)) if found else set()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_functions_arguments_are_told(name: str) -> None:
    of = FUNCTIONS[name]
    # What a catch-all named `_` takes, it takes to warn of it.
    told, actual = section(of, "Args") - {"**_"}, parameters(of).keys() - {"self", "cls"}
    if name.startswith("Kit."):
        told -= {"provider"}  # a method's text ends in that of the pattern
    is_reference = name in PUBLIC and not name.endswith("_sync") and len(actual) > 2
    assert told == actual or not (told or is_reference)


@pytest.mark.parametrize("name", CLASSES)
def test_a_classs_fields_and_arguments_are_told(name: str) -> None:
    of = CLASSES[name]
    has_fields = dataclasses.is_dataclass(of) or is_typeddict(of) or hasattr(of, "_fields")
    if has_fields:
        own = {each for each in inspect.get_annotations(of) if not each.startswith("_")}
        assert section(of, "Attributes") | section(of, "Args") == own
    else:
        told = section(of, "Args")
        assert told == parameters(of).keys() or not told


@pytest.mark.parametrize("name", CLASSES)
def test_a_field_that_only_init_takes_tells_its_type(name: str) -> None:
    # The generator of the reference finds none for it, and prints that of the field before.
    of = CLASSES[name]
    for field, annotation in inspect.get_annotations(of).items():
        if isinstance(annotation, dataclasses.InitVar):
            assert re.search(rf"^ {{4}}{field} \(.+\): ", docstring(of), re.MULTILINE)


@pytest.mark.parametrize("of", [*FUNCTIONS.values(), *CLASSES.values()], ids=[*FUNCTIONS, *CLASSES])
def test_the_errors_told_are_exceptions(of: object) -> None:
    known = {**vars(builtins), **vars(errors), **PUBLIC}
    for error in section(of, "Raises"):
        assert issubclass(known[error], BaseException)


@pytest.mark.parametrize("pattern", RUNS)
def test_a_patterns_metadata_keys_are_told(pattern: str) -> None:
    told = set(spans(docstring(PUBLIC[pattern]))) | set(
        re.findall(r'\["(\w+)"\]', docstring(PUBLIC[pattern]))
    )
    assert RUNS[pattern]().metadata.keys() <= told
    with pytest.raises(ExecutionKitError) as failure:
        FAILURES[pattern]()
    assert failure.value.metadata.keys() <= told
