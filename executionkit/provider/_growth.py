"""Values that come in pieces: the fields of a stream that the library does not know, put together."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from executionkit._json import a_text, is_list, is_object

# Texts that name something. Servers repeat them with each piece, so the last one counts.
_LABELS: Final = frozenset(
    {"id", "type", "role", "name", "object", "model", "format", "status", "provider", "severity", "language"}
)
_LABEL_ENDS: Final = ("_id", "_type", "_name", "_reason", "_format")

# The fields of a block that hold its text. A block without an index goes on in the next piece by these.
_TEXTS: Final = frozenset({"text", "thinking", "summary", "reasoning", "content"})

# Words in the names of fields whose texts come in pieces, equal ones among them.
_PROSE: Final = (
    *("text", "thinking", "thought", "summary", "reasoning", "content", "data", "transcript", "arguments"),
    *("input", "code", "output", "refusal"),
)

# Words in the names of values that can't be read. An equal piece of one is the value once more, even where
# the name has a word of prose as well (`thought_signature`).
_OPAQUE: Final = ("signature", "encrypted", "opaque")


class _Object(dict[str, Any]):
    """An object that is being put together."""


class _Text:
    """A text that is being put together."""

    def __init__(self, *parts: str, is_prose: bool) -> None:
        self._parts = [*parts]
        self._is_prose = is_prose

    def add(self, piece: str) -> None:
        self._parts.append(piece)

    def __str__(self) -> str:
        # A value that came with each chunk, always the same, is no text in pieces.
        first = self._parts[0]
        is_repeated = not self._is_prose and all(part == first for part in self._parts)
        return first if is_repeated else "".join(self._parts)


class _List:
    """A list that is being put together.

    Args:
        given: Its first piece.
        blocks_grow: Whether a block may be continued by the next piece.
    """

    def __init__(self, given: list[Any], *, blocks_grow: bool) -> None:
        self.items: list[Any] = []
        self._given: list[Any] = []
        self._grow = blocks_grow
        self._by_index: dict[tuple[int, str], int] = {}
        self._is_plain = True
        self._append(given)

    def add(self, piece: list[Any]) -> None:
        # Some servers send the list so far with every chunk.
        held = self._given
        is_repeated = self._is_plain and not self._may_repeat and piece[: len(held)] == held
        self._append(piece[len(held) :] if is_repeated else piece)

    @property
    def _may_repeat(self) -> bool:
        """Whether an equal piece is a further one: of numbers (token ids), or of text."""
        first: object = self._given[0] if self._given else 0
        return isinstance(first, (int, float)) or (
            self._grow and is_object(first) and not _TEXTS.isdisjoint(first)
        )

    def _append(self, piece: list[Any]) -> None:
        for number, item in enumerate(piece):
            place = self._continued(item, is_first=number == 0) if self._grow and is_object(item) else None
            if place is not None and isinstance(item.get("index"), int):
                self._by_index[item["index"], ""] = place
            if place is None:
                if is_object(item) and isinstance(item.get("index"), int):
                    for kind in (a_text(item.get("type")), ""):
                        self._by_index[item["index"], kind] = len(self.items)
                self.items.append(item)
                self._given.append(item)
            elif not _TEXTS.isdisjoint(item) or not _says_again(item, self.items[place]):
                self._is_plain = False
                self.items[place] = merged(self.items[place], item, texts_grow=True)
            else:
                self.items[place] = item

    def _continued(self, item: dict[str, Any], *, is_first: bool) -> int | None:
        """The place of the block that `item` continues."""
        index = item.get("index")
        if isinstance(index, int):
            place = self._by_index.get((index, a_text(item.get("type"))))
            return None if place is None or _differ(self.items[place], item) else place
        last: object = self.items[-1] if self.items else None
        return len(self.items) - 1 if is_first and is_object(last) and _continues(last, item) else None


def _says_again(item: Mapping[str, Any], block: Mapping[str, Any]) -> bool:
    """Whether a piece is the block once more, perhaps with further fields, and no piece of it."""
    return all(value is None or (name in item and item[name] == value) for name, value in block.items())


def _differ(block: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    """Whether a piece can't be of this block, whose encrypted data come whole."""
    return any(
        block.get(name) and item.get(name) and block[name] != item[name] for name in ("type", "id", "data")
    )


def _continues(block: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    """Whether a piece without an index belongs to the block before it: it brings more text, or its end."""
    if not item.get("type") or item["type"] != block.get("type") or _differ(block, item):
        return False
    news = {name: value for name, value in item.items() if value and not _is_label(name)}
    if any("signature" in name and value for name, value in block.items()):
        # The block is closed; only its signature itself may come in pieces.
        has_text = any(block.get(name) for name in _TEXTS)
        return has_text and bool(news) and all("signature" in name for name in news)
    return all(name in _TEXTS if block.get(name) else isinstance(value, str) for name, value in news.items())


def _is_prose(name: str) -> bool:
    return any(word in name for word in _PROSE) and not any(word in name for word in _OPAQUE)


def _is_label(name: str) -> bool:
    return name in _LABELS or name.endswith(_LABEL_ENDS)


def merged(old: Any, new: Any, name: str = "", *, texts_grow: bool) -> Any:
    """Add a piece of a value to what came before it.

    Args:
        old: What came before; None if nothing did.
        new: The piece.
        name: The field's name.
        texts_grow: Whether texts are pieces to join, as in a delta. Otherwise the last text counts.
    """
    if new is None or old is None:
        return old if new is None else new
    if isinstance(new, str):
        if not texts_grow or _is_label(name) or not isinstance(old, (str, _Text)):
            return new or old
        if not new:
            return old
        if isinstance(old, str):
            return _Text(old, new, is_prose=_is_prose(name)) if old else new
        old.add(new)
        return old
    if is_object(new) and is_object(old):
        if not isinstance(old, _Object):
            old = _Object(old)
        # Each entry of the log probabilities is a token of its own, and two may be equal.
        for key, item in new.items():
            if name == "logprobs":
                old[key] = _extended(old.get(key), item)
            else:
                old[key] = merged(old.get(key), item, key, texts_grow=texts_grow)
        return old
    if is_list(new) and isinstance(old, (list, _List)):
        if not isinstance(old, _List):
            old = _List(old, blocks_grow=texts_grow)
        old.add(new)
        return old
    return new


class _Tokens(list[Any]):
    """A list of our own, which may be extended in place."""


def _extended(old: Any, new: Any) -> Any:
    if not is_list(new) or not is_list(old):
        return old if new is None else new
    tokens = old if isinstance(old, _Tokens) else _Tokens(old)
    tokens.extend(new)
    return tokens


def settled(value: Any) -> Any:
    """The value that was put together, in the types of parsed JSON."""
    if isinstance(value, _Text):
        return str(value)
    if isinstance(value, _List):
        return [settled(item) for item in value.items]
    if isinstance(value, _Tokens):
        return list(value)
    if isinstance(value, _Object):
        return {name: settled(item) for name, item in value.items()}
    return value


def weight(value: object) -> int:
    """About how many characters a parsed value takes; to limit what is kept of a stream."""
    total, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        total += len(item) if isinstance(item, str) else 1
        if is_object(item):
            waiting.extend(item.values())
            total += sum(map(len, item))
        elif is_list(item):
            waiting.extend(item)
    return total


class Fields:
    """The fields of an object that the library does not read itself.

    Args:
        known: The names of the other fields.
        texts_grow: See `merged`.
    """

    def __init__(self, known: frozenset[str], *, texts_grow: bool) -> None:
        self._known = known
        self._grow = texts_grow
        self._values: dict[str, Any] = {}

    def add(self, piece: Mapping[str, Any]) -> int:
        """Take a piece of the object; return about how many characters it adds."""
        size = 0
        for name, value in piece.items():
            if value is not None and name not in self._known:
                size += weight(value)
                try:
                    value = merged(self._values.get(name), value, name, texts_grow=self._grow)
                except RecursionError:
                    continue  # no field is worth the reply, and none that has a use is nested like this
                self._values[name] = value
        return size

    def settled(self) -> dict[str, Any]:
        """The fields as a whole reply would have them."""
        found: dict[str, Any] = {}
        for name, value in self._values.items():
            with suppress(RecursionError):
                found[name] = settled(value)
        return found
