"""The metrics of the conventions, as instruments of a meter."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from executionkit.otel import _names as names
from executionkit.types import TokenUsage

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

Attributes = Mapping[str, str | int]


class Instruments:
    """The instruments that calls, runs and tools are recorded on.

    Args:
        meter: Makes them.
    """

    def __init__(self, meter: "Meter") -> None:
        short, long = names.SHORT_BUCKETS, names.AGENT_BUCKETS
        seconds = meter.create_histogram
        self._call = seconds(
            names.INFERENCE_DURATION, "s", "Duration of a call.", explicit_bucket_boundaries_advisory=short
        )
        self._first = seconds(
            names.INFERENCE_FIRST_CHUNK,
            "s",
            "Time until the first chunk of a streamed reply.",
            explicit_bucket_boundaries_advisory=short,
        )
        self._run = seconds(
            names.AGENT_DURATION, "s", "Duration of a run.", explicit_bucket_boundaries_advisory=long
        )
        self._tool = seconds(
            names.TOOL_DURATION, "s", "Duration of a tool.", explicit_bucket_boundaries_advisory=short
        )
        tokens = meter.create_counter
        self._input = tokens(names.INFERENCE_INPUT, "{token}", "Tokens of prompts.")
        self._output = tokens(names.INFERENCE_OUTPUT, "{token}", "Tokens of replies.")
        self._parts = {
            names.CACHE_READ_TOKENS: tokens(
                names.INFERENCE_CACHE_READ, "{token}", "Tokens of prompts read from a cache."
            ),
            names.CACHE_WRITE_TOKENS: tokens(
                names.INFERENCE_CACHE_WRITE, "{token}", "Tokens of prompts written to a cache."
            ),
            names.REASONING_TOKENS: tokens(
                names.INFERENCE_REASONING, "{token}", "Tokens of replies spent on reasoning."
            ),
        }

    def call(
        self,
        attributes: Attributes,
        seconds: float,
        first: float | None,
        usage: TokenUsage,
        parts: Mapping[str, int],
    ) -> None:
        """Record a call of the model, with the parts of its tokens by the name of their attribute."""
        self._call.record(seconds, attributes)
        if first is not None:
            self._first.record(first, attributes)
        counted = {**attributes, names.MODALITY: names.UNKNOWN}
        self._input.add(usage.input_tokens, counted)
        self._output.add(usage.output_tokens, counted)
        for name, count in parts.items():
            self._parts[name].add(count, counted)

    def run(self, attributes: Attributes, seconds: float) -> None:
        """Record a run."""
        self._run.record(seconds, attributes)

    def tool(self, attributes: Attributes, seconds: float) -> None:
        """Record a call of a tool."""
        self._tool.record(seconds, attributes)
