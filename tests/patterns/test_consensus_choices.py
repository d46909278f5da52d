"""`consensus(choices_per_request=...)`: several samples out of one request, and servers that know no `n`."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fakes import NO_WAIT, ONCE, HeldProvider
from hypothesis import given
from hypothesis import strategies as st

from executionkit import (
    BudgetExhaustedError,
    LLMResponse,
    MockProvider,
    PermanentError,
    Provider,
    ProviderError,
    TokenUsage,
    consensus,
    consensus_sync,
)
from executionkit.testing import ChatRequest, Fault, LocalEndpoint, MockCall

TEXTS = ["a", "b", "c", "d", "e", "f", "g", "h"]


def server(gives: Callable[[int], int], texts: list[str] | None = None) -> Callable[[MockCall], LLMResponse]:
    """Answers a request for n choices with `gives(n)` of them, one text after the other."""
    rest = iter(texts or TEXTS)

    def reply(call: MockCall) -> LLMResponse:
        first, *others = [next(rest) for _ in range(gives(call.kwargs.get("n", 1)))]
        usage = {"prompt_tokens": 10, "completion_tokens": 1 + len(others)}
        return LLMResponse(first, usage=usage, alternatives=[LLMResponse(text) for text in others])

    return reply


def asked(provider: MockProvider) -> list[int | None]:
    return [call.kwargs.get("n") for call in provider.calls]


async def test_one_request_brings_several_samples_and_is_one_call() -> None:
    provider = MockProvider(server(lambda n: n, ["b", "a", "a", "c", "a"]))
    result = await consensus(provider, "q", choices_per_request=5)
    assert (result.value, result.score, result.samples_used) == ("a", 0.6, 5)
    assert asked(provider) == [5]
    assert result.cost == TokenUsage(10, 5, 1)


async def test_what_does_not_divide_evenly_goes_out_in_a_smaller_request() -> None:
    provider = MockProvider(server(lambda n: n))
    await consensus(provider, "q", num_samples=8, choices_per_request=3)
    assert asked(provider) == [3, 3, 2]


async def test_by_default_no_request_asks_for_choices() -> None:
    provider = MockProvider(server(lambda n: n))
    await consensus(provider, "q")
    assert asked(provider) == [None] * 5
    assert provider.calls[0].kwargs == {}


async def test_a_server_that_gives_one_whatever_it_is_asked_is_asked_for_one_at_a_time() -> None:
    provider = MockProvider(server(lambda _: 1))
    result = await consensus(provider, "q", choices_per_request=5)
    assert asked(provider) == [5, None, None, None, None]
    assert (result.samples_used, result.cost) == (5, TokenUsage(50, 5, 5))


async def test_a_server_with_a_limit_of_its_own_is_asked_for_no_more_than_that() -> None:
    provider = MockProvider(server(lambda n: min(n, 2)))
    await consensus(provider, "q", num_samples=8, choices_per_request=4, max_concurrency=1)
    assert asked(provider) == [4, 2, 2, 2]


async def test_choices_nobody_asked_for_are_not_counted() -> None:
    provider = MockProvider(server(lambda n: n + 1))
    result = await consensus(provider, "q", num_samples=3, choices_per_request=2)
    assert (result.samples_used, result.value) == (3, "a")


async def test_the_samples_stand_in_the_order_of_requests_and_choices() -> None:
    async def reply(call: MockCall) -> LLMResponse:
        number = provider.call_count
        await asyncio.sleep(0)
        texts = [f"{number}.{choice}" for choice in range(call.kwargs.get("n", 1))]
        return LLMResponse(texts[0], alternatives=[LLMResponse(text) for text in texts[1:]])

    provider = MockProvider(reply)
    result = await consensus(provider, "q", num_samples=5, choices_per_request=2)
    assert [answer for answer, _ in result.votes] == ["1.0", "1.1", "2.0", "2.1", "3.0"]


async def test_with_an_early_stop_a_request_asks_for_no_more_than_could_settle_the_vote() -> None:
    provider = MockProvider(server(lambda n: n, ["a", "b", "a", "a"]))
    result = await consensus(provider, "q", choices_per_request=5, stop="decided")
    assert asked(provider) == [3, None]
    assert (result.value, result.samples_used, result.samples_saved) == ("a", 4, 1)


async def test_a_choice_may_abstain_or_be_cut_off_by_itself() -> None:
    others = [LLMResponse("", finish_reason="content_filter"), LLMResponse("a", finish_reason="length")]
    provider = MockProvider([LLMResponse("a", alternatives=others)])
    result = await consensus(provider, "q", num_samples=3, choices_per_request=3)
    assert (result.votes, result.abstained, result.truncated_responses) == ((("a", 2),), 1, 1)


@given(
    st.integers(1, 8),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 4),
    st.sampled_from(["all", "decided"]),
)
def test_whatever_a_server_gives_every_sample_is_counted_once(
    num_samples: int, choices: int, gives: int, max_concurrency: int, stop: Any
) -> None:
    texts = ["a", "b", "a", "c", "b", "b", "a", "a"][:num_samples]
    plain = consensus_sync(MockProvider(texts), "q", num_samples=num_samples, stop=stop, max_concurrency=1)
    provider = MockProvider(server(lambda n: min(n, gives), texts))
    result = consensus_sync(
        provider,
        "q",
        num_samples=num_samples,
        choices_per_request=choices,
        stop=stop,
        max_concurrency=max_concurrency,
    )
    assert result.cost.llm_calls == provider.call_count
    assert result.value in texts
    assert result.samples_used + result.samples_saved == num_samples
    assert sum(count for _, count in result.votes) == result.samples_used
    if choices <= gives:  # else what was left out comes later, and is another text here
        assert (result.votes, result.samples_saved) == (plain.votes, plain.samples_saved)
        assert stop != "all" or provider.call_count == -(-num_samples // choices)


# -- budgets and failures --------------------------------------------------------------------------------


async def test_a_budget_needs_to_pay_for_the_requests_only_but_for_a_token_of_every_sample() -> None:
    provider = MockProvider(server(lambda n: n))
    options: dict[str, Any] = {"num_samples": 8, "choices_per_request": 4}
    for budget in (TokenUsage(llm_calls=1), TokenUsage(output_tokens=7)):
        with pytest.raises(BudgetExhaustedError):
            await consensus(provider, "q", max_cost=budget, **options)
    assert provider.call_count == 0
    await consensus(provider, "q", max_cost=TokenUsage(llm_calls=2), **options)


@given(st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=8), st.integers(1, 4))
def test_a_vote_with_an_early_stop_that_begins_can_end(texts: list[str], choices: int) -> None:
    provider = MockProvider(server(lambda n: n, ["a", *texts]))
    result = consensus_sync(
        provider,
        "q",
        num_samples=len(texts) + 1,
        stop="decided",
        choices_per_request=choices,
        max_cost=TokenUsage(llm_calls=len(texts) + 1),
    )
    assert result.cost.llm_calls == provider.call_count
    with pytest.raises(BudgetExhaustedError):
        consensus_sync(
            provider,
            "q",
            num_samples=len(texts) + 1,
            stop="decided",
            choices_per_request=choices,
            max_cost=TokenUsage(llm_calls=len(texts)),
        )


async def test_topping_up_keeps_to_the_budget() -> None:
    provider = MockProvider(server(lambda _: 1))
    with pytest.raises(BudgetExhaustedError) as caught:
        await consensus(
            provider, "q", choices_per_request=5, max_concurrency=1, max_cost=TokenUsage(llm_calls=3)
        )
    assert caught.value.metadata["responses"] == ["a", "b", "c"]
    assert caught.value.cost.llm_calls == provider.call_count == 3


async def test_the_worst_case_of_all_choices_is_reserved() -> None:
    provider = HeldProvider()
    voting = asyncio.create_task(
        consensus(
            provider,
            "q",
            num_samples=4,
            choices_per_request=2,
            max_tokens=50,
            max_cost=TokenUsage(output_tokens=150),
        )
    )
    await provider.arrived(1)
    assert len(provider.requests) == 1  # 2 x 50 are held: the next 2 x 50 must wait
    provider.requests[0].answer("a", alternatives=[LLMResponse("a")], usage={"completion_tokens": 20})
    second = await provider.arrived(2)
    assert second.max_tokens == 50
    second.answer("a", alternatives=[LLMResponse("a")], usage={"completion_tokens": 20})
    assert (await voting).cost == TokenUsage(0, 40, 2)


async def test_tokens_that_a_server_does_not_report_are_assumed_for_every_choice() -> None:
    long = LLMResponse("a" * 40, alternatives=[LLMResponse("a" * 40)] * 4)
    with pytest.raises(BudgetExhaustedError, match="50 of that assumed"):
        await consensus(
            MockProvider([long]),
            "q",
            num_samples=10,
            choices_per_request=5,
            max_tokens=10,
            max_concurrency=1,
            max_cost=TokenUsage(output_tokens=50),
        )


async def test_a_request_that_fails_loses_all_its_samples() -> None:
    provider = MockProvider([PermanentError("400"), LLMResponse("a", alternatives=[LLMResponse("a")])])
    options: dict[str, Any] = {
        "num_samples": 4,
        "choices_per_request": 2,
        "max_concurrency": 1,
        "retry": ONCE,
    }
    result = await consensus(provider, "q", min_samples=2, **options)
    assert (result.value, result.samples_used, result.failed) == ("a", 2, 2)
    assert result.failures == ("PermanentError: 400", "PermanentError: 400")
    provider = MockProvider([ProviderError("503")])
    with pytest.raises(ProviderError) as caught:
        await consensus(provider, "q", min_samples=3, **options)
    assert getattr(caught.value, "__notes__", []) == []  # one error, and not its own cause
    assert caught.value.cost.llm_calls == 1


async def test_a_failed_request_is_told_once_however_many_samples_it_was_to_bring() -> None:
    provider = MockProvider([ProviderError("one"), ProviderError("two"), ProviderError("three")])
    with pytest.raises(ProviderError, match="one") as caught:
        await consensus(
            provider,
            "q",
            num_samples=6,
            min_samples=2,
            choices_per_request=2,
            max_concurrency=1,
            retry=ONCE,
        )
    assert caught.value.__notes__ == ["also failed: ProviderError: two", "also failed: ProviderError: three"]


# -- servers that refuse the number ----------------------------------------------------------------------


def refusing(limit: int, words: str, texts: list[str] | None = None) -> Callable[[MockCall], LLMResponse]:
    """Refuses a request for more than `limit` choices."""
    answer = server(lambda n: n, texts)

    def reply(call: MockCall) -> LLMResponse:
        if call.kwargs.get("n", 1) > limit:
            raise PermanentError(words, status_code=400)
        return answer(call)

    return reply


SLOTS = "Field 'n': Value must be between 1 <= value <= {limit}, but got another"
NO_NUMBER = "n_cmpl cannot be greater than the number of slots, please increase -np"


@pytest.mark.parametrize(
    ("limit", "words", "first", "later"),
    [
        (4, SLOTS.format(limit=4), [8, 4, 4], [4, 4]),
        (4, NO_NUMBER, [8, 4, 4], [4, 4]),
        (3, NO_NUMBER, [8, 4, 2, 2, 2, 2], [2, 2, 2, 2]),
        (1, "'n' : number must be at most 1", [8, *[None] * 8], [None] * 8),
    ],
)
async def test_a_server_that_refuses_is_asked_for_fewer_from_then_on(
    limit: int, words: str, first: list[int | None], later: list[int | None]
) -> None:
    provider = MockProvider(refusing(limit, words, TEXTS * 2))
    options: dict[str, Any] = {"num_samples": 8, "choices_per_request": 8, "max_concurrency": 1}
    result = await consensus(provider, "q", **options)
    assert asked(provider) == first
    assert (result.samples_used, result.failed) == (8, 0)
    assert result.cost == TokenUsage(10 * (len(later)), 8, len(first))
    again = await consensus(provider, "q", max_cost=TokenUsage(llm_calls=len(later)), **options)
    assert asked(provider)[len(first) :] == later
    assert again.cost.llm_calls == len(later)


async def test_a_refusal_at_temperature_0_says_nothing_of_other_temperatures() -> None:
    answer = server(lambda n: n, TEXTS * 3)

    def reply(call: MockCall) -> LLMResponse:
        if call.kwargs.get("n", 1) > 1 and not call.temperature:
            raise PermanentError("n must be 1 when using greedy sampling, got 2", status_code=400)
        return answer(call)

    provider = MockProvider(reply)
    for temperature in (0.0, 1.0, 0.0):
        await consensus(provider, "q", num_samples=2, choices_per_request=2, temperature=temperature)
    assert asked(provider) == [2, None, None, 2, None, None]


async def test_an_error_that_stays_whatever_the_number_is_raised_and_nothing_is_learnt() -> None:
    provider = MockProvider([PermanentError("'n' must not be given to this model", status_code=400)])
    for calls in (3, 6):
        with pytest.raises(PermanentError):
            await consensus(provider, "q", num_samples=4, choices_per_request=4, max_concurrency=1)
        assert provider.call_count == calls
    assert asked(provider) == [4, 2, None] * 2


async def test_what_was_paid_for_is_kept_when_the_budget_ends_on_a_refusal() -> None:
    provider = MockProvider(refusing(2, NO_NUMBER))
    with pytest.raises(BudgetExhaustedError) as caught:
        await consensus(
            provider,
            "q",
            num_samples=8,
            choices_per_request=4,
            max_concurrency=1,
            max_cost=TokenUsage(llm_calls=3),
        )
    assert asked(provider) == [4, 2, 2]
    assert sorted(caught.value.metadata["responses"]) == ["a", "b", "c", "d"]
    assert caught.value.cost == TokenUsage(20, 4, 3)


@given(
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(1, 4),
    st.sampled_from([SLOTS, NO_NUMBER]),
)
def test_whatever_a_server_refuses_every_sample_is_counted_once(
    num_samples: int, choices: int, limit: int, max_concurrency: int, words: str
) -> None:
    provider = MockProvider(refusing(limit, words.format(limit=limit), TEXTS * 2))
    options: dict[str, Any] = {
        "num_samples": num_samples,
        "choices_per_request": choices,
        "max_concurrency": max_concurrency,
    }
    result = consensus_sync(provider, "q", **options)
    assert (result.samples_used, result.failed) == (num_samples, 0)
    assert sum(count for _, count in result.votes) == num_samples
    assert result.cost.llm_calls == provider.call_count
    assert result.cost.output_tokens == num_samples
    before = provider.call_count
    consensus_sync(provider, "q", **options)
    assert all((n or 1) <= limit for n in asked(provider)[before:])


# -- over HTTP -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gives", [1, 2, 5])
async def test_over_http_under_faults_the_ledgers_agree(gives: int) -> None:
    def model(request: ChatRequest) -> LLMResponse | Fault:
        if request.number == 2:
            return Fault.status(503)
        others = [LLMResponse("yes")] * (min(request.field("n") or 1, gives) - 1)
        return LLMResponse("yes", alternatives=others)

    with LocalEndpoint(model) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            result = await consensus(provider, "q", num_samples=10, choices_per_request=5, retry=NO_WAIT)
        ledger = endpoint.ledger
    assert result.cost == TokenUsage(ledger.input_tokens, ledger.output_tokens, ledger.calls)
    assert (result.samples_used, result.score) == (10, 1.0)
    assert ledger.calls == {1: 11, 2: 6, 5: 3}[gives]
