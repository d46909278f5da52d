"""Where a reply declares its answer: boxes, tags, marks and "the answer is"."""

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeVar

from executionkit.engine.thoughts import without_thoughts

T = TypeVar("T")


class Declared(NamedTuple):
    """A place that declares an answer.

    Attributes:
        start: Where it begins.
        text: The text it declares; for a phrase, everything up to the end of its clause.
        is_marked: Whether it is a box, tag or mark, made to hold the answer and nothing else.
    """

    start: int
    text: str
    is_marked: bool


_BOX: Final = re.compile(r"\\f?box(?:ed)?\s*\{")
_BRACE: Final = re.compile(r"\\.|[{}]", re.DOTALL)


def boxes(text: str) -> Iterator[Declared]:
    r"""The content of each `\boxed{...}`; an empty text for one that is not closed, which is the last."""
    end = 0
    for box in _BOX.finditer(text):
        if box.start() < end:
            continue
        depth = 1
        for brace in _BRACE.finditer(text, box.end()):
            depth += {"{": 1, "}": -1}.get(brace[0], 0)
            if not depth:
                end = brace.end()
                yield Declared(box.start(), text[box.end() : brace.start()], is_marked=True)
                break
        else:
            yield Declared(box.start(), "", is_marked=True)
            return


def tags(text: str, tag: str) -> Iterator[Declared]:
    """The content of each `<tag>...</tag>`; an empty text for the last if it is not closed."""
    start: int | None = None
    inner = 0
    for found in re.finditer(rf"<(/?){re.escape(tag)}(?:\s[^<>]*)?>", text, re.IGNORECASE):
        if not found[1]:
            start, inner = found.start(), found.end()
        elif start is not None:
            yield Declared(start, text[inner : found.start()], is_marked=True)
            start = None
    if start is not None:
        yield Declared(start, "", is_marked=True)


_MARK: Final = re.compile(r"^[ \t]*####(?!#)[ \t]*(\S.*)$", re.MULTILINE)
_PHRASE: Final = re.compile(
    r"\banswers?\b(?:[^\S\n]+(?:to|for)(?:[^\S\n]+[\w'’-]+){1,8}?)?"
    r"(?:[*_`]*[^\S\n]*(?:[:=：]|\b(?:is|are|(?:should|would|must|will)[^\S\n]+be)\b)|[*_`]*[^\S\n]*\n)"
    r"[\s*_`\"'“:=]*",
    re.IGNORECASE,
)
_DISOWNED: Final = re.compile(
    r"\b(?:wrong|incorrect|first|initial|previous|not)(?:\s+(?:the|an?|my|final|right|correct))*\s*\Z",
    re.IGNORECASE,
)
_CLAUSE_AT_MOST: Final = 300
_CLAUSE: Final = re.compile(
    r"[.!?](?=\s|\Z)|[;\n]|(?:,(?=\s)|(?<!\bor)(?<!\band)(?<=\S)\s\()(?!\s*(?:or|and|maybe|perhaps|possibly)\b)"
    r"|\s[-–—]\s(?=[^\W\d])|\b(?:because|since|as|so|which|where|while|given|for|after|if|but)\b",
    re.IGNORECASE,
)
_DENIAL: Final = re.compile(r"\W*(?:not|never|un(?:known|clear|certain|defined))\b", re.IGNORECASE)


def phrases(text: str) -> Iterator[Declared]:
    """The clause after each "the answer is" and "Answer:", unless it is too long to be one."""
    for phrase in _PHRASE.finditer(text):
        if _DISOWNED.search(text, max(0, phrase.start() - 24), phrase.start()):
            continue
        # Bounded, because a text may be nothing but such phrases.
        rest = text[phrase.end() : phrase.end() + _CLAUSE_AT_MOST]
        end = _CLAUSE.search(rest, 1)
        if end or len(rest) < _CLAUSE_AT_MOST:
            yield Declared(phrase.start(), rest[: end.start()] if end else rest, is_marked=False)


def read(text: str, only: Callable[[str], T | None], bare: Callable[[str], T | None]) -> T | None:
    """Read the one answer of a reply.

    Args:
        text: The reply.
        only: Reads a text that holds one answer, among words; None when it may hold another.
        bare: Reads a line that is an answer and nothing else.
    """
    text = without_thoughts(text)
    marks = (Declared(mark.start(), mark[1], is_marked=True) for mark in _MARK.finditer(text))
    declared = [*boxes(text), *tags(text, "answer"), *marks, *phrases(text)]
    for place in sorted(declared, reverse=True):
        answer = only(place.text)
        if answer is not None:
            return answer
        if place.is_marked or _DENIAL.match(place.text):
            return None
    answer = only(text)
    return _bare_line(text.strip().splitlines(), bare) if answer is None else answer


def _bare_line(lines: list[str], bare: Callable[[str], T | None]) -> T | None:
    """The answer that stands alone on the last line, or on the first with nothing on the second."""
    if len(lines) < 2:
        return None
    opening = None if lines[1].strip() else bare(lines[0])
    closing = bare(lines[-1])
    if closing is None or opening == closing:
        return opening
    # One bare answer above another is a list.
    return closing if opening is None and bare(lines[-2]) in (None, closing) else None
