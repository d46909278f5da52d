"""The bill on an error is that of the run it leaves now, however often the same object was raised before."""

import asyncio
import copy
import pickle
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from fakes import NO_WAIT, ONCE
from runs import MESSAGES, calls

from executionkit import (
    Kit,
    LLMProvider,
    LLMResponse,
    MockProvider,
    PatternError,
    PatternResult,
    ProviderError,
    TokenUsage,
    best_of_n,
    consensus,
    consensus_sync,
    map_reduce,
    pipe,
    pipe_sync,
    refine_loop,
)
from executionkit.engine.parallel import gather_strict
from executionkit.engine.retry import with_retry
from executionkit.engine.run import Run


def model(*script: Any) -> MockProvider:
    return MockProvider(list(script) or ["x"], usage=TokenUsage(3, 4))


class Remembering:
    """A provider that remembers its failure, as a circuit breaker does."""

    def __init__(self, exc: BaseException, *, good: int = 0) -> None:
        self.exc = exc
        self.good = good

    async def complete(self, messages: list[dict[str, Any]], **kwargs: Any) -> LLMResponse:
        await asyncio.sleep(0)  # calls side by side are all sent before one fails
        if self.good:
            self.good -= 1
            return LLMResponse("x", usage={"prompt_tokens": 3, "completion_tokens": 4})
        raise self.exc


class Case:
    """Somebody's code that remembers one exception object and raises it again and again."""

    def __init__(self, exc: BaseException) -> None:
        self.exc = exc

    async def step(self, provider: LLMProvider, prompt: str) -> PatternResult[str]:
        await provider.complete(MESSAGES)
        raise self.exc

    async def score(self, text: str, provider: LLMProvider) -> float:
        await provider.complete(MESSAGES)
        raise self.exc

    def fail(self, *_: Any, **__: Any) -> Any:
        raise self.exc

    async def swallow(self, provider: LLMProvider, prompt: str) -> PatternResult[str]:
        """A step whose own run fails by the object, for nothing."""
        with pytest.raises(type(self.exc)):
            await refine_loop(provider, prompt, evaluator=self.score)
        return PatternResult("went on")


async def one(provider: LLMProvider, prompt: str) -> PatternResult[str]:
    await provider.complete(MESSAGES)
    return PatternResult("1")


PLACES: dict[str, tuple[int, Callable[[Case], Awaitable[object]]]] = {
    "step": (2, lambda case: pipe(model(), "q", one, case.step)),
    "step without a call": (1, lambda case: pipe(model(), "q", one, case.fail)),
    "second use in one pipe": (3, lambda case: pipe(model(), "q", case.swallow, case.step)),
    "pipe in a pipe": (3, lambda case: pipe(model(), "q", one, partial(_inner, case))),
    "step of another provider": (3, lambda case: pipe(model(), "q", one, partial(_elsewhere, case))),
    "kit": (3, lambda case: Kit(model()).pipe("q", partial(consensus, num_samples=2), case.step)),
    "evaluator": (2, lambda case: refine_loop(model(), "q", evaluator=case.score)),
    "evaluators side by side": (2, lambda case: best_of_n(model(), "q", evaluator=case.score, num_samples=2)),
    "vote key": (5, lambda case: consensus(model(), "q", key=case.fail)),
    "prompt": (2, lambda case: map_reduce(model(), ["a", "b"], map_prompt="q", reduce_prompt=case.fail)),
    "provider": (2, lambda case: map_reduce(Remembering(case.exc, good=1), ["a", "b"], **ONE_BY_ONE)),
    "provider side by side": (5, lambda case: consensus(Remembering(case.exc), "q", retry=ONCE)),
    "provider in a step": (2, lambda case: pipe(Remembering(case.exc, good=1), "q", one, one, retry=ONCE)),
    "sync pipe": (2, lambda case: asyncio.to_thread(pipe_sync, model(), "q", one, case.step)),
    "sync": (5, lambda case: asyncio.to_thread(consensus_sync, Remembering(case.exc), "q", retry=ONCE)),
}
ONE_BY_ONE: Any = {"map_prompt": "q", "reduce_prompt": "q", "max_concurrency": 1, "retry": ONCE}


async def _inner(case: Case, provider: LLMProvider, prompt: str) -> PatternResult[str]:
    return await pipe(provider, prompt, one, case.step)


async def _elsewhere(case: Case, provider: LLMProvider, prompt: str) -> PatternResult[str]:
    """Its calls don't pass through the pipe's run: the pipe counts what the error tells of."""
    return await pipe(model(), prompt, one, case.step)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", [PatternError, OSError])
async def test_each_run_bills_itself_alone(place: str, kind: type[Exception]) -> None:
    count, run = PLACES[place]
    case = Case(kind("no"))
    told: list[tuple[Any, dict[str, Any], list[str]]] = []
    for _ in range(3):
        with pytest.raises(kind) as caught:
            await run(case)
        assert caught.value is case.exc
        facts = vars(case.exc)
        told.append(
            (facts["cost"], copy.deepcopy(facts["metadata"]), list(getattr(case.exc, "__notes__", [])))
        )
    assert told[0][0].llm_calls == count
    assert told[1] == told[2] == told[0]


async def test_what_an_error_had_of_its_own_stays() -> None:
    error = PatternError("no", metadata={"mine": 1, "value": "mine"})
    error.add_note("mine")
    for _ in range(3):
        with pytest.raises(PatternError):
            await pipe(model(), "q", one, Case(error).step)
    assert error.metadata == {"mine": 1, "value": "1", "step_metadata": [{}]}
    assert error.__notes__ == ["mine"]
    with pytest.raises(PatternError):
        await refine_loop(model(), "q", evaluator=Case(error).score)
    assert "step_metadata" not in error.metadata
    assert error.metadata["value"] == "mine"


async def test_attributes_of_other_types_are_left_alone() -> None:
    error = OSError("no")
    facts: dict[str, Any] = {"cost": 1.5, "metadata": ["mine"]}
    vars(error).update(facts)
    for _ in range(3):
        with pytest.raises(OSError, match="no"):
            await pipe(model(), "q", Case(error).step)
        assert {name: vars(error)[name] for name in facts} == facts


async def test_a_step_tells_the_cost_of_calls_that_went_past_the_pipe() -> None:
    async def step(provider: LLMProvider, prompt: str) -> PatternResult[str]:
        raise PatternError("no", cost=calls(5))

    with pytest.raises(PatternError) as caught:
        await pipe(model(), "q", one, step)
    assert caught.value.cost == TokenUsage(3, 4, 6)


async def test_an_error_from_another_process_tells_its_cost_there() -> None:
    async def step(provider: LLMProvider, prompt: str) -> PatternResult[str]:
        try:
            return await consensus(model("x", PatternError("no")), "q", num_samples=2, retry=ONCE)
        except PatternError as exc:
            sent = pickle.dumps(exc)
        raise pickle.loads(sent)

    with pytest.raises(PatternError) as caught:
        await pipe(model(), "q", one, step)
    assert caught.value.cost.llm_calls == 3


async def test_notes_of_retries_and_other_failures_do_not_pile_up() -> None:
    error = ProviderError("down")
    for _ in range(3):
        with pytest.raises(ProviderError):
            async with Run("r", Remembering(error), retry=NO_WAIT) as run:
                await run.complete(MESSAGES)
        assert error.__notes__ == ["gave up after 4 attempts"]

    async def fail() -> None:
        raise error

    for _ in range(3):
        with pytest.raises(ProviderError):
            await with_retry(fail, NO_WAIT)
        assert error.__notes__ == ["gave up after 4 attempts"]

    both = asyncio.Barrier(2)

    async def fail_together(exc: Exception) -> None:
        await both.wait()
        raise exc

    for _ in range(3):
        with pytest.raises(ProviderError):
            await gather_strict([fail_together(OSError("disk")), fail_together(error)])
    assert error.__notes__ == ["gave up after 4 attempts", "also failed: OSError: disk"]
    with pytest.raises(ProviderError):
        async with Run("r", Remembering(error), retry=ONCE) as run:
            await run.complete(MESSAGES)
    assert error.__notes__ == []


async def test_an_errors_own_cost_counts_every_time_it_is_raised() -> None:
    remembered = PatternError("elsewhere", cost=TokenUsage(1, 1, 1))

    async def step(provider: LLMProvider, prompt: str) -> PatternResult[str]:
        raise remembered

    for _ in range(3):
        with pytest.raises(PatternError) as caught:
            await pipe(model(), "q", step)
        assert caught.value.cost == TokenUsage(1, 1, 1)


class Voting:
    """A provider that answers by a pattern of its own."""

    async def complete(self, messages: list[dict[str, Any]], **kwargs: Any) -> LLMResponse:
        vote = await consensus(model("a", "b"), "q", num_samples=2, strategy="unanimous")
        return LLMResponse(vote.value)


async def test_the_results_of_a_pattern_inside_a_provider_stay_on_its_error() -> None:
    for _ in range(2):
        with pytest.raises(PatternError) as caught:
            await refine_loop(Voting(), "q", evaluator=lambda text, provider: 1.0, retry=ONCE)
        assert caught.value.metadata["responses"] == ["a", "b"]
        assert caught.value.cost == calls(1)
