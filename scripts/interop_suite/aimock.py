"""aimock (npm, `@copilotkit/aimock`): scripted answers in small pieces, scripted faults, and chaos."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from executionkit import (
    PermanentError,
    ProviderError,
    RateLimitError,
    RetryConfig,
    TokenUsage,
    consensus,
    react_loop,
)
from interop_suite import patterns, wire
from interop_suite.checking import Checks, Outcome, Target, expect, raised, require
from interop_suite.environments import run_installer
from interop_suite.processes import get, serving
from interop_suite.report import Report
from interop_suite.script import CAPITAL, RULES, STORY, STORY_TEXT, WEATHER
from interop_suite.tools import WEATHER_TOOL
from interop_suite.wire import asking, drain

PACKAGE = "@copilotkit/aimock"

STUBBORN = RetryConfig(max_retries=30, base_delay=0.01, max_delay=0.02, max_retry_after=5.0)
"""For chaos, where three in ten requests fail."""


def install(cache: Path) -> str:
    """Install it, and say what."""
    home = cache / "aimock"
    home.mkdir(exist_ok=True)
    manifest = home / "node_modules" / PACKAGE / "package.json"
    if not manifest.exists():
        # Without --prefix npm would install into a folder above that has a package.json.
        command = ["npm", "install", "--no-fund", "--no-audit", "--prefix", str(home), PACKAGE]
        run_installer(command, cache / "aimock.install.log")
    return f"aimock {json.loads(manifest.read_text())['version']}"


def run(cache: Path, report: Report) -> None:
    """Try it: as it is, then with each kind of chaos."""
    with _serving(cache, "scripted") as port:
        report.run({**wire.CHECKS, **patterns.CHECKS, **_ITS_OWN}, lambda backend: _target(port, backend))
    for chaos, checks in _CHAOS.items():
        with _serving(cache, chaos, f"--chaos-{chaos}", "0.3") as port:
            report.run(checks, lambda backend: _target(port, backend))


def _target(port: int, backend: str) -> Target:
    return Target(f"http://127.0.0.1:{port}/v1", backend, served=lambda: _served(port))


def _served(port: int) -> TokenUsage:
    _, headers, _ = get(port, "/__aimock/journal?path=/v1/chat/completions&limit=1")
    return TokenUsage(llm_calls=int(headers["x-total-count"]))


@contextmanager
def _serving(cache: Path, name: str, *options: str) -> Iterator[int]:
    home = cache / "aimock"
    fixtures = home / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": [*_FIXTURES, *(rule.fixture() for rule in RULES)]}))
    cli = home / "node_modules" / PACKAGE / "dist" / "cli.js"
    with serving(
        lambda port: [
            *("node", cli, "--port", str(port), "--fixtures", fixtures),
            # Three characters at a time: so are the arguments of tool calls.
            *("--chunk-size", "3", "--journal-max", "0", *options),
        ],
        log=home / f"{name}.log",
        ready="/__aimock/health",
    ) as port:
        yield port


def _error(model: str, status: int, code: str, **more: object) -> dict[str, object]:
    error = {"message": f"scripted {code}", "type": code, "code": code}
    return {"match": {"model": model}, "response": {"error": error, "status": status, **more}}


_CITIES = ("Lima", "Oslo")
_CALLS: list[dict[str, object]] = [
    {"type": "toolCall", "name": "get_weather", "arguments": {"city": city}} for city in _CITIES
]
_MIXED = [_CALLS[0], {"type": "text", "text": STORY_TEXT}, _CALLS[1]]

_FIXTURES: list[dict[str, object]] = [
    _error("limited", 429, "rate_limit_exceeded", retryAfter=7),
    _error("no-funds", 429, "insufficient_quota"),
    _error("bad-request", 400, "invalid_request_error"),
    _error("no-key", 401, "invalid_api_key"),
    _error("overloaded", 503, "overloaded"),
    {"match": {"model": "mixed"}, "response": {"blocks": _MIXED}},
    {"match": {"model": "commented"}, "response": {"content": STORY_TEXT}, "openRouterProcessing": True},
    {"match": {"model": "cut"}, "response": {"content": STORY_TEXT}, "latency": 20, "truncateAfterChunks": 4},
    {
        "match": {"model": "gone"},
        "response": {"content": STORY_TEXT},
        "latency": 20,
        "disconnectAfterMs": 200,
    },
    {
        "match": {"model": "no-json"},
        "response": {"toolCalls": [{"name": "get_weather", "arguments": '{"city":'}]},
    },
]


async def scripted_errors(target: Target) -> Outcome:
    kinds = {
        "limited": (RateLimitError, 429),
        "no-funds": (PermanentError, 429),
        "bad-request": (PermanentError, 400),
        "no-key": (PermanentError, 401),
        "overloaded": (ProviderError, 503),
    }
    for model, (kind, status) in kinds.items():
        async with target.provider(model) as provider:
            error = await raised(kind, provider.complete(asking(CAPITAL)))
            expect(error.status_code, status, f"status of {model}")
            require("scripted" in str(error), f"the server's words are missing in {error}")
            await raised(kind, drain(provider.stream(asking(CAPITAL))))
            if isinstance(error, RateLimitError):
                expect(error.retry_after, 7.0, "retry_after")
    return Outcome("429, 400, 401, 503: the errors they stand for", TokenUsage(llm_calls=2 * len(kinds)))


async def cut_streams(target: Target) -> Outcome:
    for model in ("cut", "gone"):
        async with target.provider(model) as provider:
            error = await raised(ProviderError, drain(provider.stream(asking(STORY))))
            text = error.metadata.get("partial_text")
            require(text and STORY_TEXT.startswith(text), f"{error}: partial_text of {model} is {text!r}")
    return Outcome("ProviderError, the text so far on it", TokenUsage(llm_calls=2))


async def cut_arguments(target: Target) -> Outcome:
    async with target.provider("no-json") as provider:
        reply = await provider.complete(asking(WEATHER), tools=[WEATHER_TOOL.to_schema()])
    expect(reply.tool_calls[0].invalid_arguments, '{"city":', "invalid_arguments")
    return Outcome("no error, and no second charge: the raw text is kept", wire.spent(reply))


async def mixed_stream(target: Target) -> Outcome:
    async with target.provider("mixed") as provider:
        stream = provider.stream(asking(WEATHER), tools=[WEATHER_TOOL.to_schema()])
        await drain(stream)
    expect(stream.response.content, STORY_TEXT, "content")
    cities = tuple(call.arguments.get("city") for call in stream.response.tool_calls)
    expect(cities, _CITIES, "cities")
    return Outcome("a text between two calls", wire.spent(stream.response))


async def openrouter(target: Target) -> Outcome:
    base_url = target.base_url.replace("/v1", "/api/v1")
    async with Target(base_url, target.backend).provider("commented") as provider:
        stream = provider.stream(asking(STORY))
        await drain(stream)
    expect(stream.response.content, STORY_TEXT, "content")
    return Outcome("comments in the stream are passed over")


async def azure(target: Target) -> Outcome:
    base_url = target.base_url.replace("/v1", "/openai/deployments/scripted?api-version=2024-10-21")
    azure = Target(base_url, target.backend)
    async with azure.provider(headers={"api-key": "0123456789abcdef"}) as provider:
        reply = await provider.complete(asking(CAPITAL))
        stream = provider.stream(asking(STORY))
        await drain(stream)
    expect((reply.content, stream.response.content), ("Paris", STORY_TEXT), "contents")
    return Outcome("the version in base_url, the key in a header")


async def chaos(target: Target) -> Outcome:
    async with target.provider() as provider:
        votes = await consensus(provider, CAPITAL, num_samples=40, max_concurrency=20, retry=STUBBORN)
        tools = await react_loop(provider, WEATHER, [WEATHER_TOOL], on_event=lambda _: None, retry=STUBBORN)
    expect((votes.value, votes.samples_used), ("Paris", 40), "value and samples")
    total = votes.cost + tools.cost
    require(total.llm_calls > 42, "nothing failed: the chaos was none")
    return Outcome("42 answers, every failure retried and counted", total)


_ITS_OWN: Checks = {
    "stream: text between calls": mixed_stream,
    "as OpenRouter": openrouter,
    "as Azure": azure,
    "scripted errors": scripted_errors,
    "streams cut off": cut_streams,
    "arguments cut off": cut_arguments,
}

_CHAOS: dict[str, Checks] = {
    "ratelimit": {"chaos: 429": chaos},
    "malformed": {"chaos: malformed JSON": chaos},
    "disconnect": {"chaos: disconnects": chaos},
    "drop": {"chaos: 500": chaos},
}
