"""What stands around a number and makes it part of something else: a bound, a date, a formula, a name."""

import re
from typing import Final

_COUNTS: Final = (
    "(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fifteen|twenty|thirty"
    "|forty"
    "|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|billion|dozen|[一二三四五六七八九十百千]+)"
)
_MONTHS: Final = (
    "(?:Jan(?:uary|uar|vier)?|Feb(?:ruary|ruar)?|Mar(?:ch|zo|s)?|März|Apr(?:il|ile)?|May|Mai|Mayo|June?"
    "|Juni|July?|Juli"
    "|Aug(?:ust)?|Sept?(?:ember|embre)?|O[ck]t(?:ober|obre)?|Nov(?:ember|embre)?|De[cz](?:ember)?"
    "|janvier|février|avril|mai|juin|juillet|août|septembre|octobre|novembre|décembre|enero|febrero|marzo"
    "|abril|mayo|junio"
    "|julio|agosto|septiembre|octubre|noviembre|diciembre|gennaio|febbraio|aprile|maggio|giugno|luglio"
    "|settembre|ottobre"
    "|dicembre|janeiro|fevereiro|março|maio|junho|julho|setembro|outubro|novembro|dezembro|januari"
    "|februari|maart|mei"
    "|augustus|января|февраля|марта|апреля|мая|июня|июля|августа|сентября|октября|ноября|декабря)"
)
_ARITHMETIC: Final = (
    "plus|divided by|multiplied by|sin|cos|tan|log|ln|lg|exp|sqrt|mod(?:ulo)?|gcd|lcm|abs|floor|ceil"
    "|choose"
    "|power of"
)
_MULTIPLES: Final = (
    "times|twice|double|triple|(?:roots?|square|cube|factorial|log(?:arithm)?|sum|product|difference"
    "|hal(?:f|ves)|thirds?"
    "|quarters?|fourths?|fifths?|tenths?) of|added to|subtracted from"
    # The same in other languages
    r"|(?:hälfte|doppelte|\w+fache|wurzel|quadrat|drittel|viertel|moitié|double|triple|tiers|quart"
    r"|racine(?: carrée)?|carré|mitad|doble|tercio|cuarto|raíz(?: cuadrada)?|cuadrado|metade|dobro|triplo"
    r"|terço|raiz(?: quadrada)?|quadrado|metà|doppio|terzo|radice(?: quadrata)?|quadrato|половин[аы]"
    r"|корень|квадрат)"
    r" (?:von|aus|de|di|из|от)"
)
_RATIOS: Final = "per|out of|(?:for )?every|in every"
_BOUNDS: Final = (
    "over|under|above|below|beyond|past|within|exceed(?:s|ed|ing)?|surpass(?:es|ed|ing)?|until|till|unless"
    "|über|unter"
    "|as (?:many|much|few|little|high|low|large|small|long) as|start(?:s|ing)? (?:at|from)|in excess of"
    "|limited to"
    "|except(?: for)?|excluding|no longer|without|instead of|rather than|far from|nowhere near"
    "|(?:just )?shy of|anything but|all but|bounded (?:above |below )?by|every \\w+ from|thrice|no"
    "|supérieure? à|inférieure? à|hasta|tot"
    "|(?:aller)?(?:mindestens|höchstens)|wenigstens|übersteigt|überschreitet|dépasse|supera|excede|sous|bajo|sotto"
    "|(?:inf[eé]rior|sup[eé]rior|minor|maggior|menor|mayor|maior)\\w{0,2} (?:a|à|di|de|que|do que)|превышает"
    "|ab|bis|halb|viertel (?:vor|nach)|a las?|alle|às|до|от|свыше|выше|ниже|более|больше|менее|меньше|минимум"
    "|максимум|minst|högst|mindst|højst|(?:co )?naj(?:mniej|wyżej)|powyżej|poniżej|en (?:az|fazla|çok)"
    "|ít nhất|nhiều nhất|hơn|paling (?:sedikit|banyak)"
    "|capped at|anywhere from|north of|short of|m(?:[aáàâ]x|[iíî]n)(?:im\\w*)?(?: (?:of|de|d[ie]|von))?"
    "|(?:max|min)\\."
)
_FRACTIONS: Final = (
    "hal(?:f|ves)|thirds?|quarters?|fourths?|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?|hundredths?"
    "|thousandths?"
)
_REFERENCES: Final = (
    r"steps?|chapter|section|page|question|problem|part|options?|figure|table|equation|line|version|example"
    r"|exercise|item|case|release|version:|v\.|theorem|lemma|article|paragraph|appendix|footnote|ver\."
    r"|no\.|pp?\.|eqn?s?\.|figs?\."
    r"|sec\.|ch\.|vol\.|art\.|nr\.?|n[°º]|núm\.|abs\.|kap\.|ver"
    r"|weeks?|day|room|flight|stage|phase|round|type|rule|route|highway|row|column|lesson|season|episode"
    # The same in other languages
    r"|seite|kapitel|abschnitt|frage|aufgabe|schritt|tag|jahrhundert|zimmer|raum|zeile|pages?|chapitre|étape"
    r"|exercice|siècle|chambre|ligne|página|capítulo|paso|pregunta|ejercicio|siglo|etapa|questão|século"
    r"|pagina|capitolo|passo|domanda|esercizio|secolo|bladzijde|hoofdstuk|глава|страница|вопрос|задача|шаг"
    r"|номер|век|пункт"
)
_MORE: Final = (
    "more|less|fewer|greater|higher|lower|larger|smaller|bigger|over|above|under|below|up|upwards?|down"
    "|beyond|longer"
    "|shorter|older|younger|earlier|later|better|worse|onwards?|mehr|weniger|más|menos|plus|moins|più|meno"
    "|mais|meer|minder|больше|более|меньше|менее|mere?|mindre|flere?|więcej|mniej|daha|fazla"
)

_LEADING: Final = (
    "Abouts?|Approx(?:imately)?|Around|Roughly|Nearly|Almost|Exactly|Precisely|Only|Just|Circa|Total|Sum|Result"
    "|Minus|Negative|Positive|Plus|Thus|Therefore|Hence|So|Then|Finally|Answer|Final|Value|Number|Amount|Count"
    "|Price|Cost|Profit|Age|Score|Length|Area|Volume|Distance|Speed|Time|Average|Mean|Median|Probability"
    "|There|It|He|She|They|We|You|I|This|That|In|An?|The|USD|EUR|GBP|Rs|Yes|No|Correct|Ungefähr|Etwa|Rund|Genau"
    "|Environ|Aproximadamente|Circa|X|Y|Z|N"
)


# Looked for anywhere in a text of small letters: ignoring case takes a pattern several times as long.
UNSURE: Final = re.compile(
    r"\b(?:not|never|neither|nor|none|cannot|wrong|incorrect|un(?:known|clear|certain|defined)|between"
    r"|at (?:the )?(?:very )?(?:least|most)"
    r"|at (?:best|worst|minimum|maximum)|no (?:more|less|fewer)|up to|(?:more|less|fewer|greater|higher"
    r"|lower|larger"
    r"|smaller|bigger|older|younger|longer|shorter|later|earlier|other) than|not exceed\w*|upwards? of"
    r"|more information|falsch|faux|fausse|fals[oa]|sbagliat[oa]|errad[oa]|incorrect[oa]|неверно"
    r"|неправильно|infinity|impossible"
    r"|insuff?i[csz]\w+|unzureichend|недостаточно|unmöglich|imposible|impossibile|impossível|невозможно"
    r"|nicht|kein\w*|mindestens|höchstens|(?:mehr|weniger|größer|kleiner) als|bis zu|zwischen|pas"
    r"|au (?:moins|plus)"
    r"|(?:plus|moins|supérieure? à|inférieure? à|más|menos|mayor|menor|mais) (?:de|que)|entre|jusqu"
    r"|al menos|como (?:máximo|mínimo)"
    r"|almeno|al massimo|(?:più|meno) d[ie]|fino a|pelo menos|no máximo|até|non|não|niet|geen|minstens"
    r"|hoogstens"
    r"|(?:meer|minder) dan"
    r"|не|нет|нельзя|между|(?:более|больше|менее|меньше) чем"
    r"|no (?:es|son|era|fue|hay|está|puede|creo|pienso|sé|se)"
    r"|inte|ikke|mellan|mellem|mellom|(?:mer|mere|mindre) (?:än|end|enn)|nie|między|(?:więcej|mniej) niż"
    r"|değil|arasında|không|bukan|tidak|(?:lebih|kurang) dari)\b|n['’]t\b|\\infty|[≠<>≤≥±√∛∜∞⩽⩾≦≧≪≫≲≳∈∓]|!="
    r"|无法|無法|不足|알 수 없|불가능|부족|不[是为為到超足小大多少]|并非|並非|错误|錯誤|至少|至多|最多"
    r"|最少|超过|超過|多于|少于|大于|小于|低于|高于|多於|少於|大於|小於|介于|之间"
    r"|(?:最[大小高低]|최[대소])\s?(?=[0-9])|少なくとも|多くとも|多くて|적어도|많아야|아닙|않"
    r"|ではな|じゃな|ません|未満|未满|以上|以下|以内|より(?:大|小|多|少)|아니|이상|이하|미만|초과|보다|を(?:超|上回|下回)"
)
# Right before a number, its sign and its currency, in small letters.
NOT_AFTER: Final = re.compile(
    r"(?:"
    r"(?:[-–—+*/×÷·^√∛∜±<>≤≥≠\\]|\b(?:minus|negative))(?:\s+(?:the"
    r"|of)\b)*\s*[({\[]*\s*(?:[a-z]{1,3}\s*)?[$€£¥]?"  # a sign, maybe that of a bracket
    r"|(?:[_^]|\\[A-Za-z]+)\s?\{[^{}]*|(?<!\w)[a-z]:"
    r"|\\[A-Za-z]+\s*[({\[]*|[\w)\]}][(\[]|[\w)\]}^_]\s?\{"  # a function, a command, a power
    r"|[(\[][^()\[\]]*,"  # in a list
    r"|(?<!百分)之|[三四五六七八九十]分"
    rf"|(?<!\w)(?:{_REFERENCES}|{_ARITHMETIC})\s*\(?|[#§№第제非]"
    r")\s*\Z"
    rf"|(?<!\w)(?:{_BOUNDS}|{_MULTIPLES}|{_RATIOS})\s+\Z"
    r"|\b(?:sum|product|difference|quotient|ratio) of [^.,;]{1,40} and\s+\Z"
    rf"|\b{_COUNTS}\s*(?:,|or|and|to|through|[-–—]|in|(?:out\s+)?of(?:\s+(?:the|these|those|all|his|her"
    rf"|their|our|my))?)\s*\Z|[或和到至~～]\s*\Z"
    rf"|(?:half|quarter|minutes?)\s+(?:to|before|after)\s+\Z"
)
# The same, where upper and lower case differ: dates, and names that hold a number.
NAME_BEFORE: Final = re.compile(
    rf"(?<!\w)(?:[123]?[0-9](?:st|nd|rd|th)?\s+)?{_MONTHS}\.?\s+(?:the\s+)?\Z|(?:AD|BC)\s+\Z"
    r"|[a-z],?\s+[A-Z][a-z]+[A-Z]?\w*\s+\Z|\b[a-z]+[A-Z]\w*\s+\Z"  # "iPhone 15"
)
# A text that is nothing but capital words and a number, unless they are words that lead to it.
_NAME: Final = re.compile(r"\W*(?!(?:{_LEADING})\b)(?:[A-Z][A-Za-z]*\s+)+\Z".replace("{_LEADING}", _LEADING))
_END: Final = re.compile(r"\W*\Z")

# Right after a number and its scale or sign of percent.
NOT_BEFORE: Final = re.compile(
    r"[\s)*_\"'”]*\(?[?？]|\s*(?:[+*×÷·^√±<>≤≥≠=\\]|/(?![^\W\d_])|/(?!(?-i:[smhglLVWAJN])\b)[^\W\d_](?!\w))"
    r"|:[a-z](?!\w)|\.x\b|\s*(?:(?:(?:as|at|au|como|come|als|no|im|de)\s+(?:an?\s+|the\s+)?)?"
    r"(?:max|m(?:[aáàâ]x|[iíî]n)im\w*)\b|tops|odd|noon|midnight|in the (?:morning|afternoon"
    r"|evening)|at night)\b"
    r"|\s*(?:over|(?:percent\s+)?(?:of|von|de|di)|to\s+the)\s+[b-z](?!\w)|\.?[ºª]|\s*的(?:倍数|倍數|平方|立方|阶乘)"
    r"|\s*(?:bis\s|(?:and\s+)?(?:up|on)wards?\b)"
    r"|\s*[-–—]\s?\(|\s*[-–—]\s?[A-Za-z](?!\w|\s+[a-z])"
    r"|\s*[-–—][\s.]*\Z|-[^\W\d_]|\([A-Za-z]\s*[-+*/^=)]|\s*!\s*[.!$\\)=]|['’]s\b"
    r"|[^\S\n]*[^\W\d_]*\+(?!\w)|\s*(?:,|and|;)\s*[A-Za-z]\s?="
    rf"|\s*-?(?:(?:{_ARITHMETIC}|minus|squared|cubed"
    rf"|(?:zum|im) quadrat|au (?:carré|cube)|al (?:cuadrado|cubo|quadrato)|ao (?:quadrado|cubo)"
    rf"|в (?:квадрате|кубе)|factorial|choose|pi|tau|phi|theta|alpha|beta|lambda"
    rf"|roots?)(?!\w)"
    rf"|(?:and\s+(?:a|one|{_COUNTS})\s+)?(?:{_FRACTIONS})(?!\w)(?!\s+of an? (?:hour|minute|million)))"
    rf"|\s*and\s+a\s+(?:{_FRACTIONS})|\s+{_COUNTS}\b"
    r"|\s*times\s+(?!(?:a(?!\s+(?:half|third|quarter|few)\b)|an|per|each|every|in|on|at|that|this|during"
    r"|before|after"
    r"|and|or|so|because|since|if|when|daily|weekly|monthly)\b)\w"
    r"|\s*(?:through|thru)\s+\w|_\w|\s*per\s+[b-z](?!\w)|\s*(?:in\s+)?(?:binary|hex(?:adecimal)?|octal)\b"
    r"|\s*,\s*[b-df-hj-z](?![\w.'’])|\s?[^\W\d_]{0,4}或更"
    rf"|\s*(?:[ap]\.?\s?m\b|o\s?['’]?\s?clock|uhr\b|past\b|minutes?\s+(?:past\b|(?:to|before"
    rf"|after)\s+(?:noon|midnight|{_COUNTS})\b))"
    rf"|(?:\s?[^\W\d_]+)?[\s,(]*\b(?:and|or|to|through|und|oder|ou|et|o|of|en|или|и|eller|och|lub|i|veya"
    rf"|ve)\s+(?:{_MORE}|{_COUNTS}|none"
    rf"|a\s+half)\b"
    r"|(?:\s?[^\W\d_]+)?\s*,?\s*(?:and|or|to|through)\s+(?:[b-hj-zB-HJ-Zα-ω]|infinity)(?![\w'’])"
    r"|(?:\s?[^\W\d_]+)?[\s,]*\bor\s+(?!so\b(?!\s+on)|about\b|thereabouts\b|roughly\b|approximately\b)"
    rf"|(?:\s+\w+)?\s*(?:(?:out\s+)?of|in(?:\s+every)?)\s+(?:every\s+)?{_COUNTS}\b"
    rf"|\s*to\s+the\s+(?:power|\w+\s+power)\b"
    r"|(?:\W{1,3}\w+)?\W{1,3}(?:below|under|unter|sous|sotto|bajo)\s+(?:zero|freezing|null|zéro|cero)\b"
    r"|\s?(?:[年]?\s?[月日号號時时点點월일시](?!間|间)|\s?(?:番目|번째|年代|년대)|[多余餘]|倍?[或和到至、~～]\s*[一二三四五六七八九十])",
    re.IGNORECASE,
)
NAME_AFTER: Final = re.compile(
    rf"\.?\s*(?:of\s+|de\s+)?{_MONTHS}(?!\w)|\s*(?:BCE?|B\.C\.|AD|A\.D\.|CE)(?!\w)"
)
_BEFORE_MINUS: Final = re.compile(
    r"(?:\A|[^\w\s)\]}]|[是为為は]|\b(?:is|was|are|were|be|been|equals?|to|of|at|by|as|about|around|roughly"
    r"|nearly|almost"
    r"|approximately|exactly|precisely|only|just|simply|therefore|thus|hence|then|so|namely|get|gets|got"
    r"|gives?|gave"
    r"|has|have|had|yields?|makes?|becomes?|became|obtain|reads?|answer|result|an?|reached|reaches|hits?|s"
    r"|ist|sind|sei"
    r"|beträgt|lautet|est|vaut|fait|es|son|è|é|sono|são|or less))\s*\Z",
    re.IGNORECASE,
)
_WORD_OF_MINUS: Final = re.compile(r"\b(?:minus|moins|menos|meno)\s", re.IGNORECASE)
# "der 5. Tag"
_ARTICLE: Final = re.compile(r"\b(?:der|die|das|dem|den|des|am|vom|zum|im)\s+\Z", re.IGNORECASE)
_POINT: Final = re.compile(r"\.\s\w")
_EXCLAMATION: Final = re.compile(r"\s*!\s*\Z")
_WORD: Final = re.compile(r"[^\W\d_]{2}")
# What makes a time of day of hours.
_AT: Final = re.compile(r"\b(?:à|vers|в|at|um)\s+\Z", re.IGNORECASE)
_HOURS: Final = re.compile(r"\s?(?:h|heures?|uhr|час(?:а|ов)?)(?!\w)", re.IGNORECASE)
_WINDOW: Final = 80


def is_part_of_more(before: str, sign: str, after: str) -> bool:
    """Whether a number belongs to something else.

    Args:
        before: The text before the number, its sign and its currency.
        sign: The number's sign as it is written; may be empty.
        after: The text after the number, from its unit on.
    """
    is_closed = ")" in after or "]" in after
    before, after = before[-_WINDOW:], after[:_WINDOW]
    if _WORD_OF_MINUS.match(sign) and not _BEFORE_MINUS.search(before):
        return True
    if _NAME.match(before) and _END.match(after):
        return True
    if before.endswith("|") and after.startswith("|"):
        return True
    if before.rstrip().endswith(("(", "[")) and (not is_closed or after.lstrip().startswith(",")):
        return True
    if _AT.search(before) and _HOURS.match(after):
        return True
    if _ARTICLE.search(before) and _POINT.match(after):
        return True
    # "5!" is a factorial, "It is 5!" is not.
    if _EXCLAMATION.match(after) and not _WORD.search(before):
        return True
    return bool(
        NOT_AFTER.search(before.lower())
        or NAME_BEFORE.search(before)
        or NOT_BEFORE.match(after)
        or NAME_AFTER.match(after)
    )
