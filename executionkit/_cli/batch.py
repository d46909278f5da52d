"""The commands `batch write`, `batch read` and `batch forget`: a job by the files of a batch service."""

from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from executionkit._cli import options as shared
from executionkit._cli.job import failed, journal_of, shard_of
from executionkit._cli.options import Parser, UsageError
from executionkit._cli.steps import add_step, step_of
from executionkit._cli.table import Input, add_table
from executionkit._cli.terminal import answer, note

if TYPE_CHECKING:
    from executionkit.many import BatchWritten

_ABOUT = """\
Run a job by the files of a batch service, which takes hours and half the price:

  executionkit batch write reviews.jsonl --prompt "Label: {text}" --journal labels.jsonl -o requests.jsonl
  ... give requests.jsonl to the service, fetch responses.jsonl ...
  executionkit batch read labels.jsonl responses.jsonl

and so on, until `write` has nothing left to write. Then `export` has the values.
"""

_WRITE = """\
Write what the journal has no replies to as requests for a batch service. No call is made. The names of the
new files go to stdout. If no file is named, and no request waits for a response, the job is done.
"""

_READ = """\
Read the output of a batch service, and its file of errors, into the journal. Lines may come in any order, and
again.
"""

_FORGET = """\
Have requests written again whose batch failed or was never given to the service. What the service answers all
the same is paid for.
"""


def add(commands: Any) -> None:
    """Add the commands."""
    batch = commands.add_parser("batch", help="run a job by the files of a batch service", description=_ABOUT)
    batch.set_defaults(run=_help, parser=batch)
    parts = batch.add_subparsers(dest="part", metavar="PART", parser_class=Parser)
    write = parts.add_parser(
        "write",
        help="write requests",
        description=_WRITE,
        usage="%(prog)s ROWS --prompt TEXT --journal FILE -o FILE [options]",
    )
    add_table(write)
    add_step(write)
    write.add_argument("--journal", metavar="FILE", required=True, help="the journal of the job")
    write.add_argument("--job-version", default="", metavar="TEXT", help="as in run")
    write.add_argument("-o", "--out", metavar="FILE", required=True, help="the file of requests")
    write.add_argument("--shard", metavar="I/N", help="as in run")
    write.add_argument("--url", metavar="PATH", help="the url of each request; default: /v1/chat/completions")
    shared.add_endpoint(write)
    shared.add_ceilings(write, "the whole job")
    write.set_defaults(run=_write, parser=write)

    read = parts.add_parser("read", help="read responses", description=_READ)
    read.add_argument("journal", metavar="JOURNAL", help="the journal of the job")
    read.add_argument("responses", metavar="RESPONSES", nargs="+", help="the files that the service made")
    read.add_argument(
        "--prices", metavar="IN,OUT", help="what replies usually cost, as in run; a batch costs half"
    )
    read.set_defaults(run=_read, parser=read)

    forget = parts.add_parser("forget", help="write requests again", description=_FORGET)
    forget.add_argument("journal", metavar="JOURNAL", help="the journal of the job")
    forget.add_argument(
        "requests", metavar="REQUESTS", nargs="?", help="the file of requests; default: all of them"
    )
    forget.set_defaults(run=_forget, parser=forget)


def _help(options: Namespace) -> int:
    options.parser.print_help()
    return 0


def _write(options: Namespace) -> int:
    import asyncio  # not at the top: it is most of what `--help` would cost

    from executionkit import ExecutionKitError
    from executionkit.many import write_batch

    step = step_of(options)
    provider = shared.provider_of(options)
    keywords: dict[str, Any] = {
        "id": options.id,
        "max_cost": shared.ceiling_of(options),
        "out": options.out,
        "shard": shard_of(options.shard),
    }
    if options.url is not None:
        keywords["url"] = options.url
    with ExitStack() as stack:
        rows = Input(options, step.check, stack)
        journal = stack.enter_context(journal_of(options))
        try:
            written = asyncio.run(write_batch(provider, rows, step.run, journal=journal, **keywords))
        except ExecutionKitError as error:
            _name_files(error.metadata.get("batch"))  # what the ceiling could pay for
            return failed(options, error)
        except ValueError as error:
            raise UsageError(str(error)) from error
    _name_files(written)
    note(str(written) + (": done, export has the values" if written.is_complete else ""))
    return 1 if written.is_complete and written.failed else 0


def _name_files(written: "BatchWritten | None") -> None:
    for file in () if written is None else written.files:
        answer(str(file.path))


def _read(options: Namespace) -> int:
    from executionkit import ExecutionKitError
    from executionkit.many import read_batch

    prices = shared.prices_of(options.prices)
    for name in options.responses:
        shared.check_readable(name)
    shared.check_readable(options.journal)
    try:
        # The path, and no Journal: the version that it was last written for is meant.
        found = read_batch(options.journal, map(Path, options.responses), prices=prices)
    except ExecutionKitError as error:
        return failed(options, error)
    note(str(found))
    return 1 if found.broken else 0  # a file that was cut off is to be fetched again


def _forget(options: Namespace) -> int:
    from executionkit import ExecutionKitError
    from executionkit.many import forget_batch

    shared.check_readable(options.journal)
    try:
        count = forget_batch(options.journal, options.requests)
    except ExecutionKitError as error:
        return failed(options, error)
    except ValueError as error:
        raise UsageError(str(error)) from error
    note(f"{count:,} requests will be written again")
    return 0
