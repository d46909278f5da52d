"""The commands for one prompt: `ask`, `consensus`, `structured`."""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from executionkit._cli import options as shared
from executionkit._cli.options import UsageError
from executionkit._cli.terminal import answer, is_terminal, note, write

if TYPE_CHECKING:
    from executionkit import Kit, PatternResult, Provider

_ASK = """\
Ask one question. The answer goes to stdout, calls, tokens and seconds to stderr.

  executionkit ask "The capital of France?"
  git diff | executionkit ask - -s "Write a commit message for this diff." --stream
"""

_CONSENSUS = """\
Ask the same question several times and let the answers vote. The winner goes to stdout.

  executionkit consensus "What is 17 * 23?" -n 5 --stop decided --key number

Without --key, whole replies are compared, so ask for the bare answer. With it, the answer that was read is
printed, and not the reply around it.
"""

_STRUCTURED = """\
Ask for JSON that fits a JSON Schema. Replies that don't fit go back to the model with the errors.

  executionkit structured "Metropolis, the film of 1927" --schema film.json
"""

Work = Callable[["Kit"], Awaitable["PatternResult[Any]"]]


def add(commands: Any) -> None:
    """Add the commands."""
    once = _command(commands, "ask", "ask one question", _ASK, _ask)
    once.add_argument("--stream", action="store_true", help="print the answer while it arrives")
    once.add_argument("--temperature", type=float, metavar="T")
    once.add_argument("--max-tokens", type=shared.count, metavar="N", help="the longest reply")

    consensus = _command(commands, "consensus", "ask several times and vote", _CONSENSUS, _consensus)
    consensus.add_argument("-n", "--num-samples", metavar="N", help="samples; default: 5")
    consensus.add_argument(
        "--stop", metavar="WHEN", help="all, decided, or a confidence such as 0.95; default: all"
    )
    consensus.add_argument("--strategy", metavar="NAME", help="majority or unanimous; default: majority")
    consensus.add_argument(
        "--key", metavar="READER", help=f"how the answer is read out of a reply: {shared.READERS}"
    )
    shared.add_settings(consensus)

    structured = _command(commands, "structured", "ask for data", _STRUCTURED, _structured)
    structured.add_argument(
        "--schema", metavar="FILE", help="the JSON Schema; default: any JSON object or array"
    )
    shared.add_settings(structured)


def _command(
    commands: Any, name: str, summary: str, about: str, work: Callable[[Namespace, str], Work]
) -> Any:
    parser = commands.add_parser(name, help=summary, description=about)
    parser.add_argument("prompt", nargs="?", help="the prompt; - or nothing for standard input")
    parser.add_argument("-s", "--system", metavar="TEXT", help="the system message")
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no figures on stderr")
    shared.add_endpoint(parser)
    shared.add_ceilings(parser, "the command")
    parser.set_defaults(run=partial(_run, work), parser=parser)
    return parser


def _run(prepared: Callable[[Namespace, str], Work], options: Namespace) -> int:
    import asyncio  # not at the top: it is most of what `--help` would cost

    from executionkit import BudgetExhaustedError, ConsensusFailedError, ExecutionKitError, Kit

    shared.require_stdout()
    work = prepared(options, shared.prompt_of(options))
    provider = shared.provider_of(options)
    kit = Kit(provider, max_cost=shared.ceiling_of(options), system=options.system)
    began = time.monotonic()
    try:
        result = asyncio.run(_worked(provider, kit, work))
    except KeyboardInterrupt:
        note(f"interrupted; spent {kit.usage}")
        return 130
    except ExecutionKitError as error:
        if options.debug:
            raise
        facts = [f"error: {type(error).__name__}: {error}", f"spent {kit.usage}"]
        if (hint := shared.key_hint(error)) is not None:
            facts.append(hint)
        note("; ".join(facts))
        return (
            3
            if isinstance(error, ConsensusFailedError)
            else 4
            if isinstance(error, BudgetExhaustedError)
            else 1
        )
    except (ValueError, TypeError) as error:
        if options.debug or kit.usage.llm_calls:
            raise
        raise UsageError(str(error)) from error
    _print(options, result)
    if not options.quiet:
        facts = [*_facts(result), str(kit.usage), f"{time.monotonic() - began:.1f} s"]
        note("; ".join(facts))
    return 0


async def _worked(provider: "Provider", kit: "Kit", work: Work) -> "PatternResult[Any]":
    async with provider:
        return await work(kit)


def _print(options: Namespace, result: "PatternResult[Any]") -> None:
    if options.json:
        answer(json.dumps(result.to_dict(), ensure_ascii=False, default=str))
    elif getattr(options, "stream", False):
        write("" if result.value.endswith("\n") else "\n")
    elif options.command == "structured":
        indent = 2 if is_terminal(sys.stdout) else None
        answer(json.dumps(result.value, ensure_ascii=False, indent=indent))
    else:
        value: object = result.metadata["answer"] if getattr(options, "key", None) else result.value
        answer(str(value))


def _facts(result: "PatternResult[Any]") -> list[str]:
    """The figures of a result that say how far to trust it."""
    from executionkit import ConsensusResult

    facts: list[str] = []
    if isinstance(result, ConsensusResult):
        vote: ConsensusResult[Any] = result
        facts.append(f"{vote.votes[0][1] if vote.votes else 0} of {vote.samples_used} agree")
        facts.append(f"confidence {vote.confidence:.2f}")
        if vote.tie_count > 1:
            facts.append(f"a tie of {vote.tie_count} answers")
        if vote.abstained:
            facts.append(f"{vote.abstained} abstained")
        if vote.samples_saved:
            facts.append(f"{vote.samples_saved} {'sample' if vote.samples_saved == 1 else 'samples'} saved")
    if result.metadata.get("truncated_responses"):
        facts.append(f"{result.metadata['truncated_responses']} cut off by max_tokens")
    return facts


def _ask(options: Namespace, prompt: str) -> Work:
    retry = shared.retry_of(options)
    sampling: dict[str, Any] = {"temperature": options.temperature, "max_tokens": options.max_tokens}

    async def work(kit: "Kit") -> "PatternResult[Any]":
        from executionkit import TextDelta
        from executionkit._cli.asking import ask, result_of

        if not options.stream or options.json:
            return await ask(kit.metered, prompt, system=options.system, retry=retry, **sampling)
        async with kit.stream(prompt, retry=retry, **sampling) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    write(event.text)
                    sys.stdout.flush()
        return result_of(events.response, kit.usage)

    return work


def _consensus(options: Namespace, prompt: str) -> Work:
    from executionkit import consensus

    keywords = shared.settings_of(consensus, options.set)
    for name in ("num_samples", "stop", "strategy"):
        if (text := getattr(options, name)) is not None:
            keywords[name] = shared.typed(consensus, name, text, f"--{name.replace('_', '-')}")
    if options.key is not None:
        keywords["key"] = shared.key_of(options.key)
    keywords["retry"] = shared.retry_of(options)
    return lambda kit: kit.consensus(prompt, **keywords)


def _structured(options: Namespace, prompt: str) -> Work:
    from executionkit import structured

    keywords = shared.settings_of(structured, options.set)
    keywords["retry"] = shared.retry_of(options)
    output = None if options.schema is None else shared.schema_of(options.schema)
    return lambda kit: kit.structured(prompt, output, **keywords)
