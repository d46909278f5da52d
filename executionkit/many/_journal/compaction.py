"""The lines of a journal that a later start needs."""

from collections.abc import Iterable, Iterator
from typing import Final

from executionkit.many._journal.format import JOB, as_json, cost_text, digest_of, encoded, parsed, quoted
from executionkit.many._journal.load import Loaded, Spent
from executionkit.types import TokenUsage

_OUR_KINDS: Final = frozenset({"job", "start", "sent", "call", "fail", "tool", "row", "sum"})
_NOTHING_SPENT: Final = Spent(TokenUsage(), TokenUsage(), 0)


def needed_lines(
    lines: Iterable[tuple[int, bytes]], loaded: Loaded, spent: Spent, version: str
) -> Iterator[bytes]:
    """The lines of a journal that a later start needs.

    Args:
        lines: All lines, each with its place.
        loaded: What was found in them.
        spent: What becomes one line with its sum.
        version: The version of the job. The lines of others stay.
    """
    kept = [*loaded.calls.values(), *loaded.tools.values()]
    needed = {each.offset for there in kept for each in there}
    is_ours = is_summed = False
    for offset, line in lines:
        if line.startswith(JOB):
            is_ours = (parsed(line) or {}).get("version", "") == version
            yield line
            if is_ours and not is_summed and spent != _NOTHING_SPENT:
                yield _sum_line(spent)
            is_summed = is_summed or is_ours
        elif not is_ours:
            yield line
        elif offset in needed:
            found = parsed(line) or {}
            if found.get("t") == "call":  # which was sent, and is not in the sum
                sent = {name: found.get(name) for name in ("row", "req", "n")}
                yield encoded(as_json({"t": "sent", **sent}) + "\n")
            yield line
        elif not line.startswith((b'{"t":"sent"', b'{"t":"call"', b'{"t":"fail"')):
            found = parsed(line) or {}
            kind, row = found.get("t"), str(found.get("row", ""))
            is_outcome = kind == "row" and loaded.table.offset(digest_of(row)) == offset
            is_foreign = kind not in _OUR_KINDS and not (
                "row" in found and loaded.table.is_done(digest_of(row))
            )
            if is_outcome or is_foreign:
                yield line


def _sum_line(spent: Spent) -> bytes:
    assumed = [spent.assumed.input_tokens, spent.assumed.output_tokens]
    line = {"cost": cost_text(spent.usage), "unknown": spent.unknown_calls, "assumed": as_json(assumed)}
    return encoded(f'{{"t":"sum",{",".join(f"{quoted(name)}:{value}" for name, value in line.items())}}}\n')
