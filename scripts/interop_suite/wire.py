"""Checks of the client itself against the scripted model: whole replies, streams, tool calls."""

import asyncio
from typing import Any

from executionkit import Kit, LLMResponse, Provider, TokenUsage
from executionkit.streaming import (
    ReasoningDelta,
    ReplyStream,
    TextDelta,
    ToolCallDelta,
    ToolCallDone,
    UsageEvent,
)
from interop_suite.checking import Checks, Outcome, Target, expect, require
from interop_suite.script import CAPITAL, STORY, STORY_TEXT, THINKING, WEATHER, WEATHER_TEXT
from interop_suite.tools import WEATHER_TOOL


def asking(prompt: str) -> list[dict[str, str]]:
    """A conversation of one message."""
    return [{"role": "user", "content": prompt}]


def spent(reply: LLMResponse) -> TokenUsage:
    """What one reply cost."""
    return TokenUsage(reply.input_tokens, reply.output_tokens, 1)


async def drain(stream: ReplyStream) -> None:
    """Read a stream to its end."""
    async with stream as events:
        async for _ in events:
            pass


async def complete(target: Target) -> Outcome:
    async with target.provider() as provider:
        reply = await provider.complete(asking(CAPITAL))
    expect(reply.content, "Paris", "content")
    expect(reply.finish_reason, "stop", "finish_reason")
    require(reply.input_tokens and reply.output_tokens, f"no usage: {dict(reply.usage)}")
    return Outcome("the answer, with its usage", spent(reply))


async def tool_calls(target: Target) -> Outcome:
    async with target.provider() as provider:
        reply = await provider.complete(asking(WEATHER), tools=[WEATHER_TOOL.to_schema()])
    _expect_weather_calls(reply)
    return Outcome(f"two calls; finish_reason {reply.finish_reason!r}", spent(reply))


def _expect_weather_calls(reply: LLMResponse) -> None:
    calls = [(call.id, call.name, call.arguments) for call in reply.tool_calls]
    names = ("lima", "oslo")
    wanted = [(f"call_{city}", "get_weather", {"city": city.title(), "unit": "°C"}) for city in names]
    expect(calls, wanted, "tool calls")


async def stream(target: Target) -> Outcome:
    async with target.provider() as provider, provider.stream(asking(STORY)) as events:
        seen = [event async for event in events]
    pieces = [event.text for event in seen if isinstance(event, TextDelta)]
    expect("".join(pieces), STORY_TEXT, "text")
    expect(events.response.content, STORY_TEXT, "content of the response")
    require(len(pieces) > 2, f"the text came in {len(pieces)} pieces")
    usage = next(event for event in seen if isinstance(event, UsageEvent))
    told = "estimated" if usage.estimated else "told by the server"
    return Outcome(
        f"the text in pieces; usage {told}", TokenUsage(usage.input_tokens, usage.output_tokens, 1)
    )


async def stream_reasoning(target: Target) -> Outcome:
    async with target.provider() as provider, provider.stream(asking(THINKING)) as events:
        seen = [event async for event in events]
    thoughts = "".join(event.text for event in seen if isinstance(event, ReasoningDelta))
    expect(events.response.content, "12", "content")
    expect(thoughts, "Three cats, four legs each.", "reasoning")
    return Outcome("the reasoning apart from the answer", spent(events.response))


async def stream_tool_calls(target: Target) -> Outcome:
    tools = [WEATHER_TOOL.to_schema()]
    async with target.provider() as provider, provider.stream(asking(WEATHER), tools=tools) as events:
        seen = [event async for event in events]
    _expect_weather_calls(events.response)
    done = tuple(event.call for event in seen if isinstance(event, ToolCallDone))
    expect(done, events.response.tool_calls, "calls announced as complete")
    require(sum(isinstance(event, ToolCallDelta) for event in seen) > 2, "the calls came in no pieces")
    return Outcome(
        f"two calls out of pieces; finish_reason {events.response.finish_reason!r}", spent(events.response)
    )


async def stream_left(target: Target) -> Outcome:
    async with target.provider() as provider:
        async with provider.stream(asking(STORY)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    break
        expect(events.partial.finish_reason, "incomplete", "finish_reason")
        reply = await provider.complete(asking(CAPITAL))
    expect(reply.content, "Paris", "the next call's content")
    return Outcome("ended after one piece; the next call is answered")


async def kit_stream(target: Target) -> Outcome:
    async with target.provider() as provider:
        kit = Kit(provider)
        stream = kit.stream(STORY)
        await drain(stream)
    expect(stream.response.content, STORY_TEXT, "content")
    expect(kit.usage, spent(stream.response), "usage")
    return Outcome("counted as one call", kit.usage)


async def conversation(target: Target) -> Outcome:
    tools = [WEATHER_TOOL.to_schema()]
    results = {"call_lima": "19 °C", "call_oslo": "4 °C"}
    async with target.provider() as provider:
        first = await provider.complete(asking(WEATHER), tools=tools)
        function = {"name": "get_weather", "arguments": '{"city":"Lima","unit":"°C"}'}
        calls = [{"id": name, "type": "function", "function": function} for name in results]
        messages: list[dict[str, Any]] = [
            *asking(WEATHER),
            {"role": "assistant", "content": None, "tool_calls": calls},
            *({"role": "tool", "tool_call_id": name, "content": text} for name, text in results.items()),
        ]
        second = await provider.complete(messages, tools=tools, seed=7, stop=["\n\n"])
    expect(second.content, WEATHER_TEXT, "content")
    return Outcome("tool results are taken", spent(first) + spent(second))


async def many(target: Target) -> Outcome:
    async with target.provider() as provider:
        replies = await asyncio.gather(*(_once(provider, number) for number in range(50)))
    total = sum(map(spent, replies), TokenUsage())
    return Outcome("50 calls and streams at once, all answered", total)


async def _once(provider: Provider, number: int) -> LLMResponse:
    if number % 2:
        return await provider.complete(asking(CAPITAL))
    stream = provider.stream(asking(CAPITAL))
    await drain(stream)
    expect(stream.response.content, "Paris", "content")
    return stream.response


CHECKS: Checks = {
    "complete": complete,
    "tool calls": tool_calls,
    "tool results": conversation,
    "stream": stream,
    "stream: reasoning": stream_reasoning,
    "stream: tool calls": stream_tool_calls,
    "stream: left early": stream_left,
    "stream: through a Kit": kit_stream,
    "50 at once": many,
}
