"""Many rows: tables read row by row."""

from executionkit.many._tables import Rows as Rows
from executionkit.many._tables import read_csv as read_csv
from executionkit.many._tables import read_jsonl as read_jsonl
from executionkit.many._tables import read_parquet as read_parquet

__all__ = ["Rows", "read_csv", "read_jsonl", "read_parquet"]
