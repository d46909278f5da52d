"""Naming the keyword that was probably meant."""

import asyncio
import functools
import inspect
from collections.abc import Callable

import pytest

from executionkit import (
    Kit,
    MockProvider,
    consensus,
    pipe,
    pipe_sync,
    react_loop,
    react_loop_sync,
    refine_loop,
)
from executionkit._checks import unknown_keyword


@pytest.mark.parametrize(
    ("given", "meant"),
    [("num_smaples", "num_samples"), ("max_token", "max_tokens"), ("Temperature", "temperature")],
)
def test_a_misspelt_keyword_names_the_one_meant(given: str, meant: str) -> None:
    told = unknown_keyword("pipe", given, consensus)
    assert told == f"pipe: the keyword {given!r} is ignored; did you mean {meant!r}?"


def test_a_keyword_like_no_other_is_just_told() -> None:
    assert unknown_keyword("pipe", "zzz", consensus) == "pipe: the keyword 'zzz' is ignored"


def test_the_nearest_of_all_takers_is_named() -> None:
    told = unknown_keyword("pipe", "max_round", consensus, functools.partial(react_loop), refine_loop)
    assert told.endswith("did you mean 'max_rounds'?")


def test_a_catch_all_is_no_keyword_to_be_meant() -> None:
    def step(provider: object, prompt: str, **optiens: object) -> None: ...

    assert unknown_keyword("pipe", "options", step) == "pipe: the keyword 'options' is ignored"


def test_a_keyword_that_every_taker_has_preset_says_so() -> None:
    told = unknown_keyword("pipe", "num_samples", functools.partial(consensus, num_samples=3))
    assert told == "pipe: the keyword 'num_samples' is ignored: wherever it is taken it is set already"


@pytest.mark.parametrize(
    "run",
    [
        lambda: asyncio.run(pipe(MockProvider(["a"]), "q", consensus, num_smaples=1, num_samples=1)),
        lambda: asyncio.run(Kit(MockProvider(["a"])).pipe("q", consensus, num_smaples=1, num_samples=1)),
        lambda: pipe_sync(MockProvider(["a"]), "q", consensus, num_smaples=1, num_samples=1),
        lambda: react_loop_sync(MockProvider(["a"]), "q", [], num_smaples=1),  # type: ignore[arg-type]  # it is the point
    ],
)
def test_the_warning_points_at_the_line_of_the_user(run: Callable[[], object]) -> None:
    with pytest.warns(UserWarning, match="num_smaples") as met:
        run()
    assert met[0].filename == __file__
    assert met[0].lineno in range(*_lines_of(run))


def _lines_of(run: Callable[[], object]) -> tuple[int, int]:
    lines, first = inspect.getsourcelines(run)
    return first, first + len(lines)
