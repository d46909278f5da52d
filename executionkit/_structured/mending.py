"""Mending JSON with slips in it: a comma too many, single quotes, a comment, a bracket forgotten."""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any, Final
from unicodedata import category

from executionkit.engine.thoughts import without_thoughts

MAX_CHARS: Final = 100_000
"""What is longer is left alone: mending it would hold up the event loop."""

# An opening bracket that JSON goes on after; in prose there are others.
_START: Final = re.compile(r"""\{\s*(?:["'}]|\w+\s*:)|\[\s*(?:[\[{"'\d-]|true|false|null)""")
_FENCED: Final = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)

# Left out, cut short ("tru"), or not a number: there is nothing to mend it with.
_MISSING: Final = re.compile(
    r"(?:^|[\s,:\[{])(?:\.\.\.|…|undefined|-?(?:nan|inf(?:inity)?)|tru?|fa(?:ls?)?|nul?)\s*(?:[,\]}]|\Z)",
    re.IGNORECASE,
)
# What changes a number that stands beside it. A plus doesn't, and a point is told by the digits.
_SIGNS: Final = "-−–±~≈<>≤≥%‰°"
_COMMENT: Final = re.compile(r"(?:(?<=[\s,{}\[\]])|^)//[^\n]*|/\*.*?\*/", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[nrtbf])")
_LONG_NUMBER: Final = re.compile(r"(?<![\"'\w.])-?[0-9]{640,}")  # no limit may be less than 640
_FRACTION: Final = re.compile(r"\d+(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+)")


def is_doubtful(text: str, start: int) -> bool:
    """Whether JSON found at `start` is hardly what the model meant, because what it meant can't be parsed.

    So it is where an object or array that began before goes on around it: the first item of a list, say, that
    has a comma too many further on. And where it stands outside the fenced block that holds the answer.
    """
    depth = 0
    for token in _TOKEN.finditer(without_thoughts(text[:start])):
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth = max(0, depth - 1)
    block = _answer_block(without_thoughts(text))
    at = len(without_thoughts(text[:start]))
    return depth > 0 or (block is not None and not block.start() <= at < block.end(1))


def find_broken(text: str) -> str | None:
    """The part of a reply that is meant to be JSON."""
    text = without_thoughts(text)
    block = _answer_block(text)
    part = text if block is None else block[1]
    start = _START.search(part)
    if start is None:
        return None
    part = part[start.start() :].strip()
    depth = 0
    for token in _TOKEN.finditer(part):
        depth += (token[0] in "[{") - (token[0] in "]}")
        if depth == 0 and not re.search(r'["{}\[\]]', part[token.end() :]):
            return part[: token.end()]
    return part


def mend(broken: str) -> dict[str, Any] | list[Any] | None:
    """What `broken` says once its slips are mended; None where that is not certain.

    It takes the optional `json-repair`, which guesses where it can't know. So its result counts only when it
    says no more and no less than the text does: the same letters, digits, signs and currencies in the same
    order.
    """
    if len(broken) > MAX_CHARS or _MISSING.search(broken) or _is_too_long_a_number(broken):
        return None
    try:
        import json_repair
    except ImportError:
        return None
    try:
        value = json_repair.repair_json(broken, return_objects=True, skip_json_loads=True)
        json.dumps(value, allow_nan=False)
        leaves = list(_leaves(value))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict if broken[0] == "{" else list):
        return None
    if any("\n" in leaf and re.search(r"[{}\[\]]", leaf) for leaf in leaves):
        return None  # a quote that was never closed swallows what follows
    # Python's None is to become null, and not a text.
    meant = re.sub(r"\bNone\b", "null", broken)
    if _letters(" ".join(leaves)) not in (_letters(meant), _letters(_COMMENT.sub(" ", meant))):
        return None
    return value


def _is_too_long_a_number(text: str) -> bool:
    """Whether an integer stands in `text` that Python reads only after `sys.set_int_max_str_digits`.

    No slip has to be mended there, and `json-repair` would make a string of it.
    """
    limit = sys.get_int_max_str_digits()
    return limit > 0 and any(len(number[0].lstrip("-")) > limit for number in _LONG_NUMBER.finditer(text))


def _answer_block(text: str) -> re.Match[str] | None:
    """The first fenced block that has JSON in it, broken or not."""
    return next((block for block in _FENCED.finditer(text) if _START.search(block[1])), None)


def _leaves(value: object) -> Iterator[str]:
    """Every name and every scalar in a JSON value, in order, as text."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield str(name)
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value if isinstance(value, str) else json.dumps(value)


def _letters(text: str) -> str:
    """The letters, digits and signs of a text, whatever its escapes and however its numbers are written."""
    text = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)) if escape[1] else " ", text)
    text = _FRACTION.sub(lambda number: repr(float(number[0])), text)
    return "".join(
        char for char in text.casefold() if char.isalnum() or char in _SIGNS or category(char) == "Sc"
    )
