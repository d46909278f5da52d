"""`Leased`: a provider around a provider whose calls spend what a coordinator lends."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from decimal import Decimal
from typing import Any, Final

from executionkit._dollars import ZERO
from executionkit.cost import counts_of
from executionkit.engine.relay import Relay
from executionkit.engine.request import Request, choices_of, default_max_tokens, likely_tokens, size_of
from executionkit.engine.tariff import Tariff, tariff_of
from executionkit.errors import RateLimitError, was_dispatched
from executionkit.many._cluster.leases import Amounts, Limit
from executionkit.many._cluster.pocket import Pocket
from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse
from executionkit.streaming import Finish, StreamEvent, Tally


class Leased(Relay):
    """A provider whose calls spend what is in a pocket.

    Args:
        provider: The provider inside.
        pocket: The pocket; several providers may share it.
    """

    def __init__(self, provider: LLMProvider, pocket: Pocket) -> None:
        super().__init__(provider)
        self._pocket = pocket
        self._tariff: Tariff | None = tariff_of(provider) if "usd" in pocket.limits else None

    async def complete(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        """Pass a call on when it can be paid for.

        Raises:
            BudgetExhaustedError: Nothing more is lent.
        """
        request = self._request(messages, max_tokens, tools, kwargs.get("n"), is_stream=False)
        taken = await self._pocket.take(self._need(request))
        spent: Amounts = {"llm_calls": Decimal(1)}
        try:
            reply = await self.provider.complete(
                messages,
                temperature=temperature,
                max_tokens=self._allowed(request, taken),
                tools=tools,
                **kwargs,
            )
            spent = self._spent(request, reply)
        except BaseException as exc:
            if not was_dispatched(exc):
                spent = {}
            elif isinstance(exc, RateLimitError):
                self._pocket.refused += 1
            raise
        finally:
            self._pocket.settle(taken, spent)
        return reply

    def open_stream(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        """Pass a streamed call on when it can be paid for."""
        request = self._request(messages, max_tokens, tools, kwargs.get("n"), is_stream=True)
        options = {"temperature": temperature, "tools": tools, **kwargs}
        return self._streamed(messages, request, options)

    @asynccontextmanager
    async def _streamed(
        self, messages: list[dict[str, Any]], request: Request, options: dict[str, Any]
    ) -> AsyncGenerator[AsyncIterator[StreamEvent], None]:
        taken = await self._pocket.take(self._need(request), is_stream=True)
        seen, is_sent = _Seen(size_of(request)[0]), True
        try:
            allowed = self._allowed(request, taken)
            inner = super().open_stream(messages, max_tokens=allowed, **options)
            async with inner as events, aclosing(seen.passing(events)) as passing:
                yield passing
        except BaseException as exc:
            is_sent = was_dispatched(exc)
            raise
        finally:
            spent = self._spent(request, seen.reply) if is_sent else {}
            self._pocket.settle(taken, spent, is_stream=True)

    def _request(
        self,
        messages: list[dict[str, Any]],
        max_tokens: int | None,
        tools: list[dict[str, Any]] | None,
        choices: object,
        *,
        is_stream: bool,
    ) -> Request:
        return Request(
            messages,
            tools,
            max_tokens,
            default_max_tokens(self.provider),
            choices_of(choices),
            is_stream,
        )

    def _need(self, request: Request) -> Amounts:
        """The most that a call may spend; of input tokens, which the server counts, the likely number."""
        if self._pocket.limits == {"llm_calls"}:
            return _ONE_CALL
        need: dict[Limit, Decimal] = {}
        size, parts = size_of(request)
        most = (request.max_tokens or request.default_max_tokens) * request.choices
        for limit in self._pocket.limits:
            if limit == "llm_calls":
                need[limit] = Decimal(1)
            elif limit == "output_tokens":
                need[limit] = Decimal(most)
            elif limit == "input_tokens":
                need[limit] = Decimal(max(1, likely_tokens(size, parts)))
            elif self._tariff is not None:
                need[limit] = self._tariff.at_most(likely_tokens(size, parts), most)
        return need

    def _allowed(self, request: Request, taken: Amounts) -> int | None:
        """The `max_tokens` of a call: lower where a budget on them is nearly spent."""
        most = request.max_tokens or request.default_max_tokens
        lowered = most
        if "output_tokens" in taken:
            lowered = min(lowered, int(taken["output_tokens"]) // request.choices)
        if self._tariff is not None:
            prompt = likely_tokens(*size_of(request))
            bought = self._tariff.buys(taken["usd"], prompt, lowered * request.choices)
            lowered = bought // request.choices
        if lowered < 1:
            raise self._pocket.refusal()
        return request.max_tokens if lowered == most else lowered

    def _spent(self, request: Request, reply: LLMResponse) -> Amounts:
        spent: dict[Limit, Decimal] = {}
        told_in, told_out, estimated_in, estimated_out = counts_of(reply)
        prompt = likely_tokens(*size_of(request)) if told_in is None and len(self._pocket.limits) > 1 else 0
        for limit in self._pocket.limits:
            if limit == "llm_calls":
                spent[limit] = Decimal(1)
            elif limit == "output_tokens":
                spent[limit] = Decimal((told_out or 0) + estimated_out)
            elif limit == "input_tokens":
                spent[limit] = Decimal(max((told_in or 0) + estimated_in, prompt))
            elif self._tariff is not None:
                spent[limit] = self._tariff.price(reply, prompt) or ZERO
        return spent


_ONE_CALL: Final[dict[Limit, Decimal]] = {"llm_calls": Decimal(1)}


class _Seen:
    """What a stream has brought so far."""

    def __init__(self, prompt_bytes: int) -> None:
        self._prompt_bytes = prompt_bytes
        self._tally = Tally()
        self._whole: LLMResponse | None = None

    async def passing(self, events: AsyncIterator[StreamEvent]) -> AsyncGenerator[StreamEvent, None]:
        async for event in events:
            if isinstance(event, Finish):
                self._whole = event.response
            else:
                self._tally.add(event)
            yield event

    @property
    def reply(self) -> LLMResponse:
        return self._whole or self._tally.partial(self._prompt_bytes)
