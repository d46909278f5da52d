"""The command line: `python -m executionkit demo`, `python -m executionkit show run.jsonl`."""

import argparse
import os
import sys
from collections.abc import Sequence

from executionkit._demo import app
from executionkit._show import app as show_app

_ABOUT = """\
Run the patterns over real HTTP against a simulated model, started on this machine for the demo: it needs no
key and no network. With EXECUTIONKIT_BASE_URL, EXECUTIONKIT_MODEL and EXECUTIONKIT_API_KEY set, run them
against that endpoint instead; some 25 calls are made.
"""

_ABOUT_SHOW = """\
Print a run log, which executionkit.run_log.RunLog has written, as a tree: runs, calls, retries and tools,
with their times, tokens, dollars and errors. A log that is still being written can be shown, too.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m executionkit", description="Reasoning patterns over any OpenAI-compatible endpoint."
    )
    parser.add_argument("--version", action="version", version=app.TITLE)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    demo = commands.add_parser("demo", help="see four of the patterns at work", description=_ABOUT)
    show = commands.add_parser("show", help="see what is in a run log", description=_ABOUT_SHOW)
    show.add_argument("log", help="the file; - for standard input")
    show.add_argument("--html", metavar="FILE", help="write one page of HTML instead; - for standard output")
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    try:
        if options.command == "show":
            return show_app.main(options.log, options.html)
        return app.main(os.environ)
    except app.UsageError as error:
        demo.error(str(error))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
