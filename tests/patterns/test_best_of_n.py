"""`best_of_n`: who wins, what stops it early, how pairs are judged, what a failure keeps."""

import asyncio
import re
from collections.abc import Callable

import pytest
from fakes import ONCE, HeldProvider, idle

from executionkit import (
    BestOfNResult,
    BudgetExhaustedError,
    Evaluation,
    LLMProvider,
    LLMResponse,
    MockProvider,
    Pairwise,
    PatternError,
    PermanentError,
    Provider,
    ProviderError,
    RetryConfig,
    Rubric,
    TokenUsage,
    best_of_n,
)
from executionkit.testing import ChatRequest, Fault, LocalEndpoint, MockCall


def length(text: str, _provider: LLMProvider) -> float:
    return len(text) / 10


# -- candidates ------------------------------------------------------------------------------------------


async def test_the_best_candidate_wins_and_all_are_kept_with_their_scores() -> None:
    provider = MockProvider(["aa", "aaaaa", "a"], usage=TokenUsage(10, 5))
    result = await best_of_n(provider, "Write.", evaluator=length, num_samples=3)
    assert isinstance(result, BestOfNResult)
    assert (result.value, result.score, result.best_index) == ("aaaaa", 0.5, 1)
    assert dict(result.metadata) == {
        "best_index": 1,
        "candidates": ["aa", "aaaaa", "a"],
        "scores": [0.2, 0.5, 0.1],
        "feedback": ["", "", ""],
        "stop_reason": "num_samples",
        "undecided": False,
        "expected_scores": 0,
        "comparisons": 0,
        "disagreements": 0,
        "empty_responses": 0,
        "truncated_responses": 0,
        "failed": 0,
        "failures": (),
        "callback_errors": 0,
        "score_by_variant": (),
    }
    assert result.cost == TokenUsage(30, 15, 3)
    assert [call.messages for call in provider.calls] == [[{"role": "user", "content": "Write."}]] * 3
    assert {(call.temperature, call.max_tokens) for call in provider.calls} == {(0.9, 4096)}


async def test_of_equal_candidates_the_first_in_sample_order_wins_whichever_came_first() -> None:
    provider = HeldProvider()
    run = asyncio.create_task(best_of_n(provider, "q", evaluator=length, num_samples=3))
    await provider.arrived(3)
    for request, text in reversed(list(zip(provider.requests, ["x", "aa", "bb"], strict=True))):
        request.answer(text)
        await idle()
    assert ((await run).value, (await run).best_index) == ("aa", 1)


async def test_candidates_run_at_once_up_to_max_concurrency() -> None:
    provider = HeldProvider()
    run = asyncio.create_task(best_of_n(provider, "q", evaluator=length, num_samples=5, max_concurrency=2))
    while not run.done():
        await idle()
        for request in provider.waiting[:1]:
            request.answer()
    assert provider.most_waiting == 2
    assert (await run).cost.llm_calls == 5


async def test_reasons_are_kept() -> None:
    def judge(text: str, _provider: LLMProvider) -> Evaluation:
        return Evaluation(0.5, f"{text}: why")

    result = await best_of_n(MockProvider(["a", "b"]), "q", evaluator=judge, num_samples=2)
    assert result.feedback == ["a: why", "b: why"]


async def test_a_sample_without_an_answer_is_not_judged() -> None:
    texts: list[str] = []

    def judge(text: str, _provider: LLMProvider) -> float:
        texts.append(text)
        return 0.1

    withheld = LLMResponse("no", finish_reason="content_filter")
    result = await best_of_n(MockProvider(["", withheld, "a"]), "q", evaluator=judge, num_samples=3)
    assert texts == ["a"]
    assert (result.value, result.scores, result.empty_responses) == ("a", [None, None, 0.1], 2)
    with pytest.raises(PatternError, match="none of 2 samples gave an answer") as caught:
        await best_of_n(MockProvider([""]), "q", evaluator=judge, num_samples=2)
    assert caught.value.cost.llm_calls == 2


async def test_candidates_cut_off_are_judged_and_counted() -> None:
    result = await best_of_n(
        MockProvider([LLMResponse("half", finish_reason="length")]), "q", evaluator=length, num_samples=2
    )
    assert (result.value, result.truncated_responses) == ("half", 2)


# -- stopping early --------------------------------------------------------------------------------------


async def test_a_candidate_on_target_ends_it() -> None:
    provider = MockProvider(["a", "aaaaaaaa", "aaaaaaaaa"])
    result = await best_of_n(
        provider, "q", evaluator=length, num_samples=9, target_score=0.8, max_concurrency=1
    )
    assert (result.value, result.stop_reason, provider.call_count) == ("aaaaaaaa", "target", 2)
    assert result.candidates == ["a", "aaaaaaaa"]


async def test_candidates_in_flight_are_awaited_and_judged_where_that_takes_no_call() -> None:
    provider = HeldProvider()
    run = asyncio.create_task(
        best_of_n(provider, "q", evaluator=length, num_samples=9, target_score=0.5, max_concurrency=3)
    )
    await provider.arrived(3)
    provider.requests[1].answer("a" * 5)
    await idle()
    assert not run.done()
    provider.requests[0].answer("a" * 7)
    provider.requests[2].fail(PermanentError("too late to matter"))
    result = await run
    assert (result.value, result.best_index, result.candidates) == ("a" * 7, 0, ["a" * 7, "a" * 5])
    assert (result.stop_reason, result.cost.llm_calls, len(provider.requests)) == ("target", 3, 3)


async def test_candidates_in_flight_are_kept_unjudged_where_judging_takes_a_call() -> None:
    provider = HeldProvider()
    run = asyncio.create_task(
        best_of_n(provider, "q", evaluator=Rubric("c"), num_samples=3, target_score=0.9, max_concurrency=2)
    )
    await provider.arrived(2)
    provider.requests[0].answer("good")
    (await provider.arrived(3)).answer("Score: 9")
    await idle()
    provider.requests[1].answer("too late")
    result = await run
    assert (result.value, result.candidates, result.scores) == ("good", ["good", "too late"], [0.9, None])
    assert len(provider.requests) == 3


# -- pairs -----------------------------------------------------------------------------------------------


def judging(better: Callable[[str, str], str], *candidates: str) -> MockProvider:
    """Writes the candidates; where it judges, `better` says A, B or tie of the two shown."""
    written = iter(candidates)

    def reply(call: MockCall) -> str:
        text = call.messages[0]["content"]
        pair = re.search(r"<a-(\w+)>\n(.*)\n</a-\1>\n\n<b-\1>\n(.*)\n</b-\1>", text, re.DOTALL)
        return f"Better: {better(pair[2], pair[3])}" if pair else next(written)

    return MockProvider(reply)


def longer(a: str, b: str) -> str:
    return "A" if len(a) > len(b) else "B" if len(b) > len(a) else "tie"


async def test_every_two_are_compared_in_both_orders_and_scored_by_what_they_won() -> None:
    provider = judging(longer, "aa", "a", "aaa", "bb")
    result = await best_of_n(provider, "q", evaluator=Pairwise(), num_samples=4)
    assert (result.value, result.score) == ("aaa", 1.0)
    assert result.scores == [0.5, 0.0, 1.0, 0.5]
    assert (result.comparisons, result.disagreements) == (6, 0)
    assert result.cost.llm_calls == provider.call_count == 4 + 4 * 3


async def test_a_judge_that_favours_a_position_decides_nothing() -> None:
    result = await best_of_n(
        judging(lambda a, b: "A", "x", "y", "z"), "q", evaluator=Pairwise(), num_samples=3
    )
    assert (result.value, result.scores) == ("x", [0.5, 0.5, 0.5])
    assert (result.comparisons, result.disagreements, result.undecided) == (3, 3, True)


@pytest.mark.parametrize(
    ("candidates", "target", "is_undecided"),
    [
        (["one", "two", "six"], None, True),
        (["one", "two", "three"], None, False),
        (["one", "one ", " one"], None, False),  # there is nothing to decide
        (["", "", "one"], None, False),
        (["one", "two", "six"], 0.3, False),  # good enough is a decision
    ],
)
async def test_a_result_says_that_the_evaluator_told_no_candidates_apart(
    candidates: list[str], target: float | None, is_undecided: bool
) -> None:
    def judge(text: str, _provider: LLMProvider) -> float:
        return len(text.strip()) / 10

    result = await best_of_n(
        MockProvider(candidates), "q", evaluator=judge, num_samples=3, target_score=target
    )
    assert result.undecided is is_undecided
    assert result.metadata["undecided"] is is_undecided


async def test_a_tie_in_one_order_only_is_a_disagreement() -> None:
    provider = judging(lambda a, b: "A" if a == "x" else "tie", "x", "y")
    result = await best_of_n(provider, "q", evaluator=Pairwise(), num_samples=2)
    assert (result.scores, result.disagreements) == ([0.5, 0.5], 1)


async def test_equal_candidates_are_compared_once() -> None:
    provider = judging(longer, "aa", "a", " aa\n", "a")
    result = await best_of_n(provider, "q", evaluator=Pairwise(), num_samples=4)
    assert (result.value, result.scores, result.comparisons) == ("aa", [1.0, 0.0, 1.0, 0.0], 1)
    assert provider.call_count == 6


@pytest.mark.parametrize("candidates", [["a", "a "], ["", "a"]])
async def test_where_there_is_nothing_to_compare_there_is_no_score(candidates: list[str]) -> None:
    result = await best_of_n(judging(longer, *candidates), "q", evaluator=Pairwise(), num_samples=2)
    assert (result.value, result.score, result.comparisons) == ("a", None, 0)


async def test_comparisons_run_at_once_up_to_max_concurrency() -> None:
    provider = HeldProvider()
    run = asyncio.create_task(
        best_of_n(provider, "q", evaluator=Pairwise(), num_samples=3, max_concurrency=4)
    )
    await provider.arrived(3)
    for number, request in enumerate(provider.requests):
        request.answer(f"draft {number}")
    # The first one finds out whether the server has a schema mode.
    (await provider.arrived(4)).answer("tie")
    await provider.arrived(8)
    await idle()
    assert len(provider.waiting) == 4
    while not run.done():
        for request in provider.waiting:
            request.answer("tie")
        await idle()
    assert (await run).comparisons == 3


async def test_a_failed_comparison_keeps_candidates_and_verdicts() -> None:
    def reply(call: MockCall) -> str | BaseException:
        if "Judge which" not in str(call.messages):
            return f"draft {len(provider.calls)}"
        return "Better: A" if len(provider.calls) == 3 else ProviderError("503")

    provider = MockProvider(reply)
    with pytest.raises(ProviderError) as caught:
        await best_of_n(provider, "q", evaluator=Pairwise(), num_samples=2, max_concurrency=1, retry=ONCE)
    assert caught.value.metadata == {
        "candidates": ["draft 1", "draft 2"],
        "scores": [None, None],
        "verdicts": [[0, 1, "first"]],
    }
    assert caught.value.cost.llm_calls == 4


async def test_a_pairwise_judge_has_no_target() -> None:
    provider = MockProvider(["a"])
    with pytest.raises(ValueError, match="target_score must be None with a Pairwise"):
        await best_of_n(provider, "q", evaluator=Pairwise(), target_score=0.5)
    assert provider.call_count == 0


# -- budgets and failures --------------------------------------------------------------------------------


@pytest.mark.parametrize(("evaluator", "needed"), [(length, 3), (Rubric("c"), 6), (Pairwise(), 9)])
async def test_a_budget_that_cannot_pay_for_judging_too_is_refused_for_nothing(
    evaluator: Rubric | Pairwise, needed: int
) -> None:
    provider = judging(longer, "a", "bb", "ccc")
    with pytest.raises(BudgetExhaustedError, match="llm_calls") as caught:
        await best_of_n(
            provider, "q", evaluator=evaluator, num_samples=3, max_cost=TokenUsage(llm_calls=needed - 1)
        )
    assert provider.call_count == 0
    assert caught.value.metadata == {"candidates": [], "scores": []}


async def test_a_failed_sample_starts_no_more_and_keeps_what_was_paid() -> None:
    provider = HeldProvider()
    run = asyncio.create_task(
        best_of_n(provider, "q", evaluator=length, num_samples=9, max_concurrency=3, retry=ONCE)
    )
    await provider.arrived(3)
    provider.requests[1].fail(PermanentError("401"))
    await idle()
    provider.requests[0].answer("aa")
    provider.requests[2].answer("aaa")
    with pytest.raises(PermanentError) as caught:
        await run
    assert caught.value.metadata == {"candidates": ["aa", "aaa"], "scores": [0.2, 0.3]}
    assert (caught.value.cost.llm_calls, len(provider.requests)) == (3, 3)


async def test_the_reasons_already_paid_for_are_on_an_error() -> None:
    provider = MockProvider(["a", "Cut it.\nScore: 3", PermanentError("401")])
    with pytest.raises(PermanentError) as caught:
        await best_of_n(provider, "q", evaluator=Rubric("c"), num_samples=2, max_concurrency=1)
    assert caught.value.metadata == {"candidates": ["a"], "scores": [0.3], "feedback": ["Cut it."]}


@pytest.mark.parametrize("failing", ["judging", "sample"])
async def test_a_failure_beside_a_candidate_on_target_is_told_and_loses_nothing(failing: str) -> None:
    provider = HeldProvider()

    def judge(text: str, _provider: LLMProvider) -> float:
        if text == "bad":
            raise LookupError("no such table")
        return 1.0

    run = asyncio.create_task(
        best_of_n(
            provider, "q", evaluator=judge, num_samples=9, target_score=0.9, max_concurrency=3, retry=ONCE
        )
    )
    await provider.arrived(3)
    if failing == "judging":
        provider.requests[1].answer("bad")
    else:
        provider.requests[1].fail(PermanentError("413"))
    await idle()
    provider.requests[2].answer("good")
    provider.requests[0].answer("better")
    result = await run
    assert (result.value, result.stop_reason, result.cost.llm_calls) == ("better", "target", 3)
    if failing == "judging":
        assert (result.candidates, result.scores) == (["better", "bad", "good"], [1.0, None, 1.0])
        assert result.failures == ("LookupError: no such table",)
    else:
        assert (result.candidates, result.scores) == (["better", "good"], [1.0, 1.0])
        assert result.failures == ("PermanentError: 413",)
    assert (result.failed, result.metadata["failures"]) == (1, result.failures)


async def test_what_the_target_cancels_has_not_failed() -> None:
    provider = HeldProvider()
    run = asyncio.create_task(
        best_of_n(provider, "q", evaluator=Rubric("c"), num_samples=2, target_score=0.5, max_concurrency=2)
    )
    await provider.arrived(2)
    provider.requests[0].answer("first")
    await provider.arrived(3)
    provider.requests[2].answer("Score: 9")
    await idle()
    provider.requests[1].answer("second")
    result = await run
    assert (result.value, result.candidates, result.scores) == ("first", ["first", "second"], [0.9, None])
    assert (result.failed, result.failures) == (0, ())


async def test_an_evaluator_s_own_error_goes_through_with_what_was_paid() -> None:
    def judge(text: str, _provider: LLMProvider) -> float:
        raise LookupError("no such table")

    with pytest.raises(LookupError) as caught:
        await best_of_n(MockProvider(["a"]), "q", evaluator=judge, num_samples=2, max_concurrency=1)
    assert vars(caught.value)["metadata"] == {"candidates": ["a"], "scores": [None]}
    assert vars(caught.value)["cost"].llm_calls == 1


async def test_over_http_among_faults_both_ledgers_agree() -> None:
    def simulated(request: ChatRequest) -> str | Fault:
        if request.number % 3 == 0:
            return Fault.rate_limited(0)
        if "Judge which" not in request.prompt:
            return "draft " + "!" * request.number
        a, b = re.findall(r"draft !*", request.prompt)
        return f"Better: {longer(a, b)}"

    with LocalEndpoint(simulated) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            result = await best_of_n(
                provider,
                "q",
                evaluator=Pairwise(),
                num_samples=4,
                max_concurrency=3,
                retry=RetryConfig(max_retries=50, base_delay=0.0),
            )
        assert result.cost == endpoint.ledger.usage
        assert endpoint.ledger.calls > 4 + 12
    assert result.value == max(result.candidates, key=len)
    assert result.disagreements == 0
