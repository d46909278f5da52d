"""Reading which of a few given letters a reply chooses."""

import re
from collections.abc import Callable
from typing import Final

from executionkit._suppositions import is_conditional
from executionkit.answers._declared import read
from executionkit.answers._denial import MENTIONS_AT_MOST, holds_denial, is_denied
from executionkit.answers._markup import without_tags

# A letter is a choice in the company of these words. After other words it is the end of a name ("Vitamin C"),
# and before other words it is an article or the beginning of one ("A dog", "C major").
_FOLLOWS: Final = (
    "or|and|nor|to|through|vs|versus|plus|with|along|together|but|except|not|if|than|over|in|on|at|from|by"
    "|of|for|here|there|only|also|too"
    "|alone|instead|rather|because|since|as|given|due|based|when|while|whereas|which|that|then|so|since|is"
    "|isn|was|wasn|are"
    "|were|has|have|had|do|does|doesn|did|will|would|could|should|can|cannot|must|may|might|seems?"
    "|appears?|looks?|sounds?"
    "|fits?|matches|makes|describes?|states?|says|gives?|shows?|contradicts|follows|contains|explains"
    "|satisfies|works|wins"
    "|remains?|stands|holds|refers|represents|reflects|captures|answers|addresses|provides|correctly"
    "|accurately|best|most"
    "|more|better|clearly|directly|fully|option|choice|answer|one|deserves|goes|comes|means|involves|lists"
    "|names|uses"
    r"|und|oder|et|ou|och|eller|lub|ve|veya|en|atau|dan|hoặc|và|equally|followed"
    r"|şık\w*|seçene\w*|ist|sind|war|est|es|está|è|é|richtig|korrekt|correcta|correcte|corretta|correta|weil|denn|car|porque"
)
_LEADS: Final = (
    "option|choice|letter|letra|lettre|lettera|buchstabe|буква|вариант|ответ|alternativa|answer|cevap|yanıt|alternative|candidate|item|possibility|response|assistant|model|summary"
    "|output|text|story"
    "|essay|translation|solution|system|reply|completion|proposal|design|draft|document|statement|sentence"
    "|passage"
    "|argument|claim|proof|snippet|image|picture|photo|graph|diagram|figure|chart|method|approach|strategy"
    "|hypothesis"
    "|scenario|selection|verdict|winner|conclusion|opción|opzione|opção|optie|réponse|antwort|respuesta"
    "|risposta|resposta"
    "|is|be|was|are|says?|said|choose|chose|chosen|choosing|picks?|picked|picking|selects?|selected"
    "|selecting|select|with|for"
    "|thinks?|believe|guess|say|mark|marked|circle|prefer|favou?rs?|conclude|concluded|makes|leaves"
    "|leaving|than|but|because"
    "|since|while|whereas|if|that|only|thus|hence|so|then|therefore|not|both|either|neither|between|to"
    "|towards?|as|vote"
    "|support|supports|indicates|suggests|confirms|confirm|gives?|gets?|yields|means|equals|becomes"
    "|remains|remaining|rate"
    "|rank|find|see|consider|trust|take|want|maybe|perhaps|namely|indeed|instead|on|the|[a-z]+ly|and|or"
    "|just|it['’]s|s"
    "|ist|lautet|est|es|è|é|la|die|der|das|le|el|il|het|wähle|choisis|elijo|scelgo|escolho|even|still"
    "|eliminate|eliminated|out|off|also|possibly|otherwise|else|plus|und|oder|et|ou|y|o|e|и|или|och|eller|i|lub|ve"
    "|veya|atau|dan|hoặc|và"
)
_MUSIC: Final = r"(?i:major|minor|sharp|flat|natural)\b"
_TITLE: Final = r"(?:Mr|Mrs|Ms|Dr|St|Prof|Sgt|Gen|Sen|Rep|No|Fig|Sec|Eq|Art|Vol)"
_OR: Final = (
    r"(?:(?:\b(?:or|and|to|through|versus|vs|plus|then|maybe|possibly|perhaps|also|else|but also"
    r"|as well as|along with"
    r"|together with|followed by|und|oder|et|ou|y|o|e|и|или|och|eller|i|lub|ve|veya|en|of|atau|dan|hoặc|và)\b"
    r"|[&/,+;、，或和与與及とかや와과]|または|および|또는|\\\\? |[-–—])\s*){1,4}"
)
# Before a letter, and after it where it is called right.
_CALLED: Final = (
    "option|choice|answer|letter|antwort|réponse|opción|opção|alternativa|resposta|respuesta|opzione|risposta"
    "|l['’]option|la|die|a|вариант|ответ|选项|選項|選択肢"
)
_CALLS_RIGHT: Final = (
    r"\s+(?:is|ist|est|es|è|é|está|[—–-])\s+(?:therefore\s+|thus\s+|also\s+|the\s+|die\s+|la\s+|a\s+|only\s+){0,3}"
    r"(?:correct|right|best|better|richtig|korrekt|correcta|correcte|exacte|bonne|corretta|giusta|esatta|correta|certa"
    r"|верный|правильный)(?:e|er|ere)?(?:\s+(?:answer|option|choice|one|antwort|réponse|respuesta|risposta|resposta"
    r"|opción|ответ))?(?=\W{0,4}(?:[.!;\n]|\Z|,\s*[A-Z]\s|,?\s*(?:because|since|as|weil|da|denn|car|porque|perché|pois"
    r"|так|while|whereas|während|tandis|alors que|mientras|mentre|enquanto|а)\b))"
    r"|\s*(?:选项|選項|项|項)?\s*(?:是)?(?:正确|正確)(?:的|答案)*(?=[。，；\n]|\Z)"
    r"|\s*(?:が|は)(?:正解|正しい)|\s*[가이]\s*(?:정답|맞)"
)
# What may stand right after the first letter in Chinese, Japanese and Korean.
_WIDE_END: Final = (
    r"(?:选项|選項|项|項|で(?=[、,]|\Z)|の選択肢|の[^\n。、はが]{1,30}\Z|です|だ|である|が正解|が正しい"
    r"|(?:是|为)?(?:正确|正確|对的|對的)|입니다|이다|번)"
)


def choice(letters: str = "ABCDE") -> Callable[[str], str | None]:
    """Make a reader of the chosen letter: "B", "(b)", "**B** because ...", "Answer: B) Paris" are one vote.

    A reply abstains if it names several letters and does not declare one of them, if it denies a letter ("not
    B"), or if it can't decide ("A or B"). Articles ("A dog"), units ("5 A") and parts of names ("Vitamin C")
    are not a choice.

    Example:
        ```python
        from executionkit import answers

        read = answers.choice("ABCD")
        assert read("**B** because Paris is the capital.") == "B"
        assert read("A or B") is None
        ```

    Args:
        letters: The letters to choose from, such as "ABCD", in upper or lower case.

    Returns:
        A reader that returns the letter in upper case, or None.

    Raises:
        ValueError: `letters` is empty, repeats a letter, or holds something other than letters and digits.
    """
    if not isinstance(letters, str) or not re.fullmatch(r"[A-Za-z0-9]+", letters):
        raise ValueError(f"letters must be letters or digits, such as 'ABCD', got {letters!r}")
    if len(set(letters.upper())) < len(letters):
        raise ValueError(f"letters must be different, upper and lower case apart, got {letters!r}")
    upper = letters.upper()
    either = f"[{upper}{upper.lower()}]"
    # At the start of a text: a letter that is plainly no word, no unit, no initial.
    leading = re.compile(
        rf"[\s*_`\"'“({{\[$「『]*+(?:(?:option|choice|letter|answer)\s+)?[*_`\"'“({{\[$]*+({either})"
        rf"(?=[\s*_`\"'”」』]*(?:\Z|[)}}\]:,;!$，。、]|\.(?!\w\b|\s?[A-Za-z]\.)|\?\W*\Z|\n)"
        rf"|\s+(?:because|since|as|for|which|[-–—(])(?:\s|\Z)|\s+[-–—]\s|[-–—]\s(?![a-z])|\s?{_WIDE_END})"
        r"[\s*_`\"'”)}\]$.:–—-]*"
    )
    # Anywhere: a letter in brackets, or a capital that is no article ("A dog"), pronoun ("I") or initial.
    within = "(?<=[a-z,;] )A(?! [A-Za-z][A-Za-z])|" if "A" in upper else ""
    alone = re.compile(
        rf"\(({either})\)|(?<![\w'’°&@#-])(?<!\w\.)"
        rf"({within}(?!(?:A|I)[^\S\n]+(?:[0-9]|(?!(?:{_FOLLOWS})\b)[A-Za-z][A-Za-z'’]"
        rf"|[A-Z]\s[a-z]))[{upper}])(?![\w'’#&^-]"
        rf"|\+(?!\s*\(?[A-Za-z]\b)|\*(?!\*)\w|\.\w\b)"
    )
    # Letters with the texts of their options, and letters that are called options.
    items = re.compile(
        rf"(?<![A-Za-z0-9_(])({either})\)(?=\s)|(?<![A-Za-z0-9_.'’-])([{upper}])[.)]\*{{0,2}}\s+(?=\S)"
        rf"|(?i:\b(?:options?|choices?)\s+|选项|選項|選択肢)\(?([{upper}])(?![A-Za-z0-9_'’])"
    )
    # "Option B is correct.", "B is the best answer."
    called = re.compile(
        rf"(?:(?:\A|[\n.,:;!?、。，：；])[\s*_>•-]{{0,9}}|\b(?:only|so|thus|therefore|hence|that)\s+|和|以?及|项|項|以)"
        rf"(?:(?:(?:the|die|la|a|le)\s+|l['’])?(?:{_CALLED})\s+)?[*_`\"'“(\[]{{0,4}}([{upper}])[*_`\"'”)\]]{{0,4}}(?:{_CALLS_RIGHT})",
        re.IGNORECASE,
    )
    # The first line of a reply that explains it: "B) Paris".
    heading = re.compile(rf"[\s*_`#>]{{0,9}}({either})[*_]{{0,3}}[).:]\s*[*_]{{0,3}}\w[^\n]*\w[^\n]*\n\s*\n")
    # "Réponse B : Paris", and at the end "So B."
    titled = re.compile(
        rf"\W*(?:answer|antwort|réponse|respuesta|risposta|resposta|ответ)\s+[*_(\[]*({either})[*_)\]]*\s?[:.)]",
        re.IGNORECASE,
    )
    concluding = re.compile(
        rf"(?:[.!?\n]\s*(?:so|thus|therefore|hence)[,:]?\s+(?:it(?:['’]s| is)\s+)?"
        rf"|\b(?:left with|leaves(?: us with)?"
        rf"|leaving)\s+(?:only\s+)?)(?:option\s+)?[*_(\[]*([{upper}])[*_)\].!\s]*\Z",
        re.IGNORECASE,
    )
    listed = re.compile(rf"^[\s*_`#>•-]{{0,9}}{either}[*_]{{0,3}}[).:]", re.MULTILINE)
    small = re.compile(rf"(?<![\w'’(.])(?!a)[{upper.lower()}](?![\w'’.]\w)(?![\w'’])")
    more = re.compile(
        rf"[\s*_`\"'”)\]]*+{_OR}(?:option\s+"
        rf"|choice\s+)?[*_`\"'“(\[]*(?!(?-i:a)\s+[a-z]{{2}}){either}(?![\w'’])",
        re.IGNORECASE,
    )

    def called_right(text: str) -> str | None:
        """The only letter of which several are named that is called the right one, or that is a heading."""
        found = list(called.finditer(text))[: MENTIONS_AT_MOST + 1]
        if found:
            letters = {one[1].upper() for one in found}
            is_doubtful = len(found) > MENTIONS_AT_MOST or any(
                is_denied(text, *one.span(1)) or is_conditional(text, one.start(1)) for one in found
            )
            return letters.pop() if len(letters) == 1 and not is_doubtful else None
        last = concluding.search(text)
        if last is not None:
            return last[1].upper()
        first = heading.match(text) or titled.match(text)
        return first[1].upper() if first and sum(1 for _ in listed.finditer(text)) <= 1 else None

    def only(text: str) -> str | None:
        text = without_tags(text)
        first = leading.match(text)
        if first is not None and _is_marked(text, *first.span(1)):
            return None
        found = list(alone.finditer(text))
        named = {(one[1] or one[2]).upper() for one in found}
        rivals = {
            (one[1] or one[2]).upper()
            for one in found[: MENTIONS_AT_MOST + 1]
            if one[1] or not _ends_a_name(one)
        }
        options = {(one[1] or one[2] or one[3]).upper() for one in items.finditer(text)}
        right = called_right(text) if first is None or len(named | options) != 1 else None
        if right is not None:
            return right
        if len(options) > 1:
            return None
        rivals |= options
        if first is not None and first[1].islower() and small.search(text, first.end(1)):
            return None
        if first is not None and rivals <= {first[1].upper()} and not more.match(text, first.end(1)):
            return None if _DENIED_REST.match(text, first.end(1)) else first[1].upper()
        if len(named | options) != 1 or len(found) > MENTIONS_AT_MOST or holds_denial(_REASON.sub("", text)):
            return None
        if not any(one[1] or _is_chosen(one) for one in found):
            return None
        if any(_is_of_a_formula(one) or _ASKED.match(text, one.end()) for one in found):
            return None
        if any(_DENIED_REST.match(text, one.end()) for one in found):
            return None
        if any(more.match(text, one.end()) or is_denied(text, *one.span()) for one in found):
            return None
        return named.pop()

    def bare(line: str) -> str | None:
        found = leading.fullmatch(without_tags(line).rstrip(" .:*_`"))
        return found[1].upper() if found else None

    # Right before a letter of Chinese, Japanese or Korean.
    touching = re.compile(rf"(?<![A-Za-z0-9])[{upper}](?=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3])")

    def mentions(text: str) -> re.Match[str] | None:
        return alone.search(text) or (None if text.isascii() else touching.search(text))

    return lambda text: read(text, only, bare, mentions)


_DENIED_REST: Final = re.compile(
    r"[\s*_`()\]\"'”.,:–—-]*(?:\?\s*no\b|(?:no|nope|wrong|incorrect|false|not (?:correct|right"
    r"|true))\W*\Z)|\W*[✗✘❌✖]",
    re.IGNORECASE,
)
# A reason may deny other things: "I choose B since it isn't negative."
_REASON: Final = re.compile(
    r"\b(?:because|since|as|weil|da|denn|car|porque|perché|pois|потому что|так как)\b[^.!?\n]*", re.IGNORECASE
)
_ASKED: Final = re.compile(r"[\s*_`)\]\"'”]*\?")
_EQUALS: Final = re.compile(r"\s*=[^=]")
_VARIABLE_BEFORE: Final = re.compile(r"(?<!\w)[A-Za-z]\s*=\s*\Z")
_BEFORE: Final = re.compile(rf"(?:\A|[^\w\s°]|(?<!\w)(?:{_LEADS}))[\s*_`\"'“(\[]*\Z|\n\s*\Z", re.IGNORECASE)
_AFTER: Final = re.compile(
    rf"[*_`\"'”)\]]*(?:\s+(?!{_MUSIC})(?:[A-Z0-9(\"'“]|(?:{_FOLLOWS})\b)|\s*(?:[^\w\s]|\Z)|\s*\n)"
)
_AFTER_TITLE: Final = re.compile(rf"\b(?:{_TITLE}|[A-Z])\.\s*\Z")
_INITIAL: Final = re.compile(r"\.\s?[A-Za-z]\.")


def _is_marked(text: str, start: int, end: int) -> bool:
    """Whether a star or prime follows a letter that no such mark precedes: "A*", "A'"."""
    mark = text[end : end + 1]
    return mark != "" and mark in "*'’" and mark not in text[max(0, start - 40) : start].replace("‘", "’")


def _ends_a_name(letter: re.Match[str]) -> bool:
    text, start = letter.string, letter.start()
    return not _BEFORE.search(text[max(0, start - 40) : start])


def _is_of_a_formula(letter: re.Match[str]) -> bool:
    """Whether a letter is a variable: "the area A = 5", "x = A". An option may begin "B = 5"."""
    text, (start, end) = letter.string, letter.span()
    before = text[max(0, start - 40) : start]
    is_defined = _EQUALS.match(text, end) is not None and before.strip(" \n(*") != ""
    return is_defined or _VARIABLE_BEFORE.search(before) is not None


def _is_chosen(letter: re.Match[str]) -> bool:
    """Whether the words around a letter that stands alone let it be a choice."""
    text, start = letter.string, letter.start()
    before = text[max(0, start - 40) : start]
    if (
        _is_marked(text, *letter.span())
        or _ends_a_name(letter)
        or _AFTER_TITLE.search(before)
        or _INITIAL.match(text, letter.end())
    ):
        return False
    return _AFTER.match(text, letter.end()) is not None
