"""Naming the keyword that was probably meant."""

import inspect
import warnings
from collections.abc import Callable

_NOT_THE_CALLER = ("executionkit", "asyncio")


def warn_of_unknown_keyword(owner: str, given: str, *takers: Callable[..., object]) -> None:
    """Warn of a keyword that none of `takers` can be given."""
    warn_the_caller(unknown_keyword(owner, given, *takers))


def warn_the_caller(text: str) -> None:
    """Warn at the line of the user's that called the library.

    Where a task of its own runs the pattern that line is the one that runs the event loop.
    """
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _NOT_THE_CALLER:
        level, frame = level + 1, frame.f_back
    warnings.warn(text, stacklevel=level)


def unknown_keyword(owner: str, given: str, *takers: Callable[..., object]) -> str:
    """The warning for a keyword that none of `takers` can be given."""
    import difflib  # not at the top: only mistakes need it

    known = {
        name
        for taker in takers
        for name, parameter in inspect.signature(taker).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    if given in known:
        return f"{owner}: the keyword {given!r} is ignored: wherever it is taken it is set already"
    near = difflib.get_close_matches(given, sorted(known), n=1, cutoff=0.8)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return f"{owner}: the keyword {given!r} is ignored{meant}"
