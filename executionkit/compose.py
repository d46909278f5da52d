"""`pipe`: patterns end to end, the value of one being the prompt of the next, on one budget."""

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, TypeVar, cast

from executionkit import _checks as checks
from executionkit._callables import misfit, signature_of
from executionkit._json import copied, is_record
from executionkit._keywords import CEILINGS, nearest, refuse_keyword
from executionkit._prompt import Prompt, content_of
from executionkit._shown import shown
from executionkit._warning import warn_the_caller
from executionkit.cost import minus, tighter
from executionkit.engine import bill
from executionkit.engine.retry import RetryConfig
from executionkit.engine.run import Run
from executionkit.events import EventCallback, StepDone, StepStarted
from executionkit.patterns._narrator import Narrator
from executionkit.protocols import LLMProvider, ToolCallingProvider
from executionkit.types import PatternResult, TokenUsage

if TYPE_CHECKING:
    from executionkit._display._card import Card

__all__ = ["PatternStep", "pipe"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class PatternStep(Protocol[T_co]):
    """A step of a `pipe`: a pattern, a `functools.partial` of one, or an async function of this shape.

    The step's provider counts its calls against the pipe's budget. A step may have further keyword
    parameters. It receives the shared keywords that it has a parameter for. If the pipe has a `max_budget`, a
    step with a parameter `max_cost` receives what is left of it.

    Example:
        ```python
        from executionkit import MockProvider, PatternResult, consensus, pipe


        async def as_question(provider, prompt):
            return PatternResult(f"In which country is {prompt}?")


        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        provider = MockProvider(["Paris"])
        result = await pipe(provider, "The largest city?", consensus, as_question)
        assert result.value == "In which country is Paris?"
        ```
    """

    def __call__(self, provider: ToolCallingProvider, prompt: str, /) -> Awaitable[PatternResult[T_co]]:
        """Run the step."""
        ...


@dataclass(frozen=True)
class PipeResult(PatternResult[T_co]):
    """The last step's `value` and `score`, and the `cost` of all steps.

    `metadata` holds the last step's metadata and the three fields below.

    Attributes:
        step_count: Number of steps run.
        step_metadata: The metadata of each step, in order.
        callback_errors: How often the pipe's `on_event` raised an exception.
    """

    step_count: int = 0
    step_metadata: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    callback_errors: int = 0

    def _describe(self, card: "Card") -> None:
        from executionkit._display._card import Entry, Fold
        from executionkit._display._line import words

        card.score(self.score)
        card.count(self.step_count, "step")
        figures = (
            ", ".join(f"{key} {words(item)}" for key, item in told.items() if _is_figure(item))
            for told in self.step_metadata
        )
        steps = (Entry(f"step {number}", told) for number, told in enumerate(figures, 1))
        card.folds.append(Fold("Steps", len(self.step_metadata), steps))


async def pipe(
    provider: LLMProvider,
    prompt: Prompt,
    *steps: PatternStep[T],
    max_budget: TokenUsage | None = None,
    on_event: EventCallback | None = None,
    **shared_kwargs: object,
) -> PipeResult[T]:
    """Run steps one after the other, on one budget. The value of each is the prompt of the next.

    Example:
        ```python
        from functools import partial

        from executionkit import MockProvider, TokenUsage, consensus, pipe, refine_loop

        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        provider = MockProvider(
            ["Time, poured.", "Time, poured.", "Time, poured slowly.", "Score: 10"]
        )
        result = await pipe(
            provider,
            "Write a tagline for a tea house.",
            partial(consensus, num_samples=2),
            refine_loop,
            max_budget=TokenUsage(llm_calls=12),
        )
        assert result.value == "Time, poured slowly."
        assert result.cost.llm_calls == 4
        ```

    Args:
        provider: Makes the model calls: a `Provider`, or any object that satisfies `LLMProvider`. Each step
            receives a provider around it, whose calls count against `max_budget`.
        prompt: The first step's prompt: a text, or a list of texts and parts where that step takes one.
        *steps: Patterns, partials of patterns, or async functions `(provider, prompt) -> PatternResult`. A
            value that is not a string becomes the next prompt as JSON text if it is a dict, list, tuple,
            model, or a dataclass without a `__str__` of its own, and as `str(value)` otherwise.
        max_budget: Maximum calls and tokens for all steps together, retries included. The rest of it goes
            to each step as `max_cost`; a negative field means that nothing is left. Defaults to no limit.
        on_event: Callback, sync or async, that receives each `PatternEvent` as it happens: the beginning,
            each step, the end; and the events of each step that has a parameter `on_event` and did not preset
            it. It is called with one event at a time, and the pipe waits for it. An exception that it raises
            is logged and counted. Defaults to none.
        **shared_kwargs: Keywords for every step that has a parameter of that name and did not preset it with
            `functools.partial`. `retry` also holds for the calls of steps that don't take it. `max_cost` is a
            ceiling for each step by itself, also for a step that has no such parameter; without
            `max_budget` a warning says so. A keyword that is nearly a step's or the pipe's own, or that asks
            for a feature by another name (`messages`, `system`, `approval`, ...), is a TypeError before any
            call. Any other that no step takes is ignored with a warning.

    Returns:
        A `PipeResult`. Without steps its value is the prompt, at no cost. `metadata` keys: those of the last
        step, `step_count`, `step_metadata` and `callback_errors`.

    Raises:
        ValueError: `max_budget` is not a TokenUsage, or a shared keyword is out of a step's range.
        TypeError: A step is not callable or returns no PatternResult, or a shared keyword is refused.
        ExecutionKitError: Any error that a step raises. Its cost includes the steps before.

    Every error has the finished steps' metadata in `.metadata["step_metadata"]` and the last finished step's
    value in `["value"]` (None if there is none), beside the failed step's own metadata. If that step was a
    pipe too, its own two are in `.metadata["inner"]`.
    """
    content_of(prompt)  # which refuses what is no prompt
    checks.budget(max_budget=max_budget, max_cost=shared_kwargs.get("max_cost"))
    takers = [_Taker(step) for step in steps]
    retry = shared_kwargs.get("retry")
    own_retry = retry if isinstance(retry, RetryConfig) else None  # for steps that know nothing of retries
    _check_keywords(takers, shared_kwargs)
    narrator = Narrator("pipe", on_event)
    if narrator.listens:
        shared_kwargs = {**shared_kwargs, "on_event": narrator.pass_on}
    for taker in takers:
        taker.check(shared_kwargs, has_budget=max_budget is not None)
    if max_budget is None and "max_cost" in shared_kwargs and len(steps) > 1:
        warn_the_caller(
            "pipe: max_cost is a ceiling for each step by itself, and max_budget the one for all of them; "
            "set the steps' own by functools.partial"
        )
    done: list[PatternResult[Any]] = []

    def salvage() -> dict[str, Any]:
        return {
            "step_metadata": [copied(result.metadata) for result in done],
            "value": done[-1].value if done else None,
        }

    async with narrator.run(
        provider, len(steps), max_cost=max_budget, retry=own_retry, salvage=salvage
    ) as run:
        for index, taker in enumerate(takers):
            given = _as_prompt(done[-1].value) if done else prompt
            if narrator.listens:
                await narrator.tell(StepStarted(index, taker.title, cost=run.usage))
            done.append(await _run_step(taker, run, given, max_budget, shared_kwargs))
            if narrator.listens:
                await narrator.tell(StepDone(index, taker.title, cost=run.usage))
        last: PatternResult[Any] = done[-1] if done else PatternResult(prompt)
        result = PipeResult(
            value=last.value,
            score=last.score,
            cost=run.usage,
            metadata=last.metadata,
            step_count=len(done),
            step_metadata=[copied(result.metadata) for result in done],
            callback_errors=narrator.errors,
        )
        return run.shows(result)


def names_keyword(steps: Sequence[object], name: str) -> bool:
    """Whether one of the steps has a parameter of this name that is not preset."""
    return any(_Taker(cast("PatternStep[Any]", step)).names_it(name) for step in steps if callable(step))


def _check_keywords(takers: "list[_Taker]", shared: Mapping[str, object]) -> None:
    """Refuse a keyword that no step names if it is misspelt or has a meaning elsewhere; else warn of it."""
    theirs = {name for taker in takers for name in taker.names}
    known = ("provider", "prompt", *CEILINGS, *theirs)
    for name, value in shared.items():
        if any(taker.names_it(name) for taker in takers) or (
            name == "retry" and isinstance(value, RetryConfig)
        ):
            continue
        if name == "max_cost" and any(not taker.knows(name) for taker in takers):
            continue  # a ceiling around the steps that know nothing of it
        if any(taker.takes(name) for taker in takers):
            # A `**kwargs` takes any keyword. A misspelt ceiling must not end in it.
            if meant := nearest(name, CEILINGS):
                refuse_keyword("pipe", name, value, (meant,))
            continue
        why = ": wherever it is taken it is set already" if name in theirs else ""
        if not why:
            refuse_keyword("pipe", name, value, known)
        warn_the_caller(f"pipe: the keyword {name!r} is ignored{why}")


class _Taker:
    """A step and the keywords it has parameters for."""

    def __init__(self, step: PatternStep[Any]) -> None:
        if not callable(step):
            raise TypeError(f"pipe: a step must be an async callable (provider, prompt), got {step!r}")
        self.step = step
        preset: dict[str, Any] = {}
        inner: Any = step
        while isinstance(inner, functools.partial):
            preset = {**inner.keywords, **preset}
            inner = inner.func
        self.title: str = getattr(inner, "__name__", type(inner).__name__)
        signature = signature_of(step)
        parameters = list(signature.parameters.values()) if signature else []
        positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        self._named = named - set(positional[:2]) - set(preset)
        self.names = named
        self._preset = set(preset)
        # A catch-all called `_` takes keywords only to drop them, as react_loop's does.
        self._open = any(p.kind is p.VAR_KEYWORD and p.name != "_" for p in parameters)

    def names_it(self, name: str) -> bool:
        """Whether the step has a parameter of this name that is not preset."""
        return name in self._named

    def knows(self, name: str) -> bool:
        """Whether the step has a parameter for the keyword, or presets it."""
        return self._open or name in self.names or name in self._preset

    def takes(self, name: str) -> bool:
        """Whether the step is to be given a shared keyword of this name."""
        return name in self._named or (self._open and name not in self._preset)

    def check(self, shared: Mapping[str, object], *, has_budget: bool) -> None:
        """Require that the step can be called with what it will be given."""
        keywords = {name: value for name, value in shared.items() if self.takes(name)}
        if has_budget and self.takes("max_cost"):
            keywords["max_cost"] = None
        if why := misfit(self.step, None, "", **keywords):
            raise TypeError(f"pipe: a step is called with (provider, prompt), {self.step!r} can't be: {why}")


async def _run_step(
    taker: _Taker, run: Run, prompt: Prompt, max_budget: TokenUsage | None, shared: Mapping[str, object]
) -> PatternResult[Any]:
    keywords = {name: value for name, value in shared.items() if taker.takes(name)}
    provider, own = run, shared.get("max_cost")
    if isinstance(own, TokenUsage) and not taker.knows("max_cost"):
        provider = Run("pipe", run, max_cost=own)
    elif max_budget is not None and taker.takes("max_cost"):
        keywords["max_cost"] = tighter(run.left, own) if isinstance(own, TokenUsage) else run.left
    before, since = run.usage, bill.now()
    try:
        pending = cast("Callable[..., object]", taker.step)(provider, prompt, **keywords)
        if not inspect.isawaitable(pending):
            raise TypeError(f"pipe: a step must be async, {taker.step!r} returned {pending!r}")
        result = await pending
    except BaseException as exc:
        _charge_unmetered(run, before, bill.cost_of(exc, since=since))
        raise
    if not _is_result(result):
        raise TypeError(f"pipe: a step must return a PatternResult, {taker.step!r} returned {result!r}")
    _charge_unmetered(run, before, result.cost)
    return result


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(value)


def _is_result(value: object) -> TypeGuard[PatternResult[Any]]:
    return isinstance(value, PatternResult)


def _charge_unmetered(run: Run, before: TokenUsage, told: TokenUsage) -> None:
    """Count the spend that a step reports beyond what went through the run, on a provider of its own."""
    run.charge(minus(told, minus(run.usage, before)))


def _as_prompt(value: object) -> str:
    if isinstance(value, str):
        return value
    is_text = is_dataclass(value) and type(value).__str__ is not object.__str__
    if isinstance(value, (Mapping, list, tuple)) or (is_record(value) and not is_text):
        return shown(value)
    return str(value)
