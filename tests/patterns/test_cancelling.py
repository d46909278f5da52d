"""Cancellation and users' code: what it makes up itself is an error, what it swallows is not undone."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Literal

import pytest
from fakes import ONCE, HeldProvider, idle
from runs import MESSAGES, Pauses, ended

from executionkit import (
    Finish,
    LLMProvider,
    LLMResponse,
    MockProvider,
    PatternError,
    PatternResult,
    ProviderError,
    RetryConfig,
    StreamEvent,
    TextDelta,
    TokenUsage,
    Tool,
    ToolCall,
    best_of_n,
    consensus,
    map_reduce,
    pipe,
    react_loop,
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
    with pytest.raises(PatternError, match="raised CancelledError, though nobody cancelled") as caught:
        await run(mock)
    assert str(caught.value.__cause__) == "its own"
    assert caught.value.cost == TokenUsage(3 * calls, 2 * calls, calls)
    assert caught.value.metadata


async def test_so_does_what_waits_before_a_retry() -> None:
    mock = MockProvider([ProviderError("down"), "x"])
    with pytest.raises(PatternError, match="nobody cancelled the run"):
        await refine_loop(mock, "q", retry=RetryConfig(sleep=gone))


class Sleeper:
    """Code that sleeps until it is cancelled, and then goes on as if nothing were."""

    def __init__(self) -> None:
        self.began = asyncio.Event()

    async def sleep(self) -> None:
        self.began.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async def score(self, text: str, provider: LLMProvider) -> float:
        await self.sleep()
        return 0.5

    async def accept(self, value: object) -> None:
        await self.sleep()

    async def hear(self, event: object) -> None:
        await self.sleep()

    async def step(self, provider: LLMProvider, prompt: str) -> PatternResult[str]:
        await provider.complete(MESSAGES)
        await self.sleep()
        return PatternResult(prompt)

    async def step_inside(self, provider: LLMProvider, prompt: str) -> PatternResult[str]:
        await provider.complete(MESSAGES)
        await self.sleep()
        return await consensus(provider, prompt)


SWALLOWED: dict[str, tuple[Callable[[MockProvider, Sleeper], Made], int]] = {
    "evaluator": (lambda mock, sleeper: refine_loop(mock, "q", evaluator=sleeper.score), 1),
    "evaluator of several": (lambda mock, sleeper: best_of_n(mock, "q", evaluator=sleeper.score), 5),
    "validator of the last reply": (lambda mock, sleeper: structured(mock, "q", validator=sleeper.accept), 1),
    "callback": (lambda mock, sleeper: refine_loop(mock, "q", on_event=sleeper.hear), 0),
    "last step": (lambda mock, sleeper: pipe(mock, "q", sleeper.step), 1),
    "step": (lambda mock, sleeper: pipe(mock, "q", sleeper.step, consensus), 1),
    "pattern in a step": (lambda mock, sleeper: pipe(mock, "q", sleeper.step_inside), 1),
}


@pytest.mark.parametrize("name", SWALLOWED)
async def test_users_code_that_swallows_a_cancellation_does_not_undo_it(name: str) -> None:
    run, calls = SWALLOWED[name]
    mock, sleeper = MockProvider(["[1]"], usage=USED), Sleeper()
    task = asyncio.create_task(run(mock, sleeper))
    await sleeper.began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    spent = TokenUsage(3 * calls, 2 * calls, calls)
    assert (mock.call_count, vars(caught.value)["cost"]) == (calls, spent)


async def test_no_tool_is_run_for_a_reply_that_came_of_a_cancellation() -> None:
    class Deaf:
        supports_tools: Literal[True] = True

        async def complete(self, messages: list[dict[str, Any]], **kwargs: Any) -> LLMResponse:
            await sleeper.sleep()
            return LLMResponse("", [ToolCall("1", "pay", {})])

    async def pay() -> str:
        paid.append("paid")
        return "paid"

    sleeper = Sleeper()
    paid: list[str] = []
    task = asyncio.create_task(react_loop(Deaf(), "q", [Tool("pay", "Pay.", {"type": "object"}, pay)]))
    await sleeper.began.wait()
    task.cancel()
    assert isinstance(await ended(task), asyncio.CancelledError)
    assert paid == []


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


async def test_a_run_begun_after_a_cancellation_that_was_let_go_is_a_run_like_any_other() -> None:
    kept: list[LLMProvider] = []

    def keep(text: str, provider: LLMProvider) -> float:
        kept.append(provider)
        return 1.0

    async def work() -> tuple[str, str]:
        await refine_loop(MockProvider(["x", "y"]), "q", evaluator=keep)
        await sleeper.sleep()
        return (await consensus(MockProvider(["x"]), "q")).value, (await kept[0].complete(MESSAGES)).content

    sleeper = Sleeper()
    task = asyncio.create_task(work())
    await sleeper.began.wait()
    task.cancel()
    assert await task == ("x", "y")


async def test_a_reply_that_comes_in_the_moment_of_cancelling_is_kept() -> None:
    provider = HeldProvider()
    task = asyncio.create_task(consensus(provider, "q", num_samples=2))
    await provider.arrived(2)
    provider.waiting[0].answer("paid")
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert vars(caught.value)["metadata"] == {"responses": ["paid"]}


async def test_a_run_that_cancels_its_own_task_ends_as_cancelled_and_once_only() -> None:
    after: list[str] = []

    def cancel(text: str, provider: LLMProvider) -> float:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return 1.0

    async def work() -> None:
        try:
            await refine_loop(MockProvider(["x"]), "q", evaluator=cancel)
        finally:
            await asyncio.sleep(0)
            after.append("cleaned up")

    assert isinstance(await ended(asyncio.create_task(work())), asyncio.CancelledError)
    assert after == ["cleaned up"]


class DeafStream:
    """Streams three words; the wait before `which` of them swallows a cancellation."""

    def __init__(self, which: int, ending: Exception | None) -> None:
        self.which = which
        self.ending = ending
        self.sleeper = Sleeper()
        self.told = 0

    async def complete(self, messages: list[dict[str, Any]], **kwargs: Any) -> LLMResponse:
        raise NotImplementedError

    @asynccontextmanager
    async def stream(self, messages: list[dict[str, Any]], **kwargs: Any) -> AsyncGenerator[Any, None]:
        async def events() -> AsyncIterator[StreamEvent]:
            for number in range(3):
                if number == self.which:
                    await self.sleeper.sleep()
                    if self.ending is not None:
                        raise self.ending
                self.told += 1
                yield TextDelta("x")
            yield Finish("stop", LLMResponse("xxx"))

        yield events()


@pytest.mark.parametrize("ending", [None, ProviderError("closed")], ids=["goes on", "fails"])
@pytest.mark.parametrize("which", [0, 1])
async def test_a_stream_that_swallows_a_cancellation_is_left(which: int, ending: Exception | None) -> None:
    provider = DeafStream(which, ending)
    run = refine_loop(provider, "q", evaluator=lambda text, _: 1.0, on_event=lambda event: None, retry=ONCE)
    task = asyncio.create_task(run)
    await provider.sleeper.began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert vars(caught.value)["cost"].llm_calls == 1
    assert provider.told <= which + 1
