"""Runs under a budget, and what their tests say again and again."""

import asyncio
from typing import Any

from executionkit import LLMResponse, RetryConfig, TokenUsage
from executionkit.cost import Tokens
from executionkit.engine.room import Hold, Room
from executionkit.engine.run import Run

MESSAGES = [{"role": "user", "content": "hello"}]

HOLD = Hold(None, 0, 100, 0, is_stream=False, since=0)
"""Set aside by hand, it is given back at the very moment a test wants."""


def calls(count: int) -> TokenUsage:
    return TokenUsage(llm_calls=count)


def output(tokens: int) -> TokenUsage:
    return TokenUsage(output_tokens=tokens)


def prompts(tokens: int) -> TokenUsage:
    return TokenUsage(input_tokens=tokens)


def used(output_tokens: Any = 0, input_tokens: Any = 0) -> dict[str, Any]:
    return {"prompt_tokens": input_tokens, "completion_tokens": output_tokens}


def start(
    run: Run, max_tokens: int | None = None, text: str = "hello", **kwargs: Any
) -> asyncio.Task[LLMResponse]:
    return asyncio.create_task(
        run.complete([{"role": "user", "content": text}], max_tokens=max_tokens, **kwargs)
    )


async def ended(task: asyncio.Task[Any]) -> BaseException | None:
    """What a task ended with, once it has."""
    await asyncio.wait([task])
    return asyncio.CancelledError() if task.cancelled() else task.exception()


class Ledgered(Run):
    """A run that shows the tokens it assumes for replies without usage, and those set aside."""

    @property
    def assumed(self) -> Tokens:
        return self._meter.estimates

    @property
    def room(self) -> Room:
        return self._meter.room


def holds_nothing(*runs: Ledgered) -> bool:
    return all(is_empty(run.room) for run in runs)


def is_empty(room: Room) -> bool:
    held = (room.calls, room.streams)
    return not room.kept_calls and not any(t.input_tokens or t.output_tokens or t.usd for t in held)


class Pauses:
    """A RetryConfig whose waits last until the test ends them."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Event] = []
        self.retry = RetryConfig(max_retries=5, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.waiting.append(asyncio.Event())
        await self.waiting[-1].wait()
