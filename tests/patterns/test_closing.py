"""Ending a tool loop well: an answer at every limit; and which tools are called, and how often."""

import asyncio
import itertools
from typing import Any

import pytest
from fakes import NO_WAIT, ONCE
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import Ledgered, holds_nothing

from executionkit import (
    BudgetExhaustedError,
    ExecutionKitError,
    LLMError,
    LLMResponse,
    MaxIterationsError,
    MockProvider,
    Observation,
    PatternEvent,
    PermanentError,
    Provider,
    ProviderError,
    RateLimitError,
    TextDelta,
    TokenUsage,
    Tool,
    ToolCall,
    consensus,
    react_loop,
)
from executionkit._refusals import refuses_tool_choice
from executionkit.testing import ChatRequest, Fault, LocalEndpoint

SCHEMA = {"type": "object", "properties": {"n": {"type": "number"}}}
ran: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


async def look(n: float = 0) -> str:
    ran.append(n)
    return f"seen {n}"


async def pay(n: float = 0) -> str:
    ran.append(("pay", n))
    return "paid"


LOOK = Tool("look", "Look.", SCHEMA, look)
PAY = Tool("pay", "Pay.", SCHEMA, pay)


def asks(*names: str, **arguments: Any) -> LLMResponse:
    calls = [ToolCall(f"c{index}", name, arguments) for index, name in enumerate(names or ("look",))]
    return LLMResponse("", calls, finish_reason="tool_calls")


USAGE = TokenUsage(10, 10)


class Looker(MockProvider):
    """Calls the tool whenever it may, and answers when it may not."""

    def __init__(self, usage: TokenUsage = USAGE, *, is_stubborn: bool = False) -> None:
        super().__init__([""], usage=usage)
        self.choices: list[Any] = []
        self.sizes: list[int] = []
        self.prompts: list[str] = []
        self.is_stubborn = is_stubborn

    async def complete(self, messages: Any, **kwargs: Any) -> LLMResponse:
        choice = kwargs.pop("tool_choice", None)
        number = len(self.choices)
        self.choices.append(choice)
        self.sizes.append(kwargs.get("max_tokens") or 0)
        self.prompts.append(str(messages[-1]["content"]))
        kwargs.pop("parallel_tool_calls", None)
        reply = await super().complete(messages, **kwargs)
        await asyncio.sleep(0)
        may_call = self.is_stubborn or choice != "none"
        text = "" if may_call else "closed"
        calls = [ToolCall("c", "look", {"n": number})] if may_call else []
        return LLMResponse(text, calls, usage=reply.usage)


def told(provider: MockProvider) -> list[str]:
    return [str(m["content"]) for m in provider.calls[-1].messages if m["role"] == "tool"]


# -- an answer at every limit ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "calls", "reason"),
    [
        ({"max_rounds": 3}, 3, "max_rounds"),
        ({"max_rounds": 1}, 1, "max_rounds"),
        ({"max_cost": TokenUsage(llm_calls=3)}, 3, "budget"),
        ({"max_cost": TokenUsage(llm_calls=1)}, 1, "budget"),
        ({"max_cost": TokenUsage(output_tokens=60), "max_tokens": 20}, 4, "budget"),
        ({"max_cost": TokenUsage(output_tokens=15), "max_tokens": 20}, 1, "budget"),
        ({"max_cost": TokenUsage(input_tokens=35)}, 3, "budget"),
    ],
)
async def test_at_every_limit_the_last_call_is_for_the_answer(
    limits: dict[str, Any], calls: int, reason: str
) -> None:
    provider = Looker()
    result = await react_loop(provider, "q", [LOOK], on_limit="answer", **limits)
    assert (result.value, result.stop_reason, provider.call_count) == ("closed", reason, calls)
    assert (result.rounds, result.tool_calls_made, result.score) == (calls, calls - 1, None)
    assert provider.choices == [None] * (calls - 1) + ["none"]
    assert all(call.tools for call in provider.calls)
    if calls > 1:
        assert provider.prompts[-1].startswith("No more tools can be called.")
    # The closing words are no part of the conversation.
    assert [m["role"] for m in result.messages] == ["user", *["assistant", "tool"] * (calls - 1), "assistant"]
    limit = limits.get("max_cost", TokenUsage())
    assert result.cost.output_tokens <= (limit.output_tokens or 1000)


async def test_an_answer_before_the_limit_is_an_ordinary_one() -> None:
    provider = MockProvider([asks(), "done"])
    result = await react_loop(provider, "q", [LOOK], on_limit="answer", max_rounds=3)
    assert (result.value, result.stop_reason) == ("done", "answer")


@pytest.mark.parametrize("limits", [{"max_rounds": 2}, {"max_cost": TokenUsage(llm_calls=2)}])
async def test_by_default_a_limit_is_an_error(limits: dict[str, Any]) -> None:
    with pytest.raises((MaxIterationsError, BudgetExhaustedError)):
        await react_loop(Looker(), "q", [LOOK], **limits)
    assert len(ran) == 2


async def test_calls_in_the_closing_reply_are_not_run() -> None:
    provider = Looker(is_stubborn=True)
    with pytest.raises(ProviderError, match="called look instead of giving its answer"):
        await react_loop(provider, "q", [LOOK], on_limit="answer", max_rounds=2)
    assert (provider.call_count, ran) == (2, [0])

    both = LLMResponse("I have seen 1.", [ToolCall("c", "look", {"n": 2})])
    result = await react_loop(MockProvider([asks(), both]), "q", [LOOK], on_limit="answer", max_rounds=2)
    assert (result.value, ran) == ("I have seen 1.", [0, 0])
    assert "tool_calls" not in result.messages[-1]


async def test_calls_written_as_text_in_the_closing_reply_are_not_run() -> None:
    provider = MockProvider([asks(n=1), '{"name": "look", "arguments": {"n": 2}}'])
    result = await react_loop(provider, "q", [LOOK], on_limit="answer", max_rounds=2, text_calls="run")
    assert (ran, result.unread_tool_calls) == ([1], 1)


@pytest.mark.parametrize("limits", [{"max_rounds": 3}, {"max_cost": TokenUsage(llm_calls=3)}])
async def test_a_streamed_loop_closes_too(limits: dict[str, Any]) -> None:
    def serve(request: ChatRequest) -> LLMResponse:
        return LLMResponse("closed") if request.body.get("tool_choice") == "none" else asks()

    events: list[PatternEvent] = []
    async with LocalEndpoint(serve) as endpoint, Provider(endpoint.base_url, "m") as provider:
        result = await react_loop(provider, "q", [LOOK], on_limit="answer", on_event=events.append, **limits)
    assert (result.value, result.cost.llm_calls, len(endpoint.ledger.requests)) == ("closed", 3, 3)
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "closed"


async def test_tools_that_call_the_model_leave_the_closing_call_alone() -> None:
    async def ask(provider: Any) -> str:
        return str((await consensus(provider, "q", num_samples=1, retry=ONCE)).value)

    asker = Tool("look", "Ask.", {"type": "object"}, ask)
    provider = Looker()
    result = await react_loop(
        provider, "q", [asker], on_limit="answer", max_cost=TokenUsage(llm_calls=4), retry=ONCE
    )
    assert (result.value, result.stop_reason, provider.call_count) == ("closed", "budget", 4)


async def test_retries_leave_the_closing_call_alone() -> None:
    failing = iter([ProviderError("503", status_code=503)] * 2)

    class Flaky(Looker):
        async def complete(self, messages: Any, **kwargs: Any) -> LLMResponse:
            if kwargs.get("tool_choice") is None and (error := next(failing, None)):
                raise error
            return await super().complete(messages, **kwargs)

    provider = Flaky()
    budget = TokenUsage(llm_calls=3)
    result = await react_loop(provider, "q", [LOOK], on_limit="answer", max_cost=budget, retry=NO_WAIT)
    assert (result.value, result.stop_reason, result.cost.llm_calls) == ("closed", "budget", 3)


async def test_nothing_to_begin_with_is_still_an_error() -> None:
    provider = Looker()
    with pytest.raises(BudgetExhaustedError, match="nothing was left"):
        await react_loop(provider, "q", [LOOK], on_limit="answer", max_cost=TokenUsage(llm_calls=-1))
    assert provider.call_count == 0


async def test_what_was_kept_back_is_free_again_after_any_end() -> None:
    run = Ledgered("shared", Looker(), max_cost=TokenUsage(llm_calls=9, output_tokens=900))
    await react_loop(run, "q", [LOOK], on_limit="answer", max_rounds=2, max_tokens=50)
    assert holds_nothing(run)

    answering = Ledgered(
        "shared", MockProvider(["done"]), max_cost=TokenUsage(llm_calls=9, output_tokens=900)
    )
    await react_loop(answering, "q", [LOOK], on_limit="answer", max_tokens=50)
    assert (holds_nothing(answering), answering.usage.llm_calls, answering.left.llm_calls) == (True, 1, 8)

    failing = Ledgered("shared", MockProvider([PermanentError("no")]), max_cost=TokenUsage(llm_calls=9))
    with pytest.raises(PermanentError) as caught:
        await react_loop(failing, "q", [LOOK], on_limit="answer", max_tokens=50)
    assert (holds_nothing(failing), caught.value.cost.llm_calls) == (True, 1)


async def test_an_error_says_that_calls_are_kept_back() -> None:
    run = Ledgered("shared", Looker(), max_cost=TokenUsage(llm_calls=2))
    kept = await run.keep_back(10)
    await run.complete([{"role": "user", "content": "q"}])
    with pytest.raises(BudgetExhaustedError, match="spent 1 of 2, and 1 kept back for closing answers"):
        await run.complete([{"role": "user", "content": "q"}])
    kept.give_up()
    kept.give_up()
    await run.complete([{"role": "user", "content": "q"}])
    assert holds_nothing(run)


@given(
    loops=st.integers(1, 4),
    greedy=st.integers(0, 4),
    spare=st.integers(0, 9),
    limit=st.sampled_from(["llm_calls", "output_tokens"]),
    rounds=st.integers(1, 9),
    tokens=st.integers(1, 30),
)
@settings(max_examples=60, deadline=None)
def test_beside_others_every_loop_that_begins_gets_its_answer(
    loops: int, greedy: int, spare: int, limit: str, rounds: int, tokens: int
) -> None:
    """Others spend whatever they can of a budget that pays for one call of each loop and a few more."""
    ceiling = loops + spare if limit == "llm_calls" else (loops + spare) * tokens
    provider = Looker(TokenUsage(1, tokens))

    async def spend(run: Ledgered) -> None:
        for _ in range(20):
            try:
                await run.complete([{"role": "user", "content": "greedy"}], max_tokens=tokens)
            except ExecutionKitError:
                await asyncio.sleep(0)

    async def together() -> None:
        run = Ledgered("shared", provider, max_cost=TokenUsage(**{limit: ceiling}), retry=ONCE)
        closing = [
            react_loop(run, "q", [LOOK], on_limit="answer", max_rounds=rounds, max_tokens=tokens)
            for _ in range(loops)
        ]
        results = await asyncio.gather(*closing, *(spend(run) for _ in range(greedy)))
        assert all(result is None or result.value == "closed" for result in results)
        assert holds_nothing(run)
        assert getattr(run.usage, limit) <= ceiling
        if limit == "llm_calls":
            assert provider.call_count <= ceiling

    asyncio.run(together())


# -- a server that refuses `tool_choice: none` -----------------------------------------------------------


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_server_that_refuses_the_choice_gets_the_request_once_more_without_it(
    is_streamed: bool,
) -> None:
    def serve(request: ChatRequest) -> LLMResponse | Fault:
        if request.body.get("tool_choice") == "none":
            body = {"error": {"message": "tool_choice 'none' is not supported", "param": "tool_choice"}}
            return Fault.status(400, body=body)
        if request.messages[-1]["role"] == "tool" or len(request.messages) > 2:
            return LLMResponse("from what I have")
        return asks("look", n=1)

    listening: dict[str, Any] = {"on_event": lambda _event: None} if is_streamed else {}
    async with LocalEndpoint(serve) as endpoint, Provider(endpoint.base_url, "m") as provider:
        for refusals in (1, 1):
            result = await react_loop(
                provider, "q", [LOOK], on_limit="answer", max_rounds=2, retry=ONCE, **listening
            )
            assert result.value == "from what I have"
            refused = [r for r in endpoint.ledger.requests if r.body.get("tool_choice") == "none"]
            assert len(refused) == refusals


@pytest.mark.parametrize(
    ("error", "is_refusal"),
    [
        (PermanentError("tool_choice 'none' is not supported", status_code=400), True),
        (PermanentError("no", status_code=422, body='{"detail":[{"loc":["body","tool_choice"]}]}'), True),
        (ProviderError("Invalid tool choice: none", status_code=500), True),
        (PermanentError("Tool choice is none, but model called a tool", status_code=400), False),
        (RateLimitError("tool_choice"), False),
        (PermanentError("tool_choice: invalid key", status_code=401), False),
        (PermanentError("no such model", status_code=400), False),
    ],
)
def test_a_refusal_of_the_choice_is_told_from_other_errors(error: LLMError, is_refusal: bool) -> None:
    assert refuses_tool_choice(error) is is_refusal


# -- which tools are called ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "sent"),
    [("required", "required"), ("look", {"type": "function", "function": {"name": "look"}})],
)
async def test_a_choice_holds_until_the_tool_has_run_once(choice: str, sent: object) -> None:
    provider = MockProvider([asks("look", n="?"), asks("look"), "done"])
    await react_loop(provider, "q", [LOOK, PAY], tool_choice=choice)
    assert [call.kwargs.get("tool_choice") for call in provider.calls] == [sent, sent, None]


async def test_another_tool_does_not_meet_a_choice_by_name() -> None:
    provider = MockProvider([asks("pay"), asks("look"), "done"])
    await react_loop(provider, "q", [LOOK, PAY], tool_choice="look")
    assert [call.kwargs.get("tool_choice") is not None for call in provider.calls] == [True, True, False]


async def test_a_tool_that_was_declined_is_not_forced_again() -> None:
    asking = Tool("look", "Look.", SCHEMA, look, needs_approval=True)
    provider = MockProvider([asks("look"), "done"])
    result = await react_loop(provider, "q", [asking], tool_choice="look", approve=lambda _request: False)
    assert (provider.calls[1].kwargs, result.declined) == ({}, 1)


async def test_with_none_no_tool_runs_though_the_model_calls_one() -> None:
    provider = MockProvider([asks("pay"), "done"])
    await react_loop(provider, "q", [LOOK, PAY], tool_choice="none")
    assert ran == []
    assert told(provider) == ["Error: not run, because no tool may be called. Answer in words."]
    assert [call.kwargs["tool_choice"] for call in provider.calls] == ["none", "none"]


@pytest.mark.parametrize("wrong", ["lookk", "", "any", None, 1])
async def test_a_choice_that_is_none_is_refused(wrong: Any) -> None:
    provider = MockProvider(["done"])
    with pytest.raises(ValueError, match="tool_choice must be"):
        await react_loop(provider, "q", [LOOK], tool_choice=wrong)
    assert provider.call_count == 0


async def test_by_default_nothing_is_sent_of_all_this() -> None:
    provider = MockProvider(["done"])
    await react_loop(provider, "q", [LOOK])
    assert provider.calls[0].kwargs == {}


@pytest.mark.parametrize("parallel", [True, False])
async def test_of_several_calls_where_one_was_asked_for_the_first_runs(parallel: bool) -> None:
    provider = MockProvider([asks("look", "pay", "pay"), "done"])
    await react_loop(provider, "q", [LOOK, PAY], parallel_tool_calls=parallel)
    assert provider.calls[0].kwargs == {"parallel_tool_calls": parallel}
    assert len(ran) == (3 if parallel else 1)
    waiting = sum(
        text.startswith("Error: not run, because tools are called one at a time") for text in told(provider)
    )
    assert waiting == (0 if parallel else 2)


# -- how often -------------------------------------------------------------------------------------------


async def test_the_same_call_is_not_run_more_often_than_allowed() -> None:
    events: list[PatternEvent] = []
    same: list[LLMResponse | str] = [
        asks("look", n=1),
        asks("look", n=1.0),
        asks("look", n=1),
        asks("look", n=2),
        "done",
    ]
    provider = MockProvider(same)
    result = await react_loop(provider, "q", [LOOK], max_repeats=2, on_event=events.append)
    assert (ran, result.repeated_calls, result.tool_calls_made) == ([1, 1, 2], 1, 3)
    assert told(provider)[2] == "Not run again: the same call was made before. Its result was:\nseen 1.0"
    assert [e.ran for e in events if isinstance(e, Observation)] == [True, True, False, True]


async def test_the_order_of_keys_does_not_make_another_call() -> None:
    schema = {"type": "object", "properties": {"a": {}, "b": {}}}
    seen: list[object] = []
    keys = Tool("keys", "Keys.", schema, lambda **kw: seen.append(kw))
    one, two = ToolCall("c0", "keys", {"a": [1], "b": {}}), ToolCall("c1", "keys", {"b": {}, "a": [1.0]})
    provider = MockProvider([LLMResponse("", [one, two]), "done"])
    result = await react_loop(provider, "q", [keys], max_repeats=1)
    assert (len(seen), result.repeated_calls) == (1, 1)
    assert told(provider)[1].endswith("Its result was:\nnull")


async def test_a_repeatable_tool_and_a_call_that_did_not_run_are_not_counted() -> None:
    clock = Tool("look", "The time.", SCHEMA, look, repeatable=True)
    result = await react_loop(MockProvider([asks(), asks(), "done"]), "q", [clock], max_repeats=1)
    assert (len(ran), result.repeated_calls) == (2, 0)
    wrong: list[LLMResponse | str] = [asks("look", n="?"), asks("look", n="?"), "done"]
    result = await react_loop(MockProvider(wrong), "q", [LOOK], max_repeats=1)
    assert result.repeated_calls == 0


async def test_a_call_that_was_declined_is_not_asked_about_for_ever() -> None:
    asked = itertools.count()
    asking = Tool("look", "Look.", SCHEMA, look, needs_approval=True)
    provider = MockProvider([asks(), asks(), asks(), "done"])
    await react_loop(provider, "q", [asking], max_repeats=1, approve=lambda _request: next(asked) > 5)
    assert (next(asked), ran) == (1, [])
    assert told(provider)[2].endswith("declined")


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"max_repeats": 0}, "max_repeats"),
        ({"on_limit": "stop"}, "on_limit"),
        ({"parallel_tool_calls": 1}, "parallel"),
    ],
)
async def test_what_is_out_of_range_is_refused(wrong: dict[str, Any], name: str) -> None:
    provider = MockProvider(["done"])
    with pytest.raises(ValueError, match=name):
        await react_loop(provider, "q", [LOOK], **wrong)
    assert provider.call_count == 0
