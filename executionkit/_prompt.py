"""Prompts: a text, or texts and parts such as pictures; and what is shown and counted of parts."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypeGuard

from executionkit._json import is_array, is_mapping, is_sequence
from executionkit._text import shorten, size_of

Part: TypeAlias = Mapping[str, Any]
"""A part in the form of the chat completions API: `{"type": "image_url", "image_url": {"url": ...}}`."""

Prompt: TypeAlias = str | Sequence[str | Part]
"""A text, or texts and parts in the order in which the model reads them."""

Content: TypeAlias = str | list[dict[str, Any]]
"""The content of a message: a text, or parts."""

PART_TOKENS: Final = 1_000
"""The prompt tokens that a part counts for until a reply has shown how many it takes."""

_BYTES_PER_TOKEN: Final = 4

_LONG: Final = 1_000
"""In characters. A longer string in a part other than a text is data."""

# By the type of a part: the fields, one of which the object of that name has.
_HOLDS: Final[dict[str, tuple[str, ...]]] = {
    "image_url": ("url",),
    "video_url": ("url",),
    "audio_url": ("url",),
    "input_audio": ("data",),
    "file": ("file_data", "file_id"),
}


class Data(str):
    """Encoded data in a part. It is sent whole; its `repr` shows its kind and size."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{self.described()}>"

    def described(self, kind: str = "data") -> str:
        """Describe the data by media type and size; `kind` stands for a type that they don't name."""
        head, comma, _ = self[:200].partition(",")
        is_url = bool(comma) and head.startswith("data:")
        if is_url:
            kind = head.removeprefix("data:").partition(";")[0] or kind
        size = len(self) - (len(head) + 1 if is_url else 0)
        return f"{kind}, {shown_size(size * 3 // 4 - self[-2:].count('='))}"


def shown_size(size: int) -> str:
    """A number of bytes for people to read."""
    if size < 1_000:
        return f"{size} bytes"
    return f"{round(size / 1_000)} kB" if size < 999_500 else f"{round(size / 1_000_000)} MB"


def content_of(prompt: object, name: str = "prompt") -> Content:
    """The content of the user message that a prompt makes. Empty texts beside other parts are left out.

    Raises:
        ValueError: It is neither a text nor a list of texts and parts, or it is a list that says nothing.
    """
    if isinstance(prompt, str):
        return prompt
    wanted = f'{name} must be a str, or a list of texts and parts (mappings with a "type")'
    if not is_sequence(prompt) or not all(map(_is_piece, prompt)):
        raise ValueError(f"{wanted}, got {brief(prompt)}")
    parts = [_as_part(piece) for piece in prompt]
    parts = [part for part in parts if part["type"] != "text" or part.get("text") != ""]
    if not parts:
        raise ValueError(f"{wanted} with something in it, got {brief(prompt)}")
    return parts


def content_around(text: str, mark: str, prompt: Prompt | Part, name: str) -> Content:
    """The content of a text in which a prompt, or a single part, stands at the mark; else it comes after it.

    Raises:
        ValueError: It is no prompt, which the message calls by `name`.
    """
    if isinstance(prompt, str):
        # Not str.format: prompts and inputs have braces of their own.
        return text.replace(mark, prompt) if mark in text else f"{text}\n\n{prompt}"
    pieces = content_of([prompt] if is_mapping(prompt) else prompt, name)
    places = text.split(mark) if mark in text else [text, ""]
    found: list[str | Part] = [places[0]]
    for place in places[1:]:
        found += [*pieces, place]
    return content_of(found)


def _is_piece(piece: object) -> bool:
    return isinstance(piece, str) or (is_mapping(piece) and isinstance(piece.get("type"), str))


def _as_part(piece: str | Part) -> dict[str, Any]:
    return {"type": "text", "text": piece} if isinstance(piece, str) else veiled_part(piece)


def veiled_part(part: Part) -> dict[str, Any]:
    """A copy of a part in which the data show their size."""
    return {key: value if part.get("type") == "text" else _veiled(value) for key, value in part.items()}


def _veiled(value: Any) -> Any:
    if is_mapping(value):
        return {key: _veiled(item) for key, item in value.items()}
    if is_array(value):
        return [_veiled(item) for item in value]
    return Data(value) if type(value) is str and len(value) > _LONG else value


def veiled(messages: list[Any]) -> list[Any]:
    """Messages of plain dicts and lists, changed in place: the data in their parts show their size."""
    for message in messages:
        content: object = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            message["content"] = [veiled_part(part) if is_mapping(part) else part for part in content]
    return messages


def brief(value: object) -> str:
    """The `repr` of a value for an error message, without the data in it."""
    if isinstance(value, (bytes, bytearray)):
        return repr(value) if len(value) <= 100 else f"{type(value).__name__} of {shown_size(len(value))}"
    if is_array(value):
        shown = ", ".join(map(brief, value[:20]))
        marks = "[]" if isinstance(value, list) else "()"
        more = ", ..." if len(value) > 20 else "," if marks == "()" and len(value) == 1 else ""
        return f"{marks[0]}{shown}{more}{marks[1]}"
    return shorten(repr(_veiled(value)), 300)


def shortened(content: Content, limit: int) -> Content:
    """The content with its texts cut to `limit` characters in all; its other parts stay."""
    if isinstance(content, str):
        return content[:limit]
    kept: list[dict[str, Any]] = []
    for part in content:
        if part.get("type") == "text":
            part = {**part, "text": str(part.get("text", ""))[:limit]}
            limit -= len(part["text"])
            if not part["text"]:
                continue
        kept.append(part)
    return kept


def in_words(content: object) -> str:
    """The texts of a prompt or a content; other parts are described in brackets."""
    if isinstance(content, str):
        return content
    return "\n".join(_described(piece) for piece in content) if is_sequence(content) else ""


def _described(piece: object) -> str:
    if not is_mapping(piece):
        return str(piece)
    if piece.get("type") == "text":
        return str(piece.get("text", ""))
    kind = str(piece.get("type"))
    held = piece.get(kind)
    found = _data_in(held if is_mapping(held) else piece)
    if found is None:
        url = held.get("url") if is_mapping(held) else None
        return f"[{kind}: {shorten(url, 200)}]" if isinstance(url, str) else f"[{kind}]"
    form = held.get("format") if is_mapping(held) else None
    return f"[{found.described(f'audio/{form}' if isinstance(form, str) else kind)}]"


def _data_in(fields: Mapping[Any, Any]) -> Data | None:
    for value in fields.values():
        if isinstance(value, str) and (len(value) > _LONG or isinstance(value, Data) or value[:5] == "data:"):
            return Data(value)
    return None


def is_part(value: object) -> TypeGuard[Part]:
    """Whether it is a part of the API's form other than a text, and no record that merely has a "type"."""
    kind = value.get("type") if is_mapping(value) else None
    if not is_mapping(value) or not isinstance(kind, str) or kind not in _HOLDS:
        return False
    held = value.get(kind)
    return is_mapping(held) and any(isinstance(held.get(name), str) for name in _HOLDS[kind])


class Size(NamedTuple):
    """The size of a prompt: the bytes of its texts, and the number of its other parts."""

    text_bytes: int
    parts: int = 0

    @property
    def in_bytes(self) -> int:
        """The whole in bytes, each part as many as `PART_TOKENS` tokens of text have."""
        return self.text_bytes + self.parts * PART_TOKENS * _BYTES_PER_TOKEN


def measured(messages: object) -> Size:
    """Measure the messages of a request, without the data in their parts, which no model reads as text."""
    if not is_sequence(messages) or all(map(_has_text, messages)):
        return Size(size_of(repr(messages)))
    texts: list[object] = []
    parts = 0
    for message in messages:
        if not _has_text(message):
            said = [part for part in message["content"] if is_mapping(part) and part.get("type") == "text"]
            parts += len(message["content"]) - len(said)
            message = {**message, "content": said}
        texts.append(message)
    return Size(size_of(repr(texts)), parts)


def bytes_of_request(messages: object, written: int) -> int:
    """The size of a request of `written` bytes, as `measured` counts the data in its messages."""
    if not is_sequence(messages) or all(map(_has_text, messages)):
        return written
    return measured(messages).in_bytes


def _has_text(message: object) -> bool:
    """Whether the content is a text, or the model's own: its turns have parts of thoughts and texts."""
    if not is_mapping(message):
        return True
    return not is_array(message.get("content")) or message.get("role") == "assistant"
