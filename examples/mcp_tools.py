"""Give the model the tools of an MCP server beside a function; needs the extra mcp."""

import asyncio
import json
import sys

from endpoint import endpoint
from mcp import StdioServerParameters

from executionkit import LLMResponse, Provider, ToolCall, react_loop
from executionkit.mcp import mcp_tools
from executionkit.testing import ChatRequest

# Most servers are commands of somebody else. This one is a program of six lines.
SHOP = """
from mcp.server import MCPServer
shop = MCPServer("shop")
@shop.tool(description="The price of an item on the menu, in euros.")
def price(item: str) -> float: return {"tea": 3.20, "scone": 2.50}[item]
shop.run("stdio")
"""


def total(amounts: list[float]) -> float:
    """Add amounts up."""
    return round(sum(amounts), 2)


async def main() -> None:
    shop = StdioServerParameters(command=sys.executable, args=["-c", SHOP])
    async with (
        Provider(*endpoint(simulated)) as provider,
        mcp_tools(shop, prefix="shop_", timeout=10.0, needs_approval="none") as shop_tools,
    ):
        print("tools:", ", ".join(tool.name for tool in shop_tools))
        result = await react_loop(
            provider,
            "What do tea and a scone cost together?",
            [*shop_tools, total],
            max_rounds=6,
        )
    print(result.value)
    print(f"{result.rounds} rounds, {result.tool_calls_made} tool calls")


def simulated(request: ChatRequest) -> LLMResponse:
    """Request both prices at once, add them up, and answer."""
    results = [message["content"] for message in request.messages if message["role"] == "tool"]
    match len(results):
        case 0:
            return calls(("shop_price", {"item": "tea"}), ("shop_price", {"item": "scone"}))
        case 2:
            return calls(
                (
                    "total",
                    {"amounts": [json.loads(result)["result"] for result in results]},
                )
            )
        case _:
            return LLMResponse(f"Together they cost {results[-1]} euros.")


def calls(*wanted: tuple[str, dict[str, object]]) -> LLMResponse:
    return LLMResponse("", [ToolCall("", name, arguments) for name, arguments in wanted])


if __name__ == "__main__":
    asyncio.run(main())
