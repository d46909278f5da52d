"""What the back ends over asyncio libraries have in common: one coroutine makes an exchange."""

import asyncio
import math
import select
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Callable, Mapping
from typing import Any, Generic, TypeVar, cast

from executionkit.provider._http.faults import BROKEN, CLOSED, TOO_LARGE, OverrunError, TransportError
from executionkit.provider._http.incoming import Incoming
from executionkit.provider._http.proxies import Proxy
from executionkit.provider._http.transport import Dispatch, Endpoint, Reply

W = TypeVar("W")


class ExchangingTransport(ABC, Generic[W]):
    """Posts, or streams, by one and the same exchange.

    `W` is what a back end makes of an endpoint before it sends anything there.
    """

    proxy: Proxy | None = None
    _failed = BROKEN

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._ready: W | None = None
        self._under_way: set[_UnderWay] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf
        self._readers: set[asyncio.Task[None]] = set()
        self._closed = False

    @abstractmethod
    def _prepared(self, endpoint: Endpoint) -> W:
        """The form in which the library takes the URL, the headers and the times."""

    @abstractmethod
    async def _exchange(
        self, endpoint: Endpoint, way: W, body: bytes, dispatch: Dispatch, incoming: Incoming | None
    ) -> Reply:
        """Post the body and read the reply; the body of one that is handed on to `incoming` is not in it."""

    @abstractmethod
    def _outcome(self, exc: Exception, endpoint: Endpoint) -> Reply | TransportError:
        """What to make of an exception of the library's."""

    @abstractmethod
    async def _close(self) -> None:
        """Close the connections."""

    async def aclose(self) -> None:
        """End the exchanges under way, and close the connections."""
        self._closed = True
        if self._alarm is not None:
            self._alarm.cancel()
        for exchange in self._under_way:
            exchange.call_off(TransportError(CLOSED))
        await self._close()
        if self._readers:
            await asyncio.wait(self._readers)

    def _way(self, endpoint: Endpoint) -> W:
        if endpoint is not self._endpoint:
            return self._prepared(endpoint)
        if self._ready is None:
            self._ready = self._prepared(endpoint)
        return self._ready

    async def _make(
        self,
        endpoint: Endpoint,
        way: W,
        body: bytes,
        dispatch: Dispatch,
        incoming: Incoming | None,
        within: float = math.inf,
    ) -> Reply:
        """Make an exchange that `aclose` can end, and that ends when `within` seconds are over."""
        if self._closed:
            raise TransportError(CLOSED)
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        cancelling = task.cancelling()
        exchange = _UnderWay(task, asyncio.get_running_loop().time() + within)
        self._under_way.add(exchange)
        if exchange.until < self._alarm_at:
            self._set_alarm(exchange.until)
        try:
            return await self._exchange(endpoint, way, body, dispatch, incoming)
        except asyncio.CancelledError:
            if exchange.fault is not None and task.cancelling() - 1 <= cancelling:
                raise exchange.fault from None
            if not task.cancelling():
                # Code that the library runs, such as a hook of the caller's, has raised it.
                raise TransportError(f"{self._failed} (CancelledError)") from None
            raise
        finally:
            self._under_way.discard(exchange)
            if exchange.fault is not None:
                task.uncancel()

    def _set_alarm(self, moment: float) -> None:
        # One alarm for all exchanges, because nearly all of them end long before their time is over, and a
        # timer of its own costs each as much as reading its reply. Weak, so that it keeps no transport that
        # was dropped.
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = moment
        self._alarm = asyncio.get_running_loop().call_at(moment, _ring, weakref.ref(self))

    def end_overdue(self) -> None:
        """End the exchanges whose time is over, and set the alarm for the others."""
        now = asyncio.get_running_loop().time()
        self._alarm_at = math.inf
        for exchange in self._under_way:
            if exchange.until <= now:
                exchange.call_off(OverrunError())
        ahead = [exchange.until for exchange in self._under_way if now < exchange.until < math.inf]
        if ahead:
            self._set_alarm(min(ahead))

    async def post(self, body: bytes, dispatch: Dispatch, endpoint: Endpoint, within: float) -> Reply:
        """Post the body and read the whole reply."""
        way = self._way(endpoint)
        try:
            return await self._make(endpoint, way, body, dispatch, None, within)
        except TransportError:
            raise
        except Exception as exc:  # noqa: BLE001  # anything that a library raises here is a fault, its own bugs included
            outcome = TransportError(CLOSED) if self._closed else self._outcome(exc, endpoint)
        # Raised out here, so that the library's exception is not in the context: it holds the request.
        if isinstance(outcome, TransportError):
            raise outcome
        return outcome

    def stream(self, body: bytes, dispatch: Dispatch, endpoint: Endpoint) -> Incoming:
        """Post the body and hand the reply over while it arrives."""
        way = self._way(endpoint)

        # A task of its own reads, because a library's streams have to be closed by the task that opened them.
        def stop() -> None:
            dispatch.called_off = True
            task.cancel()

        incoming = Incoming(self._endpoint.max_bytes, stop)
        task = asyncio.ensure_future(self._forward(endpoint, way, body, dispatch, incoming))
        task.add_done_callback(lambda _: incoming.end(TransportError(CLOSED)))
        task.add_done_callback(self._readers.discard)
        self._readers.add(task)
        return incoming

    async def _forward(
        self, endpoint: Endpoint, way: W, body: bytes, dispatch: Dispatch, incoming: Incoming
    ) -> None:
        outcome: Reply | TransportError | None = None
        try:
            await self._make(endpoint, way, body, dispatch, incoming)
        except TransportError as fault:
            outcome = fault
        except Exception as exc:  # noqa: BLE001  # any exception is a fault, as in `post`
            outcome = TransportError(CLOSED) if self._closed else self._outcome(exc, endpoint)
        if isinstance(outcome, Reply):
            incoming.begin(outcome.status, outcome.headers)
            incoming.feed(outcome.body)
            outcome = None
        incoming.end(outcome)

    async def _receive(
        self, status: int, headers: Mapping[str, str], parts: AsyncIterable[bytes], incoming: Incoming | None
    ) -> Reply:
        """Read a body into the reply, or hand it on."""
        if incoming is not None:
            incoming.begin(status, headers)
            async for part in parts:
                incoming.feed(part)
            return Reply(status, headers, b"")
        limit = self._endpoint.max_bytes
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise TransportError(TOO_LARGE.format(limit))
        read: list[bytes] = []
        size = 0
        async for part in parts:
            read.append(part)
            size += len(part)
            if size > limit:
                raise TransportError(TOO_LARGE.format(limit))
        return Reply(status, headers, b"".join(read))


class _UnderWay:
    """An exchange under way.

    Attributes:
        task: The task that makes it.
        until: When its time is over.
        fault: Why it was called off, once it was.
    """

    __slots__ = ("fault", "task", "until")

    def __init__(self, task: asyncio.Task[Any], until: float) -> None:
        self.task = task
        self.until = until
        self.fault: TransportError | None = None

    def call_off(self, fault: TransportError) -> None:
        """End it, as asyncio.timeout does it. Nothing else ends one that is still connecting."""
        if self.fault is None:
            self.fault = fault
            self.task.cancel()


def _ring(transport: "Callable[[], ExchangingTransport[Any] | None]") -> None:
    alive = transport()
    if alive is not None:
        alive.end_overdue()


def watch(sock: Any) -> Callable[[], bool]:
    """Tells whether a connection that is kept has something to read: its end, or a reply to no request.

    It asks the system, because the event loop hears of it only in its next turn.
    """
    if hasattr(select, "poll"):
        waiting = select.poll()
        waiting.register(sock.fileno(), select.POLLIN)
        # The number of a descriptor that was closed may be another socket's by now.
        return lambda: sock.fileno() < 0 or bool(waiting.poll(0))
    return lambda: bool(select.select([sock], [], [], 0)[0])  # pragma: no cover - Windows has no poll
