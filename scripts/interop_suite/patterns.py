"""Checks of every pattern against the scripted model."""

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from executionkit import (
    BudgetExhaustedError,
    ConsensusResult,
    Kit,
    LLMProvider,
    LLMResponse,
    Pairwise,
    Rubric,
    TokenUsage,
    best_of_n,
    consensus,
    consensus_sync,
    map_reduce,
    pipe,
    react_loop,
    refine_loop,
    structured,
)
from executionkit.events import Observation, PatternEvent
from executionkit.streaming import TextDelta, ToolCallDelta
from interop_suite import script
from interop_suite.checking import QUICK, Checks, Outcome, Target, expect, raised, require
from interop_suite.tools import WEATHER_TOOL

CITY_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "population": {"type": "integer"}},
    "required": ["city", "population"],
    "additionalProperties": False,
}


@dataclass
class City:
    """What `structured` makes of a reply."""

    city: str
    population: int


async def vote(target: Target) -> Outcome:
    async with target.provider() as provider:
        result = await consensus(provider, script.CAPITAL, num_samples=5, retry=QUICK)
    expect((result.value, result.score), ("Paris", 1.0), "value and score")
    return Outcome("5 of 5 agree", result.cost)


async def vote_with_choices(target: Target) -> Outcome:
    async with target.provider() as provider:
        result = await consensus(provider, script.CAPITAL, num_samples=6, choices_per_request=3, retry=QUICK)
    expect((result.value, result.samples_used), ("Paris", 6), "value and samples")
    return Outcome(f"6 samples in {result.cost.llm_calls} requests", result.cost)


async def vote_decided(target: Target) -> Outcome:
    async with target.provider() as provider:
        result = await consensus(
            provider, script.CAPITAL, num_samples=9, stop="decided", key=str.lower, retry=QUICK
        )
    expect((result.answer, result.samples_used), ("paris", 5), "answer and samples")
    return Outcome("decided after 5 of 9 samples", result.cost)


async def vote_sync(target: Target) -> Outcome:
    async with target.provider() as provider:
        result: ConsensusResult = await asyncio.to_thread(
            consensus_sync, provider, script.CAPITAL, num_samples=3
        )
    expect(result.value, "Paris", "value")
    return Outcome("the same provider, from a script", result.cost)


async def refine(target: Target) -> Outcome:
    async with target.provider() as provider:
        result = await refine_loop(provider, script.RAIN, retry=QUICK)
    expect((result.value, result.stop_reason), (script.RAIN_BETTER, "target"), "value and stop_reason")
    return Outcome(f"judged {result.score_history}, improved once", result.cost)


async def refine_streamed(target: Target) -> Outcome:
    pieces: list[str] = []

    def note(event: PatternEvent) -> None:
        if isinstance(event, TextDelta):
            pieces.append(event.text)

    async with target.provider() as provider:
        result = await refine_loop(provider, script.RAIN, on_event=note, retry=QUICK)
    require("".join(pieces).endswith(script.RAIN_BETTER), f"the pieces were {pieces}")
    return Outcome("the same, its drafts streamed", result.cost)


async def react(target: Target) -> Outcome:
    async with target.provider() as provider:
        result = await react_loop(provider, script.WEATHER, [WEATHER_TOOL], retry=QUICK)
    expect(result.value, script.WEATHER_TEXT, "value")
    expect((result.rounds, result.tool_calls_made), (2, 2), "rounds and tool calls")
    return Outcome("two tools at once, then the answer", result.cost)


async def react_streamed(target: Target) -> Outcome:
    seen: list[PatternEvent] = []
    async with target.provider() as provider:
        result = await react_loop(provider, script.WEATHER, [WEATHER_TOOL], on_event=seen.append, retry=QUICK)
    expect(result.value, script.WEATHER_TEXT, "value")
    observed = sorted(event.text for event in seen if isinstance(event, Observation))
    expect(observed, ["16 °C", "16 °C"], "observations")
    require(any(isinstance(event, ToolCallDelta) for event in seen), "no piece of a tool call was seen")
    return Outcome("the same, streamed", result.cost)


async def structure(target: Target) -> Outcome:
    async with target.provider() as provider:
        result = await structured(provider, script.CITY, CITY_SCHEMA, retry=QUICK)
    expect(result.value, {"city": "Lima", "population": 10092000}, "value")
    return Outcome(f"the value, by {result.schema_mode}", result.cost)


async def structure_type(target: Target) -> Outcome:
    async with target.provider() as provider:
        result = await structured(provider, script.CITY, City, retry=QUICK)
    expect(result.value, City("Lima", 10092000), "value")
    return Outcome("the dataclass", result.cost)


async def structure_repaired(target: Target) -> Outcome:
    async with target.provider() as provider:
        result = await structured(provider, script.HALF_A_CITY, CITY_SCHEMA, retry=QUICK)
    expect(result.value, {"city": "Oslo", "population": 709000}, "value")
    expect(result.repair_attempts, 1, "repair_attempts")
    return Outcome("complete when asked again", result.cost)


async def best_by_rubric(target: Target) -> Outcome:
    async with target.provider() as provider:
        result = await best_of_n(
            provider, script.RAIN, evaluator=Rubric("Imagery."), num_samples=3, retry=QUICK
        )
    expect((result.value, result.scores), (script.RAIN_DRAFT, [0.4] * 3), "value and scores")
    return Outcome("3 candidates, judged", result.cost)


class _Differing:
    """A provider around a provider, which makes the drafts differ: like ones are not compared."""

    def __init__(self, provider: LLMProvider) -> None:
        self._provider = provider
        self._drafts = 0

    async def complete(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        reply = await self._provider.complete(
            messages, temperature=temperature, max_tokens=max_tokens, tools=tools, **kwargs
        )
        if reply.content != script.RAIN_DRAFT:
            return reply
        self._drafts += 1
        return replace(reply, content=f"{reply.content} Draft {self._drafts}.")


async def best_by_comparison(target: Target) -> Outcome:
    async with target.provider() as provider:
        result = await best_of_n(
            _Differing(provider), script.RAIN, evaluator=Pairwise(), num_samples=3, retry=QUICK
        )
    expect((result.comparisons, result.disagreements), (3, 3), "comparisons and disagreements")
    return Outcome("3 pairs; a judge that always says A decides nothing", result.cost)


async def map_and_reduce(target: Target) -> Outcome:
    async with target.provider() as provider:
        result = await map_reduce(
            provider,
            [f"chapter {number}" for number in range(7)],
            map_prompt=script.SUMMARISE + " {input}",
            reduce_prompt=script.COMBINE + " {results}",
            max_reduce_chars=40,
            retry=QUICK,
        )
    expect((result.value, result.map_results), ("a book", ["a chapter"] * 7), "value and map_results")
    return Outcome(f"7 inputs, {result.reduce_calls} reductions", result.cost)


async def pipeline(target: Target) -> Outcome:
    ceiling = TokenUsage(llm_calls=8)
    async with target.provider() as provider:
        result = await pipe(
            provider,
            script.RAIN,
            partial(consensus, num_samples=3),
            partial(best_of_n, evaluator=lambda text, _: len(text) / 100, num_samples=2),
            max_budget=ceiling,
            retry=QUICK,
        )
    expect((result.value, result.metadata["step_count"]), (script.RAIN_LONGER, 2), "value and steps")
    return Outcome("two steps on one budget", result.cost)


async def kit_total(target: Target) -> Outcome:
    async with target.provider() as provider:
        kit = Kit(provider)
        await kit.consensus(script.CAPITAL, num_samples=2)
        await kit.react(script.WEATHER, [WEATHER_TOOL])
        error = await raised(BudgetExhaustedError, kit.refine(script.RAIN, max_cost=TokenUsage(llm_calls=2)))
    expect(error.cost.llm_calls, 2, "calls of the refinement")
    expect(kit.usage.llm_calls, 6, "calls of the kit")
    return Outcome("one total, what failed included", kit.usage)


async def budget(target: Target) -> Outcome:
    async with target.provider() as provider:
        error = await raised(
            BudgetExhaustedError,
            consensus(provider, script.CAPITAL, num_samples=5, max_cost=TokenUsage(llm_calls=4)),
        )
    return Outcome("5 samples on 4 calls are refused before the first", error.cost)


CHECKS: Checks = {
    "consensus": vote,
    "consensus: choices_per_request": vote_with_choices,
    "consensus: key, stop": vote_decided,
    "consensus_sync": vote_sync,
    "refine_loop": refine,
    "refine_loop: streamed": refine_streamed,
    "react_loop": react,
    "react_loop: streamed": react_streamed,
    "structured": structure,
    "structured: a dataclass": structure_type,
    "structured: repair": structure_repaired,
    "best_of_n: Rubric": best_by_rubric,
    "best_of_n: Pairwise": best_by_comparison,
    "map_reduce": map_and_reduce,
    "pipe": pipeline,
    "Kit": kit_total,
    "a budget": budget,
}
