"""Calls that a model repeats: the same tool with equal arguments."""

from executionkit._json import canonical_text
from executionkit.responses import ToolCall
from executionkit.tools._tool import Tool


class Repeats:
    """How often each call of a run was made, and what came of it.

    Args:
        most: How often the same call is run; None for no limit.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._made: dict[tuple[str, str], int] = {}
        self._results: dict[tuple[str, str], str] = {}

    def is_one_too_many(self, call: ToolCall, tool: Tool | None) -> bool:
        """Count a call that is about to be made; True if it must not be run again."""
        if self._most is None or tool is None or tool.repeatable or call.invalid_arguments is not None:
            return False
        key = _key(call)
        made = self._made.get(key, 0)
        self._made[key] = min(made + 1, self._most)
        return made >= self._most

    def note(self, call: ToolCall, text: str, *, counts: bool) -> None:
        """Remember the observation of a call; one that was neither run nor declined may be made again."""
        if self._most is None or (key := _key(call)) not in self._made:
            return
        self._results[key] = text
        if not counts:
            self._made[key] -= 1

    def former(self, call: ToolCall) -> str | None:
        """The observation for a call that is not run again; None if it has no result yet."""
        former = self._results.get(_key(call))
        if former is None:
            return None
        return f"Not run again: the same call was made before. Its result was:\n{former}"


def _key(call: ToolCall) -> tuple[str, str]:
    return call.name, canonical_text(call.arguments)
