"""Dealing calls to the members of a panel: whose turn it is, and which of them are passed over."""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from executionkit.engine import bill, call_log
from executionkit.engine.parallel import told
from executionkit.engine.retry import concerns_one_request
from executionkit.engine.watch import where
from executionkit.errors import PermanentError
from executionkit.protocols import LLMProvider
from executionkit.streaming import ReplyStream, StreamEvent

T = TypeVar("T")


class Dealer:
    """Providers that take turns.

    The turns are those of the smooth weighted round robin that nginx uses: each turn raises every member's
    claim by its weight, the highest claim has the turn, and pays the sum of the weights for it.

    Args:
        providers: The members.
        weights: How many turns each has in a round.
    """

    def __init__(self, providers: Sequence[LLMProvider], weights: Sequence[int]) -> None:
        self._members = tuple(providers)
        self._weights = tuple(weights)
        self._lock = threading.Lock()
        self._claims = [0] * len(self._members)
        self._dealt = [0] * len(self._members)
        self._out: dict[int, str] = {}

    @property
    def members(self) -> tuple[LLMProvider, ...]:
        """The providers, in the order in which they were given."""
        return self._members

    def deal(self) -> "Deal":
        """A place for one call, or for one dialogue. Its turn comes when it first calls."""
        return Deal(self)

    def take_turn(self, without: Container[int] = ()) -> int | None:
        """The member whose turn it is; None if `without` has all of them.

        Members that are passed over have no turn, unless all of them are: then all are asked again.
        """
        with self._lock:
            able = [index for index in range(len(self._members)) if index not in without]
            able = [index for index in able if index not in self._out] or able
            if not able:
                return None
            for index in able:
                self._claims[index] += self._weights[index]
            chosen = max(able, key=self._claims.__getitem__)  # of several the first
            self._claims[chosen] -= sum(self._weights[index] for index in able)
            self._dealt[chosen] += 1
            return chosen

    def count_turn(self, index: int) -> None:
        """Count a turn that a member has had: a reply of its own was there."""
        with self._lock:
            for each, weight in enumerate(self._weights):
                self._claims[each] += weight
            self._claims[index] -= sum(self._weights)
            self._dealt[index] += 1

    def is_out(self, index: int) -> bool:
        """Whether a member is passed over."""
        return index in self._out

    def pass_over(self, index: int, exc: PermanentError) -> None:
        """Deal no more calls to a member that failed for good."""
        with self._lock:
            is_new = index not in self._out
            self._out[index] = told(exc)
        if is_new:
            call_log.passed_over(where(self._members[index])[0], exc)

    def welcome(self, index: int) -> None:
        """A member has answered, and is no longer passed over."""
        if index in self._out:
            with self._lock:
                self._out.pop(index, None)


class Deal:
    """The member that a call, or the calls of a dialogue, were dealt to."""

    def __init__(self, dealer: Dealer) -> None:
        self._dealer = dealer
        self._index: int | None = None

    @property
    def member(self) -> LLMProvider:
        """The member. If it is passed over meanwhile, the next one whose turn it is."""
        return self._dealer.members[self._present()]

    def give_to(self, gave: Callable[[LLMProvider], bool]) -> None:
        """Deal to the member that gave a reply which is there, if there is one; to the present one first."""
        members = self._dealer.members
        order = sorted(range(len(members)), key=lambda index: index != self._index)
        index = next((index for index in order if gave(members[index])), None)
        if index is not None and index != self._index:
            self._index = index
            self._dealer.count_turn(index)

    def _present(self) -> int:
        if self._index is None or self._dealer.is_out(self._index):
            self._index = self._dealer.take_turn() or 0
        return self._index

    async def through(self, call: Callable[[LLMProvider], Awaitable[T]]) -> T:
        """Call the member; where it fails for good, call the next one, until one answers or all have failed.

        Args:
            call: Makes the call, retries included.

        Raises:
            Exception: The last member's error, with those of the others in its notes.
        """
        failed: dict[int, PermanentError] = {}
        index = self._present()
        while True:
            try:
                outcome = await call(self._dealer.members[index])
            except Exception as exc:
                following = self._next(index, exc, failed)
                if following is None:
                    self._note(exc, failed)
                    raise
                if self._index == index:  # another call of the dialogue may have moved it
                    self._index = following
                index = following
            else:
                self._dealer.welcome(index)
                return outcome

    def _next(self, index: int, exc: Exception, failed: dict[int, PermanentError]) -> int | None:
        """The member to call after one that failed; None if its error is that of the call."""
        if not isinstance(exc, PermanentError) or concerns_one_request(exc):
            return None
        self._dealer.pass_over(index, exc)
        following = self._dealer.take_turn({*failed, index})
        if following is not None:
            failed[index] = exc
        return following

    def _note(self, exc: Exception, failed: dict[int, PermanentError]) -> None:
        for index, error in failed.items():
            name = where(self._dealer.members[index])[0] or f"member {index}"
            bill.add_note(exc, f"{name} was passed over: {told(error)}")


class DealtStream(ReplyStream):
    """A stream from the member whose turn it is when the stream is entered.

    Args:
        deal: Where the member comes from.
        open_stream: Makes the stream of a member.
        prompt_bytes: The size of the prompt, for an estimate if the usage does not come.
    """

    _source: AbstractAsyncContextManager[AsyncIterator[StreamEvent]] | None = None
    _events: AsyncIterator[StreamEvent] | None = None
    _first: StreamEvent | None = None

    def __init__(
        self,
        deal: Deal,
        open_stream: Callable[[LLMProvider], AbstractAsyncContextManager[AsyncIterator[StreamEvent]]],
        prompt_bytes: int,
    ) -> None:
        super().__init__()
        self._deal = deal
        self._open_stream = open_stream
        self._size = prompt_bytes

    async def _open(self) -> None:
        await self._deal.through(self._begin_at)
        self._prompt_bytes = self._size

    async def _begin_at(self, member: LLMProvider) -> None:
        source = self._open_stream(member)
        events = aiter(await source.__aenter__())
        try:
            self._first = await anext(events, None)
        except BaseException as exc:
            await source.__aexit__(type(exc), exc, exc.__traceback__)
            raise
        self._source, self._events = source, events

    async def _next(self) -> StreamEvent | None:
        event, self._first = self._first, None
        if event is None and self._events is not None:
            event = await anext(self._events, None)
        return event

    async def _close(self) -> None:
        source, self._source, self._events = self._source, None, None
        if source is not None:
            await source.__aexit__(None, None, None)
