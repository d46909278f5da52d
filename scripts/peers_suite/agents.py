"""OpenAI Agents SDK."""

from typing import Any

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI

from peers_suite import checking
from peers_suite.checking import DOWN, QUESTION, WRONG_FILM, Film, Outcome, expect, forever, once, theirs

set_tracing_disabled(True)
price, broken = function_tool(checking.price), function_tool(checking.broken)


async def _run(script: Any, agent: dict[str, Any] | None = None, **options: Any) -> Outcome:
    def task(url: str) -> Any:
        model = OpenAIChatCompletionsModel("m", AsyncOpenAI(base_url=url, api_key="-"))
        return Runner.run(Agent("Waiter", model=model, **(agent or {})), QUESTION, **options)

    return await theirs(script, task)


async def check_no_limit() -> None:
    """Ten turns, then an error that has the usage of the run."""
    found = await _run(forever("price", item="tea"), {"tools": [price]})
    expect((found.requests, found.raised), (10, "MaxTurnsExceeded"))
    expect(found.value.run_data.context_wrapper.usage.requests, 10)


async def check_failures() -> None:
    """max_turns=1 lets a second request pass when the first fails; an error after 503 has no run_data."""
    found = await _run([*DOWN, "Paris"], max_turns=1)
    expect((found.requests, found.value.context_wrapper.usage.requests), (2, 1))
    found = await _run(DOWN)
    expect((found.requests, found.raised), (3, "InternalServerError"))
    assert not hasattr(found.value, "run_data")


async def check_failing_tools() -> None:
    """The model learns that an error occurred; a tool that is not there ends the run."""
    found = await _run(once("broken", item="tea"), {"tools": [broken]})
    expect(found.value.final_output, "Paris")
    assert "An error occurred" in found.last.messages[-1]["content"]
    found = await _run(once("missing"), {"tools": [price]})
    expect(found.raised, "ModelBehaviorError")


async def check_wrong_replies() -> None:
    """A wrong value raises after one request; max_tokens is not sent."""
    found = await _run([WRONG_FILM], {"output_type": Film})
    expect((found.requests, found.raised, found.last.max_tokens), (1, "ModelBehaviorError", None))
