"""The step of a job: a pattern over a prompt with fields, or a function of the user's."""

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast

from executionkit._cli import options as shared
from executionkit._cli.options import UsageError
from executionkit._text import describe

if TYPE_CHECKING:
    from executionkit.many._template import Template

_NO_OTHER_QUESTION: Final = ("max_tokens", "max_concurrency", "max_retries")
"""Keywords that may change between two starts of one job."""

PATTERNS: Final = ("ask", "consensus", "structured", "refine")

StepFunction: TypeAlias = Callable[[Any, Any], Awaitable[Any]]
Asking: TypeAlias = Callable[[Any, str], Coroutine[Any, Any, Any]]


class Step(NamedTuple):
    """What is done with a row.

    Attributes:
        run: Called with the provider and the row.
        check: Raises a ValueError for a row that it can't work on.
    """

    run: StepFunction
    check: Callable[[Any], object]


def add_step(parser: ArgumentParser) -> None:
    """Add the arguments that say what to do with a row."""
    group = parser.add_argument_group("what to do with each row")
    group.add_argument("--prompt", metavar="TEXT", help="the prompt; {field} stands for a field of the row")
    group.add_argument("--prompt-file", metavar="FILE", help="a file with the prompt")
    group.add_argument("-s", "--system", metavar="TEXT", help="the system message")
    group.add_argument("--pattern", choices=PATTERNS, default=None, help="default: ask, which is one call")
    shared.add_settings(group)
    group.add_argument("--key", metavar="READER", help=f"for consensus: {shared.READERS}")
    group.add_argument("--schema", metavar="FILE", help="for structured: the JSON Schema")
    group.add_argument(
        "--step",
        metavar="MODULE:NAME",
        help="an async function of your own, called with the provider and the row, in place of a prompt",
    )


def step_of(options: Namespace) -> Step:
    """The step that the arguments describe."""
    if options.step is not None:
        for name in ("prompt", "prompt_file", "system", "pattern", "set", "key", "schema"):
            if getattr(options, name):
                raise UsageError(f"--step and --{name.replace('_', '-')} exclude each other")
        return Step(_imported(options.step), _any_row)
    from hashlib import blake2b

    from executionkit.many._template import Template

    template = Template(_prompt(options))
    require_fields(template)
    pattern = options.pattern or "ask"
    for name, owner in (("key", "consensus"), ("schema", "structured")):
        if getattr(options, name) is not None and pattern != owner:
            raise UsageError(f"--{name} is for --pattern {owner}, not {pattern}")
    asking = _asking(pattern, options)
    _rehearse(asking)

    async def step(provider: Any, row: Any) -> Any:
        return await asking(provider, template.fill(row))

    # A journal must not mix the answers to two prompts: it compares the name of the step.
    settings = [text for text in options.set if text.partition("=")[0] not in _NO_OTHER_QUESTION]
    described = [str(template), options.system, sorted(settings), options.key]
    described.append(None if options.schema is None else shared.schema_of(options.schema))
    digest = blake2b(json.dumps(described).encode(), digest_size=4).hexdigest()
    step.__module__, step.__qualname__ = "executionkit", f"{pattern} {digest}"
    return Step(step, template.fill)


def require_fields(template: "Template") -> None:
    """Refuse a prompt that is the same for every row.

    Raises:
        UsageError: No field stands in it; a brace may be missing.
    """
    if not template.names:
        raise UsageError("the prompt has no field, such as {text}: every row would be asked the same")


def _any_row(_: object) -> None:
    """A function of the user's judges its rows itself."""


def _prompt(options: Namespace) -> str:
    if (options.prompt is None) == (options.prompt_file is None):
        raise UsageError("give one of --prompt, --prompt-file and --step")
    text: str = options.prompt if options.prompt_file is None else shared.text_of(options.prompt_file)
    if not text.strip():
        raise UsageError("the prompt is empty")
    return text


def _asking(pattern: str, options: Namespace) -> Asking:
    """The function that asks a prompt."""
    from executionkit import consensus, refine_loop, structured
    from executionkit._cli.asking import ask

    patterns: dict[str, Any] = {
        "ask": ask,
        "consensus": consensus,
        "structured": structured,
        "refine": refine_loop,
    }
    function = patterns[pattern]
    keywords = shared.settings_of(function, options.set)
    if options.system is not None:
        keywords["system"] = options.system
    if options.schema is not None:
        keywords["output"] = shared.schema_of(options.schema)
    if options.key is None:
        return partial(function, **keywords)
    key = shared.key_of(options.key)

    async def answer(provider: Any, prompt: str) -> Any:
        vote = await consensus(provider, prompt, key=key, **keywords)
        return replace(vote, value=vote.answer)  # what was read, and not the reply around it

    return answer


class _Reached(Exception):  # noqa: N818 - a signal, not an error
    """A call would be made now."""


class _Rehearsal:
    """A provider that is never to be asked."""

    supports_tools = True

    async def complete(self, *_: Any, **__: Any) -> Any:
        raise _Reached


def _rehearse(asking: Asking) -> None:
    """Let the pattern check its keywords, which it does before its first call."""
    import asyncio

    attempt = asking(_Rehearsal(), "?")
    try:
        asyncio.run(attempt)
    except _Reached:
        pass
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error
    finally:
        attempt.close()  # a signal may have come before it ran


def _imported(name: str) -> StepFunction:
    import importlib

    module, _, attribute = name.partition(":")
    is_file = module.endswith(".py") or not all(part.isidentifier() for part in module.split("."))
    if is_file or not attribute:
        example = "my_steps:label for the function label in my_steps.py"
        raise UsageError(f"--step must be MODULE:NAME, such as {example}, got {name!r}")
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # of the module's own code, too
        raise UsageError(f"--step {name}: {describe(error)}; --debug shows where") from error
    if not callable(found):
        raise UsageError(f"--step {name}: its type is {type(found).__name__}, which can't be called")
    return cast("StepFunction", found)
