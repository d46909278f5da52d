"""Draw the pictures of a terminal in the docs: `PYTHONPATH=. .venv/bin/python scripts/pictures.py`.

Real runs on a simulated model are stopped in the middle, and rich writes the screen as SVG.
"""

import asyncio
import io
import re
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from executionkit import (
    LLMResponse,
    PatternResult,
    PermanentError,
    consensus,
    map_reduce,
    pipe,
)
from executionkit.progress import _rich, bar

ASSETS = Path(__file__).parents[1] / "docs" / "assets"
WIDTH = 96


class Model:
    """Answers some calls and then no more.

    Args:
        calls: How many it answers.
        failing: The numbers of the calls that fail.
        clock: Goes on with every answer.
    """

    def __init__(self, calls: int, clock: "Clock", failing: tuple[int, ...] = ()) -> None:
        self._left = calls
        self._clock = clock
        self._failing = failing
        self._number = 0

    async def complete(self, messages: object, **_: Any) -> LLMResponse:
        self._number += 1
        number = self._number
        await asyncio.sleep(0)
        if number > self._left:
            await asyncio.Event().wait()
        self._clock.seconds += 0.15
        if number in self._failing:
            raise PermanentError("400")
        return LLMResponse("Lyon" if number % 5 == 0 else "Paris", usage={"prompt_tokens": 90})


class Clock:
    """The time of the picture, so that the model need not be slow."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def as_question(_provider: object, prompt: str) -> PatternResult[str]:
    return PatternResult(f"In which country is {prompt}?")


async def progress() -> None:
    """Five bars: three that are under way, two that have ended."""
    clock = Clock()
    screen = Console(
        file=io.StringIO(), force_terminal=True, width=WIDTH, color_system="truecolor", get_time=clock
    )

    def new_bar() -> Any:
        return bar(console=screen)

    vote = partial(consensus, num_samples=5, max_concurrency=1)
    pages = [f"page {number}" for number in range(200)]
    prompts: Any = {"map_prompt": "Sum up: {input}", "reduce_prompt": "Join: {results}"}
    runs: list[Any] = [
        map_reduce(Model(137, clock, (18, 77)), pages, **prompts, on_failure="skip", on_event=new_bar()),
        pipe(Model(8, clock), "The largest city?", vote, as_question, vote, on_event=new_bar()),
        consensus(Model(13, clock, (9,)), "q", num_samples=20, min_samples=15, on_event=new_bar()),
        consensus(Model(99, clock), "q", num_samples=20, stop="decided", on_event=new_bar()),
        consensus(Model(99, clock, (4,)), "q", num_samples=6, max_concurrency=1, on_event=new_bar()),
    ]
    tasks = []
    for run in runs:
        tasks.append(asyncio.create_task(run))
        for _ in range(1500):
            await asyncio.sleep(0)
    (display,) = _rich._displays.values()
    paper = Console(
        file=io.StringIO(), record=True, width=WIDTH, force_terminal=True, color_system="truecolor"
    )
    paper.print(display.progress.get_renderable())
    svg = paper.export_svg(title="python vote.py", unique_id="progress")
    # The site fetches nothing from elsewhere; every piece of text has its length, whatever the font.
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code, ", "")
    (ASSETS / "progress.svg").write_text(svg, encoding="utf-8")
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError, PermanentError):
            await task


if __name__ == "__main__":
    asyncio.run(progress())
