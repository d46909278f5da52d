"""An event loop for a program that has none."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from executionkit._text import describe
from executionkit.errors import ProviderError

P = ParamSpec("P")
R = TypeVar("R")

_DOC: Final = """\
`{name}` run to its end on an event loop of its own: same arguments, same results and errors.

Raises:
    RuntimeError: An event loop is running in this thread.

{doc}"""


def blocking(function: Callable[P, Coroutine[Any, Any, R]], module: str) -> Callable[P, R]:
    """Make the blocking twin of an async function, `NAME_sync`, of the module in which it is to be found."""
    name = function.__name__

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with runner_for(name) as runner:
                return runner.run(function(*args, **kwargs))
        except KeyboardInterrupt as exc:
            # The runner has cancelled the function. The notes of its end are on the CancelledError.
            for note in getattr(exc.__context__, "__notes__", ()):
                exc.add_note(note)
            raise

    run.__module__, run.__name__, run.__qualname__ = module, f"{name}_sync", f"{name}_sync"
    run.__doc__ = _DOC.format(name=name, doc=inspect.getdoc(function))
    # Without `__wrapped__`, which would make the twin look like an async function.
    vars(run)["__signature__"] = inspect.signature(vars(run).pop("__wrapped__"))
    return run


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
