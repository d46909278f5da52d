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
from executionkit.testing._gate import Gate
from executionkit.testing._ledger import Ledger
from executionkit.testing._service import Model, Service

# How many turns of the loop without any news it takes to be sure that none is on its way: from a connection
# waiting to be accepted to its first bytes it is five or so.
_QUIET_TURNS = 12


class LocalEndpoint:
    """A server that speaks enough of OpenAI's chat completions to test any client against.

    It listens on a free port of 127.0.0.1 and runs in a thread with an event loop of its own, so that
    scripts, threads and any number of client loops may use it. `POST /v1/chat/completions` and
    `GET /v1/models` are served. Requests are checked as a real server checks them, and refused with the
    status and the error object a real server sends. Replies have OpenAI's shape, are cut to the
    request's `max_tokens`, and report tokens as `count_tokens` and `count_prompt_tokens` count them.
    With `"stream": true` the same replies come as server-sent events, texts word by word; the ledger
    counts them the same, whether or not the client asks for the usage.

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
        script: The replies in order of arrival, starting over when they run out; none means an empty
            reply to every call. Texts, responses, `Fault`s, or plain or async functions that are given
            the `ChatRequest` and return one of these. Or one such function alone, a simulated model.
            Functions run on the endpoint's own loop: a plain one must not block, and one that raises is
            answered with status 400 and the exception's text. A request that is refused uses up no reply.
        models: The models it serves, others get 404; any when empty.
        api_key: Required as bearer token (or `api-key` header), else 401; None requires nothing.
        reasoning_model: Refuse `temperature` and `max_tokens` with 400, as reasoning models do.
        strict: Answer 400 when the script has run out instead of starting over.

    Raises:
        TypeError: The script isn't a list of replies nor a function, or `models` is no list of names.
        ValueError: `strict` with a function; a model's name or `api_key` is no text.
    """

    def __init__(
        self,
        script: Iterable[Answer | Model] | Model = (),
        *,
        models: Sequence[str] = (),
        api_key: str | None = None,
        reasoning_model: bool = False,
        strict: bool = False,
    ) -> None:
        self._service = Service(
            script, models=models, api_key=api_key, reasoning_model=reasoning_model, strict=strict
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
        """What to give a client, `http://127.0.0.1:PORT/v1`; known from the start on."""
        self._running_loop()
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def ledger(self) -> Ledger:
        """What was served up to now; a picture that doesn't change, to be taken anew when needed."""
        return self._service.books.picture()

    def start(self) -> None:
        """Listen; entering the `with` block does it. An endpoint is started once.

        Raises:
            RuntimeError: It was started before.
            OSError: There is no free port.
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
        """Close every connection and end the thread; nothing happens when that is done already."""
        loop, stop, thread = self._loop, self._stop, self._thread
        if loop is not None and stop is not None:
            # Another thread may have closed it at this moment.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(stop.set)
        if thread is not None:
            thread.join()

    def hold(self) -> Gate:
        """Let every call that arrives from now on wait, until the returned gate releases it.

        The calls are counted, and take their replies from the script, when they arrive.

        Raises:
            RuntimeError: Calls are being held already.
        """
        gate = self._service.gate
        if gate is not None and not gate.is_open:
            raise RuntimeError("calls are being held already; release that gate first")
        self._service.gate = gate = Gate(self._running_loop())
        return gate

    def release_hung(self) -> None:
        """Let the calls go on that wait in a `Fault.hang` or a `Fault.stall`; later ones hang again."""
        self._service.release_hung(self._running_loop())

    async def wait_until(self, condition: Callable[[Ledger], bool], *, timeout: float = 10.0) -> Ledger:
        """Wait until the ledger meets `condition`, and return it.

        The condition is looked at after every change, but in the waiting loop or thread: what has passed
        by then is not seen.

        Raises:
            TimeoutError: It is not met after `timeout` seconds.
        """
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def listener() -> None:
            # A loop that was closed while waiting has no use for the news.
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
        """Wait until at least `count` calls are in flight; meant for calls that are held or hang.

        Raises:
            TimeoutError: They are not after `timeout` seconds.
        """
        return await self.wait_until(lambda ledger: ledger.in_flight >= count, timeout=timeout)

    def wait_in_flight_sync(self, count: int, *, timeout: float = 10.0) -> Ledger:
        """`wait_in_flight` for scripts and threads."""
        return self.wait_until_sync(lambda ledger: ledger.in_flight >= count, timeout=timeout)

    async def settle(self) -> Ledger:
        """Wait until everything that clients have sent or closed by now was taken in; return the ledger.

        After a cancelled run this is when the books can be compared.
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
            # Whatever loop policy the tests use, the endpoint's own loop needs `add_reader`.
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
        while self._connections:  # noqa: ASYNC110  # each is gone one turn of the loop after it was aborted
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
