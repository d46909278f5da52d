"""What an error carries out of a run: what was spent, and what was already paid for."""

from typing import Any, cast

from executionkit.errors import ExecutionKitError
from executionkit.types import TokenUsage


def enrich(
    exc: BaseException, name: str, usage: TokenUsage, paid: dict[str, Any], *, from_inside: bool
) -> None:
    """Put the spend of the run `name`, and what it has paid for, on an error that leaves it.

    Args:
        exc: The error.
        name: The run's name.
        usage: What it has spent.
        paid: The metadata.
        from_inside: Whether a run inside this one has enriched the error already.
    """
    if isinstance(exc, ExecutionKitError):
        exc.cost = usage
        _add_paid(exc.metadata, paid, from_inside=from_inside)
        return
    tokens = usage.input_tokens + usage.output_tokens
    calls = f"{usage.llm_calls} call{'' if usage.llm_calls == 1 else 's'}"
    note = f"{name}: spent {calls}, {tokens} tokens"
    if note not in getattr(exc, "__notes__", ()):  # a stream of the run has said it
        exc.add_note(note)
    # Somebody else's error keeps its type; what it cost must be as easy to get at as on one of ours.
    own = vars(exc)
    if isinstance(own.setdefault("cost", usage), TokenUsage):
        own["cost"] = usage
    metadata = own.setdefault("metadata", {})
    if isinstance(metadata, dict):
        _add_paid(cast("dict[str, Any]", metadata), paid, from_inside=from_inside)


def without_cost(exc: BaseException) -> None:
    """Take the spend of an earlier run off an error that comes from a provider.

    One that remembers a failure, as a circuit breaker does, raises the same object again.
    """
    if isinstance(exc, ExecutionKitError):
        exc.cost = TokenUsage()
    elif isinstance(getattr(exc, "cost", None), TokenUsage):
        vars(exc).pop("cost", None)


def _add_paid(metadata: dict[str, Any], paid: dict[str, Any], *, from_inside: bool) -> None:
    """Put `paid` on an error; what a run inside put there under the same names moves to `inner`."""
    if from_inside:
        hidden = {name: metadata[name] for name in (*paid, "inner") if name in metadata}
        if hidden.keys() & paid.keys():
            paid["inner"] = hidden
    metadata.update(paid)
