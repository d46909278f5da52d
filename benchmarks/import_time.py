"""What `import executionkit` costs beyond the `import asyncio, json` that an async program has done anyway.

Aim: at most 25 ms. Names are imported when they are first asked for, so two more lines say what a program
with one pattern pays, and one that asks for every name. It is processor time, in which little counts that
others do on the machine. Each figure is the median of many fresh interpreters; the programs take turns, so
that a machine slowing down meanwhile touches all alike.
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
OURS = {
    "import executionkit": "import executionkit",
    "one pattern and the client": "from executionkit import Provider, consensus",
    "every name": "from executionkit import *",
}


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
        programs = [BASE, *(f"{BASE}\n{line}" for line in OURS.values())]
        for program in programs:
            milliseconds(program, environment)
        rounds = [[milliseconds(program, environment) for program in programs] for _ in range(ROUNDS)]
    base = statistics.median(times[0] for times in rounds)
    added = [
        statistics.median(times[column] - times[0] for times in rounds) for column in range(1, len(programs))
    ]
    print(f"{BASE:<28} {base:6.1f} ms, the interpreter's start with it; median of {ROUNDS}\n")
    for name, cost in zip(OURS, added, strict=True):
        print(f"{name:<28} {cost:+6.1f} ms   {cost / base:+5.2f} x")
    print(f"\nAim: `import executionkit` adds at most {LIMIT_MS:.0f} ms.")
    return int(added[0] > LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
