"""`Step`: what a job does with each row; how it is checked, named and called."""

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar, cast

from executionkit._callables import misfit
from executionkit.protocols import ToolCallingProvider
from executionkit.types import PatternResult

Row = TypeVar("Row")
T = TypeVar("T")

Asking: TypeAlias = Callable[[ToolCallingProvider, Row], Awaitable[T]]
"""An async function of a provider and a row."""
Step: TypeAlias = Asking[Row, PatternResult[T]] | Asking[Row, T]
"""What is done with a row."""


class NotAsyncError(TypeError):
    """The step is no async function."""


def check_step(name: str, step: object) -> None:
    """Require a step that can be called with a provider and a row."""
    if not callable(step):
        raise TypeError(f"{name}: step must be an async function (provider, row), got {step!r}")
    if isinstance(step, type):
        raise TypeError(
            f"{name}: step must be an async function (provider, row), got the class {step.__name__}"
        )
    if why := misfit(step, None, None):
        raise TypeError(f"{name}: step is called with (provider, row), {step_name(step)} can't be: {why}")


def check_prompt(name: str, step: object, row: object) -> None:
    """Refuse rows that are no prompts where the step is a pattern."""
    pattern: Any = step
    while isinstance(pattern, functools.partial):
        pattern = pattern.func
    if not str(getattr(pattern, "__module__", "")).startswith("executionkit.patterns"):
        return
    if isinstance(row, (str, list, tuple)):
        return
    raise TypeError(
        f"{name}: {pattern.__name__} takes a prompt, and the first row is of type {type(row).__name__}; "
        f"write a step: async def step(provider, row): return await {pattern.__name__}(provider, row[...])"
    )


def step_name(step: object) -> str:
    """The name of a step, for messages and the journal."""
    while isinstance(step, functools.partial):
        step = step.func
    named = step if hasattr(step, "__qualname__") else type(step)
    return f"{getattr(named, '__module__', '?')}.{getattr(named, '__qualname__', '?')}"


async def asked(
    name: str, step: Step[Row, T], provider: ToolCallingProvider, row: Row
) -> PatternResult[T] | T:
    """Await a step.

    Raises:
        NotAsyncError: It returned something that can't be awaited.
    """
    pending: object = step(provider, row)
    if not inspect.isawaitable(pending):
        raise NotAsyncError(
            f"{name}: step must be an async function, {step_name(step)} returned {type(pending).__name__}"
        )
    return await cast("Awaitable[PatternResult[T] | T]", pending)
