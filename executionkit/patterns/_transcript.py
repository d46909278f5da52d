"""The conversation of a tool loop: its messages in the chat form, and what of them still fits."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from executionkit.patterns._turn import turn_of
from executionkit.responses import LLMResponse, ToolCall


class Transcript:
    """A task and the exchanges that followed it; an exchange is a reply and the tool results it led to."""

    def __init__(self, prompt: str) -> None:
        self.messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
        self._exchanges: list[int] = []

    def add_reply(self, reply: LLMResponse) -> list[ToolCall]:
        """Append the model's reply; returns its calls, each with an id of its own.

        Servers leave ids out or repeat them; a result that names no single call can't be placed.
        """
        calls = list(reply.tool_calls)
        ids = {call.id for call in calls}
        if len(ids) < len(calls) or not all(ids):
            calls = self._with_own_ids(calls, ids)
        self._exchanges.append(len(self.messages))
        self.messages.append(turn_of(reply, calls))
        return calls

    def _with_own_ids(self, calls: Sequence[ToolCall], taken: set[str]) -> list[ToolCall]:
        used: set[str] = set()
        result: list[ToolCall] = []
        for index, call in enumerate(calls):
            own = call.id
            if not own or own in used:
                own = f"call_{len(self.messages)}_{index}"
                while own in taken:
                    own += "_"
            used.add(own)
            result.append(call if own == call.id else replace(call, id=own))
        return result

    def add_user(self, text: str) -> None:
        """Append a message of the user's; it belongs to the latest exchange."""
        self.messages.append({"role": "user", "content": text})

    def add_results(self, calls: Sequence[ToolCall], observations: Sequence[str]) -> None:
        """Append one tool message per call, in the order of the calls."""
        for call, observation in zip(calls, observations, strict=True):
            self.messages.append({"role": "tool", "tool_call_id": call.id, "content": observation})

    def recent(self, limit: int | None) -> tuple[list[dict[str, Any]], int]:
        """The messages to send when at most `limit` should go, and how many were left out.

        The first message always stays, and so does the latest exchange, even where the two take more
        than the limit. Exchanges stay or go whole: no tool result is parted from the call it answers.
        """
        if limit is None or len(self.messages) <= limit or not self._exchanges:
            return list(self.messages), 0
        start = self._exchanges[-1]
        for begin in reversed(self._exchanges):
            if 1 + len(self.messages) - begin > limit:
                break
            start = begin
        return [self.messages[0], *self.messages[start:]], start - 1
