"""The parameters of a function, as a tool has them."""

import functools
import inspect
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from executionkit.protocols import LLMProvider, StreamingProvider, ToolCallingProvider
from executionkit.responses import ToolCall

Injected: TypeAlias = Literal["provider", "call"]
"""What the loop hands to a parameter that the model does not see: the run, or the tool call."""

_PROVIDERS: Final = (LLMProvider, ToolCallingProvider, StreamingProvider)


class Signature(NamedTuple):
    """The parameters of a function, apart from those that the loop fills in.

    Attributes:
        parameters: The parameters that the model gives, in order; each one's annotation is resolved.
        injected: The other parameters, by name.
        others: The annotation of further arguments (`**kwargs`); None if the function takes none.
    """

    parameters: dict[str, inspect.Parameter]
    injected: dict[str, Injected]
    others: inspect.Parameter | None


def signature_of(function: Callable[..., object], name: str) -> Signature:
    """Read the signature of a function that is to be a tool.

    Args:
        function: The function.
        name: The tool's name, for errors.

    Raises:
        TypeError: The function can't be called with the arguments of a model.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        raise TypeError(
            f"tool {name}: the function has no signature that can be read; make it a Tool(...) with a schema"
        ) from None
    hints = _hints(function, signature, name)
    parameters: dict[str, inspect.Parameter] = {}
    injected: dict[str, Injected] = {}
    others: inspect.Parameter | None = None
    for parameter in signature.parameters.values():
        resolved = parameter.replace(annotation=hints.get(parameter.name, Any))
        role = _role(resolved, is_bare=parameter.name not in hints)
        if parameter.kind is parameter.VAR_POSITIONAL:
            raise TypeError(
                f"tool {name}: the parameter *{parameter.name} takes arguments without names; "
                "take a list instead"
            )
        if parameter.kind is parameter.VAR_KEYWORD:
            others = resolved
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            raise TypeError(
                f"tool {name}: the parameter {parameter.name!r} is positional-only, but a model gives its "
                "arguments by name"
            )
        elif role is not None:
            injected[parameter.name] = role
        else:
            parameters[parameter.name] = resolved
    first = next(iter(parameters), "")
    if first in ("self", "cls") and first not in hints and "." in getattr(function, "__qualname__", ""):
        raise TypeError(
            f"tool {name}: the parameter {first!r} is not bound; give the method of an instance, as in "
            "tools=[shop.price]"
        )
    return Signature(parameters, injected, others)


def _role(parameter: inspect.Parameter, *, is_bare: bool) -> Injected | None:
    kind = _kind(parameter.annotation)
    if kind is ToolCall:
        return "call"
    if parameter.name == "provider" and (is_bare or _is_provider(kind)):
        return "provider"
    return None


def _kind(annotation: object) -> object:
    """What an annotation is about: without aliases, `Annotated` and `| None`."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif type(annotation).__name__ == "TypeAliasType":  # of `type X = ...`; not in `typing` before 3.12
            try:
                annotation = getattr(annotation, "__value__", None)
            except Exception:  # noqa: BLE001 - it may be any expression; whoever checks the arguments says so
                return annotation
        elif origin in (Union, UnionType):
            others = [kind for kind in get_args(annotation) if kind is not NoneType]
            if len(others) != 1:
                return annotation
            annotation = others[0]
        else:
            return annotation


def _is_provider(kind: object) -> bool:
    return kind is Any or (isinstance(kind, type) and _is_kind_of_provider(kind))


def _is_kind_of_provider(kind: type[object]) -> bool:
    return kind in _PROVIDERS or callable(getattr(kind, "complete", None))


def _hints(function: Callable[..., object], signature: inspect.Signature, name: str) -> Mapping[str, Any]:
    """The annotations of the parameters, resolved."""
    inner = inspect.unwrap(_underlying(function))
    namespace: dict[str, Any] = getattr(inner, "__globals__", {})
    closure = getattr(inner, "__closure__", None) or ()
    names: tuple[str, ...] = inner.__code__.co_freevars if closure else ()
    local: dict[str, Any] = {
        free: cell.cell_contents for free, cell in zip(names, closure, strict=True) if _is_filled(cell)
    }
    hints: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        if parameter.annotation is parameter.empty:
            continue

        def stub() -> None: ...

        stub.__annotations__ = {parameter.name: parameter.annotation}
        try:
            hints |= get_type_hints(stub, namespace, local, include_extras=True)
        except Exception as exc:  # an annotation may be any expression
            raise TypeError(
                f"tool {name}: the annotation of the parameter {parameter.name!r} can't be resolved "
                f"({type(exc).__name__}: {exc}); define what it names at module level"
            ) from exc
    return hints


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty cell raises
    except ValueError:
        return False
    return True


def _underlying(function: Any) -> Any:
    """The plain function inside a partial, a method or a callable object."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function):
        return getattr(function, "__func__", function)
    return getattr(type(function).__call__, "__func__", type(function).__call__)


def bare_texts(signature: Signature) -> dict[str, str]:
    """The texts that stand by themselves in `Annotated`, by parameter: `Annotated[str, "the city"]`."""
    texts: dict[str, str] = {}
    for name, parameter in signature.parameters.items():
        if get_origin(parameter.annotation) is Annotated:
            said = [extra for extra in get_args(parameter.annotation)[1:] if isinstance(extra, str)]
            texts |= {name: said[0]} if said else {}
    return texts
