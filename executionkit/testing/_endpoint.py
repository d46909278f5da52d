"""`LocalEndpoint`: an OpenAI-compatible server on 127.0.0.1, in a thread of its own, for tests."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

from executionkit.testing._connection import Connection
from executionkit.testing._faults import Answer
from executionkit.testing._ledger import Ledger
from executionkit.testing._limits import Limits
from executionkit.testing._service import Gate, Model, Service

_QUIET_TURNS = 12
"""Turns of the loop without news after which `settle` takes it that none is on its way.

About five turns pass between a connection that waits to be accepted and its first bytes.
"""


class LocalEndpoint:
    """An OpenAI-compatible server on 127.0.0.1, for tests over real HTTP.

    It listens on a free port and runs in a thread with its own event loop. So scripts, threads and any number
    of event loops can use it at once. It serves `POST /v1/chat/completions` and `GET /v1/models`.

    It checks requests as a real server does, and refuses them with the status and the error object of a real
    server. Replies have OpenAI's shape and are cut to the request's `max_tokens`. `count_tokens` and
    `count_prompt_tokens` count their tokens. With `"stream": true` the same reply is sent as server-sent
    events, one word at a time. The ledger counts it the same, even if the client doesn't ask for the usage.

    Example:
        ```python
        from executionkit import Provider, RetryConfig, consensus_sync
        from executionkit.testing import Fault, LocalEndpoint

        with LocalEndpoint([Fault.status(503), "hello"]) as endpoint:
            provider = Provider(endpoint.base_url, "any-model")
            result = consensus_sync(
                provider, "Say hello.", num_samples=1, retry=RetryConfig(base_delay=0)
            )
            assert endpoint.ledger.statuses == (503, 200)
            assert endpoint.ledger.usage == result.cost
        ```

    Args:
        script: A list of replies, sent in order of arrival, or one function, a simulated model. A reply is a
            text, a response, a `Fault`, or a plain or async function that takes the `ChatRequest` and returns
            one of these. The list starts over when it runs out; an empty one gives an empty reply to every
            call. Functions run in the endpoint's event loop, so a plain one must not block. If one raises,
            the client gets status 400 with the exception's text. A refused request uses up no reply.
        models: The models it serves; a request for another one gets 404. Defaults to every model.
        api_key: The key that requests must carry as bearer token or as `api-key` header; a request without it
            gets 401. Defaults to no check.
        reasoning_model: Refuse `temperature` and `max_tokens` with 400, as reasoning models do.
        strict: Answer 400 when the list runs out, instead of starting over.
        limits: Rate limits; a request that meets one gets 429. Defaults to no limits.

    Raises:
        TypeError: The script is neither a list of replies nor a function, `models` is not a list of names, or
            `limits` is not a Limits.
        ValueError: `strict` is used with a function, or a model's name or `api_key` is not a str.
    """

    def __init__(
        self,
        script: Iterable[Answer | Model] | Model = (),
        *,
        models: Sequence[str] = (),
        api_key: str | None = None,
        reasoning_model: bool = False,
        strict: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self._service = Service(
            script,
            models=models,
            api_key=api_key,
            reasoning_model=reasoning_model,
            strict=strict,
            limits=limits,
        )
        self._connections: set[Connection] = set()
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._failure: OSError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._port = 0

    @property
    def base_url(self) -> str:
        """The URL to give a client, `http://127.0.0.1:PORT/v1`; known once the endpoint was started."""
        self._running_loop()
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def ledger(self) -> Ledger:
        """The requests served up to now. It is a snapshot: read the property again for newer figures."""
        return self._service.books.picture()

    def start(self) -> None:
        """Start to listen; entering the `with` block does it. An endpoint can be started once.

        Raises:
            RuntimeError: It was started before.
            OSError: No port is free.
        """
        if self._thread is not None:
            raise RuntimeError("this endpoint was started before; make a new one")
        self._thread = threading.Thread(target=self._run, name="executionkit-endpoint", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def close(self) -> None:
        """Close every connection and end the thread; calling it again does nothing."""
        loop, stop, thread = self._loop, self._stop, self._thread
        if loop is not None and stop is not None:
            # A RuntimeError says that another thread closed it at this moment.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(stop.set)
        if thread is not None:
            thread.join()

    def hold(self) -> Gate:
        """Hold every call that arrives from now on, until the returned gate releases it.

        A held call is counted, and takes its reply from the script, when it arrives.

        Raises:
            RuntimeError: Calls are held already.
        """
        gate = self._service.gate
        if gate is not None and not gate.is_open:
            raise RuntimeError("calls are held already; release that gate first")
        self._service.gate = gate = Gate(self._running_loop())
        return gate

    def release_hung(self) -> None:
        """Let the calls go on that wait in a `Fault.hang` or a `Fault.stall`; later calls wait again."""
        self._service.release_hung(self._running_loop())

    async def wait_until(self, condition: Callable[[Ledger], bool], *, timeout: float = 10.0) -> Ledger:
        """Wait until the ledger meets `condition`, and return it.

        The condition is checked after every change. It is checked in the waiting loop or thread, so a state
        that has passed by then is not seen.

        Raises:
            TimeoutError: The condition is not met within `timeout` seconds.
        """
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def listener() -> None:
            # A RuntimeError says that the loop was closed while it waited.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(changed.set)

        with self._service.books.listening(listener):
            try:
                async with asyncio.timeout(timeout):
                    while not condition(ledger := self.ledger):
                        await changed.wait()
                        changed.clear()
                    return ledger
            except TimeoutError:
                raise _too_late(timeout, self.ledger) from None

    def wait_until_sync(self, condition: Callable[[Ledger], bool], *, timeout: float = 10.0) -> Ledger:
        """`wait_until` for scripts and threads."""
        changed, deadline = threading.Event(), time.monotonic() + timeout
        with self._service.books.listening(changed.set):
            while not condition(ledger := self.ledger):
                if not changed.wait(deadline - time.monotonic()):
                    raise _too_late(timeout, ledger)
                changed.clear()
            return ledger

    async def wait_in_flight(self, count: int, *, timeout: float = 10.0) -> Ledger:
        """Wait until at least `count` calls are in flight; for calls that are held or hang.

        Raises:
            TimeoutError: Fewer are in flight after `timeout` seconds.
        """
        return await self.wait_until(lambda ledger: ledger.in_flight >= count, timeout=timeout)

    def wait_in_flight_sync(self, count: int, *, timeout: float = 10.0) -> Ledger:
        """`wait_in_flight` for scripts and threads."""
        return self.wait_until_sync(lambda ledger: ledger.in_flight >= count, timeout=timeout)

    async def settle(self) -> Ledger:
        """Wait until the endpoint has seen everything that clients have sent or closed by now.

        Compare the ledger after this if requests were cancelled.

        Returns:
            The ledger.
        """
        return await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(self._settled(), self._running_loop())
        )

    def settle_sync(self) -> Ledger:
        """`settle` for scripts and threads."""
        return asyncio.run_coroutine_threadsafe(self._settled(), self._running_loop()).result()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("this endpoint isn't running; use it in a `with` block or call start()")
        return self._loop

    def _run(self) -> None:
        try:
            # Whatever event loop the tests use, the endpoint's own one needs `add_reader`.
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self._serve())
        except OSError as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
            listener.settimeout(0)
            self._port = listener.getsockname()[1]
            self._stop = asyncio.Event()
            self._service.open(loop)
            # Not loop.create_server: closing that while it is accepting leaves sockets behind.
            accepting: set[asyncio.Task[object]] = set()
            loop.add_reader(listener, self._accept, listener, accepting)
            self._loop = loop
            self._ready.set()
            await self._stop.wait()
            self._loop = None
            loop.remove_reader(listener)
        await asyncio.gather(*accepting, return_exceptions=True)
        for connection in self._connections:
            connection.abort()
        while self._connections:  # noqa: ASYNC110  # each goes one turn of the loop after it was aborted
            await asyncio.sleep(0)

    def _accept(self, listener: socket.socket, accepting: set[asyncio.Task[object]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            sock, _ = listener.accept()
        except (
            OSError
        ):  # pragma: no cover  # the client left already, or there are no file descriptors just now
            return
        sock.settimeout(0)
        task: asyncio.Task[object] = loop.create_task(
            loop.connect_accepted_socket(lambda: Connection(self._service, self._connections), sock)
        )
        accepting.add(task)
        task.add_done_callback(accepting.discard)

    async def _settled(self) -> Ledger:
        quiet = 0
        while quiet < _QUIET_TURNS:
            seen = self._service.activity
            await asyncio.sleep(0)
            quiet = quiet + 1 if seen == self._service.activity else 0
        return self.ledger


def _too_late(timeout: float, ledger: Ledger) -> TimeoutError:
    figures = f"{ledger.calls} calls, {ledger.in_flight} in flight, statuses {ledger.statuses}"
    return TimeoutError(f"the condition was not met after {timeout:g} s: {figures}")
