"""A small real model, SmolLM2-135M-Instruct, behind llama-cpp-python's server with a ledger of its own."""

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from executionkit import (
    BudgetExhaustedError,
    PermanentError,
    Provider,
    ProviderError,
    RetryConfig,
    consensus,
    react_loop,
    refine_loop,
    structured,
)
from executionkit.many import Journal
from executionkit.streaming import TextDelta, UsageEvent
from executionkit.types import TokenUsage
from interop_suite import llama_cpp, rows_job, weights
from interop_suite.checking import QUICK, Checks, Outcome, Target, expect, raised, require
from interop_suite.counted import MODEL, TOOLS, Ledger, counted
from interop_suite.processes import free_port
from interop_suite.report import Report
from interop_suite.wire import asking, spent

STORY = "Write a story about a lighthouse."
QUESTION = "Name a fruit."

_CONTEXT = 2048
_LONG = 600
"""The tokens of a reply that nobody waits for."""
_PATIENT = RetryConfig(max_retries=200, base_delay=0.2, max_delay=0.5)
"""Retries for as long as a server takes to start."""


def install(cache: Path) -> str:
    """Install the server and fetch the weights, and say what."""
    server = llama_cpp.install_server(cache)
    weights.smollm2(cache)
    return f"{weights.NAME}, {server}"


def run(cache: Path, report: Report) -> None:
    """Try it as it is, and with a server that is killed."""
    with counted(cache, weights.smollm2(cache), context=_CONTEXT) as port:
        counting = partial(Ledger.of, port)
        report.run(_CHECKS, lambda backend: _target(port, backend, lambda: counting().made))
    report.run({"the server killed": partial(server_killed, cache)}, partial(_target, free_port()))


def _target(port: int, backend: str, served: Callable[[], TokenUsage] | None = None) -> Target:
    return Target(f"http://127.0.0.1:{port}/v1", backend, llama_cpp.KEY, MODEL, served)


async def _ledger(target: Target) -> Ledger:
    return await asyncio.to_thread(Ledger.of, _port(target))


def _port(target: Target) -> int:
    port = urlsplit(target.base_url).port
    require(port, "a URL without a port")
    return port or 0


async def _until(target: Target, holds: Callable[[Ledger], object]) -> Ledger:
    while not holds(ledger := await _ledger(target)):  # noqa: ASYNC110 - see below
        await asyncio.sleep(0.02)  # the ledger is in another process
    return ledger


async def complete(target: Target) -> Outcome:
    async with target.provider() as provider:
        reply = await provider.complete(asking("What is the capital of France?"), temperature=0)
        cut = await provider.complete(asking(STORY), temperature=0, max_tokens=5)
    require("Paris" in reply.content, f"content {reply.content!r}")
    expect((reply.finish_reason, cut.was_truncated, cut.output_tokens), ("stop", True, 5), "ends")
    return Outcome(
        "an answer that ends, and one cut off; the model's count is ours", spent(reply) + spent(cut)
    )


async def stream(target: Target) -> Outcome:
    before = await _ledger(target)
    async with target.provider() as provider:
        whole = await provider.complete(asking(STORY), temperature=0)
        async with provider.stream(asking(STORY), temperature=0) as events:
            seen = [event async for event in events]
    pieces = [event.text for event in seen if isinstance(event, TextDelta)]
    expect("".join(pieces), whole.content, "text, against the reply that was not streamed")
    require(len(pieces) > 20, f"it came in {len(pieces)} pieces")
    usage = next(event for event in seen if isinstance(event, UsageEvent))
    made = (await _ledger(target)).generations[len(before.generations) + 1]
    figures = f"{usage.input_tokens} + {usage.output_tokens} for {made.prompt} + {made.made}"
    if not usage.estimated:
        expect((usage.input_tokens, usage.output_tokens), made[:2], "usage")
    told = f"estimated: {figures} tokens" if usage.estimated else "told by the server"
    return Outcome(f"the reply in pieces; usage {told}")


async def vote(target: Target) -> Outcome:
    async with target.provider() as provider:
        result = await consensus(provider, QUESTION, num_samples=6, max_tokens=16, retry=QUICK)
    require(result.unique_responses > 1, "six samples at temperature 0.9 are all alike")
    return Outcome("6 samples that differ; the model's count is ours", result.cost)


async def budget(target: Target) -> Outcome:
    ceiling = TokenUsage(output_tokens=100)
    async with target.provider() as provider:
        loop = refine_loop(
            provider,
            STORY,
            evaluator=lambda *_: 0.1,
            max_iterations=9,
            patience=9,
            max_tokens=40,
            max_cost=ceiling,
            retry=QUICK,
        )
        error = await raised(BudgetExhaustedError, loop)
    require(error.cost.output_tokens <= ceiling.output_tokens, f"spent {error.cost}")
    return Outcome("100 output tokens hold; the model's count is ours", error.cost)


async def stream_left(target: Target) -> Outcome:
    before = await _ledger(target)
    async with _long(target) as provider:
        async with provider.stream(asking(STORY), max_tokens=_LONG) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    break
        await _answered(target)
    await _expect_all_left(target, before, generations=2)
    return Outcome("the model stops; the next call is answered")


async def cancelled(target: Target) -> Outcome:
    before = await _ledger(target)
    async with _long(target, stream_always=True) as provider:
        await _cancel(target, provider)
        await _answered(target)
    await _expect_all_left(target, before, generations=None)
    return Outcome("stream_always=True: the model stops; the next call is answered")


async def cancelled_whole(target: Target) -> Outcome:
    before = await _ledger(target)
    async with _long(target) as provider:
        await _cancel(target, provider, max_tokens=100)
        await _answered(target)
    new = (await _ledger(target)).generations[len(before.generations) :]
    expect([generation.made >= 100 for generation in new], [True, False], "generations made to their end")
    return Outcome("not streamed: the model goes on to the end; what waited for it is not begun")


def _long(target: Target, **settings: Any) -> Provider:
    return target.provider(extra_body={"min_tokens": _LONG}, **settings)


async def _cancel(target: Target, provider: Provider, max_tokens: int = _LONG) -> None:
    """Cancel a vote while one of its samples is being made and one waits."""
    calls = (await _ledger(target)).calls
    task = asyncio.create_task(consensus(provider, STORY, num_samples=2, max_tokens=max_tokens))
    await _until(target, lambda ledger: ledger.calls == calls + 2 and ledger.running)
    task.cancel()
    await asyncio.wait([task])
    require(task.cancelled(), "the vote was not cancelled")


async def _answered(target: Target) -> None:
    async with target.provider() as provider:
        reply = await provider.complete(asking(QUESTION), max_tokens=4)
    require(reply.content, "no answer")


async def _expect_all_left(target: Target, before: Ledger, generations: int | None) -> None:
    new = (await _ledger(target)).generations[len(before.generations) :]
    if generations is not None:
        expect(len(new), generations, "generations")
    require(all(generation.ended and generation.made < _LONG / 2 for generation in new), f"made {new}")


async def too_long(target: Target) -> Outcome:
    before = await _ledger(target)
    async with target.provider() as provider:
        error = await raised(
            PermanentError, consensus(provider, "word " * 2 * _CONTEXT, num_samples=1, retry=QUICK)
        )
    expect((error.status_code, error.is_context_overflow), (400, True), "status and is_context_overflow")
    expect(error.cost, TokenUsage(llm_calls=1), "cost")
    expect(len((await _ledger(target)).generations), len(before.generations), "generations")
    return Outcome("PermanentError, is_context_overflow, not repeated; one call, no tokens", error.cost)


async def grammar(target: Target) -> Outcome:
    words = {"snark", "boojum"}
    async with target.provider() as free:
        reply = await free.complete(asking(QUESTION), temperature=0)
        require(reply.content not in words, "the grammar has nothing to do")
    rule = 'root ::= "snark" | "boojum"'
    async with target.provider(extra_body={"grammar": rule}) as provider:
        result = await consensus(provider, QUESTION, num_samples=5, retry=QUICK)
    require({answer for answer, _ in result.votes} <= words, f"votes {result.votes}")
    return Outcome("holds the model to two words it would not say", spent(reply) + result.cost)


DOG = {
    "type": "object",
    "properties": {
        "size": {"type": "string", "enum": ["tiny", "huge"]},
        "legs": {"type": "integer", "enum": [3, 5]},
        "code": {"type": "string", "enum": ["zx-1", "zx-2"]},
    },
    "required": ["size", "legs", "code"],
    "additionalProperties": False,
}


async def schema(target: Target) -> Outcome:
    cost, mode = TokenUsage(), None
    async with target.stranger() as provider:
        for number in range(4):
            result = await structured(
                provider, "Describe a dog.", DOG, temperature=1.0, max_tokens=64, retry=QUICK
            )
            expect(
                (result.repair_attempts, result.cost.llm_calls),
                (0, 2 if number == 0 else 1),
                "repairs, calls",
            )
            cost, mode = cost + result.cost, result.schema_mode
    return Outcome(f"json_schema is refused once; then {mode} holds the model, no repair", cost)


async def tools(target: Target) -> Outcome:
    before = await _ledger(target)
    seen: list[tuple[int, int]] = []

    def multiply(a: int, b: int) -> int:
        """Multiply two numbers."""
        seen.append((a, b))
        return a * b

    async with target.provider(TOOLS, null_content="") as provider:
        result = await react_loop(
            provider,
            "What is 17 times 23? Use the tool.",
            [multiply],
            tool_choice="multiply",
            max_rounds=2,
            on_limit="answer",
            temperature=0,
            max_tokens=64,
            retry=QUICK,
        )
    require(seen, "the tool was not called")
    after = await _ledger(target)
    expect(result.cost.llm_calls, after.calls - before.calls, "calls")
    told = (
        after.told.input_tokens - before.told.input_tokens,
        after.told.output_tokens - before.told.output_tokens,
    )
    expect((result.cost.input_tokens, result.cost.output_tokens), told, "tokens, as told by the server")
    return Outcome(f"called with {seen}; then {result.value!r}")


async def client_killed(target: Target) -> Outcome:
    """Kill a job twice with SIGKILL; the ledger of the server then agrees with its journal."""
    before = (await _ledger(target)).calls
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "rows.jsonl"
        for calls in (3, 8):
            job = await _start_job(target, journal)
            await _until(target, partial(_has_come, before + calls))
            require(job.returncode is None, "the job had ended before it was killed")
            job.kill()
            await job.wait()
        output, _ = await (await _start_job(target, journal)).communicate()
        figures = json.loads(output)
        rows = list(Journal(journal).rows())
    served = (await _ledger(target)).calls - before
    wanted = rows_job.SAMPLES * len(rows_job.ROWS)
    expect((figures["done"], len({row.row for row in rows})), (len(rows_job.ROWS),) * 2, "rows")
    require(wanted <= served <= wanted + 2 * rows_job.IN_FLIGHT, f"the server saw {served} calls")
    # A call that is written down and was not sent yet is in the journal's count too.
    require(
        served <= figures["calls"] <= served + figures["unknown"], f"{served} calls, the journal {figures}"
    )
    return Outcome("killed twice; every row once; at most the calls in flight are paid for twice")


def _has_come(calls: int, ledger: Ledger) -> bool:
    return ledger.calls >= calls


async def _start_job(target: Target, journal: Path) -> asyncio.subprocess.Process:
    arguments = ("-m", rows_job.__name__, target.base_url, target.backend, str(journal))
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)


async def server_killed(cache: Path, target: Target) -> Outcome:
    """Kill the server under a vote, start another in its place, and kill that under a stream."""
    async with target.provider() as provider:
        with ExitStack() as first:
            await asyncio.to_thread(first.enter_context, _mortal(cache, target))
            vote = consensus(provider, STORY, num_samples=3, max_tokens=40, max_concurrency=1, retry=_PATIENT)
            task = asyncio.create_task(vote)
            seen = (await _until(target, lambda ledger: ledger.calls == 2 and ledger.running)).calls
        with ExitStack() as second:
            await asyncio.to_thread(second.enter_context, _mortal(cache, target))
            result = await task
            again = (await _ledger(target)).calls
            expect((result.samples_used, result.cost.llm_calls), (3, seen + again), "samples and calls")
            expect(again, 2, "calls after the start")
            async with _long(target) as patient:
                stream = patient.stream(asking(STORY), max_tokens=_LONG)
                reading = asyncio.create_task(_read(stream))
                await _until(target, lambda ledger: any(each.made > 20 for each in ledger.running))
                await asyncio.to_thread(second.close)
                error = await raised(ProviderError, reading)
    require(error.metadata.get("partial_text"), f"no text so far: {error.metadata}")
    return Outcome("the call in flight is repeated until it is back; a stream ends, its text in the error")


async def _read(stream: Any) -> None:
    async with stream as events:
        async for _ in events:
            pass


def _mortal(cache: Path, target: Target) -> Any:
    return counted(cache, weights.smollm2(cache), context=_CONTEXT, port=_port(target), politely=False)


_CHECKS: Checks = {
    "complete": complete,
    "stream": stream,
    "consensus": vote,
    "a budget": budget,
    "stream: left early": stream_left,
    "a vote cancelled, streamed": cancelled,
    "a vote cancelled, not streamed": cancelled_whole,
    "too long a prompt": too_long,
    "a grammar": grammar,
    "structured": schema,
    "react_loop": tools,
    "the client killed": client_killed,
}
