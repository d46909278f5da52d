"""The result of a call to an MCP server, as the texts and pictures that the model gets."""

from base64 import b64decode
from typing import Any

from executionkit._prompt import Part, in_words, shown_size
from executionkit._shown import shown
from executionkit.parts import image


def returned(result: Any) -> str | list[str | Part]:
    """The result of a tool: its blocks in order, or its structured content if all of them are texts."""
    blocks: list[Any] = result.content
    # The texts repeat the structured content.
    if result.structured_content is not None and all(block.type == "text" for block in blocks):
        return shown(result.structured_content)
    pieces = [_piece(block) for block in blocks]
    return in_words(pieces) if all(isinstance(piece, str) for piece in pieces) else pieces


def text_of(result: Any) -> str:
    """The result as one text, in which pictures are described."""
    return in_words(returned(result))


def _piece(block: Any) -> str | Part:
    if block.type == "text":
        return str(block.text)
    if block.type == "image":
        return _picture(block)
    if block.type == "audio":
        return _described(block.mime_type, block.data)
    if block.type == "resource_link":
        return str(block.uri)
    resource = block.resource
    if hasattr(resource, "text"):
        return str(resource.text)
    return _described(f"{resource.uri}: {resource.mime_type or 'application/octet-stream'}", resource.blob)


def _picture(block: Any) -> str | Part:
    try:
        data = b64decode("".join(block.data.split()), validate=True)
        return image(data, media_type=block.mime_type) if data else _described(block.mime_type, "")
    except ValueError:  # no base64, too large, or of no media type
        return _described(block.mime_type, block.data)


def _described(kind: str, base64: str) -> str:
    return f"[{kind}, {shown_size(len(base64.rstrip('=')) * 3 // 4)}]"
