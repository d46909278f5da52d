"""The patterns for scripts without an event loop: the same arguments, run to the end."""

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from executionkit._blocking import runner_for
from executionkit.compose import pipe
from executionkit.patterns.best_of_n import best_of_n
from executionkit.patterns.cascade import cascade
from executionkit.patterns.consensus import consensus
from executionkit.patterns.map_reduce import map_reduce
from executionkit.patterns.react_loop import react_loop
from executionkit.patterns.refine_loop import refine_loop
from executionkit.patterns.structured import structured

P = ParamSpec("P")
R = TypeVar("R")

_DOC = """\
`{name}` run to its end on an event loop of its own: same arguments, same results and errors.

Raises:
    RuntimeError: An event loop is running in this thread.

{doc}"""


def _blocking(pattern: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """Make the blocking twin of a pattern, `NAME_sync`."""
    name = pattern.__name__

    @wraps(pattern)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with runner_for(name) as runner:
            return runner.run(pattern(*args, **kwargs))

    run.__module__, run.__name__, run.__qualname__ = __name__, f"{name}_sync", f"{name}_sync"
    run.__doc__ = _DOC.format(name=name, doc=inspect.getdoc(pattern))
    # Without `__wrapped__`, which would make the twin look like an async function.
    vars(run)["__signature__"] = inspect.signature(vars(run).pop("__wrapped__"))
    return run


# Final, so that the types inferred here count as declared.
best_of_n_sync: Final = _blocking(best_of_n)
cascade_sync: Final = _blocking(cascade)
consensus_sync: Final = _blocking(consensus)
map_reduce_sync: Final = _blocking(map_reduce)
pipe_sync: Final = _blocking(pipe)
react_loop_sync: Final = _blocking(react_loop)
refine_loop_sync: Final = _blocking(refine_loop)
structured_sync: Final = _blocking(structured)
