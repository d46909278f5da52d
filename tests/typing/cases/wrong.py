"""A user's program full of mistakes: a line with an E comment must be an error that says its words."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from executionkit import (
    Conversation,
    Kit,
    LLMProvider,
    LLMResponse,
    MockProvider,
    Pairwise,
    PatternResult,
    Provider,
    RetryConfig,
    Rubric,
    Tier,
    TokenUsage,
    Tool,
    best_of_n,
    best_of_n_sync,
    cascade,
    consensus,
    consensus_sync,
    map_reduce,
    map_reduce_sync,
    pipe,
    pipe_sync,
    react_loop,
    react_loop_sync,
    refine_loop,
    refine_loop_sync,
    structured,
    structured_sync,
)
from executionkit import tool as as_tool
from executionkit.bench import compare, compare_sync
from executionkit.many import RowResult, run_many
from executionkit.mcp import mcp_tools, tools_from_mcp
from executionkit.parts import image

p = Provider("http://127.0.0.1:8000/v1", "a-model")
kit = Kit(p)
tool = Tool("noop", "Do nothing.", {"type": "object"}, lambda: "done")


@as_tool
def price(item: str) -> float:
    """The price of an item on the menu."""
    return 3.2


@dataclass
class Film:
    title: str


class NoProvider:
    """Has no `complete`."""


class PlainProvider:
    """Can't call tools."""

    async def complete(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        return LLMResponse("yes")


def wordy_judge(text: str, provider: LLMProvider) -> str:
    return "good"


def asks_too_much(text: str, provider: LLMProvider, *, topic: str) -> float:
    return 0.5


async def no_step(provider: LLMProvider) -> PatternResult[str]:
    return PatternResult("x")


async def bare_step(provider: LLMProvider, prompt: str) -> str:
    return prompt


async def patterns() -> None:
    await consensus(p, "q", num_smaples=3)  # E: num_smaples
    await consensus(p, "q", num_samples="3")  # E: num_samples
    await consensus("http://127.0.0.1", "q")  # E: LLMProvider
    await consensus(NoProvider(), "q")  # E: LLMProvider
    await consensus(p, "q", 3)  # E: positional argument
    await consensus(p, "q", max_cost=20)  # E: max_cost
    await consensus(p, "q", stop="decide")  # E: stop
    await consensus(p, "q", key="number")  # E: key
    await consensus(p, "q", key=lambda text: [text])  # E: list[str]
    await consensus(p, "q", strategy="majorty")  # E: strategy
    consensus_sync(p, "q", strategy="first")  # E: strategy
    await consensus(p, "q", min_samples="3")  # E: min_samples
    mcp_tools("http://127.0.0.1/mcp", needs_approval="some")  # E: needs_approval
    await tools_from_mcp(p)  # E: ToolServer
    await refine_loop(p, "q", target=0.9)  # E: "target"
    await refine_loop(p, "q", evaluator=wordy_judge)  # E: evaluator
    await refine_loop(p, "q", evaluator=asks_too_much)  # E: evaluator
    await consensus(p, [3])  # E: int
    await consensus(p, {"type": "text"})  # E: dict[str, str]
    await consensus(p, "q", options=["seed"])  # E: options
    await structured(p, "q", Film, options="seed")  # E: structured
    image("a.png", detail="lowest")  # E: detail
    await react_loop(PlainProvider(), "q", [tool])  # E: react_loop
    await react_loop(p, "q", tool)  # E: Sequence
    await react_loop(p, "q", [tool], max_round=3)  # E: react_loop
    await react_loop(p, "q")  # E: react_loop


async def data() -> None:
    await structured(p, "q", 3)  # E: structured
    await structured(p, "q", "int")  # E: structured
    await structured(p, "q", Film, max_retry=3)  # E: structured
    await structured(p, "q", Film, max_retries="3")  # E: structured
    await structured(p, "q", Film, validator=len)  # E: validator
    await structured(p, "q", Film, validator=lambda film: film.titel == "x")  # E: titel
    await structured(p, "q", Film, schema_mode="strict")  # E: structured
    film: int = (await structured(p, "q", Film)).value  # E: "int"
    print(film)


async def many() -> None:
    await consensus(p, "q", variants=[3])  # E: int
    await cascade([p], "q")  # E: Tier
    await cascade([Tier(p)], "q", num_samples=3)  # E: num_samples
    await cascade([Tier("gpt")], "q")  # E: LLMProvider
    await kit.cascade("q", "q")  # E: Sequence[Tier]
    await best_of_n(p, "q")  # E: evaluator
    await best_of_n(p, "q", evaluator=wordy_judge)  # E: evaluator
    await best_of_n(p, "q", evaluator=Rubric)  # E: evaluator
    await best_of_n(p, "q", evaluator=Pairwise(), target=0.5)  # E: "target"
    Rubric("c", judge="gpt")  # E: judge
    await map_reduce(p, ["a"], map_prompt="m")  # E: reduce_prompt
    await map_reduce(p, [1], map_prompt="m", reduce_prompt="r")  # E: int
    await map_reduce(p, [1], map_prompt=str.upper, reduce_prompt="r")  # E: str
    await map_reduce(p, [Film("a")], map_prompt=lambda film: film.titel, reduce_prompt="r")  # E: titel
    await map_reduce(p, ["a"], map_prompt=len, reduce_prompt="r")  # E: map_prompt
    await map_reduce(p, ["a"], map_prompt="m", reduce_prompt=str.upper)  # E: reduce_prompt
    await map_reduce(p, ["a"], map_prompt="m", reduce_prompt="r", on_failure="ignore")  # E: on_failure
    await refine_loop(p, "q", on_budget="ignore")  # E: on_budget


async def pipes() -> None:
    await pipe(p, "q", "consensus")  # E: PatternStep
    await pipe(p, "q", react_loop)  # E: PatternStep
    await pipe(p, "q", no_step)  # E: PatternStep
    await pipe(p, "q", bare_step)  # E: PatternStep
    await pipe(p, "q", consensus, max_budget=20)  # E: max_budget
    await pipe(p, "q", partial(consensus, num_smaples=3))  # E: num_smaples


async def session() -> None:
    await kit.consensus("q", num_samples="3")  # E: num_samples
    await kit.consensus("q", num_smaples=3)  # E: num_smaples
    await kit.consensus(p, "q")  # E: positional argument
    await kit.refine("q", max_iteration=1)  # E: max_iteration
    await kit.react("q")  # E: rgument
    await kit.react("q", [tool], max_rounds="2")  # E: max_rounds
    await kit.structured("q", Film, max_retry=3)  # E: argument
    await kit.best_of_n("q", num_samples=3)  # E: evaluator
    await kit.map_reduce("q", map_prompt="m", reduce_prompt=3)  # E: reduce_prompt


async def streams() -> None:
    kit.stream("q", max_cost=20)  # E: max_cost
    kit.stream(3)  # E: Sequence
    p.stream("q", temperature="hot")  # E: temperature
    await react_loop(p, "q", [tool], on_event="print")  # E: on_event
    await react_loop(p, "q", [tool], approve=True)  # E: approve
    await react_loop(p, "q", [tool], approve=lambda request: "yes")  # E: approve
    await react_loop(p, "q", [tool], approvals={"call_1": "yes"})  # E: str
    await react_loop(p, "q", [tool], on_limit="stop")  # E: on_limit
    await refine_loop(p, "q", on_events=print)  # E: on_events
    await consensus(p, "q", on_event=True)  # E: on_event
    await pipe(p, "q", consensus, on_event="print")  # E: on_event
    await p.stream([])  # E: ReplyStream


def script() -> None:
    consensus_sync(p, "q", num_smaples=3)  # E: num_smaples
    consensus_sync(p, "q", num_samples="3")  # E: num_samples
    consensus_sync(p, "q", stop="decide")  # E: stop
    refine_loop_sync(p, "q", max_iteration=1)  # E: max_iteration
    react_loop_sync(p, "q", [tool], max_rounds="2")  # E: max_rounds
    structured_sync(p, "q", Film, max_token=3)  # E: argument
    best_of_n_sync(p, "q", evaluator=wordy_judge)  # E: evaluator
    map_reduce_sync(p, ["a"], map_prompt="m")  # E: reduce_prompt
    pipe_sync(p, "q", bare_step)  # E: PatternResult


def values() -> None:
    TokenUsage(calls=3)  # E: calls
    TokenUsage().llm_calls = 1  # E: llm_calls
    RetryConfig(retries=3)  # E: retries
    Provider("http://127.0.0.1:8000/v1")  # E: model
    Tool("noop", "Do nothing.", {}, execute=3)  # E: execute
    MockProvider([1])  # E: LLMResponse
    Conversation(p, max_round=3)  # E: max_round
    Conversation(p, tools=["x"])  # E: str
    Conversation(p).send_sync(3)  # E: str


async def labelled(provider: LLMProvider, row: str) -> str:
    return row


def kept(row: RowResult[int]) -> None:
    print(row)


async def many_rows() -> None:
    await run_many(p, ["a"], labelled, max_row=3)  # E: overload
    await run_many(p, [1], labelled)  # E: str
    await run_many(p, ["a"], labelled, on_result=kept)  # E: str
    await run_many(p, ["a"], labelled, id=len, max_cost=3)  # E: max_cost


async def comparisons() -> None:
    await compare([1], {"ask": ask}, grades=len)  # E: grades
    compare_sync([1], {"ask": "ask"})  # E: str


async def ask(provider: LLMProvider, item: int) -> str:
    return str(item)


async def results() -> None:
    result = await consensus(p, "q")
    number: int = result.value  # E: int
    print(result.agreement, number)  # E: agreement
    count: str = (await consensus(p, "q", key=len)).answer  # E: "str"
    print(count)
