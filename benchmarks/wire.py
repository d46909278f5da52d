"""What a completion costs the client over HTTP: `Provider` on each back end beside raw clients and SDKs.

Processor time of this process per call, all its threads included. The servers run in processes of their own,
nginx where it is installed, and are not counted. All clients take turns, round by round, in one run: a ratio
is the median of the ratios within the rounds, so that a machine that slows down meanwhile touches both sides
alike. Every client encodes the same request, and takes the text out of the parsed reply. A client whose
package is not installed is left out, and named.

Not shown: what a network adds, and a model; TLS at full load; memory; streaming; libraries in other
languages; how the figures change with the version of a library. `httpx` is measured as it comes, with the
limits on connections that it comes with.
"""

import asyncio
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterable
from importlib import metadata

from wire_parts import server
from wire_parts.clients import ALL, OURS, RAW, SDK, Contender
from wire_parts.measure import Figures, Load, compare, work

ROUNDS = 9
QUESTION = [{"role": "user", "content": "What is the answer to the ultimate question of life?"}]
HISTORY = [
    {"role": "user" if number % 2 == 0 else "assistant", "content": f"{number:4}" + "lorem ipsum " * 85}
    for number in range(199)
]

# The most that `Provider` may cost, as a multiple of its HTTP library alone.
AT_64 = {"aiohttp": 1.25, "stdlib": 1.15, "httpx": 0.3, "httpx2": 0.6}
ALONE = {"aiohttp": 1.2, "stdlib": 1.15, "httpx": 0.9, "httpx2": 0.9}


class Aims:
    """The aims of the run, and which of them were met."""

    def __init__(self) -> None:
        self._lines: list[tuple[bool, str]] = []

    def at_most(self, limit: float, reached: float, what: str, unit: str = "x") -> None:
        """An aim: `reached` is to be `limit` at the most."""
        self._lines.append((reached <= limit, f"{what}: {reached:,.2f} {unit}, aim {limit:,.2f}"))

    def at_least(self, limit: int, reached: int, what: str) -> None:
        """An aim: `reached` is to be `limit` at the least."""
        self._lines.append((reached >= limit, f"{what}: {reached}, aim {limit}"))

    def tell(self) -> bool:
        """Print them; whether all were met."""
        print("\nAims")
        for met, line in self._lines:
            print(f"  {'met   ' if met else 'MISSED'}  {line}")
        return all(met for met, _ in self._lines)


def there(contenders: Iterable[Contender]) -> list[Contender]:
    """Those that can be measured here."""
    return [contender for contender in contenders if contender.is_there]


def table(title: str, figures: dict[str, Figures], beside: str) -> None:
    """Print what was measured, with ratios to the line `beside`."""
    reference = figures.get(beside)
    print(f"\n{title:<44} {'us a call':>10} {'middle half':>17}" + (f"   x {beside}" if reference else ""))
    for name, line in figures.items():
        low, high = line.quartiles
        ratio = f"   {line.ratio(reference):.2f}" if reference else ""
        print(f"  {name:<42} {line.median:10,.0f} {f'{low:,.0f} to {high:,.0f}':>17}{ratio}")


async def in_flight(fast: server.Server, aims: Aims) -> dict[str, Figures]:
    """64 at once, and one at a time; returns the figures of 64."""
    url = f"{fast.root}/v1"
    many = await compare(there(ALL), Load(url, QUESTION, 640, 64), ROUNDS)
    table("64 in flight", many, "aiohttp")
    for backend, limit in AT_64.items():
        ours, raw = many.get(OURS[backend].name), many.get(RAW[backend].name)
        if ours and raw:
            aims.at_most(limit, ours.ratio(raw), f"64 in flight, {OURS[backend].name} by {RAW[backend].name}")
    ours, sdk = many.get(OURS["httpx"].name), many.get(SDK["default"].name)
    if ours and sdk:
        aims.at_most(0.6, ours.ratio(sdk), f"64 in flight, {OURS['httpx'].name} by {SDK['default'].name}")

    single = await compare(there(ALL), Load(url, QUESTION, 400, 1), ROUNDS)
    table("One at a time", single, "aiohttp")
    for backend, contender in OURS.items():
        ours, raw = single.get(contender.name), single.get(RAW[backend].name)
        if ours and raw:
            what = f"one at a time, {contender.name} by {RAW[backend].name}"
            aims.at_most(ALONE[backend], ours.ratio(raw), what)
    return many


async def crowd(own: server.Server, busy: dict[str, Figures], aims: Aims) -> None:
    """500 at once against a server that takes half a second, beside 64 at once against the same.

    The aim is not held against the first table, whose ratios are only told: a client that has to wait finds
    the processor's caches cold, and costs more for each call, however many there are.
    """
    url = f"{own.root}/after/0.5/v1"
    contenders = [*there([RAW["aiohttp"]]), *there(OURS.values())]
    few = await compare(contenders, Load(url, QUESTION, 256, 64), 3)
    own.seen()
    many: dict[str, Figures] = {}
    for contender in contenders:  # not in turns: each is to have the server for itself, to see how many come
        many |= await compare([contender], Load(url, QUESTION, 1000, 500), 3)
        most = own.seen()["at_once"]
        if contender in OURS.values():
            aims.at_least(500, most, f"500 in flight, {contender.name}, at once at the server")
    table("64 in flight, replies after 0.5 s", few, "aiohttp")
    table("500 in flight, replies after 0.5 s", many, "aiohttp")
    print("  beside 64 in flight of the first table, where replies come at once:")
    for name in many:
        print(f"    {name:<40} {many[name].median / busy[name].median:10.2f} x")
    for contender in there(OURS.values()):
        ratio = many[contender.name].median / few[contender.name].median
        aims.at_most(1.5, ratio, f"500 in flight, {contender.name} by itself at 64, same server")


async def connections(own: server.Server, aims: Aims) -> None:
    """640 calls at 64 in flight: how many connections it takes."""
    load = Load(f"{own.root}/after/0.2/v1", QUESTION, 640, 64)
    secure = own.authority is not None
    kind = "over TLS" if secure else "without TLS"
    others = [] if secure else [RAW["aiohttp"], RAW["httpx"], RAW["httpx2"], SDK["default"]]
    print(f"\nConnections for 640 calls, 64 in flight, replies after 0.2 s, {kind}")
    for contender in there([*others, *OURS.values()]):
        client = contender.make(load.url)
        own.seen()
        started = time.process_time()
        await work(client, load)
        spent = (time.process_time() - started) / load.calls * 1e6
        used = own.seen()["connections"]
        await client.close()
        print(f"  {contender.name:<42} {used:5}   {spent:7,.0f} us a call, connecting included")
        if contender in OURS.values():
            aims.at_most(64, used, f"connections {kind}, {contender.name}", "used")


async def large(fast: server.Server, own: server.Server, aims: Aims) -> None:
    """A long history to send, a long reply to read."""
    history = await compare(there(ALL), Load(f"{fast.root}/v1", HISTORY, 48, 8), ROUNDS)
    size = len(json.dumps(HISTORY))
    table(f"A history of {len(HISTORY)} messages, {size:,} bytes", history, "aiohttp")
    raw = history.get(RAW["aiohttp"].name)
    ours = history.get(OURS["aiohttp"].name)
    if ours and raw:
        aims.at_most(1.1, ours.ratio(raw), f"{len(HISTORY)} messages, {OURS['aiohttp'].name} by aiohttp")

    contenders = there([*RAW.values(), *OURS.values()])
    short = await compare(contenders, Load(f"{own.root}/v1", QUESTION, 200, 8), ROUNDS)
    reply = await compare(contenders, Load(f"{own.root}/long/v1", QUESTION, 200, 8), ROUNDS)
    table(f"A reply of {server.LONG:,} characters", reply, "aiohttp")
    print(f"  more than a short one (json.loads of its body alone takes {parsing_time():,.0f} us):")
    for contender in contenders:
        print(
            f"    {contender.name:<40} {reply[contender.name].median - short[contender.name].median:10,.0f}"
        )


def parsing_time() -> float:
    """What parsing the long reply costs, in microseconds."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(100):
            json.loads(server.LONG_REPLY)
        rounds.append((time.process_time() - started) * 1e4)
    return statistics.median(rounds)


async def main() -> int:
    """Print the tables; 1 when an aim is missed."""
    missing = [contender.name for contender in ALL if not contender.is_there]
    installed = {name for contender in there(ALL) for name in contender.needs}
    versions = {item.metadata["Name"]: item.version for item in metadata.distributions()}
    shown = ", ".join(f"{name} {versions[name]}" for name in sorted(installed) if name in versions)
    aims = Aims()
    with server.fastest() as fast, server.own() as own:
        print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {fast.name}; {shown}")
        print(f"Processor time of the client, median of {ROUNDS} rounds in turns.")
        if missing:
            print(f"Left out, because a package is not installed: {', '.join(missing)}.")
        busy = await in_flight(fast, aims)
        await crowd(own, busy, aims)
        await large(fast, own, aims)
        await connections(own, aims)
    try:
        with server.own(tls=True) as secure:
            os.environ["SSL_CERT_FILE"] = secure.authority or ""
            await connections(secure, aims)
    except ImportError:
        print("\nWithout trustme there is no certificate authority to try TLS with.")
    return int(not aims.tell())


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
