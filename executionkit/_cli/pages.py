"""The commands `demo` and `show`."""

import os
from argparse import Namespace
from typing import Any

from executionkit._cli.options import UsageError

_ABOUT_DEMO = """\
Run the patterns, a conversation and a table over real HTTP against a simulated model, started on this machine
for the demo: it needs no key and no network. The code that ran stands beside each result.

With EXECUTIONKIT_BASE_URL, EXECUTIONKIT_MODEL and EXECUTIONKIT_API_KEY all set, that model is asked instead,
some 100 times. --real asks a model that needs no key; --simulated asks the simulated one whatever is set.
"""

_ABOUT_SHOW = """\
Print a run log, which executionkit.run_log.RunLog has written, as a tree: runs, calls, retries and tools,
with their times, tokens, dollars and errors. A log that is still being written can be shown, too.
"""


def add(commands: Any) -> None:
    """Add the commands."""
    demo = commands.add_parser("demo", help="see the patterns at work", description=_ABOUT_DEMO)
    whom = demo.add_mutually_exclusive_group()
    whom.add_argument("--real", action="store_true", help="ask a model of yours, which may cost money")
    whom.add_argument("--simulated", action="store_true", help="ask the simulated model in any case")
    demo.set_defaults(run=_demo, parser=demo)
    show = commands.add_parser("show", help="see what is in a run log", description=_ABOUT_SHOW)
    show.add_argument("log", help="the file; - for standard input")
    show.add_argument("--html", metavar="FILE", help="write one page of HTML instead; - for standard output")
    show.set_defaults(run=_show, parser=show)


def _demo(options: Namespace) -> int:
    from executionkit._demo import app, connection

    # All three name a service. A local model is named by two, for other commands too.
    is_named = all(os.environ.get(name) for name in connection.VARIABLES)
    try:
        return app.main(os.environ if options.real or (is_named and not options.simulated) else None)
    except connection.UsageError as error:
        raise UsageError(str(error)) from error


def _show(options: Namespace) -> int:
    from executionkit._show import app

    return app.main(options.log, options.html)
