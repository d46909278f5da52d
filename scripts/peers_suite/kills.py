"""What a job over rows pays twice: it is killed in the middle with `kill -9`, and started again."""

import collections
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from executionkit import LLMResponse
from executionkit.testing import ChatRequest, Fault, LocalEndpoint
from peers_suite import page

LATENCY = 0.05


class Counted:
    """A model that counts the calls of each row."""

    def __init__(self) -> None:
        self.calls: collections.Counter[str] = collections.Counter()
        self.others = 0

    def __call__(self, request: ChatRequest) -> Fault:
        """Answer after a moment."""
        if request.prompt.startswith("row "):
            self.calls[request.prompt] += 1
        else:
            self.others += 1
        return Fault.delay(LATENCY, then=LLMResponse("Paris"))


def measure(name: str, python: Path, rows: int) -> bool:
    """Kill a job in the middle, start it again, and print what came of it; whether every row was asked."""
    model = Counted()
    paths = os.pathsep.join(map(str, (page.ROOT, page.ROOT / "scripts")))
    with tempfile.TemporaryDirectory() as directory, LocalEndpoint(model) as endpoint:
        command = [str(python), "-m", f"peers_suite.jobs.{name}", endpoint.base_url, directory, str(rows)]

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command,
                env={**os.environ, "PYTHONPATH": paths},
                stdout=subprocess.DEVNULL,
                stderr=(Path(directory) / "stderr").open("wb"),
                start_new_session=True,
            )

        began = time.monotonic()
        job = start()
        endpoint.wait_until_sync(lambda ledger: len(ledger.statuses) >= rows // 2, timeout=300)
        in_flight = endpoint.ledger.in_flight
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
        paid = endpoint.wait_until_sync(lambda ledger: ledger.in_flight == 0).calls
        status = start().wait(timeout=600)
        twice = sum(calls - 1 for calls in model.calls.values())
        print(
            f"{name}: {paid} calls until the kill, {in_flight} of them in flight; {twice} paid twice, "
            f"{model.others} other calls, {len(model.calls)} of {rows} rows asked, status {status}, "
            f"{time.monotonic() - began:.0f} s",
            flush=True,
        )
        if status:
            print((Path(directory) / "stderr").read_text()[-2_000:], file=sys.stderr)
    return len(model.calls) == rows and not status


if __name__ == "__main__":
    sys.exit(not measure(sys.argv[1], Path(sys.executable), int(sys.argv[2])))
