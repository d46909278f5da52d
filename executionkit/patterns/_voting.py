"""A vote: what each reply votes for, the counts, and when the outcome is settled. Integers only, no model."""

import inspect
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Literal, TypeAlias

from executionkit import _checks as checks
from executionkit._text import collapsed, shorten
from executionkit.engine.bill import add_note
from executionkit.engine.thoughts import without_thoughts
from executionkit.responses import LLMResponse

Key: TypeAlias = Callable[[str], Hashable | None]
"""`key(text)`: the answer in a reply's text, anything hashable; None, or NaN, if it has no answer."""


def check_key(key: object) -> None:
    """Require a plain function of a text, or None."""
    checks.called_with("text", key=key)
    if inspect.iscoroutinefunction(key):
        raise ValueError(f"key must be a plain function, not an async one, got {key!r}")


class Reader:
    """Reads replies with one key, the same text once only.

    Reading a long text again for every vote would make a vote's cost grow with the length of the replies.

    Args:
        key: Reads the answer out of the text; None takes the text without its thoughts, whitespace collapsed.
    """

    def __init__(self, key: Key | None) -> None:
        self._key = _spoken if key is None else key
        self._known: dict[str, Hashable | None] = {}

    def answer(self, sample: int, reply: LLMResponse) -> Hashable | None:
        """The answer that `reply` votes for; None if it has no text, was filtered, or holds no answer.

        Raises:
            TypeError: The key returned something that can't be counted.
            Exception: Any exception of the key, with a note of the text it was given.
        """
        text = reply.content
        if reply.was_filtered or not text.strip():
            return None
        if text not in self._known:
            try:
                self._known[text] = _countable(self._key(text))
            except Exception as exc:
                add_note(exc, f"raised by `key`, reading sample {sample}: {shorten(text, 80)!r}")
                raise
        return self._known[text]


def _spoken(text: str) -> str | None:
    return collapsed(without_thoughts(text)) or None


def _countable(answer: Hashable | None) -> Hashable | None:
    if isinstance(answer, float) and math.isnan(answer):
        return None  # no number, and no vote either: it doesn't even equal itself
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise TypeError("key must be a plain function, not an async one")
    if callable(answer):
        # Every one would be an answer of its own: a maker of readers was given instead of a reader.
        raise TypeError(f"key must return an answer, got {answer!r}; is `key` to be called first?")
    try:
        hash(answer)
    except TypeError:
        raise TypeError(f"key must return something hashable or None, got {answer!r}") from None
    return answer


class Votes:
    """The votes so far, added in sample order.

    Args:
        by_confidence: Whether a tie goes to the answer whose replies are the more probable on average. If one
            of them came without log-probabilities, it goes to the answer seen first, as it does otherwise.

    Attributes:
        counts: How many samples gave each answer, in the order in which the answers were first seen.
        first: Which sample gave each answer first.
        abstained: How many samples had no answer.
        by_confidence: Whether ties go by probability.
    """

    __slots__ = ("_logprobs", "_top", "abstained", "by_confidence", "counts", "first")

    def __init__(self, *, by_confidence: bool = False) -> None:
        self.by_confidence: bool = by_confidence
        self._logprobs: dict[Hashable, float] = {}
        self.counts: dict[Hashable, int] = {}
        self.first: dict[Hashable, int] = {}
        self.abstained: int = 0
        self._top: list[Hashable] = []

    def add(self, sample: int, answer: Hashable | None, logprob: float | None = None) -> None:
        """Count what `sample` answered; None abstains. Each sample comes after those before it.

        Args:
            sample: Its number.
            answer: Its answer.
            logprob: The mean log-probability of its reply, if that is known.
        """
        if answer is None:
            self.abstained += 1
            return
        if self.by_confidence:
            if logprob is None:
                self.by_confidence = False
                self._top = sorted(self.counts, key=self._rank)[:2]
            else:
                self._logprobs[answer] = self._logprobs.get(answer, 0.0) + logprob
        count = self.counts.get(answer, 0) + 1
        self.counts[answer] = count
        if count == 1:
            self.first[answer] = sample
        # Only the two best matter to a decision: kept up to date here, they need no search later, however
        # many different answers there are. A vote for the best moves neither.
        if not self._top or answer != self._top[0]:
            if answer not in self._top:
                self._top.append(answer)
            self._top.sort(key=self._rank)
            del self._top[2:]

    def _rank(self, answer: Hashable) -> tuple[int, float, int]:
        count = self.counts[answer]
        return -count, -self._logprobs[answer] / count if self.by_confidence else 0.0, self.first[answer]

    @property
    def winner(self) -> Hashable | None:
        """The answer with the most votes; None without any vote."""
        return self._top[0] if self._top else None

    @property
    def most(self) -> int:
        """The winner's votes; 0 without any vote."""
        return self.counts[self._top[0]] if self._top else 0

    @property
    def second(self) -> int:
        """The votes of the second best answer; 0 without one."""
        return self.counts[self._top[1]] if len(self._top) > 1 else 0

    @property
    def threat(self) -> int:
        """The votes that the winner needs at present so that no other answer beats it.

        An answer seen before the winner wins a tie with it, so it counts as one vote more. By probability any
        answer may come to win one, even one not seen yet.
        """
        if self.by_confidence:
            return self.second + 1
        if len(self._top) < 2:
            return 0
        return self.second + (self.first[self._top[1]] < self.first[self._top[0]])

    @property
    def tied(self) -> int:
        """How many answers share the top count: 1 means no tie."""
        return sum(count == self.most for count in self.counts.values())

    def ranking(self) -> tuple[tuple[Hashable, int], ...]:
        """Every answer and its votes, the winner first, then by votes, then as ties are broken."""
        return tuple((answer, self.counts[answer]) for answer in sorted(self.counts, key=self._rank))


def most_probable(votes: Sequence[tuple[int, Hashable, float | None]], share: float) -> Votes | None:
    """The votes of the most probable replies alone.

    Args:
        votes: The number of each sample with an answer, in order, its answer, and the mean log-probability of
            its reply.
        share: The share of them that vote, rounded up to a whole number.

    Returns:
        The votes; None if a log-probability is missing.
    """
    known = [(sample, answer, logprob) for sample, answer, logprob in votes if logprob is not None]
    if len(known) < len(votes):
        return None
    # 0.7 * 10 is a little more than 7 in floats.
    count = math.ceil(round(share * len(known), 9))
    chosen = sorted(known, key=lambda vote: -vote[2])[:count]
    found = Votes(by_confidence=True)
    for vote in sorted(chosen, key=lambda vote: vote[0]):
        found.add(*vote)
    return found


StopRule: TypeAlias = Callable[[Votes, int], int]
"""`rule(votes, left)`: the fewest of the `left` remaining samples that could settle the vote; 0 once it is.

The number is exact for the votes that settle it soonest. A caller who takes that many samples at a time
never takes one too many.
"""


def check_confidence(confidence: object, stop: object, *, unanimous: bool) -> None:
    """Require what `consensus(confidence=...)` takes, and goes with the other parameters."""
    if confidence is None:
        return
    if confidence != "ties":
        is_share = isinstance(confidence, (int, float)) and not isinstance(confidence, bool)
        if not (is_share and 0 < confidence <= 1):  # type: ignore[operator]  # it is a number
            raise ValueError(f"confidence must be None, 'ties' or a share in (0, 1], got {confidence!r}")
        if stop != "all":
            why = "which replies vote is known when all have come back"
            raise ValueError(f"stop must be 'all' with confidence={confidence!r}, got {stop!r}: {why}")
    if unanimous:
        raise ValueError(f"confidence must be None with strategy='unanimous', got {confidence!r}")


def check_stop(stop: object) -> None:
    """Require what `consensus(stop=...)` takes."""
    if stop in ("all", "decided") or (isinstance(stop, float) and 0.5 < stop < 1):
        return
    raise ValueError(f"stop must be 'all', 'decided' or a confidence in (0.5, 1), got {stop!r}")


def stop_rule(stop: Literal["all", "decided"] | float, *, unanimous: bool) -> StopRule:
    """The rule for `consensus(stop=...)`, where a number is the confidence asked for.

    Every rule but "all" also stops where the rest can't change the outcome; that of a unanimous vote is
    known as soon as two answers differ.
    """
    if stop == "all":
        return _last_sample
    rules: list[StopRule] = [_disagreement if unanimous else decided]
    if stop != "decided":
        rules.append(confident(float(stop)))
    return lambda votes, left: min(left, *(rule(votes, left) for rule in rules))


def _last_sample(_: Votes, left: int) -> int:
    return left


def _disagreement(votes: Votes, _: int) -> int:
    return max(0, 2 - len(votes.counts))


def decided(votes: Votes, left: int) -> int:
    """Settled when the winner stays the winner whatever the rest say, ties and their rule included."""
    # Soonest if all of them vote for it: after k such votes `most + k` must hold against `threat + left - k`.
    return max(0, -(-(votes.threat + left - votes.most) // 2))


def agreeing(needed: int) -> StopRule:
    """Settled when an answer has `needed` votes, or none can get them any more."""

    def fewest(votes: Votes, left: int) -> int:
        if votes.most + left < needed:
            return 0
        # Soonest if all of them vote for the winner, or each for an answer of its own.
        return max(0, min(needed - votes.most, max(votes.most, 1) + left - needed + 1))

    return fewest


def final(needed: int) -> StopRule:
    """Settled when an answer has `needed` votes, or the winner stays the winner whatever the rest say."""
    return lambda votes, left: max(0, min(needed - votes.most, decided(votes, left)))


def confident(confidence: float) -> StopRule:
    """Settled when the winner is the likelier of the two best answers with at least this `confidence`.

    The stopping rule of Adaptive-Consistency (Aggarwal et al., "Let's Sample Step by Step:
    Adaptive-Consistency for Efficient Reasoning and Coding with LLMs", EMNLP 2023), on exact integers.
    """
    needed: list[int] = []
    more = _confident_leads(confidence)

    def fewest(votes: Votes, _: int) -> int:
        while len(needed) <= votes.second:
            needed.append(next(more))
        return max(0, needed[votes.second] - votes.most)

    return fewest


def certainty(most: int, second: int) -> float:
    """P(Beta(most+1, second+1) > 1/2): how sure `most` votes to `second` make the leader the likelier answer.

    With n = most + second + 1 it is sum(C(n, k), k=0..most) / 2^n; computed from the other, shorter tail.
    """
    n = most + second + 1
    term = tail = 1
    for k in range(second):
        term = term * (n - k) // (k + 1)
        tail += term
    # The division of integers is rounded once and can't overflow.
    return ((1 << n) - tail) / (1 << n)


def _confident_leads(confidence: float) -> Iterator[int]:
    """For 0, 1, 2, ... votes of the second answer: the fewest of the first that make it certain enough.

    Walks along the boundary in Pascal's triangle, a step for each vote, with `tail` the sum of C(n, k) over
    k = 0..second: certain enough is `tail / 2^n <= 1 - confidence`.
    """
    numerator, denominator = confidence.as_integer_ratio()
    most = second = 0
    n = term = tail = 1
    while True:
        while tail * denominator > (denominator - numerator) << n:
            most, n, tail, term = most + 1, n + 1, 2 * tail - term, term * (n + 1) // (n + 1 - second)
        yield most
        n, tail, term = n + 1, 2 * tail - term, term * (n + 1) // (n + 1 - second)
        second += 1
        term = term * (n + 1 - second) // second
        tail += term
