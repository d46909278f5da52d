"""The pictures of docs/results.md: a notebook and a terminal, on both themes.

The notebook is run by nbclient, written as HTML by nbconvert, and photographed by Chromium.
"""

import asyncio
import re
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME
from rich.text import Text

from pictures.paper import ASSETS, drawing, photograph, screen

WIDTH, HEIGHT = 760, 960

SETTING = '''
from executionkit import LLMResponse, MockProvider, Rates, TokenUsage, ToolCall
from executionkit import consensus, react_loop, refine_loop, tool

USAGE = TokenUsage(input_tokens=44, output_tokens=6)


def answering(*replies):
    return MockProvider(list(replies), usage=USAGE, prices=Rates("0.15", "0.60"))


@tool
def price(item: str) -> float:
    """The price of an item on the menu."""
    return {"tea": 3.2, "scone": 2.8}[item]


def brevity(text, provider):
    return {40: 0.45, 30: 0.7}.get(len(text) // 10 * 10, 0.92)


asked = LLMResponse(
    "",
    [ToolCall("1", "price", {"item": "tea"}), ToolCall("2", "price", {"item": "scone"})],
    usage={"prompt_tokens": 92, "completion_tokens": 38},
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


async def results() -> list[Any]:
    """The results of the cells."""
    names: dict[str, Any] = {}
    exec(SETTING, names)
    return [await eval(cell.removeprefix("await "), names) for cell in CELLS]


def make() -> list[Path]:
    """Make the pictures."""
    shown = asyncio.run(results())
    made: list[Path] = []
    for theme, colours in (("light", DEFAULT_TERMINAL_THEME), ("dark", SVG_EXPORT_THEME)):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder, "page.html")
            page.write_text(notebook(theme), encoding="utf-8")
            made.append(photograph(page, ASSETS / f"results-notebook-{theme}.png", WIDTH, HEIGHT))
        console = screen(72)
        for cell, result in zip(CELLS, shown, strict=True):
            console.print(Text(f">>> print({cell.partition('(')[0]}(...))", style="cyan"))
            console.print(result)
            console.print()
        picture = ASSETS / f"results-terminal-{theme}.svg"
        made.append(drawing(console, picture, title="rich", theme=colours, unique_id="results"))
    return made
