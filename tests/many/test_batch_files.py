"""Batch files: each pattern in rounds, what is written and read, what is not paid for twice."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from executionkit import (
    BudgetExhaustedError,
    LLMProvider,
    LLMResponse,
    MockProvider,
    Pairwise,
    Provider,
    Rates,
    Rubric,
    Tier,
    Tool,
    ToolCall,
    TokenUsage,
    answers,
    best_of_n,
    cascade,
    consensus,
    map_reduce,
    pipe,
    react_loop,
    refine_loop,
    structured,
)
from executionkit.errors import JournalError
from executionkit.many import (
    BatchRead,
    BatchWritten,
    Journal,
    forget_batch,
    iter_many,
    read_batch,
    run_many,
    write_batch,
)
from executionkit.testing import ChatRequest, Fault, LocalEndpoint, run_batch

Step: TypeAlias = Callable[[LLMProvider, Any], Awaitable[Any]]


class Model:
    """Answers by a script for each prompt: the k-th time it is asked, it gives the k-th answer."""

    def __init__(self, answer: Callable[[ChatRequest, int], Any]) -> None:
        self._answer = answer
        self._asked: Counter[str] = Counter()

    def __call__(self, request: ChatRequest) -> Any:
        text = json.dumps(request.messages)
        self._asked[text] += 1
        return self._answer(request, self._asked[text])


async def offline(
    endpoint: LocalEndpoint, provider: LLMProvider, rows: list[Any], step: Step, folder: Path
) -> list[BatchWritten]:
    """Write and read until nothing is missing; returns the rounds that had something to ask."""
    rounds: list[BatchWritten] = []
    journal = folder / "journal.jsonl"
    while not (written := await write_batch(provider, rows, step, journal=journal, out=folder / "q.jsonl")).is_complete:
        rounds.append(written)
        assert written.requests
        assert len(rounds) < 20
        assert written.waiting == 0
        for file in written.files:
            run_batch(endpoint.base_url, file.path, folder / "a.jsonl", seed=len(rounds))
            read = read_batch(journal, folder / "a.jsonl")
            assert read == BatchRead(file.requests, cost=read.cost)
    return rounds


async def values(provider: LLMProvider, rows: list[Any], step: Step, journal: Path | None = None) -> list[Any]:
    results = [each async for each in iter_many(provider, rows, step, journal=journal, ordered=True)]
    return [(each.value, each.error, each.cost) for each in results]


# -- the patterns ----------------------------------------------------------------------------------------

JUDGED = Rubric("Is it long?")


def words(request: ChatRequest, times: int) -> Any:
    """Answers that differ from sample to sample; judges give the number of words, up to ten."""
    prompt = request.prompt
    if any("tools: " in message["content"] for message in request.messages[:1]):
        turns = sum(message["role"] == "tool" for message in request.messages)
        calls = [ToolCall(f"c{turns}", "look_up", {"name": f"{prompt[-9:]} {turns}"})]
        return f"after {turns} calls: {prompt}" if turns == 2 else LLMResponse("", calls)
    if any("as json: " in str(message["content"]) for message in request.messages):
        return '{"a": 1}' if len(request.messages) > 2 else '{"a": "b"}'
    if "Is it long?" in prompt:
        return f"Score: {min(10, prompt.count('word'))}"
    if "Which" in prompt and "better" in prompt:
        return "A"
    if (choices := request.field("n")) is not None:
        replies = [LLMResponse(f"answer {(times + number) % 3}") for number in range(choices)]
        return replace(replies[0], alternatives=replies[1:])
    return " ".join(["word"] * (times + prompt.count("word"))) if "refine" in prompt.lower() else f"answer {times % 3}"


async def vote(provider: LLMProvider, row: str) -> Any:
    return await consensus(provider, row, num_samples=5, max_concurrency=2)


async def vote_until_decided(provider: LLMProvider, row: str) -> Any:
    return await consensus(provider, row, num_samples=9, stop="decided", max_concurrency=3)


async def vote_by_choices(provider: LLMProvider, row: str) -> Any:
    return await consensus(provider, row, num_samples=6, choices_per_request=3)


async def mapped(provider: LLMProvider, row: str) -> Any:
    inputs = [f"{row} {number}" for number in range(7)]
    return await map_reduce(
        provider, inputs, map_prompt="Shorten: {item}", reduce_prompt="Join: {items}", max_concurrency=2
    )


async def best(provider: LLMProvider, row: str) -> Any:
    return await best_of_n(provider, row, evaluator=JUDGED, num_samples=4, max_concurrency=2)


async def tiers(provider: LLMProvider, row: str) -> Any:
    return await cascade([Tier(provider, 3, 1.0), Tier(provider, 1)], row)


async def refined(provider: LLMProvider, row: str) -> Any:
    return await refine_loop(provider, f"refine {row}", evaluator=JUDGED, target_score=1.0, max_iterations=2)


async def piped(provider: LLMProvider, row: str) -> Any:
    return await pipe(provider, row, vote, lambda run, prompt, **_: best(run, f"{row}: {prompt}"))


async def grouped(provider: LLMProvider, row: str) -> Any:
    """A step of the user's own, with a task group and a pattern inside each task."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(vote(provider, f"{row} {number}")) for number in range(3)]
    return "; ".join(task.result().value for task in tasks)


async def mended(provider: LLMProvider, row: str) -> Any:
    return await structured(provider, f"as json: {row}", dict[str, int], schema_mode="none")


async def tools_in_turn(provider: LLMProvider, row: str) -> Any:
    async def look_up(name: str) -> str:
        """Look a name up."""
        RUN.append(name)
        return f"{name} is {len(RUN)}"

    return await react_loop(provider, f"tools: {row}", [look_up])


RUN: list[str] = []

PATTERNS: list[tuple[Step, int]] = [
    (vote, 1),
    (vote_by_choices, 1),
    (mapped, 2),
    (best, 2),
    (tiers, 2),
    (refined, 6),
    (piped, 3),
    (grouped, 1),
    (mended, 2),
    (tools_in_turn, 3),
]


@pytest.mark.parametrize(("step", "depth"), PATTERNS, ids=[step.__name__ for step, _ in PATTERNS])
async def test_a_pattern_takes_as_many_rounds_as_it_is_deep_and_comes_to_the_same(
    tmp_path: Path, step: Step, depth: int
) -> None:
    rows = ["first", "second", "third"]
    RUN.clear()
    with LocalEndpoint(Model(words)) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            online = await values(provider, rows, step)
        assert not [error for _, error, _ in online if error]
        paid = endpoint.ledger.usage
    run_online = [*RUN]
    RUN.clear()
    with LocalEndpoint(Model(words)) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            rounds = await offline(endpoint, provider, rows, step, tmp_path)
            assert await values(provider, rows, step, tmp_path / "journal.jsonl") == online
        assert endpoint.ledger.usage == paid
    assert len(rounds) == depth
    assert Counter(RUN) == Counter(run_online)


async def test_a_vote_that_ends_early_takes_more_rounds_and_comes_to_the_same(tmp_path: Path) -> None:
    rows = ["first", "second", "third"]
    with LocalEndpoint(Model(words)) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            online = await values(provider, rows, vote_until_decided)
    with LocalEndpoint(Model(words)) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            rounds = await offline(endpoint, provider, rows, vote_until_decided, tmp_path)
            assert await values(provider, rows, vote_until_decided, tmp_path / "journal.jsonl") == online
    assert len(rounds) > 1
