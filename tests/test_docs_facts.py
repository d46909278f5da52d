"""What the documentation states beside its tables is so: names, calls, errors, extras, versions."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from described import (
    BACKENDS,
    CALLED,
    EXTRAS,
    MODULES,
    PACKAGE,
    PROJECT,
    PUBLIC,
    find,
    parameters,
    tree_of_errors,
)
from pages import ROOT, SITE, docstrings, drawn_tree, fences, name_of, prose, spans, without_fences

import executionkit
from executionkit import errors

VARIABLE = re.compile(r"\bEXECUTIONKIT_[A-Z_]+[A-Z]\b")


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn = [
        code
        for code in [inspect.getdoc(errors) or "", *(fence.code for path in SITE for fence in fences(path))]
        if re.search(r"^ *ExecutionKitError\b.*\n[ │├]*[├└]", code, re.MULTILINE)
    ]
    assert drawn
    for drawing in drawn:
        start = drawing.index("ExecutionKitError")
        lines = drawing[start:].split("\n\n")[0]
        assert drawn_tree(lines) == tree_of_errors()


def test_every_export_is_in_the_reference() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    shown = {name.removeprefix("executionkit.") for name in re.findall(r"^::: (\S+)", text, re.MULTILINE)}
    named = set(spans(text))
    aliases = {name for name in vars(executionkit)["__all__"] if name.endswith("_sync")}
    own = {f"{module}.{name}" for module in ("answers", "testing") for name in PUBLIC[module].__all__}
    missing = {*vars(executionkit)["__all__"], *own} - shown - {"__version__", "testing.MockProvider"}
    if "errors" in shown:
        missing -= {*tree_of_errors(), "ToolError"}
    assert missing - (aliases & named) == set()


@pytest.mark.parametrize("path", SITE, ids=name_of)
def test_what_is_called_or_named_in_a_sentence_exists(path: Path) -> None:
    """`consensus(stop=...)`, `Provider.stream`, `executionkit.testing`: the names and keywords are there."""
    assert _wrong_names(prose(path)) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_is_called_or_named_in_a_docstring_exists(path: Path) -> None:
    assert [wrong for _, text in docstrings(path) for wrong in _wrong_names(without_fences(text))] == []


def _wrong_names(text: str) -> list[str]:
    found: list[str] = []
    for span in spans(text):
        if re.search(r"\.(py|md|toml)$", span):
            continue  # a file; the tests of the pages look whether it is there
        try:
            tree = ast.parse(span, mode="eval")
        except (SyntaxError, ValueError):
            continue
        found.extend(f"`{span}`: {problem}" for problem in _problems(tree))
    return found


def _problems(tree: ast.AST) -> list[str]:
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and callable(about := find(ast.unparse(node.func))):
            known = parameters(about)
            unknown = {keyword.arg for keyword in node.keywords} - known.keys() - {None}
            if unknown and not any(name.startswith("**") for name in known):
                found.append(f"there is no parameter {unknown}")
        if isinstance(node, ast.Attribute) and find(name := ast.unparse(node)) is None:
            is_ours = name.partition(".")[0] in {"executionkit", *PUBLIC, *CALLED}
            found.extend([f"there is no {name}"] if is_ours else [])
    return found


def test_the_extras_and_back_ends_named_are_those_there_are() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SITE)
    bracketed = re.findall(r"(?:executionkit|pip install \"?\.)\[([\w, -]+)\]", text)
    assert {extra.strip() for names in bracketed for extra in names.split(",")} | set(spans(text)) >= EXTRAS
    assert {extra.strip() for names in bracketed for extra in names.split(",")} <= EXTRAS | {"dev", "test"}
    chosen = set(re.findall(r"backend=[\"'](\w+)[\"']", text))
    assert chosen <= BACKENDS
    assert BACKENDS - {"auto"} <= chosen | set(spans(text))


def test_the_versions_of_python_named_are_those_supported() -> None:
    told = [
        (name_of(path), match)
        for path in SITE
        for match in re.findall(
            r"Python (?:>= ?)?(3\.\d+)[\d.]*(?:(?: to |-|–)(3\.\d+)| or (?:newer|later)|\+)",
            path.read_text(encoding="utf-8"),
        )
    ]
    supported = [
        found[1] for line in PROJECT["classifiers"] if (found := re.search(r"Python :: (3\.\d+)$", line))
    ]
    assert PROJECT["requires-python"] == f">={supported[0]}"
    assert {page for page, _ in told} >= {"README.md", "CONTRIBUTING.md"}
    assert {match for _, match in told} <= {(supported[0], supported[-1]), (supported[0], "")}


def test_the_targets_of_make_named_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    shown = [span for path in SITE for span in spans(prose(path))]
    shown += [line for path in SITE for fence in fences(path) for line in fence.code.splitlines()]
    called = {match[1] for line in shown if (match := re.match(r"(?:\$ )?make (?:\w+=\S+ )*([a-z]+)", line))}
    assert {"test", "docs"} <= called <= targets


def test_the_environment_variables_named_are_read() -> None:
    sources = [*PACKAGE.rglob("*.py"), *(ROOT / "examples").glob("*.py")]
    read = {name for path in sources for name in VARIABLE.findall(path.read_text(encoding="utf-8"))}
    named = {name for path in SITE for name in VARIABLE.findall(path.read_text(encoding="utf-8"))}
    assert {"EXECUTIONKIT_BASE_URL"} <= named <= read


@pytest.mark.parametrize(
    "span",
    [
        *("consensus(samples=3)", "kit.consensus(samples=3)", "RateLimitError(after=1)"),
        *("kit.total", "Provider.strem", "executionkit.testin", "result.agreement"),
    ],
)
def test_a_name_that_is_not_there_is_found(span: str) -> None:
    assert _problems(ast.parse(span, mode="eval"))
