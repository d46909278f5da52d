"""The performance of a scene: it is played inside a run, and its code and result are drawn."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from executionkit import PatternError, RetryConfig, TokenUsage, ToolCallingProvider
from executionkit._demo.programme import Scene
from executionkit._display._line import counted
from executionkit._screen import RED, YELLOW, Screen
from executionkit.engine.run import Run
from executionkit.errors import ExecutionKitError

# A demo should not dwell on failures: it waits a tenth of what `DEFAULT_RETRY` does.
RETRY = RetryConfig(base_delay=0.1)
CODE_COLUMNS = 56
FIRST_WAIT, LONGEST_WAIT = 10.0, 60.0
"""Seconds before the first line that says how far a scene is, and at most between two of them."""


async def perform(
    scene: Scene[Any], provider: ToolCallingProvider, screen: Screen, *, calls_elsewhere: Callable[[], int]
) -> tuple[TokenUsage, ExecutionKitError | None]:
    """Play a scene, and draw it; what it cost, and how it failed."""
    screen.section(scene.name, scene.summary)
    screen.flush()
    run = Run(scene.name, provider, retry=RETRY)
    failures: Counter[str] = Counter()

    async def note_failure(_attempt: int, _wait: float, error: Exception) -> None:
        status = getattr(error, "status_code", None)
        failures[type(error).__name__ if status is None else f"HTTP {status}"] += 1

    run.on_retry = note_failure
    result, cost, failure = None, TokenUsage(), None
    try:
        async with _telling(lambda: run.usage.llm_calls + calls_elsewhere(), screen), run:
            result = await scene.play(run)
    except ExecutionKitError as error:
        failure, cost = error, error.cost
    else:
        cost = run.usage + scene.elsewhere(result)

    def draw(part: Screen) -> None:
        if scene.prompt:
            part.row("prompt", scene.prompt)
        if failure is None:
            scene.show(result, part)
        else:
            is_answer = isinstance(failure, PatternError)
            part.row("no result" if is_answer else "failed", _told(failure), YELLOW if is_answer else RED)
        for kind, times in failures.items():
            part.row("retried", f"{times} x {kind}, which counts as a call", YELLOW)
        part.row("cost", str(cost))

    screen.beside(scene.code, draw, column=CODE_COLUMNS)
    return cost, failure


def _told(failure: ExecutionKitError) -> str:
    return f"{type(failure).__name__}: {failure}"


@asynccontextmanager
async def _telling(calls: Callable[[], int], screen: Screen) -> AsyncGenerator[None, None]:
    """Write a line from time to time, for as long as the block takes."""
    began, wait = time.monotonic(), FIRST_WAIT

    async def tell() -> None:
        nonlocal wait
        while True:
            await asyncio.sleep(wait)
            screen.row("so far", f"{counted(calls(), 'call')}, {time.monotonic() - began:.0f} s")
            screen.flush()
            wait = min(2 * wait, LONGEST_WAIT)

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()
        # Where the reader of the pipe has gone, the next line says so.
        await asyncio.gather(telling, return_exceptions=True)
        if wait > FIRST_WAIT:
            screen.blank()
