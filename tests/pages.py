"""The documentation as the tests read it: pages, docstrings, and the blocks of code in them."""

import ast
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import executionkit

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "examples/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
# Not below ROOT: the tests of an sdist run against an installed wheel.
PACKAGE = Path(executionkit.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

_FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(`+)(.+?)\1(?!`)", re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: .+? -->\s*\Z")
_RUN_BY_PEERS = re.compile(r"<!-- run by scripts/peers: (\w+) -->\n\Z")
_PRINTED = re.compile(r"<!-- printed -->\s*\Z")


def name_of(path: Path) -> str:
    """A page's path as people write it, for test ids and messages."""
    home = PACKAGE.parent if path.is_relative_to(PACKAGE) else ROOT
    return path.relative_to(home).as_posix()


class Block(NamedTuple):
    """A fenced block: its language, the line its code begins on, its code, and whether it is to be run.

    A block of another library is run by `scripts/peers`, and not by the tests; `peer` names the library.
    `printed` says that it is all that the program above it prints.
    """

    language: str
    line: int
    code: str
    runs: bool = False
    peer: str | None = None
    printed: bool = False


@cache
def texts(path: Path) -> list[tuple[int, str]]:
    """The text of a page, or each docstring of a module, with the line it begins on."""
    source = path.read_text(encoding="utf-8")
    return [(1, source)] if path.suffix == ".md" else list(_docstrings(ast.parse(source)))


def _docstrings(node: ast.AST) -> Iterator[tuple[int, str]]:
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and (
        docstring := ast.get_docstring(node)
    ):
        yield node.body[0].lineno, docstring
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):  # expressions, which are most nodes, have none
            yield from _docstrings(child)


@cache
def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page or of a module's docstrings, indented ones included."""
    found: list[Block] = []
    for start, text in texts(path):
        for match in _FENCE.finditer(text):
            language = match[2].strip("{ .}").split(" ")[0]
            peer = _RUN_BY_PEERS.search(text, 0, match.start())
            runs = language == "python" and not peer and not _NOT_RUN.search(text, 0, match.start())
            line = start + text.count("\n", 0, match.start(3))
            printed = bool(_PRINTED.search(text, 0, match.start()))
            code = textwrap.dedent(match[3])
            found.append(Block(language, line, code, runs, peer[1] if peer else None, printed))
    return found


def prose(text: str) -> str:
    """A text without its fenced blocks. The lines stay where they are."""
    return _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)


def spans(text: str) -> list[str]:
    """The code spans in a text."""
    return [match[2].strip().replace("\\|", "|") for match in _SPAN.finditer(text)]
