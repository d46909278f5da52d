"""Words that deny an answer, in its clause or in the whole text."""

import re
from typing import Final

from executionkit._suppositions import is_supposed

# Anywhere in a text, in small letters: they may deny whatever the text names.
_DENIED: Final = re.compile(
    r"\b(?:not|never|neither|nor|cannot|except|wrong|incorrect|false|unlikely|eliminated?|nicht|kein\w*"
    r"|niet|geen"
    r"|n'est pas|pas|não|не|нет|ruled\s+out|falsch|faux|fausse|incorrect[ao]|falso|falsa|sbagliat[ao]"
    r"|errad[ao]"
    r"|неверн\w*|неправильн\w*|fout|onjuist|yanlış|błędn\w*|felaktig\w*|everything\s+but)\b|[✗✘❌✖]"
    r"|n['’]t\b|[不没沒]|ではな|じゃな|ません|아니|않"
)
# In the clause of the answer.
_DENIED_NEARBY: Final = re.compile(
    r"\b(?:no|non|without|hardly|scarcely|rarely|seldom|nowhere near|far from|anything but|all but|other than"
    r"|rather than|instead of"
    r"|as opposed to|opposite of|contrary|unlike|lack(?:s|ed|ing)?|absen(?:t|ce)|devoid|free|missing"
    r"|fail(?:s|ed|ing)?"
    r"|rul(?:e|es|ed|ing) out|exclud\w+|reject\w*|dismiss\w*|discard\w*|refut\w+|den(?:y|ies|ied|ying)"
    r"|doubt\w*"
    r"|zero|(?<!a )little|nothing|none|nobody|disagree\w*|no longer|avoid\w*|mistake\w*|short of|less than"
    r"|questionable|implausible|impossible|hesita\w+|reluctan\w+|barely|(?:is|are) out"
    r"|(?:hard|difficult) to|kaum|weniger?|niemals|nada|nunca|jamás|menos|pouco|poco|jamais|peu|moins|loin"
    r"|mai|meno|мало|никогда|едва|weinig|nooit|minder|overstat\w+|exaggerat\w+|too strong)\b"
    r"|\b(?:many|most|some|people|students?|others)\s+(?:\w+\s+){0,2}(?:would|might|may|could|often|tend)\b"
    r"|\w-\Z"  # "half-true", "anti-": the end of a word before a label
    # Another degree than that of the label, or a bound.
    r"|\b(?:than|(?:almost|nearly|partly|partially|half|less|semi|quasi|not quite|below|above|under|beyond"
    r"|at (?:the )?(?:very )?(?:least|most)|up to|too \w+ to be))(?:\s+(?:an?|the|as))?\s+\Z"
)
# A "no" that denies nothing.
_IDIOM: Final = re.compile(
    r"\b(?:(?:there(?: is|'s|’s)\s+)?(?:no|without(?: any| a)?|beyond(?: any| a)?)\s+(?:doubt|question"
    r"|problem|worries|matter)"
    r"|not only|undoubtedly)\b(?:\s+(?:about it|that))?",
    re.IGNORECASE,
)
_CLAUSE: Final = re.compile(
    r"[.,;:!?\n。，；]|(?<!anything )(?<!nothing )(?<!all )\bbut\b|\b(?:so|therefore|hence|thus|because|since"
    r"|although|though|while|whereas|and|then)\b"
    r"|[-–—](?=\s)",
    re.IGNORECASE,
)
_WINDOW: Final = 120
MENTIONS_AT_MOST: Final = 100
"""A text that names an answer more often than this is not read: looking around each takes its time."""


def holds_denial(text: str) -> bool:
    """Whether a word of a text denies something."""
    return _DENIED.search(text.lower()) is not None


def without_idioms(text: str) -> str:
    """The text without phrases such as "no doubt"."""
    return _IDIOM.sub(" ", text)


def is_denied(text: str, start: int, end: int) -> bool:
    """Whether the clause around `text[start:end]` denies it, by a word that elsewhere denies other things."""
    before = text[max(0, start - _WINDOW) : start]
    cuts = [cut.end() for cut in _CLAUSE.finditer(before)]
    after = text[end : end + _WINDOW]
    cut_after = _CLAUSE.search(after)
    clause = before[cuts[-1] if cuts else 0 :], after[: cut_after.start() if cut_after else None]
    return any(_DENIED_NEARBY.search(part.lower()) for part in clause) or is_supposed(text, start, end)
