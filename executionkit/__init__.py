"""ExecutionKit: async reasoning patterns over any OpenAI-compatible endpoint, on one exact budget."""

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

__version__ = "0.1.0"

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
