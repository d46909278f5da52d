"""Measuring: rounds in turns, medians, ratios within a round."""

import asyncio
import gc
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

from wire_parts.clients import Client, Contender, Messages


class Load(NamedTuple):
    """What each client has to do in a round.

    Attributes:
        url: The base URL.
        messages: What is sent.
        calls: How many calls.
        at_once: How many of them at once.
    """

    url: str
    messages: Messages
    calls: int
    at_once: int


class Figures(NamedTuple):
    """What was measured of one contender: processor time, in microseconds a call, round by round."""

    rounds: list[float]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.rounds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """What the middle half of the rounds lies between."""
        low, _, high = statistics.quantiles(self.rounds, n=4, method="inclusive")
        return low, high

    def ratio(self, other: "Figures") -> float:
        """How many times the other's: the median of the ratios within each round."""
        return statistics.median(
            mine / theirs for mine, theirs in zip(self.rounds, other.rounds, strict=True)
        )


async def work(client: Client, load: Load) -> None:
    """Make the calls of a round."""
    tickets = iter(range(load.calls))

    async def worker() -> None:
        for _ in tickets:
            await client(load.messages)

    await asyncio.gather(*(worker() for _ in range(load.at_once)))


async def processor_time(client: Client, load: Load) -> float:
    """What a round costs this process, all its threads included, in microseconds a call."""
    # What is there already is left out of the collections to come: they would look through all that the
    # other clients have loaded.
    gc.collect()
    gc.freeze()
    # Whoever had the turn before has filled the processor's caches with something else.
    await work(client, load._replace(calls=load.calls // 10))
    started = time.process_time()
    await work(client, load)
    return (time.process_time() - started) / load.calls * 1e6


async def compare(contenders: Sequence[Contender], load: Load, rounds: int) -> dict[str, Figures]:
    """Let them take turns, so that what slows the machine down slows all of them; the first round warms."""
    clients = {contender.name: contender.make(load.url) for contender in contenders}
    figures: dict[str, Figures] = {name: Figures([]) for name in clients}
    for number in range(rounds + 1):
        for name, client in clients.items():
            spent = await processor_time(client, load)
            if number:
                figures[name].rounds.append(spent)
    for client in clients.values():
        await client.close()
    return figures
