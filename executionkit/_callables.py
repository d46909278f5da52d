"""Whether a function of the user's can be called the way the library calls it."""

import inspect
from collections.abc import Callable


def signature_of(function: Callable[..., object], *, follow_wrapped: bool = True) -> inspect.Signature | None:
    """The signature of a function; None if it can't be found out, as for some that are written in C."""
    try:
        return inspect.signature(function, follow_wrapped=follow_wrapped)
    except (TypeError, ValueError):
        return None


def misfit(function: Callable[..., object], *arguments: object, **keywords: object) -> str:
    """Why a call with these arguments would fail; "" where it would not, or where that can't be known.

    The signature is the function's own: of a decorated function, that of the decorator's wrapper.
    """
    signature = signature_of(function, follow_wrapped=False)
    try:
        if signature is not None:
            signature.bind(*arguments, **keywords)
    except TypeError as exc:
        return str(exc)
    return ""


def misfit_of_names(function: Callable[..., object], names: set[str], others: set[str] | None) -> str:
    """Why a function can't take arguments of these names as keywords; "" where it can.

    Args:
        function: The function.
        names: The names that a call may have.
        others: Further names that the function may need, since the caller adds them; None if it may need any.
    """
    signature = signature_of(function, follow_wrapped=False)
    if signature is None:
        return ""
    parameters = signature.parameters.values()
    named = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    for parameter in parameters:
        if parameter.kind is parameter.POSITIONAL_ONLY and parameter.default is parameter.empty:
            return f"its parameter {parameter.name!r} is positional-only"
    untaken = sorted(names - named.keys())
    if untaken and not any(p.kind is p.VAR_KEYWORD for p in parameters):
        has = ", ".join(map(repr, named))
        return f"it has no parameter {untaken[0]!r}" + (f", only {has}" if has else " and no other")
    for name, parameter in named.items():
        if others is not None and parameter.default is parameter.empty and name not in names | others:
            return f"it needs {name!r}, which no call would have"
    return ""
