"""Random schedules of faults, with everything at once and calls cancelled anywhere: what is left is nothing.

Each schedule is drawn from a seed: what the server does with each request, what the clients run, and when
they are cancelled. The interleaving is the network's, so a seed is a scenario and no exact replay.
`SCHEDULES=1000` in the environment runs as many on each back end, and a third of that over TLS; otherwise
it is a few.
"""

import asyncio
import gc
import logging
import os
import random
import statistics
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from loopback import Connection, Server, relay_to

from executionkit import (
    ExecutionKitError,
    Kit,
    LLMResponse,
    MaxIterationsError,
    Provider,
    RetryConfig,
    Rubric,
    TokenUsage,
    Tool,
    ToolCall,
)
from executionkit.testing import Answer, Fault, LocalEndpoint

KEY = "sk-secret-0123456789"
SCHEDULES = int(os.environ.get("SCHEDULES", "9"))
RETRY = RetryConfig(max_retries=2, base_delay=0.0)

OPEN_FILES = "/proc/self/fd"


async def look(at: str) -> str:
    """What is there."""
    await asyncio.sleep(0)
    return f"seen {at}"


LOOK = Tool(
    "look",
    "Look.",
    {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
    look,
)


def answers(dice: random.Random) -> list[Answer]:
    """What the server does, in order: one in two replies is whole."""
    asked = LLMResponse("", [ToolCall("c1", "look", {"at": "it"})], "tool_calls")
    whole: list[Answer] = ["42", "SCORE: 0.9", "a b c", asked, "x" * 70_000]
    faults: list[Answer] = [
        Fault.status(dice.choice([400, 401, 404, 408, 409, 413, 422, 500, 502, 503, 504, 529, 302, 599])),
        Fault.rate_limited(0),
        Fault.malformed(),
        Fault.status(200, body="<html>"),
        Fault.status(200, headers={"Content-Encoding": "gzip"}, body=b"\x1f\x8b no gzip"),
        Fault.cut_body(sent=dice.randrange(40)),
        *(Fault.reset(at, reply="42") for at in ("start", "headers", "body")),
        Fault.stall(after=dice.randrange(3)),
        Fault.error_event(after=dice.randrange(3)),
        Fault.hang(),
    ]
    return [dice.choice(faults if dice.random() < 0.5 else whole) for _ in range(40)]


async def stream(kit: Kit, dice: random.Random) -> None:
    """Read a stream to its end, or leave it early."""
    left_after = dice.choice([0, 1, 2, 1000])
    async with kit.stream("q", retry=RETRY) as events:
        async for _ in events:
            left_after -= 1
            if left_after < 0:
                break


def jobs(kit: Kit, dice: random.Random) -> list[Coroutine[object, object, object]]:
    """Six things at once."""
    budget = dice.choice([None, TokenUsage(llm_calls=6), TokenUsage(output_tokens=60)])
    make: list[Callable[[], Coroutine[object, object, object]]] = [
        lambda: kit.consensus("q", num_samples=4, max_concurrency=4, retry=RETRY, max_cost=budget),
        lambda: kit.refine("q", max_iterations=2, retry=RETRY, max_cost=budget),
        lambda: kit.react("q", [LOOK], max_rounds=4, retry=RETRY, max_cost=budget),
        lambda: kit.map_reduce(
            ["a", "b", "c"], map_prompt="{input}", reduce_prompt="{results}", retry=RETRY, max_cost=budget
        ),
        lambda: kit.structured("q", max_retries=1, retry=RETRY, max_cost=budget),
        lambda: kit.best_of_n("q", evaluator=Rubric("Is it good?"), num_samples=2, retry=RETRY),
        lambda: stream(kit, dice),
    ]
    return [dice.choice(make)() for _ in range(6)]


async def play(seed: int, backend: str, front: Server | None = None) -> None:
    """Run one schedule, through a front that encrypts if there is one, and hold the ledgers together."""
    dice = random.Random(seed)
    before = asyncio.all_tasks()
    with LocalEndpoint(answers(dice), api_key=KEY) as endpoint:
        url = endpoint.base_url
        if front is not None:
            port, url = urlsplit(url).port or 0, front.url
            front.on_connect = partial(_hand_on, port)
        async with Provider(url, "m", KEY, backend=backend, timeout=30.0) as provider:  # type: ignore[arg-type]  # one of those installed
            kit = Kit(provider)
            tasks = [asyncio.create_task(job) for job in jobs(kit, dice)]
            for task in dice.sample(tasks, dice.randrange(4)):
                for _ in range(dice.randrange(60)):
                    await asyncio.sleep(0)
                task.cancel()
            while not all(task.done() for task in tasks):
                # Whoever hangs is let go, again and again: retries hang too.
                await asyncio.wait(tasks, timeout=0.01)
                endpoint.release_hung()
            for task in tasks:
                if not task.cancelled():
                    assert isinstance(task.exception(), ExecutionKitError | MaxIterationsError | None)
        if front is not None:
            await front.until(lambda: front.open == 0)
        spent, ledger = kit.usage, await endpoint.settle()
        assert spent.llm_calls == ledger.calls
        # Replies that nobody read any more are the server's to bill; none is counted that it did not send.
        assert spent.input_tokens <= ledger.input_tokens
        assert spent.output_tokens <= ledger.output_tokens
    assert asyncio.all_tasks() == before


async def _hand_on(port: int, connection: Connection) -> bool:
    await relay_to(port, connection)
    return False


class Censor(logging.Handler):
    """Counts the log records, and those that show the key."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = self.leaks = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.seen += 1
        self.leaks += KEY in f"{record.getMessage()} {record.__dict__} {record.exc_info}"


@pytest.fixture
def censor() -> Iterator[Censor]:
    root, handler = logging.getLogger(), Censor()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.timeout(600)
async def test_nothing_is_left_after_any_schedule(backend: str, censor: Censor) -> None:
    for seed in range(SCHEDULES):
        await play(seed, backend)
    assert [thread.name for thread in threading.enumerate() if "executionkit" in thread.name] == []
    assert censor.leaks == 0


@pytest.mark.timeout(600)
async def test_nor_over_tls(
    backend: str, secure: Server, ca_file: Path, monkeypatch: pytest.MonkeyPatch, censor: Censor
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    # A ticket that the client has not read makes a reset of its leaving, upon which asyncio's server forgets
    # the request that came before it: it was sent, and is counted, but not here.
    assert secure.tls is not None
    secure.tls.num_tickets = 0
    for seed in range(SCHEDULES // 3):
        await play(seed, backend, secure)
    assert censor.leaks == 0


async def test_memory_stays_flat(backend: str) -> None:
    async def blocks() -> float:
        """What is allocated after four schedules: the middle one of the last three counts."""
        counts: list[int] = []
        for number in range(4):
            await play(number, backend)
            if number >= 1:
                gc.collect()
                counts.append(sys.getallocatedblocks())
        return statistics.median(counts)

    before = await blocks()
    # A schedule makes some thousand objects for each of a hundred requests.
    assert await blocks() - before < 1000


@pytest.mark.skipif(not os.path.isdir(OPEN_FILES), reason="counts the files in /proc")
async def test_no_socket_is_left_open(backend: str) -> None:
    await play(0, backend)
    before = len(os.listdir(OPEN_FILES))
    for seed in range(1, 4):
        await play(seed, backend)
    assert len(os.listdir(OPEN_FILES)) == before
