"""The command `bench`: several patterns over a table with the right answers in it."""

import json
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from executionkit._cli import options as shared
from executionkit._cli.options import UsageError
from executionkit._cli.table import Input, add_table
from executionkit._cli.terminal import answer, note

if TYPE_CHECKING:
    from executionkit.bench import Comparison, match
    from executionkit.bench._specs import ItemStep

_ABOUT = """\
Would voting or refining help on your data, and what would it cost? Run several patterns over the rows of a
table, compare their answers with the right ones, and say how sure the difference is.

  executionkit bench sums.jsonl --patterns ask,consensus:3,consensus:9:decided --key number \\
      --prompt "What is {question}? End with: The answer is ..." --expected answer --plot patterns.svg

The first pattern is what the others are compared with. They are ask, which is one call, consensus:SAMPLES,
consensus:SAMPLES:STOP, best_of_n:SAMPLES, refine and refine:ITERATIONS. Table and advice go to stdout.

Every row is looked at before the first call. With --journal, the same command goes on where it was stopped.
"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("bench", help="compare patterns on your data", description=_ABOUT)
    add_table(parser)
    group = parser.add_argument_group("what to compare")
    group.add_argument(
        "--patterns", default="ask,consensus:5", metavar="LIST", help="default: ask,consensus:5"
    )
    group.add_argument("--prompt", metavar="TEXT", help="the prompt; {field} stands for a field of the row")
    group.add_argument("--prompt-file", metavar="FILE", help="a file with the prompt")
    group.add_argument("-s", "--system", metavar="TEXT", help="the system message")
    group.add_argument("--temperature", type=float, metavar="T", help="for all patterns")
    group.add_argument("--max-tokens", type=shared.count, metavar="N", help="the longest reply")
    group.add_argument("--key", metavar="READER", help=f"how answers are read: {shared.READERS}")
    group.add_argument(
        "--expected", metavar="FIELD", help="the field with the right answer; default: expected or answer"
    )
    results = parser.add_argument_group("results")
    results.add_argument("--json", action="store_true", help="print all figures as JSON")
    results.add_argument("--plot", metavar="FILE", help="draw accuracy over cost, as SVG")
    results.add_argument("--seed", type=int, default=0, metavar="N", help="of the intervals' random numbers")
    results.add_argument(
        "--journal", metavar="FILE", help="where all that comes is kept, and looked for first"
    )
    results.add_argument(
        "--job-version", default="", metavar="TEXT", help="another one begins the journal afresh"
    )
    results.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    limits = parser.add_argument_group("limits of the account")
    limits.add_argument("--rpm", type=shared.amount, metavar="N", help="requests a minute")
    limits.add_argument("--tpm", type=shared.amount, metavar="N", help="tokens a minute")
    limits.add_argument(
        "--in-flight", type=shared.count, default=64, metavar="N", help="requests at once; default: 64"
    )
    shared.add_endpoint(parser)
    shared.add_ceilings(parser, "all patterns together, earlier starts included,")
    parser.set_defaults(run=_run, parser=parser)


def _run(options: Namespace) -> int:
    import asyncio  # not at the top: it is most of what `--help` would cost

    from executionkit import BudgetExhaustedError, ExecutionKitError, LLMError
    from executionkit.bench import match
    from executionkit.errors import JournalError

    key = None if options.key is None else shared.key_of(options.key)
    grade = match(options.expected, key=key)
    prompt = _prompt(options)
    steps = _steps(options, prompt, key)
    items = _items(options, prompt, grade)
    try:
        result = asyncio.run(_compared(options, items, steps, grade))
    except KeyboardInterrupt:
        note(f"interrupted; {_goes_on(options)}")
        return 130
    except ExecutionKitError as error:
        if options.debug:
            raise
        if (partial := error.metadata.get("comparison")) is not None:
            _show(options, partial)
        spent = f"; spent {error.cost}" if error.cost.llm_calls else ""
        note(f"error: {type(error).__name__}: {error}{spent}; {_goes_on(options)}")
        if isinstance(error, JournalError):
            return 2
        return 3 if isinstance(error, (BudgetExhaustedError, LLMError)) else 1
    _show(options, result)
    return 0


def _prompt(options: Namespace) -> str:
    if (options.prompt is None) == (options.prompt_file is None):
        raise UsageError("give one of --prompt and --prompt-file")
    text: str = options.prompt if options.prompt_file is None else shared.text_of(options.prompt_file)
    if not text.strip():
        raise UsageError("the prompt is empty")
    return text


def _steps(options: Namespace, prompt: str, key: Any) -> "dict[str, ItemStep]":
    from executionkit.bench import steps

    given = {"system": options.system, "temperature": options.temperature, "max_tokens": options.max_tokens}
    keywords = {name: value for name, value in given.items() if value is not None}
    try:
        return steps(options.patterns, prompt, key=key, **keywords)
    except ValueError as error:
        raise UsageError(f"--patterns: {error}") from error


def _items(options: Namespace, prompt: str, grade: "match") -> list[Any]:
    """The rows that can be used, each of which has the fields of the prompt and an expected answer."""
    from executionkit.many._template import Template

    template = Template(prompt)

    def check(row: object) -> None:
        template.fill(row)
        grade.expected(row)

    return list(Input(options, check))


async def _compared(
    options: Namespace, items: list[Any], steps: "dict[str, ItemStep]", grade: "match"
) -> "Comparison":
    from executionkit.bench import compare
    from executionkit.many import Journal
    from executionkit.many._limits import RateLimits

    given = {"requests_per_minute": options.rpm, "tokens_per_minute": options.tpm}
    known: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    limits = RateLimits(max_in_flight=options.in_flight, **known)
    journal = None if options.journal is None else Journal(options.journal, version=options.job_version)
    provider = shared.provider_of(options)
    async with provider:
        return await compare(
            items,
            steps,
            grade=grade,
            provider=provider,
            id=options.id,
            journal=journal,
            limits=limits,
            max_cost=shared.ceiling_of(options),
            retry=shared.retry_of(options),
            progress=not options.quiet,
            seed=options.seed,
        )


def _show(options: Namespace, result: "Comparison") -> None:
    answer(json.dumps(result.to_dict(), ensure_ascii=False) if options.json else str(result))
    if options.plot is not None:
        result.plot(options.plot)


def _goes_on(options: Namespace) -> str:
    if options.journal is None:
        return "without --journal, the same command begins anew"
    return f"the same command goes on from {options.journal}"
