"""Docstrings, of which the reference is made, name the parameters, fields and errors there are."""

import builtins
import dataclasses
import inspect
import re
from typing import Any, is_typeddict

import executionkit
from executionkit import answers, errors, many, parts, run_log, testing

OBJECTS: dict[str, Any] = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (executionkit, answers, many, parts, run_log, testing)
    for name in module.__all__
    if name != "__version__"
}
CLASSES = {name: value for name, value in OBJECTS.items() if inspect.isclass(value)}
FUNCTIONS = {
    name: value
    for name, value in {
        **OBJECTS,
        **{
            f"{name}.{member}": getattr(value, "__func__", value)
            for name, kind in CLASSES.items()
            for member, value in vars(kind).items()
            if not member.startswith("_")
        },
    }.items()
    if inspect.isfunction(value)
}
# Users make objects of these classes. The others they receive.
MADE_BY_USERS = {
    *("CostTracker", "ConvergenceDetector", "Evaluation", "Fault", "Kit", "LLMResponse", "LocalEndpoint"),
    *("MockProvider", "Pairwise", "Provider", "RetryConfig", "Rubric", "RunLog", "TokenUsage", "Tool"),
    "ToolError",
}


def docstring(of: object) -> str:
    """An object's own docstring, not that of a base class."""
    return inspect.cleandoc(vars(of)["__doc__"] or "" if inspect.isclass(of) else of.__doc__ or "")


def section(of: object, title: str) -> set[str]:
    """The names in a docstring's section, which has an entry `name: text` or `name (type): text` for each."""
    found = re.search(rf"^{title}:\n((?: .*\n?|\n)+)", docstring(of), re.MULTILINE)
    return set(re.findall(r"^ {4}([*\w]+)(?: \(.+?\))?: ", found[1], re.MULTILINE)) if found else set()


def parameters(of: Any) -> set[str]:
    """The names of the parameters, with their stars."""
    try:
        found = inspect.signature(of).parameters
    except ValueError:  # an exception that has the constructor of Exception
        return set()
    return {str(each)[: str(each).count("*", 0, 2)] + name for name, each in found.items()} - {"self", "cls"}


def test_every_public_object_has_a_docstring_and_what_users_call_an_example() -> None:
    objects = {**FUNCTIONS, **CLASSES}
    assert [name for name, value in objects.items() if not docstring(value)] == []
    called = {name: value for name, value in FUNCTIONS.items() if value in OBJECTS.values()}
    # An example of Parquet would need polars where the tests run.
    called = {
        name: value for name, value in called.items() if not re.search(r"_sync$|\.count_|_parquet$", name)
    }
    made = {name: value for name, value in CLASSES.items() if name.rpartition(".")[2] in MADE_BY_USERS}
    assert len(called) >= 15
    assert {name.rpartition(".")[2] for name in made} == MADE_BY_USERS
    examples = {**called, **made}
    assert [name for name, value in examples.items() if "```python" not in docstring(value)] == []


def test_the_parameters_of_functions_are_documented() -> None:
    faults: dict[str, object] = {}
    for name, of in FUNCTIONS.items():
        told, actual = section(of, "Args"), parameters(of)
        if ".Kit." in name:
            told -= {"provider"}  # a method's text ends in that of the pattern
        is_reference = name in OBJECTS and not name.endswith("_sync") and len(actual) > 2
        if told != actual and (told or is_reference):
            faults[name] = told ^ actual
    assert faults == {}


def test_the_fields_of_classes_are_documented() -> None:
    faults: dict[str, object] = {}
    for name, of in CLASSES.items():
        annotations = inspect.get_annotations(of)
        if dataclasses.is_dataclass(of) or is_typeddict(of) or hasattr(of, "_fields"):
            told = section(of, "Attributes") | section(of, "Args")
            actual = {field for field in annotations if not field.startswith("_")}
        else:
            told = section(of, "Args")
            actual = parameters(of) if told else set()
        # The reference prints the type of the field before for a field that only __init__ takes.
        untyped = {
            field
            for field, annotation in annotations.items()
            if isinstance(annotation, dataclasses.InitVar)
            and not re.search(rf"^ {{4}}{field} \(.+\): ", docstring(of), re.MULTILINE)
        }
        if untyped or told != actual:
            faults[name] = untyped | (told ^ actual)
    assert faults == {}


def test_the_errors_documented_are_exceptions() -> None:
    known = {**vars(builtins), **vars(errors), **vars(testing)}
    raised = {error for of in (*FUNCTIONS.values(), *CLASSES.values()) for error in section(of, "Raises")}
    assert {"ValueError", "BudgetExhaustedError"} <= raised
    assert [error for error in raised if not issubclass(known.get(error, object), BaseException)] == []
