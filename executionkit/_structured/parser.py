"""Reading a reply: the JSON in it, and what the caller's validator says of the value."""

import inspect
import json
from typing import Any, TypeVar

from executionkit._structured.mending import find_broken, is_doubtful, mend
from executionkit._structured.outputs import UnfitError
from executionkit._structured.structure import Validator
from executionkit.engine.json_extraction import locate_json
from executionkit.errors import ExecutionKitError
from executionkit.responses import LLMResponse

T = TypeVar("T")


def read_json(reply: LLMResponse) -> tuple[dict[str, Any] | list[Any], bool]:
    """The JSON in a reply, and whether slips in it were mended.

    Nothing is read out of a reply that was cut off: what can be parsed of it is a part.

    Raises:
        UnfitError: There is none that is certain.
    """
    if reply.was_truncated:
        raise UnfitError("the reply was cut off before its end")
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
    """Have the caller's validator look at the value.

    Raises:
        UnfitError: It rejects the value.
        TypeError: It says neither yes nor no.
    """
    try:
        verdict = validator(value)
        if inspect.isawaitable(verdict):
            verdict = await verdict
    except ExecutionKitError:
        raise  # of a pattern or provider that the validator uses: it says nothing of the value
    except Exception as exc:
        raise UnfitError(str(exc) or type(exc).__name__) from exc
    if verdict is None or verdict is True or verdict == "":
        return
    if verdict is False:
        raise UnfitError("the value was rejected")
    if not isinstance(verdict, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users' data
        raise TypeError(f"validator must return None, a bool or a str, got {verdict!r}")
    raise UnfitError(verdict)
