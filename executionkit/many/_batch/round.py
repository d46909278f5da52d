"""`Round`: one run of a job that writes down what it would have to ask."""

import contextlib
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, TypeVar

from executionkit._json import an_object, loads
from executionkit.engine.parallel import Suspended
from executionkit.engine.relay import innermost
from executionkit.engine.request import choices_of, default_max_tokens
from executionkit.engine.tariff import NoPriceError, tariff_of
from executionkit.engine.watch import where
from executionkit.errors import BudgetExhaustedError, PermanentError, mark_spent
from executionkit.many._batch.lines import Key
from executionkit.many._batch.out import BatchFile, Out
from executionkit.many._batch.results import BatchWritten
from executionkit.many._batch.slips import Slip, Slips
from executionkit.many._job import Job
from executionkit.many._journal.calls import JournalRelay
from executionkit.many._journal.format import request_digest
from executionkit.many._journal.journal import Journal
from executionkit.many._results import ManyResult
from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse
from executionkit.streaming import BYTES_PER_TOKEN, StreamEvent

Row = TypeVar("Row")
T = TypeVar("T")


class Sheet:
    """The requests of one round.

    Args:
        journal: The journal.
        out: Where they go.
    """

    def __init__(self, journal: Journal, out: Out) -> None:
        self._journal = journal
        self._out = out
        self._slips: Slips | None = None

    @property
    def files(self) -> tuple[BatchFile, ...]:
        """The files that are whole."""
        return tuple(self._out.files)

    def _known(self) -> Slips:
        """What the journal knows of batches; read when a request is first looked for, behind its lock."""
        if self._slips is None:
            self._slips = Slips.load(self._journal.path, self._journal.version)
            self._out.recover(self._slips.waiting.values())
        return self._slips

    def ask(
        self, provider: LLMProvider, key: Key, call: Mapping[str, Any], prompt_tokens: int
    ) -> BaseException:
        """Write a request, unless it waits already, or has failed; returns what to raise."""
        slips = self._known()
        name = slips.name(key)
        if (failure := slips.failure(name)) is not None:
            return failure
        if name not in slips.waiting:
            if (body_of := getattr(provider, "body_of", None)) is None:
                return PermanentError(f"write_batch: {no_body(provider)}", dispatched=False)
            body: bytes = body_of(**call)
            model, base_url = where(provider)
            slip = Slip(key, _choices(body), model or "", "")
            slips.add(name, self._out.add(name, body, slip, base_url=base_url or ""))
        return self._suspended(provider, call, prompt_tokens)

    def _suspended(self, provider: LLMProvider, call: Mapping[str, Any], prompt_tokens: int) -> Suspended:
        """What to raise for a request that waits: it counts with the most that it may come to."""
        most = call["max_tokens"] or default_max_tokens(provider)
        most *= choices_of(call.get("n"))
        usage: dict[str, Any] = {"prompt_tokens": prompt_tokens, "completion_tokens": most}
        tariff = tariff_of(provider)
        if tariff is not None and tariff.is_ready:
            with contextlib.suppress(NoPriceError):
                usage["cost"] = str(tariff.at_most(prompt_tokens, most))
        suspended = Suspended()
        mark_spent(suspended, LLMResponse("", usage=usage))
        return suspended

    def finish(self, job: "Job[Any, Any]") -> BatchWritten:
        """Finish the files."""
        self._out.close()
        ends = job.ends
        requests = sum(file.requests for file in self.files)
        waiting = len(self._known().waiting) - requests
        return BatchWritten(self.files, requests, waiting, ends.done, ends.failed, ends.open)

    def drop(self) -> None:
        """Remove the files that are not whole."""
        self._out.drop()


class Round(Job[Row, T]):
    """A job that writes down what it would have to ask.

    Attributes:
        written: What was written.
    """

    written = BatchWritten()
    writes_batches = True
    _sheet: Sheet

    async def run_for(self, sheet: Sheet) -> None:
        """Work on all rows, and finish the sheet while the journal is still open."""
        self._sheet = sheet
        await self.run()

    async def _run_all(self) -> ManyResult:
        try:
            result = await super()._run_all()
        except BudgetExhaustedError:
            self.written = self._sheet.finish(self)
            raise
        self.written = self._sheet.finish(self)
        return result


class Collector(JournalRelay):
    """Stands where calls would go out, and has each request written down.

    Args:
        provider: The provider inside.
        journal: The journal.
        sheet: Where requests go.
    """

    def __init__(self, provider: LLMProvider, journal: Journal, sheet: Sheet) -> None:
        super().__init__(provider, journal)
        self._sheet = sheet

    async def complete(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        """Write the request down; it always raises."""
        text = self._request(messages, temperature, tools, kwargs)
        row, request = self._row(), request_digest(text)
        call = {"messages": messages, "temperature": temperature, "max_tokens": max_tokens, "tools": tools}
        key = Key(row.row, request, row.take(request))
        raise self._sheet.ask(innermost(self.provider), key, call | kwargs, len(text) // BYTES_PER_TOKEN)

    def open_stream(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        """Write the request down when the stream is entered, as one for a whole reply."""
        return _NoStream(
            self.complete(messages, temperature=temperature, max_tokens=max_tokens, tools=tools, **kwargs)
        )


class _NoStream(AbstractAsyncContextManager[AsyncIterator[StreamEvent]]):
    """A stream that can't be entered.

    Args:
        asked: Raises why.
    """

    def __init__(self, asked: Coroutine[Any, Any, LLMResponse]) -> None:
        self._asked = asked

    async def __aenter__(self) -> AsyncIterator[StreamEvent]:
        await self._asked
        raise AssertionError("a request was answered that can only be written")  # pragma: no cover

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._asked.close()


def _choices(body: bytes) -> int:
    """How many choices a request asks for."""
    if b'"n":' not in body:
        return 1
    return choices_of((an_object(loads(body)) or {}).get("n"))


def no_body(provider: object) -> str:
    return (
        f"{type(provider).__name__} can't say what it would send: it needs a method "
        "`body_of(messages, *, temperature, max_tokens, tools, **kwargs) -> bytes`, as Provider has"
    )
