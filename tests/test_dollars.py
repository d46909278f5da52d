"""Dollars: amounts that add up, prices of replies, and ceilings that hold, or refuse before any call."""

import asyncio
import copy
import gc
import itertools
import json
import math
import pickle
import subprocess
import sys
from collections.abc import Awaitable, Callable
from decimal import Context, Decimal, FloatOperation, Inexact, Rounded, localcontext
from typing import Any

import pytest
from fakes import NO_WAIT, ONCE, HeldProvider, idle
from hypothesis import given
from hypothesis import strategies as st
from runs import MESSAGES, Ledgered, holds_nothing, start, used

from executionkit import (
    BudgetExhaustedError,
    Conversation,
    CostTracker,
    Kit,
    LLMResponse,
    MockProvider,
    PatternError,
    PatternResult,
    PermanentError,
    Provider,
    ProviderError,
    Rates,
    RetryConfig,
    Rubric,
    TextDelta,
    TokenUsage,
    ToolCall,
    best_of_n,
    checked_complete,
    consensus,
    consensus_sync,
    map_reduce,
    pipe,
    react_loop,
    refine_loop,
)
from executionkit._dollars import EXACT, fitting
from executionkit._genai_prices import GENAI
from executionkit.cost import minus, remaining, tighter
from executionkit.engine.run import Run
from executionkit.engine.tariff import Tariff
from executionkit.provider._usage import latest_usage
from executionkit.testing import ChatRequest, Fault, LocalEndpoint

RATES = Rates(input="0.10", output="0.50", cached="0.01", reasoning="0.70", per=1_000)


def usd(amount: Any) -> TokenUsage:
    return TokenUsage(usd=amount)


def mock(*texts: str, tokens: tuple[int, int] = (100, 20), prices: Any = RATES) -> MockProvider:
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    return MockProvider(list(texts) or ["yes"], usage=usage, prices=prices)


# -- amounts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["0.1", 0.1, Decimal("0.1"), Decimal("0.100")], ids=repr)
def test_an_amount_is_exact_however_it_is_given(given: Any) -> None:
    usage = usd(given)
    assert usage.usd == Decimal("0.1")
    assert usage + usage + usage == usd("0.3")
    assert eval(repr(usage)) == usage
    assert TokenUsage(**json.loads(json.dumps(usage.to_dict()))) == usage
    assert pickle.loads(pickle.dumps(usage)) == copy.deepcopy(usage) == usage


@given(st.lists(st.tuples(st.integers(0, 10**18), st.integers(1, 10**9)), min_size=1), st.randoms())
def test_amounts_that_are_added_and_taken_away_again_leave_nothing(parts: Any, random: Any) -> None:
    """Thirds and sevenths too, which no decimal can hold: a rest would be waited for without end."""
    amounts = [fitting(EXACT.divide(Decimal(part), Decimal(whole))) for part, whole in parts]
    total = Decimal(0)
    for amount in amounts:
        total = EXACT.add(total, amount or 0)
    random.shuffle(amounts)
    for amount in amounts:
        total = EXACT.subtract(total, amount or 0)
    assert total == 0


async def test_prices_without_an_end_are_held_and_given_back_whole() -> None:
    class Sevenths(HeldProvider):
        prices = Rates(input=5, output=800, per=7)

    held = Sevenths()
    run = Ledgered("run", held, max_cost=usd(100_000))
    tasks = [start(run, most) for most in (1, 10, 100, 3)]
    await held.arrived(4)
    for at in (2, 0, 3, 1):
        held.requests[at].answer(usage=used(1, 1))
    await asyncio.gather(*tasks)
    assert holds_nothing(run)
    assert run.usage.usd == 4 * Decimal("115")


async def test_the_program_s_own_decimal_context_changes_nothing() -> None:
    for own in (Context(prec=3), Context(traps=[Inexact, Rounded, FloatOperation])):
        with localcontext(own):
            rates = Rates("0.1234567", "0.9876543", per=1_000)
            run = Run("run", mock(prices=rates), max_cost=usd("0.0900001"))
            for _ in range(3):  # the last with its `max_tokens` lowered
                await run.complete(MESSAGES)
            with pytest.raises(BudgetExhaustedError):
                await run.complete(MESSAGES)
            assert run.usage.usd == Decimal("0.096296268")
            assert str(usd("1234.56")).endswith("$1,234.56")


@pytest.mark.parametrize(
    "given", [True, math.nan, math.inf, "nan", "-inf", "$1", "", [], 1j, "1e40", "-1e9999999"], ids=repr
)
def test_what_is_no_amount_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"^usd must be a finite number of dollars"):
        usd(given)


@pytest.mark.parametrize(
    ("usage", "text"),
    [
        (TokenUsage(220, 10, 6, usd="0.0004"), "6 calls, 220 + 10 tokens, $0.0004"),
        (TokenUsage(1220, 10, 1), "1 call, 1,220 + 10 tokens"),
        (usd("1234.567"), "0 calls, 0 + 0 tokens, $1,234.57"),
        (usd("0.00000123456"), "0 calls, 0 + 0 tokens, $0.00000123"),
        (usd("0.1"), "0 calls, 0 + 0 tokens, $0.1"),
        (usd(0), "0 calls, 0 + 0 tokens, $0"),
        (usd(-1), "0 calls, 0 + 0 tokens, -$1.00"),
        (usd("0.99999"), "0 calls, 0 + 0 tokens, $1.00"),
        (usd("1e-900"), "0 calls, 0 + 0 tokens, $1.00e-30"),
        (TokenUsage(llm_calls=10**5000), "more than 10^19 calls, 0 + 0 tokens"),
        (usd("-12e30"), "0 calls, 0 + 0 tokens, -$1.20e+31"),
    ],
)
def test_a_usage_is_shown_in_words(usage: TokenUsage, text: str) -> None:
    with localcontext(Context(prec=1, traps=[Inexact])):  # a program's own, which changes nothing
        assert str(usage) == text


amounts = st.none() | st.decimals(0, 10**6, places=9, allow_nan=False, allow_infinity=False)
spends = st.builds(TokenUsage, *[st.integers(0, 3)] * 3, usd=amounts)


@given(st.lists(spends, min_size=1, max_size=5), st.randoms())
def test_a_sum_is_the_same_in_any_order_and_grouping(parts: list[TokenUsage], random: Any) -> None:
    whole = sum(parts[1:], parts[0])
    pile = list(parts)
    while len(pile) > 1:  # any two of them, again and again
        one, other = (pile.pop(random.randrange(len(pile))) for _ in range(2))
        with localcontext(prec=3):  # a program's own setting changes nothing
            pile.append(one + other)
    assert pile == [whole]
    counted = [part for part in parts if part != TokenUsage()]
    known = [part.usd for part in counted if part.usd is not None]
    assert whole.usd == (sum(known) if known and len(known) == len(counted) else None)


@given(spends, spends)
def test_the_usage_between_two_readings_gives_back_the_second(before: TokenUsage, more: TokenUsage) -> None:
    after = before + more
    between = minus(after, before)
    assert (between.input_tokens, between.llm_calls) == (more.input_tokens, more.llm_calls)
    if after.usd is not None and before.usd is not None:
        assert between.usd == (more.usd or 0)


def test_nothing_spent_so_far_and_a_priced_reply_are_the_price() -> None:
    assert TokenUsage() == usd(None)
    assert TokenUsage() + usd(1) == usd(1)
    assert (TokenUsage(llm_calls=1) + usd(1)).usd is None


def test_a_budget_in_dollars_has_a_rest_and_a_tighter_one() -> None:
    tracker = CostTracker()
    tracker.add_usage(TokenUsage(1, 1, 1, usd="0.4"))
    assert remaining(usd(1), tracker).usd == Decimal("0.6")
    for limit in ("0.4", "0.3", "-1"):
        assert (remaining(usd(limit), tracker).usd or 0) < 0
    for unlimited in (None, 0):
        assert remaining(usd(unlimited), tracker) == TokenUsage()
    assert tighter(usd(1), usd(2)) == tighter(usd(1), usd(0)) == tighter(TokenUsage(), usd(1)) == usd(1)
    assert tighter(usd(-1), usd(2)) == usd(-1)
    tracker.add_usage(TokenUsage(1, 1, 1))  # at a price that is not known
    assert tracker.to_usage().usd is None
    assert remaining(usd(1), tracker).usd == -1


# -- prices of replies -----------------------------------------------------------------------------------


def test_cached_and_reasoning_tokens_have_their_own_rates() -> None:
    usage = {
        **used(input_tokens=1_000, output_tokens=100),
        "prompt_tokens_details": {"cached_tokens": 900},
        "completion_tokens_details": {"reasoning_tokens": 60},
    }
    exact = (100 * Decimal("0.1") + 900 * Decimal("0.01") + 40 * Decimal("0.5") + 60 * Decimal("0.7")) / 1_000
    assert RATES.usd(LLMResponse("x", usage=usage)) == exact
    assert RATES.at_most(input_tokens=1_000, output_tokens=100) >= exact


@pytest.mark.parametrize(
    "wrong", [{"input": -1}, {"output": "x"}, {"per": 0}, {"cached": math.nan}], ids=repr
)
def test_rates_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be "):
        Rates(**{"input": 1, "output": 1, **wrong})


@pytest.mark.parametrize(
    ("usage", "headers", "told"),
    [
        ({"cost": 0.00482}, {}, "0.00482"),
        ({"cost": 0}, {}, "0"),
        ({"cost": 0.05, "is_byok": True, "cost_details": {"upstream_inference_cost": 1}}, {}, "1.05"),
        ({"cost": 0.05, "is_byok": True}, {}, None),
        ({"cost": {"input_tokens_cost": 1, "total_cost": 3}}, {}, "3"),
        ({"estimated_cost": 0.0000123}, {}, "0.0000123"),
        ({"cost_in_usd_ticks": 318_319_000}, {}, "0.0318319"),
        ({}, {"x-litellm-response-cost": "3.45e-05"}, "0.0000345"),
        ({}, {"x-litellm-response-cost": "0.0"}, None),
        ({}, {"x-litellm-response-cost": "None"}, None),
        ({"cost": None, "estimated_cost": 0.1}, {}, "0.1"),
        ({"cost": "1e9999999"}, {}, None),
        ({"cost_in_usd_ticks": "1e9999999"}, {"x-litellm-response-cost": "0.2"}, "0.2"),
        ({"cost": -1}, {}, None),
        ({"cost": "nan"}, {}, None),
        ({"cost": True}, {}, None),
        ({}, {}, None),
    ],
)
def test_the_server_s_own_price_is_read(usage: Any, headers: Any, told: str | None) -> None:
    expected = None if told is None else Decimal(told)
    assert LLMResponse("x", usage=usage, headers=headers).reported_usd == expected


async def test_the_server_s_own_price_wins_over_the_wire_and_is_exact() -> None:
    def model(request: ChatRequest) -> LLMResponse:
        counts = used(input_tokens=7, output_tokens=5)
        return LLMResponse("yes", usage={**counts, "cost": 0.1} if request.number % 2 else counts)

    with LocalEndpoint(model) as endpoint:
        async with Provider(endpoint.base_url, "m", prices=RATES) as provider:
            result = await consensus(provider, "q", num_samples=4)
    assert result.cost.usd == 2 * Decimal("0.1") + 2 * (7 * Decimal("0.1") + 5 * Decimal("0.5")) / 1_000


async def test_without_prices_nothing_is_priced_even_where_the_server_tells() -> None:
    reply = LLMResponse("yes", usage={**used(5, 7), "cost": 0.1})
    assert (await consensus(MockProvider([reply]), "q", num_samples=2)).cost == TokenUsage(14, 10, 2)


async def test_the_cost_of_every_pattern_is_the_sum_of_its_replies_nested_failed_or_retried() -> None:
    """A failed attempt costs nothing, a judge has its own provider's prices, and the kit has the total."""
    provider = mock("The answer. Score: 7")
    judge = mock(
        '{"reasons": "Good.", "score": 9}', tokens=(30, 3), prices=Rates(input=2, output=3, per=1_000)
    )
    each, judged = Decimal("0.02"), Decimal("0.069")  # (100 * .1 + 20 * .5) and (30 * 2 + 3 * 3) thousandths
    kit = Kit(provider)

    async def step(provider: Any, prompt: str) -> PatternResult[str]:
        return PatternResult((await provider.complete(MESSAGES)).content)

    result = await kit.pipe("q", step, consensus, num_samples=3)
    assert result.cost.usd == 4 * each
    best = await kit.best_of_n("q", evaluator=Rubric("Short.", judge=judge), num_samples=2)
    assert best.cost.usd == 2 * each + judge.call_count * judged
    assert (
        await kit.map_reduce(["a", "b"], map_prompt="{input}", reduce_prompt="{results}")
    ).cost.usd == 3 * each
    provider._script = itertools.cycle([ProviderError("503"), LLMResponse("yes", usage=used(20, 100))])
    assert (await kit.consensus("q", num_samples=1, retry=NO_WAIT)).cost == TokenUsage(100, 20, 2, usd=each)
    assert kit.usage.usd == 10 * each + judge.call_count * judged


async def test_an_error_has_the_dollars_and_so_has_the_note_on_a_foreign_one() -> None:
    def broken(text: str, provider: object) -> float:
        raise KeyError("x")

    with pytest.raises(KeyError) as caught:
        await refine_loop(mock(), "q", evaluator=broken)
    assert vars(caught.value)["cost"] == TokenUsage(100, 20, 1, usd="0.02")
    assert "refine_loop: spent 1 call, 120 tokens, $0.02" in caught.value.__notes__
    with pytest.raises(PermanentError) as failed:
        await consensus(MockProvider(exception=PermanentError("no"), prices=RATES), "q", num_samples=1)
    assert failed.value.cost == TokenUsage(llm_calls=1, usd=0)


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (used(20, 100), TokenUsage(100, 20, 1, usd="0.02")),
        ({"cost": 0.3}, TokenUsage(llm_calls=1, usd="0.3")),
    ],
)
async def test_a_generation_that_failed_is_paid_for(usage: Any, cost: TokenUsage) -> None:
    body = {"error": {"message": "overloaded"}, "usage": usage}
    with LocalEndpoint([Fault.status(200, body=body)]) as endpoint:
        async with Provider(endpoint.base_url, "m", prices=RATES) as provider:
            with pytest.raises(ProviderError) as caught:
                await consensus(provider, "q", num_samples=1, retry=ONCE)
    assert caught.value.cost == cost


def test_a_price_below_a_dollar_is_not_lost_where_usage_comes_twice() -> None:
    assert latest_usage({"cost": 0.0048, "prompt_tokens": 7}, {"cost": 0, "prompt_tokens": None}) == {
        "cost": 0.0048,
        "prompt_tokens": 7,
    }


async def test_a_reply_without_usage_and_a_stream_left_early_are_priced_by_estimate() -> None:
    prices = Rates(input=1, output=1, per=1)
    whole = await consensus(MockProvider(["x" * 40], prices=prices), "q" * 400, num_samples=1)
    assert whole.cost.input_tokens == whole.cost.output_tokens == 0
    assert 110 <= (whole.cost.usd or 0) <= 130
    kit = Kit(MockProvider(["one two three four five six"], prices=prices), max_cost=usd(1_000))
    async with kit.stream("q", max_tokens=50) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    assert 5 <= (kit.usage.usd or 0) <= 20
    assert (kit._run.left.usd or 0) <= 1_000 - 50  # the server may bill all that it may have written


def test_the_sync_twins_count_dollars_too() -> None:
    assert consensus_sync(mock(), "q", num_samples=2).cost.usd == Decimal("0.04")


async def test_a_conversation_keeps_its_dollars() -> None:
    chat = Conversation(mock(), max_cost=usd("0.05"))
    await chat.send("q", max_tokens=30)
    saved = json.loads(json.dumps(chat.to_dict()))
    assert saved["usage"] == {**chat.usage.to_dict(), "usd": str(chat.usage.usd)}
    again = Conversation.from_dict(mock(), saved, max_cost=usd("0.05"))
    assert (
        (again.usage, again.left)
        == (chat.usage, chat.left)
        == (TokenUsage(100, 20, 1, usd="0.02"), usd("0.03"))
    )
    saved["estimated"] |= {"usd": "-5", "input_tokens": -5}  # no more is left than of the ceiling
    assert Conversation.from_dict(mock(), saved, max_cost=usd("0.05")).left == usd("0.03")
    # One from before there were dollars: its total is not known, so no ceiling can be kept.
    del saved["usage"]["usd"]
    assert Conversation.from_dict(mock(), saved).usage == TokenUsage(100, 20, 1)
    with pytest.raises(BudgetExhaustedError, match="a part of the spend has no price"):
        await Conversation.from_dict(mock(), saved, max_cost=usd("0.05")).send("q")


# -- ceilings --------------------------------------------------------------------------------------------


class Held(HeldProvider):
    default_max_tokens = 100
    prices = Rates(input=0, output="0.01", per=1)


async def test_a_call_waits_for_dollars_that_a_call_in_flight_holds_and_is_lowered_alone() -> None:
    held = Held()
    run = Ledgered("run", held, max_cost=usd("1.5"))
    first, second = start(run, 100), start(run, 100)
    await held.arrived(1)
    await idle()
    assert len(held.waiting) == 1  # the second could not be paid for beside the first
    held.requests[0].answer(usage=used(10))
    assert (await held.arrived(2)).max_tokens == 100
    held.requests[1].answer(usage=used(100))
    await asyncio.gather(first, second)
    third = start(run, 100)
    assert (await held.arrived(3)).max_tokens == 40
    held.requests[2].answer(usage=used(40))
    await third
    assert run.usage.usd == Decimal("1.5")
    with pytest.raises(
        BudgetExhaustedError, match=r"the budget of usd is used up: spent \$1\.5 of \$1\.5; allow"
    ):
        await run.complete(MESSAGES)
    assert holds_nothing(run)


@pytest.mark.parametrize("is_inner", [False, True])
async def test_a_child_and_its_parent_hold_the_same_dollars(is_inner: bool) -> None:
    held = Held()
    outer = Ledgered("outer", held, max_cost=usd("0.9") if not is_inner else None)
    inner = Ledgered("inner", outer, max_cost=usd("0.9") if is_inner else None)
    beside = Ledgered("beside", outer, max_cost=usd(5))
    one, other = start(inner, 100), start(beside if not is_inner else inner, 100)
    assert (await held.arrived(1)).max_tokens == 90
    await idle()
    assert len(held.requests) == 1
    held.requests[0].answer(usage=used(80))
    assert (await held.arrived(2)).max_tokens == 10
    held.requests[1].answer(usage=used(10))
    await asyncio.gather(one, other)
    assert outer.usage.usd == Decimal("0.9")
    assert holds_nothing(outer, inner, beside)


async def test_choices_are_paid_for_together_and_hidden_reasoning_raises_what_is_held() -> None:
    held = Held()
    run = Ledgered("run", held, max_cost=usd("3"))
    task = start(run, 100, n=2)
    await held.arrived(1)
    assert run.room.calls.usd == 2
    held.requests[0].answer(usage=used(250))  # the server went 50 beyond both
    await task
    second = start(run, 100)
    assert (await held.arrived(2)).max_tokens == 50
    held.requests[1].answer(usage=used(50))
    await second


async def test_open_streams_leave_the_rest_and_nothing_waits_for_them() -> None:
    run = Run("run", mock(tokens=(0, 40), prices=Rates(input=0, output="0.01", per=1)), max_cost=usd(1))
    async with run.stream(MESSAGES, max_tokens=60) as events:
        await anext(events)
        await run.complete(MESSAGES, max_tokens=100)
        with pytest.raises(BudgetExhaustedError, match=r"open streams have set aside the last \$0\.6"):
            await run.complete(MESSAGES, max_tokens=100)


async def test_an_under_estimated_prompt_passes_the_ceiling_once_and_by_its_own_price_at_most() -> None:
    prices = Rates(input="0.001", output="0.001", per=1)
    dense = mock("yes", tokens=(5_000, 1), prices=prices)  # far more tokens than bytes
    run = Run("run", dense, max_cost=usd(1))
    await run.complete(MESSAGES, max_tokens=10)
    assert Decimal(1) < (run.usage.usd or 0) <= 1 + 5_000 * Decimal("0.001")
    with pytest.raises(BudgetExhaustedError):
        await run.complete(MESSAGES, max_tokens=10)
    assert dense.call_count == 1


async def test_a_prompt_that_the_rest_does_not_pay_for_is_refused_before_it_is_sent() -> None:
    provider = mock(prices=Rates(input="0.001", output="0.001", per=1))
    with pytest.raises(
        BudgetExhaustedError, match=r"\$1 don't pay for a prompt of about [\d,]+ tokens and a rep"
    ):
        await consensus(provider, "x" * 8_000, num_samples=1, max_cost=usd(1))
    # By its bytes it may be too dear, by its likely size it is not: an upper bound is no reason to refuse.
    await consensus(provider, "x" * 2_000, num_samples=1, max_cost=usd(1))
    assert provider.call_count == 1


@pytest.mark.parametrize("max_tokens", [40, 150])
async def test_a_tool_loop_keeps_the_dollars_of_its_closing_answer_back(max_tokens: int) -> None:
    def price(item: str) -> str:
        """The price of an item."""
        return "3.20"

    def model(request: ChatRequest) -> LLMResponse | str:
        return "Tea" if request.body.get("tool_choice") == "none" else LLMResponse("", tool_calls=CALL)

    with LocalEndpoint(model) as endpoint:
        prices = Rates(input="0.0001", output="0.001", per=1)
        async with Provider(endpoint.base_url, "m", prices=prices) as provider:
            budget = usd("0.4")
            result = await react_loop(
                provider,
                "q",
                [price],
                on_limit="answer",
                max_cost=budget,
                max_tokens=max_tokens,
                max_rounds=50,
            )
    assert result.value == "Tea"
    assert result.rounds > 1
    assert (result.cost.usd or 1) <= Decimal("0.4")


CALL = [ToolCall("1", "price", {"item": "tea"})]


async def test_a_pipe_s_dollars_go_to_its_steps() -> None:
    left: list[TokenUsage | None] = []

    async def step(provider: Any, prompt: str, *, max_cost: TokenUsage | None = None) -> PatternResult[str]:
        left.append(max_cost)
        return PatternResult((await provider.complete(MESSAGES, max_tokens=30)).content)

    with pytest.raises(BudgetExhaustedError):
        await pipe(mock(), "q", step, step, step, step, max_budget=usd("0.06"))
    assert [each and each.usd for each in left] == [
        Decimal("0.06"),
        Decimal("0.04"),
        Decimal("0.02"),
        Decimal(-1),
    ]


@given(st.integers(0, 500), st.integers(1, 5_000), st.decimals(0, 3, places=3), st.booleans())
def test_what_an_amount_buys_is_paid_for_by_it_and_one_more_token_is_not(
    prompt: int, most: int, amount: Decimal, has_tiers: bool
) -> None:
    class Tiers:
        def usd(self, response: LLMResponse, *, model: str, base_url: str) -> Decimal:
            raise AssertionError

        def at_most(self, *, model: str, base_url: str, input_tokens: int, output_tokens: int) -> Decimal:
            dear = max(0, output_tokens - 700) * 3 + (50 if output_tokens > 200 else 0) if has_tiers else 0
            return Decimal(input_tokens + output_tokens + dear) / 1_000

    tariff = Tariff(Tiers(), "", "")
    bought = tariff.buys(amount, prompt, most)
    if bought >= 0:
        assert tariff.at_most(prompt, bought) <= amount
    if bought < most:
        assert tariff.at_most(prompt, bought + 1) > amount


# -- closed where something fails ------------------------------------------------------------------------


class Book:
    """A price book that answers as it is told to."""

    def __init__(self, usd: Any = Decimal("0.01"), at_most: Any = Decimal("0.02")) -> None:
        self.answers = {"usd": usd, "at_most": at_most}

    def usd(self, response: LLMResponse, *, model: str, base_url: str) -> Any:
        return self._answer("usd")

    def at_most(self, *, model: str, base_url: str, input_tokens: int, output_tokens: int) -> Any:
        return self._answer("at_most")

    def _answer(self, name: str) -> Any:
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer


WRONG: list[Any] = [ZeroDivisionError("x"), Decimal(-1), Decimal("nan"), Decimal("inf"), 0.1, "1", True]


@pytest.mark.parametrize("answer", WRONG, ids=repr)
async def test_a_price_book_that_fails_ends_the_run_and_what_was_paid_is_on_the_bill(answer: Any) -> None:
    anything = RetryConfig(base_delay=0.0, retryable=(Exception,))
    patterns: list[Callable[[Kit], Awaitable[object]]] = [
        lambda kit: kit.consensus("q", max_concurrency=1, min_samples=1, retry=anything),
        lambda kit: kit.map_reduce(
            ["a", "b"], map_prompt="{input}", reduce_prompt="{results}", max_concurrency=1, on_failure="skip"
        ),
    ]
    for pattern in patterns:
        provider = mock(prices=Book(answer))
        kit = Kit(provider)
        with pytest.raises(PatternError, match=r"price book Book .*`usd`") as caught:
            await pattern(kit)
        assert caught.value.cost == kit.usage == TokenUsage(100, 20, 1)
        assert provider.call_count == 1


@pytest.mark.parametrize("answer", WRONG, ids=repr)
async def test_a_price_book_that_fails_before_a_call_sends_nothing(answer: Any) -> None:
    provider = mock(prices=Book(at_most=answer))
    with pytest.raises(PatternError, match=r"price book Book .*`at_most`"):
        await consensus(provider, "q", max_cost=usd(1))
    assert provider.call_count == 0


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_stream_whose_price_fails_is_closed_and_says_so(leaves: bool) -> None:
    kit = Kit(mock("one two", prices=Book(Decimal(-1))))

    async def read() -> None:
        async with kit.stream("q") as events:
            async for _ in events:
                if leaves:
                    return

    with pytest.raises(PatternError, match="price book Book") as caught:
        await read()
    assert caught.value.cost == kit.usage == TokenUsage(*((0, 0, 1) if leaves else (100, 20, 1)))


async def test_an_async_price_book_is_refused_without_a_warning() -> None:
    class Late(Book):
        async def usd(self, response: LLMResponse, *, model: str, base_url: str) -> Decimal:
            return Decimal(1)

    with pytest.raises(PatternError, match="price book Late is wrong: its `usd` must return a Decimal"):
        await consensus(mock(prices=Late()), "q")
    gc.collect()


async def test_a_price_book_that_fails_in_a_tool_ends_the_loop() -> None:
    book = Book()

    async def ask(provider: Any) -> str:
        """Ask another model."""
        book.answers["usd"] = ZeroDivisionError()
        return str((await provider.complete(MESSAGES)).content)

    provider = MockProvider([LLMResponse("", tool_calls=[ToolCall("1", "ask", {})]), "yes"], prices=book)
    with pytest.raises(PatternError, match="price book Book failed"):
        await react_loop(provider, "q", [ask])
    assert provider.call_count == 2


async def test_a_reply_without_a_price_counts_with_all_that_was_held_for_it() -> None:
    provider = mock(prices=Book(None))
    assert (await consensus(provider, "q", num_samples=1)).cost == TokenUsage(100, 20, 1)
    run = Run("run", provider, max_cost=usd("0.05"))
    for _ in range(2):
        await run.complete(MESSAGES)
    assert run.usage.usd is None
    assert run.left.usd == Decimal("0.01")
    with pytest.raises(BudgetExhaustedError):
        await run.complete(MESSAGES)


@pytest.mark.parametrize(
    ("provider", "named"),
    [
        (MockProvider(["yes"]), "the provider has no prices"),
        (Provider("http://localhost:1/v1?key=secret", "tiny"), "for model 'tiny' at http://localhost:1/v1;"),
        (MockProvider(["yes"], prices=Book(at_most=None)), "Book has no price"),  # an unknown model
    ],
    ids=["none", "address", "unknown"],
)
async def test_a_ceiling_in_dollars_without_a_price_is_refused_before_any_call(
    provider: Any, named: str
) -> None:
    again = RetryConfig(retryable=(Exception,), base_delay=3_600)  # it would not help
    with pytest.raises(ValueError, match=r"^[^?]*prices=Rates\(") as caught:
        await consensus(provider, "q", num_samples=1, min_samples=1, max_cost=usd("0.05"), retry=again)
    assert named in str(caught.value)
    with pytest.raises(ValueError, match="ceiling in dollars"):
        await checked_complete(
            provider, MESSAGES, CostTracker(), usd("-1") if named[0] == "t" else usd(1), None
        )
    assert getattr(provider, "call_count", 0) == 0


async def test_a_judge_without_prices_is_refused_before_the_first_candidate() -> None:
    provider, judge = mock(), MockProvider(["Score: 9"])
    for run in (
        lambda: best_of_n(provider, "q", evaluator=Rubric("Short.", judge=judge), max_cost=usd(1)),
        lambda: refine_loop(provider, "q", evaluator=Rubric("Short.", judge=judge), max_cost=usd(1)),
    ):
        with pytest.raises(ValueError, match="ceiling in dollars needs prices"):
            await run()
    assert provider.call_count == judge.call_count == 0


def test_prices_must_be_a_price_book() -> None:
    for wrong in ("openai", 1, {"input": 1}):
        with pytest.raises(ValueError, match=r"^prices must be a price book"):
            Provider("http://localhost:1/v1", "m", prices=wrong)  # type: ignore[arg-type]  # what is refused
    with pytest.raises(TypeError, match=r"^prices must be a price book"):
        MockProvider(prices="genai")  # type: ignore[arg-type]  # what is refused


# -- genai-prices ----------------------------------------------------------------------------------------


def test_the_package_is_imported_only_where_it_is_asked_for() -> None:
    code = (
        "import sys, executionkit as e; p = e.MockProvider(['x'], prices=e.Rates(1, 1));"
        "print(e.consensus_sync(p, 'q', num_samples=1, max_cost=e.TokenUsage(usd=1)).cost.usd is None);"
        "assert 'genai_prices' not in sys.modules; sys.modules['genai_prices'] = None;"
        "import importlib.util as u; u.find_spec = lambda name: None\n"
        "try: e.Provider('http://localhost/v1', 'm', prices='genai')\n"
        "except ImportError as exc: print(exc)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("False\n")
    assert "genai-prices, which the extra `prices` brings" in ran.stdout


async def test_known_models_are_priced_by_the_package_and_unknown_ones_fail_closed() -> None:
    package = pytest.importorskip("genai_prices")
    details = {"prompt_tokens_details": {"cached_tokens": 900}}
    reply = LLMResponse("yes", usage={**used(input_tokens=1_000, output_tokens=100), **details})

    class Known(MockProvider):
        base_url, model = "https://api.openai.com/v1", "gpt-4o-mini"

    provider: Any = Known([reply])
    provider.prices = "genai"
    result = await consensus(provider, "q", num_samples=3, max_cost=usd("0.05"))
    usage = package.Usage(input_tokens=1_000, cache_read_tokens=900, output_tokens=100)
    one = package.calc_price(usage, "gpt-4o-mini", provider_id="openai").total_price
    assert result.cost == TokenUsage(3_000, 300, 3, usd=3 * one)
    with localcontext(prec=2):
        assert GENAI.usd(reply, model="gpt-4o-mini", base_url="https://api.openai.com/v1") == one
    # Tokens that are written to a cache may be dearer than others: the highest price has to cover them.
    maker = {"model": "claude-sonnet-4-5", "base_url": "https://api.anthropic.com/v1"}
    written = LLMResponse("yes", usage={**used(100, 1_000), "cache_creation_input_tokens": 1_000})
    dearest = GENAI.usd(written, **maker)
    assert GENAI.at_most(**maker, input_tokens=1_000, output_tokens=100) == dearest
    assert (dearest or 0) > (GENAI.usd(LLMResponse("yes", usage=used(100, 1_000)), **maker) or 0)
    with LocalEndpoint(["yes"]) as endpoint:
        async with Provider(endpoint.base_url, "gpt-4o-mini", prices="genai") as local:
            with pytest.raises(
                ValueError, match="GenaiPrices has no price for model 'gpt-4o-mini' at http://127"
            ):
                await consensus(local, "q", max_cost=usd("0.05"))
            assert endpoint.ledger.calls == 0
            assert (
                await map_reduce(local, ["a"], map_prompt="{input}", reduce_prompt="{results}")
            ).cost.usd is None
