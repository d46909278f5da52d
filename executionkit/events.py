"""The events that a pattern sends to its `on_event` callback."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from executionkit._display import Brief
from executionkit.responses import ToolCall
from executionkit.streaming import StreamEvent
from executionkit.types import TokenUsage, Verdict


@dataclass(frozen=True, slots=True)
class PatternStarted(Brief):
    """A pattern begins. Its arguments have been checked, and no call was made yet.

    Attributes:
        pattern: The pattern's name, such as "consensus".
        total: How many samples, inputs, drafts or steps there will be at most; None if that can't be known.
        depth: 0 for the pattern that was given the callback; 1 for a step of that pipe, and so on.
    """

    pattern: str
    total: int | None
    depth: int = 0


@dataclass(frozen=True, slots=True)
class PatternEnded(Brief):
    """A pattern has ended: it succeeded, failed or was cancelled. It is the pattern's last event.

    When a run is cancelled, an async callback can't wait in this event: it runs up to its first wait. An
    exception that the callback raises here is logged, and not counted: the result exists already.

    Attributes:
        pattern: The pattern's name.
        error: The exception that leaves the pattern; None if it succeeded.
        depth: 0 for the pattern that was given the callback; 1 for a step of that pipe, and so on.
        cost: The cost of the pattern.
    """

    pattern: str
    error: BaseException | None
    depth: int = 0
    cost: TokenUsage = field(default=TokenUsage(), kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class Retrying(Brief):
    """A call has failed, and is about to be made again after a wait. Calls of judges and tools count too.

    Attributes:
        attempt: Number of the attempt that failed, from 1.
        wait: Seconds until the next attempt.
        error: The error of the attempt.
        cost: The spend of the pattern so far.
    """

    attempt: int
    wait: float
    error: Exception
    cost: TokenUsage = field(default=TokenUsage(), kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class SampleDone(Brief):
    """A sample of `consensus`, `cascade` or `best_of_n` has come back, or failed for good.

    Samples end in any order, and these events come in that order.

    Attributes:
        index: Number of the sample, from 0; in `cascade` over all tiers.
        answer: In `consensus` and `cascade`, the answer that it votes for: the value that `key` read, or the
            text with its whitespace collapsed. In `best_of_n`, the text. None if it has no answer, or failed.
        votes: How many samples so far, in `cascade` of the same tier, gave this answer, this one included; 0
            without an answer, and in `best_of_n`.
        failed: Whether it failed.
        variant: The phrasing that asked for it: 0 is the prompt, 1 the first of its `variants`, and so on.
        cost: The spend of the pattern so far.
    """

    index: int
    answer: object
    votes: int
    failed: bool
    variant: int = field(default=0, kw_only=True)
    cost: TokenUsage = field(default=TokenUsage(), kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class TierDone(Brief):
    """A tier of a `cascade` has been asked.

    Attributes:
        tier: Position of the tier.
        answer: Its most common answer; None if no sample has one.
        votes: How many samples gave this answer.
        samples: How many samples were asked for.
        escalates: Whether the next tier is asked, because this one did not reach its `agreement`.
        cost: The spend of the pattern so far.
    """

    tier: int
    answer: object
    votes: int
    samples: int
    escalates: bool
    cost: TokenUsage = field(default=TokenUsage(), kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class CandidateScored:
    """A candidate of `best_of_n` has a score. With a `Pairwise`, the scores come when all are compared.

    Attributes:
        index: Number of the candidate, from 0.
        score: The score, in [0, 1].
        cost: The spend of the pattern so far.
    """

    index: int
    score: float
    cost: TokenUsage = field(default=TokenUsage(), kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class PairCompared:
    """Two candidates of `best_of_n` have been compared in one order.

    Attributes:
        first: Number of the candidate that was shown first.
        second: Number of the other candidate.
        verdict: Which one was better: "first", "second" or "tie".
        done: Number of comparisons so far.
        total: Number of all comparisons.
        cost: The spend of the pattern so far.
    """

    first: int
    second: int
    verdict: Verdict
    done: int
    total: int
    cost: TokenUsage = field(default=TokenUsage(), kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class InputDone:
    """An input of `map_reduce` has been mapped, or failed for good. Inputs end in any order.

    Attributes:
        index: Position of the input.
        done: Number of inputs that have ended so far, failed ones included.
        total: Number of all inputs.
        failed: Whether it failed.
        cost: The spend of the pattern so far.
    """

    index: int
    done: int
    total: int
    failed: bool
    cost: TokenUsage = field(default=TokenUsage(), kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class Reducing:
    """`map_reduce` is about to reduce a level of results.

    Attributes:
        level: Number of the level, from 1.
        groups: Number of groups. Each becomes one result; 1 is the last level.
        cost: The spend of the pattern so far.
    """

    level: int
    groups: int
    cost: TokenUsage = field(default=TokenUsage(), kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class Rejected(Brief):
    """A reply to `structured` was not what was asked for.

    Attributes:
        errors: The faults of the reply, each with its place.
        cost: The spend of the pattern so far.
    """

    errors: tuple[str, ...]
    cost: TokenUsage = field(default=TokenUsage(), kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class StepStarted(Brief):
    """A step of a `pipe` is about to be called.

    Attributes:
        index: Number of the step, from 0.
        name: The name of the step's function.
        cost: The spend of the pipe so far.
    """

    index: int
    name: str
    cost: TokenUsage = field(default=TokenUsage(), kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class StepDone(Brief):
    """A step of a `pipe` has returned.

    Attributes:
        index: Number of the step, from 0.
        name: The name of the step's function.
        cost: The spend of the pipe so far.
    """

    index: int
    name: str
    cost: TokenUsage = field(default=TokenUsage(), kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class RoundStarted:
    """`react_loop` is about to call the model.

    Attributes:
        round: Number of the round, from 1.
        cost: The spend of the pattern so far.
    """

    round: int
    cost: TokenUsage = field(default=TokenUsage(), kw_only=True, compare=False)


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
        cost: The spend of the pattern so far.
    """

    iteration: int
    text: str
    score: float
    is_best: bool
    cost: TokenUsage = field(default=TokenUsage(), kw_only=True, compare=False)


PatternEvent: TypeAlias = (
    PatternStarted
    | PatternEnded
    | Retrying
    | SampleDone
    | TierDone
    | CandidateScored
    | PairCompared
    | InputDone
    | Reducing
    | Rejected
    | StepStarted
    | StepDone
    | RoundStarted
    | ApprovalAsked
    | ApprovalGiven
    | ToolStarted
    | Observation
    | DraftStarted
    | DraftScored
    | StreamEvent
)
"""An event of a pattern, or of a reply of the model in between. Later versions may add events."""

EventCallback: TypeAlias = Callable[[PatternEvent], Awaitable[object] | object]
"""A function of one event, sync or async. Its return value is ignored."""
