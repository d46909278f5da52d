"""Tool calls: read from a whole reply, or put together from the fragments of a streamed one."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, cast

from executionkit._json import STRICT, a_text, an_object
from executionkit._messages import raw_calls
from executionkit._text import well_formed, whole_characters
from executionkit.provider._growth import Fields
from executionkit.responses import ToolCall
from executionkit.streaming import ToolCallDelta

_CALL: Final = frozenset({"index", "id", "type", "function"})
_FUNCTION: Final = frozenset({"name", "arguments"})
_IN_STRING: Final = re.compile(r'["\\]')
_OUTSIDE: Final = re.compile(r'[{}\[\]"]')
_GAP: Final = re.compile(r"\s*")
_NOTHING: Final = ("", "{}", "null", '""')


def tool_calls_of(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """The tool calls in a message."""
    return tuple(map(_tool_call, raw_calls(message)))


def _tool_call(call: Mapping[str, Any]) -> ToolCall:
    function = an_object(call.get("function")) or {}
    # ToolCall reads the arguments in whatever form they came.
    arguments = cast("dict[str, Any]", function.get("arguments"))
    found = ToolCall(a_text(call.get("id")), a_text(function.get("name")), arguments)
    text = found.invalid_arguments
    once = None if text is None or not isinstance(arguments, str) else _said_once(text)
    return found if once is None else ToolCall(found.id, found.name, cast("dict[str, Any]", once))


def _is_object(text: str) -> bool:
    try:
        return isinstance(STRICT.decode(text), dict)
    except (ValueError, RecursionError):
        return False


def _said_once(text: str) -> str | None:
    """The one object in a text that has placeholders beside it, or that repeats it; None without one."""
    found: dict[str, Any] | None = None
    said, at = None, 0
    text = text.strip()
    while at < len(text):
        try:
            value, end = STRICT.raw_decode(text, at)
        except (ValueError, RecursionError):
            return None
        if value and value != found:
            if found is not None or not isinstance(value, dict):
                return None
            found, said = value, text[at:end]
        elif found is None and value == {}:
            said = text[at:end]
        gap = _GAP.match(text, end)
        at = end if gap is None else gap.end()
    return said


class _Scan:
    """Follows JSON text that comes in pieces, in linear time: whether an object in it is complete."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self.is_complete = False

    def feed(self, text: str) -> None:
        at, self._escaped = int(self._escaped), False
        while found := (_IN_STRING if self._in_string else _OUTSIDE).search(text, at):
            at, character = found.end(), found[0]
            if character == '"':
                self._in_string = not self._in_string
            elif self._in_string:
                # An escape; the character after it may be in the next piece, and is then no quote either.
                self._escaped = at == len(text)
                at += 1
            elif character in "{[":
                self._depth += 1
            else:
                self._depth -= 1
                self.is_complete = self._depth <= 0


class _Attempt:
    """The arguments of a call, from a fragment on that may be their beginning."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.size = 0
        self._scan = _Scan()

    def add(self, piece: str) -> None:
        self.parts.append(piece)
        self.size += len(piece)
        self._scan.feed(piece)

    def __str__(self) -> str:
        return "".join(self.parts)

    @property
    def is_complete(self) -> bool:
        return self._scan.is_complete

    @property
    def is_placeholder(self) -> bool:
        return self.size < 20 and str(self).strip() in _NOTHING

    def is_taken_up_by(self, piece: str) -> bool:
        """Whether a fragment begins the arguments anew: after their end, or by repeating all of them."""
        if not piece.lstrip().startswith("{"):
            return False
        return (
            self.is_complete
            or self.is_placeholder
            or (len(piece) >= self.size > 1 and piece.startswith(str(self)))
        )


class _Call:
    """One tool call, as much of it as has arrived."""

    def __init__(self, number: int, *, is_doubtful: bool) -> None:
        self.number = number
        self.is_doubtful = is_doubtful
        self.id = ""
        self.name = ""
        self.type = ""
        self.fields = Fields(_CALL, texts_grow=True)
        self.function = Fields(_FUNCTION, texts_grow=True)
        self._attempts = [_Attempt()]
        self._half = ""

    @property
    def latest(self) -> _Attempt:
        """The arguments since they last began."""
        return self._attempts[-1]

    def paired(self, piece: str) -> str:
        """A piece of the arguments in whole characters; half a surrogate pair waits for the other half."""
        piece, self._half = whole_characters(self._half + piece)
        return piece

    def add(self, name: str, arguments: str) -> None:
        # llama.cpp repeats the name with every fragment. Others send it growing, or in pieces.
        if name.startswith(self.name):
            self.name = name
        elif not self.latest.size:
            self.name += name
        if arguments:
            if self.latest.size and self.latest.is_taken_up_by(arguments):
                self._attempts.append(_Attempt())
            self.latest.add(arguments)

    def arguments(self) -> str:
        """The arguments: all the fragments, or those since a beginning where all are no object together.

        Different objects stay what they are together: none of them is the arguments for certain.
        """
        whole = "".join(map(str, self._attempts)) + well_formed(self._half)
        if len(self._attempts) == 1 or _is_object(whole):
            return whole
        meant = [str(attempt) for attempt in self._attempts if not attempt.is_placeholder]
        objects = [text for text in meant if _is_object(text)]
        is_one = all(STRICT.decode(text) == STRICT.decode(objects[0]) for text in objects[1:])
        return objects[-1] if objects and is_one else whole


class CallFragments:
    """Puts the fragments of a reply's tool calls together.

    A fragment belongs to the call of its `index`. Some servers send no index, or the same one for different
    calls. Then a fragment with a name begins another call if it has another `id`, or if the arguments so far
    are complete and it doesn't merely repeat them. Every other fragment continues the last call.

    Arguments may begin anew within a call: some servers send a placeholder before them, and some send all of
    them once more.
    """

    def __init__(self) -> None:
        self.size = 0
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[tuple[int | None, str], _Call] = {}

    def add_all(self, fragments: list[dict[str, Any]], choice: int = 0) -> list[ToolCallDelta]:
        """Take the fragments of one chunk; return their events. `choice` tells calls of equal index apart."""
        events: list[ToolCallDelta] = []
        named: set[int] = set()
        for fragment in fragments:
            function = an_object(fragment.get("function")) or {}
            identifier, name = a_text(fragment.get("id")), a_text(function.get("name"))
            arguments = _text_of(function.get("arguments"))
            call = self._call_of(_number(fragment.get("index"), choice), identifier, name, arguments, named)
            if call is None:
                continue
            if name:
                named.add(call.number)
            call.id = call.id or identifier
            call.type = a_text(fragment.get("type")) or call.type
            self.size += call.fields.add(fragment) + call.function.add(function)
            arguments = call.paired(arguments)
            if identifier or name or arguments:
                call.add(name, arguments)
                events.append(ToolCallDelta(call.number, call.id, call.name, arguments))
        return events

    def _call_of(
        self, index: int | None, identifier: str, name: str, arguments: str, named: set[int]
    ) -> _Call | None:
        own = self._by_id.get((index, identifier)) if identifier else None
        call = own
        if call is None and index is not None:
            call = self._by_index.get(index)
            if call is None and self._calls and not identifier and not name:
                # Arguments alone are no call. Some servers count chunks in `index`.
                last = self._calls[-1]
                call = None if last.latest.is_complete else last
        elif call is None:
            call = self._calls[-1] if self._calls else None
        if call is None and not identifier and not name and not arguments:
            return None
        if index is not None and not identifier:
            named = set()
        if call is None or (own is None and _begins_another(call, identifier, name, arguments, named)):
            repeats_name = call is not None and name == call.name and not identifier
            call = _Call(len(self._calls), is_doubtful=repeats_name)
            self._calls.append(call)
            if index is not None:
                self._by_index[index] = call
        if identifier:
            self._by_id[index, identifier] = call
        return call

    def messages(self) -> list[dict[str, Any]]:
        """The calls in the form of a whole reply."""
        return [
            {
                "id": call.id,
                "type": call.type or "function",
                "function": {"name": call.name, "arguments": call.arguments(), **call.function.settled()},
                **call.fields.settled(),
            }
            for call in self._calls
            # A name that was repeated once more after the arguments has begun no call.
            if call.latest.size or not call.is_doubtful
        ]


def _text_of(arguments: object) -> str:
    # Some servers send the arguments parsed, against the API.
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else json.dumps(arguments, ensure_ascii=False)


def _number(index: object, choice: int) -> int | None:
    if isinstance(index, str) and index.isdecimal() and len(index) < 10:
        index = int(index)
    if not isinstance(index, int) or isinstance(index, bool):
        return None
    return index + choice * 1_000_000


def _begins_another(call: _Call, identifier: str, name: str, arguments: str, named: set[int]) -> bool:
    """Whether a fragment for `call` begins another one, of the same index or of none."""
    if not name:
        return False
    latest = call.latest
    if call.number in named and identifier != (call.id or None):
        return True  # an entry of the same chunk
    if identifier and call.id:
        # Some servers make a new id for each fragment, and may repeat the name with it.
        is_other = bool(latest.size) and not (name.startswith(call.name) or call.name.startswith(name))
        return identifier != call.id and (latest.is_complete or not latest.size or is_other)
    if not latest.size and call.name and not name.startswith(call.name):
        return _is_object(arguments)  # the call before it has no arguments; a piece of a name has none either
    if not latest.is_complete:
        return False
    if name != call.name:
        return True
    if latest.is_placeholder:
        return arguments.strip() in _NOTHING
    return arguments.strip() != str(latest).strip()
