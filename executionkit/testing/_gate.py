"""`Gate`: holds requests back inside the endpoint until the test lets them go."""

import asyncio
import contextlib
from collections import deque
from types import TracebackType


class Gate:
    """What `LocalEndpoint.hold` returns: requests wait here, in order of arrival, until released.

    As a context manager it releases everything on leaving. The methods may be called from any thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open = False
        self._permits = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def is_open(self) -> bool:
        """Whether everything was released."""
        return self._open

    def release(self, count: int | None = None) -> None:
        """Let `count` requests pass, waiting ones first and then such as are still to come.

        None lets all pass, and from then on every one.
        """
        if count is not None and count < 1:
            raise ValueError(f"count must be >= 1 or None, got {count!r}")
        # First, or a request that comes between the two would find the gate shut for good.
        self._open = self._open or count is None
        # Closed meanwhile: then nothing waits any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._release, count)

    async def wait(self) -> None:
        """Wait to be let through; only inside the endpoint's own event loop."""
        if self._open:
            return
        if self._permits:
            self._permits -= 1
            return
        turn = self._loop.create_future()
        self._waiting.append(turn)
        await turn

    def _release(self, count: int | None) -> None:
        left = len(self._waiting) if count is None else count
        while left and self._waiting:
            turn = self._waiting.popleft()
            # Done already: its client went away while it waited, and it takes no other's turn.
            if not turn.done():
                turn.set_result(None)
                left -= 1
        if count is not None:
            self._permits += left

    def __enter__(self) -> "Gate":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
