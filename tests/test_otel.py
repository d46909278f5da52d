"""Tracing: trees of spans, their attributes and metrics, and no content unless it is asked for."""

import asyncio
import json
import subprocess
import sys
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
from fakes import NO_WAIT, ONCE, HeldProvider
from traces import Traces, attributes, total, traced

from executionkit import (
    BudgetExhaustedError,
    LLMResponse,
    MockProvider,
    Provider,
    ProviderError,
    Rates,
    TextDelta,
    TokenUsage,
    ToolCall,
    consensus,
    consensus_sync,
    pipe,
    react_loop,
)
from executionkit.engine.run import Run
from executionkit.observe import CallInfo, RunInfo, observe
from executionkit.otel import OTelObserver, instrument, uninstrument
from executionkit.parts import image
from executionkit.testing import ChatRequest, Fault, LocalEndpoint

QUESTION = "What is the capital of Atlantis?"
MESSAGES = [{"role": "user", "content": QUESTION}]
USAGE = {"prompt_tokens": 100, "completion_tokens": 20}


def adds(*results: str) -> list[LLMResponse]:
    """Replies that call the tool `add` once, and then answer."""
    call = ToolCall("call-1", "add", {"a": 2, "b": 3})
    return [LLMResponse("", [call], usage=USAGE), *(LLMResponse(text, usage=USAGE) for text in results)]


# -- trees -----------------------------------------------------------------------------------------------


async def test_a_pipe_with_a_retry_a_tool_and_spans_of_the_user_is_one_tree() -> None:
    def model(request: ChatRequest) -> LLMResponse | Fault:
        if request.number in (1, 4):
            return Fault.status(503)
        called = sum(message["role"] == "tool" for message in request.messages)
        if not request.tools or called:
            return LLMResponse("5", usage=USAGE)
        return LLMResponse(
            "", [ToolCall("1", "add", {"a": 2}), ToolCall("2", "double", {"a": 2})], usage=USAGE
        )

    with traced() as traces, LocalEndpoint(model) as endpoint:
        mine = traces.tracer_provider.get_tracer("mine")

        async def add(a: int) -> int:
            """Add three."""
            with mine.start_as_current_span("look up"):
                return a + 3

        def double(a: int) -> int:
            """Double a number, in a thread."""
            with mine.start_as_current_span("compute"):
                return a * 2

        vote = partial(consensus, num_samples=2, max_concurrency=1, retry=NO_WAIT)
        solve = partial(react_loop, tools=[add, double], retry=NO_WAIT)
        async with Provider(endpoint.base_url, "m") as provider:
            with mine.start_as_current_span("request"):
                result = await pipe(provider, QUESTION, vote, solve)
    assert traces.tree() == (
        "request\n"
        "  invoke_workflow pipe\n"
        "    invoke_workflow consensus\n"
        "      chat m [retry]\n"
        "      chat m\n"
        "    invoke_agent react_loop\n"
        "      chat m [retry]\n"
        "      execute_tool add\n"
        "        look up\n"
        "      execute_tool double\n"
        "        compute\n"
        "      chat m"
    )
    assert total(traces.chats, "gen_ai.usage.input_tokens") == result.cost.input_tokens == 400
    assert total(traces.chats, "gen_ai.usage.output_tokens") == result.cost.output_tokens == 80
    pipes = attributes(traces.named("invoke_workflow pipe")[0])
    assert pipes["executionkit.usage.llm_calls"] == endpoint.ledger.calls == 6
    assert attributes(traces.named("invoke_workflow consensus")[0])["executionkit.agreement_ratio"] == 1.0
    assert attributes(traces.named("invoke_agent")[0])["executionkit.rounds"] == 2


async def test_the_dollars_of_the_calls_are_those_of_the_result() -> None:
    with traced() as traces:
        provider = MockProvider(["Paris"] * 3, usage=USAGE, prices=Rates(input="0.15", output="0.60"))
        result = await consensus(provider, QUESTION, num_samples=3, max_cost=TokenUsage(usd="0.01"))
    for name in ("operation.cost", "gen_ai.usage.cost"):
        assert (
            total(traces.chats, name) == pytest.approx(float(result.cost.usd or 0)) == pytest.approx(8.1e-05)
        )
    run = attributes(traces.spans[0])
    assert (run["executionkit.usage.usd"], run["executionkit.budget.usd"]) == (
        float(result.cost.usd or 0),
        0.01,
    )


async def test_each_of_50_parallel_runs_has_its_own_tree_and_conversation() -> None:
    here: ContextVar[str | None] = ContextVar("here", default=None)

    async def ask(number: int) -> None:
        here.set(f"conversation {number}")
        await react_loop(MockProvider(adds("5")), QUESTION, [add])

    with traced(conversation_id=here.get) as traces:
        await asyncio.gather(*map(ask, range(50)))
    assert traces.tree().count("invoke_agent react_loop\n  chat\n  execute_tool add\n  chat") == 50
    for span in traces.spans:
        identifier = attributes(span)["gen_ai.conversation.id"]
        assert identifier == attributes(traces.root_of(span))["gen_ai.conversation.id"]


async def test_a_span_ends_by_the_error_that_ended_it() -> None:
    wrong = [ProviderError("busy", status_code=503), OSError("no route")]
    with traced() as traces:
        for error in wrong:
            with pytest.raises(type(error)):
                await consensus(MockProvider([error]), QUESTION, num_samples=1, retry=ONCE)
        with pytest.raises(BudgetExhaustedError):
            await consensus(
                MockProvider(["no"] * 3),
                QUESTION,
                num_samples=2,
                max_concurrency=1,
                strategy="unanimous",
                key=lambda _: None,
                max_cost=TokenUsage(llm_calls=1),
            )
    assert traces.tree() == (
        "invoke_workflow consensus !503\n"
        "  chat !503\n"
        "invoke_workflow consensus !OSError\n"
        "  chat !OSError\n"
        "invoke_workflow consensus !BudgetExhaustedError"
    )
    assert attributes(traces.chats[0])["gen_ai.response.finish_reasons"] == ("error",)
    assert traces.chats[0].status.description == "ProviderError"
    assert "2 calls are needed" in str(traces.spans[-1].status.description)


async def test_the_call_that_a_budget_refuses_is_in_the_picture() -> None:
    with traced() as traces:
        async with Run("mine", MockProvider(["yes"]), max_cost=TokenUsage(llm_calls=1)) as run:
            await run.complete(MESSAGES)
            with pytest.raises(BudgetExhaustedError):
                await run.complete(MESSAGES)
    assert traces.tree() == "invoke_workflow mine\n  chat\n  chat !BudgetExhaustedError"
    assert "spent 1 of 1" in str(traces.chats[1].status.description)
    assert attributes(traces.spans[0])["executionkit.budget.llm_calls"] == 1


async def test_cancelling_ends_every_span() -> None:
    provider = HeldProvider()
    with traced() as traces:
        task = asyncio.create_task(consensus(provider, QUESTION, num_samples=2))
        await provider.arrived(2)
        task.cancel()
        await asyncio.wait([task])
    cancelled = "chat !CancelledError"
    assert traces.tree() == f"invoke_workflow consensus !CancelledError\n  {cancelled}\n  {cancelled}"


async def test_a_stream_is_no_parent_and_ends_however_it_is_left() -> None:
    with traced() as traces, LocalEndpoint(["Paris is the answer", "Paris is", "Paris"]) as endpoint:
        mine = traces.tracer_provider.get_tracer("mine")
        async with Provider(endpoint.base_url, "m") as provider, Run("mine", provider) as run:
            async with run.stream(MESSAGES) as events:
                with mine.start_as_current_span("between"):
                    async for _ in events:
                        pass
            async with run.stream(MESSAGES) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        break
            events = run.stream(MESSAGES)
            await events.__aenter__()
            # Another task leaves it.
            await asyncio.create_task(events.__aexit__(None, None, None))
    assert traces.tree() == (
        "invoke_workflow mine\n  chat m\n  between\n  chat m !LeftEarlyError\n  chat m !LeftEarlyError"
    )
    whole = attributes(traces.chats[0])
    assert [attributes(chat)["gen_ai.response.finish_reasons"] for chat in traces.chats] == [
        ("stop",),
        ("error",),
        ("error",),
    ]
    assert whole["gen_ai.request.stream"] is True
    assert whole["gen_ai.response.time_to_first_chunk"] >= 0
    spent = attributes(traces.spans[0])
    for name in ("input_tokens", "output_tokens"):
        assert total(traces.chats, f"gen_ai.usage.{name}") == spent[f"executionkit.usage.{name}"]


def test_a_run_without_an_event_loop_nests_in_the_span_of_its_caller() -> None:
    with traced() as traces, traces.tracer_provider.get_tracer("mine").start_as_current_span("script"):
        consensus_sync(MockProvider(["Paris"]), QUESTION, num_samples=1)
    assert traces.tree() == "script\n  invoke_workflow consensus\n    chat"


# -- attributes and metrics ------------------------------------------------------------------------------


async def test_a_call_has_the_attributes_of_the_conventions() -> None:
    usage = {
        **USAGE,
        "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 16},
        "completion_tokens_details": {"reasoning_tokens": 8},
    }
    options: dict[str, Any] = {
        "seed": 7,
        "top_p": 0.9,
        "stop": "END",
        "n": 2,
        "reasoning_effort": "low",
        "response_format": {"type": "json_object"},
        "presence_penalty": "high",  # no number: left out
    }
    replies = [LLMResponse("Paris", usage=usage)]
    with traced(conversation_id="c-1") as traces, LocalEndpoint(replies) as endpoint:
        url = endpoint.base_url
        async with Provider(url, "m") as provider, Run("mine", provider) as run:
            reply = await run.complete(MESSAGES, temperature=0.5, max_tokens=50, **options)
    (call,) = traces.chats
    assert call.kind.name == "CLIENT"
    assert call.instrumentation_scope is not None
    assert str(call.instrumentation_scope.schema_url).startswith("https://opentelemetry.io/schemas/gen-ai/")
    assert attributes(call) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.conversation.id": "c-1",
        "gen_ai.output.type": "json",
        "gen_ai.request.model": "m",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.seed": 7,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.response.id": reply.raw["id"],
        "gen_ai.response.model": "m",
        "gen_ai.response.finish_reasons": ("stop",) * (1 + len(reply.alternatives)),
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": reply.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": 64,
        "gen_ai.usage.cache_write.input_tokens": 16,
        "gen_ai.usage.reasoning.output_tokens": 8,
        "server.address": "127.0.0.1",
        "server.port": urlsplit(url).port,
    }
    counted = {name for name in traces.metrics if name.startswith("gen_ai.client.inference.usage.")}
    assert len(counted) == 5


@pytest.mark.parametrize(
    ("base_url", "provider", "port"),
    [
        ("https://api.openai.com/v1", "openai", 443),
        ("https://mine.openai.azure.com/openai/v1", "azure.ai.openai", 443),
        ("https://api.groq.com:8443/openai/v1", "groq", 8443),
        ("https://us-east1-aiplatform.googleapis.com/v1", "gcp.vertex_ai", 443),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1", "aws.bedrock", 443),
        ("http://[::1]/v1", "openai", 80),
        ("https://notapi.groq.com.example/v1", "openai", 443),
        ("http://[", "openai", None),
        (None, "openai", None),
    ],
)
def test_the_provider_is_known_by_its_host(base_url: str | None, provider: str, port: int | None) -> None:
    traces = Traces()
    observer = OTelObserver(tracer_provider=traces.tracer_provider)
    run = RunInfo("mine", None, base_url, None)
    with observer.call(CallInfo(run, None, base_url, [], None, None, None, {}, streamed=False)):
        pass
    found = attributes(traces.chats[0])
    assert (found["gen_ai.provider.name"], found.get("server.port")) == (provider, port)


async def test_metrics_count_what_was_spent_and_have_the_buckets_of_the_conventions() -> None:
    replies: list[LLMResponse | ProviderError] = [*adds("5"), ProviderError("busy", status_code=503)]
    with traced() as traces:
        provider = MockProvider(replies)
        await react_loop(provider, QUESTION, [add])
        with pytest.raises(ProviderError):
            await react_loop(provider, QUESTION, [add], retry=ONCE)
    points = {
        name: {
            attributes_of(point): point.sum if hasattr(point, "sum") else point.value
            for point in metric.data.data_points
        }
        for name, metric in traces.metrics.items()
    }
    tokens = {("chat", None): 200, ("chat", "503"): 0}
    assert points["gen_ai.client.inference.usage.input_tokens"] == tokens
    assert sum(points["gen_ai.client.inference.usage.output_tokens"].values()) == 40
    assert points["gen_ai.client.inference.duration"].keys() == tokens.keys()
    assert points["gen_ai.invoke_agent.duration"].keys() == {("invoke_agent", None), ("invoke_agent", "503")}
    (tool,) = traces.metrics["gen_ai.execute_tool.duration"].data.data_points
    assert tool.explicit_bounds[:3] == (0.01, 0.02, 0.04)  # type: ignore[union-attr]  # a histogram
    assert dict(tool.attributes or {}) == {"gen_ai.tool.name": "add", "gen_ai.agent.name": "react_loop"}


def attributes_of(point: Any) -> tuple[Any, Any]:
    return point.attributes.get("gen_ai.operation.name"), point.attributes.get("error.type")


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.mark.parametrize(("content", "made_up"), [(False, "_OTHER"), (True, "nope")])
async def test_a_tool_that_fails_or_that_there_is_not_is_shown(content: bool, made_up: str) -> None:
    def lose(a: int) -> int:
        """Lose a number."""
        raise KeyError(QUESTION)

    asked = [
        ToolCall("1", "lose", {"a": 1}),
        ToolCall("2", "wrong tool!" * 10, {}),
        ToolCall("3", "nope", {}),
    ]
    with traced(content=content) as traces:
        await react_loop(MockProvider([LLMResponse("", asked), "sorry"]), "q", [lose])
    assert traces.tree() == (
        "invoke_agent react_loop\n"
        "  chat\n"
        "  execute_tool lose !KeyError\n"
        "  execute_tool _OTHER\n"
        f"  execute_tool {made_up}\n"
        "  chat"
    )
    assert attributes(traces.named(f"execute_tool {made_up}")[-1])["executionkit.tool.ran"] is False
    labels = [
        dict(point.attributes or {})
        for point in traces.metrics["gen_ai.execute_tool.duration"].data.data_points
    ]
    assert {label["gen_ai.tool.name"] for label in labels} == {"lose", "_OTHER"}


# -- content ---------------------------------------------------------------------------------------------

KEY = "sk-live-7f3a9b2c4d5e6f70"
REPLY = "Poseidonis, I think."


async def run_with_content(endpoint: LocalEndpoint) -> None:
    def find(place: str) -> str:
        """Find a place."""
        return "found below the sea"

    async with Provider(endpoint.base_url, "m", api_key=KEY) as provider:
        await react_loop(
            provider,
            [QUESTION, image(b"\x89PNG\r\n\x1a\n" + bytes(12_000))],
            [find],
            system=f"Your key is {KEY}.",
            max_tokens=50_000,
        )
        with pytest.raises(ProviderError):
            await consensus(provider, QUESTION, num_samples=1, retry=NO_WAIT)


def content_model(request: ChatRequest) -> LLMResponse | Fault:
    if not request.tools:
        return Fault.status(503, body={"error": {"message": f"can't answer {QUESTION!r} with {KEY}"}})
    if request.number == 1:
        return LLMResponse("", [ToolCall("call-1", "find", {"place": "Poseidonis" + "!" * 9_000})])
    return LLMResponse(REPLY)


WORDS = ("Atlantis", "Poseidonis", "below the sea", KEY, "Your key")


async def test_no_content_leaves_unless_it_is_asked_for() -> None:
    with traced() as traces, LocalEndpoint(content_model, api_key=KEY) as endpoint:
        await run_with_content(endpoint)
    assert traces.tree().count("chat m") == 3
    assert [word for word in WORDS if word in traces.everything()] == []


@pytest.mark.parametrize("how", ["argument", "variable"])
async def test_content_is_exported_in_the_form_of_the_conventions(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "variable":
        monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    with traced(content=how == "argument") as traces, LocalEndpoint(content_model, api_key=KEY) as endpoint:
        await run_with_content(endpoint)
    assert KEY not in traces.everything()
    first, last, failed = traces.chats
    assert "can't answer" in str(failed.status.description)
    asked = json.loads(attributes(last)["gen_ai.input.messages"])
    assert asked[:2] == [
        {"role": "system", "parts": [{"type": "text", "content": "Your key is [REDACTED]."}]},
        {
            "role": "user",
            "parts": [
                {"type": "text", "content": QUESTION},
                {"type": "image_url", "content": "[image/png, 12 kB]"},
            ],
        },
    ]
    (call,) = asked[2]["parts"]
    assert (call["type"], call["id"], call["name"], len(call["arguments"])) == (
        "tool_call",
        "call-1",
        "find",
        8_192,
    )
    answer = {"type": "tool_call_response", "id": "call-1", "response": "found below the sea"}
    assert asked[3] == {"role": "tool", "parts": [answer]}
    said = {"role": "assistant", "parts": [{"type": "text", "content": REPLY}], "finish_reason": "stop"}
    assert json.loads(attributes(last)["gen_ai.output.messages"]) == [said]
    (definition,) = json.loads(attributes(first)["gen_ai.tool.definitions"])
    assert (definition["type"], definition["name"]) == ("function", "find")
    assert definition["parameters"]["required"] == ["place"]
    tool = attributes(traces.named("execute_tool")[0])
    assert tool["gen_ai.tool.call.result"] == "found below the sea"
    assert tool["gen_ai.tool.call.arguments"].startswith('{"place": "Poseidonis!!!')


# -- switching it on and off -----------------------------------------------------------------------------


def ask() -> None:
    consensus_sync(MockProvider(["Paris"]), QUESTION, num_samples=1)


def test_the_last_settings_hold_and_nothing_is_told_twice() -> None:
    with traced() as first:
        ask()
        with traced() as second:
            ask()
        ask()  # uninstrumented
    uninstrument()  # once more does nothing
    assert first.tree() == second.tree() == "invoke_workflow consensus\n  chat"


def test_an_observer_traces_the_code_inside_a_block() -> None:
    traces = Traces()
    with observe(OTelObserver(tracer_provider=traces.tracer_provider)):
        ask()
    ask()
    assert traces.tree() == "invoke_workflow consensus\n  chat"


def test_without_a_tracer_provider_nothing_happens() -> None:
    instrument()
    try:
        ask()
    finally:
        uninstrument()


def test_unknown_conventions_are_refused() -> None:
    with pytest.raises(ValueError, match=r'^conventions must be "2026-11", got "?\'2025'):
        instrument(conventions="2025-01")  # type: ignore[arg-type]


@pytest.mark.parametrize("beneath", [None, ModuleType("opentelemetry")], ids=["missing", "empty namespace"])
def test_without_the_api_only_instrument_fails_and_names_the_extra(
    beneath: ModuleType | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", beneath)
    with pytest.raises(ImportError, match=r'extra "otel".*\.\[otel\]'):
        instrument()
    ask()


FORKED = """
import os, sys
from traces import traced
from executionkit import MockProvider, consensus_sync

with traced() as traces:
    child = os.fork()
    consensus_sync(MockProvider(["Paris"]), "q", num_samples=1)
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert traces.tree() == "invoke_workflow consensus\\n  chat"
    if not child:
        os._exit(0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_process_goes_on_tracing() -> None:
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", FORKED], cwd=here, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
