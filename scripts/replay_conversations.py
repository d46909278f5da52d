#!/usr/bin/env python3
"""Replay recorded tool-calling conversations through react_loop, and compare every message.

    python scripts/replay_conversations.py PATH

PATH is a JSON file with `tools`, schemas in OpenAI's form, and `trajectories`, each with the `messages` of
one conversation: what tau-bench publishes as its historical trajectories. Three things are checked:

1. each of the schemas makes a `Tool`;
2. the arguments of each recorded call fit the schema of its tool;
3. each stretch of a conversation, from a user's message to the assistant's next answer without tool calls,
   comes out of `react_loop` as it was recorded, when the model says what it said and the tools return what
   they returned. A conversation that ends on a tool's result makes a stretch without an answer.

Recorded tool messages carry the tool's name as well, ours don't, so that is left out; arguments are compared
as JSON. The status is 0 when all of it holds.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from executionkit import LLMResponse, MaxIterationsError, Tool, ToolCall, react_loop
from executionkit.testing import MockProvider

Message = dict[str, Any]


@dataclass
class Stretch:
    """A user's message, the exchanges that followed it, and the answer, if the recording has one."""

    where: str
    messages: list[Message]
    answer: Message | None = None

    @property
    def replies(self) -> list[Message]:
        return [message for message in self.messages if message["role"] == "assistant"]

    @property
    def observations(self) -> list[Message]:
        return [message for message in self.messages if message["role"] == "tool"]


@dataclass
class Report:
    """What was counted, and what was wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def stretches(number: int, messages: list[Message]) -> Iterator[Stretch]:
    """The stretches of one conversation in which tools are called."""
    current: Stretch | None = None
    for index, message in enumerate(messages):
        if message["role"] == "user":
            current = Stretch(f"conversation {number}, message {index}", [message])
        elif current is not None and message["role"] == "assistant" and not message.get("tool_calls"):
            current.answer = message
            if current.observations:
                yield current
            current = None
        elif current is not None:
            current.messages.append(message)
    if current is not None and current.observations:
        yield current


async def replay(
    stretch: Stretch, schemas: list[dict[str, Any]]
) -> tuple[list[Message], Message | None, int]:
    """What react_loop makes of it: the messages, the answer, and how many tools were run."""
    results = iter(stretch.observations)

    def tool(schema: dict[str, Any]) -> Tool:
        async def execute(**_: object) -> str:
            return str(next(results)["content"])

        return Tool(schema["name"], schema["description"], schema["parameters"], execute)

    said = [*stretch.replies, *([stretch.answer] if stretch.answer else [])]
    provider = MockProvider([as_response(message) for message in said], strict=True)
    try:
        result = await react_loop(
            provider,
            stretch.messages[0]["content"],
            [tool(schema) for schema in schemas],
            max_rounds=len(said),
            max_observation_chars=sys.maxsize,
        )
    except MaxIterationsError as exc:
        return exc.metadata["messages"], None, exc.metadata["tool_calls_made"]
    return provider.calls[-1].messages, {"role": "assistant", "content": result.value}, result.tool_calls_made


def as_response(message: Message) -> LLMResponse:
    """A recorded message as the provider would have given it."""
    calls = [
        ToolCall(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls") or ()
    ]
    return LLMResponse(message["content"], calls, "tool_calls" if calls else "stop")


def comparable(message: Message) -> Message:
    """The message without what may differ: a tool's name, and how its arguments were written."""
    shown = {name: value for name, value in message.items() if name != "name"}
    if shown.get("tool_calls"):
        shown["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
            for call in shown["tool_calls"]
        ]
    return shown


async def check(recorded: dict[str, Any]) -> Report:
    """Replay everything."""
    report = Report()
    schemas = [entry["function"] for entry in recorded["tools"]]
    report.counts["tool schemas"] = len(schemas)
    for number, trajectory in enumerate(recorded["trajectories"]):
        report.counts["conversations"] += 1
        for stretch in stretches(number, trajectory["messages"]):
            report.counts["stretches"] += 1
            report.counts["stretches without an answer"] += stretch.answer is None
            report.counts["tool calls"] += len(stretch.observations)
            report.counts["messages"] += len(stretch.messages) + (stretch.answer is not None)
            try:
                messages, answer, ran = await replay(stretch, schemas)
            except Exception as exc:  # whatever it is, the other stretches are replayed too
                report.problems.append(f"{stretch.where}: {type(exc).__name__}: {exc}")
                continue
            report.counts["tool calls run"] += ran
            expected = [comparable(message) for message in [*stretch.messages, stretch.answer or {}]]
            found = [comparable(message) for message in [*messages, answer or {}]]
            if found != expected:
                unlike = next(
                    (pair for pair in zip(expected, found, strict=False) if pair[0] != pair[1]), None
                )
                what = f"recorded {unlike[0]}, replayed {unlike[1]}" if unlike else "not as many messages"
                report.problems.append(f"{stretch.where}: {what}")
    if report.counts["tool calls run"] != report.counts["tool calls"]:
        report.problems.append("some calls were not run: their arguments do not fit the schema")
    return report


def main() -> int:
    """Print the counts and the problems."""
    parser = argparse.ArgumentParser(description="Replay recorded conversations through react_loop.")
    parser.add_argument("path", type=Path, help="the recorded conversations, a JSON file")
    recorded = json.loads(parser.parse_args().path.read_text(encoding="utf-8"))
    report = asyncio.run(check(recorded))
    for name, count in report.counts.items():
        print(f"{name:<28} {count:>6,}")
    for problem in report.problems[:10]:
        print(problem[:2000])
    print(f"{len(report.problems)} problems" if report.problems else "every message as recorded")
    return int(bool(report.problems))


if __name__ == "__main__":
    sys.exit(main())
