"""Ask before a tool runs: a program approves small refunds, a person the large ones."""

import asyncio
import json

from endpoint import endpoint

from executionkit import (
    Approval,
    ApprovalPending,
    ApprovalRequest,
    LLMResponse,
    Provider,
    TokenUsage,
    Tool,
    ToolCall,
    react_loop,
    tool,
)
from executionkit.testing import ChatRequest

ORDERS = {17: 12.50, 18: 240.00}


@tool
def order_total(order: int) -> float:
    """The total of an order, in EUR."""
    return ORDERS[order]


@tool(needs_approval=True)
def refund(order: int, amount: float) -> str:
    """Refund an order.

    Args:
        order: The number of the order.
        amount: The amount, in EUR.
    """
    return f"refunded {amount:.2f} EUR of order {order}"


async def small_ones(request: ApprovalRequest) -> Approval:
    """Approve small refunds, and leave the others to a person."""
    amount = request.call.arguments["amount"]
    if amount <= 50:
        return Approval(approved=True)
    raise ApprovalPending(f"{amount:.2f} EUR are more than a program may give")


async def main() -> None:
    tools: list[Tool] = [order_total, refund]
    budget = TokenUsage(llm_calls=8)
    async with Provider(*endpoint(simulated)) as provider:
        result = await react_loop(
            provider,
            "Refund order 17.",
            tools,
            approve=small_ones,
            max_cost=budget,
            on_limit="answer",
        )
        print(result.value)
        try:
            result = await react_loop(
                provider, "Refund order 18.", tools, approve=small_ones, max_cost=budget
            )
        except ApprovalPending as pending:
            print(pending.calls[0].name, pending.calls[0].arguments, "waits for a person")
            saved = json.dumps(pending.metadata["messages"])
            # The person grants half of it.
            answers = {
                call.id: Approval(approved=True, arguments={**call.arguments, "amount": 120.0})
                for call in pending.calls
            }
            result = await react_loop(
                provider,
                None,
                tools,
                messages=json.loads(saved),
                approvals=answers,
                max_cost=budget,
            )
        print(result.value)


def simulated(request: ChatRequest) -> LLMResponse:
    """Look the total up, ask for a refund of it, and tell the guest what was refunded."""
    order = 17 if "17" in str(request.messages[0]["content"]) else 18
    results = [
        str(message["content"]) for message in request.messages if message["role"] == "tool"
    ]
    if not results:
        return LLMResponse("", [ToolCall("", "order_total", {"order": order})])
    if len(results) == 1:
        return LLMResponse(
            "", [ToolCall("", "refund", {"order": order, "amount": float(results[0])})]
        )
    return LLMResponse(f"Done: {results[1].splitlines()[-1]}.")


if __name__ == "__main__":
    asyncio.run(main())
