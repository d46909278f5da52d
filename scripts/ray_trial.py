"""`run_many_on_ray` with two workers on this machine: one rate, one budget, and kills in the middle.

    pip install ".[ray,aiohttp]"
    python scripts/ray_trial.py            # all trials; or some: limit learnt ceiling actor driver interrupt

Each trial starts Ray in a process of its own, against a local endpoint that keeps its own books. It ends with
status 1 if a figure is beyond its aim.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from executionkit import (
    BudgetExhaustedError,
    ExecutionKitError,
    PatternResult,
    Provider,
    TokenUsage,
    consensus,
)
from executionkit.many import RateLimits
from executionkit.testing import Fault, LocalEndpoint

WORKERS = 2


@dataclass
class Server:
    """A simulated model, with its books, and a limit as a bucket of one second."""

    latency: float = 0.1
    per_second: float | None = None
    asked: Counter[str] = field(default_factory=Counter[str])
    in_flight: Counter[str] = field(default_factory=Counter[str])
    admitted: list[float] = field(default_factory=list[float])
    refused: int = 0
    _level: float = 0.0
    _at: float = 0.0

    async def __call__(self, request: Any) -> Any:
        now = time.monotonic()
        if self.per_second is not None:
            full = self._at == 0.0
            gained = self.per_second if full else (now - self._at) * self.per_second
            self._level, self._at = min(self.per_second, self._level + gained), now
            if self._level < 1.0:
                self.refused += 1
                return Fault.rate_limited(1)
            self._level -= 1.0
        self.admitted.append(now)
        worker = request.headers.get("x-worker", "")
        self.asked[str(request.messages[-1]["content"])] += 1
        self.in_flight[worker] += 1
        try:
            # Between half of it and one and a half.
            await asyncio.sleep(self.latency * (0.5 + (request.number * 7919 % 1000) / 1000))
        finally:
            self.in_flight[worker] -= 1
        return "good"

    @property
    def calls(self) -> int:
        return sum(self.asked.values())

    def paid_twice(self, samples: int) -> int:
        return sum(max(0, count - samples) for count in self.asked.values())


async def label(provider: Any, row: dict[str, Any]) -> PatternResult[str]:
    return await consensus(provider, f"Label {row['text']}", num_samples=row["samples"])


def drive(given: dict[str, Any]) -> None:
    """One start of a job, in this process; prints its figures as JSON."""
    import ray

    from executionkit.many.ray import run_many_on_ray

    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    url = given["url"]
    rows = [{"id": f"r{n}", "text": f"text {n}", "samples": given["samples"]} for n in range(given["rows"])]
    told: dict[str, Any] = {}
    try:
        result = run_many_on_ray(
            lambda: Provider(url, "any-model", headers={"x-worker": f"{os.getpid()}"}),
            rows,
            label,
            id="id",
            journal=given["journal"],
            rows_per_shard=given["rows_per_shard"],
            num_actors=WORKERS,
            limits=RateLimits(**given["limits"]),
            max_cost=TokenUsage(llm_calls=given["ceiling"]),
        )
        told = {"done": result.done, "failed": result.failed, "deaths": result.deaths}
        told |= {"errors": sorted({f"{each.error}" for each in result.failures})[:3]}
        told |= {"calls": result.cost.llm_calls, "unknown": result.unknown_calls, "seconds": result.seconds}
    except BudgetExhaustedError as exc:
        told = {"stopped": str(exc), "calls": exc.cost.llm_calls, "done": exc.metadata["done"]}
    except (ExecutionKitError, KeyboardInterrupt) as exc:
        told = {"stopped": f"{type(exc).__name__}: {exc}"}
    print(json.dumps(told), flush=True)
    ray.shutdown()


class Start:
    """A start of a job, in another process."""

    def __init__(self, endpoint: LocalEndpoint, journal: Path, **given: Any) -> None:
        defaults: dict[str, Any] = {"samples": 5, "rows_per_shard": 100, "limits": {}, "ceiling": 0}
        job = {"url": endpoint.base_url, "journal": str(journal), **defaults, **given}
        command = [sys.executable, __file__, "--drive", json.dumps(job)]
        environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    def when(self, server: Server, calls: int) -> None:
        """Wait until the server has had so many calls."""
        while server.calls < calls and self._process.poll() is None:
            time.sleep(0.005)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> dict[str, Any]:
        out, _ = self._process.communicate(timeout=600)
        lines = [line for line in out.splitlines() if line.startswith("{")]
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return found


def show(name: str, *facts: str, good: bool) -> bool:
    print(f"{name:<10}{'ok  ' if good else 'BAD '} {'; '.join(facts)}", flush=True)
    return good


def limit(folder: Path) -> bool:
    """One limit of 100 calls a second, known, over both workers."""
    return keep_limit("limit", folder, {"requests_per_minute": 6000}, most_refused=0.01)


def learnt(folder: Path) -> bool:
    """The same limit, which the workers have to learn."""
    return keep_limit("learnt", folder, {}, most_refused=0.03)


def keep_limit(name: str, folder: Path, limits: dict[str, Any], *, most_refused: float) -> bool:
    server = Server(latency=0.3, per_second=100.0)
    with LocalEndpoint(server) as endpoint:
        told = Start(endpoint, folder / name, rows=4000, samples=1, limits=limits).end()
    seconds = server.admitted[-1] - server.admitted[0]
    share = len(server.admitted) / (100.0 * seconds)
    refused = server.refused / (len(server.admitted) + server.refused)
    facts = f"{share:.1%} of the allowed rate over {seconds:.0f} s", f"{refused:.2%} refused (429)"
    is_kept = share >= 0.95 and refused <= most_refused
    return show(name, *facts, f"{told}", good=is_kept and told.get("done") == 4000)


def ceiling(folder: Path) -> bool:
    """A budget of 3,000 calls for 5,000; a worker is killed in the middle."""
    server = Server()
    with LocalEndpoint(server) as endpoint:
        start = Start(endpoint, folder / "ceiling", rows=1000, ceiling=3000)
        start.when(server, 1200)
        in_flight = kill_a_worker(server)
        told = start.end()
    stranded = 3000 - told.get("calls", 0)
    facts = "ceiling 3,000", f"server {server.calls:,}", f"journals {told.get('calls', 0):,}"
    good = server.calls <= 3000 and told.get("calls", 0) <= 3000 and stranded <= 64
    more = f"{stranded} stranded", f"{in_flight} in flight at the kill", f"{told}"
    return show("ceiling", *facts, *more, good=good and server.calls <= told.get("calls", 0))


def actor(folder: Path) -> bool:
    """A worker is killed with kill -9 in the middle."""
    server = Server()
    with LocalEndpoint(server) as endpoint:
        start = Start(endpoint, folder / "actor", rows=600)
        start.when(server, 1200)
        in_flight = kill_a_worker(server)
        told = start.end()
    facts = after_kill(server, told, rows=600)
    return show("actor", f"{in_flight} in flight at the kill", *facts, good=is_good(server, told, rows=600))


def driver(folder: Path) -> bool:
    """The program is killed with kill -9 in the middle, and started again."""
    server = Server()
    with LocalEndpoint(server) as endpoint:
        start = Start(endpoint, folder / "driver", rows=600, rows_per_shard=300)
        start.when(server, 1200)
        start.send(signal.SIGKILL)
        start.end()
        paid = server.calls
        told = Start(endpoint, folder / "driver", rows=600, rows_per_shard=300).end()
    facts = after_kill(server, told, rows=600)
    return show("driver", f"{paid:,} paid at the kill", *facts, good=is_good(server, told, rows=600))


def interrupt(folder: Path) -> bool:
    """Ctrl-C in the middle, then started again: what was in flight has come home."""
    server = Server()
    with LocalEndpoint(server) as endpoint:
        start = Start(endpoint, folder / "interrupt", rows=600)
        start.when(server, 1200)
        at = time.monotonic()
        start.send(signal.SIGINT)
        first = start.end()
        seconds = time.monotonic() - at
        told = Start(endpoint, folder / "interrupt", rows=600).end()
    facts = after_kill(server, told, rows=600)
    good = is_good(server, told, rows=600) and "KeyboardInterrupt" in first.get("stopped", "")
    return show("interrupt", f"ended in {seconds:.1f} s", *facts, good=good and not server.paid_twice(5))


def kill_a_worker(server: Server) -> int:
    """Kill the worker with the most in flight; returns how many those were."""
    process, in_flight = server.in_flight.most_common(1)[0]
    os.kill(int(process), signal.SIGKILL)
    return in_flight


def after_kill(server: Server, told: dict[str, Any], *, rows: int) -> list[str]:
    twice = server.paid_twice(5)
    return [
        f"{twice} paid twice of {told.get('unknown', 0)} whose outcome was unknown",
        f"{rows * 5 - (server.calls - twice)} missing",
        f"server {server.calls:,}, journals {told.get('calls', 0):,}",
        f"{told}",
    ]


def is_good(server: Server, told: dict[str, Any], *, rows: int) -> bool:
    """Whether every row is done, and no more was paid twice than was in flight at the workers that died."""
    is_whole = told.get("done") == rows and not told.get("failed") and server.calls >= rows * 5
    unknown = told.get("unknown", 0)
    is_bounded = server.paid_twice(5) <= unknown <= WORKERS * RateLimits().max_in_flight
    return is_whole and is_bounded and server.calls <= told["calls"]


TRIALS = {each.__name__: each for each in (limit, learnt, ceiling, actor, driver, interrupt)}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("trials", nargs="*", help=f"some of: {', '.join(TRIALS)}")
    parser.add_argument("--drive", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.drive:
        drive(json.loads(given.drive))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        good = [TRIALS[name](Path(folder)) for name in given.trials or TRIALS]
    return 0 if all(good) else 1


if __name__ == "__main__":
    raise SystemExit(main())
