"""Telling a model's answer from its thoughts in the same text."""

import re
from typing import Final, TypeAlias

Span: TypeAlias = tuple[int, int]

_TAG: Final = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)


def thoughts(text: str) -> list[Span]:
    """The spans of the thoughts in a text, in order, tags included.

    The text after an unclosed `<think>` is thought. So is the text before a `</think>` without an opening
    tag: some servers cut the opening tag off with the prompt it belongs to.
    """
    spans: list[Span] = []
    opened: int | None = None
    for tag in _TAG.finditer(text):
        if not tag[1]:
            opened = tag.start() if opened is None else opened
        elif opened is None:
            spans = [(0, tag.end())]
        else:
            spans.append((opened, tag.end()))
            opened = None
    if opened is not None:
        spans.append((opened, len(text)))
    return spans


def without_thoughts(text: str) -> str:
    """The text without its thoughts."""
    spoken: list[str] = []
    at = 0
    for start, end in thoughts(text):
        spoken.append(text[at:start])
        at = end
    return "".join([*spoken, text[at:]])
