"""Every block of Python that is shown is run: in the README, the docs and the docstrings.

Blocks of one page are run in order and share their names, as a reader would; those of docstrings stand alone.
A block may use `await` at the top level; functions called `test_...` in it are run too. What asks
`http://localhost:8000/v1` is answered by a local endpoint. A block that can't run has a comment right above
it, `<!-- not run: the reason -->`.
"""

import ast
import asyncio
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from described import MODULES, PACKAGE, PUBLIC, READERS
from pages import FENCE, PAGES, docstrings, fences, name_of, prose, without_fences

from executionkit import LLMResponse, ToolCall
from executionkit.testing import ChatRequest, LocalEndpoint

# Classes that users make objects of; the others they are handed.
MADE_BY_USERS = [
    "CostTracker",
    "ConvergenceDetector",
    "Evaluation",
    "Fault",
    "Kit",
    "LLMResponse",
    "LocalEndpoint",
    "MockProvider",
    "Pairwise",
    "Provider",
    "RetryConfig",
    "Rubric",
    "TokenUsage",
    "Tool",
    "ToolError",
]
SHOWN_URL = "http://localhost:8000/v1"
LANGUAGES = {"python", "console", "text", "json", "toml", "yaml", "http", "mermaid"}
UNREAD = re.compile(r"^ *(```|~~~)", re.MULTILINE)
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
        assert not UNREAD.search(without_fences(text)), f"{where}: a fence that isn't closed, or of tildes"
        assert ">>>" not in text, f"{where}: examples are written without prompts"
        assert all(match[2] == "python" for match in FENCE.finditer(text)), f"{where}: a fence of what?"
        for indented in re.findall(r"(?<=\n\n)(?: {4}.*\n?|\n(?= {4}))+", FENCE.sub("", text)):
            assert not is_python(textwrap.dedent(indented)), f"{where}: fence this example"


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_python_in_pages_says_that_it_is_python(path: Path) -> None:
    assert not UNREAD.search(prose(path)), "a fence that isn't closed, or of tildes"
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
    assert {*functions, *READERS} >= {"consensus", "pipe", "extract_json", "number"}
    made = {name: PUBLIC[name] for name in MADE_BY_USERS}
    lacking = [
        name
        for name, value in {**functions, **READERS, **made}.items()
        if "```python" not in (inspect.getdoc(value) or "")
    ]
    assert lacking == []


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


def test_there_are_examples_to_run() -> None:
    # A pattern or a folder that stopped matching would make every test above pass.
    assert sum(len(blocks_of_page(path)) for path in PAGES) >= 12
    assert any(blocks_of_docstrings(path) for path in MODULES)
