"""Tracing and metrics by OpenTelemetry. Using them needs the extra `otel`."""

from executionkit.otel._install import instrument, uninstrument
from executionkit.otel._observer import OTelObserver

__all__ = ["OTelObserver", "instrument", "uninstrument"]
