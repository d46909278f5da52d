"""The log lines of rate limits: what is learnt of them, and pauses."""

import logging

from executionkit._logs import write
from executionkit.engine.call_log import LONG_WAIT

_log = logging.getLogger("executionkit.limits")
# Where logging is not set up, Python prints warnings: these tell of servers, not of faults in the program.
_log.addHandler(logging.NullHandler())


def learnt(requests: float | None, tokens: float | None, pause: float) -> None:
    """A refusal has shown a rate."""
    write(
        _log,
        logging.INFO,
        "the server refused a call: sending %s from now on, after a pause of %.1f s",
        *(_rates(requests, tokens), pause),
        extra={
            "ek_event": "limit",
            "ek_requests_per_second": requests,
            "ek_tokens_per_second": tokens,
            "ek_wait": pause,
        },
    )


def named(requests: float | None, tokens: float | None) -> None:
    """The headers of replies name a limit."""
    extra = {"ek_event": "limit", "ek_requests_per_second": requests, "ek_tokens_per_second": tokens}
    write(_log, logging.INFO, "the server names its limit: %s", _rates(requests, tokens), extra=extra)


def paused(pause: float) -> None:
    """A server makes all calls wait."""
    level = logging.WARNING if pause > LONG_WAIT else logging.INFO
    extra = {"ek_event": "pause", "ek_wait": pause}
    write(_log, level, "the server refused a call: nothing is sent for %.1f s", pause, extra=extra)


def _rates(requests: float | None, tokens: float | None) -> str:
    shown = [] if requests is None else [f"{requests:.3g} calls a second"]
    if tokens is not None:
        shown.append(f"{tokens:.3g} tokens a second")
    return " and ".join(shown) or "at the rate of replies"
