"""`FunctionTool`: a tool made of a function's own signature and docstring, and the decorator `tool`."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from executionkit._warning import warn_the_caller
from executionkit.tools._arguments import Blueprint, blueprint_of
from executionkit.tools._signature import Injected
from executionkit.tools._tool import Tool

P = ParamSpec("P")
R = TypeVar("R")


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
    """Make a tool of a function, as a decorator with or without options.

    The name, the description and the schema come from the function: its annotations say what the arguments
    are, and its docstring (in the style of Google, NumPy or Sphinx) describes them. The arguments of a call
    arrive as objects of the annotated types: dates, enums, dataclasses, models. The tool can still be called
    as the function.

    Annotations that JSON has itself (`str`, `int`, `float`, `bool`, `None`, `Any`, `list`, `dict`, `Literal` of
    strings, unions of them) need no other package; all others need the extra `pydantic`. A parameter named
    `provider` without an annotation, or annotated as a provider, is handed a provider whose calls count in
    the loop's budget. A parameter annotated as `ToolCall` is handed the call. The model sees neither.

    Example:
        ```python
        from typing import Literal

        from executionkit import LLMResponse, MockProvider, ToolCall, react_loop, tool


        @tool
        def price(item: str, currency: Literal["EUR", "USD"] = "EUR") -> float:
            '''The price of an item on the menu.

            Args:
                item: Its name, as printed.
            '''
            return {"tea": 3.20}[item]


        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        asks = LLMResponse("", [ToolCall("call_1", "price", {"item": "tea"})])
        provider = MockProvider([asks, "Tea costs 3.20."])
        result = await react_loop(provider, "What does tea cost?", [price])
        assert result.tool_calls_made == 1
        assert price("tea") == 3.20
        ```

    Args:
        function: The function, plain or async.
        name: The tool's name. Defaults to the function's; a lambda, a partial and a callable object need one.
        description: The purpose of the tool, for the model. Defaults to the docstring up to its first
            section. A tool without a description gives a UserWarning.
        timeout: Time limit in seconds; a finite number more than 0.
        parameters: Descriptions of parameters, by name. They replace those in `Annotated[..., "text"]`, in
            pydantic's `Field` and in the docstring.

    Raises:
        TypeError: The function can't be called with the arguments of a model, or an annotation can't be
            resolved or checked.
        ValueError: The name, a description or the timeout is out of range.
        ImportError: An annotation needs pydantic, which is not installed.
    """
    if function is not None:
        return Tool.from_function(function, **options)
    return functools.partial(Tool.from_function, **options)


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
