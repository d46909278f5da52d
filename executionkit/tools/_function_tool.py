"""`FunctionTool`: a tool made of a function's own signature and docstring, and the decorator `tool`."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar, cast, overload

from executionkit._warning import warn_the_caller
from executionkit.tools._arguments import Blueprint, blueprint_of
from executionkit.tools._signature import Injected
from executionkit.tools._tool import Tool

P = ParamSpec("P")
R = TypeVar("R")

Toolable: TypeAlias = Tool | Callable[..., object]
"""A tool, or a function to make one of."""


# Not slotted: see `PatternResult`.
@dataclass(frozen=True, eq=False)
class FunctionTool(Tool, Generic[P, R]):
    """A tool made of a function. It can still be called as the function.

    The arguments of a call are converted to the annotated types before the function is called.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        # As of a function that is wrapped: `help`, `inspect.signature` and pickling see the function.
        for attribute in functools.WRAPPER_ASSIGNMENTS:
            if hasattr(self.execute, attribute):
                object.__setattr__(self, attribute, getattr(self.execute, attribute))
        object.__setattr__(self, "__wrapped__", self.execute)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, without any check or conversion."""
        return cast("R", self.execute(*args, **kwargs))

    def __reduce__(self) -> Any:
        # A decorated function is found under its own name, which now means the tool.
        home, name = getattr(self, "__module__", None), getattr(self, "__qualname__", "")
        return name if _found(home, name) is self else super().__reduce__()

    @property
    def injected(self) -> Mapping[str, Injected]:
        return self._blueprint.injected

    def convert(self, arguments: Mapping[str, object]) -> dict[str, object]:
        return self._blueprint.arguments.convert(arguments)

    @property
    def _blueprint(self) -> Blueprint:
        return blueprint_of(self.execute, self.name)

    def _check_parameters(self) -> None:
        """The schema comes from the annotations, which check the arguments themselves."""


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float = 30.0,
    parameters: Mapping[str, str] | None = None,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(function: Any = None, /, **options: Any) -> Any:
    """Make a tool of a function, as a decorator with or without options."""
    if function is not None:
        return Tool.from_function(function, **options)
    return functools.partial(Tool.from_function, **options)


def as_tool(given: Toolable) -> Tool:
    """The tool itself, or one made of the function."""
    return given if isinstance(given, Tool) else Tool.from_function(given)


def made_of(
    function: Callable[P, R],
    name: str | None,
    description: str | None,
    timeout: float,
    parameters: Mapping[str, str] | None,
) -> FunctionTool[P, R]:
    """Make the tool; see `Tool.from_function`."""
    name = _name_of(function) if name is None else name
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"tool {name}: the function must return its result, not generate it; collect it in a list"
        )
    blueprint = blueprint_of(function, name)
    descriptions = dict(parameters or {})
    schema = blueprint.schema(descriptions)
    unknown = sorted(descriptions.keys() - schema["properties"].keys())
    if unknown:
        has = ", ".join(schema["properties"]) or "none"
        raise ValueError(
            f"tool {name}: parameters describes {unknown[0]!r}; the function's parameters: {has}"
        )
    purpose = blueprint.docstring.description if description is None else description
    if not purpose:
        warn_the_caller(
            f"tool {name} has no description, and models choose their tools by it: give the function a "
            "docstring, or set description="
        )
    return FunctionTool(name, purpose, schema, cast("Callable[..., object]", function), timeout)


def _name_of(function: object) -> str:
    if not callable(function) or isinstance(function, type):
        what = f"the class {function.__name__}" if isinstance(function, type) else repr(function)
        raise TypeError(f"a tool is a function or a Tool, got {what}")
    name: str = getattr(function, "__name__", "")
    if not name.isidentifier() or not name.isascii():
        raise TypeError(f"a tool of {function!r} needs a name: tool(name=...)(function)")
    return name


def _found(home: str | None, name: str) -> object:
    import sys

    found: object = sys.modules.get(home or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
