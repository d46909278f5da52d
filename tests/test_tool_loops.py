"""Tool loops under hypothesis: approval, limits and budgets, whatever is answered, fails or is cancelled.

The judges are the ledger of the simulated endpoint, and a list of what the tools were called with.
"""

import asyncio
import itertools
from collections import Counter
from typing import Any, Literal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from runs import is_empty
from test_budgets import Endpoint, Entry, Interleaving, budgets, picks

from executionkit import (
    Approval,
    ApprovalPending,
    ApprovalRequest,
    BudgetExhaustedError,
    CostTracker,
    ExecutionKitError,
    LLMResponse,
    ReactResult,
    TokenUsage,
    Tool,
    ToolCall,
    react_loop,
)
from executionkit.engine.room import room_of
from executionkit.engine.run import Run

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
VERDICTS = ["yes", "yes", "no", "edit", "later", "truthy", "none", "error"]
verdicts = st.sampled_from(VERDICTS)


# Most are large enough for a few rounds.
ceilings = st.one_of(
    st.builds(TokenUsage, llm_calls=st.sampled_from([1, 2, 3, 5, 8])),
    st.builds(TokenUsage, output_tokens=st.sampled_from([20, 60, 100, 250])),
    budgets,
)


def failed(entry: Entry) -> bool:
    return entry.reply.done() and (entry.reply.cancelled() or entry.reply.exception() is not None)


class LoopEndpoint(Endpoint):
    """Knows which requests were closing ones."""

    def __init__(self) -> None:
        super().__init__()
        self.closing: list[Entry] = []

    def received(
        self,
        messages: list[dict[str, Any]],
        max_tokens: int | None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> Entry:
        entry = super().received(messages, max_tokens, tools, **kwargs)
        if kwargs.get("tool_choice") == "none":
            self.closing.append(entry)
        return entry


class ToolLoops(Interleaving):
    """Loops on one budget, beside calls that spend what they can; an approver that answers when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.loops_endpoint = LoopEndpoint()
        self.endpoint = self.loops_endpoint
        self.numbers = itertools.count(1)
        self.tags: set[int] = set()
        self.questions: list[tuple[int, int, asyncio.Future[Any]]] = []
        self.allowed: Counter[int] = Counter()
        self.ran: Counter[int] = Counter()
        self.closing_loops: list[tuple[int, asyncio.Task[ReactResult]]] = []
        self.resumed: set[ApprovalPending] = set()
        self.tools = [
            Tool("danger", "It needs approval.", SCHEMA, self.danger, needs_approval=True),
            Tool("safe", "It needs none.", SCHEMA, self.safe),
        ]

    async def danger(self, n: int) -> str:
        self.ran[n] += 1
        return "done"

    async def safe(self, n: int) -> str:
        return f"seen {n}"

    @initialize(ceiling=ceilings)
    def share(self, ceiling: TokenUsage) -> None:
        self.ceiling = ceiling
        self.tracker = CostTracker()
        self.run = Run(
            "shared", self.endpoint, max_cost=ceiling, retry=self.endpoint.retry, tracker=self.tracker
        )

    @precondition(lambda self: len(self.tags) < 6)
    @rule(
        on_limit=st.sampled_from(["answer", "answer", "raise"]),
        rounds=st.integers(1, 4),
        max_tokens=st.sampled_from([1, 10, 40]),
        has_approver=st.sampled_from([True, True, False]),
    )
    def start(
        self, on_limit: Literal["raise", "answer"], rounds: int, max_tokens: int, has_approver: bool
    ) -> None:
        tag = len(self.tags)
        self.loop_on(
            tag,
            prompt=f"[{tag}] q",
            on_limit=on_limit,
            max_rounds=rounds,
            max_tokens=max_tokens,
            has_approver=has_approver,
        )

    def loop_on(self, tag: int, prompt: str | None, *, has_approver: bool, **keywords: Any) -> None:
        self.tags.add(tag)

        async def approve(request: ApprovalRequest) -> Any:
            answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self.questions.append((tag, request.call.arguments["n"], answer))
            return await answer

        approver: Any = approve if has_approver else None
        self.spawn(
            react_loop(self.run, prompt, self.tools, approve=approver, retry=self.endpoint.retry, **keywords)
        )
        if keywords["on_limit"] == "answer":
            self.closing_loops.append((tag, self.tasks[-1]))

    @rule(times=st.integers(1, 3), max_tokens=st.sampled_from([1, 10, 40]))
    def spend(self, times: int, max_tokens: int) -> None:
        self.tags.add(99)
        for _ in range(times):
            self.spawn(self.run.complete([{"role": "user", "content": "[99]"}], max_tokens=max_tokens))

    def content(self, entry: Entry, pick: int) -> LLMResponse:
        if entry.tag == 99 or pick % 5 == 0 or (entry in self.loops_endpoint.closing and pick % 5 < 4):
            return LLMResponse("x")
        names = [["danger"], ["safe"], ["danger", "safe", "danger"], ["danger", "danger"]][pick % 5 - 1]
        return LLMResponse("", [ToolCall("", name, {"n": next(self.numbers)}) for name in names])

    @precondition(lambda self: self.endpoint.open)
    @rule(which=picks, part=st.integers(0, 10), pick=picks)
    def answer(self, which: int, part: int, pick: int) -> None:
        entry = self.endpoint.open[which % len(self.endpoint.open)]
        entry.answer(self.content(entry, pick), entry.most * part // 10)
        self.go()

    @precondition(lambda self: self.endpoint.open)
    @rule(pick=st.lists(st.integers(1, 4), min_size=1, max_size=4), verdict=st.lists(verdicts, max_size=4))
    def carry_on(self, pick: list[int], verdict: list[str]) -> None:
        """Answer everything that is open with tool calls, and every question that comes of it."""
        for part, entry in zip(itertools.cycle(pick), self.endpoint.open, strict=False):
            entry.answer(self.content(entry, part), entry.most)
        self.go()
        for said in verdict:
            if self.open_questions:
                self.decide(0, said)

    @property
    def open_questions(self) -> list[tuple[int, int, asyncio.Future[Any]]]:
        self.questions = [question for question in self.questions if not question[2].done()]
        return self.questions

    @precondition(lambda self: self.open_questions)
    @rule(which=picks, verdict=verdicts)
    def decide_one(self, which: int, verdict: str) -> None:
        self.decide(which, verdict)

    def decide(self, which: int, verdict: str) -> None:
        _, number, answer = self.open_questions[which % len(self.open_questions)]
        if verdict == "error":
            answer.set_exception(OSError("no terminal"))
        elif verdict == "later":
            answer.set_exception(ApprovalPending("later"))
        else:
            answer.set_result(self.verdict(number, verdict))
        self.go()

    def verdict(self, number: int, verdict: str) -> Any:
        if verdict == "edit":
            number = next(self.numbers)
        if verdict in ("yes", "edit"):
            self.allowed[number] += 1
        edited = Approval(approved=True, arguments={"n": number})
        return {"yes": True, "edit": edited, "truthy": 1, "none": None}.get(verdict, False)

    @property
    def put_off(self) -> list[ApprovalPending]:
        errors = [task.exception() for task in self.tasks if task.done() and not task.cancelled()]
        return [e for e in errors if isinstance(e, ApprovalPending) and e not in self.resumed]

    @precondition(lambda self: self.put_off)
    @rule(which=picks, answers=st.lists(st.sampled_from(["yes", "no", "edit", ""]), min_size=2, max_size=2))
    def go_on(self, which: int, answers: list[str]) -> None:
        """Go on from a run that was put off, with answers for some of its calls."""
        pending = self.put_off[which % len(self.put_off)]
        self.resumed.add(pending)
        given = zip(pending.calls, answers, strict=False)
        approvals = {call.id: self.verdict(call.arguments["n"], said) for call, said in given if said}
        messages = pending.metadata["messages"]
        tag = int(messages[0]["content"].strip("[] q"))
        self.loop_on(
            tag,
            None,
            messages=messages,
            approvals=approvals,
            has_approver=True,
            on_limit="answer",
            max_tokens=10,
        )

    @invariant()
    def nothing_runs_without_its_own_approval(self) -> None:
        assert self.ran <= self.allowed

    @invariant()
    def a_loop_asks_one_question_at_a_time(self) -> None:
        asked = Counter(tag for tag, _, _ in self.open_questions)
        assert all(count == 1 for count in asked.values())

    @invariant()
    def the_budget_holds(self) -> None:
        if self.tags:
            self.endpoint.agrees(self.tags, self.tracker.to_usage(), self.ceiling)

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        if not self.endpoint.open and not self.endpoint.asleep and not self.open_questions:
            assert all(task.done() for task in self.tasks)
            if self.tags:
                assert is_empty(room_of(self.tracker))

    def finish(self) -> None:
        super().finish()
        while self.open_questions:
            for _, _, answer in self.open_questions:
                answer.set_result(False)
            self.go()
            super().finish()

    def teardown(self) -> None:
        super().teardown()
        for task in self.tasks:
            error = None if task.cancelled() else task.exception()
            assert error is None or isinstance(error, (ExecutionKitError, OSError, TypeError))
        for tag, task in self.closing_loops:
            error = None if task.cancelled() else task.exception()
            prompts_count = self.ceiling.input_tokens or self.ceiling.usd  # and are not kept back
            if isinstance(error, BudgetExhaustedError) and not prompts_count:
                # It had begun only if its closing call was kept back, which then failed at the endpoint.
                closings = [e for e in self.loops_endpoint.closing if e.tag == tag and failed(e)]
                assert error.cost.llm_calls == 0 or closings


ToolLoops.TestCase.settings = settings(
    max_examples=80, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestToolLoops = ToolLoops.TestCase
