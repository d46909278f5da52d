"""Tool calls: read from a whole reply, or put together from the fragments of a streamed one."""

import json
from collections.abc import Mapping
from typing import Any, cast

from executionkit._json import a_list, a_text, an_object
from executionkit.responses import ToolCall
from executionkit.streaming import ToolCallDelta


def tool_calls_of(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """The tool calls in a message."""
    calls = a_list(message.get("tool_calls"))
    if not calls:
        # The form that `tool_calls` replaced; some servers still answer in it.
        legacy = an_object(message.get("function_call"))
        calls = [] if legacy is None else [{"function": legacy}]
    return tuple(_tool_call(call) for call in map(an_object, calls) if call is not None)


def _tool_call(call: Mapping[str, Any]) -> ToolCall:
    function = an_object(call.get("function")) or {}
    # ToolCall reads the arguments in whatever form they came.
    arguments = cast("dict[str, Any]", function.get("arguments"))
    return ToolCall(a_text(call.get("id")), a_text(function.get("name")), arguments)


class _Call:
    """One tool call, as much of it as has arrived."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []
        self._end = ""

    @property
    def looks_complete(self) -> bool:
        """Whether the arguments end as an object does, so that a further name may begin another call."""
        return self._end.endswith("}")

    def add(self, name: str, arguments: str) -> None:
        # llama.cpp repeats the name with every fragment. Others send it growing, or in pieces.
        if name.startswith(self.name):
            self.name = name
        elif not self.arguments:
            self.name += name
        if arguments:
            self.arguments.append(arguments)
            self._end = arguments.rstrip()[-1:] or self._end


class CallFragments:
    """Puts the fragments of a reply's tool calls together.

    A fragment belongs to the call of its `index`. Some servers send no index, or the same one for different
    calls. Then a fragment begins another call if it has a name and another `id`, or if it has a name and the
    arguments so far are complete. Every other fragment continues the last call.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}

    def add(self, fragment: dict[str, Any]) -> ToolCallDelta | None:
        """Take one fragment; return the event for it, or None when the fragment is empty."""
        function = an_object(fragment.get("function")) or {}
        identifier, name = a_text(fragment.get("id")), a_text(function.get("name"))
        raw = function.get("arguments")
        # Some servers send the arguments parsed, against the API.
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
