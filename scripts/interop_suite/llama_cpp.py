"""llama-cpp-python's server (PyPI), with a model of random weights: what it says is noise, how is real."""

import asyncio
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from executionkit import (
    LLMResponse,
    MaxIterationsError,
    PermanentError,
    Provider,
    ProviderError,
    react_loop,
    structured,
)
from interop_suite import random_words
from interop_suite.checking import QUICK, Checks, Outcome, Target, expect, raised, require
from interop_suite.environments import InstallError, Venv, run_installer
from interop_suite.processes import serving
from interop_suite.random_words import PROMPT, ROOM, Sky, weather_tool, words
from interop_suite.report import Report
from interop_suite.wire import asking, drain

KEY = "sk-local-0123456789"

_COMPILER = {
    "CMAKE_ARGS": " ".join(
        (
            "-DGGML_NATIVE=OFF",
            "-DLLAMA_CURL=OFF",
            "-DLLAVA_BUILD=OFF",  # for pictures
            f'"-DCMAKE_PROJECT_INCLUDE={Path(__file__).with_name("without_common.cmake")}"',
        )
    )
}
_CONTEXT = 4096


def install(cache: Path) -> str:
    """Install it with its model, and say what."""
    version = install_server(cache)
    writer = Path(__file__).with_name("tiny_model.py")
    run_installer([interpreter(cache), writer, _model(cache)], cache / "llama-cpp.model.log")
    return version


def install_server(cache: Path) -> str:
    """Install it, and say what. The first time it is compiled, which takes minutes; the wheel is kept."""
    wheels = cache / "wheels"
    if not is_compiled(cache):
        if not any(map(shutil.which, filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++")))):
            raise InstallError(
                "llama-cpp-python must be compiled, and there is no C++ compiler (c++, g++ or clang++)"
            )
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
    return f"llama-cpp-python {venv.version('llama-cpp-python')}"


def is_compiled(cache: Path) -> bool:
    """Whether there is a wheel of it, and not half of one."""
    return any(map(zipfile.is_zipfile, (cache / "wheels").glob("llama_cpp_python-*.whl")))


def interpreter(cache: Path) -> Path:
    """The Python that it is installed for."""
    return cache / "llama-cpp" / "bin" / "python"


def run(cache: Path, report: Report) -> None:
    """Try it as it is, and told not to interrupt its streams."""
    with _serving(cache, interrupt=True) as port:
        report.run({**random_words.CHECKS, **_CHECKS}, partial(_target, port))
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


async def streams_at_once(target: Target) -> Outcome:
    async with words(target) as provider:
        ends = await asyncio.gather(*(_long_stream(provider) for _ in range(6)), return_exceptions=True)
    whole = [end for end in ends if isinstance(end, LLMResponse)]
    broken = [end for end in ends if isinstance(end, ProviderError)]
    expect(len(whole) + len(broken), 6, f"whole and broken streams of {ends}")
    require(all(reply.output_tokens > 100 for reply in whole), "a stream that was cut off counts as whole")
    return Outcome("those that the server cuts off are ProviderErrors")


async def streams_in_turn(target: Target) -> Outcome:
    async with words(target) as provider:
        whole = await asyncio.gather(*(_long_stream(provider) for _ in range(6)))
    require(all(reply.output_tokens > 100 for reply in whole), "a stream was cut off")
    return Outcome("six at once, all whole")


async def _long_stream(provider: Provider) -> LLMResponse:
    stream = provider.stream(asking(PROMPT), max_tokens=200, min_tokens=150)
    await drain(stream)
    return stream.response


async def react(target: Target) -> Outcome:
    forced = {"tool_choice": {"type": "function", "function": {"name": "weather"}}}
    seen: list[str] = []
    tool = weather_tool(seen)
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
        result = await react_loop(provider, PROMPT, [weather_tool([])], max_tokens=ROOM, retry=QUICK)
    expect(result.tool_calls_made, 0, "tool calls")
    return Outcome("tools are offered in vain without tool_choice: a text")


async def react_refused(target: Target) -> Outcome:
    forced = {"tool_choice": {"type": "function", "function": {"name": "weather"}}}
    async with target.provider("tools", extra_body=forced) as provider:
        loop = react_loop(provider, PROMPT, [weather_tool([])], max_tokens=ROOM, retry=QUICK)
        error = await raised(PermanentError, loop)
    expect((error.status_code, error.cost.llm_calls), (500, 2), "status and calls")
    return Outcome("refused in round 2 without null_content='': a PermanentError, not repeated")


async def structure(target: Target) -> Outcome:
    async with target.stranger() as provider:
        first = await structured(provider, PROMPT, Sky, max_tokens=ROOM, retry=QUICK)
        second = await structured(provider, PROMPT, Sky, max_tokens=ROOM, retry=QUICK)
    require(isinstance(first.value, Sky), f"got {first.value!r}")
    calls = (first.cost.llm_calls, second.cost.llm_calls)
    expect(calls, (2, 1), "calls of the first and the second")
    return Outcome(f"json_schema is refused once, then {second.schema_mode}")


async def too_long(target: Target) -> Outcome:
    prompt = asking("x" * 2 * _CONTEXT)
    async with words(target) as provider:
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
    "react_loop": react,
    "react_loop: no tool_choice": react_answered,
    "react_loop: null content": react_refused,
    "structured": structure,
    "stream: six long ones at once": streams_at_once,
    "too long a prompt": too_long,
    "a wrong key": wrong_key,
}

_PATIENT: Checks = {"interrupt_requests off": streams_in_turn}
