"""The pages as the script reads them: for each library what to install, and its blocks."""

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "coming-from").glob("*.md"))
KILLS_PAGE = ROOT / "docs" / "many-comparison.md"
SHOWN_URL = "http://localhost:8000/v1"

_PACKAGES = re.compile(r"`pip install ([^`]+)`")
_BLOCK = re.compile(
    r"^<!-- run by scripts/peers: (\w+) -->\n```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
_JOB = re.compile(r"^\| `(\w+)`: [^|]+ \|(?: `([^`]+)`)? +\|", re.MULTILINE)


class Block(NamedTuple):
    """A block that uses another library.

    Attributes:
        page: The page.
        line: The line of the page on which its code begins.
        code: The code.
    """

    page: Path
    line: int
    code: str


def blocks(name: str) -> list[Block]:
    """The blocks of a library, in the order of its page."""
    return [
        Block(page, text.count("\n", 0, match.start(2)) + 1, textwrap.dedent(match[2]))
        for page, text in _texts().items()
        for match in _BLOCK.finditer(text)
        if match[1] == name
    ]


def requirements() -> dict[str, list[str]]:
    """The packages that the blocks of each library need, as its page says."""
    return {
        block[1]: packages[1].split()
        for text in _texts().values()
        if (packages := _PACKAGES.search(text))
        for block in _BLOCK.finditer(text)
    }


def _texts() -> dict[Path, str]:
    return {page: page.read_text(encoding="utf-8") for page in PAGES}


def checks(name: str) -> Path:
    """The module with the checks of a library's table."""
    return Path(__file__).with_name(f"{name}.py")


def jobs() -> dict[str, list[str]]:
    """The jobs that are killed, and the packages that each of them needs, as the other page says."""
    found = _JOB.findall(KILLS_PAGE.read_text(encoding="utf-8"))
    return {name: packages.split() for name, packages in found}
