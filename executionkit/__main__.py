"""The command line: `python -m executionkit` is the same program as `executionkit`."""

import sys

from executionkit._cli.app import main

if __name__ == "__main__":
    sys.exit(main())
