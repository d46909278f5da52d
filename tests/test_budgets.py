"""Budgets under hypothesis: whatever is called, fails, is cancelled or nested, in whatever order it ends.

The judge is the ledger of a simulated endpoint, which knows nothing of budgets. Nothing here takes time:
every request and every wait before a retry stays open until hypothesis picks it.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any, Literal, TypeVarTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from runs import is_empty

from executionkit import (
    CostTracker,
    ExecutionKitError,
    Finish,
    Kit,
    LLMProvider,
    LLMResponse,
    PatternResult,
    PermanentError,
    Provider,
    ProviderError,
    RateLimitError,
    Rates,
    RetryConfig,
    StreamEvent,
    TextDelta,
    TokenUsage,
    Tool,
    ToolCall,
    UsageEvent,
    checked_complete,
    consensus,
    pipe,
    react_loop,
    refine_loop,
)
from executionkit.engine.room import room_of
from executionkit.engine.run import Run
from executionkit.errors import was_dispatched
from executionkit.testing import ChatRequest, Fault, Ledger, LocalEndpoint, count_prompt_tokens

Ts = TypeVarTuple("Ts")

DEFAULT_MAX_TOKENS = 40

# A negative number is nothing at all. Most ceilings limit one field, so that each has its turn.
calls_allowed = st.sampled_from([5, 8, 13, 20, 1, 2, 3, -1])
output_allowed = st.sampled_from([100, 250, 400, 60, 40, 7, 1, -1])
input_allowed = st.sampled_from([400, 1000, 2500, 150, 60, 1, -1])
usd_allowed = st.sampled_from(["2", "5", "0.7", "11", "0.2", "0.01", "-1"])
budgets = st.one_of(
    st.just(TokenUsage()),
    st.builds(TokenUsage, llm_calls=calls_allowed),
    st.builds(TokenUsage, output_tokens=output_allowed),
    st.builds(TokenUsage, input_tokens=input_allowed),
    st.builds(TokenUsage, usd=usd_allowed),
    st.builds(TokenUsage, output_tokens=output_allowed, usd=usd_allowed),
    st.builds(TokenUsage, input_allowed, output_allowed, calls_allowed),
    st.builds(TokenUsage, input_allowed, output_allowed, calls_allowed, usd=usd_allowed),
)

PRICES = Rates(input="0.003", output="0.02", per=1)
"""A prompt costs about as much as a reply, so that either can use up a ceiling."""


@dataclass(eq=False)
class Entry:
    """One request in the endpoint's ledger.

    Attributes:
        tag: Whose it is.
        most: The most output tokens the reply may have, of all choices together.
        begins: The first event of a stream; the reply is its end.
        prompt: What its prompt comes to: as many tokens as it has characters.
        input: Input tokens the reply reported; 0 while there is none, or it does not say.
        output: Output tokens the reply reported, in the same way.
        arrived: False for a request that turned out never to have left the client.
        has_begun: Whether a stream has brought its first event.
        is_read: Whether a stream was read to its end.
        told: Whether its usage was reported, or will be: its price is known then, and not estimated.
    """

    tag: int
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    most: int
    prompt: int
    reply: asyncio.Future[LLMResponse]
    begins: asyncio.Future[None] | None = None
    input: int = 0
    output: int = 0
    arrived: bool = True
    has_begun: bool = False
    is_read: bool = False
    told: bool = True

    @property
    def is_open(self) -> bool:
        return not self.reply.done()

    @property
    def worst(self) -> int:
        """The output tokens that the server has written, or may have."""
        if self.is_open:
            return self.most
        return self.most if self.has_begun and not self.is_read else self.output

    @property
    def worst_usd(self) -> Decimal:
        """What the server bills for it, or may bill; nothing where it failed or says nothing."""
        prompt = self.prompt if self.is_open or (self.has_begun and not self.is_read) else self.input
        return PRICES.at_most(input_tokens=prompt, output_tokens=self.worst)

    def answer(self, reply: LLMResponse, used: int, *, told: bool = True) -> None:
        if self.begins is not None and not self.begins.done():
            self.begins.set_result(None)
            self.has_begun = True
            return
        self.told = told
        if told:
            if self.begins is None:
                self.input, self.output = self.prompt, used
            reply = replace(reply, usage={"prompt_tokens": self.prompt, "completion_tokens": used})
        self.reply.set_result(reply)

    def fail(self, error: Exception) -> None:
        if self.has_begun:
            self.reply.set_exception(error)
            return
        self.arrived = was_dispatched(error)
        (self.begins or self.reply).set_exception(error)
        self.reply.cancel()

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        yield TextDelta("x")
        reply = await self.reply
        if reply.reported_output_tokens is not None:
            self.input, self.output = self.prompt, reply.output_tokens
            yield UsageEvent(self.input, self.output, estimated=False)
        self.is_read = True
        yield Finish(reply.finish_reason, reply)


class Endpoint:
    """An endpoint in this process that answers nothing by itself, and the waits before retries."""

    supports_tools: Literal[True] = True
    default_max_tokens = DEFAULT_MAX_TOKENS
    prices = PRICES

    def __init__(self) -> None:
        self._ledger: dict[int, list[Entry]] = {}
        self._open: list[Entry] = []
        self._asleep: list[asyncio.Future[None]] = []
        self.streams: set[Entry] = set()
        # Evaluators and tools find it through the run they are handed.
        self.retry = RetryConfig(max_retries=2, sleep=self.sleep)

    async def complete(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        return await self.received(messages, max_tokens, tools, **kwargs).reply

    @asynccontextmanager
    async def stream(
        self, messages: list[dict[str, Any]], *, max_tokens: int | None = None, **kwargs: Any
    ) -> AsyncGenerator[AsyncIterator[StreamEvent], None]:
        entry = self.received(messages, max_tokens, **kwargs)
        entry.begins = asyncio.get_running_loop().create_future()
        self.streams.add(entry)
        try:
            await entry.begins
            async with aclosing(entry.events()) as events:
                yield events
        finally:
            entry.reply.cancel()
            self.streams.discard(entry)

    def received(
        self,
        messages: list[dict[str, Any]],
        max_tokens: int | None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> Entry:
        entry = Entry(
            tag=kwargs["tag"] if "tag" in kwargs else tag_of(messages),
            messages=list(messages),
            tools=tools,
            most=(max_tokens or DEFAULT_MAX_TOKENS) * kwargs.get("n", 1),
            prompt=len(repr(messages)) + (len(repr(tools)) if tools else 0),
            reply=asyncio.get_running_loop().create_future(),
        )
        self._ledger.setdefault(entry.tag, []).append(entry)
        self._open.append(entry)
        return entry

    async def sleep(self, _seconds: float) -> None:
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asleep.append(sleeper)
        await sleeper

    @property
    def open(self) -> list[Entry]:
        self._open = [entry for entry in self._open if entry.is_open]
        return self._open

    @property
    def asleep(self) -> list[asyncio.Future[None]]:
        self._asleep = [sleeper for sleeper in self._asleep if not sleeper.done()]
        return self._asleep

    def calls_of(self, tags: set[int]) -> int:
        return sum(len(self._ledger.get(tag, ())) for tag in tags)

    def checked(self, tags: set[int], ceiling: TokenUsage | None = None) -> TokenUsage:
        """What was served to these, who must have kept to their ceiling, whatever open requests come to."""
        mine = [entry for tag in tags for entry in self._ledger.get(tag, ())]
        coming = [entry for entry in mine if entry.is_open]
        used = TokenUsage(
            sum(entry.input for entry in mine),
            sum(entry.output for entry in mine),
            sum(entry.arrived for entry in mine),
            usd=sum((PRICES.at_most(input_tokens=e.input, output_tokens=e.output) for e in mine), Decimal(0)),
        )
        limit = ceiling or TokenUsage()
        if limit.llm_calls:
            assert used.llm_calls <= max(0, limit.llm_calls)
        if limit.output_tokens:
            assert sum(entry.worst for entry in mine) <= max(0, limit.output_tokens)
        if limit.input_tokens and not any(entry.begins for entry in mine):  # a call never waits for a stream
            # At most the last prompt over.
            largest = max((entry.prompt for entry in mine), default=1)
            prompts = used.input_tokens + sum(entry.prompt for entry in coming)
            assert prompts < max(0, limit.input_tokens) + largest
        if limit.usd:
            # Exactly, because no prompt here has more tokens than bytes. Only a first prompt that would use
            # up the whole ceiling is taken for shorter than it may be.
            largest = max((entry.prompt for entry in mine), default=0)
            most = max(Decimal(0), limit.usd)
            if PRICES.at_most(input_tokens=largest, output_tokens=3) > most > 0:
                most += PRICES.at_most(input_tokens=largest, output_tokens=0)
            assert sum((entry.worst_usd for entry in mine), Decimal(0)) <= most
        if min(limit.input_tokens, limit.output_tokens, limit.llm_calls, limit.usd or 0) < 0:
            assert mine == []
        return used

    def agrees(self, tags: set[int], told: TokenUsage, ceiling: TokenUsage | None = None) -> None:
        """Require that what was told is what was served, to the last digit."""
        served = self.checked(tags, ceiling)
        assert replace(told, usd=None) == replace(served, usd=None)
        assert served.usd is not None
        assert (told.usd is None) == (not any(tag in self._ledger for tag in tags))
        if all(
            e.told and not (e.has_begun and not e.is_read) for tag in tags for e in self._ledger.get(tag, ())
        ):
            assert (told.usd or 0) == served.usd
        else:  # what the server does not say is estimated
            assert (told.usd or 0) >= served.usd


def tag_of(messages: list[dict[str, Any]]) -> int:
    found = re.search(r"\[(\d+)\]", str(messages[0]["content"]))
    assert found is not None, messages
    return int(found[1])


def failure(mishap: str) -> Exception:
    make: dict[str, Callable[[], Exception]] = {
        "server error": lambda: ProviderError("503", status_code=503),
        "rate limit": lambda: RateLimitError("429", retry_after=1.0),
        "refused": lambda: PermanentError("400", status_code=400),
        "never sent": lambda: ProviderError("no connection", dispatched=False),
        "never sent for good": lambda: PermanentError("no such host", dispatched=False),
        "foreign": lambda: OSError("disk"),
    }
    return make[mishap]()


mishaps = st.sampled_from(
    [
        "server error",
        "server error",
        "rate limit",
        "refused",
        "never sent",
        "never sent for good",
        "foreign",
        "cancelled",
    ]
)
picks = st.integers(0, 50)


class CountingLoop(asyncio.SelectorEventLoop):
    """Knows when nothing is left to run."""

    scheduled = 0

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self.scheduled += 1
        return super().call_soon(callback, *args, context=context)

    async def quiet(self) -> None:
        before = -1
        while self.scheduled != before + 1:  # more than this coroutine itself was scheduled
            before = self.scheduled
            await asyncio.sleep(0)


class Interleaving(RuleBasedStateMachine):
    """What both machines have: an endpoint, a loop that runs only when told to, and ways to end a request."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = CountingLoop()
        self.endpoint = Endpoint()
        self.tasks: list[asyncio.Task[Any]] = []

    def spawn(self, job: Coroutine[Any, Any, Any]) -> None:
        self.tasks.append(self.loop.create_task(job))
        self.go()

    def go(self) -> None:
        """Run until everything waits for a request, or for a wait before a retry, to be ended."""
        self.loop.run_until_complete(self.loop.quiet())

    def content(self, entry: Entry, pick: int) -> LLMResponse:
        return LLMResponse("x")

    @precondition(lambda self: self.endpoint.open)
    @rule(which=picks, part=st.integers(0, 10), pick=picks, told=st.sampled_from([True] * 5 + [False]))
    def answer(self, which: int, part: int, pick: int, told: bool) -> None:
        entry = self.endpoint.open[which % len(self.endpoint.open)]
        entry.answer(self.content(entry, pick), entry.most * part // 10, told=told)
        self.go()

    @precondition(lambda self: self.endpoint.open)
    @rule(which=st.lists(picks, min_size=1, max_size=6), part=st.integers(0, 10))
    def answer_several_at_once(self, which: list[int], part: int) -> None:
        for pick in which:
            if self.endpoint.open:
                entry = self.endpoint.open[pick % len(self.endpoint.open)]
                entry.answer(self.content(entry, pick), entry.most * part // 10)
        self.go()

    @precondition(lambda self: self.endpoint.open)
    @rule(which=st.lists(picks, min_size=1, max_size=3), mishap=mishaps)
    def go_wrong(self, which: list[int], mishap: str) -> None:
        for pick in which:
            running = [task for task in self.tasks if not task.done()]
            if mishap == "cancelled" and running:
                running[pick % len(running)].cancel()
            elif self.endpoint.open:
                self.endpoint.open[pick % len(self.endpoint.open)].fail(failure(mishap))
        self.go()

    @precondition(lambda self: self.endpoint.asleep)
    @rule()
    def wake(self) -> None:
        for sleeper in self.endpoint.asleep:
            sleeper.set_result(None)
        self.go()

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        if not self.endpoint.open and not self.endpoint.asleep:
            assert all(task.done() for task in self.tasks)

    def finish(self) -> None:
        """End everything that is open, until nothing is."""
        while self.endpoint.open or self.endpoint.asleep:
            for sleeper in self.endpoint.asleep:
                sleeper.set_result(None)
            for entry in self.endpoint.open:
                entry.answer(self.content(entry, 0), 1)
            self.go()

    def teardown(self) -> None:
        try:
            self.finish()
            assert all(task.done() for task in self.tasks)
            assert asyncio.all_tasks(self.loop) == set()
        finally:
            self.loop.run_until_complete(self.clear())
            self.loop.close()

    async def clear(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*self.tasks, *left, return_exceptions=True)


# -- runs within runs ------------------------------------------------------------------------------------


@dataclass(eq=False)
class Node:
    """A run, or a ledger that `checked_complete` charges."""

    number: int
    ceiling: TokenUsage
    tracker: CostTracker
    parent: "Node | None"
    run: Run | None
    call_model: Callable[..., Awaitable[LLMResponse]]
    below: set[int] = field(default_factory=set)
    halted: bool = False


class NestedRuns(Interleaving):
    """Calls through a tree of runs with ceilings on every level."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.sent_before_halt: dict[Node, int] = {}

    @initialize(ceiling=budgets)
    def root(self, ceiling: TokenUsage) -> None:
        self.open_run(0, ceiling)

    @property
    def usable(self) -> list[Node]:
        return [node for node in self.nodes if not node.halted]

    @precondition(lambda self: len(self.usable) < 4)
    @rule(within=picks, ceiling=budgets)
    def open_run(self, within: int, ceiling: TokenUsage) -> None:
        parent, provider = self.parent(within)
        tracker = CostTracker()
        run = Run("run", provider, max_cost=ceiling, retry=self.endpoint.retry, tracker=tracker)
        self.add(Node(len(self.nodes), ceiling, tracker, parent, run, run.complete))

    @precondition(lambda self: len(self.usable) < 4)
    @rule(within=picks, ceiling=budgets)
    def open_ledger(self, within: int, ceiling: TokenUsage) -> None:
        parent, provider = self.parent(within)
        tracker = CostTracker()

        def call(messages: list[dict[str, Any]], **keywords: Any) -> Awaitable[LLMResponse]:
            return checked_complete(provider, messages, tracker, ceiling, self.endpoint.retry, **keywords)

        self.add(Node(len(self.nodes), ceiling, tracker, parent, None, call))

    def parent(self, within: int) -> tuple[Node | None, LLMProvider]:
        choices: list[tuple[Node | None, LLMProvider]] = [(None, self.endpoint)]
        choices += [(node, node.run) for node in self.usable if node.run is not None]
        return choices[within % len(choices)]

    def add(self, node: Node) -> None:
        self.nodes.append(node)
        above: Node | None = node
        while above is not None:
            above.below.add(node.number)
            above = above.parent

    @precondition(lambda self: self.usable)
    @rule(
        within=picks,
        size=st.integers(0, 60),
        max_tokens=st.sampled_from([None, 1, 10, 40, 100]),
        choices=st.sampled_from([1, 1, 1, 1, 3]),
        times=st.sampled_from([1, 2, 4, 8]),
    )
    def call(self, within: int, size: int, max_tokens: int | None, choices: int, times: int) -> None:
        node = self.usable[within % len(self.usable)]
        more = {"n": choices} if choices > 1 else {}

        for _ in range(times):
            self.spawn_call(node, "x" * size, max_tokens=max_tokens, **more)

    def spawn_call(self, node: Node, content: str = "", **more: Any) -> None:
        async def call() -> LLMResponse:
            messages = [{"role": "user", "content": content}]
            return await node.call_model(messages, tag=node.number, **more)

        self.spawn(call())

    @precondition(lambda self: any(node.run for node in self.usable))
    @rule(
        within=picks,
        calls=st.lists(picks, max_size=2),
        max_tokens=st.sampled_from([None, 1, 10, 40]),
        leaves=st.sampled_from([False, False, True]),
    )
    def stream(self, within: int, calls: list[int], max_tokens: int | None, leaves: bool) -> None:
        """Read a stream, and make calls before reading on: each of them must end without the stream's end."""
        runs = [node for node in self.usable if node.run is not None]
        node = runs[within % len(runs)]
        beside = [self.usable[call % len(self.usable)] for call in calls]

        async def read() -> None:
            assert node.run is not None
            messages = [{"role": "user", "content": "s"}]
            async with node.run.stream(messages, max_tokens=max_tokens, tag=node.number) as events:
                async for _ in events:
                    while beside:
                        other = beside.pop()
                        await other.call_model(messages, tag=other.number)
                    if leaves:
                        return

        self.spawn(read())

    @precondition(lambda self: self.endpoint.open and any(node.run for node in self.usable))
    @rule(which=picks)
    def halt(self, which: int) -> None:
        running = [node for node in self.usable if node.run is not None]
        node = running[which % len(running)]
        assert node.run is not None
        node.run.halt()
        self.sent_before_halt[node] = self.endpoint.calls_of(node.below)
        for number in node.below:
            self.nodes[number].halted = True
            self.spawn_call(self.nodes[number])

    @invariant()
    def what_was_halted_sends_nothing_more(self) -> None:
        for node, sent in self.sent_before_halt.items():
            assert self.endpoint.calls_of(node.below) == sent

    @invariant()
    def every_ceiling_holds_and_every_ledger_agrees_with_the_endpoint_s(self) -> None:
        for node in self.nodes:
            self.endpoint.agrees(node.below, node.tracker.to_usage(), node.ceiling)

    @invariant()
    def nothing_is_held_for_what_is_not_open(self) -> None:
        for node in self.nodes:
            under_way = (*self.endpoint.open, *self.endpoint.streams)
            if not any(entry.tag in node.below for entry in under_way):
                assert is_empty(room_of(node.tracker))

    def teardown(self) -> None:
        super().teardown()
        for task in self.tasks:
            error = None if task.cancelled() else task.exception()
            assert error is None or isinstance(error, (ExecutionKitError, OSError))


# -- patterns within patterns ----------------------------------------------------------------------------


AT_ONCE = RetryConfig(max_retries=2, base_delay=0.0)


async def ask_others(question: str, provider: LLMProvider) -> str:
    retry = getattr(provider, "retry", AT_ONCE)
    return (await consensus(provider, question, num_samples=2, max_tokens=10, retry=retry)).value


ASK = Tool(
    "ask",
    "Ask others.",
    {"type": "object", "properties": {"question": {"type": "string"}}, "required": ["question"]},
    ask_others,
)


async def bare_step(provider: LLMProvider, prompt: str) -> PatternResult[str]:
    """Knows nothing of budgets."""
    reply = await provider.complete([{"role": "user", "content": prompt}])
    return PatternResult(reply.content)


async def vote_on(text: str, provider: LLMProvider) -> float:
    retry = getattr(provider, "retry", AT_ONCE)
    vote = await consensus(provider, text, num_samples=2, max_tokens=20, retry=retry)
    return vote.agreement_ratio


async def inner_pipe(
    provider: LLMProvider,
    prompt: str,
    *,
    max_cost: TokenUsage | None = None,
    retry: RetryConfig | None = None,
) -> PatternResult[str]:
    """A pipe as a step of a pipe."""
    vote = partial(consensus, num_samples=2)
    return await pipe(provider, prompt, bare_step, vote, max_budget=max_cost, retry=retry)


STEPS: list[Callable[..., Awaitable[PatternResult[Any]]]] = [
    bare_step,
    inner_pipe,
    partial(consensus, num_samples=3, max_tokens=20),
    partial(consensus, num_samples=4, max_concurrency=2, strategy="unanimous"),
    partial(consensus, num_samples=2, max_cost=TokenUsage(0, 50, 2)),
    partial(refine_loop, max_iterations=1, max_tokens=30),
    partial(refine_loop, max_iterations=2, max_tokens=30, evaluator=vote_on),
    partial(react_loop, tools=[ASK], max_rounds=3),
    partial(react_loop, tools=[ASK], max_rounds=2, max_cost=TokenUsage(0, 0, 3)),
]


@dataclass
class Job:
    """A pattern at work, or done."""

    number: int
    ceiling: TokenUsage
    task: "asyncio.Task[Any]"


class NestedPatterns(Interleaving):
    """Patterns and pipes on one Kit."""

    def __init__(self) -> None:
        super().__init__()
        self.kit = Kit(self.endpoint)
        self.jobs: list[Job] = []

    @precondition(lambda self: sum(not task.done() for task in self.tasks) < 3)
    @rule(ceiling=budgets, steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=3))
    def start(self, ceiling: TokenUsage, steps: list[Any]) -> None:
        number = len(self.jobs)
        run = self.kit.pipe(f"[{number}]", *steps, max_budget=ceiling, retry=self.endpoint.retry)
        self.spawn(run)
        self.jobs.append(Job(number, ceiling, self.tasks[-1]))

    def content(self, entry: Entry, pick: int) -> LLMResponse:
        """Echoes the tag, so that the next step's requests carry it too."""
        asked = str(entry.messages[0]["content"])
        if entry.tools and pick % 3:
            arguments = {"question": f"[{entry.tag}]?"} if pick % 5 else {}
            calls = [ToolCall(f"{pick}{index}", "ask", arguments) for index in range(1 + pick % 2)]
            return LLMResponse(
                "", tool_calls=calls, finish_reason="length" if pick % 7 == 0 else "tool_calls"
            )
        if "Reply with the number only" in asked:
            return LLMResponse(str(pick % 12))  # 11 can't be read as a score
        return LLMResponse(
            ["", f"[{entry.tag}] yes", f"[{entry.tag}] no"][min(pick % 4, 2)] or f"[{entry.tag}]"
        )

    @invariant()
    def every_ceiling_holds_and_what_is_done_tells_what_it_cost(self) -> None:
        for job in self.jobs:
            self.endpoint.checked({job.number}, job.ceiling)
            if job.task.done() and not job.task.cancelled():
                error = job.task.exception()
                assert error is None or isinstance(error, (ExecutionKitError, OSError))
                told = job.task.result().cost if error is None else vars(error)["cost"]
                self.endpoint.agrees({job.number}, told)

    @invariant()
    def the_kit_s_total_is_the_endpoint_s(self) -> None:
        self.endpoint.agrees({job.number for job in self.jobs}, self.kit.usage)


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
NestedRuns.TestCase.settings = settings(
    max_examples=50, stateful_step_count=30, deadline=None, suppress_health_check=QUIET
)
NestedPatterns.TestCase.settings = settings(
    max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=QUIET
)
TestNestedRuns = NestedRuns.TestCase
TestNestedPatterns = NestedPatterns.TestCase


# -- the same over real HTTP -----------------------------------------------------------------------------


def billed(usage: TokenUsage) -> Decimal:
    return PRICES.at_most(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)


FAULTS = {
    "busy": Fault.rate_limited(0),
    "broken": Fault.status(503),
    "reset": Fault.reset(),
    "cut": Fault.cut_body("one two three"),
    "refused": Fault.status(400),
    "hangs": Fault.hang(),
}


@settings(max_examples=30, deadline=None, suppress_health_check=QUIET)
@given(
    ceiling=budgets,
    steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=3),
    script=st.lists(st.sampled_from(["", "", "", *FAULTS]), min_size=1, max_size=8),
)
def test_over_real_http_no_ceiling_is_passed_and_the_ledgers_agree(
    ceiling: TokenUsage, steps: list[Any], script: list[str]
) -> None:
    answered: list[ChatRequest] = []

    def model(request: ChatRequest) -> LLMResponse | Fault:
        mishap = script[request.number % len(script)]
        if mishap:
            return FAULTS[mishap]
        answered.append(request)
        if request.tools and request.number % 2:
            return LLMResponse("", tool_calls=[ToolCall("1", "ask", {"question": "why"})])
        return LLMResponse("7" if "number only" in request.prompt else "one two three four five six")

    async def scenario() -> None:
        with LocalEndpoint(model) as endpoint:
            async with Provider(endpoint.base_url, "simulated", prices=PRICES) as provider:
                kit = Kit(provider)
                run = asyncio.create_task(kit.pipe("q", *steps, max_budget=ceiling, retry=AT_ONCE))
                hung = asyncio.create_task(endpoint.wait_until(hangs))
                await asyncio.wait((run, hung), return_when=asyncio.FIRST_COMPLETED)
                cancelled = run.cancel()
                hung.cancel()
                outcome, _ = await asyncio.gather(run, hung, return_exceptions=True)
                ledger = await endpoint.settle()

        if ceiling.llm_calls:
            assert ledger.calls <= max(0, ceiling.llm_calls)
        if ceiling.output_tokens:
            assert ledger.output_tokens <= max(0, ceiling.output_tokens)
        if ceiling.usd:
            # This endpoint counts words, so each prompt in flight may have been under-estimated.
            longest = max((count_prompt_tokens(r.messages, r.tools) for r in answered), default=0)
            over = billed(TokenUsage(longest)) * ledger.peak_in_flight
            assert billed(ledger.usage) <= max(Decimal(0), ceiling.usd) + over
            assert billed(replace(ledger.usage, input_tokens=0)) <= max(Decimal(0), ceiling.usd)
        if cancelled:  # what was on its way then may not have arrived, nor its reply
            assert sum(request.body is not None for request in ledger.requests) <= kit.usage.llm_calls
            assert kit.usage.output_tokens <= ledger.output_tokens
            assert (kit.usage.usd or 0) <= billed(ledger.usage)
        else:
            assert replace(kit.usage, usd=None) == ledger.usage
            assert kit.usage == outcome.cost
            assert (kit.usage.usd or 0) == billed(ledger.usage)
        assert ledger.in_flight == 0

    def hangs(ledger: Ledger) -> bool:
        return any(script[request.number % len(script)] == "hangs" for request in ledger.requests)

    asyncio.run(scenario())
