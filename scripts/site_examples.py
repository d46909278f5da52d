"""The pages of the example programs: one for each, and an index of them, from `examples/README.md`."""

import re
from pathlib import Path
from typing import NamedTuple

INDEX = "examples/index.md"
GROUP = re.compile(r"^## (.+)$", re.MULTILINE)
ROW = re.compile(r"^\| \[`(\w+)\.py`\]\(\1\.py\) \| (.+?): (.+) \|$", re.MULTILINE)
LINK = re.compile(r"\]\((\w+)\.py\)")


class Example(NamedTuple):
    """A program, as the list of the examples names it."""

    name: str
    title: str
    shows: str

    @property
    def page(self) -> str:
        """The program's page, below the folder of the docs."""
        return f"examples/{self.name}.md"


def groups(readme: str) -> dict[str, list[Example]]:
    """Return the programs below each heading of the list. A heading without programs is left out."""
    _, *parts = GROUP.split(readme)
    found = {
        heading: [Example(*row.groups()) for row in ROW.finditer(part)]
        for heading, part in zip(parts[::2], parts[1::2], strict=True)
    }
    return {heading: examples for heading, examples in found.items() if examples}


def index(readme: str) -> str:
    """Return the list for the site: its links lead to the pages of the programs."""
    return LINK.sub(r"](\1.md)", readme)


def text(example: Example, docs: Path) -> str:
    """Return the page of a program, with links to the pages that link to it."""
    lines = [
        f"# {example.title}",
        f"{example.shows[0].upper()}{example.shows[1:]}.",
        f"```console\n$ python examples/{example.name}.py\n```",
        f'```python\n--8<-- "examples/{example.name}.py"\n```',
        "[All examples, and how to run them against a real model](index.md)",
    ]
    explained = [
        f"[{title(path)}](../{path.relative_to(docs).as_posix()})"
        for path in sorted(docs.rglob("*.md"))
        if f"examples/{example.name}.md" in path.read_text(encoding="utf-8")
    ]
    if explained:
        lines.insert(2, f"Explained in: {', '.join(explained)}.")
    return "\n\n".join(lines)


def title(path: Path) -> str:
    """Return the heading of a page."""
    return path.read_text(encoding="utf-8").partition("# ")[2].partition("\n")[0]
