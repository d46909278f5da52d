"""The parts of a message in the chat form, in whatever field or choice a server puts them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from executionkit._json import a_list, an_object, is_list, is_object
from executionkit.responses import is_thought, text_of

_THOUGHTS: Final = ("thinking", "text", "reasoning", "summary", "content")

REASONING: Final = (
    *("reasoning_content", "reasoning", "reasoning_details", "thinking_blocks", "thinking"),
    "reasoning_text",  # of GitHub Copilot's API
)
"""The fields that servers use for the reasoning in a message."""
REASONING_FIELDS: Final = frozenset(REASONING)

_SEPARATOR: Final = "\n\n"

Answer = tuple[Mapping[str, Any], str]
"""A message and its finish reason."""


def raw_calls(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tool calls in a message, as the server gave them."""
    calls = a_list(message.get("tool_calls"))
    if not calls:
        # The form that `tool_calls` replaced; some servers still answer in it.
        legacy = an_object(message.get("function_call"))
        return [] if legacy is None else [{"function": legacy}]
    return [call for call in calls if is_object(call)]


def reasoning_of(message: Mapping[str, Any]) -> str:
    """The reasoning in a message or a delta: the first of the fields that servers use for it."""
    if not REASONING_FIELDS.isdisjoint(message):  # most messages have none of them
        for name in REASONING:
            value = message.get(name)
            if value and (text := _thought(value)):
                return text
    content = message.get("content")
    return "".join(_thought(part) for part in content if is_thought(part)) if is_list(content) else ""


def _thought(value: object, depth: int = 8) -> str:
    if isinstance(value, str):
        return value
    if is_list(value) and depth:
        return "".join(_thought(item, depth - 1) for item in value)
    if is_object(value) and depth:
        return next(filter(None, (_thought(value.get(name), depth - 1) for name in _THOUGHTS)), "")
    return ""


def has_text(message: Mapping[str, Any]) -> bool:
    """Whether a message holds text for the reader."""
    return bool(text_of(message.get("content")).strip())


def joined(answers: Sequence[Answer]) -> list[Answer]:
    """Put together the parts of one answer that came in choices of their own.

    Some servers send the text in one choice and the tool calls in another. A choice that brings a second
    text is another answer.
    """
    whole, finish = answers[0]
    others: list[Answer] = []
    for message, its_finish in answers[1:]:
        calls = raw_calls(message)
        if (has_text(message) and has_text(whole)) or not (
            has_text(message) or calls or reasoning_of(message) or message.get("refusal")
        ):
            others.append((message, its_finish))
            continue
        calls = [*raw_calls(whole), *calls]
        thoughts = {name: _one_after_another(whole.get(name), message.get(name)) for name in REASONING}
        whole = {**message, **{name: value for name, value in (*whole.items(), *thoughts.items()) if value}}
        if calls:
            whole["tool_calls"] = calls
        finish = telling(finish, its_finish)
    return [(whole, finish), *others]


def _one_after_another(first: object, second: object) -> object:
    if first and second and first != second:
        if isinstance(first, str) and isinstance(second, str):
            return first + second
        if is_list(first) and is_list(second):
            return [*first, *second]
    return first or second


def telling(finish: str, further: str) -> str:
    """Of two finish reasons of one answer the one that says more than "stop"."""
    return further if further and finish in ("", "stop") else finish


def without_system(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Turn system messages into parts of the user messages, for models that take no system messages.

    A text goes to the beginning of the user message that follows. If none follows, it goes to the end of the
    one before, or becomes a user message.
    """
    turned: list[dict[str, Any]] = []
    waiting: list[str] = []
    for message in messages:
        if message.get("role") in ("system", "developer"):
            waiting.append(text_of(message.get("content")))
            continue
        if waiting and message.get("role") == "user":
            turned.append(with_text(message, waiting, []))
        else:
            _settle(turned, waiting)
            turned.append(dict(message))
        waiting = []
    _settle(turned, waiting)
    return turned


def with_remark(messages: Sequence[Mapping[str, Any]], text: str) -> list[dict[str, Any]]:
    """The messages with a text at the end of the user message that is last, or in a user message after it."""
    remarked = [dict(message) for message in messages]
    _settle(remarked, [text])
    return remarked


def _settle(turned: list[dict[str, Any]], waiting: list[str]) -> None:
    """Put texts that no user message follows after what there is."""
    if waiting and turned and turned[-1].get("role") == "user":
        turned[-1] = with_text(turned[-1], [], waiting)
    elif waiting:
        turned.append({"role": "user", "content": _SEPARATOR.join(waiting)})


def with_text(message: Mapping[str, Any], before: Sequence[str], after: Sequence[str]) -> dict[str, Any]:
    """The message with texts before and after its own."""
    content = message.get("content")
    if is_list(content):  # of parts: texts, images
        ends = (
            [{"type": "text", "text": _SEPARATOR.join(texts)}] if texts else [] for texts in (before, after)
        )
        first, last = ends
        return {**message, "content": [*first, *content, *last]}
    return {**message, "content": _SEPARATOR.join([*before, text_of(content), *after])}
