"""Parameter checks: what is in range passes, what is not is named together with its value."""

import math
import re
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import executionkit
from executionkit import LLMProvider, MockProvider, PatternResult, TokenUsage, VotingStrategy, answers
from executionkit import _checks as checks

INF = math.inf
NO_NUMBERS = [None, "1", "", True, False, [1], b"1", 1j, math.nan]


def refuses(check: Any, value: object, message: str, *limits: Any) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'size must be {message}, got {value!r}')}$"):
        check(*limits, size=value)


# -- at_least --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minimum", "value"), [(1, 1), (1, 10**30), (0, 0), (-2, -1)])
def test_integers_from_the_minimum_up_pass(minimum: int, value: int) -> None:
    checks.at_least(minimum, size=value)


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, -1, 1.0, 1.5, INF], ids=repr)
def test_anything_but_an_integer_from_the_minimum_up_is_refused(value: object) -> None:
    refuses(checks.at_least, value, "an integer >= 1", 1)


# -- between ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 0.0, 1, 1.0, 0.5, 5e-324, -0.0])
def test_numbers_in_the_range_pass_its_ends_included(value: float) -> None:
    checks.between(0.0, 1.0, size=value)


@pytest.mark.parametrize(
    "value", [*NO_NUMBERS, -0.001, 1.001, 2, INF, -INF, 10**400], ids=lambda v: repr(v)[:9]
)
def test_numbers_outside_the_range_are_refused(value: object) -> None:
    refuses(checks.between, value, "in [0, 1]", 0.0, 1.0)


@pytest.mark.parametrize("value", [0, 0.1, 1e308])
def test_a_range_without_end_takes_any_finite_number(value: float) -> None:
    checks.between(0.0, INF, size=value)


@pytest.mark.parametrize(
    "value", [*NO_NUMBERS, -1, INF, -INF, 10**400, -(10**400)], ids=lambda v: repr(v)[:9]
)
def test_a_range_without_end_takes_nothing_else(value: object) -> None:
    refuses(checks.between, value, "a finite number >= 0", 0.0, INF)


# -- positive --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1, 0.001, 5e-324, 1e308])
def test_more_than_nothing_passes(value: float) -> None:
    checks.positive(size=value)


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, 0.0, -1, INF, -INF, 10**400], ids=lambda v: repr(v)[:9])
def test_nothing_or_less_or_without_end_is_refused(value: object) -> None:
    refuses(checks.positive, value, "a finite number > 0")


@given(st.floats(allow_nan=True, allow_infinity=True) | st.integers())
def test_what_passes_is_finite_and_in_range(value: float) -> None:
    cases: list[tuple[Callable[[], None], bool]] = [
        (lambda: checks.between(0.0, 2.0, size=value), 0 <= value <= 2),
        (lambda: checks.positive(size=value), 0 < value < INF),
    ]
    for check, holds in cases:
        try:
            check()
        except ValueError:
            assert not holds
        else:
            assert holds


# -- text, choices, budgets ------------------------------------------------------------------------------


def test_text_passes() -> None:
    checks.text(size="")


@pytest.mark.parametrize("value", [None, b"x", 3, ["x"]], ids=repr)
def test_what_is_no_text_is_refused(value: object) -> None:
    refuses(checks.text, value, "a str")


@pytest.mark.parametrize("value", ["majority", VotingStrategy.UNANIMOUS])
def test_a_choice_passes_as_text_or_member(value: object) -> None:
    checks.one_of(tuple(VotingStrategy), size=value)


@pytest.mark.parametrize("value", ["MAJORITY", "", None, 3, ["majority"], {}], ids=repr)
def test_another_choice_is_refused_and_the_choices_are_told(value: object) -> None:
    refuses(checks.one_of, value, "one of 'majority', 'unanimous'", tuple(VotingStrategy))


@pytest.mark.parametrize("value", [None, TokenUsage(), TokenUsage(-1, 5, 0)])
def test_a_budget_is_a_usage_or_none(value: object) -> None:
    checks.budget(size=value)


@pytest.mark.parametrize("value", [0, 5, {}, "none", (1, 2, 3), TokenUsage], ids=repr)
def test_a_budget_is_nothing_else(value: object) -> None:
    refuses(checks.budget, value, "a TokenUsage or None")


# -- all together ----------------------------------------------------------------------------------------


def test_the_first_wrong_one_of_several_is_named() -> None:
    with pytest.raises(ValueError, match=r"^second must be an integer >= 1, got 0$"):
        checks.at_least(1, first=1, second=0, third=-1)


def test_what_every_pattern_takes() -> None:
    right: dict[str, Any] = {"temperature": 2.0, "max_tokens": 1, "max_cost": None}
    checks.sampling(**right)
    wrong: dict[str, list[Any]] = {
        "temperature": [-0.1, 2.1, math.nan, "1"],
        "max_tokens": [0, 1.0, None],
        "max_cost": [5],
    }
    for name, values in wrong.items():
        for value in values:
            with pytest.raises(ValueError, match=f"^{name} must be .*{re.escape(repr(value))}$"):
                checks.sampling(**{**right, name: value})


# -- functions of the user's -----------------------------------------------------------------------------


# Any: a type checker would not let these tests give such functions.
ek: Any = executionkit
tagged: Any = answers.tagged


async def step(provider: LLMProvider) -> PatternResult[str]:
    raise AssertionError


async def demanding(provider: LLMProvider, prompt: str, *, city: str) -> PatternResult[str]:
    raise AssertionError


@pytest.mark.parametrize(
    "call",
    [
        lambda provider: ek.consensus_sync(provider, "q", key=lambda: "a"),
        lambda provider: ek.best_of_n_sync(provider, "q", evaluator=lambda text: 1.0),
        lambda provider: ek.best_of_n_sync(provider, "q", evaluator=lambda text, provider, extra: 1.0),
        lambda provider: ek.refine_loop_sync(provider, "q", evaluator=lambda text: 1.0),
        lambda provider: ek.refine_loop_sync(provider, "q", evaluator=lambda text, *, task: 1.0),
        lambda provider: ek.refine_loop_sync(provider, "q", on_event=lambda: None),
        lambda provider: ek.react_loop_sync(provider, "q", [], on_event=lambda event, more: None),
        lambda provider: ek.structured_sync(provider, "q", validator=lambda: True),
        lambda provider: ek.map_reduce_sync(provider, ["q"], map_prompt=lambda: "", reduce_prompt=""),
        lambda provider: ek.map_reduce_sync(
            provider, ["q"], map_prompt="", reduce_prompt=lambda one, two: ""
        ),
        lambda provider: tagged(then=lambda: 3),
        lambda provider: ek.pipe_sync(provider, "q", ek.consensus, step),
        lambda provider: ek.pipe_sync(provider, "q", ek.consensus, demanding),
    ],
)
def test_a_function_that_takes_other_arguments_is_refused_before_any_call(
    call: Callable[[MockProvider], object],
) -> None:
    provider = MockProvider(["a"])
    with pytest.raises((ValueError, TypeError), match=r"called (as|with) .*: (missing|too many)"):
        call(provider)
    assert provider.call_count == 0


@pytest.mark.parametrize(
    "key", [len, str.strip, hash, partial(re.sub, "a", "b"), Decimal, lambda *texts: "a"]
)
def test_a_function_whose_arguments_fit_or_cannot_be_told_passes(key: Any) -> None:
    checks.called_with("text", key=key)
