"""`Ledger`: a snapshot of what the endpoint served; and `Books`, from which it is taken."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from executionkit.testing._requests import ChatRequest
from executionkit.types import TokenUsage


@dataclass(frozen=True, slots=True)
class Ledger:
    """A snapshot of what the endpoint has served.

    A call is a POST request that arrived whole. It is counted before it is checked and before it is answered,
    so refused and failed calls count too. A request that broke off before its last byte is not a call.

    Attributes:
        calls: The number of calls that arrived.
        input_tokens: Prompt tokens reported in replies with status 200 that were written whole.
        output_tokens: Completion tokens reported in the same replies.
        in_flight: Calls that arrived, were not answered yet, and whose client is still there.
        peak_in_flight: The most calls that were in flight at once.
        statuses: The status of every reply whose headers were written, in that order.
        undelivered: Calls whose client went away before the reply.
        connections: The number of connections that were opened.
        requests: The calls in order of arrival.
    """

    calls: int
    input_tokens: int
    output_tokens: int
    in_flight: int
    peak_in_flight: int
    statuses: tuple[int, ...]
    undelivered: int
    connections: int
    requests: tuple[ChatRequest, ...]

    @property
    def usage(self) -> TokenUsage:
        """Tokens and calls as one value; compare it with the `cost` of a result."""
        return TokenUsage(self.input_tokens, self.output_tokens, self.calls)


class Books:
    """The figures behind a `Ledger`: the endpoint's thread writes them, any thread may read them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[ChatRequest] = []
        self._statuses: list[int] = []
        self._input_tokens = self._output_tokens = 0
        self._in_flight = self._peak = self._undelivered = self._connections = 0
        self._listeners: list[Callable[[], None]] = []

    def connected(self) -> None:
        """Count a connection."""
        with self._lock:
            self._connections += 1
            self._changed()

    def arrived(self, target: str, headers: dict[str, str]) -> int:
        """Count a call; return its number."""
        with self._lock:
            number = len(self._requests) + 1
            self._requests.append(ChatRequest(number, target, headers))
            self._in_flight += 1
            self._peak = max(self._peak, self._in_flight)
            self._changed()
            return number

    def read(self, number: int, body: object) -> ChatRequest:
        """Enter the body of a call."""
        with self._lock:
            known = self._requests[number - 1]
            request = ChatRequest(number, known.target, known.headers, body)
            self._requests[number - 1] = request
            self._changed()
            return request

    def answered(self, status: int | None, input_tokens: int = 0, output_tokens: int = 0) -> None:
        """Enter a reply before it is written; `status` is None if not even its headers will be."""
        with self._lock:
            self._in_flight -= 1
            if status is not None:
                self._statuses.append(status)
            self._input_tokens += input_tokens
            self._output_tokens += output_tokens
            self._changed()

    def abandoned(self) -> None:
        """Enter that the client of a call went away."""
        with self._lock:
            self._in_flight -= 1
            self._undelivered += 1
            self._changed()

    def picture(self) -> Ledger:
        """Take a snapshot."""
        with self._lock:
            return Ledger(
                len(self._requests),
                self._input_tokens,
                self._output_tokens,
                self._in_flight,
                self._peak,
                tuple(self._statuses),
                self._undelivered,
                self._connections,
                tuple(self._requests),
            )

    @contextmanager
    def listening(self, listener: Callable[[], None]) -> Generator[None, None, None]:
        """Call `listener` at every change, from the endpoint's thread; it must not call these methods."""
        with self._lock:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()
