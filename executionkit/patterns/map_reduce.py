"""`map_reduce`: a prompt over each of many inputs in parallel, another over the results, in a tree."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, TypedDict, TypeVar, cast

from executionkit import _checks as checks
from executionkit._json import is_array
from executionkit._keywords import checked_keywords
from executionkit._prompt import Content, Prompt, content_around, content_of
from executionkit.engine.parallel import fan_out_strict, merged, told
from executionkit.engine.retry import RetryConfig, concerns_one_request
from executionkit.engine.run import Run
from executionkit.engine.thoughts import spoken
from executionkit.errors import (
    ExecutionKitError,
    LLMError,
    PatternError,
)
from executionkit.events import EventCallback, InputDone, Reducing
from executionkit.patterns._narrator import Narrator
from executionkit.patterns._options import Options, checked_options
from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse
from executionkit.types import PatternResult, TokenUsage

if TYPE_CHECKING:
    from executionkit._display._card import Card

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Template(Protocol[T_contra]):
    """A `str`, as type checkers see it where the inputs must be texts too.

    `str.join` takes texts alone, so a `str` is a template of them, and of no other inputs. Parts are taken as
    well, but no type can say so.
    """

    def join(self, iterable: Iterable[T_contra], /) -> str:
        """Join texts."""
        ...


MapPrompt: TypeAlias = Template[T] | Callable[[T], Prompt]
"""A text with `{input}` where the input goes (by default at the end), or a function of the input."""

ReducePrompt: TypeAlias = str | Callable[[Sequence[str]], str]
"""A text with `{results}` where the results go (by default at the end), or a function of the results."""

_SEPARATOR = "\n\n---\n\n"


class FailedInput(TypedDict):
    """An input that was skipped.

    Attributes:
        index: Position of the input.
        error: Type and message of its error.
    """

    index: int
    error: str


@dataclass(frozen=True)
class MapReduceResult(PatternResult[str]):
    """The last reduction's reply. `score` is None.

    Attributes:
        map_count: Number of inputs.
        map_results: The reply to each input, in input order; None for one that was skipped.
        reduce_calls: Number of reductions: 1, or more if the results exceed `max_reduce_chars`.
        failed: The inputs that were skipped, in input order, each with its error.
        truncated_responses: Replies cut off by `max_tokens`. They count like any other.
        finish_reason: Why the model stopped writing the value ("stop", "length", ...).
        callback_errors: How often `on_event` raised an exception.
    """

    map_count: int = 0
    map_results: list[str | None] = field(default_factory=list)
    reduce_calls: int = 0
    failed: list[FailedInput] = field(default_factory=list)
    truncated_responses: int = 0
    finish_reason: str = "stop"
    callback_errors: int = 0

    def _describe(self, card: "Card") -> None:
        from executionkit._display._card import Entry, Fold

        card.count(self.map_count, "input")
        card.add("skipped", len(self.failed), f"{len(self.failed):,} skipped")
        card.count(self.reduce_calls, "reduction")
        card.add("truncated", self.truncated_responses)
        card.add("finish reason", self.finish_reason if self.finish_reason != "stop" else "")
        results = (Entry(f"input {index}", text or "skipped") for index, text in enumerate(self.map_results))
        card.folds.append(Fold("Results", len(self.map_results), results))
        skipped = (Entry(f"input {each['index']}", each["error"]) for each in self.failed)
        card.folds.append(Fold("Skipped", len(self.failed), skipped))


@dataclass(slots=True)
class _MapReduce(Generic[T]):
    """One run: its settings, and what was mapped and reduced so far."""

    inputs: tuple[T, ...]
    map_prompt: MapPrompt[T]
    reduce_prompt: ReducePrompt
    skips: bool
    max_reduce_chars: int
    max_concurrency: int
    temperature: float
    max_tokens: int
    options: Options
    narrator: Narrator
    ended: int = 0
    mapped: dict[int, str] = field(default_factory=dict[int, str])
    skipped: dict[int, ExecutionKitError] = field(default_factory=dict[int, ExecutionKitError])
    partial: dict[int, str] = field(default_factory=dict[int, str])
    reduce_calls: int = 0
    truncated: int = 0

    @property
    def results(self) -> list[str | None]:
        return [self.mapped.get(index) for index in range(len(self.inputs))]

    @property
    def failed(self) -> list[FailedInput]:
        errors = sorted(self.skipped.items())
        return [{"index": index, "error": told(exc)} for index, exc in errors]

    def salvage(self) -> dict[str, Any]:
        partial = [self.partial[number] for number in sorted(self.partial)]
        return {"map_results": self.results, "failed": self.failed, "reduce_results": partial}

    async def map(self, run: Run) -> list[str]:
        """Map every input; the results of those that were not skipped, in their order, without thoughts."""

        async def map_one(index: int) -> None:
            prompt = _mapped(self.map_prompt, self.inputs[index], f"inputs[{index}]")
            try:
                self.mapped[index] = (await self._ask(run, prompt, f"input {index}")).content
            except (LLMError, PatternError) as exc:
                if not self.skips or not concerns_one_request(exc):
                    if self.narrator.listens:
                        await self._tell(index, run, failed=True)
                    raise
                self.skipped[index] = exc
            if self.narrator.listens:
                await self._tell(index, run, failed=index in self.skipped)

        await fan_out_strict(map_one, len(self.inputs), self.max_concurrency, on_failure=run.halt)
        if not self.mapped:
            raise merged([self.skipped[index] for index in sorted(self.skipped)])
        return [spoken(self.mapped[index]) for index in sorted(self.mapped)]

    async def _tell(self, index: int, run: Run, *, failed: bool) -> None:
        self.ended += 1
        await self.narrator.tell(
            InputDone(index, self.ended, len(self.inputs), failed=failed, cost=run.usage)
        )

    async def reduce(self, run: Run, results: list[str]) -> LLMResponse:
        """Reduce in groups of neighbours, level by level, until one request can hold what is left."""
        level = 1
        while len(groups := _groups(results, self.max_reduce_chars)) > 1:
            if self.narrator.listens:
                await self.narrator.tell(Reducing(level, len(groups), cost=run.usage))
            results = await self._reduce_level(run, groups)
            level += 1
        if self.narrator.listens:
            await self.narrator.tell(Reducing(level, 1, cost=run.usage))
        return await self._reduce_once(run, results)

    async def _reduce_level(self, run: Run, groups: list[list[str]]) -> list[str]:
        # A single result at the end has nothing to be reduced with yet.
        self.partial = {number: group[0] for number, group in enumerate(groups) if len(group) == 1}

        async def reduce_group(number: int) -> None:
            if number not in self.partial:
                self.partial[number] = spoken((await self._reduce_once(run, groups[number])).content)

        await fan_out_strict(reduce_group, len(groups), self.max_concurrency, on_failure=run.halt)
        return [self.partial[number] for number in range(len(groups))]

    async def _reduce_once(self, run: Run, results: Sequence[str]) -> LLMResponse:
        prompt = _reduction(self.reduce_prompt, results)
        reply = await self._ask(run, prompt, f"the reduction of {len(results)} results")
        self.reduce_calls += 1
        return reply

    async def _ask(self, run: Run, prompt: Content, what: str) -> LLMResponse:
        reply = await run.complete(
            [{"role": "user", "content": prompt}],
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            **self.options,
        )
        self.truncated += reply.was_truncated
        if reply.was_filtered or not spoken(reply.content).strip():
            why = reply.refusal or reply.finish_reason
            raise PatternError(f"the reply to {what} has no text ({why})")
        return reply


@checked_keywords
async def map_reduce(
    provider: LLMProvider,
    inputs: Sequence[T],
    *,
    map_prompt: MapPrompt[T],
    reduce_prompt: ReducePrompt,
    on_failure: Literal["raise", "skip"] = "raise",
    max_reduce_chars: int = 40_000,
    temperature: float = 0.3,
    max_tokens: int = 4096,
    max_concurrency: int = 5,
    retry: RetryConfig | None = None,
    max_cost: TokenUsage | None = None,
    options: Options | None = None,
    on_event: EventCallback | None = None,
) -> MapReduceResult:
    """Put each input through one prompt, and all results through another.

    Use it for more text than fits into one request, such as the chapters of a book or the reviews of a
    product. Results that are too long for one request are reduced in groups of neighbours, and these
    reductions again, until one is left. The order is kept. Thoughts in a reply (`<think>...</think>`) are not
    reduced.

    Example:
        ```python
        from executionkit import MockProvider, map_reduce

        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        provider = MockProvider(["dry scones", "a slow bill", "scones and bills"])
        result = await map_reduce(
            provider,
            ["The scones were dry.", "The bill took an hour."],
            map_prompt="What does this review complain of? {input}",
            reduce_prompt="Sum up: {results}",
            max_concurrency=1,
        )
        assert result.map_results == ["dry scones", "a slow bill"]
        assert result.value == "scones and bills"
        ```

    Args:
        provider: Makes the model calls: a `Provider`, or any object that satisfies `LLMProvider`.
        inputs: The inputs; at least one. They are texts, parts such as pictures, or lists of texts and parts.
            With a function as `map_prompt` they are anything that it takes: records, rows, pages.
        map_prompt: A text in which `{input}` stands for the input, or a function that makes the prompt from
            an input. If the text has no `{input}`, the input is added at the end. Other braces stay as they
            are. A function may return a list of texts and parts.
        reduce_prompt: A text in which `{results}` stands for the results, or a function that makes the prompt
            from a list of results. If the text has no `{results}`, they are added at the end. It must be able
            to take its own replies, because partial reductions are reduced too.
        on_failure: How to treat an input that fails for good: "raise" the error, or "skip" the input and
            report it. An input is skipped if its calls fail again and again, its request is refused, or its
            reply has no text. A wrong key, an unknown model, an exhausted budget and a failed reduction are
            always raised.
        max_reduce_chars: Maximum characters of results in one request; at least 1. Two results go together
            even if they exceed it, because otherwise there would be no end. 40,000 characters are some
            10,000 tokens of English.
        temperature: Sampling temperature, in [0, 2].
        max_tokens: Maximum tokens in one reply; at least 1.
        max_concurrency: Maximum requests in flight at once; at least 1.
        retry: How failed calls are retried. Defaults to those of the run around it, else `DEFAULT_RETRY`.
        max_cost: Maximum calls and tokens for mapping and reducing together, retries included. Defaults to no
            limit.
        options: Further fields of every request, such as `seed`, `top_p`, `stop` or `reasoning_effort`.
            Fields that the pattern sets itself are refused. Defaults to none.
        on_event: Callback, sync or async, that receives each `PatternEvent` as it happens: the beginning,
            each input, each level of reductions, the end. It is called with one event at a time, and the
            pattern waits for it. An exception that it raises is logged and counted. Defaults to none.

    Returns:
        A `MapReduceResult`, which explains the `metadata` keys: `map_count`, `map_results`, `reduce_calls`,
        `failed`, `truncated_responses`, `finish_reason`, `callback_errors`.

    Raises:
        ValueError: A parameter is out of range. No call was made.
        TypeError: A function given as prompt returned no prompt.
        BudgetExhaustedError: The calls left can't pay for every input and one reduction (raised before the
            first call), or the budget ran out on the way.
        PatternError: A reply has no text, and is not skipped.
        LLMError: A call failed for good, and is not skipped. If several inputs failed, or all of them, the
            first error is raised.

    Every error has the `.metadata["map_results"]`, `["failed"]` and `["reduce_results"]` already paid for.
    The last one belongs to the level being reduced.
    """
    if isinstance(inputs, (str, bytes)) or not isinstance(inputs, Sequence) or not inputs:
        raise ValueError(f"inputs must be a sequence of at least one input, got {inputs!r}")
    for index, each in enumerate(() if callable(map_prompt) else inputs):
        content_around(
            "", "{input}", cast("Prompt", each), f"inputs[{index}]"
        )  # which refuses what is no prompt
    for name, prompt, given in (
        ("map_prompt", map_prompt, "input"),
        ("reduce_prompt", reduce_prompt, "results"),
    ):
        if not callable(prompt) and not isinstance(prompt, str):
            raise ValueError(f"{name} must be a str or a function that makes one, got {prompt!r}")
        checks.called_with(given, **{name: prompt if callable(prompt) else None})
    checks.one_of(("raise", "skip"), on_failure=on_failure)
    checks.at_least(1, max_reduce_chars=max_reduce_chars, max_concurrency=max_concurrency)
    checks.sampling(temperature=temperature, max_tokens=max_tokens, max_cost=max_cost)
    fields = checked_options(options)
    narrator = Narrator("map_reduce", on_event)
    job = _MapReduce(
        tuple(inputs),
        map_prompt,
        reduce_prompt,
        on_failure == "skip",
        max_reduce_chars=max_reduce_chars,
        max_concurrency=max_concurrency,
        temperature=temperature,
        max_tokens=max_tokens,
        options=fields,
        narrator=narrator,
    )
    async with narrator.run(
        provider, len(job.inputs), max_cost=max_cost, retry=retry, salvage=job.salvage
    ) as run:
        run.require(calls=len(job.inputs) + 1)
        reply = await job.reduce(run, await job.map(run))
        result = MapReduceResult(
            value=reply.content,
            cost=run.usage,
            map_count=len(job.inputs),
            map_results=job.results,
            reduce_calls=job.reduce_calls,
            failed=job.failed,
            truncated_responses=job.truncated,
            finish_reason=reply.finish_reason,
            callback_errors=narrator.errors,
        )
        return run.shows(result)


def _made(name: str, prompt: object) -> str:
    if isinstance(prompt, str):
        return prompt
    if inspect.iscoroutine(prompt):
        prompt.close()  # or Python would warn that it was never awaited
    raise TypeError(f"{name} must return a str and be a plain function, it returned {prompt!r}")


def _mapped(prompt: object, given: Any, name: str) -> Content:
    if not callable(prompt):
        return content_around(str(prompt), "{input}", given, name)
    made = prompt(given)
    return content_of(made, "map_prompt") if is_array(made) else _made("map_prompt", made)


def _reduction(prompt: ReducePrompt, results: Sequence[str]) -> Content:
    if callable(prompt):
        return _made("reduce_prompt", prompt(results))
    return content_around(prompt, "{results}", _SEPARATOR.join(results), "results")


def _groups(results: Sequence[str], limit: int) -> list[list[str]]:
    """Split into runs of neighbours within the limit, of two at least wherever there are two."""
    groups: list[list[str]] = []
    room = 0
    for result in results:
        size = len(result) + len(_SEPARATOR)
        if groups and (size <= room or len(groups[-1]) == 1):
            groups[-1].append(result)
            room -= size
        else:
            groups.append([result])
            room = limit - len(result)
    return groups
