"""The network of httpx's core, but that the head of a request and its body leave in one piece.

The core writes them one after the other. Each write is a turn of the event loop, and costs as much as reading
the reply.
"""

from functools import cache
from types import ModuleType
from typing import Any


@cache
def network_of(core: ModuleType) -> Any:
    """The network to make pools with; `core` is httpcore or httpcore2."""
    # Any: they need not be installed.
    library: Any = core

    class Stream(library.AsyncNetworkStream):  # type: ignore[misc]  # the base is known at run time only
        """A connection whose first write waits for the second one, or until something is to be read."""

        def __init__(self, stream: Any) -> None:
            self._stream = stream
            self._kept: bytes | None = None
            self._is_begun = False

        async def write(self, buffer: bytes, timeout: float | None = None) -> None:
            if not self._is_begun:
                self._is_begun, self._kept = True, buffer
                return
            if self._kept is not None:
                buffer, self._kept = self._kept + buffer, None
            if buffer:
                await self._stream.write(buffer, timeout)

        async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            if self._kept is not None:
                await self.write(b"", timeout)
            self._is_begun = False
            received: bytes = await self._stream.read(max_bytes, timeout)
            return received

        async def start_tls(self, *args: Any, **kwargs: Any) -> Any:
            return Stream(await self._stream.start_tls(*args, **kwargs))

        def get_extra_info(self, info: str) -> Any:
            return self._stream.get_extra_info(info)

        async def aclose(self) -> None:
            await self._stream.aclose()

    class Network(library.AnyIOBackend):  # type: ignore[misc]  # as above
        """Connects as the core does."""

        async def connect_tcp(self, *args: Any, **kwargs: Any) -> Any:
            return Stream(await super().connect_tcp(*args, **kwargs))

    return Network()
