"""OpenTelemetry's API, imported when it is used, and an observer's settings."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from executionkit._version import __version__
from executionkit.errors import BudgetExhaustedError
from executionkit.otel import _names as names
from executionkit.otel._metrics import Instruments

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Status, TracerProvider

ConversationId: TypeAlias = str | Callable[[], str | None]
"""A conversation's identifier, or a function that says which one is being held."""

_SCOPE: Final = "executionkit"


class Telemetry:
    """OpenTelemetry's API as far as it is used, and the settings of an observer.

    Args:
        tracer_provider: Makes the spans; None for the global one.
        meter_provider: Makes the metrics; None for the global one.
        content: Whether content is exported.
        conversation_id: The conversation's identifier.

    Raises:
        ImportError: opentelemetry-api is not installed.
    """

    def __init__(
        self,
        tracer_provider: "TracerProvider | None",
        meter_provider: "MeterProvider | None",
        conversation_id: ConversationId | None,
        *,
        content: bool,
    ) -> None:
        try:
            # Each name, because an empty namespace package `opentelemetry` can be imported too.
            from opentelemetry.context import attach, detach
            from opentelemetry.metrics import get_meter
            from opentelemetry.trace import SpanKind, Status, StatusCode, get_tracer, set_span_in_context
        except ImportError as exc:
            raise ImportError(
                'executionkit.otel needs opentelemetry-api, which the extra "otel" installs: '
                'pip install ".[otel]"'
            ) from exc
        self.attach = attach
        self.detach = detach
        self.in_context = set_span_in_context
        self.start = get_tracer(_SCOPE, __version__, tracer_provider, names.SCHEMA_URL).start_span
        self.instruments = Instruments(get_meter(_SCOPE, __version__, meter_provider, names.SCHEMA_URL))
        self.internal: SpanKind = SpanKind.INTERNAL
        self.client: SpanKind = SpanKind.CLIENT
        self.content = content
        self._status: Callable[[StatusCode, str], Status] = Status
        self._error = StatusCode.ERROR
        self._conversation_id = conversation_id

    def status_of(self, error: BaseException) -> "Status":
        """The status of a span that ends by an error.

        Its message is content, because it may quote a server that quotes a prompt.
        """
        is_shown = self.content or isinstance(error, BudgetExhaustedError)
        return self._status(self._error, str(error) if is_shown else type(error).__name__)

    def identified(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """The attributes of a new span, with the conversation's identifier."""
        given = self._conversation_id
        identifier = given() if callable(given) else given
        if identifier is not None:
            attributes[names.CONVERSATION] = identifier
        return attributes
