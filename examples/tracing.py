"""Trace a pipe with OpenTelemetry, and print its spans as a tree. Needs opentelemetry-sdk.

If OTEL_EXPORTER_OTLP_ENDPOINT is set, they are sent there too, by
opentelemetry-exporter-otlp-proto-http.
"""

import asyncio
import os
from functools import partial

from endpoint import endpoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from executionkit import (
    LLMResponse,
    Provider,
    RetryConfig,
    ToolCall,
    ToolError,
    consensus,
    pipe,
    react_loop,
)
from executionkit.otel import instrument, uninstrument
from executionkit.testing import ChatRequest, Fault

PRICES = {"tea": 3.20, "scone": 2.50}


def price(item: str) -> float:
    """Look up the price of an item on the menu."""
    if item not in PRICES:
        raise ToolError(f"not on the menu; there is: {', '.join(PRICES)}")
    return PRICES[item]


async def main() -> None:
    memory = InMemorySpanExporter()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(memory))
    if "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    instrument(tracer_provider=tracers)

    patient = RetryConfig(base_delay=0.01)
    vote = partial(consensus, num_samples=3, retry=patient)
    order = partial(react_loop, tools=[price], retry=patient)
    async with Provider(*endpoint(simulated)) as provider:
        result = await pipe(
            provider, "What shall we order, and what does it cost?", vote, order
        )
    print(result)
    show(list(memory.get_finished_spans()))
    tracers.shutdown()  # sends what is left
    uninstrument()


def show(spans: list[ReadableSpan], parent: int | None = None, depth: int = 0) -> None:
    """Print the spans below a parent, each with its tokens, its retries and its error."""
    inside = [
        span for span in spans if (span.parent.span_id if span.parent else None) == parent
    ]
    for span in sorted(inside, key=lambda span: span.start_time or 0):
        told = dict(span.attributes or {})
        tokens = [told[name] for name in told if name.startswith("gen_ai.usage.")]
        notes = [event.name for event in span.events] + [
            told[name] for name in told if name == "error.type"
        ]
        print("  " * depth + span.name, *tokens, *notes)
        show(spans, span.context.span_id, depth + 1)


def simulated(request: ChatRequest) -> LLMResponse | Fault:
    """Fail once, then agree on an order, and ask for its prices with one misspelt."""
    if request.number == 2:
        return Fault.status(503)
    results = [message["content"] for message in request.messages if message["role"] == "tool"]
    if not request.tools:
        return LLMResponse("tea and a scone")
    match len(results):
        case 0:
            return calls("tea", "scones")
        case 2:
            return calls("scone")
        case _:
            return LLMResponse("Together they cost 5.70.")


def calls(*items: str) -> LLMResponse:
    return LLMResponse("", [ToolCall("", "price", {"item": item}) for item in items])


if __name__ == "__main__":
    asyncio.run(main())
