"""Counting votes."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executionkit.engine.voting import Tally, tally


@pytest.mark.parametrize(
    ("answers", "count"),
    [
        ([], Tally(None, 0, 0, 0)),
        ([None, None], Tally(None, 0, 0, 0)),
        (["a"], Tally("a", 1, 1, 1)),
        (["a", "b", "b"], Tally("b", 2, 2, 1)),
        (["b", "a", "a", "b"], Tally("b", 2, 2, 2)),
        (["c", "b", "a"], Tally("c", 1, 3, 3)),
        ([None, "a", None, None], Tally("a", 1, 1, 1)),
        (["A", "a"], Tally("A", 1, 2, 2)),
        (["", None], Tally("", 1, 1, 1)),
    ],
)
def test_the_most_votes_win_and_of_equals_the_first(answers: list[str | None], count: Tally) -> None:
    assert tally(answers) == count


@pytest.mark.parametrize(
    "same",
    [
        ["42", " 42 ", "42\n"],
        ["a b", "a  b", "a\n\tb", " a b"],
        ["a\u00a0b", "a b", "a\u2003b"],
        ["", " ", "\n"],
    ],
)
def test_answers_that_differ_in_whitespace_are_one(same: list[str]) -> None:
    for first in range(len(same)):
        answers = same[first:] + same[:first]
        assert tally(answers) == Tally(answers[0], len(same), 1, 1)


def test_words_run_together_are_another_answer() -> None:
    assert tally(["a b", "ab"]).unique == 2


def test_the_winner_is_the_first_original_even_where_another_spelling_is_more_common() -> None:
    assert tally(["b", "a ", "a", "a"]).winner == "a "


TEXTS = st.text("ab \n", max_size=4)


@given(st.lists(st.none() | TEXTS, max_size=12))
def test_the_count_is_what_counting_by_hand_gives(answers: list[str | None]) -> None:
    votes = [" ".join(answer.split()) for answer in answers if answer is not None]
    counted = Counter(votes).most_common()
    count = tally(answers)
    assert count.unique == len(counted)
    if counted:
        key, top = counted[0]  # ties stand in the order first seen
        assert count.votes == top
        assert count.tied == sum(votes == top for _, votes in counted)
        assert count.winner == next(a for a in answers if a is not None and " ".join(a.split()) == key)
