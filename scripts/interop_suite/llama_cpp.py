"""llama-cpp-python's server (PyPI), with a model of random weights: what it says is noise, how is real."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from executionkit import (
    Kit,
    LLMResponse,
    MaxIterationsError,
    Pairwise,
    PermanentError,
    Provider,
    ProviderError,
    Rubric,
    Tool,
    best_of_n,
    consensus,
    consensus_sync,
    map_reduce,
    react_loop,
    refine_loop,
    structured,
)
from executionkit.streaming import TextDelta
from interop_suite.checking import QUICK, Checks, Outcome, Target, expect, raised, require
from interop_suite.environments import Venv, run_installer
from interop_suite.processes import serving
from interop_suite.report import Report
from interop_suite.wire import asking, drain

KEY = "sk-local-0123456789"
PROMPT = "What will the weather be?"
ROOM = 48
"""The most tokens of a reply: the model ends where it happens to."""

_COMPILER = {"CMAKE_ARGS": "-DGGML_NATIVE=OFF -DLLAMA_CURL=OFF"}
_CONTEXT = 4096


def install(cache: Path) -> str:
    """Install it, and say what. The first time it is compiled, which takes minutes; the wheel is kept."""
    wheels = cache / "wheels"
    if not list(wheels.glob("llama_cpp_python-*.whl")):
        print("  llama-cpp: compiling", file=sys.stderr)
        cores = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
        run_installer(
            [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", wheels, "llama-cpp-python"],
            cache / "llama-cpp.compile.log",
            env={**_COMPILER, "CMAKE_BUILD_PARALLEL_LEVEL": cores},
        )
    venv = Venv(cache / "llama-cpp")
    only_ours = ("--find-links", wheels, "--only-binary", "llama-cpp-python")
    venv.install(*only_ours, "llama-cpp-python[server]", "gguf")
    writer = Path(__file__).with_name("tiny_model.py")
    run_installer([venv.python, writer, _model(cache)], cache / "llama-cpp.model.log")
    return f"llama-cpp-python {venv.version('llama-cpp-python')}"


def run(cache: Path, report: Report) -> None:
    """Try it as it is, and told not to interrupt its streams."""
    with _serving(cache, interrupt=True) as port:
        report.run(_CHECKS, partial(_target, port))
    with _serving(cache, interrupt=False) as port:
        report.run(_PATIENT, partial(_target, port))


def _target(port: int, backend: str) -> Target:
    return Target(f"http://127.0.0.1:{port}/v1", backend, KEY, model="words")


def _model(cache: Path) -> Path:
    return cache / "llama-cpp" / "random.gguf"


@contextmanager
def _serving(cache: Path, *, interrupt: bool) -> Iterator[int]:
    home = cache / "llama-cpp"
    formats = {"words": "chatml", "tools": "chatml-function-calling"}
    settings = home / "settings.json"

    def command(port: int) -> list[str | Path]:
        models = [
            {
                "model": str(_model(cache)),
                "model_alias": alias,
                "chat_format": chat_format,
                "n_ctx": _CONTEXT,
                "n_threads": 1,
                "verbose": False,
            }
            for alias, chat_format in formats.items()
        ]
        server = {"host": "127.0.0.1", "port": port, "api_key": KEY, "interrupt_requests": interrupt}
        settings.write_text(json.dumps({**server, "models": models}))
        return [home / "bin" / "python", "-m", "llama_cpp.server", "--config_file", settings]

    log = home / f"{'interrupting' if interrupt else 'patient'}.log"
    with serving(command, log=log, ready="/openapi.json") as port:
        yield port


@dataclass
class Sky:
    """What `structured` makes of a reply; nothing in it is long: the model ends where it happens to."""

    sky: Literal["clear", "cloudy"]
    rain: bool


def _is_words(text: str) -> bool:
    return all(word.isalpha() and word.isascii() for word in text.split())


def _words(target: Target) -> Provider:
    """A provider whose replies are never empty."""
    return target.provider(extra_body={"min_tokens": 4})


def _constrained(target: Target, grammar: str) -> Provider:
    """A provider whose replies a grammar of the server's own constrains."""
    return target.provider(extra_body={"grammar": grammar})


async def complete(target: Target) -> Outcome:
    async with _words(target) as provider:
        reply = await provider.complete(asking(PROMPT), max_tokens=ROOM)
    require(reply.content.strip() and _is_words(reply.content), f"not words: {reply.content!r}")
    require(reply.input_tokens and reply.output_tokens, f"no usage: {dict(reply.usage)}")
    require(reply.finish_reason in ("stop", "length"), f"finish_reason {reply.finish_reason!r}")
    return Outcome("an answer, with its usage")


async def length(target: Target) -> Outcome:
    async with _words(target) as provider:
        reply = await provider.complete(asking(PROMPT), max_tokens=1)
        stream = provider.stream(asking(PROMPT), max_tokens=1)
        await drain(stream)
    require(reply.was_truncated and stream.response.was_truncated, "not noticed")
    return Outcome("noticed, streamed too")


async def stream(target: Target) -> Outcome:
    async with _words(target) as provider, provider.stream(asking(PROMPT), max_tokens=ROOM) as events:
        pieces = [event.text async for event in events if isinstance(event, TextDelta)]
    expect("".join(pieces), events.response.content, "content")
    told = "estimated" if events.response.usage_is_estimated else "told by the server"
    return Outcome(f"the text in pieces; usage {told}")


async def stream_left(target: Target) -> Outcome:
    async with _words(target) as provider:
        async with provider.stream(asking(PROMPT), max_tokens=1000, min_tokens=900) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    break
        reply = await provider.complete(asking(PROMPT), max_tokens=ROOM)
    require(reply.finish_reason in ("stop", "length"), f"finish_reason {reply.finish_reason!r}")
    return Outcome("ended after one piece; the next call is answered")


async def streams_at_once(target: Target) -> Outcome:
    async with _words(target) as provider:
        ends = await asyncio.gather(*(_long_stream(provider) for _ in range(6)), return_exceptions=True)
    whole = [end for end in ends if isinstance(end, LLMResponse)]
    broken = [end for end in ends if isinstance(end, ProviderError)]
    expect(len(whole) + len(broken), 6, f"whole and broken streams of {ends}")
    require(all(reply.output_tokens > 100 for reply in whole), "a stream that was cut off counts as whole")
    return Outcome("those that the server cuts off are ProviderErrors")


async def streams_in_turn(target: Target) -> Outcome:
    async with _words(target) as provider:
        whole = await asyncio.gather(*(_long_stream(provider) for _ in range(6)))
    require(all(reply.output_tokens > 100 for reply in whole), "a stream was cut off")
    return Outcome("six at once, all whole")


async def _long_stream(provider: Provider) -> LLMResponse:
    stream = provider.stream(asking(PROMPT), max_tokens=200, min_tokens=150)
    await drain(stream)
    return stream.response


async def many(target: Target) -> Outcome:
    async with _words(target) as provider:
        calls = (provider.complete(asking(PROMPT), max_tokens=4) for _ in range(20))
        replies = await asyncio.gather(*calls)
    require(all(reply.content for reply in replies), "an empty reply")
    return Outcome("20 calls at once, all answered")


async def vote(target: Target) -> Outcome:
    async with _constrained(target, 'root ::= "yes" | "no"') as provider:
        result = await consensus(provider, PROMPT, num_samples=5, max_tokens=ROOM, retry=QUICK)
        same = await asyncio.to_thread(consensus_sync, provider, PROMPT, num_samples=3, max_tokens=ROOM)
    require({result.value, same.value} <= {"yes", "no"}, f"voted for {result.value!r}, {same.value!r}")
    return Outcome("5 samples, awaited; 3, from a script")


async def vote_with_choices(target: Target) -> Outcome:
    async with _words(target) as provider:
        result = await consensus(
            provider, PROMPT, num_samples=4, choices_per_request=2, max_tokens=ROOM, retry=QUICK
        )
    expect(result.samples_used, 4, "samples")
    return Outcome(f"4 samples in {result.cost.llm_calls} requests")


async def refine(target: Target) -> Outcome:
    async with _words(target) as provider, _constrained(target, 'root ::= "Score: " [0-9]') as judge:
        for on_event in (None, lambda _: None):
            result = await refine_loop(
                provider,
                PROMPT,
                evaluator=Rubric("Sense.", judge=judge),
                max_iterations=2,
                max_tokens=ROOM,
                retry=QUICK,
                on_event=on_event,
            )
            require(result.score in {number / 10 for number in range(10)}, f"score {result.score}")
    return Outcome("drafts judged under a grammar, streamed too")


async def react(target: Target) -> Outcome:
    forced = {"tool_choice": {"type": "function", "function": {"name": "weather"}}}
    seen: list[str] = []
    tool = _weather(seen)
    async with target.provider("tools", extra_body=forced, null_content="") as provider:
        for on_event in (None, lambda _: None):
            loop = react_loop(
                provider, PROMPT, [tool], max_rounds=3, max_tokens=ROOM, retry=QUICK, on_event=on_event
            )
            error = await raised(MaxIterationsError, loop)
            expect(error.metadata["tool_calls_made"], 3, "tool calls")
    require(set(seen) <= {"Lima", "Oslo"}, f"cities {seen}")
    return Outcome("a call in each round, streamed too, until max_rounds")


async def react_answered(target: Target) -> Outcome:
    async with target.provider("tools", null_content="") as provider:
        result = await react_loop(provider, PROMPT, [_weather([])], max_tokens=ROOM, retry=QUICK)
    expect(result.tool_calls_made, 0, "tool calls")
    return Outcome("tools are offered in vain without tool_choice: a text")


async def react_refused(target: Target) -> Outcome:
    forced = {"tool_choice": {"type": "function", "function": {"name": "weather"}}}
    async with target.provider("tools", extra_body=forced) as provider:
        loop = react_loop(provider, PROMPT, [_weather([])], max_tokens=ROOM, retry=QUICK)
        error = await raised(PermanentError, loop)
    expect((error.status_code, error.cost.llm_calls), (500, 2), "status and calls")
    return Outcome("refused in round 2 without null_content='': a PermanentError, not repeated")


def _weather(seen: list[str]) -> Tool:
    def weather(city: str) -> str:
        seen.append(city)
        return f"{city}: 12 °C"

    city = {"type": "string", "enum": ["Lima", "Oslo"]}
    schema: dict[str, Any] = {"type": "object", "properties": {"city": city}, "required": ["city"]}
    return Tool("weather", "The weather of a city.", schema, weather)


async def structure(target: Target) -> Outcome:
    async with _words(target) as provider:
        first = await structured(provider, PROMPT, Sky, max_tokens=ROOM, retry=QUICK)
        second = await structured(provider, PROMPT, Sky, max_tokens=ROOM, retry=QUICK)
    require(isinstance(first.value, Sky), f"got {first.value!r}")
    calls = (first.cost.llm_calls, second.cost.llm_calls)
    expect(calls, (2, 1), "calls of the first and the second")
    return Outcome(f"json_schema is refused once, then {second.schema_mode}")


async def best(target: Target) -> Outcome:
    async with _words(target) as provider:
        longest = await best_of_n(
            provider,
            PROMPT,
            evaluator=lambda text, _: min(1.0, len(text) / 1000),
            num_samples=3,
            max_tokens=ROOM,
            retry=QUICK,
        )
        async with _constrained(target, 'root ::= "Better: " ("A" | "B" | "tie")') as judge:
            compared = await best_of_n(
                provider,
                PROMPT,
                evaluator=Pairwise(judge=judge),
                num_samples=3,
                max_tokens=ROOM,
                retry=QUICK,
            )
    expect(longest.value, max(longest.candidates, key=len), "value")
    expect(compared.comparisons, 3, "comparisons")
    return Outcome("by a function, and compared under a grammar")


async def map_and_reduce(target: Target) -> Outcome:
    async with _constrained(target, 'root ::= "fog" | "frost"') as provider:
        result = await map_reduce(
            provider,
            ["January", "June", "July"],
            map_prompt="The weather in {input}?",
            reduce_prompt="And all together?",
            max_tokens=ROOM,
            retry=QUICK,
        )
    require({result.value, *result.map_results} <= {"fog", "frost"}, f"got {result.map_results}")
    return Outcome("3 inputs, 1 reduction")


async def pipeline(target: Target) -> Outcome:
    async with _words(target) as provider:
        kit = Kit(provider)
        result = await kit.pipe(
            PROMPT,
            partial(consensus, num_samples=2),
            partial(structured, output=Sky),
            max_tokens=ROOM,
            retry=QUICK,
        )
    require(isinstance(result.value, Sky), f"got {result.value!r}")
    expect(kit.usage, result.cost, "the kit's total")
    return Outcome("a vote, then a value of its words; the kit's total is the same")


async def too_long(target: Target) -> Outcome:
    prompt = asking("x" * 2 * _CONTEXT)
    async with _words(target) as provider:
        error = await raised(PermanentError, provider.complete(prompt))
        expect((error.status_code, error.code), (400, "context_length_exceeded"), "status and code")
        await raised(ProviderError, drain(provider.stream(prompt)))
    return Outcome("PermanentError; streamed, the server sends 200 and nothing: ProviderError")


async def wrong_key(target: Target) -> Outcome:
    async with Target(target.base_url, target.backend, "sk-wrong", "words").provider() as provider:
        error = await raised(PermanentError, provider.complete(asking(PROMPT)))
    expect(error.status_code, 401, "status")
    return Outcome("401")


_CHECKS: Checks = {
    "complete": complete,
    "max_tokens": length,
    "stream": stream,
    "stream: left early": stream_left,
    "stream: six long ones at once": streams_at_once,
    "20 at once": many,
    "consensus": vote,
    "consensus: choices_per_request": vote_with_choices,
    "refine_loop": refine,
    "react_loop": react,
    "react_loop: no tool_choice": react_answered,
    "react_loop: null content": react_refused,
    "structured": structure,
    "best_of_n": best,
    "map_reduce": map_and_reduce,
    "pipe, Kit": pipeline,
    "too long a prompt": too_long,
    "a wrong key": wrong_key,
}

_PATIENT: Checks = {"interrupt_requests off": streams_in_turn}
