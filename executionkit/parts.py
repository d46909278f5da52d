"""Pictures and files as parts of a prompt."""

import io
import mimetypes
import re
from base64 import b64encode
from collections.abc import Callable
from os import PathLike, fspath
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias, TypeGuard, cast, get_args, runtime_checkable

from executionkit import _checks as checks
from executionkit._prompt import Data, Part, Prompt, brief, shown_size

__all__ = ["Part", "Picture", "Prompt", "Source", "file", "image"]

_MOST_BYTES: Final = 20_000_000
"""The most bytes of a picture or a file; services refuse larger ones."""

_LONGEST_PATH: Final = 4_096
"""The most characters of a path. A longer string is encoded data, which no error message may quote."""


@runtime_checkable
class Picture(Protocol):
    """A picture that can save itself, such as one of Pillow."""

    def save(self, fp: io.BytesIO, format: str) -> object:  # noqa: A002 - Pillow's name
        """Write the picture in a format."""
        ...


Source: TypeAlias = str | PathLike[str] | bytes | bytearray | memoryview
"""A path, or bytes."""

Detail: TypeAlias = Literal["auto", "low", "high"]

_URLS: Final = ("http://", "https://", "data:")
_MEDIA_TYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)

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
    detail: Detail | None = None,
    media_type: str | None = None,
) -> Part:
    """Make a picture a part of a prompt.

    Example:
        ```python
        from executionkit.parts import image

        part = image(
            bytes.fromhex("89504e470d0a1a0a")
        )  # in your program: image("dog.jpg")
        assert repr(part["image_url"]["url"]) == "<image/png, 8 bytes>"
        ```

    Args:
        source: A path, an `http:`, `https:` or `data:` URL, the bytes of a picture, or a picture that can
            save itself, such as one of Pillow. A file is read here. A URL is fetched by the server.
        detail: How closely the model looks: "low", "high" or "auto". Defaults to the server's own choice.
        media_type: The media type, such as "image/png". Defaults to the one that the bytes show, whatever the
            name of a file says.

    Returns:
        The part, in the form of the chat completions API. Its `repr` shows the size in place of the data.

    Raises:
        ValueError: The bytes are no picture of a known kind, there are more than 20 MB of them, or a
            parameter is out of range.
        OSError: The file can't be read.
    """
    if detail is not None:
        checks.one_of(get_args(Detail), detail=detail)
    _check_media_type(media_type)
    if _is_url(source):
        url: str = source
        if source[:5].lower() == "data:":
            _require_room(len(source) * 3 // 4)
            url = Data(source)
    else:
        data = _saved(source) if isinstance(source, Picture) else _read(source)
        kind = media_type or next((kind for kind, fits in _PICTURES if fits(data[:16])), None)
        if kind is None:
            raise ValueError(f"the {shown_size(len(data))} are no picture of a known kind; set media_type")
        url = _encoded(data, kind)
    return {"type": "image_url", "image_url": {"url": url, **({"detail": detail} if detail else {})}}


def file(source: Source, *, name: str | None = None, media_type: str | None = None) -> Part:
    """Make a file, such as a PDF, a part of a prompt.

    Example:
        ```python
        from executionkit.parts import file

        part = file(
            b"%PDF-1.7 ...", name="menu.pdf"
        )  # in your program: file("menu.pdf")
        assert part["file"]["filename"] == "menu.pdf"
        assert repr(part["file"]["file_data"]) == "<application/pdf, 12 bytes>"
        ```

    Args:
        source: A path, or the bytes of the file. A file is read here.
        name: The name that the model sees. Defaults to the last part of the path.
        media_type: The media type. Defaults to "application/pdf" for a PDF, else to the one that the name
            stands for.

    Returns:
        The part, in the form of the chat completions API. Its `repr` shows the size in place of the data.

    Raises:
        ValueError: There are no bytes, or more than 20 MB, or the media type is not known; or it is a URL.
        OSError: The file can't be read.
    """
    if name is not None:
        checks.text(name=name)
    _check_media_type(media_type)
    if _is_url(source):
        raise ValueError("a file is a path or bytes, not a URL: fetch it first, and give the bytes")
    data = _read(source)
    if not data:
        raise ValueError("the file is empty")
    if not name and isinstance(source, (str, PathLike)):
        name = Path(fspath(source)).name
    is_pdf = data.startswith(b"%PDF-")
    kind = media_type or ("application/pdf" if is_pdf else mimetypes.guess_type(name or "")[0])
    if kind is None:
        raise ValueError(f"the media type of {name or 'the file'!r} is not known; set media_type")
    shown = name or f"file{mimetypes.guess_extension(kind) or ''}"
    return {"type": "file", "file": {"filename": shown, "file_data": _encoded(data, kind)}}


def _check_media_type(media_type: object) -> None:
    if media_type is not None and not (isinstance(media_type, str) and _MEDIA_TYPE.fullmatch(media_type)):
        raise ValueError(f'media_type must be like "image/png", got {brief(media_type)}')


def _is_url(source: object) -> TypeGuard[str]:
    return isinstance(source, str) and source[:8].lower().startswith(_URLS)


def _read(source: object) -> bytes:
    if isinstance(source, (bytes, bytearray, memoryview)):
        _require_room(memoryview(source).nbytes)
        return bytes(source)
    if not isinstance(source, (str, PathLike)):
        raise ValueError(f"a picture or a file is a path or bytes, got {brief(source)}")
    path = fspath(cast("str | PathLike[str]", source))
    if len(path) > _LONGEST_PATH:
        raise ValueError(
            f"a path has at most {_LONGEST_PATH:,} characters, got {len(path):,}; give data as bytes"
        )
    with Path(path).open("rb") as opened:
        data = opened.read(_MOST_BYTES + 1)
    _require_room(len(data))
    return data


def _saved(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    _require_room(buffer.tell())
    return buffer.getvalue()


def _require_room(size: int) -> None:
    if size > _MOST_BYTES:
        raise ValueError(f"a picture or a file has at most {shown_size(_MOST_BYTES)}, this one has more")


def _encoded(data: bytes, media_type: str) -> Data:
    return Data(f"data:{media_type};base64,{b64encode(data).decode()}")
