"""Runs the demo: against the simulated model, or against the endpoint that the environment names."""

import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack

from executionkit import (
    ExecutionKitError,
    LLMError,
    Provider,
    TokenUsage,
    ToolCallingProvider,
    __version__,
)
from executionkit._demo.connection import (
    LONGEST,
    VARIABLES,
    Brevity,
    no_proxy,
    provider_from,
    provider_of,
)
from executionkit._demo.costs import Row, show_costs
from executionkit._demo.kill import Kill
from executionkit._demo.model import NAME, SimulatedModel
from executionkit._demo.performance import perform
from executionkit._demo.programme import programme
from executionkit._demo.reading import reading
from executionkit._screen import YELLOW, Screen, clean
from executionkit.cost import minus
from executionkit.testing import LocalEndpoint

TITLE = f"ExecutionKit {__version__}: seven patterns, a conversation and a table, over real HTTP"
WIDEST = 140
TALLEST = 10
"""The most lines of a text: a model may ramble on for pages."""


def main(environ: Mapping[str, str] | None = None) -> int:
    """Run the demo and return the exit status.

    Args:
        environ: Names the endpoint to ask, by `VARIABLES`. Without it, the simulated model is asked.

    Returns:
        0 when the endpoint answered and, with the simulated model, every scene gave its result and the
        ledgers are equal; else 1.

    Raises:
        UsageError: `environ` names no endpoint, or one that can't be used.
    """
    given = provider_from(environ)
    # The screen says what came of each scene; without a handler, warnings would stand between its lines.
    log, silence = logging.getLogger("executionkit"), logging.NullHandler()
    log.addHandler(silence)
    screen = Screen.of_stdout(widest=WIDEST, tallest=TALLEST)
    try:
        try:
            return asyncio.run(_demo(given, environ or {}, screen))
        finally:
            log.removeHandler(silence)
            screen.flush()
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


async def _demo(given: Provider | None, environ: Mapping[str, str], screen: Screen) -> int:
    screen.title(TITLE)
    screen.blank()
    async with AsyncExitStack() as stack:
        if given is None:
            stack.enter_context(no_proxy())
            model = SimulatedModel()
            endpoint = await stack.enter_async_context(LocalEndpoint(model))
            provider, kill = _simulated(model, endpoint)
            screen.row("model", "SIMULATED: scripted replies, some of them wrong, some failing", YELLOW)
            screen.row("endpoint", f"{endpoint.base_url}, started for this demo")
            screen.row("prices", "made up: $2.50 for a million tokens of prompts, $10 of replies")
        else:
            endpoint, provider = None, given
            kill = Kill({name: environ.get(name, "") for name in VARIABLES})
            screen.row("model", provider.model)
            # A query may hold a key.
            screen.row("endpoint", provider.base_url.partition("?")[0])
            screen.row("prices", "not known here: Provider(..., prices=...) would have the dollars")
            screen.row("replies", f"of at most {LONGEST:,} tokens")
            screen.row("patience", "some 100 calls; in a long scene, a line now and then says how far it is")
        screen.row(
            "code", "the bodies of functions, as they run; imports and prompts: executionkit/_demo/scenes.py"
        )
        await stack.enter_async_context(provider)
        rows, failure = await _play(kill, Brevity(provider), endpoint, screen)
    are_equal = show_costs(rows, screen)
    if isinstance(failure, LLMError):
        message = f"{type(failure).__name__}: {failure}; the pattern had spent {failure.cost}"
        print(f"error: {' '.join(clean(message).split())}", file=sys.stderr)
        return 1
    screen.section("next", "what to read")
    screen.list(reading())
    return int(not are_equal or (failure is not None and endpoint is not None))


def _simulated(model: SimulatedModel, endpoint: LocalEndpoint) -> tuple[Provider, Kill]:
    variables: dict[str, str] = dict(zip(VARIABLES, (endpoint.base_url, NAME, ""), strict=True))
    return provider_of(variables), Kill(variables, model, endpoint)


async def _play(
    kill: Kill, provider: ToolCallingProvider, endpoint: LocalEndpoint | None, screen: Screen
) -> tuple[list[Row], ExecutionKitError | None]:
    """Every scene: the cost of each, and the worst failure. An endpoint that never answers ends it."""
    rows: list[Row] = []
    failures: list[ExecutionKitError] = []
    served = TokenUsage()
    for scene in programme(kill):
        cost, failure = await perform(scene, provider, screen, calls_elsewhere=lambda: kill.done)
        before, served = served, endpoint.ledger.usage if endpoint else served
        rows.append(Row(scene.name, cost, minus(served, before) if endpoint else None))
        if failure is not None:
            failures.append(failure)
        if isinstance(failure, LLMError) and len(failures) == len(rows):
            break
    # The sort is stable: the first failure of the endpoint's, else the first one.
    return rows, min(failures, key=lambda error: not isinstance(error, LLMError), default=None)
