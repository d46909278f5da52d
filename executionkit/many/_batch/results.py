"""The results of `write_batch` and of `read_batch`."""

from dataclasses import dataclass, field

from executionkit._display import Brief
from executionkit._display._line import counted, number
from executionkit.many._batch.out import BatchFile
from executionkit.types import TokenUsage


@dataclass(frozen=True, repr=False)
class BatchWritten(Brief):
    """What `write_batch` wrote, and how far the job is.

    Attributes:
        files: The new files. Each is to be given to the batch service once.
        requests: How many requests they have in all.
        waiting: How many requests of earlier files have no response yet. They were not written again.
        done: How many rows have a value.
        failed: How many rows failed.
        open: How many rows need responses that are not there.
    """

    files: tuple[BatchFile, ...] = ()
    requests: int = 0
    waiting: int = 0
    done: int = 0
    failed: int = 0
    open: int = 0

    @property
    def rows(self) -> int:
        """How many rows were looked at: `done + failed + open`."""
        return self.done + self.failed + self.open

    @property
    def is_complete(self) -> bool:
        """Whether no row needs a response any more: `run_many` gives the values without a call."""
        return not self.open

    def __str__(self) -> str:
        rows = f"{counted(self.rows, 'row')}: {number(self.done)} done, {number(self.failed)} failed"
        names = ", ".join(file.path.name for file in self.files) or "no file"
        waiting = f", {number(self.waiting)} wait for a response" if self.waiting else ""
        return f"{rows}, {number(self.open)} open; {counted(self.requests, 'request')} in {names}{waiting}"


@dataclass(frozen=True, repr=False)
class BatchRead(Brief):
    """What `read_batch` found in the output of a batch.

    Attributes:
        replies: How many replies are in the journal now.
        failed: How many requests failed. One that failed for good fails its row at the next `write_batch`;
            others are written again.
        not_run: How many requests the service did not carry out: they expired, or the batch was cancelled.
            They cost nothing, and are written again.
        late: How many replies came when their requests had been answered in another way, or their rows were
            done. They are paid for, so they count, and they are not kept.
        repeated: Lines for requests that had a response before. They were passed over.
        unknown: Lines for requests that are not of this journal. They were passed over.
        broken: Lines that can't be read, such as the last one of a file that was cut off.
        waiting: How many requests have no response yet.
        cost: What the replies cost, at `price_share` of the prices.
    """

    replies: int = 0
    failed: int = 0
    not_run: int = 0
    late: int = 0
    repeated: int = 0
    unknown: int = 0
    broken: int = 0
    waiting: int = 0
    cost: TokenUsage = field(default_factory=TokenUsage)

    def __str__(self) -> str:
        counts = {
            "failed": self.failed,
            "not carried out": self.not_run,
            "too late": self.late,
            "there before": self.repeated,
            "of no known request": self.unknown,
            "broken": self.broken,
            "still waiting": self.waiting,
        }
        parts = [
            f"{number(self.replies)} {'reply' if self.replies == 1 else 'replies'}",
            *(f"{number(n)} {what}" for what, n in counts.items() if n),
        ]
        return f"{', '.join(parts)}; {self.cost}"
