"""`write_batch`, `read_batch` and `forget_batch`: what a journal lacks, as files for a batch service."""

from collections.abc import AsyncIterable, Iterable
from pathlib import Path
from typing import Final, TypeVar

from executionkit import _checks as checks
from executionkit._blocking import blocking
from executionkit.engine.bill import add_note
from executionkit.engine.dealing import Dealer
from executionkit.engine.relay import innermost
from executionkit.engine.retry import RetryConfig
from executionkit.engine.run import Run
from executionkit.errors import BudgetExhaustedError, JournalError
from executionkit.many._batch.intake import Intake
from executionkit.many._batch.lines import URL, Responses, response_lines
from executionkit.many._batch.out import Out
from executionkit.many._batch.results import BatchRead, BatchWritten
from executionkit.many._batch.round import Collector, Round, Sheet, no_body
from executionkit.many._batch.slips import FORGOTTEN, Slips, ended_line, last_version
from executionkit.many._journal.book import Book
from executionkit.many._journal.journal import Journal, book_of
from executionkit.many._rows import IdOf
from executionkit.many._step import Step
from executionkit.prices import Prices
from executionkit.protocols import LLMProvider
from executionkit.types import TokenUsage

Row = TypeVar("Row")
T = TypeVar("T")

MAX_REQUESTS: Final = 50_000
MAX_BYTES: Final = 200_000_000

_ONCE: Final = RetryConfig(max_retries=0)


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
    files = Out(path, book_of(given), max_requests=max_requests, max_bytes=max_bytes, url=url)
    sheet = Sheet(given, files)
    job = Round(
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
        inside=lambda target: Collector(target, given, sheet),
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
        journal: The journal that `write_batch` had, or its path. No other process may be writing it.
        responses: The path of the output; or an iterable of paths; or one of lines, such as
            `client.files.content(batch.output_file_id).iter_lines()`.
        prices: What replies usually cost, as the `prices` of a `Provider`. Then each reply has its price, at
            `price_share`, and that is what it counts with in results and under ceilings in dollars. Where the
            service reports a price itself, that one is taken.
        price_share: What the service asks of the usual price.

    Raises:
        JournalError: The journal can't be used.
        OSError: A file can't be read. The lines before are in the journal, and may be read again.
    """
    checks.between(0.0, 1.0, price_share=price_share)
    slips, book = _opened(journal)
    intake = Intake(book, slips, prices, price_share)
    try:
        for text in response_lines(responses):
            intake.take(text)
        book.flush()
        return intake.result()
    finally:
        if not isinstance(journal, Journal):
            book.close()


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
        journal: The journal, or its path. No other process may be writing it.
        requests: The batch file, or its name. Defaults to all that wait for a response.

    Returns:
        How many requests were forgotten.

    Raises:
        ValueError: No request of that file waits.
        JournalError: The journal can't be used.
    """
    slips, book = _opened(journal)
    try:
        name = None if requests is None else Path(requests).name
        chosen = [each for each, slip in slips.waiting.items() if name in (None, slip.file)]
        if name is not None and not chosen:
            there = sorted({slip.file for slip in slips.waiting.values()})
            others = f"; those that do are in {', '.join(there)}" if there else ", and no other does"
            raise ValueError(f"no request of {name!r} waits{others}")
        for each in chosen:
            book.append(ended_line(each, slips.waiting[each], FORGOTTEN))
        book.flush()
        return len(chosen)
    finally:
        if not isinstance(journal, Journal):
            book.close()


def _opened(journal: Journal | str | Path) -> tuple[Slips, Book]:
    """A journal that is open for writing, and what it knows of batches."""
    if isinstance(journal, Journal):
        book = book_of(journal)
    else:
        try:
            book = book_of(Journal(journal, version=last_version(Path(journal))))
        except OSError as error:
            raise JournalError(f"{journal}: can't be read ({error.strerror})") from error
    book.reopen()
    try:
        return Slips.load(book.path, book.version), book
    except BaseException:
        if not isinstance(journal, Journal):
            book.close()
        raise


def _check_providers(provider: LLMProvider) -> None:
    target = provider.innermost if isinstance(provider, Run) else innermost(provider)
    for each in target.members if isinstance(target, Dealer) else (target,):
        if not callable(getattr(each, "body_of", None)):
            raise TypeError(f"write_batch: {no_body(each)}")


write_batch_sync: Final = blocking(write_batch, __name__)
