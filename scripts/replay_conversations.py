#!/usr/bin/env python3
"""Replay recorded tool-calling conversations turn by turn through `Conversation`, and compare every message.

    python scripts/replay_conversations.py PATH

PATH is a JSON file with `tools`, schemas in OpenAI's form, and `trajectories`, each with the `messages` of
one conversation: what tau-bench publishes as its historical trajectories. Three things are checked:

1. each of the schemas makes a `Tool`;
2. the arguments of each recorded call fit the schema of its tool;
3. each conversation comes out as it was recorded, when the user and the model say what they said and the
   tools return what they returned. After every turn it is saved as JSON and read again. A conversation that
   ends on a user's message or a tool's result makes a turn without an answer: its messages are then those on
   the error.

Recorded tool messages carry the tool's name as well, ours don't, so that is left out; arguments are compared
as JSON. The status is 0 when all of it holds.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from executionkit import Conversation, LLMResponse, PermanentError, Tool, ToolCall
from executionkit.testing import MockProvider

Message = dict[str, Any]


@dataclass
class Report:
    """What was counted, and what was wrong."""

    counts: Counter[str] = field(default_factory=Counter[str])
    problems: list[str] = field(default_factory=list[str])


async def replay(messages: list[Message], schemas: list[dict[str, Any]], report: Report) -> list[Message]:
    """What `Conversation` makes of a conversation that begins with a system message."""
    results = deque(message["content"] for message in messages if message["role"] == "tool")

    def tool(schema: dict[str, Any]) -> Tool:
        async def execute(**_: object) -> str:
            return str(results.popleft())

        return Tool(schema["name"], schema["description"], schema["parameters"], execute)

    said = [as_response(message) for message in messages if message["role"] == "assistant"]
    provider = MockProvider([*said, PermanentError("the recording ends here")], strict=True)
    tools = [tool(schema) for schema in schemas]
    chat = Conversation(provider, system=messages[0]["content"], tools=tools)
    for message in messages:
        if message["role"] != "user":
            continue
        saved = json.loads(json.dumps(chat.to_dict()))
        chat = Conversation.from_dict(
            provider, saved, tools=tools, max_rounds=len(said) + 1, max_observation_chars=sys.maxsize
        )
        report.counts["turns"] += 1
        try:
            report.counts["tool calls run"] += (await chat.send(message["content"])).tool_calls_made
        except PermanentError as exc:
            report.counts["turns without an answer"] += 1
            report.counts["tool calls run"] += exc.metadata["tool_calls_made"]
            return exc.metadata["messages"]
    return [dict(message) for message in chat.messages]


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
        messages: list[Message] = trajectory["messages"]
        report.counts["conversations"] += 1
        report.counts["messages"] += len(messages)
        report.counts["tool calls"] += sum(message["role"] == "tool" for message in messages)
        try:
            replayed = await replay(messages, schemas, report)
        except Exception as exc:  # whatever it is, the other conversations are replayed too
            report.problems.append(f"conversation {number}: {type(exc).__name__}: {exc}")
            continue
        expected, found = list(map(comparable, messages)), list(map(comparable, replayed))
        report.counts["conversations as recorded"] += found == expected
        if found != expected:
            unlike = next((pair for pair in zip(expected, found, strict=False) if pair[0] != pair[1]), None)
            what = f"recorded {unlike[0]}, replayed {unlike[1]}" if unlike else "not as many messages"
            report.problems.append(f"conversation {number}: {what}")
    if report.counts["tool calls run"] != report.counts["tool calls"]:
        report.problems.append("some calls were not run: their arguments do not fit the schema")
    return report


def main() -> int:
    """Print the counts and the problems."""
    parser = argparse.ArgumentParser(description="Replay recorded conversations turn by turn.")
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
