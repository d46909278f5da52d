"""Conversations in the chat form: what may be sent, and what a prompt and a system message add to it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from executionkit._json import an_object, is_array, is_mapping, plain
from executionkit._prompt import Prompt, content_of

Messages: TypeAlias = Sequence[Mapping[str, Any]]
"""Messages in the form of the chat completions API."""

_ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
INSTRUCTIONS: Final = ("system", "developer")
"""The roles of messages that instruct the model."""


class Opening(NamedTuple):
    """The conversation that a run begins with.

    Attributes:
        messages: The messages, as copies.
        unanswered: How many tool calls of the last assistant message have no result yet.
    """

    messages: list[dict[str, Any]]
    unanswered: int


def opening(prompt: Prompt | None, messages: Messages | None = None, system: str | None = None) -> Opening:
    """Put the system message, the earlier conversation and the new prompt together.

    Args:
        prompt: The new user message; None goes on from `messages` as they stand.
        messages: The conversation so far.
        system: The system message, which goes first.

    Raises:
        ValueError: One of them can't be sent, or there is nothing to answer.
    """
    earlier, unanswered = ([], 0) if messages is None else _checked(messages)
    if system is not None:
        if not isinstance(system, str) or not system.strip():
            raise ValueError(f"system must be a text, got {system!r}")
        if earlier and earlier[0]["role"] in INSTRUCTIONS:
            raise ValueError("give the system message in system or in messages, not in both")
        earlier.insert(0, {"role": "system", "content": system})
    if prompt is not None:
        if unanswered:
            raise ValueError(
                f"messages ends in {unanswered} tool calls without a result; a prompt can't follow before they "
                "have one: use prompt=None to run them"
            )
        earlier.append({"role": "user", "content": content_of(prompt)})
    elif messages is None or not earlier:
        raise ValueError("prompt must be a str, or a list of texts and parts; None goes on from messages")
    elif earlier[-1]["role"] == "assistant" and not unanswered:
        raise ValueError("messages ends in the model's own answer: give a prompt that follows it")
    return Opening(earlier, unanswered)


def _checked(messages: object) -> tuple[list[dict[str, Any]], int]:
    if not is_array(messages):
        raise ValueError(f"messages must be a list of messages, got {messages!r}")
    checked: list[dict[str, Any]] = []
    waiting: dict[str, int] = {}
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        if not is_mapping(message):
            raise ValueError(f"{place} must be a message (a dict), got {message!r}")
        role = message.get("role")
        if role not in _ROLES:
            raise ValueError(f"{place}: the role must be one of {', '.join(_ROLES)}, got {role!r}")
        if role == "tool":
            answered = message.get("tool_call_id")
            if not isinstance(answered, str) or answered not in waiting:
                raise ValueError(f"{place} answers no tool call that waits for a result, got {answered!r}")
            del waiting[answered]
        elif waiting:
            call, asked = next(iter(waiting.items()))
            raise ValueError(f"{place} stands before the result of the tool call {call!r} in messages[{asked}]")
        else:
            waiting = dict.fromkeys(_calls(message, place), index)
        checked.append(plain(message))
    return checked, len(waiting)


def _calls(message: Mapping[Any, Any], place: str) -> list[str]:
    """The ids of the tool calls in a message."""
    calls = message.get("tool_calls")
    if not calls or message["role"] != "assistant":
        return []
    ids = [call.get("id") if (call := an_object(plain(entry))) else None for entry in calls] if is_array(calls) else [None]
    known = [given for given in ids if isinstance(given, str) and given]
    if len(set(known)) < len(ids):
        raise ValueError(f"{place}: each tool call needs an id of its own, got {ids!r}")
    return known


def task_of(messages: Messages) -> Any:
    """The content of the last user message: what the reply is to do."""
    return next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")
