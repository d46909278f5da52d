"""Instructor."""

from typing import Any

import instructor
from openai import AsyncOpenAI

from executionkit.testing import ChatRequest
from peers_suite.checking import DOWN, QUESTION, Film, Outcome, expect, film_call, theirs, tool_calls


async def _created(script: Any, **options: Any) -> Outcome:
    return await theirs(
        script,
        lambda url: instructor.from_openai(AsyncOpenAI(base_url=url, api_key="-")).create(
            model="m",
            messages=[{"role": "user", "content": QUESTION}],
            response_model=Film,
            **options,
        ),
    )


async def check_wrong_replies() -> None:
    """max_retries is 3 by default: four requests, and an error with the usage of all of them."""
    for options in ({}, {"max_retries": 3}):
        found = await _created(film_call, **options)
        expect((found.requests, found.raised), (4, "InstructorRetryException"))
        expect((found.value.n_attempts, len(found.value.failed_attempts)), (4, 4))
        expect(found.value.total_usage.completion_tokens > 4, True)


async def check_failures() -> None:
    """The server answers 503: three requests, counted as one attempt."""
    found = await _created(DOWN)
    expect((found.requests, found.raised, found.value.n_attempts), (3, "InstructorRetryException", 1))


async def check_both() -> None:
    """Wrong replies, each after two failures: twelve requests."""

    def model(request: ChatRequest) -> Any:
        return film_call(request) if request.number % 3 == 0 else DOWN[0]

    found = await _created(model)
    expect((found.requests, found.value.n_attempts), (12, 4))


async def check_token_budget() -> None:
    """token_budget stops before a retry; a first reply beyond it is paid for and returned."""
    found = await _created(film_call, token_budget=10)
    expect((found.requests, found.raised), (1, "TokenBudgetExceeded"))
    assert found.value.total_usage.total_tokens > 10
    found = await _created(lambda request: film_call(request, 1927), token_budget=10)
    expect(found.value.title, "Metropolis")


async def check_cut_replies() -> None:
    """A cut reply raises after one request."""

    def model(request: ChatRequest) -> Any:
        reply = tool_calls(1, request.tools[0]["function"]["name"], title="Metro")
        return type(reply)("", reply.tool_calls, finish_reason="length")

    found = await _created(model)
    expect((found.requests, found.raised), (1, "IncompleteOutputException"))


async def check_mode() -> None:
    """The type is sent as a tool that has to be called."""
    found = await _created(lambda request: film_call(request, 1927))
    expect(found.value.model_dump(), {"title": "Metropolis", "year": 1927})
    expect(found.last.field("tool_choice")["type"], "function")
    expect(found.last.max_tokens, None)
