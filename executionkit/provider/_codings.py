"""What a Content-Encoding header names: codings that can be undone, no codings at all, and others."""

from collections.abc import Mapping

PACKED = frozenset({"gzip", "x-gzip", "deflate"})

_FOREIGN = frozenset(
    {"br", "zstd", "compress", "x-compress", "dcb", "dcz", "aes128gcm", "exi", "pack200-gzip"}
)
"""Registered codings that the standard library can't undo."""

_NONE = frozenset({"", "identity", "none", "null", "plain", "text", "binary", "chunked", "aws-chunked"})
"""Names that servers send where there is no coding."""

_CHARSETS = ("utf", "us-ascii", "ascii", "iso-8859", "latin", "windows-")


def codings(headers: Mapping[str, str]) -> list[str]:
    """The codings of a body, in the order in which they were applied, without the names of none."""
    names = [name.strip(" \t\"'").lower() for name in headers.get("content-encoding", "").split(",")]
    return [name for name in names if name not in _NONE and not name.startswith(_CHARSETS)]


def strange_codings(headers: Mapping[str, str]) -> list[str]:
    """The names among them that are not codings known here; the body may be plain all the same."""
    return [name for name in codings(headers) if name not in PACKED]


def foreign_codings(headers: Mapping[str, str]) -> list[str]:
    """The codings among them that exist, and can't be undone."""
    return [name for name in codings(headers) if name in _FOREIGN]


def can_t_be_undone(headers: Mapping[str, str]) -> bool:
    """Whether a body that is not readable as it is will never be."""
    return bool(strange_codings(headers)) or len(codings(headers)) > 1
