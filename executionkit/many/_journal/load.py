"""Reading a journal in one pass."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from hashlib import blake2b
from typing import IO, Any, Final, NamedTuple, TypeAlias

from executionkit._dollars import EXACT, ZERO
from executionkit.errors import JournalError
from executionkit.many._journal.format import (
    FORMAT,
    JOB,
    cost_from,
    digest_from,
    digest_of,
    encoded,
    parsed,
    quoted,
    reply_from,
)
from executionkit.many._journal.table import RowTable
from executionkit.types import TokenUsage

_CHUNK: Final = 1 << 20
_NOTHING: Final = TokenUsage()
_CALL_BEGINS: Final = re.compile(
    rb'\{"t":"call","row":("[^"\\]*"),"req":"([0-9a-f]{16})","n":(\d+),"content":'
)
_ROW_BEGINS: Final = re.compile(
    rb'\{"t":"row","row":("[^"\\]*"),"i":(?:-?\d+|null),"digest":(?:"([0-9a-f]{16})"|null),'
)
_BATCH_ID: Final = re.compile(rb',"batch":"([^"\\]*)"\Z')
_COUNTS: Final = re.compile(rb'(\d+),(\d+),\d+(?:,"([0-9.E+-]+)")?\]\}')


class Kept(NamedTuple):
    """A reply, or an observation, of a row that is not done."""

    request: str
    n: int
    offset: int
    input_tokens: int
    output_tokens: int
    usd: str | None


class Spent(NamedTuple):
    """What to charge when a job starts again: all that was sent.

    Attributes:
        usage: What was counted. Its calls include those whose outcome is unknown. Its `usd` is None only
            where a reply has no price.
        assumed: The tokens that were set aside for calls whose outcome is unknown: the most that they came
            to, by an estimate of their prompts. No calls are in it.
        unknown_calls: The calls that were sent and have no outcome in the journal, or were cut off.
    """

    usage: TokenUsage
    assumed: TokenUsage
    unknown_calls: int


_RawReply: TypeAlias = tuple[int, bytes, bytes, int, int, bytes | None]


class Tally:
    """What calls came to."""

    def __init__(self) -> None:
        self.sent = 0
        self.calls = 0
        self.failed = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.usd = ZERO
        self.priced = 0
        self.unpriced = 0

    def add(self, sent: int, calls: int, input_tokens: int, output_tokens: int, unpriced: int) -> None:
        """Add calls, and the tokens of those that brought replies without prices."""
        self.sent += sent
        self.calls += calls
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.unpriced += unpriced

    def add_cost(self, input_tokens: int, output_tokens: int, usd: str | None) -> None:
        """Add the tokens and dollars of a reply."""
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        if usd is None:
            self.unpriced += 1
        else:
            self.priced += 1
            self.usd = EXACT.add(self.usd, Decimal(usd))

    def add_known_cost(self, cost: TokenUsage) -> None:
        """Add what is known of calls, if anything is."""
        if cost.input_tokens or cost.output_tokens or cost.usd is not None:
            self.add_cost(cost.input_tokens, cost.output_tokens, _text(cost.usd))

    @property
    def unknown(self) -> int:
        """The calls that were sent, and whose outcome is not there."""
        return max(0, self.sent - self.calls - self.failed)

    @property
    def usage(self) -> TokenUsage:
        """Everything that was sent."""
        usd = self.usd if self.priced and not self.unpriced else None
        calls = max(self.sent, self.calls + self.failed)
        return TokenUsage(self.input_tokens, self.output_tokens, calls, usd=usd)


class Loaded:
    """What a journal holds.

    Attributes:
        job: The line of the job that the journal was last written for; None in an empty one.
        jobs: The last line of each version of it.
        end: Where the last whole line ends.
        lines: How many there are.
        table: The rows with an outcome.
        whole: What all calls came to.
        since: What the calls of this version of the job came to.
        calls: The replies of rows that are not done, by the JSON of the row's id.
        tools: The observations of such rows.
        assumed: The tokens that were set aside for calls whose outcome is unknown.
        waiting: The ids of the requests that wait for the response of a batch.
    """

    def __init__(self) -> None:
        self.job: dict[str, Any] | None = None
        self.jobs: dict[str, dict[str, Any]] = {}
        self.end = 0
        self.lines = 0
        self.table = RowTable()
        self.whole = Tally()
        self.since = Tally()
        self.calls: dict[bytes, list[Kept]] = {}
        self.tools: dict[bytes, list[Kept]] = {}
        self.assumed = [0, 0]
        self.open_sent: dict[bytes, bytes] = {}
        self.waiting: set[str] = set()

    def note_batch(self, line: Mapping[str, object]) -> None:
        """Take a line about a request that was written to a batch file."""
        name = str(line.get("id", ""))
        (self.waiting.add if "end" not in line else self.waiting.discard)(name)

    def restart(self) -> None:
        """Begin a job afresh; what was spent stays in `whole`."""
        self.table = RowTable()
        self.since = Tally()
        self.calls, self.tools = {}, {}
        self.assumed, self.open_sent, self.waiting = [0, 0], {}, set()


def load(file: IO[bytes], path: str, version: str | None) -> Loaded:
    """Read a journal.

    Args:
        file: The journal, at its beginning.
        path: Its path, for messages.
        version: The version of the job whose rows count. None: the last one in the journal.

    Raises:
        JournalError: It is no journal, or one of a newer format, or a line is broken.
    """
    loader = _Loader(path, version)
    loaded = loader.load(file)
    if not loader.has_lost:
        return loaded
    file.seek(0)
    return _Loader(path, str((loaded.job or {}).get("version", ""))).load(file)


class _Loader:
    """Reads a journal.

    Attributes:
        has_lost: Whether rows were passed over that count: the job went back to an earlier version.
    """

    def __init__(self, path: str, version: str | None) -> None:
        self.has_lost = False
        self._path = path
        self._version = version
        self._is_ours = True
        self._loaded = Loaded()
        # Tuples, which become values when it is known that their row is not done: few of a million.
        self._calls: dict[bytes, list[_RawReply]] = {}

    def load(self, file: IO[bytes]) -> Loaded:
        loaded = self._loaded
        rest = b""
        while chunk := file.read(_CHUNK):
            lines = (rest + chunk if rest else chunk).split(b"\n")
            rest = lines.pop()
            if not loaded.lines and lines and not lines[0].startswith(JOB):
                raise JournalError(f"{self._path} is not a journal: its first line is no job line")
            self._take(lines)
        if not loaded.lines and rest and not (rest.startswith(JOB) or JOB.startswith(rest)):
            raise JournalError(f"{self._path} is not a journal: its first line is no job line")
        for key in loaded.open_sent.values():
            self._assume(key)
        loaded.open_sent = {}
        loaded.calls = {
            row: [
                Kept(request.decode(), int(n), offset, inputs, outputs, None if usd is None else usd.decode())
                for offset, request, n, inputs, outputs, usd in there
            ]
            for row, there in self._calls.items()
        }
        return loaded

    def _take(self, lines: list[bytes]) -> None:
        """Count the lines. The frequent ones are not parsed, where they are as this version writes them."""
        loaded, since = self._loaded, self._loaded.since
        offset, number = loaded.end, loaded.lines
        open_sent, calls, put = loaded.open_sent, self._calls, loaded.table.put
        sent = replies = inputs = outputs = unpriced = 0
        for line in lines:
            number += 1
            kind = line[:11]
            if not self._is_ours or line[-1:] != b"}":
                kind = b""
            if kind == b'{"t":"sent"':
                sent += 1
                key = line[12 : line.rfind(b',"most"')]
                if key in open_sent:
                    self._assume(open_sent[key])
                open_sent[key] = line
            elif (
                kind == b'{"t":"call"'
                and (found := _CALL_BEGINS.match(line)) is not None
                and (at := line.rfind(b',"cost":[')) > 0
                and (counts := _COUNTS.fullmatch(line, at + 9)) is not None
            ):
                prompt, reply, usd = counts.groups()
                prompt, reply = int(prompt), int(reply)
                if usd is None:
                    inputs, outputs, unpriced = inputs + prompt, outputs + reply, unpriced + 1
                else:
                    since.add_cost(prompt, reply, usd.decode())
                replies += 1
                row, request, n = found.groups()
                open_sent.pop(line[12 : found.end(3)], None)
                kept = (offset, request, n, prompt, reply, usd)
                if row in calls:
                    calls[row].append(kept)
                else:
                    calls[row] = [kept]
                if loaded.waiting and (batch := _BATCH_ID.search(line, max(0, at - 80), at)) is not None:
                    loaded.waiting.discard(batch[1].decode())
            elif (
                kind == b'{"t":"row",'
                and (found := _ROW_BEGINS.match(line)) is not None
                and (at := line.rfind(b',"error":null,"cost":[')) > 0
                and _COUNTS.fullmatch(line, at + 22) is not None
            ):
                row, digest = found.groups()
                own = int.from_bytes(blake2b(row[1:-1], digest_size=8).digest(), "big")
                put(own, offset, None if digest is None else int(digest, 16), is_done=True)
                calls.pop(row, None)
                if loaded.tools:
                    loaded.tools.pop(row, None)
            elif kind == b'{"t":"fail"' and b'"cost":' not in line and b',"cut":true' not in line:
                if b'"dispatched":false' in line:
                    since.sent -= 1
                else:
                    since.failed += 1
                open_sent.pop(line[12 : line.find(b',"error"')], None)
            else:
                since.add(sent, replies, inputs, outputs, unpriced)
                sent = replies = inputs = outputs = unpriced = 0
                self._other(line, offset, number)
                since, open_sent, calls = loaded.since, loaded.open_sent, self._calls
                put = loaded.table.put
            offset += len(line) + 1
        since.add(sent, replies, inputs, outputs, unpriced)
        loaded.end, loaded.lines = offset, number

    def _assume(self, sent: bytes, known: TokenUsage = _NOTHING) -> None:
        """Note the tokens that were set aside for a call whose outcome is unknown, beyond those known."""
        self._assume_most((parsed(sent) or {}).get("most"), known)

    def _assume_most(self, most: object, known: TokenUsage = _NOTHING) -> None:
        if isinstance(most, list) and len(most) == 2 and all(type(each) is int for each in most):
            self._loaded.assumed[0] += max(0, most[0] - known.input_tokens)
            self._loaded.assumed[1] += max(0, most[1] - known.output_tokens)

    def _other(self, line: bytes, offset: int, number: int) -> None:
        """Take a line that is rare, or was written by others."""
        loaded = self._loaded
        found = parsed(line)
        if found is None:
            raise JournalError(
                f"{self._path}, line {number}: not JSON; the journal was damaged or edited by hand: delete "
                "the line, or go on with another journal"
            )
        kind = found.get("t")
        if kind == "job":
            self._job(found, number)
            return
        tally = loaded.since if self._is_ours else loaded.whole
        row = encoded(quoted(str(found.get("row", ""))))
        request, given = str(found.get("req", "")), found.get("n")
        n = given if type(given) is int else 0
        key = b'"row":%b,"req":"%b","n":%d' % (row, request.encode("utf-8", "replace"), n)
        if kind == "sent":
            tally.sent += 1
            if self._is_ours:
                if key in loaded.open_sent:
                    self._assume(loaded.open_sent[key])
                loaded.open_sent[key] = line
        elif kind == "call":
            cost = cost_from(found.get("cost"))
            if not cost.llm_calls:
                reply = reply_from(found)
                cost = TokenUsage(reply.input_tokens, reply.output_tokens, 1, usd=reply.reported_usd)
            usd = _text(cost.usd)
            tally.calls += 1
            tally.add_cost(cost.input_tokens, cost.output_tokens, usd)
            if self._is_ours:
                loaded.open_sent.pop(key, None)
                loaded.waiting.discard(str(found.get("batch", "")))
                counts = cost.input_tokens, cost.output_tokens
                raw = (offset, request.encode(), b"%d" % n, *counts, None if usd is None else usd.encode())
                self._calls.setdefault(row, []).append(raw)
        elif kind == "fail":
            spent, is_cut = cost_from(found.get("cost")), found.get("cut") is True
            if found.get("dispatched") is False:
                tally.sent -= 1
            elif not is_cut:
                tally.failed += 1
            tally.add_known_cost(spent)
            sent = loaded.open_sent.pop(key, None)
            if is_cut and sent is not None and self._is_ours:
                self._assume(sent, spent)
        elif kind == "sum":
            cost, unknown = cost_from(found.get("cost")), found.get("unknown")
            tally.sent += cost.llm_calls
            tally.failed += cost.llm_calls - (unknown if type(unknown) is int else 0)
            tally.add_known_cost(cost)
            if self._is_ours:
                self._assume_most(found.get("assumed"))
        elif kind == "batch" and self._is_ours:
            loaded.note_batch(found)
        elif kind == "tool" and self._is_ours:
            loaded.tools.setdefault(row, []).append(Kept(request, n, offset, 0, 0, None))
        elif kind == "row" and self._is_ours:
            own = str(found.get("row", ""))
            is_done = found.get("error") is None
            loaded.table.put(digest_of(own), offset, digest_from(found.get("digest")), is_done=is_done)
            if is_done:
                self._calls.pop(row, None)
                loaded.tools.pop(row, None)

    def _job(self, job: dict[str, Any], number: int) -> None:
        loaded = self._loaded
        made = job.get("format")
        if type(made) is not int or made > FORMAT:
            raise JournalError(
                f"{self._path}, line {number}: the journal has format {made!r}, and this version of "
                f"ExecutionKit reads up to {FORMAT}: read it with the version that wrote it, or a later one"
            )
        if self._version is None and loaded.job and job.get("version") != loaded.job.get("version"):
            self.has_lost = str(job.get("version", "")) in loaded.jobs
            _move(loaded.since, loaded.whole)
            loaded.restart()
            self._calls = {}
        loaded.job = job
        loaded.jobs[str(job.get("version", ""))] = job
        self._is_ours = self._version is None or job.get("version", "") == self._version


def _text(usd: Decimal | None) -> str | None:
    return None if usd is None else str(usd)


def _move(since: Tally, whole: Tally) -> None:
    for name in vars(whole):
        value = getattr(whole, name) + getattr(since, name)
        setattr(whole, name, value)


def lines_of(file: IO[bytes], end: int) -> Iterator[tuple[int, bytes]]:
    """The whole lines of a journal, each with its place."""
    offset = 0
    for line in file:
        if offset >= end or not line.endswith(b"\n"):
            return
        yield offset, line
        offset += len(line)
