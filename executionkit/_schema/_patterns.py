"""Regular expressions of ECMA-262, in which schemas are written, as regular expressions of Python."""

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

_Ranges = tuple[tuple[int, int], ...]

_LAST: Final = 0x10FFFF
_DIGITS: Final[_Ranges] = ((0x30, 0x39),)
_WORD: Final[_Ranges] = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE: Final[_Ranges] = (
    *((0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A)),
    *((0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
)


def _others(ranges: _Ranges) -> _Ranges:
    bounds = ((-1, -1), *ranges, (_LAST + 1, _LAST + 1))
    return tuple((one[1] + 1, two[0] - 1) for one, two in pairwise(bounds) if one[1] + 1 < two[0])


def _set(ranges: Iterable[tuple[int, int]]) -> str:
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


_SETS: Final = {
    **{name: _set(ranges) for name, ranges in (("d", _DIGITS), ("w", _WORD), ("s", _SPACE))},
    **{name: _set(_others(ranges)) for name, ranges in (("D", _DIGITS), ("W", _WORD), ("S", _SPACE))},
}
_PLAIN: Final = {"d": "0-9", "w": "A-Za-z0-9_"}
_CONTROLS: Final = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_SYNTAX: Final = r"^$\.*+?()[]{}|"
_LINE_ENDS: Final = r"\n\r\u2028\u2029"
_BOUNDARY: Final = "(?:(?<![{w}])(?=[{w}])|(?<=[{w}])(?![{w}]))".format(w=_SETS["w"])
_ENDS: Final = {"A": r"\A", "Z": r"\Z", "z": r"\Z"}
"""The beginning and the end as Python and Rust write them, which ECMA-262 gives no meaning."""

_FLAGS: Final = re.compile(r"\(\?([ims]+)\)")
_GROUP: Final = re.compile(r"\((?!\?)|\(\?(?:[:=!]|<[=!]|-?i:)|\(\?P?<([^\W\d]\w*)>")
_COUNT: Final = re.compile(r"\{[0-9]+(?:,[0-9]*)?\}")
_OPEN_COUNT: Final = re.compile(r"\{,[0-9]*\}")
_POSIX: Final = re.compile(r"\[[:.=]\^?\w+[:.=]\]")
_CODE: Final = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|u\{([0-9A-Fa-f]+)\})")
_NAMED: Final = re.compile(r"\\k<([^\W\d]\w*)>|\(\?P=([^\W\d]\w*)\)")


class _NoTranslationError(Exception):
    """Python has nothing that certainly means the same."""


class _Both(NamedTuple):
    """A pattern twice.

    Attributes:
        python: It means in Python what the pattern means in ECMA-262; None if that can't be said for certain.
        plain: The pattern with ranges in place of the escapes that grammars of servers don't know.
    """

    python: str | None
    plain: str


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str] | None:
    r"""The pattern, ready to search with; None if it can't be checked here.

    `$` is the very end, `.` no end of a line, and `\d`, `\w`, `\s` and `\b` are those of ECMA-262.

    Raises:
        ValueError: It is a regular expression in no dialect: a bracket is not closed, or nothing is repeated.
    """
    source = _translated(pattern).python
    if source is None:
        return None
    try:
        return re.compile(source)
    except (re.error, OverflowError, RecursionError):
        return None


def plain(pattern: str) -> str:
    r"""The pattern for a server, in the plainest form that means the same.

    `[0-9]` stands for `\d` and `[A-Za-z0-9_]` for `\w`, a group has no name that nothing refers to, and
    signs are escaped only where they have to be. There are servers that ignore a pattern with the other forms
    (llama.cpp's), or refuse it.
    """
    try:
        return _translated(pattern).plain
    except ValueError:
        return pattern


@lru_cache(maxsize=1024)
def _translated(pattern: str) -> _Both:
    reader = _Reader(pattern)
    try:
        python, plain = reader.read()
    except _NoTranslationError:
        _require_closed(pattern)
        return _Both(None, pattern)
    return _Both(python, plain)


def _require_closed(pattern: str) -> None:
    """Require that brackets are closed, as every dialect has it."""
    depth, is_class = 0, False
    for sign in re.sub(r"\\.", "", pattern, flags=re.DOTALL):
        if is_class:
            is_class = sign != "]"
        elif sign == "[":
            is_class = True
        elif sign in "()":
            depth += 1 if sign == "(" else -1
            if depth < 0:
                break
    if depth or is_class:
        raise ValueError("a bracket is not closed")


class _Reader:
    """Reads one pattern from its beginning to its end."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        flags = _FLAGS.match(pattern)
        self._flags = flags[1] if flags else ""
        self._at = flags.end() if flags else 0
        self._python: list[str] = ["(?i)"] if "i" in self._flags else []
        self._plain: list[str] = [flags[0]] if flags else []
        self._open = 0
        self._is_repeatable = False

    def read(self) -> tuple[str, str]:
        while self._at < len(self._text):
            self._one()
        if self._open:
            raise ValueError("a bracket is not closed")
        return "".join(self._python), "".join(self._plain)

    def _put(self, length: int, python: str, plain: str | None = None, *, is_repeatable: bool = True) -> None:
        self._plain.append(self._text[self._at : self._at + length] if plain is None else plain)
        self._python.append(python)
        self._at += length
        self._is_repeatable = is_repeatable

    def _one(self) -> None:
        sign = self._text[self._at]
        if sign == "\\":
            self._escape()
        elif sign == "[":
            self._class()
        elif sign == "(":
            self._group()
        elif sign == ")":
            self._open -= 1
            if self._open < 0:
                raise ValueError("a bracket is closed that was not opened")
            self._put(1, ")")
        elif sign in "*+?" or (sign == "{" and self._is_count()):
            self._repeat()
        elif sign == "|":
            self._put(1, "|", is_repeatable=False)
        elif sign == "^":
            is_line = "m" in self._flags
            self._put(1, f"(?<![^{_LINE_ENDS}])" if is_line else r"\A", is_repeatable=False)
        elif sign == "$":
            is_line = "m" in self._flags
            self._put(1, rf"(?=[{_LINE_ENDS}]|\Z)" if is_line else r"\Z", is_repeatable=False)
        elif sign == ".":
            self._put(1, r"[\s\S]" if "s" in self._flags else f"[^{_LINE_ENDS}]")
        else:
            self._put(1, re.escape(sign))

    def _is_count(self) -> bool:
        if _OPEN_COUNT.match(self._text, self._at):
            raise _NoTranslationError  # a text to ECMA-262, and a number to Python
        return _COUNT.match(self._text, self._at) is not None

    def _repeat(self) -> None:
        if not self._is_repeatable:
            if self._at and self._text[self._at - 1] in "^$":
                raise _NoTranslationError
            raise ValueError("nothing is repeated")
        count = _COUNT.match(self._text, self._at)
        length = len(count[0]) if count else 1
        following = self._text[self._at + length : self._at + length + 1]
        if following == "+":
            raise _NoTranslationError  # possessive
        length += following == "?"
        self._put(length, self._text[self._at : self._at + length], is_repeatable=False)

    def _group(self) -> None:
        reference = _NAMED.match(self._text, self._at)
        if reference:
            self._put(len(reference[0]), f"(?({reference[2]})(?P={reference[2]}))")
            return
        group = _GROUP.match(self._text, self._at)
        if group is None:
            raise _NoTranslationError
        self._open += 1
        is_needed = group[1] is None or _NAMED.search(self._text) is not None
        python = f"(?P<{group[1]}>" if group[1] else group[0]
        self._put(len(group[0]), python, None if is_needed else "(", is_repeatable=False)

    def _escape(self) -> None:
        sign = self._text[self._at + 1 : self._at + 2]
        if not sign:
            raise ValueError("nothing is escaped")
        if sign in _SETS:
            self._put(2, f"[{_SETS[sign]}]", f"[{_PLAIN[sign]}]" if sign in _PLAIN else None)
        elif sign in "bB":
            self._put(2, _BOUNDARY if sign == "b" else f"(?!{_BOUNDARY})", is_repeatable=False)
        elif sign in _ENDS:
            self._put(2, _ENDS[sign], is_repeatable=False)
        elif sign in "123456789":
            rest = self._text[self._at + 1 :]
            digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
            # A group that took no part matches the empty text in ECMA-262, and nothing in Python.
            self._put(1 + len(digits), f"(?:(?({digits})\\{digits}))")
        elif sign == "k":
            reference = _NAMED.match(self._text, self._at)
            if reference is None:
                raise _NoTranslationError
            self._put(len(reference[0]), f"(?:(?({reference[1]})(?P={reference[1]})))")
        else:
            code, length = self._code(self._at)
            is_needed = sign.isalnum() or sign in _SYNTAX
            self._put(length, re.escape(chr(code)), None if is_needed else sign)

    def _code(self, at: int) -> tuple[int, int]:
        """The character that stands at a place, and the length of its notation."""
        sign, escaped = self._text[at], self._text[at + 1 : at + 2]
        if sign != "\\":
            return ord(sign), 1
        found = _CODE.match(self._text, at)
        if found:
            code = int(found[1] or found[2] or found[3], 16)
            low = _CODE.match(self._text, found.end())
            if found[2] and 0xD800 <= code < 0xDC00 and low and low[2] and 0xDC00 <= int(low[2], 16) < 0xE000:
                return 0x10000 + ((code - 0xD800) << 10) + (int(low[2], 16) - 0xDC00), 12
            if code > _LAST:
                raise _NoTranslationError
            return code, len(found[0])
        if escaped in _CONTROLS:
            return _CONTROLS[escaped], 2
        letter = self._text[at + 2 : at + 3]
        if escaped == "c" and letter.isascii() and letter.isalpha():
            return ord(letter) % 32, 3
        if escaped == "0" and not letter.isdecimal():
            return 0, 2
        if not escaped:
            raise ValueError("nothing is escaped")
        if escaped.isalnum():
            raise _NoTranslationError
        return ord(escaped), 2

    def _class(self) -> None:
        at = self._at + 1
        is_negated = self._text.startswith("^", at)
        at += is_negated
        python: list[str] = []
        plain: list[str] = []
        is_plain = True
        hyphen = ""  # at the end of a plain class, where no dialect takes it for a range
        while not self._text.startswith("]", at):
            if at >= len(self._text):
                raise ValueError("a bracket is not closed")
            if _POSIX.match(self._text, at):
                raise _NoTranslationError
            sign = self._text[at + 1 : at + 2]
            if self._text[at] == "\\" and sign in _SETS:
                python.append(_SETS[sign])
                plain.append(_PLAIN.get(sign, f"\\{sign}"))
                is_plain = is_plain and sign not in _PLAIN
                at += 2
                continue
            first, length = self._member(at)
            last, after = first, at + length
            if self._is_range(after):
                last, length = self._member(after + 1)
                after += 1 + length
                if last < first:
                    raise ValueError("a range ends before it begins")
            python.append(_set([(first, last)]))
            member = self._text[at:after]
            if member in ("-", r"\-"):
                hyphen, member = "-", ""
            elif len(member) == 2 and not sign.isalnum() and sign not in r"\]^[":
                is_plain, member = False, sign
            plain.append(member)
            at = after
        opening = "[^" if is_negated else "["
        # An empty class: Python would take its bracket for a member.
        in_python = f"{opening}{''.join(python)}]" if python else (r"[\s\S]" if is_negated else "(?!)")
        members = "".join(plain)
        members = f"{hyphen}{members}" if members.startswith("^") else f"{members}{hyphen}"
        in_plain = None if is_plain else f"{opening}{members}]"
        self._put(at + 1 - self._at, in_python, in_plain)

    def _is_range(self, at: int) -> bool:
        r"""Whether a range goes on at a place; `[a-\d]` has none, nor has `[a-]`."""
        if not self._text.startswith("-", at) or self._text.startswith("]", at + 1):
            return False
        return not (self._text.startswith("\\", at + 1) and self._text[at + 2 : at + 3] in _SETS)

    def _member(self, at: int) -> tuple[int, int]:
        if self._text.startswith(r"\b", at):
            return 8, 2
        if at >= len(self._text):
            raise ValueError("a bracket is not closed")
        return self._code(at)
