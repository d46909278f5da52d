"""`Kit`: a session that holds a provider and what was spent through it."""

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from types import UnionType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from executionkit.compose import PatternStep, PipeResult, pipe
from executionkit.engine.outputs import OutputAdapter
from executionkit.engine.reading import Validator
from executionkit.engine.run import Run
from executionkit.patterns.consensus import consensus
from executionkit.patterns.react_loop import react_loop
from executionkit.patterns.refine_loop import refine_loop
from executionkit.patterns.structured import StructuredOptions, StructuredResult, structured
from executionkit.protocols import LLMProvider
from executionkit.types import TokenUsage

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class _Method(Generic[P, R]):
    """A pattern as a method of a kit: its own signature, less the provider."""

    def __init__(self, pattern: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]) -> None:
        self._pattern = pattern
        self.__doc__ = pattern.__doc__

    @overload
    def __get__(self, kit: None, owner: type["Kit"]) -> "_Method[P, R]": ...
    @overload
    def __get__(self, kit: "Kit", owner: type["Kit"]) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(
        self, kit: "Kit | None", owner: type["Kit"]
    ) -> "_Method[P, R] | Callable[P, Coroutine[Any, Any, R]]":
        return self if kit is None else partial(self._pattern, kit.metered)


class StructuredOfKit(Protocol):
    """The overloads of `structured`, less the provider."""

    @overload
    def __call__(
        self,
        prompt: str,
        output: type[T],
        *,
        validator: Validator[T] | None = None,
        **options: Unpack[StructuredOptions],
    ) -> Coroutine[Any, Any, StructuredResult[T]]: ...
    @overload
    def __call__(
        self,
        prompt: str,
        output: OutputAdapter[T],
        *,
        validator: Validator[T] | None = None,
        **options: Unpack[StructuredOptions],
    ) -> Coroutine[Any, Any, StructuredResult[T]]: ...
    @overload
    def __call__(
        self,
        prompt: str,
        output: None = None,
        *,
        validator: Validator[Any] | None = None,
        **options: Unpack[StructuredOptions],
    ) -> Coroutine[Any, Any, StructuredResult[dict[str, Any] | list[Any]]]: ...
    @overload
    def __call__(
        self,
        prompt: str,
        output: Mapping[str, Any] | UnionType,
        *,
        validator: Validator[Any] | None = None,
        **options: Unpack[StructuredOptions],
    ) -> Coroutine[Any, Any, StructuredResult[Any]]: ...


class Kit:
    """A session: the patterns as methods on one provider, with a running total.

    The total includes what failed and cancelled calls spent. A kit belongs to one event loop at a time.

    Args:
        provider: What answers.
        track_cost: False leaves `usage` at zero.

    Raises:
        TypeError: `provider` has no `complete` method.
    """

    consensus = _Method(consensus)
    refine = _Method(refine_loop)
    # mypy holds that `**_` could take `provider` once more.
    react = _Method(react_loop)  # type: ignore[arg-type]
    structured = cast("StructuredOfKit", _Method(cast("Any", structured)))

    def __init__(self, provider: LLMProvider, *, track_cost: bool = True) -> None:
        self._run = Run("kit", provider)
        self._track_cost = track_cost
        self.provider = provider

    def __repr__(self) -> str:
        return f"Kit({self.provider!r}, usage={self.usage})"

    @property
    def metered(self) -> LLMProvider:
        """The provider whose calls count towards `usage`: give it to patterns and steps of your own."""
        return self._run if self._track_cost else self.provider

    @property
    def usage(self) -> TokenUsage:
        """Everything spent through the kit so far; zero with `track_cost=False`."""
        return self._run.usage

    async def pipe(
        self,
        prompt: str,
        *steps: PatternStep[T],
        max_budget: TokenUsage | None = None,
        **shared_kwargs: object,
    ) -> PipeResult[T]:
        """`executionkit.pipe` on the kit's provider."""
        return await pipe(self.metered, prompt, *steps, max_budget=max_budget, **shared_kwargs)
