"""What is sent: the arguments of a call, checked and made a JSON body."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from executionkit import _checks as checks
from executionkit._json import dumps, is_mapping, is_sequence

_OWN_FIELDS = {
    "messages": "pass the messages as complete()'s first argument",
    "model": "set Provider.model, or dataclasses.replace(provider, model=...)",
    "stream": "complete() takes whole replies, stream() streams",
    "temperature": "use default_temperature, or complete()'s temperature",
    "max_tokens": "use default_max_tokens, or complete()'s max_tokens",
    "max_completion_tokens": "use max_tokens, with max_tokens_field='max_completion_tokens'",
    "tools": "use complete()'s tools",
}


class Form(NamedTuple):
    """How a provider's requests are written.

    Attributes:
        fixed: The fields that all requests have: the model, and the extra ones.
        max_tokens_field: The name under which `max_tokens` is sent.
        omit: The fields never to send.
        null_content: What stands in for null as a message's content; None is null itself.
    """

    fixed: Mapping[str, Any]
    max_tokens_field: str
    omit: Collection[str]
    null_content: str | None


def compose(
    form: Form,
    messages: object,
    *,
    temperature: float,
    max_tokens: int,
    tools: object,
    further: Mapping[str, Any],
    streamed: bool = False,
) -> bytes:
    """Write one request; a streamed one asks for the usage too, which servers leave out otherwise.

    Raises:
        ValueError: An argument is out of range, or has no JSON form because of its value.
        TypeError: An argument is of the wrong kind, or would override what the client sets.
    """
    conversation = _mappings(messages, "messages")
    if not conversation:
        raise ValueError("messages must hold at least one message, got none")
    if form.null_content is not None:
        conversation = [_without_null(message, form.null_content) for message in conversation]
    if tools is not None:
        _mappings(tools, "tools")
    checks.between(0.0, 2.0, temperature=temperature)
    checks.at_least(1, max_tokens=max_tokens)
    further = {name: value for name, value in further.items() if value is not None}
    taken = own_field(further, form.max_tokens_field)
    if taken is not None:
        raise TypeError(f"complete() {taken}")
    body = {**form.fixed, "messages": conversation, **further, "temperature": temperature}
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


def _mappings(value: object, name: str) -> Sequence[Mapping[str, Any]]:
    # A string, which is a sequence too, is the likeliest mistake: it would be sent letter by letter.
    if not is_sequence(value):
        raise TypeError(f"{name} must be a list of dicts, got {type(value).__name__}")
    for item in value:
        if not is_mapping(item):
            raise TypeError(f"{name} must be a list of dicts, but holds a {type(item).__name__}")
    return value


def _without_null(message: Mapping[str, Any], content: str) -> Mapping[str, Any]:
    return {**message, "content": content} if message.get("content", "") is None else message


def own_field(body: Mapping[str, Any], max_tokens_field: str) -> str | None:
    """Find a body field that would silently override what the client sets.

    Returns:
        Why it is refused and what to use instead; None when there is no such field.
    """
    for name in body:
        if name in _OWN_FIELDS or name == max_tokens_field:
            return f"must not set {name!r}: {_OWN_FIELDS.get(name, _OWN_FIELDS['max_tokens'])}"
    return None


def encode(body: Mapping[str, Any]) -> bytes:
    """The request body as JSON; lone surrogates, which UTF-8 can't carry, become U+FFFD.

    Raises:
        ValueError: A number is NaN or infinite, or the body contains itself or is nested too deep.
        TypeError: Something in it has no JSON form.
    """
    try:
        return dumps(body)
    except RecursionError:
        raise ValueError("the request is nested too deep to be sent as JSON") from None
