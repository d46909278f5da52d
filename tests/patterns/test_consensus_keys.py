"""`consensus(key=...)`: replies vote on the answer read out of them."""

import asyncio
import json
import pickle
from collections.abc import Hashable
from enum import Enum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executionkit import (
    ConsensusFailedError,
    LLMResponse,
    MockProvider,
    TokenUsage,
    answers,
    consensus,
    consensus_sync,
)

NUMBERS = ["It is $42.00.", "41", "\\boxed{42}", "no idea", "The answer is 42."]


async def test_replies_vote_on_what_the_key_reads_and_the_first_text_of_the_winner_is_the_value() -> None:
    result = await consensus(MockProvider(NUMBERS), "q", key=answers.number)
    assert (result.value, result.answer) == ("It is $42.00.", 42)
    assert result.votes == ((42, 3), (41, 1))
    assert (result.abstained, result.unique_responses, result.score) == (1, 2, 0.6)


async def test_without_a_key_the_answer_is_the_text_with_its_whitespace_collapsed() -> None:
    result = await consensus(MockProvider([" a  b\n", "a b"]), "q", num_samples=2)
    assert (result.value, result.answer) == (" a  b\n", "a b")


async def test_nobody_having_an_answer_is_a_failure_that_says_why() -> None:
    with pytest.raises(
        ConsensusFailedError, match=r"none of 3 samples gave an answer.*`key` found no answer"
    ) as caught:
        await consensus(MockProvider(["x", "", "y"]), "q", num_samples=3, key=answers.number)
    assert caught.value.metadata["responses"] == ["x", "", "y"]


async def test_a_number_that_is_none_abstains() -> None:
    result = await consensus(MockProvider(["nan", "NaN", "3"]), "q", num_samples=3, key=float)
    assert (result.answer, result.votes, result.abstained) == (3.0, ((3.0, 1),), 2)


async def test_the_key_decides_about_unanimity() -> None:
    provider = MockProvider(["42", "$42", "dunno"])
    result = await consensus(provider, "q", num_samples=3, strategy="unanimous", key=answers.number)
    assert result.answer == 42


async def test_a_key_is_asked_once_for_each_text_and_never_about_replies_without_an_answer() -> None:
    asked: list[str] = []

    def key(text: str) -> str:
        asked.append(text)
        return text.lower()

    withheld = LLMResponse("secret", finish_reason="content_filter")
    result = await consensus(MockProvider(["A", "a", "", withheld, "A"]), "q", key=key)
    assert asked == ["A", "a"]
    assert (result.votes, result.abstained) == ((("a", 3),), 2)


async def test_a_reply_cut_off_votes_when_an_answer_can_be_read_in_it() -> None:
    cut = LLMResponse("The answer is 42. Let me", finish_reason="length")
    result = await consensus(MockProvider([cut, "42"]), "q", num_samples=2, key=answers.number)
    assert (result.score, result.truncated_responses) == (1.0, 1)


async def test_a_vote_in_which_most_replies_were_cut_off_says_so() -> None:
    cut = LLMResponse("First, 6 * 7 =", finish_reason="length")
    with pytest.warns(UserWarning, match="2 of 3 replies were cut off by max_tokens=120") as caught:
        await consensus(
            MockProvider([cut, "42", cut]), "q", num_samples=3, max_tokens=120, key=answers.number
        )
    assert caught[0].filename == __file__
    # No warning (an error here): half of them, labels of one token, a vote on whole texts.
    await consensus(MockProvider([cut, "42"]), "q", num_samples=2, key=answers.number)
    label = LLMResponse("yes", finish_reason="length")
    await consensus(MockProvider([label]), "q", max_tokens=1, key=answers.label("yes", "no"))
    await consensus(MockProvider([label]), "q")


async def test_an_early_stop_counts_what_the_key_reads() -> None:
    result = await consensus(MockProvider(["42", "$42", "42.0"]), "q", key=answers.number, stop="decided")
    assert (result.answer, result.samples_used, result.samples_saved) == (42, 3, 2)


# -- keys that fail --------------------------------------------------------------------------------------


async def test_what_a_key_raises_goes_through_with_what_was_paid_and_the_reply_it_failed_on() -> None:
    provider = MockProvider(["1", "two" * 100, "3"], usage=TokenUsage(5, 1))
    with pytest.raises(ValueError, match="invalid literal for int") as caught:
        await consensus(provider, "q", num_samples=3, key=int)
    assert vars(caught.value)["metadata"] == {"responses": ["1", "two" * 100, "3"]}
    assert vars(caught.value)["cost"] == TokenUsage(15, 3, 3)
    assert caught.value.__notes__[0].startswith("raised by `key`, reading sample 1: 'twotwo")
    assert len(caught.value.__notes__[0]) < 150


async def test_an_answer_that_can_t_be_counted_is_the_key_s_mistake() -> None:
    with pytest.raises(TypeError, match=r"key must return something hashable or None, got \['1'\]") as caught:
        await consensus(MockProvider(["1"]), "q", key=lambda text: [text])  # type: ignore[arg-type, return-value]  # what is wrong is the point
    assert vars(caught.value)["metadata"]["responses"] == ["1"] * 5


async def test_a_key_that_turns_out_to_be_async_is_the_key_s_mistake() -> None:
    async def later(text: str) -> str:
        return text

    wrong: Any = later

    with pytest.raises(ValueError, match=r"^key must be a plain"):
        await consensus(MockProvider(["1"]), "q", key=wrong)
    with pytest.raises(TypeError, match="key must be a plain function"):
        await consensus(MockProvider(["1"]), "q", key=lambda text: wrong(text))
    future = asyncio.get_running_loop().create_future()
    with pytest.raises(TypeError, match="key must be a plain function"):
        await consensus(MockProvider(["1"]), "q", key=lambda _: future)


async def test_a_maker_of_readers_that_was_not_called_is_told_from_a_reader() -> None:
    with pytest.raises(TypeError, match=r"key must return an answer, got <function .*called first"):
        await consensus(MockProvider(["A"]), "q", key=answers.choice)


# -- answers of every kind -------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    "answer", [42, 4.2, True, "a", b"a", (1, ("a", None)), frozenset({1}), Fraction(1, 3), Colour.RED, ()]
)
def test_a_result_with_any_answer_survives_pickling_and_turning_into_plain_data(answer: Hashable) -> None:
    result = consensus_sync(MockProvider(["x"]), "q", key=lambda _: answer)
    assert (result.answer, result.votes) == (answer, ((answer, 5),))
    again = pickle.loads(pickle.dumps(result))
    assert (again, type(again.answer)) == (result, type(answer))
    assert (result.metadata["answer"], result.metadata["votes"]) == (result.answer, result.votes)
    (told,) = result.to_dict()["metadata"]["votes"]
    assert told == [list(answer) if answer == () else told[0], 5]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(["1", "2.0", "2", "x", ""]), min_size=1, max_size=8))
def test_what_the_ready_readers_read_goes_into_json(texts: list[str]) -> None:
    for key in (answers.number, answers.last_line, answers.canonical_json, answers.choice("12")):
        try:
            result: Any = consensus_sync(MockProvider(texts), "q", num_samples=len(texts), key=key)
        except ConsensusFailedError:
            assert all(key(text) is None for text in texts)
            continue
        told = json.loads(json.dumps(result.to_dict()))["metadata"]
        assert told["votes"] == [list(pair) for pair in result.votes]
        assert told["answer"] == result.answer
