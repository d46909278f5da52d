"""The picture of docs/progress.md: real runs, stopped in the middle, as rich draws them."""

import asyncio
import io
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from executionkit import (
    LLMResponse,
    PatternResult,
    PermanentError,
    Rates,
    consensus,
    map_reduce,
    pipe,
)
from executionkit.progress import _rich, bar
from pictures.paper import ASSETS, drawing, screen

WIDTH = 100


class Model:
    """Answers some calls and then no more.

    Args:
        calls: How many it answers.
        failing: The numbers of the calls that fail.
        clock: Goes on with every answer.
    """

    model = "simulated-model"
    prices = Rates("0.15", "0.60")

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
        return LLMResponse(
            "Lyon" if number % 5 == 0 else "Paris", usage={"prompt_tokens": 90, "completion_tokens": 40}
        )


class Clock:
    """The time of the picture, so that the model need not be slow."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def as_question(_provider: object, prompt: str) -> PatternResult[str]:
    return PatternResult(f"In which country is {prompt}?")


async def draw() -> Path:
    """Draw five bars: three that are under way, two that have ended."""
    clock = Clock()
    shared = Console(
        file=io.StringIO(), force_terminal=True, width=WIDTH, color_system="truecolor", get_time=clock
    )

    def new_bar() -> Any:
        return bar(console=shared)

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
    paper = screen(WIDTH)
    paper.print(display.progress.get_renderable())
    picture = drawing(paper, ASSETS / "progress.svg", title="python vote.py", unique_id="progress")
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError, PermanentError):
            await task
    return picture


def make() -> list[Path]:
    """Make the picture."""
    return [asyncio.run(draw())]
