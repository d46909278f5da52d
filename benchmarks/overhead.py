"""What a pattern adds to each model call, beside the same calls made bare, in the same run.

Aim: at most 15 microseconds a call, however many samples there are and however long the replies.

The model is a MockProvider that answers at once, so both columns contain the work of the mock. The times are
processor time. Waiting for other programs does not count; sharing a core with them does, and can add half as
much again. The garbage collector is off while the clock runs, as in timeit, because the mock keeps a record
of every call. Each figure is the median of several repetitions. Bare and pattern take turns, so that a
machine that slows down affects both alike. `added` is the median of the differences, with its middle half.

In the last tables `bare` is the pattern without an observer, and `pattern` the same with one. The aim is 20
microseconds for an observer that does nothing. Until one is given, a call tests one flag, so these tables
come last. Where opentelemetry-sdk is installed, there is one of what tracing adds. The aim is 40 microseconds
for spans. Metrics have none: they are three measurements, and nearly all of their time is the SDK's. Nothing
is exported.

Not shown: HTTP, JSON and TLS, which cost a real call milliseconds; memory; the time that calls wait for each
other under a budget on tokens; the threads that run plain functions given as tools.
"""

import asyncio
import gc
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from executionkit import (
    LLMProvider,
    LLMResponse,
    MockProvider,
    TokenUsage,
    Tool,
    ToolCall,
    best_of_n,
    consensus,
    map_reduce,
    react_loop,
    refine_loop,
    structured,
)
from executionkit.observe import CallInfo, CallSpan, Observer, RunInfo, RunSpan, ToolInfo, ToolSpan, observe

AIM_US = 15.0
OBSERVED_AIM_US = 20.0
TRACED_AIM_US = 40.0
REPETITIONS = 9
WIDE = TokenUsage(10**9, 10**9, 10**9)

Job = Callable[[MockProvider], Awaitable[object]]
Script = Callable[[], Sequence[str | LLMResponse]]


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        title: What is measured.
        calls: The model calls that each of the two jobs makes.
        script: Makes the replies, anew for every job.
        bare: The calls alone.
        pattern: The same calls by way of a pattern.
        aims: Whether the aim is meant for it.
    """

    title: str
    calls: int
    script: Script
    bare: Job
    pattern: Job
    aims: bool = True


# -- the jobs --------------------------------------------------------------------------------------------


def one(text: str) -> Script:
    return lambda: [text]


def distinct(text: str, count: int) -> Script:
    """Texts that are equal without being one object, as replies from a server are."""
    return lambda: ["".join((text[:1], text[1:])) for _ in range(count)]


def gathered(count: int) -> Job:
    async def job(provider: MockProvider) -> None:
        await asyncio.gather(*(ask(provider, "q") for _ in range(count)))

    return job


def in_turn(count: int) -> Job:
    async def job(provider: MockProvider) -> None:
        for _ in range(count):
            await ask(provider, "q")

    return job


def ask(provider: MockProvider, prompt: str) -> Awaitable[LLMResponse]:
    return provider.complete([{"role": "user", "content": prompt}], temperature=0.9, max_tokens=4096)


def voting(count: int, at_once: int, budget: TokenUsage | None = None) -> Job:
    async def job(provider: MockProvider) -> None:
        await consensus(provider, "q", num_samples=count, max_concurrency=at_once, max_cost=budget)

    return job


async def halfway(_text: str, _provider: LLMProvider) -> float:
    return 0.5


def judged_in_turn(count: int) -> Job:
    async def job(provider: MockProvider) -> None:
        for _ in range(count):
            reply = await ask(provider, "q")
            await halfway(reply.content, provider)

    return job


def refining(count: int) -> Job:
    async def job(provider: MockProvider) -> None:
        await refine_loop(provider, "q", evaluator=halfway, max_iterations=count - 1, patience=count)

    return job


def choosing(count: int) -> Job:
    async def job(provider: MockProvider) -> None:
        await best_of_n(provider, "q", evaluator=halfway, num_samples=count)

    return job


def judged_at_once(count: int) -> Job:
    async def judged(provider: MockProvider) -> None:
        reply = await ask(provider, "q")
        await halfway(reply.content, provider)

    async def job(provider: MockProvider) -> None:
        await asyncio.gather(*(judged(provider) for _ in range(count)))

    return job


def mapping(count: int) -> Job:
    async def job(provider: MockProvider) -> None:
        await map_reduce(provider, ["q"] * (count - 1), map_prompt="{input}", reduce_prompt=str)

    return job


def structuring(count: int) -> Job:
    async def job(provider: MockProvider) -> None:
        for _ in range(count):
            await structured(provider, "q", ANSWER)

    return job


def parsed_in_turn(count: int) -> Job:
    async def job(provider: MockProvider) -> None:
        for _ in range(count):
            json.loads((await ask(provider, "q")).content)

    return job


class Idle:
    """An observer that does nothing."""

    def run(self, _: RunInfo, /) -> AbstractContextManager[RunSpan]:
        return nullcontext(RunSpan())

    def call(self, _: CallInfo, /) -> AbstractContextManager[CallSpan]:
        return nullcontext(CallSpan())

    def tool(self, _: ToolInfo, /) -> AbstractContextManager[ToolSpan]:
        return nullcontext(ToolSpan())


def observed(job: Job, observer: Observer | None = None) -> Job:
    async def watched(provider: MockProvider) -> None:
        with observe(Idle() if observer is None else observer):
            await job(provider)

    return watched


ANSWER = {"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"]}


async def look(at: str) -> str:
    return at


LOOK = Tool("look", "Look.", {"type": "object", "properties": {"at": {"type": "string"}}}, look)
USAGE = TokenUsage(input_tokens=20, output_tokens=5)


async def looked(call: ToolCall) -> str:
    """The least that keeps a tool to its time without letting it hold the loop: a task of its own."""
    if call.name != LOOK.name:
        return "no such tool"
    task = asyncio.create_task(look(**call.arguments))
    await asyncio.wait((task,), timeout=LOOK.timeout)
    return task.result()


def tooled_in_turn(rounds: int, runs: int) -> Job:
    async def job(provider: MockProvider) -> None:
        schemas = [LOOK.to_schema()]
        for _ in range(runs):
            messages: list[dict[str, object]] = [{"role": "user", "content": "q"}]
            for _ in range(rounds):
                reply = await provider.complete(messages, temperature=0.3, max_tokens=4096, tools=schemas)
                for call in reply.tool_calls:
                    function = {"name": call.name, "arguments": json.dumps(call.arguments)}
                    asked = [{"id": call.id, "type": "function", "function": function}]
                    messages.append({"role": "assistant", "content": None, "tool_calls": asked})
                    result = await looked(call)
                    messages.append({"role": "tool", "tool_call_id": call.id, "content": result})

    return job


def reacting(rounds: int, runs: int) -> Job:
    async def job(provider: MockProvider) -> None:
        for _ in range(runs):
            await react_loop(provider, "q", [LOOK], max_rounds=rounds)

    return job


def calling(name: str, rounds: int, runs: int) -> Script:
    """The model calls this tool in every round but the last."""
    usage = {"prompt_tokens": USAGE.input_tokens, "completion_tokens": USAGE.output_tokens}
    asked = LLMResponse("", [ToolCall("c1", name, {"at": "it"})], "tool_calls", usage)
    return lambda: ([asked] * (rounds - 1) + ["done"]) * runs


CASES = [
    Case("consensus, 5 at once, beside gather", 1000, one("42"), gathered(1000), voting(1000, 5)),
    Case("consensus, all at once, beside gather", 1000, one("42"), gathered(1000), voting(1000, 1000)),
    Case("consensus, 5 at once, beside a bare loop", 1000, one("42"), in_turn(1000), voting(1000, 5)),
    Case("consensus under a budget, beside gather", 1000, one("42"), gathered(1000), voting(1000, 5, WIDE)),
    Case("refine_loop, own evaluator", 1000, one("42"), judged_in_turn(1000), refining(1000)),
    Case("best_of_n, own evaluator", 1000, one("42"), judged_at_once(1000), choosing(1000)),
    Case("map_reduce, 999 inputs", 1000, one("42"), gathered(1000), mapping(1000)),
    Case(
        "structured, by a schema, beside json.loads",
        200,
        one('{"answer": 42}'),
        parsed_in_turn(200),
        structuring(200),
        aims=False,
    ),
    Case("react_loop, no tool run", 800, calling("nope", 8, 100), tooled_in_turn(8, 100), reacting(8, 100)),
    Case(
        "react_loop, a tool run",
        800,
        calling("look", 8, 100),
        tooled_in_turn(8, 100),
        reacting(8, 100),
        aims=False,
    ),
]
SAMPLES = [
    Case(f"{count:>7,} samples", count, one("42"), gathered(count), voting(count, 5))
    for count in (100, 1_000, 10_000)
]
TEXTS = [
    Case(f"{size:>7,} characters, one text", 1000, one("x" * size), gathered(1000), voting(1000, 5))
    for size in (100, 10_000, 100_000)
] + [
    Case(
        f"{size:>7,} characters, equal texts",
        200,
        distinct("x" * size, 200),
        gathered(200),
        voting(200, 5),
        aims=False,
    )
    for size in (100, 10_000, 100_000)
]

OBSERVED = [
    Case(title, calls, script, job, observed(job))
    for title, calls, script, job in (
        ("consensus, 5 at once", 1000, one("42"), voting(1000, 5)),
        ("react_loop, no tool run", 800, calling("nope", 8, 100), reacting(8, 100)),
        ("react_loop, a tool run", 800, calling("look", 8, 100), reacting(8, 100)),
    )
]


def traced_cases() -> list[Case]:
    """What tracing adds; nothing without the SDK."""
    try:
        from opentelemetry.metrics import NoOpMeterProvider
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError:
        return []
    from executionkit.otel import OTelObserver

    job, tracers = voting(1000, 5), TracerProvider()
    meters = MeterProvider(metric_readers=[InMemoryMetricReader()])
    spans = OTelObserver(tracer_provider=tracers, meter_provider=NoOpMeterProvider())
    both = OTelObserver(tracer_provider=tracers, meter_provider=meters)
    return [
        Case("consensus, spans", 1000, one("42"), job, observed(job, spans)),
        Case("consensus, spans and metrics", 1000, one("42"), job, observed(job, both), aims=False),
    ]


# -- measuring -------------------------------------------------------------------------------------------


async def microseconds(case: Case, job: Job) -> float:
    """What a call costs, in one repetition; short jobs are done several times."""
    times = max(1, 1000 // case.calls)
    providers = [MockProvider(case.script(), usage=USAGE) for _ in range(times)]
    gc.collect()
    gc.disable()
    started = time.process_time()
    for provider in providers:
        await job(provider)
    spent = time.process_time() - started
    gc.enable()
    assert all(provider.call_count == case.calls for provider in providers)
    return spent / (times * case.calls) * 1e6


async def measure(case: Case) -> tuple[float, float, float, float, float]:
    """Bare, pattern, added, and the quartiles around added, in microseconds a call."""
    await microseconds(case, case.pattern)  # warm
    pairs = [
        (await microseconds(case, case.bare), await microseconds(case, case.pattern))
        for _ in range(REPETITIONS)
    ]
    bare, pattern = (statistics.median(column) for column in zip(*pairs, strict=True))
    low, added, high = statistics.quantiles((b - a for a, b in pairs), n=4)
    return bare, pattern, added, low, high


async def table(title: str, cases: list[Case], aim: float = AIM_US) -> bool:
    """Print one table; whether every line that has an aim met it."""
    print(f"\n{title:<42} {'bare':>8} {'pattern':>8} {'ratio':>6} {'added':>7}   middle half")
    met = True
    for case in cases:
        bare, pattern, added, low, high = await measure(case)
        miss = case.aims and added > aim
        met = met and not miss
        print(
            f"{case.title:<42} {bare:8.2f} {pattern:8.2f} {pattern / bare:6.2f} {added:7.2f}   "
            f"{low:.2f} to {high:.2f}{'   over the aim' if miss else ''}"
        )
    return met


async def main() -> int:
    """Print the tables; 1 when the aim is missed."""
    print(
        f"Microseconds a model call, median of {REPETITIONS}; aim: at most {AIM_US:.0f} added, "
        f"{OBSERVED_AIM_US:.0f} by an observer, {TRACED_AIM_US:.0f} by spans."
    )
    met = [
        await table("What a pattern adds", CASES),
        await table("consensus: flat in the number of samples", SAMPLES),
        await table("consensus: flat in the length of the reply", TEXTS),
        await table("What an observer adds that does nothing", OBSERVED, OBSERVED_AIM_US),
        await table("What tracing by OpenTelemetry adds", traced_cases(), TRACED_AIM_US),
    ]
    print(
        "\nFour kinds of lines have no aim. A tool run is compared with asyncio's task and time limit;\n"
        "most of what it adds is the check of its arguments. Equal texts in different objects must be\n"
        "read once each to be compared, and gather reads none. Each call of structured is a pattern of\n"
        "its own: it prepares the schema, sends it, and checks the reply. Metrics are work of the SDK."
    )
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
