"""What the documentation states beside its tables is so: names, calls, errors, extras, versions."""

import ast
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
from described import BACKENDS, EXTRAS, PROJECT, PUBLIC, fields, find, parameters, tree_of_errors
from pages import ROOT, SITE, drawn_tree, fences, name_of, prose, spans

import executionkit
from executionkit import errors


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
    aliases = {name for name in executionkit.__all__ if name.endswith("_sync")}
    missing = set(executionkit.__all__) - shown - {"__version__"}
    if "errors" in shown:
        missing -= {*tree_of_errors(), "ToolError"}
    assert missing - (aliases & named) == set()


@pytest.mark.parametrize("path", SITE, ids=name_of)
def test_what_is_called_or_named_in_a_sentence_exists(path: Path) -> None:
    """`consensus(stop=...)`, `Provider.stream`, `executionkit.testing`: the names and keywords are there."""
    wrong: list[str] = []
    for span in spans(prose(path)):
        if re.search(r"\.(py|md|toml)$", span):
            continue  # a file; the tests of the pages look whether it is there
        try:
            tree = ast.parse(span, mode="eval")
        except SyntaxError:
            continue
        wrong.extend(f"`{span}`: {problem}" for problem in _problems(tree))
    assert wrong == []


def _problems(tree: ast.AST) -> list[str]:
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and callable(about := find(ast.unparse(node.func))):
            known = parameters(about)
            unknown = {keyword.arg for keyword in node.keywords} - known.keys() - {None}
            if unknown and not any(name.startswith("**") for name in known):
                found.append(f"there is no parameter {unknown}")
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            first = name.removeprefix("executionkit.").partition(".")[0]
            if name.startswith("executionkit."):
                found.extend([] if _is_importable(name) else [f"there is no {name}"])
            elif first in PUBLIC and find(name) is None and not _is_field(name):
                found.append(f"there is no {name}")
    return found


def _is_field(name: str) -> bool:
    kind, _, attribute = name.rpartition(".")
    return attribute in {field.name for field in fields(find(kind))}


def _is_importable(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


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
