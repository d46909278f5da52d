"""The end of a tool loop at its limits: with the answer that is kept back for it, or without one."""

import asyncio
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

from executionkit.engine.budget import Kept
from executionkit.engine.run import Run

OnLimit: TypeAlias = Literal["raise", "answer"]
StopReason: TypeAlias = Literal["answer", "max_rounds", "budget"]

CLOSING: Final = (
    "No more tools can be called. Give your final answer now, in words, from what you have, and say what is "
    "missing."
)
_TYPED: Final = (
    "No other tool can be called. Give your final answer now, from what you have, by calling {name}."
)


class Closing:
    """The closing call of a loop, which asks for an answer without tools, or by the tool that takes it.

    With "answer", the call and its tokens are kept back in every budget around the loop until the block is
    left or the call is made, so that parallel work can't take them.

    Args:
        run: The run.
        on_limit: Whether the loop answers at a limit.
        max_rounds: Maximum number of model calls.
        max_tokens: Maximum tokens in one reply.
        answer: The name of the tool that takes a typed answer, if there is one.

    Attributes:
        answers: Whether the loop answers at a limit.
        has_begun: Whether the next call is the closing one.
        reason: The limit that was reached; "answer" until then.
    """

    def __init__(
        self, run: Run, on_limit: OnLimit, max_rounds: int, max_tokens: int, answer: str | None = None
    ) -> None:
        self.reason: StopReason = "answer"
        self.has_begun = False
        self.answers = on_limit == "answer"
        self._max_tokens = max_tokens
        self._is_spent = False
        self._run = run
        self._max_rounds = max_rounds
        self._answer = answer
        self._kept: Kept | None = None

    async def __aenter__(self) -> Self:
        if self.answers:
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

    def is_due(self, rounds: int, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> bool:
        """Whether the next call must be the closing one."""
        if rounds == self._max_rounds - 1:
            self.reason = "max_rounds"
        elif self._is_spent or not self._run.can_pay(messages, tools, self._max_tokens):
            self.reason = "budget"
        self.has_begun = self.reason != "answer"
        return self.has_begun

    def is_possible(self) -> bool:
        """Whether the loop can close after a call that no budget could pay for; the next one then does."""
        self._is_spent = self.answers and not self.has_begun
        return self._is_spent

    def begun(self, messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
        """Free what was kept back for the next call, which must follow at once.

        Returns:
            Its messages, and its `max_tokens`. The words that ask for the answer stay out of the transcript,
            where later turns would read them.
        """
        words = CLOSING if self._answer is None else _TYPED.format(name=self._answer)
        last = messages[-1]
        if last.get("role") != "user":
            messages = [*messages, {"role": "user", "content": words}]
        elif len(messages) > 1 and messages[-2].get("role") == "tool" and isinstance(last["content"], list):
            # The parts that tools returned, and no prompt. Some servers refuse two user messages in a row.
            said = {"type": "text", "text": words}
            messages = [*messages[:-1], {**last, "content": [*last["content"], said]}]
        if self._kept is None:
            return messages, self._max_tokens
        self._kept.give_up()
        return messages, min(self._max_tokens, self._kept.max_tokens)
