"""The provider layer: the client of OpenAI-compatible endpoints, the protocols, the errors."""

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
from executionkit.protocols import LLMProvider, StreamingProvider, ToolCallingProvider
from executionkit.provider._client import Provider
from executionkit.responses import LLMResponse, ToolCall

__all__ = [
    "BudgetExhaustedError",
    "ConsensusFailedError",
    "ExecutionKitError",
    "LLMError",
    "LLMProvider",
    "LLMResponse",
    "MaxIterationsError",
    "PatternError",
    "PermanentError",
    "Provider",
    "ProviderError",
    "RateLimitError",
    "StreamingProvider",
    "ToolCall",
    "ToolCallingProvider",
    "ToolError",
]
