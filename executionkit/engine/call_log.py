"""The log lines of calls: what was done and what it took, never what was said."""

import logging
import time
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from typing import Final

from executionkit._dollars import share_of
from executionkit._logs import write
from executionkit.observe import (
    CallInfo,
    CallSpan,
    LeftEarlyError,
    Observer,
    RunInfo,
    RunSpan,
    ToolInfo,
    ToolSpan,
    observers,
)
from executionkit.responses import LLMResponse

_log = logging.getLogger("executionkit.calls")
# Here alone: where logging is not set up, Python prints warnings, and those of other loggers are of faults in
# the program.
_log.addHandler(logging.NullHandler())

is_logged: Final = _log.isEnabledFor

LONG_WAIT: Final = 10.0
"""Seconds. A longer wait is a warning."""


def watchers_of_calls() -> tuple[Observer, ...]:
    """The observers that are told of calls here and now, the log included if it takes their lines."""
    told = observers()
    return (*told, _LINES) if _log.isEnabledFor(logging.DEBUG) else told


def retrying(run: str, model: str | None, attempt: int, attempts: int, error: Exception, wait: float) -> None:
    """An attempt of a call failed, and another one follows after a wait."""
    level = logging.WARNING if wait > LONG_WAIT else logging.INFO
    if _log.isEnabledFor(level):
        write(
            _log,
            level,
            "%s: %s from %s, attempt %d of %d, waiting %.1f s",
            *(run, _code(error), model or "the model", attempt, attempts, wait),
            extra={
                **_extra("retry", run, model),
                **_failure(error),
                "ek_attempt": attempt,
                "ek_attempts": attempts,
                "ek_wait": wait,
            },
        )


def passed_over(model: str | None, error: BaseException) -> None:
    """A member of a panel failed for good, and is asked no more."""
    extra = {"ek_event": "passed over", "ek_model": model, **_failure(error)}
    what = (model or "a model", _code(error))
    write(_log, logging.WARNING, "panel: %s is passed over: %s", *what, extra=extra)


def waited(run: str, seconds: float) -> None:
    """A call waited for room in a budget."""
    if seconds > LONG_WAIT:
        extra = {"ek_event": "wait", "ek_run": run, "ek_wait": seconds}
        write(_log, logging.WARNING, "%s: waited %.1f s for room in a budget", run, seconds, extra=extra)


def broke_off(run: str, model: str | None, error: BaseException) -> None:
    """A streamed reply broke off after its first event."""
    extra = {**_extra("broken stream", run, model), **_failure(error)}
    what = (run, model or "the model", _code(error))
    write(_log, logging.WARNING, "%s: the reply of %s broke off: %s", *what, extra=extra)


def nearly_spent(run: str, limit: str, spent: int | Decimal, ceiling: int | Decimal) -> None:
    """A run has spent nine tenths of a limit."""
    write(
        _log,
        logging.WARNING,
        "%s: %d %% of the budget of %s is spent, %s of %s",
        *(run, share_of(spent, ceiling), limit, f"{spent:,}", f"{ceiling:,}"),
        extra={
            "ek_event": "budget",
            "ek_run": run,
            "ek_limit": limit,
            "ek_spent": spent if isinstance(spent, int) else str(spent),
            "ek_ceiling": ceiling if isinstance(ceiling, int) else str(ceiling),
        },
    )


def _extra(event: str, run: str, model: str | None) -> dict[str, object]:
    return {"ek_event": event, "ek_run": run, "ek_model": model}


def _failure(error: BaseException) -> dict[str, object]:
    return {"ek_error": type(error).__name__, "ek_status": getattr(error, "status_code", None)}


def _code(error: BaseException) -> str:
    """The status of an error, or its class. Its text may quote the request."""
    status = getattr(error, "status_code", None)
    return str(status) if isinstance(status, int) and status >= 400 else type(error).__name__


class _Line(CallSpan):
    """One call in the log."""

    def __init__(self, info: CallInfo) -> None:
        self._info = info
        self._began = time.perf_counter()
        self._is_replayed = False

    def replayed(self) -> None:
        self._is_replayed = True

    def answered(self, response: LLMResponse, /) -> None:
        if self._is_replayed:
            self._write("replayed", "nothing was sent")
            return
        tokens = response.input_tokens, response.output_tokens
        self._write(
            "answered", "%s + %s tokens", *tokens, ek_input_tokens=tokens[0], ek_output_tokens=tokens[1]
        )

    def failed(self, error: BaseException, /) -> None:
        if isinstance(error, LeftEarlyError):
            self._write("left", "its reader left the stream")
        else:
            self._write("failed", "%s", _code(error), **_failure(error))

    def _write(self, event: str, what: str, *args: object, **extra: object) -> None:
        run, model = self._info.run.name, self._info.model
        took = (time.perf_counter() - self._began) * 1000
        write(
            _log,
            logging.DEBUG,
            f"%s: call of %s {event} after %.0f ms: {what}",
            *(run, model or "the model", took, *args),
            extra={**_extra(event, run, model), "ek_ms": took, **extra},
        )


class _Lines:
    """The observer that writes a line where a call begins, and one where it ends."""

    def run(self, _: RunInfo, /) -> AbstractContextManager[RunSpan]:
        return nullcontext(RunSpan())

    def tool(self, _: ToolInfo, /) -> AbstractContextManager[ToolSpan]:
        return nullcontext(ToolSpan())

    def call(self, info: CallInfo, /) -> AbstractContextManager[CallSpan]:
        run, model = info.run.name, info.model
        how = "streamed call" if info.streamed else "call"
        extra = {**_extra("begun", run, model), "ek_streamed": info.streamed}
        what = (run, how, model or "the model")
        write(_log, logging.DEBUG, "%s: %s of %s begins", *what, extra=extra)
        return nullcontext(_Line(info))


_LINES: Final = _Lines()
