"""Every block of Python that is shown is run: in the README, the docs and the docstrings.

Blocks of one page run in order and share their names. Blocks of docstrings stand alone. A block may use
`await` at the top level, and functions called `test_...` in it are run too. A local endpoint answers
requests to `http://localhost:8000/v1`, and to the address of any service that a `Provider` is made with.
Environment variables that a page reads as `os.environ["..."]` are set. A block that can't run has a comment
right above it, `<!-- not run: the reason -->`. A block of another library has
`<!-- run by scripts/peers: LIBRARY -->`. A block below `<!-- printed -->` is all that the program above it
prints.
"""

import ast
import asyncio
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import MODULES, PAGES, ROOT, Block, blocks, name_of, prose, texts
from peers_suite import page as peers

from executionkit import LLMResponse, ToolCall
from executionkit.testing import ChatRequest, LocalEndpoint

SHOWN_URL = "http://localhost:8000/v1"
SERVICE = re.compile(r'(\bProvider\(\s*")https?://[^"?]*')
VARIABLE = re.compile(r'\benviron\["(\w+)"\]')
LANGUAGES = {"python", "console", "text", "json", "toml", "yaml", "http", "mermaid"}
OPTIONAL = {"executionkit.mcp": "mcp", "import polars": "polars", "import duckdb": "duckdb"}
"""What some pages use, and the package that must be installed for it."""
WITH_EXAMPLES = [
    path
    for path in [*PAGES, *MODULES]
    # Read first: only a few modules have to be parsed in every process that collects tests.
    if "```python" in path.read_text(encoding="utf-8") and any(block.runs for block in blocks(path))
]


def simulated(request: ChatRequest) -> str | LLMResponse:
    """Calls the first tool once, gives one bill and one film, likes and scores all alike, else says Paris."""
    if request.tools and request.messages[-1]["role"] != "tool":
        function = request.tools[0]["function"]
        arguments = dict.fromkeys(function["parameters"].get("properties", {}), "tea")
        return LLMResponse("", [ToolCall("call_1", function["name"], arguments)])
    if any(tool["function"]["name"] == "final_answer" for tool in request.tools or ()):
        bill = {"items": ["tea", "scone"], "total": 5.7}
        return LLMResponse("Enjoy.", [ToolCall("call_2", "final_answer", bill)])
    if "Reply with one JSON" in request.messages[0]["content"]:
        return '{"title": "Metropolis", "year": 1927}'
    if "positive or negative" in request.prompt:
        return "positive"
    return "Score: 9" if "Judge how well" in request.prompt else "Paris"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with LocalEndpoint(simulated) as running:
        yield running


def run(block: Block, names: dict[str, Any], path: Path, base_url: str) -> None:
    # Blank lines in front: a traceback then names the line of the page.
    shown = SERVICE.sub(lambda match: match[1] + base_url, block.code).replace(SHOWN_URL, base_url)
    source = "\n" * (block.line - 1) + shown
    code = compile(source, str(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    before = dict(names)
    finish(eval(code, names))  # a coroutine if there is an `await` in it, otherwise None
    for name, value in list(names.items()):
        if name.startswith("test_") and before.get(name) is not value:
            finish(value())


def finish(outcome: object) -> None:
    if inspect.iscoroutine(outcome):
        asyncio.run(outcome)


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=name_of)
def test_the_examples_run(
    path: Path,
    endpoint: LocalEndpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)  # an example may write files
    code = "\n".join(block.code for block in blocks(path) if block.runs)
    for used, package in OPTIONAL.items():
        if used in code:
            pytest.importorskip(package)
    for variable in VARIABLE.findall(code):
        monkeypatch.setenv(variable, endpoint.base_url if variable.endswith("_URL") else "a-key")
    names: dict[str, Any] = {"__name__": "page"}
    printed = ""
    for block in blocks(path):
        if block.printed:
            assert printed == block.code, f"{name_of(path)}:{block.line}"
        if block.runs:
            stands_alone = path.suffix == ".py"
            run(block, {"__name__": "docstring"} if stands_alone else names, path, endpoint.base_url)
            printed = capsys.readouterr().out


def test_examples_are_found_wherever_they_stand(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nfirst\n```\n"
        '=== "A tab"\n\n    ```python title="a.py"\n    second\n\n    again\n    ```\n'
        "<!-- not run: needs a key -->\n```python\nthird\n```\n"
        "<!-- not run: -->\n\n```{.python}\nfourth\n```\n",
        encoding="utf-8",
    )
    found = [(block.line, block.code) for block in blocks(page) if block.runs]
    assert found == [(2, "first\n"), (7, "second\n\nagain\n"), (18, "fourth\n")]
    assert {"README.md", "docs/patterns/consensus.md", "executionkit/patterns/consensus.py"} <= {
        name_of(path) for path in WITH_EXAMPLES
    }


def test_an_example_that_fails_is_a_failure_at_its_line(tmp_path: Path) -> None:
    for code in ("assert False", "await 1", "def test_it():\n    assert False"):
        with pytest.raises((AssertionError, TypeError)) as failure:
            run(Block("python", 40, code), {}, tmp_path, SHOWN_URL)
        assert any(str(entry.path) == str(tmp_path) and entry.lineno >= 39 for entry in failure.traceback)


def test_no_python_is_shown_that_is_not_run() -> None:
    faults: list[str] = []
    for path in [*PAGES, *MODULES]:
        faults += [
            f"{name_of(path)}:{block.line}: the language is {block.language!r}"
            for block in blocks(path)
            if block.language not in LANGUAGES or (block.language != "python" and is_python(block.code))
        ]
        for line, text in texts(path):
            if re.search(r"^ *(```|~~~|>>> )", prose(text), re.MULTILINE):
                faults.append(f"{name_of(path)}:{line}: a prompt, tildes, or a fence that is not closed")
    assert faults == []


def test_no_python_is_wider_than_the_pages_of_the_site() -> None:
    """The stylesheet breaks lines of a terminal, and `examples/ruff.toml` keeps the examples narrow."""
    on_the_site = [path for path in [*PAGES, *MODULES] if "docs" in path.parts or path.suffix == ".py"]
    wide = [
        f"{name_of(path)}:{block.line + n}"
        for path in on_the_site
        for block in blocks(path)
        if block.language == "python"
        for n, line in enumerate(block.code.splitlines())
        if len(line) > 95
    ]
    assert wide == []


def test_what_is_not_run_compiles() -> None:
    for path in [*PAGES, *MODULES]:
        for block in blocks(path):
            if block.language == "python" and not block.runs:
                source = "\n" * (block.line - 1) + block.code
                compile(source, str(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_the_blocks_of_other_libraries_are_run_by_the_script() -> None:
    marked = {
        (path, block.peer, block.line, block.code) for path in PAGES for block in blocks(path) if block.peer
    }
    assert marked == {
        (block.page, name, block.line, block.code)
        for name in peers.requirements()
        if peers.checks(name).exists()
        for block in peers.blocks(name)
    }
    assert len(marked) > 8
    pins = {package.partition("==")[2] for packages in peers.requirements().values() for package in packages}
    comparison = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| \[.+?\]\(coming-from/.+?\) \| ([\d.]+) \|", comparison, re.MULTILINE)
    assert len(named) == 8
    assert pins >= set(named)


def is_python(code: str) -> bool:
    """Whether a text is Python that does something. A word or a JSON object does nothing."""
    try:
        parsed = ast.parse(code).body
    except SyntaxError:
        return False
    return any(not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call) for node in parsed)
