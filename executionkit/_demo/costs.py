"""The costs of the scenes: by our ledger, and by the endpoint's where that is known."""

from collections.abc import Sequence
from dataclasses import dataclass

from executionkit import TokenUsage
from executionkit._screen import GREEN, RED, Screen


@dataclass(frozen=True)
class Row:
    """The cost of one scene, by our ledger and by the endpoint's, which may keep none."""

    name: str
    ours: TokenUsage
    theirs: TokenUsage | None

    @property
    def differs(self) -> bool:
        """Whether calls or tokens are not those that the endpoint counted. It knows no dollars."""
        return self.theirs is not None and _counts(self.ours) != _counts(self.theirs)


def _counts(usage: TokenUsage) -> tuple[int, int, int]:
    return usage.llm_calls, usage.input_tokens, usage.output_tokens


def show_costs(rows: Sequence[Row], screen: Screen) -> bool:
    """Show what each scene cost, and all together; whether the ledgers agree as far as both are known."""
    known = [row.theirs for row in rows if row.theirs is not None]
    whole = Row(
        "together", sum((row.ours for row in rows), TokenUsage()), sum(known, TokenUsage()) if known else None
    )
    screen.section("cost", "our ledger = the endpoint's ledger" if known else "per pattern")
    head = ["", "calls", "input tokens", "output tokens", "dollars"]
    screen.table([head, *(_cells(row) for row in (*rows, whole))])
    screen.blank()
    if not known:
        screen.row("ledgers", "not compared: what this endpoint counted is not known here")
        return True
    if any(row.differs for row in rows):
        screen.row("ledgers", "✗ ours and the endpoint's DIFFER", RED)
        return False
    screen.row("ledgers", "✓ equal, line by line: every call and every token is accounted for", GREEN)
    return True


def _cells(row: Row) -> list[str]:
    theirs = [None] * 3 if row.theirs is None else _counts(row.theirs)
    counts = [
        f"{ours:,}" if their is None else f"{ours:,} {'=' if ours == their else '≠'} {their:,}"
        for ours, their in zip(_counts(row.ours), theirs, strict=True)
    ]
    return [row.name, *counts, "?" if row.ours.usd is None else f"{row.ours.usd:.4f}"]
