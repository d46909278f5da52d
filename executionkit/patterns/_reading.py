"""What a reply votes for: the answer that a key reads out of its text."""

import inspect
import math
from collections.abc import Callable, Hashable
from typing import TypeAlias

from executionkit.engine.bill import add_note
from executionkit.responses import LLMResponse

Key: TypeAlias = Callable[[str], Hashable | None]
"""`key(text)`: the answer in a reply's text, anything hashable; None, or NaN, when there is none."""


def collapsed(text: str) -> str:
    """The text with surrounding whitespace stripped and inner runs collapsed to one space."""
    return " ".join(text.split())


def check_key(key: object) -> None:
    """Require a plain callable or None."""
    if key is not None and (not callable(key) or inspect.iscoroutinefunction(key)):
        raise ValueError(f"key must be a plain (not async) function of a reply's text or None, got {key!r}")


class Reader:
    """Reads replies with one key, the same text once only.

    Reading a long text again for every vote would make a vote's cost grow with the length of the replies.

    Args:
        key: What reads the text; None takes all of it, whitespace collapsed.
    """

    def __init__(self, key: Key | None) -> None:
        self._key = collapsed if key is None else key
        self._known: dict[str, Hashable | None] = {}

    def answer(self, sample: int, reply: LLMResponse) -> Hashable | None:
        """What `reply` votes for; None when it has no text, was filtered, or holds no answer.

        Raises:
            TypeError: The key returned something that can't be counted.
            Exception: What the key raised, with a note of the text it was given.
        """
        text = reply.content
        if reply.was_filtered or not text.strip():
            return None
        if text not in self._known:
            try:
                self._known[text] = _countable(self._key(text))
            except Exception as exc:
                shown = text if len(text) <= 80 else f"{text[:79]}…"
                add_note(exc, f"raised by `key`, reading sample {sample}: {shown!r}")
                raise
        return self._known[text]


def _countable(answer: Hashable | None) -> Hashable | None:
    if isinstance(answer, float) and math.isnan(answer):
        return None  # no number, and no vote either: it doesn't even equal itself
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise TypeError("key must be a plain function, not an async one")
    if callable(answer):
        # Every one would be an answer of its own: a maker of readers was given instead of a reader.
        raise TypeError(f"key must return an answer, got {answer!r}; is `key` to be called first?")
    try:
        hash(answer)
    except TypeError:
        raise TypeError(f"key must return something hashable or None, got {answer!r}") from None
    return answer
