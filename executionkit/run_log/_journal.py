"""The journal of a log, which gives spans their identifiers and makes lines of their events."""

import os
import secrets
import time
from datetime import UTC, datetime
from itertools import count
from json import JSONEncoder
from typing import Final

from executionkit._version import __version__
from executionkit.run_log._facts import Facts
from executionkit.run_log._lines import Lines

VERSION: Final = 1
"""The version of the format. It grows when a reader of the version before would misread a log."""

_ENCODER: Final = JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class Journal:
    """Writes events to a file.

    Args:
        path: The file.
        content: Whether the texts of conversations are written too.

    Raises:
        OSError: The file can't be opened.
    """

    def __init__(self, path: str | os.PathLike[str], *, content: bool) -> None:
        self.path = os.fspath(path)
        self.content = content
        self.lines = Lines(path)
        self._begin_process()

    def new_id(self) -> str:
        """An identifier that no other span of the file has."""
        self._notice_fork()
        return f"{self._prefix}-{next(self._ids)}"

    def write(self, event: str, rest: Facts) -> None:
        """Write one event, with the facts that are not None."""
        self._notice_fork()
        line: Facts = {"v": VERSION, "event": event, "time": _moment(time.time())}
        line |= {key: value for key, value in rest.items() if value is not None}
        self.lines.append(_ENCODER.encode(line).encode())

    def _notice_fork(self) -> None:
        if self._process != os.getpid():
            self.lines.unlock()
            self._begin_process()

    def _begin_process(self) -> None:
        self._process = os.getpid()
        self._prefix = secrets.token_hex(4)
        self._ids = count(1)
        self.write("log", {"process": self._process, "library": __version__, "content": self.content})


def _moment(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
