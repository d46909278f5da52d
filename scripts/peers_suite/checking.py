"""What the checks share: replies, simulated models, and the comparison of a figure with the page."""

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

from executionkit import LLMResponse, Provider, RetryConfig, ToolCall
from executionkit.testing import ChatRequest, Fault, LocalEndpoint

FILM = '{"title": "Metropolis", "year": 1927}'
WRONG_FILM = '{"title": "Metropolis", "year": "long ago"}'
CUT_FILM = LLMResponse('{"title": "Metro', finish_reason="length")
QUESTION = "The capital of France?"
DOWN = [Fault.status(503, headers={"retry-after-ms": "5"})]
AT_ONCE = RetryConfig(base_delay=0)


class Film(BaseModel):
    """The type that is asked for."""

    title: str
    year: int


def price(item: str) -> float:
    """The price of an item on the menu."""
    return 3.20


def broken(item: str) -> float:
    """The price of an item on the menu."""
    raise KeyError(item)


def tool_calls(count: int, name: str, **arguments: Any) -> LLMResponse:
    """A reply that calls a tool `count` times at once."""
    return LLMResponse("", [ToolCall(f"call_{number}", name, arguments) for number in range(count)])


def film_call(request: ChatRequest, year: object = "long ago") -> LLMResponse:
    """A film, given as a call of the tool that the client offers for it; by default a wrong one."""
    return tool_calls(1, request.tools[0]["function"]["name"], title="Metropolis", year=year)


def once(name: str, count: int = 1, **arguments: Any) -> Callable[[ChatRequest], str | LLMResponse]:
    """A model that calls a tool, and answers when it sees a result."""

    def model(request: ChatRequest) -> str | LLMResponse:
        if request.messages[-1]["role"] == "tool":
            return "Paris"
        return tool_calls(count, name, **arguments)

    return model


def forever(name: str, **arguments: Any) -> Callable[[ChatRequest], LLMResponse]:
    """A model that never stops to call a tool."""
    return lambda _: tool_calls(1, name, **arguments)


def simulated(request: ChatRequest) -> str | LLMResponse:
    """A model for the blocks of the page: it calls the tool `price` once, gives a film, else says Paris."""
    if request.tools:
        name = request.tools[0]["function"]["name"]
        if name != "price":
            return film_call(request, 1927)
        return once(name, item="tea")(request)
    if request.field("response_format"):
        return FILM
    return (
        "[[ ## answer ## ]]\nParis\n\n[[ ## completed ## ]]" if "## answer ##" in request.prompt else "Paris"
    )


@dataclasses.dataclass
class Outcome:
    """What came of a task, and what the endpoint counted.

    Attributes:
        value: The value, or the exception that was raised.
        requests: How many requests arrived.
        last: The last request.
        most_at_once: How many were in flight at once.
    """

    value: Any
    requests: int
    last: ChatRequest
    most_at_once: int

    @property
    def raised(self) -> str:
        """The name of the exception's class."""
        assert isinstance(self.value, BaseException), f"returned {self.value!r}"
        return type(self.value).__name__


async def theirs(script: Any, task: Callable[[str], Awaitable[Any]]) -> Outcome:
    """Run a task, which gets the base URL of an endpoint that follows a script."""
    with LocalEndpoint(script) as endpoint:
        try:
            value = await task(endpoint.base_url)
        except Exception as error:
            value = error
        ledger = endpoint.ledger
    return Outcome(value, ledger.calls, ledger.requests[-1], ledger.peak_in_flight)


async def ours(script: Any, task: Callable[[Provider], Awaitable[Any]]) -> Outcome:
    """The same with a task that gets a provider."""

    async def with_provider(base_url: str) -> Any:
        async with Provider(base_url, "my-model") as provider:
            return await task(provider)

    return await theirs(script, with_provider)


def expect(found: object, wanted: object) -> None:
    """Compare what was found with what the page says."""
    if found != wanted:
        raise AssertionError(f"{found!r}, where the page says {wanted!r}")
