"""`make demo-real` against our own endpoint: it counts rightly, and fails for broken promises only."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from demo_real import __main__ as program
from demo_real import tasks
from demo_real.tally import Tally

from executionkit import LLMResponse, ToolCall
from executionkit.testing import Answer, ChatRequest, Fault, LocalEndpoint

ANSWERS = {task.prompt: task.answer for task in (*tasks.orders(2), *tasks.sums(2), *tasks.questions(2))}


def knows_all(request: ChatRequest) -> Answer:
    """Right in everything that is measured, by the tool where there is one."""
    task = next((prompt for prompt in ANSWERS if prompt in request.messages[-1]["content"]), None)
    if request.tools and task and (found := re.search(r"(\d+) (.) (\d+)", task)):
        a, operator, b = found.groups()
        return LLMResponse(
            "", [ToolCall("call_1", "calculate", {"a": int(a), "operator": operator, "b": int(b)})]
        )
    if task is None:
        return request.messages[-1]["content"] if request.messages[-1]["role"] == "tool" else "Bread."
    return str(ANSWERS[task]).replace("'", '"')


def outcome(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    model: Callable[[ChatRequest], Answer],
) -> tuple[int, str]:
    with LocalEndpoint(model) as endpoint:
        monkeypatch.setenv("EXECUTIONKIT_BASE_URL", endpoint.base_url)
        monkeypatch.setenv("EXECUTIONKIT_MODEL", "any")
        status = program.main(["--no-demo", "--tasks", "2"])
    return status, capsys.readouterr().out


def rights(table: str) -> list[str]:
    names = (
        "orders read",
        "sums with a tool",
        "one answer, temperature 0",
        "one answer of a vote",
        "vote of 5",
    )
    return [re.findall(rf"  {name}.*?(\d+ +\d+) ", table)[0].split()[0] for name in names]


def test_what_is_right_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, table = outcome(monkeypatch, capsys, knows_all)
    assert (status, rights(table)) == (0, ["2", "2", "2", "10", "2"]), table
    assert "the tool ran in 2 of 2" in table


def test_a_model_that_knows_nothing_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, table = outcome(monkeypatch, capsys, lambda _: "gibberish")
    assert (status, rights(table)) == (0, ["0"] * 5), table


def test_a_count_that_differs_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    complete = Tally.complete

    async def forgetful(tally: Tally, *arguments: Any, **named: Any) -> LLMResponse:
        reply = await complete(tally, *arguments, **named)
        tally.usage = type(tally.usage)()
        return reply

    monkeypatch.setattr(Tally, "complete", forgetful)
    status, table = outcome(monkeypatch, capsys, knows_all)
    assert status == 1
    assert "BROKEN" in table


def test_a_tool_that_ran_is_counted_whatever_came_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {"a": 1, "operator": "+", "b": 1}

    def calls_for_ever(request: ChatRequest) -> Answer:
        return LLMResponse("", [ToolCall("call_1", "calculate", arguments)]) if request.tools else "Bread."

    status, table = outcome(monkeypatch, capsys, calls_for_ever)
    assert status == 0
    assert "the tool ran in 2 of 2" in table


def test_an_endpoint_that_exceeds_max_tokens_breaks_no_promise_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    message = {"role": "assistant", "content": "\x1b[31mBread."}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    usage = {"prompt_tokens": 3, "completion_tokens": 500}
    status, table = outcome(monkeypatch, capsys, lambda _: Fault.status(200, body={**body, "usage": usage}))
    assert status == 0
    assert "No promise was broken, but some trials did not come to their end: a budget of tokens" in table
    assert "\x1b" not in table


def test_an_endpoint_that_goes_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, table = outcome(
        monkeypatch, capsys, lambda request: Fault.status(401) if request.number > 9 else "Bread."
    )
    assert status == 2
    assert "Every promise held" not in table


@pytest.mark.parametrize("content", [None, b"", b"no weights"])
def test_a_file_that_holds_no_model(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "my.gguf"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.delenv("EXECUTIONKIT_BASE_URL", raising=False)
    monkeypatch.setenv("GGUF", str(file))
    monkeypatch.setenv("INTEROP_CACHE", str(tmp_path / "cache"))
    assert program.main([]) == 2
    assert f"error: GGUF={file}" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_without_an_endpoint_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with LocalEndpoint() as endpoint:
        monkeypatch.setenv("EXECUTIONKIT_BASE_URL", endpoint.base_url)  # gone, when the block is left
    assert program.main(["--no-demo", "--tasks", "1"]) == 2  # no model is named
    monkeypatch.setenv("EXECUTIONKIT_MODEL", "any")
    assert program.main(["--no-demo", "--tasks", "1"]) == 2
    assert "could not connect" in capsys.readouterr().err
