"""The patterns for scripts without an event loop: the same arguments, run to the end."""

from typing import Final

from executionkit._blocking import blocking
from executionkit.compose import pipe
from executionkit.patterns.best_of_n import best_of_n
from executionkit.patterns.cascade import cascade
from executionkit.patterns.consensus import consensus
from executionkit.patterns.map_reduce import map_reduce
from executionkit.patterns.react_loop import react_loop
from executionkit.patterns.refine_loop import refine_loop
from executionkit.patterns.structured import structured

# Final, so that the types inferred here count as declared.
best_of_n_sync: Final = blocking(best_of_n, __name__)
cascade_sync: Final = blocking(cascade, __name__)
consensus_sync: Final = blocking(consensus, __name__)
map_reduce_sync: Final = blocking(map_reduce, __name__)
pipe_sync: Final = blocking(pipe, __name__)
react_loop_sync: Final = blocking(react_loop, __name__)
refine_loop_sync: Final = blocking(refine_loop, __name__)
structured_sync: Final = blocking(structured, __name__)
