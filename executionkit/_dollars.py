"""Amounts of dollars: read, added exactly, and shown."""

from decimal import (
    ROUND_HALF_EVEN,
    ROUND_UP,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
)
from typing import Final, TypeAlias

Amount: TypeAlias = Decimal | int | str | float
"""Everything that an amount may be given as."""

ZERO: Final = Decimal(0)
EXACT: Final = Context(
    prec=100,
    rounding=ROUND_HALF_EVEN,
    Emin=-999_999,
    Emax=999_999,
    clamp=0,
    flags=[],
    traps=[InvalidOperation, DivisionByZero, Overflow],
)
"""The arithmetic of amounts, which no setting of the program's own decimal contexts changes."""

TOO_DEAR: Final = Decimal("1e20")
"""No reply costs so much: who says so is wrong."""

_SMALLEST: Final = Decimal("1e-30")
_TOO_MUCH: Final = Decimal("1e40")

_MOST_PLACES: Final = 15
"""Longer amounts are shown with an exponent."""


def dollars(value: object, name: str) -> Decimal:
    """Read an amount; a float is read as it is written, so 0.1 is a tenth.

    Raises:
        ValueError: It is no finite number; the message names it.
    """
    amount = None
    if not isinstance(value, bool) and isinstance(value, (Decimal, int, str, float)):
        try:
            amount = Decimal(str(value) if isinstance(value, float) else value)
        except (InvalidOperation, ValueError):  # ValueError: an int or a text of absurdly many digits
            amount = None
    amount = None if amount is None else fitting(amount)
    if amount is None:
        raise ValueError(f"{name} must be a finite number of dollars, such as '0.05', got {value!r}")
    return amount


def fitting(amount: Decimal) -> Decimal | None:
    """An amount whose sums are exact: to 30 places, the last rounded up; None if it is too much.

    If sums were rounded, an amount that is added and taken away again would leave a rest.
    """
    if not amount.is_finite() or not -_TOO_MUCH < amount < _TOO_MUCH:
        return None
    rounded = amount.quantize(_SMALLEST, ROUND_UP, EXACT)
    return amount if rounded == amount else rounded


def share_of(part: Decimal | int, whole: Decimal | int) -> int:
    """The per cent that a part is, rounded down."""
    return int(EXACT.divide(EXACT.multiply(Decimal(part), Decimal(100)), Decimal(whole)))


def shown(usd: Decimal) -> str:
    """An amount to read: in cents from a dollar on, to three digits that matter below."""
    size = usd.copy_abs()
    sign = "-" if usd.is_signed() and usd else ""
    if not size:
        return "$0"
    if not -_MOST_PLACES < size.adjusted() < _MOST_PLACES:
        return f"{sign}${size:.2e}"
    size = size.quantize(Decimal((0, (1,), min(size.adjusted(), 0) - 2)), context=EXACT)
    return f"{sign}${size:,.2f}" if size >= 1 else f"{sign}${size:f}".rstrip("0")


def in_full(usd: Decimal) -> str:
    """An amount with all its digits."""
    text = f"{usd:,f}"
    return "$" + (text.rstrip("0").rstrip(".") if "." in text else text)
