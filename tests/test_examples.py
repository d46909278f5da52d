"""The programs in examples/ run as they are, against a simulated model, and against a real one."""

import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from pages import ROOT

from executionkit.testing import LocalEndpoint

VARIABLES = (
    "EXECUTIONKIT_BASE_URL",
    "EXECUTIONKIT_MODEL",
    "EXECUTIONKIT_API_KEY",
    "EXECUTIONKIT_STRONG_MODEL",
)
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))


@pytest.fixture(autouse=True)
def _as_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    at_exit: list[Callable[[], object]] = []
    monkeypatch.setattr("atexit.register", at_exit.append)
    for variable in os.environ.keys() & {*VARIABLES}:
        monkeypatch.delenv(variable)
    monkeypatch.syspath_prepend(ROOT / "examples")
    yield
    for end in at_exit:
        end()


def run_example(name: str) -> None:
    """Run a program in this process: starting Python for each of them would take most of the time."""
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_program_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if "executionkit.mcp" in (ROOT / "examples" / name).read_text(encoding="utf-8"):
        pytest.importorskip("mcp")
    run_example(name)
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out or name == "endpoint.py"


def test_an_example_program_takes_a_real_endpoint_from_the_environment() -> None:
    with LocalEndpoint(["Paris"], api_key="a-key", models=["a-model"]) as endpoint:
        settings = dict(zip(VARIABLES, (endpoint.base_url, "a-model", "a-key"), strict=False))
        done = subprocess.run(
            [sys.executable, "-W", "error", str(ROOT / "examples" / "quick_start.py")],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Paris" in done.stdout
    assert endpoint.ledger.statuses == (200,) * 5


def test_an_example_program_with_two_models_takes_both_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with LocalEndpoint(lambda request: f"The answer is {request.number}.") as endpoint:
        monkeypatch.setenv("EXECUTIONKIT_BASE_URL", endpoint.base_url)
        monkeypatch.setenv("EXECUTIONKIT_MODEL", "small")
        monkeypatch.setenv("EXECUTIONKIT_STRONG_MODEL", "large")
        run_example("cascade.py")
    assert {request.model for request in endpoint.ledger.requests} == {"small", "large"}


def test_an_example_program_says_which_variable_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXECUTIONKIT_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("EXECUTIONKIT_MODEL", "")
    with pytest.raises(SystemExit, match="EXECUTIONKIT_MODEL"):
        run_example("quick_start.py")
