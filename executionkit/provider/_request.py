"""The contents of a request: its headers, and its JSON body made of the arguments of a call."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from executionkit import _checks as checks
from executionkit._json import dumps, is_mapping, is_sequence
from executionkit._messages import without_system
from executionkit._secrets import Secret
from executionkit._version import __version__

_OWN_FIELDS = {
    "messages": "pass the messages as the first argument",
    "model": "set Provider.model, or dataclasses.replace(provider, model=...)",
    "stream": "complete() returns whole replies, stream() streams them",
    "temperature": "use default_temperature, or the argument temperature of the call",
    "max_tokens": "use default_max_tokens, or the argument max_tokens of the call",
    "max_completion_tokens": "use max_tokens, with max_tokens_field='max_completion_tokens'",
    "tools": "use the argument tools of the call",
}


class Form(NamedTuple):
    """How a provider writes its requests.

    Attributes:
        fields: The body fields of every request: the model, and `extra_body`.
        temperature: Sent where a call gives none.
        max_tokens: Sent where a call gives none.
        max_tokens_field: The name under which `max_tokens` is sent.
        omit: The body fields never to send.
        null_content: Sent in place of null as a message's content; None sends null.
        omit_from_turns: The fields of assistant messages and of their tool calls never to send.
        system_messages: Whether system messages are sent as such, and not within user messages.
    """

    fields: Mapping[str, Any]
    temperature: float
    max_tokens: int
    max_tokens_field: str
    omit: Collection[str]
    null_content: str | None
    omit_from_turns: Collection[str] = frozenset()
    system_messages: bool = True


class Arguments(NamedTuple):
    """The arguments of one call of `complete` or `stream`, unchecked; `further` holds its keywords.

    `extra_body` holds fields that win over all others, and are sent even where they are null.
    """

    messages: object
    temperature: float | None
    max_tokens: int | None
    tools: object
    further: Mapping[str, Any]
    extra_body: Mapping[str, Any] = MappingProxyType({})


def all_headers(key: Secret, extra: Mapping[str, Secret]) -> tuple[tuple[str, Secret], ...]:
    """The headers of every request except Host and Content-Length; an extra header replaces ours."""
    own = {
        "Accept": "application/json",
        "User-Agent": f"executionkit/{__version__}",
        **({"Authorization": f"Bearer {key.reveal()}"} if key else {}),
    }
    replaced = {name.lower() for name in extra}
    kept = [(name, Secret(value)) for name, value in own.items() if name.lower() not in replaced]
    fixed = [("Content-Type", Secret("application/json")), ("Accept-Encoding", Secret("gzip"))]
    return (*kept, *extra.items(), *fixed)


def compose(form: Form, call: Arguments, *, streamed: bool = False, method: str = "complete") -> bytes:
    """Check the arguments of a call of the provider's `method`, and write its body.

    Servers report the usage of a streamed reply only on request, so a streamed body asks for it.

    Raises:
        ValueError: An argument is out of range, or its value has no JSON form.
        TypeError: An argument is of the wrong type, or a keyword would override what the client sets.
    """
    messages = _mappings(call.messages, "messages")
    if not messages:
        raise ValueError("messages must hold at least one message, got an empty list")
    if form.null_content is not None:
        messages = [_without_null(message, form.null_content) for message in messages]
    if form.omit_from_turns:
        messages = [_without_fields(message, form.omit_from_turns) for message in messages]
    if not form.system_messages:
        messages = without_system(messages)
    tools = None if call.tools is None else _mappings(call.tools, "tools")
    temperature, max_tokens = call.temperature, call.max_tokens
    if temperature is None:
        temperature = form.temperature
    else:
        checks.between(0.0, 2.0, temperature=temperature)
    if max_tokens is None:
        max_tokens = form.max_tokens
    else:
        checks.at_least(1, max_tokens=max_tokens)
    further = call.further
    if further:
        further = {name: value for name, value in further.items() if value is not None}
        taken = own_field(further, form.max_tokens_field)
        if taken is not None:
            raise TypeError(f"{method}() {taken}")
    body = {**form.fields, "messages": messages, **further, "temperature": temperature, **call.extra_body}
    if "max_tokens" not in form.omit:
        body[form.max_tokens_field] = max_tokens
    if tools:
        body["tools"] = tools
    if streamed:
        given = body.get("stream_options")
        body["stream_options"] = {"include_usage": True, **(given if is_mapping(given) else {})}
        body["stream"] = True
    for name in form.omit:
        body.pop(name, None)
    return encode(body)


def choices_asked(form: Form, call: Arguments) -> int:
    """How many choices a call asks for (`n`): the value that `compose` sends."""
    given = call.further.get("n")
    asked: object = call.extra_body.get("n", form.fields.get("n") if given is None else given)
    return asked if isinstance(asked, int) and asked > 1 and "n" not in form.omit else 1


def _mappings(value: object, name: str) -> Sequence[Mapping[str, Any]]:
    # A string is the likeliest mistake. It is a sequence too, and would be sent letter by letter.
    if not is_sequence(value):
        raise TypeError(f"{name} must be a list of dicts, got {type(value).__name__}")
    for item in value:
        if not is_mapping(item):
            raise TypeError(f"{name} must be a list of dicts, but holds a {type(item).__name__}")
    return value


def _without_null(message: Mapping[str, Any], content: str) -> Mapping[str, Any]:
    return {**message, "content": content} if message.get("content", "") is None else message


def _without_fields(message: Mapping[str, Any], names: Collection[str]) -> Mapping[str, Any]:
    if message.get("role") != "assistant":
        return message
    kept = {name: value for name, value in message.items() if name not in names}
    calls = kept.get("tool_calls")
    if is_sequence(calls):
        kept["tool_calls"] = [
            {name: value for name, value in call.items() if name not in names} if is_mapping(call) else call
            for call in calls
        ]
    return kept


def own_field(body: Mapping[str, Any], max_tokens_field: str) -> str | None:
    """Find a body field that would override one that the client sets; say what to use instead.

    Returns:
        The end of an error message, after the name of what was given; None when there is no such field.
    """
    for name in body:
        if name in _OWN_FIELDS or name == max_tokens_field:
            return f"must not set {name!r}: {_OWN_FIELDS.get(name, _OWN_FIELDS['max_tokens'])}"
    return None


def encode(body: Mapping[str, Any]) -> bytes:
    """Write a request body as JSON. Lone surrogates become U+FFFD, because UTF-8 can't carry them.

    Raises:
        ValueError: A number is NaN or infinite, or the body contains itself or is nested too deep.
        TypeError: A value in it has no JSON form.
    """
    try:
        return dumps(body)
    except RecursionError:
        raise ValueError("the request is nested too deep to be sent as JSON") from None
