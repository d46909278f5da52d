"""The patterns for scripts without an event loop: the same arguments, run to the end."""

from collections.abc import Callable, Coroutine
from typing import Any, Final, ParamSpec, TypeVar

from executionkit._blocking import blocking
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


def _blocking(pattern: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """Make the twin of a pattern; with one parameter, or mypy would take the first overload only."""
    return blocking(pattern, __name__)


# Final, so that the types inferred here count as declared.
best_of_n_sync: Final = _blocking(best_of_n)
cascade_sync: Final = _blocking(cascade)
consensus_sync: Final = _blocking(consensus)
map_reduce_sync: Final = _blocking(map_reduce)
pipe_sync: Final = _blocking(pipe)
react_loop_sync: Final = _blocking(react_loop)
refine_loop_sync: Final = _blocking(refine_loop)
structured_sync: Final = _blocking(structured)
