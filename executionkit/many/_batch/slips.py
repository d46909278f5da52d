"""What a journal knows of batches: the requests that wait for a response, and those that failed."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from executionkit._json import a_text
from executionkit.errors import LLMError, PermanentError, RateLimitError
from executionkit.many._batch.lines import Key, custom_id, failure_from
from executionkit.many._journal.format import JOB, parsed

FORGOTTEN: Final = "forgotten"
FAILED: Final = "failed"
LATE: Final = "late"
_IDENTITY: Final = ("model", "base_url", "step", "version")
_BATCH: Final = b'{"t":"batch"'
_ANSWERED: Final = re.compile(rb',"batch":"([A-Za-z0-9_-]{1,64})","cost":\[[^\[\]]*\]\}\s*\Z')
_TAIL: Final = 240

ATTEMPTS: Final = 4
"""How often a request is written that fails for the time being."""


class Slip(NamedTuple):
    """A request that was written to a batch file.

    Attributes:
        key: The request.
        choices: How many choices it asks for.
        model: The model that it asks.
        file: The name of the batch file.
    """

    key: Key
    choices: int
    model: str
    file: str


class Slips:
    """The requests of one job that were written to batch files, by their `custom_id`.

    Args:
        version: The version of the job.

    Attributes:
        base_url: The URL that the journal was written for.
        waiting: Those without a response.
        forgotten: Those that were given up, though a response may come.
        ended: The ids of those that had a response, or were not carried out.
    """

    def __init__(self, version: str = "") -> None:
        self.base_url = ""
        self.waiting: dict[str, Slip] = {}
        self.forgotten: dict[str, Slip] = {}
        self.ended: set[str] = set()
        self._version = version
        self._job = ""
        self._is_ours = True
        self._failed: dict[str, list[dict[str, Any]]] = {}

    @classmethod
    def load(cls, path: str | Path, version: str) -> "Slips":
        """Read those of a journal."""
        slips = cls(version)
        with Path(path).open("rb") as file:
            slips.read(file)
        return slips

    def read(self, file: IO[bytes]) -> None:
        """Take the lines of a journal."""
        for line in file:
            if line.startswith(JOB):
                self._begun(parsed(line) or {})
            elif not self._is_ours:
                continue
            elif line.startswith(_BATCH):
                self._noted(parsed(line) or {})
            elif (found := _ANSWERED.search(line, max(0, len(line) - _TAIL))) is not None:
                self.close(found[1].decode())

    def _begun(self, job: dict[str, Any]) -> None:
        self._is_ours = a_text(job.get("version")) == self._version
        if self._is_ours:
            self.base_url = a_text(job.get("base_url"))
            self._job = "\n".join(a_text(job.get(name)) for name in _IDENTITY)

    def _noted(self, line: dict[str, Any]) -> None:
        name = a_text(line.get("id"))
        if (end := line.get("end")) is not None:
            if end == FORGOTTEN and name in self.waiting:
                self.forgotten[name] = self.waiting.pop(name)
            elif end != FORGOTTEN:
                self.close(name, line if end == FAILED else None)
            return
        n, choices = line.get("n"), line.get("choices", 1)
        if name and type(n) is int and type(choices) is int:
            key = Key(a_text(line.get("row")), a_text(line.get("req")), n)
            self.add(name, Slip(key, choices, a_text(line.get("model")), a_text(line.get("file"))))

    def name(self, key: Key) -> str:
        """The `custom_id` of a request."""
        return custom_id(self._job, key)

    def add(self, name: str, slip: Slip) -> None:
        """Note that a request was written."""
        self.waiting[name] = slip
        self.forgotten.pop(name, None)
        self.ended.discard(name)

    def close(self, name: str, failed: dict[str, Any] | None = None) -> None:
        """Note that a request waits no longer, and by which failure it ended, if it did."""
        self.waiting.pop(name, None)
        self.forgotten.pop(name, None)
        self.ended.add(name)
        if failed is not None:
            self._failed.setdefault(name, []).append(failed)
        else:
            self._failed.pop(name, None)

    def failure(self, name: str) -> LLMError | None:
        """The error to raise for a request: it failed for good, or too often; None if it may be written."""
        failures = self._failed.get(name)
        if not failures or a_text(failures[-1].get("error")) == RateLimitError.__name__:
            return None
        if a_text(failures[-1].get("error")) == PermanentError.__name__:
            return failure_from(failures[-1])
        if len(failures) < ATTEMPTS:
            return None
        # A permanent one: the retries of a pattern would meet the same, and wait for it.
        again = failures[-1] | {"error": PermanentError.__name__}
        return failure_from(again | {"message": f"{again.get('message')} (in {len(failures)} batches)"})


def written_line(name: str, slip: Slip) -> dict[str, object]:
    """The line of a journal by which a request is known to wait."""
    row, request, n = slip.key
    facts: dict[str, object] = {
        "t": "batch",
        "row": row,
        "req": request,
        "n": n,
        "id": name,
        "file": slip.file,
    }
    return facts | {"model": slip.model} | ({"choices": slip.choices} if slip.choices > 1 else {})


def ended_line(
    name: str, slip: Slip, end: str, facts: Mapping[str, object] | None = None
) -> dict[str, object]:
    """The line of a journal by which a request waits no longer, though no reply is kept."""
    return {"t": "batch", "row": slip.key.row, "id": name, "end": end} | dict(facts or {})


def last_version(path: Path) -> str:
    """The version of the work that a journal was last written for."""
    found = ""
    with path.open("rb") as file:
        for line in file:
            if line.startswith(JOB):
                found = a_text((parsed(line) or {}).get("version"))
    return found
