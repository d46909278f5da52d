"""A message of the model, read: it becomes a response, or the error of a failed generation."""

import re
from collections.abc import Mapping
from typing import Any, Final

from executionkit._json import a_text, an_object
from executionkit._messages import Answer, has_text, raw_calls, reasoning_of
from executionkit._text import well_formed
from executionkit.provider._tool_calls import tool_calls_of
from executionkit.responses import LLMResponse, text_of

_FAILED: Final = re.compile(
    r"error|fail|malformed|abort|cancel|interrupt|insufficient|unavailable|overload|time.?out"
    r"|unexpected|missing|too.many",
    re.IGNORECASE,
)
_OPEN: Final = "other"
"""A finish reason that says nothing. It stands for a failure only where nothing came."""


def response_from(
    body: Mapping[str, Any],
    message: Mapping[str, Any],
    finish: str,
    usage: Mapping[str, Any],
    reasoning: str | None = None,
    **others: Any,
) -> LLMResponse:
    """Make a response of a message; `body` is the whole reply. `reasoning` defaults to the message's.

    `others` are the response's fields that no message has.
    """
    calls = tool_calls_of(message)
    return LLMResponse(
        well_formed(text_of(message.get("content"))),
        calls,
        finish or ("tool_calls" if calls else "stop"),
        usage,
        body,
        reasoning=well_formed(reasoning_of(message) if reasoning is None else reasoning),
        refusal=well_formed(a_text(message.get("refusal"))),
        **others,
    )


def failure_of(choice: Mapping[str, Any], message: Mapping[str, Any], finish: str) -> dict[str, Any] | None:
    """The error, as an error body, of a choice whose generation failed; what came of it is no answer."""
    if a_text(message.get("refusal")):
        return None
    is_begun = has_text(message) or bool(raw_calls(message))
    if choice.get("error") and not (is_begun and finish and not is_failure(finish)):
        return {"error": choice["error"]}
    for name in (finish,) if is_begun else (finish, a_text(choice.get("native_finish_reason"))):
        if is_failure(name) or (name.lower() == _OPEN and not is_begun):
            words = f"the generation failed (finish_reason {name!r})"
            return {"error": {"message": words, "type": "failed_generation"}}
    return None


def is_failure(finish: str) -> bool:
    """Whether a finish reason says that the generation failed."""
    return _FAILED.search(finish) is not None


def answer_in(choice: Mapping[str, Any]) -> Answer | None:
    """The message in a choice of a whole reply; None when it holds none, or its generation failed.

    The reply is paid for, and an error would be retried and paid for again. So a missing part is read as
    empty.
    """
    finish = a_text(choice.get("finish_reason"))
    message = an_object(choice.get("message", choice.get("delta")))
    if message is None:
        # A completion in the old style has `text`. A reply that a filter withheld has no message.
        text = a_text(choice.get("text"))
        if not text and not finish:
            return None
        message = {"content": text}
    return None if failure_of(choice, message, finish) else (message, finish)
