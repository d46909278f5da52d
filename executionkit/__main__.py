"""The command line: `python -m executionkit` is the same program as `executionkit`."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    try:
        from executionkit._cli.app import main as run

        return run(arguments)
    except KeyboardInterrupt:  # while it was loading; a command takes its own
        return 130


if __name__ == "__main__":
    sys.exit(main())
