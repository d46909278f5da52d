"""The requests of all checks, held against the types that OpenAI publishes (PyPI, `openai`)."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from executionkit.testing import Answer, ChatRequest, LocalEndpoint
from interop_suite import patterns, wire
from interop_suite.checking import Check, Checks, Outcome, Target, require
from interop_suite.environments import Venv
from interop_suite.report import Report
from interop_suite.script import CAPITAL, scripted_model


class Validator:
    """A process that tells what is wrong with a request."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def problems(self, body: dict[str, Any]) -> list[str]:
        """What is wrong with it; nothing, if it is as OpenAI publishes it."""
        asked, answers = self._process.stdin, self._process.stdout
        if asked is None or answers is None:
            raise RuntimeError("the validator was started without pipes")
        asked.write(json.dumps(body) + "\n")
        asked.flush()
        return list(json.loads(answers.readline()))


class Recorder:
    """The scripted model, keeping every request."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, request: ChatRequest) -> Answer:
        """Answer one."""
        self.bodies.append(request.body)
        return scripted_model(request)


def install(cache: Path) -> str:
    """Install it, and say what."""
    venv = Venv(cache / "openai-schema")
    venv.install("openai")
    return f"openai {venv.version('openai')}"


def run(cache: Path, report: Report) -> None:
    """Run all checks against our own endpoint, and check what it was sent."""
    recorder = Recorder()
    with _validating(cache) as validator, LocalEndpoint(recorder) as endpoint:
        checks = {
            name: partial(_checked, check, recorder, validator)
            for name, check in {**wire.CHECKS, **patterns.CHECKS, **_SETTINGS}.items()
        }
        target = partial(Target, endpoint.base_url)
        report.run(checks, target)
        report.run({"requests that are wrong": partial(wrong_requests, validator)}, target)


@contextmanager
def _validating(cache: Path) -> Iterator[Validator]:
    script = Path(__file__).with_name("request_validator.py")
    command = [cache / "openai-schema" / "bin" / "python", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        yield Validator(process)


async def _checked(check: Check, recorder: Recorder, validator: Validator, target: Target) -> Outcome:
    recorder.bodies.clear()
    await check(target)
    for body in recorder.bodies:
        problems = validator.problems(body)
        require(not problems, f"{problems} in {body}")
    return Outcome(f"requests as published: {len(recorder.bodies)}")


async def reasoning_settings(target: Target) -> Outcome:
    settings: dict[str, Any] = {
        "max_tokens_field": "max_completion_tokens",
        "omit": {"temperature"},
        "extra_body": {"reasoning_effort": "low", "service_tier": "flex"},
    }
    async with target.provider(**settings) as provider:
        await provider.complete(wire.asking(CAPITAL), seed=1, stop=["\n"], user="somebody")
        await wire.drain(provider.stream(wire.asking(CAPITAL)))
    return Outcome("")


async def wrong_requests(validator: Validator, target: Target) -> Outcome:
    """The validator itself: each of these has one thing that the types don't allow."""
    message = {"role": "user", "content": "hello"}
    right: dict[str, Any] = {"model": "m", "messages": [message]}
    require(not validator.problems(right), "a right one is refused")
    wrong: dict[str, Any] = {
        "a field that is not there": {"max_token": 5},
        "a text for a number": {"temperature": "0.5"},
        "a role that is not there": {"messages": [{"role": "robot", "content": "hello"}]},
        "a message with a field too many": {"messages": [{**message, "colour": "red"}]},
        "a number for a content": {"messages": [{**message, "content": 5}]},
        "a tool without a function": {"tools": [{"type": "function"}]},
        "a format that is not there": {"response_format": {"type": "yaml"}},
    }
    for what, fields in wrong.items():
        require(validator.problems({**right, **fields}), f"not noticed: {what}")
    return Outcome(f"noticed: {len(wrong)} of {len(wrong)}")


_SETTINGS: Checks = {"settings for reasoning models": reasoning_settings}
