"""The codings of a body: what a Content-Encoding header names, and undoing those that can be undone."""

import re
import zlib
from collections.abc import Mapping
from typing import Any, Final

from executionkit.provider._http.faults import TOO_LARGE

_PACKED: Final = frozenset({"gzip", "x-gzip", "deflate"})

_FOREIGN: Final = frozenset(
    {"br", "zstd", "compress", "x-compress", "dcb", "dcz", "aes128gcm", "exi", "pack200-gzip"}
)
"""Registered codings that the standard library can't undo."""

_NONE: Final = frozenset(
    {"", "identity", "none", "null", "plain", "text", "binary", "chunked", "aws-chunked"}
)
"""Names that servers send where there is no coding."""

_CHARSETS: Final = ("utf", "us-ascii", "ascii", "iso-8859", "latin", "windows-")

_GZIP: Final = b"\x1f\x8b"

_PLAIN: Final = re.compile(
    rb"""(?:\xef\xbb\xbf)?\s*"""
    rb"""(?:\{\s*["}]|\[\s*[\[\]{"0-9]|:[\t\r\n -~]|data:|event:|<[!?A-Za-z])""",
)
"""How JSON, event streams and HTML begin. No compressed body of theirs begins so."""

_TELLING: Final = 16
"""The bytes after which it is clear how a body begins."""


def codings(headers: Mapping[str, str]) -> list[str]:
    """The codings of a body, in the order in which they were applied, without the names of none."""
    value = headers.get("content-encoding")
    if not value:
        return []
    names = [name.partition(";")[0].strip(" \t\"'").lower() for name in value.split(",")]
    return [name for name in names if name not in _NONE and not name.startswith(_CHARSETS)]


def strange_codings(headers: Mapping[str, str]) -> list[str]:
    """The names among them that are not codings known here; the body may be plain all the same."""
    return [name for name in codings(headers) if name not in _PACKED]


def can_t_be_undone(headers: Mapping[str, str]) -> bool:
    """Whether a body that is not readable as it is will never be."""
    return bool(strange_codings(headers)) or len(codings(headers)) > 1


def unpacked(body: bytes, headers: Mapping[str, str], limit: int) -> bytes:
    """A whole body without its compression; the errors are those of `Unpacker`."""
    if not headers.get("content-encoding") and not body.startswith(_GZIP):
        return body
    unpacker = Unpacker(headers, limit)
    return unpacker.feed(body) + unpacker.finish()


class Unpacker:
    """Undoes the compression of a body, which may come in pieces.

    Args:
        headers: The reply's headers, names in lower case.
        limit: The most bytes that one piece may make.

    """

    def __init__(self, headers: Mapping[str, str], limit: int) -> None:
        names = codings(headers)
        packed = [name for name in reversed(names) if name in _PACKED]  # the last one is undone first
        foreign = next((name for name in reversed(names) if name in _FOREIGN), None)
        self._layers = [_Layer(name, limit) for name in ([foreign] if foreign else packed or [""])]
        self._is_plain = False

    def feed(self, piece: bytes) -> bytes:
        """Unpack the next piece.

        Raises:
            ValueError: It makes too many bytes, or has a coding that can't be undone.
            zlib.error: It can't be unpacked.
        """
        if self._is_plain:
            return piece
        for layer in self._layers:
            piece = layer.feed(piece)
        self._is_plain = all(layer.is_plain for layer in self._layers)
        return piece

    def finish(self) -> bytes:
        """Return what is still held of a body that ended before it was clear how it begins.

        Raises:
            ValueError: The body is cut off, or has a coding that can't be undone.
        """
        rest = b""
        for layer in self._layers:
            rest = (layer.feed(rest) if rest else b"") + layer.finish()
        return rest


class _Layer:
    """One compression.

    The body counts before the name: a proxy that unpacks a body may leave the name, or one that packs it may
    leave it out. Bytes that follow a complete gzip member and don't begin another one are padding.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._wbits: int | None = None  # 0: it is not compressed
        self._member: Any = None
        self._waiting = b""
        self._is_over = False

    @property
    def is_plain(self) -> bool:
        """Whether it turned out that there is nothing to undo."""
        return self._wbits == 0

    def feed(self, piece: bytes) -> bytes:
        if self._wbits is None:
            piece, self._waiting = self._waiting + piece, b""
            self._wbits = self._kind(piece, is_whole=False)
            if self._wbits is None:
                self._waiting = piece
                return b""
        return self._undo(piece) if self._wbits else piece

    def _kind(self, beginning: bytes, *, is_whole: bool) -> int | None:
        """How zlib is to read a body that begins like this; None as long as it is not clear."""
        if beginning[:1] == _GZIP[:1] and (len(beginning) > 1 or is_whole):
            return 31 if beginning.startswith(_GZIP) or self._name else 0
        if beginning and (not self._name or _PLAIN.match(beginning)) and beginning != _GZIP[:1]:
            return 0
        if len(beginning) < _TELLING and not is_whole:
            return None
        if self._name in _FOREIGN:
            raise ValueError(f"content-encoding {self._name!r}, which was not asked for")
        # Raw deflate is what some servers take "deflate" for; a head of zlib is a multiple of 31.
        has_head = int.from_bytes(beginning[:2]) % 31 == 0
        return -15 if self._name == "deflate" and not has_head else 47

    def _undo(self, piece: bytes) -> bytes:
        parts: list[bytes] = []
        room = self._limit
        piece, self._waiting = self._waiting + piece, b""
        while piece and not self._is_over:
            if self._member is not None and self._member.eof:
                if piece == _GZIP[:1]:
                    self._waiting = piece
                    break
                self._is_over = not piece.startswith(_GZIP)
                self._member = None
                continue
            self._member = self._member or zlib.decompressobj(self._wbits or 47)
            part = self._member.decompress(piece, room + 1)
            room -= len(part)
            if room < 0:
                raise ValueError(TOO_LARGE.format(self._limit))
            parts.append(part)
            piece = self._member.unused_data
        return b"".join(parts)

    def finish(self) -> bytes:
        rest = b""
        if self._wbits is None and self._waiting:
            piece, self._waiting = self._waiting, b""
            self._wbits = self._kind(piece, is_whole=True)
            rest = self._undo(piece) if self._wbits else piece
        if self._member is not None and not self._member.eof:
            raise ValueError("the compressed body is cut off")
        return rest
