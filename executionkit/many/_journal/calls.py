"""`Recorder` writes down what is sent and what comes; `Replayer` answers from what was written down."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from decimal import Decimal
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeAlias

from executionkit.engine.relay import Relay, innermost
from executionkit.engine.request import choices_of, default_max_tokens
from executionkit.engine.tariff import BrokenPricesError, Tariff, tariff_of
from executionkit.errors import JournalError, mark_not_dispatched, mark_spent, spent_of, was_dispatched
from executionkit.many._journal.book import Book
from executionkit.many._journal.format import request_digest, request_text
from executionkit.many._journal.journal import Journal, book_of
from executionkit.many._journal.load import Kept
from executionkit.many._journal.scope import NUMBER, Scope, row_of
from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse
from executionkit.streaming import BYTES_PER_TOKEN, Finish, StreamEvent, Tally, events_of
from executionkit.types import TokenUsage


class _Request(NamedTuple):
    """A request, and its text: to write it twice for each call would be felt in a job of many rows."""

    messages: object
    temperature: object
    tools: object
    options: object
    text: str


_REQUEST: ContextVar[_Request | None] = ContextVar("executionkit_request", default=None)
"""The request that a replayer has not answered, while it is on its way to the recorder."""

_Streamed: TypeAlias = AbstractAsyncContextManager[AsyncIterator[StreamEvent]]


def _row_in(book: Book) -> Scope[Kept]:
    return row_of(book) or book.scope()


class JournalRelay(Relay):
    """A relay with a journal: it knows each request by its digest.

    Args:
        provider: The provider inside.
        journal: The journal.
    """

    def __init__(self, provider: LLMProvider, journal: Journal) -> None:
        super().__init__(provider)
        if not isinstance(journal, Journal):
            raise TypeError(f"{type(self).__name__}: journal must be a Journal, got {type(journal).__name__}")
        self._book = book_of(journal)
        self._identity: str | None = None

    def _row(self) -> Scope[Kept]:
        return _row_in(self._book)

    def _request(self, messages: object, temperature: object, tools: object, options: object) -> str:
        """The text of a request, in which another model or server is another request."""
        known = _REQUEST.get()
        if known is not None and known.messages is messages and known[1:4] == (temperature, tools, options):
            return known.text
        if self._identity is None:
            self._book.open_for(innermost(self.provider))
            self._identity = self._book.identity_of(innermost(self.provider))
        return request_text(self._identity, messages, temperature, tools, options)


class JournalReplies:
    """The replies that a replayer answers the calls of a row with; see `Run`.

    Args:
        book: What is in the journal.
    """

    def __init__(self, book: Book) -> None:
        self._book = book

    @property
    def left(self) -> int:
        """How many are there for the row that is worked on here."""
        return _row_in(self._book).left

    def has(
        self, provider: LLMProvider, messages: object, temperature: object, tools: object, options: object
    ) -> bool:
        """Whether one of them answers such a call to a provider."""
        identity = self._book.identity_of(innermost(provider))
        text = request_text(identity, messages, temperature, tools, options)
        return _row_in(self._book).has_reply(request_digest(text))


class Replayer(JournalRelay):
    """Answers from the journal where that has a reply that no other request has got, else passes the call on.

    Equal requests of one row are exchangeable: of five equal ones, each gets another reply, in any order.
    `max_tokens` does not tell requests apart, because a budget that is nearly spent lowers it. The reply has
    no `raw` but the message that goes back to the server in the next turn, and no headers but a price.

    Args:
        provider: The provider inside.
        journal: The journal.

    Raises:
        TypeError: `provider` has no `complete`, or `journal` is no Journal.
    """

    async def complete(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        """Answer from the journal, or pass the call on; see `LLMProvider.complete`."""
        text = self._request(messages, temperature, tools, kwargs)
        kept = self._row().next_reply(request_digest(text))
        if kept is not None:
            return self._book.reply_at(kept)
        token = _REQUEST.set(_Request(messages, temperature, tools, kwargs, text))
        try:
            return await self.provider.complete(
                messages, temperature=temperature, max_tokens=max_tokens, tools=tools, **kwargs
            )
        finally:
            _REQUEST.reset(token)

    def open_stream(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> _Streamed:
        """Answer from the journal, each text in one piece, or pass the call on."""

        def entered() -> _Streamed | LLMResponse:
            text = self._request(messages, temperature, tools, kwargs)
            kept = self._row().next_reply(request_digest(text))
            if kept is not None:
                return self._book.reply_at(kept)
            return super(Replayer, self).open_stream(
                messages, temperature=temperature, max_tokens=max_tokens, tools=tools, **kwargs
            )

        return _ReplayedStream(entered)


class _ReplayedStream(_Streamed):
    """A stream that is looked for in the journal when it is entered."""

    def __init__(self, entered: Callable[[], _Streamed | LLMResponse]) -> None:
        self._entered = entered
        self._inner: _Streamed | None = None

    async def __aenter__(self) -> AsyncIterator[StreamEvent]:
        found = self._entered()
        if isinstance(found, LLMResponse):
            return GivenEvents(found)
        self._inner = found
        return await found.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return None if self._inner is None else await self._inner.__aexit__(kind, exc, traceback)


class GivenEvents(AsyncIterator[StreamEvent]):
    """The events of a reply that is there."""

    def __init__(self, reply: LLMResponse) -> None:
        self._events = events_of(reply)

    async def __anext__(self) -> StreamEvent:
        event = next(self._events, None)
        if event is None:
            raise StopAsyncIteration
        return event


class Recorder(JournalRelay):
    """Writes into the journal what is sent, before it is sent, and what came of it, before it is handed on.

    A call that fails, or is cancelled, frees its number: the next equal request takes it. A reply that can't
    be written is not handed on: the call fails by a JournalError, with the reply's cost.

    A stream is written at its end, before `Finish` is handed on. One that breaks off, or is left early, is
    written as a failure, with the tokens that came.

    Args:
        provider: The provider inside.
        journal: The journal.

    Raises:
        TypeError: `provider` has no `complete`, or `journal` is no Journal.
    """

    def __init__(self, provider: LLMProvider, journal: Journal) -> None:
        super().__init__(provider, journal)
        self._tariff: Tariff | None = tariff_of(innermost(provider))

    def _begin(
        self,
        messages: object,
        temperature: object,
        max_tokens: int | None,
        tools: object,
        options: dict[str, Any],
    ) -> "Sent":
        """Write that a request is about to be sent."""
        text = self._request(messages, temperature, tools, options)
        if max_tokens is None:
            max_tokens = default_max_tokens(self.provider)
        most = max_tokens * choices_of(options.get("n"))
        row, request = self._row(), request_digest(text)
        prompt, n = len(text) // BYTES_PER_TOKEN, row.take(request)
        sent = Sent(self._book, row, request, n, prompt, most, self._tariff)
        try:
            self._book.write_sent(row.row_json, request, sent.n, (sent.prompt_tokens, most))
        except BaseException as exc:
            row.give_back(request, sent.n)
            mark_not_dispatched(exc)
            raise
        return sent

    async def complete(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        """Pass a call on, and write it down; see `LLMProvider.complete`."""
        sent = self._begin(messages, temperature, max_tokens, tools, kwargs)
        token = NUMBER.set(sent.n)
        try:
            reply = await self.provider.complete(
                messages, temperature=temperature, max_tokens=max_tokens, tools=tools, **kwargs
            )
            if not isinstance(reply, LLMResponse):
                raise TypeError(
                    f"`complete` must return an LLMResponse, the provider gave {type(reply).__name__}"
                )
        except BaseException as exc:
            sent.failed(exc)
            raise
        finally:
            NUMBER.reset(token)
        await sent.answered(reply)
        return reply

    def open_stream(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> _Streamed:
        """Pass a streamed call on, and write it down when it ends."""
        inner = super().open_stream(
            messages, temperature=temperature, max_tokens=max_tokens, tools=tools, **kwargs
        )
        return _RecordedStream(inner, lambda: self._begin(messages, temperature, max_tokens, tools, kwargs))


class Sent:
    """A request that was sent, until its outcome is written.

    Args:
        book: The journal.
        row: The row it belongs to.
        request: Its digest.
        n: Its number among equal ones.
        prompt_tokens: An estimate of its prompt.
        most: The most tokens that its reply may have.
        tariff: The prices of the provider, if it has any.
    """

    __slots__ = ("_book", "_most", "_request", "_row", "_tariff", "n", "prompt_tokens")

    def __init__(
        self,
        book: Book,
        row: Scope[Kept],
        request: str,
        n: int,
        prompt_tokens: int,
        most: int,
        tariff: Tariff | None,
    ) -> None:
        self._book = book
        self._row = row
        self._request = request
        self.n = n
        self.prompt_tokens = prompt_tokens
        self._most = most
        self._tariff = tariff

    async def answered(self, reply: LLMResponse) -> None:
        """Write the reply, and wait until it is on the disk.

        That a cache gave it is written as a request that was not sent: the cache is asked again next time.
        """
        if reply.is_from_cache:
            self._book.write_failure(
                self._row.row_json, self._request, self.n, _FromCache(), None, dispatched=False
            )
            return
        try:
            self._book.write_reply(self._row.row_json, self._request, self.n, reply, self._price(reply))
            await self._book.commit()
        except BaseException as exc:  # a cancelled task's as well: the reply is in the journal
            mark_spent(exc, reply)
            raise

    def failed(self, exc: BaseException, reply: LLMResponse | None = None, *, is_cut: bool = False) -> None:
        """Write that no whole reply came, with what did.

        Args:
            exc: Why.
            reply: The part that came.
            is_cut: Whether it was cut off. A reply to a call that was cancelled always is.
        """
        self._row.give_back(self._request, self.n)
        reply = reply or spent_of(exc)
        spent = None
        if reply is not None:
            spent = TokenUsage(reply.input_tokens, reply.output_tokens, usd=self._price(reply))
        is_sent = was_dispatched(exc)
        cut = None
        if is_sent and (is_cut or not isinstance(exc, Exception)):
            # The server may have written, and bill, more than has arrived: as after a kill.
            known = spent or TokenUsage()
            inputs, outputs = self.prompt_tokens - known.input_tokens, self._most - known.output_tokens
            cut = TokenUsage(max(0, inputs), max(0, outputs))
            # What a stream may have cost beyond what came, the run has assumed already.
            self._row.note_cut(TokenUsage() if is_cut else cut)
        try:
            self._book.write_failure(
                self._row.row_json, self._request, self.n, exc, spent, dispatched=is_sent, cut=cut
            )
        except JournalError:
            if isinstance(exc, Exception):
                raise
            # A cancelled task must end; whoever writes next is told, and the request counts as sent.

    def _price(self, reply: LLMResponse) -> Decimal | None:
        if self._tariff is None:
            return reply.reported_usd
        try:
            return self._tariff.price(reply, self.prompt_tokens) if self._tariff.is_ready else None
        except BrokenPricesError:
            return None  # the run around says so


class _FromCache(Exception):  # noqa: N818 - it stands in the journal under this name
    """A cache gave the reply."""


class _LeftEarly(Exception):  # noqa: N818 - it stands in the journal under this name
    """A stream was left before its end."""


class _RecordedStream(_Streamed, AsyncIterator[StreamEvent]):
    """A stream whose end is written down."""

    def __init__(self, inner: _Streamed, begin: Callable[[], "Sent"]) -> None:
        self._inner = inner
        self._begin = begin
        self._sent: Sent | None = None
        self._tally = Tally()
        self._events: AsyncIterator[StreamEvent] | None = None

    async def __aenter__(self) -> Self:
        self._sent = self._begin()
        token = NUMBER.set(self._sent.n)
        try:
            self._events = aiter(await self._inner.__aenter__())
        except BaseException as exc:
            self._end(exc, is_begun=False)
            raise
        finally:
            NUMBER.reset(token)
        return self

    async def __anext__(self) -> StreamEvent:
        if self._events is None:
            raise RuntimeError("the stream was not entered")
        try:
            event = await anext(self._events)
        except StopAsyncIteration:
            raise
        except BaseException as exc:
            self._end(exc)
            raise
        self._tally.add(event)
        if isinstance(event, Finish):
            sent, self._sent = self._sent, None
            if sent is not None:
                await sent.answered(event.response)
        return event

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        try:
            return await self._inner.__aexit__(kind, exc, traceback)
        finally:
            self._end(exc or _LeftEarly())

    def _end(self, exc: BaseException, *, is_begun: bool = True) -> None:
        sent, self._sent = self._sent, None
        if sent is not None:
            partial = self._tally.partial(sent.prompt_tokens * BYTES_PER_TOKEN) if is_begun else None
            sent.failed(exc, partial, is_cut=is_begun)
