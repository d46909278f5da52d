"""How many tools of a run may run at once, those that overran their time included."""

import asyncio
from collections import deque


class Place:
    """A running tool's place. It is free again when every holder has let go: the task and its thread."""

    def __init__(self, places: "Places") -> None:
        self._places = places
        self._holders = 1
        self._is_overrun = False

    def hold(self) -> None:
        """Add a holder."""
        self._holders += 1

    def let_go(self) -> None:
        """Take a holder away; the last one frees the place."""
        self._holders -= 1
        if not self._holders:
            self._places.free(is_overrun=self._is_overrun)

    def overrun(self) -> None:
        """Say that the tool is left behind, if something of it still runs."""
        if self._holders and not self._is_overrun:
            self._is_overrun = True
            self._places.overrun()


class Places:
    """The places of one run.

    A thread can't be stopped, so a function that overruns its time keeps its place until it ends. Where such
    functions hold every place, no call waits for them: it might wait for ever.

    Args:
        limit: How many there are.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._overrun = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> Place | None:
        """Wait for a place; None if functions that overran their time hold all of them."""
        while self._taken >= self._limit:
            if self._overrun >= self._limit:
                return None
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():
                    self._wake()  # the turn came in the same moment: it goes to the next
                raise
        self._taken += 1
        return Place(self)

    def free(self, *, is_overrun: bool) -> None:
        """Give a place back."""
        self._taken -= 1
        self._overrun -= is_overrun
        self._wake()

    def overrun(self) -> None:
        """Count a place as held by a function that overran its time."""
        self._overrun += 1
        if self._overrun >= self._limit:
            for _ in range(len(self._waiting)):
                self._wake()

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
