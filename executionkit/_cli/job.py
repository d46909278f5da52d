"""The command `run`: a pattern over every row of a table."""

import json
import sys
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from executionkit._cli import options as shared
from executionkit._cli.export import check_out, export
from executionkit._cli.options import InputError, UsageError
from executionkit._cli.steps import add_step, step_of
from executionkit._cli.table import Input, add_table
from executionkit._cli.terminal import answer, is_terminal, note

if TYPE_CHECKING:
    from executionkit import ExecutionKitError
    from executionkit._cli.stopping import Stopping
    from executionkit.many import Journal, ManyResult, RateLimits, RowResult

_MOST_FAILURES: Final = 5

_ABOUT = """\
Run a pattern over every row of a table, within the limits of the account, and write down what comes.

  executionkit run reviews.jsonl --prompt "Label this review: {text}" --id review_id \\
      --pattern consensus --set num_samples=5 --journal labels.jsonl --rpm 5000 --max-calls 60000

With a journal, the same command goes on where it was stopped, by Ctrl-C or by kill -9: rows that are done
are not asked again, and replies that came for an unfinished row are not paid again. Without one, results go
to standard output as JSON Lines, and nothing is resumed.

Every row is looked at before the first call: a line that can't be read, or a row without a field that the
prompt needs, is named and ends the command. --skip-bad passes over such rows.

In the prompt, {name} is a field of the row, {a.b} a field within a field. {{name}} is written as {name}. All
other braces stand for themselves.

Ctrl-C, SIGTERM or the closing of the terminal begins no more rows and waits for those under way; once more
cancels them.
"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "run",
        help="run a pattern over the rows of a table",
        description=_ABOUT,
        usage="%(prog)s ROWS --prompt TEXT [--journal FILE] [options]",
    )
    add_table(parser)
    add_step(parser)
    journal = parser.add_argument_group("results")
    journal.add_argument(
        "--journal", metavar="FILE", help="where all that comes is kept, and looked for first"
    )
    journal.add_argument(
        "--job-version",
        default="",
        metavar="TEXT",
        help="another one begins afresh, and deletes nothing",
    )
    journal.add_argument(
        "-o", "--out", metavar="FILE", help="write the results to this .jsonl, .csv or .parquet file"
    )
    journal.add_argument("--for-spreadsheets", action="store_true", help="as in export")
    journal.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    journal.add_argument("--shard", metavar="I/N", help="only the rows of part I of N, counted from 0")
    journal.add_argument(
        "--max-failures", metavar="N", help="stop after so many failed rows, or such a share of them (0.1)"
    )
    add_limits(parser)
    shared.add_endpoint(parser)
    shared.add_ceilings(parser, "the whole job, earlier starts included,")
    parser.set_defaults(run=_run, parser=parser)


def add_limits(parser: ArgumentParser) -> None:
    """Add the options that say what the account allows."""
    limits = parser.add_argument_group(
        "limits of the account", "Without --rpm and --tpm, the rate is learnt from what the server refuses."
    )
    limits.add_argument("--rpm", type=shared.amount, metavar="N", help="requests a minute")
    limits.add_argument("--tpm", type=shared.amount, metavar="N", help="tokens a minute")
    limits.add_argument("--in-flight", type=shared.count, metavar="N", help="requests at once; default: 64")


def limits_of(options: Namespace) -> "RateLimits":
    """The limits that were given."""
    from executionkit.many import RateLimits

    given = {
        "requests_per_minute": options.rpm,
        "tokens_per_minute": options.tpm,
        "max_in_flight": options.in_flight,
    }
    return RateLimits(**{name: value for name, value in given.items() if value is not None})


def _run(options: Namespace) -> int:
    from executionkit._cli.stopping import Stopping  # with asyncio, which is most of what `--help` would cost

    with Stopping() as stopping:
        try:
            return _worked(options, stopping)
        except KeyboardInterrupt:  # before the first call, or after the last one
            note(f"interrupted; {goes_on(options)}")
            return stopping.status


def _worked(options: Namespace, stopping: "Stopping") -> int:
    import asyncio

    from executionkit import ExecutionKitError
    from executionkit.many import run_many

    step = step_of(options)
    provider = shared.provider_of(options)
    keywords = _keywords(options)
    with ExitStack() as stack:
        printed: _Printed | None = None
        rows = Input(options, step.check, stack)
        if options.journal is None:
            shared.require_stdout()
            keywords["on_result"] = printed = _Printed(stopping)
            if is_terminal(sys.stdout):
                keywords["progress"] = False  # the results show it, and a bar would stand amid them
        else:
            keywords["journal"] = stack.enter_context(journal_of(options))

        async def work() -> "ManyResult":
            stopping.watch()
            async with provider:
                return await run_many(provider, stopping.until(rows), step.run, **keywords)

        try:
            result = asyncio.run(work())
        except asyncio.CancelledError as error:
            if printed is not None and printed.failure is not None:
                return _unprinted(options, printed.failure, error)
            note("; ".join(["cancelled", *told(error)]))
            return stopping.status
        except ExecutionKitError as error:
            return failed(options, error)
        except (ValueError, TypeError) as error:  # of an argument, or of rows that have changed meanwhile
            raise InputError("; ".join([str(error), *told(error)])) from error
    if printed is not None and printed.failure is not None:
        return _unprinted(options, printed.failure, None)
    if options.out is not None and options.journal is not None:
        export(options.journal, options.out, for_spreadsheets=options.for_spreadsheets)
    status = _ended(options, result, stopping)
    return 1 if not status and printed is not None and printed.failed else status


def _keywords(options: Namespace) -> dict[str, Any]:
    if options.out is not None and options.journal is None:
        raise UsageError("--out needs --journal; without one, results go to standard output")
    if options.out is not None:
        check_out(options.out, options.journal, options.rows)
    return {
        "id": options.id,
        "limits": limits_of(options),
        "max_cost": shared.ceiling_of(options),
        "max_failures": _failures(options.max_failures),
        "progress": not options.quiet,
        "retry": shared.retry_of(options),
        "shard": shard_of(options.shard),
    }


def journal_of(options: Namespace) -> "Journal":
    """The journal that the arguments name."""
    from executionkit.many import Journal

    return Journal(options.journal, version=options.job_version)


def shard_of(text: str | None) -> tuple[int, int] | None:
    """The part of the rows that a text such as 3/16 names."""
    if text is None:
        return None
    number, slash, count = text.partition("/")
    if not slash or not number.isdecimal() or not count.isdecimal() or int(number) >= int(count):
        raise UsageError(f"--shard must be I/N with 0 <= I < N, such as 3/16, got {text!r}")
    return int(number), int(count)


def _failures(text: str | None) -> int | float | None:
    try:
        most = None if text is None else float(text) if "." in text else int(text)
    except ValueError:
        most = -1
    if most is not None and (most < 0 or (isinstance(most, float) and most > 1)):
        raise UsageError(f"--max-failures must be a number of rows, or a share such as 0.1, got {text!r}")
    return most


class _Printed:
    """Prints results as they come. Where they can't be printed, the job is cancelled: they would be lost.

    Attributes:
        failure: Why a result could not be printed.
        failed: How many values JSON does not have.
    """

    def __init__(self, stopping: "Stopping") -> None:
        self.failure: OSError | None = None
        self.failed = 0
        self._stopping = stopping

    def __call__(self, result: "RowResult[Any]") -> None:
        from executionkit._json import as_dicts
        from executionkit.many._results import no_json

        if self.failure is not None:
            return
        found = {"id": result.id, "value": as_dicts(result.value), "error": result.error}
        try:
            line = json.dumps(found, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as exc:  # as with a journal, such a row has failed
            self.failed += 1
            error = no_json(result.index, exc)
            line = json.dumps(found | {"value": None, "error": error}, ensure_ascii=False)
        try:
            answer(line)
            sys.stdout.flush()
        except OSError as error:
            self.failure = error
            self._stopping.cancel()


def _unprinted(options: Namespace, failure: OSError, error: BaseException | None) -> int:
    """Say that results could not be printed, unless it was their reader who has had enough."""
    if isinstance(failure, BrokenPipeError):
        raise failure from None
    note(
        "; ".join([f"error: standard output: {failure.strerror or failure}", *told(error), goes_on(options)])
    )
    return 1


def told(error: BaseException | None) -> list[str]:
    """The notes that a job leaves on an error: how far it came, and what was spent."""
    return [text.partition(": ")[2] for text in getattr(error, "__notes__", ())]


def goes_on(options: Namespace) -> str:
    """What happens when the command is given again."""
    if options.journal is None:
        return "the same command begins anew, because there is no --journal"
    return f"the same command goes on from {options.journal}"


def failed(options: Namespace, error: "ExecutionKitError") -> int:
    """Say why a job was stopped and what to do; returns the exit status."""
    from executionkit import BudgetExhaustedError, LLMError
    from executionkit.errors import JournalError

    if options.debug:
        raise error
    status, advice = 1, goes_on(options)
    if isinstance(error, JournalError) and isinstance(error.__cause__, OSError) and error.cost.llm_calls:
        pass  # the disk is full: no mistake in the arguments
    elif isinstance(error, JournalError):
        status, advice = 2, "in the shell that is --job-version TEXT" if "version=" in str(error) else ""
    elif isinstance(error, BudgetExhaustedError):
        status, advice = 3, f"with a higher ceiling, {advice}"
    elif isinstance(error, LLMError):
        if (hint := shared.key_hint(error)) is not None:
            advice = f"{hint}; {advice}"
        status, advice = 3, f"when that is mended, {advice}"
    facts = [f"error: {type(error).__name__}: {error}"]
    done, lost = error.metadata.get("done", 0), error.metadata.get("failed", 0)
    if done or lost or error.cost.llm_calls:
        rows = "1 row" if done == 1 else f"{done:,} rows"
        facts.append(f"{rows} done, {lost:,} failed; spent {error.cost}")
    note("; ".join([*facts, advice] if advice else facts))
    return status


def _ended(options: Namespace, result: "ManyResult", stopping: "Stopping") -> int:
    if options.journal is not None:  # elsewhere all of them stand on stdout
        for failure in result.failures[:_MOST_FAILURES]:
            note(f"row {failure.index}, id {failure.id!r}: {failure.error}")
        if result.failed > _MOST_FAILURES:
            note(f"and {result.failed - _MOST_FAILURES:,} more rows failed")
    if not options.quiet:
        note(str(result))
    if stopping.has_cut:
        note(f"stopped; {goes_on(options)}")
        return stopping.status
    return 1 if result.failed else 0
