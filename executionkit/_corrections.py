"""Corrections: words with which a text takes back what stands before them."""

import re
from collections.abc import Callable
from typing import Final

# Where a clause begins, with the signs that may stand before its first word.
_BEGINS: Final = (
    r"(?:\A|[.!?…,;:\n()>}\]$。，、；：！？]|(?<=\s)[-–—]+)"
    r"[ \t*_\"'“\[]{0,9}(?:(?:but|hmm{0,9}|oh|ah|um|uh|er|and|so)\b[\s,.…—–-]{0,9}){0,3}"
)
# After an interjection, so that it is no part of a sentence ("wait for it").
_ALONE: Final = r"(?=\s*(?:[,.!?:;…—–-]|\Z|\n))"
# All of these look through small letters: ignoring case takes a pattern several times as long.
# These take back by themselves.
_SURE: Final = re.compile(
    rf"{_BEGINS}(?:(?:no|nope)\b[\s,.…—–-]{{0,9}})?(?:"
    rf"(?:wait|hold on|hang on|stop)\b(?:{_ALONE}|(?=\s*(?:no|that|this|let|i|but|actually|maybe)\b))"
    rf"|(?:oops|whoops|correction|korrektur|moment|halt|stopp|attend(?:s|ez)|erreur|esper[ae]|corrección"
    rf"|aspett[ai]|correzione|correção|подожди(?:те)?|исправление|стоп)\b{_ALONE}"
    r"|(?:(?:scratch|strike) that|on (?:second thoughts?|reflection)|my (?:mistake|bad|apologies|error)"
    r"|i (?:stand corrected|take (?:that|it) back|was (?:wrong|mistaken)|mis(?:read|counted|calculated)\w*"
    r"|made (?:a|an) (?:\w+ )?(?:mistake|error|slip))|let me (?:correct|fix|redo)"
    r"|ich habe (?:mich (?:ver\w+t\w*|geirrt)|einen (?:\w+)?fehler)|da war ein fehler|je me suis tromp\w+"
    r"|j['’]ai fait une erreur|me (?:he )?equivo\w+|(?:he cometido|cometí) un error|mi sono sbagliat\w"
    r"|ho (?:sbagliato|(?:fatto|commesso) un errore)|(?:me )?enganei|errei|cometi um erro"
    r"|я (?:ошиб\w+|допустил\w*))\b"
    r"|(?:no|nope|nein|non|não|нет)(?=[^\S\n]*(?:[.!]|\n|\Z)))"
    r"|等等(?=[，,。.！!…])|等一下|更正|我?(?:[算看读說说搞弄]?(?:错|錯))了|待って|訂正|間違え|いや、"
    r"|計算ミス|잠깐|정정|실수|잘못 (?:계산|읽)"
)
# What is said of an answer. Of one such as "no" it says why: "No, that's wrong."
_JUDGED: Final = re.compile(
    rf"{_BEGINS}(?:"
    r"(?:(?:that|this|it)(?:\s+(?:is|was|seems|can)|['’]s)|which (?:is|was)) (?:(?!not )\w+ )?"
    r"(?:wrong|incorrect|false|mistaken|an? (?:mistake|error)|not (?:right|correct|true|it))"
    r"|(?:that|this|it) (?:can(?:no|['’])t be|does(?: not|n['’]t) (?:look|seem|sound)) (?:right|correct|true)"
    r"|das (?:ist falsch|stimmt nicht)|c'est faux|eso (?:es falso|no es)|это неверно|不对|不對|違う"
    r"|違います)"
)
# These do if another answer follows in the same sentence.
_IF_ANOTHER_FOLLOWS: Final = re.compile(
    rf"{_BEGINS}(?:(?:actually|sorry|apologies|désolée?|lo siento|verzeihung|простите|(?:that|it"
    rf"|this) should (?:be|have been)|re(?:calculat|count|check)ing|i mean|i meant|i(?:['’]d| would|['’]ll"
    rf"| will)? (?:now )?(?:lower|raise|change|adjust|reduce"
    r"|revise|correct|drop|bump)|or rather|rather(?! than)|make (?:that|it)|in fact"
    r"|eigentlich|vielmehr|genauer|en (?:fait|realidad)|plutôt|o mejor dicho|anzi|infatti|aliás|na verdade"
    r"|точнее|or is it|pardon|perd[oó]n\w*|desculpe|scus[ai]|entschuldigung|извините)\b"
    r"|(?:no|nope|nein|non|não|нет)(?=[^\S\n]*[,;:…—–-])|抱歉|(?:아,? ?)?다시 (?:계산|확인)|重新(?:计算"
    r"|計算|检查|檢查)|計算し直|すみません|죄송합니다|其实|其實|实际上|應該是|应该是|아니)[\s,:.…—–，、是为-]*"
    r"(?P<rest>[^.!?\n。！？]*(?:\.(?=\d)[^.!?\n。！？]*)*)"
)
# And these if the answer itself follows.
_IF_IT_FOLLOWS: Final = re.compile(
    r"(?:\b(?:not|instead of|rather than|nicht|statt|pas|au lieu de|no|en (?:lugar|vez) de|non|invece di|não"
    r"|em vez de|не|вместо)\s|不是)\s{0,3}"
    r"(?P<rest>[^.,!?;\n。，！？]{1,40}(?:[.,](?=\d)[^.,!?;\n。，！？]{1,40})?)"
)
_STRUCK: Final = re.compile(
    r"~~(?=\S)[^~\n]{1,200}~~|<(?P<tag>del|s|strike)>[^<>\n]{0,200}</(?P=tag)>", re.IGNORECASE
)


def without_struck(text: str) -> str:
    """The text without what is struck through in Markdown or HTML."""
    return _STRUCK.sub(" ", text) if "~~" in text or "</" in text else text


def is_taken_back(
    after: str,
    is_another: Callable[[str], bool],
    is_same: Callable[[str], bool] | None = None,
    *,
    can_be_wrong: bool = True,
) -> bool:
    """Whether an answer is taken back by the text after it.

    Args:
        after: The text after the answer.
        is_another: Whether a piece of text gives another answer.
        is_same: Whether a piece of text gives this answer.
        can_be_wrong: Whether "that is wrong" is said of the answer, and not a reason of it.
    """
    small = after.lower()
    if len(small) != len(after):  # a letter whose small form is two
        small = after
    if _SURE.search(small) or (can_be_wrong and _JUDGED.search(small)):
        return True
    if any(is_another(after[slice(*found.span("rest"))]) for found in _IF_ANOTHER_FOLLOWS.finditer(small)):
        return True
    return is_same is not None and any(
        is_same(after[slice(*found.span("rest"))]) for found in _IF_IT_FOLLOWS.finditer(small)
    )
