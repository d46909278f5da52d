"""The patterns for scripts without an event loop: the same arguments, run to the end."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from types import UnionType
from typing import Any, ParamSpec, TypeVar, Unpack, cast, overload

from executionkit._structured.outputs import OutputAdapter, Validator
from executionkit.compose import PatternStep, PipeResult, pipe
from executionkit.patterns.best_of_n import best_of_n
from executionkit.patterns.consensus import consensus
from executionkit.patterns.map_reduce import map_reduce
from executionkit.patterns.react_loop import react_loop
from executionkit.patterns.refine_loop import refine_loop
from executionkit.patterns.structured import StructuredOptions, StructuredResult, structured
from executionkit.protocols import LLMProvider
from executionkit.types import TokenUsage

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def _twin_of(
    pattern: Callable[P, Coroutine[Any, Any, R]],
) -> Callable[[Callable[..., object]], Callable[P, R]]:
    """Make of a declaration, which gives the name and the text, the blocking twin of an async function."""

    def decorate(declared: Callable[..., object]) -> Callable[P, R]:
        @wraps(declared)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            # Before the coroutine is made: one that is never awaited would warn.
            _refuse_inside_a_loop(pattern.__name__)
            return asyncio.run(pattern(*args, **kwargs))

        # Introspection is shown the parameters, but not led back to the declaration.
        vars(run)["__signature__"] = inspect.signature(pattern)
        run.__doc__ = f"{inspect.getdoc(declared)}\n\n{inspect.getdoc(pattern)}"
        del vars(run)["__wrapped__"]
        return run

    return decorate


def _refuse_inside_a_loop(name: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"{name}_sync() can't run inside a running event loop: use `await {name}(...)` there")


@_twin_of(consensus)
def consensus_sync() -> None:
    """`consensus` run to its end on an event loop of its own: same arguments, same results and errors.

    Raises:
        RuntimeError: An event loop is running in this thread.
    """


@_twin_of(refine_loop)
def refine_loop_sync() -> None:
    """`refine_loop` run to its end on an event loop of its own: same arguments, same results and errors.

    Raises:
        RuntimeError: An event loop is running in this thread.
    """


@_twin_of(react_loop)
def react_loop_sync() -> None:
    """`react_loop` run to its end on an event loop of its own: same arguments, same results and errors.

    Raises:
        RuntimeError: An event loop is running in this thread.
    """


@_twin_of(best_of_n)
def best_of_n_sync() -> None:
    """`best_of_n` run to its end on an event loop of its own: same arguments, same results and errors.

    Raises:
        RuntimeError: An event loop is running in this thread.
    """


@_twin_of(map_reduce)
def map_reduce_sync() -> None:
    """`map_reduce` run to its end on an event loop of its own: same arguments, same results and errors.

    Raises:
        RuntimeError: An event loop is running in this thread.
    """


@overload
def structured_sync(
    provider: LLMProvider,
    prompt: str,
    output: type[T],
    *,
    validator: Validator[T] | None = None,
    **options: Unpack[StructuredOptions],
) -> StructuredResult[T]: ...
@overload
def structured_sync(
    provider: LLMProvider,
    prompt: str,
    output: OutputAdapter[T],
    *,
    validator: Validator[T] | None = None,
    **options: Unpack[StructuredOptions],
) -> StructuredResult[T]: ...
@overload
def structured_sync(
    provider: LLMProvider,
    prompt: str,
    output: None = None,
    *,
    validator: Validator[Any] | None = None,
    **options: Unpack[StructuredOptions],
) -> StructuredResult[dict[str, Any] | list[Any]]: ...
@overload
def structured_sync(
    provider: LLMProvider,
    prompt: str,
    output: Mapping[str, Any] | UnionType,
    *,
    validator: Validator[Any] | None = None,
    **options: Unpack[StructuredOptions],
) -> StructuredResult[Any]: ...
@_twin_of(cast("Callable[..., Coroutine[Any, Any, Any]]", structured))
def structured_sync() -> None:
    """`structured` run to its end on an event loop of its own: same arguments, same results and errors.

    Raises:
        RuntimeError: An event loop is running in this thread.
    """


def pipe_sync(
    provider: LLMProvider,
    prompt: str,
    *steps: PatternStep[T],
    max_budget: TokenUsage | None = None,
    **shared_kwargs: object,
) -> PipeResult[T]:
    """`pipe` run to its end on an event loop of its own; see there.

    Raises:
        RuntimeError: An event loop is running in this thread.
    """
    _refuse_inside_a_loop("pipe")
    return asyncio.run(pipe(provider, prompt, *steps, max_budget=max_budget, **shared_kwargs))
