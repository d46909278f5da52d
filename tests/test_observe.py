"""Observers: what they are told of, and that they can't break a run."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import TracebackType
from typing import Any

import pytest
from fakes import NO_WAIT, ONCE, HeldProvider, idle
from watching import Node, Watcher, spent

from executionkit import (
    Approval,
    BudgetExhaustedError,
    Conversation,
    CostTracker,
    Kit,
    LLMProvider,
    LLMResponse,
    MockProvider,
    PatternResult,
    PermanentError,
    Provider,
    ProviderError,
    RetryConfig,
    Rubric,
    TokenUsage,
    Tool,
    ToolCall,
    checked_complete,
    consensus,
    consensus_sync,
    pipe,
    react_loop,
)
from executionkit.engine.run import Run
from executionkit.observe import (
    FAILURES,
    CallInfo,
    CallSpan,
    LeftEarlyError,
    Observer,
    RunInfo,
    RunSpan,
    ToolInfo,
    ToolSpan,
    install,
    observe,
    observers,
    uninstall,
)
from executionkit.testing import Fault, LocalEndpoint

MESSAGES = [{"role": "user", "content": "q"}]


def calling(*calls: ToolCall) -> LLMResponse:
    return LLMResponse("", list(calls), "tool_calls")


def tool_of(execute: Callable[..., object], **more: Any) -> Tool:
    return Tool("t", "A tool.", {"type": "object", "properties": {}}, execute, **more)


# -- who is told -----------------------------------------------------------------------------------------


async def test_blocks_nest_and_what_is_installed_is_told_first_and_once() -> None:
    order: list[str] = []

    class Named(Watcher):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def run(self, info: RunInfo, /) -> AbstractContextManager[RunSpan]:
            order.append(self.name)
            return super().run(info)

    process, outer, inner = Named("process"), Named("outer"), Named("inner")
    install(process)
    install(process)
    try:
        with observe(outer), observe(inner), observe(outer):
            assert observers() == (process, inner, outer)
            await consensus(MockProvider(["a"]), "q", num_samples=1)
        with observe(process):
            assert observers() == (process,)
    finally:
        uninstall(process)
    assert order == ["process", "inner", "outer"]
    uninstall(process)
    assert observers() == ()


async def test_a_block_may_be_left_out_of_turn_and_in_another_task() -> None:
    first, second = Watcher(), Watcher()
    one, other = observe(first), observe(second)
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert observers() == (second,)
    other.__exit__(None, None, None)
    assert observers() == ()

    async def fixture() -> AsyncGenerator[None, None]:
        with observe(first):
            yield

    block = fixture()
    await asyncio.create_task(anext(block))
    with pytest.raises(LookupError, match="the user's"):
        await asyncio.create_task(block.athrow(LookupError("the user's")))
    assert observers() == ()


class Async(Watcher):
    async def call(self, info: CallInfo, /) -> None:  # type: ignore[override]
        """Is no observer."""


@pytest.mark.parametrize("wrong", [Watcher, object(), None, Async()])
def test_what_is_no_observer_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="an observer needs the methods run, call and tool"):
        install(wrong)
    with pytest.raises(TypeError, match="an observer needs"), observe(wrong):
        pass


def test_a_twin_without_async_is_seen_as_well() -> None:
    watcher = Watcher()
    with observe(watcher):
        consensus_sync(MockProvider(["a"]), "q", num_samples=1)
    assert watcher.tree() == "run consensus\n  call\n"


# -- the tree --------------------------------------------------------------------------------------------


async def test_the_tree_has_runs_calls_tools_and_the_user_s_own_spans() -> None:
    watcher = Watcher()

    def inside(provider: LLMProvider) -> str:  # in a thread of its own
        consensus_sync(MockProvider(["a"]), "q", num_samples=1)
        return "done"

    async def step(provider: LLMProvider, prompt: str) -> PatternResult[str]:
        async with Run("mine", provider) as run:
            return PatternResult((await run.complete(MESSAGES)).content)

    loop = partial(react_loop, tools=[tool_of(inside)])
    provider = MockProvider(["7", calling(ToolCall("1", "t", {})), "8", "9"])
    with observe(watcher):
        result = await pipe(provider, "q", partial(consensus, num_samples=1), loop, step)
    assert watcher.tree() == (
        "run pipe\n  run consensus\n    call\n  run react_loop\n    call\n"
        "    tool t\n      run consensus\n        call\n    call\n  run mine\n    call\n"
    )
    run = watcher.nodes[0]
    assert run.info == RunInfo("pipe", None, None, None)
    assert run.heard("ended") == (result.cost, None, {"step_count": 3, "callback_errors": 0})
    assert all(node.left == [None] for node in watcher.nodes)
    assert [call.info.run.name for call in watcher.of("call")] == [
        "consensus", "react_loop", "consensus", "react_loop", "mine",
    ]  # fmt: skip


async def test_fifty_runs_at_once_keep_their_calls_apart() -> None:
    watcher = Watcher()
    target: Any = MockProvider(lambda call: str(call.messages[-1]["content"]))
    target.model, target.base_url = "simulated", "http://user:secret@127.0.0.1:9/v1/http://up?key=secret"
    with observe(watcher):
        await asyncio.gather(*(consensus(target, str(number), num_samples=3) for number in range(50)))
    runs = watcher.children(None)
    assert len(runs) == 50
    prompts = [{call.info.messages[-1]["content"] for call in watcher.children(run)} for run in runs]
    assert sorted(prompts, key=str) == sorted(({str(number)} for number in range(50)), key=str)
    for run in runs:
        calls = watcher.children(run)
        assert all(call.info.run is run.info for call in calls)
        assert spent(calls) == run.heard("ended")[0] == TokenUsage(llm_calls=3)
    assert {(run.info.model, run.info.base_url) for run in runs} == {
        ("simulated", "http://127.0.0.1:9/v1/http://up")
    }


async def test_a_conversation_a_kit_and_a_judge_are_told_of_by_what_they_begin() -> None:
    watcher = Watcher()
    with observe(watcher):
        await Conversation(MockProvider(["a"]), max_cost=TokenUsage(llm_calls=3)).send("q")
        kit = Kit(MockProvider(lambda call: "Score: 7" if "Short." in str(call.messages) else "a"))
        await kit.best_of_n("q", evaluator=Rubric("Short."), num_samples=2, max_concurrency=1)
        async with kit.stream("q") as events:
            _ = [event async for event in events]
    shown = watcher.tree()
    assert shown == "run react_loop\n  call\nrun best_of_n\n  call\n  call\n  call\n  call\ncall\n"
    best, stream = watcher.nodes[2], watcher.nodes[-1]
    assert {call.info.run for call in watcher.children(best)} == {best.info}
    assert (stream.info.run.name, stream.names) == ("stream", ["began", "spent", "answered"])


async def test_runs_on_one_tracker_each_tell_what_they_spent_themselves() -> None:
    watcher, tracker, provider = Watcher(), CostTracker(), HeldProvider()
    with observe(watcher):
        tasks = [
            asyncio.create_task(checked_complete(provider, MESSAGES, tracker, None, None)) for _ in range(3)
        ]
        await provider.arrived(3)
        for request in tuple(provider.waiting):
            request.answer(usage={"prompt_tokens": 3, "completion_tokens": 2})
        await asyncio.gather(*tasks)
    assert [run.heard("ended")[0] for run in watcher.of("run")] == [TokenUsage(3, 2, 1)] * 3


async def test_a_run_that_is_used_again_tells_only_of_its_second_time() -> None:
    watcher, run = Watcher(), Run("mine", MockProvider(["a"]))
    for observer in (Watcher(), watcher):
        with observe(observer):
            async with run:
                await run.complete(MESSAGES)
    assert watcher.nodes[0].heard("ended") == (TokenUsage(llm_calls=1), None, {})


# -- calls -----------------------------------------------------------------------------------------------


async def test_a_call_says_what_is_sent_and_each_retry() -> None:
    watcher, slept = Watcher(), list[float]()
    errors = [ProviderError("busy", status_code=503), ProviderError("slow", retry_after=4)]
    provider = MockProvider([*errors, "a"])
    retry = RetryConfig(base_delay=0, sleep=slept.append)
    with observe(watcher):
        async with Run("mine", provider, max_cost=TokenUsage(llm_calls=5), retry=retry) as run:
            await run.complete(MESSAGES, temperature=0.5, max_tokens=9, seed=3)
    run_node, call = watcher.nodes
    assert run_node.info.max_cost == TokenUsage(llm_calls=5)
    info: CallInfo = call.info
    assert (info.messages, info.temperature, info.max_tokens, info.tools) == (MESSAGES, 0.5, 9, None)
    assert (info.options, info.streamed) == ({"seed": 3}, False)
    retries = [arguments for name, arguments in call.told if name == "retrying"]
    assert [(attempt, str(error), wait) for attempt, error, wait in retries] == [
        (1, "busy", 0),
        (2, "slow", 4),
    ]
    assert slept == [0, 4]
    assert call.names[2:] == ["spent", "answered"]
    assert call.heard("spent") == (TokenUsage(llm_calls=3),)


async def test_a_call_is_charged_for_failures_that_the_server_bills_and_not_for_what_was_never_sent() -> None:
    usage = {"prompt_tokens": 30, "completion_tokens": 20}
    broken = {"message": {"role": "assistant", "content": "half"}, "finish_reason": "error"}
    billed = Fault.status(200, body={"choices": [broken], "usage": usage})
    watcher = Watcher()
    with observe(watcher):
        with LocalEndpoint([billed, LLMResponse("a", usage=usage)]) as endpoint:
            async with Provider(endpoint.base_url, "m") as provider, Run("r", provider, retry=NO_WAIT) as run:
                await run.complete(MESSAGES)
        assert spent(watcher.of("call")) == run.usage == TokenUsage(60, 40, 2)
        unsent = MockProvider([ProviderError("no route", dispatched=False), LLMResponse("a", usage=usage)])
        async with Run("r", unsent, retry=NO_WAIT) as run:
            await run.complete(MESSAGES)
    assert spent(watcher.of("call")[1:]) == run.usage == TokenUsage(30, 20, 1)


async def test_a_call_that_a_budget_refuses_is_told_of() -> None:
    watcher = Watcher()
    budget = TokenUsage(llm_calls=1)
    with observe(watcher), pytest.raises(BudgetExhaustedError) as caught:
        await react_loop(MockProvider([""]), "q", [], max_cost=budget)
    run_node, first, second = watcher.nodes
    assert first.names == ["spent", "answered"]
    assert second.told == [("spent", (TokenUsage(),)), ("failed", (caught.value,))]
    assert run_node.heard("ended") == (TokenUsage(llm_calls=1), caught.value, {})
    assert (run_node.left, second.left) == ([caught.value], [caught.value])


async def test_a_call_says_how_long_it_waited_for_room() -> None:
    watcher, provider = Watcher(), HeldProvider()
    budget = TokenUsage(output_tokens=12)
    with observe(watcher):
        task = asyncio.create_task(
            consensus(provider, "q", num_samples=2, max_tokens=8, max_cost=budget, retry=ONCE)
        )
        await provider.arrived(1)
        await idle()
        provider.waiting[0].answer(usage={"prompt_tokens": 1, "completion_tokens": 1})
        (await provider.arrived(2)).answer(usage={"prompt_tokens": 1, "completion_tokens": 1})
        await task
    _, first, second = watcher.nodes
    assert first.names == ["spent", "answered"]
    assert second.names == ["waiting", "spent", "answered"]
    assert second.heard("waiting")[0] >= 0


async def test_cancelling_ends_every_span_once() -> None:
    watcher, provider = Watcher(), HeldProvider()
    with observe(watcher):
        task = asyncio.create_task(consensus(provider, "q", num_samples=3))
        await provider.arrived(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    run, *calls = watcher.nodes
    assert len(calls) == 3
    for node in (run, *calls):
        (left,) = node.left
        assert isinstance(left, asyncio.CancelledError)
    assert all(call.names == ["spent", "failed"] for call in calls)
    assert spent(calls) == run.heard("ended")[0] == TokenUsage(llm_calls=3)


async def test_a_cancellation_that_is_none_leaves_as_the_error_it_becomes() -> None:
    watcher = Watcher()
    with observe(watcher), pytest.raises(Exception, match="was not cancelled") as caught:
        async with Run("mine", MockProvider()):
            raise asyncio.CancelledError
    assert watcher.nodes[0].heard("ended") == (TokenUsage(), caught.value, {})


# -- streams ---------------------------------------------------------------------------------------------


def streamed(watcher: Watcher) -> Node:
    (call,) = watcher.nodes
    assert call.info.streamed
    assert len(call.left) == 1
    return call


async def test_a_stream_ends_when_the_reply_does_in_whichever_task() -> None:
    watcher = Watcher()
    with observe(watcher):
        stream = Kit(MockProvider(["one two"], usage=TokenUsage(3, 2))).stream("q")
    assert watcher.nodes == []  # nothing is sent yet
    await asyncio.create_task(stream.__aenter__())
    rest = asyncio.create_task(anext(stream))
    await rest
    assert watcher.nodes[0].names == ["began"]
    _ = [event async for event in stream]
    assert watcher.current.get() is None
    call = streamed(watcher)
    assert call.told[1:] == [("spent", (TokenUsage(3, 2, 1),)), ("answered", (stream.response,))]
    await stream.aclose()
    assert call.left == [None]


@pytest.mark.parametrize("how", ["left", "dropped"])
async def test_a_stream_left_early_tells_what_had_come(how: str) -> None:
    watcher = Watcher()
    with observe(watcher):
        kit = Kit(MockProvider(["one two"], usage=TokenUsage(3, 2)))
        stream = kit.stream("q")
        await anext(stream)
    if how == "left":
        await stream.aclose()
    del stream
    gc.collect()
    call = streamed(watcher)
    assert call.names == ["began", "partial", "spent", "failed"]
    assert call.heard("partial")[0].content == "one"
    assert call.heard("spent")[0] == kit.usage
    assert isinstance(call.heard("failed")[0], LeftEarlyError)
    assert call.left == list(call.heard("failed"))


async def test_a_stream_that_breaks_off_and_one_that_never_opens() -> None:
    with LocalEndpoint([Fault.reset("body", reply="one two three"), Fault.status(400)]) as endpoint:
        async with Provider(endpoint.base_url, "simulated") as provider:
            kit = Kit(provider)
            for names in (["began", "partial", "spent", "failed"], ["spent", "failed"]):
                watcher, before = Watcher(), kit.usage
                with observe(watcher), pytest.raises(Exception) as caught:  # noqa: PT011 - either may be it
                    async with kit.stream("q", retry=ONCE) as stream:
                        _ = [event async for event in stream]
                call = streamed(watcher)
                assert call.names == names
                assert call.heard("failed") == (caught.value,)
                assert call.heard("spent")[0].llm_calls == kit.usage.llm_calls - before.llm_calls == 1


async def test_the_streams_of_a_loop_with_a_callback_belong_to_its_run() -> None:
    watcher = Watcher()
    provider = MockProvider([calling(ToolCall("1", "t", {})), "done"], usage=TokenUsage(3, 2))
    with observe(watcher):
        result = await react_loop(provider, "q", [tool_of(lambda: "x")], on_event=lambda _: None)
    assert watcher.tree() == "run react_loop\n  call\n  tool t\n  call\n"
    assert all(call.info.streamed and call.names[0] == "began" for call in watcher.of("call"))
    assert spent(watcher.of("call")) == result.cost


# -- tools -----------------------------------------------------------------------------------------------


async def told_of_tool(tool: Tool, *replies: LLMResponse | str, **options: Any) -> list[tuple[Any, ...]]:
    """The observation, the error, whether it ran and whether it was cut, of each call; and the result's."""
    watcher = Watcher()
    with observe(watcher):
        await react_loop(MockProvider([*replies, "done"]), "q", [tool], **options)
    nodes = watcher.of("tool")
    assert all(node.left == [None] and node.info.run.name == "react_loop" for node in nodes)
    return [node.heard("ended") for node in nodes]


async def test_a_tool_tells_what_came_of_it_whether_or_not_it_ran() -> None:
    failure = KeyError("tea")

    def failing() -> str:
        raise failure

    def exiting() -> str:
        raise SystemExit(3)

    call, unknown = ToolCall("1", "t", {}), ToolCall("2", "u", {})
    fine = tool_of(lambda: "x" * 50)
    (first, second) = await told_of_tool(fine, calling(call, unknown), max_observation_chars=40)
    assert {first[1:], second[1:]} == {(None, True, True), (None, False, True)}
    assert await told_of_tool(tool_of(failing), calling(call)) == [
        ("Error: t failed with KeyError.", failure, True, False)
    ]
    ((_, error, ran, _),) = await told_of_tool(tool_of(exiting), calling(call))
    assert (type(error), ran) == (SystemExit, True)
    ((_, error, ran, _),) = await told_of_tool(tool_of(idle_for_ever, timeout=0.001), calling(call))
    assert (type(error), ran) == (TimeoutError, True)
    ((text, *rest),) = await told_of_tool(fine, calling(call), tool_choice="none")
    assert (text.startswith("Error: not run"), rest) == (True, [None, False, False])
    repeated = await told_of_tool(fine, calling(call), calling(call), max_repeats=1)
    assert [ran for *_, ran, _ in repeated] == [True, False]
    asks = tool_of(lambda: "ran", needs_approval=True)
    refused = await told_of_tool(asks, calling(call), approve=lambda _: Approval(False, "no"))
    assert refused == [("declined: no", None, False, False)]


async def idle_for_ever() -> str:
    await asyncio.get_running_loop().create_future()
    return ""


async def test_a_tool_that_is_cancelled_ends_with_its_loop() -> None:
    watcher, begun = Watcher(), asyncio.Event()

    async def slow() -> str:
        begun.set()
        return await idle_for_ever()

    with observe(watcher):
        loop = react_loop(MockProvider([calling(ToolCall("1", "t", {}))]), "q", [tool_of(slow)])
        task = asyncio.create_task(loop)
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    (tool,) = watcher.of("tool")
    text, error, ran, _ = tool.heard("ended")
    assert (text, type(error), ran, tool.left) == ("", asyncio.CancelledError, True, [error])


# -- observers that fail ---------------------------------------------------------------------------------

KINDS = ("run", "call", "tool")
ENDS = ("ended", "retrying", "spent", "answered", "failed")
TOLD = (*ENDS, "began", "partial")


class Failing:
    """Raises in one place."""

    def __init__(self, place: str, exc: BaseException | None) -> None:
        self.place, self.exc = place, exc
        self.entered = self.exited = 0

    def _at(self, place: str) -> None:
        if self.exc is not None and place == self.place:
            raise self.exc

    def run(self, _info: object, /) -> Any:
        return self._opened("run")

    def call(self, _info: object, /) -> Any:
        return self._opened("call")

    def tool(self, _info: object, /) -> Any:
        return self._opened("tool")

    def _opened(self, kind: str) -> Any:
        self._at(kind)
        return self

    def __enter__(self) -> Any:
        self._at("enter")
        self.entered += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.exited += 1
        self._at("exit")
        return True  # as if it could suppress what leaves

    def __getattr__(self, name: str) -> Any:
        if name in TOLD:
            return lambda *_, **__: self._at(name)
        raise AttributeError(name)


@pytest.mark.parametrize("kind", [ValueError, asyncio.CancelledError, GeneratorExit])
@pytest.mark.parametrize("place", [*KINDS, *ENDS, "enter", "exit"])
async def test_an_observer_that_raises_breaks_nothing_and_is_logged_once(
    place: str, kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    failing, watcher = Failing(place, kind("mine")), Watcher()
    name = f"Failing: {kind.__name__}"
    FAILURES.pop(name, None)
    asked = calling(ToolCall("1", "t", {}))
    provider = MockProvider([ProviderError("busy"), asked, "done", asked, PermanentError("403")])
    loop = partial(react_loop, provider, "q", [tool_of(lambda: "x")], retry=NO_WAIT)
    with observe(failing), observe(watcher):
        assert (await loop()).value == "done"
        with pytest.raises(PermanentError, match="403"):
            await loop()
    assert [node.name for node in watcher.nodes] == ["run react_loop", "call", "tool t", "call"] * 2
    assert all(len(node.left) == 1 for node in watcher.nodes)
    assert failing.entered == failing.exited
    records = [record for record in caplog.records if record.name == "executionkit.observe"]
    assert [record.args for record in records] == [(name,)]
    assert FAILURES[name] >= 1
    assert "mine" in caplog.text
    assert "403" not in caplog.text  # the run's own error, whose text may quote the prompt


@pytest.mark.parametrize("place", [*KINDS, "ended", "spent", "answered", "enter", "exit"])
async def test_the_end_of_the_program_gets_out_and_closes_all(place: str) -> None:
    failing, outer, inner = Failing(place, KeyboardInterrupt()), Watcher(), Watcher()
    provider = MockProvider([calling(ToolCall("1", "t", {})), "done"])
    with pytest.raises(KeyboardInterrupt), observe(outer), observe(failing), observe(inner):
        await react_loop(provider, "q", [tool_of(lambda: "x")])
    for node in outer.nodes + inner.nodes:
        assert len(node.left) == 1, node.name


async def test_the_end_of_the_program_closes_a_stream_that_is_being_left() -> None:
    watcher = Watcher()
    with observe(watcher), observe(Failing("partial", KeyboardInterrupt())):
        stream = Kit(MockProvider(["one two"])).stream("q")
        await anext(stream)
        with pytest.raises(KeyboardInterrupt):
            await stream.aclose()
    assert len(streamed(watcher).left) == 1


@pytest.mark.parametrize("how", ["itself", "as a cause"])
async def test_an_observer_that_raises_the_run_s_error_does_not_put_it_into_the_log(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Raising(Failing):
        def failed(self, error: Exception) -> None:
            if how == "itself":
                raise error
            raise LookupError("mine") from error

    FAILURES.clear()
    with observe(Raising("", None)), pytest.raises(PermanentError) as caught:
        await consensus(MockProvider(exception=PermanentError("can't answer: the prompt")), "q")
    assert FAILURES.total() > 0
    assert "an observer raised" in caplog.text
    assert "the prompt" not in caplog.text
    assert not caught.value.__suppress_context__


def test_spans_need_only_the_methods_that_are_wanted() -> None:
    class Bare:
        def run(self, info: RunInfo, /) -> AbstractContextManager[RunSpan]:
            return nullcontext(RunSpan())

        def call(self, info: CallInfo, /) -> AbstractContextManager[CallSpan]:
            return nullcontext(CallSpan())

        def tool(self, info: ToolInfo, /) -> AbstractContextManager[ToolSpan]:
            return nullcontext(ToolSpan())

    before = dict(FAILURES)
    observer: Observer = Bare()

    async def main() -> None:
        provider = MockProvider([ProviderError("busy"), calling(ToolCall("1", "t", {})), "done"])
        with observe(observer):
            await react_loop(provider, "q", [tool_of(lambda: "x")], retry=NO_WAIT)
            stream = Kit(MockProvider(["one two"])).stream("q")
            await anext(stream)
            await stream.aclose()
            with pytest.raises(PermanentError):
                await consensus(MockProvider(exception=PermanentError("403")), "q")

    asyncio.run(main())
    assert before == FAILURES
