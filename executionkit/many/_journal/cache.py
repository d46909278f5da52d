"""`Cache`: answers equal requests from a file, across rows, jobs and programs."""

import errno
import logging
import os
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from executionkit import _checks as checks
from executionkit._logs import write
from executionkit.engine.relay import Relay, innermost
from executionkit.engine.watch import where
from executionkit.errors import JournalError
from executionkit.many._journal.calls import GivenEvents
from executionkit.many._journal.format import (
    encoded,
    parsed,
    reply_from,
    reply_text,
    request_digest,
    request_text,
)
from executionkit.many._journal.load import lines_of
from executionkit.many._journal.scope import NUMBER, Scope, current_row
from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse
from executionkit.streaming import Finish, StreamEvent

_LOGGER: Final = logging.getLogger("executionkit.many")
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)


class Cache(Relay):
    """Answers a request that was answered before, from a file of JSON Lines.

    Two requests are equal if model, URL and all arguments are, `max_tokens` included. Equal requests of one
    row are numbered, and so are those that are made outside any row, for as long as the cache is there: each
    gets another reply. So a vote of five has five replies, and the same vote in another row, or in the next
    program, gets the same five.

    A reply out of the file costs nothing: no run, budget, limit or journal counts a call for it.

    The file may be shared: another process sees what was in it when it began. A reply that can't be written
    is handed on all the same, and that is logged once.

    Args:
        provider: The provider inside.
        path: The file. It is made if it is not there, for its owner alone to read.
        ttl: For how many seconds a reply is used; None for ever.

    Raises:
        TypeError: `provider` has no `complete`.
        ValueError: `ttl` is not positive.
        JournalError: The file can't be opened, or is something else.
    """

    def __init__(self, provider: LLMProvider, path: str | os.PathLike[str], ttl: float | None = None) -> None:
        super().__init__(provider)
        if ttl is not None:
            checks.positive(ttl=ttl)
        self.path: Path = Path(path)
        self.ttl: float | None = ttl
        self._own: Scope[Any] = Scope(self, "")
        self._lock = threading.Lock()
        self._is_lost = False
        self._places: dict[tuple[str, int], int] = {}
        model, base_url = where(innermost(provider))
        extra = getattr(provider, "extra_body", None)
        temperature = getattr(provider, "default_temperature", None)
        self._identity = request_text("", [model, base_url, extra or None, temperature], None, None, None)
        try:
            self._descriptor = os.open(self.path, _FLAGS, 0o600)
            self._read()
        except OSError as error:
            raise JournalError(f"{self.path}: can't be opened ({error.strerror})") from error

    def _read(self) -> None:
        size = os.fstat(self._descriptor).st_size
        end = 0
        with open(self.path, "rb") as file:
            for offset, line in lines_of(file, size):
                if not offset and not line.startswith(b'{"t":"cached"'):
                    raise JournalError(f"{self.path} is not a cache: its first line is not of a cache")
                found = parsed(line)  # None where a process was killed within a line
                if found is not None and found.get("t") == "cached":
                    self._places[str(found.get("req")), found.get("n", 0)] = offset
                end = offset + len(line)
        if end < size:  # within a line, by a process that was killed
            os.write(self._descriptor, b"\n")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1

    def _find(self, key: tuple[str, int]) -> LLMResponse | None:
        offset = self._places.get(key)
        if offset is None:
            return None
        line = parsed(self._line_at(offset)) or {}
        if line.get("t") != "cached" or (line.get("req"), line.get("n")) != key:
            return None  # the file was cut or written over meanwhile
        at = line.get("at")
        is_old = self.ttl is not None and not (isinstance(at, (int, float)) and time.time() - at < self.ttl)
        if is_old:
            return None
        reply = reply_from(line)
        return replace(reply, usage={**reply.usage, "from_cache": True})

    def _line_at(self, offset: int) -> bytes:
        """The line that begins there; nothing if it can't be read. The file may have been deleted."""
        try:
            with self._lock, open(os.dup(self._descriptor), "rb") as file:  # they have one position
                file.seek(offset)
                return file.readline()
        except OSError:
            return b""

    def _keep(self, key: tuple[str, int], reply: LLMResponse) -> None:
        request, n = key
        head = f'{{"t":"cached","req":"{request}","n":{n},"at":{time.time():.3f}'
        line = encoded(f"{head},{reply_text(reply)}}}\n")
        with self._lock:
            try:
                if os.write(self._descriptor, line) < len(line):
                    raise OSError(errno.ENOSPC, "only a part was taken")
                self._places[key] = os.lseek(self._descriptor, 0, os.SEEK_CUR) - len(line)
            except OSError as error:
                if not self._is_lost:
                    why = f"a reply can't be written to the cache ({error.strerror}); the run goes on"
                    write(_LOGGER, logging.WARNING, why)
                self._is_lost = True

    @contextmanager
    def _key(
        self, messages: object, temperature: object, tools: object, options: object
    ) -> Generator[tuple[str, int], None, None]:
        """The request and its number among the equal ones, which another one gets if this brings no reply."""
        request = request_digest(request_text(self._identity, messages, temperature, tools, options))
        number = NUMBER.get()
        if number is not None:  # a journal has numbered the request, and frees its number if it fails
            yield request, number
            return
        row = current_row() or self._own
        key = request, row.number(self, request)
        is_there = False
        try:
            yield key
            is_there = key in self._places
        finally:
            if not is_there:
                row.free(self, *key)

    async def complete(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        """Answer from the file, or pass the call on and keep its reply; see `LLMProvider.complete`."""
        with self._key(messages, temperature, tools, {"max_tokens": max_tokens, **kwargs}) as key:
            reply = self._find(key)
            if reply is None:
                reply = await super().complete(
                    messages, temperature=temperature, max_tokens=max_tokens, tools=tools, **kwargs
                )
                self._keep(key, reply)
            return reply

    def open_stream(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        """Answer from the file, each text in one piece, or pass the call on and keep its reply."""
        options = {"max_tokens": max_tokens, **kwargs}
        inner = super().open_stream

        @asynccontextmanager
        async def stream() -> AsyncGenerator[AsyncIterator[StreamEvent]]:
            with self._key(messages, temperature, tools, options) as key:
                reply = self._find(key)
                if reply is not None:
                    yield GivenEvents(reply)
                    return
                async with inner(
                    messages, temperature=temperature, max_tokens=max_tokens, tools=tools, **kwargs
                ) as events:
                    yield self._kept(key, events)

        return stream()

    async def _kept(
        self, key: tuple[str, int], events: AsyncIterator[StreamEvent]
    ) -> AsyncIterator[StreamEvent]:
        async for event in events:
            if isinstance(event, Finish):
                self._keep(key, event.response)
            yield event
