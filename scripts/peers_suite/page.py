"""The pages as the script reads them: for each library what to install, and its blocks."""

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "coming-from.md"
KILLS_PAGE = PAGE.with_name("many-comparison.md")
SHOWN_URL = "http://localhost:8000/v1"

_SECTION = re.compile(r"^`pip install ([^`]+)`$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(
    r"^<!-- run by scripts/peers: (\w+) -->\n```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
_JOB = re.compile(r"^\| `(\w+)`: [^|]+ \|(?: `([^`]+)`)? +\|", re.MULTILINE)


class Block(NamedTuple):
    """A block that uses another library.

    Attributes:
        line: The line of the page on which its code begins.
        code: The code.
    """

    line: int
    code: str


def blocks(name: str) -> list[Block]:
    """The blocks of a library, in the order of the page."""
    text = PAGE.read_text(encoding="utf-8")
    return [
        Block(text.count("\n", 0, match.start(2)) + 1, textwrap.dedent(match[2]))
        for match in _BLOCK.finditer(text)
        if match[1] == name
    ]


def requirements() -> dict[str, list[str]]:
    """The packages that the blocks of each library need, as the page says."""
    text = PAGE.read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for section in _SECTION.finditer(text):
        for block in _BLOCK.finditer(section[2]):
            found[block[1]] = section[1].split()
    return found


def checks(name: str) -> Path:
    """The module with the checks of a library's table."""
    return Path(__file__).with_name(f"{name}.py")


def jobs() -> dict[str, list[str]]:
    """The jobs that are killed, and the packages that each of them needs, as the other page says."""
    found = _JOB.findall(KILLS_PAGE.read_text(encoding="utf-8"))
    return {name: packages.split() for name, packages in found}
