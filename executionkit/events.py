"""The events that a pattern sends to its `on_event` callback."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from executionkit._display import Brief
from executionkit.responses import ToolCall
from executionkit.streaming import StreamEvent


@dataclass(frozen=True, slots=True)
class RoundStarted:
    """`react_loop` is about to call the model.

    Attributes:
        round: Number of the round, from 1.
    """

    round: int


@dataclass(frozen=True, slots=True)
class ToolStarted(Brief):
    """A tool is about to be called.

    Attributes:
        round: Number of the round whose reply asked for the call.
        call: The tool call.
    """

    round: int
    call: ToolCall


@dataclass(frozen=True, slots=True)
class ApprovalAsked(Brief):
    """`react_loop` is about to ask whether a tool may run. One question is open at a time.

    Attributes:
        round: Number of the round whose reply asked for the call; 0 if the conversation began with it.
        call: The tool call.
    """

    round: int
    call: ToolCall


@dataclass(frozen=True, slots=True)
class ApprovalGiven(Brief):
    """There is an answer to whether a tool may run.

    Attributes:
        round: Number of the round whose reply asked for the call; 0 if the conversation began with it.
        call: The tool call, with the arguments that the tool will be run with.
        approved: Whether it may run.
        reason: The reason for a refusal; "" if there is none.
    """

    round: int
    call: ToolCall
    approved: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Observation(Brief):
    """A tool call has ended. The calls of one round end in any order.

    Attributes:
        round: Number of the round whose reply asked for the call.
        call: The tool call.
        text: The text that the model will read.
        ran: Whether the tool ran. False if its name or arguments were wrong, if it was declined, or if it
            is the tool that takes a typed answer.
        truncated: Whether the text was cut to `max_observation_chars`.
    """

    round: int
    call: ToolCall
    text: str
    ran: bool
    truncated: bool


@dataclass(frozen=True, slots=True)
class DraftStarted:
    """`refine_loop` is about to ask for a text.

    Attributes:
        iteration: 0 for the first text, then the number of the improvement.
    """

    iteration: int


@dataclass(frozen=True, slots=True)
class DraftScored(Brief):
    """`refine_loop` has scored a text.

    Attributes:
        iteration: 0 for the first text, then the number of the improvement.
        text: The text.
        score: The score, in [0, 1].
        is_best: Whether it is the best text so far.
    """

    iteration: int
    text: str
    score: float
    is_best: bool


PatternEvent: TypeAlias = (
    RoundStarted
    | ApprovalAsked
    | ApprovalGiven
    | ToolStarted
    | Observation
    | DraftStarted
    | DraftScored
    | StreamEvent
)
"""An event of a pattern, or of a reply of the model in between."""

EventCallback: TypeAlias = Callable[[PatternEvent], Awaitable[object] | object]
"""A function of one event, sync or async. Its return value is ignored."""
