"""A step over many rows: with limits, a journal, and a ceiling that holds over all starts."""

from executionkit.many._progress import Progress
from executionkit.many._results import ManyResult, RowResult
from executionkit.many._run import iter_many, run_many, run_many_sync
from executionkit.many._tables import Rows, read_csv, read_jsonl, read_parquet

__all__ = [
    "ManyResult",
    "Progress",
    "RowResult",
    "Rows",
    "iter_many",
    "read_csv",
    "read_jsonl",
    "read_parquet",
    "run_many",
    "run_many_sync",
]
