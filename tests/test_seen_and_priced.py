"""One failing, retried, nested run: trace, log, events and dollars tell what the endpoint saw."""

import logging
from decimal import Decimal
from functools import partial

import pytest
from fakes import NO_WAIT
from traces import total, traced

from executionkit import (
    LLMProvider,
    LLMResponse,
    PatternResult,
    PermanentError,
    Provider,
    Rates,
    TokenUsage,
    ToolCall,
    consensus,
    map_reduce,
    pipe,
    react_loop,
)
from executionkit.events import PatternEvent, Retrying
from executionkit.testing import Answer, ChatRequest, Fault, LocalEndpoint

KEY = "sk-abcdefghijklmnop"
INPUT, OUTPUT = Decimal("0.15"), Decimal("0.60")


class Model:
    """Fails two requests, which are repeated; has a tool called that breaks; refuses the third round."""

    def __init__(self) -> None:
        self.rounds = 0

    def __call__(self, request: ChatRequest) -> Answer:
        if request.number in (2, 5):
            return Fault.status(503)
        if not request.tools:
            return "Paris is the answer"
        self.rounds += 1
        if self.rounds == 3:
            return Fault.status(400)
        name = "broken" if self.rounds == 1 else "lookup"
        return LLMResponse("", [ToolCall(f"c{self.rounds}", name, {"city": "Paris"})])


def broken(city: str) -> str:
    """Look a city up."""
    raise LookupError("no such table")


async def lookup(city: str) -> str:
    """Look a city up."""
    return f"{city} has 2 million inhabitants"


async def districts(provider: LLMProvider, prompt: str) -> PatternResult[str]:
    """A step of a user's own, with a pattern inside."""
    return await map_reduce(
        provider, [prompt, "Lyon"], map_prompt="Describe {input}", reduce_prompt="Sum up {results}"
    )


async def test_trace_log_events_and_dollars_agree_with_the_endpoint(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="executionkit")
    told: list[PatternEvent] = []
    steps = (
        partial(consensus, num_samples=3),
        districts,
        partial(react_loop, tools=[broken, lookup]),
    )
    with traced() as traces, LocalEndpoint(Model()) as endpoint:
        async with Provider(
            endpoint.base_url, "gpt-4o-mini", KEY, prices=Rates(input=INPUT, output=OUTPUT)
        ) as provider:
            ceiling = TokenUsage(usd="0.05")
            with pytest.raises(PermanentError) as caught:
                await pipe(
                    provider, "The capital?", *steps, max_budget=ceiling, retry=NO_WAIT, on_event=told.append
                )
        ledger = endpoint.ledger
    spent = caught.value.cost

    # The endpoint's own count is the measure.
    seen = ledger.usage
    assert sorted(ledger.statuses) == [200] * 8 + [400, 503, 503]
    price = (seen.input_tokens * INPUT + seen.output_tokens * OUTPUT) / 1_000_000
    assert spent == TokenUsage(seen.input_tokens, seen.output_tokens, seen.llm_calls, usd=price)

    # The trace: each attempt is a chat span or a retry in one; tokens and dollars stand on chat spans alone.
    loop = "invoke_agent react_loop !400"
    rounds = [
        "chat gpt-4o-mini",
        "execute_tool broken !LookupError",
        "chat gpt-4o-mini",
        "execute_tool lookup",
    ]
    tree = [line.replace(" [retry]", "") for line in traces.tree().splitlines()]
    assert [line.strip() for line in tree if "  " in line][-6:] == [loop, *rounds, "chat gpt-4o-mini !400"]
    retries = sum(len(span.events) for span in traces.chats)
    assert len(traces.chats) + retries == seen.llm_calls
    for name, amount in (
        ("gen_ai.usage.input_tokens", seen.input_tokens),
        ("gen_ai.usage.output_tokens", seen.output_tokens),
        ("operation.cost", float(price)),
    ):
        assert total(traces.spans, name) == pytest.approx(amount)
    assert dict(traces.spans[0].attributes or {})["executionkit.usage.usd"] == pytest.approx(float(price))

    # The log: each call begins and ends, each retry is told, and the tool's bug has its traceback.
    lines = [vars(record) for record in caplog.records if record.name == "executionkit.calls"]
    by_event = {
        event: [line for line in lines if line["ek_event"] == event]
        for event in ("begun", "answered", "failed", "retry")
    }
    assert len(by_event["begun"]) == len(by_event["answered"]) + len(by_event["failed"]) == len(traces.chats)
    assert [line["ek_status"] for line in by_event["retry"]] == [503, 503]
    assert [line["ek_status"] for line in by_event["failed"]] == [400]
    assert sum(line["ek_input_tokens"] for line in by_event["answered"]) == seen.input_tokens
    assert sum(line["ek_output_tokens"] for line in by_event["answered"]) == seen.output_tokens
    (bug,) = [record for record in caplog.records if record.name == "executionkit.tools"]
    assert bug.levelno == logging.WARNING
    assert bug.exc_info is not None
    assert bug.exc_info[0] is LookupError

    # The events: each retry once, and the spend up to the end.
    assert [type(event.error).__name__ for event in told if isinstance(event, Retrying)] == [
        "ProviderError"
    ] * 2
    assert getattr(told[-1], "cost", None) == spent

    # The message for people, and nothing of the key anywhere.
    assert f"${price.normalize()}"[:5] in str(spent)
    assert KEY not in caplog.text + "".join(repr(span.attributes) for span in traces.spans) + repr(told)
