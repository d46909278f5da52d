"""The type variables of results whose type a parameter says: without it, their values are texts."""

from collections.abc import Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Type checkers know this module, installed or not. At run time such a default needs Python 3.13.
    from typing_extensions import TypeVar

    Value_co = TypeVar("Value_co", covariant=True, default=str)
    Answer = TypeVar("Answer", bound=Hashable, default=str)
    Answer_co = TypeVar("Answer_co", covariant=True, default=str)
else:
    from typing import TypeVar

    Value_co = TypeVar("Value_co", covariant=True)
    Answer = TypeVar("Answer", bound=Hashable)
    Answer_co = TypeVar("Answer_co", covariant=True)
