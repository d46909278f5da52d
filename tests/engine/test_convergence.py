"""ConvergenceDetector and validate_score."""

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executionkit.engine.convergence import ConvergenceDetector, validate_score

scores = st.floats(0.0, 1.0)

NOT_SCORES = [
    math.nan,
    math.inf,
    -math.inf,
    -0.01,
    1.0000001,
    2,
    -1,
    10**400,
    True,
    False,
    "0.5",
    None,
    [0.5],
    1j,
]


def answers(detector: ConvergenceDetector, *values: float) -> list[bool]:
    return [detector.should_stop(value) for value in values]


@pytest.mark.parametrize(
    ("score", "number"), [(0, 0.0), (1, 1.0), (0.25, 0.25), (Fraction(1, 4), 0.25), (5e-324, 5e-324)]
)
def test_real_numbers_in_range_are_scores(score: object, number: float) -> None:
    result = validate_score(score)
    assert result == number
    assert type(result) is float


@pytest.mark.parametrize("score", NOT_SCORES, ids=lambda value: str(value)[:12])
def test_anything_else_is_refused_by_name(score: object) -> None:
    with pytest.raises(ValueError, match=r"^score must be a number in \[0, 1\], got ") as caught:
        validate_score(score)
    assert repr(score) in str(caught.value)


def test_defaults() -> None:
    detector = ConvergenceDetector()
    assert (detector.delta_threshold, detector.patience, detector.score_threshold) == (0.01, 3, None)
    assert len({detector, ConvergenceDetector()}) == 2  # each has a memory of its own
    assert repr(detector) == "ConvergenceDetector(delta_threshold=0.01, patience=3, score_threshold=None)"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("delta_threshold", value) for value in (-0.1, 1.1, math.nan, math.inf, True, "0.1", None)),
        *(("patience", value) for value in (0, -1, 1.5, True, "3", None)),
        *(("score_threshold", value) for value in (-0.1, 1.1, math.nan, math.inf, True, "0.9")),
    ],
)
def test_parameters_out_of_range_are_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be ") as caught:
        ConvergenceDetector(**{name: value})
    assert repr(value) in str(caught.value)


def test_patience_counts_changes_so_the_first_score_is_none() -> None:
    assert answers(ConvergenceDetector(patience=3), 0.5, 0.5, 0.5, 0.5) == [False, False, False, True]
    assert answers(ConvergenceDetector(patience=1), 0.5, 0.5) == [False, True]


def test_a_larger_change_starts_the_count_again() -> None:
    assert answers(ConvergenceDetector(patience=2), 0.5, 0.5, 0.6, 0.6, 0.6) == [False] * 4 + [True]


def test_a_small_drop_counts_like_a_small_rise() -> None:
    assert answers(ConvergenceDetector(patience=3), 0.700, 0.695, 0.700, 0.692) == [False] * 3 + [True]


def test_a_large_drop_is_a_change() -> None:
    assert answers(ConvergenceDetector(patience=1), 0.7, 0.5, 0.5) == [False, False, True]


@pytest.mark.parametrize("hundredths", range(100))
def test_a_change_of_exactly_delta_is_within_whatever_the_floats_say(hundredths: int) -> None:
    low, high = hundredths / 100, (hundredths + 1) / 100
    assert answers(ConvergenceDetector(delta_threshold=0.01, patience=2), low, high, low)[-1]


def test_more_than_delta_is_not_within() -> None:
    assert not any(answers(ConvergenceDetector(delta_threshold=0.01, patience=1), 0.8, 0.8101, 0.8))


def test_zero_delta_asks_for_no_change_at_all() -> None:
    assert answers(ConvergenceDetector(delta_threshold=0.0, patience=1), 0.5, 0.5001, 0.5001) == [
        False,
        False,
        True,
    ]


def test_the_target_stops_at_once_and_says_so() -> None:
    detector = ConvergenceDetector(score_threshold=0.9)
    assert answers(detector, 0.89, 0.9) == [False, True]
    assert detector.stop_reason == "target"


def test_a_plateau_below_the_target_is_told_from_the_target() -> None:
    detector = ConvergenceDetector(patience=2, score_threshold=0.9)
    assert answers(detector, 0.5, 0.5, 0.5) == [False, False, True]
    assert detector.stop_reason == "plateau"


def test_target_is_the_reason_where_both_hold() -> None:
    detector = ConvergenceDetector(delta_threshold=0.1, patience=1, score_threshold=0.9)
    assert answers(detector, 0.85, 0.9) == [False, True]
    assert detector.stop_reason == "target"


def test_there_is_no_reason_before_and_after_stopping() -> None:
    detector = ConvergenceDetector(score_threshold=0.9)
    assert detector.stop_reason is None
    assert answers(detector, 0.95, 0.2) == [True, False]
    assert detector.stop_reason is None


def test_a_target_of_zero_is_a_target() -> None:
    assert ConvergenceDetector(score_threshold=0.0).should_stop(0.0)


def test_reset_forgets_everything() -> None:
    detector = ConvergenceDetector(patience=1)
    assert answers(detector, 0.5, 0.5) == [False, True]
    detector.reset()
    assert detector.stop_reason is None
    assert answers(detector, 0.5, 0.5) == [False, True]


@pytest.mark.parametrize("score", NOT_SCORES, ids=lambda value: str(value)[:12])
def test_a_refused_score_is_not_recorded(score: Any) -> None:
    detector = ConvergenceDetector(patience=2)
    assert answers(detector, 0.5, 0.5) == [False, False]
    with pytest.raises(ValueError, match="score must be"):
        detector.should_stop(score)
    assert detector.should_stop(0.5)


@given(st.lists(scores, min_size=1, max_size=12), st.integers(1, 4), scores, st.none() | scores)
def test_stops_exactly_when_the_last_changes_are_small_or_the_target_is_met(
    values: list[float], patience: int, delta: float, target: float | None
) -> None:
    detector = ConvergenceDetector(delta, patience, target)
    for count, value in enumerate(values, 1):
        stopped = detector.should_stop(value)
        window = values[max(0, count - patience - 1) : count]
        changes = [abs(b - a) for a, b in pairwise(window)]
        if target is not None and value >= target:
            assert detector.stop_reason == "target"
        elif len(changes) == patience and all(change <= delta for change in changes):
            assert detector.stop_reason == "plateau"
        elif len(changes) < patience or any(change > delta + 1e-6 for change in changes):
            assert detector.stop_reason is None
        assert stopped == (detector.stop_reason is not None)
