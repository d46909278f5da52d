"""Run in the environment of one library: its blocks of the page, and the checks of its table.

`python -m peers_suite.inside NAME` prints a line for each, and has the status 1 if one is not so.
"""

import ast
import asyncio
import importlib
import inspect
import os
import re
import sys
import tempfile
import traceback
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

from executionkit.testing import LocalEndpoint
from peers_suite import page
from peers_suite.checking import simulated


async def run_blocks(name: str) -> None:
    """Run the blocks of the page that belong to a library, one after another, with names in common."""
    names: dict[str, Any] = {"__name__": "page"}
    with LocalEndpoint(simulated) as endpoint:
        for block in page.blocks(name):
            before = endpoint.ledger.calls
            source = "\n" * (block.line - 1) + block.code.replace(page.SHOWN_URL, endpoint.base_url)
            code = compile(source, str(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            outcome = eval(code, names)
            if inspect.iscoroutine(outcome):
                await outcome
            print(f"  block at line {block.line}: {endpoint.ledger.calls - before} requests")


async def passes(title: str, check: Callable[[], Awaitable[None]]) -> bool:
    """Run a check and print how it went."""
    try:
        await asyncio.wait_for(check(), 120)
    except Exception:  # whatever another library raises: the statement does not hold
        print(f"  NOT SO  {title}\n{traceback.format_exc()}", flush=True)
        return False
    print(f"  so      {title}", flush=True)
    return True


async def main(name: str) -> int:
    """The status: 1 if a block fails or a statement is not so."""
    module = importlib.import_module(f"peers_suite.{name}")
    checks = {key: value for key, value in vars(module).items() if re.match("check_", key)}
    good = [await passes(inspect.getdoc(check) or key, check) for key, check in checks.items()]
    if name != "common":
        good.append(await passes("The blocks run.", lambda: run_blocks(name)))
    return int(not all(good))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as directory:
        # What the libraries would fetch, send or keep.
        os.environ |= {
            "DSPY_CACHEDIR": directory,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LANGSMITH_TRACING": "false",
        }
        sys.exit(asyncio.run(main(sys.argv[1])))
