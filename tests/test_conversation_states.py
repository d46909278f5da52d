"""Random conversations, against an endpoint that refuses what a real server would."""

import asyncio
import json
from collections import deque
from typing import Any, Literal

import pytest
from fakes import ONCE
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from executionkit import (
    Conversation,
    LLMResponse,
    PermanentError,
    Provider,
    ReactResult,
    TokenUsage,
    ToolCall,
)
from executionkit.testing import ChatRequest, Fault, LocalEndpoint

End = Literal["answer", "fail", "cancel", "stuck"]

SYSTEM = "You keep a shop."
rounds = st.lists(st.integers(1, 3), max_size=3)
ends = st.sampled_from(["answer", "answer", "fail", "cancel", "stuck"])
limits = st.none() | st.integers(1, 12)


class Talk(RuleBasedStateMachine):
    """Turns with tool calls that end in every way, go on, are trimmed, and change process in between."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.endpoint = LocalEndpoint(self.model)
        self.endpoint.start()
        self.provider = Provider(self.endpoint.base_url, "simulated")
        self.chat = Conversation(self.provider, system=SYSTEM, tools=[self.look], retry=ONCE)
        self.script: deque[int | str] = deque()
        self.stuck: asyncio.Event | None = None
        self.task, self.turns, self.looked_at = "", 0, 0
        self.limit: int | None = None
        self.is_pending = False

    def model(self, request: ChatRequest) -> LLMResponse | Fault:
        step = self.script.popleft()
        if isinstance(step, int):
            # The ids are the same in every round: servers number the calls of each reply.
            keys = [f"{request.number}.{index}" for index in range(step)]
            return LLMResponse(
                "", [ToolCall(f"call_{i}", "look", {"key": key}) for i, key in enumerate(keys)]
            )
        return {"fail": Fault.status(401), "cancel": Fault.hang()}.get(step) or LLMResponse(step)

    async def look(self, key: str) -> str:
        """Look at something."""
        if self.stuck is not None and not self.script and key.endswith(".0"):
            self.stuck.set()
            await asyncio.Event().wait()
        return f"seen {key}"

    @rule(rounds=rounds, end=ends, limit=limits, streams=st.booleans())
    def send(self, rounds: list[int], end: End, limit: int | None, streams: bool) -> None:
        self.task = f"task {self.turns}"
        self.turns += 1
        self.run(self.streamed(limit) if streams else self.sent(limit), rounds, end, limit)

    @precondition(lambda self: self.is_pending)
    @rule(rounds=rounds, end=ends, limit=limits)
    def resume(self, rounds: list[int], end: End, limit: int | None) -> None:
        self.run(self.chat.resume(max_history_messages=limit), rounds, end, limit)

    @precondition(lambda self: not self.is_pending)
    @rule()
    def resume_nothing(self) -> None:
        with pytest.raises(RuntimeError, match="no turn"):
            self.runner.run(self.chat.resume())

    @rule()
    def ask(self) -> None:
        self.task = f"task {self.turns}"
        self.turns += 1
        self.script, self.is_pending = deque(['{"n": 1', '{"n": 1}']), False
        before = self.chat.messages
        result = self.runner.run(self.chat.ask(self.task, {"type": "object"}))
        assert result.value == {"n": 1}
        assert self.chat.messages[:-2] == before

    @rule()
    def change_process(self) -> None:
        saved = json.dumps(self.chat.to_dict())
        twin = Conversation.from_dict(self.provider, json.loads(saved), tools=[self.look], retry=ONCE)
        assert json.dumps(twin.to_dict()) == saved
        self.chat = twin

    async def sent(self, limit: int | None) -> ReactResult:
        return await self.chat.send(self.task, max_history_messages=limit)

    async def streamed(self, limit: int | None) -> ReactResult:
        async with self.chat.stream(self.task, max_history_messages=limit) as events:
            _ = [event async for event in events]
        return events.result

    def run(self, turn: Any, rounds: list[int], end: End, limit: int | None) -> None:
        if end == "stuck" and not rounds:
            rounds = [2]
        self.script = deque([*rounds, *([] if end == "stuck" else ["Done."] if end == "answer" else [end])])
        self.limit, before = limit, self.chat.messages
        outcome = self.runner.run(self.ended(turn, end))
        self.is_pending = end != "answer"
        if end == "answer":
            assert isinstance(outcome, ReactResult)
            assert self.chat.messages == outcome.messages
            assert self.chat.messages[: len(before)] == before
            assert [m["content"] for m in self.chat.messages if m["role"] == "user"][-1] == self.task
            return
        assert self.chat.messages == before
        if end == "fail":
            assert isinstance(outcome, PermanentError)
            assert outcome.status_code == 401
        else:
            assert isinstance(outcome, asyncio.CancelledError)

    async def ended(self, turn: Any, end: End) -> ReactResult | BaseException:
        expected = self.endpoint.ledger.calls + len(self.script)
        self.stuck = asyncio.Event() if end == "stuck" else None
        task: asyncio.Task[ReactResult] = asyncio.ensure_future(turn)
        if end == "stuck" and self.stuck is not None:
            waiting = asyncio.ensure_future(self.stuck.wait())
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            assert not task.done(), task  # else the model was never sent what makes the tool wait
        elif end == "cancel":
            await self.endpoint.wait_until(
                lambda ledger: ledger.calls == expected and ledger.requests[-1].body is not None
            )
        if end in ("stuck", "cancel"):
            task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        self.stuck = None
        await self.endpoint.settle()
        return outcome

    @invariant()
    def every_request_was_whole(self) -> None:
        requests = self.endpoint.ledger.requests
        for request in requests[self.looked_at :]:
            first, *others = request.messages
            assert first["role"] == "system"
            assert first["content"].startswith(SYSTEM)
            assert self.task in [message["content"] for message in others if message["role"] == "user"]
            keys: dict[str, str] = {}
            for message in others:
                for call in message.get("tool_calls", ()):
                    keys[call["id"]] = json.loads(call["function"]["arguments"])["key"]
                if message["role"] == "tool":
                    assert message["content"] == f"seen {keys[message['tool_call_id']]}"
            if self.limit is not None and len(request.messages) > self.limit and request.tools:
                assert others[0] == {"role": "user", "content": self.task}
                assert sum(message["role"] == "assistant" for message in others) <= 1
        self.looked_at = len(requests)

    @invariant()
    def the_conversation_cost_what_was_served(self) -> None:
        assert self.chat.usage == self.endpoint.ledger.usage

    def teardown(self) -> None:
        try:
            twin = Conversation.from_dict(self.provider, self.chat.to_dict(), tools=[self.look], retry=ONCE)
            for each in (self.chat, twin):
                self.script = deque(["Done."])
                self.runner.run(each.send("The same?"))
            one, other = self.endpoint.ledger.requests[-2:]
            assert json.dumps(one.body) == json.dumps(other.body)
            assert twin.usage.llm_calls == self.chat.usage.llm_calls
            assert self.chat.usage != TokenUsage()
        finally:
            self.runner.run(self.provider.aclose())
            self.runner.close()
            self.endpoint.close()


Talk.TestCase.settings = settings(
    max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTalk = Talk.TestCase
