"""Batch files: what a journal lacks, written for a batch service; and its answers, read back."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, TypeVar

from executionkit import _checks as checks
from executionkit._blocking import blocking
from executionkit._display import Brief
from executionkit._display._line import counted, number
from executionkit._dollars import EXACT
from executionkit._genai_prices import GENAI
from executionkit._json import an_object, loads
from executionkit.engine.bill import add_note
from executionkit.engine.dealing import Dealer
from executionkit.engine.parallel import Suspended
from executionkit.engine.relay import innermost
from executionkit.engine.retry import RetryConfig
from executionkit.engine.run import Run
from executionkit.engine.tariff import NoPriceError, Tariff, tariff_of
from executionkit.engine.watch import where
from executionkit.errors import (
    BudgetExhaustedError,
    JournalError,
    LLMError,
    PermanentError,
    mark_spent,
    spent_of,
)
from executionkit.many._batch.lines import (
    URL,
    Key,
    NotRun,
    ResponseLine,
    Responses,
    failure_facts,
    response_lines,
)
from executionkit.many._batch.out import BatchFile, Out
from executionkit.many._batch.slips import FAILED, FORGOTTEN, LATE, Slip, Slips, ended_line, last_version
from executionkit.many._job import Job, Step
from executionkit.many._journal.calls import JournalRelay
from executionkit.many._journal.format import quoted, request_digest
from executionkit.many._journal.journal import Journal
from executionkit.many._results import ManyResult
from executionkit.many._rows import IdOf
from executionkit.prices import Prices
from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse
from executionkit.streaming import BYTES_PER_TOKEN, StreamEvent
from executionkit.types import TokenUsage

Row = TypeVar("Row")
T = TypeVar("T")

MAX_REQUESTS: Final = 50_000
MAX_BYTES: Final = 200_000_000

_ONCE: Final = RetryConfig(max_retries=0)
_MAX_TOKENS: Final = 4096


@dataclass(frozen=True, repr=False)
class BatchWritten(Brief):
    """What `write_batch` wrote, and how far the job is.

    Attributes:
        files: The new files. Each is to be given to the batch service once.
        requests: How many requests they have in all.
        waiting: How many requests of earlier files have no response yet. They were not written again.
        done: How many rows have a value.
        failed: How many rows failed.
        open: How many rows need responses that are not there.
    """

    files: tuple[BatchFile, ...] = ()
    requests: int = 0
    waiting: int = 0
    done: int = 0
    failed: int = 0
    open: int = 0

    @property
    def rows(self) -> int:
        """How many rows were looked at: `done + failed + open`."""
        return self.done + self.failed + self.open

    @property
    def is_complete(self) -> bool:
        """Whether no row needs a response any more: `run_many` gives the values without a call."""
        return not self.open

    def __str__(self) -> str:
        rows = f"{counted(self.rows, 'row')}: {number(self.done)} done, {number(self.failed)} failed"
        names = ", ".join(file.path.name for file in self.files) or "no file"
        waiting = f", {number(self.waiting)} wait for a response" if self.waiting else ""
        return f"{rows}, {number(self.open)} open; {counted(self.requests, 'request')} in {names}{waiting}"


@dataclass(frozen=True, repr=False)
class BatchRead(Brief):
    """What `read_batch` found in the output of a batch.

    Attributes:
        replies: How many replies are in the journal now.
        failed: How many requests failed. One that failed for good fails its row at the next `write_batch`;
            others are written again.
        not_run: How many requests the service did not carry out: they expired, or the batch was cancelled.
            They cost nothing, and are written again.
        late: How many replies came when their requests had been answered in another way, or their rows were
            done. They are paid for, so they count, and they are not kept.
        repeated: Lines for requests that had a response before. They were passed over.
        unknown: Lines for requests that are not of this journal. They were passed over.
        broken: Lines that can't be read, such as the last one of a file that was cut off.
        waiting: How many requests have no response yet.
        cost: What the replies cost, at `price_share` of the prices.
    """

    replies: int = 0
    failed: int = 0
    not_run: int = 0
    late: int = 0
    repeated: int = 0
    unknown: int = 0
    broken: int = 0
    waiting: int = 0
    cost: TokenUsage = field(default_factory=TokenUsage)

    def __str__(self) -> str:
        counts = {
            "failed": self.failed,
            "not carried out": self.not_run,
            "too late": self.late,
            "there before": self.repeated,
            "of no known request": self.unknown,
            "broken": self.broken,
            "still waiting": self.waiting,
        }
        parts = [
            f"{number(self.replies)} {'reply' if self.replies == 1 else 'replies'}",
            *(f"{number(n)} {what}" for what, n in counts.items() if n),
        ]
        return f"{', '.join(parts)}; {self.cost}"


async def write_batch(
    provider: LLMProvider,
    rows: Iterable[Row] | AsyncIterable[Row],
    step: Step[Row, T],
    *,
    journal: Journal | str | Path,
    out: str | Path,
    id: IdOf[Row] = None,  # noqa: A002 - as in `run_many`
    shard: tuple[int, int] | None = None,
    max_cost: TokenUsage | None = None,
    retry_failed: bool = True,
    max_requests: int = MAX_REQUESTS,
    max_bytes: int = MAX_BYTES,
    url: str = URL,
) -> BatchWritten:
    """Write the requests that the journal has no replies to, as files for a batch service. It calls no model.

    The step is run for each row, with the replies that are in the journal. Where one is missing, the request
    is written down, and what needs its reply is left for the next round; all that does not need it goes on.
    So a round brings all requests that don't depend on each other: all samples of a vote, all parts of a
    `map_reduce`. Tools that the model asked for are run in between, and the journal keeps what came of them.

    Give the files to the service, read its output with `read_batch`, and write again, until `is_complete`.
    Then `run_many` with the same journal gives the values. A row is written to the journal when it is done.

    A request that was written is not written again before its response was read, or before `forget_batch`.
    One that failed for good is raised in its row, as it would be by `run_many`. Others are written again:
    those that were refused for a limit as often as it takes, the rest up to 4 times.

    No file is overwritten. Where `out` is there, or is full, and for each further model, the next free name
    is taken: `requests-2.jsonl`.

    Example:
        ```python
        from pathlib import Path
        from tempfile import TemporaryDirectory

        from executionkit import Provider, consensus
        from executionkit.many import write_batch


        async def label(provider, review):
            return await consensus(provider, f"Good or bad? {review}", num_samples=5)


        provider = Provider("http://localhost:8000/v1", "my-model")
        with TemporaryDirectory() as folder:
            written = await write_batch(
                provider,
                ["I love it!", "Broke at once."],
                label,
                journal=Path(folder, "labels.jsonl"),
                out=Path(folder, "requests.jsonl"),
            )
            assert (written.requests, written.open) == (10, 2)
        ```

    Args:
        provider: The model's provider: a `Provider`, or another one that has its method `body_of`.
        rows: As in `run_many`.
        step: As in `run_many`.
        journal: The journal, or its path.
        out: The path of the file.
        id: As in `run_many`.
        shard: As in `run_many`.
        max_cost: The ceiling of the whole job, of all rounds. A request that waits counts as one call, with
            the most tokens that it may come to, at the usual price.
        retry_failed: Whether rows are worked on that failed before.
        max_requests: The most requests of a file.
        max_bytes: The most bytes of a file.
        url: The `url` of each line. Azure's is "/chat/completions".

    Raises:
        ValueError: An argument can't be used.
        TypeError: The provider can't say what it would send.
        BudgetExhaustedError: `max_cost` can't pay for all requests. Those that it can pay for are in files:
            `.metadata["batch"]` is the `BatchWritten`.
        JournalError: The journal can't be used.

    An error other than a spent budget leaves no file that is not whole. The note on it names those that are.
    """
    checks.provider("write_batch", provider)
    _check_providers(provider)
    checks.at_least(1, max_requests=max_requests, max_bytes=max_bytes)
    path = Path(out)
    if not path.parent.is_dir():
        raise ValueError(f"out is in {str(path.parent)!r}, which is no directory")
    given = journal if isinstance(journal, Journal) else Journal(journal)
    files = Out(path, given, max_requests=max_requests, max_bytes=max_bytes, url=url)
    sheet = _Sheet(given, files)
    job = _Round(
        "write_batch",
        provider,
        rows,
        step,
        id=id,
        journal=given,
        max_cost=max_cost,
        retry=_ONCE,
        retry_failed=retry_failed,
        shard=shard,
        inside=lambda target: _Collector(target, given, sheet),
    )
    try:
        await job.run_for(sheet)
    except BudgetExhaustedError as exc:
        exc.metadata["batch"] = job.written
        add_note(exc, f"write_batch: {job.written}")
        raise
    except BaseException as exc:
        if sheet.files:
            names = ", ".join(file.path.name for file in sheet.files)
            add_note(exc, f"write_batch: {names} had been finished; their requests wait for a response")
        raise
    finally:
        sheet.drop()
    return job.written


class _Sheet:
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
                return PermanentError(f"write_batch: {_no_body(provider)}", dispatched=False)
            body: bytes = body_of(**call)
            model, base_url = where(provider)
            slip = Slip(key, _choices(body), model or "", "")
            slips.add(name, self._out.add(name, body, slip, base_url=base_url or ""))
        return self._suspended(provider, call, prompt_tokens)

    def _suspended(self, provider: LLMProvider, call: Mapping[str, Any], prompt_tokens: int) -> Suspended:
        """What to raise for a request that waits: it counts with the most that it may come to."""
        most = call["max_tokens"]
        if most is None:
            default = getattr(provider, "default_max_tokens", None)
            most = default if isinstance(default, int) and default > 0 else _MAX_TOKENS
        choices = call.get("n")
        most *= choices if type(choices) is int and choices > 1 else 1
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
        requests = sum(file.requests for file in self.files)
        waiting = len(self._known().waiting) - requests
        return BatchWritten(self.files, requests, waiting, job.done, job.failed, job.open)

    def drop(self) -> None:
        """Remove the files that are not whole."""
        self._out.drop()


class _Round(Job[Row, T]):
    """A job that writes down what it would have to ask.

    Attributes:
        written: What was written.
    """

    written = BatchWritten()
    _sheet: _Sheet

    async def run_for(self, sheet: _Sheet) -> None:
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


class _Collector(JournalRelay):
    """Stands where calls would go out, and has each request written down.

    Args:
        provider: The provider inside.
        journal: The journal.
        sheet: Where requests go.
    """

    def __init__(self, provider: LLMProvider, journal: Journal, sheet: _Sheet) -> None:
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


def read_batch(
    journal: Journal | str | Path,
    responses: Responses,
    *,
    prices: Prices | None = None,
    price_share: float = 0.5,
) -> BatchRead:
    """Read the output of a batch into the journal.

    The lines may come in any order, from several files, and again. Give the file of errors too. Lines of
    other journals, and lines that were cut off, are counted and passed over. A line is read as `Provider`
    reads a reply.

    Example:
        ```python
        from pathlib import Path
        from tempfile import TemporaryDirectory

        from executionkit import Provider, consensus
        from executionkit.many import read_batch, write_batch
        from executionkit.testing import LocalEndpoint, run_batch


        async def label(provider, review):
            return await consensus(provider, f"Good or bad? {review}", num_samples=5)


        with TemporaryDirectory() as folder, LocalEndpoint(["good"]) as endpoint:
            provider = Provider(endpoint.base_url, "my-model")
            journal, out = Path(folder, "labels.jsonl"), Path(folder, "requests.jsonl")
            await write_batch(provider, ["I love it!"], label, journal=journal, out=out)
            # In your program: give the file to the service, and fetch its output.
            run_batch(endpoint.base_url, out, Path(folder, "responses.jsonl"))
            read = read_batch(journal, Path(folder, "responses.jsonl"))
            assert (read.replies, read.waiting) == (5, 0)
        ```

    Args:
        journal: The journal that `write_batch` had, or its path. Nobody else may be writing it.
        responses: The path of the output; or an iterable of paths; or one of lines, such as
            `client.files.content(batch.output_file_id).iter_lines()`.
        prices: What replies usually cost, as the `prices` of a `Provider`. Then each reply has its price, at
            `price_share`, and that is what it counts with in results and under ceilings in dollars. Where the
            service reports a price itself, that one is taken.
        price_share: What the service asks of the usual price.

    Raises:
        JournalError: The journal can't be used.
        OSError: A file can't be read. What was read before is in the journal, and may be read again.
    """
    checks.between(0.0, 1.0, price_share=price_share)
    given = journal if isinstance(journal, Journal) else None
    slips, opened = _opened(journal)
    intake = _Intake(opened, slips, prices, price_share)
    try:
        for text in response_lines(responses):
            intake.take(text)
        opened.flush()
        return intake.result()
    finally:
        if opened is not given:
            opened.close()


def forget_batch(journal: Journal | str | Path, requests: str | Path | None = None) -> int:
    """Have requests written again whose batch failed, or was never given to the service.

    Only do so when the service will not answer them any more: what it does answer is paid for. A response
    that comes all the same can still be read.

    Example:
        ```python
        from pathlib import Path
        from tempfile import TemporaryDirectory

        from executionkit import Provider, consensus
        from executionkit.many import forget_batch, write_batch

        provider = Provider("http://localhost:8000/v1", "my-model")
        with TemporaryDirectory() as folder:
            journal, out = Path(folder, "labels.jsonl"), Path(folder, "requests.jsonl")
            await write_batch(provider, ["Hello"], consensus, journal=journal, out=out)
            assert forget_batch(journal, out) == 5
        ```

    Args:
        journal: The journal, or its path. Nobody else may be writing it.
        requests: The batch file, or its name. Defaults to all that wait for a response.

    Returns:
        How many requests were forgotten.

    Raises:
        ValueError: No request of that file waits.
        JournalError: The journal can't be used.
    """
    slips, opened = _opened(journal)
    try:
        name = None if requests is None else Path(requests).name
        chosen = [each for each, slip in slips.waiting.items() if name in (None, slip.file)]
        if name is not None and not chosen:
            there = sorted({slip.file for slip in slips.waiting.values()})
            raise ValueError(f"no request of {name!r} waits; those that do are in {there}")
        for each in chosen:
            opened.append(ended_line(each, slips.waiting[each], FORGOTTEN))
        opened.flush()
        return len(chosen)
    finally:
        if opened is not journal:
            opened.close()


def _opened(journal: Journal | str | Path) -> tuple[Slips, Journal]:
    """A journal that is open for writing, and what it knows of batches."""
    if isinstance(journal, Journal):
        opened = journal
    else:
        try:
            opened = Journal(journal, version=last_version(Path(journal)))
        except OSError as error:
            raise JournalError(f"{journal}: can't be read ({error.strerror})") from error
    opened.reopen()
    try:
        return Slips.load(opened.path, opened.version), opened
    except BaseException:
        if opened is not journal:
            opened.close()
        raise


class _Intake:
    """Takes the lines of a batch's output into a journal.

    Args:
        journal: The journal, open.
        slips: The requests that wait.
        prices: As in `read_batch`.
        price_share: As in `read_batch`.
    """

    def __init__(self, journal: Journal, slips: Slips, prices: Prices | None, price_share: float) -> None:
        self._journal = journal
        self._slips = slips
        self._prices: Prices | None = prices
        self._share = Decimal(str(price_share))
        self._tariffs: dict[str, Tariff | None] = {}
        self._counts: Counter[str] = Counter()
        self._cost = TokenUsage()

    def take(self, text: str | bytes) -> None:
        """Take a line."""
        line = ResponseLine.of(text)
        if line is None:
            self._counts["broken"] += 1
            return
        slip = self._slips.waiting.get(line.name) or self._slips.forgotten.get(line.name)
        if slip is None:
            self._counts["repeated" if line.name in self._slips.ended else "unknown"] += 1
            return
        outcome = line.outcome(source="the batch", model=slip.model, choices=slip.choices)
        name, key, row = line.name, slip.key, quoted(slip.key.row)
        if isinstance(outcome, NotRun):
            self._end(name, slip, outcome.code)
            self._counts["not_run"] += 1
            return
        self._journal.write_sent(row, key.request, key.n, (0, 0))
        if isinstance(outcome, LLMError):
            found = spent_of(outcome)
            spent = None if found is None else TokenUsage(found.input_tokens, found.output_tokens)
            self._journal.write_failure(row, key.request, key.n, outcome, spent, dispatched=True)
            self._end(name, slip, FAILED, failure_facts(outcome))
            self._counts["failed"] += 1
            return
        reply, usd = self._priced(outcome, slip.model)
        spent = TokenUsage(reply.input_tokens, reply.output_tokens, usd=usd)
        if self._is_late(key):
            self._journal.write_failure(row, key.request, key.n, _TooLate(), spent, dispatched=True)
            self._end(name, slip, LATE)
            self._counts["late"] += 1
        else:
            self._journal.write_reply(row, key.request, key.n, reply, usd, rest={"batch": name})
            self._slips.close(name)
            self._counts["replies"] += 1
        self._cost += replace(spent, llm_calls=1)

    def _end(self, name: str, slip: Slip, end: str, facts: Mapping[str, object] | None = None) -> None:
        self._journal.append(ended_line(name, slip, end, facts))
        self._slips.close(name)

    def _is_late(self, key: Key) -> bool:
        """Whether the request has been answered in another way, or its row is done."""
        there = self._journal.replies_of(key.row).get(key.request, ())
        return self._journal.is_done(key.row) or any(n == key.n for n, _ in there)

    def _priced(self, reply: LLMResponse, model: str) -> tuple[LLMResponse, Decimal | None]:
        """A reply with its price among its usage, so that it counts with that wherever it is replayed."""
        if (told := reply.reported_usd) is not None:
            return reply, told
        if model not in self._tariffs:
            self._tariffs[model] = tariff_of(_Account(self._prices, model, self._slips.base_url))
        tariff = self._tariffs[model]
        if tariff is None:
            return reply, None
        if not tariff.is_ready:
            GENAI.load()
        usd = tariff.price(reply, 0)
        if usd is None:
            return reply, None
        usd = EXACT.multiply(usd, self._share)
        return replace(reply, usage={**reply.usage, "cost": str(usd)}), usd

    def result(self) -> BatchRead:
        """What was found."""
        return BatchRead(**self._counts, waiting=len(self._slips.waiting), cost=self._cost)


class _TooLate(Exception):  # noqa: N818 - it stands in the journal under this name
    """A reply for which nobody waits any more."""


class _Account(NamedTuple):
    """What a tariff depends on, in the form of a provider."""

    prices: Prices | None
    model: str
    base_url: str


def _choices(body: bytes) -> int:
    """How many choices a request asks for."""
    if b'"n":' not in body:
        return 1
    found = (an_object(loads(body)) or {}).get("n")
    return found if type(found) is int and found > 1 else 1


def _check_providers(provider: LLMProvider) -> None:
    target = provider.innermost if isinstance(provider, Run) else innermost(provider)
    for each in target.members if isinstance(target, Dealer) else (target,):
        if not callable(getattr(each, "body_of", None)):
            raise TypeError(f"write_batch: {_no_body(each)}")


def _no_body(provider: object) -> str:
    return (
        f"{type(provider).__name__} can't say what it would send: it needs a method "
        "`body_of(messages, *, temperature, max_tokens, tools, **kwargs) -> bytes`, as Provider has"
    )


write_batch_sync: Final = blocking(write_batch, __name__)
