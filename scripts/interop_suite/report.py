"""Running checks on every back end, and the table of what came of them."""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from textwrap import wrap

from executionkit import TokenUsage
from interop_suite.checking import Check, CheckFailedError, Checks, Outcome, Target

_SECONDS = 120.0
"""What one check may take; a server of one process on a busy machine is slow."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        check: What was tried.
        backend: Through which back end; "-" where none was in play.
        outcome: What came of it.
        passed: Whether that is as it should be.
    """

    check: str
    backend: str
    outcome: str
    passed: bool


@dataclass
class Report:
    """What was tried on one server.

    Attributes:
        server: Its name.
        backends: The back ends to try it through.
        rows: What came of it.
    """

    server: str
    backends: Sequence[str]
    rows: list[Row] = field(default_factory=list)

    @property
    def failures(self) -> int:
        """How many checks failed."""
        return sum(not row.passed for row in self.rows)

    def failed(self, check: str, why: str) -> None:
        """Note what could not be tried at all."""
        self.rows.append(Row(check, "-", why, passed=False))

    def run(self, checks: Checks, target: Callable[[str], Target]) -> None:
        """Carry out each check through each back end; `target` makes the target of one."""
        for name, check in checks.items():
            for backend in self.backends:
                started = time.monotonic()
                row = _carry_out(name, check, target(backend))
                self.rows.append(row)
                seconds = time.monotonic() - started
                mark = "ok" if row.passed else "FAILED"
                print(f"  {self.server}: {name}, {backend}: {mark} ({seconds:.1f} s)", file=sys.stderr)

    def print(self) -> None:
        """Print the table; back ends on which the same came out share a line."""
        for name, same_check in groupby(self.rows, key=lambda row: row.check):
            by_outcome: dict[tuple[str, bool], list[str]] = {}
            for row in same_check:
                by_outcome.setdefault((row.outcome, row.passed), []).append(row.backend)
            for (outcome, passed), backends in by_outcome.items():
                lines = wrap(outcome if passed else f"FAILED: {outcome}", 76) or [""]
                print(f"{name:<34}  {' '.join(backends):<28}  {lines[0]}")
                for line in lines[1:]:
                    print(f"{'':<34}  {'':<28}  {line}")


def _carry_out(name: str, check: Check, target: Target) -> Row:
    before = target.served() if target.served else TokenUsage()
    try:
        outcome = asyncio.run(_within_limits(check, target))
        if target.served and outcome.cost is not None:
            _compare(outcome.cost, before, target.served())
    except CheckFailedError as exc:
        return Row(name, target.backend, str(exc), passed=False)
    except Exception as exc:
        text = f"{type(exc).__name__}: {exc}" if not isinstance(exc, TimeoutError) else f"over {_SECONDS} s"
        return Row(name, target.backend, text, passed=False)
    return Row(name, target.backend, outcome.text, passed=True)


async def _within_limits(check: Check, target: Target) -> Outcome:
    async with asyncio.timeout(_SECONDS):
        outcome = await check(target)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    # What was cancelled takes a few turns of the loop to end.
    if left and (await asyncio.wait(left, timeout=1.0))[1]:
        raise CheckFailedError(f"tasks left behind: {left}")
    return outcome


def _compare(spent: TokenUsage, before: TokenUsage, after: TokenUsage) -> None:
    """Hold what the library says it spent against what the server counted."""
    for name in ("llm_calls", "input_tokens", "output_tokens"):
        counted = getattr(after, name) - getattr(before, name)
        knows = name == "llm_calls" or after.input_tokens
        if knows and counted != getattr(spent, name):
            raise CheckFailedError(
                f"{name}: the server counted {counted}, the library {getattr(spent, name)}"
            )
