"""The demo as a newcomer meets it: in a terminal, in a pipe, against another endpoint, when things fail."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT, blocks

import executionkit
from executionkit import LLMResponse, MockProvider, TokenUsage
from executionkit.__main__ import main as program
from executionkit._cli.app import main
from executionkit._demo import app
from executionkit._demo.connection import VARIABLES
from executionkit._demo.costs import Row, show_costs
from executionkit._demo.kill import Kill
from executionkit._demo.model import NAME, SimulatedModel
from executionkit._demo.performance import CODE_COLUMNS
from executionkit._demo.programme import Scene, programme
from executionkit._demo.reading import PAGES, reading
from executionkit._demo.scenes import days_between, score
from executionkit._demo.views import show_resumed
from executionkit._screen import GREEN, Screen
from executionkit.errors import JournalError, ToolError
from executionkit.testing import Answer, ChatRequest, Fault, LocalEndpoint


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
    proxy = "http://127.0.0.1:9"  # nothing is there
    return run(
        "demo", HTTP_PROXY=proxy, http_proxy=proxy, ALL_PROXY=proxy, NO_PROXY="example.org", no_proxy=""
    )


def test_a_pipe_gets_plain_text_of_80_columns(piped: "subprocess.CompletedProcess[bytes]") -> None:
    assert (piped.returncode, piped.stderr) == (0, b"")
    text = piped.stdout.decode()
    assert not {"\x1b", "\r"} & set(text)
    assert max(map(len, text.splitlines())) <= 80
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_it_says_what_it_is_and_shows_every_scene(piped: "subprocess.CompletedProcess[bytes]") -> None:
    text = " ".join(piped.stdout.decode().split())
    for words in (
        "SIMULATED",
        # consensus, with a minority that is wrong and a failure that was counted
        "│ return await consensus(provider, PUZZLE, num_samples=5) prompt A bat",
        "3 of 5 ██████░░░░ 5 cents 2 of 5 ████░░░░░░ 10 cents answer 5 cents",
        "retried 1 x HTTP 503, which counts as a call cost 6 calls, 220 + 10 tokens, $0.00065",
        # best_of_n, the best one first
        "1.00 \\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])",
        "0.00 [0-9{4}-[0-9{2}",
        # refine_loop, with a step back
        "0.40 Because",
        "0.70 Air",
        "0.10 The sky",
        "0.95 Sunlight",
        "stopped target, after 3 improvements",
        # react_loop, with a wrong call and the right one
        "result Error: no such date: Invalid isoformat string: '9 November 1989'",
        'days_between({"start": "1969-07-20", "end": "1989-11-09"}) result 7417 answer 7,417 days',
        # structured, map_reduce, pipe
        "value {'item': 'Assam', 'boxes': 12, 'express': True} asked again 1 x",
        "Forty minutes for a pot of tea! → Slow service",
        "answer Many tries, one answer, one bill. retried 1 x HTTP 429",
        # a conversation
        'refund({"order": 17, "eur": 80.0}) result declined: at most 50 EUR',
        "result 50.00 EUR refunded for order 17",
        "user Which order was it? assistant It was order 17.",
        # the kill
        "1st start killed (SIGKILL) in flight 8 calls, whose replies were lost",
        "2nd start 20 rows out of the journal, 20 more",
        "sent twice 8 of 48 calls, by the endpoint's ledger 24 of 40 ██████░░░░ positive",
        # the ledgers
        *("consensus 6 = 6", "best_of_n 4 = 4", "refine_loop 8 = 8", "react_loop 3 = 3", "structured 2 = 2"),
        *("map_reduce 5 = 5", "pipe 12 = 12", "Conversation 4 = 4", "run_many 48 = 48", "together 92 = 92"),
        "✓ equal, line by line",
    ):
        assert words in text


def test_the_documentation_shows_a_scene_as_it_is(piped: "subprocess.CompletedProcess[bytes]") -> None:
    (shown,) = (
        block.code for block in blocks(ROOT / "docs" / "command-line.md") if "run_many  A" in block.code
    )
    assert shown.strip() in piped.stdout.decode()


def test_the_code_fits_its_column() -> None:
    scenes = programme(Kill({}))
    assert all(scene.code for scene in scenes)
    assert max(len(line) for scene in scenes for line in scene.code) <= CODE_COLUMNS


def drawn(width: int) -> list[str]:
    out = io.StringIO()
    screen = Screen(out, colour=False, width=width)
    screen.beside(["one()", "two()"], lambda part: part.row("label", "word " * 40), column=CODE_COLUMNS)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 103, 104, 120, 140])
def test_code_stands_beside_its_result_where_there_is_room(width: int) -> None:
    lines = drawn(width)
    assert max(map(len, lines)) <= width
    assert ("one()" in lines[0] and "word word" in lines[0]) == (width >= 104)
    assert sum(line.count("word") for line in lines) == 40


def test_signs_that_cannot_be_encoded_become_ascii() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="latin-1")
    screen = Screen(out, colour=False, width=120)
    screen.beside(["one()"], lambda part: part.bar("3 of 5", 0.6, "5 cents → ✓"), column=8)
    out.flush()
    assert raw.getvalue() == b"  one()   |  3 of 5      ######....  5 cents -> +\n"


def test_a_text_without_end_is_cut() -> None:
    out = io.StringIO()
    screen = Screen(out, colour=False, width=120, tallest=3)
    screen.row("answer", "word " * 1000)
    screen.beside([], lambda part: part.row("answer", "word " * 1000), column=8)
    lines = out.getvalue().splitlines()
    assert len(lines) == 6
    assert lines[2].endswith(" ...")
    assert lines[5].endswith(" ...")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("changes", "title"),
    [({}, "\x1b[1mtitle\x1b[0m\n"), ({"TERM": "dumb"}, "title\n"), ({"NO_COLOR": "1"}, "title\n")],
)
def test_a_terminal_gets_colour_unless_it_wants_none(
    changes: dict[str, str], title: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TERM": "xterm", **changes}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", out := Terminal())
    Screen.of_stdout().title("title")
    assert out.getvalue() == title


@pytest.mark.parametrize(("columns", "width"), [("40", 60), ("100", 100), ("300", 140)])
def test_the_terminal_says_how_wide_it_is(columns: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert Screen.of_stdout(widest=app.WIDEST).width == width


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


def test_another_endpoint_and_whatever_it_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text_call = '{"name": "days_between", "arguments": {"start": "1969-07-20", "end": "1989-11-09"}}'
    model = SimulatedModel()

    def weak(request: ChatRequest) -> Answer:
        if request.tools:
            return LLMResponse(text_call)
        is_asked_for_data = any("Read this order" in str(message) for message in request.messages)
        return "No.\x1b[31m" if is_asked_for_data else model(request)

    with LocalEndpoint(weak, models=["theirs"], api_key="s3cret") as endpoint:
        variables = against(endpoint, model="theirs")
        variables[VARIABLES[0]] += "?key=s3cret"
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert main(["demo", "--real"]) == 0
        ledger = endpoint.ledger
    shown, errors = capsys.readouterr()
    text = " ".join(shown.split())
    assert errors == ""
    assert not any(
        words in text for words in ("SIMULATED", "s3cret", "\x1b", "$", "by the endpoint", "equal")
    )
    assert f"no answer a tool call written as text: the server doesn't read it text {text_call}" in text
    assert "no result PatternError: structured: no reply fitted" in text
    assert "approval not asked for, because no tool was called" in text
    assert "ledgers not compared" in text
    # The process may have been killed at any moment: the calls that never arrived were counted, too.
    assert "24 of 40 ██████░░░░ positive" in text
    assert ledger.calls >= 80


def some_scenes(kill: Kill) -> list[Scene[Any]]:
    return programme(kill)[2:5]


def test_an_endpoint_that_refuses_tools(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Fault.status(400, body={"error": {"message": "tools\x1b[31m are\nnot supported"}})
    model = SimulatedModel()
    monkeypatch.setattr(app, "programme", some_scenes)
    with LocalEndpoint(lambda request: broken if request.tools else model(request)) as endpoint:
        for name, value in against(endpoint).items():
            monkeypatch.setenv(name, value)
        assert main(["demo", "--real"]) == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("error: PermanentError: ")
    assert "; the pattern had spent 1 call, 0 + 0 tokens" in line
    assert "\x1b" not in captured.err + captured.out
    # The other scenes are played all the same.
    table = captured.out[captured.out.index("per pattern") :].split()
    names = ("refine_loop", "react_loop", "structured", "together")
    assert [table[table.index(name) + 1] for name in names] == ["8", "1", "2", "11"]


def test_ctrl_c_while_it_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def __getattr__(self, _: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "executionkit._cli.app", Interrupted())
    assert program(["demo"]) == 130


def test_ctrl_c_leaves_no_process() -> None:
    model = SimulatedModel()
    model.labels_left = 0
    command = [sys.executable, "-W", "error", "-m", "executionkit", "demo", "--real"]
    with LocalEndpoint(model) as endpoint:
        child = subprocess.Popen(
            command, env=environment(**against(endpoint)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        endpoint.wait_in_flight_sync(8, timeout=50)  # the calls of the process that the demo has started
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=50)
        assert (child.returncode, errors) == (130, b"")
        endpoint.wait_until_sync(lambda ledger: not ledger.in_flight)


async def test_a_system_without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("asyncio.create_subprocess_exec", refused)
    resumed = await Kill({}).play(MockProvider(["positive"]))
    assert (resumed.was_killed, resumed.result.done, resumed.asked_twice) == (False, 40, None)
    out = io.StringIO()
    show_resumed(resumed, Screen(out, colour=False, width=100))
    assert "not begun: this system starts no process" in out.getvalue()
    assert "lost" not in out.getvalue()


async def test_a_system_without_a_place_for_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: object) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refused)
    with pytest.raises(JournalError, match="no place for the journal"):
        await Kill({}).play(MockProvider(["positive"]))


@pytest.mark.parametrize("given", [VARIABLES[:0], VARIABLES[:1], VARIABLES[1:]])
def test_a_real_model_has_to_be_named(
    given: Sequence[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in given:
        monkeypatch.setenv(name, "http://127.0.0.1:9/v1")
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--real"])
    shown = capsys.readouterr()
    assert (caught.value.code, shown.out) == (2, "")
    assert f"error: --real needs {VARIABLES[0]} and {VARIABLES[1]}" in shown.err


def test_variables_that_make_no_provider(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "ftp://nowhere")
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--real"])
    assert caught.value.code == 2
    assert "base_url" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("named", "options", "is_asked"),
    [(3, [], True), (3, ["--simulated"], False), (2, [], False), (2, ["--real"], True)],
)
def test_whom_the_demo_asks(
    named: int,
    options: list[str],
    is_asked: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with LocalEndpoint(SimulatedModel()) as endpoint:
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in list(against(endpoint, model="theirs").items())[:named]:
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(app, "programme", lambda kill: programme(kill)[:1])
        assert main(["demo", *options]) == 0
        assert bool(endpoint.ledger.calls) is is_asked
    assert ("SIMULATED" in capsys.readouterr().out) is not is_asked


@pytest.fixture
def gone() -> dict[str, str]:
    with LocalEndpoint() as endpoint:
        return dict(list(against(endpoint).items())[:2])  # without a key


def test_an_endpoint_that_is_gone(
    gone: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in gone.items():
        monkeypatch.setenv(name, value)
    assert main(["demo", "--real"]) == 1
    shown, errors = capsys.readouterr()
    (line,) = errors.splitlines()
    assert line.startswith("error: ProviderError: ")
    assert "could not connect" in line
    assert "best_of_n" not in shown


@pytest.mark.parametrize("theirs", [TokenUsage(10, 5, 1), TokenUsage(9, 6, 1), TokenUsage(9, 5, 2)])
def test_ledgers_that_differ(theirs: TokenUsage) -> None:
    out = io.StringIO()
    assert not show_costs([Row("scene", TokenUsage(9, 5, 1), theirs)], Screen(out, colour=False, width=80))
    assert "≠" in out.getvalue()
    assert "✗ ours and the endpoint's DIFFER" in out.getvalue()
    assert "equal, line by line" not in out.getvalue()


def test_the_pages_to_read_next(tmp_path: Path) -> None:
    assert all("executionkit" in command for command in reading(tmp_path))  # beside no checkout
    for page in PAGES:
        path = tmp_path / "docs" / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "pyproject.toml").touch()
    assert all(Path(page).is_file() for page in reading(tmp_path))


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


def test_the_tool_is_a_real_one() -> None:
    assert days_between("2024-02-28", "2024-03-01") == 2
    with pytest.raises(ToolError, match="no such date"):
        days_between("2024-02-30", "2024-03-01")


def test_an_expression_that_is_none_passes_no_test() -> None:
    provider = MockProvider([])
    assert score("```\n\\d{4}-\\d{2}-\\d{2}\n```", provider) == 0.8
    assert score("\\d{99999999999}", provider) == score("[", provider) == 0.0


def test_the_simulated_model_knows_no_other_task() -> None:
    request = ChatRequest(1, "/", {}, {"messages": [{"role": "user", "content": "What is love?"}]})
    assert SimulatedModel()(request) == "I only know the tasks of the demo."
