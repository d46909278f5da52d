"""Removing credentials from text that came from elsewhere: by value, and by shape."""

import json
import re
from collections.abc import Iterable

from executionkit._secrets import Secret
from executionkit._text import beginning, well_formed

MARK = "[REDACTED]"
_LONG = 8
"""A secret of this length is removed wherever it occurs; a shorter one (`EMPTY`, `ollama`) as a word only."""

_RUN = re.compile(r"[A-Za-z0-9]+")
_BACKSLASHES = re.compile(r"(?:\\\\)+")

# A picture or a file of the request, which a server quotes in its complaint.
_DATA = re.compile(r"(;base64,)[\w+/=%-]{16,}", re.ASCII)

_SHAPES = r"""
    # Identifiers that people report, and digests: they look like credentials.
    (?P<kept>
        (?i: (?:request|req|trace|correlation|response|message|call|span) [ _-]? id \b
             ["'()\[\]:=\s#]* [\w-]+ )
      | (?i: sha (?:1|256|512) [:=-] [0-9a-f]+ )
    )
    # "Bearer" and the next word, unless that is an ordinary word of an explanation.
  | (?P<bearer> (?i: \b bearer (?: \s+ token )? [\s:=]+ ) )
    (?! (?i: absent|and|auth|authentication|authorization|credentials?|error|expired|failed|for|format|from
           | has|headers?|in|invalid|is|key|missing|must|not?|or|prefix|provided|realm|required|schemes?
           | should|tokens?|type|used|value|was|with ) \b (?! [\w~+/=-] ) )
    [\w.~+/=*-]{3,}
    # A name that says "secret", and its value.
  | (?P<name> (?i:
        (?<![A-Za-z0-9])
        (?: [\w-]{0,40} (?: api[ _-]?key | apikey | token | secret | password | passwd | signature )
          | authorization
          | (?<=[?&]) (?:key|sig) )
        (?: \\{0,7} ["'] )?
    ) )
    (?:
        # In quotes: the value is all of it.
        (?P<quoted> \s* [:=] \s* \\{0,7} ["'] ) (?! \[REDACTED\] ) [^"'\\]+
        # After a scheme, or "=": the value is the next word.
      | (?P<plain> \s* [:=] \s* (?i: basic|bearer|digest|token ) \s+ | \s* = \s* )
        (?! \d{1,7} (?: \.\d+ )? (?! [\w-] ) | \[REDACTED\] )     # token=4096 is a count
        [^\s"'&,;<>{}()]+
        # After a bare colon a word may be prose ("token: required"), so it must look like a credential.
        # The bound keeps "token:token:..." from being read to its end again and again.
      | (?P<colon> \s* : \s* ) (?= [^\s"'&,;<>{}()\d]{0,256}+ \d ) (?! \d{1,7} (?! [\w-] ) )
        [^\s"'&,;<>{}()]{6,}
    )
    # https://user:password@host
  | (?P<userinfo> (?<=://) [^/\s@"']+ (?=@) )
    # Keys that are known by their beginning, and long hexadecimal ones.
  | (?<![A-Za-z0-9]) (?:
        sk-[\w*-]{3,} | hf_[A-Za-z0-9]{6,} | github_pat_\w{6,} | gh[pousr]_[A-Za-z0-9]{6,} | glpat-[\w-]{6,}
      | xai-[\w-]{6,} | gsk_[A-Za-z0-9]{6,} | (?:sk|pk|rk)_(?:live|test)_\w{6,} | pplx-\w{6,}
      | nvapi-[\w-]{6,} | r8_\w{8,} | xox[abprs]-[\w-]{6,} | (?:AKIA|ASIA)[A-Z0-9]{12,} | AIza[\w-]{16,}
      | eyJ[\w-]{6,500}+ \. [\w-]+ (?: \.[\w-]* )?
    )
  | (?<![\w-]) [0-9a-fA-F]{32,} (?![\w-])
    """


def _hide(match: re.Match[str]) -> str:
    if match["kept"]:
        return match[0]
    groups = (match[name] or "" for name in ("bearer", "name", "quoted", "plain", "colon"))
    return "".join(groups) + MARK


def _forms(value: str) -> set[str]:
    """The forms in which a server may write a value: plain, URL-, JSON-, HTML- and Python-escaped."""
    from urllib.parse import quote, quote_plus  # loaded when a Provider is made

    escaped = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    escaped |= {form.replace("/", "\\/") for form in escaped}
    urls = {quote(value, safe=""), quote(value), quote_plus(value)}
    urls.add(quote(value, safe="", encoding="latin-1", errors="replace"))
    # As `html.escape` writes it, whose module may be out of reach where no file can be opened.
    markup = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    quoted = markup.replace('"', "&quot;").replace("'", "&#x27;")
    return {value, markup, quoted, *escaped, *urls}


def _parts(secret: Secret) -> list[str]:
    """A secret, and the words of it that are secrets by themselves: in `Basic dXNlcjpwYXNz` the second."""
    value = secret.reveal()
    return [value, *(word for word in value.split() if len(word) >= _LONG)]


def _needles(secrets: Iterable[Secret]) -> list[str]:
    found = {form for secret in secrets for part in _parts(secret) for form in _forms(part)}
    # Longest first: removing a shorter form would leave the rest of a longer one behind.
    return sorted(found - {""}, key=len, reverse=True)


def possible(text: str, secrets: Iterable[Secret]) -> list[Secret]:
    """The secrets that may be in a text, in whatever form. Looking for this costs far less than `redact`.

    No form changes letters and digits, so a secret whose longest run of them is not in the text is not there.
    """
    if not text.isascii():
        return list(secrets)  # letters that are no ASCII may be the same as one without regard to case
    text = text.lower()
    return [
        secret
        for secret in secrets
        if any(max(_RUN.findall(part), key=len, default="").lower() in text for part in _parts(secret))
    ]


def redact(text: str, secrets: Iterable[Secret] = ()) -> str:
    """Replace the given secrets, and everything that is shaped like a credential, by `[REDACTED]`."""
    # The patterns are made here and not kept, so that no object holds a secret in readable form. Failures are
    # rare, and their texts short.
    for needle in _needles(possible(text, secrets)):
        # JSON within JSON has more backslashes: a server may quote the body of the server behind it.
        pattern = _BACKSLASHES.sub(r"\\\\{1,15}", re.escape(needle))
        if len(needle) < _LONG:
            pattern = rf"(?<![A-Za-z0-9]){pattern}(?![A-Za-z0-9])"
        text = re.sub(pattern, MARK, text, flags=re.IGNORECASE)
    text = _DATA.sub(r"\1...", text)
    return re.sub(_SHAPES, _hide, text, flags=re.VERBOSE)  # compiled when first needed: 2 ms


def cleaned(text: str, secrets: Iterable[Secret] = ()) -> str:
    """The beginning of a text of any length and origin, made valid and redacted."""
    return redact(beginning(well_formed(text)), secrets)
