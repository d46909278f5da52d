"""The score that is to be expected of a judge, by the probabilities of the tokens that write its number."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Final

from executionkit._judge._scores import read_score, read_verdict
from executionkit.responses import LLMResponse, TokenLogprob
from executionkit.types import Evaluation

_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)?")
_DIGITS: Final = re.compile(r"\d+")

_TRIED: Final = 16
"""Numbers that may be the score: each is tried by reading the whole reply, which has thousands of them if a
model goes round in circles."""


def read_expected_verdict(reply: LLMResponse) -> Evaluation | None:
    """Read a judge's verdict, with the expected score where the reply's log-probabilities tell it.

    Returns:
        The verdict, with the number that was written as `stated` if the score is an expectation; None unless
        the number is certain.
    """
    verdict = read_verdict(reply.content, reply.was_truncated)
    if verdict is None:
        return None
    expected = _expected(reply, verdict.score)
    return verdict if expected is None else replace(verdict, score=expected, stated=verdict.score)


def _expected(reply: LLMResponse, written: float) -> float | None:
    tokens = reply.logprobs
    text = "".join(token.token for token in tokens)
    span = _span_of_score(text, written, cut_off=reply.was_truncated)
    if span is None:
        return None
    ends = list(accumulate(len(token.token) for token in tokens))
    begin, end = span
    first = next(index for index, at in enumerate(ends) if at > begin)
    last = next(index for index, at in enumerate(ends) if at >= end)
    before, after = text[: ends[first] - len(tokens[first].token)], text[ends[last] :]
    weights = list(_scores(tokens[first : last + 1], before, after, written, cut_off=reply.was_truncated))
    total = sum(weight for weight, _ in weights)
    # The written number alone is no distribution.
    if len(weights) < 2 or total <= 0:
        return None
    return min(1.0, sum(weight * score for weight, score in weights) / total)


def _span_of_score(text: str, written: float, *, cut_off: bool) -> tuple[int, int] | None:
    """Where the number stands that the score was read from: another number there is another score."""
    alike = [match for match in _NUMBER.finditer(text) if _is_ten_times(match[0], written)]
    for match in reversed(alike[-_TRIED:]):
        begin, end = match.span()
        if all(
            read_score(f"{text[:begin]}{number}{text[end:]}", cut_off=cut_off) == score
            for number, score in ((3, 0.3), (7, 0.7), (match[0], written))
        ):
            return begin, end
    return None


def _is_ten_times(number: str, score: float) -> bool:
    return math.isclose(float(number.replace(",", ".")), 10 * score)


def _scores(
    tokens: Sequence[TokenLogprob], before: str, after: str, written: float, *, cut_off: bool
) -> Iterator[tuple[float, float]]:
    """The probability of each number that the judge might have written there, and its score.

    At each token of the number the others that were likely end it. One that may be the beginning of a number
    of several tokens, a 1 of a 10, is left out unless the 10 is a token of its own.
    """
    so_far, chance = "", 1.0
    for token in tokens:
        others = {other.token: other.logprob for other in token.top if other.token != token.token}
        numbers = {_digits_in(name) for name in (*others, token.token)}
        for name, logprob in others.items():
            begins = _digits_in(name)
            # Without a number here, another one in the text would be read.
            if not so_far and (not begins or (begins == "1" and "10" not in numbers)):
                continue
            score = read_score(f"{before}{so_far}{name}{after}", cut_off=cut_off)
            if score is not None:
                yield chance * math.exp(logprob), score
        so_far += token.token
        chance *= math.exp(token.logprob)
    yield chance, written


def _digits_in(token: str) -> str:
    found = _DIGITS.search(token)
    return "" if found is None else found[0]
