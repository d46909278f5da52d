"""The command line: `python -m executionkit demo`."""

import argparse
import os
import sys
from collections.abc import Sequence

from executionkit._demo import app

_ABOUT = """\
Run the patterns over real HTTP against a simulated model, started on this machine for the demo: it needs no
key and no network. With EXECUTIONKIT_BASE_URL, EXECUTIONKIT_MODEL and EXECUTIONKIT_API_KEY set, run them
against that endpoint instead; some 25 calls are made.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m executionkit", description="Reasoning patterns over any OpenAI-compatible endpoint."
    )
    parser.add_argument("--version", action="version", version=app.TITLE)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    demo = commands.add_parser("demo", help="see four of the patterns at work", description=_ABOUT)
    if parser.parse_args(arguments).command is None:
        parser.print_help()
        return 0
    try:
        return app.main(os.environ)
    except app.UsageError as error:
        demo.error(str(error))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
