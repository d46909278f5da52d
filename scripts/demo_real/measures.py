"""How often a model is right, and what that cost: orders read, sums worked out with a tool, votes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any, Literal, TypeAlias

import executionkit
from demo_real import tasks
from demo_real.steps import Step
from demo_real.tally import Tally
from demo_real.tasks import Task
from executionkit import (
    BudgetExhaustedError,
    Kit,
    LLMError,
    PatternError,
    Provider,
    RetryConfig,
    TokenUsage,
    ToolCallingProvider,
    answers,
    consensus,
    react_loop,
    structured,
)
from executionkit.many import Progress, RateLimits, RowResult

SAMPLES = 5
RETRY = RetryConfig(max_retries=1, base_delay=0.2)


@dataclass
class Row:
    """A line of the table.

    Attributes:
        name: What was measured.
        right: How many answers were right.
        count: How many were given, or given up by the model.
        usage: What they cost.
        seconds: How long they took.
        note: What else is to be said.
        broken: The promises that were broken; empty if all is well.
        shared: Whether another line has its cost.
        compared: Whether its counts were held against all others that there are.
    """

    name: str
    right: int
    count: int
    usage: TokenUsage
    seconds: float
    note: str = ""
    broken: list[str] = field(default_factory=list)
    shared: bool = False
    compared: bool = True


@dataclass
class Marks:
    """What the steps of a measure note beside the answers.

    Attributes:
        right: The right answers among those that are counted otherwise than one for a task.
        count: How many those are.
        tools: The tasks in which the tool ran.
    """

    right: int = 0
    count: int = 0
    tools: int = 0


RowStep: TypeAlias = Callable[[Marks, ToolCallingProvider, Task], Awaitable[bool]]


async def read_order(_: Marks, provider: ToolCallingProvider, task: Task) -> bool:
    """Whether an order is read rightly."""
    result = await structured(provider, task.prompt, tasks.ORDER, max_retries=2, max_tokens=96, retry=RETRY)
    return bool(result.value == task.answer)


def calculate(a: int, operator: Literal["+", "-", "*"], b: int) -> int:
    """Work out a sum of two numbers.

    Args:
        a: The first number.
        operator: One of +, - and *.
        b: The second number.
    """
    return a + b if operator == "+" else a - b if operator == "-" else a * b


async def work_out(marks: Marks, provider: ToolCallingProvider, task: Task) -> bool:
    """Whether a sum is worked out rightly."""
    runs = 0

    @wraps(calculate)
    def counting(**arguments: Any) -> int:
        nonlocal runs
        runs += 1
        marks.tools += runs == 1
        return calculate(**arguments)

    result = await react_loop(
        provider,
        task.prompt,
        [counting],
        max_rounds=3,
        max_repeats=2,
        max_tokens=96,
        temperature=0.0,
        text_calls="run",
        on_limit="answer",
        retry=RETRY,
    )
    return answers.number(result.value) == task.answer


async def ask(_: Marks, provider: ToolCallingProvider, task: Task) -> bool:
    """Whether one answer is right, asked for at temperature 0."""
    result = await consensus(
        provider, task.prompt, num_samples=1, temperature=0.0, max_tokens=48, key=answers.number, retry=RETRY
    )
    return result.answer == task.answer


async def vote(marks: Marks, provider: ToolCallingProvider, task: Task) -> bool:
    """Whether a vote is right; its single answers are noted."""
    try:
        result = await consensus(
            provider,
            task.prompt,
            num_samples=SAMPLES,
            temperature=0.8,
            max_tokens=48,
            key=answers.number,
            retry=RETRY,
        )
    except PatternError:  # no sample had an answer
        marks.count += SAMPLES
        raise
    marks.count += SAMPLES
    marks.right += sum(count for answer, count in result.votes if answer == task.answer)
    return result.answer == task.answer


@dataclass(frozen=True)
class Bounds:
    """How far a measure may go.

    Attributes:
        seconds: The most seconds.
        in_flight: The most calls at once.
        served: What the server counts itself; None where that is not known.
    """

    seconds: float
    in_flight: int
    served: Callable[[], TokenUsage] | None = None


async def measure(
    name: str,
    step: RowStep,
    todo: list[Task],
    provider: Provider,
    bounds: Bounds,
    *,
    calls_each: int,
    shown: Step,
) -> tuple[Row, Marks]:
    """Ask for all answers, at most `calls_each` calls for one, and count.

    Nothing that the model answers makes this fail. What the library must not do is noted in the row.
    """
    marks, ended = Marks(), list[RowResult[Any]]()
    tally = Tally(provider)
    ceiling = TokenUsage(llm_calls=calls_each * len(todo))
    kit = Kit(tally, max_cost=ceiling)
    before = await _served(bounds)
    started = time.monotonic()

    def show(progress: Progress) -> None:
        shown.state = f"{progress.done + progress.failed} of {len(todo)}"

    cut = ""
    try:
        async with asyncio.timeout(bounds.seconds):
            await kit.run_many(
                [{"id": f"{number}", "task": task} for number, task in enumerate(todo)],
                partial(_row, step, marks),
                id="id",
                limits=RateLimits(max_in_flight=bounds.in_flight),
                on_result=ended.append,
                progress=show,
            )
    except TimeoutError:
        cut = f"stopped after {bounds.seconds:.0f} s"
    except (LLMError, BudgetExhaustedError) as error:  # a wrong key, an unknown model: it concerns all rows
        cut = f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - started
    shown.state = f"{len(ended)} of {len(todo)}"
    broken = _broken(kit.usage, tally.usage, ceiling)
    after = None if cut else await _served(bounds)
    if after is not None and before is not None:
        broken += _differing("the server's", kit.usage, _minus(after, before))
    failures = [row.error for row in ended if row.error and _kind(row) == "way"]
    # A model that broke off a task has been heard; an endpoint that refused it says nothing of the model.
    unheard = sum(_kind(row) == "way" and not row.cost.input_tokens for row in ended if row.error)
    kinds = [_kind(row) for row in ended if row.error is not None]
    broken += [
        f"an error of the library's: {row.error}" for row in ended if row.error and _kind(row) == "ours"
    ]
    notes = [
        cut,
        _counted(kinds.count("model"), "gave none that fits"),
        _counted(len(failures), f"not answered, the first with {failures[0][:160]}" if failures else ""),
    ]
    row = Row(
        name,
        sum(row.value is True for row in ended),
        len(ended) - unheard,
        kit.usage,
        seconds,
        ", ".join(filter(None, notes)),
        broken,
        compared=bounds.served is None or None not in (before, after),
    )
    return row, marks


async def _row(step: RowStep, marks: Marks, provider: ToolCallingProvider, row: dict[str, Any]) -> bool:
    return await step(marks, provider, row["task"])


async def _served(bounds: Bounds) -> TokenUsage | None:
    try:
        return await asyncio.to_thread(bounds.served) if bounds.served else None
    except OSError:  # it has gone, which the next call says
        return None


def _minus(after: TokenUsage, before: TokenUsage) -> TokenUsage:
    return TokenUsage(
        after.input_tokens - before.input_tokens,
        after.output_tokens - before.output_tokens,
        after.llm_calls - before.llm_calls,
    )


def _broken(ours: TokenUsage, counted: TokenUsage, ceiling: TokenUsage) -> list[str]:
    broken = _differing("the provider's", ours, counted)
    if counted.llm_calls > ceiling.llm_calls:
        broken.append(f"the budget of {ceiling.llm_calls} calls was passed: {counted.llm_calls}")
    return broken


def _differing(whose: str, ours: TokenUsage, theirs: TokenUsage) -> list[str]:
    names = ("llm_calls", "input_tokens", "output_tokens")
    return [
        f"{name}: {whose} count is {getattr(theirs, name):,}, the library's {getattr(ours, name):,}"
        for name in names
        if getattr(ours, name) != getattr(theirs, name)
    ]


def _kind(row: RowResult[Any]) -> Literal["model", "way", "ours"]:
    """Whose a failure is: the model's, the way to the endpoint's, or the library's."""
    kind: object = getattr(executionkit, (row.error or "").partition(":")[0], None)
    if isinstance(kind, type) and issubclass(kind, LLMError):
        return "way"
    return "model" if isinstance(kind, type) and issubclass(kind, PatternError) else "ours"


def _counted(number: int, text: str) -> str:
    return f"{number} {text}" if number else ""
