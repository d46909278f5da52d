"""An event loop for a program that has none."""

import asyncio

from executionkit._text import describe
from executionkit.errors import ProviderError


def runner_for(name: str) -> asyncio.Runner:
    """An event loop to run an async function on, to its end.

    Args:
        name: The async function's name; the blocking one is `{name}_sync`.

    Raises:
        RuntimeError: An event loop is running in this thread.
        ProviderError: No event loop can be made.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise RuntimeError(
            f"{name}_sync() can't run inside a running event loop: use `await {name}(...)` there"
        )
    runner = asyncio.Runner()
    try:
        runner.get_loop()
    except OSError as exc:  # a loop needs file descriptors of its own
        failure = ProviderError(f"no event loop can be made ({describe(exc)})", dispatched=False)
    else:
        return runner
    raise failure
