"""The back end over the standard library: for each request at once a thread with a kept-alive connection."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from executionkit.provider._http.faults import CLOSED, OverrunError, TransportError
from executionkit.provider._http.incoming import Incoming
from executionkit.provider._http.stdlib_connection import Call, Connection
from executionkit.provider._http.stdlib_dialing import Dialer
from executionkit.provider._http.transport import KEEP_ALIVE, LOOK, Dispatch, Endpoint, Reply

T = TypeVar("T")

_FAREWELL = 1.0
"""Seconds closing waits for threads to end. All do so at once but one that is resolving a name, which nothing
can interrupt: it is left to end by itself, and being a daemon holds up no exit."""


_AHEAD = 262_144
"""Bytes of a reply on their way to a busy event loop before the thread that reads them waits for it."""

_LOOK = 0.5
"""Seconds between two looks at whether that loop was closed; a loop has no event for it."""


class StdlibTransport:
    """Hands each request to an idle worker, or a new one when none is idle."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._dialer = Dialer(endpoint)
        self.proxy = self._dialer.proxy
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._workers: set[_Worker] = set()
        self._closed = False

    async def post(self, body: bytes, dispatch: Dispatch, endpoint: Endpoint, within: float) -> Reply:
        """Post the body and read the whole reply."""
        future: asyncio.Future[Reply | TransportError] = asyncio.get_running_loop().create_future()
        job = _Job(body, dispatch, endpoint, future)
        self._hire(job)
        try:
            async with asyncio.timeout(within):
                outcome = await future
        except asyncio.CancelledError:
            job.abort()
            raise
        except TimeoutError:
            job.abort()
            raise OverrunError from None
        if isinstance(outcome, TransportError):
            raise outcome
        return outcome

    def stream(self, body: bytes, dispatch: Dispatch, endpoint: Endpoint) -> Incoming:
        """Post the body and hand the reply over while it arrives."""
        job = _StreamJob(body, dispatch, endpoint)
        try:
            self._hire(job)
        except TransportError as fault:
            job.incoming.end(fault)
        return job.incoming

    def _hire(self, job: "_Job | _StreamJob") -> None:
        with self._lock:
            if self._closed:
                raise TransportError(CLOSED)
            if self._idle:
                # The worker that was busy last has the connection that is least likely to be closed by now.
                worker = self._idle.pop()
            else:
                worker = _Worker(self, Connection(self._dialer))
                try:
                    worker.start()
                except RuntimeError as exc:
                    raise TransportError(f"no thread for another request ({exc})") from None
                self._workers.add(worker)
        worker.assign(job)

    def rest(self, worker: "_Worker") -> None:
        """Take a worker that is free again."""
        with self._lock:
            self._idle.append(worker)

    def retire(self, worker: "_Worker") -> bool:
        """Whether a worker that waited in vain may end; not if a job was just assigned to it."""
        with self._lock:
            if worker in self._idle:
                self._idle.remove(worker)
                self._workers.discard(worker)
                return True
            return False

    async def aclose(self) -> None:
        """End all workers and with them their connections."""
        with self._lock:
            self._closed = True
            self._idle.clear()
            workers, self._workers = self._workers, set()
        loop = asyncio.get_running_loop()
        farewells = [worker.dismiss(loop) for worker in workers]
        if farewells:
            await asyncio.wait(farewells, timeout=_FAREWELL)
        for worker in workers:
            worker.join_if_done()


class _Job(Call):
    """A call, and the future that waits for its outcome."""

    def __init__(
        self,
        body: bytes,
        dispatch: Dispatch,
        endpoint: Endpoint,
        future: "asyncio.Future[Reply | TransportError]",
    ) -> None:
        super().__init__(body, dispatch, endpoint, endpoint.whole_timeout)
        self._future = future

    def settle(self, outcome: Reply | TransportError) -> None:
        """Hand the outcome over to the event loop."""
        _tell(self._future, outcome)


class _StreamJob(Call):
    """A call whose reply is handed over to the event loop while it arrives."""

    def __init__(self, body: bytes, dispatch: Dispatch, endpoint: Endpoint) -> None:
        super().__init__(body, dispatch, endpoint, endpoint.timeout)
        self.arriving = self
        self.incoming = Incoming(endpoint.max_bytes, self.abort)
        self._loop = asyncio.get_running_loop()
        self._room = threading.Condition()
        self._on_the_way = 0

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Hand over the head."""
        self._tell(self.incoming.begin, status, headers)

    def feed(self, part: bytes) -> None:
        """Hand over a part of the body, once there is room for it."""
        with self._room:
            while self._on_the_way >= _AHEAD and not self.aborted and not self._loop.is_closed():
                self._room.wait(_LOOK)
            self._on_the_way += len(part)
        if self.aborted or self._loop.is_closed():
            raise TransportError(CLOSED)
        self._tell(self._take, part)

    def _take(self, part: bytes) -> None:
        with self._room:
            self._on_the_way -= len(part)
            self._room.notify()
        self.incoming.feed(part)

    def settle(self, outcome: Reply | TransportError) -> None:
        """Hand over the end."""
        self._tell(self.incoming.end, outcome if isinstance(outcome, TransportError) else None)

    def _tell(self, callback: Callable[..., None], *args: object) -> None:
        # A loop that is gone needs no answer.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *args)


class _Worker:
    """A thread that makes one request after another on a connection of its own."""

    def __init__(self, transport: StdlibTransport, connection: Connection) -> None:
        self._transport = transport
        self._connection = connection
        self._assigned: queue.SimpleQueue[_Job | _StreamJob | None] = queue.SimpleQueue()
        self._job: _Job | _StreamJob | None = None
        self._farewell: asyncio.Future[None] | None = None
        # A daemon, so that an abandoned request does not hold up the exit of the program.
        self._thread = threading.Thread(target=self._run, name="executionkit-http", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def assign(self, job: _Job | _StreamJob) -> None:
        """Give an idle worker something to do."""
        self._job = job
        self._assigned.put(job)

    def dismiss(self, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[None]":
        """End the thread; the future is done when it has nothing left to do."""
        self._farewell = loop.create_future()
        job = self._job
        if job is not None:
            job.abort()
        self._assigned.put(None)
        return self._farewell

    def join_if_done(self) -> None:
        """Wait for the thread's last instructions, if it has come to them."""
        if self._farewell is not None and self._farewell.done():
            self._thread.join()

    def _run(self) -> None:
        since = time.monotonic()
        while True:
            try:
                job = self._assigned.get(timeout=min(LOOK, KEEP_ALIVE))
            except queue.Empty:
                self._connection.close_if_ended()
                if time.monotonic() - since >= KEEP_ALIVE and self._transport.retire(self):
                    break
                continue
            if job is None:
                break
            self._make(job)
            since = time.monotonic()
            del job  # or an idle thread would keep the body of the last request
        self._connection.close()
        if self._farewell is not None:
            _tell(self._farewell, None)

    def _make(self, job: _Job | _StreamJob) -> None:
        try:
            outcome: Reply | TransportError = self._connection.exchange(job)
        except TransportError as fault:
            outcome = fault.with_traceback(None)  # its frames hold the socket and the request
        self._job = None
        # The worker is free before the outcome is out, because the caller may post the next request at once.
        self._transport.rest(self)
        job.settle(outcome)


def _tell(future: "asyncio.Future[T]", result: T) -> None:
    """Settle a future from another thread, unless its loop is gone or it was cancelled."""

    def settle() -> None:
        if not future.done():
            future.set_result(result)

    with suppress(RuntimeError):
        future.get_loop().call_soon_threadsafe(settle)
