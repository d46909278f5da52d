"""`Sizes`: how many tokens calls come to, learnt from replies."""

from typing import Final

from executionkit._prompt import PART_TOKENS

_WEIGHT: Final = 0.05
"""The weight of the newest reply in the averages."""


class Size:
    """How large a call is: the bytes of its texts, its other parts, and the replies it asks for."""

    __slots__ = ("choices", "parts", "text_bytes")

    def __init__(self, text_bytes: int, parts: int, choices: int) -> None:
        self.text_bytes: int = text_bytes
        self.parts: int = parts
        self.choices: int = choices


class Sizes:
    """What calls come to in tokens, learnt from replies: tokens for a byte, for a part, and for a reply."""

    def __init__(self) -> None:
        self._per_byte = 0.25
        self._per_part = float(PART_TOKENS)
        self._reply: float | None = None
        self.mean = 1.0

    def estimate(self, size: Size | None) -> float:
        """The tokens that a call likely comes to."""
        if size is None:
            return self.mean
        reply = 0.0 if self._reply is None else self._reply * size.choices
        return max(1.0, size.text_bytes * self._per_byte + size.parts * self._per_part + reply)

    def learn(self, size: Size | None, prompt: int, reply: int) -> None:
        """Take a reply into account."""
        each = reply / (1 if size is None else size.choices)
        self._reply = each if self._reply is None else self._reply + _WEIGHT * (each - self._reply)
        total = float(prompt + reply)
        self.mean = total if self.mean == 1.0 else self.mean + _WEIGHT * (total - self.mean)
        if not prompt or size is None:
            return
        if size.parts:
            per_part = max(0.0, prompt - size.text_bytes * self._per_byte) / size.parts
            self._per_part += 4 * _WEIGHT * (per_part - self._per_part)
        elif size.text_bytes:
            # Longer prompts say more: in short ones what is around the text counts.
            weight = _WEIGHT * min(1.0, size.text_bytes / 1_000) if size.text_bytes < 1_000 else 2 * _WEIGHT
            self._per_byte += weight * (prompt / size.text_bytes - self._per_byte)
