"""The end of a tool loop at its limits: with the answer that is kept back for it, or without one."""

import asyncio
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

from executionkit.engine.run import Kept, Run
from executionkit.responses import LLMResponse

OnLimit: TypeAlias = Literal["raise", "answer"]
StopReason: TypeAlias = Literal["answer", "max_rounds", "budget"]

CLOSING: Final = (
    "No more tools can be called. Give your final answer now, in words, from what you have, and say what is "
    "missing."
)


class Closing:
    """The closing call of a loop, which asks for an answer without tools.

    With "answer", the call and its tokens are kept back in every budget around the loop until the block is
    left or the call is made, so that parallel work can't take them.

    Args:
        run: The run.
        on_limit: Whether the loop answers at a limit.
        max_rounds: Maximum number of model calls.
        max_tokens: Maximum tokens in one reply.

    Attributes:
        reason: The limit that was reached; "answer" until then.
    """

    def __init__(self, run: Run, on_limit: OnLimit, max_rounds: int, max_tokens: int) -> None:
        self.reason: StopReason = "answer"
        self._max_tokens = max_tokens
        self._is_spent = False
        self._run = run
        self._answers = on_limit == "answer"
        self._max_rounds = max_rounds
        self._kept: Kept | None = None

    async def __aenter__(self) -> Self:
        if self._answers:
            self._kept = await self._run.keep_back(self._max_tokens)
            try:
                # Loops that begin at the same time keep theirs back too before any of them calls the model.
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self._kept.give_up()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._kept is not None:
            self._kept.give_up()

    @property
    def has_begun(self) -> bool:
        """Whether the next call is the closing one."""
        return self.reason != "answer"

    def is_due(self, rounds: int, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> bool:
        """Whether the next call must be the closing one."""
        if not self._answers or self.has_begun:
            return False
        if rounds == self._max_rounds - 1:
            self.reason = "max_rounds"
        elif self._is_spent or not self._run.can_pay(messages, tools, self._max_tokens):
            self.reason = "budget"
        return self.has_begun

    def is_possible(self) -> bool:
        """Whether the loop can close after a call that no budget could pay for; the next one then does."""
        if not self._answers or self.has_begun:
            return False
        self._is_spent = True
        return True

    def room_in(self, limit: int | None) -> int | None:
        """How much of a limit on messages the conversation may take in the next request."""
        return limit if limit is None or not self.has_begun else max(1, limit - 1)

    def begin(self) -> int:
        """Begin the next call, which must follow at once, and return its `max_tokens`."""
        if self._kept is None or not self.has_begun:
            return self._max_tokens
        self._kept.give_up()
        return min(self._max_tokens, self._kept.max_tokens)

    def asked(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The next request. The closing words stay out of the transcript: later turns would read them."""
        if not self.has_begun or messages[-1].get("role") == "user":
            return messages
        return [*messages, {"role": "user", "content": CLOSING}]

    def answer_of(self, reply: LLMResponse) -> LLMResponse:
        """The reply; of the closing one, without its calls."""
        return replace(reply, tool_calls=()) if self.has_begun and reply.tool_calls else reply
