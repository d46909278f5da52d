"""Every example that is shown is run: the README, the docs, the docstrings, the programs in examples/.

Blocks of one page are run in order and share their names, as a reader would; those of docstrings stand alone.
A block may use `await` at the top level; functions called `test_...` in it are run too. What asks
`http://localhost:8000/v1` is answered by a local endpoint. A block that can't run has a comment right above
it, `<!-- not run: the reason -->`.
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
from described import PACKAGE, PUBLIC
from pages import FENCE, PAGES, ROOT, fences, name_of, spans

from executionkit import LLMResponse, ToolCall, answers
from executionkit.testing import ChatRequest, LocalEndpoint

# Classes that users make objects of; the others they are handed.
MADE_BY_USERS = (
    *(
        "Kit",
        "Provider",
        "Tool",
        "TokenUsage",
        "RetryConfig",
        "Evaluation",
        "Rubric",
        "Pairwise",
        "ToolError",
    ),
    *("MockProvider", "LocalEndpoint", "Fault", "LLMResponse", "ConvergenceDetector", "CostTracker"),
)
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MODULES = sorted(PACKAGE.rglob("*.py"))
SHOWN_URL = "http://localhost:8000/v1"
LANGUAGES = {"python", "console", "text", "json", "toml", "yaml", "http", "mermaid"}
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\s*\Z")


class Block(NamedTuple):
    """A piece of Python and the line of its file that it begins on."""

    line: int
    code: str


def blocks_of_page(path: Path) -> list[Block]:
    """The Python of a page, but for blocks right below a comment `<!-- not run: the reason -->`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [
        Block(fence.line, fence.code)
        for fence in fences(path)
        if fence.language == "python" and not NOT_RUN.search("\n".join(lines[: fence.line - 2]))
    ]


def blocks_of_docstrings(path: Path) -> list[Block]:
    """The fenced Python in a module's docstrings."""
    return [
        Block(line, textwrap.dedent(match[3]))
        for line, text in docstrings(path)
        for match in FENCE.finditer(text)
        if match[2] == "python"
    ]


def docstrings(path: Path) -> list[tuple[int, str]]:
    """Every docstring of a module and the line that its object begins on."""
    nodes = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    return [(getattr(node, "lineno", 1), ast.get_docstring(node) or "") for node in nodes]


def is_python(code: str) -> bool:
    """Whether a text is Python that does something; a word or a JSON object is none."""
    try:
        parsed = ast.parse(code).body
    except SyntaxError:
        return False
    return any(not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call) for node in parsed)


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


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_the_examples_of_a_page_run(path: Path, endpoint: LocalEndpoint) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks_of_page(path):
        run(block, names, path, endpoint.base_url)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_examples_in_docstrings_run(path: Path, endpoint: LocalEndpoint) -> None:
    for block in blocks_of_docstrings(path):
        run(block, {"__name__": "docstring"}, path, endpoint.base_url)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_python_in_docstrings_is_fenced_so_that_it_is_run(path: Path) -> None:
    for line, text in docstrings(path):
        where = f"{path}:{line}"
        assert ">>>" not in text, f"{where}: examples are written without prompts"
        assert all(match[2] == "python" for match in FENCE.finditer(text)), f"{where}: a fence of what?"
        for indented in re.findall(r"(?<=\n\n)(?: {4}.*\n?|\n(?= {4}))+", FENCE.sub("", text)):
            assert not is_python(textwrap.dedent(indented)), f"{where}: fence this example"


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_python_in_pages_says_that_it_is_python(path: Path) -> None:
    for fence in fences(path):
        where = f"{name_of(path)}:{fence.line}"
        assert fence.language in LANGUAGES, f"{where}: {fence.info!r} is none of {sorted(LANGUAGES)}"
        assert fence.language == "python" or not is_python(fence.code), f"{where}: this is Python"


def test_what_users_call_has_an_example_in_its_docstring() -> None:
    functions = {
        name: value
        for name, value in PUBLIC.items()
        if inspect.isfunction(value) and not name.startswith(("count_", "_")) and not name.endswith("_sync")
    }
    readers = {name: getattr(answers, name) for name in answers.__all__}
    assert {*functions, *readers} >= {"consensus", "pipe", "extract_json", "number"}
    made = {name: PUBLIC[name] for name in MADE_BY_USERS}
    lacking = [
        name
        for name, value in {**functions, **readers, **made}.items()
        if "```python" not in (inspect.getdoc(value) or "")
    ]
    assert lacking == []


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


def run_example(name: str, **variables: str) -> subprocess.CompletedProcess[str]:
    path, environment = ROOT / "examples" / name, {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, str(path)], env=environment, capture_output=True, text=True, check=False
    )


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


def test_python_of_a_page_is_found_wherever_it_stands(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nfirst\n```\n"
        '=== "A tab"\n\n    ```python title="a.py"\n    second\n\n    again\n    ```\n'
        "<!-- not run: needs a key -->\n```python\nthird\n```\n"
        "<!-- not run: -->\n\n```{.python}\nfourth\n```\n",
        encoding="utf-8",
    )
    assert blocks_of_page(page) == [Block(2, "first\n"), Block(7, "second\n\nagain\n"), Block(18, "fourth\n")]


def test_a_block_that_fails_is_a_failure_at_its_line(tmp_path: Path) -> None:
    for code in ("assert False", "await 1", "def test_it():\n    assert False"):
        with pytest.raises((AssertionError, TypeError)) as failure:
            run(Block(40, code), {}, tmp_path, SHOWN_URL)
        assert any(str(entry.path) == str(tmp_path) and entry.lineno >= 39 for entry in failure.traceback)


def test_the_list_of_examples_is_whole() -> None:
    shown = spans((ROOT / "examples" / "README.md").read_text(encoding="utf-8"))
    assert {path.name for path in EXAMPLES} <= set(shown)


def test_there_are_examples_to_run() -> None:
    # A pattern or a folder that stopped matching would make every test above pass.
    assert len(EXAMPLES) >= 9
    assert sum(len(blocks_of_page(path)) for path in PAGES) >= 12
    assert any(blocks_of_docstrings(path) for path in MODULES)


def test_every_pattern_has_a_page_and_every_page_is_in_the_navigation() -> None:
    patterns = {path.stem for path in (PACKAGE / "patterns").glob("*.py")} - {"__init__", "base"}
    pages = {path.stem for path in (ROOT / "docs" / "patterns").glob("*.md")}
    assert patterns | {"pipe"} <= pages
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    shown = [str(path.relative_to(ROOT / "docs")) for path in PAGES if path.is_relative_to(ROOT / "docs")]
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
