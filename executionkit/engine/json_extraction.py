"""Finding the JSON in what a model wrote."""

import json
import math
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, Final

from executionkit._text import shorten
from executionkit.engine.thoughts import Span, thoughts


def extract_json(text: str) -> dict[str, Any] | list[Any]:
    """Find the JSON object or array in a model's reply.

    Looked for in this order:

    1. the whole text;
    2. a fenced block: the first whose content is an object or array as a whole, whatever its label;
    3. the first balanced `{...}` or `[...]` that parses, wherever it stands. In prose an array of bare
       scalars is taken only when nothing better follows: `["a", "b"]` gives way to any object or nested
       array, and what looks like a citation or a to-do (`[1]`, `[[1]]`, `[ ]`) to other arrays too.

    Text inside `<think>...</think>` doesn't count, nor in `<thinking>`; neither does what follows an unclosed
    `<think>` or what precedes a `</think>` that nothing opened (some servers swallow a tag). A tag in a JSON
    string is text.

    The third step takes a part that parses out of a whole that doesn't: ask `LLMResponse.was_truncated`
    before trusting a reply that may have been cut off.

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

    Raises:
        ValueError: There is none, or none that Python can hold (nested beyond its recursion limit, integers
            of thousands of digits).
        TypeError: `text` is not a string.
    """
    return locate_json(text)[0]


def locate_json(text: str) -> tuple[dict[str, Any] | list[Any], int]:
    """What `extract_json` finds, and where in `text` it begins."""
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")
    thought = thoughts(text)
    value = _decode(text.strip("\ufeff \t\r\n"))
    if value is not None:
        return value, 0
    for start, end in fenced_blocks(text, thought):
        value = _decode(text[start:end].strip())
        if value is not None:
            return value, start
    found = _best_in_prose(text, thought)
    if found is None:
        raise ValueError(f"no JSON object or array in {shorten(text, 80)!r}")
    return found


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def _decode(text: str) -> dict[str, Any] | list[Any] | None:
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) else None


# Thoughts


def _is_thought(start: int, end: int, thought: list[Span]) -> bool:
    """Whether a span begins and ends within a thought; one that reaches out has the tag in a string."""
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


def _best_in_prose(text: str, thought: list[Span]) -> tuple[dict[str, Any] | list[Any], int] | None:
    # Not at the top: its regular expressions take time to compile.
    from executionkit.engine.json_grammar import recognise

    ends: dict[int, int] = {}
    best: tuple[dict[str, Any] | list[Any], int] | None = None
    best_rank = -1
    passed = 0
    for bracket in re.finditer(r"[\[{]", text):
        start = bracket.start()
        if start < passed:
            continue
        if start not in ends:
            recognise(text, start, ends)
        end = ends[start]
        if not end:
            continue
        passed = end
        value = None if _is_thought(start, end, thought) else _decode(text[start:end])
        if value is not None and (rank := _rank(value)) > best_rank:
            best, best_rank = (value, start), rank
            if rank == _TOP_RANK:
                break
    return best


_TOP_RANK: Final = 2


def _rank(value: dict[str, Any] | list[Any]) -> int:
    """0 for what may be a citation or a to-do, 1 for other arrays of scalars, 2 for everything else."""
    core: Any = value
    while isinstance(core, list) and len(core) == 1:
        core = core[0]
    if core == [] or (isinstance(core, (int, float)) and not isinstance(core, bool)):
        return 0
    if isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value):
        return 1
    return _TOP_RANK
