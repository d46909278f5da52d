"""Show an answer while the model writes it, and a tool loop while it runs."""

import asyncio

from endpoint import endpoint

from executionkit import (
    Kit,
    LLMResponse,
    Observation,
    PatternEvent,
    Provider,
    TextDelta,
    Tool,
    ToolCall,
    ToolStarted,
)
from executionkit.testing import ChatRequest


def price(item: str) -> str:
    return f"{item}: 3.20"


PARAMETERS = {
    "type": "object",
    "properties": {"item": {"type": "string"}},
    "required": ["item"],
}
PRICE = Tool("price", "The price of an item on the menu.", PARAMETERS, price)


def show(event: PatternEvent) -> None:
    if isinstance(event, TextDelta):
        print(event.text, end="", flush=True)
    elif isinstance(event, ToolStarted):
        print(f"\n-> {event.call.name}({event.call.arguments})")
    elif isinstance(event, Observation):
        print(f"<- {event.text}")


async def main() -> None:
    async with Provider(*endpoint(simulated)) as provider:
        kit = Kit(provider)
        async with kit.stream("Praise tea in one sentence.") as events:
            async for event in events:
                show(event)
        print(f"\n({events.response.output_tokens} tokens)")
        await kit.react("What does tea cost?", [PRICE], on_event=show)
        print(f"\n{kit.usage}")


def simulated(request: ChatRequest) -> str | LLMResponse:
    if request.tools and request.messages[-1]["role"] != "tool":
        return LLMResponse("Let me look.", [ToolCall("call_1", "price", {"item": "tea"})])
    return (
        "Tea costs 3.20."
        if request.tools
        else "A cup of tea, hot and strong, mends most things."
    )


if __name__ == "__main__":
    asyncio.run(main())
