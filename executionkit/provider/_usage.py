"""Token counts: where servers put them, and which of several are the real ones."""

from collections.abc import Mapping
from typing import Any

from executionkit._json import a_list, an_object, is_object
from executionkit.responses import token_count


def usage_in(body: Mapping[str, Any]) -> dict[str, Any]:
    """The usage in a reply or a chunk; empty if it has none.

    It may stand at the top, in a choice or its message, or in an object of the vendor's own
    (`x_groq.usage`). Where there are several, the one at the top goes first, unless its figures are zeros.
    """
    places: list[Mapping[str, Any]] = []
    for choice in a_list(body.get("choices")):
        if is_object(choice):
            _collect(choice, places)
    _collect(body, places)
    found: dict[str, Any] = {}
    for usage in places:
        found = latest_usage(found, usage)
    return found


def latest_usage(old: dict[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Bring counts up to date: a zero or a null does not replace a real figure."""
    if not old or not new:
        return dict(new) if new else old
    return {**old, **{name: _latest(old.get(name), value) for name, value in new.items()}}


def _latest(old: Any, new: Any) -> Any:
    before, after = an_object(old), an_object(new)
    if before is not None and (after is not None or new is None):
        return latest_usage(before, after or {})
    return old if token_count(old) and not token_count(new) else new


def _collect(holder: Mapping[str, Any], places: list[Mapping[str, Any]]) -> None:
    # Not deeper, because what the model wrote may hold a "usage" as well. By type, because each chunk is
    # looked through.
    own: Any = None
    for name, value in holder.items():
        if type(value) is dict:
            if name == "usage":
                own = value
            elif type(value.get("usage")) is dict:
                places.append(value["usage"])
    if own:
        places.append(own)
