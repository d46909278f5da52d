"""`consensus`: who votes, who wins, what a failure costs and keeps."""

import asyncio
from typing import Literal

import pytest
from fakes import NO_WAIT, ONCE, HeldProvider, idle

from executionkit import (
    BudgetExhaustedError,
    ConsensusFailedError,
    ConsensusResult,
    LLMResponse,
    MockProvider,
    PermanentError,
    ProviderError,
    RetryConfig,
    TokenUsage,
    VotingStrategy,
    consensus,
)

# -- the samples -----------------------------------------------------------------------------------------


async def test_every_sample_is_the_prompt_as_the_one_user_message() -> None:
    provider = MockProvider(["yes"])
    await consensus(provider, "Is it?")
    assert [call.messages for call in provider.calls] == [[{"role": "user", "content": "Is it?"}]] * 5
    assert {(call.temperature, call.max_tokens, call.tools) for call in provider.calls} == {(0.9, 4096, None)}


async def test_temperature_and_max_tokens_reach_the_provider() -> None:
    provider = MockProvider(["yes"])
    await consensus(provider, "q", num_samples=2, temperature=0.2, max_tokens=7)
    assert [(call.temperature, call.max_tokens) for call in provider.calls] == [(0.2, 7)] * 2


async def test_samples_run_at_once_up_to_max_concurrency() -> None:
    provider = HeldProvider()
    vote = asyncio.create_task(consensus(provider, "q", num_samples=7, max_concurrency=3))
    await provider.arrived(3)
    await idle()
    assert len(provider.requests) == 3
    while not vote.done():
        provider.waiting[0].answer()
        await idle()
    assert provider.most_waiting == 3
    assert (await vote).cost == TokenUsage(llm_calls=7)


# -- the vote --------------------------------------------------------------------------------------------


async def test_the_most_common_answer_wins() -> None:
    result = await consensus(MockProvider(["b", "a", "a", "c", "a"]), "q")
    assert isinstance(result, ConsensusResult)
    assert (result.value, result.score, str(result)) == ("a", 0.6, "a")
    figures = {
        "agreement_ratio": 0.6,
        "unique_responses": 3,
        "tie_count": 1,
        "abstained": 0,
        "truncated_responses": 0,
    }
    assert {name: result.metadata[name] for name in figures} == figures
    assert (result.agreement_ratio, result.unique_responses, result.tie_count) == (0.6, 3, 1)


async def test_whitespace_does_not_divide_a_vote_and_the_first_original_text_is_returned() -> None:
    replies = ["no", "  forty\n two ", "forty two", "forty  two\n"]
    result = await consensus(MockProvider(replies), "q", num_samples=4)
    assert result.value == "  forty\n two "
    assert (result.score, result.unique_responses) == (0.75, 2)


async def test_thoughts_do_not_divide_a_vote() -> None:
    replies = ["<think>one way</think>\n\nYes", "◁think▷another◁/think▷Yes", "Yes", "<think>Yes"]
    result = await consensus(MockProvider(replies), "q", num_samples=4)
    assert (result.value, result.answer) == (replies[0], "Yes")
    assert (result.unique_responses, result.agreement_ratio, result.abstained) == (1, 0.75, 1)


async def test_case_and_punctuation_do_divide_a_vote() -> None:
    result = await consensus(MockProvider(["Yes", "yes", "yes."]), "q", num_samples=3)
    assert (result.value, result.unique_responses, result.tie_count) == ("Yes", 3, 3)


async def test_a_tie_goes_to_the_answer_first_in_sample_order_whichever_came_first() -> None:
    provider = HeldProvider()
    vote = asyncio.create_task(consensus(provider, "q", num_samples=4))
    await provider.arrived(4)
    for request, text in reversed(list(zip(provider.requests, ["b", "a", "a", "b"], strict=True))):
        request.answer(text)
        await idle()
    result = await vote
    assert (result.value, result.tie_count, result.score) == ("b", 2, 0.5)


@pytest.mark.parametrize("strategy", ["unanimous", VotingStrategy.UNANIMOUS])
async def test_unanimous_takes_answers_that_are_all_the_same(
    strategy: VotingStrategy | Literal["unanimous"],
) -> None:
    result = await consensus(MockProvider(["a", " a", "a\n"]), "q", num_samples=3, strategy=strategy)
    assert (result.value, result.score) == ("a", 1.0)


async def test_unanimous_fails_on_one_dissent_and_keeps_all_answers_and_the_cost() -> None:
    provider = MockProvider(["a", "a", "b"], usage=TokenUsage(10, 2))
    with pytest.raises(ConsensusFailedError, match="2 different answers in 3 samples") as caught:
        await consensus(provider, "q", num_samples=3, strategy="unanimous")
    assert caught.value.metadata == {"responses": ["a", "a", "b"]}
    assert caught.value.cost == TokenUsage(30, 6, 3)


# -- replies that are no answer --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "nothing",
    [
        LLMResponse(""),
        LLMResponse(" \n\t"),
        LLMResponse("I can't", finish_reason="content_filter"),
        LLMResponse("", refusal="I won't help with that"),
    ],
    ids=["empty", "blank", "filtered", "refused"],
)
async def test_a_reply_without_an_answer_abstains_but_counts_in_the_share(nothing: LLMResponse) -> None:
    result = await consensus(MockProvider([nothing, nothing, nothing, "a", "a"]), "q")
    assert (result.value, result.score, result.agreement_ratio) == ("a", 0.4, 0.4)
    assert (result.abstained, result.unique_responses, result.tie_count) == (3, 1, 1)


async def test_an_abstention_does_not_break_unanimity() -> None:
    result = await consensus(MockProvider(["a", "", "a"]), "q", num_samples=3, strategy="unanimous")
    assert result.value == "a"
    assert result.score == pytest.approx(2 / 3)


@pytest.mark.parametrize("strategy", list(VotingStrategy))
async def test_nobody_answering_is_a_failure_with_its_cost(strategy: VotingStrategy) -> None:
    provider = MockProvider(["", LLMResponse("x", finish_reason="content_filter")])
    with pytest.raises(ConsensusFailedError, match="none of 2 samples") as caught:
        await consensus(provider, "q", num_samples=2, strategy=strategy)
    assert caught.value.cost.llm_calls == 2
    assert caught.value.metadata["responses"] == ["", "x"]


async def test_a_reply_cut_off_by_max_tokens_votes_and_is_counted() -> None:
    cut_off = LLMResponse("A", finish_reason="length")
    result = await consensus(MockProvider([cut_off, cut_off, "B"]), "A or B?", num_samples=3, max_tokens=1)
    assert (result.value, result.truncated_responses) == ("A", 2)


# -- budgets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "field"),
    [
        (TokenUsage(llm_calls=4), "llm_calls"),
        (TokenUsage(llm_calls=-1), "llm_calls"),
        (TokenUsage(output_tokens=4), "output_tokens"),
        (TokenUsage(output_tokens=-1), "output_tokens"),
        (TokenUsage(input_tokens=-1), "input_tokens"),
    ],
)
async def test_a_budget_too_small_for_all_samples_is_refused_for_nothing(
    budget: TokenUsage, field: str
) -> None:
    provider = MockProvider(["a"])
    with pytest.raises(BudgetExhaustedError, match=field) as caught:
        await consensus(provider, "q", num_samples=5, max_cost=budget)
    assert provider.call_count == 0
    assert caught.value.cost == TokenUsage()
    assert caught.value.metadata == {"responses": []}


async def test_exactly_enough_calls_are_enough() -> None:
    result = await consensus(MockProvider(["a"]), "q", num_samples=5, max_cost=TokenUsage(llm_calls=5))
    assert result.cost.llm_calls == 5


async def test_twenty_samples_on_a_hundred_output_tokens_never_promise_more_than_that() -> None:
    provider = HeldProvider()
    budget = TokenUsage(output_tokens=100)
    vote = asyncio.create_task(
        consensus(provider, "q", num_samples=20, max_tokens=40, max_concurrency=20, max_cost=budget)
    )
    spent = 0
    while not vote.done():
        await idle()
        promised = [request.max_tokens or 4096 for request in provider.waiting]
        assert spent + sum(promised) <= 100
        for request in provider.waiting[:1]:
            used = min(9, request.max_tokens or 4096)
            spent += used
            request.answer(usage={"completion_tokens": used})
    with pytest.raises(BudgetExhaustedError) as caught:
        await vote
    assert caught.value.cost.output_tokens == spent == 100
    assert len(caught.value.metadata["responses"]) == len(provider.requests)


async def test_a_budget_stop_keeps_what_is_in_flight() -> None:
    provider = HeldProvider()
    budget = TokenUsage(output_tokens=100)
    vote = asyncio.create_task(
        consensus(provider, "q", num_samples=6, max_tokens=30, max_concurrency=3, max_cost=budget)
    )
    first = await provider.arrived(3)
    # The server counts more than it was allowed: the budget is gone while two replies are under way.
    first.answer("dear", usage={"completion_tokens": 100})
    await idle()
    assert not vote.done()
    provider.requests[0].answer("paid", usage={"completion_tokens": 1})
    provider.requests[1].answer("too", usage={"completion_tokens": 1})
    with pytest.raises(BudgetExhaustedError) as caught:
        await vote
    assert caught.value.metadata["responses"] == ["paid", "too", "dear"]
    assert caught.value.cost == TokenUsage(output_tokens=102, llm_calls=3)
    assert len(provider.requests) == 3


async def test_input_tokens_are_overrun_by_the_last_prompt_at_the_most() -> None:
    provider = HeldProvider()
    budget = TokenUsage(input_tokens=350)
    vote = asyncio.create_task(consensus(provider, "q", num_samples=9, max_concurrency=9, max_cost=budget))
    in_flight = []
    while not vote.done():
        await idle()
        in_flight.append(len(provider.waiting))
        for request in tuple(provider.waiting):
            request.answer(usage={"prompt_tokens": 100})
            await idle()
    # The first goes alone, to learn what a prompt costs; then two fit into 250; the last one is 50 over.
    assert in_flight == [1, 2, 1]
    with pytest.raises(BudgetExhaustedError, match="input_tokens") as caught:
        await vote
    assert caught.value.cost == TokenUsage(400, 0, 4)
    assert len(caught.value.metadata["responses"]) == 4


async def test_retries_count_against_the_calls_of_the_budget_and_the_failure_is_the_cause() -> None:
    provider = MockProvider(["a", ProviderError("503"), "b", "c"])
    with pytest.raises(BudgetExhaustedError) as caught:
        await consensus(
            provider,
            "q",
            num_samples=4,
            max_concurrency=1,
            retry=NO_WAIT,
            max_cost=TokenUsage(llm_calls=4),
        )
    assert provider.call_count == 4
    assert caught.value.metadata["responses"] == ["a", "b", "c"]
    assert caught.value.cost.llm_calls == 4


async def test_a_budget_that_ends_between_two_attempts_names_the_failure_before_as_its_cause() -> None:
    provider = MockProvider(["a", ProviderError("503")])
    with pytest.raises(BudgetExhaustedError) as caught:
        await consensus(
            provider,
            "q",
            num_samples=2,
            max_concurrency=1,
            retry=NO_WAIT,
            max_cost=TokenUsage(llm_calls=2),
        )
    assert isinstance(caught.value.__cause__, ProviderError)


# -- failures --------------------------------------------------------------------------------------------


async def test_a_failed_sample_starts_no_more_awaits_those_in_flight_and_keeps_the_paid() -> None:
    provider = HeldProvider()
    vote = asyncio.create_task(consensus(provider, "q", num_samples=9, max_concurrency=3, retry=ONCE))
    await provider.arrived(3)
    provider.requests[1].fail(PermanentError("wrong key", status_code=401))
    await idle()
    assert not vote.done()
    provider.requests[2].answer("third")
    provider.requests[0].answer("first")
    with pytest.raises(PermanentError, match="wrong key") as caught:
        await vote
    assert len(provider.requests) == 3
    assert caught.value.metadata["responses"] == ["first", "third"]
    assert caught.value.cost == TokenUsage(llm_calls=3)


async def test_of_several_failures_the_first_to_come_is_raised_bare_with_the_others_as_notes() -> None:
    provider = HeldProvider()
    vote = asyncio.create_task(consensus(provider, "q", num_samples=3, retry=ONCE))
    await provider.arrived(3)
    provider.requests[2].fail(ProviderError("first"))
    await idle()
    provider.requests[1].fail(PermanentError("second"))
    await idle()
    provider.requests[0].fail(ProviderError("third"))
    with pytest.raises(ProviderError) as caught:
        await vote
    assert str(caught.value) == "first"
    notes = "\n".join(caught.value.__notes__)
    assert "PermanentError: second" in notes
    assert "ProviderError: third" in notes
    assert caught.value.__cause__ is None


async def test_a_budget_spent_on_retries_is_the_error_whatever_the_calls_in_flight_come_to() -> None:
    provider = HeldProvider()
    budget = TokenUsage(llm_calls=3)
    vote = asyncio.create_task(consensus(provider, "q", num_samples=3, max_cost=budget, retry=NO_WAIT))
    await provider.arrived(3)
    provider.requests[2].fail(ProviderError("503"))
    await idle()
    provider.requests[0].fail(ProviderError("502"))
    provider.requests[1].answer("5")
    with pytest.raises(BudgetExhaustedError) as caught:
        await vote
    assert caught.value.__notes__ == ["also failed: ProviderError: 502"]
    assert str(caught.value.__cause__) == "503"
    assert (caught.value.cost.llm_calls, caught.value.metadata["responses"]) == (3, ["5"])


async def test_a_hundred_equal_failures_make_one_error_with_one_note() -> None:
    provider = HeldProvider()
    vote = asyncio.create_task(consensus(provider, "q", num_samples=100, max_concurrency=100, retry=ONCE))
    await provider.arrived(100)
    for request in provider.requests:
        request.fail(ProviderError("502"))
    with pytest.raises(ProviderError) as caught:
        await vote
    assert caught.value.__notes__ == ["also failed (99 times): ProviderError: 502"]
    assert caught.value.cost.llm_calls == 100


async def test_a_sample_waiting_to_retry_is_not_sent_again_after_another_failed_for_good() -> None:
    provider = HeldProvider()
    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    retry = RetryConfig(sleep=lambda _: waiting)
    vote = asyncio.create_task(consensus(provider, "q", num_samples=2, retry=retry))
    await provider.arrived(2)
    provider.requests[0].fail(ProviderError("503"))
    await idle()
    provider.requests[1].fail(PermanentError("401"))
    with pytest.raises(PermanentError):
        await vote
    assert len(provider.requests) == 2


async def test_an_error_of_the_provider_s_own_kind_goes_through_with_what_was_paid() -> None:
    class OwnError(Exception):
        pass

    provider = MockProvider(["a", OwnError("mine")])
    with pytest.raises(OwnError) as caught:
        await consensus(provider, "q", num_samples=3, max_concurrency=1)
    assert vars(caught.value)["cost"] == TokenUsage(llm_calls=2)
    assert vars(caught.value)["metadata"] == {"responses": ["a"]}
    assert caught.value.__notes__ == ["consensus: spent 2 calls, 0 tokens"]


async def test_cancelling_ends_every_request() -> None:
    provider = HeldProvider()
    vote = asyncio.create_task(consensus(provider, "q", num_samples=9, max_concurrency=4))
    await provider.arrived(4)
    vote.cancel()
    with pytest.raises(asyncio.CancelledError):
        await vote
    assert provider.waiting == []
    assert asyncio.all_tasks() == {asyncio.current_task()}
