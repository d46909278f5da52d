"""Let the model use two tools: an async one, which reports mistakes to it, and a plain one."""

import asyncio
import json

from endpoint import endpoint

from executionkit import LLMResponse, Provider, Tool, ToolCall, ToolError, react_loop
from executionkit.testing import ChatRequest

PRICES = {"tea": 3.20, "scone": 2.50}


async def price(item: str) -> dict[str, float]:
    """Return a dict, which the model reads as JSON. Only strings are passed on unchanged."""
    if item not in PRICES:
        raise ToolError(f"{item!r} is not on the menu; there is: {', '.join(PRICES)}")
    return {"price": PRICES[item]}


def total(amounts: list[float]) -> float:
    """Add the amounts. A plain function runs in a thread of its own."""
    return round(sum(amounts), 2)


TOOLS = [
    Tool(
        "price",
        "The price of an item on the menu.",
        {
            "type": "object",
            "properties": {"item": {"type": "string"}},
            "required": ["item"],
        },
        price,
    ),
    Tool(
        "total",
        "Add amounts up.",
        {
            "type": "object",
            "properties": {
                "amounts": {"type": "array", "items": {"type": "number"}, "minItems": 1}
            },
            "required": ["amounts"],
        },
        total,
    ),
]


async def main() -> None:
    async with Provider(*endpoint(simulated)) as provider:
        result = await react_loop(
            provider, "What do tea and a scone cost together?", TOOLS, max_rounds=6
        )
    if result.unread_tool_calls:
        print(
            "No answer, but a tool call as text: "
            "see the page of react_loop for your server's flags."
        )
    print(result.value)
    print(f"{result.rounds} rounds, {result.tool_calls_made} tool calls")
    print(result.cost)


def simulated(request: ChatRequest) -> LLMResponse:
    """Request both prices at once with one misspelt, correct it, add them up, and answer."""
    results = [message["content"] for message in request.messages if message["role"] == "tool"]
    match len(results):
        case 0:
            return calls(("price", {"item": "tea"}), ("price", {"item": "scones"}))
        case 2:
            return calls(("price", {"item": "scone"}))
        case 3:
            amounts = [json.loads(results[0])["price"], json.loads(results[2])["price"]]
            return calls(("total", {"amounts": amounts}))
        case _:
            return LLMResponse(f"Together they cost {results[-1]}.")


def calls(*wanted: tuple[str, dict[str, object]]) -> LLMResponse:
    return LLMResponse("", [ToolCall("", name, arguments) for name, arguments in wanted])


if __name__ == "__main__":
    asyncio.run(main())
