"""ExecutionKit: async reasoning patterns over any OpenAI-compatible endpoint, on one exact budget."""

from importlib import import_module
from typing import TYPE_CHECKING

from executionkit._version import __version__ as __version__

if TYPE_CHECKING:
    from executionkit._mock import MockProvider
    from executionkit.compose import PatternStep, PipeResult, pipe
    from executionkit.cost import CostTracker
    from executionkit.engine.convergence import ConvergenceDetector
    from executionkit.engine.json_extraction import extract_json
    from executionkit.engine.retry import DEFAULT_RETRY, RetryConfig
    from executionkit.errors import (
        BudgetExhaustedError,
        ConsensusFailedError,
        ExecutionKitError,
        LLMError,
        MaxIterationsError,
        PatternError,
        PermanentError,
        ProviderError,
        RateLimitError,
        ToolError,
    )
    from executionkit.evaluators import Pairwise, Rubric
    from executionkit.events import (
        DraftScored,
        DraftStarted,
        EventCallback,
        Observation,
        PatternEvent,
        RoundStarted,
        ToolStarted,
    )
    from executionkit.field_vote import FieldVote, vote_by_field
    from executionkit.kit import Kit
    from executionkit.patterns.base import checked_complete, validate_score
    from executionkit.patterns.best_of_n import BestOfNResult, best_of_n
    from executionkit.patterns.consensus import ConsensusResult, consensus
    from executionkit.patterns.map_reduce import FailedInput, MapReduceResult, map_reduce
    from executionkit.patterns.react_loop import ReactResult, react_loop
    from executionkit.patterns.refine_loop import Attempt, RefineResult, refine_loop
    from executionkit.patterns.structured import StructuredResult, structured
    from executionkit.protocols import LLMProvider, StreamingProvider, ToolCallingProvider
    from executionkit.provider import Provider
    from executionkit.responses import LLMResponse, ToolCall
    from executionkit.streaming import (
        Finish,
        ReasoningDelta,
        RefusalDelta,
        ReplyStream,
        StreamEvent,
        TextDelta,
        ToolCallDelta,
        ToolCallDone,
        UsageEvent,
    )
    from executionkit.sync import (
        best_of_n_sync,
        consensus_sync,
        map_reduce_sync,
        pipe_sync,
        react_loop_sync,
        refine_loop_sync,
        structured_sync,
    )
    from executionkit.types import (
        Evaluation,
        Evaluator,
        PatternResult,
        Scorer,
        TokenUsage,
        Tool,
        VotingStrategy,
    )

__all__ = [
    "DEFAULT_RETRY",
    "Attempt",
    "BestOfNResult",
    "BudgetExhaustedError",
    "ConsensusFailedError",
    "ConsensusResult",
    "ConvergenceDetector",
    "CostTracker",
    "DraftScored",
    "DraftStarted",
    "Evaluation",
    "Evaluator",
    "EventCallback",
    "ExecutionKitError",
    "FailedInput",
    "FieldVote",
    "Finish",
    "Kit",
    "LLMError",
    "LLMProvider",
    "LLMResponse",
    "MapReduceResult",
    "MaxIterationsError",
    "MockProvider",
    "Observation",
    "Pairwise",
    "PatternError",
    "PatternEvent",
    "PatternResult",
    "PatternStep",
    "PermanentError",
    "PipeResult",
    "Provider",
    "ProviderError",
    "RateLimitError",
    "ReactResult",
    "ReasoningDelta",
    "RefineResult",
    "RefusalDelta",
    "ReplyStream",
    "RetryConfig",
    "RoundStarted",
    "Rubric",
    "Scorer",
    "StreamEvent",
    "StreamingProvider",
    "StructuredResult",
    "TextDelta",
    "TokenUsage",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallDone",
    "ToolCallingProvider",
    "ToolError",
    "ToolStarted",
    "UsageEvent",
    "VotingStrategy",
    "__version__",
    "best_of_n",
    "best_of_n_sync",
    "checked_complete",
    "consensus",
    "consensus_sync",
    "extract_json",
    "map_reduce",
    "map_reduce_sync",
    "pipe",
    "pipe_sync",
    "react_loop",
    "react_loop_sync",
    "refine_loop",
    "refine_loop_sync",
    "structured",
    "structured_sync",
    "validate_score",
    "vote_by_field",
]

# A name is imported from its home when it is first asked for: a program pays for what it uses. Type checkers
# read the imports above instead; `__getattr__` would tell them that every name exists.
_HOMES = {
    name: home
    for home, names in {
        "executionkit._mock": ("MockProvider",),
        "executionkit.compose": ("PatternStep", "PipeResult", "pipe"),
        "executionkit.cost": ("CostTracker",),
        "executionkit.engine.convergence": ("ConvergenceDetector",),
        "executionkit.engine.json_extraction": ("extract_json",),
        "executionkit.engine.retry": ("DEFAULT_RETRY", "RetryConfig"),
        "executionkit.errors": (
            "BudgetExhaustedError",
            "ConsensusFailedError",
            "ExecutionKitError",
            "LLMError",
            "MaxIterationsError",
            "PatternError",
            "PermanentError",
            "ProviderError",
            "RateLimitError",
            "ToolError",
        ),
        "executionkit.evaluators": ("Pairwise", "Rubric"),
        "executionkit.events": (
            "DraftScored",
            "DraftStarted",
            "EventCallback",
            "Observation",
            "PatternEvent",
            "RoundStarted",
            "ToolStarted",
        ),
        "executionkit.field_vote": ("FieldVote", "vote_by_field"),
        "executionkit.kit": ("Kit",),
        "executionkit.patterns.base": ("checked_complete", "validate_score"),
        "executionkit.patterns.best_of_n": ("BestOfNResult", "best_of_n"),
        "executionkit.patterns.consensus": ("ConsensusResult", "consensus"),
        "executionkit.patterns.map_reduce": ("FailedInput", "MapReduceResult", "map_reduce"),
        "executionkit.patterns.react_loop": ("ReactResult", "react_loop"),
        "executionkit.patterns.refine_loop": ("Attempt", "RefineResult", "refine_loop"),
        "executionkit.patterns.structured": ("StructuredResult", "structured"),
        "executionkit.protocols": ("LLMProvider", "StreamingProvider", "ToolCallingProvider"),
        "executionkit.provider": ("Provider",),
        "executionkit.responses": ("LLMResponse", "ToolCall"),
        "executionkit.streaming": (
            "Finish",
            "ReasoningDelta",
            "RefusalDelta",
            "ReplyStream",
            "StreamEvent",
            "TextDelta",
            "ToolCallDelta",
            "ToolCallDone",
            "UsageEvent",
        ),
        "executionkit.sync": (
            "best_of_n_sync",
            "consensus_sync",
            "map_reduce_sync",
            "pipe_sync",
            "react_loop_sync",
            "refine_loop_sync",
            "structured_sync",
        ),
        "executionkit.types": (
            "Evaluation",
            "Evaluator",
            "PatternResult",
            "Scorer",
            "TokenUsage",
            "Tool",
            "VotingStrategy",
        ),
    }.items()
    for name in names
}

if not TYPE_CHECKING:

    def __getattr__(name):
        """Import the name, or the module of that name with whatever of it is public here."""
        if (home := _HOMES.get(name)) is not None:
            value = getattr(import_module(home), name)
        else:
            module = f"{__name__}.{name}"
            homes = [home for home in _HOMES.values() if f"{home}.".startswith(f"{module}.")]
            if not homes:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
            for home in homes:
                import_module(home)
            value = import_module(module)
        globals()[name] = value
        return value

    def __dir__():
        return __all__
