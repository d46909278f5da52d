"""`Journal`: what was asked and answered for each row of a job, in a file that survives the process."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, get_args

from executionkit import _checks as checks
from executionkit.errors import JournalError
from executionkit.many._journal.book import Book
from executionkit.many._journal.file import Sync
from executionkit.many._journal.format import digest_of, parsed
from executionkit.many._journal.load import Kept
from executionkit.many._journal.outcome import Outcome, outcome_from, write_table
from executionkit.many._journal.row import scope_of
from executionkit.many._journal.scope import Scope
from executionkit.types import TokenUsage


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
        self._book: Final = Book(path, sync, version)

    def __repr__(self) -> str:
        return f"Journal({os.fspath(self.path)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The file."""
        return self._book.path

    @property
    def version(self) -> str:
        """The version of the work."""
        return self._book.version

    def reopen(self) -> None:
        """Lock the file and read it, whichever job it is of.

        Raises:
            JournalError: It is not there or empty, another process has it, or it is no journal.
        """
        self._book.reopen()

    def close(self) -> None:
        """Bring everything to the disk, and let others write the file. It can be opened again."""
        self._book.close()

    def row(self, row: str | int) -> Scope[Kept]:
        """A scope for `with`: the calls inside, and the tools that run there, are this row's."""
        return scope_of(self._book, row)

    @property
    def unknown_calls(self) -> int:
        """The calls that were sent and have no outcome, those that are under way included."""
        return self._book.unknown_calls

    @property
    def rows_done(self) -> int:
        """The rows that are done."""
        return self._book.rows_done

    def is_done(self, row: str) -> bool:
        """Whether a row has an outcome, and did not fail."""
        return self._book.is_done(row)

    def outcome(self, row: str) -> Outcome | None:
        """The last outcome of a row, read from the file."""
        return self._book.outcome(row)

    @property
    def usage(self) -> TokenUsage:
        """Everything that was spent, of all starts and versions: calls whose outcome is unknown are in it."""
        loaded = self._book.snapshot()
        return loaded.whole.usage + loaded.since.usage

    def rows(self, *, ordered: bool = False) -> Iterator[Outcome]:
        """What came of the rows: the last outcome of each.

        Args:
            ordered: Give them in the order of the input. Defaults to the order in which they were written.
        """
        last = self._last_outcomes()
        if not ordered:
            yield from (outcome for _, outcome in last)
            return
        # Only the places are remembered: the outcomes of a long job are more than fits in memory.
        places = sorted((sys.maxsize if row.index is None else row.index, offset) for offset, row in last)
        for line in self._book.lines_at(offset for _, offset in places):
            if (found := parsed(line)) is None:
                raise JournalError(f"{self.path}: it was changed while it was read")
            yield outcome_from(found)

    def _last_outcomes(self) -> Iterator[tuple[int, Outcome]]:
        loaded = self._book.snapshot()
        for offset, line in self._book.lines():
            if line.startswith(b'{"t":"row"') or not line.startswith(b'{"t":"'):
                found = parsed(line)
                if found is None or found.get("t") != "row":
                    continue
                outcome = outcome_from(found)
                if loaded.table.offset(digest_of(outcome.row)) == offset:
                    yield offset, outcome

    def calls(self) -> Iterator[dict[str, Any]]:
        """The lines of all replies, as they stand in the file."""
        for _, line in self._book.lines():
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
        self._book.compact()

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write what came of the rows as a Parquet file, by polars or, where that is not there, pyarrow.

        The rows have the order of the input. The columns are `row`, `i`, `value`, `score`, `error`,
        `input_tokens`, `output_tokens`, `llm_calls` and `usd`. A value that is a text stands as it is, if all
        of them are texts; else all stand as JSON.

        Args:
            path: The Parquet file.

        Raises:
            ImportError: Neither is installed.
            JournalError: The journal can't be read.
        """
        write_table(list(self.rows(ordered=True)), os.fspath(path))


def book_of(journal: Journal) -> Book:
    """The side of a journal that relays and jobs use."""
    return journal._book  # pyright: ignore[reportPrivateUsage]
