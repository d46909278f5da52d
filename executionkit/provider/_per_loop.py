"""One resource per running event loop: made on first use, closed with its loop."""

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Generic, Protocol, TypeVar

from executionkit import _checks as checks


class _Closable(Protocol):
    async def aclose(self) -> None: ...


T = TypeVar("T", bound=_Closable)


class PerLoop(Generic[T]):
    """Keeps, for every loop that asks, a resource that is bound to that loop; any number of threads may ask.

    A loop has no "closing" event, but it closes the async generators that were started in it: `asyncio.run`
    does so at its end, and a generator that is dropped is closed by its loop as well. So each resource is
    owned by a generator that stands still between making and closing it.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._inherited: list[object] = []
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        # Not weak on the loops: a resource refers to its loop anyway. Its generator removes the entry.
        self._held: dict[asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[None, None]]] = {}

    def held(self) -> T | None:
        """The running loop's resource, if it has one."""
        held = self._held.get(checks.event_loop("Provider"))
        return None if held is None or self._process != os.getpid() else held[0]

    async def get(self) -> T:
        """The running loop's resource; it is made where there is none."""
        loop = asyncio.get_running_loop()
        if self._process != os.getpid():
            # What a forked process finds here is its parent's, to the last connection. It is not closed
            # either: that would reach the parent's sockets.
            self._inherited.append(self._held)
            self._begin()
        held = self._held.get(loop)
        if held is not None:
            return held[0]
        resource = self._make()
        owner = _own(resource, partial(_forget, weakref.ref(self), loop))
        await anext(owner)  # runs to its yield without a pause, so no other task has come in between
        with self._lock:
            # Loops that were closed without closing their generators.
            for gone in [other for other in self._held if other.is_closed()]:
                del self._held[gone]
            self._held[loop] = resource, owner
        return resource

    async def aclose(self) -> None:
        """Close the running loop's resource, if it has one; the next `get` makes another."""
        held = self.forget(asyncio.get_running_loop())
        if held is not None:
            await held[1].aclose()

    def forget(self, loop: asyncio.AbstractEventLoop) -> tuple[T, AsyncGenerator[None, None]] | None:
        """Let go of a loop's resource without closing it."""
        with self._lock:
            return self._held.pop(loop, None)


async def _own(resource: _Closable, forget: Callable[[], object]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        forget()
        await resource.aclose()


def _forget(holder: "weakref.ref[PerLoop[T]]", loop: asyncio.AbstractEventLoop) -> None:
    # By weak reference, so that dropping the holder drops the generators, and so closes what they own.
    alive = holder()
    if alive is not None:
        alive.forget(loop)
