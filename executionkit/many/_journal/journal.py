"""`Journal`: what was asked and answered for each row of a job, in a file that survives the process."""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, get_args

from executionkit import _checks as checks
from executionkit._dollars import EXACT
from executionkit._json import loads, plain
from executionkit._version import __version__
from executionkit.engine.tool_memory import Observed
from executionkit.engine.watch import bare, where
from executionkit.errors import JournalError
from executionkit.many._journal.file import JournalFile, Sync
from executionkit.many._journal.format import (
    FORMAT,
    as_json,
    cost_text,
    digest_of,
    encoded,
    parsed,
    quoted,
    reply_from,
    reply_text,
    request_digest,
    request_text,
)
from executionkit.many._journal.load import Kept, Loaded, lines_of, load
from executionkit.many._journal.outcome import Outcome, outcome_from, outcome_line, write_table
from executionkit.many._journal.scope import Scope
from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse, ToolCall
from executionkit.types import TokenUsage


class Spent(NamedTuple):
    """What to charge when a job starts again: all that was sent and will not be replayed.

    Attributes:
        usage: What was counted. Its calls include those whose outcome is unknown.
        assumed: The tokens that were set aside for calls whose outcome is unknown: the most that they came
            to, by an estimate of their prompts. No calls are in it.
        unknown_calls: The calls that were sent and have no outcome in the journal.
    """

    usage: TokenUsage
    assumed: TokenUsage
    unknown_calls: int


class Journal:
    """A file in which a job keeps what it asked and what was answered, so that nothing is paid for twice.

    It is one file of JSON Lines, for one writer at a time: several processes need a journal each. What is in
    it is described on the page "The journal". The replies in it may be personal data, and so may the values
    of rows; prompts and keys are not in it. Only its owner can read it.

    Nothing is opened before it is needed. Reading (`rows`, `calls`, `usage`) takes no lock, so it works while
    another process writes.

    Example:
        ```python
        import tempfile
        from pathlib import Path

        from executionkit import MockProvider, consensus
        from executionkit.many import Journal, Recorder, Replayer

        path = Path(tempfile.mkdtemp()) / "answers.jsonl"
        provider = MockProvider(["Paris"])
        for _ in range(2):
            with Journal(path) as journal, journal.row("17"):
                safe = Replayer(Recorder(provider, journal), journal)
                result = await consensus(safe, "The capital of France?", num_samples=3)
        assert len(provider.calls) == 3  # the second time, the journal answered
        ```

    Args:
        path: The file. It is made if it is not there.
        sync: When lines are brought to the disk. "group": a reply is handed on when it is on the disk;
            replies that come meanwhile share one flush. "second": once a second. "never": when the system
            likes. The kill of a process loses nothing in any of them. A power cut loses no reply that was
            handed on in the first, and about a second in the second.
        version: The version of the work. Another one begins afresh, in the same file.

    Raises:
        ValueError: An argument can't be used.
    """

    def __init__(self, path: str | os.PathLike[str], sync: Sync = "group", version: str = "") -> None:
        checks.one_of(get_args(Sync), sync=sync)
        if not isinstance(version, str):
            raise ValueError(f"version must be a string, got {version!r}")
        self.path: Final = Path(path)
        self._sync: Final[Sync] = sync
        self._version: Final = version
        self._file: JournalFile | None = None
        self._loaded = Loaded()
        self._model: str | None = None
        self._base_url: str | None = None
        self._opening = threading.Lock()
        self._lock = threading.Lock()
        self._own: Scope[Kept] = row_scope(self, "")

    def __repr__(self) -> str:
        return f"Journal({os.fspath(self.path)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def version(self) -> str:
        """The version of the work."""
        return self._version

    @property
    def is_open(self) -> bool:
        """Whether it is open for writing."""
        return self._file is not None

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

        Nothing happens if it is open already.

        Args:
            model: The model.
            base_url: Its URL; user, password, query and fragment are left out.
            step: The name of what is done with each row; "" for calls of any kind.

        Raises:
            JournalError: Another process has it, it is no journal, or it is another job's.
        """
        self._open({"model": model, "base_url": bare(base_url), "step": step, "version": self._version})

    def _open(self, job: dict[str, str] | None, *, is_compared: bool = True) -> None:
        with self._opening:
            if self._file is not None:
                return
            path = os.fspath(self.path)
            file = JournalFile(path, self._sync)
            try:
                with open(path, "rb") as reader:
                    loaded = load(reader, path, self._version)
                known = loaded.jobs.get(self._version)
                if job is None and known is None:
                    raise JournalError(f"{path}: it has no job of version {self._version!r}")
                if job is not None and known is not None and is_compared:
                    self._compare(known, job)
                wanted: Mapping[str, Any] = known or job or {}
                file.cut(loaded.end)
                at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
                if loaded.job is None or loaded.job.get("version", "") != self._version:
                    facts = {name: wanted.get(name, "") for name in ("model", "base_url", "step")}
                    facts["version"] = self._version
                    line = {"t": "job", "format": FORMAT, "executionkit": __version__, **facts, "at": at}
                    file.append(encoded(as_json(line) + "\n"))
                start = {"t": "start", "process": os.getpid(), "executionkit": __version__, "at": at}
                file.append(encoded(as_json(start) + "\n"))
            except BaseException:
                file.close()
                raise
            self._model, self._base_url = wanted.get("model", ""), wanted.get("base_url", "")
            self._loaded, self._file = loaded, file
            self._own = row_scope(self, "")

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
            job = {"model": model or "", "base_url": base_url or "", "step": "", "version": self._version}
            self._open(job, is_compared=False)

    def identity_of(self, provider: LLMProvider) -> str:
        """What tells a provider's answers from those of the job's own provider; "" where nothing does.

        Its model and URL, if they are others, and the settings that reach the server with each request.
        """
        model, base_url = where(provider)
        is_own = (model or "", base_url or "") == (self._model, self._base_url)
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

    def row(self, row: str | int) -> Scope[Kept]:
        """A scope for `with`: the calls inside, and the tools that run there, are this row's."""
        return row_scope(self, str(row))

    def scope(self) -> Scope[Kept]:
        """The row of calls outside any row."""
        return self._own

    # What a job asks at its start.

    def spent(self, *, replay_failed: bool = True) -> Spent:
        """What to charge at the start: all that was sent and will not be replayed.

        Args:
            replay_failed: Whether rows that failed will be tried again, and their replies replayed.
        """
        since = self._loaded.since
        calls = inputs = outputs = 0
        usd = since.usd
        with self._lock:
            open_rows = list(self._loaded.calls.items())
        for row, there in open_rows:
            if not replay_failed and self._loaded.table.offset(digest_of(str(loads(row)))) is not None:
                continue
            for kept in there:
                calls, inputs, outputs = calls + 1, inputs + kept.input_tokens, outputs + kept.output_tokens
                if kept.usd is not None:
                    usd = EXACT.subtract(usd, Decimal(kept.usd))
        whole = since.usage
        usage = TokenUsage(
            whole.input_tokens - inputs,
            whole.output_tokens - outputs,
            whole.llm_calls - calls,
            usd=None if whole.usd is None else usd,
        )
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

    def replayable(self, row: str) -> int:
        """How many replies of a row that is not done are there."""
        return len(self._loaded.calls.get(encoded(quoted(row)), ()))

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
        self._append(f'{{"t":"sent","row":{row},"req":"{request}","n":{n},"most":[{most[0]},{most[1]}]}}\n')
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
        cost = cost_text(TokenUsage(inputs, outputs, 1, usd=usd))
        more = f",{as_json(dict(rest))[1:-1]}" if rest else ""
        offset = self._append(
            f'{{"t":"call","row":{row},"req":"{request}","n":{n},{reply_text(reply)}{more},"cost":{cost}}}\n'
        )
        kept = Kept(request, n, offset, inputs, outputs, None if usd is None else str(usd))
        with self._lock:
            self._loaded.since.calls += 1
            self._loaded.since.add_cost(inputs, outputs, kept.usd)
            self._loaded.calls.setdefault(encoded(row), []).append(kept)

    def write_failure(
        self,
        row: str,
        request: str,
        n: int,
        exc: BaseException,
        spent: TokenUsage | None,
        *,
        dispatched: bool,
        rest: Mapping[str, object] | None = None,
    ) -> None:
        """Write that a request brought no reply, with further fields of the line; see `write_sent`."""
        status = getattr(exc, "status_code", None)
        more = "" if type(status) is not int else f',"status":{status}'
        more += f",{as_json(dict(rest))[1:-1]}" if rest else ""
        more += "" if dispatched else ',"dispatched":false'
        more += "" if spent is None else f',"cost":{cost_text(spent)}'
        kind = quoted(type(exc).__name__)
        self._append(f'{{"t":"fail","row":{row},"req":"{request}","n":{n},"error":{kind}{more}}}\n')
        with self._lock:
            since = self._loaded.since
            if dispatched:
                since.failed += 1
            else:
                since.sent -= 1
            if spent is not None:
                usd = None if spent.usd is None else str(spent.usd)
                since.add_cost(spent.input_tokens, spent.output_tokens, usd)

    def write_tool(self, row: str, request: str, n: int, call: ToolCall, observed: Observed) -> None:
        """Write what came of a call of a tool; see `write_sent`."""
        line: dict[str, Any] = {"call": call.id, "name": call.name, "observation": observed.text}
        if observed.remark:
            line["remark"] = observed.remark
        if observed.parts:
            line["parts"] = plain(list(observed.parts))
        if observed.error is not None:
            line["error"] = observed.error
        if not observed.ran:
            line["ran"] = False
        if observed.declined:
            line["declined"] = True
        members = as_json(line)[1:]
        offset = self._append(f'{{"t":"tool","row":{row},"req":"{request}","n":{n},{members}\n')
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
        with self._lock:
            return _by_request(self._loaded.calls.get(encoded(quoted(row)), ()))

    def observations_of(self, row: str) -> dict[str, list[tuple[int, Kept]]]:
        """The observations of a row that is not done, by their calls."""
        with self._lock:
            return _by_request(self._loaded.tools.get(encoded(quoted(row)), ()))

    def reply_at(self, kept: Kept) -> LLMResponse:
        """Read a reply."""
        return reply_from(self._line(kept.offset))

    def observed_at(self, kept: Kept) -> Observed:
        """Read an observation."""
        line = self._line(kept.offset)
        return Observed(
            str(line.get("observation", "")),
            str(line.get("remark", "")),
            tuple(line.get("parts") or ()),
            line.get("error"),
            line.get("ran") is not False,
            line.get("declined") is True,
        )

    # For people.

    @property
    def usage(self) -> TokenUsage:
        """Everything that was spent, of all starts and versions: calls whose outcome is unknown are in it."""
        loaded = self._loaded if self._file is not None else self._read()
        return loaded.whole.usage + loaded.since.usage

    def rows(self) -> Iterator[Outcome]:
        """What came of the rows, the last outcome of each, in the order in which they were written."""
        loaded = self._loaded if self._file is not None else self._read()
        for offset, line in self._lines():
            if line.startswith(b'{"t":"row"') or not line.startswith(b'{"t":"'):
                found = parsed(line)
                if found is None or found.get("t") != "row":
                    continue
                outcome = outcome_from(found)
                if loaded.table.offset(digest_of(outcome.row)) == offset:
                    yield outcome

    def calls(self) -> Iterator[dict[str, Any]]:
        """The lines of all replies, as they stand in the file."""
        for _, line in self._lines():
            if line.startswith(b'{"t":"call"') or not line.startswith(b'{"t":"'):
                found = parsed(line)
                if found is not None and found.get("t") == "call":
                    yield found

    def compact(self) -> None:
        """Write the journal anew, with what a later start needs: the outcomes, and all of unfinished rows.

        The requests and replies of rows that are done become one line with their sum. Lines of other versions
        of the job stay. It is crash-safe: the new file takes the place of the old one when it is on
        the disk. The journal must be open, and no row under way.

        Raises:
            JournalError: It is not open, or can't be written; then it is as it was.
        """
        if self._file is None:
            raise JournalError(f"{self.path}: open the journal before it is compacted")
        path = os.fspath(self.path)
        self._file.replace(self._needed())
        with open(path, "rb") as reader:
            self._loaded = load(reader, path, self._version)
        self._own = row_scope(self, "")

    def _needed(self) -> Iterator[bytes]:
        """The lines that a later start needs."""
        loaded, spent = self._loaded, self.spent()
        kept = [*loaded.calls.values(), *loaded.tools.values()]
        needed = {each.offset for there in kept for each in there}
        is_ours = is_summed = False
        for offset, line in self._lines():
            if line.startswith(b'{"t":"job"'):
                is_ours = (parsed(line) or {}).get("version", "") == self._version
                yield line
                if is_ours and not is_summed and spent != _NOTHING_SPENT:
                    yield _sum_line(spent)
                is_summed = is_summed or is_ours
            elif not is_ours:
                yield line
            elif offset in needed:
                found = parsed(line) or {}
                if found.get("t") == "call":  # which was sent, and is not in the sum
                    sent = {name: found.get(name) for name in ("row", "req", "n")}
                    yield encoded(as_json({"t": "sent", **sent}) + "\n")
                yield line
            elif not line.startswith((b'{"t":"sent"', b'{"t":"call"', b'{"t":"fail"')):
                found = parsed(line) or {}
                kind, row = found.get("t"), str(found.get("row", ""))
                is_outcome = kind == "row" and loaded.table.offset(digest_of(row)) == offset
                is_foreign = kind not in _OUR_KINDS and not ("row" in found and self.is_done(row))
                if is_outcome or is_foreign:
                    yield line

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write what came of the rows as a Parquet file, by polars or, where that is not there, pyarrow.

        The columns are `row`, `i`, `value`, `score`, `error`, `input_tokens`, `output_tokens`, `llm_calls`
        and `usd`. A value that is a text stands as it is, if all of them are texts; else all stand as JSON.

        Args:
            path: The Parquet file.

        Raises:
            ImportError: Neither is installed.
            JournalError: The journal can't be read.
        """
        write_table(list(self.rows()), os.fspath(path))

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        try:
            with open(self.path, "rb") as file:
                yield from lines_of(file, os.fstat(file.fileno()).st_size)
        except OSError as error:
            raise JournalError(f"{self.path}: can't be read ({error.strerror})") from error

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


_OUR_KINDS: Final = frozenset({"job", "start", "sent", "call", "fail", "tool", "row", "sum"})
_NOTHING_SPENT: Final = Spent(TokenUsage(), TokenUsage(), 0)


def _sum_line(spent: Spent) -> bytes:
    assumed = [spent.assumed.input_tokens, spent.assumed.output_tokens]
    line = {"cost": cost_text(spent.usage), "unknown": spent.unknown_calls, "assumed": as_json(assumed)}
    return encoded(f'{{"t":"sum",{",".join(f"{quoted(name)}:{value}" for name, value in line.items())}}}\n')


def _by_request(there: Iterable[Kept]) -> dict[str, list[tuple[int, Kept]]]:
    found: dict[str, list[tuple[int, Kept]]] = {}
    for kept in there:
        found.setdefault(kept.request, []).append((kept.n, kept))
    return found


class _RowMemory:
    """The tools of one row, whose observations are kept in a journal.

    Args:
        journal: The journal.
        row: The row.
    """

    def __init__(self, journal: Journal, row: str) -> None:
        self._journal = journal
        self._row = row
        self._scope: Scope[Kept] | None = None

    @property
    def _tools(self) -> Scope[Kept]:
        if self._scope is None:  # of most rows, no tool is run
            self._scope = Scope(self._journal, self._row, lambda: self._journal.observations_of(self._row))
        return self._scope

    def recall(self, call: ToolCall) -> Observed | None:
        """What came of the call before."""
        kept = self._tools.next_reply(_tool_digest(call))
        return None if kept is None else self._journal.observed_at(kept)

    async def keep(self, call: ToolCall, observed: Observed) -> None:
        """Write what came of the call, and wait until it is on the disk."""
        request = _tool_digest(call)
        n = self._tools.take(request)
        self._journal.write_tool(self._tools.row_json, request, n, call, observed)
        await self._journal.commit()


def _tool_digest(call: ToolCall) -> str:
    asked = [call.id, call.name, plain(call.arguments), call.invalid_arguments]
    return request_digest(request_text("", asked, None, None, None))


def row_scope(journal: Journal, row: str) -> Scope[Kept]:
    """A scope for `with`: the calls inside, and the tools that run there, are the row's.

    Args:
        journal: The journal. It is opened, at the latest, when the first call is made.
        row: The row's id.
    """
    return Scope(journal, row, lambda: journal.replies_of(row), _RowMemory(journal, row))
