"""Mending JSON: a reader of JSON as models write it, which refuses whatever could mean two things.

It reads from left to right in one pass and never goes back, so its time is in proportion to the length of the
text, and no value comes out that does not stand in the text.
"""

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from executionkit.engine.thoughts import without_thoughts

Container = dict[str, Any] | list[Any]

MAX_DEPTH: Final = 500
"""The deepest nesting that is mended, so that Python can write and compare the value."""


def mend(text: str) -> Container:
    """Read an object or array that has slips in it.

    These slips are mended, because they leave one reading only: a comma too many; a missing comma before a
    name, or between two containers; single or curly quotes; names and words without quotes; quotes within a
    string; `//` and `/* */` comments; True, False and None; `+5` and `.5`; a bracket missing at the end.

    Args:
        text: The text, from the bracket on. It may end in prose.

    Raises:
        ValueError: The text can't be read for certain. The message has the reason and the place.
    """
    return _Reader(text).read()


@dataclass(slots=True)
class _Open:
    """A container whose closing bracket was not read yet.

    Attributes:
        value: What it holds so far.
        name: The name whose value comes next, in an object.
        misses_comma: Whether a comma was missing between two of its items.
    """

    value: Container
    name: str = ""
    misses_comma: bool = False

    @property
    def closing(self) -> str:
        return "}" if isinstance(self.value, dict) else "]"


_QUOTES: Final = {'"': '"', "'": "'", "“": "”", "‘": "’"}
_QUOTED_NAME: Final = r"""(?:"[^"]*+"|'[^']*+'|“[^“”]*+”|‘[^‘’]*+’)\s*+:"""
_COMMENT_STARTS: Final = r"/[/*]"

# What follows the quote that ends a string. Another quote is one within the string.
_AFTER_STRING: Final = {
    "}": re.compile(
        rf"""\s*+(?:\Z|[}}\]]|{_COMMENT_STARTS}|(?<=\s){_QUOTED_NAME}
        |,\s*+(?:\Z|[,}}\]]|{_COMMENT_STARTS}|{_QUOTED_NAME}|[\w$-]++\s*+:))""",
        re.VERBOSE,
    ),
    "]": re.compile(
        rf"""\s*+(?:\Z|[}}\]]|{_COMMENT_STARTS}
        |,\s*+(?:\Z|[,}}\]\["'“‘{{]|{_COMMENT_STARTS}|[-+]?\.?[0-9]|[^\W\d]\w*+\s*+[,\]}}]))""",
        re.VERBOSE,
    ),
}
# What follows a quote that ends another item, and not words in quotes within a string.
_AFTER_ITEM: Final = re.compile(r"""\s*+(?::|,\s*+["'“‘])""")
_STRING_STOP: Final = {quote: re.compile(rf"[\\{quote}{end}]") for quote, end in _QUOTES.items()}

_COMMENT: Final = re.compile(r"//([^\n]*+)|/\*(.*?)\*/", re.DOTALL)
# A comment that stands for what was left out, or that has swallowed a part of the JSON.
_TELLING_COMMENT: Final = re.compile(
    r"""\.\.\.|…|[{}\[\]]|["']\s*+:
    |\b(?:etc|more|rest|remaining|others?|omitted|truncated|so\ on|similar|same)\b""",
    re.IGNORECASE | re.VERBOSE,
)

_NUMBER: Final = re.compile(
    r"\+?(-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)(?![.\w])|\+?(-?\.[0-9]++)(?![.\w])"
)
# Before and after a comma that may group the digits of one number: `1,234`.
_BEFORE_GROUP: Final = re.compile(r"(?<![\d.])[1-9][0-9]{0,2}\Z")
_GROUP: Final = re.compile(r"[0-9]{3}(?![\d.eE])")
_WORD: Final = re.compile(r"[^\W\d]\w*+")
_BARE_NAME: Final = re.compile(r"[^\W\d][\w$-]*+|\$[\w$-]*+|0|[1-9][0-9]*+")
_LITERALS: Final = {"true": True, "false": False, "null": None}
# Words that mean a value in some notation. Their beginnings, and words that
# begin with one, are refused too.
_NO_TEXT: Final = ("true", "false", "null", "none", "nil", "nan", "infinity", "undefined")
_NO_VALUE: Final = ("yes", "y", "on", "off", "etc")

# A backslash with a letter after it that no notation reads as an escape: it is the backslash of a path, of a
# regular expression or of TeX.
_LITERAL_BACKSLASH: Final = re.compile(
    r"\\(?:[A-MO-TV-Zcdg-mopqswyz]|N(?!\{)|U(?![0-9a-fA-F]{8})|u(?![0-9a-fA-F]{4})[a-z]"
    r"|x(?![0-9a-fA-F]{2})[a-z]"
    r"|[aev][A-Za-z])"
)
_ESCAPES: Final = {'"': '"', "'": "'", "\\": "\\", "/": "/", "n": "\n", "r": "\r", "t": "\t"}
_UNICODE: Final = re.compile(
    r"\\u(?:([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|(?![dD][89a-fA-F])([0-9a-fA-F]{4}))"
)
_DRIVE: Final = re.compile(r"(?<![A-Za-z])[A-Za-z]:\Z")
# TeX's commands that begin like the escape of a line break.
_TEX_COMMAND: Final = re.compile(
    r"\\n(?:abla|atural|e|earrow|eg|eq|ewcommand|ewline|exists|geq|i|leftarrow|leq|less|mid|obreak|oindent"
    r"|onumber|ot|otin|parallel|prec|rightarrow|sim|subset|subseteq|u|warrow)(?![A-Za-z])"
)

CLOSED_AND_GOES_ON: Final = re.compile(r"\}\s*+,")
"""An object with more behind it. If a bracket is too many, it may be the one that closes that object."""

# After the end: more JSON, which would be lost.
_GOES_ON: Final = re.compile(r"""\s*+[,:]|[{}\[\]]|["']\s*+:""")


def _is_beginning(word: str) -> bool:
    return any(known.startswith(word) for known in _NO_TEXT)


@dataclass(slots=True)
class _Reader:
    """One text, and how far it was read.

    Attributes:
        text: The text.
        at: The place of the next character.
        open: The containers that are open here, the outermost first.
        closed: The containers that the closing brackets just before `at` close, the innermost first.
        missing: How many closing brackets were missing before one of an outer container.
        has_escapes: Whether a backslash was read as an escape.
        has_backslashes: Whether a backslash was read as itself.
        is_after_number: Whether the last scalar was a number.
    """

    text: str
    at: int = 0
    open: list[_Open] = field(default_factory=list["_Open"])
    closed: list[_Open] = field(default_factory=list["_Open"])
    missing: int = 0
    has_escapes: bool = False
    has_backslashes: bool = False
    is_after_number: bool = False

    def read(self) -> Container:
        root = self._open()
        last = "bracket"
        while self.open:
            gap = self.at
            self._skip()
            char = self.text[self.at : self.at + 1]
            if not char:
                self._end(last, gap)
                break
            if char in "}]":
                self._close(char, last)
                last = "closed"
            elif self.missing:
                self._refuse("a bracket is missing before here")
            elif last in ("bracket", "comma"):
                last = self._item()
            elif char == ",":
                self._comma()
                last = "comma"
            elif not self._misses_comma(last, char, gap):
                self._refuse("expected a comma or a closing bracket")
            else:
                self.open[-1].misses_comma = True
                last = "comma"
        if self.open or self.missing:
            self._check_missing()
        self._check_rest(root)
        return root

    def _refuse(self, reason: str) -> NoReturn:
        line = self.text.count("\n", 0, self.at) + 1
        column = self.at - self.text.rfind("\n", 0, self.at)
        raise ValueError(f"{reason}: line {line} column {column}")

    # -- structure ---------------------------------------------------------------------------------------

    def _skip(self) -> None:
        """Pass over white space and comments."""
        while True:
            before = self.text[self.at - 1 : self.at]
            while self.text[self.at : self.at + 1].isspace():
                before = self.text[self.at]
                self.at += 1
            if self.text[self.at : self.at + 1] != "/":
                return
            comment = _COMMENT.match(self.text, self.at)
            if comment is None:
                self._refuse("a comment is not closed")
            is_line = comment[1] is not None
            words = comment[1] if is_line else comment[2]
            if _TELLING_COMMENT.search(words) or words.count('"') % 2:
                self._refuse("a comment may stand for a part of the JSON")
            if is_line and before not in ",{}[]" and not before.isspace():
                self._refuse("unexpected //")
            if is_line and self.is_after_number and re.fullmatch(r"\s*+[\w.(+-]++\s*+", words):
                self._refuse("a division or a comment")
            self.at = comment.end()

    def _open(self) -> Container:
        if len(self.open) == MAX_DEPTH:
            self._refuse(f"nested deeper than {MAX_DEPTH} levels")
        value: Container = {} if self.text[self.at] == "{" else []
        self.open.append(_Open(value))
        self.at += 1
        return value

    def _close(self, char: str, last: str) -> None:
        if last in ("bracket", "comma") and self.open[-1].closing != char:
            self._refuse(f"expected a value, got {char!r}")
        if all(container.closing != char for container in self.open[-2:]):
            self._refuse(f"there is no bracket that {char} closes")
        while True:
            container = self.open.pop()
            self.closed.append(container)
            if container.closing == char:
                break
            self.missing += 1
        self.at += 1

    def _comma(self) -> None:
        before = _BEFORE_GROUP.search(self.text, max(0, self.at - 4), self.at)
        if before and _GROUP.match(self.text, self.at + 1):
            self._refuse("a comma that separates numbers, or one that groups digits")
        self.at += 1

    def _misses_comma(self, last: str, char: str, gap: int) -> bool:
        """Whether a comma was forgotten here: before a name, or between two containers of an array."""
        if isinstance(self.open[-1].value, list):
            return last == "closed" and char in "{["
        return gap < self.at and re.compile(_QUOTED_NAME).match(self.text, self.at) is not None

    def _item(self) -> str:
        self.closed.clear()
        container = self.open[-1]
        if isinstance(container.value, dict):
            container.name = self._name(container.value)
        char = self.text[self.at : self.at + 1]
        if char and char in "{[":
            self._put(container, self._open())
            return "bracket"
        value, last = self._scalar(char)
        self._put(container, value)
        return last

    @staticmethod
    def _put(container: _Open, value: Any) -> None:
        if isinstance(container.value, dict):
            container.value[container.name] = value
        else:
            container.value.append(value)

    def _end(self, last: str, gap: int) -> None:
        """The text ends with containers open."""
        if last in ("bracket", "comma") or (last == "bare" and gap == self.at):
            self._refuse("the text ends in the middle")
        if last == "bare":
            self._refuse("the text ends after a value that may go on")

    def _check_missing(self) -> None:
        """Require that the missing brackets can't have been forgotten anywhere but at the end.

        `{"a": {"b": 1, "c": 2}` has two readings: "c" belongs to the inner object or to the outer one. So has
        `[["a"]`: there the other bracket may be one too many. `[{"a": 1} [2]` may end before its last item.
        """
        chain = [*self.open, *reversed(self.closed)]
        missing = self.missing + len(self.open)
        for depth, container in enumerate(chain):
            inner = container.value if len(container.value) == 1 else None
            if container.misses_comma or (
                missing == 1 and inner and isinstance(inner, list) and isinstance(inner[0], list)
            ):
                self._refuse("a closing bracket is missing, or something else")
            around = chain[max(0, depth - missing) : depth]
            if len(container.value) > 1 and any(outer.closing == container.closing for outer in around):
                self._refuse("a closing bracket is missing, and it may belong in several places")

    def _check_rest(self, root: Container) -> None:
        rest = without_thoughts(self.text[self.at :])
        is_bracket = isinstance(root, dict) and re.fullmatch(r"\s*+(?:\}\s*+)+", rest)
        if is_bracket and not self.missing and not CLOSED_AND_GOES_ON.search(self.text):
            return  # a bracket too many, with nothing after it
        if _GOES_ON.match(rest) or _GOES_ON.search(rest):
            self._refuse("the JSON ends here, and more follows")

    # -- names and scalars -------------------------------------------------------------------------------

    def _name(self, known: dict[str, Any]) -> str:
        start = self.at
        if self.text[start] in _QUOTES:
            name = self._string(is_name=True)
            if re.search(r"""["'“”‘’]\s*+[:,]""", name):
                self._refuse("a quote within a name")
        else:
            bare = _BARE_NAME.match(self.text, start)
            if bare is None or bare[0] in ("True", "False", "None"):
                self._refuse("expected a name in quotes")
            name = bare[0]
            self.at = bare.end()
        if name in known:
            self.at = start
            self._refuse(f"the name {json.dumps(name)[:60]} is there twice")
        self._skip()
        if self.text[self.at : self.at + 1] != ":":
            self._refuse("expected a colon")
        self.at += 1
        self._skip()
        return name

    def _scalar(self, char: str) -> tuple[Any, str]:
        """The value, and "bare" if more letters or digits would make another value of it."""
        if char in _QUOTES:
            return self._string(is_name=False), "value"
        number = _NUMBER.match(self.text, self.at)
        self.is_after_number = number is not None
        if number is not None:
            return self._number(number), "bare"
        word = _WORD.match(self.text, self.at)
        if word is None or not word[0][0].isalpha():
            self._refuse(f"expected a value, got {char!r}" if char else "a value is missing")
        name = word[0].lower()
        if name in _LITERALS or word[0] == "None":
            self.at = word.end()
            return _LITERALS.get(name), "value"
        if name in _NO_VALUE or name.startswith(_NO_TEXT) or _is_beginning(name):
            self._refuse(f"expected a value, got {word[0]!r}")
        self.at = word.end()
        return word[0], "bare"

    def _number(self, number: re.Match[str]) -> int | float:
        digits = number[1] or number[2]
        try:
            value = float(digits) if set(digits) & set(".eE") else int(digits)
        except ValueError:
            self._refuse("an integer of too many digits")
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse("a number too large")
        self.at = number.end()
        return value

    # -- strings -----------------------------------------------------------------------------------------

    def _string(self, *, is_name: bool) -> str:
        text, start = self.text, self.at
        stop = _STRING_STOP[text[start]]
        closing = _QUOTES[text[start]]
        after = _AFTER_STRING[self.open[-1].closing]
        parts: list[str] = []
        in_quotation = has_quotation = False
        at = start + 1
        while True:
            found = stop.search(text, at)
            if found is None:
                self._refuse("a string is not closed")
            parts.append(text[at : found.start()])
            at = self.at = found.start()
            if found[0] == "\\":
                parts.append(self._escape(start + 1))
                at = self.at
                continue
            if found[0] == closing and (is_name or after.match(text, at + 1)):
                break
            if is_name:
                self._refuse("a quote within a name")
            if not self._is_apostrophe(found[0]):
                in_quotation = self._is_quotation(start + 1, begins=not in_quotation)
                has_quotation = True
            parts.append(found[0])
            at += 1
        value = "".join(parts)
        if len(value) > 1 and text.startswith(closing, start + 1) and text.endswith(closing, start, at):
            self._refuse("quotes twice, or words in quotes")
        if in_quotation or (has_quotation and "\n" in value):
            self._refuse("a string may end at one of several quotes")
        self._check_breaks(start + 1, at)
        self.at = at + 1
        return value

    def _is_apostrophe(self, quote: str) -> bool:
        beside = self.text[self.at - 1] + self.text[self.at + 1 : self.at + 2]
        return quote in "'’" and len(beside) == 2 and beside.isalnum()

    def _is_quotation(self, start: int, *, begins: bool) -> bool:
        """Whether words in quotes begin at this quote within a string, or end there."""
        before, following = self.text[self.at - 1], self.text[self.at + 1 : self.at + 2]
        if begins:
            if following.isalnum() and (self.at == start or before.isspace() or before in "(["):
                return True
        elif not before.isspace() and before not in "\"'“”‘’":
            is_end = following.isspace() or (following and following in ",.;!?)]\"'”’")
            if is_end and not _AFTER_ITEM.match(self.text, self.at + 1):
                return False
        return self._refuse("a quote within a string")

    def _escape(self, start: int) -> str:
        text, at = self.text, self.at
        literal = _LITERAL_BACKSLASH.match(text, at)
        if literal is not None:
            self.has_backslashes = True
            value, end = "\\", at + 1
        else:
            self.has_escapes = True
            value, end = self._escaped()
            if value != "\\" and _DRIVE.search(text, max(start, at - 3), at):
                self._refuse("an escape or the backslash of a path")
        if self.has_escapes and self.has_backslashes:
            self._refuse("a backslash that is no escape")
        self.at = end
        return value

    def _escaped(self) -> tuple[str, int]:
        """What an escape stands for, and where it ends."""
        text, at = self.text, self.at
        code = _UNICODE.match(text, at)
        if code is not None:
            if code[3] is not None:
                return chr(int(code[3], 16)), code.end()
            high, low = int(code[1], 16), int(code[2], 16)
            return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)), code.end()
        value = _ESCAPES.get(text[at + 1 : at + 2])
        if value is None:
            self._refuse("a backslash that is no certain escape")  # \b and \f are TeX's more often than not
        if value == "\r" and not text.startswith("\\n", at + 2):
            self._refuse("an escape or the backslash of a name")  # alone it ends no line
        following = text[at + 2 : at + 3]
        if following.isascii() and following.isalpha():
            is_indent = text[at - 2 : at] in ("\\n", "\\t", "\\r")
            if (value == "\t" and not is_indent) or _TEX_COMMAND.match(text, at):
                self._refuse("an escape or the backslash of a name")
        return value, at + 2

    def _check_breaks(self, start: int, end: int) -> None:
        r"""Require that a `\n` is a line break: `src\new` has one only by its letters."""
        raw = self.text[start:end]
        if not re.search(r"(?<!\\)(?:\\\\)*+\\n[A-Za-z]", raw) or re.search(r"\s|\\[nrt]\\", raw):
            return
        self.at = start
        self._refuse("an escape or the backslash of a path")
