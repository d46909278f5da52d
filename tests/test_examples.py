"""The programs in examples/ run as they are, against a simulated model, and against a real one."""

import os
import subprocess
import sys

import pytest
from pages import ROOT, spans

from executionkit.testing import LocalEndpoint

EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))


def run_example(name: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program with these variables of the examples and no other, and with warnings as errors."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EXECUTIONKIT_")}
    return subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / name)],
        env={**environment, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_program_runs(name: str) -> None:
    done = run_example(name)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout or name == "endpoint.py"


def test_an_example_program_takes_a_real_endpoint_from_the_environment() -> None:
    with LocalEndpoint(["Paris"], api_key="a-key", models=["a-model"]) as endpoint:
        asked = {"EXECUTIONKIT_BASE_URL": endpoint.base_url, "EXECUTIONKIT_MODEL": "a-model"}
        done = run_example("quick_start.py", **asked, EXECUTIONKIT_API_KEY="a-key")
    assert "Paris" in done.stdout
    assert endpoint.ledger.statuses == (200,) * 5


def test_an_example_program_with_two_models_takes_both_from_the_environment() -> None:
    with LocalEndpoint(lambda request: f"The answer is {request.number}.") as endpoint:
        asked = {"EXECUTIONKIT_BASE_URL": endpoint.base_url, "EXECUTIONKIT_MODEL": "small"}
        done = run_example("cost_routing.py", **asked, EXECUTIONKIT_STRONG_MODEL="large")
    assert (done.returncode, done.stderr) == (0, "")
    assert {request.model for request in endpoint.ledger.requests} == {"small", "large"}


def test_an_example_program_says_which_variable_is_missing() -> None:
    done = run_example("quick_start.py", EXECUTIONKIT_BASE_URL="http://127.0.0.1:9/v1", EXECUTIONKIT_MODEL="")
    assert done.returncode != 0
    assert "EXECUTIONKIT_MODEL" in done.stderr.splitlines()[-1]


def test_the_list_of_examples_is_whole() -> None:
    shown = spans((ROOT / "examples" / "README.md").read_text(encoding="utf-8"))
    assert len(EXAMPLES) >= 16
    assert set(EXAMPLES) <= set(shown)
