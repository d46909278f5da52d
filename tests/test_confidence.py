"""Log-probabilities put to use: the most probable candidate, the expected score, votes by confidence."""

import math
from collections import Counter
from itertools import cycle
from typing import Any

import pytest
from fakes import NO_WAIT
from hypothesis import given, settings
from hypothesis import strategies as st

from executionkit import (
    Confidence,
    ConsensusResult,
    Evaluation,
    LLMResponse,
    MockProvider,
    Panel,
    PatternError,
    PermanentError,
    Provider,
    ProviderError,
    Rubric,
    TokenLogprob,
    TokenUsage,
    best_of_n,
    consensus,
    refine_loop,
)
from executionkit.testing import ChatRequest, Fault, LocalEndpoint, MockCall

NO_LOGPROBS = PermanentError("Unrecognized request argument supplied: logprobs", status_code=400)


def spelled(*tokens: str | tuple[str, dict[str, float]], **fields: Any) -> LLMResponse:
    """A reply of these tokens. A dict has the probabilities at its place, that of the token included."""
    found = []
    for token in tokens:
        text, chances = (token, {token: 1.0}) if isinstance(token, str) else token
        top = tuple(TokenLogprob(name, math.log(chance)) for name, chance in chances.items())
        found.append(TokenLogprob(text, math.log(chances[text]), top if len(chances) > 1 else ()))
    return LLMResponse("".join(token.token for token in found), logprobs=tuple(found), **fields)


def sure(text: str, *chances: float) -> LLMResponse:
    return LLMResponse(text, logprobs=tuple(TokenLogprob("x", math.log(chance)) for chance in chances))


# -- Confidence --------------------------------------------------------------------------------------------


async def test_over_http_the_most_probable_candidate_is_taken_without_a_judge() -> None:
    replies = [sure("Lyon", 0.5, 0.5), sure("Paris", 0.9, 0.4, 0.9), sure("Nice", 0.55)]
    with LocalEndpoint(replies) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            result = await best_of_n(
                *(provider, "q"),
                evaluator=Confidence(),
                num_samples=3,
                max_concurrency=1,
                options={"top_logprobs": 2},
            )
        sent = [
            (request.field("logprobs"), request.field("top_logprobs")) for request in endpoint.ledger.requests
        ]
    assert (result.value, result.cost.llm_calls, sent) == ("Paris", 3, [(True, 2)] * 3)
    assert result.scores == pytest.approx([0.5, (0.9 * 0.4 * 0.9) ** (1 / 3), 0.55])


async def test_confidence_stops_at_a_target_and_no_text_has_none() -> None:
    provider = MockProvider([sure("", 0.99), sure("a", 0.4), sure("b", 0.9), sure("c", 1.0)])
    result = await best_of_n(
        provider, "q", evaluator=Confidence(), num_samples=4, max_concurrency=1, target_score=0.8
    )
    assert (result.value, result.scores[0], result.stop_reason) == ("b", None, "target")
    assert provider.call_count == 3


async def test_without_log_probabilities_the_first_reply_says_what_to_do() -> None:
    silent = MockProvider(["a"])
    with pytest.raises(
        PatternError, match=r"the reply came without, although they were asked for.*use a Rubric"
    ) as caught:
        await best_of_n(silent, "q", evaluator=Confidence(), max_concurrency=1)
    assert (caught.value.cost.llm_calls, caught.value.metadata["candidates"]) == (1, ["a"])
    nan = MockProvider([LLMResponse("a", logprobs=(TokenLogprob("x", math.nan),))])
    with pytest.raises(PatternError, match="the reply came without"):
        await best_of_n(nan, "q", evaluator=Confidence(), num_samples=1)
    with pytest.raises(PermanentError) as refused:
        await best_of_n(MockProvider(exception=NO_LOGPROBS), "q", evaluator=Confidence(), max_concurrency=1)
    assert "Confidence() asked for logprobs" in refused.value.__notes__[0]
    with pytest.raises(ValueError, match="options must not set logprobs=False"):
        await best_of_n(silent, "q", evaluator=Confidence(), options={"logprobs": False})
    with pytest.raises(ValueError, match="got <class 'executionkit"):
        await best_of_n(silent, "q", evaluator=Confidence)  # type: ignore[arg-type]


# -- Rubric(expected=True) -----------------------------------------------------------------------------------

JUDGED: list[tuple[LLMResponse, float, float | None]] = [
    # The forms of a verdict, and numbers of one token.
    (spelled("Score", ":", (" 8", {" 8": 0.5, " 6": 0.5})), 0.7, 0.8),
    (spelled('{"reasons": "3 typos", "score": ', ("8", {"8": 0.75, "4": 0.25}), "}"), 0.7, 0.8),
    (spelled("It has 9 lines.\n", ("4", {"4": 0.5, "10": 0.25, "five": 0.25}), "/10"), 0.6, 0.4),
    # Numbers of several: those that end earlier count with what they then say.
    (spelled("Score: ", ("7", {"7": 0.8, "9": 0.2}), (".", {".": 0.5, "\n": 0.5}), "5"), 0.76, 0.75),
    (spelled("Score: ", ("1", {"1": 0.5, "9": 0.5}), ("0", {"0": 0.9, "\n": 0.1})), 0.905, 1.0),
    # A 1 may be the beginning of a 10, unless that is a token of its own.
    (spelled("Score: ", ("8", {"8": 0.4, "6": 0.4, "1": 0.2})), 0.7, 0.8),
    (spelled("Score: ", ("8", {"8": 0.4, "10": 0.4, "1": 0.2})), 0.74, 0.8),
    # Only what is within the scale counts, and what was not listed doesn't.
    (spelled("Score: ", ("8", {"8": 0.3, "6": 0.1, "99": 0.4})), 0.75, 0.8),
    # What is no number there makes no earlier number the score.
    (spelled("Score: 3 for style.\nScore: ", ("8", {"8": 0.5, "**": 0.3, "6": 0.2})), 0.52 / 0.7, 0.8),
    (spelled("Score: 3 for style.\nScore: ", ("8", {"8": 0.6, "**": 0.4})), 0.8, None),
    # Not looked for among the same number again and again: that would take seconds.
    (spelled("Score: ", ("8", {"8": 0.5, "6": 0.5}), "\n", *["1, "] * 20), 0.7, 0.8),
    (spelled("Score: ", ("8", {"8": 0.5, "6": 0.5}), "\n", *["8, "] * 20), 0.8, None),
    # No others, or no tokens, or others than the text: the number as it was written.
    (spelled("Score: 8"), 0.8, None),
    (LLMResponse("Score: 8"), 0.8, None),
    (LLMResponse("Score: 8", logprobs=spelled(("3", {"3": 0.5, "4": 0.5})).logprobs), 0.8, None),
]


@pytest.mark.parametrize(("reply", "score", "stated"), JUDGED)
async def test_the_score_to_be_expected(reply: LLMResponse, score: float, stated: float | None) -> None:
    judge = MockProvider([reply])
    evaluation = await Rubric("c", expected=True)("text", judge, task="t")
    assert evaluation.score == pytest.approx(score)
    assert evaluation.stated == stated
    assert judge.calls[0].kwargs["top_logprobs"] == 20
    plain = await Rubric("c")("text", judge, task="t")
    assert plain.score == pytest.approx(stated or score)
    assert plain.stated is None
    assert "logprobs" not in judge.calls[1].kwargs


async def test_candidates_with_the_same_number_are_told_apart_and_the_result_says_by_what() -> None:
    scores = cycle([{"7": 0.9, "5": 0.1}, {"7": 0.6, "9": 0.4}])

    def respond(call: MockCall) -> str | LLMResponse:
        is_judge = "top_logprobs" in call.kwargs
        return spelled("Score: ", ("7", next(scores))) if is_judge else f"text {provider.call_count}"

    provider = MockProvider(respond)
    rubric = Rubric("c", expected=True)
    result = await best_of_n(provider, "q", evaluator=rubric, num_samples=2, max_concurrency=1)
    assert result.scores == pytest.approx([0.68, 0.78])
    assert (result.best_index, result.expected_scores) == (1, 2)
    refined = await refine_loop(provider, "q", evaluator=rubric, max_iterations=1)
    assert refined.expected_scores == 2
    assert (await refine_loop(MockProvider(["Score: 7"]), "q", max_iterations=1)).expected_scores == 0


@pytest.mark.parametrize(
    ("refusals", "sent"),
    [
        ([NO_LOGPROBS, NO_LOGPROBS], [20, 5, None, None]),
        ([PermanentError("top_logprobs must be at most 5", status_code=422)], [20, 5, 5]),
        # llama.cpp reports clients' mistakes as 500, which is not retried then.
        ([ProviderError("logprobs is not supported", status_code=500)], [20, 5, 5]),
    ],
)
async def test_a_server_that_refuses_is_asked_for_fewer_and_then_for_none_and_it_is_remembered(
    refusals: list[BaseException], sent: list[int | None]
) -> None:
    judge = MockProvider([*refusals, "Score: 8", "Score: 8"], strict=True)
    rubric = Rubric("c", judge=judge, expected=True)
    result = await best_of_n(
        MockProvider(["a", "b"]), "q", evaluator=rubric, num_samples=2, max_concurrency=1, retry=NO_WAIT
    )
    assert [call.kwargs.get("top_logprobs") for call in judge.calls] == sent
    assert (result.scores, result.expected_scores) == ([0.8, 0.8], 0)
    assert result.cost == TokenUsage(llm_calls=2 + len(sent))


async def test_other_errors_and_other_providers() -> None:
    with pytest.raises(PermanentError, match="no such model"):
        await Rubric("c", expected=True)(
            "x", MockProvider(exception=PermanentError("no such model", status_code=404))
        )

    class Narrow:
        """A provider that takes no further fields."""

        async def complete(
            self, messages: Any, *, temperature: Any = None, max_tokens: Any = None, tools: Any = None
        ) -> LLMResponse:
            return LLMResponse("Score: 8")

    assert await Rubric("c", expected=True)("x", Narrow()) == Evaluation(0.8)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected must be True or False"):
        Rubric("c", expected="yes")  # type: ignore[arg-type]


# -- consensus(confidence=...) -------------------------------------------------------------------------------


def ballots(*votes: tuple[str, float | None]) -> MockProvider:
    """Replies by their text and mean log-probability; None for a reply without."""
    return MockProvider(
        [
            LLMResponse(text, logprobs=() if mean is None else (TokenLogprob("x", mean),) * 2)
            for text, mean in votes
        ],
        strict=True,
    )


async def vote(votes: list[tuple[str, float | None]], **settings: Any) -> ConsensusResult:
    provider = ballots(*votes)
    result = await consensus(provider, "q", num_samples=len(votes), max_concurrency=1, **settings)
    assert {call.kwargs.get("logprobs") for call in provider.calls} == {True}
    return result


TIED: list[tuple[str, float | None]] = [
    ("a", -0.9),
    ("b", -0.5),
    ("c", -0.1),
    ("b", -0.7),
    ("a", -0.2),
    ("", -0.3),
]


async def test_a_tie_goes_to_the_answer_that_is_the_more_probable_on_average() -> None:
    result = await vote(TIED, confidence="ties")
    assert (result.answer, result.tie_count, result.by_confidence, result.left_out) == ("a", 2, True, 0)
    assert result.votes == (("a", 2), ("b", 2), ("c", 1))
    sunk = [("a", -2.0), *TIED[1:]]
    assert (await vote(sunk, confidence="ties")).votes[0] == ("b", 2)
    # One answer without: then the plain vote, in which the first of the tied ones wins.
    result = await vote([*sunk, ("c", None)], confidence="ties")
    assert (result.answer, result.tie_count, result.by_confidence) == ("a", 3, False)
    # Also of answers that were not among the best two before.
    three: list[tuple[str, float | None]] = [("a", -2.0), ("b", -0.1), ("c", -0.2), ("d", None)]
    assert (await vote(three, confidence="ties")).answer == "a"
    # An answer not seen yet may come to win a tie, so an early stop waits for it.
    assert (await vote([("a", -0.9), ("b", -0.1)], confidence="ties", stop="decided")).answer == "b"
    # An abstention has no say in this.
    assert (await vote([*sunk, ("", None)], confidence="ties")).by_confidence


async def test_only_the_most_probable_share_votes() -> None:
    votes: list[tuple[str, float | None]] = [("a", -0.9), ("a", -0.8), ("b", -0.1), ("", -0.05), ("c", -0.3)]
    result = await vote(votes, confidence=0.5)
    assert (result.answer, result.votes) == ("b", (("b", 1), ("c", 1)))
    assert (result.left_out, result.samples_used, result.abstained) == (2, 5, 1)
    assert result.agreement_ratio == result.score == 1 / 3  # the abstention counts, as in every vote
    assert (await vote(votes, confidence=0.1)).votes == (("b", 1),)
    assert (await vote(votes, confidence=1)).votes == (("a", 2), ("b", 1), ("c", 1))
    plain = await vote([*votes, ("b", None)], confidence=0.1)
    assert (plain.answer, plain.by_confidence, plain.left_out) == ("a", False, 0)


MEANS = st.sampled_from([-0.1, -0.5, -2.0])
SAMPLES = st.lists(st.tuples(st.sampled_from(["a", "b", "c", ""]), MEANS | st.none()), min_size=1, max_size=7)


@settings(max_examples=60)
@given(votes=SAMPLES.filter(lambda votes: any(text for text, _ in votes)))
async def test_a_decided_vote_is_that_of_all_samples_and_takes_none_too_many(
    votes: list[tuple[str, float | None]],
) -> None:
    whole = await vote(votes, confidence="ties")
    early = await vote(votes, confidence="ties", stop="decided")
    assert early.answer == whole.answer
    seen = votes[: early.samples_used - 1]
    if all(mean is not None for text, mean in seen if text):
        # A sample earlier, a tie could still come.
        counts = Counter(text for text, _ in seen if text).most_common(2)
        most, second = (*(count for _, count in counts), 0, 0)[:2]
        assert second + len(votes) - len(seen) >= most


async def test_over_http_a_refusal_makes_it_the_plain_vote_and_is_remembered() -> None:
    # As llama.cpp reports clients' mistakes. It is not retried.
    refused = Fault(code=500, body={"error": {"message": "`logprobs` is not supported with this model"}})

    def reply(request: ChatRequest) -> Any:
        return refused if request.field("logprobs") else "ab"[request.number % 2]

    with LocalEndpoint(reply) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            results = [
                await consensus(provider, "q", num_samples=3, confidence="ties", max_concurrency=1)
                for _ in range(2)
            ]
        statuses = endpoint.ledger.statuses
    assert [(result.by_confidence, result.cost.llm_calls) for result in results] == [(False, 4), (False, 3)]
    assert statuses == (500, *[200] * 6)


class WithoutLogprobs:
    """A provider of somebody's own that takes no further fields."""

    async def complete(
        self, messages: Any, *, temperature: Any = None, max_tokens: Any = None, tools: Any = None
    ) -> LLMResponse:
        return LLMResponse("a")


async def test_a_provider_that_takes_no_such_field_is_not_asked_for_it_in_a_panel_either() -> None:
    plain: Any = WithoutLogprobs()  # no type checker lets it pass
    for provider in (plain, Panel([MockProvider(["a"]), plain])):
        result = await consensus(provider, "q", num_samples=2, confidence="ties")
        assert (result.votes, result.by_confidence, result.cost.llm_calls) == ((("a", 2),), False, 2)
        with pytest.raises(ValueError, match="takes no `logprobs`; for a model without them"):
            await best_of_n(provider, "q", evaluator=Confidence())


async def test_confidence_goes_with_some_settings_only() -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"confidence": 0.5, "stop": "decided"}, "stop must be 'all' with confidence=0.5, got 'decided'"),
        (
            {"confidence": "ties", "strategy": "unanimous"},
            "confidence must be None with strategy='unanimous'",
        ),
        ({"confidence": "ties", "options": {"logprobs": None}}, "options must not set logprobs=None"),
    ]
    for arguments, problem in wrong:
        with pytest.raises(ValueError, match=problem):
            await consensus(MockProvider(["a"]), "q", **arguments)


async def test_every_choice_of_a_request_has_its_own_confidence() -> None:
    choices = [LLMResponse("b", logprobs=(TokenLogprob("x", mean),)) for mean in (-0.1, -0.2)]
    first = LLMResponse("a", logprobs=(TokenLogprob("x", -0.5),), alternatives=choices)
    result = await consensus(
        MockProvider([first]), "q", num_samples=3, choices_per_request=3, confidence=1 / 3
    )
    assert (result.answer, result.left_out) == ("b", 2)
