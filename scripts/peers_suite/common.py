"""What the page says of this library."""

import asyncio
from typing import Any

from executionkit import (
    BudgetExhaustedError,
    Kit,
    LLMResponse,
    MaxIterationsError,
    PatternError,
    Provider,
    ProviderError,
    RetryConfig,
    TokenUsage,
    best_of_n,
    consensus,
    map_reduce,
    react_loop,
    structured,
)
from executionkit.testing import ChatRequest, Fault
from peers_suite.checking import (
    AT_ONCE,
    CUT_FILM,
    DOWN,
    FILM,
    QUESTION,
    WRONG_FILM,
    Film,
    broken,
    expect,
    film_call,
    forever,
    once,
    ours,
    price,
    tool_calls,
)


async def check_retries() -> None:
    """The server answers 503: a pattern sends four requests and counts them; the client sends one."""
    found = await ours(DOWN, lambda p: consensus(p, QUESTION, num_samples=1, retry=AT_ONCE))
    assert isinstance(found.value, ProviderError)
    expect((found.requests, found.value.cost.llm_calls), (4, 4))
    found = await ours(DOWN, lambda p: p.complete([{"role": "user", "content": QUESTION}]))
    expect(found.requests, 1)


async def check_wrong_replies() -> None:
    """A reply that is no value of the type goes back, three times by default."""
    found = await ours([WRONG_FILM], lambda p: structured(p, QUESTION, Film, retry=AT_ONCE))
    assert isinstance(found.value, PatternError)
    expect((found.requests, found.value.cost.llm_calls), (4, 4))
    assert found.value.metadata["errors"]
    expect(found.value.metadata["last_text"], WRONG_FILM)
    found = await ours(film_call, lambda p: react_loop(p, QUESTION, [], output=Film))
    expect((found.requests, found.raised), (4, "PatternError"))


async def check_both() -> None:
    """Wrong replies, each after two failures: llm_calls=6 allows six requests."""

    def model(request: ChatRequest) -> str | Fault:
        return WRONG_FILM if request.number % 3 == 0 else DOWN[0]

    six = TokenUsage(llm_calls=6)
    found = await ours(model, lambda p: structured(p, QUESTION, Film, max_cost=six, retry=AT_ONCE))
    expect((found.requests, found.raised), (6, "BudgetExhaustedError"))


async def check_cut_replies() -> None:
    """A reply that was cut off is asked for again with more room."""
    found = await ours([CUT_FILM, FILM], lambda p: structured(p, QUESTION, Film, max_tokens=100))
    expect(found.value.value, Film(title="Metropolis", year=1927))
    assert (found.last.max_tokens or 0) > 100


async def check_loops() -> None:
    """A loop without any limit ends after eight rounds; with on_limit="answer" there is one more call."""
    found = await ours(forever("price", item="tea"), lambda p: react_loop(p, QUESTION, [price]))
    assert isinstance(found.value, MaxIterationsError)
    expect((found.requests, found.value.cost.llm_calls), (8, 8))
    assert found.value.metadata["messages"]


async def check_calls_are_the_limit() -> None:
    """llm_calls=1 allows one request, though it failed; five votes at once on two calls send two."""
    one = TokenUsage(llm_calls=1)
    found = await ours(DOWN, lambda p: react_loop(p, QUESTION, [], max_cost=one, retry=AT_ONCE))
    expect((found.requests, found.raised), (1, "BudgetExhaustedError"))

    async def five(provider: Provider) -> Any:
        kit = Kit(provider, max_cost=TokenUsage(llm_calls=2))
        votes = (kit.consensus(QUESTION, num_samples=1) for _ in range(5))
        return await asyncio.gather(*votes, return_exceptions=True)

    found = await ours(["Paris"], five)
    refused = [isinstance(each, BudgetExhaustedError) for each in found.value]
    expect((found.requests, sorted(refused)), (2, [False, False, True, True, True]))


async def check_failing_tools() -> None:
    """The model learns the type of a tool's error, and that a tool is not there, and goes on."""
    found = await ours(once("broken", item="secret"), lambda p: react_loop(p, QUESTION, [broken]))
    expect(found.value.value, "Paris")
    told = found.last.messages[-1]["content"]
    assert "KeyError" in told, told
    assert "secret" not in told, told
    found = await ours(once("missing"), lambda p: react_loop(p, QUESTION, [price]))
    expect(found.value.value, "Paris")


async def check_output_tokens() -> None:
    """A ceiling on output tokens lowers max_tokens of the request."""
    found = await ours(
        ["no " * 50],
        lambda p: consensus(p, QUESTION, num_samples=1, max_cost=TokenUsage(output_tokens=10)),
    )
    expect(found.last.max_tokens, 10)


async def check_samples() -> None:
    """Five samples are five requests at temperature 0.9; best_of_n stops at target_score."""
    found = await ours(["Paris"], lambda p: consensus(p, QUESTION, num_samples=5))
    expect((found.requests, found.last.field("temperature"), found.last.max_tokens), (5, 0.9, 4096))
    found = await ours(
        ["Paris"],
        lambda p: best_of_n(p, QUESTION, evaluator=lambda text, _: 1.0, target_score=1.0, max_concurrency=1),
    )
    expect(found.requests, 1)
    found = await ours(DOWN, lambda p: best_of_n(p, QUESTION, evaluator=lambda text, _: 1.0, retry=AT_ONCE))
    assert "candidates" in found.value.metadata


async def check_map_reduce() -> None:
    """map_reduce has five in flight; max_retries=1 of RetryConfig makes two requests."""
    found = await ours(
        [Fault.delay(0.2, then="Paris")],
        lambda p: map_reduce(p, ["a"] * 12, map_prompt="{input}", reduce_prompt="{results}"),
    )
    expect(found.most_at_once, 5)
    once_more = RetryConfig(max_retries=1, base_delay=0)
    found = await ours(DOWN, lambda p: consensus(p, QUESTION, num_samples=1, retry=once_more))
    expect(found.requests, 2)


async def check_closing_answers() -> None:
    """on_limit="answer" asks for an answer at the end."""

    def model(request: ChatRequest) -> str | LLMResponse:
        asked = request.field("tools") and request.field("tool_choice") != "none"
        return tool_calls(1, "price", item="tea") if asked else "Paris"

    found = await ours(model, lambda p: react_loop(p, QUESTION, [price], max_rounds=3, on_limit="answer"))
    expect(found.value.value, "Paris")


async def check_timeout() -> None:
    """A provider gives up after 120 seconds."""
    expect(Provider("http://localhost:1/v1", "m").timeout, 120)
