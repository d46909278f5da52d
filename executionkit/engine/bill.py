"""The bill on an error that leaves a run: what was spent, and what was already paid for.

A program may raise one exception object many times, as a circuit breaker does. So a bill is marked with its
time, and a run takes the bills of earlier runs off an error before it adds its own.
"""

from itertools import count
from typing import Any, Final, cast

from executionkit._dollars import shown
from executionkit.errors import ExecutionKitError
from executionkit.types import TokenUsage

_MARK: Final = "_executionkit_bill"
_CLOCK: Final = count(1)


def now() -> int:
    """A number above all numbers given before, to tell which of two events came first."""
    return next(_CLOCK)


class _Mark:
    """A record of what runs have put on an error.

    Attributes:
        at: The time at which a run last put its cost there; 0 if no cost is there.
        cost: The error's own cost, without that of any run.
        metadata: The error's own metadata, without that of any run.
        notes: The notes, with the time at which each was added.
    """

    __slots__ = ("at", "cost", "metadata", "notes")

    def __init__(self, cost: object, metadata: dict[str, Any] | None) -> None:
        self.at = 0
        self.cost = cost
        self.metadata = metadata
        self.notes: dict[str, int] = {}

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()  # a copy in another process belongs to the run there


def attach(exc: BaseException, name: str, usage: TokenUsage, paid: dict[str, Any], *, since: int) -> None:
    """Put the spend of a run, and what it has paid for, on an error that leaves it.

    Args:
        exc: The error.
        name: The run's name.
        usage: What the run has spent.
        paid: The results it has paid for, for the metadata.
        since: The time at which the run began. Bills from before that are taken off the error.
    """
    _take_off(exc, since)
    mark = _mark(exc)
    is_from_inside = mark.at > since
    mark.at = now()
    facts = vars(exc)
    if isinstance(exc, ExecutionKitError) or isinstance(facts.setdefault("cost", usage), TokenUsage):
        facts["cost"] = usage
    if not isinstance(exc, ExecutionKitError):
        # Such an error keeps its type. Its cost must be as easy to find as on one of ours, in a log too.
        tokens = usage.input_tokens + usage.output_tokens
        calls = f"{usage.llm_calls:,} call{'' if usage.llm_calls == 1 else 's'}"
        price = "" if usage.usd is None else f", {shown(usage.usd)}"
        add_note(exc, f"{name}: spent {calls}, {tokens:,} tokens{price}")
    metadata = facts.setdefault("metadata", {})
    if isinstance(metadata, dict):
        _add(cast("dict[str, Any]", metadata), paid, is_from_inside=is_from_inside)


def take_off(exc: BaseException, *, since: int) -> None:
    """Take off an error that a provider has raised its cost, and the bills of runs that ended before `since`.

    A run inside the provider has its own ledger. Its results stay, because they were paid for.
    """
    _take_off(exc, since)
    if isinstance(exc, ExecutionKitError):
        exc.cost = TokenUsage()
    elif isinstance(getattr(exc, "cost", None), TokenUsage):
        vars(exc).pop("cost", None)


def cost_of(exc: BaseException, *, since: int) -> TokenUsage:
    """The cost on an error; the error's own, if a run has put the present one there before `since`."""
    mark = _mark(exc)
    cost = mark.cost if 0 < mark.at < since else getattr(exc, "cost", None)
    return cost if isinstance(cost, TokenUsage) else TokenUsage()


def add_note(exc: BaseException, note: str) -> None:
    """Add a note that the next run to raise the same object takes off; the same text once only."""
    if note not in getattr(exc, "__notes__", ()):
        exc.add_note(note)
    _mark(exc).notes[note] = now()


def _take_off(exc: BaseException, since: int) -> None:
    """Take the bills and notes from before `since` off an error."""
    mark = _mark(exc)
    for note in [note for note, added in mark.notes.items() if added < since]:
        del mark.notes[note]
        if note in (notes := getattr(exc, "__notes__", [])):
            notes.remove(note)
    if 0 < mark.at < since:
        mark.at = 0
        facts = vars(exc)
        if mark.metadata is not None:
            facts["metadata"] = dict(mark.metadata)
        elif isinstance(facts.get("metadata"), dict):  # anything else is the error's own
            del facts["metadata"]


def _mark(exc: BaseException) -> _Mark:
    facts = vars(exc)
    mark = facts.get(_MARK)
    if not isinstance(mark, _Mark):
        metadata = facts.get("metadata")
        own = dict(cast("dict[str, Any]", metadata)) if isinstance(metadata, dict) else None
        mark = facts[_MARK] = _Mark(facts.get("cost"), own)
    return mark


def _add(metadata: dict[str, Any], paid: dict[str, Any], *, is_from_inside: bool) -> None:
    """Put `paid` on an error. Values of a run inside under the same names move to `inner`."""
    if is_from_inside:
        hidden = {name: metadata[name] for name in (*paid, "inner") if name in metadata}
        if hidden.keys() & paid.keys():
            paid["inner"] = hidden
    metadata.update(paid)
