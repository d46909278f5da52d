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
    if usage.usd is not None:
        attributes[f"{names.OWN}{of}.usd"] = float(usage.usd)


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
    if usage.usd is not None:
        attributes.update(dict.fromkeys(names.COSTS, float(usage.usd)))


def reasons_of(reply: LLMResponse) -> tuple[str, ...]:
    """Why the model stopped writing, for each choice of a reply."""
    if not reply.alternatives:
        return (short(reply.finish_reason),)
    return tuple(short(each.finish_reason) for each in (reply, *reply.alternatives))


def origin_of(reply: LLMResponse) -> dict[str, str]:
    """The identifier and the model in the body of a reply."""
    if not is_object(reply.raw):
        return {}
    found = {names.RESPONSE_ID: reply.raw.get("id"), names.RESPONSE_MODEL: reply.raw.get("model")}
    return {name: short(value) for name, value in found.items() if isinstance(value, str) and value}


def parts_of(reply: LLMResponse) -> dict[str, int]:
    """The parts of a reply's tokens that were read from a cache, written to it, or spent on reasoning."""
    found = {
        names.CACHE_READ_TOKENS: reply.cached_tokens,
        names.CACHE_WRITE_TOKENS: _written_tokens(reply),
        names.REASONING_TOKENS: reply.reasoning_tokens,
    }
    return {name: count for name, count in found.items() if count}


def short(text: str) -> str:
    """An identifier or a word of a server, of which no more than a few characters are expected."""
    return text[:_MOST]


def _written_tokens(reply: LLMResponse) -> int:
    """The part of the prompt that was written to a cache."""
    written = token_count(reply.usage.get("cache_creation_input_tokens"))
    details = reply.usage.get("prompt_tokens_details")
    if not written and details is not None and is_mapping(details):
        written = token_count(details.get("cache_write_tokens"))
    return written or 0
