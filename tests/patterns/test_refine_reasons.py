"""`refine_loop` with reasons: feedback in the next request, plain scorers, an end on a budget."""

import pickle
from collections.abc import Callable

import pytest
from fakes import ONCE

from executionkit import (
    Attempt,
    BudgetExhaustedError,
    Evaluation,
    LLMProvider,
    LLMResponse,
    MockProvider,
    PatternError,
    ProviderError,
    RefineResult,
    Scorer,
    TokenUsage,
    refine_loop,
)
from executionkit.testing import MockCall


def scripted(*evaluations: Evaluation | float) -> Scorer:
    script = iter(evaluations)
    return lambda _text, _provider: next(script)


def drafts() -> list[str | LLMResponse | BaseException]:
    return [f"draft {number}" for number in range(9)]


def requests(provider: MockProvider) -> list[list[str]]:
    """The texts of the messages of each request."""
    return [[message["content"] for message in call.messages] for call in provider.calls]


# -- feedback --------------------------------------------------------------------------------------------


async def test_feedback_and_earlier_attempts_with_their_scores_reach_the_next_attempt() -> None:
    provider = MockProvider(drafts())
    result = await refine_loop(
        provider,
        "Write {x}.",
        evaluator=scripted(Evaluation(0.2, "too short"), Evaluation(0.6, "no {example}"), 0.1, 0.95),
    )
    second, third, fourth = requests(provider)[1:]
    assert second[:2] == ["Write {x}.", "draft 0"]
    assert third[:2] == second[:2]
    assert third[3] == "draft 1"
    # The best one comes last.
    assert [fourth[place] for place in (1, 3, 5)] == ["draft 0", "draft 2", "draft 1"]
    for said, score, feedback in ((2, "0.20", "too short"), (4, "0.10", ""), (6, "0.60", "no {example}")):
        assert score in fourth[said]
        assert feedback in fourth[said]
    assert [message["role"] for message in provider.calls[3].messages] == ["user", *["assistant", "user"] * 3]
    assert result.attempts == [
        Attempt("draft 0", 0.2, "too short"),
        Attempt("draft 1", 0.6, "no {example}"),
        Attempt("draft 2", 0.1, ""),
        Attempt("draft 3", 0.95, ""),
    ]
    assert "attempts" not in result.metadata
    assert pickle.loads(pickle.dumps(result)) == result


@pytest.mark.parametrize(
    ("shown", "seen"),
    [
        (1, {"draft 1"}),
        (2, {"draft 1", "draft 4"}),
        (3, {"draft 1", "draft 3", "draft 4"}),
        (6, None),
        (9, None),
    ],
)
async def test_the_best_and_the_latest_other_attempts_are_shown(shown: int, seen: set[str] | None) -> None:
    provider = MockProvider(drafts())
    scores = (0.1, 0.8, 0.2, 0.3, 0.4, 0.5)
    await refine_loop(
        provider,
        "q",
        evaluator=scripted(*(Evaluation(score, "more") for score in scores)),
        max_iterations=5,
        attempts_shown=shown,
    )
    last = " ".join(requests(provider)[-1])
    every = {f"draft {number}" for number in range(5)}
    assert {draft for draft in every if draft in last} == (every if seen is None else seen)


@pytest.mark.parametrize("nothing", [" \n", LLMResponse("I can", finish_reason="content_filter")], ids=str)
async def test_a_reply_without_a_text_is_not_shown_again(nothing: str | LLMResponse) -> None:
    provider = MockProvider([nothing, "draft 1", nothing, "draft 3"])

    def judge(text: str, _provider: LLMProvider) -> Evaluation:
        return Evaluation({"draft 1": 0.2, "draft 3": 0.9}.get(text, 0.0), "more")

    await refine_loop(provider, "q", evaluator=judge)
    assert [texts[1::2] for texts in requests(provider)] == [[], [], ["draft 1"], ["draft 1"]]


@pytest.mark.parametrize(
    "echo",
    [
        "This was rated 0.30 on a scale from 0 to 1.\n\nName a date.",
        "Write a better answer to the same task: start from your last answer.",
        "Here it is.\n\nReply with the improved answer only.",
        " Name\na date. ",
    ],
)
async def test_an_echo_of_what_was_said_of_an_attempt_is_no_attempt(echo: str) -> None:
    provider = MockProvider(["draft 0", echo, "draft 2"])
    judged: list[str] = []

    def judge(text: str, _provider: LLMProvider) -> Evaluation:
        judged.append(text)
        return Evaluation(0.3, "Name a date.") if text == "draft 0" else Evaluation(0.95)

    result = await refine_loop(provider, "q", evaluator=judge)
    assert judged == ["draft 0", "draft 2"]
    assert (result.value, result.score_history) == ("draft 2", [0.3, 0.0, 0.95])
    assert result.echoed_responses == result.metadata["echoed_responses"] == 1
    assert echo not in requests(provider)[2]


async def test_words_of_the_task_are_no_echo() -> None:
    task = "Quote this: It was rated 0.50 on a scale from 0 to 1."
    provider = MockProvider(["draft 0", task])
    result = await refine_loop(provider, task, evaluator=scripted(Evaluation(0.1, "Quote it."), 0.9))
    assert (result.score, result.echoed_responses) == (0.9, 0)


async def test_the_feedback_already_paid_for_is_on_an_error() -> None:
    provider = MockProvider(["a", "b", ProviderError("503")])
    with pytest.raises(ProviderError) as caught:
        await refine_loop(provider, "q", evaluator=scripted(Evaluation(0.1, "why"), 0.2), retry=ONCE)
    assert caught.value.metadata == {
        "best_text": "b",
        "best_score": 0.2,
        "score_history": [0.1, 0.2],
        "feedback_history": ["why", ""],
    }


# -- evaluators ------------------------------------------------------------------------------------------


async def test_a_plain_function_and_a_callable_object_are_evaluators() -> None:
    class Length:
        async def __call__(self, text: str, provider: LLMProvider) -> float:
            return len(text) / 10

    result = await refine_loop(MockProvider(["12345678"]), "q", evaluator=Length(), max_iterations=0)
    assert result.score == 0.8
    result = await refine_loop(
        MockProvider(["1234"]), "q", evaluator=lambda text, _: len(text) / 10, max_iterations=0
    )
    assert result.score == 0.4


async def test_an_evaluator_that_asks_for_the_task_is_told() -> None:
    tasks: list[str] = []

    def evaluate(text: str, provider: LLMProvider, *, task: str = "") -> float:
        tasks.append(task)
        return 1.0

    await refine_loop(MockProvider(["a"]), "the task", evaluator=evaluate)
    assert tasks == ["the task"]


async def test_a_first_parameter_called_task_is_still_the_text() -> None:
    def evaluate(task: str, provider: LLMProvider) -> float:
        return 1.0 if task == "a text" else 0.0

    assert (await refine_loop(MockProvider(["a text"]), "q", evaluator=evaluate)).score == 1.0


async def test_an_evaluator_written_in_c_is_asked_without_a_task() -> None:
    # `max` has no signature that can be read; nor does it give a score.
    with pytest.raises((TypeError, ValueError)) as caught:
        await refine_loop(MockProvider(["a"]), "q", evaluator=max)  # type: ignore[arg-type]  # no scorer
    assert vars(caught.value)["metadata"]["unscored_text"] == "a"


@pytest.mark.parametrize(
    ("evaluation", "error"),
    [(Evaluation(2.0, "x"), ValueError), (Evaluation(0.5, None), TypeError)],  # type: ignore[arg-type]  # what is refused
)
async def test_an_evaluation_is_checked(evaluation: Evaluation, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"score|feedback") as caught:
        await refine_loop(MockProvider(["a"]), "q", evaluator=scripted(evaluation))
    assert vars(caught.value)["cost"] == TokenUsage(llm_calls=1)


# -- the default judge -----------------------------------------------------------------------------------


def judged(*verdicts: str | LLMResponse) -> MockProvider:
    script = iter(verdicts)
    number = iter(range(99))

    def reply(call: MockCall) -> str | LLMResponse:
        return next(script) if call.temperature == 0.1 else f"draft {next(number)}"

    return MockProvider(reply)


def generations(provider: MockProvider) -> list[list[str]]:
    asked = zip(provider.calls, requests(provider), strict=True)
    return [texts for call, texts in asked if call.temperature != 0.1]


async def test_the_judge_s_reasons_reach_the_next_attempt() -> None:
    provider = judged("The 2nd line is 3/10 at best.\nMention Euler.\n\n**Score: 4/10**", "10")
    result = await refine_loop(provider, "q")
    assert result.score_history == [0.4, 1.0]
    assert result.attempts[0].feedback == "The 2nd line is 3/10 at best.\nMention Euler."
    assert "Mention Euler." in generations(provider)[1][2]
    assert "Score: 4" not in generations(provider)[1][2]


async def test_a_judge_that_gives_a_bare_number_leaves_the_request_as_it_was() -> None:
    bare, plain = judged("4", "10"), MockProvider(drafts())
    await refine_loop(bare, "q")
    await refine_loop(plain, "q", evaluator=scripted(0.4, 1.0))
    assert generations(bare) == requests(plain)


@pytest.mark.parametrize(
    ("verdict", "score", "feedback"),
    [
        ("Too long.\nScore: 7", 0.7, "Too long."),
        ("Score: 7\nToo long.", 0.7, "Too long."),
        ("Out of 10 points I see 3.\nOverall rating is 6.5 / 10.", 0.65, "Out of 10 points I see 3."),
        ('{"score": 6, "feedback": " Cut it. "}', 0.6, "Cut it."),
        ('```json\n{"reasons": "Cut it.", "score": 6}\n```', 0.6, "Cut it."),
        ('{"score": 6, "feedback": ["a"]}', 0.6, ""),
        ("<think>Score: 1</think>Fine.\nScore: 9", 0.9, "Fine."),
        ("Well made: 10/10, nothing is missing.", 1.0, "Well made: 10/10, nothing is missing."),
    ],
)
async def test_a_verdict_with_reasons(verdict: str, score: float, feedback: str) -> None:
    result = await refine_loop(judged(verdict), "q", max_iterations=0)
    assert [attempt.feedback for attempt in result.attempts] == [feedback]
    assert result.score == pytest.approx(score)
    assert result.cost.llm_calls == 2


@pytest.mark.parametrize(
    "unclear",
    [
        "Score: 7\nScore: 3",
        LLMResponse("All is well.\nScore: 1", finish_reason="length"),  # of "Score: 10"
        LLMResponse("1", finish_reason="length"),
        LLMResponse("The style is 3/10.\nThe facts", finish_reason="length"),
        '{"score": 1e999}',
        '{"score": NaN}',
    ],
)
async def test_what_is_not_certain_is_asked_for_again(unclear: str | LLMResponse) -> None:
    result = await refine_loop(judged(unclear, "5"), "q", max_iterations=0)
    assert (result.score, result.cost.llm_calls) == (0.5, 3)


async def test_a_verdict_cut_off_after_its_score_counts() -> None:
    cut_off = LLMResponse("Score: 8\nIt is long because", finish_reason="length")
    result = await refine_loop(judged(cut_off), "q", max_iterations=0)
    assert (result.score, result.cost.llm_calls) == (0.8, 2)


async def test_reasons_without_a_score_are_kept_when_the_number_comes_on_asking_again() -> None:
    result = await refine_loop(judged("Too long, and no example.", "5"), "q", max_iterations=0)
    assert result.attempts[0].feedback == "Too long, and no example."


# -- ending on a budget ----------------------------------------------------------------------------------


def ends_while_generating() -> tuple[MockProvider, Scorer, list[Attempt]]:
    return (
        MockProvider(drafts()),
        scripted(0.7, 0.2),
        [Attempt("draft 0", 0.7, ""), Attempt("draft 1", 0.2, "")],
    )


def ends_while_judging() -> tuple[MockProvider, Scorer | None, list[Attempt]]:
    return judged("7"), None, [Attempt("draft 0", 0.7, "")]


@pytest.mark.parametrize("case", [ends_while_generating, ends_while_judging])
async def test_a_budget_may_end_with_the_best_text_instead_of_an_error(
    case: Callable[[], tuple[MockProvider, Scorer | None, list[Attempt]]],
) -> None:
    provider, evaluator, attempts = case()
    result = await refine_loop(
        provider, "q", evaluator=evaluator, max_cost=TokenUsage(llm_calls=2), on_budget="return"
    )
    assert isinstance(result, RefineResult)
    assert (result.value, result.score, result.stop_reason, result.converged) == (
        "draft 0",
        0.7,
        "budget",
        False,
    )
    assert result.attempts == attempts
    assert result.iterations == len(attempts) - 1
    assert result.cost == TokenUsage(llm_calls=2)
    assert provider.call_count == 2


async def test_a_text_never_scored_is_returned_without_a_score() -> None:
    result = await refine_loop(judged(), "q", max_cost=TokenUsage(llm_calls=1), on_budget="return")
    assert (result.value, result.score, result.score_history) == ("draft 0", None, [])
    assert result.attempts == [Attempt("draft 0", None, "")]


async def test_a_text_written_but_not_scored_is_among_the_attempts() -> None:
    result = await refine_loop(judged("3"), "q", max_cost=TokenUsage(llm_calls=3), on_budget="return")
    assert (result.value, result.iterations) == ("draft 0", 1)
    assert result.attempts == [("draft 0", pytest.approx(0.3), ""), Attempt("draft 1", None, "")]


async def test_a_budget_without_any_text_raises_all_the_same() -> None:
    with pytest.raises(BudgetExhaustedError):
        await refine_loop(MockProvider(["a"]), "q", max_cost=TokenUsage(llm_calls=-1), on_budget="return")


async def test_other_errors_are_raised_whatever_a_budget_means() -> None:
    with pytest.raises(PatternError, match="can't be read"):
        await refine_loop(judged("?", "??"), "q", on_budget="return")


@pytest.mark.parametrize("wrong", [{"on_budget": "ignore"}, {"attempts_shown": 0}])
async def test_wrong_settings_are_refused_before_any_call(wrong: dict[str, object]) -> None:
    provider = MockProvider(["a"])
    with pytest.raises(ValueError, match=next(iter(wrong))):
        await refine_loop(provider, "q", **wrong)  # type: ignore[arg-type]  # what is refused
    assert provider.call_count == 0
