"""What a model answers: `LLMResponse` and the `ToolCall`s in it."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, TypeVar, cast

from executionkit._json import loads_strict, plain

_T = TypeVar("_T")

_INPUT = ("input_tokens", "prompt_tokens")
_OUTPUT = ("output_tokens", "completion_tokens")


def rebuild(cls: type[_T], values: dict[str, Any]) -> _T:
    """Make `cls` anew from its field values: what pickling and deep-copying a value object call."""
    return cls(**values)


def text_of(content: object) -> str:
    """Join a message's content to one text.

    Servers send a string, null, or a list of parts (`{"type": "text", "text": ...}`); parts that carry
    no text (images, audio) are passed over. A bare number, which a proxy makes of a text it took for JSON, is
    that text again.
    """
    if isinstance(content, str):
        return content
    if isinstance(content, (int, float)) and not isinstance(content, bool):
        return json.dumps(content)
    if isinstance(content, Mapping):
        text = content.get("text")
        return text if isinstance(text, str) else ""
    if isinstance(content, Sequence) and not isinstance(content, (bytes, bytearray)):
        return "".join(text_of(part) for part in content if not isinstance(part, (int, float)))
    return ""


def token_count(value: object) -> int | None:
    """Read a token count as servers send it; None when it is not a count.

    Integers, finite floats and digit strings are taken; null, booleans, negatives and anything else are
    unknown, so that a broken usage block can neither fail a paid answer nor reduce what was spent.
    """
    if type(value) is int:  # what nearly every server sends; a bool is none
        return value if value >= 0 else None
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, int):
        return value if value >= 0 else None
    if isinstance(value, float) and math.isfinite(value) and value >= 0:
        return int(value)
    return None


def _read_arguments(given: object) -> tuple[dict[str, Any], str | None]:
    """Arguments that came as no mapping: the object their text is, or empty and the text when it is none."""
    if given is None or (isinstance(given, str) and not given.strip()):
        return {}, None
    if not isinstance(given, str):
        return {}, json.dumps(given, default=repr)
    try:
        found: object = loads_strict(given)
    except (ValueError, RecursionError):
        return {}, given
    return (cast("dict[str, Any]", found), None) if isinstance(found, dict) else ({}, given)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call the model asks for.

    Attributes:
        id: The server's identifier of the call; empty when the server sent none.
        name: The tool's name as the model wrote it.
        arguments: The arguments, parsed.
        invalid_arguments: The raw text when it was not a JSON object (then `arguments` is empty), else None.

    Arguments may be given as the server sent them, as JSON text: that of an object is read, and what is none
    fails no paid reply, but is kept in `invalid_arguments`.
    """

    id: str
    name: str
    arguments: dict[str, Any]
    invalid_arguments: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        given: object = self.arguments
        if not isinstance(given, Mapping):
            arguments, invalid = _read_arguments(given)
            object.__setattr__(self, "arguments", arguments)
            if self.invalid_arguments is None:
                object.__setattr__(self, "invalid_arguments", invalid)


@dataclass(frozen=True, slots=True)
class LLMResponse:
    """One completion.

    Example:
        ```python
        from executionkit import LLMResponse

        reply = LLMResponse(
            "Paris",
            finish_reason="length",
            usage={"prompt_tokens": 12, "completion_tokens": 1},
        )
        assert (reply.total_tokens, reply.was_truncated) == (13, True)
        ```

    Attributes:
        content: The text; a list of content parts is joined, null becomes "".
        tool_calls: The calls asked for, in the model's order.
        finish_reason: Why the model stopped: "stop", "length", "tool_calls", "content_filter", ...
        usage: The server's token counts as sent (read-only); `"estimated": True` among them says that they
            were worked out from the length of the texts.
        raw: The parsed reply body, or whatever else the provider wants to hand through.
        reasoning: Reasoning text that the server sent in a field of its own, "" when it sent none; never part
            of `content`.
        refusal: The server's refusal text, "" when it did not refuse.
        alternatives: The further choices of a request that asked for several (`n`), in the server's order.
            They carry no usage of their own: that of the whole request is here.
    """

    content: str
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: str = "stop"
    usage: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    raw: Any = None
    reasoning: str = field(default="", kw_only=True)
    refusal: str = field(default="", kw_only=True)
    alternatives: Sequence["LLMResponse"] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        for name in ("content", "reasoning", "refusal"):
            text = getattr(self, name)
            if not isinstance(text, str):
                object.__setattr__(self, name, text_of(text))
        if not isinstance(self.tool_calls, tuple):
            object.__setattr__(self, "tool_calls", tuple(self.tool_calls or ()))
        if not isinstance(self.alternatives, tuple):
            object.__setattr__(self, "alternatives", tuple(self.alternatives or ()))
        known = self.usage if isinstance(self.usage, Mapping) else {}
        object.__setattr__(self, "usage", MappingProxyType(dict(known)))

    def __reduce__(self) -> tuple[Any, ...]:
        # A MappingProxyType can't be pickled; the fields can.
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["usage"] = plain(self.usage)
        return rebuild, (type(self), values)

    def _count(self, *names: str) -> int | None:
        for name in names:
            count = token_count(self.usage.get(name))
            if count is not None:
                return count
        return None

    def _detail(self, names: Iterable[str], key: str) -> int:
        for name in names:
            details = self.usage.get(name)
            if isinstance(details, Mapping):
                return token_count(details.get(key)) or 0
        return 0

    @property
    def usage_is_estimated(self) -> bool:
        """Whether `usage` is no count of the server's but worked out from lengths: streams may lack it."""
        return self.usage.get("estimated") is True

    @property
    def reported_input_tokens(self) -> int | None:
        """Prompt tokens as the server counted them; None when it did not say."""
        return None if self.usage_is_estimated else self._count(*_INPUT)

    @property
    def reported_output_tokens(self) -> int | None:
        """Completion tokens as the server counted them; None when it did not say."""
        return None if self.usage_is_estimated else self._count(*_OUTPUT)

    @property
    def input_tokens(self) -> int:
        """Prompt tokens as the server counted them, 0 when it did not say."""
        return self._count(*_INPUT) or 0

    @property
    def output_tokens(self) -> int:
        """Completion tokens as the server counted them, 0 when it did not say."""
        return self._count(*_OUTPUT) or 0

    @property
    def total_tokens(self) -> int:
        """`input_tokens + output_tokens`."""
        return self.input_tokens + self.output_tokens

    @property
    def cached_tokens(self) -> int:
        """The part of `input_tokens` served from the server's prompt cache."""
        return self._detail(("prompt_tokens_details", "input_tokens_details"), "cached_tokens")

    @property
    def reasoning_tokens(self) -> int:
        """The part of `output_tokens` spent on hidden reasoning."""
        return self._detail(("completion_tokens_details", "output_tokens_details"), "reasoning_tokens")

    @property
    def has_tool_calls(self) -> bool:
        """Whether the model asked for at least one tool call."""
        return bool(self.tool_calls)

    @property
    def was_truncated(self) -> bool:
        """Whether the reply was cut off by the token limit."""
        return self.finish_reason in ("length", "max_tokens")

    @property
    def was_filtered(self) -> bool:
        """Whether the server's content filter withheld the reply."""
        return self.finish_reason == "content_filter"
