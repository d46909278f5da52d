"""A pattern over many rows: what was asked and answered is kept in a journal, and never paid for twice."""

from executionkit.errors import JournalError
from executionkit.many._cache import Cache
from executionkit.many._calls import Recorder, Replayer
from executionkit.many._journal import Journal, Spent, row_scope
from executionkit.many._outcome import Outcome
from executionkit.many._scope import Scope

__all__ = [
    "Cache",
    "Journal",
    "JournalError",
    "Outcome",
    "Recorder",
    "Replayer",
    "Scope",
    "Spent",
    "row_scope",
]
