"""`scripts/interop`: install real servers, drive them through the library, print what came of it."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

from interop_suite import aimock, litellm_proxy, llama_cpp, openai_schema, real_model
from interop_suite.backends import BACKENDS
from interop_suite.environments import InstallError
from interop_suite.processes import StartError, reach_loopback
from interop_suite.report import Report


class Server(Protocol):
    """A module that knows a server."""

    def install(self, cache: Path) -> str:
        """Install it below `cache`, unless it is there, and say what was installed."""
        ...

    def run(self, cache: Path, report: Report) -> None:
        """Start it and carry out its checks."""
        ...


SERVERS: dict[str, Server] = {
    "litellm": cast("Server", litellm_proxy),
    "aimock": cast("Server", aimock),
    "llama-cpp": cast("Server", llama_cpp),
    "real-model": cast("Server", real_model),
    "openai-schema": cast("Server", openai_schema),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the servers that the arguments name; 0 when everything went well."""
    parser = argparse.ArgumentParser(prog="scripts/interop", description=__doc__)
    parser.add_argument(
        "servers",
        nargs="*",
        metavar="SERVER",
        help=f"which to try: {', '.join(SERVERS)}; all when none is named",
    )
    parser.add_argument("--backend", choices=BACKENDS, help="the one back end to use; all when none is named")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.servers if name not in SERVERS]
    if unknown:
        parser.error(f"no such server: {', '.join(unknown)}; there are {', '.join(SERVERS)}")
    cache = Path(os.environ["INTEROP_CACHE"]).resolve()
    reach_loopback()
    failures = 0
    for name in options.servers or SERVERS:
        report = Report(name, [options.backend] if options.backend else BACKENDS)
        version = _try(SERVERS[name], cache, report)
        print(f"\n{name}: {version}\n")
        report.print()
        failures += report.failures
    print(f"\n{failures} failed" if failures else "\nAll as expected.")
    return 1 if failures else 0


def _try(server: Server, cache: Path, report: Report) -> str:
    try:
        print(f"  {report.server}: installing", file=sys.stderr)
        version = server.install(cache)
    except InstallError as exc:
        report.failed("installation", str(exc))
        return "not installed"
    try:
        server.run(cache, report)
    except StartError as exc:
        report.failed("start", str(exc))
    return version


if __name__ == "__main__":
    sys.exit(main())
