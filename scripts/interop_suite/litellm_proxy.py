"""LiteLLM's proxy (PyPI, `litellm[proxy]`): its mock responses, and what it relays from a model behind it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from executionkit import (
    MaxIterationsError,
    PermanentError,
    ProviderError,
    RateLimitError,
    consensus,
    react_loop,
    structured,
)
from executionkit.testing import Answer, ChatRequest, Fault, LocalEndpoint
from interop_suite import patterns, wire
from interop_suite.checking import QUICK, Checks, Outcome, Target, expect, raised, require
from interop_suite.environments import Venv
from interop_suite.processes import serving
from interop_suite.report import Report
from interop_suite.script import CAPITAL, CITY, CITY_TEXT, STORY, STORY_TEXT, WEATHER, scripted_model
from interop_suite.tools import WEATHER_TOOL
from interop_suite.wire import asking, drain

KEY = "sk-interop-0123456789"

_OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    "LITELLM_LOG": "ERROR",
}

_WEATHER_CALL = {
    "id": "call_lima",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Lima"}'},
}

_MOCKS: dict[str, dict[str, Any]] = {
    "mock": {"mock_response": STORY_TEXT},
    "mock-tools": {"mock_response": "x", "mock_tool_calls": [_WEATHER_CALL]},
    "mock-schemaless": {"model": "replicate/meta/old", "mock_response": CITY_TEXT},
    "mock-reasoning": {"model": "openai/o1", "mock_response": "Paris"},
    "mock-limited": {"mock_response": "litellm.RateLimitError"},
    "mock-too-long": {"mock_response": "litellm.ContextWindowExceededError"},
    "mock-broken": {"mock_response": "litellm.InternalServerError"},
    "mock-filtered": {"mock_response": "Exception: content_filter_policy"},
}

_BEHIND: dict[str, Answer] = {
    "behind-limited": Fault.rate_limited(7),
    "behind-overloaded": Fault.status(503),
    "behind-cut": Fault.reset("body", reply=STORY_TEXT),
    "behind-failing": Fault.error_event(STORY_TEXT, after=4),
    "behind-malformed": Fault.malformed(),
}
"""What goes wrong behind the proxy, by model."""


def install(cache: Path) -> str:
    """Install it, and say what."""
    venv = Venv(cache / "litellm")
    venv.install("litellm[proxy]")
    return f"litellm {venv.version('litellm')}"


def run(cache: Path, report: Report) -> None:
    """Try what it mocks, then what it relays."""
    with LocalEndpoint(_model) as behind, _serving(cache, behind.base_url) as port:

        def relayed(backend: str) -> Target:
            return Target(f"http://127.0.0.1:{port}", backend, KEY, served=lambda: behind.ledger.usage)

        def mocked(backend: str) -> Target:
            return Target(f"http://127.0.0.1:{port}/v1", backend, KEY, model="mock")

        report.run({**wire.CHECKS, **patterns.CHECKS, **_RELAYED}, relayed)
        report.run(_MOCKED, mocked)


def _model(request: ChatRequest) -> Answer:
    return _BEHIND.get(request.model) or scripted_model(request)


@contextmanager
def _serving(cache: Path, behind: str) -> Iterator[int]:
    venv = cache / "litellm"
    models: dict[str, dict[str, Any]] = {
        name: {"model": "openai/mock", **mock} for name, mock in _MOCKS.items()
    }
    for name in ("scripted", *_BEHIND):
        models[name] = {"model": f"openai/{name}", "api_base": behind}
    config = {
        "model_list": [
            {"model_name": name, "litellm_params": {"api_key": "none", **settings}}
            for name, settings in models.items()
        ],
        # Its own retries and pauses would stand between the library and the model.
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        "litellm_settings": {"num_retries": 0, "telemetry": False},
        "general_settings": {"master_key": KEY},
    }
    settings = venv / "config.yaml"
    settings.write_text(json.dumps(config))
    with serving(
        lambda port: [
            *(venv / "bin" / "litellm", "--config", settings),
            *("--host", "127.0.0.1", "--port", str(port)),
        ],
        log=venv / "server.log",
        ready="/health/liveliness",
        env=_OFFLINE,
    ) as port:
        yield port


async def errors_behind(target: Target) -> Outcome:
    limited = await _fails(target, "behind-limited", RateLimitError, 429)
    expect(limited.retry_after, 7.0, "retry_after")
    require(limited.request_id, "no request_id")
    await _fails(target, "behind-overloaded", ProviderError, 503)
    return Outcome("429 with its Retry-After, and 503, as behind the proxy")


async def _fails(target: Target, model: str, kind: Any, status: int) -> Any:
    async with target.provider(model) as provider:
        error = await raised(kind, provider.complete(asking(CAPITAL)))
        expect(error.status_code, status, f"status of {model}")
        streamed = await raised(kind, drain(provider.stream(asking(CAPITAL))))
        expect(streamed.status_code, status, f"status of {model}, streamed")
    return error


async def broken_behind(target: Target) -> Outcome:
    for model in ("behind-cut", "behind-failing"):
        async with target.provider(model) as provider:
            error = await raised(ProviderError, drain(provider.stream(asking(STORY))))
        text = error.metadata.get("partial_text", "")
        require(STORY_TEXT.startswith(text), f"partial_text of {model} is {text!r}")
    return Outcome("ProviderError, with the text that had come")


async def malformed_behind(target: Target) -> Outcome:
    async with target.provider("behind-malformed") as provider:
        error = await raised(ProviderError, provider.complete(asking(CAPITAL)))
    return Outcome(f"ProviderError, status {error.status_code}")


async def mock_complete(target: Target) -> Outcome:
    async with target.provider() as provider:
        reply = await provider.complete(asking(STORY))
    expect(reply.content, STORY_TEXT, "content")
    return Outcome("the answer, with its usage", wire.spent(reply))


async def mock_stream(target: Target) -> Outcome:
    async with target.provider() as provider:
        stream = provider.stream(asking(STORY))
        await drain(stream)
    expect(stream.response.content, STORY_TEXT, "content")
    return Outcome(f"the answer; usage {'estimated' if stream.response.usage_is_estimated else 'told'}")


async def mock_choices(target: Target) -> Outcome:
    async with target.provider() as provider:
        result = await consensus(provider, STORY, num_samples=6, choices_per_request=3)
    expect((result.samples_used, result.cost.llm_calls), (6, 2), "samples and calls")
    return Outcome("6 samples in 2 requests")


async def mock_tools(target: Target) -> Outcome:
    async with target.provider("mock-tools") as provider:
        reply = await provider.complete(asking(WEATHER), tools=[WEATHER_TOOL.to_schema()])
        error = await raised(
            MaxIterationsError, react_loop(provider, WEATHER, [WEATHER_TOOL], max_rounds=3, retry=QUICK)
        )
    expect(error.metadata["tool_calls_made"], 3, "tool calls")
    return Outcome(f"calls are run though finish_reason is {reply.finish_reason!r}; ended by max_rounds")


async def mock_structured(target: Target) -> Outcome:
    async with target.stranger("mock-schemaless") as provider:
        first = await structured(provider, CITY, patterns.CITY_SCHEMA, retry=QUICK)
        second = await structured(provider, CITY, patterns.CITY_SCHEMA, retry=QUICK)
    expect(
        (first.schema_mode, second.value), ("none", {"city": "Lima", "population": 10092000}), "mode, value"
    )
    calls = (first.cost.llm_calls, second.cost.llm_calls)
    expect(calls, (4, 1), "calls of the first and the second")
    return Outcome("its three modes are refused once, then left out")


async def mock_reasoning(target: Target) -> Outcome:
    async with target.provider("mock-reasoning") as provider:
        error = await raised(PermanentError, consensus(provider, CAPITAL, retry=QUICK))
        require("temperature" in str(error), f"the server's words are missing in {error}")
    settings: dict[str, Any] = {"max_tokens_field": "max_completion_tokens", "omit": {"temperature"}}
    async with target.provider("mock-reasoning", **settings) as provider:
        result = await consensus(provider, CAPITAL, retry=QUICK)
    expect(result.value, "Paris", "value")
    return Outcome("refuses temperature; answers with omit and max_tokens_field")


async def mock_errors(target: Target) -> Outcome:
    kinds = {
        "mock-limited": (RateLimitError, 429),
        "mock-too-long": (PermanentError, 400),
        "mock-broken": (ProviderError, 500),
        "mock-filtered": (PermanentError, 400),
        "no-such-model": (PermanentError, 400),
    }
    for model, (kind, status) in kinds.items():
        await _fails(target, model, kind, status)
    return Outcome("429 without Retry-After, 400, 500: the errors they stand for")


async def wrong_key(target: Target) -> Outcome:
    key = "sk-wrong-9876543210"
    async with Target(target.base_url, target.backend, key).provider() as provider:
        error = await raised(PermanentError, provider.complete(asking(CAPITAL)))
    require(key not in str(error) and key[-8:] not in str(error), "the key is in the error's text")
    # Without a database it can't look keys up, and says so with 400.
    require(error.status_code in (400, 401), f"status {error.status_code}")
    return Outcome(f"refused with {error.status_code}, the key not in the text")


async def many_retried(target: Target) -> Outcome:
    async with target.provider("mock-limited") as provider:
        error = await raised(RateLimitError, consensus(provider, CAPITAL, num_samples=2, retry=QUICK))
    require(error.cost.llm_calls > 1, "nothing was retried")
    return Outcome("retried, then raised with what it cost")


_RELAYED: Checks = {
    "errors behind the proxy": errors_behind,
    "streams broken behind the proxy": broken_behind,
    "no JSON behind the proxy": malformed_behind,
}

_MOCKED: Checks = {
    "mock: complete": mock_complete,
    "mock: stream": mock_stream,
    "mock: choices_per_request": mock_choices,
    "mock: tools": mock_tools,
    "mock: structured": mock_structured,
    "mock: a reasoning model": mock_reasoning,
    "mock: errors": mock_errors,
    "mock: rate limited for good": many_retried,
    "a wrong key": wrong_key,
}
