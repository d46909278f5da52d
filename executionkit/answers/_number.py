"""Reading one number: currencies, units, separators, fractions, powers of ten, LaTeX."""

import re
import unicodedata
from collections.abc import Iterable
from fractions import Fraction
from typing import Final

from executionkit._suppositions import is_supposed
from executionkit.answers._context import UNSURE, is_part_of_more
from executionkit.answers._declared import read
from executionkit.answers._markup import plain

_CURRENCY: Final = (
    r"(?:US|CA|AU|NZ|HK|NT|R|A|C|S)?[$€£¥₹₩₽₺₫]|\b(?:USD|EUR|GBP|CHF|JPY|CNY|RMB|INR|KRW|AUD|CAD|NZD|HKD"
    r"|SGD|TWD|BRL|MXN"
    r"|ZAR|SEK|NOK|DKK|PLN|CZK|HUF|RUB|AED|SAR|ILS|THB|IDR|MYR|PHP|VND|Rs\.?)"
)
# Words for powers of ten. Each is a pattern for one word.
_SCALES: Final = {
    "dozen": 12,
    "hundred": 10**2,
    "thousand": 10**3,
    "lakh": 10**5,
    "million": 10**6,
    "crore": 10**7,
}
_WIDE_SCALES: Final = {"[万萬]": 10**4, "[亿億]": 10**8, "百": 10**2, "千": 10**3, "十": 10}
# A billion of most European languages is a thousand of those of English.
_ENGLISH_SCALES: Final = _SCALES | {
    "billion": 10**9,
    "trillion": 10**12,
    "quadrillion": 10**15,
    "quintillion": 10**18,
}
_EUROPEAN_SCALES: Final = _SCALES | {
    "(?:mil|mille|mila|mille?|tausend|duizend|тыс(?:яч[аи]?)?)": 10**3,
    "(?:mill?i?[oó]n(?:e[ns]?|i|s)?|mio|mln|milh(?:ão|ões)|miljoen|млн|миллион(?:а|ов)?)": 10**6,
    "(?:mill?iard(?:en?|s|i|o|y|ów)?|mrd|mld|miljard|млрд|миллиард(?:а|ов)?)": 10**9,
}
# Longer figures are no answers, and a power of ten may make a number that no memory holds.
_DIGITS_AT_MOST: Final = 300
_POWER_DIGITS_AT_MOST: Final = 3
# "negative USD -."
_BEFORE_DIGITS_AT_MOST: Final = 16

_SQUARED: Final = r"(?:\^?\{?[23]\}?(?![0-9])|[²³])?"
_DIGIT: Final = re.compile(r"[0-9]")
_FIGURE: Final = re.compile(r"[0-9](?:[0-9.,'’_/]*[0-9])?")


def _token(decimal: str, groups: str, scales: Iterable[str]) -> re.Pattern[str]:
    """One number as it is written where `decimal` marks the fraction and any of `groups` thousands."""
    d = re.escape(decimal)
    whole = rf"[1-9][0-9]{{0,2}}(?P<group>[{re.escape(groups)}])[0-9]{{3}}(?:(?P=group)[0-9]{{3}})*|[0-9]+"
    return re.compile(
        rf"""
        (?<![\w)\].,/^'’+–—‒―⁻₋-])  # not the rest of a word, date, range or power
        (?:(?P<minus>-|(?:minus|negative|moins|menos|meno)\s)|\+)?
        (?:(?:{_CURRENCY})\s?(?P<minus_after>-)?)?
        (?:(?P<mixed>[0-9]+)\s(?=[0-9]+/[0-9]))?
        (?P<figure>(?:{whole})(?:{d}[0-9]+)?|{d}[0-9]+)
        (?:[eE](?P<exponent>[+-]?[0-9]+)|\s?[×x*·]\s?10\s?(?:\^|\*\*)\s?[{{(]?(?P<power>[+-]?[0-9]+)[)}}]?)?
        (?:\s?/\s?(?P<divisor>[0-9]+))?
        (?![.,'’:/]?[0-9])       # all of it
        (?P<scale>(?:\s{{0,3}}(?:{"|".join(scales)})s?\b\.?)+|\s?[十百千]?[万萬亿億])?
        (?:\s?(?:[%‰$€£¥₹]|°\s?[CFK]?\b)|(?P<unit>\s{{0,3}}[^\W\d_]+(?:['’][^\W\d_]+)?)(?:{_SQUARED}(?:/[^\W\d_]+{_SQUARED})?)?)?
        """,
        re.VERBOSE | re.IGNORECASE,
    )


# Right after a number: scales cut short, which are units elsewhere (5 K, 5 M), ordinals, unknowns of algebra.
_NO_UNIT: Final = re.compile(r"[kKMBTxyznieπ]|MM|st|nd|rd|th|[eè]re?|ers?|i?[èe]me|ste|[ºª]|pi")
# The same in upper and lower case: scales that are unknown here, or that differ from place to place.
_OTHER_SCALE: Final = re.compile(
    r"mil|mill|mille|mila|thou|grand|scores?|gross|myriads?|\w*[zg]illions?|[mb]il[ij]?l?i?ard\w*"
    r"|[mb]illi?ards?"
    r"|[mbt]r?il[il]?l?i?[oó]n\w*|[mbt]r?ilh(?:ão|ões)|miljo\w+|tausend|tusen|duizend|hundert|bn|mn|mln"
    r"|mio|mrd|mld|tn|trn"
    r"|cr|тыс\w*|млн|млрд|трлн|миллион\w*|миллиард\w*|[千百十兆조천백만억].*",
    re.IGNORECASE,
)
# Any other letter may be a unit when it stands apart; of those that touch the number only these are.
_UNIT_LETTERS: Final = "mgshlLVWAJNμΩ"
# Two or three letters that touch a number, where they are no product of unknowns ("5ab").
_TOUCHING: Final = re.compile(
    "km|cm|dm|mm|nm|um|kg|mg|ng|lb|lbs|oz|ft|in|yd|mi|mph|kph|kmh|kmph|mps|kw|"
    "mw|gw|kwh|wh|hz|khz|mhz|ghz|kb|mb|gb|tb|pb|kib|mib|gib|bit|bps|mbps|gbps|db|"
    "ml|cl|dl|hr|hrs|min|sec|ms|ns|us|ps|yr|yrs|mo|wk|kj|mj|cal|pa|kpa|mpa|hpa|"
    "bar|psi|atm|mol|kv|mv|ma|kn|nn|rpm|px|pt|em|rem|deg|rad|sr|cd|lm|lx|ev|kev|"
    "mev|gev|ppm|ppb|fps|dpi|mmhg|ha|ac|qt|gal|tsp|cup|usd|eur|gbp|chf|jpy|inr|"
    "cad|aud|yen|won|day|cts|pcs|pct|egg|men",
    re.IGNORECASE,
)
_WIDE_LETTER: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_NEARBY: Final = 80
_BULLET: Final = re.compile(r"\n[ \t]*[-–—*+][ \t]+\Z")
_ITEM: Final = re.compile(r"[.)][ \t]+\w")
_YEAR: Final = re.compile("(?:1[89]|20)[0-9]{2}")
# A decimal of which only the beginning is written: 0.333..., or 0.3 with a line above the 3.
_GOES_ON: Final = re.compile("\\.{2,}|…|[\u0300-\u036f]")
_DECADE: Final = re.compile(r"(?:\b(?:the|his|her|their|my|mid|early|late)[\s-]+)\Z", re.IGNORECASE)
_NAME: Final = r"[A-Za-z]\w{0,20}(?:_\{\w{1,9}\}|\(\w{1,9}\))?\s*+"
_LEFT_HAND: Final = re.compile(rf"\s*+(?:{_NAME}\Z|(?:{_NAME}=)?[\d\s.,+*/×÷·^()$€£¥%{{}}=-]*+\Z)")


class _Notation:
    """Reads numbers in one notation."""

    def __init__(self, decimal: str, groups: str, scales: dict[str, int]) -> None:
        self._decimal = decimal
        self._groups = str.maketrans(dict.fromkeys(groups, ""))
        self._token = _token(decimal, groups, scales)
        self._scales = [
            (re.compile(word, re.IGNORECASE), value) for word, value in (scales | _WIDE_SCALES).items()
        ]

    def number(self, text: str) -> int | float | None:
        return read(text, self._only, self._bare, _FIGURE.search)

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
        line = plain(f"\n{line}")
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
        end = token.start("unit") if unit else token.end()
        nearby = before[-_NEARBY:]
        is_bulleted = _BULLET.search(nearby) and (token[0][0] in "+-." or token[0][0].isdigit())
        if (
            _has_digit(before)
            or _has_digit(after)
            or (unit and not _is_unit(unit, token))
            or (unit.strip() == "s" and _DECADE.search(nearby))
            or (_ITEM.match(after) and not before.strip())
            or (self._decimal in token["figure"] and _GOES_ON.match(text, token.end("figure")))
            or UNSURE.search(text.lower())
            or is_part_of_more("" if is_bulleted else before, token["minus"] or "", text[end:])
            or is_supposed(text, token.start(), token.end())
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
        if token["divisor"] and (divisor.startswith("0") or re.match("0[0-9]", figures)):
            return None  # a date, or no number at all
        if token["divisor"] and _YEAR.fullmatch(figures) and str(int(figures) + 1).endswith(divisor.zfill(2)):
            return None  # a school year or a season: 2024/25
        value = Fraction(figures) * Fraction(10) ** int(power) / int(divisor) + int(mixed)
        for word in re.findall(r"[^\W\d_\u3400-\u9fff]+|[^\W\d_]", token["scale"] or "", re.IGNORECASE):
            value *= self._scale(word)
        if bool(token["minus"]) != bool(token["minus_after"]):
            value = -value
        try:
            return value.numerator if value.denominator == 1 else float(value)
        except OverflowError:
            return None

    def _scale(self, word: str) -> int:
        found = (
            value
            for pattern, value in self._scales
            if pattern.fullmatch(word) or pattern.fullmatch(word[:-1])
        )
        return next(found, 1)


def _is_unit(unit: str, number: re.Match[str]) -> bool:
    """Whether what follows a number is a unit, or the thing counted."""
    word, touches = unit.strip(), not unit[0].isspace()
    if _NO_UNIT.fullmatch(word) or _OTHER_SCALE.fullmatch(word):
        return False
    if _WIDE_LETTER.match(word):
        return True
    if len(word) == 1:
        return word in _UNIT_LETTERS and not (touches and word == "s" and len(number["figure"]) == 4)
    if touches and word.isascii():
        is_other_base = number["figure"] == "0" and word[0] in "xXbBoO"
        return not is_other_base and (len(word) > 3 or _TOUCHING.fullmatch(word) is not None)
    return True


def _has_digit(text: str) -> bool:
    if text.isascii():
        return _DIGIT.search(text) is not None
    return any(unicodedata.category(char)[0] == "N" for char in text)


_ENGLISH: Final = _Notation(".", ",'’_\u2009\u00a0\u202f", _ENGLISH_SCALES)
_EUROPEAN: Final = _Notation(",", ".'’_\u2009\u00a0\u202f", _EUROPEAN_SCALES)


def number(text: str) -> int | float | None:
    r"""Read a number in English notation: "42", "$42.00", "\boxed{42}" and "The answer is 42." are one vote.

    A comma, apostrophe, underscore or narrow space groups thousands, and a point marks the fraction: "1.234"
    is a little more than one. Other notations abstain, because they could be misread: "3,5", "1.234,56" and
    "1.234.567" need `european_number`.

    Currencies, units and percent signs are ignored: 42 km, 42 m, 42 % and 42 are one vote. Fractions (3/4,
    3 1/2, \frac{3}{4}), powers of ten (1.5e3, 1.5 × 10^3) and scales in words (1.5 million) are read. Texts
    that may mean something else abstain: lists, ranges, bounds ("at least 3"), expressions ("2 + x"), dates,
    times, ordinals, "5k" and "5M", numbers in words, and several numbers if none is declared as the answer.

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
