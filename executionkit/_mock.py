"""`MockProvider`: a scripted provider for unit tests, without a network."""

import copy
import inspect
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypeAlias, TypeGuard

from executionkit._json import plain
from executionkit._prompt import measured, veiled
from executionkit._text import words_of
from executionkit.prices import PriceBook, is_price_book
from executionkit.responses import LLMResponse
from executionkit.streaming import (
    ReasoningDelta,
    RefusalDelta,
    ReplyStream,
    StreamEvent,
    TextDelta,
    events_of,
)
from executionkit.types import TokenUsage

__all__ = ["MockProvider"]

Reply: TypeAlias = str | LLMResponse | BaseException | type[BaseException]
"""One entry of a script: a text, a whole response, or an exception to raise."""


class ScriptExhaustedError(AssertionError):
    """More calls were made than a strict script has replies.

    It is an `AssertionError`, so that no pattern takes it for a failed request and retries it.
    """


class MockCall(NamedTuple):
    """One recorded call. It is a copy: later changes to the caller's messages don't show in it.

    Attributes:
        messages: The conversation.
        temperature: As passed; None if the call gave none.
        max_tokens: As passed; None if the call gave none.
        tools: The tool schemas; None if the call gave none.
        kwargs: The further keywords.
    """

    messages: list[dict[str, Any]]
    temperature: float | None
    max_tokens: int | None
    tools: list[dict[str, Any]] | None
    kwargs: dict[str, Any]


Responder: TypeAlias = Callable[[MockCall], Reply | Awaitable[Reply]]
"""A plain or an async function that takes the recorded call and returns the reply."""


class MockProvider:
    """A provider that answers from a script and records the calls.

    It satisfies `LLMProvider`, `ToolCallingProvider` and `StreamingProvider`. It also has the `aclose` and
    `async with` of `Provider`, which do nothing here. Replies are returned whole: `max_tokens` is recorded,
    but doesn't cut them. `LocalEndpoint` does.

    Example:
        ```python
        from executionkit import (
            MockProvider,
            RateLimitError,
            RetryConfig,
            TokenUsage,
            consensus_sync,
        )


        def test_a_rate_limit_is_retried_and_counted():
            provider = MockProvider(
                [RateLimitError("slow down", retry_after=0), "ham"], strict=True
            )
            result = consensus_sync(
                provider, "Spam or ham?", num_samples=1, retry=RetryConfig(base_delay=0)
            )
            assert result.value == "ham"
            assert result.cost == TokenUsage(llm_calls=2)
            assert provider.last_call.messages[0]["content"] == "Spam or ham?"
        ```

    Args:
        responses: A list of replies, or a plain or async function that takes the recorded call and returns
            the reply. A reply is a text, a response, or an exception, which is raised. The list is copied. It
            starts over when it runs out; an empty one gives an empty response to every call.
        exception: Raised on every call. Each call raises a fresh copy if the exception can be copied, so
            that attributes set on one don't show on the next.
        usage: The token counts of replies given as text. Defaults to no usage.
        prices: The price book of `result.cost.usd` and of ceilings in dollars, such as `Rates`. Defaults to
            no prices.
        strict: Raise `ScriptExhaustedError` when the list runs out, instead of starting over.

    Attributes:
        calls: Every call in order, including those that raised.

    Raises:
        TypeError: A reply is not a text, a response or an exception, `usage` is not a mapping, or `prices` is
            no price book.
        ValueError: `strict` is used without a list that could run out, or `usage` has no token count.
    """

    supports_tools: Literal[True] = True

    def __init__(
        self,
        responses: Iterable[Reply] | Responder = (),
        exception: BaseException | type[BaseException] | None = None,
        *,
        usage: TokenUsage | Mapping[str, Any] | None = None,
        prices: PriceBook | None = None,
        strict: bool = False,
    ) -> None:
        is_no_list = isinstance(responses, (str, Mapping, LLMResponse, BaseException, type))
        if is_no_list or not (callable(responses) or isinstance(responses, Iterable)):
            raise TypeError(f"responses must be a list of replies or a function, got {responses!r}")
        if exception is not None and not _is_exception(exception):
            raise TypeError(f"exception must be an exception or None, got {exception!r}")
        if prices is not None and not is_price_book(prices):
            raise TypeError(f"prices must be a price book or None, got {prices!r}")
        self.calls: list[MockCall] = []
        self.prices = prices
        self._usage = _usage_mapping(usage)
        self._exception = exception
        self._responder: Responder | None = None
        self._script: Iterator[LLMResponse | BaseException | type[BaseException]] = iter(())
        self._strict = strict
        if callable(responses):
            self._responder = responses
        else:
            # One response for each entry, made here, so that a call costs next to nothing.
            replies = [self._reply(reply) for reply in responses]
            self._script = iter(replies) if strict else itertools.cycle(replies or [self._reply("")])
        if strict and (exception is not None or self._responder is not None):
            raise ValueError("strict=True needs a list of responses, not a function or an exception")

    @property
    def call_count(self) -> int:
        """The number of calls."""
        return len(self.calls)

    @property
    def last_call(self) -> MockCall | None:
        """The latest call; None before the first."""
        return self.calls[-1] if self.calls else None

    async def complete(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        """Record the call and return the next reply.

        Raises:
            ScriptExhaustedError: The script is strict and has run out.
        """
        return await self._answer(_call(messages, temperature, max_tokens, tools, kwargs))

    def stream(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> ReplyStream:
        """Stream the next reply, one word at a time.

        Entering the stream records the call. An exception in the script is raised there.
        """
        call = _call(messages, temperature, max_tokens, tools, kwargs)
        return _MockStream(self._answer, call)

    async def aclose(self) -> None:
        """Do nothing. It is here because `Provider` has it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _answer(self, call: MockCall) -> LLMResponse:
        self.calls.append(call)
        if self._exception is not None:
            raise _fresh(self._exception)
        if self._responder is None:
            reply = next(self._script, None)
            if reply is None:
                raise ScriptExhaustedError(f"call {len(self.calls)}, but the script has no more replies")
        else:
            answer = self._responder(call)
            reply = self._reply(await answer if inspect.isawaitable(answer) else answer)
        if isinstance(reply, LLMResponse):
            return reply
        raise _fresh(reply)

    def _reply(self, reply: object) -> LLMResponse | BaseException | type[BaseException]:
        if isinstance(reply, LLMResponse) or _is_exception(reply):
            return reply
        if isinstance(reply, str):
            return LLMResponse(reply, usage=self._usage)
        raise TypeError(f"a reply must be a str, an LLMResponse or an exception, got {reply!r}")


class _MockStream(ReplyStream):
    """The next reply of a script, as events."""

    def __init__(self, answer: Callable[[MockCall], Awaitable[LLMResponse]], call: MockCall) -> None:
        super().__init__()
        self._answer = answer
        self._call = call
        self._events: Iterator[StreamEvent] = iter(())

    async def _open(self) -> None:
        self._prompt_bytes = measured(self._call.messages).in_bytes
        self._events = _word_by_word(events_of(await self._answer(self._call)))

    async def _next(self) -> StreamEvent | None:
        return next(self._events, None)

    async def _close(self) -> None:
        self._events = iter(())


def _word_by_word(events: Iterable[StreamEvent]) -> Iterator[StreamEvent]:
    for event in events:
        if isinstance(event, (TextDelta, ReasoningDelta, RefusalDelta)):
            yield from (replace(event, text=word) for word in words_of(event.text))
        else:
            yield event


def _call(
    messages: Sequence[Mapping[str, Any]],
    temperature: float | None,
    max_tokens: int | None,
    tools: Sequence[Mapping[str, Any]] | None,
    kwargs: dict[str, Any],
) -> MockCall:
    return MockCall(
        veiled(plain(messages)),
        temperature,
        max_tokens,
        None if tools is None else plain(tools),
        plain(kwargs) if kwargs else kwargs,
    )


def _is_exception(value: object) -> TypeGuard[BaseException | type[BaseException]]:
    return isinstance(value, BaseException) or (isinstance(value, type) and issubclass(value, BaseException))


def _usage_mapping(usage: TokenUsage | Mapping[str, Any] | None) -> Mapping[str, Any]:
    if usage is None:
        return {}
    if isinstance(usage, TokenUsage):
        return {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens}
    if not isinstance(usage, Mapping):
        raise TypeError(f"usage must be a TokenUsage, a mapping or None, got {usage!r}")
    if usage and not usage.keys() & _COUNTS:
        raise ValueError(f"usage must have one of {', '.join(_COUNTS)}, got {usage!r}")
    return dict(usage)


_COUNTS = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")


def _fresh(exception: BaseException | type[BaseException]) -> BaseException:
    """Copy an exception with its dicts and lists; return itself if it can't be copied faithfully."""
    if isinstance(exception, type):
        return exception()
    try:
        duplicate = copy.copy(exception)
    except Exception:  # noqa: BLE001  # copying runs the exception's own __init__, which may raise anything
        return exception
    if type(duplicate) is not type(exception) or duplicate.args != exception.args:
        return exception
    attributes: dict[str, Any] = vars(duplicate)
    for name in attributes:
        if type(attributes[name]) in (dict, list):
            attributes[name] = copy.copy(attributes[name])
    if exception.__cause__ is not None:
        duplicate.__cause__ = exception.__cause__
    return duplicate
