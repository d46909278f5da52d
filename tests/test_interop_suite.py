"""The checks that `scripts/interop` runs against real servers hold against our own endpoint, and can fail."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from interop_suite import patterns, weights, wire
from interop_suite.checking import Check, Outcome, Target, expect
from interop_suite.environments import InstallError
from interop_suite.report import Report, Row
from interop_suite.script import RULES, scripted_model

from executionkit import LLMResponse, TokenUsage
from executionkit.testing import Answer, ChatRequest, LocalEndpoint

CHECKS = {**wire.CHECKS, **patterns.CHECKS}


def outcome(check: Check, model: Callable[[ChatRequest], Answer] = scripted_model) -> Row:
    report = Report("our own", ["stdlib"])
    with LocalEndpoint(model) as endpoint:
        target = Target(endpoint.base_url, "stdlib", served=lambda: endpoint.ledger.usage)
        report.run({"check": check}, lambda backend: replace(target, backend=backend))
    return report.rows[0]


@pytest.mark.parametrize("name", CHECKS)
def test_the_checks_hold_against_our_own_endpoint(name: str) -> None:
    assert outcome(CHECKS[name]).passed, outcome(CHECKS[name]).outcome


@pytest.mark.parametrize("name", [name for name in CHECKS if name != "a budget"])  # which makes no call
def test_the_checks_fail_against_a_model_that_says_something_else(name: str) -> None:
    assert not outcome(CHECKS[name], lambda _: LLMResponse("gibberish")).passed


def test_the_checks_fail_when_tools_are_not_called() -> None:
    def mute(request: ChatRequest) -> Answer:
        return "no" if request.tools else scripted_model(request)

    for name in ("tool calls", "stream: tool calls", "react_loop", "react_loop: streamed"):
        assert not outcome(CHECKS[name], mute).passed


async def wrong(target: Target) -> Outcome:
    expect(1, 2, "a number")
    return Outcome("")


async def uncounted(target: Target) -> Outcome:
    await wire.complete(target)
    return Outcome("", TokenUsage())


async def leaving_a_task(target: Target) -> Outcome:
    async def forever() -> None:
        await asyncio.Event().wait()

    LEFT.append(asyncio.create_task(forever()))
    return Outcome("")


LEFT: list[asyncio.Task[None]] = []


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (wrong, "a number: expected 2, got 1"),
        (uncounted, "the server counted 1, the library 0"),
        (leaving_a_task, "tasks left behind"),
    ],
)
def test_what_goes_wrong_is_told(check: Check, words: str) -> None:
    row = outcome(check)
    assert not row.passed
    assert words in row.outcome


def test_back_ends_with_the_same_outcome_share_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("a server", ["one", "two", "three"])
    report.rows += [
        Row("complete", "one", "an answer", passed=True),
        Row("complete", "two", "none", passed=False),
        Row("complete", "three", "an answer", passed=True),
    ]
    report.print()
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == ["complete one three an answer", "complete two FAILED: none"]
    assert report.failures == 1


def test_every_answer_of_the_script_has_a_fixture() -> None:
    fixtures = [rule.fixture() for rule in RULES]
    assert all(fixture["match"]["userMessage"] for fixture in fixtures)
    assert sum("toolCalls" in fixture["response"] for fixture in fixtures) == 1


def test_weights_with_another_checksum_are_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(InstallError, match="it was deleted"):
        weights.checked(file, "0" * 64)
    assert not file.exists()
