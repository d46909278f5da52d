"""Lines for the program's log, whose filters and handlers are not ours."""

import logging
import sys
import traceback
from collections.abc import Mapping


def write(
    log: logging.Logger,
    level: int,
    message: str,
    *args: object,
    extra: Mapping[str, object] | None = None,
    exc: BaseException | None = None,
) -> None:
    """Log a line from the caller's place.

    An exception of a filter or a handler is printed, as `logging` prints those of most handlers, and breaks
    nothing: the run may hold a part of a budget, or an open connection.

    Args:
        log: The logger.
        level: The level.
        message: The line.
        args: What stands in it.
        extra: Further fields of the record.
        exc: An exception to show with its traceback.
    """
    try:
        log.log(level, message, *args, extra=extra, exc_info=exc, stacklevel=2)
    except Exception as fault:  # noqa: BLE001 - of a filter or a handler
        if logging.raiseExceptions and sys.stderr is not None:
            traceback.print_exception(fault, chain=False)
