"""Pydantic AI."""

import asyncio
from typing import Any

from pydantic_ai import Agent, ModelRetry, RunUsage, UsageLimits
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from peers_suite.checking import (
    DOWN,
    QUESTION,
    Film,
    Outcome,
    broken,
    expect,
    film_call,
    forever,
    once,
    price,
    theirs,
)


def _agent(url: str, **options: Any) -> Agent[None, Any]:
    return Agent(OpenAIChatModel("m", provider=OpenAIProvider(base_url=url, api_key="-")), **options)


async def _run(script: Any, limits: UsageLimits | None = None, **options: Any) -> Outcome:
    return await theirs(script, lambda url: _agent(url, **options).run(QUESTION, usage_limits=limits))


async def check_request_limit() -> None:
    """request_limit=1 lets the three requests of OpenAI's client pass; without a limit there are 50."""
    found = await _run(DOWN, UsageLimits(request_limit=1))
    expect(found.requests, 3)
    found = await _run(forever("price", item="tea"), tools=[price])
    expect((found.requests, found.raised), (50, "UsageLimitExceeded"))


async def check_output_tokens() -> None:
    """A reply of 50 tokens is paid for, and then refused; max_tokens is not sent."""
    found = await _run(["no " * 50], UsageLimits(output_tokens_limit=10))
    expect((found.requests, found.raised, found.last.max_tokens), (1, "UsageLimitExceeded", None))
    assert "output_tokens=50" in str(found.value)


async def check_runs_at_once() -> None:
    """Five runs at once that share a usage and a limit of two requests send five."""

    async def five(url: str) -> Any:
        agent, usage = _agent(url), RunUsage()
        limits = UsageLimits(request_limit=2)
        return await asyncio.gather(
            *(agent.run(QUESTION, usage=usage, usage_limits=limits) for _ in range(5))
        )

    found = await theirs(["no"], five)
    expect((found.requests, len(found.value)), (5, 5))


async def check_tool_calls_limit() -> None:
    """Five calls in a reply, of which three are allowed: none runs."""
    ran: list[str] = []

    def noted(item: str) -> str:
        ran.append(item)
        return item

    found = await _run(once("noted", 5, item="tea"), UsageLimits(tool_calls_limit=3), tools=[noted])
    expect((found.raised, ran), ("UsageLimitExceeded", []))


async def check_failing_tools() -> None:
    """An exception of a tool ends the run; ModelRetry goes to the model."""
    found = await _run(once("broken", item="tea"), tools=[broken])
    expect(found.raised, "KeyError")

    def again(item: str) -> str:
        raise ModelRetry("Ask for scones.")

    found = await _run(once("again", item="tea"), tools=[again])
    expect(found.value.output, "Paris")
    assert "Ask for scones." in found.last.messages[-1]["content"]


async def check_wrong_replies() -> None:
    """A wrong value is asked for once more."""
    found = await _run(film_call, output_type=Film)
    expect((found.requests, found.raised), (2, "UnexpectedModelBehavior"))


async def check_error() -> None:
    """The error has no figures; the usage that was given has."""
    usage = RunUsage()
    found = await theirs(
        forever("price", item="tea"),
        lambda url: _agent(url, tools=[price]).run(
            QUESTION, usage=usage, usage_limits=UsageLimits(request_limit=2)
        ),
    )
    assert not hasattr(found.value, "usage")
    expect(usage.requests, 2)
