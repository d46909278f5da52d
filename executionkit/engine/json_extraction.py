"""Finding the JSON in a model's reply."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from executionkit._json import STRICT
from executionkit._text import shorten
from executionkit.engine.thoughts import Span, thoughts


def extract_json(text: str) -> dict[str, Any] | list[Any]:
    """Find the JSON object or array in a model's reply.

    It is looked for in this order:

    1. the whole text;
    2. the first fenced block whose whole content is an object or array, with any label or none;
    3. the first balanced `{...}` or `[...]` in the prose that parses. An array of bare scalars is taken only
       when nothing better follows: `["a", "b"]` gives way to any object or nested array, and an array that
       looks like a citation or a to-do (`[1]`, `[[1]]`, `[ ]`) gives way to other arrays too.

    Thoughts are skipped: text inside `<think>...</think>`, `◁think▷...◁/think▷`, `[THINK]...[/THINK]`, the
    analysis channel of gpt-oss, and other notations. So is the text after an unclosed `<think>`, and the text
    before a `</think>` without an opening tag, because some servers swallow a tag. A tag in a JSON string is
    text. Nothing is mended.

    Step 3 may find a part that parses in a whole that does not. Check `LLMResponse.was_truncated` before you
    trust a reply that may have been cut off.

    Example:
        ```python
        from executionkit import extract_json

        assert extract_json(
            'As shown in [1], the film is {"title": "Metropolis"}.'
        ) == {"title": "Metropolis"}
        ```

    Args:
        text: The reply.

    Returns:
        The value as `json.loads` makes it. `NaN`, `Infinity` and numbers too large for a float are refused.
        Raw control characters in strings, such as line breaks, are read as what they are.

    Raises:
        ValueError: There is no object or array, or Python can't hold it (nested beyond its recursion limit,
            integers of thousands of digits).
        TypeError: `text` is not a string.
    """
    return locate_json(text)[0]


def locate_json(text: str) -> tuple[dict[str, Any] | list[Any], Span]:
    """The value that `extract_json` finds, and where in `text` it stands."""
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")
    thought = thoughts(text)
    value = _decode(text.strip("\ufeff \t\r\n"))
    if value is not None:
        return value, (0, len(text))
    for start, end in fenced_blocks(text, thought):
        value = _decode(text[start:end].strip())
        if value is not None:
            return value, (start, end)
    found = _best_in_prose(text, thought)
    if found is None:
        raise ValueError(f"no JSON object or array in {shorten(text, 80)!r}")
    return found


def _decode(text: str) -> dict[str, Any] | list[Any] | None:
    try:
        value = STRICT.decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) else None


def _is_thought(start: int, end: int, thought: list[Span]) -> bool:
    """Whether a span begins and ends within a thought; a longer one has the tag in a string."""
    index = bisect_right(thought, start, key=lambda span: span[0]) - 1
    return index >= 0 and end <= thought[index][1]


# Fenced blocks


def fenced_blocks(text: str, thought: list[Span]) -> Iterator[Span]:
    """The content of every fenced block, by the rules of CommonMark but for the indentation."""
    mark = ""
    start = 0
    for fence in re.finditer(r"^[ \t]*(`{3,}|~{3,})(.*)$", text, re.MULTILINE):
        if not mark:
            is_code_span = fence[1][0] == "`" and "`" in fence[2]
            if not is_code_span and not _is_thought(fence.start(), fence.end(), thought):
                mark, start = fence[1], fence.end()
        elif fence[1].startswith(mark) and not fence[2].strip():
            yield start, fence.start()
            mark = ""
    if mark:
        yield start, len(text)


# JSON in prose


def _best_in_prose(text: str, thought: list[Span]) -> tuple[dict[str, Any] | list[Any], Span] | None:
    ends: dict[int, int] = {}
    best: tuple[dict[str, Any] | list[Any], Span] | None = None
    best_rank = -1
    passed = 0
    for bracket in re.finditer(r"[\[{]", text):
        start = bracket.start()
        if start < passed:
            continue
        if start not in ends:
            _find_ends(text, start, ends)
        end = ends[start]
        if not end:
            continue
        passed = end
        value = None if _is_thought(start, end, thought) else _decode(text[start:end])
        if value is not None and (rank := _rank(value)) > best_rank:
            best, best_rank = (value, (start, end)), rank
            if rank == _TOP_RANK:
                break
    return best


_TOP_RANK: Final = 2


def _rank(value: dict[str, Any] | list[Any]) -> int:
    """0 for a possible citation or to-do, 1 for other arrays of scalars, 2 for everything else."""
    core: Any = value
    while isinstance(core, list) and len(core) == 1:
        core = core[0]
    if core == [] or (isinstance(core, (int, float)) and not isinstance(core, bool)):
        return 0
    if isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value):
        return 1
    return _TOP_RANK


# The grammar


class _Grammar(NamedTuple):
    """The tokens of JSON.

    There are no two ways to match a text, so a failed match costs no more than the length of the text.

    Attributes:
        scalar: A string, number, true, false or null.
        first: The text between an opening bracket and its first value, or (group 1) its closing bracket.
        following: The text between an item and the next value, or (group 1) the closing bracket.
    """

    scalar: re.Pattern[str]
    first: dict[str, re.Pattern[str]]
    following: dict[str, re.Pattern[str]]


@cache  # compiled at the first use, which not every program comes to
def _grammar() -> _Grammar:
    blank = r"[ \t\n\r]*"
    plain = r'[^"\\]*+'
    string = rf'"{plain}(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{{4}}){plain})*+"'
    number = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
    key = rf"{string}{blank}:{blank}"
    return _Grammar(
        re.compile(rf"{string}|{number}|true|false|null"),
        {"{": re.compile(rf"{blank}(?:{key}|(\}}))"), "[": re.compile(rf"{blank}(\])?")},
        {
            "{": re.compile(rf"{blank}(?:,{blank}{key}|(\}}))"),
            "[": re.compile(rf"{blank}(?:,{blank}|(\]))"),
        },
    )


def _find_ends(text: str, start: int, ends: dict[int, int]) -> None:
    """Find where the object or array that begins at `start` ends, and every one inside it.

    `ends` takes the end of each, or 0 where it is not JSON. Whether the text from a bracket on is JSON does
    not depend on the text around it, so no bracket in `ends` is searched again. Later searches begin at
    brackets that this one takes to be within strings, and they take for strings what lies between this one's.
    So no character is read more than twice, and the time is in proportion to the length of the reply. There
    is no recursion, however deep a reply nests.
    """
    scalar, first, following = _grammar()
    inside: list[int] = []  # the beginnings of the containers around `at`
    at = start
    while True:
        # A value begins at `at`.
        char = text[at : at + 1]
        if char in first:
            inside.append(at)
            step = first[char].match(text, at + 1)
        else:
            value = scalar.match(text, at)
            step = value and following[text[inside[-1]]].match(text, value.end())
        # Leave the containers that close here.
        while step and step[1]:
            at = step.end()
            ends[inside.pop()] = at
            if not inside:
                return
            step = following[text[inside[-1]]].match(text, at)
        if not step:
            ends.update(dict.fromkeys(inside, 0))
            return
        at = step.end()
