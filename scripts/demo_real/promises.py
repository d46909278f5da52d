"""Every pattern once on a budget: whatever the model answers, the promises must hold."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from demo_real.measures import RETRY, calculate
from demo_real.tally import Tally
from executionkit import (
    BudgetExhaustedError,
    ExecutionKitError,
    Kit,
    LLMError,
    Pairwise,
    PatternError,
    Provider,
    Tier,
    TokenUsage,
    cascade,
    consensus,
    refine_loop,
)
from executionkit.streaming import TextDelta

TASK = "Write a motto for a bakery in at most eight words. Reply with the motto only."
STORY = "Tell a long story about a bakery."
ROOM = 48

COLOUR = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": ["red", "green", "blue"]}},
    "required": ["colour"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Verdict:
    """What came of a pattern.

    Attributes:
        name: Its name.
        outcome: In a few words.
        broken: The promise that was broken; "" if all is well.
        usage: What it cost.
        ended: Whether it came to its end: a trial that the time or the endpoint stopped has shown little.
    """

    name: str
    outcome: str
    broken: str
    usage: TokenUsage
    ended: bool = True


Trial = Callable[[Kit], Awaitable[object]]


async def _refused(kit: Kit) -> object:
    try:
        await kit.consensus(TASK, num_samples=5, max_tokens=ROOM, max_cost=TokenUsage(llm_calls=3))
    except BudgetExhaustedError as error:
        return f"5 samples on 3 calls: refused after {error.cost.llm_calls}"
    raise AssertionError("5 samples were taken on a budget of 3 calls")


async def _cut(kit: Kit) -> object:
    ceiling = TokenUsage(output_tokens=2 * ROOM)
    try:
        await kit.refine(
            STORY,
            evaluator=lambda *_: 0.0,
            max_iterations=9,
            patience=9,
            max_tokens=ROOM,
            max_cost=ceiling,
            retry=RETRY,
        )
    except BudgetExhaustedError as error:
        if error.cost.output_tokens > ceiling.output_tokens:
            raise AssertionError(f"{error.cost.output_tokens} output tokens of {2 * ROOM}") from error
        return f"{error.cost.output_tokens} output tokens of at most {2 * ROOM}, then an end"
    return "ended before its budget did"


async def _two_tiers(kit: Kit) -> object:
    tiers = [Tier(kit.metered, 2, max_tokens=ROOM), Tier(kit.metered, max_tokens=ROOM)]
    return await cascade(tiers, TASK, retry=RETRY)


TRIALS: dict[str, tuple[int, Trial]] = {
    "consensus": (4, lambda kit: kit.consensus(TASK, num_samples=3, max_tokens=ROOM, retry=RETRY)),
    "refine_loop": (
        12,
        lambda kit: kit.refine(TASK, max_iterations=1, max_tokens=ROOM, retry=RETRY),
    ),
    "react_loop": (
        8,
        lambda kit: kit.react(
            "What is 12 * 34? Use the calculator.",
            [calculate],
            max_rounds=3,
            max_tokens=2 * ROOM,
            text_calls="run",
            on_limit="answer",
            retry=RETRY,
        ),
    ),
    "structured": (
        6,
        lambda kit: kit.structured(
            "Which colour has grass? As JSON.", COLOUR, max_retries=2, max_tokens=ROOM, retry=RETRY
        ),
    ),
    "cascade": (
        8,
        _two_tiers,
    ),
    "best_of_n": (
        12,
        lambda kit: kit.best_of_n(TASK, evaluator=Pairwise(), num_samples=2, max_tokens=ROOM, retry=RETRY),
    ),
    "map_reduce": (
        8,
        lambda kit: kit.map_reduce(
            ["flour", "water", "salt"],
            map_prompt="In five words: {input} in a bakery?",
            reduce_prompt="Make one short sentence of these:\n{results}",
            max_tokens=ROOM,
            retry=RETRY,
        ),
    ),
    "pipe": (
        8,
        lambda kit: kit.pipe(
            TASK,
            partial(consensus, num_samples=2),
            partial(refine_loop, evaluator=lambda *_: 1.0),
            max_tokens=ROOM,
            retry=RETRY,
        ),
    ),
    "a budget of calls": (5, _refused),
    "a budget of tokens": (12, _cut),
}
"""The patterns, each with the most calls that it may make."""


async def verdicts(provider: Provider, seconds: float, note: Callable[[str], None]) -> list[Verdict]:
    """Try all of them, as far as the time goes."""
    found: list[Verdict] = []
    end = time.monotonic() + seconds
    for name, (calls, trial) in TRIALS.items():
        note(name)
        if time.monotonic() > end:
            found.append(Verdict(name, "not tried: the time was over", "", TokenUsage(), ended=False))
            continue
        found.append(await _tried(name, calls, trial, provider, end - time.monotonic()))
    note("stream")
    found.append(await _streamed(provider))
    return found


async def _tried(name: str, calls: int, trial: Trial, provider: Provider, seconds: float) -> Verdict:
    tally = Tally(provider)
    kit = Kit(tally, max_cost=TokenUsage(llm_calls=calls))
    broken, ended = "", True
    try:
        async with asyncio.timeout(seconds):
            outcome = _shown(await trial(kit))
    except TimeoutError:
        outcome, ended = "stopped: the time was over", False
    except (PatternError, LLMError) as error:
        ended = isinstance(error, PatternError)
        # The model's, or the endpoint's: but what was paid for must be in it.
        outcome = _shown(f"ended as {type(error).__name__}: {error}")
        if error.cost != kit.usage:
            broken = f"the error says {error.cost}, the kit {kit.usage}"
    except (ExecutionKitError, AssertionError, TypeError, ValueError, LookupError, AttributeError) as error:
        outcome, broken = "", f"{type(error).__name__}: {error}"
        if isinstance(error, AssertionError) and tally.overrun:
            outcome, broken, ended = "not held: replies were longer than max_tokens allowed", "", False
    if kit.usage != tally.usage:
        broken = broken or f"the kit counts {kit.usage}, the provider {tally.usage}"
    if tally.usage.llm_calls > calls:
        broken = broken or f"{tally.usage.llm_calls} calls on a budget of {calls}"
    return Verdict(name, outcome, broken, kit.usage, ended)


async def _streamed(provider: Provider) -> Verdict:
    """Leave a stream after its first piece: nothing may stay behind."""
    pieces = 0
    broken, ended = "", True
    try:
        async with provider.stream([{"role": "user", "content": TASK}], max_tokens=ROOM) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    pieces += 1
                    break
        outcome = f"left after {pieces} piece"
    except LLMError as error:
        outcome, ended = _shown(f"{type(error).__name__}: {error}"), False
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left and (await asyncio.wait(left, timeout=2))[1]:
        broken = "tasks are left behind"
    return Verdict("a stream, left early", outcome, broken, TokenUsage(llm_calls=1), ended)


def _shown(result: object) -> str:
    text = " ".join(str(getattr(result, "value", result)).split())
    return text if len(text) <= 70 else f"{text[:67]}..."
