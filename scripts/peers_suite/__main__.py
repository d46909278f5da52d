"""Install the libraries, each into an environment of its own, and run the checks in there."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from peers_suite import page

CACHE = Path(os.environ["PEERS_CACHE"]).resolve()


def install(name: str, packages: list[str]) -> Path:
    """Make the environment of a library, unless it is there; its Python."""
    home = CACHE / name
    python, stamp = home / "bin" / "python", home / ".installed"
    if not stamp.exists() or stamp.read_text() != "\n".join(packages):
        print(f"Installing {' '.join(packages)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        # pydantic is what the checks need themselves.
        subprocess.run([str(python), "-m", "pip", "install", "-qq", *packages, "pydantic"], check=True)
        stamp.write_text("\n".join(packages))
    return python


def unpinned(packages: list[str]) -> list[str]:
    """The packages without their versions."""
    return [re.sub("==.*", "", package) for package in packages]


def main() -> int:
    """The status: 1 if a block fails, a statement is not so, or a job that was killed didn't go on."""
    checks, jobs = {"common": [], **page.requirements()}, page.jobs()
    parser = argparse.ArgumentParser(prog="scripts/peers", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"{', '.join(checks)}; with --kills {', '.join(jobs)}")
    parser.add_argument("--newest", action="store_true", help="the newest versions, not those of the page")
    parser.add_argument("--kills", action="store_true", help="kill the jobs of docs/many-comparison.md")
    parser.add_argument("--rows", default="600", help="rows of a job that is killed")
    arguments = parser.parse_args()
    wanted = jobs if arguments.kills else checks
    if unknown := set(arguments.names) - wanted.keys():
        parser.error(f"not on the page: {', '.join(sorted(unknown))}")
    failed: list[str] = []
    for name in arguments.names or wanted:
        packages = unpinned(wanted[name]) if arguments.newest else wanted[name]
        home = f"{name}{'-job' if arguments.kills else ''}{'-newest' if arguments.newest else ''}"
        python = install(home, packages)
        if not arguments.kills:
            print(f"{name}: {' '.join(packages)}", flush=True)
        paths = os.pathsep.join(map(str, (page.ROOT, page.ROOT / "scripts")))
        program = ["kills", name, arguments.rows] if arguments.kills else ["inside", name]
        done = subprocess.run(
            [str(python), "-m", f"peers_suite.{program[0]}", *program[1:]],
            env={**os.environ, "PYTHONPATH": paths},
        )
        failed += [name] if done.returncode else []
    print(f"Not so: {', '.join(failed)}" if failed else "All went well.")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
