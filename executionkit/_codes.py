"""What error codes mean, whatever their spelling: `ThrottlingException`, `rate_limit_exceeded`."""

import re
from collections.abc import Iterable
from typing import Literal, TypeAlias

Meaning: TypeAlias = Literal["generation", "funds", "context", "limit", "final"]
"""Why a request failed: the model's text was not usable, the account has no money, the request was too long
for the model, there were too many requests, or there is another final reason."""

OVERFLOW = "context_length_exceeded"
"""The code of an error whose words say that the request is too long, and whose code does not."""

# Parts of codes, compared without case and punctuation, in the order in which they decide.
_PARTS: tuple[tuple[Meaning, str], ...] = (
    (
        "generation",
        "failedgeneration|tooluse(?:failed|error)|jsonvalidatefailed|outputparsefailed"
        "|(?:malformed|unexpected)(?:function|tool)call",
    ),
    (
        "funds",
        "insufficient(?:quota|balance|funds?|credits?)|exceededcurrentquota|billing|paymentrequired|arrear"
        "|overdue|(?:outof|no)credits?|credits?balance|negativebalance|spendinglimit"
        "|(?:balance|credits?|funds?)(?:insufficient|notenough|toolow|exhausted|depleted)"
        "|budget(?:limit)?exceeded|free(?:tier|trial|quota)(?:only|exhausted|ended|expired)"
        "|(?:package|pack)exhausted|notpurchased",
    ),
    (
        "context",
        "context(?:length|size|window|limit|overflow)|maxcontext|(?:prompt|input)(?:toolong|(?:length|size|tokens?)(?:limit)?exceeded)"
        "|^tokens?limit(?:reached|exceeded)|max(?:prompt|input)?tokens?exceeded|maxmodellen",
    ),
    (
        "limit",
        "ratelimit|ratequota|toomany.{0,20}(?:request|call)|throttl|resourceexhausted|slowdown"
        "|(?:request|token)s?per(?:second|minute|hour|day)|quota(?:limit)?exceeded|exceededquota"
        "|allocationquota|(?:throughput|rate)exceeded|perminuteexceeded|[rt]p[dhms]exceeded|requestratetoolarge"
        "|^limit(?:exceeded|reached|requests|burst)|(?:minute|hourly|daily|monthly).*limit"
        "|(?:requests?|usage|service|flow|qps|[rt]p[dhms]|concurren(?:cy|t)|burst|throughput)limits?(?:exceeded|reached)?"
        "|concurren(?:cy|t).{0,12}exceeded",
    ),
    (
        "final",
        r"(?:invalid|malformed)(?!.*(?:response(?!format)|output(?!schema|format)|upstream|generat))"
        "|bad(?:request|param|input|arg)|validation|authenticat|authoriz|auth(?:error|fail)|permission|notpermitted"
        "|forbidden|accessdenied|notallowed|expiredtoken|(?:token|credentials?|licen[cs]e|subscription)expired"
        "|notfound|notexist|nosuch|unknownmodel|unsupported|notsupported|unimplemented|notimplemented"
        "|failedprecondition|outofrange|contentfilter|contentpolicy|policyviolation|datainspection|moderation"
        "|responsibleai|too(?:large|long|big)|unprocessable|missing(?:required|param|field)|parametererror"
        "|illegal(?:arg|param|value|request)"
        "|unrecognizedclient|signaturedoesnotmatch|suspended|deactivated|decommissioned|deprecated"
        "|(?<!temporarily)disabled|expired(?:api)?key|keyexpired|noaccess|maxlength|preconditionfailed"
        "|(?:unknown|unrecognized|unexpected)(?:param|arg|field|option|property|keyword)|guardrail|blocked"
        "|not(?:enabled|activated|subscribed|accepted|open$|availablein)|retired|endoflife"
        "|safety|sensitive|unsafe|prohibited|nsfw|accessterminated|apikeymissing"
        "|(?:wrong|incorrect|bad|missing|no)apikey",
    ),
)
_RULES: tuple[tuple[Meaning, re.Pattern[str]], ...] = tuple(
    (meaning, re.compile(parts)) for meaning, parts in _PARTS
)
_STATUS = re.compile(
    r"(?:http|e|err|error|status|code)?[ _-]?([345][0-9]{2})(?: [A-Z].*)?\Z", re.IGNORECASE | re.ASCII
)
_PUNCTUATION = re.compile(r"[^a-z0-9]+")

_TOO_LONG = re.compile(
    r"maximum (?:context|sequence|model|prompt|input) length"
    r"|(?:available|maximum|model'?s?) context (?:size|window)"
    r"|context (?:length|size|window|limit)[^.]{0,60} (?:exceed|overflow|of only|is only)"
    r"|(?:exceed\w*|longer than|larger than|greater than|reached) [^.]{0,40}context"
    r"|context(?:window|length)exceeded"
    r"|(?:input|prompt) (?:token count|tokens|length)[^.]{0,60} (?:exceed|longer|greater|only supports)"
    r"|(?:prompt|messages?|input) exceeds? (?:the )?max"
    r"|tokens in the request[^.]{0,20} exceed|exceed\w* (?:the |this )?model(?:'s)? token limit"
    r"|exceeds? the (?:maximum|max) (?:number of|input) tokens|(?:prompt|input) is too long"
    r"|reduce the length of the (?:messages|prompt|input)|range of input length should be"
    r"|tokens? \+ \W?max_new_tokens\W? must be|inputs\W? must have less than \d+ tokens",
    re.IGNORECASE,
)
"""How servers say it. Their words are about the prompt, its tokens or the context, and an excess."""

_RATE = re.compile(r"per (?:min|day|hour)|\bTP[MD]\b|rate.?limit", re.IGNORECASE)

_SENTENCE_END = re.compile(r"[.!?;]\s|\n")
_SYSTEM = re.compile(
    r"\b(?:system|developer)['\"`]?[ _-]?(?:role|message|prompt|instruction)|[\"'`](?:system|developer)[\"'`]"
    r"|\brole\b\W{1,4}(?:\w+\W{1,3}){0,4}(?:system|developer)\b|system\s*角色",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"(?:\bnot?|n't|\bcannot)\s(?:\w+\s){0,2}(?:support|allow|accept|enabled?|permit|valid|one of|be used)"
    r"|\bonly\b|\bwithout\b|\bun(?:supported|expected|known|recogni[sz]ed)|\binvalid\b|不",
    re.IGNORECASE,
)
_ALLOWED = re.compile(r"\b(?:one of|should be|must be)\b.*")
# Servers and chat templates that know the two sides of a dialogue, or one system message and no second.
_DIALOGUE_ONLY = re.compile(
    r"\broles? must alternate|\bmust alternate between"
    r"|\bsystem message\w* (?:must|should|can only) .{0,20}\b(?:beginning|first|start)\b"
    r"|\bonly\b.{0,20}\buser\b.{0,20}\bassistant\b.{0,40}\broles?\b"
    r"|\broles?\b.{0,60}\b(?:must|should) be\W{1,3}(?:(?:one of|either)\W{1,3})?(?:user|assistant)\b"
    r"(?!.*system)"
    r"|\b(?:first message|conversation) must\b.{0,40}\buser\b",
    re.IGNORECASE,
)


_UNUSABLE = re.compile(
    r"failed[_ ]generation|failed to (?:call a function|generate json|parse (?:the )?tool calls?\b(?! arg))"
    r"|tool call validation failed|output that does not match the expected"
    r"|\bmodel (?:has )?(?:produced|generated|returned) (?:an? )?(?:invalid|malformed)",
    re.IGNORECASE,
)


def squashed(name: str) -> str:
    """A name without case and punctuation, so that `retryAfter` and `retry-after` are the same."""
    return _PUNCTUATION.sub("", name.lower())


def meaning_of(codes: Iterable[str]) -> Meaning | None:
    """What codes that came together mean; None for those that leave it open."""
    names = [squashed(code[:200]) for code in codes]
    return next((meaning for meaning, parts in _RULES if any(map(parts.search, names))), None)


def says_too_long(words: str) -> bool:
    """Whether a server's words say that the request is too long for the model."""
    return _TOO_LONG.search(words) is not None and _RATE.search(words) is None


def says_unusable(words: str) -> bool:
    """Whether a server's words say that it could not use what the model wrote. The next sample may do."""
    return _UNUSABLE.search(words) is not None


def says_no_system(words: str) -> bool:
    """Whether a server's words say that the model takes no system messages.

    That roles must alternate says so too, of a conversation in which they do but for the system message.
    """
    return _DIALOGUE_ONLY.search(words) is not None or any(
        _SYSTEM.search(_ALLOWED.sub("", sentence)) and _DENIAL.search(sentence)
        for sentence in _SENTENCE_END.split(words)
    )


def status_in(code: object) -> int | None:
    """The HTTP status that a code is (429, "HTTP_429", "429 Too Many Requests"); None for any other."""
    text = str(code) if isinstance(code, (int, str)) and not isinstance(code, bool) else ""
    found = _STATUS.match(text)
    return int(found[1]) if found else None
