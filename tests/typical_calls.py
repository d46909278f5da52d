"""How many calls the patterns make with their defaults: the figures that the documentation gives."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from executionkit import (
    ExecutionKitError,
    LLMProvider,
    LLMResponse,
    MockProvider,
    Pairwise,
    Rubric,
    Scorer,
    Tool,
    ToolCall,
    best_of_n_sync,
    consensus_sync,
    react_loop_sync,
    refine_loop_sync,
    structured_sync,
)
from executionkit.testing import MockCall


def calls_by_default(pattern: str) -> set[int]:
    """The calls of the cases that the documentation tells apart; none where they depend on the input."""
    return {_spent(case) for case in _CASES.get(pattern, [])}


def _spent(case: Callable[[LLMProvider], Any]) -> int:
    provider = MockProvider(_Writer())
    with suppress(ExecutionKitError):
        case(provider)
    return provider.call_count


class _Writer:
    """Writes something else every time; judges it a little better every time, and never good enough."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, call: MockCall) -> LLMResponse:
        self.calls += 1
        if call.tools:
            return LLMResponse("", [ToolCall("", "look", {})])
        prompt = str(call.messages[-1]["content"])
        if "Better:" in prompt:
            return LLMResponse("Better: A")
        return LLMResponse(f"Score: {self.calls / 2}" if "Score:" in prompt else f'{{"text": {self.calls}}}')


def _rising() -> Scorer:
    scores = iter(range(100))
    return lambda text, provider: next(scores) / 100 * 5


_LOOK = Tool("look", "Look.", {"type": "object"}, lambda: "nothing")
_CASES: dict[str, list[Callable[[Any], Any]]] = {
    "consensus": [lambda provider: consensus_sync(provider, "?")],
    "best_of_n": [
        lambda provider: best_of_n_sync(provider, "?", evaluator=_rising()),
        lambda provider: best_of_n_sync(provider, "?", evaluator=Rubric("Good.")),
        lambda provider: best_of_n_sync(provider, "?", evaluator=Pairwise("Good.")),
    ],
    "refine_loop": [
        lambda provider: refine_loop_sync(provider, "?", evaluator=_rising()),
        lambda provider: refine_loop_sync(provider, "?"),
    ],
    "react_loop": [lambda provider: react_loop_sync(provider, "?", [_LOOK])],
    "structured": [
        lambda provider: structured_sync(provider, "?", validator=lambda value: False),
        lambda provider: structured_sync(provider, "?"),
    ],
}
