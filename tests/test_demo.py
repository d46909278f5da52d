"""The demo as a newcomer meets it: in a terminal, in a pipe, against another endpoint, when things fail."""

import io
import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

import executionkit
from executionkit import LLMResponse
from executionkit._cli.app import main
from executionkit._demo.model import NAME, SimulatedModel
from executionkit._demo.scenes import DAYS_BETWEEN
from executionkit._screen import GREEN, Screen
from executionkit.errors import ToolError
from executionkit.testing import ChatRequest, Fault, LocalEndpoint
from executionkit.testing._ledger import Books

VARIABLES = ("EXECUTIONKIT_BASE_URL", "EXECUTIONKIT_MODEL", "EXECUTIONKIT_API_KEY")


def environment(**changes: str) -> dict[str, str]:
    ours = {*VARIABLES, "NO_COLOR", "COLUMNS", "LINES", "PYTHONIOENCODING"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {**kept, "PYTHONUTF8": "0", "PYTHONIOENCODING": "utf-8", **changes}


def run(*arguments: str, **changes: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-W", "error", "-m", "executionkit", *arguments]
    return subprocess.run(command, env=environment(**changes), capture_output=True, timeout=50, check=False)


def against(endpoint: LocalEndpoint, *, model: str = NAME, api_key: str = "s3cret") -> dict[str, str]:
    return dict(zip(VARIABLES, (endpoint.base_url, model, api_key), strict=True))


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def piped() -> "subprocess.CompletedProcess[bytes]":
    return run("demo")


def test_a_pipe_gets_plain_text_of_80_columns(piped: "subprocess.CompletedProcess[bytes]") -> None:
    assert piped.returncode == 0
    text = piped.stdout.decode()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_it_says_what_it_is_and_shows_every_pattern(piped: "subprocess.CompletedProcess[bytes]") -> None:
    text = " ".join(piped.stdout.decode().split())
    for words in (
        "SIMULATED",
        # consensus, with a minority that is wrong and a failure that was counted
        "3 of 5 ██████░░░░ 5 cents 2 of 5 ████░░░░░░ 10 cents answer 5 cents agreement 60%",
        "1 x HTTP 503: asked again, and counted as a call cost 6 calls",
        # refine_loop, with a step back
        "0.40 Because",
        "0.70 Air",
        "0.10 The sky",
        "0.95 Sunlight",
        "stopped target, after 3 improvements",
        # react_loop, with a wrong call and the right one
        'days_between({"start": "1969-07-20", "end": "9 November 1989"}) result Error',
        'days_between({"start": "1969-07-20", "end": "1989-11-09"}) result 7417 answer 7,417 days',
        # pipe
        "budget at most 20 calls, 20,000 input and 10,000 output tokens vote 60% agree",
        "answer Many tries, one answer, one bill. failed 1 x HTTP 429",
        # the ledgers
        "consensus 6 = 6",
        "refine_loop 8 = 8",
        "react_loop 3 = 3",
        "pipe 12 = 12",
        "together 29 = 29",
        "✓ equal, line by line",
    ):
        assert words in text


def test_it_is_the_same_every_time(
    piped: "subprocess.CompletedProcess[bytes]", capsys: pytest.CaptureFixture[str]
) -> None:
    def without_port(output: str) -> list[str]:
        return [line for line in output.splitlines() if "http://127.0.0.1:" not in line]

    assert main(["demo"]) == 0
    assert without_port(capsys.readouterr().out) == without_port(piped.stdout.decode())


def test_signs_that_cannot_be_encoded_become_ascii() -> None:
    done = run("demo", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert b"3 of 5      ######....  5 cents" in done.stdout
    assert b"+ equal, line by line" in done.stdout


def in_terminal(columns: int, **changes: str) -> tuple[int, str]:
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "executionkit", "demo"],
        stdout=follower,
        env=environment(**{"TERM": "xterm", "COLUMNS": str(columns), **changes}),
    )
    os.close(follower)
    output = b""
    while chunk := _read(leader):
        output += chunk
    os.close(leader)
    return child.wait(timeout=50), output.decode().replace("\r\n", "\n")


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 65536)
    except OSError:  # how Linux says that the other side is closed
        return b""


def test_a_terminal_gets_colour() -> None:
    status, text = in_terminal(200)
    assert status == 0
    assert "\x1b[32m✓ equal, line by line" in text


def test_a_terminal_without_colours_gets_none() -> None:
    assert "\x1b" not in in_terminal(200, TERM="dumb")[1]


def test_a_narrow_terminal_and_no_color_are_respected() -> None:
    _, text = in_terminal(60, NO_COLOR="1")
    assert max(map(len, text.splitlines())) <= 60
    assert "\x1b" not in text


def test_a_reader_that_leaves() -> None:
    command = [sys.executable, "-W", "error", "-m", "executionkit", "demo"]
    child = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.close()
    child.stdout = None
    _, errors = child.communicate(timeout=50)
    assert (child.returncode, errors) == (1, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_an_output_that_takes_nothing() -> None:
    command = [sys.executable, "-W", "error", "-m", "executionkit", "demo"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command, env=environment(), stdout=full, stderr=subprocess.PIPE, timeout=50, check=False
        )
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert line.startswith("error: ")
    assert "No space left on device" in line


def test_another_endpoint(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalEndpoint(SimulatedModel(), models=["theirs"], api_key="s3cret") as endpoint:
        variables = against(endpoint, model="theirs")
        variables[VARIABLES[0]] += "?key=s3cret"
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert main(["demo"]) == 0
        ledger = endpoint.ledger
    text = capsys.readouterr().out
    assert "SIMULATED" not in text
    assert "s3cret" not in text
    assert "not compared" in text
    assert ledger.calls == 29
    assert f"together         29          {ledger.input_tokens:,}" in text


def test_another_endpoint_in_a_process_of_its_own() -> None:
    with LocalEndpoint(SimulatedModel(), api_key="s3cret") as endpoint:
        done = run("demo", **against(endpoint))
        assert endpoint.ledger.calls == 29
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("given", [VARIABLES[:1], VARIABLES[:2], VARIABLES[1:], VARIABLES[2:]])
def test_some_of_the_variables_are_not_enough(
    given: Sequence[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in given:
        monkeypatch.setenv(name, "http://127.0.0.1:9/v1")
    with pytest.raises(SystemExit) as caught:
        main(["demo"])
    shown = capsys.readouterr()
    assert (caught.value.code, shown.out) == (2, "")
    assert f"error: set all of {', '.join(VARIABLES)}" in shown.err


def test_variables_that_make_no_provider(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "ftp://nowhere")
    with pytest.raises(SystemExit) as caught:
        main(["demo"])
    assert caught.value.code == 2
    assert "base_url" in capsys.readouterr().err


def test_empty_variables_are_not_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    assert main(["demo"]) == 0
    assert "SIMULATED" in capsys.readouterr().out


def test_an_endpoint_that_is_gone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalEndpoint() as endpoint:
        gone = against(endpoint, api_key="")
    for name, value in gone.items():
        monkeypatch.setenv(name, value)
    assert main(["demo"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ProviderError: ")
    assert "could not connect" in line


def test_a_pattern_that_fails(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Fault.status(400, body={"error": {"message": "tools\x1b[31m are\nnot supported"}})
    model = SimulatedModel()
    with LocalEndpoint(lambda request: broken if request.tools else model(request)) as endpoint:
        for name, value in against(endpoint).items():
            monkeypatch.setenv(name, value)
        assert main(["demo"]) == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("error: PermanentError: ")
    assert line.endswith("; the pattern had spent 1 call, 0 input and 0 output tokens")
    assert "\x1b" not in line
    # What was spent up to then, the pattern that failed included.
    table = captured.out[captured.out.index("per pattern") :].split()
    assert [
        table[table.index(name) + 1] for name in ("consensus", "refine_loop", "react_loop", "together")
    ] == [
        "6",
        "8",
        "1",
        "15",
    ]
    assert "pipe" not in table


def test_a_tool_call_as_text_is_not_shown_as_the_answer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '{"name": "days_between", "arguments": {"start": "1969-07-20", "end": "1989-11-09"}}'
    model = SimulatedModel()
    with LocalEndpoint(lambda request: LLMResponse(text) if request.tools else model(request)) as endpoint:
        for name, value in against(endpoint).items():
            monkeypatch.setenv(name, value)
        assert main(["demo"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"no answer a tool call written as text: the server doesn't read it text {text}" in shown


def test_one_answer_and_one_improvement(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter(["Score: 4", "Score: 10"])

    def agreeing(request: ChatRequest) -> Any:
        if request.tools:
            return Fault.status(400)
        return next(scores) if "Judge how well" in request.prompt else "10 cents"

    with LocalEndpoint(agreeing) as endpoint:
        for name, value in against(endpoint).items():
            monkeypatch.setenv(name, value)
        assert main(["demo"]) == 1
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "agreement   100%, all the same" in lines
    assert "stopped     target, after 1 improvement" in lines


@pytest.mark.parametrize("figure", ["input_tokens", "output_tokens"])
def test_ledgers_that_differ(
    figure: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Books.answered

    def dishonest(self: Books, status: int | None, input_tokens: int = 0, output_tokens: int = 0) -> None:
        counts = {"input_tokens": input_tokens, "output_tokens": output_tokens}
        counts[figure] += 1
        honest(self, status, **counts)

    monkeypatch.setattr(Books, "answered", dishonest)
    assert main(["demo"]) == 1
    text = capsys.readouterr().out
    assert "≠" in text
    assert "✗ ours and the endpoint's DIFFER" in text
    assert "equal, line by line" not in text


def test_without_arguments_it_helps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "demo" in capsys.readouterr().out


def test_help_names_the_variables(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in VARIABLES)


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout.decode().split()) == (0, ["ExecutionKit", executionkit.__version__])


def test_an_interrupt_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: Any, **kwargs: Any) -> Iterator[None]:
        raise KeyboardInterrupt

    monkeypatch.setattr("executionkit._demo.app._demo", interrupted)
    assert main(["demo"]) == 130


def test_a_models_text_cannot_take_over_the_terminal() -> None:
    out = io.StringIO()
    screen = Screen(out, colour=True, width=80)
    screen.row("answer", "red\x1b[31m\x07 alert\r\n", GREEN)
    screen.bar("bar", 0.5, "\x1b]0;title\x07")
    text = out.getvalue()
    assert "\x1b[31m" not in text
    assert "\x07" not in text
    assert "\x1b]" not in text
    assert text.count("\n") == 2


def test_a_bar_is_full_only_at_one() -> None:
    out = io.StringIO()
    screen = Screen(out, colour=False, width=80)
    for share in (0.0, 0.7, 0.99, 1.0):
        screen.bar("", share, "x")
    assert [line.count("█") for line in out.getvalue().splitlines()] == [0, 7, 9, 10]


async def test_the_tool_is_a_real_one() -> None:
    assert await DAYS_BETWEEN.execute(start="2024-02-28", end="2024-03-01") == "2"  # type: ignore[misc]  # async
    with pytest.raises(ToolError, match="no such date"):
        await DAYS_BETWEEN.execute(start="2024-02-30", end="2024-03-01")  # type: ignore[misc]  # async


def test_the_simulated_model_knows_no_other_task() -> None:
    request = ChatRequest(1, "/", {}, {"messages": [{"role": "user", "content": "What is love?"}]})
    assert SimulatedModel()(request) == "I only know the tasks of the demo."
