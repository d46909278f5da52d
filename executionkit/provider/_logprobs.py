"""The log-probabilities of a reply's tokens, read from whatever a server sends."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from executionkit._json import a_list, an_object, is_object
from executionkit._text import well_formed
from executionkit.responses import TokenLogprob


def logprobs_in(sent: object) -> tuple[TokenLogprob, ...]:
    """Read the `logprobs` of a choice. Entries without a token or a number are left out.

    They come as a list of objects under `content`, or `refusal` for a refusal. The older form has parallel
    lists of `tokens`, `token_logprobs` and `top_logprobs`.
    """
    given = an_object(sent) or {"content": sent}
    if "tokens" in given:
        return _read(_from_lists(given))
    return _read(a_list(given.get("content"))) or _read(a_list(given.get("refusal")))


def _read(entries: Iterable[object]) -> tuple[TokenLogprob, ...]:
    found: list[TokenLogprob] = []
    for entry in entries:
        if not is_object(entry):
            continue
        token, logprob = entry.get("token"), entry.get("logprob")
        if isinstance(token, str) and isinstance(logprob, (int, float)) and _is_finite(logprob):
            top = a_list(entry.get("top_logprobs"))
            found.append(TokenLogprob(well_formed(token), float(logprob), _read(top) if top else ()))
    return tuple(found)


def _is_finite(number: float) -> bool:
    try:
        return not isinstance(number, bool) and math.isfinite(number)
    except OverflowError:  # an int beyond what a float can hold
        return False


def _from_lists(given: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    tops = a_list(given.get("top_logprobs"))
    pairs = zip(a_list(given.get("tokens")), a_list(given.get("token_logprobs")), strict=False)
    for index, (token, logprob) in enumerate(pairs):
        top = an_object(tops[index]) if index < len(tops) else None
        others = [{"token": name, "logprob": value} for name, value in (top or {}).items()]
        yield {"token": token, "logprob": logprob, "top_logprobs": others}


class SentLogprobs:
    """The `logprobs` of a choice that come in pieces: each piece brings those of further tokens."""

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}
        self._bare: list[Any] = []

    def add(self, piece: object) -> int:
        """Take a piece; returns about how many bytes of it are kept."""
        size = 0
        self._bare.extend(bare := a_list(piece))
        size += len(repr(bare)) if bare else 0
        for name, value in (an_object(piece) or {}).items():
            held = self._fields.get(name)
            if isinstance(held, list) and isinstance(value, list):
                held.extend(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
            elif held is None:
                self._fields[name] = [*value] if isinstance(value, list) else value
            size += len(repr(value))
        return size

    def settled(self) -> dict[str, Any]:
        """The field of a whole choice; empty if no piece came."""
        held = self._fields or self._bare
        return {"logprobs": held} if held else {}
