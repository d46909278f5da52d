"""The `*_sync` twins: the same functions for scripts, each on an event loop of its own."""

import asyncio
import gc
import inspect
import threading
import warnings
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from executionkit import (
    BudgetExhaustedError,
    ConsensusFailedError,
    ConsensusResult,
    LLMProvider,
    LLMResponse,
    MockProvider,
    PipeResult,
    Provider,
    ProviderError,
    TokenUsage,
    Tool,
    ToolCall,
    consensus,
    consensus_sync,
    pipe,
    pipe_sync,
    react_loop,
    react_loop_sync,
    refine_loop,
    refine_loop_sync,
)


async def good(_text: str, _provider: LLMProvider) -> float:
    return 1.0


TWINS: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
    (consensus_sync, consensus),
    (refine_loop_sync, refine_loop),
    (react_loop_sync, react_loop),
    (pipe_sync, pipe),
]
CALLS: list[Callable[[LLMProvider], Any]] = [
    lambda provider: consensus_sync(provider, "q", num_samples=2),
    lambda provider: refine_loop_sync(provider, "q", evaluator=good),
    lambda provider: react_loop_sync(provider, "q", []),  # type: ignore[call-overload]  # a MockProvider
    lambda provider: pipe_sync(provider, "q", partial(consensus, num_samples=2)),
]


def test_consensus_sync() -> None:
    provider = MockProvider(["a", "b", "a"])
    result = consensus_sync(provider, "q", num_samples=3, temperature=0.5)
    assert (result.value, result.tie_count, result.cost.llm_calls) == ("a", 1, 3)
    assert provider.calls[0].temperature == 0.5


def test_refine_loop_sync() -> None:
    result = refine_loop_sync(MockProvider(["text", "9"]), "q")
    assert (result.value, result.score, result.cost.llm_calls) == ("text", 0.9, 2)


def test_react_loop_sync() -> None:
    def look(at: str) -> str:
        return f"{at}: a cat"

    schema = {"type": "object", "properties": {"at": {"type": "string"}}}
    asked = LLMResponse("", tool_calls=[ToolCall("1", "look", {"at": "roof"})])
    provider = MockProvider([asked, "A cat."])
    result = react_loop_sync(provider, "q", [Tool("look", "Look.", schema, look)], max_rounds=2)
    assert (result.value, result.tool_calls_made) == ("A cat.", 1)
    assert provider.calls[1].messages[-1]["content"] == "roof: a cat"


def test_pipe_sync() -> None:
    provider = MockProvider(["a", "a", "a", "b"])
    result = pipe_sync(
        provider,
        "q",
        consensus,
        partial(refine_loop, evaluator=good),
        max_budget=TokenUsage(llm_calls=4),
        num_samples=3,
    )
    assert (result.value, result.step_count, result.cost.llm_calls) == ("b", 2, 4)
    nothing: PipeResult[str] = pipe_sync(provider, "q")
    assert nothing.value == "q"


def test_errors_come_out_as_they_are() -> None:
    with pytest.raises(ConsensusFailedError) as caught:
        consensus_sync(MockProvider(["a", "b"]), "q", num_samples=2, strategy="unanimous")
    assert caught.value.cost.llm_calls == 2
    with pytest.raises(BudgetExhaustedError):
        pipe_sync(MockProvider(["a"]), "q", consensus, max_budget=TokenUsage(llm_calls=1))
    with pytest.raises(ValueError, match="num_samples"):
        consensus_sync(MockProvider(), "q", num_samples=0)


@pytest.mark.parametrize("call", CALLS)
def test_the_same_provider_serves_call_after_call(call: Callable[[LLMProvider], Any]) -> None:
    provider = MockProvider(["a"])
    first, second = call(provider), call(provider)
    assert first == second
    assert provider.call_count == 2 * first.cost.llm_calls


@pytest.mark.parametrize("call", CALLS)
async def test_inside_a_running_loop_it_says_to_await_and_leaves_nothing_behind(
    call: Callable[[LLMProvider], Any],
) -> None:
    provider = MockProvider(["a"])
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        with pytest.raises(RuntimeError, match=r"_sync\(\) can't run inside a running event loop.*`await "):
            call(provider)
        gc.collect()
    assert met == []
    assert provider.call_count == 0


async def test_in_a_thread_beside_a_running_loop_it_works() -> None:
    result: ConsensusResult = await asyncio.to_thread(consensus_sync, MockProvider(["a"]), "q")
    assert result.value == "a"


def test_two_threads_may_share_a_provider() -> None:
    provider = MockProvider(["a"])
    threads = [
        threading.Thread(target=consensus_sync, args=(provider, "q"), kwargs={"num_samples": 50})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert provider.call_count == 200


@pytest.mark.parametrize(("twin", "pattern"), TWINS)
def test_a_twin_shows_the_pattern_s_parameters_and_is_no_coroutine_function(
    twin: Callable[..., Any], pattern: Callable[..., Any]
) -> None:
    ours, theirs = inspect.signature(twin).parameters, inspect.signature(pattern).parameters
    assert [*map(str, ours.values())] == [*map(str, theirs.values())]
    assert twin.__name__ == twin.__qualname__ == f"{pattern.__name__}_sync"
    assert twin.__module__ == "executionkit.sync"
    assert not inspect.iscoroutinefunction(inspect.unwrap(twin))
    assert "event loop of its own" in (twin.__doc__ or "")


def test_no_event_loop_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio.events, "new_event_loop", refuse)
    with pytest.raises(ProviderError, match=r"no event loop can be made .*Too many open") as caught:
        consensus_sync(MockProvider(["a"]), "q")
    assert not caught.value.dispatched


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("consensus", lambda provider: consensus(provider, "?")),
        ("Provider", lambda provider: provider.complete([{"role": "user", "content": "?"}])),
    ],
)
def test_a_coroutine_that_another_library_drives_says_that_asyncio_is_needed(
    name: str, call: Callable[[Provider], Coroutine[Any, Any, object]]
) -> None:
    provider = Provider("http://127.0.0.1:9/v1", "m")
    with pytest.raises(RuntimeError, match=f"{name}: no event loop of asyncio is running"):
        call(provider).send(None)
