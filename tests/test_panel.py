"""`Panel`: calls dealt in turn to several providers, each counted and priced as its own provider's."""

import asyncio
import copy
import logging
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import groupby
from typing import Any

import pytest
from fakes import NO_WAIT, HeldProvider, idle
from hypothesis import given, settings
from hypothesis import strategies as st
from watching import Watcher, spent

from executionkit import (
    BudgetExhaustedError,
    Conversation,
    Kit,
    LLMError,
    LLMResponse,
    MockProvider,
    Panel,
    PermanentError,
    Provider,
    ProviderError,
    RateLimitError,
    Rates,
    Rubric,
    StreamingProvider,
    TextDelta,
    TokenUsage,
    Tool,
    ToolCall,
    best_of_n,
    consensus,
    consensus_sync,
    react_loop,
    structured,
)
from executionkit.engine.run import Run
from executionkit.observe import observe
from executionkit.testing import LocalEndpoint, MockCall

QUESTION = [{"role": "user", "content": "q"}]
NO_KEY = PermanentError("wrong key", status_code=401)

FAILURES: dict[str, Callable[[], LLMError]] = {
    "busy": lambda: ProviderError("503", status_code=503),
    "limited": lambda: RateLimitError("429", retry_after=0.0),
    "refused": lambda: PermanentError("400", status_code=400),
    "no key": lambda: copy.copy(NO_KEY),
    "no model": lambda: PermanentError("404", status_code=404),
    "no money": lambda: PermanentError("402", status_code=402),
}
REPEATED, FINAL = {"busy", "limited"}, {"no key", "no model", "no money"}


@settings(max_examples=50)
@given(
    scripts=st.lists(
        st.lists(st.sampled_from(["ok"] * 8 + [*FAILURES]), min_size=1, max_size=5), min_size=1, max_size=4
    ),
    weights=st.lists(st.integers(1, 4), min_size=4, max_size=4),
    calls=st.integers(1, 14),
)
async def test_each_call_is_charged_once_and_dealt_in_turn_whatever_fails(
    scripts: list[list[str]], weights: list[int], calls: int
) -> None:
    asked: list[tuple[int, str]] = []

    def member(index: int, script: list[str]) -> MockProvider:
        def respond(call: Any) -> LLMResponse | LLMError:
            outcome = script[sum(who == index for who, _ in asked) % len(script)]
            asked.append((index, outcome))
            return (
                FAILURES[outcome]() if outcome in FAILURES else LLMResponse("x", usage={"prompt_tokens": 1})
            )

        return MockProvider(respond, prices=Rates(input=10**index, output=0, per=1))

    weights = weights[: len(scripts)]
    panel = Panel([member(*each) for each in enumerate(scripts)], weights)
    run = Run("panel", panel, retry=NO_WAIT)
    out: set[int] = set()
    for number in range(1, calls + 1):
        begun = len(asked)
        error: LLMError | None = None
        try:
            await run.complete(QUESTION)
        except LLMError as exc:
            error = exc
        turns = [
            (who, [what for _, what in each]) for who, each in groupby(asked[begun:], lambda pair: pair[0])
        ]
        tried = [who for who, _ in turns]
        # A retry asks the same member. The next one is asked where a member failed for good, and only there.
        assert len(set(tried)) == len(tried)
        for _, seen in turns[:-1]:
            assert set(seen[:-1]) <= REPEATED
            assert seen[-1] in FINAL
        last = turns[-1][1]
        assert (error is None) == (last[-1] == "ok")
        if last[-1] in FINAL:
            assert len(tried) == len(scripts)
            assert len(getattr(error, "__notes__", [])) == len(tried) - 1
        # A member that is passed over has no turn, unless all of them are.
        assert tried[0] not in out or len(out) == len(scripts)
        out |= {who for who, seen in turns if seen[-1] in FINAL}
        out -= {who for who, seen in turns if seen[-1] == "ok"}
        assert {index for index, told in enumerate(panel.passed_over) if told} == out
        if not any(what in FINAL for _, what in asked):
            # At no time is any member a whole turn ahead or behind.
            assert sum(panel.dealt) == number
            total = sum(weights)
            assert all(abs(n * total - number * w) < total for n, w in zip(panel.dealt, weights, strict=True))
    answered = sum((Decimal(10**who) for who, what in asked if what == "ok"), Decimal(0))
    assert run.usage == TokenUsage(sum(what == "ok" for _, what in asked), 0, len(asked), usd=answered)


async def test_who_votes_depends_on_no_reply_s_speed_and_a_cancelled_vote_leaves_nothing() -> None:
    members = [HeldProvider(), HeldProvider(), HeldProvider()]
    kit = Kit(Panel(members, weights=(2, 1, 1)))
    vote = asyncio.create_task(kit.consensus("q", num_samples=8, max_concurrency=2))
    await idle()
    order = ""
    for _ in range(8):  # always the latest request ends first
        index = max((i for i, m in enumerate(members) if m.waiting), key=lambda i: len(members[i].requests))
        order += "ABC"[index]
        members[index].waiting[-1].answer("ABC"[index])
        await idle()
    result = await vote
    assert result.votes == (("A", 4), ("B", 2), ("C", 2))
    assert order != "ABCAABCA"

    vote = asyncio.create_task(kit.consensus("q", num_samples=3))
    await idle()
    members[1].waiting[0].answer()
    vote.cancel()
    with pytest.raises(asyncio.CancelledError):
        await vote
    assert not any(member.waiting for member in members)
    assert kit.usage.llm_calls == 11


async def test_over_http_each_reply_is_priced_and_seen_as_its_own_model_s() -> None:
    with LocalEndpoint(["A"]) as first, LocalEndpoint(["B"], api_key="sk-secret-123") as second:
        cheap = Provider(first.base_url, "cheap", prices=Rates(1, 1))
        dear = Provider(second.base_url, "dear", "sk-secret-123", prices=Rates(100, 100))
        watcher = Watcher()
        async with Panel([cheap, dear], weights=(2, 1)) as panel:
            with observe(watcher):
                result = await consensus(panel, "q", num_samples=6, max_cost=TokenUsage(llm_calls=6, usd="1"))
        assert result.votes == (("A", 4), ("B", 2))
        assert result.cost == spent(watcher.of("call"))
        assert result.cost.usd == Decimal(4 * 5 + 2 * 5 * 100) / 1_000_000
        assert [call.info.model for call in watcher.of("call")] == ["cheap", "dear", "cheap"] * 2
        assert {run.info.model for run in watcher.of("run")} == {"cheap + dear"}
        assert repr(panel) == "Panel([<Provider 'cheap'>, <Provider 'dear'>], weights=(2, 1))"
        assert (panel.model, panel.base_url, panel.default_max_tokens) == ("cheap + dear", None, 4096)


async def test_a_wrong_key_is_paid_for_once_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    with LocalEndpoint(["A"]) as good, LocalEndpoint(["B"], api_key="sk-right") as bad:
        panel = Panel([Provider(bad.base_url, "bad", "sk-wrong"), Provider(good.base_url, "good")])
        with caplog.at_level(logging.WARNING, "executionkit.calls"):
            result = await consensus(panel, "q", num_samples=4, max_concurrency=1)
            async with panel.stream(QUESTION) as events:
                texts = [event.text async for event in events if isinstance(event, TextDelta)]
        assert (result.votes, result.cost.llm_calls, texts) == ((("A", 4),), 5, ["A"])
        assert [record.getMessage() for record in caplog.records] == ["panel: bad is passed over: 401"]
        told, none = panel.passed_over
        assert told is not None
        assert "401" in told
        assert (none, panel.dealt) == (None, (1, 5))
        with pytest.raises(
            BudgetExhaustedError
        ) as caught:  # the refused request counts, so one more is too much
            await consensus(copy.copy(panel), "q", num_samples=1, max_cost=TokenUsage(llm_calls=1))
        assert caught.value.__notes__[0].startswith("bad was passed over: PermanentError: ")
        await panel.aclose()


async def test_a_stream_that_is_left_early_is_charged_as_its_member_s() -> None:
    members = [
        MockProvider(exception=NO_KEY, prices=Rates(1, 1, per=1)),
        MockProvider(["one two three"], prices=Rates(0, 2, per=1)),
    ]
    kit = Kit(Panel(members), max_cost=TokenUsage(llm_calls=3, usd=10_000_000))
    async with kit.stream("q", max_tokens=9) as events:
        async for event in events:
            assert event == TextDelta("one")
            assert events.partial.content == "one"
            break
    assert kit.usage.llm_calls == 2
    assert kit.usage.usd == 2  # one token, by an estimate of what came


async def test_when_all_have_failed_the_error_names_each_and_all_are_asked_again() -> None:
    one, other = MockProvider([NO_KEY, "1"]), MockProvider([PermanentError("gone", status_code=404)])
    panel = Panel([one, other])
    with pytest.raises(PermanentError, match="gone") as caught:
        await consensus(panel, "q", num_samples=1)
    assert caught.value.__notes__ == ["member 0 was passed over: PermanentError: wrong key"]
    assert caught.value.cost.llm_calls == 2
    assert (await consensus(panel, "q", num_samples=1)).value == "1"
    assert panel.passed_over == (None, "PermanentError: gone")
    assert (one.call_count, other.call_count) == (2, 2)


async def test_a_dialogue_stays_with_one_member() -> None:
    async def look() -> str:
        return "a cat"

    tool = Tool("look", "Look.", {"type": "object", "properties": {}}, look)
    asks = LLMResponse("", tool_calls=[ToolCall("1", "look", {})])
    members = [MockProvider([asks, f"m{index}"]) for index in range(2)]
    panel = Panel(members)
    assert [(await react_loop(panel, "q", [tool])).value for _ in range(3)] == ["m0", "m1", "m0"]

    conversation = Conversation(panel, tools=[tool])
    assert repr(conversation)  # which deals nothing
    assert [(await conversation.send("q")).value for _ in range(2)] == ["m1", "m1"]
    async with Conversation(panel, tools=[tool]).stream("q") as events:
        async for _ in events:
            pass
    assert (events.result.value, panel.dealt) == ("m0", (3, 2))

    unreadable = [MockProvider(["what?", '{"a": 1}']), MockProvider(["no", '{"a": 2}'])]
    panel = Panel(unreadable)
    assert [(await structured(panel, "q")).value for _ in range(2)] == [{"a": 1}, {"a": 2}]

    judges = [MockProvider(["no number", "Score: 4"]), MockProvider([NO_KEY])]
    panel = Panel(judges[::-1])
    rubric = Rubric("Short.", judge=panel)
    result = await best_of_n(
        MockProvider(["x", "y"]), "q", evaluator=rubric, num_samples=2, max_concurrency=1
    )
    assert (result.scores, result.cost.llm_calls) == ([0.4, 0.4], 7)


async def test_a_dialogue_goes_on_with_another_member_where_its_own_fails_for_good() -> None:
    async def look() -> str:
        return "a cat"

    asks = LLMResponse("", tool_calls=[ToolCall("1", "look", {})])
    panel = Panel([MockProvider([asks, NO_KEY]), MockProvider(["a cat it is"])])
    tool = Tool("look", "Look.", {"type": "object", "properties": {}}, look)
    events: list[Any] = []
    result = await react_loop(panel, "q", [tool], on_event=events.append)  # its replies are streamed
    assert (result.value, result.rounds, result.cost.llm_calls) == ("a cat it is", 2, 3)


async def test_what_is_learnt_of_a_server_in_a_dialogue_is_learnt_of_the_member() -> None:
    def without_schemas(call: MockCall) -> str | BaseException:
        if "response_format" in call.kwargs:
            return PermanentError("response_format is not supported", status_code=400)
        return '{"a": 1}'

    members = [MockProvider(without_schemas), MockProvider(['{"a": 1}'])]
    panel = Panel(members)
    for _ in range(4):
        await structured(panel, "q", dict[str, int])
    modes = [["response_format" in call.kwargs for call in member.calls] for member in members]
    assert modes[0][-2:] == [False, False]  # the second time without a refusal
    assert modes[1] == [True, True]


async def test_a_dialogue_leaves_a_member_that_another_call_found_to_fail() -> None:
    members = [MockProvider(["m0", "m0", NO_KEY]), MockProvider(["m1"])]
    panel = Panel(members)
    conversation = Conversation(panel)
    assert (await conversation.send("q")).value == "m0"
    await consensus(panel, "q", num_samples=4, max_concurrency=1)
    assert panel.passed_over[0]
    asked = members[0].call_count
    assert (await conversation.send("q")).value == "m1"
    assert members[0].call_count == asked


class _Plain:
    """A provider without tools and streams."""

    async def complete(self, messages: Any, **options: Any) -> LLMResponse:
        return LLMResponse("plain")


async def test_tools_and_streams_are_there_where_all_members_have_them() -> None:
    both, mixed = Panel([MockProvider(), MockProvider()]), Panel([MockProvider(), _Plain()])
    assert (both.supports_tools, isinstance(both, StreamingProvider)) == (True, True)
    assert (mixed.supports_tools, isinstance(mixed, StreamingProvider)) == (False, False)
    with pytest.raises(TypeError, match="supports_tools = True; Panel says False"):
        await react_loop(mixed, "q", [])
    with pytest.raises(TypeError, match="Panel has no `stream`"):
        Kit(mixed).stream("q")
    assert mixed.dealt == (0, 0)


@pytest.mark.parametrize("error", [OSError("a"), asyncio.CancelledError("a")])
async def test_closing_closes_every_member_once_even_if_one_fails_or_it_is_cancelled(
    error: BaseException,
) -> None:
    closed: list[str] = []

    class Closable(_Plain):
        def __init__(self, name: str) -> None:
            self.name = name

        async def aclose(self) -> None:
            closed.append(self.name)
            if self.name == "a":
                raise error

    a, b = Closable("a"), Closable("b")
    with pytest.raises(type(error), match="a"):
        async with Panel([a, b, _Plain(), b]):
            pass
    assert closed == ["a", "b"]


def test_what_is_no_panel_is_refused() -> None:
    none: list[Any] = [[], (), None, "ab", MockProvider()]
    for wrong in none:
        with pytest.raises(ValueError, match="providers must be a list of at least one provider"):
            Panel(wrong)
    with pytest.raises(TypeError, match="panel: the provider needs an async `complete"):
        Panel([object()])  # type: ignore[list-item]
    for inner, kind in ((Panel([MockProvider()]), "panel"), (Kit(MockProvider()).metered, "run")):
        with pytest.raises(ValueError, match=f"can't be a {kind}"):
            Panel([inner])
    for weights in ((1,), (1, 2, 3), 2, "12x"):
        with pytest.raises(ValueError, match="weights must have one number for each of 2 providers"):
            Panel([MockProvider(), MockProvider()], weights)  # type: ignore[arg-type]
    for weight in (0, -1, 1.5, True, "1"):
        with pytest.raises(ValueError, match="weights must be"):
            Panel([MockProvider()], [weight])  # type: ignore[list-item]


async def test_a_ceiling_in_dollars_needs_the_prices_of_all_members() -> None:
    priced, free = (
        Provider("http://localhost/v1", "a", prices=Rates(1, 1)),
        Provider("http://localhost/v1", "b"),
    )
    with pytest.raises(ValueError, match="for model 'b' at http://localhost/v1"):
        await consensus(Panel([priced, free]), "q", max_cost=TokenUsage(usd=1))
    # What is kept back for later must pay for the dearest member.
    both = Panel([MockProvider(prices=Rates(0, 1, per=1)), MockProvider(prices=Rates(0, 20, per=1))])
    kept = await Run("run", both, max_cost=TokenUsage(usd=100)).keep_back(50)
    assert kept.max_tokens == 5
    kept.give_up()
    # Without a ceiling, a sum with an unknown part is unknown.
    panel = Panel([MockProvider(["x"], prices=Rates(1, 1)), MockProvider(["x"])])
    assert (await consensus(panel, "q", num_samples=1)).cost.usd == Decimal("0.000009")
    assert (await consensus(panel, "q", num_samples=2)).cost.usd is None


def test_threads_share_a_panel_and_every_call_has_its_turn() -> None:
    members = [MockProvider([name]) for name in "abc"]
    panel = Panel(members)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: consensus_sync(panel, "q", num_samples=3), range(16)))
    assert {result.cost.llm_calls for result in results} == {3}
    assert panel.dealt == (16, 16, 16) == tuple(member.call_count for member in members)


def test_a_copy_begins_anew_and_keeps_no_secret_out_of_its_place() -> None:
    panel = Panel([Provider("http://localhost/v1", "a", "sk-secret-1")], weights=[2])
    data = pickle.dumps(panel)
    assert b"sk-secret-1" not in data
    again = pickle.loads(data)
    assert (again.weights, again.dealt, again.model) == ((2,), (0,), "a")
    assert "sk-" not in repr(copy.deepcopy(panel))
