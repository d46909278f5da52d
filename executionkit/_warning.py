"""Warnings that point at the caller's own line."""

import inspect
import warnings

_NOT_THE_CALLER = ("executionkit", "asyncio", "contextlib")


def warn_the_caller(text: str) -> None:
    """Warn at the line of the user's that called the library.

    Where a task of its own runs the pattern, that is the line that runs the event loop.
    """
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _NOT_THE_CALLER:
        level, frame = level + 1, frame.f_back
    warnings.warn(text, stacklevel=level)
