"""What observers are told of runs, calls and tools."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import fields
from enum import Enum
from functools import cache, lru_cache
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from executionkit.cost import UNLIMITED, CostTracker, minus, paid_now
from executionkit.engine.spans import Spans
from executionkit.observe import CallInfo, CallSpan, Observer, RunInfo, RunSpan, ToolInfo, ToolSpan
from executionkit.responses import LLMResponse
from executionkit.types import PatternResult, TokenUsage

_USER: Final = re.compile(r"(?:^|(?<=//))[^/]*@")
_NUMBERS: Final = (int, float, bool, "int", "float", "bool", type(None))


def info_of(name: str, provider: object, max_cost: TokenUsage) -> RunInfo:
    """The description of a run."""
    model, base_url = where(provider)
    return RunInfo(name, model, base_url, None if max_cost == UNLIMITED else max_cost)


def where(provider: object) -> tuple[str | None, str | None]:
    """The model and the base URL of a provider, as far as it says."""
    try:
        model: object = getattr(provider, "model", None)
        base_url: object = getattr(provider, "base_url", None)
    except Exception:  # noqa: BLE001 - a provider of the user's, which may compute them
        return None, None
    return model if isinstance(model, str) else None, bare(base_url) if isinstance(base_url, str) else None


@lru_cache(maxsize=256)
def bare(url: str) -> str:
    """A URL without what may be a credential: user, password, query and fragment."""
    # Everywhere: the path of a gateway may be the URL of the server behind it.
    return _USER.sub("", url.partition("?")[0].partition("#")[0])


def figures_of(result: PatternResult[Any]) -> dict[str, object]:
    """The figures of a result: its score, and the fields that hold numbers, flags and words of a fixed set.

    Texts are left out, and so is anything that may be an answer: they are content.
    """
    kind: Any = type(result)  # mypy takes the instances' __hash__ for the class's
    figures = {name: getattr(result, name) for name in _figures(kind)}
    return figures if result.score is None else {"score": result.score, **figures}


@cache
def _figures(kind: type[PatternResult[Any]]) -> tuple[str, ...]:
    return tuple(
        spec.name
        for spec in fields(kind)
        if spec.name != "score" and _is_figure(spec.type) and spec.metadata.get("mirrored", True)
    )


def _is_figure(annotation: object) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return all(map(_is_figure, get_args(annotation)))
    is_set = isinstance(annotation, type) and issubclass(annotation, Enum)
    return annotation in _NUMBERS or get_origin(annotation) is Literal or is_set


class RunWatch:
    """A run that observers are told of.

    Args:
        watchers: The observers.
        info: The description of the run.
        tracker: Its ledger.
    """

    def __init__(self, watchers: tuple[Observer, ...], info: RunInfo, tracker: CostTracker) -> None:
        self.info = info
        self._tracker = tracker
        self._before = paid_now(tracker)
        self._spans: Spans[RunSpan] = Spans(watchers, lambda observer: observer.run(info))

    def end(self, exc: BaseException | None, result: PatternResult[Any] | None) -> None:
        """Tell the observers of the end, with the exception that leaves the run, or its result."""
        usage = minus(paid_now(self._tracker), self._before)
        figures = {} if result is None or exc is not None else figures_of(result)
        self._spans.tell(lambda span: span.ended(usage, exc, figures), exc)
        self._spans.close(exc)


def was_there(reply: LLMResponse) -> bool:
    """Whether a reply came from a cache or a journal, so that nothing was sent."""
    return reply.is_from_cache or reply.usage.get("replayed") is True


class CallWatch:
    """A call that observers are told of.

    Args:
        watchers: The observers.
        info: The description of the call.

    Attributes:
        ledger: A ledger that the call alone is charged to.
        is_replayed: Whether its reply was there, so that nothing was sent.
    """

    _spans: Spans[CallSpan] | None = None

    def __init__(self, watchers: tuple[Observer, ...], info: CallInfo) -> None:
        self._watchers = watchers
        self._info = info
        self.ledger: CostTracker = CostTracker()
        self.is_replayed = False

    def begin(self) -> None:
        """The call begins."""
        info = self._info
        self._spans = Spans(self._watchers, lambda observer: observer.call(info))

    def tell(self, what: Callable[[CallSpan], object], about: BaseException | None = None) -> None:
        """Tell the observers something, perhaps of an exception."""
        if self._spans is not None:
            self._spans.tell(what, about)

    def end(self, outcome: LLMResponse | BaseException) -> None:
        """The call has ended, with its reply or an error. Only the first end counts."""
        spans = self._spans
        if spans is None:  # a stream that was never entered
            return
        exc = outcome if isinstance(outcome, BaseException) else None
        usage = paid_now(self.ledger)
        if self.is_replayed:
            spans.tell(lambda span: span.replayed())
        spans.tell(lambda span: span.spent(usage))
        if isinstance(outcome, LLMResponse):
            spans.tell(lambda span: span.answered(outcome))
        else:
            spans.tell(lambda span: span.failed(outcome), outcome)
        spans.close(exc)

    async def around(self, call: Callable[[], Awaitable[LLMResponse]]) -> LLMResponse:
        """Make a call that is not streamed."""
        self.begin()
        try:
            reply = await call()
        except BaseException as exc:
            self.end(exc)
            raise
        self.end(reply)
        return reply


class ToolWatch:
    """A call of a tool that observers are told of.

    Args:
        watchers: The observers.
        info: The description of the call.
    """

    def __init__(self, watchers: tuple[Observer, ...], info: ToolInfo) -> None:
        self._spans: Spans[ToolSpan] = Spans(watchers, lambda observer: observer.tool(info))

    def end(self, text: str, error: BaseException | None, *, ran: bool, truncated: bool) -> None:
        """Tell the observers of the end. The tool's own error is an observation, and leaves no block."""
        self._spans.tell(lambda span: span.ended(text, error, ran=ran, truncated=truncated), error)
        self._spans.close(None)

    def break_off(self, exc: BaseException) -> None:
        """Tell the observers of an exception that ends the loop while the tool is under way."""
        self._spans.tell(lambda span: span.ended("", exc, ran=True, truncated=False), exc)
        self._spans.close(exc)
