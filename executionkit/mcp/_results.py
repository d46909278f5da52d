"""The result of a call to an MCP server, as the text that the model reads."""

from typing import Any

from executionkit._shown import shown


def text_of(result: Any) -> str:
    """The text of a result: its blocks in order, or its structured content if all of them are texts."""
    blocks: list[Any] = result.content
    # The texts repeat the structured content.
    if result.structured_content is not None and all(block.type == "text" for block in blocks):
        return shown(result.structured_content)
    return "\n".join(map(_text_of_block, blocks))


def _text_of_block(block: Any) -> str:
    if block.type == "text":
        return str(block.text)
    if block.type in ("image", "audio"):
        return f"[{block.mime_type}, {_size(block.data)}]"
    if block.type == "resource_link":
        return str(block.uri)
    resource = block.resource
    if hasattr(resource, "text"):
        return str(resource.text)
    kind = resource.mime_type or "application/octet-stream"
    return f"[{resource.uri}: {kind}, {_size(resource.blob)}]"


def _size(base64: str) -> str:
    size = len(base64.rstrip("=")) * 3 // 4
    return f"{size} bytes" if size < 1000 else f"{size // 1000} kB"
