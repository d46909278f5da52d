"""Values that show themselves: a short `repr`, and a card of figures in notebooks and terminals."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

    from executionkit._display._card import Card

__all__ = ["Brief", "Displayed"]


class Brief:
    """A base of dataclasses whose `repr` is that of a dataclass, cut to fewer than 400 characters.

    Fields that have their default are left out.
    """

    __slots__ = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # `dataclass` writes a repr of its own over one that a class merely inherits.
        if "__repr__" not in vars(cls):
            type.__setattr__(cls, "__repr__", cls.__repr__)

    def __repr__(self) -> str:
        from executionkit._display._line import fields_line

        return fields_line(self)


class Displayed(Brief):
    """A base of values that describe themselves once, by `_card`: drawn as a line, as HTML and by rich."""

    __slots__ = ()

    def _card(self) -> "Card":
        """What there is to show."""
        raise NotImplementedError  # abstract: each subclass describes itself

    def __repr__(self) -> str:
        from executionkit._display._line import card_of, line

        return line(card_of(self, self._card))

    def _repr_html_(self) -> str:
        """The card, for notebooks."""
        from executionkit._display._html import html
        from executionkit._display._line import card_of

        return html(card_of(self, self._card))

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[RenderableType]":
        """The card, for terminals on which rich draws."""
        from executionkit._display._line import card_of
        from executionkit._display._rich import drawn

        yield from drawn(card_of(self, self._card), options)
