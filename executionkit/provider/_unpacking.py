"""Undoing the compression of a body that comes in pieces."""

import zlib
from collections.abc import Mapping

from executionkit.provider._http.faults import TOO_LARGE


class Unpacker:
    """Unpacks piece by piece, never making more than `limit` bytes of one.

    Args:
        headers: The reply's headers, names in lower case.
        limit: The most bytes that one piece may make.

    Raises:
        ValueError: The encoding was not asked for.
    """

    def __init__(self, headers: Mapping[str, str], limit: int) -> None:
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise ValueError(f"content-encoding {encoding!r}, which was not asked for")
        self._limit = limit
        self._packed = encoding not in ("", "identity")
        self._member = zlib.decompressobj(wbits=47)  # gzip or zlib, by its header

    def feed(self, piece: bytes) -> bytes:
        """The bytes that come out of the next piece.

        Raises:
            ValueError: They are too many.
            zlib.error: It can't be unpacked.
        """
        if not self._packed:
            return piece
        parts: list[bytes] = []
        room = self._limit
        while piece:
            if self._member.eof:
                if not piece.startswith(b"\x1f"):
                    break  # padding
                self._member = zlib.decompressobj(wbits=47)
            part = self._member.decompress(piece, room + 1)
            room -= len(part)
            if room < 0:
                raise ValueError(TOO_LARGE.format(self._limit))
            parts.append(part)
            piece = self._member.unused_data
        return b"".join(parts)
