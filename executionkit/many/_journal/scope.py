"""The row that a call belongs to, and how many equal requests of it came before."""

import threading
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, Final, Generic, Self, TypeVar

from executionkit.engine.tool_memory import TOOL_MEMORY, ToolMemory
from executionkit.many._journal.format import quoted
from executionkit.types import TokenUsage

P = TypeVar("P")

_NOTHING: Final = TokenUsage()

NUMBER: Final[ContextVar[int | None]] = ContextVar("executionkit_number", default=None)
"""The number of the request that a recorder has sent on, among the equal ones of its row."""


class Requests(Generic[P]):
    """The equal requests of a row: the replies that are there for them, and the numbers that are taken.

    Args:
        there: The numbers that are there, each with the place of its reply.
    """

    __slots__ = ("_low", "_taken", "there")

    def __init__(self, there: list[tuple[int, P]]) -> None:
        self.there = sorted(there, key=lambda each: each[0], reverse=True) if there else there
        self._taken = {n for n, _ in there}
        self._low = 0

    def take(self) -> int:
        """Take the lowest number that no request has."""
        n = self._low
        while n in self._taken:
            n += 1
        self._taken.add(n)
        self._low = n + 1
        return n

    def give_back(self, n: int) -> None:
        """Free the number of a request that failed."""
        self._taken.discard(n)
        self._low = min(self._low, n)


class Scope(Generic[P]):
    """One row of a journal, or of a cache, while it is worked on.

    Args:
        owner: The journal.
        row: The row's id.
        find: Finds what is there for the row: the requests, each with the numbers and places of its replies.
            It is called once, when the first request comes.
        memory: What the tools that ran for the row have brought.

    Attributes:
        owner: The journal.
        row: The row's id.
        outer: The scope around this one.
        replayed: The calls that were answered from the journal.
        cut: The calls that were cut off while they were in flight, with the tokens set aside for them.
    """

    def __init__(
        self,
        owner: object,
        row: str,
        find: "Callable[[], dict[str, list[tuple[int, P]]]] | None" = None,
        memory: ToolMemory | None = None,
    ) -> None:
        self.owner: Final = owner
        self.row: Final = row
        self.row_json: Final = quoted(row)
        self.outer: Scope[Any] | None = None
        self.replayed: int = 0
        self._find = find
        self._memory = memory
        self._requests: dict[str, Requests[P]] = {}
        self._left = 0
        self.cut: TokenUsage = _NOTHING
        self._counts: dict[object, Requests[Any]] | None = None
        self._lock = threading.Lock()
        self._token: Token[Scope[Any] | None] | None = None
        self._memory_token: Token[ToolMemory | None] | None = None

    def __enter__(self) -> Self:
        self.outer = _ROW.get()
        self._token = _ROW.set(self)
        if self._memory is not None:
            self._memory_token = TOOL_MEMORY.set(self._memory)
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _ROW.reset(self._token)
        if self._memory_token is not None:
            TOOL_MEMORY.reset(self._memory_token)
        self._token = self._memory_token = None

    def _look(self) -> None:
        """Find what is there for the row."""
        if self._find is not None:
            find, self._find = self._find, None
            self._requests = {name: Requests(there) for name, there in find().items()}
            self._left = sum(len(each.there) for each in self._requests.values())

    def _of(self, request: str) -> Requests[P]:
        self._look()
        found = self._requests.get(request)
        if found is None:
            found = self._requests[request] = Requests([])
        return found

    def next_reply(self, request: str) -> P | None:
        """The place of a reply that is there for such a request, which no other request gets then."""
        with self._lock:
            there = self._of(request).there
            if not there:
                return None
            self.replayed += 1
            self._left -= 1
            return there.pop()[1]

    @property
    def left(self) -> int:
        """How many replies are there that no request has got."""
        if self._find is not None:
            with self._lock:
                self._look()
        return self._left

    def has_reply(self, request: str) -> bool:
        """Whether a reply is there for such a request."""
        with self._lock:
            return bool(self._of(request).there)

    def note_cut(self, most: TokenUsage) -> None:
        """Note a call that was cut off, with the tokens that it may have cost beyond those known."""
        with self._lock:
            self.cut += TokenUsage(most.input_tokens, most.output_tokens, 1)

    def take(self, request: str) -> int:
        """The number of a request among the equal ones of the row."""
        with self._lock:
            return self._of(request).take()

    def give_back(self, request: str, n: int) -> None:
        """Free the number of a request that failed."""
        with self._lock:
            self._of(request).give_back(n)

    def number(self, owner: object, request: str) -> int:
        """How many equal requests of the row `owner` was asked for before."""
        with self._lock:
            if self._counts is None:
                self._counts = {}
            return self._counts.setdefault((id(owner), request), Requests([])).take()

    def free(self, owner: object, request: str, n: int) -> None:
        """Free a number that `number` gave, because the request failed."""
        with self._lock:
            if self._counts is not None and (id(owner), request) in self._counts:
                self._counts[id(owner), request].give_back(n)


_ROW: ContextVar[Scope[Any] | None] = ContextVar("executionkit_row", default=None)


def current_row() -> Scope[Any] | None:
    """The innermost row that is worked on here."""
    return _ROW.get()


def row_of(owner: object) -> Scope[Any] | None:
    """The innermost row of this journal that is worked on here."""
    scope = _ROW.get()
    while scope is not None and scope.owner is not owner:
        scope = scope.outer
    return scope
