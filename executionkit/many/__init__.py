"""A step over many rows: with limits, a journal, and a ceiling that holds over all starts."""

from executionkit.many._calls import Recorder, Replayer
from executionkit.many._journal import Journal
from executionkit.many._progress import Progress
from executionkit.many._results import ManyResult, RowResult
from executionkit.many._run import iter_many, run_many, run_many_sync

__all__ = [
    "Journal",
    "ManyResult",
    "Progress",
    "Recorder",
    "Replayer",
    "RowResult",
    "iter_many",
    "run_many",
    "run_many_sync",
]
