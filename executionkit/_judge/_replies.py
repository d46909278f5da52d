"""What every judge's reply may have around its verdict: thoughts, and JSON."""

import re
from collections.abc import Mapping
from typing import Any, Final

from executionkit._json import STRICT, is_object
from executionkit.engine.thoughts import without_thoughts


def spoken(reply: str) -> str:
    """The reply without thoughts and blanks around it."""
    return without_thoughts(reply).strip()


def json_object(reply: str) -> Mapping[str, Any] | None:
    """The JSON object that a reply consists of, or that is the only thing in braces in it; None without one.

    Of several objects none is taken, nor a part of one that was cut off: it may say something else.
    """
    # A mark of thoughts in a JSON string is text.
    whole = reply.lstrip().startswith("{")
    for text in (reply, without_thoughts(reply)) if whole else (without_thoughts(reply),):
        start, end = text.find("{"), text.rfind("}")
        try:
            found: object = STRICT.decode(text[start : end + 1])
        except (ValueError, RecursionError):
            continue
        return found if is_object(found) else None
    return None


_REASONS: Final = ("feedback", "reasons", "reason", "reasoning")
_CUT_OFF: Final = re.compile(rf'[^{{]*{{\s*"(?:{"|".join(_REASONS)})"\s*:\s*("(?:[^"\\]|\\.)*)')


def reasons_in_json(reply: str) -> str | None:
    """The reasons that a reply's JSON object gives, even one that was cut off; None where it gives none."""
    found = json_object(reply)
    if found is not None:
        return next((found[name].strip() for name in _REASONS if isinstance(found.get(name), str)), None)
    begun = _CUT_OFF.match(spoken(reply))
    try:
        return None if begun is None else str(STRICT.decode(begun[1] + '"')).strip()
    except ValueError:
        return None
