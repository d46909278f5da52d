"""Patterns written as one line: "ask,consensus:3,consensus:5,refine"."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from executionkit import _checks as checks
from executionkit.evaluators import Rubric
from executionkit.patterns.best_of_n import best_of_n
from executionkit.patterns.consensus import ConsensusResult, consensus
from executionkit.patterns.refine_loop import refine_loop
from executionkit.protocols import LLMProvider
from executionkit.types import PatternResult

if TYPE_CHECKING:
    from executionkit.many._template import Template

Asked: TypeAlias = Callable[[LLMProvider, str], Awaitable[PatternResult[Any] | str]]
ItemStep: TypeAlias = Callable[[LLMProvider, Any], Awaitable[object]]

KNOWN: Final = "ask, consensus:SAMPLES, consensus:SAMPLES:STOP, best_of_n:SAMPLES and refine:ITERATIONS"


def steps(
    patterns: str, prompt: str, *, key: Callable[[str], Any] | None = None, **keywords: Any
) -> dict[str, ItemStep]:
    """Make the steps of `compare` from one line.

    Example:
        ```python
        from executionkit import MockProvider, answers, bench

        found = bench.steps(
            "ask,consensus:3", "What is {question}?", key=answers.number
        )
        provider = MockProvider(["5"])
        result = await bench.compare(
            [{"question": "2 + 3", "answer": 5}], found, provider=provider
        )
        assert list(found) == ["ask", "consensus:3"]
        assert result["consensus:3"].cost.llm_calls == 3
        assert provider.calls[0].messages[-1]["content"] == "What is 2 + 3?"
        ```

    Args:
        patterns: The patterns, with commas between them, each of which becomes a step of that name:

            - `ask`: one call;
            - `consensus:5`: a vote of five samples, and `consensus:9:decided` or `consensus:9:0.95` one that
              stops early;
            - `best_of_n:4`: the best of four, as the model judges it;
            - `refine` or `refine:3`: refinement, of at most three iterations.
        prompt: The prompt, in which `{name}` stands for a field of the item, and `{a.b}` for a field within a
            field. `{{name}}` is written as `{name}`, and other braces stand for themselves.
        key: The reader of answers, such as `answers.number`: votes are counted by it, and what it reads is
            the value that is graded. A reply that it can't read is graded as it is. Defaults to whole
            replies.
        **keywords: Further keywords for all of the patterns: `system`, `temperature`, `max_tokens`.

    Returns:
        The steps by name.

    Raises:
        ValueError: A pattern is not one of these, or given twice.
    """
    from executionkit.many._template import Template

    checks.called_with("text", key=key)
    template = Template(prompt)
    found: dict[str, ItemStep] = {}
    for text in patterns.split(","):
        name = text.strip()
        if name in found:
            raise ValueError(f"the pattern {name!r} is given twice")
        found[name] = partial(_asked, _pattern(name, key, keywords), template, key)
    return found


async def _asked(
    pattern: Asked,
    template: "Template",
    key: Callable[[str], Any] | None,
    provider: LLMProvider,
    item: object,
) -> object:
    found = await pattern(provider, template.fill(item))
    if key is None:
        return found
    if isinstance(found, ConsensusResult):
        return found.answer
    text = str(found)
    read = key(text)
    return text if read is None else read  # so that one can see why it is wrong


async def _ask(provider: LLMProvider, prompt: str, *, system: str | None = None, **keywords: Any) -> str:
    messages = [] if system is None else [{"role": "system", "content": system}]
    reply = await provider.complete([*messages, {"role": "user", "content": prompt}], **keywords)
    return reply.content


def _pattern(text: str, key: Callable[[str], Any] | None, keywords: Mapping[str, Any]) -> Asked:
    name, *settings = text.split(":")
    try:
        numbers = [int(setting) for setting in settings[:1]]
        if name == "ask" and not settings:
            return partial(_ask, **keywords)
        if name == "consensus" and len(settings) in (1, 2):
            stop = {"stop": _stop(settings[1])} if settings[1:] else {}
            return partial(consensus, num_samples=numbers[0], key=key, **{**stop, **keywords})
        if name == "best_of_n" and len(settings) == 1:
            return partial(best_of_n, num_samples=numbers[0], evaluator=Rubric(""), **keywords)
        if name == "refine" and len(settings) <= 1:
            most = {"max_iterations": numbers[0]} if numbers else {}
            return partial(refine_loop, **{**most, **keywords})
    except ValueError:
        pass
    raise ValueError(f"a pattern must be one of {KNOWN}, got {text!r}")


def _stop(text: str) -> str | float:
    return text if text in ("all", "decided") else float(text)
