"""The four scenes of the demo: what it takes to use each pattern, and what comes back."""

import datetime
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from executionkit import (
    Kit,
    LLMError,
    LLMProvider,
    PatternResult,
    RefineResult,
    RetryConfig,
    TokenUsage,
    Tool,
    ToolError,
    consensus,
    refine_loop,
)
from executionkit._demo.recorder import Recorder
from executionkit._screen import BOLD, GREEN, RED, YELLOW, Screen
from executionkit._text import collapsed

PUZZLE = (
    "A bat and a ball cost 1 dollar and 10 cents together. The bat costs 1 dollar more than the ball. "
    "What does the ball cost? Reply with the amount only, like this: 7 cents"
)
EXPLAIN = "Explain in one sentence, to a ten-year-old, why the sky is blue. Reply with the sentence only."
DAYS = (
    "How many days lie between the first Moon landing (20 July 1969) and the fall of the Berlin Wall "
    "(9 November 1989)?"
)
TAGLINE = (
    "Write a tagline of at most eight words for a library with which language models vote on, refine "
    "and check their answers. Reply with the tagline only."
)

# A demo should not dwell on failures: it waits a tenth of what `DEFAULT_RETRY` does.
RETRY = RetryConfig(base_delay=0.1)
BUDGET = TokenUsage(input_tokens=20_000, output_tokens=10_000, llm_calls=20)
TEMPERATURE = 0.9


@dataclass(frozen=True)
class Stage:
    """The tools of a scene: the session, the record of its calls, and the screen."""

    kit: Kit
    recorder: Recorder
    screen: Screen


Scene: TypeAlias = Callable[[Stage], Awaitable[PatternResult[str]]]


async def vote(stage: Stage) -> PatternResult[str]:
    """Ask several times in parallel, and let the answers vote."""
    stage.screen.section("consensus", "ask five times, the most common answer wins")
    stage.screen.row("question", PUZZLE)

    result = await stage.kit.consensus(PUZZLE, num_samples=5, temperature=TEMPERATURE, retry=RETRY)

    _show_votes(stage, winner=result.value)
    stage.screen.row("answer", result.value, BOLD)
    stage.screen.row("agreement", f"{result.agreement_ratio:.0%}, {_different(result.unique_responses)}")
    _show_cost(stage, result)
    return result


async def refine(stage: Stage) -> PatternResult[str]:
    """Write, score, and improve the best so far."""
    stage.screen.section("refine_loop", "write, score, improve the best so far")
    stage.screen.row("task", EXPLAIN)

    result = await stage.kit.refine(
        EXPLAIN, target_score=0.9, max_iterations=5, temperature=TEMPERATURE, retry=RETRY
    )

    _show_scores(stage, result.score_history)
    stage.screen.row("answer", result.value, BOLD)
    stage.screen.row("stopped", f"{result.stop_reason}, after {_counted(result.iterations, 'improvement')}")
    _show_cost(stage, result)
    return result


async def days_between(start: str, end: str) -> str:
    """The tool of the next scene: any async function with keyword parameters."""
    try:
        span = datetime.date.fromisoformat(end) - datetime.date.fromisoformat(start)
    except ValueError as error:
        raise ToolError(f"no such date: {error}") from error
    return str(span.days)


DAYS_BETWEEN = Tool(
    "days_between",
    "Count the days from one date to another.",
    {
        "type": "object",
        "properties": {
            "start": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$", "description": "YYYY-MM-DD"},
            "end": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$", "description": "YYYY-MM-DD"},
        },
        "required": ["start", "end"],
        "additionalProperties": False,
    },
    days_between,
)


async def use_tools(stage: Stage) -> PatternResult[str]:
    """Let the model call a function until it can answer."""
    stage.screen.section("react_loop", "think, call a tool, read its result, answer")
    stage.screen.row("question", DAYS)

    result = await stage.kit.react(DAYS, [DAYS_BETWEEN], retry=RETRY)

    for message in stage.recorder.messages:
        for call in message.get("tool_calls") or ():
            stage.screen.row("tool call", f"{call['function']['name']}({call['function']['arguments']})")
        if message["role"] == "tool":
            failed = message["content"].startswith("Error")
            stage.screen.row("  result", message["content"], YELLOW if failed else GREEN)
    if result.unread_tool_calls:
        stage.screen.row("no answer", "a tool call written as text: the server doesn't read it", YELLOW)
        stage.screen.row("text", result.value)
    else:
        stage.screen.row("answer", result.value, BOLD)
    stage.screen.row("rounds", f"{result.rounds} (tool runs: {result.tool_calls_made})")
    _show_cost(stage, result)
    return result


async def sharpen(
    provider: LLMProvider,
    draft: str,
    *,
    retry: RetryConfig | None = None,
    max_cost: TokenUsage | None = None,
) -> RefineResult:
    """A step of one's own: any async function that takes a provider and a prompt, and returns a result."""
    task = f"Sharpen this tagline, in at most eight words. Reply with the tagline only.\n\n{draft}"
    return await refine_loop(
        provider,
        task,
        target_score=0.9,
        max_iterations=3,
        temperature=TEMPERATURE,
        max_tokens=1000,
        retry=retry,
        max_cost=max_cost,
    )


async def vote_then_refine(stage: Stage) -> PatternResult[str]:
    """Five drafts, voted; the winner refined; all on one budget."""
    stage.screen.section("pipe", "five drafts voted, the winner refined, one budget")
    stage.screen.row("task", TAGLINE)
    stage.screen.row("budget", f"at most {spelt(BUDGET)}")

    draft = partial(consensus, num_samples=5, temperature=TEMPERATURE, max_tokens=1000)
    result = await stage.kit.pipe(TAGLINE, draft, sharpen, max_budget=BUDGET, retry=RETRY)

    voted, refined = result.step_metadata
    stage.screen.row("vote", f"{voted['agreement_ratio']:.0%} agree, {_different(voted['unique_responses'])}")
    _show_scores(stage, refined["score_history"])
    stage.screen.row("answer", result.value, BOLD)
    _show_cost(stage, result)
    return result


SCENES: dict[str, Scene] = {
    "consensus": vote,
    "refine_loop": refine,
    "react_loop": use_tools,
    "pipe": vote_then_refine,
}


def _show_votes(stage: Stage, winner: str) -> None:
    texts = stage.recorder.texts(temperature=TEMPERATURE)
    for text, votes in sorted(Counter(texts).items(), key=lambda item: (-item[1], item[0])):
        style = GREEN if text == collapsed(winner) else RED
        stage.screen.bar(f"{votes} of {len(texts)}", votes / len(texts), text, style)


def _show_scores(stage: Stage, scores: list[float]) -> None:
    # The latest ones: before them may stand the drafts that were voted on.
    texts = stage.recorder.texts(temperature=TEMPERATURE)[-len(scores) :]
    for number, (score, text) in enumerate(zip(scores, texts, strict=True)):
        label = f"round {number}" if number else "first"
        style = GREEN if score == max(scores) else ""
        stage.screen.bar(label, score, f"{score:.2f}  {text}", style)


def _show_cost(stage: Stage, result: PatternResult[str]) -> None:
    for failure, times in Counter(map(_kind, stage.recorder.failures)).items():
        stage.screen.row("failed", f"{times} x {failure}: asked again, and counted as a call", YELLOW)
    stage.screen.row("cost", spelt(result.cost))


def _kind(failure: LLMError) -> str:
    return type(failure).__name__ if failure.status_code is None else f"HTTP {failure.status_code}"


def spelt(usage: TokenUsage) -> str:
    """A cost or a budget in words."""
    calls = _counted(usage.llm_calls, "call")
    return f"{calls}, {usage.input_tokens:,} input and {usage.output_tokens:,} output tokens"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _different(answers: int) -> str:
    return "all the same" if answers == 1 else f"{answers} different answers"
