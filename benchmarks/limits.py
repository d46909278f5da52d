"""Rate limits over HTTP: the share of the allowed rate that is used, calls refused, and rows lost.

    python benchmarks/limits.py [--long] [--rate 50] [--only unknown]

A local endpoint in a process of its own allows 50 calls a second, answers after 0.2 to 0.6 seconds, and names
whole seconds in `Retry-After`. 64 rows at a time go through a `Governor`, each as a vote of one sample. The
share is of what the endpoint's limit allows in each phase, by the endpoint's own count; the first second of a
bucket is not counted as allowed, so a share may be more than 100 %. Phases are 20 to 45 seconds;
`--long` makes them three times as long. Two cases run at a time, which takes two to three minutes.
On a machine whose cores are busy with other work the client is late, and the shares are too low.

The status is 1 if a figure misses its aim.
"""

import argparse
import asyncio
import math
import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from types import MappingProxyType
from typing import Any, NamedTuple

from executionkit import Provider, consensus
from executionkit.many import Governor, RateLimits
from executionkit.testing import ChatRequest, Fault, Limits, LocalEndpoint

ROWS_AT_ONCE = 64
CASES_AT_ONCE = 2
REPLY = "Label: positive."
MEAN_TOKENS = 1_460
SEED = 20_261_130


class Case(NamedTuple):
    """A limit, what is known of it, and the figures to reach."""

    name: str
    limits: Callable[[float], list[RateLimits]]
    server: Mapping[str, Any] = MappingProxyType({})
    seconds: float = 20.0
    then: float | None = None
    of_tokens: bool = False
    share: float = 0.9
    refused: float = 0.03


CASES = [
    Case("known", lambda rate: [RateLimits(60 * rate)], share=0.97, refused=0.002),
    Case("unknown", lambda _: [RateLimits()], seconds=45.0, share=0.95),
    Case("halved", lambda _: [RateLimits()], seconds=25.0, then=0.5),
    Case("doubled", lambda _: [RateLimits()], seconds=30.0, then=2.0),
    Case("window of 1 s, known", lambda rate: [RateLimits(60 * rate)], {"window": 1.0}, seconds=40.0),
    Case("window of 10 s, unknown", lambda _: [RateLimits()], {"window": 10.0}, seconds=40.0),
    Case("tokens, known", lambda rate: [RateLimits(None, 60 * MEAN_TOKENS * rate)], of_tokens=True),
    Case("two jobs, one account", lambda rate: [RateLimits(60 * rate)] * 2, share=0.97, refused=0.002),
    Case("named in headers", lambda _: [RateLimits()], {"headers": True}),
]


def serve(pipe: Connection, rate: float, number: int) -> None:
    """Run the endpoint until the other end says to stop; then send when which call was admitted."""
    case = CASES[number]
    admitted: list[tuple[float, int]] = []
    chance = random.Random(SEED)

    def model(request: ChatRequest) -> Fault:
        admitted.append((time.monotonic(), len(request.prompt) // 5))
        return Fault.delay(0.2 + 0.4 * chance.random(), then=REPLY)

    def figures(share: float) -> tuple[float | None, float | None]:
        return (None, 60 * rate * MEAN_TOKENS * share) if case.of_tokens else (60 * rate * share, None)

    limits = Limits(*figures(1.0), **case.server)
    with LocalEndpoint(model, limits=limits) as endpoint:
        pipe.send(endpoint.base_url)
        while (told := pipe.recv()) is not None:
            limits.change(*figures(told))
        statuses = endpoint.ledger.statuses
    pipe.send((admitted, statuses.count(429)))


def prompts(case: Case) -> Iterator[str]:
    """Prompts of about 20 tokens, or of 10 to 10,000."""
    chance = random.Random(SEED)
    while True:
        tokens = math.exp(chance.uniform(math.log(10), math.log(10_000))) if case.of_tokens else 20
        yield "word " * round(tokens)


async def job(provider: Provider, limits: RateLimits, case: Case, end: float, at_once: int) -> int:
    """Work on rows until the time has come; returns the rows that were lost."""
    governor, rows, lost = Governor(provider, limits), prompts(case), 0

    async def work() -> None:
        nonlocal lost
        while time.monotonic() < end:
            try:
                await consensus(governor, next(rows), num_samples=1)
            except Exception as exc:  # each one is a row that is lost
                lost += 1
                print(f"  lost: {exc!r}", file=sys.stderr)

    await asyncio.gather(*(work() for _ in range(at_once)))
    return lost


async def measured(case: Case, rate: float, scale: float) -> bool:
    """Run a case and print its figures; returns whether they reach the aims."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs, rate, CASES.index(case)))
    server.start()
    accounts = case.limits(rate)
    seconds = case.seconds * scale
    phases = [1.0] if case.then is None else [1.0, case.then]
    begin = 0.0
    try:
        async with Provider(await asyncio.to_thread(ours.recv), "simulated") as provider:
            await provider.complete([{"role": "user", "content": "word"}])
            begin = time.monotonic()
            end = begin + seconds * len(phases)
            if case.then is not None:
                asyncio.get_running_loop().call_later(seconds, ours.send, case.then)
            at_once = ROWS_AT_ONCE // len(accounts)
            jobs = [job(provider, limits, case, end, at_once) for limits in accounts]
            lost = sum(await asyncio.gather(*jobs))
        ours.send(None)
        admitted, refused = await asyncio.to_thread(ours.recv)
    finally:
        server.join(5)
        server.kill()
    shares: list[float] = []
    for index, factor in enumerate(phases):
        since = begin + index * seconds
        within = [tokens for at, tokens in admitted if since <= at < since + seconds]
        # Three tokens of a message and five of a reply count as well.
        units = sum(within) + 8 * len(within) if case.of_tokens else len(within)
        allowed = rate * factor * seconds * (MEAN_TOKENS if case.of_tokens else 1)
        shares.append(units / allowed)
    refusals = refused / (refused + len(admitted))
    is_good = min(shares) >= case.share and refusals <= case.refused and not lost
    shown = " then ".join(f"{share:6.1%}" for share in shares)
    print(
        f"{case.name:26} {shown:18} of the allowed  {refused:4} refused = {refusals:5.2%}  {lost} lost  "
        f"{'ok' if is_good else f'MISSED (at least {case.share:.0%}, at most {case.refused:.1%})'}",
        flush=True,
    )
    return is_good


def main() -> int:
    """Run the cases."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="phases three times as long")
    parser.add_argument("--rate", type=float, default=50.0, help="the calls a second that are allowed")
    parser.add_argument("--only", default="", help="run the cases whose names have this text")
    given = parser.parse_args()
    cases = [case for case in CASES if given.only in case.name]
    return 0 if asyncio.run(all_of(cases, given.rate, 3.0 if given.long else 1.0)) else 1


async def all_of(cases: list[Case], rate: float, scale: float) -> bool:
    """Run the cases, some at a time: they wait for nearly all of their time."""
    room = asyncio.Semaphore(CASES_AT_ONCE)

    async def one(case: Case) -> bool:
        async with room:
            return await measured(case, rate, scale)

    return all(await asyncio.gather(*map(one, cases)))


if __name__ == "__main__":
    raise SystemExit(main())
