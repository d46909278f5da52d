"""`structured` over real HTTP: servers with and without schema modes, faults on the way, and both ledgers."""

from collections.abc import Callable

import pytest
from fakes import NO_WAIT
from pydantic import BaseModel

from executionkit import (
    BudgetExhaustedError,
    LLMResponse,
    PatternError,
    PermanentError,
    Provider,
    TokenUsage,
    structured,
)
from executionkit.testing import Answer, ChatRequest, Fault, Ledger, LocalEndpoint


class Movie(BaseModel):
    title: str
    year: int


GOOD = '{"title": "Metropolis", "year": 1927}'


def agree(cost: TokenUsage, ledger: Ledger) -> bool:
    return cost == TokenUsage(ledger.input_tokens, ledger.output_tokens, ledger.calls)


def refused(name: str) -> Fault:
    message = f"Invalid value for 'response_format': {name} is not supported by this model."
    return Fault.status(400, body={"error": {"message": message, "param": "response_format"}})


def without_schemas(request: ChatRequest) -> Answer:
    """Takes json_object alone, as many servers do."""
    wanted = request.field("response_format") or {}
    return refused(str(wanted)) if wanted.get("type") == "json_schema" or "schema" in wanted else GOOD


def refuses_all(request: ChatRequest) -> Answer:
    return refused("this") if request.field("response_format") else GOOD


@pytest.mark.parametrize(
    ("model", "mode", "calls"),
    [
        (lambda _: GOOD, "json_schema", 1),
        (without_schemas, "json_object", 3),
        (refuses_all, "none", 4),
    ],
)
async def test_servers_differ(model: Callable[[ChatRequest], Answer], mode: str, calls: int) -> None:
    with LocalEndpoint(model) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            result = await structured(provider, "A film?", Movie)
            assert (result.value.year, result.schema_mode, result.cost.llm_calls) == (1927, mode, calls)
            assert agree(result.cost, endpoint.ledger)
            again = await structured(provider, "A film?", Movie)
        assert again.cost.llm_calls == 1
        assert agree(result.cost + again.cost, endpoint.ledger)


async def test_the_whole_ladder_among_faults() -> None:
    script: list[Answer] = [
        refused("json_schema"),
        Fault.rate_limited(0),
        LLMResponse('{"title": "Metro', finish_reason="length"),
        Fault.reset(),
        '{"title": "Metropolis"}',
        Fault.malformed(),
        "```json\n{'title': 'Metropolis', 'year': 1927,}\n```",
    ]
    with LocalEndpoint(script, strict=True) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            result = await structured(provider, "A film?", Movie, retry=NO_WAIT)
        assert result.value == Movie(title="Metropolis", year=1927)
        assert (result.parse_attempts, result.repair_attempts, result.mended) == (3, 2, True)
        assert agree(result.cost, endpoint.ledger)
        assert sum(result.rung_costs.values(), TokenUsage()) == result.cost
        assert {rung: cost.llm_calls for rung, cost in result.rung_costs.items()} == {
            "fallback": 1,
            "ask": 2,
            "more_tokens": 2,
            "repair": 2,
        }


async def test_a_budget_is_never_overrun_and_the_error_has_what_it_bought() -> None:
    with LocalEndpoint(["{}"]) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            with pytest.raises(BudgetExhaustedError) as caught:
                await structured(provider, "q", Movie, max_cost=TokenUsage(llm_calls=3), max_retries=9)
        assert endpoint.ledger.calls == 3
        assert agree(caught.value.cost, endpoint.ledger)
        assert caught.value.metadata["last_text"] == "{}"


async def test_exhaustion_and_a_wrong_key_cost_what_the_server_served() -> None:
    with LocalEndpoint(["no", Fault.status(401)]) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            with pytest.raises(PatternError) as exhausted:
                await structured(provider, "q", Movie, max_retries=0)
            with pytest.raises(PermanentError) as unauthorized:
                await structured(provider, "q", Movie)
        assert agree(exhausted.value.cost + unauthorized.value.cost, endpoint.ledger)


# -- servers without system messages -----------------------------------------------------------------------


def without_system_messages(request: ChatRequest, seen: list[ChatRequest]) -> Answer:
    """Answers as Gemma's chat template does on llama.cpp and vLLM."""
    seen.append(request)
    if request.messages[0]["role"] == "system":
        return Fault.status(400, body={"error": {"message": "System role not supported", "code": 400}})
    if request.field("response_format"):
        return refused("this")
    return GOOD if request.number > 7 else "{}"


async def test_a_server_that_refuses_system_messages_is_told_within_the_user_message_from_then_on() -> None:
    requests: list[ChatRequest] = []
    with LocalEndpoint(lambda request: without_system_messages(request, requests)) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            first = await structured(provider, "A film?", Movie, schema_mode="auto", max_retries=4)
            again = await structured(provider, "Another?", Movie)
        assert agree(first.cost + again.cost, endpoint.ledger)
    assert {rung: cost.llm_calls for rung, cost in first.rung_costs.items()} == {
        "fallback": 4,
        "ask": 1,
        "repair": 3,
    }
    assert again.cost.llm_calls == 1
    schema = requests[0].messages[0]["content"]
    assert requests[1].messages == [{"role": "user", "content": f"{schema}\n\nA film?"}]
    assert [message["role"] for message in requests[6].messages] == ["user", "assistant", "user"]
    assert requests[6].messages[0] == requests[1].messages[0]
    assert requests[8].messages == [{"role": "user", "content": f"{schema}\n\nAnother?"}]


async def test_an_error_that_stays_without_system_messages_is_raised_and_nothing_is_learnt() -> None:
    lengths: list[int] = []

    def refuse(request: ChatRequest) -> Answer:
        lengths.append(len(request.messages))
        return Fault.status(400, body={"error": {"message": "only one system prompt a day"}})

    with LocalEndpoint(refuse) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            for calls in (2, 4):
                with pytest.raises(PermanentError, match="set system_messages=False"):
                    await structured(provider, "A film?", Movie)
                assert endpoint.ledger.calls == calls
    assert lengths == [2, 1, 2, 1]


async def test_a_provider_may_say_that_its_model_takes_no_system_messages() -> None:
    with LocalEndpoint(lambda request: GOOD if len(request.messages) == 1 else "no") as endpoint:
        async with Provider(endpoint.base_url, "m", system_messages=False) as provider:
            result = await structured(provider, "A film?", Movie)
    assert (result.value.year, result.cost.llm_calls) == (1927, 1)
