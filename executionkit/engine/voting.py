"""Counting votes: which answer most samples gave."""

from collections.abc import Sequence
from typing import NamedTuple


class Tally(NamedTuple):
    """A counted vote.

    Attributes:
        winner: The winning answer as its first voter wrote it; None when nobody voted.
        votes: How many gave it.
        unique: How many different answers there were.
        tied: How many answers share the top count: 1 means no tie.
    """

    winner: str | None
    votes: int
    unique: int
    tied: int


def tally(answers: Sequence[str | None]) -> Tally:
    """Count `answers`, where None abstains; a tie goes to the answer seen first.

    Two answers are the same when they are equal after surrounding whitespace is stripped and inner runs
    of whitespace are collapsed to one space.
    """
    # Equal texts are counted before they are normalised: reading a long text again for every vote would
    # make the count's cost grow with the length of the replies.
    counts: dict[str, int] = {}
    for answer in answers:
        if answer is not None:
            counts[answer] = counts.get(answer, 0) + 1
    votes: dict[str, int] = {}
    first: dict[str, str] = {}
    for answer, count in counts.items():
        key = " ".join(answer.split())
        votes[key] = votes.get(key, 0) + count
        first.setdefault(key, answer)
    if not votes:
        return Tally(winner=None, votes=0, unique=0, tied=0)
    top = max(votes.values())
    leaders = [key for key, count in votes.items() if count == top]
    return Tally(winner=first[leaders[0]], votes=top, unique=len(votes), tied=len(leaders))
