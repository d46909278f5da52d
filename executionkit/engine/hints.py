"""Naming the keyword that was probably meant."""

import inspect
from collections.abc import Callable


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
    near = difflib.get_close_matches(given, sorted(known), n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return f"{owner}: the keyword {given!r} is ignored{meant}"
