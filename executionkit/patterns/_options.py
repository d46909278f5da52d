"""Request options: further fields of the requests that a pattern sends, such as `seed` and `top_p`."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from executionkit._json import is_mapping, plain
from executionkit._prompt import brief

Options: TypeAlias = Mapping[str, Any]
"""Fields of a request, by name."""

_TOOLS: Final = "only react_loop takes tools, by parameters of its own"

_ELSEWHERE: Final = {
    "messages": "give it as the parameter messages",
    "model": "set it on the provider, or with dataclasses.replace(provider, model=...)",
    "stream": "set on_event, or use Kit.stream or Provider(stream_always=True)",
    "n": "use num_samples, and choices_per_request in consensus",
    "max_tokens": "use the parameter max_tokens",
    "max_completion_tokens": "use max_tokens, with Provider(max_tokens_field='max_completion_tokens')",
    "temperature": "use the parameter temperature",
    "response_format": "use structured",
    "is_final": "it is no field of a request",
    **dict.fromkeys(("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"), _TOOLS),
}
"""What to use in place of the fields that a pattern sets itself."""


def checked_options(options: object) -> dict[str, Any]:
    """A copy of the options; empty for None.

    Raises:
        ValueError: They are no mapping of names, or hold a field that a pattern sets itself, also where that
            stands in `extra_body`.
    """
    if options is None:
        return {}
    if not is_mapping(options) or not all(isinstance(name, str) for name in options):
        raise ValueError(f"options must be a mapping of request fields or None, got {brief(options)}")
    body: object = options.get("extra_body")
    for name in (*options, *(body if is_mapping(body) else ())):
        if name in _ELSEWHERE:
            raise ValueError(f"options must not set {name!r}: {_ELSEWHERE[name]}")
    return dict(plain(options))


def with_logprobs(options: dict[str, Any]) -> dict[str, Any]:
    """The options, with the field that asks for log-probabilities.

    Raises:
        ValueError: They set it to something else.
    """
    if options.get("logprobs", True) is not True:
        asked = f"logprobs={options['logprobs']!r}"
        raise ValueError(f"options must not set {asked}: log-probabilities are needed, with logprobs=True")
    return {**options, "logprobs": True}


def for_sample(options: Options, number: int) -> Options:
    """The options of one sample of several: a seed differs, or all of them would be the same."""
    seed = options.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool):
        return options
    return {**options, "seed": seed + number}
