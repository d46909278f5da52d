"""What OpenTelemetry was told: the spans that have ended as a tree, and the metrics."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from executionkit.otel import instrument, uninstrument


class Traces(SpanProcessor):
    """Receives what is exported.

    Attributes:
        tracer_provider: Makes the spans.
        meter_provider: Makes the metrics.
        open: The spans that have begun and not ended.
    """

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer_provider.add_span_processor(self)
        self.meter_provider = MeterProvider(metric_readers=[self._reader])
        self.open: Counter[str] = Counter()

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.open[span.name] += 1

    def on_end(self, span: ReadableSpan) -> None:
        self.open -= Counter([span.name])

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in the order in which they began."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, *beginnings: str) -> list[ReadableSpan]:
        """The spans whose names begin so."""
        return [span for span in self.spans if span.name.startswith(beginnings)]

    @property
    def chats(self) -> list[ReadableSpan]:
        """The spans of calls of the model."""
        return self.named("chat")

    def tree(self) -> str:
        """The spans, each beneath its parent; with their events and the errors that they ended by."""

        def lines(parent: int | None, depth: int) -> Iterator[str]:
            for span in self.spans:
                if (span.parent.span_id if span.parent else None) == parent:
                    notes = [event.name.removeprefix("executionkit.") for event in span.events]
                    error = attributes(span).get("error.type")
                    assert (span.status.status_code is StatusCode.ERROR) is (error is not None)
                    shown = " ".join(
                        [span.name, *(f"[{note}]" for note in notes), *([f"!{error}"] if error else [])]
                    )
                    yield "  " * depth + shown
                    yield from lines(span.context.span_id, depth + 1)

        assert not self.open
        return "\n".join(lines(None, 0))

    def root_of(self, span: ReadableSpan) -> ReadableSpan:
        """The span at the top of a span's tree."""
        by_id = {each.context.span_id: each for each in self.spans}
        while span.parent is not None:
            span = by_id[span.parent.span_id]
        return span

    @property
    def metrics(self) -> dict[str, Metric]:
        """The metrics so far, by name."""
        data = self._reader.get_metrics_data()
        scopes = [scope for each in (data.resource_metrics if data else []) for scope in each.scope_metrics]
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def everything(self) -> str:
        """All that left the process, as one text."""
        spans = [span.to_json() for span in self.spans]
        return json.dumps([*spans, *(metric.to_json() for metric in self.metrics.values())])


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """The attributes of a span."""
    return dict(span.attributes or {})


def total(spans: list[ReadableSpan], name: str) -> Any:
    """The sum of an attribute over some spans."""
    return sum(attributes(span).get(name, 0) for span in spans)


@contextmanager
def traced(**settings: Any) -> Iterator[Traces]:
    """Export to a `Traces`, for the code inside."""
    traces = Traces()
    instrument(tracer_provider=traces.tracer_provider, meter_provider=traces.meter_provider, **settings)
    try:
        yield traces
    finally:
        uninstrument()
