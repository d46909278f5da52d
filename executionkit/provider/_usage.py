"""Token counts: where servers put them, and which of several are the real ones."""

from collections.abc import Iterator, Mapping
from typing import Any

from executionkit._json import a_list, an_object
from executionkit.responses import token_count


def usage_in(body: Mapping[str, Any]) -> dict[str, Any]:
    """The usage in a reply or a chunk; empty if it has none.

    It may stand at the top, in a choice or its message, or in an object of the vendor's own
    (`x_groq.usage`). Where there are several, the one at the top goes first, unless its figures are zeros.
    """
    found: dict[str, Any] = {}
    for usage in _usages(body):
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


def _usages(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for choice in map(an_object, a_list(body.get("choices"))):
        if choice is not None:
            yield from _within(choice)
            yield an_object(choice.get("usage")) or {}
    yield from _within(body)
    yield an_object(body.get("usage")) or {}


def _within(holder: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    # Not deeper, because what the model wrote may hold a "usage" as well.
    for value in holder.values():
        if type(value) is dict and type(value.get("usage")) is dict:
            yield value["usage"]
