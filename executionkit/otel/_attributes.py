"""The attributes of requests, replies, spends and errors."""

from collections.abc import Mapping
from typing import Any, Final

from executionkit._json import is_array, is_mapping, is_object
from executionkit.errors import LLMError
from executionkit.observe import CallInfo
from executionkit.otel import _names as names
from executionkit.responses import LLMResponse, token_count
from executionkit.types import TokenUsage

_MOST: Final = 200


def error_type(error: BaseException) -> str:
    """The status code of a server, or the class of the error."""
    status = error.status_code if isinstance(error, LLMError) else None
    return type(error).__name__ if status is None else str(status)


def add_usage(attributes: dict[str, Any], of: str, usage: TokenUsage, *, without_zeros: bool = False) -> None:
    """Add the figures of a spend or a budget, under a name of our own: back ends add up those of `gen_ai`."""
    for name in ("llm_calls", "input_tokens", "output_tokens"):
        value = getattr(usage, name)
        if value or not without_zeros:
            attributes[f"{names.OWN}{of}.{name}"] = value
    if (usd := usd_of(usage)) is not None:
        attributes[f"{names.OWN}{of}.usd"] = usd


def usd_of(usage: TokenUsage) -> float | None:
    """The dollars in a spend or a budget; None if they are not known."""
    return None if usage.usd is None else float(usage.usd)


def add_request(attributes: dict[str, Any], info: CallInfo) -> None:
    """Add what a request asks for."""
    if info.temperature is not None:
        attributes[names.TEMPERATURE] = info.temperature
    if info.max_tokens is not None:
        attributes[names.MAX_TOKENS] = info.max_tokens
    if info.streamed:
        attributes[names.STREAM] = True
    if info.options:
        add_options(attributes, info.options)


def add_options(attributes: dict[str, Any], options: Mapping[str, Any]) -> None:
    """Add the options that the conventions have a name for. Their values are the caller's, and unchecked."""
    for option, (name, types) in names.OPTIONS.items():
        value = options.get(option)
        if isinstance(value, types) and not isinstance(value, bool):
            attributes[name] = value
    choices = options.get("n")
    if isinstance(choices, int) and choices != 1:
        attributes[names.CHOICES] = choices
    stop = options.get("stop")
    stops = [stop] if isinstance(stop, str) else stop if is_array(stop) else []
    if stops and all(isinstance(each, str) for each in stops):
        attributes[names.STOP_SEQUENCES] = tuple(stops)
    wanted = options.get("response_format")
    if is_mapping(wanted):
        attributes[names.OUTPUT_TYPE] = "text" if wanted.get("type") == "text" else "json"


def add_spent(attributes: dict[str, Any], usage: TokenUsage) -> None:
    """Add what was counted for a call, so that the spans of a run's calls add up to what it spent."""
    attributes[names.INPUT_TOKENS] = usage.input_tokens
    attributes[names.OUTPUT_TOKENS] = usage.output_tokens
    if (usd := usd_of(usage)) is not None:
        attributes.update(dict.fromkeys(names.COSTS, usd))


def add_reply(attributes: dict[str, Any], reply: LLMResponse, *, is_whole: bool) -> None:
    """Add what a reply says of itself. One that broke off has no finish reason."""
    if is_whole:
        attributes[names.FINISH_REASONS] = (
            (short(reply.finish_reason), *(short(each.finish_reason) for each in reply.alternatives))
            if reply.alternatives
            else (short(reply.finish_reason),)
        )
    found = {
        names.RESPONSE_ID: in_body(reply, "id"),
        names.RESPONSE_MODEL: in_body(reply, "model"),
        names.CACHE_READ_TOKENS: reply.cached_tokens,
        names.CACHE_WRITE_TOKENS: written_tokens(reply),
        names.REASONING_TOKENS: reply.reasoning_tokens,
    }
    attributes.update({name: value for name, value in found.items() if value})


def in_body(reply: LLMResponse, name: str) -> str | None:
    """A text in the body of a reply."""
    value = reply.raw.get(name) if is_object(reply.raw) else None
    return short(value) if isinstance(value, str) and value else None


def short(text: str) -> str:
    """An identifier or a word of a server, of which no more than a few characters are expected."""
    return text[:_MOST]


def written_tokens(reply: LLMResponse) -> int:
    """The part of the prompt that was written to a cache."""
    written = token_count(reply.usage.get("cache_creation_input_tokens"))
    details = reply.usage.get("prompt_tokens_details")
    if not written and details is not None and is_mapping(details):
        written = token_count(details.get("cache_write_tokens"))
    return written or 0
