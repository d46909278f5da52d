"""The command `bench`: would voting or refining help on these items, and what would it cost?"""

import json
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from executionkit._cli import options as shared
from executionkit._cli.job import add_limits, failed, goes_on, limits_of, told
from executionkit._cli.options import UsageError
from executionkit._cli.steps import require_fields
from executionkit._cli.table import Input, add_table
from executionkit._cli.terminal import answer, note

if TYPE_CHECKING:
    from executionkit.bench import Comparison
    from executionkit.many import Journal

_ABOUT = """\
Run several patterns over items whose answers are known: how often is each right, with a 95 % interval, and
what does it cost?

  executionkit bench questions.jsonl --prompt "{question}" --patterns ask,consensus:5,refine --key number

The answer of an item is its field "answer" or "expected", or the one that --expected names. The first pattern
is what the others are compared with. Patterns are ask, consensus:SAMPLES, consensus:SAMPLES:STOP,
best_of_n:SAMPLES and refine:ITERATIONS.
"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "bench",
        help="compare patterns on items with known answers",
        description=_ABOUT,
        usage="%(prog)s ROWS --prompt TEXT [options]",
    )
    add_table(parser)
    parser.add_argument(
        "--prompt", metavar="TEXT", required=True, help="the prompt; {field} is a field of the item"
    )
    parser.add_argument(
        "--patterns", metavar="LIST", default="ask,consensus:5", help="default: ask,consensus:5"
    )
    parser.add_argument("-s", "--system", metavar="TEXT", help="the system message")
    parser.add_argument("--temperature", type=float, metavar="T", help="default: that of each pattern")
    parser.add_argument("--max-tokens", type=shared.count, metavar="N", help="the longest reply")
    parser.add_argument("--key", metavar="READER", help=f"how answers are read: {shared.READERS}")
    parser.add_argument("--expected", metavar="FIELD", help="the field with the answer")
    parser.add_argument(
        "--journal", metavar="FILE", help="where all that comes is kept, and looked for first"
    )
    parser.add_argument("--job-version", default="", metavar="TEXT", help="as in run")
    parser.add_argument("--plot", metavar="FILE", help="write a picture of accuracy over cost, as SVG")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    add_limits(parser)
    shared.add_endpoint(parser)
    shared.add_ceilings(parser, "all patterns together")
    parser.set_defaults(run=_run, parser=parser)


def _run(options: Namespace) -> int:
    import asyncio  # not at the top: it is most of what `--help` would cost

    from executionkit import ExecutionKitError, bench
    from executionkit.many._template import Template, what_is_there

    shared.require_stdout()
    _check_plot(options.plot)
    key = None if options.key is None else shared.key_of(options.key)
    grade = bench.match(options.expected, key=key)
    template = Template(options.prompt)
    require_fields(template)
    try:
        steps = bench.steps(options.patterns, options.prompt, key=key, **_settings(options))
    except ValueError as error:
        raise UsageError(f"--patterns: {error}") from error

    def check(item: Any) -> None:
        template.fill(item)
        try:
            grade.expected(item)
        except ValueError as error:
            named = repr(options.expected) if options.expected else "'answer' or 'expected'"
            raise ValueError(f"no field {named}; {what_is_there(item)}; --expected names it") from error

    provider = shared.provider_of(options)
    keywords: dict[str, Any] = {
        "id": options.id,
        "limits": limits_of(options),
        "max_cost": shared.ceiling_of(options),
        "progress": not options.quiet,
        "retry": shared.retry_of(options),
    }
    with ExitStack() as stack:
        items = Input(options, check, stack)
        journal = stack.enter_context(_journal(options)) if options.journal else None

        async def work() -> "Comparison":
            async with provider:
                return await bench.compare(
                    items, steps, provider=provider, grade=grade, journal=journal, **keywords
                )

        try:
            comparison = asyncio.run(work())
        except ExecutionKitError as error:
            if (so_far := error.metadata.get("comparison")) is not None:
                _print(options, so_far)
            return failed(options, error)
        except KeyboardInterrupt as error:
            note("; ".join(["interrupted", *told(error.__context__), goes_on(options)]))
            return 130
        except (ValueError, TypeError) as error:
            raise UsageError("; ".join([str(error), *told(error)])) from error
    _print(options, comparison)
    return 0


def _settings(options: Namespace) -> dict[str, Any]:
    """The keywords of all patterns."""
    given = {name: getattr(options, name) for name in ("system", "temperature", "max_tokens")}
    return {name: value for name, value in given.items() if value is not None}


def _check_plot(name: str | None) -> None:
    """See that the picture can be written, before anything is paid for."""
    if name is None:
        return
    if not name.lower().endswith(".svg"):
        raise UsageError(f"{name}: the name must end in .svg")
    if not Path(name).absolute().parent.is_dir():
        raise UsageError(f"{name}: there is no such folder")


def _journal(options: Namespace) -> "Journal":
    """The journal, of a version of its own for each prompt and grade: it must not mix them."""
    from hashlib import blake2b

    from executionkit.many import Journal

    asked = [options.prompt, options.key, options.expected]
    settings = {name: value for name, value in _settings(options).items() if name != "max_tokens"}
    described = json.dumps([*asked, settings] if settings else asked)
    digest = blake2b(described.encode(), digest_size=4).hexdigest()
    return Journal(options.journal, version=f"{options.job_version} {digest}".lstrip())


def _print(options: Namespace, comparison: "Comparison") -> None:
    answer(json.dumps(comparison.to_dict(), ensure_ascii=False) if options.json else str(comparison))
    if options.plot is not None:
        comparison.plot(options.plot)
        note(f"wrote {options.plot}")
