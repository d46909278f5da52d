"""Reading a reply: the JSON in it, slips in it mended, and the verdict of the caller's validator."""

import inspect
import re
from typing import Any, Final, TypeVar

from executionkit._json import STRICT
from executionkit._output import UnfitError, Validator
from executionkit.engine.json_extraction import fenced_blocks, locate_json
from executionkit.engine.thoughts import Span, without_thoughts
from executionkit.errors import ExecutionKitError
from executionkit.patterns._structured_mending import CLOSED_AND_GOES_ON, mend
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
        found, place = locate_json(text)
    except ValueError:
        pass
    else:
        if not is_doubtful(text, place):
            return found, False
    broken = find_broken(text)
    if broken is None:
        raise UnfitError("there is no JSON object or array in the reply")
    try:
        return mend(broken), True
    except ValueError as exc:
        raise UnfitError(f"the JSON in the reply can't be parsed: {exc}") from None


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


# An opening bracket with JSON after it; prose has others.
_START: Final = re.compile(
    r"""\{\s*+(?:["'“‘}]|/[/*]|[\w$-]++\s*+:)|\[\s*+(?:[\[{"'“‘\d+-]|/[/*]|true|false|null)""", re.IGNORECASE
)
# Strings and brackets of JSON that may be broken anywhere; `json_extraction` stops at the first slip. A
# backslash outside strings takes the next character with it, or the search for a closing quote would begin
# again at every escaped one.
_TOKEN: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|\\.|[\[{]|[\]}]', re.DOTALL)
# More JSON directly after the end: the next item, or the rest of a container that was closed too early.
_GOES_ON: Final = re.compile(
    r"""\s*+(?:\}\s*+)*+(?:\]|,\s*+(?:["'“‘\[{\]}]|/[/*]|[\w$-]++\s*+:|[\w.+-]++\s*+[,\]}])
    |[\[{]\s*+["'“‘\[\]{}\d-])""",
    re.VERBOSE,
)


_OBJECT: Final = re.compile(r"""\{\s*+(?:["'“‘]|[\w$-]++\s*+:)""")
_BRACKET: Final = re.compile(r"\s*+\}")
_COMMA: Final = re.compile(r"\s*+,")
# The value of a name whose object has lost its opening bracket.
_NAMED: Final = re.compile(r"""["'”’]\s*+:\s*+\Z""")
# A backspace or form feed before a letter. Nobody writes them; TeX's commands begin so: \\beta, \\frac.
_TEX: Final = re.compile(r"(?<!\\)(?:\\\\)*+\\[bf][A-Za-z]")


def is_doubtful(text: str, place: Span) -> bool:
    """Whether the JSON found at `place` is only a part of the answer, whose whole can't be parsed.

    An object or array may go on around it: it is the first item of a list that has a comma too many further
    on, say. Or it stands outside the fenced block that holds the answer. Or it has a backslash that was not
    doubled.
    """
    start, end = place
    if _TEX.search(text, start, end):
        return True
    before = without_thoughts(text[:start])
    block = _answer_block(without_thoughts(text))
    if block is not None:
        if not block[0] <= len(before) < block[1]:
            return True
        before = before[block[0] :]
    if _GOES_ON.match(text, end) or _is_inside(before) or before.endswith(("'", '"')):
        return True
    began = (_START if text.startswith("[", start) else _OBJECT).search(before)
    if began is not None and not _is_json(before, began.start()):
        return True
    if _BRACKET.match(text, end):
        return bool(CLOSED_AND_GOES_ON.search(text, start, end)) or before.rstrip().endswith((":", ","))
    return _COMMA.match(text, end) is not None and _brackets(without_thoughts(text[end:]))[1]


def _is_json(text: str, start: int) -> bool:
    try:
        STRICT.raw_decode(text, start)
    except (ValueError, RecursionError):
        return False
    return True


def find_broken(text: str) -> str | None:
    """The part of a reply that is meant to be JSON, from its first bracket on; prose may follow it.

    Raises:
        UnfitError: It begins before its first bracket that can be read.
    """
    text = without_thoughts(text)
    block = _answer_block(text)
    part = text if block is None else text[slice(*block)]
    start = _START.search(part)
    if start is None:
        return None
    if _is_inside(part[: start.start()]):
        raise UnfitError("the beginning of the JSON in the reply can't be parsed")
    return part[start.start() :].strip()


def _is_inside(before: str) -> bool:
    """Whether the text after this one is within an object or array that began in it."""
    return _brackets(before)[0] or _NAMED.search(before) is not None


def _brackets(text: str) -> tuple[bool, bool]:
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


def _answer_block(text: str) -> Span | None:
    """The content of the first fenced block that has JSON in it, broken or not."""
    blocks = fenced_blocks(text, [])
    return next((block for block in blocks if _START.search(text, *block)), None)
