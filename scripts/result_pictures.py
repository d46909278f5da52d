"""Make the pictures of the page "Results": a notebook and a terminal, on both themes.

The notebook is run by nbclient, written as HTML by nbconvert, and photographed by a headless Chromium. The
terminal is drawn by rich. Replies come from a script, so the pictures say the same each time.

    pip install ".[test]" nbclient nbconvert ipykernel
    python scripts/result_pictures.py
"""

import argparse
import asyncio
import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME
from rich.text import Text

ASSETS = Path(__file__).parents[1] / "docs" / "assets"
WIDTH, HEIGHT = 760, 890
MOST_BYTES = 100_000

SETTING = '''
from executionkit import LLMResponse, MockProvider, TokenUsage, ToolCall
from executionkit import consensus, react_loop, refine_loop, tool

USAGE = TokenUsage(input_tokens=44, output_tokens=6)


def answering(*replies):
    return MockProvider(list(replies), usage=USAGE)


@tool
def price(item: str) -> float:
    """The price of an item on the menu."""
    return {"tea": 3.2, "scone": 2.8}[item]


def brevity(text, provider):
    return {40: 0.45, 30: 0.7}.get(len(text) // 10 * 10, 0.92)


asked = LLMResponse(
    "", [ToolCall("1", "price", {"item": "tea"}), ToolCall("2", "price", {"item": "scone"})]
)
voting = answering("Canberra", "Sydney", "Canberra", "Canberra", "Melbourne", "Canberra", "Sydney")
writing = answering(
    "A quiet house where tea is poured without haste.",
    "Tea, poured without any haste.",
    "Time, poured slowly.",
)
waiting = answering(asked, "Tea and a scone cost 6.00 together.")
'''

CELLS = [
    'await consensus(voting, "The capital of Australia? The name only.", num_samples=7)',
    'await refine_loop(writing, "A tagline for a tea house.", evaluator=brevity)',
    'await react_loop(waiting, "What do tea and a scone cost?", [price])',
]


def notebook(theme: str) -> str:
    """Run the cells; returns the notebook as a page."""
    cells = [nbformat.v4.new_code_cell(source) for source in (SETTING, *CELLS)]
    book = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(book, kernel_name="python3", timeout=120).execute()
    book.cells = book.cells[1:]
    page, _ = HTMLExporter(template_name="lab", theme=theme).from_notebook_node(book)
    return re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)  # they are fetched from elsewhere


def photograph(page: str, picture: Path, chromium: str) -> None:
    """Take a picture of a page."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "page.html")
        source.write_text(page, encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += [f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={picture}"]
        subprocess.run([chromium, *options, source.as_uri()], check=True, capture_output=True)


async def results() -> list[Any]:
    """The results of the cells."""
    names: dict[str, Any] = {}
    exec(SETTING, names)
    return [await eval(cell.removeprefix("await "), names) for cell in CELLS]


def terminal(shown: list[Any], theme: Any) -> str:
    """The results as rich draws them."""
    console = Console(record=True, width=72, file=io.StringIO())
    for cell, result in zip(CELLS, shown, strict=True):
        console.print(Text(f">>> print({cell.partition('(')[0]}(...))", style="cyan"))
        console.print(result)
        console.print()
    svg = console.export_svg(title="rich", theme=theme, unique_id="results")
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # fonts from elsewhere


def main() -> int:
    """Make the pictures; 1 if one of them is too large."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--chromium", default=shutil.which("chromium") or "chromium")
    chromium = parser.parse_args().chromium
    shown = asyncio.run(results())
    made: list[Path] = []
    for theme, colours in (("light", DEFAULT_TERMINAL_THEME), ("dark", SVG_EXPORT_THEME)):
        made.append(ASSETS / f"results-notebook-{theme}.png")
        photograph(notebook(theme), made[-1], chromium)
        made.append(ASSETS / f"results-terminal-{theme}.svg")
        made[-1].write_text(terminal(shown, colours), encoding="utf-8")
    for picture in made:
        print(f"{picture.stat().st_size / 1000:6.0f} kB  {picture.name}")
    return int(any(picture.stat().st_size > MOST_BYTES for picture in made))


if __name__ == "__main__":
    sys.exit(main())
