"""What the scripted model says: for our local endpoint, and as fixtures for servers that take some."""

import json
from dataclasses import dataclass, replace
from typing import Any

from executionkit import LLMResponse, ToolCall
from executionkit.testing import ChatRequest

CAPITAL = "What is the capital of France? Answer in one word."
STORY = "Tell the story of the lighthouse."
STORY_TEXT = (
    "The lamp went out at two. At three the keeper's daughter rowed out and lit it again. “Enough,” she said."
)
THINKING = "Think before you answer: how many legs have three cats?"
RAIN = "Write one line about rain."
RAIN_DRAFT = "It rains."
RAIN_LONGER = "It rains, and the gutters sing."
RAIN_BETTER = "Rain writes rings on the pond."
WEATHER = "Compare the weather in Lima and Oslo."
WEATHER_TEXT = "Lima is warmer than Oslo."
CITY = "Describe the city of Lima."
CITY_TEXT = '{"city": "Lima", "population": 10092000}'
HALF_A_CITY = "Describe the city of Oslo."
SUMMARISE = "Summarise this chapter:"
COMBINE = "Combine these summaries:"


@dataclass(frozen=True)
class Rule:
    """One answer.

    Attributes:
        words: What the last message of the user must have in it.
        reply: What is answered.
        after_tools: Whether tool results must stand after that message; None doesn't mind.
    """

    words: str
    reply: LLMResponse
    after_tools: bool | None = None

    def fixture(self) -> dict[str, Any]:
        """The rule as aimock reads it."""
        match: dict[str, Any] = {"userMessage": self.words}
        if self.after_tools is not None:
            match["hasToolResult"] = self.after_tools
        response: dict[str, Any] = {"content": self.reply.content}
        if self.reply.tool_calls:
            calls = self.reply.tool_calls
            response = {"toolCalls": [{"name": c.name, "arguments": c.arguments, "id": c.id} for c in calls]}
        if self.reply.reasoning:
            response["reasoning"] = self.reply.reasoning
        return {"match": match, "response": response}


def _weather_calls() -> LLMResponse:
    cities = ("Lima", "Oslo")
    calls = [ToolCall(f"call_{city.lower()}", "get_weather", {"city": city, "unit": "°C"}) for city in cities]
    return LLMResponse("", calls)


RULES = (
    Rule("Judge which of two answers", LLMResponse("The first is livelier.\nBetter: A")),
    Rule(f"{RAIN_BETTER}\n</answer", LLMResponse("Nothing to add.\nScore: 9.5")),
    Rule(f"{RAIN_DRAFT}\n</answer", LLMResponse("Show something to see.\nScore: 4")),
    Rule("Write a better answer", LLMResponse(RAIN_BETTER)),
    Rule("That is not what was asked for", LLMResponse(json.dumps({"city": "Oslo", "population": 709000}))),
    Rule(CAPITAL, LLMResponse("Paris")),
    Rule(STORY, LLMResponse(STORY_TEXT)),
    Rule(THINKING, LLMResponse("12", reasoning="Three cats, four legs each.")),
    Rule(RAIN, LLMResponse(RAIN_DRAFT)),
    Rule(WEATHER, _weather_calls(), after_tools=False),
    Rule(WEATHER, LLMResponse(WEATHER_TEXT), after_tools=True),
    Rule(CITY, LLMResponse(CITY_TEXT)),
    Rule(HALF_A_CITY, LLMResponse(json.dumps({"city": "Oslo"}))),
    Rule(SUMMARISE, LLMResponse("a chapter")),
    Rule(COMBINE, LLMResponse("a book")),
    Rule(RAIN_DRAFT, LLMResponse(RAIN_LONGER)),
)


def scripted_model(request: ChatRequest) -> LLMResponse:
    """The model, for our own endpoint; it gives as many choices as asked for."""
    last = max(i for i, message in enumerate(request.messages) if message["role"] == "user")
    text = request.messages[last]["content"]
    has_results = any(message["role"] == "tool" for message in request.messages[last:])
    for rule in RULES:
        if rule.words in text and rule.after_tools in (None, has_results):
            return replace(rule.reply, alternatives=[rule.reply] * ((request.field("n") or 1) - 1))
    return LLMResponse("I know nothing of that.")
