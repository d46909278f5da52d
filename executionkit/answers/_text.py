"""Reading an answer as text: a box, a tag, the last line, JSON in one form."""

import json
import re
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final, TypeVar, overload

from executionkit import _checks as checks
from executionkit._text import collapsed
from executionkit.answers._declared import Declared, boxes, tags
from executionkit.engine.json_extraction import extract_json
from executionkit.engine.thoughts import without_thoughts

T = TypeVar("T", bound=Hashable)


def boxed(text: str) -> str | None:
    r"""Read the last `\boxed{...}`, with its whitespace collapsed. It abstains if a box is not closed.

    Example:
        ```python
        from executionkit import answers

        assert answers.boxed(r"So \boxed{x = 2}.") == "x = 2"
        ```

    Args:
        text: The reply.

    Returns:
        The text in the box; None if there is no box, or one that is not closed.
    """
    return collapsed(_last(boxes(without_thoughts(text)))) or None


@overload
def tagged(tag: str = "answer", then: None = None) -> Callable[[str], str | None]: ...
@overload
def tagged(tag: str = "answer", *, then: Callable[[str], T | None]) -> Callable[[str], T | None]: ...
def tagged(
    tag: str = "answer", then: Callable[[str], Hashable | None] | None = None
) -> Callable[[str], Hashable | None]:
    """Make a reader of the last `<tag>...</tag>`.

    A reply abstains if it has no such tag, or if the last one is empty or not closed (the reply was cut off).

    Example:
        ```python
        from executionkit import answers

        assert answers.tagged("city")("It is <city>Paris</city>.") == "Paris"
        assert answers.tagged(then=answers.number)("<answer>42 km</answer>") == 42
        ```

    Args:
        tag: Name of the tag, in upper or lower case.
        then: Reads the answer out of the tag's text, as in `tagged(then=number)`. Defaults to the whole text,
            with its whitespace collapsed.

    Returns:
        A reader that returns the answer, or None.

    Raises:
        ValueError: `tag` is not a valid name, or `then` is not callable.
    """
    if not isinstance(tag, str) or not re.fullmatch(r"[A-Za-z][\w.-]*", tag):
        raise ValueError(f"tag must be the name of a tag, such as 'answer', got {tag!r}")
    checks.called_with("text", then=then)

    def read(text: str) -> Hashable | None:
        found = _last(tags(without_thoughts(text), tag))
        return (collapsed(found) or None) if then is None else then(found)

    return read


def _last(places: Iterable[Declared]) -> str:
    return max(places, default=_NOWHERE).text


_NOWHERE: Final = Declared(-1, "", is_marked=True, at=-1)
_RULE: Final = re.compile(r"[\s*_=#>~-]*|\s*(?:`{3,}|~{3,}).*")
_PREFIX: Final = re.compile(r"\A\s*(?:[>#]+\s+)*")


def last_line(text: str) -> str | None:
    r"""Read the last line that is not empty, without Markdown emphasis and fences.

    Example:
        ```python
        from executionkit import answers

        assert answers.last_line("Lyon lies south of it.\n\n**Paris**") == "Paris"
        ```

    Args:
        text: The reply.

    Returns:
        The line, with its whitespace collapsed; None if the reply has no text.
    """
    for line in reversed(without_thoughts(text).splitlines()):
        if not _RULE.fullmatch(line):
            return collapsed(_PREFIX.sub("", line).strip("*` \t")) or None
    return None


def canonical_json(text: str) -> str | None:
    """Read the JSON object or array of a reply. The order of keys, and spacing, don't matter.

    The JSON is found as `extract_json` finds it. 1 and 1.0 are the same number. The answer is JSON text; call
    `json.loads` to get the value.

    Example:
        ```python
        from executionkit import answers

        one = answers.canonical_json('{"b": 1.0, "a": 2}')
        assert one == answers.canonical_json('It is {"a": 2, "b": 1}.')
        ```

    Args:
        text: The reply.

    Returns:
        JSON text in one form; None if the reply has no JSON object or array.
    """
    try:
        form = _same_numbers(extract_json(text))
        return json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    except (ValueError, RecursionError):
        return None


def _same_numbers(value: Any) -> Any:
    """Write whole floats as integers, so that 1 and 1.0 have the same text."""
    if isinstance(value, dict):
        return {key: _same_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_same_numbers(item) for item in value]
    # Beyond 2**53 a float stands for many integers.
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53 else value
