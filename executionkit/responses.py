"""The reply of a model: `LLMResponse`, and the `ToolCall`s in it."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeVar, cast

from executionkit._display import Brief
from executionkit._dollars import EXACT, TOO_DEAR, dollars
from executionkit._json import STRICT, is_mapping, plain

_T = TypeVar("_T")

_INPUT = ("input_tokens", "prompt_tokens")
_OUTPUT = ("output_tokens", "completion_tokens")
_CUT_OFF = frozenset(
    {"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"}
)
_WITHHELD = frozenset(
    {"content_filter", "content_filtered", "guardrail_intervened", "sensitive"}  # OpenAI, Bedrock, Z.AI
    | {"safety", "blocklist", "prohibited_content", "spii"}  # Gemini
)
_MORE = frozenset({"total_tokens", "reasoning_tokens", "completion_tokens_details", "output_tokens_details"})
"""The counts that may show more output than was counted as such."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_TOO_MANY = 10**15
_CACHED = ("cache_read_input_tokens", "cache_creation_input_tokens")


def empty_mapping() -> Mapping[str, Any]:
    """Return a mapping without entries, which nothing can be added to."""
    return _NOTHING


def rebuild(cls: type[_T], values: dict[str, Any]) -> _T:
    """Make an object of its field values; pickling and copying value objects call it."""
    return cls(**values)


def text_of(content: object) -> str:
    """Join a message's content to one text.

    Servers send a string, null, or a list of parts (`{"type": "text", "text": ...}`). Parts without text
    (images, audio) are skipped, and so are thoughts (`{"type": "thinking", ...}`). A bare number becomes its
    text, because some proxies read "42" as JSON.
    """
    if isinstance(content, str):
        return content
    if isinstance(content, (int, float)) and not isinstance(content, bool):
        return json.dumps(content)
    if isinstance(content, Mapping):
        text = content.get("text")
        return text if isinstance(text, str) and not is_thought(content) else ""
    if isinstance(content, Sequence) and not isinstance(content, (bytes, bytearray)):
        return "".join(text_of(part) for part in content if not isinstance(part, (int, float)))
    return ""


def is_thought(part: object) -> bool:
    """Whether a part of a message's content is thought, and not meant for the reader."""
    kind = part.get("type") if isinstance(part, Mapping) else None
    return isinstance(kind, str) and ("thinking" in kind or "reasoning" in kind or kind == "thought")


def token_count(value: object) -> int | None:
    """Read a token count as servers send it; None if it is not a count.

    Integers, floats and strings of digits are counts. Null, booleans, negative numbers, numbers from 10^15 on
    and anything else are not. So a broken usage block can't make a paid reply fail, and can't reduce the
    cost.
    """
    if type(value) is int:  # nearly always, and several times a reply; a boolean is no count
        return value if 0 <= value < _TOO_MANY else None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, float) and 0 <= value < _TOO_MANY:  # NaN is not
        return int(value)
    return None


def _amount(value: object) -> Decimal | None:
    """Read an amount of dollars as servers send it; None if it is none."""
    if value is None:
        return None
    try:
        amount = dollars(value, "")
    except ValueError:
        return None
    return amount if 0 <= amount < TOO_DEAR else None


def _read_arguments(given: object) -> tuple[dict[str, Any], str | None]:
    """Read arguments that are not a mapping: the object, or {} and the text if it is not a JSON object."""
    if given is None or (isinstance(given, str) and not given.strip()):
        return {}, None
    if not isinstance(given, str):
        return {}, json.dumps(given, default=repr)
    try:
        found: object = STRICT.decode(given)
        if isinstance(found, str) and found.lstrip().startswith("{"):
            found = STRICT.decode(found)  # some servers encode them twice
    except (ValueError, RecursionError):
        return {}, given
    if found is None or found == "":
        return {}, None  # as some servers write that there are none
    return (cast("dict[str, Any]", found), None) if isinstance(found, dict) else ({}, given)


@dataclass(frozen=True, slots=True)
class ToolCall(Brief):
    """One tool call that the model asks for.

    `arguments` also accepts JSON text, as servers send it. If the text is not a JSON object, no error is
    raised, because the reply is already paid for: the text is kept in `invalid_arguments`. Raw control
    characters in its strings, such as line breaks, are read as what they are. Text that was encoded twice,
    a JSON string that holds the object, is read too.

    Attributes:
        id: The server's identifier of the call; "" if the server sent none.
        name: The tool's name, as the model wrote it.
        arguments: The parsed arguments.
        invalid_arguments: The text of arguments that are not a JSON object; then `arguments` is empty.
            Otherwise None.
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
class TokenLogprob(Brief):
    """A token of a reply, with the logarithm of its probability.

    Attributes:
        token: The token's text.
        logprob: The natural logarithm of the probability that the model gave it; at most about 0.
        top: The most probable tokens at this place, as the server listed them; () if it listed none.
    """

    token: str
    logprob: float
    top: tuple["TokenLogprob", ...] = ()


@dataclass(frozen=True, slots=True)
class LLMResponse(Brief):
    """One reply of a model.

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
        content: The text. A list of content parts is joined, and null becomes "".
        tool_calls: The tool calls, in the model's order.
        finish_reason: Why the model stopped: "stop", "length", "tool_calls", "content_filter", ...
        usage: The server's token counts, unchanged and read-only. `"estimated": True` marks counts that were
            estimated from the length of the texts. `"from_cache": True` marks those of a reply that a `Cache`
            gave, `"replayed": True` those of a reply that a `Replayer` gave, which were paid for before.
        raw: The parsed body of the reply, or another object of the provider's choice.
        reasoning: Reasoning that the server sent in a field of its own, or "". It is not part of `content`.
        refusal: The model's refusal, or "".
        alternatives: The other choices of a request for several (`n`), in the server's order. They have no
            usage: this response has that of the whole request.
        request_id: The server's identifier of the request, if it sent one.
        headers: The reply's headers that tell of limits and of the request (`x-ratelimit-*`, `retry-after`,
            ...), their names in lower case; read-only, and without secrets.
        logprobs: The tokens of the reply with their log-probabilities, where the request asked for them
            (`logprobs=True`, and `top_logprobs` for those beside them) and the server sent them; else ().
    """

    content: str
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: str = "stop"
    usage: Mapping[str, Any] = field(default_factory=empty_mapping)
    raw: Any = field(default=None, repr=False)
    reasoning: str = field(default="", kw_only=True)
    refusal: str = field(default="", kw_only=True)
    alternatives: Sequence["LLMResponse"] = field(default=(), kw_only=True)
    request_id: str | None = field(default=None, kw_only=True)
    headers: Mapping[str, str] = field(default_factory=empty_mapping, kw_only=True, repr=False)
    logprobs: tuple[TokenLogprob, ...] = field(default=(), kw_only=True, repr=False)

    def __post_init__(self) -> None:
        # One by one and not in a loop: every reply is made here, and costs no more than a look at each type.
        if not isinstance(self.content, str):
            object.__setattr__(self, "content", text_of(self.content))
        if not isinstance(self.reasoning, str):
            object.__setattr__(self, "reasoning", text_of(self.reasoning))
        if not isinstance(self.refusal, str):
            object.__setattr__(self, "refusal", text_of(self.refusal))
        if not isinstance(self.finish_reason, str):
            object.__setattr__(self, "finish_reason", str(self.finish_reason or "stop"))
        if not isinstance(self.tool_calls, tuple):
            object.__setattr__(self, "tool_calls", tuple(self.tool_calls or ()))
        if not isinstance(self.alternatives, tuple):
            object.__setattr__(self, "alternatives", tuple(self.alternatives or ()))
        if not isinstance(self.logprobs, tuple):  # pyright: ignore[reportUnnecessaryIsInstance] - users' data
            object.__setattr__(self, "logprobs", tuple(self.logprobs or ()))
        if self.usage is not _NOTHING:
            known = self.usage if is_mapping(self.usage) else {}
            object.__setattr__(self, "usage", MappingProxyType(dict(known)))
        if self.headers is not _NOTHING:
            object.__setattr__(self, "headers", MappingProxyType(dict(self.headers)))

    def __reduce__(self) -> tuple[Any, ...]:
        # A MappingProxyType can't be pickled; the fields can.
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["usage"], values["headers"] = plain(self.usage), dict(self.headers)
        return rebuild, (type(self), values)

    def _count(self, names: Iterable[str]) -> int | None:
        found = None
        for name in names:
            value = self.usage.get(name)
            if value is None:
                continue
            count = token_count(value)
            if count:
                return count
            # A server may fill in one pair of names, and leave zeros in the other.
            found = found if count is None else count
        return found

    def _detail(self, names: Iterable[str], key: str) -> int:
        for name in names:
            details = self.usage.get(name)
            # None first, because the check for a Mapping is slow.
            if (
                details is not None
                and isinstance(details, Mapping)
                and (count := token_count(details.get(key)))
            ):
                return count
        return 0

    def _output(self) -> int | None:
        """Output tokens: what was counted, or more where the total or the reasoning shows more."""
        counted = self._count(_OUTPUT)
        if _MORE.isdisjoint(self.usage):
            return counted
        spent = max(counted or 0, self.reasoning_tokens)
        total = token_count(self.usage.get("total_tokens"))
        prompt = None if total is None else self._count(_INPUT)
        if total is not None and prompt is not None and total - prompt > spent:
            # Where the prompt is counted without what was read from a cache, the total has that as well.
            cached = sum(token_count(self.usage.get(name)) or 0 for name in _CACHED)
            if total - prompt != (counted or 0) + cached:
                spent = total - prompt
        return spent if spent or counted is not None else None

    @property
    def usage_is_estimated(self) -> bool:
        """Whether `usage` was estimated, because the server reported none for a stream."""
        return self.usage.get("estimated") is True

    @property
    def is_from_cache(self) -> bool:
        """Whether a `Cache` gave the reply: nothing was sent, and it costs nothing."""
        return self.usage.get("from_cache") is True

    @property
    def reported_input_tokens(self) -> int | None:
        """Prompt tokens as the server counted them; None if it did not report them."""
        return None if self.usage.get("estimated") is True else self._count(_INPUT)

    @property
    def reported_output_tokens(self) -> int | None:
        """Completion tokens as the server counted them; None if it did not report them.

        Never less than the usage implies: some servers leave the tokens of hidden reasoning out of the
        completion, and count them in the total or in the details.
        """
        return None if self.usage.get("estimated") is True else self._output()

    @property
    def input_tokens(self) -> int:
        """Prompt tokens, reported or estimated; 0 if there is no count."""
        return self._count(_INPUT) or 0

    @property
    def output_tokens(self) -> int:
        """Completion tokens, reported or estimated; 0 if there is no count."""
        return self._output() or 0

    @property
    def total_tokens(self) -> int:
        """`input_tokens + output_tokens`."""
        return self.input_tokens + self.output_tokens

    @property
    def cached_tokens(self) -> int:
        """The part of `input_tokens` that came from the server's prompt cache."""
        return self._detail(("prompt_tokens_details", "input_tokens_details"), "cached_tokens")

    @property
    def reasoning_tokens(self) -> int:
        """The part of `output_tokens` that was spent on reasoning."""
        details = self._detail(("completion_tokens_details", "output_tokens_details"), "reasoning_tokens")
        return details or token_count(self.usage.get("reasoning_tokens")) or 0

    @property
    def reported_usd(self) -> Decimal | None:
        """The price in dollars, as the server reported it; None if it did not.

        It stands in the usage (`cost` of OpenRouter and others, `cost_in_usd_ticks` of xAI), or in the header
        that LiteLLM sends. A zero in that header means that LiteLLM does not know the model.
        """
        if (ticks := _amount(self.usage.get("cost_in_usd_ticks"))) is not None:
            return _amount(ticks.scaleb(-10, EXACT))
        for told in (self.usage.get("cost"), self.usage.get("estimated_cost")):
            cost = _amount(told.get("total_cost") if isinstance(told, Mapping) else told)
            if cost is None:
                continue
            if self.usage.get("is_byok") is not True:
                return cost
            # The fee of OpenRouter alone: the model is paid for on the user's own account with its maker.
            details = self.usage.get("cost_details")
            own = details.get("upstream_inference_cost") if isinstance(details, Mapping) else None
            upstream = _amount(own)
            return None if upstream is None else EXACT.add(cost, upstream)
        return _amount(self.headers.get("x-litellm-response-cost")) or None

    @property
    def mean_logprob(self) -> float | None:
        """The mean log-probability of the reply's tokens; None if the server sent none, or if one is NaN."""
        if not self.logprobs:
            return None
        mean = math.fsum(token.logprob for token in self.logprobs) / len(self.logprobs)
        return None if math.isnan(mean) else mean

    @property
    def has_tool_calls(self) -> bool:
        """Whether the model asked for at least one tool call."""
        return bool(self.tool_calls)

    @property
    def was_truncated(self) -> bool:
        """Whether the reply was cut off by the token limit."""
        return self.finish_reason.lower() in _CUT_OFF

    @property
    def was_filtered(self) -> bool:
        """Whether the server's content filter withheld the reply."""
        return self.finish_reason.lower() in _WITHHELD
