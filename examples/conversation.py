"""A conversation with a tool and a budget. A failed turn is resumed; the state is stored."""

import asyncio
import json

from endpoint import endpoint

from executionkit import (
    Conversation,
    LLMResponse,
    Provider,
    ProviderError,
    RetryConfig,
    TextDelta,
    TokenUsage,
    ToolCall,
    ToolError,
)
from executionkit.testing import ChatRequest, Fault

PRICES = {"tea": 3.20, "scone": 2.80}


def price(item: str) -> float:
    """The price of an item on the menu.

    Args:
        item: Its name, as printed.
    """
    if item not in PRICES:
        raise ToolError(f"not on the menu; there is: {', '.join(PRICES)}")
    return PRICES[item]


async def main() -> None:
    async with Provider(*endpoint(simulated)) as provider:
        chat = Conversation(
            provider,
            system="You are a shop assistant. Be brief.",
            tools=[price],
            max_cost=TokenUsage(llm_calls=20),
            retry=RetryConfig(max_retries=0),
        )
        turn = await chat.send("What does tea cost?")
        print(
            f"{turn.value:<24} {turn.tool_calls_made} tool call, {turn.cost.llm_calls} calls"
        )

        try:
            turn = await chat.send("And a scone?")
        except ProviderError as error:
            kept = len(error.metadata["messages"]) - len(chat.messages)
            print(f"{'the server failed':<24} {kept} messages of the turn are kept")
            turn = await chat.resume()
        print(turn.value)

        saved = json.dumps(chat.to_dict())
        later = Conversation.from_dict(
            provider, json.loads(saved), tools=[price], max_cost=TokenUsage(llm_calls=20)
        )
        async with later.stream("Both together?") as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    print(event.text, end="", flush=True)
        print(
            f"\n{len(later.messages)} messages, {later.usage.llm_calls} calls, "
            f"{later.left.llm_calls} left"
        )


def simulated(request: ChatRequest) -> LLMResponse | Fault | str:
    """Look the price up and tell it; the fourth request fails."""
    last = request.messages[-1]
    if last["role"] == "tool":
        return (
            Fault.status(503)
            if request.number == 4
            else f"That is {float(last['content']):.2f}."
        )
    if "Both" in request.prompt:
        return "Together they cost 6.00."
    item = "scone" if "scone" in request.prompt else "tea"
    return LLMResponse("", tool_calls=[ToolCall("call_0", "price", {"item": item})])


if __name__ == "__main__":
    asyncio.run(main())
