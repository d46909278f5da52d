"""Counting votes, and telling when they are settled."""

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Sequence
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executionkit import LLMResponse
from executionkit.patterns._voting import Reader, Votes, certainty, decided, stop_rule


def counted(answers: Sequence[Hashable | None]) -> Votes:
    votes = Votes()
    for sample, answer in enumerate(answers):
        votes.add(sample, answer)
    return votes


# -- counting --------------------------------------------------------------------------------------------


class Count(NamedTuple):
    winner: Hashable | None
    most: int
    different: int
    tied: int


def count(answers: Sequence[Hashable | None]) -> Count:
    votes = counted(answers)
    return Count(votes.winner, votes.most, len(votes.counts), votes.tied)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], Count(None, 0, 0, 0)),
        ([None, None], Count(None, 0, 0, 0)),
        (["a"], Count("a", 1, 1, 1)),
        (["a", "b", "b"], Count("b", 2, 2, 1)),
        (["b", "a", "a", "b"], Count("b", 2, 2, 2)),
        (["c", "b", "a"], Count("c", 1, 3, 3)),
        ([None, "a", None, None], Count("a", 1, 1, 1)),
        (["A", "a"], Count("A", 1, 2, 2)),
        (["", None], Count("", 1, 1, 1)),
        ([0, False, 1, True, 1.0], Count(1, 3, 2, 1)),
        ([(1, 2), frozenset({1}), (1, 2)], Count((1, 2), 2, 2, 1)),
    ],
)
def test_the_most_votes_win_and_of_equals_the_first(answers: list[Hashable | None], expected: Count) -> None:
    assert count(answers) == expected


ANSWERS = st.lists(st.none() | st.sampled_from("abcd"), max_size=14)


@given(ANSWERS)
def test_the_count_is_what_counting_by_hand_gives(answers: list[str | None]) -> None:
    votes = counted(answers)
    by_hand = Counter(answer for answer in answers if answer is not None).most_common()
    assert votes.ranking() == tuple(by_hand)  # ties stand in the order first seen
    assert votes.abstained == answers.count(None)
    figures = [number for _, number in by_hand] + [0, 0]
    assert (votes.most, votes.second) == tuple(figures[:2])
    assert votes.winner == (by_hand[0][0] if by_hand else None)
    assert votes.first == {answer: answers.index(answer) for answer, _ in by_hand}


@given(ANSWERS)
def test_the_winner_is_safe_from_exactly_what_its_threat_says(answers: list[str | None]) -> None:
    votes = counted(answers)
    for answer, number in votes.counts.items():
        if answer != votes.winner:
            # This much more, and it would have won.
            short = votes.most - number + (votes.first[answer] > votes.first[votes.winner])
            assert counted([*answers, *[answer] * short]).winner == answer
            assert votes.most - votes.threat <= short - 1
    assert votes.threat <= votes.most


# -- reading ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "same",
    [["42", " 42 ", "42\n"], ["a b", "a  b", "a\n\tb", " a b"], ["a\u00a0b", "a b", "a\u2003b"]],
)
def test_without_a_key_answers_that_differ_in_whitespace_are_one(same: list[str]) -> None:
    reader = Reader(None)
    assert len({reader.answer(0, LLMResponse(text)) for text in same}) == 1


def test_words_run_together_are_another_answer() -> None:
    reader = Reader(None)
    assert reader.answer(0, LLMResponse("a b")) != reader.answer(1, LLMResponse("ab"))


# -- settled: beyond doubt -------------------------------------------------------------------------------


def settled_by_hand(answers: Sequence[str | None], left: int) -> bool:
    """Whether every way to go on has the same winner: all of them are tried."""
    ways = itertools.product([*"abc", None, *"xyz"[:left]], repeat=left)
    return len({counted([*answers, *way]).winner for way in ways}) == 1


@given(st.lists(st.none() | st.sampled_from("abc"), max_size=7), st.integers(0, 4))
def test_a_vote_is_decided_exactly_when_nothing_can_change_the_winner(
    answers: list[str | None], left: int
) -> None:
    votes = counted(answers)
    # While nobody has voted nothing is decided, but when nobody is left to vote nothing more is asked for.
    by_hand = settled_by_hand(answers, left)
    assert (decided(votes, left) == 0) == by_hand


@given(st.lists(st.none() | st.sampled_from("abc"), max_size=6), st.integers(0, 4))
def test_no_fewer_samples_than_the_rule_says_could_decide(answers: list[str | None], left: int) -> None:
    fewest = decided(counted(answers), left)
    assert fewest <= left
    shortest = next(
        more
        for more in range(left + 1)
        for way in itertools.product([*"abc", None, "x"], repeat=more)
        if decided(counted([*answers, *way]), left - more) == 0
    )
    assert fewest == shortest


@pytest.mark.parametrize(
    ("answers", "left", "fewest"),
    [
        ("", 5, 3),
        ("", 4, 2),  # two to none, and a tie would go to the first seen
        ("", 1, 1),
        ("aa", 3, 1),
        ("aaa", 2, 0),
        ("ab", 2, 1),
        ("ab", 1, 1),
        ("aab", 1, 0),
        ("abb", 1, 1),  # one more "a", and it wins the tie
        ("abbb", 2, 1),
        ("abbb", 1, 0),
    ],
)
def test_the_tie_rule_counts(answers: str, left: int, fewest: int) -> None:
    assert decided(counted(answers), left) == fewest


# -- settled: sure enough --------------------------------------------------------------------------------


def certainty_by_hand(most: int, second: int) -> Fraction:
    n = most + second + 1
    return Fraction(sum(math.comb(n, k) for k in range(most + 1)), 2**n)


@given(st.integers(0, 200), st.integers(0, 200))
def test_the_certainty_is_the_sum_of_the_binomials(one: int, other: int) -> None:
    most, second = max(one, other), min(one, other)
    exact = certainty_by_hand(most, second)
    assert certainty(most, second) == float(exact)
    assert exact >= Fraction(1, 2)
    assert (exact == Fraction(1, 2)) == (most == second)


def test_the_certainty_does_not_overflow() -> None:
    assert certainty(10_000, 10_000) == 0.5
    assert certainty(10_000, 0) == 1.0
    assert 0.84 < certainty(5_000, 4_900) < 0.85


def stops(confidence: float, seconds: int) -> list[tuple[int, int]]:
    """Where the rule stops for each count of the second answer, as (most, second)."""
    rule = stop_rule(confidence, unanimous=False)
    found: list[tuple[int, int]] = []
    for second in range(seconds):
        start = counted("a" * (second + 1) + "b" * second)
        found.append((start.most + rule(start, 10**9), second))
    return found


def test_the_stops_are_those_of_adaptive_consistency() -> None:
    assert stops(0.95, 5) == [(4, 0), (6, 1), (8, 2), (9, 3), (11, 4)]


@pytest.mark.parametrize(
    "confidence", [0.500001, 0.6, 0.75, 0.9375, 0.95, 0.99, 0.999999, math.nextafter(1, 0)]
)
def test_a_stop_is_the_first_count_that_reaches_the_confidence(confidence: float) -> None:
    for most, second in stops(confidence, 40):
        assert certainty_by_hand(most, second) >= Fraction(confidence)
        if most > second + 1:
            assert certainty_by_hand(most - 1, second) < Fraction(confidence)


def test_a_confidence_reached_to_the_bit_is_reached() -> None:
    assert stops(15 / 16, 1) == [(3, 0)]
    assert stops(math.nextafter(15 / 16, 1), 1) == [(4, 0)]


@given(ANSWERS, st.integers(0, 30), st.sampled_from([0.6, 0.8, 0.95, 0.99]))
def test_with_a_confidence_a_vote_that_is_decided_stops_as_well(
    answers: list[str | None], left: int, confidence: float
) -> None:
    votes = counted(answers)
    fewest = stop_rule(confidence, unanimous=False)(votes, left)
    is_sure = votes.most > 0 and certainty_by_hand(votes.most, votes.second) >= Fraction(confidence)
    assert (fewest == 0) == (is_sure or decided(votes, left) == 0)
    assert fewest <= decided(votes, left)


# -- settled: unanimous ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stop", "answers", "left", "fewest"),
    [
        ("all", "ab", 3, 3),
        ("decided", "", 5, 2),
        ("decided", "", 1, 1),
        ("decided", "a", 4, 1),
        ("decided", "aaaa", 1, 1),
        ("decided", "aaaaa", 0, 0),
        ("decided", "ab", 3, 0),
        (0.95, "", 9, 2),
        (0.95, "aaa", 9, 1),
        (0.95, "aaaa", 9, 0),
        (0.95, "ab", 9, 0),
    ],
)
def test_a_unanimous_vote_is_settled_by_the_first_dissent(
    stop: float, answers: str, left: int, fewest: int
) -> None:
    assert stop_rule(stop, unanimous=True)(counted(answers), left) == fewest
