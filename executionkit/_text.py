"""Text: making it valid, putting it into one line, shortening it, measuring it."""

import re
from typing import Any

_GAPS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_QUOTE = re.compile(r"\n|(?<!\w)(?:bytearray\()?b?['\"]")
_BEGINNING = 16_384


def well_formed(text: str) -> str:
    """Replace lone surrogates by U+FFFD, because UTF-8 can't carry them; join pairs into their character."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def whole_characters(text: str) -> tuple[str, str]:
    """Make a piece of a text valid, but for half a surrogate pair at its end; returns both."""
    half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
    return well_formed(text[: len(text) - len(half)]), half


def one_line(text: str) -> str:
    """Turn every run of whitespace and control characters into one space."""
    return _GAPS.sub(" ", well_formed(text)).strip()


def collapsed(text: str) -> str:
    """Strip surrounding whitespace, and turn every inner run of it into one space."""
    return " ".join(text.split())


def shorten(text: str, limit: int) -> str:
    """Cut a text to `limit` characters; a cut text ends in an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def beginning(text: str) -> str:
    """Take the first 16,384 characters, without the word that the cut splits.

    No pattern would recognise half a credential. Longer texts are cut because patterns are slow on megabytes.
    """
    if len(text) <= _BEGINNING:
        return text
    words = text[:_BEGINNING].rsplit(None, 1)
    return words[0] if len(words) == 2 else ""


def unquoted(text: str) -> str:
    """Take the quotes out of a library's message about a bad reply: they can hold any header's value."""
    quote = _QUOTE.search(text)
    return one_line(text[: quote.start()].rstrip().removesuffix(":") if quote else text)


def describe(exc: BaseException) -> str:
    """Describe an exception in one line, by type and text.

    If an error of the operating system lies beneath it, that one is described. The exception of a request
    is described and never chained, because those of HTTP libraries hold the headers.
    """
    shown: BaseException = exc
    beneath: BaseException | None = exc
    for _ in range(10):
        if beneath is None:
            break
        if isinstance(beneath, OSError):
            shown = beneath
        group: Any = getattr(beneath, "exceptions", ())  # of several attempts the first will do
        beneath = group[0] if group else beneath.__cause__ or beneath.__context__
    text = one_line(str(shown))
    return shorten(f"{type(shown).__name__}: {text}" if text else type(shown).__name__, 300)


def words_of(text: str) -> list[str]:
    """Split a text into words, each with the whitespace before it; joined they are the text again."""
    return re.findall(r"\s*\S+|\s+", text)


def columns(text: str) -> int:
    """The columns of a terminal that a text takes."""
    from unicodedata import combining, east_asian_width  # not at the top: few programs draw

    if text.isascii():
        return len(text)
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def size_of(text: str) -> int:
    """The size of a text in UTF-8. For any script, bytes predict tokens better than characters do."""
    # Encoding every reply would take time, and ASCII text doesn't need it.
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
