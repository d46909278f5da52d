"""Reading which of a few given labels a reply gives."""

import re
from collections.abc import Callable, Sequence
from typing import Final

from executionkit._suppositions import is_conditional
from executionkit.answers._declared import read
from executionkit.answers._denial import MENTIONS_AT_MOST, holds_denial, is_denied, without_idioms
from executionkit.answers._markup import without_tags

# In these languages, "no" is also the "not" or the "there is no" of a sentence.
_NO: Final = frozenset(("no", "non", "não", "nao", "нет", "nie", "ne", "không"))
# Labels that answer a question and don't describe anything: after one, a text goes on with its reason.
_NEGATIVE: Final = (
    _NO
    | {"false", "incorrect", "wrong", "invalid", "nein", "nee", "nej", "f", "n"}
    | {*("否", "不", "不是", "错", "错误", "いいえ", "아니요", "아니오", "hayır", "tidak")}
)
_POLAR: Final = _NEGATIVE | {
    *("yes", "true", "correct", "right", "valid", "ja", "oui", "sí", "si", "sì", "sim", "да", "t", "y"),
    *("tak", "ano", "evet", "ya", "có", "是", "对", "正确", "はい", "예", "네"),
}
# Those that say nothing of a thing: "it is true", but not "it is yes".
_REPLIES: Final = _POLAR - {"true", "false", "correct", "incorrect", "right", "wrong", "valid", "invalid"}
# A "no" before anything else belongs to a noun: "no doubt", "no one", "no problem".
_ENDS_NO: Final = re.compile(
    r"[\"'”’*`)\]}$\\_]+|\s*(?:\Z|[.,;:!?)(\n。，、；！]|[-–—](?=\s|\Z))"
    r"|\s+(?:to|in|for|at|on|by|with|without|from|under|here|then|since|because|as|based|given|due|if"
    r"|unless|until|when|otherwise"
    r"|and|or|but|according|after|before|is|was|it|this|that|these|those|he|she|they|we|i|you|the"
    r"|i['’]m)(?![\w-])",
    re.IGNORECASE,
)
# "Исключений нет": there are no exceptions.
_THERE_IS_NO: Final = re.compile(r"(?<!\w)(?!(?:ответ|или|то|и|это|что|если)\s)[а-яё]+\s+\Z", re.IGNORECASE)
_WIDE: Final = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_AFTER_OR: Final = re.compile(r"(?:\b(?:or|and|nor)\W{1,3}|/\W{0,2})\Z", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\.?[^\S\n]*#?\d")
# After a label that begins a line, and after any at the end of a text.
_DENIED_FIELD: Final = re.compile(
    r"[\"'”’*`)\]]*\s*(?:\(|[:=]|[-–—](?=\s))\s*(?:no|none|not|never|nope|nothing|false|absent|n/?a"
    r"|unlikely|nil|0(?![.,][0-9])|zero)\b",
    re.IGNORECASE,
)
_DENIED_AT_END: Final = re.compile(
    r"\W*(?:no|none|not|never|nope|nothing|false|absent|n/a|unlikely|nil|0|zero)\W*\Z", re.IGNORECASE
)
_BEGINS_LINE: Final = re.compile(r"(?:\A|\n)[^\w\n]*\Z")
_ENDS_DENIED: Final = re.compile(
    r"(?:\b(?:not|none|no|never)|n['’]t)\W*\Z|\b(?:wrong|incorrect|mistaken)\b", re.IGNORECASE
)
_UNCERTAIN: Final = re.compile(
    r"(?:\bcan\s?not|\bcould not|n['’]t|\b(?:hard|impossible|difficult"
    r"|unable) to)\s+(?:really\s+)?(?:be\s+)?(?:sure|certain"
    r"|say|tell|determine|decide|answer|know\b|judge|conclude)|(?:\bnot|n['’]t)\s+(?:really\s+"
    r"|entirely\s+)?(?:sure|certain"
    r"|clear)|\b(?:unsure|uncertain|unclear|unknown|maybe|perhaps)\b|\bI do not know\b",
    re.IGNORECASE,
)
# Before the reason of the other answer: "No, actually it is prime."
_TAKES_BACK: Final = re.compile(r"\b(?:actually|sorry)\b", re.IGNORECASE)
_TURNS: Final = re.compile(r"\W*(?:but|however|yet|or)\b", re.IGNORECASE)


def label(*labels: str) -> Callable[[str], str | None]:
    """Make a reader of the one label that a reply gives: `label("positive", "negative", "neutral")`.

    Case and the characters between words don't matter ("not spam" is "Not-Spam"). If one label contains
    another, the longer one is read. A label at the beginning is read with its reason: "No, it is not prime."
    is "no". A reply abstains if it names several labels and declares none of them, or if it denies a label
    ("isn't positive", "no contradiction"). A "no" before a noun ("no doubt") is not an answer.

    Example:
        ```python
        from executionkit import answers

        read = answers.label("spam", "not spam")
        assert read("This is Not-Spam.") == "not spam"
        assert read("Spam, or not spam?") is None
        ```

    Args:
        *labels: The labels to choose from; at least one.

    Returns:
        A reader that returns the label in the spelling given here, or None.

    Raises:
        ValueError: There is no label, one has no letter or digit, or two are the same.
    """
    names = {_folded(name): name for name in labels if isinstance(name, str)}
    if not labels or len(names) < len(labels) or "" in names:
        raise ValueError(f"labels must be different texts, with a letter or digit each, got {labels!r}")
    found = _Labels(names)
    return lambda text: read(text, found.only, found.bare, found.first, can_be_wrong=False)


class _Labels:
    """Looks for the labels in a text.

    Args:
        names: The labels as they were given, by their folded form.
    """

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names
        longest_first = sorted(names, key=len, reverse=True)
        either = "|".join(r"[\W_]+".join(map(re.escape, name.split())) for name in longest_first)
        self._words = re.compile(
            rf"(?<![^\W_])(?:{either})(?:(?=的(?:\W|\Z))|(?![^\W_]))(?!-ish\b)", re.IGNORECASE
        )
        # Without blanks between words, a label can stand anywhere.
        self._wide = [
            (name, re.compile(rf"(?<!\w){name}(?!\w)" if len(name) == 1 else re.escape(name)))
            for name in names
            if not name.isascii() and _WIDE.search(name)
        ]
        # At the start, or after a few words and a comma ("Well, no: ...").
        self._first = re.compile(
            rf"[\W_]*+(?:(?!(?:if|wenn|falls|si|se|если)\b)(?:[\w'’]+[^\S\n]+){{0,3}}[\w'’]+,\s+[\"'“*]*|(?:so|thus|therefore|hence|also|donc|entonces|quindi|portanto|значит)\s+)?({either})的?(?![^\W_])[\"'”’*`)\]]*"
            r"(?:\s*(?:\Z|[.,;!\n(。，、；！])|(\s*(?::|[-–—](?=\s))|\s+(?:it|this|that|there|he|she|they|we)\b)"
            r"|\s+(?:because|since|as|given|due)\b)",
            re.IGNORECASE,
        )
        # Alone after a name: "Sentiment: positive".
        self._field = re.compile(
            r"^[^\w\n]{0,12}[^\W\d_]+(?:[ -][^\W\d_]+){0,2}[*_`\"]{0,4}\s?[:：]"
            rf"[^\w\n]{{0,9}}({either})"
            r"(?![^\W_])[^\w\n?]{0,9}$",
            re.IGNORECASE | re.MULTILINE,
        )
        # "positive, not negative"
        negations = "" if any(name.startswith("not ") for name in names) else r"\bnot|n['’]t|"
        self._not_this = re.compile(
            rf"(?:{negations}\b(?:rather than|instead of|as opposed to))\s+(?:an?\s+|the\s+"
            rf"|a case of\s+)?[\"'“*]?(?:{either})"
            rf"(?![^\W_])(?:(?:,|,?\s+(?:or|nor|and))\s+(?:an?\s+)?(?:{either})(?![^\W_]))*",
            re.IGNORECASE,
        )
        # At the end, after the reason.
        self._last = re.compile(
            r"[.,;:!\n]\s*(?:and\s+)?(?:so|therefore|thus|hence|then)[,:]?\s+"
            rf"(?:(?:the\s+answer|it|this|that)(?:\s+is|['’]s)\s+)?(?:an?\s+)?({either})\W*\Z"
            rf"|(?<=[.!])\s+(?:{either})[.!*]*\Z",
            re.IGNORECASE,
        )

    def mentions(self, text: str) -> list[re.Match[str]]:
        """Where labels stand that are no part of another phrase."""
        return [found for found in self._words.finditer(text) if not _belongs_to_a_noun(found)]

    def first(self, text: str) -> re.Match[str] | None:
        """Where the first of these labels stands."""
        return next(iter(self.mentions(text)), None)

    def only(self, text: str) -> str | None:
        """The one label that a text gives as its answer."""
        text = without_idioms(without_tags(text))
        found = self.mentions(text)
        name = _folded(found[0][0]) if found else ""
        if name not in self._names or len(found) > MENTIONS_AT_MOST or any(map(_is_asked, found)):
            return None
        if name not in _NEGATIVE and any(map(_is_denied_field, found)):
            return None
        is_only_one = all(_folded(one[0]) == name for one in found)
        start = self._first.match(text)
        if start and start.start(1) == found[0].start():
            rest = text[start.end(1) :]
            if any(other != name and is_named.search(rest) for other, is_named in self._wide):
                return None
            if _TAKES_BACK.search(rest) or (name in _POLAR and _UNCERTAIN.search(rest)):
                return None
            if (name in _POLAR or not start[2]) and self._begins_with(name, rest, found):
                return self._names[name]
        fields = list(self._field.finditer(text))
        # In the middle of a list of fields, a label is a value of something.
        if fields and (not text[: fields[0].start()].strip() or not text[fields[-1].end() :].strip()):
            values = {_folded(field[1]) for field in fields}
            return self._names[values.pop()] if len(values) == 1 else None
        if fields and name in _REPLIES:
            return None
        if is_only_one and self._last.search(text):
            return self._names[name]
        if name not in _REPLIES and (is_only_one or name not in _POLAR or self._is_only_one(text)):
            return self._stated(text)
        if not is_only_one or holds_denial(_without(found)):
            return None
        is_doubtful = any(
            is_denied(text, *one.span())
            or _MAY_BE.match(text, one.end())
            or is_conditional(text, one.start())
            for one in found
        )
        return None if is_doubtful else self._names[name]

    def _is_only_one(self, text: str) -> bool:
        """Whether a text names one label but for those of "not this"."""
        return len({_folded(one[0]) for one in self.mentions(self._not_this.sub(" ", text))}) == 1

    def _stated(self, text: str) -> str | None:
        """The only label that the sentences of a text state, if others are but denied or asked for."""
        text = _QUOTED.sub(lambda quoted: quoted[0] if self._words.search(quoted[0]) else " ", text)
        text = self._not_this.sub(" ", text)
        stated: set[str] = set()
        others: set[str] = set()
        for one in self.mentions(text):
            sentence = self._words.sub("", _main_clause(one))
            is_stated = not (
                _ASKED.search(sentence)
                or _CONCEDED.match(sentence)
                or _MAY_BE.match(text, one.end())
                or _MIGHT_BE.search(text[max(0, one.start() - 40) : one.start()])
                or holds_denial(sentence)
                or is_denied(text, *one.span())
            )
            (stated if is_stated else others).add(_folded(one[0]))
        if len(stated) != 1 or stated & others:
            return None
        if any(
            _UNCERTAIN.search(_REASON_AT.split(_CONCLUDES.split(one)[-1])[0]) for one in _SENTENCE.split(text)
        ):
            return None
        if any(
            _FEW_WORDS.fullmatch(one) and holds_denial(one)
            for one in _SENTENCE.split(self._words.sub(" _ ", text))
        ):
            return None
        return self._names[stated.pop()]

    def _begins_with(self, name: str, rest: str, found: list[re.Match[str]]) -> bool:
        """Whether the rest of a text that begins with a label is no more than its reason."""
        again = [one for one in found[1:] if _folded(one[0]) == name]
        others = [one for one in found[1:] if _folded(one[0]) != name]
        if not all(holds_denial(self._words.sub("", _sentence(one))) for one in others):
            return False
        if _TURNS.match(rest):
            return False
        if name in _NEGATIVE:
            return True
        return not (
            _ENDS_DENIED.search(rest)
            or any(holds_denial(self._words.sub("", _sentence(one))) for one in again)
        )

    def bare(self, line: str) -> str | None:
        """The label that a line is."""
        return None if "?" in line else self._names.get(_folded(without_tags(line)))


def _belongs_to_a_noun(found: re.Match[str]) -> bool:
    text, (start, end) = found.string, found.span()
    if _folded(found[0]) == "нет" and _THERE_IS_NO.search(text[max(0, start - 40) : start]):
        return True
    if _folded(found[0]) not in _NO or _AFTER_OR.search(text[max(0, start - 12) : start]):
        return False
    return not _ENDS_NO.match(text, end) or (
        _folded(found[0]) == "no" and _NUMBER.match(text, end) is not None
    )


def _without(found: Sequence[re.Match[str]]) -> str:
    """The text without the labels found in it, of which there is at least one."""
    text, at = found[0].string, 0
    pieces: list[str] = []
    for one in found:
        pieces.append(text[at : one.start()])
        at = one.end()
    return "".join([*pieces, text[at:]])


def _is_denied_field(found: re.Match[str]) -> bool:
    text, (start, end) = found.string, found.span()
    if _DENIED_AT_END.match(text, end):
        return True
    return (
        _DENIED_FIELD.match(text, end) is not None
        and _BEGINS_LINE.search(text[max(0, start - 20) : start]) is not None
    )


def _is_asked(found: re.Match[str]) -> bool:
    return found.string[found.end() : found.end() + 4].lstrip("\"'”’*`) ").startswith("?")


def _sentence(found: re.Match[str]) -> str:
    text, (start, end) = found.string, found.span()
    before, after = text[max(0, start - 120) : start], text[end : end + 120]
    return re.split(r"[.!?;\n]", before)[-1] + " _ " + re.split(r"[.!?;\n]", after, maxsplit=1)[0]


# What gives a reason, and may deny other things in doing so.
_REASON: Final = (
    r"\b(?:because|since|as|for|even though|although|though|despite|while|whereas|given that|weil|da|denn"
    r"|obwohl"
    r"|car|parce que|puisque|bien que|porque|pues|aunque|ya que|perché|poiché|anche se|pois|embora"
    r"|потому что|так как|поскольку|хотя)\b"
)
_REASON_FIRST: Final = re.compile(rf"\W*(?:{_REASON}).*,", re.IGNORECASE)
_REASON_AT: Final = re.compile(_REASON, re.IGNORECASE)
# "Despite its negative tone", up to the mark of a label
_CONCEDED: Final = re.compile(
    r"\W*(?:despite|although|though|while|even though|trotz|obwohl|malgré|bien que|aunque|a pesar|sebbene"
    r"|nonostante"
    r"|embora|apesar|хотя|несмотря)\b[^,_]*_",
    re.IGNORECASE,
)
# "A negative review would mention flaws."
_MAY_BE: Final = re.compile(r"[^\w.!?;\n]*(?:\s\w+){0,2}\s(?:would|could|might|may)\b", re.IGNORECASE)
_MIGHT_BE: Final = re.compile(r"\b(?:might|may|could)\s+(?:\w+\s+)?be\b[^.,;:!?\n]*\Z", re.IGNORECASE)
_REASON_LAST: Final = re.compile(rf"{_REASON}|[:(]", re.IGNORECASE)
# After a comma: what stands before it was said of other things.
_CONCLUDES: Final = re.compile(
    r"[,;:]\s*(?:(?:and|y|e|et|und)\s+)?(?:so|therefore|thus|hence|but|also|daher|sondern|donc|mais"
    r"|por lo tanto|sino"
    r"|quindi|ma|portanto|mas|поэтому)\b|→|⇒|[=-]>",
    re.IGNORECASE,
)
_ASKED: Final = re.compile(r"\?\Z")
_SENTENCE: Final = re.compile(r"[.!?;\n]")
# "But it is not.", "Das stimmt nicht."
_FEW_WORDS: Final = re.compile(
    r"\W*(?:(?:but|however|although)\W+)?(?:(?:it|that|this|I)(?:['’]s|\s+(?:is|was|does|do|did|would|wo|ca|can))?"
    r"\s*(?:n['’]t|not)(?:\s+(?:so|really|quite|true|right|correct|the case|at all|(?:think|say"
    r"|believe)(?: so| that)?))?"
    r"|das (?:ist|stimmt) nicht(?: (?:so|wahr|richtig|der fall))?|ce n['’]est pas (?:le cas|vrai)"
    r"|no es (?:así|cierto)"
    r"|non è (?:così|vero)|não é (?:assim|verdade)|это не так|(?:not|no|nope|nein|non|não|нет)\W*(?:at all"
    r"|really"
    r"|quite|so)?)\W*",
    re.IGNORECASE,
)
_QUOTED: Final = re.compile(r"\"[^\"\n]{1,80}\"|“[^“”\n]{1,80}”|«[^«»\n]{1,80}»|„[^„“”\n]{1,80}[“”]")


def _main_clause(found: re.Match[str]) -> str:
    """The sentence of a label without what gives its reason, up to a question mark."""
    text, (start, end) = found.string, found.span()
    before = _CONCLUDES.split(_SENTENCE.split(text[max(0, start - 120) : start])[-1])[-1]
    after = re.match(r"[^.!?;\n]*\??", text[end : end + 120])
    return (
        _REASON_FIRST.sub("", before, count=1)
        + " _ "
        + _REASON_LAST.split(after[0] if after else "", maxsplit=1)[0]
    )


def _folded(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text)).casefold()
