"""What a pattern tells its `on_event` callback while it works."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from executionkit.responses import ToolCall
from executionkit.streaming import StreamEvent


@dataclass(frozen=True, slots=True)
class RoundStarted:
    """A model call of `react_loop` is about to be made.

    Attributes:
        round: Its number, from 1.
    """

    round: int


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call is about to be carried out.

    Attributes:
        round: The round whose reply asked for it.
        call: The call.
    """

    round: int
    call: ToolCall


@dataclass(frozen=True, slots=True)
class Observation:
    """A tool call has ended; the calls of one round end in any order.

    Attributes:
        round: The round whose reply asked for it.
        call: The call.
        text: What the model will read.
        ran: Whether the tool was run: not, where its name or arguments were wrong.
        truncated: Whether the text was cut to `max_observation_chars`.
    """

    round: int
    call: ToolCall
    text: str
    ran: bool
    truncated: bool


@dataclass(frozen=True, slots=True)
class DraftStarted:
    """A generation of `refine_loop` is about to be made.

    Attributes:
        iteration: 0 for the first text, then the number of the improvement.
    """

    iteration: int


@dataclass(frozen=True, slots=True)
class DraftScored:
    """A text was scored.

    Attributes:
        iteration: 0 for the first text, then the number of the improvement.
        text: The text.
        score: Its score, in [0, 1].
        is_best: Whether it is the best so far.
    """

    iteration: int
    text: str
    score: float
    is_best: bool


PatternEvent: TypeAlias = RoundStarted | ToolStarted | Observation | DraftStarted | DraftScored | StreamEvent
"""The steps of a pattern, and between them the events of the replies themselves."""

EventCallback: TypeAlias = Callable[[PatternEvent], Awaitable[object] | object]
"""Takes an event; a plain or an async function. What it returns is not used."""
