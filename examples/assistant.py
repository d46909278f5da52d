"""A shop assistant with a budget: three functions as tools, one of which needs approval."""

import asyncio
import datetime
import json
import sys
from dataclasses import dataclass
from typing import Annotated

from endpoint import endpoint

from executionkit import (
    Approval,
    ApprovalRequest,
    BudgetExhaustedError,
    Conversation,
    LLMResponse,
    Provider,
    TokenUsage,
    ToolCall,
    ToolError,
    tool,
)
from executionkit.approval import ask_on_terminal
from executionkit.testing import ChatRequest

QUESTIONS = [
    "My scone of 2 March 2026 was cold. Can I have my money back?",
    "And for the tea of the day after?",
]
PRICES = {"tea": 3.20, "scone": 2.50}


@dataclass
class Order:
    number: int
    item: str
    paid: float
    day: str
    refunded: float = 0.0


ORDERS = {
    17: Order(17, "scone", 2.50, "2026-03-02"),
    18: Order(18, "tea", 3.20, "2026-03-03"),
}


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


@tool(needs_approval=True)
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


async def approve(request: ApprovalRequest) -> Approval | bool:
    """Small amounts go through. Larger ones a person allows, if there is one."""
    if request.call.arguments["amount"] <= 3:
        return True
    if sys.stdin.isatty():
        return await ask_on_terminal(request)
    return Approval(False, "Only a person at a terminal may give back more than 3 euros.")


async def main() -> None:
    async with Provider(*endpoint(simulated)) as provider:
        chat = Conversation(
            provider,
            system="You are the assistant of a tea shop.",
            tools=[price, find_orders, refund],
            max_cost=TokenUsage(llm_calls=20, output_tokens=8_000),
            approve=approve,
            on_limit="answer",
            max_tokens=500,
        )
        for question in QUESTIONS:
            print("guest:", question)
            try:
                turn = await chat.send(question)
            except BudgetExhaustedError:
                print("The budget is spent.")
                break
            print("assistant:", turn.value)
            print(f"  (tool calls: {turn.tool_calls_made}, declined: {turn.declined})")
        print(chat.usage)


def simulated(request: ChatRequest) -> LLMResponse:
    """Look the orders up, refund what the guest asks for, and answer."""
    said = [message["content"] for message in request.messages if message["role"] == "user"]
    last = request.messages[-1]
    if last["role"] == "user":
        return call("find_orders", {"day": "2026-03-02" if len(said) == 1 else "2026-03-03"})
    if last["content"].startswith("["):
        (order,) = json.loads(last["content"])
        return call("refund", {"order": order["number"], "amount": order["paid"]})
    return LLMResponse(f"I am sorry about that. {last['content']}")


def call(name: str, arguments: dict[str, object]) -> LLMResponse:
    return LLMResponse("", [ToolCall("", name, arguments)])


if __name__ == "__main__":
    asyncio.run(main())
