"""`RayResult`: how a job on a cluster ended."""

import importlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from executionkit.many._journal.journal import Journal
from executionkit.many._results import ManyResult


@dataclass(frozen=True, repr=False)
class RayResult(ManyResult):
    """How a job on a cluster ended; its figures are those of all shards.

    Attributes:
        shards: The figures of each shard, by its number.
        deaths: How many workers died, and were replaced.
    """

    shards: Mapping[int, ManyResult] = field(default_factory=dict[int, ManyResult])
    deaths: int = 0

    def outcomes(self) -> Iterator[dict[str, Any]]:
        """What came of each row: `id`, `index`, `value`, `score` and `error`, shard by shard."""
        for shard in sorted(self.shards):
            path = self.shards[shard].journal
            if path is not None:
                yield from _outcomes({"item": os.fspath(path)})

    def dataset(self) -> Any:
        """The same as a dataset of Ray Data, read from the journals by the cluster."""
        data = importlib.import_module("ray.data")
        found = (self.shards[shard].journal for shard in sorted(self.shards))
        return data.from_items([os.fspath(path) for path in found if path is not None]).flat_map(_outcomes)


def _outcomes(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for row in Journal(item["item"]).rows():
        yield {"id": row.row, "index": row.index, "value": row.value, "score": row.score, "error": row.error}
