"""Providers whose replies come when, and in the order in which, the test says."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from executionkit import LLMResponse, RetryConfig

NO_WAIT = RetryConfig(base_delay=0.0)
"""Four attempts, without any time between them."""

ONCE = RetryConfig(max_retries=0)
"""One attempt only."""


@dataclass(eq=False)
class Request:
    """One request as it arrived; `answer` and `fail` end it."""

    messages: list[dict[str, Any]]
    max_tokens: int | None
    tools: list[dict[str, Any]] | None
    reply: asyncio.Future[LLMResponse] = field(repr=False)

    @property
    def prompt(self) -> str:
        return str(self.messages[-1]["content"])

    def answer(self, content: str = "42", **fields: Any) -> None:
        self.reply.set_result(LLMResponse(content, **fields))

    def fail(self, exc: BaseException) -> None:
        self.reply.set_exception(exc)


class HeldProvider:
    """Records every request and keeps it waiting until the test ends it.

    Attributes:
        requests: Every request that ever arrived.
        waiting: Those in flight, in order of arrival.
        most_waiting: How many were in flight at once at the most.
    """

    supports_tools: Literal[True] = True

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.waiting: list[Request] = []
        self.most_waiting = 0
        self._watchers: list[tuple[Callable[[], bool], asyncio.Event]] = []

    async def complete(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        reply: asyncio.Future[LLMResponse] = asyncio.get_running_loop().create_future()
        request = Request([dict(message) for message in messages], max_tokens, tools, reply)
        self.requests.append(request)
        self.waiting.append(request)
        self.most_waiting = max(self.most_waiting, len(self.waiting))
        for condition, event in self._watchers:
            if condition():
                event.set()
        try:
            return await reply
        finally:
            self.waiting.remove(request)

    async def arrived(self, count: int) -> Request:
        """Wait until `count` requests have arrived in all; returns the latest of these."""
        event = asyncio.Event()
        self._watchers.append((lambda: len(self.requests) >= count, event))
        if len(self.requests) < count:
            await event.wait()
        return self.requests[count - 1]


class Scripted:
    """Answers the request with seed n with `script[n]`; by `delays` its replies overtake each other.

    Attributes:
        asked: The prompt of each request, by its seed.
    """

    def __init__(self, script: Sequence[str], delays: Sequence[int] = (0,)) -> None:
        self.asked: dict[int, str] = {}
        self._script = script
        self._delays = delays

    async def complete(self, messages: list[dict[str, Any]], **settings: Any) -> LLMResponse:
        seed: int = settings["seed"]
        self.asked[seed] = messages[-1]["content"]
        for _turn in range(self._delays[seed % len(self._delays)]):
            await asyncio.sleep(0)
        return LLMResponse(self._script[seed])


async def idle() -> None:
    """Let every task run until all of them wait for something that only the test can give."""
    for _ in range(50):
        await asyncio.sleep(0)
