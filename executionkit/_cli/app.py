"""`main`: reads the arguments, runs the command, and makes one line and a status of what goes wrong."""

import os
import sys
from collections.abc import Sequence
from typing import Any

from executionkit._cli import batch, bench, export, job, once, pages, status
from executionkit._cli.options import InputError, Parser, UsageError
from executionkit._cli.terminal import give_up_stdout, note, prepare
from executionkit._version import __version__

TITLE = f"ExecutionKit {__version__}"

_EPILOG = """\
Whom to ask: EXECUTIONKIT_BASE_URL, EXECUTIONKIT_MODEL and EXECUTIONKIT_API_KEY, or --base-url and --model.

  executionkit ask "The capital of France?"
  executionkit run reviews.csv --prompt "Positive or negative? {text}" --journal labels.jsonl
  executionkit run --help

exit status:
  0 all went well; 1 it failed, or some rows did; 2 the arguments or the input can't be used;
  130 interrupted. ask, consensus and structured: 3 the vote gave no answer; 4 a ceiling was reached.
  run: 3 a ceiling was reached, or the account refused to go on; 129, 143 ended by SIGHUP, SIGTERM.

Errors are one line. EXECUTIONKIT_DEBUG=1 or --debug shows the traceback as well.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    prepare()
    options, unknown = _parser(given).parse_known_args(given)
    if unknown:
        options.parser.unrecognized(unknown)
    if options.command is None:
        options.parser.print_help()
        return 0
    status = 1
    try:
        status = options.run(options)
        sys.stdout.flush()
    except UsageError as error:
        if options.debug:
            raise
        if isinstance(error, InputError):
            options.parser.refuse(" ".join(str(error).split()))
        options.parser.error(" ".join(str(error).split()))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        give_up_stdout()
        return 1
    except Exception as error:
        if options.debug:
            raise
        note(f"error: {_told(error)}")
        return 1
    return status


def _told(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, OSError):
        return f"{error.filename or 'input or output'}: {error.strerror or error}"
    return f"{type(error).__name__}: {error}; --debug shows where"


def _parser(given: Sequence[str]) -> Parser:
    # `python -m executionkit` and the script are one program.
    is_module = os.path.basename(sys.argv[0]) == "__main__.py"
    prog = "python -m executionkit" if is_module else "executionkit"
    parser = Parser(
        prog=prog, description="Reasoning patterns over any OpenAI-compatible endpoint.", epilog=_EPILOG
    )
    parser.add_argument("--version", action="version", version=TITLE)
    parser.set_defaults(parser=parser, debug=bool(os.environ.get("EXECUTIONKIT_DEBUG")))
    commands: Any = parser.add_subparsers(dest="command", metavar="COMMAND")
    for module in (once, job, status, export, batch, bench, pages):
        module.add(commands)
    if given and not given[0].startswith("-") and given[0] not in commands.choices:
        from executionkit._keywords import nearest

        near = nearest(given[0], commands.choices)
        parser.error(f"there is no command {given[0]!r}" + (f"; did you mean {near!r}?" if near else ""))
    return parser
