"""Token counts: where servers put them, and which of several are the real ones."""

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from executionkit._json import a_list, an_object, is_list, is_object
from executionkit.responses import token_count

_MOST = 500
"""The most objects of a body that are looked through for its usage."""


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


def real_usage(found: dict[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """The usage that was found, or if that has no figure, what stands deeper within the body.

    Choices are left out, because what the model wrote may hold a "usage" as well.
    """
    if any(map(_is_figure, found.values())):
        return found
    rest = {name: value for name, value in body.items() if name != "choices"}
    for holder in islice(_objects(rest), _MOST):
        usage = holder.get("usage")
        for figures in map(an_object, usage if is_list(usage) else [usage]):
            found = latest_usage(found, figures or {})
    return found


def _objects(value: object) -> Iterator[dict[str, Any]]:
    waiting = deque([value])
    while waiting:
        held = waiting.popleft()
        if is_object(held):
            yield held
            waiting.extend(held.values())
        elif is_list(held):
            waiting.extend(held)


def latest_usage(old: dict[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Bring counts up to date: a zero or a null does not replace a real figure."""
    if not old or not new:
        return dict(new) if new else old
    return {**old, **{name: _latest(old.get(name), value) for name, value in new.items()}}


def _latest(old: Any, new: Any) -> Any:
    before, after = an_object(old), an_object(new)
    if before is not None and (after is not None or new is None):
        return latest_usage(before, after or {})
    return old if _is_figure(old) and not _is_figure(new) else new


def _is_figure(value: object) -> bool:
    """Whether a value is more than nothing; prices are less than 1."""
    return bool(token_count(value)) or (isinstance(value, float) and 0 < value < 1)


def _collect(holder: Mapping[str, Any], places: list[Mapping[str, Any]]) -> None:
    # Not deeper, because what the model wrote may hold a "usage" as well. By type, because each chunk is
    # looked through.
    own = holder.get("usage")
    for value in holder.values():
        if type(value) is dict and value is not own and type(value.get("usage")) is dict:
            places.append(value["usage"])  # noqa: PERF401 - most holders have none, and a list takes longer
    if own and type(own) is dict:
        places.append(own)
