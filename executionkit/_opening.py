"""The conversation that a run begins with: the system message, the earlier messages and the new prompt."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from executionkit._json import a_list, an_object, is_array, is_list, is_mapping, is_sequence, plain
from executionkit._prompt import Content, Prompt, brief, content_around, content_of, veiled

Messages: TypeAlias = Sequence[Mapping[str, Any]]
"""Messages in the form of the chat completions API."""

_ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
_INSTRUCTIONS: Final = ("system", "developer")
_PROMPT: Final = "{prompt}"


def opening(
    prompt: object, messages: object, system: object, *, runs_calls: bool = False
) -> list[dict[str, Any]]:
    """Put the system message, the earlier messages and the new prompt together.

    Args:
        prompt: The new user message; None goes on from `messages` as they stand.
        messages: The conversation so far; None is the same as an empty one.
        system: The system message, which goes first; or None.
        runs_calls: Whether the run takes calls at the end of `messages` that have no result yet.

    Returns:
        Messages that can be sent, as copies.

    Raises:
        ValueError: One of the three can't be sent, or they leave nothing to reply to.
    """
    content = None if prompt is None else content_of(prompt)
    opened, waiting = checked_messages(messages)
    if content is None:
        _require_something_to_reply_to(opened, waiting, runs_calls=runs_calls)
    elif waiting:
        raise ValueError(
            f"messages must have the results of their tool calls before a prompt, none for {waiting[0]!r}; "
            "react_loop with prompt=None runs the calls at the end"
        )
    else:
        opened.append(user_message(content))
    return with_system(opened, system)


def openings(
    prompt: Prompt | None, variants: object, messages: object, system: object
) -> list[list[dict[str, Any]]]:
    """The conversations of a prompt and of its variants, each as `opening` makes it, the prompt's first.

    Args:
        prompt: As in `opening`.
        variants: Prompts that take its place. In a text, `{prompt}` stands for the prompt itself.
        messages: As in `opening`.
        system: As in `opening`.

    Raises:
        ValueError: One of the four can't be sent, two prompts are the same, or variants have no prompt.
    """
    first = opening(prompt, messages, system)
    if not is_sequence(variants):
        hint = f"; write variants=({brief(variants)},) for one" if isinstance(variants, str) else ""
        raise ValueError(f"variants must be a tuple or list of prompts, got {brief(variants)}{hint}")
    if variants and prompt is None:
        raise ValueError(
            f"variants must be empty without a prompt, whose place they take, got {brief(variants)}"
        )
    found: list[list[dict[str, Any]]] = [first]
    for index, variant in enumerate(variants):
        name = f"variants[{index}]"
        content = content_of(variant, name)
        if prompt is not None and isinstance(content, str) and _PROMPT in content:
            content = content_around(content, _PROMPT, prompt, "prompt")
        conversation = [*first[:-1], user_message(content)]
        if conversation in found:
            same = found.index(conversation)
            twin = f"variants[{same - 1}]" if same else "the prompt"
            raise ValueError(f"{name} must differ from the prompt and the other variants, it is {twin} again")
        found.append(conversation)
    return found


def with_system(messages: list[dict[str, Any]], system: object) -> list[dict[str, Any]]:
    """The messages after a system message, if there is one; `messages` may then not begin with their own."""
    if system is None:
        return messages
    if not isinstance(system, str) or not system.strip():
        raise ValueError(f"system must be a text or None, got {brief(system)}")
    if begins_with_instructions(messages):
        raise ValueError(
            f"system must be None when messages begin with a {messages[0]['role']} message, got "
            f"{brief(system)}"
        )
    return [{"role": "system", "content": system}, *messages]


def user_message(content: Content) -> dict[str, Any]:
    """A user message."""
    return {"role": "user", "content": content}


def count_instructions(messages: Messages) -> int:
    """How many system and developer messages a conversation begins with."""
    count = 0
    for message in messages:
        if message.get("role") not in _INSTRUCTIONS:
            break
        count += 1
    return count


def begins_with_instructions(messages: object) -> bool:
    """Whether it is a conversation that begins with a system or developer message."""
    first = messages[0] if is_array(messages) and messages else None
    return is_mapping(first) and first.get("role") in _INSTRUCTIONS


def task_of(messages: Messages) -> Content:
    """The content of the last user message, which is what the reply is to do; "" if there is none."""
    return next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")


def raw_calls_of(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tool calls in a message of the assistant's."""
    return a_list(message.get("tool_calls")) if message["role"] == "assistant" else []


def _require_something_to_reply_to(
    messages: list[dict[str, Any]], waiting: list[str], *, runs_calls: bool
) -> None:
    if not messages:
        raise ValueError("prompt must be a str, got None, and there are no messages to go on from")
    if waiting and not runs_calls:
        raise ValueError(
            f"messages must have the results of their tool calls, got none for {waiting[0]!r} at the end; "
            "react_loop runs such calls"
        )
    if count_instructions(messages) == len(messages) or (messages[-1]["role"] == "assistant" and not waiting):
        raise ValueError(
            "prompt must be a str where messages leave nothing to reply to, got None: they end with a "
            f"message of the {messages[-1]['role']}"
        )


def checked_messages(messages: object) -> tuple[list[dict[str, Any]], list[str]]:
    """Copies of the messages, and the ids of the calls at their end that have no result yet.

    Raises:
        ValueError: They can't be sent. The error has the index of the message and the reason.
    """
    if messages is None:
        return [], []
    if not is_array(messages):
        raise ValueError(f"messages must be a list of messages or None, got {brief(messages)}")
    checked: list[dict[str, Any]] = []
    waiting: dict[str, int] = {}
    for index, given in enumerate(messages):
        place = f"messages[{index}]"
        if not is_mapping(given):
            raise ValueError(f"{place} must be a message (a dict), got {brief(given)}")
        message = veiled([plain(given)])[0]
        role = message.get("role")
        if role not in _ROLES:
            raise ValueError(f"{place} must have a role out of {', '.join(_ROLES)}, got {brief(role)}")
        if role == "tool":
            answered = message.get("tool_call_id")
            if not isinstance(answered, str) or answered not in waiting:
                raise ValueError(
                    f"{place} must have the tool_call_id of a call before it that has no result yet, got "
                    f"{brief(answered)}"
                )
            _check_content(message, place)
            del waiting[answered]
        elif waiting:
            call, asked = next(iter(waiting.items()))
            raise ValueError(
                f"{place} must come after the result of the tool call {call!r} in messages[{asked}]"
            )
        else:
            _check_content(message, place)
            waiting = dict.fromkeys(_ids(message, place), index)
        checked.append(message)
    return checked, list(waiting)


def _check_content(message: Mapping[str, Any], place: str) -> None:
    content = message.get("content")
    is_lenient = message["role"] in ("assistant", "function")  # the model's may be empty, or of any form
    if isinstance(content, str) or (is_lenient and content is None):
        return
    if not is_list(content) or not (is_lenient or all(map(_is_part, content))):
        raise ValueError(f"{place} must have a text or a list of parts as its content, got {brief(content)}")


def _is_part(part: object) -> bool:
    return is_mapping(part) and isinstance(part.get("type"), str)


def _ids(message: Mapping[str, Any], place: str) -> list[str]:
    """The ids of the tool calls in a message."""
    calls = message.get("tool_calls")
    if not calls or message["role"] != "assistant":
        return []
    ids: list[str] = []
    for call in a_list(calls) or [calls]:
        described = an_object(call) or {}
        function = an_object(described.get("function")) or {}
        identifier = described.get("id")
        is_named = isinstance(function.get("name"), str) and identifier
        if not is_named or not isinstance(identifier, str) or identifier in ids:
            raise ValueError(
                f"{place} must have tool calls with a function's name and an id of their own, "
                f"got {brief(call)}"
            )
        ids.append(identifier)
    return ids
