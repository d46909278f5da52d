"""A file to which several processes and threads append whole lines."""

import logging
import os
import stat
import threading
import weakref
from typing import Final

from executionkit._logs import write

_LOGGER: Final = logging.getLogger("executionkit.run_log")
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)


class Lines:
    """The lines of a file, each appended by one write.

    A line that can't be written is counted and left out: whatever is logged is worth more than its log.

    Args:
        path: The file. It is made if it is not there, for its owner alone to read.

    Attributes:
        lost: The lines that could not be written.

    Raises:
        OSError: The file can't be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.lost = 0
        self._descriptor = os.open(path, _FLAGS, 0o600)
        self._close = weakref.finalize(self, os.close, self._descriptor)
        # Reentrant: a stream that is dropped tells so from the garbage collector, at any time.
        self._lock = threading.RLock()
        # The process that wrote here before may have been killed within a line.
        self._is_torn = _ends_within_a_line(self._descriptor)

    def unlock(self) -> None:
        """Forget who holds the lock: in a forked process, a thread that isn't there."""
        self._lock = threading.RLock()

    def append(self, line: bytes) -> None:
        """Append a line, given without its end."""
        # Without the lock, a file that is closed meanwhile could give its number to another one.
        with self._lock:
            if not self._close.alive:
                self.lost += 1
                return
            whole = b"\n%b\n" % line if self._is_torn else line + b"\n"
            try:
                written = os.write(self._descriptor, whole)
            except OSError as error:
                self._lose(error.strerror or type(error).__name__)
                return
            self._is_torn = written < len(whole)
            if self._is_torn:
                self._lose("only a part was taken")

    def close(self) -> None:
        """Close the file. Lines that come later are left out."""
        with self._lock:
            self._close()

    def _lose(self, why: str) -> None:
        self.lost += 1
        if self.lost == 1:
            write(
                _LOGGER,
                logging.WARNING,
                "a line of the run log could not be written (%s); the run goes on",
                why,
            )


def _ends_within_a_line(descriptor: int) -> bool:
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size == 0:
        return False
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1) != b"\n"
