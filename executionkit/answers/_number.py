"""Reading one number: currencies, units, separators, fractions, powers of ten, LaTeX."""

import re
import unicodedata
from fractions import Fraction
from typing import Final

from executionkit.answers._declared import read
from executionkit.answers._markup import plain

_CURRENCY: Final = r"(?:US|CA|AU)?[$€£¥₹]|\b(?:USD|EUR|GBP|CHF|Rs\.?)"
_SCALES: Final = {
    "dozen": 12,
    "hundred": 10**2,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
# Longer figures are no answers, and a power of ten may make a number that no memory holds.
_DIGITS_AT_MOST: Final = 300
_POWER_DIGITS_AT_MOST: Final = 3
# "negative USD -."
_BEFORE_DIGITS_AT_MOST: Final = 16

_DIGIT: Final = re.compile(r"[0-9]")


def _token(decimal: str, groups: str) -> re.Pattern[str]:
    """One number as it is written where `decimal` marks the fraction and any of `groups` thousands."""
    d = re.escape(decimal)
    whole = rf"[1-9][0-9]{{0,2}}(?P<group>[{re.escape(groups)}])[0-9]{{3}}(?:(?P=group)[0-9]{{3}})*|[0-9]+"
    return re.compile(
        rf"""
        (?<![\w)\].,/^'’+–—-])  # not the rest of a word, date, range or power
        (?:(?P<minus>-|(?:minus|negative)\s)|\+)?
        (?:(?:{_CURRENCY})\s?)?
        (?P<minus_after>-)?
        (?:(?P<mixed>[0-9]+)\s(?=[0-9]+/[0-9]))?
        (?P<figure>(?:{whole})(?:{d}[0-9]+)?|{d}[0-9]+)
        (?:[eE](?P<exponent>[+-]?[0-9]+)|\s?[×x*]\s?10\s?(?:\^|\*\*)\s?[{{(]?(?P<power>[+-]?[0-9]+)[)}}]?)?
        (?:\s?/\s?(?P<divisor>[0-9]+))?
        (?![.,'’:/]?[0-9])       # all of it
        (?:\s?(?P<scale>{"|".join(_SCALES)})s?\b)?
        (?:\s?(?:[%$€£¥₹]|°\s?[CFK]?\b)|(?P<unit>\s?[^\W\d_]+)(?:\^?\{{?[23]\}}?(?![0-9])|[²³])?)?
        """,
        re.VERBOSE | re.IGNORECASE,
    )


# Right after a number: scales cut short, which are units elsewhere (5 K, 5 M), ordinals, unknowns of algebra.
_NO_UNIT: Final = re.compile(r"[kKMBTxyznieπ]|bn|mn|mln|mio|mrd|st|nd|rd|th|pi")
# Any other letter may be a unit when it stands apart; of those that touch the number only these are.
_UNIT_LETTERS: Final = "mgshlLVWAJNμΩ"
_REFERENCE: Final = (
    r"steps?|chapter|section|page|question|problem|part|options?|figure|table|equation|line|version|example"
    r"|exercise|item|case|no\.|#"
)
_NOT_AFTER: Final = re.compile(rf"(?:[-–—+*/×÷·^√±<>≤≥≠\\]|(?<!\w)(?:{_REFERENCE}))\s*\Z", re.IGNORECASE)
_NOT_BEFORE: Final = re.compile(r"\s*(?:[+*×÷·^√±<>≤≥≠=\\]|/(?![^\W\d_]))|\s*[-–—]\s?\(")
_BULLET: Final = re.compile(r"(?:\A|\n)[ \t]*[-–—*+][ \t]+\Z")
_ITEM: Final = re.compile(r"[.)][ \t]+\w")
_UNSURE: Final = re.compile(
    r"\b(?:not|never|neither|nor|cannot|un(?:known|clear|certain|defined)|between|at least|at most"
    r"|no more|up to|(?:more|less|fewer|greater) than)\b|n['’]t\b|[≠<>≤≥±√∞]",
    re.IGNORECASE,
)
_LEFT_HAND: Final = re.compile(r"\s*+(?:[A-Za-z]\w{0,20}\s*+=)?[\d\s.,+*/×÷·^()$€£¥%{}=-]*+")


class _Notation:
    """Reads numbers in one notation."""

    def __init__(self, decimal: str, groups: str) -> None:
        self._decimal = decimal
        self._groups = str.maketrans(dict.fromkeys(groups, ""))
        self._token = _token(decimal, groups)

    def number(self, text: str) -> int | float | None:
        return read(text, self._only, self._bare)

    def _only(self, text: str) -> int | float | None:
        """The one number of a text, or the right-hand side where all of it is one calculation."""
        text = plain(text)
        found = self._find(text)
        if found is None:
            left, sign, right = text.rpartition("=")
            found = self._find(sign + right) if _LEFT_HAND.fullmatch(left) else None
        return found and self._value(found)

    def _bare(self, line: str) -> int | float | None:
        """The number of a line that has no words before it and at most a unit's after it."""
        line = plain(line)
        found = self._find(line)
        if found is None or re.search(r"\w", line[: found.start()]) or len(line[found.end() :].split()) > 2:
            return None
        return self._value(found)

    def _find(self, text: str) -> re.Match[str] | None:
        digit = _DIGIT.search(text)
        token = digit and self._token.search(text, max(0, digit.start() - _BEFORE_DIGITS_AT_MOST))
        if token is None:
            return None
        before, after = text[: token.start()], text[token.end() :]
        unit = token["unit"] or ""
        is_bullet = _BULLET.search(before)
        if (
            _has_digit(before)
            or _has_digit(after)
            or (_NOT_AFTER.search(before) and not is_bullet)
            or _NOT_BEFORE.match(after)
            or _NO_UNIT.fullmatch(unit.strip())
            or (len(unit) == 1 and unit not in _UNIT_LETTERS)
            or (_ITEM.match(after) and not before.strip())
            or _UNSURE.search(text)
        ):
            return None
        return token

    def _value(self, token: re.Match[str]) -> int | float | None:
        power = token["exponent"] or token["power"] or "0"
        figures = token["figure"].translate(self._groups).replace(self._decimal, ".")
        divisor, mixed = token["divisor"] or "1", token["mixed"] or "0"
        if (
            max(map(len, (figures, divisor, mixed))) > _DIGITS_AT_MOST
            or len(power.lstrip("+-")) > _POWER_DIGITS_AT_MOST
        ):
            return None
        if not int(divisor):
            return None
        value = Fraction(figures) * Fraction(10) ** int(power) / int(divisor) + int(mixed)
        value *= _SCALES.get((token["scale"] or "").lower(), 1)
        if bool(token["minus"]) != bool(token["minus_after"]):
            value = -value
        try:
            return value.numerator if value.denominator == 1 else float(value)
        except OverflowError:
            return None


def _has_digit(text: str) -> bool:
    if text.isascii():
        return _DIGIT.search(text) is not None
    return any(unicodedata.category(char)[0] == "N" for char in text)


_ENGLISH: Final = _Notation(".", ",'’_\u2009\u00a0\u202f")
_EUROPEAN: Final = _Notation(",", ".'’_\u2009\u00a0\u202f")


def number(text: str) -> int | float | None:
    r"""Read a number in English notation: "42", "$42.00", "\boxed{42}" and "The answer is 42." are one vote.

    A comma, apostrophe, underscore or narrow space groups thousands, and a point marks the fraction: "1.234"
    is a little more than one. Other notations abstain, because they could be misread: "3,5", "1.234,56" and
    "1.234.567" need `european_number`.

    Currencies, units and percent signs are ignored: 42 km, 42 m, 42 % and 42 are one vote. Fractions (3/4,
    3 1/2, \frac{3}{4}), powers of ten (1.5e3, 1.5 × 10^3) and scales in words (1.5 million) are read. Texts
    that may mean something else abstain: ranges, bounds ("at least 3"), dates, times, ordinals, "5k" and
    "5M", numbers in words, and several numbers if none is declared as the answer.

    Example:
        ```python
        from executionkit import answers

        assert answers.number("So it costs $1,234.50 in all.") == 1234.5
        assert answers.number("Think: 6 * 7. The answer is 42.") == 42
        assert answers.number("3 or 4") is None
        ```

    Args:
        text: The reply.

    Returns:
        An int if the number is whole, otherwise a float; None if no number is certain.
    """
    return _ENGLISH.number(text)


def european_number(text: str) -> int | float | None:
    """Read a number with a decimal comma: "1.234,56 €" is 1234.56, and "1.234" is 1234.

    Everything else is as in `number`. Notations that only English uses, such as "1,234.56", abstain.

    Example:
        ```python
        from executionkit import answers

        assert answers.european_number("Das macht 1.234,50 €.") == 1234.5
        assert answers.european_number("1,234.50") is None
        ```

    Args:
        text: The reply.

    Returns:
        An int if the number is whole, otherwise a float; None if no number is certain.
    """
    return _EUROPEAN.number(text)
