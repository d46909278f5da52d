"""Reading a reply: the JSON in it, slips in it mended, and the verdict of the caller's validator."""

import inspect
import re
from typing import Any, Final, TypeVar

from executionkit._json import STRICT
from executionkit._output import UnfitError, Validator
from executionkit.engine.json_extraction import (
    begins_object,
    brackets,
    fenced_blocks,
    goes_on,
    is_part,
    is_thought,
    locate_json,
    rank_of,
)
from executionkit.engine.thoughts import Span, thoughts, without_thoughts
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
        if not is_doubtful(text, place, found):
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
# More JSON directly after the end: the next item, or the rest of a container that was closed too early.
_GOES_ON: Final = re.compile(
    r"""\s*+(?:\}\s*+)*+(?:\]|,\s*+(?:["'“‘\[{\]}]|/[/*]|[\w$-]++\s*+:|[\w.+-]++\s*+[,\]}])
    |[\[{]\s*+["'“‘\[\]{}\d-])""",
    re.VERBOSE,
)


_OBJECT: Final = re.compile(r"""\{\s*+(?:["'“‘]|[\w$-]++\s*+:)""")
_BRACKET: Final = re.compile(r"\s*+\}")
# A string among the items of something larger.
_IN_STRING: Final = re.compile(r"""[,(\[{]\s*+["'“`]\Z""")
# The value of a name whose object has lost its opening bracket.
_NAMED: Final = re.compile(r"""["'”’]\s*+:\s*+\Z""")
# Valid escapes that are not meant: a backspace, form feed or carriage return before a letter, and a line
# break or tab in a path, or before the rest of one of TeX's commands (\\beta, \\frac, \\theta).
_NO_ESCAPE: Final = re.compile(
    r"(?<!\\)(?:\\\\)*+(?:\\[bfr][A-Za-z]|\\t(?:heta|imes|au|frac|ilde|riangle\w*|herefore|ext(?:bf|it"
    r"|rm|sf|tt)?)(?![A-Za-z])"
    r"|\\n(?:abla|eq|eg|ewline|ewcommand|oindent|exists|ot|otin|leq|geq|parallel|subseteq)(?![A-Za-z]))"
    r"|(?<![A-Za-z\\])[A-Za-z]:\\[nrt][\w\\-]{1,80}\.\w{2,4}(?!\w)"
)


def is_doubtful(text: str, place: Span, value: dict[str, Any] | list[Any]) -> bool:
    """Whether the JSON found at `place` is only a part of the answer, whose whole can't be parsed.

    An object or array may go on around it: it is the first item of a list that has a comma too many further
    on, say. Or it stands outside the fenced block that holds the answer. Or it has a backslash that was not
    doubled.
    """
    start, end = place
    if _NO_ESCAPE.search(text, start, end):
        return True
    if place == (0, len(text)):
        return False
    block = _answer_block(text, thoughts(text))
    if block is not None and not block[0] <= start < block[1]:
        return True
    before = without_thoughts(text[block[0] if block else 0 : start])
    if is_part(text, place, value) or _GOES_ON.match(text, end):
        return True
    if _is_inside(before) or before.endswith(("'", '"')):
        return True
    began = (_START if text.startswith("[", start) else _OBJECT).search(before)
    if began is not None and not _is_json(before, began.start()):
        return True
    if _BRACKET.match(text, end):
        return bool(CLOSED_AND_GOES_ON.search(text, start, end)) or before.rstrip().endswith((":", ","))
    return brackets(without_thoughts(text[end : block[1] if block else None]))[1]


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
    thought = thoughts(text)
    first, end = _answer_block(text, thought) or (0, len(text))
    start = _first_start(text, first, end, thought)
    if start is None:
        return None
    # Only before the JSON: after it, what looks like a thought may stand in a string.
    if _is_inside(without_thoughts(text[first:start])):
        raise UnfitError("the beginning of the JSON in the reply can't be parsed")
    part = text[start:end].strip()
    quote = text[start - 1 : start]
    # The quote around JSON must not close a string in it.
    return part[: part.rindex(quote)] if quote and quote in "\"'`" and quote in part[-2:] else part


def _first_start(text: str, at: int, end: int, thought: list[Span]) -> int | None:
    """Where JSON begins that is neither a thought nor a citation such as `[1]`."""
    while (start := _START.search(text, at, end)) is not None:
        at = start.end()
        if is_thought(*start.span(), thought):
            continue
        try:
            value, at = STRICT.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            return start.start()
        if rank_of(value):
            return start.start()
    return None


def _is_inside(before: str) -> bool:
    """Whether the text after this one is within an object or array that began in it."""
    is_item = _NAMED.search(before) or _IN_STRING.search(before) or goes_on(before)
    return bool(is_item) or brackets(before)[0]


def _answer_block(text: str, thought: list[Span]) -> Span | None:
    """The content of the first fenced block that has JSON in it, broken or not.

    A fence within a string of an object is text.
    """
    blocks = fenced_blocks(text, thought)
    block = next((block for block in blocks if _START.search(text, *block)), None)
    return None if block is None or begins_object(without_thoughts(text[: block[0]])) else block
