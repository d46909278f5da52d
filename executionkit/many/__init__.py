"""A step over many rows: with limits, a journal, and a ceiling that holds over all starts."""

from executionkit.errors import JournalError
from executionkit.many._batch.out import BatchFile
from executionkit.many._batch.results import BatchRead, BatchWritten
from executionkit.many._batch_files import forget_batch, read_batch, write_batch, write_batch_sync
from executionkit.many._journal.cache import Cache
from executionkit.many._journal.calls import Recorder, Replayer
from executionkit.many._journal.journal import Journal
from executionkit.many._journal.outcome import Outcome
from executionkit.many._limits.governor import Governor
from executionkit.many._limits.limits import RateLimits
from executionkit.many._progress import Progress
from executionkit.many._results import ManyResult, RowResult
from executionkit.many._run import iter_many, run_many, run_many_sync
from executionkit.many._tables import Rows, read_csv, read_jsonl, read_parquet

__all__ = [
    "BatchFile",
    "BatchRead",
    "BatchWritten",
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
    "Rows",
    "forget_batch",
    "iter_many",
    "read_batch",
    "read_csv",
    "read_jsonl",
    "read_parquet",
    "run_many",
    "run_many_sync",
    "write_batch",
    "write_batch_sync",
]
