"""Runs the demo: against the simulated model, or against the endpoint the environment names."""

import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from executionkit import ExecutionKitError, Kit, Provider, TokenUsage, __version__
from executionkit._demo.model import NAME, SimulatedModel
from executionkit._demo.recorder import Recorder
from executionkit._demo.scenes import SCENES, Stage, spelt
from executionkit._screen import GREEN, RED, YELLOW, Screen, clean
from executionkit.cost import minus
from executionkit.testing import LocalEndpoint

TITLE = f"ExecutionKit {__version__}"
VARIABLES = ("EXECUTIONKIT_BASE_URL", "EXECUTIONKIT_MODEL", "EXECUTIONKIT_API_KEY")


class UsageError(Exception):
    """The environment doesn't say what to run against."""


@dataclass(frozen=True)
class Row:
    """The cost of one pattern, by our ledger and by the endpoint's, which may keep none."""

    name: str
    ours: TokenUsage
    theirs: TokenUsage | None


def main(environ: Mapping[str, str]) -> int:
    """Run the demo and return the exit status.

    Returns:
        0 when every pattern gave its result and, with the simulated model, the ledgers are equal; else 1.

    Raises:
        UsageError: Some but not all of `VARIABLES` are set, or their values can't be used.
    """
    provider = _provider(environ)
    screen = Screen.of_stdout()
    try:
        try:
            return asyncio.run(_demo(provider, screen))
        finally:
            screen.flush()
    except ExecutionKitError as error:
        message = clean(f"{type(error).__name__}: {error}; the pattern had spent {spelt(error.cost)}")
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader has closed the pipe.
        _give_up_stdout()
        return 1
    except OSError as error:
        print(f"error: {clean(str(error))}", file=sys.stderr)
        _give_up_stdout()
        return 1


def _give_up_stdout() -> None:
    """Let what is still to be written go nowhere: Python would try once more on its way out."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _provider(environ: Mapping[str, str]) -> Provider | None:
    """The provider the environment describes; None when it describes none."""
    values = [environ.get(name) for name in VARIABLES]
    if not any(values):
        return None
    base_url, model, api_key = values
    if not base_url or not model or api_key is None:
        raise UsageError(
            f"set all of {', '.join(VARIABLES)}, or none of them; the key may be empty for a server that "
            "wants none"
        )
    try:
        return Provider(base_url, model, api_key)
    except ValueError as error:
        raise UsageError(str(error)) from error


async def _demo(provider: Provider | None, screen: Screen) -> int:
    screen.title(f"{TITLE}: four reasoning patterns over real HTTP")
    screen.blank()
    endpoint: LocalEndpoint | None = None
    async with AsyncExitStack() as stack:
        if provider is None:
            endpoint = await stack.enter_async_context(LocalEndpoint(SimulatedModel()))
            provider = Provider(endpoint.base_url, NAME)
            screen.row("model", "SIMULATED: scripted replies, some of them wrong, some failing", YELLOW)
            screen.row("endpoint", f"{endpoint.base_url}, started for this demo")
        else:
            screen.row("model", provider.model)
            # A query may hold a key.
            screen.row("endpoint", provider.base_url.partition("?")[0])
        await stack.enter_async_context(provider)
        rows, failure = await _play(provider, endpoint, screen)
    _show_costs(rows, screen)
    if failure is not None:
        raise failure
    return _compare(rows, screen)


async def _play(
    provider: Provider, endpoint: LocalEndpoint | None, screen: Screen
) -> tuple[list[Row], ExecutionKitError | None]:
    """Every scene up to the first that fails: what each cost, and that failure."""
    recorder = Recorder(provider)
    kit = Kit(recorder)
    rows: list[Row] = []
    failure: ExecutionKitError | None = None
    served = TokenUsage()
    for name, scene in SCENES.items():
        recorder.clear()
        screen.flush()
        try:
            cost = (await scene(Stage(kit, recorder, screen))).cost
        except ExecutionKitError as error:
            failure, cost = error, error.cost
        before, served = served, endpoint.ledger.usage if endpoint else served
        rows.append(Row(name, cost, minus(served, before) if endpoint else None))
        if failure is not None:
            break
    rows.append(Row("together", kit.usage, endpoint.ledger.usage if endpoint else None))
    return rows, failure


def _show_costs(rows: list[Row], screen: Screen) -> None:
    screen.section("cost", "per pattern" if rows[-1].theirs is None else "our ledger = the endpoint's ledger")
    head = ["", "calls", "input tokens", "output tokens"]
    screen.table([head, *([row.name, *_cells(row)] for row in rows)])


def _compare(rows: list[Row], screen: Screen) -> int:
    """Say whether the ledgers are equal, line by line."""
    screen.blank()
    if any(row.theirs is None for row in rows):
        screen.row("ledgers", "not compared: what this endpoint counted is not known here")
        return 0
    if any(row.ours != row.theirs for row in rows):
        screen.row("ledgers", "✗ ours and the endpoint's DIFFER", RED)
        return 1
    screen.row("ledgers", "✓ equal, line by line: every call and every token is accounted for", GREEN)
    return 0


def _cells(row: Row) -> list[str]:
    cells: list[str] = []
    for name in ("llm_calls", "input_tokens", "output_tokens"):
        ours: int = getattr(row.ours, name)
        if row.theirs is None:
            cells.append(f"{ours:,}")
        else:
            theirs: int = getattr(row.theirs, name)
            cells.append(f"{ours:,} {'=' if ours == theirs else '≠'} {theirs:,}")
    return cells
