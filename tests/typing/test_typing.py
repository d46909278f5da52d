"""What users' type checkers say of programs that use the library: every mistake found, nothing else."""

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("cases")
ROOT = Path(__file__).parents[2]

Lines = dict[tuple[str, int], str]
"""File name and line, with what is (or must be) said about it."""

pytestmark = pytest.mark.timeout(300)  # two whole type checkers, on whatever machine this is


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A user's program: away from our source and from our settings."""
    return shutil.copytree(CASES, tmp_path / "program")


def run(*command: str, cwd: Path) -> str:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True, check=False
    ).stdout


def marked() -> Lines:
    lines: Lines = {}
    for path in CASES.glob("*.py"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if "# E: " in line:
                lines[path.name, number] = line.partition("# E: ")[2]
    return lines


def check(said: Lines) -> None:
    expected = marked()
    unexpected = {where: text for where, text in said.items() if where not in expected}
    missed = {where: words for where, words in expected.items() if words not in said.get(where, "")}
    assert (unexpected, missed) == ({}, {})


@pytest.mark.skipif(find_spec("mypy") is None, reason="needs mypy: the `types` extra")
def test_mypy_finds_every_mistake_and_nothing_else(program: Path) -> None:
    cache = ROOT / ".mypy_cache" / "program"
    out = run("mypy", "--strict", "--config-file=", "--no-pretty", f"--cache-dir={cache}", ".", cwd=program)
    said: Lines = {}
    for line in out.splitlines():
        if found := re.match(r"(\S+\.py):(\d+): (?:error|note): (.*)", line):
            where = found[1], int(found[2])
            said[where] = f"{said.get(where, '')}{found[3]}\n"
    check(said)


@pytest.mark.skipif(find_spec("pyright") is None, reason="needs pyright: the `types` extra")
def test_pyright_finds_every_mistake_and_nothing_else(program: Path) -> None:
    (program / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}', encoding="utf-8")
    out = run("pyright", "--outputjson", "--pythonpath", sys.executable, cwd=program)
    report = json.loads(out)
    assert report["summary"]["filesAnalyzed"] == len(list(CASES.glob("*.py"))), out
    said: Lines = {}
    for item in report["generalDiagnostics"]:
        where = Path(item["file"]).name, item["range"]["start"]["line"] + 1
        said[where] = f"{said.get(where, '')}{item['message']}\n"
    check(said)


def test_there_are_mistakes_to_find() -> None:
    assert len(marked()) > 30
