"""A shop assistant: three functions as tools, one of which gives money away, and a budget."""

import asyncio
import datetime
from dataclasses import dataclass
from typing import Annotated

from endpoint import endpoint

from executionkit import (
    BudgetExhaustedError,
    LLMResponse,
    Provider,
    TokenUsage,
    ToolCall,
    ToolError,
    react_loop,
)
from executionkit.testing import ChatRequest

PRICES = {"tea": 3.20, "scone": 2.50}


@dataclass
class Order:
    number: int
    item: str
    paid: float
    day: str
    refunded: float = 0.0


ORDERS = {17: Order(17, "scone", 2.50, "2026-03-02"), 18: Order(18, "tea", 3.20, "2026-03-03")}


async def price(item: Annotated[str, "Its name, as printed on the menu."]) -> float:
    """The price of an item, in euros."""
    if item not in PRICES:
        raise ToolError(f"{item!r} is not on the menu; there is: {', '.join(PRICES)}")
    return PRICES[item]


def find_orders(day: Annotated[str, "The day, such as 2026-03-02."]) -> list[Order]:
    """The orders of a day."""
    try:
        datetime.date.fromisoformat(day)
    except ValueError:
        raise ToolError(f"{day!r} is no day; write it like 2026-03-02") from None
    return [order for order in ORDERS.values() if order.day == day]


def refund(order: int, amount: float) -> str:
    """Give back money for an order.

    Args:
        order: The number of the order.
        amount: The amount in euros, at most what was paid.
    """
    found = ORDERS.get(order)
    if found is None:
        raise ToolError(f"there is no order {order}")
    if not 0 < amount <= found.paid - found.refunded:
        raise ToolError(f"{amount} is not between 0 and {found.paid - found.refunded}")
    found.refunded += amount
    return f"{amount:.2f} of {found.paid:.2f} euros were given back"


async def main() -> None:
    question = "My scone of 2 March 2026 was cold. Can I have my money back?"
    print("guest:", question)
    async with Provider(*endpoint(simulated)) as provider:
        try:
            result = await react_loop(
                provider,
                question,
                [price, find_orders, refund],
                max_rounds=6,
                max_cost=TokenUsage(llm_calls=10, output_tokens=4_000),
                max_tokens=500,
            )
        except BudgetExhaustedError as error:
            print(f"The budget is spent: {error.cost}")
            return
    print("assistant:", result.value)
    print(f"{result.tool_calls_made} tool calls; {result.cost}")


def simulated(request: ChatRequest) -> LLMResponse:
    """Look the order up, refund it, and answer."""
    results = [message["content"] for message in request.messages if message["role"] == "tool"]
    match len(results):
        case 0:
            return call("find_orders", {"day": "2026-03-02"})
        case 1:
            return call("refund", {"order": 17, "amount": 2.50})
        case _:
            return LLMResponse(f"I am sorry. {results[-1]}.")


def call(name: str, arguments: dict[str, object]) -> LLMResponse:
    return LLMResponse("", [ToolCall("", name, arguments)])


if __name__ == "__main__":
    asyncio.run(main())
