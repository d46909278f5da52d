"""Tool calls out of their fragments, in all the ways in which servers cut them."""

import json
from typing import Any

from executionkit._json import a_text, an_object
from executionkit.streaming import ToolCallDelta


class _Call:
    """One tool call as far as it has come."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []
        self._end = ""

    @property
    def looks_complete(self) -> bool:
        """Whether a further name may begin another call: the arguments end as an object does."""
        return self._end.endswith("}")

    def add(self, name: str, arguments: str) -> None:
        # llama.cpp repeats the name with every fragment; others build it up, or send it in pieces.
        if name.startswith(self.name):
            self.name = name
        elif not self.arguments:
            self.name += name
        if arguments:
            self.arguments.append(arguments)
            self._end = arguments.rstrip()[-1:] or self._end


class CallFragments:
    """Puts the fragments of a reply's tool calls together.

    A fragment belongs to the call of its `index`. Some servers send none, or the same one for calls that
    differ: then another `id` that comes with a name, or a name after arguments that are complete, begins
    another call, and everything else goes on with the last one.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}

    def add(self, fragment: dict[str, Any]) -> ToolCallDelta | None:
        """Take one fragment; None when there is nothing in it."""
        function = an_object(fragment.get("function")) or {}
        identifier, name = a_text(fragment.get("id")), a_text(function.get("name"))
        raw = function.get("arguments")
        # Some servers send the arguments parsed, as the API does not say.
        arguments = raw if isinstance(raw, str) else "" if raw is None else json.dumps(raw)
        if not identifier and not name and not arguments:
            return None
        call = self._call_of(fragment.get("index"), identifier, name)
        call.id = call.id or identifier
        call.add(name, arguments)
        return ToolCallDelta(call.number, call.id, call.name, arguments)

    def _call_of(self, index: object, identifier: str, name: str) -> _Call:
        number = index if isinstance(index, int) else None
        if number is not None:
            call = self._by_index.get(number)
        else:
            call = next((call for call in self._calls if identifier and call.id == identifier), None)
            call = call or (self._calls[-1] if self._calls else None)
        if call is None or _begins_another(call, identifier, name, same_index=number is not None):
            call = _Call(len(self._calls))
            self._calls.append(call)
            if number is not None:
                self._by_index[number] = call
        return call

    def messages(self) -> list[dict[str, Any]]:
        """The calls in the form of a whole reply."""
        return [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": "".join(call.arguments)},
            }
            for call in self._calls
        ]


def _begins_another(call: _Call, identifier: str, name: str, *, same_index: bool) -> bool:
    if not name:
        return False
    if identifier and call.id:
        return identifier != call.id and (call.looks_complete or not call.arguments)
    return not same_index and call.looks_complete
