"""`OTelObserver`: tells OpenTelemetry of runs, calls and tools."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from executionkit.observe import CallInfo, CallSpan, RunInfo, RunSpan, ToolInfo, ToolSpan
from executionkit.otel._names import Conventions
from executionkit.otel._scopes import CallScope, RunScope, ToolScope
from executionkit.otel._telemetry import ConversationId, Telemetry

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider


class OTelObserver:
    """Tells OpenTelemetry of every run, call and tool: a span and metrics for each.

    Give it to `observe` for the code inside a `with`; `instrument` installs one for the process.

    Args:
        tracer_provider: Makes the spans. Defaults to the global one.
        meter_provider: Makes the metrics. Defaults to the global one.
        content: Whether prompts, replies, and the arguments and results of tools are exported.
        conversation_id: The value of `gen_ai.conversation.id`, or a function that returns it for each span,
            such as the `get` of a ContextVar.
        conventions: The conventions to follow. "2026-11" is the first release, v0.1.0.

    Raises:
        ImportError: opentelemetry-api is not installed.
        ValueError: `conventions` is not known.
    """

    def __init__(
        self,
        *,
        tracer_provider: "TracerProvider | None" = None,
        meter_provider: "MeterProvider | None" = None,
        content: bool = False,
        conversation_id: ConversationId | None = None,
        conventions: Conventions = "2026-11",
    ) -> None:
        if conventions != "2026-11":
            raise ValueError(f'conventions must be "2026-11", got {conventions!r}')
        self._telemetry = Telemetry(tracer_provider, meter_provider, conversation_id, content=content)

    def run(self, info: RunInfo, /) -> AbstractContextManager[RunSpan]:
        """Begin the span of a run."""
        return RunScope(self._telemetry, info)

    def call(self, info: CallInfo, /) -> AbstractContextManager[CallSpan]:
        """Begin the span of a call of the model."""
        return CallScope(self._telemetry, info)

    def tool(self, info: ToolInfo, /) -> AbstractContextManager[ToolSpan]:
        """Begin the span of a call of a tool."""
        return ToolScope(self._telemetry, info)
