"""Checks of arguments (ranges, providers, functions of the caller's), and of the event loop."""

import asyncio
import math

from executionkit._callables import misfit
from executionkit.types import TokenUsage


def event_loop(name: str) -> asyncio.AbstractEventLoop:
    """Require that an event loop of asyncio runs, and return it.

    Raises:
        RuntimeError: Another library drives the coroutine, such as trio.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        why = "no event loop of asyncio is running; trio and others like it can't run this library"
    raise RuntimeError(f"{name}: {why}")


def at_least(minimum: int, **values: object) -> None:
    """Require each named value to be an int of at least `minimum`."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise ValueError(f"{name} must be an integer >= {minimum}, got {value!r}")


def between(low: float, high: float, **values: object) -> None:
    """Require each named value to be a number in [low, high]; NaN is refused."""
    for name, value in values.items():
        number = _finite(value)
        if number is None or not low <= number <= high:
            bound = f"in [{low:g}, {high:g}]" if math.isfinite(high) else f"a finite number >= {low:g}"
            raise ValueError(f"{name} must be {bound}, got {value!r}")


def positive(**values: object) -> None:
    """Require each named value to be a finite number more than 0."""
    for name, value in values.items():
        number = _finite(value)
        if number is None or number <= 0:
            raise ValueError(f"{name} must be a finite number > 0, got {value!r}")


def _finite(value: object) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an int beyond what a float can hold
        return None


def text(**values: object) -> None:
    """Require each named value to be a str."""
    for name, value in values.items():
        if not isinstance(value, str):
            raise ValueError(f"{name} must be a str, got {value!r}")


def one_of(choices: tuple[str, ...], **values: object) -> None:
    """Require each named value to be one of the given strings."""
    for name, value in values.items():
        if value not in choices:
            listed = ", ".join(repr(str(choice)) for choice in choices)  # an enum's member as its text
            raise ValueError(f"{name} must be one of {listed}, got {value!r}")


def sampling(*, temperature: object, max_tokens: object, max_cost: object) -> None:
    """Require what every pattern takes: temperature in [0, 2], max_tokens >= 1, max_cost a TokenUsage."""
    between(0.0, 2.0, temperature=temperature)
    at_least(1, max_tokens=max_tokens)
    budget(max_cost=max_cost)


def budget(**values: object) -> None:
    """Require each named value to be a TokenUsage or None."""
    for name, value in values.items():
        if value is not None and not isinstance(value, TokenUsage):
            raise ValueError(f"{name} must be a TokenUsage or None, got {value!r}")


def called_with(*parameters: str, **functions: object) -> None:
    """Require each named function to take these positional arguments, or to be None."""
    for name, function in functions.items():
        if function is None:
            continue
        wanted = f"{name} must be a function called as {name}({', '.join(parameters)})"
        if not callable(function):
            raise ValueError(f"{wanted}, got {function!r}")
        if why := misfit(function, *parameters):
            raise ValueError(f"{wanted}, got {function!r}: {why}")


def provider(name: str, provider: object) -> None:
    """Require the provider of the run `name` to be an object that can be asked."""
    if isinstance(provider, type):
        found = f"{provider.__name__} is a class, not an instance of it"
    elif not callable(getattr(provider, "complete", None)):
        found = f"{type(provider).__name__} has no `complete`"
    else:
        return
    wanted = "an async `complete(messages, *, temperature, max_tokens, tools, **kwargs)`"
    raise TypeError(f"{name}: the provider needs {wanted}; {found}")
