"""A job over many rows that is killed half-way and begun again: the process, the kill, and the figures."""

import asyncio
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from executionkit import LLMProvider, TokenUsage
from executionkit._demo.model import SimulatedModel
from executionkit._demo.scenes import LABEL, REVIEWS, label_all
from executionkit.cost import minus
from executionkit.errors import JournalError
from executionkit.many import ManyResult, RowResult
from executionkit.testing import LocalEndpoint

HALF = len(REVIEWS) // 2
IN_FLIGHT = 8
# Windows has no signals of that kind; it ends a process at once all the same.
HOW = "SIGKILL" if hasattr(signal, "SIGKILL") else "TerminateProcess"


@dataclass(frozen=True)
class Resumed:
    """The two starts of the job.

    Attributes:
        first: How the first one ended.
        was_killed: Whether it was killed.
        result: The figures of both.
        labels: How often each label was given.
        asked_twice: How many calls came twice, by the endpoint's ledger; None where it is not known.
    """

    first: str
    was_killed: bool
    result: ManyResult
    labels: Counter[str]
    asked_twice: int | None

    @property
    def before(self) -> TokenUsage:
        """The cost of the first start."""
        return minus(self.result.cost, self.result.cost_now)


@dataclass
class Kill:
    """Starts the job in a process of its own, kills that half-way, and begins the job again in this one.

    Attributes:
        variables: The environment variables that name the endpoint.
        model: The simulated model, if that is asked.
        endpoint: Its endpoint.
        done: The rows that were done in the process so far.
    """

    variables: Mapping[str, str]
    model: SimulatedModel | None = None
    endpoint: LocalEndpoint | None = None
    done: int = field(default=0, init=False)

    async def play(self, provider: LLMProvider) -> Resumed:
        """A table of 40 rows, killed half-way and begun again."""
        labels: Counter[str] = Counter()

        def count(row: RowResult[str]) -> None:
            if row.error is None:
                labels[str(row.value).strip().strip(".").lower()] += 1

        try:
            place = tempfile.TemporaryDirectory(prefix="executionkit-", ignore_cleanup_errors=True)
        except OSError as error:
            raise JournalError(f"there is no place for the journal: {error}") from error
        with place as folder:
            journal = Path(folder, "labels.jsonl")
            try:
                was_killed = await self._start_and_kill(journal)
            except OSError as error:  # some sandboxes allow no processes
                first, was_killed = f"not begun: this system starts no process ({error})", False
            else:
                first = f"killed ({HOW})" if was_killed else f"ended by itself, with {self.done} rows"
            result = await label_all(provider, journal, count)
        return Resumed(first, was_killed, result, labels, self._asked_twice())

    async def _start_and_kill(self, journal: Path) -> bool:
        """Start the job, and kill it when half of the rows are done; whether there was something to kill."""
        if self.model is not None:
            # So that the same calls are in flight at the kill each time.
            self.model.labels_left = HALF
        # It finds its modules where this process does, and is not hit by this terminal's Ctrl-C.
        path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "executionkit._demo.job", str(journal)),
            env={**os.environ, **self.variables, **path},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return await self._half_way(child)
        finally:
            if child.returncode is None:
                child.kill()
            await child.wait()
            if self.model is not None:
                self.model.labels_left = None

    async def _half_way(self, child: asyncio.subprocess.Process) -> bool:
        lines = cast("asyncio.StreamReader", child.stdout)
        while self.done < HALF:
            if not await lines.readline():
                return False
            self.done += 1
        if self.endpoint is not None:
            with suppress(TimeoutError):
                await self.endpoint.wait_in_flight(IN_FLIGHT)
        return True

    def _asked_twice(self) -> int | None:
        if self.endpoint is None:
            return None
        prompts = Counter(request.prompt for request in self.endpoint.ledger.requests)
        return sum(times - 1 for prompt, times in prompts.items() if LABEL in prompt)
