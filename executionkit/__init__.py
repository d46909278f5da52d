"""ExecutionKit: async reasoning patterns over any OpenAI-compatible endpoint, on one exact budget."""

from typing import TYPE_CHECKING

from executionkit._lazy import install

# Each public name is written here once. At run time `install` reads this list and imports a name when it is
# first used; type checkers see plain imports, and so does Python where the package comes without its source.
if TYPE_CHECKING or not install(__name__):
    from executionkit._mock import MockProvider as MockProvider
    from executionkit._turn_stream import TurnStream as TurnStream
    from executionkit._version import __version__ as __version__
    from executionkit.approval import (
        Approval as Approval,
        ApprovalRequest as ApprovalRequest,
    )
    from executionkit.compose import (
        PatternStep as PatternStep,
        PipeResult as PipeResult,
        pipe as pipe,
    )
    from executionkit.conversation import Conversation as Conversation
    from executionkit.cost import CostTracker as CostTracker
    from executionkit.engine.convergence import ConvergenceDetector as ConvergenceDetector
    from executionkit.engine.json_extraction import extract_json as extract_json
    from executionkit.engine.retry import (
        DEFAULT_RETRY as DEFAULT_RETRY,
        RetryConfig as RetryConfig,
    )
    from executionkit.errors import (
        ApprovalPending as ApprovalPending,
        BudgetExhaustedError as BudgetExhaustedError,
        ConsensusFailedError as ConsensusFailedError,
        ExecutionKitError as ExecutionKitError,
        JournalError as JournalError,
        LLMError as LLMError,
        MaxIterationsError as MaxIterationsError,
        PatternError as PatternError,
        PermanentError as PermanentError,
        ProviderError as ProviderError,
        RateLimitError as RateLimitError,
        ToolError as ToolError,
    )
    from executionkit.evaluators import (
        Confidence as Confidence,
        Pairwise as Pairwise,
        Rubric as Rubric,
    )
    from executionkit.events import (
        ApprovalAsked as ApprovalAsked,
        ApprovalGiven as ApprovalGiven,
        CandidateScored as CandidateScored,
        DraftScored as DraftScored,
        DraftStarted as DraftStarted,
        EventCallback as EventCallback,
        InputDone as InputDone,
        Observation as Observation,
        PairCompared as PairCompared,
        PatternEnded as PatternEnded,
        PatternEvent as PatternEvent,
        PatternStarted as PatternStarted,
        Reducing as Reducing,
        Rejected as Rejected,
        Retrying as Retrying,
        RoundStarted as RoundStarted,
        SampleDone as SampleDone,
        StepDone as StepDone,
        StepStarted as StepStarted,
        TierDone as TierDone,
        ToolStarted as ToolStarted,
    )
    from executionkit.field_vote import (
        FieldVote as FieldVote,
        vote_by_field as vote_by_field,
    )
    from executionkit.kit import Kit as Kit
    from executionkit.panel import Panel as Panel
    from executionkit.patterns.base import (
        checked_complete as checked_complete,
        validate_score as validate_score,
    )
    from executionkit.patterns.best_of_n import (
        BestOfNResult as BestOfNResult,
        best_of_n as best_of_n,
    )
    from executionkit.patterns.cascade import (
        CascadeResult as CascadeResult,
        Tier as Tier,
        cascade as cascade,
    )
    from executionkit.patterns.consensus import (
        ConsensusResult as ConsensusResult,
        consensus as consensus,
    )
    from executionkit.patterns.map_reduce import (
        FailedInput as FailedInput,
        MapReduceResult as MapReduceResult,
        map_reduce as map_reduce,
    )
    from executionkit.patterns.react_loop import (
        ReactResult as ReactResult,
        react_loop as react_loop,
    )
    from executionkit.patterns.refine_loop import (
        Attempt as Attempt,
        RefineResult as RefineResult,
        refine_loop as refine_loop,
    )
    from executionkit.patterns.structured import (
        StructuredResult as StructuredResult,
        structured as structured,
    )
    from executionkit.prices import (
        PriceBook as PriceBook,
        Rates as Rates,
    )
    from executionkit.protocols import (
        LLMProvider as LLMProvider,
        StreamingProvider as StreamingProvider,
        ToolCallingProvider as ToolCallingProvider,
    )
    from executionkit.provider import Provider as Provider
    from executionkit.responses import (
        LLMResponse as LLMResponse,
        TokenLogprob as TokenLogprob,
        ToolCall as ToolCall,
    )
    from executionkit.streaming import (
        Finish as Finish,
        ReasoningDelta as ReasoningDelta,
        RefusalDelta as RefusalDelta,
        ReplyStream as ReplyStream,
        StreamEvent as StreamEvent,
        TextDelta as TextDelta,
        ToolCallDelta as ToolCallDelta,
        ToolCallDone as ToolCallDone,
        UsageEvent as UsageEvent,
    )
    from executionkit.sync import (
        best_of_n_sync as best_of_n_sync,
        cascade_sync as cascade_sync,
        consensus_sync as consensus_sync,
        map_reduce_sync as map_reduce_sync,
        pipe_sync as pipe_sync,
        react_loop_sync as react_loop_sync,
        refine_loop_sync as refine_loop_sync,
        structured_sync as structured_sync,
    )
    from executionkit.tools._tool import (
        FunctionTool as FunctionTool,
        tool as tool,
    )
    from executionkit.types import (
        Evaluation as Evaluation,
        Evaluator as Evaluator,
        PatternResult as PatternResult,
        Scorer as Scorer,
        TokenUsage as TokenUsage,
        Tool as Tool,
        VotingStrategy as VotingStrategy,
    )
