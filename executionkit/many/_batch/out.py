"""Writing batch files: several where one would be too large, each whole or not there."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import IO, NamedTuple

from executionkit._text import shorten
from executionkit.many._batch.lines import URL, request_line
from executionkit.many._batch.slips import Slip, written_line
from executionkit.many._journal.book import Book


@dataclass(frozen=True)
class BatchFile:
    """A file of requests, to be given to a batch service.

    Attributes:
        path: Where it is.
        model: The model that all its requests ask.
        base_url: The URL of the service that has the model; "" if the provider does not say.
        requests: How many there are.
        size: Its size in bytes.
    """

    path: Path
    model: str
    base_url: str
    requests: int
    size: int


class _Open(NamedTuple):
    path: Path
    part: Path
    file: IO[bytes]
    slips: dict[str, Slip]


class Out:
    """The batch files of one round.

    A file comes into being in three steps: it is written under another name, its requests are noted in the
    journal, and it gets its name. So a request of a file that is there is known to the journal, and what a
    kill leaves behind is put right by the next round (`recover`).

    Args:
        path: The path of the first file. Further ones are numbered: `requests-2.jsonl`. No file that is there
            is overwritten.
        book: The journal.
        max_requests: The most requests of a file.
        max_bytes: The most bytes of a file.
        url: The `url` of each line.

    Attributes:
        files: The files that are whole.
    """

    def __init__(
        self,
        path: Path,
        book: Book,
        *,
        max_requests: int,
        max_bytes: int,
        url: str = URL,
    ) -> None:
        self.files: list[BatchFile] = []
        self._path = path
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._book = book
        # In the names of files that are not whole, so that two journals don't meet in them.
        own = str(book.path.absolute()).encode("utf-8", "surrogateescape")
        self._mark = blake2b(own, digest_size=4).hexdigest()
        self._url = url
        self._open: dict[tuple[str, str], _Open] = {}
        self._number = 0

    def recover(self, waiting: Iterable[Slip]) -> None:
        """Give the files their names that a kill has kept from them.

        Args:
            waiting: The requests that wait for a response.
        """
        counts = Counter((slip.file, slip.model) for slip in waiting)
        for (name, model), count in counts.items():
            path = self._path.with_name(name)
            part = self._part_of(path)
            if part.exists():
                size = part.stat().st_size
                part.replace(path)
                self.files.append(BatchFile(path, model, "", count, size))

    def add(self, name: str, body: bytes, slip: Slip, *, base_url: str) -> Slip:
        """Write a request; returns the slip with the name of its file.

        Raises:
            ValueError: It alone is larger than a file may be.
        """
        line = request_line(name, body, self._url)
        if len(line) > self._max_bytes:
            raise ValueError(
                f"a request of row {shorten(slip.key.row, 60)!r} has {len(line)} bytes, and a batch file may "
                f"have {self._max_bytes}"
            )
        place = base_url, slip.model
        there = self._open.get(place)
        if there is not None and (
            len(there.slips) >= self._max_requests or there.file.tell() + len(line) > self._max_bytes
        ):
            self._finish(place)
            there = None
        if there is None:
            there = self._open[place] = self._begin()
        there.file.write(line)
        there.slips[name] = slip = slip._replace(file=there.path.name)
        return slip

    def close(self) -> None:
        """Finish all files."""
        for place in list(self._open):
            self._finish(place)

    def drop(self) -> None:
        """Remove the files that are not whole: none of their requests is noted."""
        for path, part, file, _ in self._open.values():
            file.close()
            for each in (part, path):
                each.unlink(missing_ok=True)
        self._open.clear()

    def _part_of(self, path: Path) -> Path:
        return path.with_name(f"{path.name}.{self._mark}.part")

    def _begin(self) -> _Open:
        while True:
            self._number += 1
            number = f"-{self._number}" if self._number > 1 else ""
            path = self._path.with_name(f"{self._path.stem}{number}{self._path.suffix}")
            part = self._part_of(path)
            try:
                # An empty file keeps the name, also against a job that writes beside this one.
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            except FileExistsError:
                if not (part.exists() and path.stat().st_size == 0):
                    continue
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            return _Open(path, part, os.fdopen(descriptor, "wb"), {})

    def _finish(self, place: tuple[str, str]) -> None:
        path, part, file, slips = self._open.pop(place)
        with file:
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        for name, slip in slips.items():
            self._book.append(written_line(name, slip))
        self._book.flush()
        part.replace(path)
        with contextlib.suppress(OSError):  # not every system can sync a directory
            directory = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        base_url, model = place
        self.files.append(BatchFile(path, model, base_url, len(slips), size))
