"""The documentation as the tests read it: pages, their blocks of code, their tables, their drawings."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "examples/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
# Where facts are stated as they are now.
SITE = [path for path in PAGES if "decisions" not in path.parts and path.name != "changelog.md"]

FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(`+)(.+?)\1(?!`)", re.DOTALL)


def name_of(path: Path) -> str:
    """A page's path as people say it, for test ids and messages."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


class Fence(NamedTuple):
    """A fenced block: its info string (`python`), the line its code begins on, its code."""

    info: str
    line: int
    code: str

    @property
    def language(self) -> str:
        """The first word of the info string; `{ .python }` is spelt out."""
        return self.info.strip("{ .}").split(" ")[0].replace("pycon", "python")


class Table(NamedTuple):
    """A table, and the headings it stands under, the nearest first."""

    where: str
    headings: list[str]
    header: list[str]
    rows: list[list[str]]

    @property
    def kind(self) -> str:
        """The first cell of the header, which says what the rows are about."""
        return self.header[0]

    def column(self, title: str) -> dict[str, str]:
        """What a column says of each name in the first one; a row may be about several."""
        assert title in self.header, f"{self.where}: the table has no column {title!r}"
        place = self.header.index(title)
        return {name: row[place] for row in self.rows for name in spans(row[0])}

    @property
    def names(self) -> list[str]:
        """The names the rows are about: the code spans of the first column."""
        return [name for row in self.rows for name in spans(row[0])]


def fences(path: Path) -> list[Fence]:
    """The fenced blocks of a page, indented ones (in a list, in an admonition) included."""
    text = path.read_text(encoding="utf-8")
    found: list[Fence] = []
    for match in FENCE.finditer(text):
        code = re.sub(rf"^{match[1]}", "", match[3], flags=re.MULTILINE)
        found.append(Fence(match[2].strip(), text.count("\n", 0, match.start(3)) + 1, code))
    return found


def prose(path: Path) -> str:
    """A page without its fenced blocks; the lines stay where they are."""
    return without_fences(path.read_text(encoding="utf-8"))


def without_fences(text: str) -> str:
    """A text with empty lines for its fenced blocks."""
    return FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)


def docstrings(path: Path) -> list[tuple[int, str]]:
    """Every docstring of a module and the line that its object begins on."""
    nodes = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    return [(getattr(node, "lineno", 1), ast.get_docstring(node) or "") for node in nodes]


def spans(text: str) -> list[str]:
    """The code spans in a text."""
    return [match[2].strip().replace("\\|", "|") for match in _SPAN.finditer(text)]


def tables(path: Path) -> Iterator[Table]:
    """The tables of a page."""
    headings: dict[int, str] = {}
    lines = prose(path).splitlines()
    for number, line in enumerate(lines):
        if heading := re.match(r"(#+) +(.*)", line):
            level = len(heading[1])
            headings = {
                **{above: text for above, text in headings.items() if above < level},
                level: heading[2],
            }
        is_rule = re.fullmatch(r" *\|[ :|-]+\| *", line)
        if is_rule and number and "|" in lines[number - 1]:
            rows: list[list[str]] = []
            for row in lines[number + 1 :]:
                if not row.strip().startswith("|"):
                    break
                rows.append(_cells(row))
            above = [headings[level] for level in sorted(headings, reverse=True)]
            yield Table(f"{name_of(path)}:{number}", above, _cells(lines[number - 1]), rows)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def drawn_tree(drawing: str) -> dict[str, str | None]:
    """The names in a tree drawn with lines or spaces, each with the one above it."""
    above: list[tuple[int, str]] = []
    found: dict[str, str | None] = {}
    for line in drawing.splitlines():
        if match := re.match(r"[\s│├└─|`+-]*(\w+)", line):
            column = match.start(1)
            above = [(place, name) for place, name in above if place < column]
            found[match[1]] = above[-1][1] if above else None
            above.append((column, match[1]))
    return found
