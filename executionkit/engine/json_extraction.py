"""Finding the JSON in a model's reply."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from executionkit._json import STRICT
from executionkit._text import shorten
from executionkit.engine.thoughts import Span, thoughts, without_thoughts

__all__ = ["extract_json"]


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

    A part that parses of a whole that does not is refused, if the text right before it or after it shows
    that it is one: `{"a": 1}` in `[{"a": 1}, {"a": 2},]`. So is an array of scalars beside a broken object.

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
        ValueError: There is no object or array, only a part of one that can't be parsed, or one that Python
            can't hold (nested beyond its recursion limit, integers of thousands of digits).
        TypeError: `text` is not a string.
    """
    value, place = locate_json(text)
    if is_part(text, place, value):
        raise ValueError(f"no JSON object or array in {shorten(text, 80)!r} but a part of a broken one")
    return value


def locate_json(text: str) -> tuple[dict[str, Any] | list[Any], Span]:
    """The first value that parses by the rules of `extract_json`, and where in `text` it stands."""
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


def is_thought(start: int, end: int, thought: list[Span]) -> bool:
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
            if not is_code_span and not is_thought(fence.start(), fence.end(), thought):
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
        value = None if is_thought(start, end, thought) else _decode(text[start:end])
        if value is not None and (rank := rank_of(value)) > best_rank:
            best, best_rank = (value, (start, end)), rank
            if rank == TOP_RANK:
                break
    return best


TOP_RANK: Final = 2


def rank_of(value: dict[str, Any] | list[Any]) -> int:
    """0 for a possible citation or to-do, 1 for other arrays of scalars, 2 for everything else."""
    core: Any = value
    while isinstance(core, list) and len(core) == 1:
        core = core[0]
    if core == [] or (isinstance(core, (int, float)) and not isinstance(core, bool)):
        return 0
    if isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value):
        return 1
    return TOP_RANK


# Parts of a whole

# Quotes of any kind: what stands in these can't be parsed.
_QUOTE: Final = r"""(?:["'“”‘’`«»„「」＂]|&quot;|\\")"""
_QUOTED: Final = rf"{_QUOTE}[^\n{{}}]{{0,80}}?{_QUOTE}"
_COMMENT: Final = r"(?:(?:(?://|\#)[^\n]{0,200}\n|/\*[^*]{0,200}\*/)\s{0,80})?"
_BEFORE_PART: Final = re.compile(
    rf"(?:\[\s*{_COMMENT}|[}}\]]\s*[,，]"
    rf"|(?:[{{,]\s*{_QUOTED}|\{{[^{{}}\[\]:\n]{{0,80}}\n?[^{{}}\[\]:\n]{{1,80}})\s*:(?:\s*\{{)?"
    rf"|\{{\s*(?:{_QUOTED}|[\w$-]{{1,80}})\s*(?:=>?)?"
    rf"""|(?:[\[(]|{_QUOTED}\s*:)(?:\s*(?:"[^"\n]*"|'[^'\n]*'|[-+\w.]+)\s*,)+)\s*\Z"""
)
_AFTER_PART: Final = re.compile(
    rf"[\s}}\]]{{0,80}},\s{{0,80}}(?:{_QUOTED}\s{{0,80}}:|\])|\s{{0,80}}[}}\]]\s{{0,80}},\s{{0,80}}[\[{{]"
)
# In prose these stand before and after JSON too, but not both: "Sorry, here: {...}".
_MAYBE_PART: Final = (
    (re.compile(r",\s*[\w$-]{1,80}\s*:\s*\Z"), re.compile(r"\s{0,80}(?:\}|,\s{0,80}[\w$-]{1,80}\s{0,80}:)")),
    (re.compile(r"\(\s*\Z"), re.compile(r"\s{0,80}[,，]")),
)
_WINDOW: Final = 250
# An object as opposed to braces in prose.
_OBJECT: Final = re.compile(rf"\{{\s{{0,80}}{_QUOTED}\s{{0,80}}:")
# Brackets with JSON after them, perhaps with a comment between; those of prose have words.
_BEGINNING: Final = re.compile(
    rf"""\{{\s*+{_COMMENT}["{{]|\[\s*+{_COMMENT}(?:["\[{{\d-]|(?:true|false|null)\b)"""
)
_ITEM_AFTER: Final = re.compile(
    rf"""[\s}}\]]{{0,80}}(?:,\s{{0,80}}(?:["\[{{]|-?[0-9]|(?:true|false|null|True|False|None)\b)
    |{_QUOTED}\s{{0,80}}:)""",
    re.VERBOSE,
)
# Instead of an array of scalars any object would have been taken, and instead of a citation any array.
_BETTER: Final = (
    re.compile(
        r"""\{(?=[^{}]{0,200}[:=,"'])|\[(?!\s{0,80}(?:[0-9]{1,4}|[xX]?)\s{0,80}\]|\[[0-9]{1,4}\]\])"""
    ),
    re.compile(r"""\{(?=[^{}]{0,200}[:=,"'])|\[\s*+\{"""),
)
# Strings and brackets of JSON that may be broken anywhere; the grammar below stops at the first slip. A
# backslash outside strings takes the next character with it, or the search for a closing quote would begin
# again at every escaped one.
_TOKEN: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|\\.|[\[{]|[\]}]', re.DOTALL)


def brackets(text: str) -> tuple[bool, bool]:
    """Whether a bracket is opened and not closed in the text, and whether one is closed but not opened."""
    around: list[str] = []
    is_closed = False
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            around.append("]" if token[0] == "[" else "}")
        elif around and token[0] == around[-1]:
            around.pop()
        elif token[0] in "]}":
            is_closed = True
    return bool(around), is_closed


def begins_object(before: str) -> bool:
    """Whether an object begins in a text, and goes on after it."""
    start = _OBJECT.search(before)
    return start is not None and brackets(before[start.start() :])[0]


def _is_within(before: str, after: str) -> bool:
    """Whether an object or array that ends after a value begins before it, or has another item after it."""
    begins = _BEGINNING.search(before)
    is_open = begins is not None and brackets(before[begins.start() :])[0]
    if is_open and before.rstrip().endswith((",", ":")):
        return True
    return (is_open or _ITEM_AFTER.match(after) is not None) and brackets(after)[1]


def goes_on(before: str) -> bool:
    """Whether a text ends in the middle of an object, array or tuple, where an item of it can stand."""
    return _BEFORE_PART.search(before[-_WINDOW:]) is not None


def is_part(text: str, place: Span, value: dict[str, Any] | list[Any]) -> bool:
    """Whether found JSON is a part of a larger object or array, or stands beside a broken one.

    Args:
        text: The reply.
        place: Where `locate_json` has found the value.
        value: The value.
    """
    start, end = place
    if text[start] not in "[{":  # the whole text, or a fenced block
        return start > 0 and begins_object(without_thoughts(text[:start]))
    before = text[max(0, start - _WINDOW) : start]
    if (
        goes_on(before)
        or _AFTER_PART.match(text, end)
        or _is_within(without_thoughts(text[:start]), text[end:])
    ):
        return True
    if any(first.search(before) and last.match(text, end) for first, last in _MAYBE_PART):
        return True
    rank = rank_of(value)
    if rank == TOP_RANK:
        return False
    thought = thoughts(text)
    return any(
        not start <= other.start() < end and not is_thought(*other.span(), thought)
        for other in _BETTER[rank].finditer(text)
    )


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
    # Not possessive: Python before 3.11.5 takes a text with half an escape for a match of such a group.
    string = rf'"{plain}(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{{4}}){plain})*"'
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
