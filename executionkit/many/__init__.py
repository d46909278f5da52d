"""A step over many rows: with limits, a journal, and a ceiling that holds over all starts."""

from executionkit.errors import JournalError
from executionkit.many._cache import Cache
from executionkit.many._calls import Recorder, Replayer
from executionkit.many._governor import Governor
from executionkit.many._journal import Journal, Spent
from executionkit.many._limits import RateLimits
from executionkit.many._outcome import Outcome
from executionkit.many._progress import Progress
from executionkit.many._results import ManyResult, RowResult
from executionkit.many._run import iter_many, run_many, run_many_sync
from executionkit.many._scope import Scope

__all__ = [
    "Cache",
    "Governor",
    "Journal",
    "JournalError",
    "ManyResult",
    "Outcome",
    "Progress",
    "RateLimits",
    "Recorder",
    "Replayer",
    "RowResult",
    "Scope",
    "Spent",
    "iter_many",
    "run_many",
    "run_many_sync",
]
