"""`Ends`: how the rows of a job ended, and when so many failed that the job stops."""

import re
from typing import Any, Final

from executionkit.engine.bill import add_note
from executionkit.errors import PatternError
from executionkit.many._results import RowResult

MOST_FAILURES: Final = 100
"""How many failed rows a result holds."""
_ALIKE: Final = 50
"""So many successive rows that fail alike stop the job: the next one would be paid for as well."""
_FOR_A_SHARE: Final = 100
"""So many rows must have ended before a share of failures says something."""
_OWN: Final = re.compile(r"""(["'`]).*?\1|\d+""")
"""What differs between failures that are alike: numbers and quoted texts."""


class Ends:
    """How the rows of a job ended.

    Args:
        name: The function that the user has called, for messages.
        max_failures: As in `run_many`.
        is_first_raised: Whether the first row that fails stops the job with its error.

    Attributes:
        done: How many rows have a value.
        failed: How many rows failed.
        skipped: How many of both are from an earlier start.
        open: How many rows were begun and have no outcome: they are for a later start.
        failures: The first rows that failed.

    Raises:
        ValueError: `max_failures` is neither a count nor a share.
    """

    def __init__(self, name: str, max_failures: int | float | None, *, is_first_raised: bool) -> None:
        if not (
            max_failures is None
            or (type(max_failures) is int and max_failures >= 0)
            or (isinstance(max_failures, float) and 0.0 <= max_failures <= 1.0)
        ):
            raise ValueError(
                f"max_failures must be an int >= 0, a share in [0, 1], or None, got {max_failures!r}"
            )
        self.done = self.failed = self.skipped = self.open = 0
        self.failures: list[RowResult[Any]] = []
        self._name = name
        self._max_failures = max_failures
        self._is_first_raised = is_first_raised
        self._failed_now = self._ended_now = 0
        self._alike, self._alike_count = "", 0
        self._last_error = ""

    @property
    def rows(self) -> int:
        """How many rows have ended."""
        return self.done + self.failed

    def skip(self, result: RowResult[Any] | None) -> None:
        """Count a row that ended at an earlier start; None stands for one that is done."""
        self.skipped += 1
        if result is None or result.error is None:
            self.done += 1
        else:
            self._add_failure(result)

    def add(self, result: RowResult[Any], error: BaseException | None) -> BaseException | None:
        """Count a row that has ended now; returns the error that the job must stop with, if there is one.

        Args:
            result: How the row ended.
            error: The exception that it failed by.
        """
        self._ended_now += 1
        if result.error is None:
            self.done += 1
            self._alike_count = 0
            stopping = None
        else:
            self._failed_now += 1
            self._last_error = result.error
            self._add_failure(result)
            if error is None:  # JSON has no such value
                error = TypeError(result.error.removeprefix("TypeError: "))
            stopping = self._first(result, error) or self._all_alike(result.error)
        stopping = stopping or self._too_many()
        if stopping is not None and stopping is not error:
            stopping.__cause__ = error
        return stopping

    def _add_failure(self, result: RowResult[Any]) -> None:
        self.failed += 1
        if len(self.failures) < MOST_FAILURES:
            self.failures.append(result)

    def _first(self, result: RowResult[Any], error: BaseException) -> BaseException | None:
        if not self._is_first_raised:
            return None
        add_note(error, f"{self._name}: this came of row {result.index} (id {result.id!r})")
        return error

    def _all_alike(self, error: str) -> PatternError | None:
        kind = _OWN.sub("", error[:500])
        self._alike_count = self._alike_count + 1 if kind == self._alike else 1
        self._alike = kind
        if self._alike_count < _ALIKE:
            return None
        return PatternError(
            f"{self._name}: the last {_ALIKE} rows failed with {error}; every further row would be paid for "
            "as well"
        )

    def _too_many(self) -> PatternError | None:
        most, failed, ended = self._max_failures, self._failed_now, self._ended_now
        if most is None:
            return None
        bears = failed <= most if type(most) is int else ended < _FOR_A_SHARE or failed <= most * ended
        if bears:
            return None
        return PatternError(
            f"{self._name}: {failed:,} of {ended:,} rows failed, max_failures is {most}; the last one failed "
            f"with {self._last_error}"
        )
