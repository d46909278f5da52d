"""Every example that is shown is run: the README, the docs, the docstrings, the programs in examples/.

Blocks of one page are run in order and share their names, as a reader would. A block may use `await` at the
top level; functions called `test_...` in it are run too. What asks `http://localhost:8000/v1` is answered by
a local endpoint.
"""

import ast
import asyncio
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import executionkit
from executionkit import LLMResponse, ToolCall, testing
from executionkit.testing import ChatRequest, LocalEndpoint

ROOT = Path(__file__).parents[1]
PACKAGE = Path(executionkit.__file__).parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHOWN_URL = "http://localhost:8000/v1"
FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A piece of Python and the line of its file that it begins on."""

    line: int
    code: str


def blocks_of_page(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    return [
        Block(text.count("\n", 0, match.start(2)) + 1, match[2])
        for match in FENCE.finditer(text)
        if match[1] in ("python", "py")
    ]


def blocks_of_docstrings(path: Path) -> list[Block]:
    """Indented blocks, after an empty line, that are Python; a drawing or a list is not."""
    found: list[Block] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node) or ""
            assert "```" not in text, f"{path}: indent examples in docstrings instead of fencing them"
            assert ">>>" not in text, f"{path}: write examples in docstrings without prompts"
            for match in re.finditer(r"(?<=\n\n)(?: {4}.*\n?|\n(?= {4}))+", text):
                code = textwrap.dedent(match[0])
                if _is_python(code):
                    found.append(Block(getattr(node, "lineno", 1), code))
    return found


def _is_python(code: str) -> bool:
    try:
        ast.parse(code)
    except SyntaxError:
        return False
    return True


def simulated(request: ChatRequest) -> str | LLMResponse:
    """Calls the first tool once, scores every text the same, knows one film, says Paris to all else."""
    if request.tools and request.messages[-1]["role"] != "tool":
        function = request.tools[0]["function"]
        arguments = dict.fromkeys(function["parameters"].get("properties", {}), "tea")
        return LLMResponse("", [ToolCall("call_1", function["name"], arguments)])
    if "Reply with one JSON" in request.prompt:
        return '{"title": "Metropolis", "year": 1927}'
    return "Score: 9" if "Judge how well" in request.prompt else "Paris"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with LocalEndpoint(simulated) as running:
        yield running


def run(block: Block, names: dict[str, Any], path: Path, base_url: str) -> None:
    # Blank lines in front: a traceback then names the line of the page.
    source = "\n" * (block.line - 1) + block.code.replace(SHOWN_URL, base_url)
    code = compile(source, str(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    before = dict(names)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, names))  # that is how a code object with `await` in it is run
    else:
        exec(code, names)
    for name, value in list(names.items()):
        if name.startswith("test_") and callable(value) and before.get(name) is not value:
            outcome = value()
            if inspect.iscoroutine(outcome):
                asyncio.run(outcome)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_of_a_page_run(path: Path, endpoint: LocalEndpoint) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks_of_page(path):
        run(block, names, path, endpoint.base_url)


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_the_examples_in_docstrings_run(path: Path, endpoint: LocalEndpoint) -> None:
    public = {name: getattr(executionkit, name) for name in executionkit.__all__}
    kit = {name: getattr(testing, name) for name in testing.__all__}
    for block in blocks_of_docstrings(path):
        run(block, {"__name__": "docstring", **public, **kit}, path, endpoint.base_url)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_program_runs(path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EXECUTIONKIT_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout or path.name == "endpoint.py"


def test_an_example_program_takes_a_real_endpoint_from_the_environment(endpoint: LocalEndpoint) -> None:
    before = endpoint.ledger.calls
    environment = {
        **os.environ,
        "EXECUTIONKIT_BASE_URL": endpoint.base_url,
        "EXECUTIONKIT_MODEL": "a-model",
        "EXECUTIONKIT_API_KEY": "a-key",
    }
    quick_start = ROOT / "examples" / "quick_start.py"
    done = subprocess.run(
        [sys.executable, str(quick_start)], env=environment, capture_output=True, text=True, check=True
    )
    assert "Paris" in done.stdout
    assert endpoint.ledger.calls == before + 5


def test_there_are_examples_to_run() -> None:
    # A pattern or a folder that stopped matching would make every test above pass.
    assert len(EXAMPLES) >= 9
    assert sum(len(blocks_of_page(path)) for path in PAGES) >= 12
    assert any(blocks_of_docstrings(path) for path in PACKAGE.rglob("*.py"))


def test_every_pattern_has_a_page_and_every_page_is_in_the_navigation() -> None:
    patterns = {path.stem for path in (PACKAGE / "patterns").glob("*.py")} - {"__init__", "base"}
    pages = {path.stem for path in (ROOT / "docs" / "patterns").glob("*.md")}
    assert patterns | {"pipe"} <= pages
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    shown = [str(path.relative_to(ROOT / "docs")) for path in PAGES[2:]]
    assert [page for page in shown if page not in navigation] == []


def test_every_decision_is_in_the_index_and_they_are_numbered_without_gaps() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [int(name[:4]) for name in records] == list(range(1, len(records) + 1))
    index = (folder / "index.md").read_text(encoding="utf-8")
    assert [name for name in records if f"]({name})" not in index] == []


def test_the_links_between_pages_and_to_files_lead_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", target) and not (path.parent / target).exists()
    ]
    assert broken == []


def test_the_pages_name_only_files_and_objects_that_exist() -> None:
    files = re.compile(r"`((?:tests|docs|examples|scripts|benchmarks)/[\w./-]+\.\w+)`")
    objects = re.compile(r"^::: (\S+)", re.MULTILINE)
    wrong: list[str] = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        wrong.extend(name for name in files.findall(text) if not (ROOT / name).exists())
        wrong.extend(name for name in objects.findall(text) if not _exists(name))
    assert wrong == []


def _exists(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True
