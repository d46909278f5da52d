"""`Ledger`: what the endpoint served, as a frozen picture; and the books it is taken from."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from executionkit.testing._requests import ChatRequest
from executionkit.types import TokenUsage


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the endpoint has served at one moment.

    A call is a POST request that arrived whole, whatever became of it: it is counted before it is looked at
    and before anything is answered. What was broken off before its last byte is none, as on any server.

    Attributes:
        calls: How many calls arrived.
        input_tokens: Prompt tokens reported in replies with status 200 that were written whole.
        output_tokens: Completion tokens reported in the same replies.
        in_flight: Calls that arrived and are neither answered nor abandoned.
        peak_in_flight: The most that were in flight at once.
        statuses: The status of every reply of which at least the headers were written, in that order.
        undelivered: Calls whose client went away before the reply.
        connections: How many connections were opened.
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
        """Tokens and calls as one value, to be compared with the `cost` of a result."""
        return TokenUsage(self.input_tokens, self.output_tokens, self.calls)


class Books:
    """The mutable side: written by the endpoint's thread only, read from any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[ChatRequest] = []
        self._statuses: list[int] = []
        self._input_tokens = self._output_tokens = 0
        self._in_flight = self._peak = self._undelivered = self._connections = 0
        self._listeners: list[Callable[[], None]] = []

    def connected(self) -> None:
        """A connection was opened."""
        with self._lock:
            self._connections += 1
            self._changed()

    def arrived(self, target: str, headers: dict[str, str]) -> int:
        """A call has arrived; returns its number."""
        with self._lock:
            number = len(self._requests) + 1
            self._requests.append(ChatRequest(number, target, headers))
            self._in_flight += 1
            self._peak = max(self._peak, self._in_flight)
            self._changed()
            return number

    def read(self, number: int, body: object) -> ChatRequest:
        """A call's body was read."""
        with self._lock:
            known = self._requests[number - 1]
            request = ChatRequest(number, known.target, known.headers, body)
            self._requests[number - 1] = request
            self._changed()
            return request

    def answered(self, status: int | None, input_tokens: int = 0, output_tokens: int = 0) -> None:
        """A call's reply is about to be written; `status` is None when not even its headers are."""
        with self._lock:
            self._in_flight -= 1
            if status is not None:
                self._statuses.append(status)
            self._input_tokens += input_tokens
            self._output_tokens += output_tokens
            self._changed()

    def abandoned(self) -> None:
        """A call's client went away."""
        with self._lock:
            self._in_flight -= 1
            self._undelivered += 1
            self._changed()

    def picture(self) -> Ledger:
        """The state now, all of one moment."""
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
        """Have `listener` called, from the endpoint's thread, at every change; it must not call back."""
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
