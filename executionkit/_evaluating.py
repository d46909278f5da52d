"""Asking an evaluator, of whatever kind, for an `Evaluation`."""

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast

from executionkit.engine.convergence import validate_score
from executionkit.protocols import LLMProvider
from executionkit.types import Evaluation, Scorer


def for_task(scorer: Scorer, task: str) -> Callable[[str, LLMProvider], Awaitable[Evaluation]]:
    """`scorer` as an async function that always gives a checked `Evaluation`; it is told the task if it asks.

    Raises:
        ValueError: (by the function) The score is not a number in [0, 1].
        TypeError: (by the function) The feedback is not a str.
    """
    ask = cast("Callable[..., object]", scorer)
    if _wants_task(scorer):
        ask = partial(ask, task=task)

    async def evaluate(text: str, provider: LLMProvider) -> Evaluation:
        outcome = ask(text, provider)
        if inspect.isawaitable(outcome):
            outcome = await outcome
        if not isinstance(outcome, Evaluation):
            return Evaluation(validate_score(outcome))
        if not isinstance(outcome.feedback, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users' data
            raise TypeError(f"feedback must be a str, got {outcome.feedback!r}")
        return Evaluation(validate_score(outcome.score), outcome.feedback)

    return evaluate


def _wants_task(scorer: Callable[..., object]) -> bool:
    try:
        parameters = list(inspect.signature(scorer).parameters.values())
    except (TypeError, ValueError):  # some callables written in C have none
        return False
    # The first two are given by position, whatever they are called.
    return any(
        p.name == "task" and (p.kind is p.KEYWORD_ONLY or (p.kind is p.POSITIONAL_OR_KEYWORD and index > 1))
        for index, p in enumerate(parameters)
    )
