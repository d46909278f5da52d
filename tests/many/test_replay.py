"""Recorder and Replayer: what was answered is not asked again, whatever asked, wherever it stopped."""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Literal

import pytest
from fakes import NO_WAIT, HeldProvider

from executionkit import (
    Approval,
    ApprovalRequest,
    BudgetExhaustedError,
    Conversation,
    LLMProvider,
    LLMResponse,
    MockProvider,
    Pairwise,
    PatternResult,
    PermanentError,
    Provider,
    ProviderError,
    RateLimitError,
    Rates,
    Rubric,
    TextDelta,
    Tier,
    TokenUsage,
    Tool,
    ToolCall,
    ToolError,
    best_of_n,
    cascade,
    consensus,
    map_reduce,
    pipe,
    react_loop,
    refine_loop,
    structured,
)
from executionkit.engine.relay import Relay
from executionkit.engine.run import Run
from executionkit.many import Cache, Journal, JournalError, ManyResult, Recorder, Replayer, run_many
from executionkit.many._journal import file
from executionkit.many._journal.journal import book_of
from executionkit.parts import image
from executionkit.testing import LocalEndpoint


class Model:
    """Answers by the request alone: as a judge, with a tool call, as JSON, or with a text.

    Args:
        model: Its name.
        before: Called when a request comes.
    """

    supports_tools: Literal[True] = True
    base_url = "http://localhost/v1"

    def __init__(self, model: str = "m", before: Callable[[], object] | None = None, seed: int = 3) -> None:
        self.model = model
        self.extra_body: dict[str, Any] = {}
        self.requests: list[str] = []
        self._before = before
        self._chance = random.Random(seed)

    async def complete(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        if self._before is not None:
            self._before()
        request = json.dumps([self.model, messages, temperature, tools, kwargs], sort_keys=True, default=str)
        self.requests.append(request)
        for _ in range(self._chance.randrange(6)):  # so that replies come in any order
            await asyncio.sleep(0)
        return self._answer(messages, tools, len(request))

    def _answer(self, messages: list[dict[str, Any]], tools: object, size: int) -> LLMResponse:
        usage = {"prompt_tokens": size, "completion_tokens": 3}
        prompt = json.dumps(messages)
        if tools and not any(message["role"] == "tool" for message in messages):
            call = {"id": "c1", "function": {"name": "look", "arguments": '{"at":  "x"}'}}
            message = {"content": None, "tool_calls": [call], "signature": "s1"}
            calls = [ToolCall("c1", "look", {"at": "x"})]
            return LLMResponse("", calls, "tool_calls", usage, {"choices": [{"message": message}]})
        if "JSON" in str(messages[0]["content"]):
            return LLMResponse('{"n": 5}' if "missing" in prompt else "{}", usage=usage)
        if "<answer-" in prompt or "<a-" in prompt:  # as judges are asked
            return LLMResponse('{"reasons": "r", "score": 6, "better": "A"}', usage=usage)
        return LLMResponse(f"text {size}", usage=usage)


class Job:
    """What is done with a model, and how often its tool ran."""

    def __init__(self, work: Callable[["Job", Any], Awaitable[Any]]) -> None:
        self._work = work
        self.looked = 0
        self.asked = 0

    async def look(self, at: str) -> list[object]:
        self.looked += 1
        return [f"{at}: a cat", image(b"\x89PNG", media_type="image/png")]

    async def approve(self, _: ApprovalRequest) -> bool:
        self.asked += 1
        return True

    @property
    def tool(self) -> Tool:
        schema = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}
        return Tool("look", "Look.", schema, self.look, needs_approval=True)

    async def __call__(self, provider: LLMProvider) -> Any:
        result = await self._work(self, provider)
        return result.to_dict() if isinstance(result, PatternResult) else result


OUTPUT = {"type": "object", "properties": {"n": {"const": 5}}, "required": ["n"]}


async def _talk(job: Job, provider: Any) -> Any:
    chat = Conversation(provider, tools=[job.tool], approve=job.approve)
    await chat.send("q")
    turn = await chat.send("and then?")
    return [turn.value, chat.usage.to_dict(), [dict(message) for message in chat.messages]]


async def _piped(_: Job, provider: Any) -> Any:
    async def doubled(provider: LLMProvider, text: str) -> PatternResult[str]:
        return await consensus(provider, text, num_samples=2)

    return await pipe(provider, "q", doubled, doubled)


WORK: dict[str, Callable[[Job, Any], Awaitable[Any]]] = {
    "consensus": lambda _, model: consensus(model, "q", num_samples=4),
    "refine": lambda _, model: refine_loop(model, "q", max_iterations=2, target_score=1.0, patience=9),
    "rubric": lambda _, model: best_of_n(model, "q", num_samples=3, evaluator=Rubric("good")),
    "other judge": lambda _, model: best_of_n(
        model, "q", num_samples=2, evaluator=Rubric("good", judge=Model("judge"))
    ),
    "pairwise": lambda _, model: best_of_n(
        model, "q", num_samples=2, evaluator=Pairwise("good"), variants=["Please: q"]
    ),
    "cascade": lambda _, model: cascade([Tier(model, 3, temperature=0.1), Tier(Model("big"))], "q"),
    "map_reduce": lambda _, model: map_reduce(model, ["a", "b", "c"], map_prompt="Map", reduce_prompt="Sum"),
    "structured": lambda _, model: structured(model, "q", output=OUTPUT),
    "react_loop": lambda job, model: react_loop(model, "q", [job.tool], approve=job.approve),
    "conversation": _talk,
    "pipe": _piped,
}
every_kind_of_work = pytest.mark.parametrize("work", WORK.values(), ids=WORK)


def relayed(model: LLMProvider, journal: Journal) -> Run:
    """A run whose calls, those of judges and tiers included, go through the journal."""
    return Run("job", model, relay=lambda provider: Replayer(Recorder(provider, journal), journal))


@every_kind_of_work
async def test_equal_input_gives_equal_requests(work: Callable[[Job, Any], Awaitable[Any]]) -> None:
    asked = []
    for seed in range(2):  # in which the replies come in another order
        model = Model(seed=seed)
        await Job(work)(model)
        asked.append(Counter(model.requests))
    assert asked[0] == asked[1]


@every_kind_of_work
async def test_work_killed_at_any_call_goes_on_and_pays_for_nothing_twice(
    work: Callable[[Job, Any], Awaitable[Any]], tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    killed: list[tuple[bytes, int]] = []  # what is in the journal when a request has been sent
    job = Job(work)
    first = Model(before=lambda: killed.append((path.read_bytes(), job.looked)))
    with Journal(path, sync="never") as journal, journal.row("1"):
        expected = await job(relayed(first, journal))
    killed.append((path.read_bytes(), job.looked))
    made = path.read_bytes().count(b'{"t":"call"')
    for content, looked in killed:
        path.write_bytes(content)
        again, rest = Job(work), Model()
        with Journal(path, sync="never") as journal, journal.row("1") as scope:
            assert await again(relayed(rest, journal)) == expected
            there = content.count(b'{"t":"call"')
            assert scope.replayed == there
            assert journal.usage.llm_calls == content.count(b'{"t":"sent"') + made - there
        assert (again.looked, again.asked) == (job.looked - looked, job.asked - looked)


@pytest.mark.parametrize("k", range(6))
async def test_a_vote_killed_after_k_replies_asks_for_the_others_only(k: int, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    replies = ["a", "b", "b", "a", "b"]

    with Journal(path) as journal, journal.row("1"):
        provider = MockProvider([*replies[:k], PermanentError("killed")])
        with suppress(PermanentError):
            await consensus(relayed(provider, journal), "q", num_samples=5, max_concurrency=1)
    rest = MockProvider(replies[k:] or ["not asked for"])
    with Journal(path) as journal, journal.row("1") as scope:
        result = await consensus(relayed(rest, journal), "q", num_samples=5, max_concurrency=3)
        assert (result.value, result.cost.llm_calls, scope.replayed) == ("b", 5, k)
    assert len(rest.calls) == 5 - k


async def test_every_reply_that_was_used_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    on_disk = b""

    def flush(descriptor: int) -> None:
        nonlocal on_disk
        size = os.fstat(descriptor).st_size
        os.fsync(descriptor)
        on_disk = path.read_bytes()[:size]

    monkeypatch.setattr(file, "_flush", flush)

    class Used(Relay):
        async def complete(self, messages: Any, **fields: Any) -> LLMResponse:
            reply = await super().complete(messages, **fields)
            assert f'"content":"{reply.content}"'.encode() in on_disk
            used.append(reply.content)
            return reply

    used: list[str] = []
    answers = count()
    with Journal(path) as journal:
        provider = Used(Recorder(MockProvider(lambda _: f"answer {next(answers)}"), journal))
        await consensus(provider, "q", num_samples=40, max_concurrency=16)
    assert len(used) == 40


@pytest.mark.parametrize("sync", ["second", "never"])
async def test_less_safety_waits_for_no_disk(sync: Any, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, sync=sync) as journal:
        await consensus(relayed(MockProvider(["a"]), journal), "q", num_samples=2)
    assert Journal(path).usage.llm_calls == 2


async def test_failed_cancelled_and_unsent_calls_are_counted_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    busy = RateLimitError("busy", retry_after=0.0, status_code=429)
    unsent = ProviderError("no route", dispatched=False)
    provider = MockProvider([busy, unsent, "a", "b"])
    with Journal(path) as journal:
        result = await consensus(
            relayed(provider, journal), "q", num_samples=2, max_concurrency=1, retry=NO_WAIT
        )
        held = HeldProvider()
        task = asyncio.ensure_future(Recorder(held, journal).complete([{"role": "user", "content": "x"}]))
        await held.arrived(1)
        task.cancel()
        await asyncio.wait([task])
        assert (result.cost.llm_calls, journal.usage.llm_calls, journal.unknown_calls) == (3, 4, 1)
    found = [json.loads(line) for line in path.read_text().splitlines()]
    fails = [line for line in found if line["t"] == "fail"]
    assert [line["error"] for line in fails] == ["RateLimitError", "ProviderError", "CancelledError"]
    assert [line.get("status") for line in fails] == [429, None, None]
    # A failed attempt gives its number back.
    assert [line["n"] for line in found if line["t"] == "sent"] == [0, 0, 0, 1, 0]
    with Journal(path) as journal:
        journal.reopen()
        assert (journal.usage.llm_calls, journal.unknown_calls) == (4, 1)
        # A call that was cancelled may be billed in full, as one after a kill.
        assert book_of(journal).spent().assumed.output_tokens == 4096


async def test_requests_are_told_apart_by_all_that_their_answers_depend_on(tmp_path: Path) -> None:
    words = [{"role": "user", "content": "q"}]
    tool = {"type": "function", "function": {"name": "f"}}
    answers = count()
    with Journal(tmp_path / "journal") as journal:
        provider = MockProvider(lambda _: f"answer {next(answers)}")
        own = Replayer(Recorder(provider, journal), journal)
        with journal.row("1"):
            first = await own.complete(words, temperature=0.5, seed=1, max_tokens=10)
        with journal.row("1"):
            # A budget that is nearly spent lowers max_tokens: it is the same request all the same.
            same = await own.complete([*words], max_tokens=5, seed=1, temperature=0.5, tools=[])
            assert same.content == first.content
            others = [
                await own.complete(words, temperature=0.5, seed=1),
                await own.complete(words, temperature=0.6, seed=1),
                await own.complete(words, temperature=0.5, seed=2),
                await own.complete(words, temperature=0.5, seed=1, tools=[tool]),
                await own.complete([{"role": "user", "content": "Q"}], temperature=0.5, seed=1),
            ]
        with journal.row("2"):
            others.append(await own.complete(words, temperature=0.5, seed=1))
        assert len({reply.content for reply in [first, *others]}) == 7
        for other in (Model("n"), Model(), Model()):
            other.extra_body = {"think": other.model} if other.model == "m" else {}
            with journal.row("1"):
                await Replayer(Recorder(other, journal), journal).complete(words, temperature=0.5, seed=1)
        assert provider.call_count == 7


async def test_a_tool_that_failed_ran_late_or_was_declined_is_not_run_again(tmp_path: Path) -> None:
    ran: list[str] = []

    async def fail() -> str:
        ran.append("fail")
        raise ToolError("no such item")

    async def late() -> str:
        ran.append("late")
        await asyncio.Event().wait()
        return ""

    async def deny(request: ApprovalRequest) -> Approval:
        ran.append(f"asked for {request.call.name}")
        return Approval(approved=False, reason="not now")

    nothing = {"type": "object", "properties": {}}
    tools = [
        Tool("fail", "F.", nothing, fail),
        Tool("late", "L.", nothing, late, timeout=0.01),
        Tool("buy", "B.", nothing, late, needs_approval=True),
    ]
    calls = [ToolCall(f"c{n}", tool.name, {}) for n, tool in enumerate(tools)]
    path = tmp_path / "journal"
    results = []
    scripts: list[list[Any]] = [[LLMResponse("", calls), PermanentError("killed")], ["done"]]
    for script in scripts:
        provider = MockProvider(script)
        with Journal(path) as journal, journal.row("1"), suppress(PermanentError):
            results.append(await react_loop(relayed(provider, journal), "q", tools, approve=deny))
    assert sorted(ran) == ["asked for buy", "fail", "late"]
    observations = [message["content"] for message in results[0].messages if message["role"] == "tool"]
    assert observations == [
        "Error: no such item",
        "Error: late did not finish within 0.01 seconds.",
        "declined: not now",
    ]
    assert (results[0].tool_calls_made, results[0].declined) == (2, 1)


async def test_a_streamed_reply_is_written_at_its_end_and_streams_again(tmp_path: Path) -> None:
    words = [{"role": "user", "content": "q"}]
    path = tmp_path / "journal"
    with LocalEndpoint(["one two three", "one two three"]) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            with Journal(path) as journal:
                with journal.row("1"):
                    async with relayed(provider, journal).stream(words) as left:
                        async for event in left:
                            if isinstance(event, TextDelta):
                                break
                for _ in range(2):
                    with journal.row("1"):
                        run = relayed(provider, journal)
                        async with run.stream(words) as events:
                            texts = [e.text async for e in events if isinstance(e, TextDelta)]
                        assert ("".join(texts), run.usage.llm_calls) == ("one two three", 1)
                        assert events.response.finish_reason == "stop"
                with journal.row("1"):  # what was streamed answers a plain call too
                    assert (await relayed(provider, journal).complete(words)).content == "one two three"
                spent = journal.usage
        assert endpoint.ledger.calls == 2
    assert (spent.llm_calls, spent.output_tokens > 0) == (2, True)
    kinds = [json.loads(line)["t"] for line in path.read_text().splitlines()]
    assert kinds == ["job", "start", "sent", "fail", "sent", "call"]


async def test_dollars_are_kept_over_starts(tmp_path: Path) -> None:
    reply = LLMResponse("a", usage={"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000})
    provider = MockProvider([reply])
    provider.prices = Rates(input=1, output="0.5")
    with Journal(tmp_path / "journal") as journal, journal.row("1"):
        await consensus(relayed(provider, journal), "q", num_samples=2)
    with Journal(tmp_path / "journal") as journal:
        journal.reopen()
        assert journal.usage.usd == 3


async def test_a_journal_that_fails_stops_a_run_that_tolerates_failures(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "missing" / "journal")
    provider = MockProvider(["a"])
    with pytest.raises(JournalError, match="can't be opened"):
        await map_reduce(
            relayed(provider, journal), ["a", "b"], map_prompt="M", reduce_prompt="R", on_failure="skip"
        )
    assert provider.call_count == 0


async def test_a_call_that_fails_takes_no_place_of_a_cache(tmp_path: Path) -> None:
    ask = [{"role": "user", "content": "q"}]
    provider = MockProvider([ProviderError("busy"), "Paris", "Rome"])
    for answers in (["Paris"], ["Paris", "Rome"]):
        cache = Cache(provider, tmp_path / "cache")
        if provider.call_count == 0:
            with pytest.raises(ProviderError):
                await cache.complete(ask)
        assert [(await cache.complete(ask)).content for _ in answers] == answers
        cache.close()
    assert provider.call_count == 3


async def test_a_cache_that_was_cut_or_deleted_gives_no_wrong_reply(tmp_path: Path) -> None:
    ask, path = [{"role": "user", "content": "q"}], tmp_path / "cache"
    provider = MockProvider(["Paris", "Rome"])
    first = Cache(provider, path)
    await first.complete(ask)
    first.close()
    again = Cache(provider, path)
    os.truncate(path, 20)
    path.unlink()
    assert (await again.complete(ask)).content == "Rome"
    again.close()


async def test_a_cache_answers_other_rows_and_programs_but_no_vote_twice(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    answers = count()
    provider = MockProvider(lambda _: f"{next(answers) % 3}")
    results = []
    for _ in range(2):
        cache = Cache(provider, path)
        for row in ("1", "2"):
            with Journal(tmp_path / f"journal {row}") as journal, journal.row(row):
                results.append(await consensus(cache, "q", num_samples=3))
        cache.close()
    assert provider.call_count == 3
    assert [result.tie_count for result in results] == [3] * 4
    old = Cache(provider, path, ttl=1e-9)
    await old.complete([{"role": "user", "content": "q"}], temperature=0.7, max_tokens=4096)
    old.close()
    assert provider.call_count == 4
    (tmp_path / "other").write_text("text\n")
    with pytest.raises(JournalError, match="is not a cache"):
        Cache(provider, tmp_path / "other")


async def test_replies_of_a_cache_cost_nothing_and_are_never_two_votes(tmp_path: Path) -> None:
    replies = count()
    provider = MockProvider(lambda _: f"{next(replies)}")

    async def vote(cached: Cache, journal: str, max_cost: TokenUsage | None = None) -> ManyResult:
        return await run_many(
            cached, ["q"], consensus, journal=tmp_path / journal, max_cost=max_cost, max_rows=1
        )

    cache = Cache(provider, tmp_path / "cache")
    assert (await consensus(cache, "q", num_samples=2)).cost.llm_calls == 2
    # Two of five votes are in the cache, two more are paid for, and one has no budget.
    with pytest.raises(BudgetExhaustedError):
        await vote(cache, "journal", TokenUsage(llm_calls=2))
    result = await vote(cache, "journal")
    assert (result.cost.llm_calls, result.unknown_calls) == (3, 0)
    again = await vote(cache, "another journal")
    assert (again.done, again.cost) == (1, TokenUsage())
    assert provider.call_count == 5
    for journal in ("journal", "another journal"):
        with Journal(tmp_path / journal) as read:
            (outcome,) = read.rows()
        assert outcome.score == 0.2  # five different answers
    async with cache.stream([{"role": "user", "content": "s"}]) as events:
        assert [event async for event in events]
    cache.close()
    with_run = Run("x", Cache(provider, tmp_path / "cache"))
    async with with_run.stream([{"role": "user", "content": "s"}]) as events:
        assert [event async for event in events]
    assert with_run.usage == TokenUsage()
