"""Prompts: a text, or texts and parts such as pictures, as the content of a user message."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from executionkit._json import is_array, is_mapping

Part: TypeAlias = Mapping[str, Any]
"""A part in the form of the chat completions API: `{"type": "image_url", "image_url": {"url": ...}}`."""

Prompt: TypeAlias = str | Sequence[str | Part]
"""A text, or texts and parts in the order in which the model reads them."""

_LONG: Final = 1000
"""A string this long in a part that is no text holds data."""


class Data(str):
    """Encoded data in a part. It is sent whole; its `repr` shows what it is and its size."""

    __slots__ = ()

    def __repr__(self) -> str:
        head, comma, _ = self[:100].partition(",")
        kind = head.removeprefix("data:").partition(";")[0] if comma and head.startswith("data:") else ""
        return f"<{kind or 'data'}, {shown_size(len(self) * 3 // 4)}>"


def shown_size(size: int) -> str:
    """A number of bytes for people to read."""
    for unit in ("bytes", "kB"):
        if size < 1000:
            return f"{size} {unit}"
        size = round(size / 1000)
    return f"{size} MB"


def content_of(prompt: object, name: str = "prompt") -> str | list[dict[str, Any]]:
    """The content of the user message that a prompt makes.

    Raises:
        ValueError: It is neither a text nor texts and parts, or it says nothing.
    """
    if isinstance(prompt, str):
        return prompt
    if not is_array(prompt):
        raise ValueError(f"{name} must be a str, or a list of texts and parts, got {prompt!r}")
    parts = [_part(part, f"{name}[{index}]") for index, part in enumerate(prompt)]
    if all(part["type"] == "text" and not part.get("text") for part in parts):
        raise ValueError(f"{name} must hold a text or a part, got {prompt!r}")
    return parts


def _part(part: object, place: str) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not is_mapping(part) or not isinstance(part.get("type"), str):
        raise ValueError(f'{place} must be a str or a mapping with a "type", got {part!r}')
    return {key: value if part["type"] == "text" else _veiled(value) for key, value in part.items()}


def _veiled(value: Any) -> Any:
    """A copy whose long strings show their size in place of themselves."""
    if is_mapping(value):
        return {key: _veiled(item) for key, item in value.items()}
    if is_array(value):
        return [_veiled(item) for item in value]
    return Data(value) if isinstance(value, str) and len(value) > _LONG else value


def text_of(prompt: Prompt) -> str:
    """The texts of a prompt; each other part is shown in brackets, by its type."""
    if isinstance(prompt, str):
        return prompt
    return "\n".join(part if isinstance(part, str) else _as_text(part) for part in prompt)


def _as_text(part: Part) -> str:
    return str(part.get("text", "")) if part["type"] == "text" else f"[{part['type']}]"
