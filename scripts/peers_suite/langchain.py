"""LangChain."""

from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import ModelCallLimitMiddleware
from langchain_openai import ChatOpenAI

from executionkit.testing import Fault
from peers_suite.checking import (
    DOWN,
    FILM,
    QUESTION,
    WRONG_FILM,
    Film,
    Outcome,
    broken,
    expect,
    forever,
    once,
    price,
    theirs,
)

ASKED = {"messages": [("user", QUESTION)]}


def _model(url: str) -> ChatOpenAI:
    return ChatOpenAI(model="m", base_url=url, api_key="-")  # type: ignore[arg-type]  # takes a str


async def _agent(script: Any, tools: list[Any], config: Any = None, **options: Any) -> Outcome:
    return await theirs(
        script, lambda url: create_agent(_model(url), tools, **options).ainvoke(ASKED, config)
    )


async def check_run_limit() -> None:
    """At run_limit the run ends with a message that says so, or with an error if that was asked for."""
    script = forever("price", item="tea")
    found = await _agent(script, [price], middleware=[ModelCallLimitMiddleware(run_limit=3)])
    expect(found.requests, 3)
    assert "limits exceeded" in found.value["messages"][-1].content
    limit = ModelCallLimitMiddleware(run_limit=3, exit_behavior="error")
    found = await _agent(script, [price], middleware=[limit])
    expect(found.raised, "ModelCallLimitExceededError")


async def check_run_limit_and_failures() -> None:
    """run_limit=1 lets a second request pass when the first fails."""
    found = await _agent([*DOWN, "Paris"], [], middleware=[ModelCallLimitMiddleware(run_limit=1)])
    expect((found.requests, found.value["messages"][-1].content), (2, "Paris"))


async def check_no_limit() -> None:
    """Without any limit an agent has 9,999 steps."""
    agent: Any = create_agent(_model("http://localhost:1/v1"), [price])
    expect(agent.config["recursion_limit"], 9_999)


async def check_failing_tools() -> None:
    """An exception of a tool ends the run."""
    found = await _agent(once("broken", item="tea"), [broken])
    expect(found.raised, "KeyError")


async def check_wrong_replies() -> None:
    """with_structured_output raises after one request; an agent asks until its steps are used up."""
    found = await theirs(
        [WRONG_FILM, FILM], lambda url: _model(url).with_structured_output(Film).ainvoke(QUESTION)
    )
    expect((found.requests, found.raised), (1, "ValidationError"))
    found = await _agent([WRONG_FILM], [], {"recursion_limit": 20}, response_format=Film)
    expect((found.requests, found.raised), (20, "GraphRecursionError"))


async def check_retries() -> None:
    """The server answers 503: three requests, and six with two attempts of with_retry."""
    found = await theirs(DOWN, lambda url: _model(url).ainvoke(QUESTION))
    expect((found.requests, found.last.max_tokens), (3, None))
    found = await theirs(
        DOWN,
        lambda url: (
            _model(url).with_retry(stop_after_attempt=2, wait_exponential_jitter=False).ainvoke(QUESTION)
        ),
    )
    expect(found.requests, 6)


async def check_batches() -> None:
    """Forty prompts are forty requests in flight."""
    found = await theirs([Fault.delay(0.5, then="no")], lambda url: _model(url).abatch([QUESTION] * 40))
    expect(found.most_at_once, 40)
