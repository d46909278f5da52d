"""The patterns for scripts without an event loop: the same arguments, run to the end."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from types import UnionType
from typing import Any, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from executionkit.compose import PatternStep, PipeResult, pipe
from executionkit.engine.outputs import OutputAdapter
from executionkit.engine.reading import Validator
from executionkit.patterns.consensus import consensus
from executionkit.patterns.react_loop import react_loop
from executionkit.patterns.refine_loop import refine_loop
from executionkit.patterns.structured import StructuredOptions, StructuredResult, structured
from executionkit.protocols import LLMProvider
from executionkit.types import TokenUsage

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def _twin(pattern: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """The blocking twin of an async function, with its signature."""
    name = pattern.__name__

    @wraps(pattern)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        # Before the coroutine is made: one that is never awaited would warn.
        _refuse_inside_a_loop(name)
        return asyncio.run(pattern(*args, **kwargs))

    run.__name__ = run.__qualname__ = f"{name}_sync"
    run.__module__ = __name__
    run.__doc__ = f"`{name}` run to its end on an event loop of its own.\n\n{pattern.__doc__}"
    # Introspection is shown the parameters, but not led back to the async function.
    vars(run)["__signature__"] = inspect.signature(pattern)
    del vars(run)["__wrapped__"]
    return run


def _refuse_inside_a_loop(name: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"{name}_sync() can't run inside a running event loop: use `await {name}(...)` there")


consensus_sync = _twin(consensus)
refine_loop_sync = _twin(refine_loop)
react_loop_sync = _twin(react_loop)


class StructuredSync(Protocol):
    """The overloads of `structured`, blocking."""

    @overload
    def __call__(
        self,
        provider: LLMProvider,
        prompt: str,
        output: type[T],
        *,
        validator: Validator[T] | None = None,
        **options: Unpack[StructuredOptions],
    ) -> StructuredResult[T]: ...
    @overload
    def __call__(
        self,
        provider: LLMProvider,
        prompt: str,
        output: OutputAdapter[T],
        *,
        validator: Validator[T] | None = None,
        **options: Unpack[StructuredOptions],
    ) -> StructuredResult[T]: ...
    @overload
    def __call__(
        self,
        provider: LLMProvider,
        prompt: str,
        output: None = None,
        *,
        validator: Validator[Any] | None = None,
        **options: Unpack[StructuredOptions],
    ) -> StructuredResult[dict[str, Any] | list[Any]]: ...
    @overload
    def __call__(
        self,
        provider: LLMProvider,
        prompt: str,
        output: Mapping[str, Any] | UnionType,
        *,
        validator: Validator[Any] | None = None,
        **options: Unpack[StructuredOptions],
    ) -> StructuredResult[Any]: ...


structured_sync = cast("StructuredSync", _twin(cast("Any", structured)))


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
