"""The file of a journal: lines appended by one writer, and made durable in groups."""

import asyncio
import contextlib
import os
import stat
import sys
import threading
import time
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias
from weakref import WeakKeyDictionary

from executionkit.errors import JournalError

Sync: TypeAlias = Literal["group", "second", "never"]

_FLAGS: Final = (
    os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
)
_IDLE: Final = 1.0
_Turn: TypeAlias = "tuple[asyncio.AbstractEventLoop, list[asyncio.Future[None]]]"


class JournalFile:
    """An open, locked file of whole lines.

    Args:
        path: The file. It is made if it is not there, for its owner alone to read.
        sync: When lines are made durable.

    Raises:
        JournalError: It can't be opened, or another process has it.
    """

    def __init__(self, path: str, sync: Sync) -> None:
        self.path = path
        self._sync = sync
        self._descriptor = _opened(path)
        self._reader = open(path, "rb", buffering=0)  # noqa: SIM115 - closed with the journal
        self.end = os.fstat(self._descriptor).st_size
        self._lock = threading.Lock()
        self._fault: str | None = None
        self._is_closed = False
        self._wanted = threading.Condition(threading.Lock())
        # By loop, and weakly: a loop may be closed before it comes to the end of its turn.
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = (
            WeakKeyDictionary()
        )
        self._waiters: list[_Turn] = []
        self._thread: threading.Thread | None = None
        self._unsynced = False

    def cut(self, end: int) -> None:
        """Cut off what follows the last whole line."""
        if end < self.end:
            os.ftruncate(self._descriptor, end)
            self.end = end

    def append(self, line: bytes) -> int:
        """Append a line, with its end; returns its place.

        Raises:
            JournalError: It can't be written. Then nothing more is.
        """
        with self._lock:
            if self._fault is not None:
                raise JournalError(self._fault)
            if self._is_closed:
                raise JournalError(f"{self.path}: the journal is closed")
            begin = self.end
            try:
                written = os.write(self._descriptor, line)
                while written < len(line):  # as a disk does that is nearly full; the next try says so
                    written += os.write(self._descriptor, line[written:])
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, begin)
                raise JournalError(self._broken(error)) from error
            # Asked of the system: a signal may have come between an earlier write and its count.
            self.end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
            if self.end < begin + len(line):
                raise JournalError(self._lost("something else has cut it off"))
            begin = self.end - len(line)
            self._unsynced = True
            if self._sync == "second" and self._thread is None:
                self._start()
        return begin

    def read(self, offset: int) -> bytes:
        """The line at a place."""
        with self._lock:
            self._reader.seek(offset)
            found = b""
            while not found.endswith(b"\n"):
                piece = self._reader.read(max(4096, len(found)))
                if not piece:
                    break
                end = piece.find(b"\n")
                found += piece if end < 0 else piece[: end + 1]
            return found

    async def commit(self) -> None:
        """Wait until all lines that were appended by now are on the disk, if that is to be waited for.

        Raises:
            JournalError: They could not be brought there.
        """
        if self._sync != "group":
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        turn = self._turns.get(loop)
        if turn is None:
            # The replies that come in the same turn of the loop share a flush, and wake the thread once.
            turn = self._turns[loop] = []
            loop.call_soon(self._flush_turn, loop)
        turn.append(future)
        await future

    def _flush_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the thread flush for those who came in this turn of the loop."""
        futures = self._turns.pop(loop)
        with self._wanted:
            self._waiters.append((loop, futures))
            if self._thread is None:
                self._start()
            else:
                self._wanted.notify()

    def flush(self) -> None:
        """Bring all lines to the disk, and wait for it.

        Raises:
            JournalError: They can't be brought there.
        """
        if self._sync == "never":
            return
        try:
            self._unsynced = False
            _flush(self._descriptor)
        except OSError as error:
            raise JournalError(self._broken(error)) from error

    def close(self) -> None:
        """Bring everything to the disk, and let go of the file."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            thread = self._thread
        with self._wanted:
            self._wanted.notify()
        if thread is not None:
            thread.join()
        try:
            if self._sync != "never" and self._unsynced and self._fault is None:
                _flush(self._descriptor)
        except OSError as error:
            raise JournalError(self._broken(error)) from error
        finally:
            self._reader.close()
            os.close(self._descriptor)

    def replace(self, lines: Iterable[bytes]) -> None:
        """Put other lines in the place of all that are there, at once or not at all."""
        beside = f"{self.path}.new"
        with self._lock:
            if self._fault is not None:
                raise JournalError(self._fault)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)
            try:
                descriptor = os.open(beside, _FLAGS | os.O_EXCL, 0o600)
                try:
                    with open(descriptor, "wb", buffering=1 << 20, closefd=False) as file:
                        file.writelines(lines)
                    _flush(descriptor)
                    if not _locked(descriptor):
                        raise JournalError(f"{beside}: another process has it")
                    os.replace(beside, self.path)
                    _flush_directory(self.path)
                    os.dup2(descriptor, self._descriptor, inheritable=False)
                finally:
                    os.close(descriptor)
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.unlink(beside)
                raise JournalError(
                    f"{self.path}: can't be compacted ({_why(error)}); it is as it was"
                ) from error
            self._reader.close()
            self._reader = open(self.path, "rb", buffering=0)  # noqa: SIM115 - closed with the journal
            self.end = os.fstat(self._descriptor).st_size

    def _lost(self, how: str) -> str:
        self._fault = (
            f"{self.path}: {how} while it was written; the job stops, because what is not in the "
            "journal would be paid for again"
        )
        return self._fault

    def _broken(self, error: OSError) -> str:
        self._fault = (
            f"{self.path}: can't be written ({_why(error)}); the job stops, because what is not in the "
            "journal would be paid for again. Make room and start again: whatever is in it is kept"
        )
        return self._fault

    def _start(self) -> None:
        name = "executionkit-journal"
        work = self._commit_groups if self._sync == "group" else self._commit_each_second
        self._thread = threading.Thread(target=work, name=name, daemon=True)
        self._thread.start()

    def _commit_groups(self) -> None:
        """Flush once for all calls that wait, until none has come for a while."""
        while True:
            with self._wanted:
                if not self._waiters and not self._is_closed:
                    self._wanted.wait(_IDLE)
                waiters, self._waiters = self._waiters, []
                if not waiters:
                    self._thread = None
                    return
            fault = None
            try:
                if self._fault is None:
                    self._unsynced = False
                    _flush(self._descriptor)
                    if not os.fstat(self._descriptor).st_nlink:
                        self._lost("somebody has deleted it")
            except OSError as error:
                self._broken(error)
            fault = self._fault
            for loop, futures in waiters:
                with contextlib.suppress(RuntimeError):  # the loop is closed, and its calls have ended
                    loop.call_soon_threadsafe(_tell, futures, fault)

    def _commit_each_second(self) -> None:
        while not self._is_closed:
            with self._wanted:
                if not self._is_closed:
                    self._wanted.wait(_IDLE)
            with self._lock:
                if not self._unsynced:
                    self._thread = None
                    return
                self._unsynced = False
            try:
                _flush(self._descriptor)
            except OSError as error:
                self._broken(error)
                return


def _tell(futures: list["asyncio.Future[None]"], fault: str | None) -> None:
    for future in futures:
        if not future.done():
            if fault is None:
                future.set_result(None)
            else:
                future.set_exception(JournalError(fault))


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _flush(descriptor: int) -> None:
    """Bring a file to its disk. A seam for the tests, which cut the power."""
    os.fsync(descriptor)


def _flush_directory(path: str) -> None:
    if sys.platform == "win32":  # which can't open one
        return
    descriptor = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _opened(path: str) -> int:
    while True:
        try:
            is_new = not os.path.exists(path)
            descriptor = os.open(path, _FLAGS, 0o600)
        except OSError as error:
            raise JournalError(f"{path}: can't be opened ({_why(error)})") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise JournalError(f"{path} is a pipe or a device: a journal is a file")
        try:
            is_ours = _locked(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise JournalError(f"{path}: can't be locked ({_why(error)}); use a local disk") from error
        if not is_ours:
            os.close(descriptor)
            raise JournalError(
                f"{path}: another process is writing it{_writer_of(path)}; wait for its end, or give each "
                "process a journal of its own"
            )
        # Another file may have taken its place before the lock was there.
        try:
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                if is_new:
                    _flush_directory(path)
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)
        time.sleep(0)


def _writer_of(path: str) -> str:
    """The process that began to write last, as far as the journal tells."""
    import json

    found: object = None
    try:
        with open(path, "rb") as file:
            for line in file:
                if line.startswith(b'{"t":"start"') and line.endswith(b"\n"):
                    found = json.loads(line).get("process")
    except (OSError, ValueError):
        return ""
    return f" (process {found})" if isinstance(found, int) else ""


if sys.platform == "win32":
    import msvcrt

    _FAR: Final = 1 << 40  # beyond all lines: what is locked can't be read

    def _locked(descriptor: int) -> bool:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _locked(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
