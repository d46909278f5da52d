"""What a server refuses, read off its error; and a memory of it, so that a refusal is paid for once."""

import re
from contextlib import suppress
from typing import Final, Generic, TypeVar
from weakref import WeakKeyDictionary

from executionkit._codes import says_no_system
from executionkit.errors import LLMError, PermanentError, RateLimitError

T = TypeVar("T")

_LONG: Final = 2_000
"""The most characters of an error that are read."""

_SENTENCE_END: Final = re.compile(r"[.!?;]\s|\n")


def is_complaint(exc: LLMError) -> bool:
    """Whether the server may complain of a field of the request."""
    if isinstance(exc, RateLimitError):
        return False
    # llama.cpp reports clients' mistakes as 500, proxies report them as 200. Other providers may not have a
    # status.
    status = exc.status_code
    named = status in (400, 422, 500, 501) or is_success(status)
    return named or (status is None and isinstance(exc, PermanentError))


def is_success(status: int | None) -> bool:
    """Whether a status says that all went well. An error may come with one nevertheless."""
    return status is not None and 200 <= status < 300


class Memory(Generic[T]):
    """Values learnt of each provider. They go when the provider goes.

    Args:
        most: The most values that are remembered for a provider.
    """

    def __init__(self, most: int = 16) -> None:
        self._most = most
        self._known: WeakKeyDictionary[object, dict[str, T]] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._known)

    def recall(self, provider: object, key: str) -> T | None:
        """The value learnt of this provider under `key`, or None."""
        try:
            return self._known.get(provider, {}).get(key)
        except TypeError:  # a provider that can't be hashed or weakly referenced
            return None

    def learn(self, provider: object, key: str, value: T) -> None:
        """Remember a value. The oldest one goes when there are too many."""
        with suppress(TypeError):
            values = self._known.setdefault(provider, {})
            if key not in values and len(values) >= self._most:
                values.pop(next(iter(values)))
            values[key] = value


# -- system messages ---------------------------------------------------------------------------------------

NO_SYSTEM_MESSAGES: Final[Memory[bool]] = Memory()


def refuses_system(exc: LLMError) -> bool:
    """Whether the server says that it takes no system messages, of a conversation whose turns alternate."""
    return is_complaint(exc) and not exc.is_context_overflow and says_no_system(str(exc)[:_LONG])


# -- several choices ---------------------------------------------------------------------------------------

MOST_CHOICES: Final[Memory[int]] = Memory()

_PARAM: Final = re.compile(r'"param"\s*:\s*"n"|"loc"\s*:\s*\[\s*(?:"body"\s*,\s*)?"n"\s*\]')
_CHOICES: Final = re.compile(
    r"[\"'`‘“]n(?:_cmpl)?[\"'`’”]|\bn_cmpl\b"
    r"|\bn\s*(?:[<>=!:]|must|should|cannot|can't|has to|value|parameter)"
    r"|\b(?:parameter|field|argument|value|support)\s+n\b|\bparameters?\b[^.:]{0,20}:\s*n\b|\bbody\.n\b"
    r"|参数\s*n\b|\bcandidate_?count|\b(?:one|single|1) (?:\w+ )?(?:choice|completion|candidate|generation)"
    r"|\bmulti(?:ple|-)?\s?(?:choice|completion|candidate|generation)"
    r"|\bnum(?:ber)?[ _](?:of[ _])?(?:return_sequences|choices|completions|candidates|generations)",
    re.IGNORECASE,
)
_DENIAL: Final = re.compile(
    r"\bnot?\b|n't\b|\bun(?:supported|expected|known|recogni[sz]ed)|invalid|must\b|\bonly\b|\bcannot\b|exceed"
    r"|\bat most\b|\bshould be\b|maximum|out of range|greater|less than|不",
    re.IGNORECASE,
)
_NO_CHOICES: Final = re.compile(r"support|\bone\b|\bsingle\b|unrecogni[sz]ed|unknown|不", re.IGNORECASE)
# A number that stands alone, and is no part of a name ("gpt-4") or a version ("3.1").
_NUMBER: Final = re.compile(r"(?<![\w-])(?<!\d\.)\d{1,4}(?!\w|-\w|\.\d)")


def fewer_choices(exc: LLMError, asked: int) -> int | None:
    """The choices to ask for instead of `asked`; None unless the server complains of their number.

    That is the number that the server names. If it names none, it is 1 where the server takes no `n`, and
    half of `asked` elsewhere.
    """
    if not is_complaint(exc) or exc.is_context_overflow:
        return None
    sentences = _SENTENCE_END.split(str(exc)[:_LONG])
    told = (at for at, said in enumerate(sentences) if _CHOICES.search(said) and _DENIAL.search(said))
    first = next(told, None)
    if first is None and not _PARAM.search((exc.body or "")[:_LONG]):
        return None
    reason = ". ".join(sentences[first or 0 :])
    named = [number for number in map(int, _NUMBER.findall(reason)) if 1 <= number < asked]
    if named:
        return max(named)
    return 1 if _NO_CHOICES.search(reason) else asked // 2


# -- no tool calls -----------------------------------------------------------------------------------------

NO_TOOL_CHOICE: Final[Memory[bool]] = Memory()
"""The servers that refuse `tool_choice` as "none", or as the "name" of a tool."""

_TOOL_CHOICE: Final = re.compile(r"tool.?choice", re.IGNORECASE)
# Some servers report a model that called a tool nevertheless as the client's mistake.
_CALLED: Final = re.compile(r"\bcalled a\b|failed.?generation|tool.?use.?failed", re.IGNORECASE)


def refuses_tool_choice(exc: LLMError) -> bool:
    """Whether the server complains of the field `tool_choice`, and not of what the model did with it."""
    if not is_complaint(exc) or exc.is_context_overflow:
        return False
    said = f"{str(exc)[:_LONG]} {(exc.body or '')[:_LONG]}"
    return _TOOL_CHOICE.search(said) is not None and _CALLED.search(said) is None


# -- log-probabilities -------------------------------------------------------------------------------------

LOGPROBS: Final[Memory[int]] = Memory()
"""The most log-probabilities beside each token's own that a server takes a request for."""

NO_LOGPROBS: Final = -1
"""The same for a server that takes no request for any."""


def refuses_logprobs(exc: LLMError) -> bool:
    """Whether the server complains of the field `logprobs` or `top_logprobs`."""
    if not is_complaint(exc) or exc.is_context_overflow:
        return False
    return "logprob" in f"{str(exc)[:_LONG]} {(exc.body or '')[:_LONG]}".lower()
