"""Cancellation and users' code: what it makes up itself is an error, and what is cancelled is."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from fakes import HeldProvider, idle
from runs import MESSAGES, Pauses

from executionkit import (
    LLMProvider,
    LLMResponse,
    MockProvider,
    PatternError,
    PatternResult,
    ProviderError,
    RetryConfig,
    TokenUsage,
    best_of_n,
    consensus,
    map_reduce,
    pipe,
    refine_loop,
    structured,
)

USED = TokenUsage(3, 2)
Made = Coroutine[Any, Any, PatternResult[Any]]


async def gone(*args: object) -> Any:
    raise asyncio.CancelledError("its own")


def gone_at_once(*args: object) -> Any:
    raise asyncio.CancelledError("its own")


OWN: dict[str, tuple[Callable[[MockProvider], Made], int]] = {
    "validator": (lambda mock: structured(mock, "q", validator=gone), 1),
    "plain validator": (lambda mock: structured(mock, "q", validator=gone_at_once), 1),
    "evaluator": (lambda mock: refine_loop(mock, "q", evaluator=gone), 1),
    "plain evaluator": (lambda mock: refine_loop(mock, "q", evaluator=gone_at_once), 1),
    "evaluator of several": (
        lambda mock: best_of_n(mock, "q", evaluator=gone, num_samples=2, max_concurrency=1),
        1,
    ),
    "map prompt": (lambda mock: map_reduce(mock, ["a"], map_prompt=gone_at_once, reduce_prompt="r"), 0),
    "reduce prompt": (lambda mock: map_reduce(mock, ["a"], map_prompt="m", reduce_prompt=gone_at_once), 1),
    "key": (lambda mock: consensus(mock, "q", num_samples=1, key=gone_at_once), 1),
    "step": (lambda mock: pipe(mock, "q", partial(consensus, num_samples=1), gone), 1),
}


@pytest.mark.parametrize("name", OWN)
async def test_what_raises_cancelled_error_of_its_own_cancels_nobody(name: str) -> None:
    run, calls = OWN[name]
    mock = MockProvider(["[1]"], usage=USED)
    with pytest.raises(PatternError, match="raised CancelledError, though the run was not") as caught:
        await run(mock)
    assert str(caught.value.__cause__) == "its own"
    assert caught.value.cost == TokenUsage(3 * calls, 2 * calls, calls)
    assert caught.value.metadata


async def test_so_does_what_waits_before_a_retry() -> None:
    mock = MockProvider([ProviderError("down"), "x"])
    with pytest.raises(PatternError, match="the run was not cancelled"):
        await refine_loop(mock, "q", retry=RetryConfig(sleep=gone))


async def test_a_pattern_within_an_evaluation_that_the_target_ends_has_not_failed() -> None:
    pauses, judged = Pauses(), asyncio.Event()

    async def evaluate(text: str, provider: LLMProvider) -> float:
        if text == "first":
            await judged.wait()
            return 1.0
        await consensus(provider, "good?", retry=pauses.retry)
        return 0.0

    mock = MockProvider(["first", "second", ProviderError("down")])
    run = best_of_n(mock, "q", evaluator=evaluate, num_samples=2, target_score=0.9)
    task = asyncio.create_task(run)
    await idle()
    assert pauses.waiting
    judged.set()
    result = await task
    assert (result.candidates, result.scores) == (["first", "second"], [1.0, None])
    assert result.failures == ()


async def test_a_reply_that_comes_in_the_moment_of_cancelling_is_kept() -> None:
    provider = HeldProvider()
    task = asyncio.create_task(consensus(provider, "q", num_samples=2))
    await provider.arrived(2)
    provider.waiting[0].answer("paid")
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert vars(caught.value)["metadata"] == {"responses": ["paid"]}


class Slow:
    """Answers in a turn of the loop, or later."""

    async def complete(self, messages: Any, **settings: Any) -> LLMResponse:
        await asyncio.sleep(0)
        return LLMResponse("ok", usage={"prompt_tokens": 1, "completion_tokens": 1})


@pytest.mark.parametrize("cleans_up", [False, True])
async def test_a_time_limit_within_a_step_is_nothing_to_its_other_tasks(*, cleans_up: bool) -> None:
    """asyncio cancels the task of the limit, and takes that back: meanwhile others of the run go on."""
    answers: list[str] = []

    async def ask(provider: LLMProvider) -> None:
        answers.extend([(await provider.complete(MESSAGES)).content for _ in range(200)])

    async def step(provider: LLMProvider, prompt: str) -> PatternResult[int]:
        tasks = [asyncio.create_task(ask(provider)) for _ in range(3)]
        try:
            async with asyncio.timeout(0):
                try:
                    await asyncio.wait(tasks)
                finally:
                    if cleans_up:
                        await idle()
        except TimeoutError:
            pass
        await asyncio.gather(*tasks)
        return PatternResult(len(answers))

    result = await pipe(Slow(), "q", step)
    assert result.value == 600
    assert result.cost.llm_calls == 600


async def test_a_task_group_that_failed_within_a_step_leaves_no_trace() -> None:
    """On Python 3.11 and 3.12 its task counts as being cancelled from then on."""

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError

    async def step(provider: LLMProvider, prompt: str) -> PatternResult[str]:
        with suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
        return await consensus(provider, prompt)

    result = await pipe(MockProvider(["x"]), "q", step, partial(refine_loop, evaluator=lambda text, _: 1.0))
    assert result.value == "x"
