"""The commands for one prompt: what goes where, and the exit status of each end."""

import asyncio
import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from executionkit import LLMResponse
from executionkit._cli.app import main
from executionkit.testing import ChatRequest, LocalEndpoint

VARIABLES = ("EXECUTIONKIT_BASE_URL", "EXECUTIONKIT_MODEL", "EXECUTIONKIT_API_KEY")
DRIVING = "red\x1b[31m \x9b2J\x07\u202egnp\r\n\tok"


def simulated(request: ChatRequest) -> str | LLMResponse:
    if "film" in request.prompt:
        return '{"title": "Metropolis"}'
    if "cut" in request.prompt:
        return LLMResponse("Once upon", finish_reason="length")
    if "silent" in request.prompt:
        return ""
    return DRIVING if "drive" in request.prompt else f"It is {391 + len(request.messages)}."


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with LocalEndpoint(simulated) as running:
        yield running


@pytest.fixture(autouse=True)
def _described(endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(VARIABLES, (endpoint.base_url, "my-model", "s3cret"), strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("EXECUTIONKIT_DEBUG", raising=False)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = int(ended.code or 0)
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_the_answer_goes_to_stdout_and_the_figures_to_stderr(
    capsys: pytest.CaptureFixture[str], endpoint: LocalEndpoint
) -> None:
    status, out, err = run(capsys, "ask", "17 * 23?", "-s", "Be brief.", "--max-tokens", "50")
    assert (status, out) == (0, "It is 393.\n")
    assert err.startswith("1 call, ")
    asked = endpoint.ledger.requests[-1]
    assert asked.model == "my-model"
    assert [message["role"] for message in asked.messages] == ["system", "user"]
    assert run(capsys, "ask", "x", "--stream", "-q")[:2] == (0, "It is 392.\n")
    assert run(capsys, "ask", "cut", "-q")[1:] == ("Once upon\n", "")
    assert "1 cut off by max_tokens" in run(capsys, "ask", "cut", "--stream")[2]


def test_consensus_prints_the_answer_that_won(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("consensus", "17 * 23?", "-n", "5", "--stop", "decided", "--key", "number")
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (0, "392\n")
    assert err.startswith("3 of 3 agree; confidence ")
    assert "2 samples saved; 3 calls" in err
    result = json.loads(run(capsys, *arguments, "--json")[1])
    assert (result["value"], result["metadata"]["answer"]) == ("It is 392.", 392)
    assert run(capsys, "consensus", "x", "-n", "2", "-q")[1:] == ("It is 392.\n", "")


def test_structured_prints_json_that_fits(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    schema = tmp_path / "film.json"
    schema.write_text(
        '{"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}'
    )
    status, out, _ = run(capsys, "structured", "a film", "--schema", str(schema))
    assert (status, json.loads(out)) == (0, {"title": "Metropolis"})
    wrong = '{"type": "object", "required": ["year"]}'
    status, out, err = run(capsys, "structured", "a film", "--schema", wrong, "--set", "max_retries=1")
    assert (status, out) == (1, "")
    assert err.startswith("error: PatternError: structured: no reply fitted in 2 attempts")
    assert "; spent 2 calls" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("consensus", "silent"), 3, "ConsensusFailedError: "),
        (("consensus", "x", "--max-calls", "4"), 4, "5 calls are needed"),
        (("consensus", "x", "--max-usd", "0.0001", "--prices", "100,100"), 4, "usd"),
        (("ask", "silent"), 1, "the reply has no text"),
        (
            ("ask", "x", "--model", "other", "--base-url", "http://127.0.0.1:9/v1", "--retries", "0"),
            1,
            "connect",
        ),
    ],
)
def test_the_status_says_how_it_ended(
    arguments: tuple[str, ...], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, out, err = run(capsys, *arguments)
    assert (found, out) == (status, "")
    assert said in err
    assert "; spent " in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("consensu", "x"), "there is no command 'consensu'; did you mean 'consensus'?"),
        (("ask", ""), "the prompt is empty"),
        (("ask", "x", "--max-usd", "1"), "--max-usd needs --prices"),
        (("ask", "x", "--max-usd", "-1", "--prices", "1,1"), "--max-usd"),
        (("ask", "x", "--prices", "cheap"), "--prices must be two numbers"),
        (("ask", "x", "--retries", "-1"), "--retries must be at least 0"),
        (("ask", "x", "--max-calls", "1.5"), "must be a whole number of at least 1"),
        (("ask", "x", "--timeout", "nan"), "must be a number above 0"),
        (("ask", "x", "--base-url", "nowhere"), "base_url"),
        (("ask", "x", "--temperature", "3"), "temperature must be"),
        (("ask", "x", "--temp", "1"), "unrecognized arguments: --temp 1"),
        (("consensus", "x", "-n", "0"), "num_samples must be an integer >= 1, got 0"),
        (("consensus", "x", "-n", "many"), "--num-samples must be a whole number, got 'many'"),
        (("consensus", "x", "--stop", "never"), "stop must be all or decided or a number, got 'never'"),
        (("consensus", "x", "--strategy", "vote"), "strategy must be"),
        (("consensus", "x", "--key", "colour"), "--key must be one of number, "),
        (("consensus", "x", "--key", "label"), "--key must be one of number, "),
        (("consensus", "x", "--key", "label:"), "--key 'label:': "),
        (("consensus", "x", "--set", "num_sample=3"), "did you mean 'num_samples'?"),
        (("consensus", "x", "--set", "colour=3"), "consensus has no keyword 'colour'; it has num_samples, "),
        (("consensus", "x", "--set", "key=number"), "--set key: use --key"),
        (("consensus", "x", "--set", "on_event=print"), "--set on_event: it can't be given as a text"),
        (("consensus", "x", "--set", "options=[1]"), "options must be a JSON object or none, got '[1]'"),
        (("consensus", "x", "--set", "num_samples"), "--set must be NAME=VALUE, got 'num_samples'"),
        (("structured", "x", "--schema", "none.json"), "none.json can't be read: No such file"),
        (("structured", "x", "--schema", "{"), "--schema is no JSON"),
        (("structured", "x", "--schema", '{"type": "objekt"}'), "objekt"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line_before_any_call(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], endpoint: LocalEndpoint
) -> None:
    before = endpoint.ledger.usage
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1
    assert endpoint.ledger.usage == before


def test_settings_have_the_types_of_the_pattern(
    capsys: pytest.CaptureFixture[str], endpoint: LocalEndpoint
) -> None:
    settings = ("num_samples=2", "min_samples=none", "stop=all", "temperature=0", 'options={"seed": 7}')
    arguments = [word for setting in settings for word in ("--set", setting)]
    assert run(capsys, "consensus", "x", *arguments)[0] == 0
    assert {asked.body["seed"] for asked in endpoint.ledger.requests[-2:]} == {7, 8}
    assert endpoint.ledger.requests[-1].body["temperature"] == 0.0


def test_who_to_ask_must_be_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, endpoint: LocalEndpoint
) -> None:
    monkeypatch.delenv("EXECUTIONKIT_MODEL")
    assert "no model: give --model, or set EXECUTIONKIT_MODEL" in run(capsys, "ask", "x")[2]
    monkeypatch.delenv("EXECUTIONKIT_BASE_URL")
    assert "no base url: give --base-url, or set EXECUTIONKIT_BASE_URL" in run(capsys, "ask", "x")[2]
    monkeypatch.delenv("EXECUTIONKIT_API_KEY")
    assert run(capsys, "ask", "x", "--base-url", endpoint.base_url, "--model", "m")[0] == 0


@pytest.mark.parametrize("prompt", [("-",), ()])
def test_the_prompt_may_come_from_standard_input(
    prompt: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    endpoint: LocalEndpoint,
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("\ufeffWas heißt é?".encode()), "ascii"))
    assert run(capsys, "ask", *prompt)[0] == 0
    assert endpoint.ledger.requests[-1].prompt == "Was heißt é?"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9")))
    assert "standard input is not UTF-8" in run(capsys, "ask", *prompt)[2]


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXECUTIONKIT_DEBUG", "1")
    with pytest.raises(Exception, match="the reply has no text"):
        main(["ask", "silent"])


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "executionkit", *arguments]


def test_a_model_cannot_drive_the_terminal_and_a_pipe_gets_every_byte() -> None:
    leader, follower = pty.openpty()
    with subprocess.Popen(
        command("ask", "drive", "--stream"), stdout=follower, stderr=subprocess.DEVNULL
    ) as child:
        os.close(follower)
        shown = b""
        try:
            while piece := os.read(leader, 4096):
                shown += piece
        except OSError:  # how Linux says that the other side is closed
            pass
    os.close(leader)
    assert child.returncode == 0
    assert shown.decode().split() == ["red[31m", "2Jgnp", "ok"]
    piped = subprocess.run(command("ask", "drive"), capture_output=True, check=True)
    assert piped.stdout.decode() == DRIVING + "\n"


def test_a_closed_pipe_is_no_news() -> None:
    with subprocess.Popen(
        command("ask", "x"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        said = child.stderr.read()
    assert (child.returncode, said) == (1, b"")


def test_letters_that_an_encoding_lacks_stop_nothing() -> None:
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command("ask", "drive", "-q"), env=environment, capture_output=True, check=True)
    assert b"?gnp" in done.stdout


def test_an_interrupt_says_what_was_spent() -> None:
    with LocalEndpoint(simulated) as endpoint:
        gate = endpoint.hold()
        arguments = command("consensus", "x", "--base-url", endpoint.base_url)
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            asyncio.run(endpoint.wait_until(lambda ledger: len(ledger.requests) == 5, timeout=30))
            child.send_signal(signal.SIGINT)
            out, said = child.communicate(timeout=30)
        gate.release()
    assert (child.returncode, out, said) == (130, b"", b"interrupted; spent 5 calls, 0 + 0 tokens\n")


def test_help_is_light_and_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    for name in ("ask", "consensus", "structured", "run", "status", "export", "demo", "show"):
        assert f"\n    {name}" in shown
    code = "import sys; from executionkit._cli.app import main; main([]); print('asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.endswith("False\n")
