"""`Book`: what is in a journal, and what is written there, for relays and jobs."""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from executionkit._dollars import EXACT, ZERO
from executionkit._version import __version__
from executionkit.engine.tool_memory import Observed
from executionkit.engine.watch import bare, where
from executionkit.errors import JournalError
from executionkit.many._journal.compaction import needed_lines
from executionkit.many._journal.file import JournalFile, Sync
from executionkit.many._journal.format import (
    FORMAT,
    as_json,
    digest_of,
    encoded,
    failure_line,
    observed_from,
    parsed,
    quoted,
    reply_from,
    reply_line,
    request_text,
    sent_line,
    tool_line,
)
from executionkit.many._journal.load import Kept, Loaded, Spent, lines_of, load
from executionkit.many._journal.outcome import Outcome, outcome_from, outcome_line
from executionkit.many._journal.scope import Scope
from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse, ToolCall
from executionkit.types import TokenUsage


class Book:
    """What is in a journal, and what is written there, for relays and jobs.

    Args:
        path: As in `Journal`.
        sync: As in `Journal`.
        version: As in `Journal`.
    """

    def __init__(self, path: str | os.PathLike[str], sync: Sync, version: str) -> None:
        self.path: Final = Path(path)
        self._sync: Final[Sync] = sync
        self.version: Final = version
        self._file: JournalFile | None = None
        self._loaded = Loaded()
        self._job: Mapping[str, Any] = {}
        self._is_taken = False
        self._opening = threading.Lock()
        self._lock = threading.Lock()
        self._own: Scope[Kept] = self._outside()

    def begin_job(self) -> bool:
        """Take it for a job; returns whether it was open before.

        Raises:
            JournalError: Another job of this program has it.
        """
        with self._opening:
            if self._is_taken:
                raise JournalError(
                    f"{self.path}: another job of this program is writing it; wait for its end, or give each "
                    "job a journal of its own"
                )
            self._is_taken = True
            return self._file is not None

    def end_job(self) -> None:
        """Leave it to the next job."""
        self._is_taken = False

    def reopen(self) -> None:
        """Lock the file and read it, whichever job it is of.

        Raises:
            JournalError: It is not there or empty, another process has it, or it is no journal.
        """
        if not self.path.exists():
            raise JournalError(f"{self.path}: there is no such journal")
        self._open(None)

    def open(self, model: str, base_url: str, step: str) -> None:
        """Lock the file, read it, and see that it is of this job; a new one begins with the job's line.

        Args:
            model: The model.
            base_url: Its URL; user, password, query and fragment are left out.
            step: The name of what is done with each row; "" for calls of any kind.

        Raises:
            JournalError: Another process has it, it is no journal, or it is another job's.
        """
        self._open({"model": model, "base_url": bare(base_url), "step": step, "version": self.version})

    def _open(self, job: dict[str, str] | None, *, is_compared: bool = True) -> None:
        with self._opening:
            if self._file is not None:
                if job is not None and is_compared:
                    self._compare(self._job, job)
                return
            path = os.fspath(self.path)
            file = JournalFile(path, self._sync)
            try:
                with open(path, "rb") as reader:
                    loaded = load(reader, path, self.version)
                known = loaded.jobs.get(self.version)
                if job is None and known is None:
                    raise JournalError(f"{path}: it has no job of version {self.version!r}")
                if job is not None and known is not None and is_compared:
                    self._compare(known, job)
                wanted: Mapping[str, Any] = known or job or {}
                file.cut(loaded.end)
                at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
                if loaded.job is None or loaded.job.get("version", "") != self.version:
                    facts = {name: wanted.get(name, "") for name in ("model", "base_url", "step")}
                    facts["version"] = self.version
                    line = {"t": "job", "format": FORMAT, "executionkit": __version__, **facts, "at": at}
                    file.append(encoded(as_json(line) + "\n"))
                start = {"t": "start", "process": os.getpid(), "executionkit": __version__, "at": at}
                file.append(encoded(as_json(start) + "\n"))
                # What a process wrote that was killed need not be on the disk, and is replayed now.
                file.flush()
            except BaseException:
                file.close()
                raise
            self._job, self._loaded, self._file = wanted, loaded, file
            self._own = self._outside()

    def _compare(self, there: Mapping[str, Any], job: Mapping[str, str]) -> None:
        for name in ("model", "base_url", "step"):
            if there.get(name, "") != job[name]:
                raise JournalError(
                    f"{self.path} was written for {name} {there.get(name)!r}, and now it is {job[name]!r}: "
                    "take another journal, or begin afresh in this one with Journal(path, version=...)"
                )

    def open_for(self, provider: LLMProvider) -> None:
        """Open it for calls, if it is not open; a new one is that of the provider.

        Whichever job it is of, it may be used: requests to other models are other requests.
        """
        if self._file is None:
            model, base_url = where(provider)
            job = {"model": model or "", "base_url": base_url or "", "step": "", "version": self.version}
            self._open(job, is_compared=False)

    def identity_of(self, provider: LLMProvider) -> str:
        """What tells a provider's answers from those of the job's own provider; "" where nothing does.

        Its model and URL, if they are others, and the settings that reach the server with each request.
        """
        model, base_url = where(provider)
        is_own = (model or "", base_url or "") == (self._job.get("model", ""), self._job.get("base_url", ""))
        extra = getattr(provider, "extra_body", None)
        temperature = getattr(provider, "default_temperature", None)
        settings = [None if is_own else [model, base_url], extra or None, temperature]
        return "" if settings == [None, None, None] else request_text("", settings, None, None, None)

    def close(self) -> None:
        """Bring everything to the disk, and let others write the file. It can be opened again."""
        with self._opening:
            file, self._file = self._file, None
        if file is not None:
            file.close()

    def scope(self) -> Scope[Kept]:
        """The row of calls outside any row."""
        return self._own

    def _outside(self) -> Scope[Kept]:
        return Scope(self, "", lambda: self.replies_of(""))

    # What a job asks at its start.

    def spent(self, *, is_priced: bool = False) -> Spent:
        """What to charge at the start: all that was sent.

        Args:
            is_priced: Whether calls have prices. Then it is known that those without a reply cost no dollars.
        """
        since = self._loaded.since
        usage = since.usage
        if is_priced and not (since.priced or since.unpriced):
            usage = replace(usage, usd=ZERO)
        return Spent(usage, TokenUsage(*self._loaded.assumed), since.unknown)

    @property
    def is_blank(self) -> bool:
        """Whether it has neither outcomes nor replies."""
        return not (len(self._loaded.table) or self._loaded.calls)

    @property
    def unknown_calls(self) -> int:
        """The calls that were sent and have no outcome, those that are under way included."""
        return self._loaded.since.unknown

    @property
    def waiting(self) -> int:
        """How many requests wait for the response of a batch."""
        return len(self._loaded.waiting)

    @property
    def rows_done(self) -> int:
        """The rows that are done."""
        return self._loaded.table.done

    def digest_of(self, row: str) -> int | None:
        """The digest of a row's content, as it was written with its outcome."""
        return self._loaded.table.digest(digest_of(row))

    def is_done(self, row: str) -> bool:
        """Whether a row has an outcome, and did not fail."""
        return self._loaded.table.is_done(digest_of(row))

    def outcome(self, row: str) -> Outcome | None:
        """The last outcome of a row, read from the file."""
        offset = self._loaded.table.offset(digest_of(row))
        found = None if offset is None else self._line(offset)
        return None if found is None or found.get("row") != row else outcome_from(found)

    def write_row(
        self,
        row: str,
        *,
        index: int | None = None,
        digest: int | None = None,
        value: object = None,
        score: float | None = None,
        error: str | None = None,
        cost: TokenUsage | None = None,
        remember: bool = True,
    ) -> None:
        """Write what came of a row. A row without an error is done, and its replies are not replayed again.

        Args:
            row: The row's id.
            index: Its position in the input.
            digest: A number of 64 bits for its content.
            value: The value.
            score: The score.
            error: Why it failed.
            cost: What it cost.
            remember: Whether this object is asked for the row again; else it keeps nothing of it in memory.

        Raises:
            TypeError: JSON has no such value.
            JournalError: It can't be written.
        """
        line = outcome_line(row, index, digest, value, score, error, cost or TokenUsage())
        offset = self._append(line)
        with self._lock:
            if remember:
                self._loaded.table.put(digest_of(row), offset, digest, is_done=error is None)
            if error is None:
                name = encoded(quoted(row))
                self._loaded.calls.pop(name, None)
                self._loaded.tools.pop(name, None)

    # What relays write and read.

    def write_sent(self, row: str, request: str, n: int, most: tuple[int, int]) -> None:
        """Write that a request is about to be sent.

        Args:
            row: The row's id as JSON.
            request: The request's digest.
            n: How many equal requests of the row came before.
            most: The most tokens that its prompt and its reply are expected to have.
        """
        self._append(sent_line(row, request, n, most))
        with self._lock:
            self._loaded.since.sent += 1

    def append(self, line: Mapping[str, object]) -> None:
        """Write a line of another kind, which readers that don't know it pass over.

        Args:
            line: The line; its kind is its `t`.

        Raises:
            TypeError: JSON has no such value.
            JournalError: It can't be written.
        """
        self._append(as_json(dict(line)) + "\n")
        if line.get("t") == "batch":
            with self._lock:
                self._loaded.note_batch(line)

    def write_reply(
        self,
        row: str,
        request: str,
        n: int,
        reply: LLMResponse,
        usd: Decimal | None,
        rest: Mapping[str, object] | None = None,
    ) -> None:
        """Write the reply to a request, with further fields of the line; see `write_sent`."""
        inputs, outputs = reply.input_tokens, reply.output_tokens
        offset = self._append(reply_line(row, request, n, reply, usd, rest))
        kept = Kept(request, n, offset, inputs, outputs, None if usd is None else str(usd))
        with self._lock:
            self._loaded.since.calls += 1
            self._loaded.since.add_cost(inputs, outputs, kept.usd)
            self._loaded.calls.setdefault(encoded(row), []).append(kept)
            if rest:
                self._loaded.waiting.discard(str(rest.get("batch", "")))

    def write_failure(
        self,
        row: str,
        request: str,
        n: int,
        exc: BaseException,
        spent: TokenUsage | None,
        *,
        dispatched: bool,
        cut: TokenUsage | None = None,
    ) -> None:
        """Write that a request brought no reply; see `write_sent`.

        Args:
            row: The row's id as JSON.
            request: The request's digest.
            n: Its number.
            exc: Why.
            spent: What it cost, where that is known.
            dispatched: Whether it left.
            cut: Where it was cut off: the tokens that it may have cost beyond those. Its outcome is unknown.
        """
        is_cut = cut is not None
        self._append(failure_line(row, request, n, exc, spent, dispatched=dispatched, is_cut=is_cut))
        with self._lock:
            since = self._loaded.since
            if cut is not None:
                self._loaded.assumed[0] += cut.input_tokens
                self._loaded.assumed[1] += cut.output_tokens
            elif dispatched:
                since.failed += 1
            else:
                since.sent -= 1
            if spent is not None:
                usd = None if spent.usd is None else str(spent.usd)
                since.add_cost(spent.input_tokens, spent.output_tokens, usd)

    def write_tool(self, row: str, request: str, n: int, call: ToolCall, observed: Observed) -> None:
        """Write what came of a call of a tool; see `write_sent`."""
        offset = self._append(tool_line(row, request, n, call, observed))
        kept = Kept(request, n, offset, 0, 0, None)
        with self._lock:
            self._loaded.tools.setdefault(encoded(row), []).append(kept)

    async def commit(self) -> None:
        """Wait until what was written by now is on the disk, with `sync="group"`.

        Raises:
            JournalError: It can't be brought there.
        """
        if (file := self._file) is not None:
            await file.commit()

    def flush(self) -> None:
        """Bring what was written by now to the disk, unless it is written with `sync="never"`.

        Raises:
            JournalError: It can't be brought there.
        """
        if (file := self._file) is not None:
            file.flush()

    def replies_of(self, row: str) -> dict[str, list[tuple[int, Kept]]]:
        """The replies of a row that is not done, by their requests."""
        if not self._loaded.calls:  # nearly always
            return {}
        with self._lock:
            return _by_request(self._loaded.calls.get(encoded(quoted(row)), ()))

    def observations_of(self, row: str) -> dict[str, list[tuple[int, Kept]]]:
        """The observations of a row that is not done, by their calls."""
        with self._lock:
            return _by_request(self._loaded.tools.get(encoded(quoted(row)), ()))

    def reply_at(self, kept: Kept) -> LLMResponse:
        """Read a reply, which says that it was paid for before."""
        reply = reply_from(self._line(kept.offset))
        return replace(reply, usage={**reply.usage, "replayed": True})

    def observed_at(self, kept: Kept) -> Observed:
        """Read an observation."""
        return observed_from(self._line(kept.offset))

    def compact(self) -> None:
        """Write the file anew, with what a later start needs; see `Journal.compact`."""
        if self._file is None:
            raise JournalError(f"{self.path}: call reopen() before compact()")
        path = os.fspath(self.path)
        self._file.replace(needed_lines(self.lines(), self._loaded, self._spent_for_good(), self.version))
        with open(path, "rb") as reader:
            self._loaded = load(reader, path, self.version)
        self._own = self._outside()

    def _spent_for_good(self) -> Spent:
        """What was spent, without the replies that can be replayed."""
        spent = self.spent()
        whole, calls, inputs, outputs = spent.usage, 0, 0, 0
        usd = whole.usd
        for there in self._loaded.calls.values():
            for kept in there:
                calls, inputs, outputs = calls + 1, inputs + kept.input_tokens, outputs + kept.output_tokens
                if usd is not None and kept.usd is not None:
                    usd = EXACT.subtract(usd, Decimal(kept.usd))
        rest = whole.input_tokens - inputs, whole.output_tokens - outputs, whole.llm_calls - calls
        return spent._replace(usage=TokenUsage(*rest, usd=usd))

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """The whole lines of the file, each with its place."""
        try:
            with open(self.path, "rb") as file:
                yield from lines_of(file, os.fstat(file.fileno()).st_size)
        except OSError as error:
            raise JournalError(f"{self.path}: can't be read ({error.strerror})") from error

    def lines_at(self, offsets: Iterable[int]) -> Iterator[bytes]:
        """The lines at some places of the file."""
        try:
            with open(self.path, "rb") as file:
                for offset in offsets:
                    file.seek(offset)
                    yield file.readline()
        except OSError as error:
            raise JournalError(f"{self.path}: can't be read ({error.strerror})") from error

    def snapshot(self) -> Loaded:
        """What the journal holds now: as it was loaded and written on, or read, if it is not open."""
        return self._loaded if self._file is not None else self._read()

    def _read(self) -> Loaded:
        try:
            with open(self.path, "rb") as file:
                return load(file, os.fspath(self.path), None)
        except OSError as error:
            raise JournalError(f"{self.path}: can't be read ({error.strerror})") from error

    def _line(self, offset: int) -> dict[str, Any]:
        file = self._file
        if file is None:
            raise JournalError(f"{self.path}: the journal is closed")
        found = parsed(file.read(offset))
        if found is None:
            raise JournalError(f"{self.path}: a line is not what it was: something else has changed the file")
        return found

    def _append(self, line: str) -> int:
        file = self._file
        if file is None:
            raise JournalError(f"{self.path}: the journal is closed")
        return file.append(encoded(line))


def _by_request(there: Iterable[Kept]) -> dict[str, list[tuple[int, Kept]]]:
    found: dict[str, list[tuple[int, Kept]]] = {}
    for kept in there:
        found.setdefault(kept.request, []).append((kept.n, kept))
    return found
