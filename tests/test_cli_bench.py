"""The command `bench`: a table and advice on stdout, and the exit status of each end."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from executionkit._cli.app import main
from executionkit.testing import ChatRequest, LocalEndpoint

PROMPT = "What is {question}?"


def adds(request: ChatRequest) -> str:
    number = int(request.prompt.removeprefix("What is ").split(" ")[0])
    return f"The answer is {number + 1 + number % 2}."


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalEndpoint]:
    with LocalEndpoint(adds) as running:
        monkeypatch.setenv("EXECUTIONKIT_BASE_URL", running.base_url)
        monkeypatch.setenv("EXECUTIONKIT_MODEL", "my-model")
        monkeypatch.delenv("EXECUTIONKIT_DEBUG", raising=False)
        yield running


@pytest.fixture
def sums(tmp_path: Path) -> str:
    rows = [{"id": f"s{n}", "question": f"{n} + 1", "gold": f"#### {n + 1}"} for n in range(8)]
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        status = main(("bench", *arguments))
    except SystemExit as ended:
        status = int(str(ended.code))
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_patterns_are_compared_on_a_table(
    capsys: pytest.CaptureFixture[str], endpoint: LocalEndpoint, sums: str, tmp_path: Path
) -> None:
    journal, picture = str(tmp_path / "j.jsonl"), tmp_path / "p.svg"
    given: tuple[str, ...] = (
        sums,
        "--patterns",
        "ask,consensus:3",
        "--prompt",
        PROMPT,
        "--key",
        "number",
        "--expected",
        "gold",
    )
    given += ("--id", "id", "--journal", journal, "--plot", str(picture), "-q")
    status, out, err = run(capsys, *given)
    assert (status, err) == (0, f"wrote {picture}\n")
    lines = out.splitlines()
    assert lines[0] == "8 items"
    assert lines[2].split()[:3] == ["ask", "50.0", "%"]
    assert lines[4].startswith("No difference between consensus:3 and ask is seen")
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    assert endpoint.ledger.calls == 32

    status, out, _ = run(capsys, *given, "--json")
    found: dict[str, Any] = json.loads(out)
    assert (found["items"], found["cost"]["llm_calls"], endpoint.ledger.calls) == (8, 32, 32)


def test_a_ceiling_shows_what_there_is(
    capsys: pytest.CaptureFixture[str], endpoint: LocalEndpoint, sums: str
) -> None:
    given = (sums, "--prompt", PROMPT, "--key", "number", "--expected", "gold", "-q", "--in-flight", "1")
    status, out, err = run(capsys, *given, "--max-calls", "20")
    assert status == 3
    assert out.startswith("3 items\n")
    assert "the same command begins anew, because there is no --journal" in err
    assert endpoint.ledger.calls <= 20


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--prompt"),
        (("--prompt", "{q}"), "no field 'q'"),
        (("--prompt", PROMPT), "no field 'answer' or 'expected'; the row has"),
        (("--prompt", PROMPT, "--expected", "gold", "--patterns", "vote"), "a pattern must be one of ask, "),
        (("--prompt", PROMPT, "--expected", "gold", "--key", "colour"), "--key must be one of number, "),
    ],
)
def test_mistakes_end_it_before_the_first_call(
    arguments: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    endpoint: LocalEndpoint,
    sums: str,
) -> None:
    status, out, err = run(capsys, sums, *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert endpoint.ledger.calls == 0
