"""The pictures of docs/run-log.md, a page and a tree: runs against the demo's simulated model."""

import asyncio
import io
import tempfile
from functools import partial
from itertools import cycle
from pathlib import Path

from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME
from rich.text import Text

from executionkit import BudgetExhaustedError, Provider, Rates, TokenUsage, consensus, pipe, react_loop
from executionkit.__main__ import main
from executionkit._demo.model import NAME, SimulatedModel
from executionkit._demo.scenes import DAYS, PUZZLE, TAGLINE, days_between, sharpen
from executionkit._screen import Screen
from executionkit._show.log import read
from executionkit._show.tree import draw
from executionkit.observe import observe
from executionkit.run_log import RunLog
from executionkit.testing import Answer, ChatRequest, Fault, LocalEndpoint
from pictures.paper import ASSETS, drawing, photograph, screen

PRICES = Rates("0.15", "0.60")


class SlowModel:
    """The demo's model, which takes as long as models do, or a tenth of it."""

    def __init__(self) -> None:
        self._model = SimulatedModel()
        self._times = cycle([0.11, 0.16, 0.13, 0.21, 0.09, 0.14])

    def __call__(self, request: ChatRequest) -> Answer:
        return Fault.delay(next(self._times), then=self._model(request))


async def log_runs(path: Path) -> None:
    """A pipe of which a call is retried, a loop whose model gets a date wrong, and a vote that is refused."""
    draft = partial(consensus, num_samples=5)
    with LocalEndpoint(SlowModel()) as endpoint, RunLog(path, content=True) as log, observe(log):
        async with Provider(endpoint.base_url, NAME, prices=PRICES) as provider:
            await pipe(provider, TAGLINE, draft, sharpen, max_budget=TokenUsage(llm_calls=20))
            await react_loop(provider, DAYS, [days_between])
            try:
                await consensus(provider, PUZZLE, num_samples=5, max_cost=TokenUsage(llm_calls=2))
            except BudgetExhaustedError as error:
                print(error)


def tree(log: Path) -> str:
    """The first run of a log, as `executionkit show` draws it on a terminal."""
    drawn = io.StringIO()
    terminal = Screen(drawn, colour=True, width=80)
    with log.open("rb") as file:
        draw(read(file), log.name, terminal)
    terminal.flush()
    lines = drawn.getvalue().splitlines()
    roots = [at for at, line in enumerate(lines) if "react_loop" in line]
    return "\n".join(lines[: roots[0]])


def make() -> list[Path]:
    """Make the pictures, and print the log as the page shows it."""
    with tempfile.TemporaryDirectory() as folder:
        log, page = Path(folder, "run.jsonl"), Path(folder, "run.html")
        asyncio.run(log_runs(log))
        main(["show", str(log)])
        main(["show", str(log), "--html", str(page)])
        made: list[Path] = []
        for theme, colours in (("light", DEFAULT_TERMINAL_THEME), ("dark", SVG_EXPORT_THEME)):
            made.append(photograph(page, ASSETS / f"run-log-{theme}.png", 960, 680, theme))
            paper = screen(80)
            paper.print(Text.from_ansi(tree(log)), no_wrap=True, crop=True)
            picture = ASSETS / f"show-{theme}.svg"
            title = "executionkit show run.jsonl"
            made.append(drawing(paper, picture, title=title, theme=colours, unique_id="show"))
        return made
