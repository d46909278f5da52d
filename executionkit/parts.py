"""Pictures and files as parts of a prompt."""

import base64
import io
import mimetypes
from collections.abc import Callable
from os import PathLike, fspath
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias, cast

from executionkit._prompt import Data, Part, shown_size

__all__ = ["file", "image"]

MOST_BYTES: Final = 20 * 1024 * 1024
"""The most bytes of a picture or a file; services refuse larger ones."""


class Picture(Protocol):
    """A picture that can save itself, such as one of Pillow."""

    def save(self, fp: io.BytesIO, format: str) -> object:  # noqa: A002 - Pillow's name
        """Write the picture in a format."""
        ...


Source: TypeAlias = str | PathLike[str] | bytes | bytearray | memoryview

_URLS: Final = ("http://", "https://", "data:")

_PICTURES: Final[tuple[tuple[str, Callable[[bytes], bool]], ...]] = (
    ("image/png", lambda head: head.startswith(b"\x89PNG\r\n\x1a\n")),
    ("image/jpeg", lambda head: head.startswith(b"\xff\xd8\xff")),
    ("image/gif", lambda head: head.startswith((b"GIF87a", b"GIF89a"))),
    ("image/webp", lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP"),
    ("image/bmp", lambda head: head.startswith(b"BM")),
    ("image/tiff", lambda head: head.startswith((b"II*\x00", b"MM\x00*"))),
    ("image/avif", lambda head: head[4:12] in (b"ftypavif", b"ftypavis")),
    ("image/heic", lambda head: head[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1")),
)


def image(
    source: Source | Picture,
    *,
    detail: Literal["auto", "low", "high"] | None = None,
    media_type: str | None = None,
) -> Part:
    """A picture as a part of a prompt.

    Example:
        ```python
        from executionkit import MockProvider, consensus
        from executionkit.parts import image

        dot = bytes.fromhex("89504e470d0a1a0a")  # in your program: image("dog.jpg")
        result = await consensus(
            MockProvider(["a poodle"]), ["What breed is it?", image(dot)], num_samples=3
        )
        assert result.value == "a poodle"
        ```

    Args:
        source: A path, an `http:`, `https:` or `data:` URL, the bytes of a picture, or a picture that can
            save itself, such as one of Pillow. A file is read here. A URL is read by the server.
        detail: How closely the model looks: "low", "high" or "auto". Defaults to the server's own choice.
        media_type: The media type, such as "image/png". Defaults to the one that the bytes show.

    Raises:
        ValueError: The bytes are no picture of a known kind, or there are more than 20 MB of them.
        OSError: The file can't be read.
    """
    if isinstance(source, str) and source.lower().startswith(_URLS):
        url: str = Data(source) if source[:5].lower() == "data:" else source
    else:
        data = _saved(cast("Picture", source)) if hasattr(source, "save") else _read(source)
        kind = media_type or next((kind for kind, fits in _PICTURES if fits(data[:16])), None)
        if kind is None:
            raise ValueError(f"the {len(data)} bytes are no picture of a known kind; set media_type")
        url = _encoded(data, kind)
    return {"type": "image_url", "image_url": {"url": url, **({"detail": detail} if detail else {})}}


def file(source: Source, *, name: str | None = None, media_type: str | None = None) -> Part:
    """A file, such as a PDF, as a part of a prompt.

    Args:
        source: A path, or the bytes of the file. A file is read here.
        name: The name that the model sees. Defaults to the last part of the path.
        media_type: The media type. Defaults to "application/pdf" for a PDF, else to the one that the name
            stands for.

    Raises:
        ValueError: There are more than 20 MB, or bytes have neither a known kind nor a `name`.
        OSError: The file can't be read.
    """
    data = _read(source)
    if name is None and isinstance(source, (str, PathLike)):
        name = Path(fspath(source)).name
    is_pdf = data.startswith(b"%PDF-")
    kind = media_type or ("application/pdf" if is_pdf else mimetypes.guess_type(name or "")[0])
    if kind is None:
        raise ValueError(f"the media type of {name or 'the file'!r} is not known; set media_type")
    shown = name or f"file{mimetypes.guess_extension(kind) or ''}"
    return {"type": "file", "file": {"filename": shown, "file_data": _encoded(data, kind)}}


def _read(source: object) -> bytes:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _bounded(bytes(source))
    if not isinstance(source, (str, PathLike)):
        raise ValueError(f"a picture or a file is a path or bytes, got {type(source).__name__}")
    with Path(cast("str | PathLike[str]", source)).open("rb") as opened:
        return _bounded(opened.read(MOST_BYTES + 1))


def _saved(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return _bounded(buffer.getvalue())


def _bounded(data: bytes) -> bytes:
    if len(data) > MOST_BYTES:
        raise ValueError(f"a picture or a file has at most {shown_size(MOST_BYTES)}, this one has more")
    return data


def _encoded(data: bytes, media_type: str) -> Data:
    return Data(f"data:{media_type};base64,{base64.b64encode(data).decode()}")
