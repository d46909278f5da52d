"""The result of a tool as the model gets it: a text, and the pictures and other parts in it."""

from typing import NamedTuple

from executionkit._json import is_array
from executionkit._prompt import Part, in_words, is_part, veiled_part
from executionkit._shown import shown


class Returned(NamedTuple):
    """What came of a call of a tool.

    Attributes:
        text: The observation.
        parts: The parts that the text describes.
        error: The exception by which it failed.
        ran: Whether it ran.
    """

    text: str
    parts: tuple[Part, ...] = ()
    error: BaseException | None = None
    ran: bool = True


def returned_by(value: object) -> Returned:
    """Write the result of a tool for the model.

    A part, or a list with a part among its items, is a list of texts and parts. Anything else is one text.
    """
    if isinstance(value, str):
        return Returned(shown(value))
    items = value if is_array(value) else [value]
    if not any(map(is_part, items)):
        return Returned(shown(value))
    parts = [veiled_part(item) for item in items if is_part(item)]
    texts = [in_words([item]) if is_part(item) or _is_text(item) else shown(item) for item in items]
    return Returned("\n".join(texts), tuple(parts))


def _is_text(item: object) -> bool:
    return isinstance(item, dict) and item.get("type") == "text" and isinstance(item.get("text"), str)
