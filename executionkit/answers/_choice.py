"""Reading which of a few given answers a reply gives: a letter, a label."""

import re
from collections.abc import Callable
from typing import Final

from executionkit.answers._declared import read

_MARKUP: Final = re.compile(r"\\(?:text|textbf|textrm|mathrm|mathbf|mbox)\s*(?=\{)|</?[a-zA-Z][^<>]*>")
_NEGATION: Final = re.compile(
    r"\b(?:not|never|neither|nor|cannot|except|wrong|incorrect|false|unlikely|eliminated?)\b|n['’]t\b",
    re.IGNORECASE,
)
_VERB: Final = r"(?:or|and|nor|is|was|has|as|because|since|seems|fits|must|would|can)\b"
_OR: Final = r"\s*(?:\b(?:or|and)\b|[&/,+])\s*"


def choice(letters: str = "ABCDE") -> Callable[[str], str | None]:
    """Make a reader of the chosen letter: "B", "(b)", "**B** because ...", "Answer: B) Paris" are one vote.

    A reply abstains if it names several letters and declares none of them, if it denies a letter ("not B"),
    or if it can't decide ("A or B").

    Example:
        ```python
        from executionkit import answers

        read = answers.choice("ABCD")
        assert read("**B** because Paris is the capital.") == "B"
        assert read("A or B") is None
        ```

    Args:
        letters: The letters to choose from, such as "ABCD", in upper or lower case.

    Returns:
        A reader that returns the letter in upper case, or None.

    Raises:
        ValueError: `letters` is empty, repeats a letter, or holds something other than letters and digits.
    """
    if not isinstance(letters, str) or not re.fullmatch(r"[A-Za-z0-9]+", letters):
        raise ValueError(f"letters must be letters or digits, such as 'ABCD', got {letters!r}")
    if len(set(letters.upper())) < len(letters):
        raise ValueError(f"letters must be different, upper and lower case apart, got {letters!r}")
    upper = letters.upper()
    either = f"[{upper}{upper.lower()}]"
    # At the start of a text: a letter that is plainly no word.
    leading = re.compile(
        rf"[\s*_`\"'“({{\[$]*+(?:(?:option|choice|letter|answer)\s+)?[*_`\"'“({{\[$]*+({either})"
        rf"(?=[\s*_`\"'”]*(?:\Z|[)}}\].:,;!?$]|\n)|\s+(?:because|since|as|for|which|[-–—(])(?:\s|\Z)|\s*[-–—]\s)"
        r"[\s*_`\"'”)}\]$.:–—-]*"
    )
    # Anywhere: a letter in brackets, or a capital that is neither an article ("A dog") nor a pronoun ("I").
    within = "(?<=[a-z,;] )A|" if "A" in upper else ""
    alone = re.compile(
        rf"\(({either})\)|(?<![\w'’-])({within}(?!(?:A|I)\s+(?!{_VERB})[a-z])[{upper}])(?![\w'’-])"
    )
    more = re.compile(rf"{_OR}(?:option\s+)?\(?{either}\b", re.IGNORECASE)

    def only(text: str) -> str | None:
        text = _MARKUP.sub("", text)
        first = leading.match(text)
        named = {(found[1] or found[2]).upper() for found in alone.finditer(text)}
        if first is not None and named <= {first[1].upper()} and not more.match(text, first.end()):
            return first[1].upper()
        return named.pop() if len(named) == 1 and not _NEGATION.search(text) else None

    def bare(line: str) -> str | None:
        found = leading.fullmatch(_MARKUP.sub("", line).rstrip(" .:*_`"))
        return found[1].upper() if found else None

    mentions = alone.search
    return lambda text: read(text, only, bare, mentions)


def label(*labels: str) -> Callable[[str], str | None]:
    """Make a reader of the one label that a reply gives: `label("positive", "negative", "neutral")`.

    Case and the characters between words don't matter ("not spam" is "Not-Spam"). If one label contains
    another, the longer one is read. A reply abstains if it names several labels and declares none of them, or
    if it denies a label ("isn't positive").

    Example:
        ```python
        from executionkit import answers

        read = answers.label("spam", "not spam")
        assert read("This is Not-Spam.") == "not spam"
        assert read("Spam, or not spam?") is None
        ```

    Args:
        *labels: The labels to choose from; at least one.

    Returns:
        A reader that returns the label in the spelling given here, or None.

    Raises:
        ValueError: There is no label, one has no letter or digit, or two are the same.
    """
    names = {_folded(name): name for name in labels if isinstance(name, str)}
    if not labels or len(names) < len(labels) or "" in names:
        raise ValueError(f"labels must be different texts, with a letter or digit each, got {labels!r}")
    longest_first = sorted(names, key=len, reverse=True)
    either = "|".join(r"[\W_]+".join(map(re.escape, name.split())) for name in longest_first)
    words = re.compile(rf"(?<![^\W_])(?:{either})(?![^\W_])", re.IGNORECASE)

    def only(text: str) -> str | None:
        text = _MARKUP.sub("", text)
        found = {_folded(match[0]) for match in words.finditer(text)}
        if len(found) != 1 or _NEGATION.search(words.sub("", text)):
            return None
        return names.get(found.pop())

    def bare(line: str) -> str | None:
        return names.get(_folded(_MARKUP.sub("", line)))

    mentions = words.search
    return lambda text: read(text, only, bare, mentions)


def _folded(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text)).casefold()
