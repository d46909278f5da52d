"""`Kit`: a session that holds a provider and what was spent through it."""

import inspect
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar, Unpack, overload

from executionkit import _checks as checks
from executionkit._display import Displayed
from executionkit._json import is_mapping, is_sequence
from executionkit._opening import Messages, begins_with_instructions, with_system
from executionkit._prompt import Prompt, brief, content_of
from executionkit.compose import names_keyword, pipe
from executionkit.conversation import Conversation
from executionkit.engine.retry import RetryConfig
from executionkit.engine.run import Run
from executionkit.patterns.best_of_n import best_of_n
from executionkit.patterns.cascade import Tier, cascade
from executionkit.patterns.consensus import consensus
from executionkit.patterns.map_reduce import map_reduce
from executionkit.patterns.react_loop import ReactOptions, react_loop
from executionkit.patterns.refine_loop import refine_loop
from executionkit.patterns.structured import structured
from executionkit.protocols import LLMProvider
from executionkit.streaming import ReplyStream
from executionkit.tools._tool import Toolable
from executionkit.types import PatternResult, TokenUsage

if TYPE_CHECKING:
    from executionkit._display._card import Card
    from executionkit.many import ManyResult, RowResult
    from executionkit.many._run import ManyOptions
    from executionkit.many._step import Asking, Step

__all__ = ["Kit"]

Row = TypeVar("Row")
T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")


def _method(
    pattern: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate["Kit", P], Coroutine[Any, Any, R]]:
    """Make a pattern a method of a kit; `refine_loop` is `Kit.refine` there.

    With one parameter, since mypy takes only the first overload of `structured` otherwise.
    """

    @wraps(pattern)
    def method(self: "Kit", /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        if _takes_system(pattern, args):
            _add_system(self, kwargs)
        return pattern(self.metered, *args, **kwargs)

    parameters = list(inspect.signature(pattern).parameters.values())
    _present(method, pattern, "on the kit's provider", parameters[1:])
    return method


def _tiered(
    pattern: Callable[Concatenate[Sequence[Tier], P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate["Kit", Sequence[Tier], P], Coroutine[Any, Any, R]]:
    """Make a pattern of several models a method of a kit, in which the cost of all of them counts."""

    @wraps(pattern)
    def method(
        self: "Kit", tiers: Sequence[Tier], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]:
        _add_system(self, kwargs)
        return pattern(_inside(self, tiers), *args, **kwargs)

    parameters = list(inspect.signature(pattern).parameters.values())
    _present(method, pattern, "in the kit, whose `usage` and `max_cost` cover all tiers", parameters)
    return method


def _add_system(kit: "Kit", kwargs: dict[str, Any]) -> None:
    """Add the kit's system message to the keywords of a pattern, unless they bring one."""
    if kit.system is not None and "system" not in kwargs:
        has_its_own = begins_with_instructions(kwargs.get("messages"))
        kwargs["system"] = None if has_its_own else kit.system


def _inside(kit: "Kit", tiers: Sequence[Tier]) -> Sequence[Tier]:
    """The tiers of a cascade that counts in the kit: it runs on the provider of the first one."""
    run = kit.metered
    if not isinstance(run, Run) or not is_sequence(tiers) or not tiers or not isinstance(tiers[0], Tier):
        return tiers  # the cascade says what is wrong
    first, *others = tiers
    return [replace(first, provider=Run("kit", first.provider, within=run)), *others]


def _present(
    method: Callable[..., object],
    pattern: Callable[..., object],
    where: str,
    parameters: list[inspect.Parameter],
) -> None:
    """Give a method of a kit the name, the docstring and the signature that users see."""
    method.__module__, method.__name__ = __name__, pattern.__name__.removesuffix("_loop")
    method.__qualname__ = f"Kit.{method.__name__}"
    method.__doc__ = f"`executionkit.{pattern.__name__}` {where}.\n\n{inspect.getdoc(pattern)}"
    # Without `__wrapped__`, which would show the provider among the parameters.
    del vars(method)["__wrapped__"]
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    vars(method)["__signature__"] = inspect.signature(pattern).replace(parameters=[this, *parameters])


def _takes_system(pattern: Callable[..., object], args: tuple[object, ...]) -> bool:
    """Whether the pattern, or one of the steps of a pipe, has a parameter for the system message."""
    if pattern is pipe:
        return names_keyword(args[1:], "system")
    return "system" in inspect.signature(pattern).parameters


def _conversation(prompt: object) -> list[dict[str, Any]]:
    if is_sequence(prompt) and prompt and all(is_mapping(each) and "role" in each for each in prompt):
        return [dict(message) for message in prompt]
    if not isinstance(prompt, str) and not is_sequence(prompt):
        raise ValueError(f"prompt must be a str, texts and parts, or a list of messages, got {brief(prompt)}")
    return [{"role": "user", "content": content_of(prompt)}]


class Kit(Displayed):
    """A session: the patterns as methods on one provider, with a running total of what they spent.

    The total includes failed and cancelled calls. A kit belongs to one event loop at a time.

    Example:
        ```python
        from executionkit import Kit, MockProvider

        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        kit = Kit(MockProvider(["Paris"]))
        capital = await kit.consensus("The capital of France?", num_samples=3)
        await kit.refine(f"Describe {capital}.", evaluator=lambda text, provider: 1.0)
        assert kit.usage.llm_calls == 4
        ```

    Args:
        provider: Makes the model calls: a `Provider`, or any object that satisfies `LLMProvider`.
        track_cost: Whether to keep the total. False leaves `usage` at zero.
        system: The system message of the methods, wherever none is passed and `messages` don't begin with
            one. `map_reduce` and the steps of a `pipe` that have no parameter `system` send none. Defaults to
            none.
        max_cost: Maximum calls and tokens for everything that is done through the kit. Defaults to no limit.

    Raises:
        TypeError: `provider` has no `complete` method.
        ValueError: `system` or `max_cost` can't be used, or there is a `max_cost` without `track_cost`.
    """

    def __init__(
        self,
        provider: LLMProvider,
        *,
        track_cost: bool = True,
        system: str | None = None,
        max_cost: TokenUsage | None = None,
    ) -> None:
        checks.budget(max_cost=max_cost)
        with_system([], system)
        if max_cost is not None and not track_cost:
            raise ValueError(f"max_cost must be None with track_cost=False, got {max_cost!r}")
        self._run = Run("kit", provider, max_cost=max_cost)
        self._track_cost = track_cost
        self.provider = provider
        self.system = system

    def _card(self) -> "Card":
        from executionkit._display._card import Card
        from executionkit._display._glimpse import provider_line
        from executionkit._display._line import rest_of

        card = Card(type(self).__name__, has_value=False, cost=self.usage)
        card.add("provider", shown := provider_line(self.provider), shown)
        card.left = rest_of(self._run.left)
        return card

    @property
    def metered(self) -> LLMProvider:
        """A provider whose calls count in `usage`. Give it to patterns and steps of your own."""
        return self._run if self._track_cost else self.provider

    @property
    def usage(self) -> TokenUsage:
        """Everything spent through the kit so far; zero with `track_cost=False`."""
        return self._run.usage

    # Final, so that the types inferred here count as declared.
    best_of_n: Final = _method(best_of_n)
    cascade: Final = _tiered(cascade)
    consensus: Final = _method(consensus)
    map_reduce: Final = _method(map_reduce)
    # mypy: `**` could take `provider` once more.
    pipe: Final = _method(pipe)  # type: ignore[arg-type]
    react: Final = _method(react_loop)
    refine: Final = _method(refine_loop)
    structured: Final = _method(structured)

    def conversation(
        self,
        *,
        system: str | None = None,
        tools: Sequence[Toolable] = (),
        messages: Messages | None = None,
        max_cost: TokenUsage | None = None,
        **options: Unpack[ReactOptions],
    ) -> Conversation:
        """Begin a `Conversation` on the kit's provider, whose cost counts in `usage`.

        Args:
            system: The system message. Defaults to the kit's, unless `messages` begin with one.
            tools: As in `Conversation`.
            messages: As in `Conversation`.
            max_cost: Maximum calls and tokens for the conversation. That of the kit holds as well.
            **options: As in `Conversation`.
        """
        if system is None and not begins_with_instructions(messages):
            system = self.system
        return Conversation(
            self.metered, system=system, tools=tools, messages=messages, max_cost=max_cost, **options
        )

    @overload
    async def run_many(
        self,
        rows: "Iterable[Row] | AsyncIterable[Row]",
        step: "Asking[Row, PatternResult[T]]",
        *,
        on_result: "Callable[[RowResult[T]], object] | None" = None,
        **options: "Unpack[ManyOptions[Row]]",
    ) -> "ManyResult": ...
    @overload
    async def run_many(
        self,
        rows: "Iterable[Row] | AsyncIterable[Row]",
        step: "Asking[Row, T]",
        *,
        on_result: "Callable[[RowResult[T]], object] | None" = None,
        **options: "Unpack[ManyOptions[Row]]",
    ) -> "ManyResult": ...
    async def run_many(
        self,
        rows: "Iterable[Row] | AsyncIterable[Row]",
        step: "Step[Row, T]",
        *,
        on_result: "Callable[[RowResult[T]], object] | None" = None,
        **options: "Unpack[ManyOptions[Row]]",
    ) -> "ManyResult":
        """`executionkit.many.run_many` on the kit's provider, whose calls of this start count in `usage`.

        Example:
            ```python
            from executionkit import Kit, MockProvider, consensus

            kit = Kit(MockProvider(["Paris"]))
            result = await kit.run_many(["The capital of France?"], consensus)
            assert result.cost == kit.usage
            ```

        Args:
            rows: As in `run_many`.
            step: As in `run_many`. A pattern that has a parameter `system` is given the kit's.
            on_result: As in `run_many`.
            **options: As in `run_many`.
        """
        from executionkit.many import run_many  # not at the top: few kits need it

        work: Callable[..., Any] = step
        if self.system is not None and names_keyword((step,), "system"):
            work = partial(work, system=self.system)
        return await run_many(self.metered, rows, work, on_result=on_result, **options)

    def stream(
        self,
        prompt: Prompt,
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        max_cost: TokenUsage | None = None,
        retry: RetryConfig | None = None,
        **kwargs: Any,
    ) -> ReplyStream:
        """Stream one answer. Its cost counts in `usage`, however the stream ends.

        Entering the stream sends the request and waits for the first event. A failure before that event is
        retried. A stream that is left early, or breaks off, is one call. Its tokens count as far as the
        server has reported them, and in full against a ceiling on output tokens.

        Example:
            ```python
            from executionkit import Kit, MockProvider, TextDelta

            # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
            kit = Kit(MockProvider(["Once upon a time."]))
            async with kit.stream("Tell me a story.") as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        print(event.text, end="")
            ```

        Args:
            prompt: The user message, as a text or as texts and parts; or a conversation, which is a list of
                messages in the form of the chat completions API.
            temperature: Sampling temperature, in [0, 2]. Defaults to the provider's own.
            max_tokens: Maximum tokens in the reply; at least 1. Defaults to the provider's own.
            max_cost: Maximum calls and tokens for this answer, retries included. Defaults to no limit.
            retry: How a call that fails before its first event is retried. Defaults to that of the run around
                the kit, else to `DEFAULT_RETRY`: up to 3 retries.
            **kwargs: Further fields of the request (`tools`, `stop`, `seed`, ...).

        Returns:
            The stream. Its `response` is available when the stream has ended. Errors have `.cost` and
            `.metadata`, as those of a pattern.

        Raises:
            TypeError: The provider can't stream.
            ValueError: `prompt` is neither a text nor a conversation, or another parameter is out of range.
        """
        for name, value in kwargs.items():
            if isinstance(value, (TokenUsage, RetryConfig)):  # no request field: it would be no ceiling
                meant = "max_cost" if isinstance(value, TokenUsage) else "retry"
                raise TypeError(
                    f"stream() got an unexpected keyword argument {name!r}; did you mean {meant!r}?"
                )
        checks.budget(max_cost=max_cost)
        if temperature is not None:
            checks.between(0.0, 2.0, temperature=temperature)
        messages = _conversation(prompt)
        if self.system is not None and not begins_with_instructions(messages):
            messages = with_system(messages, self.system)
        run = Run("stream", self.metered, max_cost=max_cost, retry=retry)
        return run.open_stream(messages, temperature=temperature, max_tokens=max_tokens, **kwargs)
