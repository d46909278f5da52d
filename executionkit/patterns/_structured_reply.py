"""Reading a reply: the JSON in it, slips in it mended, and the verdict of the caller's validator."""

import inspect
import json
import re
import sys
from collections.abc import Iterator
from typing import Any, Final, TypeVar
from unicodedata import category

from executionkit._output import UnfitError, Validator
from executionkit.engine.json_extraction import fenced_blocks, locate_json
from executionkit.engine.thoughts import Span, without_thoughts
from executionkit.errors import ExecutionKitError
from executionkit.responses import LLMResponse

T = TypeVar("T")


def read_json(reply: LLMResponse) -> tuple[dict[str, Any] | list[Any], bool]:
    """Read the JSON of a reply, and say whether slips in it were mended.

    A reply that was cut off is not read: the JSON in it is only a part.

    Raises:
        UnfitError: The reply has no JSON, or it can't be read for certain.
    """
    if reply.was_truncated:
        raise UnfitError("the reply was cut off by max_tokens before its end")
    if reply.was_filtered:
        raise UnfitError("the reply was withheld by a content filter")
    text = reply.content
    if not text.strip():
        raise UnfitError(f"the model refused: {reply.refusal}" if reply.refusal else "the reply was empty")
    try:
        found, start = locate_json(text)
    except ValueError:
        pass
    else:
        if not is_doubtful(text, start):
            return found, False
    broken = find_broken(text)
    if broken is None:
        raise UnfitError("there is no JSON object or array in the reply")
    mended = mend(broken)
    if mended is None:
        raise UnfitError(f"the JSON in the reply can't be parsed: {_parser_says(broken)}")
    return mended, True


def _parser_says(broken: str) -> str:
    try:
        json.loads(broken)
    except (ValueError, RecursionError) as exc:
        return str(exc)
    return "it has NaN, an infinity or a number too large"


async def validate(validator: Validator[T], value: T) -> None:
    """Show the value to the caller's validator.

    Raises:
        UnfitError: The validator rejects the value.
        TypeError: The validator returned something else than a verdict.
    """
    try:
        verdict = validator(value)
        if inspect.isawaitable(verdict):
            verdict = await verdict
    except ExecutionKitError:
        raise  # it comes from a pattern or provider that the validator uses, and says nothing of the value
    except Exception as exc:
        raise UnfitError(str(exc) or type(exc).__name__) from exc
    if verdict is None or verdict is True or verdict == "":
        return
    if verdict is False:
        raise UnfitError("the value was rejected")
    if not isinstance(verdict, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users' data
        raise TypeError(f"validator must return None, a bool or a str, got {verdict!r}")
    raise UnfitError(verdict)


# -- slips: a comma too many, single quotes, a comment, a bracket forgotten ---------------------------------

MAX_CHARS: Final = 100_000
"""The longest text that is mended: a longer one would hold up the event loop."""

# An opening bracket with JSON after it; prose has others.
_START: Final = re.compile(r"""\{\s*(?:["'}]|\w+\s*:)|\[\s*(?:[\[{"'\d-]|true|false|null)""")
# Strings and brackets of JSON that may be broken anywhere; `json_extraction` stops at the first slip.
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)
_JSON_GOES_ON: Final = re.compile(r'["{}\[\]]')

# A value that was left out, cut short ("tru"), or is not a number can't be mended.
_MISSING: Final = re.compile(
    r"(?:^|[\s,:\[{])(?:\.\.\.|…|undefined|-?(?:nan|inf(?:inity)?)|tru?|fa(?:ls?)?|nul?)\s*(?:[,\]}]|\Z)",
    re.IGNORECASE,
)
# Signs that change the number beside them. A plus doesn't, and the digits tell of a decimal point.
_SIGNS: Final = "-−–±~≈<>≤≥%‰°"
_COMMENT: Final = re.compile(r"(?:(?<=[\s,{}\[\]])|^)//[^\n]*|/\*.*?\*/", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[nrtbf])")
_LONG_NUMBER: Final = re.compile(r"(?<![\"'\w.])-?[0-9]{640,}")  # no limit may be less than 640
_FRACTION: Final = re.compile(r"\d+(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+)")


def is_doubtful(text: str, start: int) -> bool:
    """Whether the JSON found at `start` is only a part of the answer, whose whole can't be parsed.

    An object or array may go on around it: it is the first item of a list that has a comma too many further
    on, say. Or it stands outside the fenced block that holds the answer.
    """
    depth = 0
    for token in _TOKEN.finditer(without_thoughts(text[:start])):
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth = max(0, depth - 1)
    block = _answer_block(without_thoughts(text))
    at = len(without_thoughts(text[:start]))
    return depth > 0 or (block is not None and not block[0] <= at < block[1])


def find_broken(text: str) -> str | None:
    """The part of a reply that is meant to be JSON."""
    text = without_thoughts(text)
    block = _answer_block(text)
    part = text if block is None else text[slice(*block)]
    start = _START.search(part)
    if start is None:
        return None
    part = part[start.start() :].strip()
    depth = 0
    for token in _TOKEN.finditer(part):
        depth += (token[0] in "[{") - (token[0] in "]}")
        if depth == 0 and not _JSON_GOES_ON.search(part, token.end()):
            return part[: token.end()]
    return part


def mend(broken: str) -> dict[str, Any] | list[Any] | None:
    """The value of `broken` once its slips are mended; None where that is not certain.

    The optional `json-repair` does the work. It guesses where it can't know, so its result is taken only if
    it has the letters, digits, signs and currencies of the text, in the same order.
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
    # Python's None means null.
    meant = re.sub(r"\bNone\b", "null", broken)
    if _letters(" ".join(leaves)) not in (_letters(meant), _letters(_COMMENT.sub(" ", meant))):
        return None
    return value


def _is_too_long_a_number(text: str) -> bool:
    """Whether `text` has an integer of more digits than Python reads (`sys.set_int_max_str_digits`).

    That is no slip, and `json-repair` would make a string of it.
    """
    limit = sys.get_int_max_str_digits()
    return limit > 0 and any(len(number[0].lstrip("-")) > limit for number in _LONG_NUMBER.finditer(text))


def _answer_block(text: str) -> Span | None:
    """The content of the first fenced block that has JSON in it, broken or not."""
    blocks = fenced_blocks(text, [])
    return next((block for block in blocks if _START.search(text, *block)), None)


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
