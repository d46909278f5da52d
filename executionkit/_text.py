"""Making text from elsewhere fit to be shown, stored and sent on."""

import re
from typing import Any

_GAPS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_QUOTED = re.compile(r"\s*:?\s*(?:\n|(?<!\w)(?:bytearray\()?b?['\"]).*", re.DOTALL)
_BEGINNING = 16_384


def well_formed(text: str) -> str:
    """Replace lone surrogates, which UTF-8 can't carry, by U+FFFD; join pairs into their character."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def one_line(text: str) -> str:
    """Turn every run of whitespace and control characters into one space."""
    return _GAPS.sub(" ", well_formed(text)).strip()


def collapsed(text: str) -> str:
    """Strip surrounding whitespace, and turn every inner run of it into one space."""
    return " ".join(text.split())


def shorten(text: str, limit: int) -> str:
    """Cut to `limit` characters, ending in an ellipsis when something is missing."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def beginning(text: str) -> str:
    """The first 16,384 characters; a word that the cut splits is left out.

    Half a credential is a thing that no pattern recognises, and patterns take their time over megabytes.
    """
    if len(text) <= _BEGINNING:
        return text
    words = text[:_BEGINNING].rsplit(None, 1)
    return words[0] if len(words) == 2 else ""


def unquoted(text: str) -> str:
    """What a library says of a reply it can't read, without what it quotes: any header's value."""
    return one_line(_QUOTED.sub("", text))


def describe(exc: BaseException) -> str:
    """An exception in one line: its own type and text, and the operating system's where that lies beneath.

    The exception itself is never chained or kept: those of HTTP libraries hold the request with its headers.
    """
    shown: BaseException = exc
    beneath: BaseException | None = exc
    for _ in range(10):
        if beneath is None:
            break
        if isinstance(beneath, OSError):
            shown = beneath
        group: Any = getattr(beneath, "exceptions", ())  # one of several attempts tells enough
        beneath = group[0] if group else beneath.__cause__ or beneath.__context__
    text = one_line(str(shown))
    return shorten(f"{type(shown).__name__}: {text}" if text else type(shown).__name__, 300)


def words_of(text: str) -> list[str]:
    """Split a text into words, each with the whitespace before it; joined they are the text again."""
    return re.findall(r"\s*\S+|\s+", text)


def size_of(text: str) -> int:
    """The size of a text in bytes of UTF-8, by which scripts differ less in tokens than by characters."""
    # ASCII knows its size; encoding would make the cost of a call grow with the length of its reply.
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
