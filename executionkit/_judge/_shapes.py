"""The shapes of a score in text: labels, numbers, scales, shares of ten."""

import re
from functools import cache
from typing import Final, NamedTuple

_LOOKALIKES: Final = str.maketrans(
    "：／（）［］【】〔〕「」『』《》％。，−＝＜＞｜０１２３４５６７８９",
    ":/()[][][][][][]%.,-=<>|0123456789",
)
# Of HTML, and the marks of turns that some servers leave in a reply.
_TAGS: Final = re.compile(
    r"</?(?:b|strong|em|i|u|p|br|hr|h[1-6]|span|div|code)(?: [^<>]{0,80})?/?>"
    r"|</s>|<eos>|<end_of_turn>|<\|[a-z_]{1,20}\|>",
    re.IGNORECASE,
)
_EMPHASISED: Final = re.compile(r"(?<![^\W_])([*_`]{1,3})(-?\d+(?:\.\d+)?(?:/10)?)\1(?=[^\S\n]+\d)")
_EMPHASIS: Final = re.compile(r"(?<![^\W_])[*_`]+|[*_`]+(?![^\W_])")


def plain_text(text: str) -> str:
    """The text without emphasis, with single spaces, and with ASCII signs for those that look alike."""
    text = _TAGS.sub(" ", text.translate(_LOOKALIKES)).strip()
    text = _EMPHASISED.sub(r"\2;", text)  # "**8** 2 typos" is not "8 2 typos"
    return "\n".join(
        line for line in (" ".join(line.split()) for line in _EMPHASIS.sub("", text).split("\n")) if line
    )


# Before a label or a verdict: signs of headings, quotations, lists, tables and pictures. No quotes, since
# those may quote the answer.
LEAD: Final = r"[^\w\"'“”‘’«»<\[({\n]{0,12}(?:\d{1,2}[.)] )?"

_SURE: Final = (
    r"score|rating|bewertung|punktzahl|puntuación|calificación|puntaje|punteggio|valutazione|avaliação|pontuação|оценка"
    r"|评分|得分|分数|打分|スコア|点数|評点|평점|평가|점수"
)
# A total may be a sum, and a note a remark, or a grade of which 1 is the best. They need "/10".
_DOUBTFUL: Final = (
    r"final|total|grade|mark|verdict|assessment|[eé]valuation|points?|punkte|note|nota|voto|beoordeling"
    r"|总分|총점|合計|評価"
)
_ADJECTIVE: Final = (
    r"(?:(?:very|quite|really|pretty) )?(?:solid|strong|good|great|decent|fair|weak|poor|bad|clear|perfect"
    r"|fine|excellent|outstanding|mediocre|average|respectable|generous|full|okay|ok|acceptable|nice|flawless"
    r"|impressive|well made|well done|well written)"
)


class Shapes(NamedTuple):
    """The forms of a score in text that `plain_text` gives.

    Each has a group "number", but for `heading` and `key`. Those with a label have the groups "final",
    "overall" and "doubtful" (labels that need a share of ten), and "ten" for such a share. Groups for a scale
    may match: "low" and "high", or "label_low" and "label_high".

    Attributes:
        bare: A whole reply.
        line: A whole line with a label.
        tag: A number in tags that are named for a score.
        heading: A label alone.
        boxed: A whole line that is a number in double brackets or a box.
        key: The name of a score in JSON.
        labelled: A label at the beginning of a line or sentence, and a number that more may follow.
        member: A member of a JSON object, for JSON that does not parse.
        verdict: A share of ten that the judge gives.
        share: Any share of ten, but for that of things: "9 out of 10 people".
    """

    bare: re.Pattern[str]
    line: re.Pattern[str]
    tag: re.Pattern[str]
    heading: re.Pattern[str]
    boxed: re.Pattern[str]
    key: re.Pattern[str]
    labelled: re.Pattern[str]
    member: re.Pattern[str]
    verdict: re.Pattern[str]
    share: re.Pattern[str]


@cache  # compiled at the first use, which not every program comes to
def shapes_of_scores() -> Shapes:
    """The compiled shapes."""
    digits = r"\d{1,9}(?:\.\d{1,20})?(?!\d)"
    number = rf"(?<![0-9A-Za-zÀ-ɏЀ-ӿ])(?<![-–.,/…])(?P<number>-?{digits})"
    of = r"(?:/|out of|of|von|sur|van|de|su|из)"
    ten = rf"(?P<ten> ?\(? ?{of} ?(?:10(?:\.0+)?(?![\d.]\d|\d| ?/)|ten\b)(?: ?\))?)"
    unit = r"(?: ?(?:points?|pts|punkte|分|点|점)(?!(?!です|입니다)\w))"
    opening, closing = r"(?:[<\[({\"'“$]|\\boxed\{){0,3}", r"[>\])}\"'”$]{0,3}"
    amount = rf"{opening} ?{number}{unit}?{ten}?{unit}? ?{closing}"

    def scale(prefix: str) -> str:
        words = (
            r"(?:(?:on|in|from|of|a|the|scale|range|where|auf|einer|skala|von|sur|une|échelle|de):? ){0,6}"
        )
        to = r" ?(?:-|–|—|~|to|bis|à|\.{2,3}|…) ?"
        return rf",? ?[(\[]?{words}(?P<{prefix}low>{digits}){to}(?P<{prefix}high>{digits}) ?[)\]]?"

    so = r"(?:(?:so|overall|thus|therefore|hence),? )?"
    adverbs = rf"{so}(?:我的|这个)?(?:(?:the|my|this|its|die|meine|ma|mi|la|il|mio|mia|minha|моя|a) ){{0,2}}"
    final = (
        r"(?P<final>(?:final|overall|revised|updated|new|corrected|adjusted|gesamt|end|итоговая|общая"
        r"|最终|最終|综合|総合|总体|總體|최종)[ -]?)"
    )
    named = rf"{final}?(?:{_SURE}|(?P<doubtful>{_DOUBTFUL})(?: (?:{_SURE}))?)"
    named = rf"(?:{named})(?: (?:finale?|globale?|total|general|geral|complessivo))?|(?P<overall>overall)"
    label = rf"{adverbs}(?:{named})(?![a-z'])(?: ?{scale('label_')}| ?\(?{of} ?10\)?)?"
    separator = r" ?(?:[:=|]|(?:is|was|would be|ist|est|es|è|é)(?!\w):?|は|是|为|는|은|[-–—](?= ))? ?"
    end = r"(?: ?(?:です|입니다))? ?[.!,;|]?"
    # Nothing that makes the number another one, or the number of something else.
    goes_on = (
        r"(?!_*[^\W_]|[^.!?\n]{0,20}\b(?:maybe|perhaps|possibly) \d|, \d+,? (?:or|and|oder|ou|o) \d"
        r"| ?\([^()\n]{1,30}\),? (?:and )?\d|[.,]\d|\*{1,2}\d"
        r"| \d| ?[+±?²³]"
        rf"| ?(?:%|/|(?:out )?of\b(?! course)|{of} ?\d)"
        r"| ?(?:[-–—~+^×·:xe…→]|\.{2,}|\*{1,2}|to|or|and|bis|oder) ?\d"
        r"| (?:is|was|would|might|may|could|seems?|if|minus|plus|times|percent|per ?cent|hundred|stars?)\b"
        r"| (?:(?:points? )?(?:off|lost|less|deducted)|errors?|mistakes?|typos?|issues?|problems?|flaws?)\b)"
    )
    begins = rf"(?:^{LEAD}|(?<=[^\s.][.!?;] ))"
    thing = (
        r"(?:answer|response|reply|text|candidate|submission|summary|translation|essay|solution|code|story"
        r"|report|one)"
    )
    filler = rf"(?:(?:it|this|that|the|{thing}|an?|score|rating|of|at|as|with|{_ADJECTIVE}|overall) ){{0,7}}"
    verdict = (
        rf"(?:(?<![\w\"'“‘])(?:I|we)(?:['’]d| would|['’]ll| will| can)?(?: only| therefore| thus)?"
        rf" (?:give|rate|score|grade|assign|award|say) {filler}"
        rf"|{begins}{so}(?:(?:an? )?{_ADJECTIVE}[:,]? "
        rf"|(?:it|this|(?:the|this) {thing}) "
        rf"(?:(?:gets|deserves|earns|merits|scores|rates|receives|is worth) {filler}"
        rf"|is an? {_ADJECTIVE} ))?"
        rf"){opening}{number}{ten}{unit}?{closing}"
        r"(?= ?(?:$|[.!,;:)\]–—-](?!\d)|\(|(?:overall|because|since|in total|from me)\b))"
    )
    member = rf"(?:^|[{{,] ?)\"(?:(?:overall|final)[_ ]?)?(?:{_SURE})\" ?: ?\"?{number}{ten}?\"? ?(?=[,}}]|$)"

    def compiled(expression: str) -> re.Pattern[str]:
        return re.compile(expression, re.IGNORECASE)

    return Shapes(
        bare=compiled(rf"{opening}(?:{scale('label_')} ?[:=] ?)?{amount}(?: ?{scale('')})?{end}"),
        line=compiled(rf"{LEAD}{label}{separator}{amount}(?: ?{scale('')})?{end}"),
        tag=compiled(rf"<(?P<tag>score|rating|grade|verdict)>\s*{amount}\s*</(?P=tag)>"),
        heading=compiled(rf"{LEAD}{label} ?[:=]?"),
        boxed=compiled(rf"{LEAD}(?:\[\[|\$?\\boxed\{{) ?{number}{ten}? ?(?:\]\]|\}}\$?){end}"),
        key=compiled(label),
        labelled=compiled(rf"{begins}{label}{separator}{amount}{goes_on}"),
        member=compiled(member),
        verdict=compiled(verdict),
        share=compiled(rf"{number}{ten}(?! (?!(?:for|in|on|at|because|since|overall)\b)[a-z])"),
    )
