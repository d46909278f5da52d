"""What every pattern promises. A new pattern adds one entry to `PATTERNS`."""

import asyncio
import copy
import inspect
import json
import logging
import math
import pickle
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import pytest
from fakes import NO_WAIT, ONCE, HeldProvider, idle
from traces import total, traced
from watching import Watcher, spent

import executionkit
from executionkit import (
    BudgetExhaustedError,
    ExecutionKitError,
    Kit,
    LLMProvider,
    LLMResponse,
    MockProvider,
    Pairwise,
    PatternEnded,
    PatternError,
    PatternEvent,
    PatternResult,
    PatternStarted,
    PermanentError,
    Provider,
    ProviderError,
    Retrying,
    Rubric,
    Tier,
    TokenUsage,
    Tool,
    ToolCall,
    best_of_n,
    cascade,
    consensus,
    map_reduce,
    pipe,
    react_loop,
    refine_loop,
    structured,
)
from executionkit._json import plain
from executionkit._prompt import in_words
from executionkit.observe import observe
from executionkit.parts import image
from executionkit.testing import ChatRequest, Fault, Ledger, LocalEndpoint, MockCall, Model

DOCS = Path(__file__).parents[2] / "docs" / "patterns"


@dataclass(frozen=True)
class Pattern:
    """A pattern and how to run it.

    Attributes:
        function: The pattern.
        kit: Its name as a method of Kit.
        calls: How many calls the run below makes when nothing fails.
        arguments: What makes it call `model` at least three times, one call at a time.
        at_once: What to add for requests side by side; empty where there are never any.
        together: How many are then side by side at first; None is all of them.
        value: What comes of it.
        task: The parameter after the provider, and what it is given.
        wrong: Values out of range, for each parameter that not every pattern has.
        on: What stands in the place of the provider.
        lacks: Parameters of every other pattern that it does not have.
    """

    function: Callable[..., Coroutine[Any, Any, PatternResult[Any]]]
    kit: str
    calls: int
    arguments: dict[str, Any]
    wrong: dict[str, list[object]]
    at_once: dict[str, Any] = field(default_factory=dict)
    together: int | None = None
    value: Any = "5"
    task: tuple[str, Any] = ("prompt", "q")
    on: Callable[[Any], Any] = lambda provider: provider
    lacks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.function.__name__

    def run(self, provider: object, **more: Any) -> Coroutine[Any, Any, PatternResult[Any]]:
        settings = {**dict([self.task]), "retry": NO_WAIT, **self.arguments, **more}
        return self.function(self.on(provider), **settings)

    def through(self, kit: Kit, **more: Any) -> Coroutine[Any, Any, PatternResult[Any]]:
        on = self.on(kit.provider)
        given = () if on is kit.provider else (on,)
        run: Coroutine[Any, Any, PatternResult[Any]] = getattr(kit, self.kit)(
            *given, self.task[1], **self.arguments, **more
        )
        return run


async def _look() -> str:
    return "a cat"


LOOK = Tool("look", "Look.", {"type": "object", "properties": {}}, _look)
NO_COUNT: list[object] = [-1, 1.5, True, "1", None, math.nan]
NO_SHARE: list[object] = [-0.01, 1.01, math.nan, math.inf, "0.5", True, None]

NO_VARIANTS: list[object] = ["q", b"q", 3, None, True, {"q"}, {"type": "text"}]
SILENT = 1.9  # a temperature at which the model says nothing
NO_CONVERSATION: dict[str, list[object]] = {
    "messages": ["q", b"q", 3, {"role": "user", "content": "q"}, {"q"}],
    "system": ["", " \n", 3, b"q", ["q"], True],
}

PATTERNS = [
    Pattern(
        consensus,
        kit="consensus",
        calls=3,
        arguments={"num_samples": 3, "max_concurrency": 1},
        at_once={"max_concurrency": 3},
        wrong={
            **NO_CONVERSATION,
            "num_samples": [0, *NO_COUNT],
            "max_concurrency": [0, *NO_COUNT],
            "strategy": ["most", "MAJORITY", "", None, 1, ["majority"]],
            "key": ["number", 1, _look],
            "stop": ["any", "", None, 0.5, 1.0, 0.0, -0.6, 1.5, 1, True, math.nan, math.inf, "0.9", ["all"]],
            "min_samples": [0, 4, *(value for value in NO_COUNT if value is not None)],
            "choices_per_request": [0, *NO_COUNT],
            "confidence": [0, 0.0, -0.5, 1.01, math.nan, True, "tie", ["ties"]],
            "variants": NO_VARIANTS,
        },
    ),
    Pattern(
        cascade,
        kit="cascade",
        calls=3,
        on=lambda provider: [Tier(provider, 2, temperature=SILENT), Tier(provider)],
        arguments={"max_concurrency": 1},
        at_once={"max_concurrency": 3},
        together=2,
        lacks=("temperature", "max_tokens"),
        wrong={
            **NO_CONVERSATION,
            "max_concurrency": [0, *NO_COUNT],
            "key": ["number", 1, _look],
            "variants": NO_VARIANTS,
        },
    ),
    Pattern(
        refine_loop,
        kit="refine",
        calls=4,
        arguments={"max_iterations": 1},
        wrong={
            **NO_CONVERSATION,
            "evaluator": ["judge", 0.5],
            "max_eval_chars": [0, *NO_COUNT],
            "target_score": NO_SHARE,
            "max_iterations": NO_COUNT,
            "patience": [0, *NO_COUNT],
            "delta_threshold": NO_SHARE,
            "on_budget": ["ignore", "", None, True, ["return"]],
            "attempts_shown": [0, *NO_COUNT],
        },
    ),
    Pattern(
        best_of_n,
        kit="best_of_n",
        calls=3,
        arguments={"evaluator": lambda _text, _provider: 0.5, "num_samples": 3, "max_concurrency": 1},
        at_once={"max_concurrency": 3},
        wrong={
            **NO_CONVERSATION,
            "evaluator": ["judge", 0.5, None],
            "num_samples": [0, *NO_COUNT],
            "target_score": [value for value in NO_SHARE if value is not None],
            "max_concurrency": [0, *NO_COUNT],
            "variants": NO_VARIANTS,
        },
    ),
    Pattern(
        map_reduce,
        kit="map_reduce",
        calls=3,
        task=("inputs", ["one", "two"]),
        arguments={"map_prompt": "Map", "reduce_prompt": "Reduce", "max_concurrency": 1},
        at_once={"max_concurrency": 3},
        together=2,
        wrong={
            "inputs": ["q", b"q", [], (), None, 3, {"q"}],
            "map_prompt": [None, 3, b"q", ["q"]],
            "reduce_prompt": [None, 3, b"q", ["q"]],
            "on_failure": ["ignore", "", None, True, ["skip"]],
            "max_reduce_chars": [0, *NO_COUNT],
            "max_concurrency": [0, *NO_COUNT],
        },
    ),
    Pattern(
        structured,
        kit="structured",
        calls=3,
        value={"n": 5},
        arguments={"output": {"type": "object", "properties": {"n": {"const": 5}}, "required": ["n"]}},
        wrong={
            **NO_CONVERSATION,
            "output": ["int", 3, b"q", [1], object()],
            "validator": ["yes", 3, True],
            "max_retries": NO_COUNT,
            "schema_mode": ["strict", "", None, True, ["none"]],
            "max_tokens_limit": [0, 4095, *(value for value in NO_COUNT if value is not None)],
        },
    ),
    Pattern(
        react_loop,
        kit="react",
        calls=3,
        arguments={"tools": [LOOK]},
        wrong={
            **NO_CONVERSATION,
            "max_rounds": [0, *NO_COUNT],
            "max_parallel_tools": [0, *NO_COUNT],
            "text_calls": [None, True, "Run", "off"],
            "max_retries": NO_COUNT,
            "output": ["int", 3, b"q", [1], object()],
            "approve": [True, "yes", lambda: True],
            "approval_timeout": [0, -1.0, float("inf"), "1"],
            "on_limit": [None, True, "Answer", "stop"],
            "max_repeats": [0, -1, True, 1.5],
            "tool_choice": [None, True, "", "any", {"name": "look"}],
            "parallel_tool_calls": [0, 1, "yes"],
            "max_observation_chars": [0, *NO_COUNT],
            "tool_timeout": [0, -1, math.nan, math.inf, "1", True],
            "max_history_messages": [0, *(value for value in NO_COUNT if value is not None)],
        },
    ),
]

WRONG_EVERYWHERE: dict[str, list[object]] = {
    "prompt": [None, b"q", 3, {"q"}, [], [""], ["", ""], [3], ["q", b"q"], [{"text": "q"}], {"type": "text"}],
    "temperature": [-0.01, 2.01, math.nan, math.inf, "hot", True, None],
    "max_tokens": [0, *NO_COUNT],
    "max_cost": [5, (1, 2, 3), {"llm_calls": 1}],
    "options": ["seed", [("seed", 1)], 3, {1: 2}, True],
    "retry": [3, "no", False, {}],
    "on_event": ["print", 1],
}
# Those that a type decides about: the tests of react_loop, of approval and of cascade have what is wrong.
CHECKED_ELSEWHERE = {"provider", "tiers", "tools", "approvals", "_"}


def wrong_values(pattern: Pattern) -> dict[str, list[object]]:
    """Values out of range, for each parameter."""
    left_out = {"prompt", *pattern.lacks}
    everywhere = {name: values for name, values in WRONG_EVERYWHERE.items() if name not in left_out}
    if pattern.task[0] == "prompt":
        everywhere["prompt"] = WRONG_EVERYWHERE["prompt"]
    return {**everywhere, **pattern.wrong}


def model(call: MockCall | ChatRequest) -> LLMResponse:
    """Looks twice where it has tools, errs twice where JSON is asked for; to all else it says 5.

    At one temperature it says nothing.
    """
    asked = str(call.messages[-1]["content"])
    if "JSON" in str(call.messages[0]["content"]):
        return LLMResponse('{"n": 4}' if "missing" in asked else '{"n": 5}' if "got 4" in asked else "{}")
    looked = sum(message["role"] == "tool" for message in call.messages)
    if call.tools and looked < 2:
        return LLMResponse("", tool_calls=[ToolCall(f"call{looked}", "look", {})])
    temperature = call.temperature if isinstance(call, MockCall) else call.field("temperature")
    return LLMResponse("" if temperature == SILENT else "5")


def flaky_model(request: ChatRequest) -> LLMResponse | Fault:
    """Fails every first attempt."""
    return Fault.status(503) if request.number % 2 else model(request)


def model_until(k: int, fault: Fault) -> Model:
    """Answers k - 1 calls."""
    return lambda request: model(request) if request.number < k else fault


def has_arrived(k: int, ledger: Ledger) -> bool:
    """Whether call k has arrived whole; one that is cut off on its way is no attempt."""
    return ledger.calls == k and ledger.requests[-1].body is not None


every_pattern = pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)


@asynccontextmanager
async def serving(model: Model) -> AsyncIterator[tuple[LocalEndpoint, Provider]]:
    """An endpoint with this model behind it, and a client of it."""
    with LocalEndpoint(model) as endpoint:
        async with Provider(endpoint.base_url, "simulated") as provider:
            yield endpoint, provider


# -- what is refused before any call ---------------------------------------------------------------------


@every_pattern
def test_there_are_wrong_values_for_every_parameter(pattern: Pattern) -> None:
    parameters = set(inspect.signature(pattern.function).parameters)
    assert parameters - CHECKED_ELSEWHERE == wrong_values(pattern).keys()


@every_pattern
async def test_a_value_out_of_range_is_named_with_its_parameter_before_any_call(pattern: Pattern) -> None:
    provider = MockProvider(model)
    for name, values in wrong_values(pattern).items():
        for value in values:
            with pytest.raises(ValueError, match=rf"^{name} must be ") as caught:
                await pattern.run(provider, **{name: value})
            assert repr(value) in str(caught.value)
    assert provider.call_count == 0


class NotCallable:
    complete = "not a method"


@every_pattern
async def test_what_is_no_provider_is_told_what_it_lacks(pattern: Pattern) -> None:
    for provider in (None, "gpt", object(), MockProvider, NotCallable()):
        with pytest.raises(TypeError, match=rf"{pattern.name}: the provider needs an async `complete\("):
            await pattern.run(provider)


@every_pattern
@pytest.mark.parametrize("answer", ["text", None, {"choices": []}])
async def test_a_provider_that_returns_something_else_is_told_so_once(
    pattern: Pattern, answer: object
) -> None:
    calls: list[object] = []

    class Other:
        supports_tools = True

        async def complete(self, messages: object, **_: object) -> object:
            calls.append(messages)
            return answer

    with pytest.raises(TypeError, match="must return an LLMResponse"):
        await pattern.run(Other())
    assert len(calls) == 1


# -- conversations ---------------------------------------------------------------------------------------

SYSTEM = {"role": "system", "content": "You are a pirate."}
EARLIER = [{"role": "user", "content": "Ahoy?"}, {"role": "assistant", "content": "Aye."}]
JUDGED: dict[str, list[Any]] = {
    "best_of_n": [Rubric("No rhymes."), Pairwise("No rhymes.")],
    "refine_loop": [None, Rubric("No rhymes.")],
}

converses = pytest.mark.parametrize(
    ("pattern", "more"),
    [
        pytest.param(pattern, {} if judge is ... else {"evaluator": judge}, id=f"{pattern.name}-{judge}")
        for pattern in PATTERNS
        if pattern.task[0] == "prompt"
        for judge in JUDGED.get(pattern.name, [...])
    ],
)


def judging_model() -> Callable[[MockCall | ChatRequest], LLMResponse]:
    """The model, or a judge; of several candidates each is worded differently."""
    drafts = count()

    def reply(call: MockCall | ChatRequest) -> LLMResponse:
        if is_judging(call):
            return LLMResponse("Score: 5\nBetter: tie")
        said = model(call)
        return LLMResponse("5" + "!" * next(drafts)) if said.content == "5" else said

    return reply


def is_judging(call: MockCall | ChatRequest) -> bool:
    return in_words(call.messages[0]["content"]).startswith("Judge ")


@converses
async def test_the_model_is_sent_the_whole_conversation_and_a_judge_the_task_alone(
    pattern: Pattern, more: dict[str, Any]
) -> None:
    provider = MockProvider(judging_model())
    result = await pattern.run(provider, messages=EARLIER, system=SYSTEM["content"], **more)
    assert json.dumps(result.value).strip('"!') == json.dumps(pattern.value).strip('"')
    assert any(map(is_judging, provider.calls)) is bool(more)
    for call in provider.calls:
        if is_judging(call):
            assert [message["role"] for message in call.messages] == ["user"]
            assert ">\nq\n</task-" in call.messages[0]["content"]
            assert not re.search("pirate|Ahoy|Aye", str(call.messages))
        else:
            assert call.messages[0]["role"] == "system"
            # The form of a structured reply follows in the same message.
            assert re.match("You are a pirate.(\n\n.*JSON|$)", call.messages[0]["content"])
            assert call.messages[1:4] == [*EARLIER, {"role": "user", "content": "q"}]
            assert all(message["role"] != "system" for message in call.messages[1:])


@converses
async def test_without_a_prompt_the_reply_is_to_the_messages_as_they_stand(
    pattern: Pattern, more: dict[str, Any]
) -> None:
    requests: list[list[MockCall]] = []
    for how in ({"prompt": "q", "messages": EARLIER}, {"prompt": None, "messages": [*EARLIER, QUESTION]}):
        provider = MockProvider(judging_model())
        await pattern.run(provider, **how, **more)
        requests.append(provider.calls)
    assert requests[0] == requests[1]


QUESTION = {"role": "user", "content": "q"}


@converses
async def test_calls_without_a_result_are_only_for_the_tool_loop(
    pattern: Pattern, more: dict[str, Any]
) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [QUESTION, {"role": "assistant", "content": None, "tool_calls": [call]}]
    provider = MockProvider(judging_model())
    run = pattern.run(provider, prompt=None, messages=messages, **more)
    if pattern.name == "react_loop":
        assert (await run).metadata["tool_calls_made"] == 2
    else:
        with pytest.raises(ValueError, match=r"^messages must have the results of their tool calls.*'a'"):
            await run
        assert provider.call_count == 0


# -- prompts of texts and parts --------------------------------------------------------------------------

DOT = image(b"\x89PNG\r\n\x1a\n" + bytes(12_000))
CLIP = {"type": "input_audio", "input_audio": {"data": "A" * 8_000, "format": "wav"}}
CONTENT = [{"type": "text", "text": "q"}, DOT, CLIP]


@converses
async def test_a_prompt_with_parts_is_sent_as_it_is_and_a_judge_sees_the_parts_too(
    pattern: Pattern, more: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    provider = MockProvider(judging_model())
    budget = TokenUsage(input_tokens=10**6, output_tokens=10**6)
    result = await pattern.run(provider, prompt=["q", "", DOT, CLIP], max_cost=budget, **more)
    assert any(map(is_judging, provider.calls)) is bool(more)
    for call in provider.calls:
        contents = [message["content"] for message in call.messages if isinstance(message["content"], list)]
        if is_judging(call):
            assert len(contents[0]) == 5
            assert contents[0][0]["text"].endswith(">\n")
            assert contents[0][1:4] == CONTENT
            assert contents[0][4]["text"].startswith("\n</task-")
        else:
            assert contents == [CONTENT]
    assert "<image/png, 12 kB>" in repr(provider.calls)
    for shown in (repr(provider.calls), repr(result), str(result), caplog.text):
        assert "iVBORw0KGgo" not in shown
        assert "AAAA" not in shown


@converses
@pytest.mark.parametrize("stream_always", [False, True])
async def test_parts_arrive_at_the_server_whole(
    pattern: Pattern, more: dict[str, Any], stream_always: bool
) -> None:
    with LocalEndpoint(
        lambda request: LLMResponse("Score: 5") if is_judging(request) else model(request)
    ) as endpoint:
        async with Provider(endpoint.base_url, "m", stream_always=stream_always) as provider:
            await pattern.run(provider, prompt=["q", DOT, CLIP], **more)
    assert all(DOT in json.loads(json.dumps(content)) for content in parts_in(endpoint.ledger))


def parts_in(ledger: Ledger) -> list[Any]:
    """The content with parts that each request has."""
    return [
        next(message["content"] for message in request.messages if isinstance(message["content"], list))
        for request in ledger.requests
    ]


@converses
async def test_an_error_shows_the_sizes_of_what_was_sent(pattern: Pattern, more: dict[str, Any]) -> None:
    provider = MockProvider(exception=PermanentError("400"))
    for how in (
        {"prompt": ["q", DOT]},
        {"prompt": None, "messages": [{"role": "user", "content": [DOT]}]},
    ):
        with pytest.raises(PermanentError) as caught:
            await pattern.run(provider, **how, **more)
        shown = [repr(caught.value), repr(caught.value.metadata), *getattr(caught.value, "__notes__", [])]
        assert not any("iVBORw0KGgo" in text for text in shown)


# -- request options -------------------------------------------------------------------------------------

JUDGES = [
    pytest.param(pattern, {} if judge is ... else {"evaluator": judge}, id=f"{pattern.name}-{judge}")
    for pattern in PATTERNS
    for judge in JUDGED.get(pattern.name, [...])
]


@pytest.mark.parametrize(("pattern", "more"), JUDGES)
@pytest.mark.parametrize("stream_always", [False, True])
async def test_options_are_fields_of_every_request_but_a_judge_s(
    pattern: Pattern, more: dict[str, Any], stream_always: bool
) -> None:
    options = {"seed": 7, "top_p": 0.5, "stop": ["END"], "reasoning_effort": "low", "user": None}
    with LocalEndpoint(judging_model()) as endpoint:
        async with Provider(endpoint.base_url, "m", stream_always=stream_always) as provider:
            running = asyncio.create_task(pattern.run(provider, options=options, **more))
            await asyncio.sleep(0)
            options["stop"].append("changed meanwhile")  # type: ignore[attr-defined]
            await running
    seeds: list[int] = []
    for request in endpoint.ledger.requests:
        if is_judging(request):
            assert not {"seed", "top_p", "stop", "reasoning_effort"} & request.body.keys()
        else:
            fields = [request.field(name) for name in ("top_p", "stop", "reasoning_effort")]
            assert fields == [0.5, ["END"], "low"]
            assert "user" not in request.body
            seeds.append(request.field("seed"))
    differ = pattern.name in ("consensus", "best_of_n", "cascade")
    assert seeds == [7 + index * differ for index in range(len(seeds))]


@every_pattern
async def test_options_that_the_pattern_sets_itself_are_refused_before_any_call(pattern: Pattern) -> None:
    provider = MockProvider(model)
    refused = ("messages", "model", "stream", "n", "max_tokens", "temperature", "tools", "response_format")
    for name in (*refused, "max_completion_tokens", "tool_choice", "is_final"):
        for options in ({"seed": 1, name: None}, {"extra_body": {name: 1}}):
            with pytest.raises(ValueError, match=f"^options must not set '{name}': "):
                await pattern.run(provider, options=options)
    assert provider.call_count == 0


# -- what is counted -------------------------------------------------------------------------------------


@every_pattern
async def test_every_attempt_on_the_wire_is_counted_and_traced(pattern: Pattern) -> None:
    async with serving(flaky_model) as (endpoint, provider):
        with traced() as traces:
            result = await pattern.run(provider)
    assert endpoint.ledger.calls == 2 * pattern.calls
    assert result.cost == endpoint.ledger.usage
    root, *inside = traces.tree().splitlines()
    assert root == f"invoke_{'agent' if pattern.name == 'react_loop' else 'workflow'} {pattern.name}"
    chats = [line for line in inside if "execute_tool" not in line]
    assert chats == ["  chat simulated [retry]"] * pattern.calls
    assert total(traces.chats, "gen_ai.usage.input_tokens") == result.cost.input_tokens
    assert total(traces.chats, "gen_ai.usage.output_tokens") == result.cost.output_tokens


@every_pattern
async def test_a_failure_in_call_k_carries_the_cost_of_k_calls(pattern: Pattern) -> None:
    for k in range(1, pattern.calls + 1):
        async with serving(model_until(k, Fault.status(401))) as (endpoint, provider):
            with pytest.raises(PermanentError) as caught:
                await pattern.run(provider)
        assert caught.value.cost == endpoint.ledger.usage
        assert caught.value.cost.llm_calls == k
        assert caught.value.metadata


@every_pattern
async def test_cancelling_leaves_the_totals_right_and_no_task_behind(pattern: Pattern) -> None:
    for k in range(1, pattern.calls + 1):
        async with serving(model_until(k, Fault.hang())) as (endpoint, provider):
            kit = Kit(provider)
            before = asyncio.all_tasks()
            run = asyncio.create_task(pattern.through(kit))
            await endpoint.wait_until(partial(has_arrived, k))
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            assert asyncio.all_tasks() == before
            ledger = await endpoint.settle()
        assert kit.usage == ledger.usage
        assert kit.usage.llm_calls == k
        assert (ledger.in_flight, ledger.undelivered) == (0, 1)


@every_pattern
async def test_a_kit_counts_what_its_method_spends_done_or_failed(pattern: Pattern) -> None:
    kit = Kit(MockProvider(model, usage=TokenUsage(3, 2)))
    result = await pattern.through(kit)
    assert kit.usage == result.cost
    assert kit.usage.llm_calls == pattern.calls
    failing = Kit(MockProvider(exception=ProviderError("503")))
    with pytest.raises(ProviderError):
        await pattern.through(failing, retry=NO_WAIT)
    assert failing.usage == TokenUsage(llm_calls=4)


# -- what a budget promises ------------------------------------------------------------------------------


@every_pattern
async def test_n_calls_of_budget_are_at_most_n_requests_whatever_fails(pattern: Pattern) -> None:
    for allowed in range(1, 2 * pattern.calls + 1):
        async with serving(flaky_model) as (endpoint, provider):
            run = pattern.run(provider, max_cost=TokenUsage(llm_calls=allowed), **pattern.at_once)
            if allowed < 2 * pattern.calls:
                with pytest.raises(BudgetExhaustedError) as caught:
                    await run
                cost = caught.value.cost
            else:
                cost = (await run).cost
        assert endpoint.ledger.calls <= allowed
        assert cost == endpoint.ledger.usage


@every_pattern
async def test_output_tokens_are_never_more_than_the_budget(pattern: Pattern) -> None:
    for allowed in range(1, 8):
        async with serving(model) as (endpoint, provider):
            budget = TokenUsage(output_tokens=allowed)
            try:
                cost = (await pattern.run(provider, max_cost=budget, **pattern.at_once)).cost
            except ExecutionKitError as exc:
                cost = exc.cost
        assert endpoint.ledger.output_tokens <= allowed
        assert cost == endpoint.ledger.usage


@every_pattern
async def test_a_budget_with_nothing_left_makes_no_call(pattern: Pattern) -> None:
    for budget in (TokenUsage(llm_calls=-1), TokenUsage(output_tokens=-1), TokenUsage(input_tokens=-1)):
        provider = MockProvider(model)
        with pytest.raises(BudgetExhaustedError, match="nothing was left") as caught:
            await pattern.run(provider, max_cost=budget)
        assert provider.call_count == 0
        assert caught.value.cost == TokenUsage()


@every_pattern
@pytest.mark.parametrize("declares_max_cost", [True, False])
async def test_inside_a_pipe_the_pipe_s_budget_holds(pattern: Pattern, declares_max_cost: bool) -> None:
    async def bare(provider: LLMProvider, prompt: str) -> PatternResult[Any]:
        return await pattern.run(provider)

    async def declaring(
        provider: LLMProvider, prompt: str, *, max_cost: TokenUsage | None = None
    ) -> PatternResult[Any]:
        return await pattern.run(provider, max_cost=max_cost)

    step = declaring if declares_max_cost else bare
    needed = 2 * pattern.calls
    async with serving(model) as (endpoint, provider):
        with pytest.raises(BudgetExhaustedError) as caught:
            await pipe(provider, "q", step, step, max_budget=TokenUsage(llm_calls=needed - 1))
        assert pattern.calls <= endpoint.ledger.calls < needed
        assert caught.value.cost == endpoint.ledger.usage
        assert len(caught.value.metadata["step_metadata"]) == 1

        result = await pipe(provider, "q", step, step, max_budget=TokenUsage(llm_calls=needed))
        assert result.cost.llm_calls == needed


# -- what observers are told -----------------------------------------------------------------------------


@every_pattern
@pytest.mark.parametrize("is_at_once", [False, True])
async def test_an_observer_is_told_of_the_run_its_calls_and_its_figures(
    pattern: Pattern, is_at_once: bool
) -> None:
    async def step(provider: LLMProvider, prompt: str) -> PatternResult[Any]:
        return await pattern.run(provider, **(pattern.at_once if is_at_once else {}))

    watcher = Watcher()
    async with serving(flaky_model) as (endpoint, provider):
        with observe(watcher):
            result = await pipe(provider, "q", step)
    outer, run = watcher.of("run")
    assert (outer.info.name, run.info.name, run.parent) == ("pipe", pattern.name, outer)
    assert (run.info.model, run.info.base_url) == ("simulated", provider.base_url)
    inside = watcher.children(run)
    assert all(node.left == [None] for node in watcher.nodes)
    calls, tools = watcher.of("call"), watcher.of("tool")
    assert set(inside) == {*calls, *tools}
    assert (len(calls), len(tools)) == (pattern.calls, 2 if pattern.function is react_loop else 0)
    assert sum(call.names.count("retrying") for call in calls) == pattern.calls
    assert all(call.names[-2:] == ["spent", "answered"] for call in calls)
    usage, error, figures = run.heard("ended")
    assert usage == result.cost == endpoint.ledger.usage == spent(calls)
    assert error is None
    fields = {name for name, value in result.step_metadata[0].items() if isinstance(value, (int, float))}
    words = {"stop_reason", "schema_mode"}  # out of a fixed set each; other texts are the model's
    assert fields <= figures.keys() <= {"score", *fields, *words}


# -- what goes wrong -------------------------------------------------------------------------------------


@every_pattern
async def test_whatever_fails_at_once_one_bare_library_error_comes_out(pattern: Pattern) -> None:
    provider = HeldProvider()
    run = asyncio.create_task(pattern.run(provider, retry=ONCE, **pattern.at_once))
    await provider.arrived(1)
    await idle()
    assert len(provider.waiting) == ((pattern.together or pattern.calls) if pattern.at_once else 1)
    for number, request in enumerate(provider.requests):
        request.fail(ProviderError(f"failure {number}"))
    with pytest.raises(ExecutionKitError) as caught:
        await run
    assert type(caught.value) is ProviderError
    told = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert all(f"failure {number}" in told for number in range(len(provider.requests)))
    assert caught.value.cost.llm_calls == len(provider.requests)


@every_pattern
async def test_an_error_survives_pickling_with_what_was_paid(pattern: Pattern) -> None:
    calls = iter(range(9))

    def failing(call: MockCall) -> LLMResponse | Exception:
        return PermanentError("403") if next(calls) == pattern.calls - 1 else model(call)

    with pytest.raises(PermanentError) as caught:
        await pattern.run(MockProvider(failing))
    error = caught.value
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(twin), str(twin)) == (PermanentError, "403")
        assert (twin.cost, twin.metadata) == (error.cost, error.metadata)
    assert error.cost.llm_calls == pattern.calls
    json.dumps(error.metadata)


@every_pattern
async def test_truncation_is_noticed(pattern: Pattern) -> None:
    def cut_off(call: MockCall) -> LLMResponse:
        reply = model(call)
        return LLMResponse(reply.content, reply.tool_calls, finish_reason="length")

    try:
        noticed = (await pattern.run(MockProvider(cut_off))).metadata
    except PatternError as exc:  # structured reads nothing out of a reply that was cut off
        noticed = exc.metadata
    assert noticed["truncated_responses"] >= 1
    assert (await pattern.run(MockProvider(model))).metadata["truncated_responses"] == 0


# -- events ----------------------------------------------------------------------------------------------


def begins_and_ends(pattern: Pattern, seen: list[PatternEvent], error: BaseException | None) -> bool:
    """Whether the events are those of one run, and the costs in them only grow."""
    first, last = seen[0], seen[-1]
    assert isinstance(first, PatternStarted)
    assert isinstance(last, PatternEnded)
    calls = [event.cost.llm_calls for event in seen if hasattr(event, "cost")]
    ends = (first.pattern, first.depth, last.pattern, last.depth, last.error)
    return ends == (pattern.name, 0, pattern.name, 0, error) and calls == sorted(calls)


@every_pattern
async def test_events_tell_of_a_run_from_beginning_to_end_and_change_nothing(pattern: Pattern) -> None:
    seen: list[PatternEvent] = []
    async with serving(flaky_model) as (endpoint, provider):
        result = await pattern.run(provider, on_event=seen.append, **pattern.at_once)
        assert result.cost == endpoint.ledger.usage
    assert begins_and_ends(pattern, seen, None)
    ended = seen[-1]
    assert isinstance(ended, PatternEnded)
    assert ended.cost == result.cost
    retries = [event for event in seen if isinstance(event, Retrying)]
    assert [type(event.error) for event in retries] == [ProviderError] * pattern.calls
    assert len({type(event) for event in seen}) > 3
    unheard = await pattern.run(MockProvider(model))
    assert (result.value, result.metadata["callback_errors"]) == (unheard.value, 0)


@every_pattern
async def test_events_end_with_the_error_that_leaves_the_run(pattern: Pattern) -> None:
    for budget in (TokenUsage(llm_calls=-1), TokenUsage(llm_calls=20)):
        seen: list[PatternEvent] = []
        async with serving(model_until(pattern.calls, Fault.status(403))) as (_, provider):
            with pytest.raises(ExecutionKitError) as caught:
                await pattern.run(provider, on_event=seen.append, max_cost=budget)
        assert begins_and_ends(pattern, seen, caught.value)
        ended = seen[-1]
        assert isinstance(ended, PatternEnded)
        assert ended.cost == caught.value.cost


@every_pattern
@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("raised", [RuntimeError("the screen is gone"), asyncio.CancelledError()])
async def test_a_callback_that_raises_is_logged_and_counted(
    pattern: Pattern, caplog: pytest.LogCaptureFixture, raised: BaseException, *, is_async: bool
) -> None:
    seen: list[PatternEvent] = []

    def fail(event: PatternEvent) -> None:
        seen.append(event)
        raise raised

    async def fail_later(event: PatternEvent) -> None:
        await asyncio.sleep(0)
        fail(event)

    on_event = fail_later if is_async else fail
    with caplog.at_level(logging.WARNING, "executionkit.events"):
        result = await pattern.run(MockProvider(model), on_event=on_event, **pattern.at_once)
    assert begins_and_ends(pattern, seen, None)
    assert result.value == pattern.value
    # The result exists already when its end is told.
    assert (result.metadata["callback_errors"], len(caplog.records)) == (len(seen) - 1, 1)
    assert f"{pattern.name}: on_event raised for PatternStarted" in caplog.text
    assert str(raised) in caplog.text


@every_pattern
async def test_the_callback_is_called_with_one_event_at_a_time(pattern: Pattern) -> None:
    inside = most = 0

    async def slow(_event: PatternEvent) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await idle()
        inside -= 1

    await pattern.run(MockProvider(model), on_event=slow, **pattern.at_once)
    assert most == 1


class StuckFrom:
    """A callback that waits for ever from the event of this number on."""

    def __init__(self, number: int) -> None:
        self.seen: list[PatternEvent] = []
        self.reached = asyncio.Event()
        self._number = number

    async def __call__(self, event: PatternEvent) -> None:
        self.seen.append(event)
        if len(self.seen) >= self._number:
            self.reached.set()
            await asyncio.Event().wait()


@every_pattern
async def test_a_run_that_is_cancelled_in_its_callback_ends_at_once_and_says_so(pattern: Pattern) -> None:
    told: list[PatternEvent] = []
    await pattern.run(MockProvider(model), on_event=told.append)
    for number in range(1, len(told)):
        stuck = StuckFrom(number)
        kit = Kit(MockProvider(model))
        task = asyncio.create_task(pattern.run(kit.metered, on_event=stuck, **pattern.at_once))
        await stuck.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert begins_and_ends(pattern, stuck.seen, caught.value)
        assert isinstance(stuck.seen[-1], PatternEnded)
        assert stuck.seen[-1].cost == kit.usage
        assert asyncio.all_tasks() == {asyncio.current_task()}


# -- the result ------------------------------------------------------------------------------------------


@every_pattern
async def test_the_result_pickles_copies_and_turns_into_json(pattern: Pattern) -> None:
    result = await pattern.run(MockProvider(model, usage=TokenUsage(3, 2)))
    for twin in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result), copy.copy(result)):
        assert type(twin) is type(result)
        assert twin == result
    as_json = json.loads(json.dumps(result.to_dict()))
    assert as_json["value"] == result.value == pattern.value
    assert str(result) == str(pattern.value)
    assert as_json["score"] == result.score
    assert as_json["cost"]["llm_calls"] == result.cost.llm_calls == pattern.calls
    assert as_json["metadata"] == plain(result.metadata)


@every_pattern
async def test_the_metadata_mirrors_the_fields_and_is_read_only(pattern: Pattern) -> None:
    result = await pattern.run(MockProvider(model))
    assert result.metadata
    for name, value in result.metadata.items():
        assert getattr(result, name) == value
        with pytest.raises(TypeError):
            result.metadata[name] = None  # type: ignore[index]  # what is wrong is the point


@every_pattern
async def test_the_metadata_keys_of_results_and_errors_are_documented(pattern: Pattern) -> None:
    calls = iter(range(9))
    result = await pattern.run(MockProvider(model))
    with pytest.raises(PermanentError) as caught:
        await pattern.run(
            MockProvider(lambda call: model(call) if next(calls) < 2 else PermanentError("403"))
        )
    documented = inspect.getdoc(pattern.function) or ""
    assert [name for name in result.metadata if f"`{name}`" not in documented] == []
    assert [name for name in caught.value.metadata if f'["{name}"]' not in documented] == []


# -- where it is found -----------------------------------------------------------------------------------


@every_pattern
def test_it_is_exported_with_its_twin_and_is_a_method_of_kit(pattern: Pattern) -> None:
    assert getattr(executionkit, pattern.name) is pattern.function
    assert {pattern.name, f"{pattern.name}_sync"} <= set(vars(executionkit)["__all__"])
    assert callable(getattr(Kit(MockProvider()), pattern.kit))


@every_pattern
def test_its_twin_returns_the_same(pattern: Pattern) -> None:
    twin = getattr(executionkit, f"{pattern.name}_sync")
    result = twin(pattern.on(MockProvider(model)), pattern.task[1], retry=NO_WAIT, **pattern.arguments)
    assert result == asyncio.run(pattern.run(MockProvider(model)))


@every_pattern
def test_its_page_in_the_documentation_renders_it_and_its_result(pattern: Pattern) -> None:
    text = (DOCS / f"{pattern.name}.md").read_text(encoding="utf-8")
    result = get_type_hints(pattern.function)["return"]
    assert text.startswith(f"# {pattern.name}\n")
    rendered = re.findall(r"^::: executionkit\.(\w+)$", text, re.MULTILINE)
    assert {pattern.name, (get_origin(result) or result).__name__} <= set(rendered)


def test_every_pattern_of_the_package_is_in_the_table() -> None:
    package = Path(inspect.getfile(executionkit)).parent / "patterns"
    modules = {path.stem for path in package.glob("[!_]*.py")} - {"base"}
    assert modules == {pattern.name for pattern in PATTERNS}
