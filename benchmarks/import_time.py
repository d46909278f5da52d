"""What `import executionkit` costs beyond the `import asyncio, json` that an async program has done anyway.

Aim: at most 25 ms. It is processor time, in which little counts that others do on the machine. Each figure is
the median of many fresh interpreters; the two programs take turns, so that a machine slowing down meanwhile
touches both alike.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile

ROUNDS = 25
LIMIT_MS = 25.0
BASE = "import asyncio, json"
OURS = "import asyncio, json, executionkit"


def milliseconds(program: str, environment: dict[str, str]) -> float:
    """Run `program` in an interpreter of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1000


def main() -> int:
    """Print the figures; 1 when the aim is missed."""
    with tempfile.TemporaryDirectory() as byte_code:
        # Compiled once, as for any user, however this machine is set up.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": byte_code}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for program in (BASE, OURS):
            milliseconds(program, environment)
        pairs = [(milliseconds(BASE, environment), milliseconds(OURS, environment)) for _ in range(ROUNDS)]
    base, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    added = statistics.median(b - a for a, b in pairs)
    print(f"{BASE:<36} {base:6.1f} ms")
    print(f"{OURS:<36} {ours:6.1f} ms")
    print(f"{'executionkit adds':<36} {added:6.1f} ms   (median of {ROUNDS}; aim: at most {LIMIT_MS:.0f} ms)")
    return int(added > LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
