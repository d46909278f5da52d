"""The directory of a job on several machines: a folder for each shard, a journal for each attempt at it."""

import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from executionkit.cost import counts_of
from executionkit.errors import JournalError
from executionkit.many._journal.file import JournalFile
from executionkit.many._journal.format import parsed, reply_from
from executionkit.many._journal.load import load
from executionkit.types import TokenUsage

_ATTEMPT: Final = re.compile(r"attempt-(\d+)\.jsonl\Z")
_COPIED_AT_ONCE: Final = 1 << 20

PATIENCE: Final = 10.0
"""Seconds to wait for the end of an earlier attempt, whose journal is locked as long as its process lives."""


class Begun(NamedTuple):
    """An attempt whose journal is there, with all that the earlier ones wrote.

    Attributes:
        path: The journal.
        is_alone: Whether the attempt before is sure to have ended.
    """

    path: Path
    is_alone: bool


class ShardFolder:
    """The folder of one shard.

    A later attempt begins with a copy of the journal of the one before, up to its last whole line. So the
    journal of the last attempt has everything, except for lines that an attempt wrote after it was taken for
    dead.

    Args:
        directory: The directory of the job.
        number: The number of the shard.
    """

    def __init__(self, directory: Path, number: int) -> None:
        self.path: Final = directory / f"{number:05d}"
        self.number: Final = number

    def attempts(self) -> dict[int, Path]:
        """The journals that are there, by the numbers of the attempts, in their order."""
        found = {}
        for path in self.path.glob("attempt-*.jsonl"):
            if match := _ATTEMPT.match(path.name):
                found[int(match[1])] = path
        return dict(sorted(found.items()))

    @property
    def journal(self) -> Path | None:
        """The journal of the last attempt; None if there was none."""
        return next(reversed(self.attempts().values()), None)

    def ended(self) -> dict[str, Any]:
        """The figures of the shard if all its rows ended; empty if not."""
        path = self.path / "end.json"
        return json.loads(path.read_bytes()) if path.exists() else {}

    def end(self, figures: dict[str, Any]) -> None:
        """Note that all rows of the shard have ended."""
        write_whole(self.path / "end.json", figures)

    def last(self) -> int:
        """The number of the last attempt; 0 if there was none."""
        return max(self.attempts(), default=0)

    def require_rows(self, ids: Iterable[str]) -> None:
        """Refuse rows that are others than those that the shard was begun with; more of them may follow.

        Raises:
            JournalError: They are others: they may have been paid for in another shard.
        """
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.path / "rows.json"
        known: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {"rows": 0, "ids": ""}
        digest, count = blake2b(digest_size=16), 0
        for count, each in enumerate(ids, 1):
            digest.update(each.encode("utf-8", "surrogatepass") + b"\0")
            if count == known["rows"] and digest.hexdigest() != known["ids"]:
                break
        if count < known["rows"] or (count == known["rows"] and count and digest.hexdigest() != known["ids"]):
            raise JournalError(
                f"{self.path}: shard {self.number} was begun with other rows: keep their order and "
                "rows_per_shard, or take another directory for them"
            )
        if count > known["rows"]:
            write_whole(path, {"rows": count, "ids": digest.hexdigest()})

    def begin(self, attempt: int) -> Begun:
        """Make the journal of an attempt.

        Raises:
            JournalError: There is one of that number, or a later one.
        """
        earlier = self.attempts()
        last = max(earlier, default=0)
        path = self.path / f"attempt-{attempt}.jsonl"
        if last >= attempt:
            raise JournalError(f"{self.path}: attempt {last} has begun: attempt {attempt} stops here")
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_alone = not last or not is_being_written(earlier[last])
        descriptor = os.open(path.with_suffix(".part"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as copy:
            size = 0
            if last:
                size = _copy_lines(earlier[last], copy)
            if last and size:  # the first line of a journal is that of its job
                line = {"t": "attempt", "number": attempt, "after": last, "bytes": size}
                copy.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
            copy.flush()
            os.fsync(copy.fileno())
        try:
            os.link(path.with_suffix(".part"), path)  # unlike a rename, it never replaces another's file
        except FileExistsError:
            raise JournalError(f"{self.path}: attempt {attempt} was begun by another program") from None
        finally:
            os.unlink(path.with_suffix(".part"))
        return Begun(path, is_alone)

    def spent(self) -> tuple[TokenUsage, TokenUsage]:
        """What its attempts have spent, and what is assumed of calls whose outcome is unknown."""
        last = self.journal
        if last is None:
            return TokenUsage(), TokenUsage()
        usage, assumed = totals(last)
        return usage + self.lost(), assumed

    def lost(self) -> TokenUsage:
        """What attempts spent after they were taken for dead; no later journal has it."""
        total = TokenUsage()
        journals = self.attempts()
        for path in journals.values():
            for copied in _lines(path, b'{"t":"attempt"'):
                earlier = journals.get(copied.get("after", 0))
                if earlier is not None:
                    total += _spent_beyond(earlier, copied.get("bytes", 0))
        return total


def totals(path: Path) -> tuple[TokenUsage, TokenUsage]:
    """What a journal says was spent, and the tokens that are assumed of calls whose outcome is unknown."""
    if not path.stat().st_size:
        return TokenUsage(), TokenUsage()
    with open(path, "rb") as file:
        loaded = load(file, os.fspath(path), None)
    return loaded.whole.usage + loaded.since.usage, TokenUsage(*loaded.assumed)


def is_being_written(path: Path) -> bool:
    """Whether a process holds a journal. Some shared disks can't tell it of other machines."""
    try:
        JournalFile(os.fspath(path), "never").close()
    except JournalError:
        return True
    return False


def claim(directory: Path, job: dict[str, Any]) -> None:
    """See that a directory is this job's, or make it so.

    Raises:
        JournalError: It is another job's, or its shards are being written.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / "job.json"
    if not path.exists():
        if any(directory.iterdir()):
            raise JournalError(f"{directory} is not empty, and no directory of run_many_on_ray")
        write_whole(path, job)
    there = json.loads(path.read_bytes())
    for name, value in job.items():
        if there.get(name) != value:
            raise JournalError(
                f"{directory} was written with {name}={there.get(name)!r}, and now it is {value!r}: take "
                "another directory"
            )
    until = time.monotonic() + PATIENCE
    for folder in folders(directory):
        last = folder.journal
        while last is not None and is_being_written(last):
            # The workers of a program that was killed end a little later than it did.
            if time.monotonic() > until:
                raise JournalError(f"{last} is being written by another process: wait for its end")
            time.sleep(0.1)


def folders(directory: Path) -> list[ShardFolder]:
    """The folders of the shards that were begun."""
    return [ShardFolder(directory, int(each.name)) for each in directory.iterdir() if each.name.isdigit()]


def spent_in(directory: Path) -> dict[int, tuple[TokenUsage, TokenUsage]]:
    """What each shard has spent so far, and what is assumed of calls whose outcome is unknown."""
    return {folder.number: folder.spent() for folder in folders(directory)}


def write_whole(path: Path, value: object) -> None:
    """Put a file of JSON in its place, whole or not at all."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    with open(beside, "w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def _copy_lines(path: Path, copy: IO[bytes]) -> int:
    """Copy a file up to its last whole line; returns how many bytes that is."""
    size, tail = 0, b""
    with open(path, "rb") as file:
        while piece := file.read(_COPIED_AT_ONCE):
            piece = tail + piece
            end = piece.rfind(b"\n") + 1
            copy.write(piece[:end])
            size, tail = size + end, piece[end:]
    return size


def _lines(path: Path, beginning: bytes, offset: int = 0) -> Iterator[dict[str, Any]]:
    """The whole lines of a journal, from a place on, that begin like this."""
    with open(path, "rb") as file:
        file.seek(offset)
        for line in file:
            if line.startswith(beginning) and line.endswith(b"\n") and (read := parsed(line)) is not None:
                yield read


def _spent_beyond(path: Path, offset: int) -> TokenUsage:
    calls = sum(1 for _ in _lines(path, b'{"t":"sent"', offset))
    total = TokenUsage(llm_calls=calls)
    for line in _lines(path, b'{"t":"call"', offset):
        told_in, told_out, estimated_in, estimated_out = counts_of(reply_from(line))
        total += TokenUsage((told_in or 0) + estimated_in, (told_out or 0) + estimated_out)
    return total
