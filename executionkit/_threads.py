"""Functions of the user's that may block, each in a thread of its own."""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar, cast

from executionkit._logs import write

T = TypeVar("T")

_log = logging.getLogger("executionkit.tools")


class Held(Protocol):
    """Something that a thread holds while it runs."""

    def hold(self) -> object:
        """Take hold of it."""
        ...

    def let_go(self) -> object:
        """Let go of it."""
        ...


async def in_thread(call: Callable[[], T], held: Held | None = None) -> T:
    """Run a plain function in a thread of its own.

    Not in the loop's executor: its few threads would be held by functions that hang, and leaving the loop
    waits for them. A thread can't be stopped from outside, so one that overruns ends as a daemon, its
    result unread, and holds `held` until then.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def deliver(result: T | None, exc: BaseException | None) -> None:
        if held is not None:
            held.let_go()
        if future.done():
            return
        if exc is None:
            future.set_result(cast("T", result))
        else:
            future.set_exception(exc)

    def work() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = context.run(call)
        except StopIteration as exc:
            failure = RuntimeError("the function raised StopIteration")  # which no future can carry
            failure.__cause__ = exc
        except BaseException as exc:  # noqa: BLE001 - sys.exit() in a tool must not pass for a result
            failure = exc
        try:
            loop.call_soon_threadsafe(deliver, result, failure)
        except RuntimeError:
            write(_log, logging.DEBUG, "a tool ended after its event loop was closed")

    if held is not None:
        held.hold()
    try:
        threading.Thread(target=work, name="executionkit-tool", daemon=True).start()
    except BaseException:
        if held is not None:
            held.let_go()
        raise
    return await future
