"""The scenes of the demo, which shows this very code beside what came of it."""

import re
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from executionkit import (
    Approval,
    ApprovalRequest,
    BestOfNResult,
    ConsensusResult,
    Conversation,
    LLMProvider,
    MapReduceResult,
    PipeResult,
    ReactResult,
    RefineResult,
    StructuredResult,
    TokenUsage,
    ToolCallingProvider,
    ToolError,
    best_of_n,
    consensus,
    map_reduce,
    pipe,
    react_loop,
    refine_loop,
    structured,
    tool,
)
from executionkit.many import ManyResult, RateLimits, RowResult, run_many

PUZZLE = (
    "A bat and a ball cost 1 dollar and 10 cents together. The bat costs 1 dollar more than the ball. "
    "What does the ball cost? Reply with the amount only, like this: 7 cents"
)
REGEX = (
    "Write a regular expression that matches dates such as 2026-12-01 and nothing else. Reply with the "
    "expression only."
)
EXPLAIN = "Explain in one sentence, to a ten-year-old, why the sky is blue. Reply with the sentence only."
DAYS = (
    "How many days lie between the first Moon landing (20 July 1969) and the fall of the Berlin Wall "
    "(9 November 1989)?"
)
EMAIL = "Read this order: A dozen boxes of your Assam, please, and I need them by tomorrow. Yours, Ada"
COMPLAINTS = [
    "The scones were dry, and the bill took an hour.",
    "Nobody answered the telephone.",
    "Forty minutes for a pot of tea!",
    "A lovely room. They forgot us in it.",
]
TAGLINE = (
    "Write a tagline of at most eight words for a library with which language models vote on, refine "
    "and check their answers. Reply with the tagline only."
)
BROKEN = "Order 17 came broken. I want my 80 EUR back."
LABEL = "Is this review positive or negative? Reply with one word: "
REVIEWS = [
    f"The {thing} {verdict}."
    for verdict in ("was superb", "was dreadful", "made my day", "was cold", "could not be better")
    for thing in ("tea", "scone", "soup", "service", "cake", "garden", "breakfast", "coffee")
]

# Whether a date fits the pattern that was asked for.
DATES = {"2026-12-01": True, "1999-02-28": True, "2026-13-01": False, "26-12-01": False, "2026-12-1": False}


def is_right(regex: str, day: str) -> bool:
    """Whether an expression says of a date what `DATES` says; one that is no expression never is."""
    try:
        return bool(re.fullmatch(regex.strip(" `\n"), day)) is DATES[day]
    except (re.error, OverflowError, RecursionError):
        return False


def day(text: str) -> date:
    """A date; a model that writes another one reads why that is none."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ToolError(f"no such date: {error}") from error


# The lines below are short, because they stand in a column of the demo.
# fmt: off


async def vote(provider: LLMProvider) -> ConsensusResult[str]:
    """Ask several times in parallel, and let the answers vote."""
    return await consensus(provider, PUZZLE, num_samples=5)


def score(regex: str, _: LLMProvider) -> float:
    """The share of test dates that it gets right."""
    right = [is_right(regex, day) for day in DATES]
    return sum(right) / len(right)


async def choose(provider: LLMProvider) -> BestOfNResult:
    """Write several candidates, keep the one that passes most tests."""
    return await best_of_n(
        provider, REGEX, evaluator=score, num_samples=4
    )


async def refine(provider: LLMProvider) -> RefineResult:
    """Write, score, and improve the best so far."""
    return await refine_loop(
        provider, EXPLAIN, target_score=0.9
    )


def days_between(start: str, end: str) -> int:
    """Count the days between dates like 1999-12-31."""
    return (day(end) - day(start)).days


async def use_tools(provider: ToolCallingProvider) -> ReactResult:
    """Let the model call a function until it can answer."""
    return await react_loop(provider, DAYS, [days_between])


async def extract(provider: LLMProvider) -> StructuredResult[Any]:
    """Get data out of a text, checked against a schema."""
    fields = {
        "item": {"type": "string"},
        "boxes": {"type": "integer"},
        "express": {"type": "boolean"},
    }
    order = {
        "type": "object",
        "properties": fields, "required": list(fields),
    }
    return await structured(provider, EMAIL, order)


async def sum_up(provider: LLMProvider) -> MapReduceResult:
    """One prompt over many inputs, another one over the results."""
    return await map_reduce(
        provider,
        COMPLAINTS,
        map_prompt="The complaint in two words: {input}",
        reduce_prompt="Sum up in one sentence: {results}",
    )


async def sharpen(provider: LLMProvider, draft: str) -> RefineResult:
    """A step of one's own: any async function of a provider and a prompt that returns a result."""
    task = f"Sharpen, in at most eight words: {draft}"
    return await refine_loop(provider, task)


async def vote_then_refine(provider: LLMProvider) -> PipeResult[str]:
    """Five drafts, voted; the winner refined; all on one budget."""
    draft = partial(consensus, num_samples=5)
    budget = TokenUsage(llm_calls=20)
    return await pipe(
        provider, TAGLINE, draft, sharpen, max_budget=budget
    )


@tool(needs_approval=True)
def refund(order: int, eur: float) -> str:
    """Refund an order."""
    return f"{eur:.2f} EUR refunded for order {order}"


def approve(request: ApprovalRequest) -> Approval:
    is_small = request.call.arguments["eur"] <= 50
    return Approval(is_small, "at most 50 EUR")


async def talk(provider: LLMProvider) -> ReactResult:
    """A tool that needs approval, and a second turn."""
    chat = Conversation(
        provider, tools=[refund], approve=approve
    )
    await chat.send(BROKEN)
    return await chat.send("Which order was it?")


async def label(model: LLMProvider, review: str) -> str:
    ask = {"role": "user", "content": LABEL + review}
    reply = await model.complete([ask], max_tokens=5)
    return reply.content


async def label_all(
    provider: LLMProvider, journal: Path, on_result: Callable[[RowResult[str]], object]
) -> ManyResult:
    """Label all reviews, or those that the journal lacks."""
    limits = RateLimits(max_in_flight=8)
    return await run_many(
        provider, REVIEWS, label, limits=limits,
        journal=journal, on_result=on_result,
    )
