"""The conversation of a tool loop: its messages in the chat form, and what of them still fits."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from executionkit._opening import count_instructions, raw_calls_of, user_message
from executionkit._prompt import Part, in_words, is_part
from executionkit.patterns._turn import turn_of, without_reasoning
from executionkit.responses import LLMResponse, ToolCall


class Transcript:
    """Messages that can be sent, and the exchanges of a run that follow them.

    An exchange is a reply and the tool results it led to. A turn is a user message and what follows it.

    Args:
        messages: The conversation that the run begins with. The last turn in it is the newest one.
        is_prompted: Whether the last message is a new prompt.
    """

    def __init__(self, messages: list[dict[str, Any]], *, is_prompted: bool = False) -> None:
        self.messages = messages
        self._instructions = count_instructions(messages)
        self._turns = _turns(messages, self._instructions)
        if is_prompted and len(messages) - 1 not in self._turns:  # after a turn that broke off
            self._turns.append(len(messages) - 1)
        # Parts wait beside results only, and most runs begin with a prompt.
        is_begun = not is_prompted and bool(messages) and messages[-1]["role"] == "tool"
        self._holds_parts = is_begun and any(map(_parts_in, messages)) and bool(self.unanswered)

    def add_reply(self, reply: LLMResponse) -> list[ToolCall]:
        """Append the model's reply; returns its calls, each with an id of its own.

        Servers leave ids out or repeat them; a result that names no single call can't be placed.
        """
        calls = list(reply.tool_calls)
        if len(calls) != 1 or not calls[0].id:
            ids = {call.id for call in calls}
            if len(ids) < len(calls) or not all(ids):
                calls = self._with_own_ids(calls, ids)
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

    def add_refused(self, reply: LLMResponse, request: str) -> None:
        """Append a text that is not the answer, and the user's request for another."""
        if reply.content.strip() or reply.refusal:  # an empty turn is refused by some servers
            self.messages.append(turn_of(reply, ()))
        self.add_user(request)

    def add_answer(self, reply: LLMResponse) -> None:
        """Append a reply that ends the turn."""
        self.messages.append(without_reasoning(turn_of(reply, ())))

    def add_results(
        self,
        calls: Sequence[ToolCall],
        observations: Mapping[str, str],
        parts: Mapping[str, Sequence[Part]] | None = None,
    ) -> None:
        """Append a tool message for each call with an observation under its id, in the order of the calls.

        The parts that the tools returned follow in one user message, because many servers refuse them in a
        tool message. While a call has no result yet, nothing may come before that: they wait in the tool
        messages.
        """
        for call in calls:
            if call.id in observations:
                content: str | list[dict[str, Any]] = observations[call.id]
                if parts:
                    content = _held(observations[call.id], parts.get(call.id, ()))
                self.messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
        self._holds_parts = self._holds_parts or bool(parts)
        if self._holds_parts and not self.unanswered:
            self._move_parts()

    def _move_parts(self) -> None:
        """Move the parts out of the tool messages at the end, into a user message after them."""
        self._holds_parts = False
        begin = len(self.messages)
        while self.messages[begin - 1]["role"] == "tool":
            begin -= 1
        asked = raw_calls_of(self.messages[begin - 1])
        names = {call["id"]: call["function"]["name"] for call in asked}
        content: list[dict[str, Any]] = []
        for index in range(begin, len(self.messages)):
            message = self.messages[index]
            parts = _parts_in(message)
            if parts:
                texts = [part for part in message["content"] if part not in parts]
                self.messages[index] = {**message, "content": in_words(texts)}
                content.append({"type": "text", "text": f"{names[message['tool_call_id']]} returned:"})
                content += parts
        if content:
            self.messages.append(user_message(content))

    @property
    def finished(self) -> list[dict[str, Any]]:
        """The messages up to the end of the last turn that has its answer."""
        # Several user messages in a row are several turns, of which the first ones have no answer either.
        for end in (len(self.messages), *reversed(self._turns)):
            last = self.messages[end - 1] if end > self._instructions else None
            if last is None or (last["role"] == "assistant" and not raw_calls_of(last)):
                return self.messages[:end]
        return self.messages[: self._instructions]

    @property
    def unanswered(self) -> list[ToolCall]:
        """The calls of the last reply that have no result yet."""
        answered: set[str] = set()
        calls: list[dict[str, Any]] = []
        for message in reversed(self.messages):  # other replies may have calls with the same ids
            if message["role"] != "tool":
                calls = raw_calls_of(message)
                break
            answered.add(message["tool_call_id"])
        functions = ((call["id"], call["function"]) for call in calls if call["id"] not in answered)
        return [ToolCall(own, named["name"], named.get("arguments")) for own, named in functions]

    def recent(self, limit: int | None) -> tuple[list[dict[str, Any]], int]:
        """The messages to send when at most `limit` should go, and how many were left out.

        The system messages at the beginning always stay, and so does the newest turn. Earlier turns go
        whole, the oldest first. Where the newest turn alone exceeds the limit, its exchanges go whole, the
        oldest first. Its user message and its latest exchange always stay, even where they take more than the
        limit. So no tool result is ever parted from the call it answers.
        """
        messages, head = self.messages, self._instructions
        if limit is None or len(messages) <= limit:
            return list(messages), 0
        newest = self._turns[-1] if self._turns else head
        fits = [start for start in self._turns if head + len(messages) - start <= limit]
        if fits:
            return [*messages[:head], *messages[fits[0] :]], fits[0] - head
        kept = [*messages[:head], *(m for m in messages[newest : newest + 1] if m["role"] == "user")]
        begins = [i for i in range(newest, len(messages)) if messages[i]["role"] == "assistant"]
        fits = [start for start in begins if len(kept) + len(messages) - start <= limit]
        start = (fits or begins[-1:] or [newest + len(kept) - head])[0]
        return [*kept, *messages[start:]], start - len(kept)


def _turns(messages: Sequence[Mapping[str, Any]], head: int) -> list[int]:
    """Where the turns begin.

    A user message right after tool results belongs to their turn: it is a remark on them, and not a new task.
    What stands before the first user message is a turn of its own.
    """
    return [
        index
        for index, message in enumerate(messages)
        if index == head
        or (index > head and message["role"] == "user" and messages[index - 1]["role"] != "tool")
    ]


def _held(observation: str, parts: Sequence[Part]) -> str | list[dict[str, Any]]:
    """The content of a tool message, with the parts that wait in it."""
    return [{"type": "text", "text": observation}, *map(dict, parts)] if parts else observation


def _parts_in(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parts in a tool message, apart from its texts."""
    content = message.get("content")
    if message["role"] != "tool" or not isinstance(content, list):
        return []
    return [dict(part) for part in content if is_part(part)]
