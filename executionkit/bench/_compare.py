"""`compare`: several patterns over the same items, graded."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, SupportsFloat, TypeAlias, TypedDict, TypeVar, cast

from executionkit import _checks as checks
from executionkit._blocking import blocking
from executionkit._callables import misfit
from executionkit._shown import shown
from executionkit.bench._comparison import Comparison, compared
from executionkit.bench._figures import Outcome
from executionkit.bench._grading import Grade, match
from executionkit.cost import minus
from executionkit.engine.bill import add_note
from executionkit.engine.retry import RetryConfig
from executionkit.engine.run import Run
from executionkit.errors import ExecutionKitError
from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse
from executionkit.types import PatternResult, TokenUsage

if TYPE_CHECKING:
    from pathlib import Path

    from executionkit.many import Journal, Progress, RateLimits, RowResult
    from executionkit.many._rows import Ids

Item = TypeVar("Item")

Step: TypeAlias = Callable[[LLMProvider, Item], Awaitable[object]] | Callable[[Item], Awaitable[object]]
"""`async (provider, item)` where `compare` is given a provider, else `async (item)`."""

_LEAST_RESAMPLES: Final = 100


class _Row(TypedDict):
    """One pattern on one item, as a row of `run_many`."""

    id: str
    pattern: str
    item: Any


async def compare(
    items: Iterable[Item],
    patterns: Mapping[str, Step[Item]],
    *,
    grade: Grade | None = None,
    provider: LLMProvider | None = None,
    id: str | Callable[[Item], str | int] | None = None,  # noqa: A002 - as in run_many
    journal: "Journal | str | Path | None" = None,
    limits: "RateLimits | None" = None,
    max_rows: int | None = None,
    max_cost: TokenUsage | None = None,
    retry: RetryConfig | None = None,
    progress: "bool | Callable[[Progress], object]" = False,
    resamples: int = 2_000,
    seed: int = 0,
) -> Comparison:
    """Run several patterns over the same items, and tell how right each was and what it cost.

    The patterns take turns, item by item, so that they meet the same server at the same time. It is
    `executionkit.many.run_many` over rows named "pattern/item": limits, journal and resume are those of it.

    Example:
        ```python
        from functools import partial

        from executionkit import MockProvider, bench, consensus

        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        provider = MockProvider(["5", "5", "6"])
        items = [{"question": "2 + 3", "answer": 5} for _ in range(30)]


        async def one(provider, item):
            return await consensus(provider, item["question"], num_samples=1)


        async def vote3(provider, item):
            return await consensus(provider, item["question"], num_samples=3)


        result = await bench.compare(
            items, {"one": one, "vote3": vote3}, provider=provider
        )
        assert result["vote3"].calls_per_item == 3
        print(result)
        ```

    Args:
        items: The items. Each is read once.
        patterns: The steps by name. The others are compared with the first. A step returns a `PatternResult`
            or a value.
        grade: How right a value is: `(value, item) -> bool or float in [0, 1]`, plain or async. The journal
            keeps the grade. Defaults to `match()`, which compares with the item's "expected" or "answer".
        provider: The model's provider, which each step is called with: `async (provider, item)`. Without it
            steps are called as `async (item)`, with providers of their own, and are counted by the `cost` of
            their results.
        id: An item's name in the journal and the outcomes: a field, or a function. Defaults to the position.
        journal: Where to keep what was paid for; a comparison started again goes on from it. Patterns may be
            added. A pattern that changed needs a new name, or a journal with another `version`.
        limits: The rate limits.
        max_rows: The most items of one pattern under way at once. Defaults to `limits.max_in_flight`.
        max_cost: The ceiling for all patterns together, earlier starts included. It needs a provider.
        retry: How failed calls are repeated. Defaults to `DEFAULT_RETRY`.
        progress: Whether to show progress, or a function that is given it.
        resamples: The resamples of a bootstrap, 100 at least.
        seed: The seed of its random numbers.

    Returns:
        The comparison. A pattern that fails on an item has the grade 0 there, and the failure is counted.

    Raises:
        ValueError: There are no items or no patterns, an argument is out of its range, or an item has no
            expected answer.
        TypeError: A step can't be called as said above.
        JournalError: The journal is of another job, or can't be read or written.
        ExecutionKitError: The budget or the account is used up. `metadata["comparison"]` has the comparison
            over the items that all patterns came to an end with; None if there are none.

    An exception from `grade` is raised as it is. So is one that a step raises before its first call, unless
    it is an `ExecutionKitError`: the step is mistaken then, and not the model.
    """
    # Not at the top: the figures of a comparison need no runner.
    from executionkit.many._job import Job
    from executionkit.many._rows import Ids

    names = list(patterns)
    _check(patterns, has_provider=provider is not None)
    checks.called_with("value", "item", grade=grade)
    checks.at_least(_LEAST_RESAMPLES, resamples=resamples)
    checks.budget(max_cost=max_cost)
    if provider is None and (max_cost is not None or limits is not None):
        raise ValueError("compare: max_cost and limits need provider=, which the calls then go through")
    work = _Work(patterns, match() if grade is None else grade, has_provider=provider is not None)
    rows = list(work.rows(items, Ids(id)))  # all of them are looked at before the first call
    if not rows:
        raise ValueError("compare: there are no items")
    # In the order of the items, whichever ends first: the resamples of a seed depend on it.
    outcomes: dict[str, dict[str, Outcome]] = {name: {} for name in work.items}
    job = Job(
        "compare",
        _Nobody() if provider is None else provider,
        rows,
        work.step,
        id="id",
        journal=journal,
        limits=limits,
        max_rows=max_rows,
        max_cost=max_cost,
        retry=retry,
        progress=progress,
    )
    try:
        async with aclosing(job.results(ordered=False, max_ahead=4 * job.max_rows)) as ended:
            async for row in ended:
                if work.mistake is not None:
                    raise work.mistake
                outcome = work.outcome(row)
                outcomes[outcome.item][outcome.pattern] = outcome
    except ExecutionKitError as exc:
        if work.mistake is not None:
            raise work.mistake from exc
        exc.metadata["comparison"] = compared(names, outcomes, job.cost, resamples=resamples, seed=seed)
        raise
    except asyncio.CancelledError as exc:
        exc.add_note(f"compare: spent {job.cost}")
        raise
    result = compared(names, outcomes, job.cost, resamples=resamples, seed=seed)
    return cast("Comparison", result)  # every row has ended


compare_sync: Final = blocking(compare, __name__)


class _Work:
    """The rows, the step that runs a pattern on an item and grades its value, and the reading of both."""

    def __init__(self, patterns: Mapping[str, Step[Any]], grade: Grade, *, has_provider: bool) -> None:
        self.mistake: Exception | None = None
        self._patterns = patterns
        self._grade = grade
        self._has_provider = has_provider
        self.items: dict[str, None] = {}
        self._open: dict[str, tuple[str, str]] = {}
        self._took: dict[str, float] = {}

    def rows(self, items: Iterable[Item], ids: "Ids[Item]") -> Iterator[_Row]:
        """A row for every pattern on every item, the patterns of an item one after the other."""
        for index, item in enumerate(items):
            if isinstance(self._grade, match):
                self._grade.expected(item)  # before anything is paid for it
            name = ids.of(item, index)
            if name in self.items:
                raise ValueError(f"compare: item {index} has the id {name!r}, which another has too")
            self.items[name] = None
            for pattern in self._patterns:
                key = f"{pattern}/{name}"
                self._open[key] = pattern, name
                yield {"id": key, "pattern": pattern, "item": item}

    async def step(self, provider: LLMProvider, row: _Row) -> dict[str, object]:
        """Run a pattern on an item, and grade what it returns."""
        since = monotonic()
        try:
            value = await self._value(provider, row)
        except Exception as exc:
            is_mistake = not isinstance(exc, ExecutionKitError)
            if is_mistake and isinstance(provider, Run) and not provider.usage.llm_calls:
                self._is_mistaken(exc, row)
            raise
        finally:
            self._took[row["id"]] = monotonic() - since
        try:
            grade = await self._graded(value, row["item"])
        except Exception as exc:
            self._is_mistaken(exc, row)
            raise
        # Text, because the journal keeps what JSON has.
        return {"grade": grade, "answer": shown(value), "seconds": self._took.pop(row["id"])}

    async def _value(self, provider: LLMProvider, row: _Row) -> object:
        step = cast("Callable[..., object]", self._patterns[row["pattern"]])
        pending = step(provider, row["item"]) if self._has_provider else step(row["item"])
        if not inspect.isawaitable(pending):
            raise TypeError(
                f"compare: a step must be async, {row['pattern']!r} returned a {type(pending).__name__}"
            )
        value: object = await pending
        if not isinstance(value, PatternResult):
            return value
        result: PatternResult[object] = value
        if isinstance(provider, Run):
            provider.charge(minus(result.cost, provider.usage))  # the spend at other providers
        return result.value

    async def _graded(self, value: object, item: object) -> float:
        found: object = self._grade(value, item)
        grade = await found if inspect.isawaitable(found) else found
        # numpy's bool has a float, too.
        checks.between(0.0, 1.0, grade=float(grade) if isinstance(grade, SupportsFloat) else grade)
        return float(cast("SupportsFloat", grade))

    def _is_mistaken(self, exc: Exception, row: _Row) -> None:
        """Remember an error that ends the comparison: the program is wrong, and not the model."""
        if self.mistake is None:
            self.mistake = exc
            pattern, name = self._open[row["id"]]
            add_note(exc, f"compare: raised for the pattern {pattern!r} on item {name!r}")

    def outcome(self, row: "RowResult[Any]") -> Outcome:
        """How a pattern did on an item."""
        pattern, name = self._open.pop(row.id)
        if row.error is not None:
            return Outcome(pattern, name, 0.0, None, row.error, row.cost, self._took.pop(row.id, 0.0))
        kept = cast("dict[str, Any]", row.value)
        return Outcome(pattern, name, kept["grade"], kept["answer"], None, row.cost, kept["seconds"])


class _Nobody:
    """The provider where steps have their own: asking it is a mistake."""

    model: Final = ""

    async def complete(self, messages: list[dict[str, Any]], **_: Any) -> LLMResponse:
        del messages
        raise TypeError("compare: without provider= a step must have a provider of its own")


def _check(patterns: Mapping[str, Step[Any]], *, has_provider: bool) -> None:
    """Require names and steps, each of which can be called."""
    found: object = patterns
    if not isinstance(found, Mapping) or not patterns:
        raise ValueError(f"compare: patterns must be a mapping of steps by name, got {found!r}")
    wanted = ("provider", "item") if has_provider else ("item",)
    for name, step in patterns.items():
        if not isinstance(name, str) or not name:
            raise ValueError(f"compare: the name of a pattern must be a str and not empty, got {name!r}")
        called = f"compare: {name!r} must be an async function called as ({', '.join(wanted)})"
        if not callable(step):
            raise TypeError(f"{called}, got {step!r}")
        if why := misfit(step, *wanted):
            hint = (
                "; with provider=, steps take the provider first" if has_provider else "; or give provider="
            )
            raise TypeError(f"{called}, and it can't be: {why}{hint}")
