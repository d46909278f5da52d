"""Suppositions: words that make a sentence one of what could be, so that it states nothing."""

import re
from typing import Final

# All of these look through small letters: ignoring case takes a pattern several times as long.
# "si" and "se" are pronouns, too: "si ottiene 5", "se obtiene 5".
_CONDITION: Final = re.compile(
    r"\b(?:if|unless|whether|suppos(?:e|ed|ing)|assum(?:e|ing)|imagin(?:e|ing)|pretend(?:ing)?"
    r"|provided(?: that)?|wenn|falls|ob|suponiendo|если)\b"
    r"|\bsi\s+(?:l['’]|l[aeo]s?\b|il\b|elles?\b|on\b|nous\b|el\b|hay\b|fuera\b|x\b)"
    r"|\bse\s+(?:l['’]|l[aeo]\b|il\b|gli\b|[oa]s?\s|ci\b|fosse\b|fossem?\b|for\b|x\b)"
    r"|如果|假[设設如]|若|要是|もし|仮に|만약|만일"
)
# At the beginning these hold for the whole sentence.
_SUPPOSED: Final = re.compile(
    r"\W*(?:(?:now|so|but|let us|let['’]s)\s+)?(?:suppose|assume|imagine|pretend|say|angenommen|sagen wir"
    r"|nehmen wir an|supposons|disons|imaginons|supongamos|digamos|imaginemos|supponiamo|diciamo"
    r"|suponha(?:mos)?|предположим|допустим|пусть)\b"
)
_UNREAL: Final = re.compile(
    r"\b(?:would|wären?|würden?|serait|ser[ií]an?|seriam|sarebbe(?:ro)?|бы)\b|['’]d\b"
)
# With an unreal consequence, these are no pronouns, and begin a condition: "Had it been longer, ..."
_BEGINS_IF: Final = re.compile(r"(?:\A|[,;:])\W*(?:\w+\s+)?(?:s[ei]|had|were|hätte|wäre)\b")
# Right before an answer.
_THEN: Final = re.compile(r"\b(?:then|dann|alors|entonces|allora|então|то)\W*\Z|[那则則]\W*\Z")
_OTHERWISE: Final = re.compile(
    r"\b(?:otherwise|or else|if not|andernfalls|ansonsten|sinon|de lo contrario|si no|altrimenti"
    r"|caso contrário|senão"
    r"|иначе)\b|否则|否則|そうでなければ|그렇지 않으면"
)
_SENTENCE: Final = re.compile(r"[.!?](?=\s)|[\n。！？]")
_CLAUSE: Final = re.compile(
    r"[,;:，；、]|\b(?:then|so|therefore|hence|thus|because|since|dann|alors|entonces|allora|então|то)\b"
)
_WINDOW: Final = 160


def is_supposed(text: str, start: int, end: int) -> bool:
    """Whether `text[start:end]` is something that the text only supposes."""
    sentence = _SENTENCE.split(text[max(0, start - _WINDOW) : start].lower())[-1]
    if _SUPPOSED.match(sentence):
        return True
    # Few sentences have such a word, and finding the clause takes longer.
    if _CONDITION.search(sentence) and (
        _THEN.search(sentence) or _CONDITION.search(_CLAUSE.split(sentence)[-1])
    ):
        return True
    return is_unreal(text, start, end)


def is_conditional(text: str, at: int) -> bool:
    """Whether the sentence before a place names a condition."""
    return _CONDITION.search(_SENTENCE.split(text[max(0, at - _WINDOW) : at].lower())[-1]) is not None


def is_unreal(text: str, start: int, end: int) -> bool:
    """Whether `text[start:end]` is what would be under a condition that its sentence names."""
    before = text[max(0, start - _WINDOW) : start].lower()
    if not _UNREAL.search(before):
        return False
    sentence = _SENTENCE.split(before)[-1]
    if not _UNREAL.search(_CLAUSE.split(sentence)[-1]):
        return False
    after = _SENTENCE.split(text[end : end + _WINDOW].lower(), maxsplit=1)[0]
    return any(one.search(part) for one in (_CONDITION, _BEGINS_IF) for part in (sentence, after))


def is_of_another_case(text: str, at: int) -> bool:
    """Whether the sentence before a place says that what follows holds otherwise."""
    before = text[max(0, at - _WINDOW) : at].lower()
    return (
        _OTHERWISE.search(before) is not None and _OTHERWISE.search(_SENTENCE.split(before)[-1]) is not None
    )
