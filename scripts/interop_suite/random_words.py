"""Checks against a model of random weights: what it says is noise, how it is said is a real server's."""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from executionkit import (
    ConsensusResult,
    Kit,
    Pairwise,
    Provider,
    Rubric,
    Tool,
    best_of_n,
    consensus,
    consensus_sync,
    map_reduce,
    refine_loop,
    structured,
)
from executionkit.streaming import TextDelta
from interop_suite.checking import QUICK, Checks, Outcome, Target, expect, require
from interop_suite.wire import asking, drain

PROMPT = "What will the weather be?"
ROOM = 48
"""The most tokens of a reply: the model ends where it happens to."""


@dataclass
class Sky:
    """What `structured` makes of a reply; nothing in it is long: the model ends where it happens to."""

    sky: Literal["clear", "cloudy"]
    rain: bool


def _is_words(text: str) -> bool:
    return all(word.isalpha() and word.isascii() for word in text.split())


def words(target: Target) -> Provider:
    """A provider whose replies are never empty."""
    return target.provider(extra_body={"min_tokens": 4})


def constrained(target: Target, grammar: str) -> Provider:
    """A provider whose replies a grammar of the server's own constrains."""
    return target.provider(extra_body={"grammar": grammar})


async def complete(target: Target) -> Outcome:
    async with words(target) as provider:
        reply = await provider.complete(asking(PROMPT), max_tokens=ROOM)
    require(reply.content.strip() and _is_words(reply.content), f"not words: {reply.content!r}")
    require(reply.input_tokens and reply.output_tokens, f"no usage: {dict(reply.usage)}")
    require(reply.finish_reason in ("stop", "length"), f"finish_reason {reply.finish_reason!r}")
    return Outcome("an answer, with its usage")


async def length(target: Target) -> Outcome:
    async with words(target) as provider:
        reply = await provider.complete(asking(PROMPT), max_tokens=1)
        stream = provider.stream(asking(PROMPT), max_tokens=1)
        await drain(stream)
    require(reply.was_truncated and stream.response.was_truncated, "not noticed")
    return Outcome("noticed, streamed too")


async def stream(target: Target) -> Outcome:
    async with words(target) as provider, provider.stream(asking(PROMPT), max_tokens=ROOM) as events:
        pieces = [event.text async for event in events if isinstance(event, TextDelta)]
    expect("".join(pieces), events.response.content, "content")
    told = "estimated" if events.response.usage_is_estimated else "told by the server"
    return Outcome(f"the text in pieces; usage {told}")


async def stream_left(target: Target) -> Outcome:
    async with words(target) as provider:
        async with provider.stream(asking(PROMPT), max_tokens=1000, min_tokens=900) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    break
        reply = await provider.complete(asking(PROMPT), max_tokens=ROOM)
    require(reply.finish_reason in ("stop", "length"), f"finish_reason {reply.finish_reason!r}")
    return Outcome("ended after one piece; the next call is answered")


async def many(target: Target) -> Outcome:
    async with words(target) as provider:
        calls = (provider.complete(asking(PROMPT), max_tokens=4) for _ in range(20))
        replies = await asyncio.gather(*calls)
    require(all(reply.content for reply in replies), "an empty reply")
    return Outcome("20 calls at once, all answered")


async def vote(target: Target) -> Outcome:
    async with constrained(target, 'root ::= "yes" | "no"') as provider:
        result = await consensus(provider, PROMPT, num_samples=5, max_tokens=ROOM, retry=QUICK)
        same: ConsensusResult = await asyncio.to_thread(
            consensus_sync, provider, PROMPT, num_samples=3, max_tokens=ROOM
        )
    require({result.value, same.value} <= {"yes", "no"}, f"voted for {result.value!r}, {same.value!r}")
    return Outcome("5 samples, awaited; 3, from a script")


async def vote_with_choices(target: Target) -> Outcome:
    async with words(target) as provider:
        result = await consensus(
            provider, PROMPT, num_samples=4, choices_per_request=2, max_tokens=ROOM, retry=QUICK
        )
    expect(result.samples_used, 4, "samples")
    return Outcome(f"4 samples in {result.cost.llm_calls} requests")


async def refine(target: Target) -> Outcome:
    async with words(target) as provider, constrained(target, 'root ::= "Score: " [0-9]') as judge:
        for on_event in (None, lambda _: None):
            result = await refine_loop(
                provider,
                PROMPT,
                evaluator=Rubric("Sense.", judge=judge),
                max_iterations=2,
                max_tokens=ROOM,
                retry=QUICK,
                on_event=on_event,
            )
            require(result.score in {number / 10 for number in range(10)}, f"score {result.score}")
    return Outcome("drafts judged under a grammar, streamed too")


async def best(target: Target) -> Outcome:
    async with words(target) as provider:
        longest = await best_of_n(
            provider,
            PROMPT,
            evaluator=lambda text, _: min(1.0, len(text) / 1000),
            num_samples=3,
            max_tokens=ROOM,
            retry=QUICK,
        )
        async with constrained(target, 'root ::= "Better: " ("A" | "B" | "tie")') as judge:
            compared = await best_of_n(
                provider,
                PROMPT,
                evaluator=Pairwise(judge=judge),
                num_samples=3,
                max_tokens=ROOM,
                retry=QUICK,
            )
    expect(longest.value, max(longest.candidates, key=len), "value")
    expect(compared.comparisons, 3, "comparisons")
    return Outcome("by a function, and compared under a grammar")


async def map_and_reduce(target: Target) -> Outcome:
    async with constrained(target, 'root ::= "fog" | "frost"') as provider:
        result = await map_reduce(
            provider,
            ["January", "June", "July"],
            map_prompt="The weather in {input}?",
            reduce_prompt="And all together?",
            max_tokens=ROOM,
            retry=QUICK,
        )
    require({result.value, *result.map_results} <= {"fog", "frost"}, f"got {result.map_results}")
    return Outcome("3 inputs, 1 reduction")


async def pipeline(target: Target) -> Outcome:
    async with words(target) as provider:
        kit = Kit(provider)
        result = await kit.pipe(
            PROMPT,
            partial(consensus, num_samples=2),
            partial(structured, output=Sky),
            max_tokens=ROOM,
            retry=QUICK,
        )
    require(isinstance(result.value, Sky), f"got {result.value!r}")
    expect(kit.usage, result.cost, "the kit's total")
    return Outcome("a vote, then a value of its words; the kit's total is the same")


def weather_tool(seen: list[str]) -> Tool:
    """A tool that notes the cities it is asked for."""

    def weather(city: str) -> str:
        seen.append(city)
        return f"{city}: 12 °C"

    city = {"type": "string", "enum": ["Lima", "Oslo"]}
    schema: dict[str, Any] = {"type": "object", "properties": {"city": city}, "required": ["city"]}
    return Tool("weather", "The weather of a city.", schema, weather)


CHECKS: Checks = {
    "complete": complete,
    "max_tokens": length,
    "stream": stream,
    "stream: left early": stream_left,
    "20 at once": many,
    "consensus": vote,
    "consensus: choices_per_request": vote_with_choices,
    "refine_loop": refine,
    "best_of_n": best,
    "map_reduce": map_and_reduce,
    "pipe, Kit": pipeline,
}
