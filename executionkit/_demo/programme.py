"""The programme: the scenes in their order, each with its code and the view of its result."""

import ast
import inspect
import textwrap
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from executionkit import TokenUsage, ToolCallingProvider
from executionkit._demo import scenes, views
from executionkit._demo.kill import Kill, Resumed
from executionkit._screen import Screen

R = TypeVar("R")


@dataclass(frozen=True)
class Scene(Generic[R]):
    """A scene.

    Attributes:
        name: The name of what it shows.
        play: Plays it. The first line of its docstring says what for.
        show: Shows the result.
        code: The lines to show beside the result.
        prompt: What is asked; "" where the result shows that.
        elsewhere: The part of its cost that was not spent through the provider that it was given.
    """

    name: str
    play: Callable[[ToolCallingProvider], Awaitable[R]]
    show: Callable[[R, Screen], None]
    code: list[str]
    prompt: str = ""
    elsewhere: Callable[[R], TokenUsage] = field(default=lambda _: TokenUsage())

    @property
    def summary(self) -> str:
        """What it is for; "" where docstrings were left out."""
        return (inspect.getdoc(self.play) or "").partition(".\n")[0].removesuffix(".")


def programme(kill: Kill) -> list[Scene[Any]]:
    """All scenes."""
    s, v = scenes, views
    return [
        Scene("consensus", s.vote, v.show_votes, body(s.vote), s.PUZZLE),
        Scene("best_of_n", s.choose, v.show_candidates, whole(s.score) + body(s.choose), s.REGEX),
        Scene("refine_loop", s.refine, v.show_attempts, body(s.refine), s.EXPLAIN),
        Scene("react_loop", s.use_tools, v.show_tools, whole(s.days_between) + body(s.use_tools), s.DAYS),
        Scene("structured", s.extract, v.show_data, body(s.extract), s.EMAIL),
        Scene("map_reduce", s.sum_up, v.show_summary, body(s.sum_up)),
        Scene("pipe", s.vote_then_refine, v.show_steps, body(s.vote_then_refine), s.TAGLINE),
        Scene("Conversation", s.talk, v.show_talk, whole(s.refund) + whole(s.approve) + body(s.talk)),
        Scene(
            *("run_many", kill.play, v.show_resumed, whole(s.label) + body(s.label_all)),
            f"{s.LABEL}{s.REVIEWS[0]} (and {len(s.REVIEWS) - 1} more)",
            _first_start,
        ),
    ]


def _first_start(resumed: Resumed) -> TokenUsage:
    return resumed.before


def whole(thing: Callable[..., object]) -> list[str]:
    """The source of a function or a class, and an empty line; nothing where the program has no source."""
    try:
        return [*inspect.getsource(thing).splitlines(), ""]
    except OSError:
        return []


def body(function: Callable[..., object]) -> list[str]:
    """The statements of a function as they stand, without its docstring."""
    lines = whole(function)[:-1]
    if not lines:
        return []
    tree = cast("ast.AsyncFunctionDef", ast.parse("\n".join(lines)).body[0])
    first = tree.body[0 if ast.get_docstring(tree) is None else 1]
    return textwrap.dedent("\n".join(lines[first.lineno - 1 :])).splitlines()
