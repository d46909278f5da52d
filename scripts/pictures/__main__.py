"""Make the pictures of the docs: `make pictures`, of one page `make pictures ARGS="progress"`."""

import argparse
import sys

from pictures import progress, results, run_log, tracing, votes

PAGES = {"progress": progress.make, "results": results.make, "run_log": run_log.make, "votes": votes.make}
ASKED_FOR = {"tracing": tracing.make}
"""Needs a program that is not installed with the others."""
MOST_BYTES = 100_000


def main() -> int:
    """Make the pictures; 1 if one of them is too large."""
    parser = argparse.ArgumentParser(prog="pictures", description=(__doc__ or "").partition(":")[0])
    every = PAGES | ASKED_FOR
    about = f"out of {', '.join(every)}; by default all but {', '.join(ASKED_FOR)}"
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=about)
    names = parser.parse_args().pages or list(PAGES)
    if unknown := set(names) - every.keys():
        parser.error(f"there are no pictures of {', '.join(sorted(unknown))}")
    made = [picture for name in names for picture in every[name]()]
    for picture in made:
        print(f"{picture.stat().st_size / 1000:6.0f} kB  {picture.name}")
    return int(any(picture.stat().st_size > MOST_BYTES for picture in made))


if __name__ == "__main__":
    sys.exit(main())
