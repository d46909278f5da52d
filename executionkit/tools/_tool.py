"""`Tool`: a function that the model may call, described by hand or by its own signature."""

import functools
import inspect
import math
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeAlias, TypeVar, cast, overload

from executionkit._callables import misfit, misfit_of_names, signature_of
from executionkit._display import Brief
from executionkit._json import plain
from executionkit._schema import check_schema, find_errors, sendable, with_integers
from executionkit._warning import warn_the_caller
from executionkit.responses import rebuild
from executionkit.tools._unfit import UnfitArgumentsError

if TYPE_CHECKING:
    from executionkit.tools._arguments import Blueprint
    from executionkit.tools._signature import Injected

P = ParamSpec("P")
R = TypeVar("R")

NeedsApproval: TypeAlias = bool | Callable[[Mapping[str, Any]], bool]
"""Whether a call of a tool needs approval: always, never, or by its arguments."""


def _read_only(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({key: _read_only(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(_read_only(item) for item in value)
    return value


@dataclass(frozen=True, slots=True)
class Tool(Brief):
    """A function the model may call.

    Example:
        ```python
        from executionkit import Tool


        async def price(item: str) -> dict[str, float]:
            return {"price": {"tea": 3.20}[item]}


        tool = Tool(
            name="price",
            description="The price of an item on the menu.",
            parameters={
                "type": "object",
                "properties": {"item": {"type": "string", "enum": ["tea"]}},
                "required": ["item"],
            },
            execute=price,
            timeout=5.0,
        )
        ```

    Attributes:
        name: The name that the model calls it by: 1 to 64 letters, digits, `_` and `-`.
        description: The purpose of the tool, for the model.
        parameters: JSON Schema of the arguments, an object schema; copied and made read-only.
        execute: The function, called with the arguments as keywords. An async function runs on the event
            loop, a plain one in a thread. A returned string is the observation; any other value is shown as
            JSON.
        timeout: Time limit in seconds; a finite number more than 0.
        needs_approval: Whether `react_loop` asks before each call: True, False, or a function of the
            arguments, as `execute` would receive them, that returns True or False.
        repeatable: Whether `max_repeats` of `react_loop` leaves the tool alone, because its result changes: a
            clock, a queue.
        strict: Whether the server is asked to hold the model to the schema. Optional parameters are then sent
            as required ones that may be null, and `execute` is called without those that are null.

    Raises:
        ValueError: A field is out of range, the schema is malformed or uses what can't be checked, `execute`
            can't be called with the arguments that the schema describes, or the schema has no strict form.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    execute: Callable[..., Awaitable[object] | object]
    timeout: float = 30.0
    _: KW_ONLY
    needs_approval: NeedsApproval = False
    repeatable: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not 1 <= len(self.name) <= 64 or not _is_tool_name(self.name):
            raise ValueError(f"name must be 1 to 64 letters, digits, '_' or '-', got {self.name!r}")
        if not callable(self.execute):
            raise ValueError(f"execute must be callable, got {self.execute!r}")
        if inspect.isgeneratorfunction(self.execute) or inspect.isasyncgenfunction(self.execute):
            raise ValueError(f"execute must return its result, not generate it, got {self.execute!r}")
        if not isinstance(self.description, str):
            raise ValueError(f"description must be a str, got {self.description!r}")
        is_number = isinstance(self.timeout, (int, float)) and not isinstance(self.timeout, bool)
        if not is_number or not 0 < self.timeout < math.inf:
            raise ValueError(f"timeout must be a finite number > 0 (seconds), got {self.timeout!r}")
        self._check_parameters()
        self._check_options()
        object.__setattr__(self, "parameters", _read_only(self.parameters))

    @staticmethod
    def from_function(
        function: Callable[P, R],
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        timeout: float = 30.0,
        strict: bool | None = None,
        needs_approval: NeedsApproval = False,
        repeatable: bool = False,
        parameters: Mapping[str, str] | None = None,
    ) -> "FunctionTool[P, R]":
        """Make a tool of a function, as the decorator `executionkit.tool` does.

        Args:
            function: The function, plain or async. Its annotations say what the arguments are.
            name: The tool's name. Defaults to the function's; a lambda, a partial and a callable object need
                one.
            description: The purpose of the tool. Defaults to the docstring up to its first section.
            timeout: Time limit in seconds.
            strict: Whether the server holds the model to the schema; None stands for False.
            needs_approval: Whether `react_loop` asks before each call, or a function of the arguments.
            repeatable: Whether `max_repeats` of `react_loop` leaves the tool alone.
            parameters: Descriptions of parameters, by name. They replace those of the annotations and of the
                docstring.

        Raises:
            TypeError: The function can't be called with the arguments of a model, or an annotation can't be
                resolved or checked.
            ValueError: The name, a description or an option is out of range, or the schema has no strict
                form.
            ImportError: An annotation needs pydantic, which is not installed.
        """
        name = _name_of(function) if name is None else name
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"tool {name}: the function must return its result, not generate it; collect it in a list"
            )
        from executionkit.tools._arguments import blueprint_of  # not at the top: few tools need it

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
            how = "give the function a docstring, or set description="
            if sys.flags.optimize > 1:
                how = "set description= and parameters=, because `python -OO` removes docstrings"
            warn_the_caller(f"tool {name} has no description, and models choose their tools by it: {how}")
        return FunctionTool(
            name,
            purpose,
            schema,
            cast("Callable[..., object]", function),
            timeout,
            needs_approval=needs_approval,
            repeatable=repeatable,
            strict=False if strict is None else strict,
        )

    def convert(self, arguments: Mapping[str, object]) -> dict[str, object]:
        """Check the arguments of a call, and return those to call the function with.

        Raises:
            ValueError: They don't fit the schema. The exception has all `errors`.
        """
        arguments = self._given(arguments)
        errors = find_errors(arguments, self.parameters)
        if errors:
            raise UnfitArgumentsError(*errors)
        whole: dict[str, object] = with_integers(plain(arguments), self.parameters)
        return whole

    @property
    def injected(self) -> "Mapping[str, Injected]":
        """The parameters of the function that the loop fills in: "provider" or "call", by name."""
        signature = signature_of(self.execute)
        if signature is None or "provider" not in signature.parameters:
            return {}
        # The function's decorator may supply it, and take none.
        is_taken = not misfit_of_names(self.execute, {"provider"}, None)
        return (
            {"provider": "provider"}
            if is_taken and "provider" not in self.parameters.get("properties", {})
            else {}
        )

    def _check_parameters(self) -> None:
        check_schema(self.parameters)
        schema = self.parameters
        declared = {*schema.get("properties", ()), *schema.get("required", ())}
        # Such a keyword may let in more names, and so may a schema that declares nothing.
        others = isinstance(schema.get("additionalProperties"), Mapping)
        is_whole = bool(declared) and not others and not schema.keys() & _MAY_NAME_MORE
        # `react_loop` hands the provider to a parameter of this name.
        why = misfit_of_names(self.execute, declared, {"provider"} if is_whole else None)
        if why:
            raise ValueError(f"execute must take the arguments in parameters, got {self.execute!r}: {why}")

    def _check_options(self) -> None:
        for name, value in (("repeatable", self.repeatable), ("strict", self.strict)):
            if not isinstance(value, bool):
                raise ValueError(f"{name} must be True or False, got {value!r}")
        asks = self.needs_approval
        if not isinstance(asks, bool):
            wanted = "needs_approval must be True, False or a function of the arguments that returns a bool"
            # A coroutine would count as an answer, and a wrong one.
            if not callable(asks) or inspect.iscoroutinefunction(asks):
                raise ValueError(f"{wanted}, got {asks!r}")
            if why := misfit(asks, {}):
                raise ValueError(f"{wanted}, got {asks!r}: {why}")
        if self.strict and self._closed() is None:
            raise ValueError(
                f"strict: the parameters of {self.name} have no strict form: servers take no open objects, "
                "values of any type, or limits such as minLength there"
            )

    def _given(self, arguments: Mapping[str, object]) -> Mapping[str, object]:
        """The arguments without the nulls that stand for parameters left out."""
        if not self.strict:
            return arguments
        from executionkit._schema._nullable import without_nulls  # not at the top: few tools are strict

        given: Mapping[str, object] = without_nulls(plain(arguments), self.parameters)
        return given

    def _closed(self) -> dict[str, Any] | None:
        """The parameters as strict servers want them; None if they can't be written so."""
        from executionkit._schema._nullable import strict_with_nulls  # not at the top: few tools are strict

        return strict_with_nulls(self.parameters)

    def __reduce__(self) -> tuple[Any, ...]:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["parameters"] = plain(self.parameters)
        return rebuild, (type(self), values)

    def to_schema(self) -> dict[str, Any]:
        """The tool in the form the chat completions API takes."""
        closed = self._closed() if self.strict else None
        function: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "parameters": sendable(self.parameters if closed is None else closed),
        }
        if closed is not None:
            function["strict"] = True
        return {"type": "function", "function": function}


_MAY_NAME_MORE = frozenset(
    {
        *("$ref", "allOf", "anyOf", "oneOf", "if"),
        *("dependencies", "dependentRequired", "dependentSchemas", "patternProperties", "propertyNames"),
    }
)


def _is_tool_name(name: str) -> bool:
    return name.isascii() and name.replace("_", "a").replace("-", "a").isalnum()


# Not slotted: see `PatternResult`.
@dataclass(frozen=True, eq=False)
class FunctionTool(Tool, Generic[P, R]):
    """A tool made of a function. It can still be called as the function.

    The arguments of a call are converted to the annotated types before the function is called.
    """

    if TYPE_CHECKING:  # or the dataclass would take them for fields

        @property
        def __name__(self) -> str: ...

        @property
        def __wrapped__(self) -> Callable[P, R]: ...

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "__name__", self.name)  # partials and callable objects have none
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
    def injected(self) -> "Mapping[str, Injected]":
        """The parameters of the function that the loop fills in: "provider" or "call", by name."""
        return self._blueprint.injected

    def convert(self, arguments: Mapping[str, object]) -> dict[str, object]:
        """Turn the arguments of a call into objects of the annotated types.

        Raises:
            ValueError: They don't fit. The exception has all `errors`.
        """
        return self._blueprint.arguments.convert(self._given(arguments))

    @property
    def _blueprint(self) -> "Blueprint":
        from executionkit.tools._arguments import blueprint_of

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
    strict: bool | None = None,
    needs_approval: NeedsApproval = False,
    repeatable: bool = False,
    parameters: Mapping[str, str] | None = None,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(
    function: Callable[..., object] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float = 30.0,
    strict: bool | None = None,
    needs_approval: NeedsApproval = False,
    repeatable: bool = False,
    parameters: Mapping[str, str] | None = None,
) -> Any:
    """Make a tool of a function, as a decorator with or without options.

    The name, the description and the schema come from the function: its annotations say what the arguments
    are, and its docstring (in the style of Google, NumPy or Sphinx) describes them. The arguments of a call
    arrive as objects of the annotated types: dates, enums, dataclasses, models. The tool can still be called
    as the function.

    Annotations that JSON has itself need no other package: `str`, `int`, `float`, `bool`, `None`, `Any`,
    `list`, `dict`, `Literal` of strings, and unions of them. All others need the extra `pydantic`. A
    parameter named `provider` without an annotation, or annotated as a provider, is handed a provider whose
    calls count in the loop's budget. A parameter annotated as `ToolCall` is handed the call. The model sees
    neither.

    Example:
        ```python
        from typing import Annotated, Literal

        from executionkit import LLMResponse, MockProvider, ToolCall, react_loop, tool


        @tool(description="The price of an item on the menu.")
        def price(
            item: Annotated[str, "Its name, as printed."],
            currency: Literal["EUR", "USD"] = "EUR",
        ) -> float:
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
        strict: Whether the server is asked to hold the model to the schema; None stands for False. Optional
            parameters are then sent as required ones that may be null, and the function is called without
            those that are null.
        needs_approval: Whether `react_loop` asks before each call: True, False, or a function of the
            arguments, as the function would receive them, that returns True or False.
        repeatable: Whether `max_repeats` of `react_loop` leaves the tool alone, because its result changes: a
            clock, a queue.
        parameters: Descriptions of parameters, by name. They replace those in `Annotated[..., "text"]`, in
            pydantic's `Field` and in the docstring.

    Raises:
        TypeError: The function can't be called with the arguments of a model, or an annotation can't be
            resolved or checked.
        ValueError: The name, a description or an option is out of range, or the schema has no strict form.
        ImportError: An annotation needs pydantic, which is not installed.
    """

    def made(function: Callable[..., object]) -> Any:
        return Tool.from_function(
            function,
            name=name,
            description=description,
            timeout=timeout,
            strict=strict,
            needs_approval=needs_approval,
            repeatable=repeatable,
            parameters=parameters,
        )

    return made if function is None else made(function)


def _name_of(function: object) -> str:
    if not callable(function) or isinstance(function, type):
        what = f"the class {function.__name__}" if isinstance(function, type) else repr(function)
        raise TypeError(f"a tool is a function or a Tool, got {what}")
    name: str = getattr(function, "__name__", "")
    if not name.isidentifier() or not name.isascii():
        raise TypeError(f"a tool of {function!r} needs a name: tool(name=...)(function)")
    return name


def _found(home: str | None, name: str) -> object:
    found: object = sys.modules.get(home or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


Toolable: TypeAlias = Tool | Callable[..., object]
"""A tool, or a function that becomes one."""
