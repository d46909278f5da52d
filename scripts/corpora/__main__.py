"""`make corpora`: fetch public test data, run it through the library, print what came of it."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from corpora import bfcl, json_schema
from corpora.archives import FetchError
from corpora.findings import Findings

CORPORA: dict[str, Callable[[Path], Findings]] = {"json-schema": json_schema.run, "bfcl": bfcl.run}


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the corpora that the arguments name; 0 when nothing failed that is not listed."""
    parser = argparse.ArgumentParser(prog="corpora", description=__doc__)
    parser.add_argument(
        "corpora",
        nargs="*",
        metavar="CORPUS",
        help=f"which to try: {', '.join(CORPORA)}; all when none is named",
    )
    options = parser.parse_args(arguments)
    unknown = [name for name in options.corpora if name not in CORPORA]
    if unknown:
        parser.error(f"no such corpus: {', '.join(unknown)}; there are {', '.join(CORPORA)}")
    # What is not checked is in the figures.
    logging.getLogger("executionkit.schema").setLevel(logging.ERROR)
    cache = Path(os.environ.get("CORPORA_CACHE") or ".corpora").resolve()
    cache.mkdir(parents=True, exist_ok=True)
    failures = 0
    for name in options.corpora or CORPORA:
        try:
            findings = CORPORA[name](cache)
        except FetchError as exc:
            print(f"FAILED: {exc}")
            failures += 1
        else:
            findings.print()
            failures += len(findings.failures)
    print(f"\n{failures} failed" if failures else "\nAll as expected.")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
