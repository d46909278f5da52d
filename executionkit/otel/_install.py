"""`instrument` and `uninstrument`: the observer of the process."""

import os
from typing import TYPE_CHECKING, Final

from executionkit.observe import install, uninstall
from executionkit.otel._names import Conventions
from executionkit.otel._observer import OTelObserver
from executionkit.otel._telemetry import ConversationId

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

_CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_YES: Final = frozenset({"true", "1", "span_only", "span_and_event"})

_installed: OTelObserver | None = None


def instrument(
    *,
    tracer_provider: "TracerProvider | None" = None,
    meter_provider: "MeterProvider | None" = None,
    content: bool = False,
    conversation_id: ConversationId | None = None,
    conventions: Conventions = "2026-11",
) -> None:
    """Tell OpenTelemetry of every run, call and tool of this process from now on.

    A second call replaces the settings of the first. A span that has begun keeps to those of its time.

    Args:
        tracer_provider: Makes the spans. Defaults to the global one, which may be set later.
        meter_provider: Makes the metrics. Defaults to the global one, which may be set later.
        content: Whether prompts, replies, and the arguments and results of tools are exported. If the
            environment variable `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` is `true` now, they are.
        conversation_id: The value of `gen_ai.conversation.id`, or a function that returns it for each span,
            such as the `get` of a ContextVar.
        conventions: The conventions to follow. "2026-11" is the first release, v0.1.0.

    Raises:
        ImportError: opentelemetry-api is not installed.
        ValueError: `conventions` is not known.
    """
    global _installed
    observer = OTelObserver(
        tracer_provider=tracer_provider,
        meter_provider=meter_provider,
        content=content or os.environ.get(_CAPTURE, "").strip().lower() in _YES,
        conversation_id=conversation_id,
        conventions=conventions,
    )
    uninstrument()
    install(observer)
    _installed = observer


def uninstrument() -> None:
    """Undo `instrument`. Without one before it, this does nothing."""
    global _installed
    observer, _installed = _installed, None
    if observer is not None:
        uninstall(observer)
