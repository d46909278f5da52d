"""A user's program, all of it right: no type checker may object to a line of it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypedDict, assert_type

from executionkit import (
    Approval,
    ApprovalPending,
    Attempt,
    BestOfNResult,
    BudgetExhaustedError,
    CascadeResult,
    ConsensusResult,
    Conversation,
    Evaluation,
    Evaluator,
    ExecutionKitError,
    FieldVote,
    Finish,
    Kit,
    LLMProvider,
    LLMResponse,
    MapReduceResult,
    MockProvider,
    Observation,
    Pairwise,
    PatternEvent,
    PatternResult,
    PatternStep,
    PipeResult,
    Provider,
    RateLimitError,
    ReactResult,
    ReasoningDelta,
    RefineResult,
    ReplyStream,
    RetryConfig,
    Rubric,
    Scorer,
    StreamEvent,
    StreamingProvider,
    StructuredResult,
    TextDelta,
    Tier,
    TokenLogprob,
    TokenUsage,
    Tool,
    ToolCall,
    ToolCallDone,
    ToolCallingProvider,
    UsageEvent,
    VotingStrategy,
    answers,
    best_of_n,
    best_of_n_sync,
    cascade,
    cascade_sync,
    checked_complete,
    consensus,
    consensus_sync,
    extract_json,
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
    tool,
    vote_by_field,
)
from executionkit.approval import ask_on_terminal
from executionkit.bench import Comparison, compare, compare_sync, match, steps
from executionkit.cost import CostTracker
from executionkit.engine.parallel import gather_resilient, gather_strict
from executionkit.engine.retry import with_retry
from executionkit.many import ManyResult, RateLimits, RowResult, iter_many, run_many, run_many_sync
from executionkit.mcp import mcp_tools
from executionkit.parts import Prompt, file, image
from executionkit.progress import bar

# Providers: ours, the mock, and classes that know nothing of us.


class OwnProvider:
    """Annotated with exactly what the protocol says."""

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


class WiderProvider:
    """Accepts more than it will be given, and calls tools."""

    supports_tools: Literal[True] = True

    async def complete(
        self,
        messages: Sequence[Mapping[str, object]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Sequence[Mapping[str, object]] | None = None,
        **kwargs: object,
    ) -> LLMResponse:
        return LLMResponse("yes")


class OwnStream(OwnProvider):
    """Streams, in a few lines."""

    @asynccontextmanager
    async def stream(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[AsyncIterator[StreamEvent], None]:
        async def events() -> AsyncIterator[StreamEvent]:
            yield Finish("stop", LLMResponse("yes"))

        yield events()


provider = Provider("http://127.0.0.1:8000/v1", "a-model", api_key="key")
mock = MockProvider(["yes", LLMResponse("no"), TimeoutError()])
plain_ones: list[LLMProvider] = [provider, mock, OwnProvider(), WiderProvider()]
tool_callers: list[ToolCallingProvider] = [provider, mock, WiderProvider()]

# Tools: async and plain functions.


async def look_up(word: str) -> str:
    return word


def add(a: int, b: int) -> int:
    return a + b


SCHEMA = {"type": "object", "properties": {"word": {"type": "string"}}}
look_tool = Tool("look_up", "Look a word up.", SCHEMA, look_up)
adder = Tool("add", "Add two numbers.", {"type": "object"}, add, timeout=1.0)


@tool
def price(item: str, currency: Literal["EUR", "USD"] = "EUR") -> float:
    """The price of an item on the menu."""
    return 3.2


@tool(name="refund", timeout=5.0)
async def pay_back(amount: float) -> bool:
    """Pay money back."""
    return amount > 0


class Db:
    def look(self, key: str) -> str:
        """Look a key up."""
        return key


made = Tool.from_function(Db().look, description="Look.", parameters={"key": "The key."})
toolables: list[Tool | Callable[..., object]] = [
    price,
    pay_back,
    add,
    look_up,
    Db().look,
    look_tool,
    made,
    len,
]

kept: list[Tool] = [price, pay_back, made]

# Evaluators and steps of one's own.


async def judge(text: str, provider: LLMProvider) -> float:
    reply = await provider.complete([{"role": "user", "content": text}])
    return float(reply.content)


def reasons(text: str, provider: LLMProvider) -> Evaluation:
    return Evaluation(0.5, feedback="Say more.")


async def told_the_task(text: str, provider: LLMProvider, *, task: str = "") -> float | Evaluation:
    return 1.0 if task else reasons(text, provider)


def needs_the_task(text: str, provider: LLMProvider, *, task: str) -> float:
    return float(task in text)


async def needs_the_task_async(text: str, provider: LLMProvider, *, task: str) -> Evaluation:
    return Evaluation(needs_the_task(text, provider, task=task))


def third_is_the_task(answer: str, model: LLMProvider, task: str) -> Evaluation:
    return Evaluation(needs_the_task(answer, model, task=task))


evaluator: Evaluator = judge
scorers: list[Scorer] = [
    judge,
    reasons,
    told_the_task,
    needs_the_task,
    needs_the_task_async,
    third_is_the_task,
    evaluator,
    Rubric("Brief."),
    lambda text, _: len(text) / 9,
]


async def shout(provider: LLMProvider, prompt: str) -> PatternResult[str]:
    return PatternResult(prompt.upper())


async def parse(
    provider: LLMProvider, prompt: str, *, max_cost: TokenUsage | None = None, strict: bool = True
) -> PatternResult[dict[str, int]]:
    return PatternResult[dict[str, int]]({"length": len(prompt)}, score=1.0)


step: PatternStep[str] = shout
budget = TokenUsage(llm_calls=20, input_tokens=20_000, output_tokens=10_000)
patient = RetryConfig(max_retries=5)


def some_key(text: str) -> Hashable | None:
    return text or None


async def report(result: ConsensusResult) -> ReactResult:
    assert_type(result.answer, str)
    return await react_loop(mock, result.answer, [price])


async def patterns() -> None:
    voted = await consensus(provider, "q", num_samples=3, strategy="unanimous", max_cost=budget)
    assert_type(voted, ConsensusResult)
    assert_type(voted.value, str)
    assert_type(voted.score, float | None)
    assert_type(voted.agreement_ratio, float)
    assert_type(voted.answer, str)
    summed = await consensus(mock, "q", key=answers.number, stop=0.95, min_samples=2, choices_per_request=3)
    print(round(summed.answer * 1.19, 2))
    tagged = await consensus(mock, "q", key=answers.tagged(then=answers.choice("ABC")), stop="decided")
    assert_type(tagged, ConsensusResult[str])
    await consensus(mock, "q", key=answers.label("yes", "no"), stop="all")
    pairs = await consensus(mock, "q", key=lambda text: (text.lower(), len(text)))
    assert_type(pairs.answer, tuple[str, int])
    counted = await consensus(mock, "q", key=len, strategy=VotingStrategy.MAJORITY)
    assert_type(counted, ConsensusResult[int])
    assert_type(counted.votes, tuple[tuple[int, int], ...])
    any_of_them: list[ConsensusResult[Hashable]] = [voted, summed, pairs, counted]
    any_of_them.append(await consensus(mock, "q", key=some_key))
    assert_type(voted.confidence, float)
    assert_type(voted.failures, tuple[str, ...])
    assert_type(answers.number("42"), int | float | None)
    assert_type(answers.tagged(), Callable[[str], str | None])
    assert_type(answers.structured(Book).value(voted.answer), Book)
    assert_type(answers.structured(Book).values(voted.votes), list[Book])
    await consensus(mock, "q", key=answers.structured({"type": "object"}))
    assert_type(answers.tagged(then=answers.boxed), Callable[[str], str | None])
    assert_type(voted.unique_responses, int)
    assert_type(voted.tie_count, int)
    assert_type(voted.cost, TokenUsage)
    assert_type(voted.cost.llm_calls, int)
    assert_type(voted.metadata, Mapping[str, Any])

    refined = await refine_loop(OwnProvider(), "q", evaluator=judge, target_score=0.8, retry=patient)
    assert_type(refined, RefineResult)
    assert_type(refined.value, str)
    assert_type(refined.iterations, int)
    assert_type(refined.converged, bool)
    assert_type(refined.score_history, list[float])

    acted = await react_loop(Provider("http://127.0.0.1:8000/v1", "m"), "q", [look_tool], max_rounds=3)
    assert_type(acted, ReactResult)
    assert_type(acted.rounds, int)
    assert_type(acted.tool_calls_made, int)
    await react_loop(mock, "q", (look_tool, adder))
    await react_loop(mock, "q", [price, add, Db().look, look_tool])
    await react_loop(mock, "q", (look_up, pay_back))
    await react_loop(mock, "q", toolables)
    await react_loop(mock, "q", kept)
    await react_loop(mock, "q", kept, output=Book, on_limit="answer", messages=[], approvals={"c": True})
    assert_type(price("tea"), float)
    assert_type(price("tea", currency="USD"), float)
    assert_type(await pay_back(1.0), bool)
    assert_type(made("key"), str)
    assert_type(price.__name__, str)
    assert_type(price.__wrapped__("tea"), float)
    assert_type(price.convert({"item": "tea"}), dict[str, object])

    film = await react_loop(mock, "q", [look_tool, add], output=Book, max_retries=1)
    assert_type(film, ReactResult[Book])
    assert_type(film.value.year, int)
    assert_type((await react_loop(mock, "q", [], output=list[Book])).value, list[Book])
    assert_type((await react_loop(mock, "q", [], output=Film, max_rounds=2)).value, Film)
    assert_type((await react_loop(mock, "q", [], output=Adapter())).value, int | str)
    assert_type((await react_loop(mock, "q", [], output={"type": "object"})).value, Any)
    assert_type(film.text, str)
    await react_loop(mock, "q", [look_tool], output=int | str)
    assert_type((await react_loop(mock, "q", [look_tool], output=None)).value, str)
    asking = Tool(
        "ask", "Ask.", {"type": "object"}, print, needs_approval=lambda given: len(given) > 1, repeatable=True
    )
    await react_loop(mock, "q", [asking], approve=ask_on_terminal, on_limit="answer", tool_choice="look")
    await react_loop(mock, "q", [asking], approve=lambda request: request.round < 3, max_repeats=2)
    try:
        await react_loop(mock, None, [asking], messages=acted.messages, approvals={"call_1": Approval(True)})
    except ApprovalPending as pending:
        assert_type(pending.calls, tuple[ToolCall, ...])
    async with mcp_tools("http://127.0.0.1:8000/mcp", prefix="shop_", needs_approval="all") as offered:
        assert_type(offered, list[Tool])
        await react_loop(mock, "q", [*offered, look_tool, add])

    general: PatternResult[object] = voted
    print(general)


class Film(TypedDict):
    title: str


@dataclass
class Book:
    title: str
    year: int = 0


class Adapter:
    """As pydantic's TypeAdapter looks from here."""

    def validate_json(self, data: str, /) -> int | str:
        return data

    def json_schema(self) -> dict[str, Any]:
        return {"type": ["integer", "string"]}


def known(book: Book) -> bool | str:
    return book.year > 0 or "no such year"


async def allowed(book: Book) -> None:
    assert book.title


async def data() -> None:
    result = await structured(provider, "q", Book, validator=known, max_retries=1)
    assert_type(result, StructuredResult[Book])
    assert_type(result.value.title, str)
    assert_type(result.parse_attempts, int)
    assert_type(result.rung_costs["ask"].llm_calls, int)
    assert_type((await structured(provider, "q", Film, validator=lambda film: film["title"])).value, Film)
    assert_type((await structured(OwnProvider(), "q", list[Book])).value, list[Book])
    assert_type((await structured(provider, "q", Adapter())).value, int | str)
    assert_type((await structured(provider, "q", output=Book, validator=allowed)).value, Book)
    assert_type((await structured(provider, "q")).value, dict[str, Any] | list[Any])
    assert_type((await structured(provider, "q", {"type": "array"}, schema_mode="none")).value, Any)
    await structured(provider, "q", int | str, max_cost=budget)
    assert_type(vote_by_field([result.value]), FieldVote[Book])
    await pipe(provider, "q", consensus, partial(structured, output=Book))


async def pictures(task: Prompt) -> None:
    dog = image("dog.jpg", detail="low")
    await consensus(provider, ["What breed?", dog], num_samples=3, options={"seed": 1, "stop": ["END"]})
    await refine_loop(mock, ("Caption it.", dog), evaluator=Rubric("Short."), options=None)
    await structured(provider, [dog], Book, options={"top_p": 0.5})
    await react_loop(
        mock, [{"type": "input_audio", "input_audio": {"data": "...", "format": "wav"}}], [look_tool]
    )
    pages = [file(b"%PDF-", name="a.pdf")]
    await map_reduce(mock, pages, map_prompt=lambda page: ["Sum it up.", page], reduce_prompt="r")
    await pipe(mock, task, consensus, options={"seed": 1})
    print(Kit(mock).stream(["What breed?", dog]), consensus_sync(mock, task))
    await Rubric("Short.")("a dog", mock, task=task)
    reply = await provider.complete([{"role": "user", "content": "q"}], logprobs=True)
    assert_type(reply.logprobs, tuple[TokenLogprob, ...])
    assert_type(reply.logprobs[0].top, tuple[TokenLogprob, ...])
    assert_type(MockProvider([LLMResponse("x", logprobs=(TokenLogprob("x", -0.5),))]), MockProvider)


def about(book: Book) -> str:
    return f"What is {book.title} about?"


async def many() -> None:
    best = await best_of_n(provider, "q", evaluator=reasons, target_score=0.9)
    await best_of_n(mock, "q", evaluator=needs_the_task)
    await refine_loop(mock, "q", evaluator=needs_the_task_async)
    await refine_loop(mock, "q", evaluator=lambda text, _: len(text) / 9)
    async with MockProvider(["yes"]) as closing:
        await consensus(closing, "q")
    await closing.aclose()
    assert_type(best, BestOfNResult)
    assert_type(best.scores, list[float | None])
    await best_of_n(mock, "q", evaluator=Pairwise("Brief.", judge=provider), num_samples=3)
    await pipe(provider, "q", partial(best_of_n, evaluator=Rubric("Brief.", max_chars=100)), consensus)
    merged = await map_reduce(
        provider,
        ["a", "b"],
        map_prompt="{input}",
        reduce_prompt=lambda results: results[0],
        on_failure="skip",
    )
    assert_type(merged, MapReduceResult)
    books = [Book("a"), Book("b", 1927)]
    await map_reduce(mock, books, map_prompt=lambda book: book.title, reduce_prompt="r")
    await map_reduce(mock, books, map_prompt=about, reduce_prompt="r", on_failure="skip")
    await map_reduce(mock, ({"a": 1},), map_prompt=str, reduce_prompt="r")
    await map_reduce(mock, range(3), map_prompt=lambda page: f"Page {page + 1}", reduce_prompt="r")
    assert_type(merged.failed[0]["error"], str)
    assert_type(merged.map_results, list[str | None])
    refined = await refine_loop(mock, "q", evaluator=told_the_task, on_budget="return", attempts_shown=1)
    assert_type(refined.attempts, list[Attempt])
    assert_type(refined.attempts[0].score, float | None)


async def pipes() -> None:
    piped = await pipe(provider, "q", consensus, max_budget=budget)
    assert_type(piped, PipeResult[str])
    assert_type(piped.step_count, int)
    assert_type(piped.step_metadata, list[dict[str, Any]])
    await pipe(provider, "q", partial(consensus, num_samples=3), partial(refine_loop, max_iterations=3))
    await pipe(provider, "q", consensus, partial(react_loop, tools=[look_tool]))
    await pipe(provider, "q", partial(react_loop, tools=[price], output=Book))
    await pipe(OwnProvider(), "q", shout, consensus, temperature=0.2)
    await pipe(mock, "q", partial(consensus, key=answers.boxed, stop="decided"), shout)
    parsed = await pipe(mock, "q", parse)
    assert_type(parsed.value, dict[str, int])
    chosen: list[PatternStep[str]] = [shout, consensus]
    assert_type(await pipe(mock, "q", *chosen), PipeResult[str])


async def talk() -> None:
    chat = Conversation(provider, system="Be brief.", tools=[look_tool, price], max_rounds=3, on_event=watch)
    first = await chat.send("q", temperature=0.1)
    assert_type(first, ReactResult)
    assert_type((await chat.ask("q", Book, max_retries=1)).value, Book)
    assert_type((await chat.ask("q")).value, dict[str, Any] | list[Any])
    async with chat.stream("q") as events:
        assert_type([event async for event in events], list[PatternEvent])
    assert_type(events.result, ReactResult)
    assert_type(await chat.resume(), ReactResult)
    assert_type(chat.messages, tuple[Mapping[str, Any], ...])
    assert_type(chat.left, TokenUsage)
    again = Conversation.from_dict(provider, chat.to_dict(), tools=[look_tool], max_cost=budget)
    await react_loop(provider, None, [look_tool], messages=again.messages)
    await consensus(provider, "q", messages=first.messages, system=None)
    await structured(provider, None, Book, messages=[{"role": "user", "content": "q"}])
    assert_type(
        Kit(provider, system="Be brief.", max_cost=budget).conversation(tools=[look_tool]), Conversation
    )


async def session() -> None:
    kit = Kit(provider, track_cost=True)
    assert_type(await kit.consensus("q", num_samples=3, retry=None), ConsensusResult)
    assert_type(await kit.consensus("q", key=len, stop="decided"), ConsensusResult[int])
    tiers = [Tier(provider, 2), Tier(mock, temperature=0.2, max_tokens=9)]
    assert_type(await kit.cascade(tiers, "q", variants=["r"]), CascadeResult)
    assert_type(await cascade(tiers, ["q"], key=len, max_cost=budget, variants=("r",)), CascadeResult[int])
    assert_type(cascade_sync(tiers, "q", key=len).answer, int)
    await consensus(mock, "q", num_samples=3, variants=["r", ["s", image("a.png")]])
    assert_type((await consensus(mock, "q", variants=("r",))).agreement_by_variant, tuple[float | None, ...])
    await best_of_n(mock, "q", evaluator=judge, variants=("r",))
    assert_type(await kit.refine("q", evaluator=judge, patience=2), RefineResult)
    assert_type(await kit.react("q", [look_tool], max_rounds=2, tool_timeout=1.5), ReactResult)
    assert_type(await kit.react("q", [add], output=Book), ReactResult[Book])
    assert_type(await kit.structured("q", Book, max_tokens=9), StructuredResult[Book])
    assert_type((await kit.structured("q")).value, dict[str, Any] | list[Any])
    assert_type((await kit.structured("q", {"type": "array"})).value, Any)
    assert_type(await kit.best_of_n("q", evaluator=judge), BestOfNResult)
    assert_type(await kit.map_reduce(["a"], map_prompt="m", reduce_prompt="r"), MapReduceResult)
    await kit.map_reduce([Book("a")], map_prompt=about, reduce_prompt="r")
    assert_type(await kit.pipe("q", consensus, max_budget=budget), PipeResult[str])
    assert_type(kit.usage, TokenUsage)


def script() -> None:
    assert_type(consensus_sync(provider, "q", num_samples=3), ConsensusResult)
    assert_type(consensus_sync(provider, "q", key=answers.last_line, stop=0.9), ConsensusResult)
    assert_type(refine_loop_sync(provider, "q", evaluator=judge, max_iterations=0), RefineResult)
    assert_type(react_loop_sync(provider, "q", [look_tool], max_history_messages=9), ReactResult)
    assert_type(react_loop_sync(provider, "q", [price], output=Book), ReactResult[Book])
    assert_type(consensus_sync(provider, "q", key=len).answer, int)
    map_reduce_sync(provider, [Book("a")], map_prompt=about, reduce_prompt="r")
    assert_type(structured_sync(provider, "q", Book), StructuredResult[Book])
    assert_type(structured_sync(provider, "q").value, dict[str, Any] | list[Any])
    assert_type(structured_sync(provider, "q", Adapter()).value, int | str)
    assert_type(best_of_n_sync(provider, "q", evaluator=judge), BestOfNResult)
    assert_type(map_reduce_sync(provider, ("a",), map_prompt=str.upper, reduce_prompt="r"), MapReduceResult)
    assert_type(pipe_sync(provider, "q", consensus, max_budget=budget), PipeResult[str])
    assert_type(consensus_sync(mock, "q").agreement_ratio, float)


async def length(text: str, *, times: int = 1) -> int:
    return len(text) * times


async def streams() -> None:
    async with provider.stream([{"role": "user", "content": "q"}], max_tokens=5, seed=1) as events:
        assert_type(events, ReplyStream)
        async for event in events:
            if isinstance(event, TextDelta | ReasoningDelta):
                assert_type(event.text, str)
            elif isinstance(event, ToolCallDone):
                assert_type(event.call, ToolCall)
            elif isinstance(event, UsageEvent):
                assert_type(event.estimated, bool)
            elif isinstance(event, Finish):
                assert_type(event.response, LLMResponse)
    assert_type(events.response, LLMResponse)
    async with Kit(mock).stream("q", temperature=0.1, max_cost=budget) as events:
        assert_type([event async for event in events], list[StreamEvent])
    await react_loop(mock, "q", [look_tool], on_event=shown.append)
    await refine_loop(mock, "q", on_event=watch)
    await Kit(mock).react("q", [look_tool], on_event=watch)
    await consensus(mock, "q", on_event=bar())
    await Kit(mock).structured("q", on_event=watch)
    await pipe(mock, "q", consensus, on_event=bar(20))
    with bar(total=2) as progress:
        await map_reduce(mock, ["q"], map_prompt="m", reduce_prompt="r", on_event=progress)


shown: list[PatternEvent] = []
streaming_ones: list[StreamingProvider] = [provider, mock, OwnStream()]


async def watch(event: PatternEvent) -> None:
    if isinstance(event, Observation):
        assert_type(event.text, str)


async def engine() -> None:
    assert_type(await with_retry(length, patient, "abc", times=2), int)
    assert_type(await gather_strict([length("a"), length("b")], max_concurrency=2), list[int])
    assert_type(await gather_resilient([length("a")]), list[int | BaseException])
    tracker = CostTracker()
    reply = await checked_complete(provider, [], tracker, budget, None, temperature=0.0)
    assert_type(reply, LLMResponse)
    assert_type(reply.was_truncated, bool)
    assert_type(tracker.to_usage(), TokenUsage)
    assert_type(extract_json("{}"), dict[str, Any] | list[Any])


async def comparisons(items: list[dict[str, Any]]) -> None:
    async def vote(provider: LLMProvider, item: dict[str, Any]) -> ConsensusResult[str]:
        return await consensus(provider, item["question"])

    async def alone(item: dict[str, Any]) -> str:
        return str(item)

    result = await compare(items, {"vote": vote}, provider=provider, grade=match("gold"))
    assert_type(result, Comparison)
    assert_type(result["vote"].accuracy, float)
    await compare(["a"], {"vote": partial(consensus, num_samples=3)}, grade=lambda value, item: value == item)
    compare_sync(items, {"alone": alone})
    await compare(items, steps("ask,refine", "{question}"), provider=provider, max_cost=budget)


async def failures() -> None:
    try:
        await consensus(provider, "q")
    except RateLimitError as exc:
        assert_type(exc.retry_after, float)
    except BudgetExhaustedError as exc:
        assert_type(exc.cost, TokenUsage)
        assert_type(exc.metadata, dict[str, Any])
    except ExecutionKitError as exc:
        assert_type(exc.cost, TokenUsage)


async def labelled(provider: LLMProvider, row: dict[str, str]) -> ConsensusResult[str]:
    return await consensus(provider, row["text"])


async def counted(provider: ToolCallingProvider, row: dict[str, str]) -> int:
    return (await react_loop(provider, row["text"], [])).rounds


def noted(row: RowResult[int]) -> None:
    assert_type(row.value, int | None)


async def many_rows(rows: list[dict[str, str]], lines: AsyncIterator[str]) -> None:
    done = await run_many(provider, rows, labelled, id="key", journal="a.jsonl", shard=(0, 2))
    assert_type(done, ManyResult)
    await run_many(provider, rows, counted, id=lambda row: row["key"], on_result=noted, limits=RateLimits())
    await Kit(provider).run_many(rows, counted, on_result=noted)
    assert_type(run_many_sync(provider, rows, counted, max_failures=0.1), ManyResult)
    async for row in iter_many(provider, rows, labelled, ordered=True):
        assert_type(row, RowResult[str])
        assert_type(row.result, PatternResult[str] | None)
    async for number in iter_many(provider, rows, counted):
        assert_type(number, RowResult[int])
    async for answer in iter_many(provider, lines, partial(consensus, num_samples=3)):
        print(answer.value, answer.error)


async def client() -> None:
    async with Provider("http://127.0.0.1:8000/v1", "m") as opened:
        assert_type(opened, Provider)
        assert_type(await opened.complete([{"role": "user", "content": "q"}], seed=1), LLMResponse)


asyncio.run(patterns())
