"""What calls have set aside in one ledger, and the line of calls that wait for some of it."""

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import heappop, heappush
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from executionkit._dollars import EXACT
from executionkit.cost import CostTracker, Tokens
from executionkit.engine.request import MOST_TOKENS_PER_BYTE
from executionkit.streaming import BYTES_PER_TOKEN


class Hold(NamedTuple):
    """The tokens and dollars a call has set aside in every ledger while it runs, and its `max_tokens`.

    Attributes:
        since: The time at which the call began; see `bill.now`.
        overrun: The part of `output_tokens` that is beyond what the call may write.
        parts: The pictures and other parts of the prompt that `prompt_bytes` doesn't count.
        usd: The most that the call may cost; None where nothing limits dollars.
    """

    max_tokens: int | None
    input_tokens: int
    output_tokens: int
    prompt_bytes: int
    is_stream: bool
    since: int
    overrun: int = 0
    parts: int = 0
    usd: Decimal | None = None


@dataclass(slots=True, eq=False)
class Room:
    """The tokens set aside in one ledger, and the calls that wait in line for some of them.

    A call never waits for a stream, which ends only when its reader goes on.

    Attributes:
        calls: Set aside for calls in flight.
        streams: Set aside for open streams.
        tokens_per_byte: The highest rate of prompt tokens seen so far in this ledger; None before the first.
        overrun: The most output tokens that a reply had beyond its `max_tokens`, which some servers don't
            apply to hidden reasoning. As many more are set aside for the calls that follow.
        kept_calls: Calls that are kept back for later. Their tokens are set aside like those of streams: no
            call waits for them.
        tokens_per_part: The most prompt tokens that a picture or another part took; None before the first.
    """

    calls: Tokens = field(default_factory=Tokens)
    streams: Tokens = field(default_factory=Tokens)
    tokens_per_byte: float | None = None
    overrun: int = 0
    kept_calls: int = 0
    tokens_per_part: float | None = None
    _line: list[tuple[int, "asyncio.Future[None]"]] = field(
        default_factory=list[tuple[int, "asyncio.Future[None]"]]
    )
    _places: int = 0

    def hold(self, hold: Hold) -> None:
        """Set tokens aside for a call that is about to be dispatched."""
        held = self.streams if hold.is_stream else self.calls
        held.input_tokens += hold.input_tokens
        held.output_tokens += hold.output_tokens
        if hold.usd:
            held.usd = EXACT.add(held.usd, hold.usd)

    def settle(self, hold: Hold) -> None:
        """Give back the tokens of a call that has ended, and wake the first in line."""
        held = self.streams if hold.is_stream else self.calls
        held.input_tokens -= hold.input_tokens
        held.output_tokens -= hold.output_tokens
        if hold.usd:
            held.usd = EXACT.subtract(held.usd, hold.usd)
        if self._line:
            self.wake_next()

    def join(self) -> int:
        """A place in the line, behind all places given before."""
        self._places += 1
        return self._places

    async def wait(self, place: int) -> None:
        """Wait until a call has ended and no earlier place waits."""
        turn = asyncio.get_running_loop().create_future()
        heappush(self._line, (place, turn))
        await turn

    def learn(self, hold: Hold, reported: int | None) -> None:
        """Learn from the prompt tokens of a call how large prompts are; None if they weren't reported."""
        rate = MOST_TOKENS_PER_BYTE if reported is None else reported / hold.prompt_bytes
        if hold.parts and reported is not None:
            # The rate of texts tells which of the tokens are the parts'.
            rate = self.tokens_per_byte or 1 / BYTES_PER_TOKEN
            taken = (reported - rate * hold.prompt_bytes) / hold.parts
            self.tokens_per_part = max(self.tokens_per_part or 0.0, taken)
        self.tokens_per_byte = max(self.tokens_per_byte or 0.0, rate)

    def wake_next(self) -> None:
        """Wake the first in line. A call that was woken does this for the next one when it leaves the line.

        If all were woken at once, n waiting calls would check n times each.
        """
        while self._line:
            _, turn = heappop(self._line)
            if not turn.done():
                turn.set_result(None)
                return


_ROOMS: Final[WeakKeyDictionary[CostTracker, Room]] = WeakKeyDictionary()


def room_of(tracker: CostTracker) -> Room:
    """The room of a tracker that several runs may share."""
    room = _ROOMS.get(tracker)
    if room is None:
        room = _ROOMS[tracker] = Room()
    return room
