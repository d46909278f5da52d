"""Where a reply declares its answer: boxes, tags, marks and "the answer is"."""

import re
from collections import deque
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final, NamedTuple, TypeVar

from executionkit._corrections import is_taken_back, without_struck
from executionkit._suppositions import is_of_another_case, is_unreal
from executionkit.answers._denial import without_idioms
from executionkit.engine.thoughts import without_thoughts

T = TypeVar("T")


class Declared(NamedTuple):
    """A place that declares an answer.

    Attributes:
        start: Where it begins.
        text: The text it declares; for a phrase, everything up to the end of its clause.
        is_marked: Whether it is a box, tag or mark, made to hold the answer and nothing else.
        at: Where its text begins.
        rest: What follows it, up to the end of a sentence, line or item.
        is_spoken_of: Whether a phrase is only spoken of: supposed, doubted, or said by others.
        is_other_case: Whether a phrase holds otherwise: what is declared before it holds in a case only.
    """

    start: int
    text: str
    is_marked: bool
    at: int
    rest: str = ""
    is_spoken_of: bool = False
    is_other_case: bool = False


_BOX: Final = re.compile(r"\\f?box(?:ed)?\s*\{")
_BRACE: Final = re.compile(r"\\.|[{}]", re.DOTALL)


def boxes(text: str) -> Iterator[Declared]:
    r"""The content of each `\boxed{...}`; an empty text for one that is not closed, which is the last."""
    end = 0
    for box in _BOX.finditer(text):
        if box.start() < end:
            continue
        depth = 1
        for brace in _BRACE.finditer(text, box.end()):
            depth += {"{": 1, "}": -1}.get(brace[0], 0)
            if not depth:
                end = brace.end()
                yield Declared(box.start(), text[box.end() : brace.start()], is_marked=True, at=box.end())
                break
        else:
            yield Declared(box.start(), "", is_marked=True, at=box.end())
            return


@cache
def _pattern_of(tag: str) -> re.Pattern[str]:
    return re.compile(rf"<(/?){re.escape(tag)}(?:\s[^<>]*)?>", re.IGNORECASE)


def tags(text: str, tag: str) -> Iterator[Declared]:
    """The content of each `<tag>...</tag>`; an empty text for the last if it is not closed."""
    start: int | None = None
    inner = 0
    for found in _pattern_of(tag).finditer(text):
        if not found[1]:
            start, inner = found.start(), found.end()
        elif start is not None:
            yield Declared(start, text[inner : found.start()], is_marked=True, at=inner)
            start = None
    if start is not None:
        yield Declared(start, "", is_marked=True, at=inner)


_MARK: Final = re.compile(r"^[ \t]*####(?!#)[ \t]*(\S.*)$", re.MULTILINE)
_PHRASE: Final = re.compile(
    r"\b(?:answers?|(?:correct|right|best|final|my)[^\S\n]+(?:option|choice)(?:[^\S\n]+here)?)\b"
    r"(?:[^\S\n]+(?:to|for)(?:[^\S\n]+[\w'’-]+){1,8}?)?"
    r"(?:[*_`]*[^\S\n]?\([^()\n]{1,60}\)(?=[*_`]*[^\S\n]?[:：]))?"
    r"(?:[*_`]*[^\S\n]*(?:[:=：]|\b(?:is|are|(?:should|would|must|will)[^\S\n]+be)\b)|[*_`]*[^\S\n]*\n)"
    r"[\s*_`\"'“:=]*(?:(?<=\n)[-+•][^\S\n]+)?",
    re.IGNORECASE,
)
_ELSEWHERE: Final = re.compile(
    r"(?:"
    # German, French, Spanish, Italian, Portuguese, Dutch, Swedish, Danish, Polish, Russian, Vietnamese
    r"\b(?:antwort|lösung|(?:end|gesamt)?ergebnis|réponse|respuesta|risposta|resposta|antwoord|svaret|svar|odpowiedź"
    r"|ответ|đáp án|(?:richtige|korrekte)[^\S\n]+option|option[^\S\n]+(?:correcte|exacte)"
    r"|opción[^\S\n]+correcta"
    r"|(?:opção|alternativa)[^\S\n]+corr?e(?:t|tt)a|opzione[^\S\n]+(?:corretta|esatta)|a[^\S\n]+correta"
    r"|(?:правильный|верный)[^\S\n]+вариант)\b"
    r"(?:[^\S\n]+(?:correcte|exacte|finale|correcta|final|corretta|esatta|giusta|correta|certa|đúng)\b)?"
    r"[*_`]*[^\S\n]*(?:[:=：]|(?:ist|lautet|est|es|è|é|is|luidt|är|er|to|brzmi|это|là)\b"
    r"(?:[^\S\n]+(?:donc|alors|also|somit|daher|folglich|entonces|pues|quindi|dunque|portanto|então"
    r"|dus)\b)?(?:[^\S\n]*:)?"
    r"|[—–-](?=\s))"
    r"[*_`\s]*(?:(?:die|der|das|la|le|el|il|lo|(?-i:a|o)|de|het|option|opción|opzione|opção"
    r"|optie)\s+(?=\S)(?!\d+\.\s+\w))*"
    r"|\bответом[^\S\n]+(?:является|будет)"
    # Chinese, Japanese, Korean
    r"|(?:答案|答え|解答|回答|正解|정답|답)[*_`]*(?:应该|應該|应|應)?\s*(?:(?:[是为為はがを은는이]\s*[:：=]?|[:：=])(?:选(?!项)|選(?!項|択))?|选(?!项)|選(?!項|択))(?:选项|選項|選択肢)?"
    r"|(?:正确|正確)的?(?:选项|選項|答案)?[*_`]*\s*(?:[是为為]|[:：])+"
    r"|正しい(?:選択肢|答え|もの)?は"
    r"|(?:选项|選項|選択肢)(?=[(（*]*[A-Za-z][)）*]*\s*[是为為が]?(?:正确|正確|正しい|正解|对的|對的))"
    r"|(?:[故应應我]|所以|因此|应该|應該|(?:\A|[故\n。，,])本[题題])(?:应|應)?(?:选|選)(?:择|擇)?(?:选项|選項)?[:：]?"
    r"|(?:\A|(?<=[\n。，,]))[^\S\n]*(?:答[:：]|[选選](?:择|擇)?[:：]?(?=\s*[(（\"“]?[A-Za-z]))"
    r")[\s*_`\"'“「『:=]*",
    re.IGNORECASE,
)
_DISOWNED: Final = re.compile(
    r"(?:\b(?:wrong|incorrect|first|initial|previous|not)(?:\s+(?:the|an?|my|final|right|correct))*"
    r"|\b(?:falsche|nicht\s+die|mauvaise|mala|incorrecta|sbagliata|errada|неправильный|foute)"
    r"|错误的?|錯誤的?|不正确的?|不|間違った|誤った|不是)\s*\Z",
    re.IGNORECASE,
)
_CLAUSE_AT_MOST: Final = 300
_PHRASES_AT_MOST: Final = 50
_END: Final = re.compile(
    r"(?P<stop>[.!?](?=\s|\Z)|(?<!\\)[;\n。！？；])"
    r"|(?P<comma>,(?=\s)|[，、])"
    r"|(?P<aside>(?<!\bor)(?<!\band)(?<=\S)\s\()"
    r"|(?P<dash>\s[-–—]\s(?=[^\W\d]))"
    r"|\b(?:rather than|instead of|as opposed to|because|since|(?<!well )as(?! well\b)|(?<!\bor )so"
    r"|which|where|while|given|for|after|if|but|weil|denn|da|car|parce"
    r"|puisque|porque"
    r"|perché|pois|omdat|want|потому)\b"
    r"|で(?:す|した|ある)|だ(?=[。\s]|\Z)|なので|[にと]なります|입니다|이다|이에요|예요|因为|因為",
    re.IGNORECASE,
)
# After a comma or an open bracket, what goes on with the answer: an alternative, or a further item.
_JOINED: Final = re.compile(
    r"\s*(?:(?:or|and|then|maybe|perhaps|possibly|also|but also|if not|give or take|plus or minus"
    r"|oder|und|ou|et|o|y|e|of|en|soit|или|либо)\b"
    r"|[或和及と])",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(
    r"(?:\s|\\[ ,;:!]|\\q?quad)*(?:\.{3}|…|\\[lc]?dots)|(?:\s|\\[ ,;:!]"
    r"|\\q?quad)*(?:[A-Za-z]\s?=\s?)?[-−+$€£¥([{*]*(?:\d|\\d?frac\b|\\sqrt\b)"
)
# One letter after another, and then no statement about the last of them ("B, C is wrong").
_LETTERS: Final = re.compile(
    # `(?=(...))\1` for `(?>...)`: Python before 3.11.5 is wrong about what is possessive and can backtrack.
    r"(?=((?:[\s([*_\"'“]{0,4}[A-Za-z](?![A-Za-z0-9_'’-])[^\S\n]?[)\]*_\"'”]{0,4}[^\S\n]?(?:[,/&+、，]"
    r"|\s*(?:and"
    r"|or)\b)*)+))\1"
    r"(?![^\S\n]*(?!(?:because|since|as|all|both|apply|together|are\s+(?:all\s+|both\s+)?(?:correct|right"
    r"|true))\b)[A-Za-z]{2})"
)
# After one letter and a point, a text and another letter with a point ("A. Rome and B. Paris").
_ANOTHER: Final = re.compile(
    r"(?:[^.()\n]|\([^()\n]{0,80}\)){0,80}?(?:\b(?:and|or|then|plus|to|through|vs|versus|also|else|as|with|by|maybe|possibly"
    r"|perhaps|even|und|oder|et|ou|y|o|e|и|или|och|eller|i|lub|ve"
    r"|veya|en|of|atau|dan|hoặc|và)[^\S\n]+|[,;&/+|}、，和或与與及とか와과는][^\S\n]*)[(*]*[A-Z][*]*[.)]"
)
# After a number and a point, if it is an ordinal: "der 3. Tag", "3. Mai".
_ORDINAL: Final = re.compile(r"(?:\A|\s)(?P<article>(?:der|die|das|dem|den|am|vom|zum)\s+)?[0-9]{1,3}\Z")
_MONTH: Final = re.compile(
    r"\s+(?:Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember)\b"
)
# After "if" and "for", another number for another case.
_OTHER_CASE: Final = re.compile(
    r"\s*(?:every\s+[0-9]|not\b)|[^.!?\n]{1,80}?(?:(?:\b(?:and|or|but)"
    r"|,)\s+[-−$€£(*]*[0-9][0-9.,]*\s+(?:\w+\s+)?(?:if|for|when|otherwise)\b"
    r"|\b(?:else|otherwise),?\s+(?:it\s+is\s+)?[-−$€£(*]*[0-9])",
    re.IGNORECASE,
)
_OTHERWISE: Final = {
    "if": _OTHER_CASE,
    "for": _OTHER_CASE,
    "but": re.compile(r"\s*(?:it\s+)?(?:could|may|might|can|also)\b", re.IGNORECASE),
}
# A list whose items have names: "Ann: 5, Bob: 6".
_NAMED_ITEM: Final = re.compile(
    r"[\s*_•-]*(?:(?:and|und|et|y|e|и)\s+)?[^\W\d][\w '’*_-]{0,40}[:=]\s*[*_$€£-]*(?:\d|[A-Z]\b)"
)
_VARIABLE: Final = re.compile(r"[b-hj-z](?![A-Za-z])|no\b")
# After a sentence, one more that takes it back.
_SECOND: Final = re.compile(
    r"\s+(?:Or|Maybe|Perhaps)(?:\s+(?:maybe|perhaps|also|possibly|even|it(?:['’]s"
    r"| is)))*[\s,]+[-(*$]*(?:[A-Za-z][)*]*(?![A-Za-z0-9_'’])|[0-9])"
)
# Another option with its text, or a denial.
_OPTION: Final = re.compile(r"\s*(?:(?:option\s+)?[(*]*[A-Z][*]*[.)]\s+[A-Z]|option\s+\(?[A-Z]\b|[Nn]o\b)")
# In brackets after a number.
_QUALIFIED: Final = re.compile(r"\s*(?:\?|mod\b|base\b|(?:wrong|incorrect|false)\s*\))", re.IGNORECASE)
# Of one letter, with brackets and emphasis.
_LETTER_AT_MOST: Final = 6
# After anything else that ends a clause, an item that has its line to itself.
_LONE: Final = re.compile(
    r"(?:(?=((?:[\s*_•([-]*(?:option\s+)?[A-Za-z](?![A-Za-z0-9_'’])[)\].,;*_]*)+))\1"
    r"|(?<=[;；\n])[\s*•([-]*[-−+$€£¥]*\d[\d.,]*(?:[^\S\n]?(?:%"
    r"|[^\W\d_]{1,10}))?)[)\]]*[.,;。]?[^\S\n]*(?:\n|\Z|[,;]|で)"
)
_DENIAL: Final = re.compile(
    r"\W*(?:(?:not|never|none|nothing|un(?:known|clear|certain|defined)|nicht|kein\w*|pas|aucune?|ningun[oa]?"
    r"|nessun[oa]?|nenhuma?|non|não|niet|geen|не)\b"
    r"|[不未无無没沒]|わから|分から)",
    re.IGNORECASE,
)


# Without one of these, `_ELSEWHERE` finds nothing.
_NOUNS: Final = (
    *(
        "antwo",
        "ergebnis",
        "respuesta",
        "rispost",
        "resposta",
        "svar",
        "ichtige",
        "korrekte",
        "correct",
        "exacte",
    ),
    *("lösung", "réponse", "odpowied", "ответ", "đáp", "opci", "opç", "corret", "esatta", "вариант"),
    *("答", "解", "选", "選", "正", "답"),
)
_ASCII_NOUNS: Final = tuple(noun for noun in _NOUNS if noun.isascii())


def _patterns(text: str) -> Iterator[re.Pattern[str]]:
    small = text.lower()
    if "answer" in small or "option" in small or "choice" in small:
        yield _PHRASE
    if any(noun in small for noun in (_ASCII_NOUNS if text.isascii() else _NOUNS)):
        yield _ELSEWHERE


def phrases(text: str) -> Iterator[Declared]:
    """The clause after each of the last "the answer is" and "Answer:", unless it is too long to be one."""
    for pattern in _patterns(text):
        for phrase in deque(pattern.finditer(text), maxlen=_PHRASES_AT_MOST):
            if _DISOWNED.search(text, max(0, phrase.start() - 24), phrase.start()):
                continue
            # Bounded, because a text may be nothing but such phrases.
            rest = text[phrase.end() : phrase.end() + _CLAUSE_AT_MOST]
            end = _clause(rest)
            if end is not None or len(rest) < _CLAUSE_AT_MOST:
                between = 0 if end is None else len(rest) - end - len(rest[end:].lstrip(_BETWEEN))
                # In a sentence of its own, a list is followed by what is said of it: "A, B and D are wrong."
                until = _SENTENCE if end is not None and _ENDED.search(rest, end, end + between) else _AFTER
                after = "" if end is None else until.split(rest[end + between :], maxsplit=1)[0]
                yield Declared(
                    phrase.start(),
                    rest[:end],
                    is_marked=False,
                    at=phrase.end(),
                    rest=_ALSO.sub("", after, count=1),
                    is_spoken_of=_is_spoken_of(text, phrase.start())
                    or is_unreal(text, phrase.end(), phrase.end()),
                    is_other_case=is_of_another_case(text, phrase.start()),
                )


# Right before "the answer is", in small letters: words after which it is no statement of the reply's own.
_SPEAKS_OF: Final = re.compile(
    r"(?:\b(?:if|unless|whether|suppos(?:e|ing)|assum(?:e|ing)|imagin(?:e|ing)|pretend(?:ing)?|doubts?"
    r"|den(?:y|ies|ied)|dis(?:agree|pute|believe)[ds]?"
    r"|(?:tempting|tempted|easy) to (?:say|think|believe|assume)"
    r"|thought|believed|guessed"
    r"|(?:mistake|error|misconception|fallacy|myth|trap|misreading|assumption)(?: (?:here|is|was|would be))*"
    r"|wenn|falls|ob|angenommen|si|se|supposons|supongamos|suponiendo|supponiamo|suponha|если|предположим)"
    r"|(?:\b(?:not|never|cannot|hardly|nobody|no one|few|some|many|most(?! likely)|people|others?|someone"
    r"|anyone"
    r"|everyone|students?|one|you|they|he|she|un(?:true|likely)|false|wrong|incorrect|mistaken)\b|n['’]t\b)"
    r"(?:\s+[\w'’]+){0,4}?\s+(?:say|think|believe|claim|mean|true|case|sure|certain|agree|conclude|suggest|imply"
    r"|feel|argue|guess|assume|assert|state|answer|insist|convinced|likely|possible|expect|said|stated|concluded"
    r"|claimed|argued|assumed|answered)s?"
    r"|\b(?:untrue|unlikely|false|wrong|incorrect|impossible|mistaken|claim|can(?:no|['’])t be)"
    r"|(?<!that)(?<!it)(?<!let)['’]s|\b(?:his|her|their)"
    r"|\b(?:pas|no|non|não|nicht|niet|не)(?:\s+\w+)?(?=\s+(?:que|che|dass|dat|что)\b))"
    r"(?:\s+(?:that|dass|que|che|что))?"
    r"(?:\s+(?:the|my|your|his|her|our|their|this|an?|correct|right|final|best|real|only|die|la|o))*\s*\Z"
    r"|(?:如果|假设|假設|假如|若|要是|不认为|不覺得|不觉得|もし|만약)[^，。,\n]{0,4}\Z"
)
_SPOKEN_AT_MOST: Final = 120


def _is_spoken_of(text: str, at: int) -> bool:
    """Whether the clause before a declaration makes it one that the reply only speaks of."""
    before = without_idioms(text[max(0, at - _SPOKEN_AT_MOST) : at].lower())
    # A word that begins with one of these is found whole, because the window may begin within it.
    return (
        _SPEAKS_OF.search(
            re.split(r"[.,;:!?\n。，；]|\b(?:but|so|therefore|hence|thus|because|since)\b", before)[-1]
        )
        is not None
    )


_BETWEEN: Final = " \t\n.,;:!?…。，、；！？-–—()"
_AFTER: Final = re.compile(r"[.!?](?=\s|\Z)|[;,\n。，、；！？]|で[すあ]|입니다")
_SENTENCE: Final = re.compile(r"[.!?](?=\s|\Z)|[\n。！？]")
_ENDED: Final = re.compile(r"[.!?\n。！？]")
_ALSO: Final = re.compile(
    r"(?:(?:or|and|also|maybe|perhaps|possibly|even|but|then|sometimes|partly)\b[\s,]*)+", re.IGNORECASE
)


def _clause(text: str) -> int | None:
    """Where the clause at the start of a text ends; None if it goes on to the end."""
    depth, at = 0, 0
    for end in _END.finditer(text, 1):
        depth += sum(
            {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(c, 0) for c in text[at : end.start()]
        )
        at = end.start()
        kind = end.lastgroup
        rest = end.end()
        if kind in ("comma", "aside"):
            going_on = [_JOINED, _LETTERS, _OPTION, _NUMBER if kind == "comma" else _QUALIFIED]
        elif kind == "dash":
            going_on = [_LONE, _LETTERS, _VARIABLE]
        elif kind == "stop":
            going_on = [_LONE, *([_ANOTHER] if at < _LETTER_AT_MOST else [])]
        elif end[0].lower() in _OTHERWISE:
            going_on = [_OTHERWISE[end[0].lower()]]
        else:
            going_on = []
        if kind in ("comma", "stop") and end[0] in ",;\n，、；" and _NAMED_ITEM.match(text):
            going_on.append(_NAMED_ITEM)
        if end[0] == ".":
            going_on.append(_SECOND)
        if end[0] in "?;；":
            going_on += [_JOINED, _OPTION]
        ordinal = _ORDINAL.search(text[max(0, at - 12) : at]) if kind == "stop" else None
        if ordinal is not None and (ordinal["article"] or _MONTH.match(text, rest)):
            continue
        if (kind != "comma" or depth <= 0) and not any(pattern.match(text, rest) for pattern in going_on):
            return end.end() if end[0] in "?？" else end.start()
    return None


# The wide forms of Chinese and Japanese texts. The wide comma stays, because a narrow one may be in a number.
_WIDE: Final = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code) not in "！，：；？"} | {
    0x3000: 0x20
}


def read(
    text: str,
    only: Callable[[str], T | None],
    bare: Callable[[str], T | None],
    mentions: Callable[[str], re.Match[str] | None],
    *,
    can_be_wrong: bool = True,
) -> T | None:
    """Read the one answer of a reply.

    Args:
        text: The reply.
        only: Reads a text that holds one answer, among words; None when it may hold another.
        bare: Reads a line that is an answer and nothing else.
        mentions: Finds the first thing in a text that looks like an answer.
        can_be_wrong: Whether "that is wrong" takes an answer back. After "no" it is the reason.
    """
    text = without_struck(without_thoughts(text)).strip()
    if not text.isascii():
        text = text.translate(_WIDE)
    marks = (
        Declared(mark.start(), mark[1], is_marked=True, at=mark.start(1)) for mark in _MARK.finditer(text)
    )
    declared = [*boxes(text), *tags(text, "answer"), *marks, *phrases(text)]

    def is_kept(answer: T, after: str) -> bool:
        """Whether the text after an answer doesn't take it back."""
        return not is_taken_back(
            after,
            lambda piece: mentions(piece) is not None and only(piece.strip()) != answer,
            lambda piece: bare(piece.strip()) == answer,
            can_be_wrong=can_be_wrong,
        )

    for place in sorted(declared, reverse=True):
        if place.is_other_case:
            return None
        if place.is_spoken_of:
            continue
        answer = only(place.text.strip())
        if answer is not None:
            # "The answer is yes, no": another answer and nothing else is a second one.
            second = bare(place.rest) if place.rest else None
            named = mentions(place.text)
            after = text[place.at + (named.end() if named else len(place.text)) :]
            return answer if second in (None, answer) and is_kept(answer, after) else None
        if place.is_marked or _DENIAL.match(place.text):
            return None
        if mentions(place.text):
            # Earlier declarations were taken back.
            is_last = text.rstrip(".。!！*_ ").endswith(place.text.rstrip(".。!！*_ "))
            return None if is_last else _bare_line(text.splitlines(), bare, is_kept)
    named = mentions(text)
    # With a line break in front, because only a line can begin with a bullet.
    answer = None if any(place.is_spoken_of for place in declared) else only(f"\n{text}")
    if answer is None:
        return _bare_line(text.splitlines(), bare, is_kept)
    return answer if named is None or is_kept(answer, text[named.end() :]) else None


_CONNECTOR: Final = re.compile(r"\W*(?:and|or|und|oder|et|ou|y|o|e)\W*|\s*&\s*", re.IGNORECASE)


def _bare_line(
    lines: list[str], bare: Callable[[str], T | None], is_kept: Callable[[T, str], bool]
) -> T | None:
    """The answer that stands alone on the last line, or on the first with nothing on the second."""
    if len(lines) < 2:
        return None
    if _CONNECTOR.fullmatch(lines[-2]):
        return None
    opening = None if lines[1].strip() else bare(lines[0])
    if opening is not None and not is_kept(opening, "\n".join(lines[1:])):
        opening = None
    closing = bare(lines[-1])
    if closing is None or opening == closing:
        return opening
    # One bare answer above another is a list.
    return closing if opening is None and bare(lines[-2]) in (None, closing) else None
