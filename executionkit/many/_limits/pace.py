"""`Pace`: when the next call may be sent. It decides by figures and the time that it is given."""

import math
from typing import Final, NamedTuple

_FIRST_WINDOW: Final = 16
"""Calls in flight at the start, where no limit is known."""

_USEFUL_PAUSE: Final = 0.5
"""Seconds of a pause in which a server gathers room, as we take it. Buckets hold a second, or less."""

_DEAR_PAUSE: Final = 10.0
"""Seconds. A rate too high is found sooner than one too low, but not at the cost of such pauses."""

_FIRST_LESSON: Final = 1.0
"""Seconds of sending before which a refusal says nothing of the rate: the first calls went all at once."""

_CLOSE: Final = 0.85
_BELOW: Final = 0.98
_HOLD_CLOSE: Final = 60.0
"""Where a refusal comes at nearly the known rate, the rate is right: a little less is sent for a minute."""

_HOLD: Final = 8.0
"""Seconds for which the learnt rate grows slowly only, for each second that a refusal makes all wait."""

_HOLD_NAMED: Final = 60.0
"""Seconds for which a rate that the server has named grows slowly only."""

_SLOWLY: Final = 0.04
"""The growth in that time."""

_STEEP: Final = 0.4
"""Of that time, the part in which it doubles afterwards: by then the limit must have been raised."""

_SMALL: Final = 0.4
"""The part of the burst that is sent at once at a learnt rate: a server that has refused counts closely."""

_CALLS_HELD: Final = 20
_MANY: Final = 10
"""So many calls say something of a rate."""
_FORGOTTEN: Final = 8.0
"""The growth after which a learnt rate says nothing any more."""

_NO_RATE: Final = 1e-9
_LEAST_BACKOFF: Final = 0.05
_LONGEST_BACKOFF: Final = 30.0
_AN_INSTANT: Final = 0.01

LONGEST_PAUSE: Final = 600.0
"""Seconds. A server that asks for more has a limit by the hour or the day: calls fail instead of waiting."""


class Bucket:
    """Room that fills at a rate and is taken by calls. A call larger than the bucket goes when it is full.

    Args:
        rate: The units a second.
        burst: The seconds of the rate that it holds.
    """

    __slots__ = ("_at", "_burst", "_level", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self._burst = burst
        self._level = max(1.0, rate * burst)
        self._at = -math.inf

    def wait(self, now: float, units: float) -> float:
        """The seconds until there is room."""
        size = max(1.0, self.rate * self._burst)
        if now > self._at:
            gained = 0.0 if self._at == -math.inf else (now - self._at) * self.rate
            self._level = min(size, self._level + gained)
            self._at = now
        missing = min(units, size) - self._level
        return missing / self.rate if missing > 1e-9 else 0.0

    def set_rate(self, now: float, rate: float) -> None:
        """Fill it at another rate from now on. It holds no more than it would have held at that one."""
        self.wait(now, 0.0)
        self.rate = rate
        self._level = min(self._level, rate * self._burst)

    def take(self, units: float) -> None:
        """Take room, or give some back. It may fall below zero: then later calls wait for longer."""
        self._level -= units

    def drain(self, now: float, until: float) -> None:
        """Keep room for one unit until a pause ends, so that those who wait for that don't all go at once."""
        self.wait(now, 0.0)
        self._level, self._at = min(self._level, 1.0), max(self._at, until)


class Sent(NamedTuple):
    """Where a call stands among those that were sent: the time, and the units up to it, itself included."""

    at: float
    total: float
    units: float


class _Lesson(NamedTuple):
    """What a refusal has shown.

    Attributes:
        since: The units that were sent before the first one that it counts.
        admitted: The units that were admitted.
        rate: The units a second.
        most: The rate before it, if it is bounded by that.
    """

    since: float
    admitted: float
    rate: float
    most: float

    @property
    def bounded(self) -> float:
        """The rate that follows: no more than before, and no less than half of that."""
        return self.rate if self.most == math.inf else min(max(self.rate, self.most / 2), self.most)

    def without(self, units: float) -> "_Lesson":
        """The lesson if so many units were not admitted."""
        left = self.admitted - units
        return self._replace(admitted=left, rate=self.rate * left / self.admitted)


class Learnt:
    """A rate that is learnt from refusals.

    Between two refusals a server admits exactly its rate: it had no room left at either. So the rate is the
    number of units admitted between them, by the time between them.
    """

    def __init__(self, burst: float, known: float | None) -> None:
        self._burst = burst
        self._known = known
        self._bucket: Bucket | None = None
        self._base = 0.0
        self._total = 0.0
        self._hold = _HOLD
        self._began = self._grows_from = self._learnt_at = -math.inf
        self._lessons = self._streak = 0
        self._is_close = False
        self._lesson: _Lesson | None = None
        # The place of the refusal that was learnt from last; at first, of the first call.
        self._mark: Sent | None = None
        self._refused_since = self._paused = 0.0
        # Since when the calls of the last seconds were sent, and the units before them.
        self._recent: tuple[tuple[float, float], tuple[float, float]] | None = None

    def rate(self, now: float) -> float | None:
        """The units a second that may be sent; None before anything is known."""
        bucket = self._bucket
        if bucket is None:
            return None
        seconds = max(0.0, now - self._grows_from)
        if self._is_close:
            seconds = max(0.0, seconds - _HOLD_CLOSE)
        slowly = _SLOWLY * seconds / max(self._hold, _HOLD)
        growth = 1 + slowly + (max(0.0, seconds - self._hold) / (_STEEP * self._hold)) ** 3
        if growth > _FORGOTTEN:
            self._bucket = None
            return None
        bucket.rate = self._base * growth
        return bucket.rate

    def wait(self, now: float, units: float) -> float:
        """The seconds until the learnt rate has room."""
        if self._bucket is None or self.rate(now) is None:
            return 0.0
        return self._bucket.wait(now, units)

    def send(self, now: float, units: float) -> Sent:
        """Count a call that is sent."""
        self._total += units
        if self._bucket is not None:
            self._bucket.take(units)
        if self._mark is None:
            self._began = now
            self._mark = Sent(now, 0.0, 0.0)
        before = self._total - units
        if self._recent is None:
            self._recent = (now, before), (now, before)
        elif now - self._recent[1][0] >= 1.0 and before - self._recent[1][1] >= _MANY * units:
            self._recent = self._recent[1], (now, before)
        return Sent(now, self._total, units)

    def correct(self, units: float) -> None:
        """Count units more, or fewer, than a call was taken for."""
        self._total += units
        if self._bucket is not None:
            self._bucket.take(units)

    def admit(self) -> None:
        """A call was admitted, so refusals don't follow on each other any more."""
        self._streak = 0

    def seed(self, now: float, rate: float) -> None:
        """Begin with a rate that the server has named."""
        self._is_close = False
        self._begin(now, rate, 0.0)
        self._hold = _HOLD_NAMED

    def refuse(self, now: float, sent: Sent) -> bool:
        """Learn from a refusal, or only count it if it was sent before the last lesson.

        Returns:
            Whether something was learnt.
        """
        mark = self._mark or Sent(sent.at, 0.0, 0.0)
        if sent.at <= self._learnt_at:
            if sent.total > mark.total:
                self._refused_since += sent.units
            elif self._lesson is not None and sent.total > self._lesson.since:
                self._count_less(self._lesson, sent.units)
            return False
        admitted = sent.total - sent.units - mark.total - self._refused_since
        current = self.rate(now)
        if admitted < sent.units:
            # Nothing to measure. The pauses grow instead.
            self._streak += 1
            self._refused_since += sent.units
            self._learnt_at = now
            return False
        self._streak = 0
        self._learnt_at = now
        are_many, is_dear = admitted >= _MANY * sent.units, self._paused >= _DEAR_PAUSE
        is_early = not self._lessons and sent.at - self._began < _FIRST_LESSON
        if is_early and self._known is None and not are_many:
            self._mark, self._refused_since, self._paused = sent, 0.0, 0.0
            return False
        rate = self._measured(sent, mark, admitted)
        self._lesson, self._is_close = None, False
        if self._known is not None and (is_early or rate > _CLOSE * self._known):
            least = _BELOW * _BELOW * self._known
            rate, self._is_close = max(least, _BELOW * min(current or self._known, self._known)), True
        else:
            is_first = not self._lessons or (self._lessons == 1 and is_dear and not are_many)
            most = math.inf if current is None or is_first else current
            self._lesson = _Lesson(mark.total, admitted, rate, most)
            rate = self._lesson.bounded
        self._mark, self._refused_since, self._paused = sent, 0.0, 0.0
        self._lessons += 1
        self._begin(now, rate, sent.units)
        return True

    def _count_less(self, lesson: _Lesson, units: float) -> None:
        """Take off a lesson what it counted as admitted: a server may take a while to refuse."""
        if lesson.admitted - units >= units:
            self._lesson = lesson.without(units)
            self._base = min(self._base, self._lesson.bounded)
            return
        # Nothing was admitted, so it has shown nothing.
        self._lesson = None
        self._lessons -= 1
        if lesson.most == math.inf:
            self._bucket = None
        else:
            self._base = lesson.most

    def pause(self, now: float, until: float) -> None:
        """Take a pause into account that begins now."""
        self._paused += until - now
        if until - now >= _USEFUL_PAUSE:
            self._recent = None
        self._grows_from = max(self._grows_from, until)
        if self._bucket is not None:
            self._hold = max(self._hold, _HOLD * min(until - now, 60.0))
            self._bucket.drain(now, until)

    def backoff(self, wait: float) -> float:
        """The seconds to wait where the server asks for `wait`: more if one refusal follows on the other."""
        if self._streak < 2:
            return wait
        return max(wait, min(_LONGEST_BACKOFF, max(wait, _LEAST_BACKOFF) * 2.0 ** min(self._streak - 1, 10)))

    def _measured(self, sent: Sent, mark: Sent, admitted: float) -> float:
        seconds = max(sent.at - mark.at, 1e-3)
        are_many = admitted >= _MANY * sent.units
        is_dear = self._paused >= _DEAR_PAUSE
        if not self._lessons and (are_many or not is_dear):
            # A rate too high is put right by the next refusal, one too low only grows.
            rate = admitted / max(seconds - self._paused, 0.25)
        else:
            # In a long pause the server's bucket ran over, unless it fills call by call.
            gathered = max(_USEFUL_PAUSE, _MANY * sent.units * seconds / admitted)
            rate = admitted / max(seconds - max(0.0, self._paused - gathered), 1e-3)
        if self._recent is None or not are_many:
            return rate
        (began, before), _ = self._recent
        latest = sent.total - sent.units - before - self._refused_since
        if not self._lessons:
            return max(rate, latest / max(sent.at - began, 1.0))
        is_known = self._known is not None
        if latest >= _MANY * sent.units and sent.at - began >= _USEFUL_PAUSE and (is_known or not is_dear):
            # A server that holds little lost what it was not asked for, so its rate is higher. It is lower
            # than what was admitted last, by what the server holds.
            return max(rate, (rate + latest / (sent.at - began)) / 2)
        return rate

    def _begin(self, now: float, rate: float, units: float) -> None:
        self._base = rate
        self._hold = max(_HOLD / 2, _CALLS_HELD * units / rate)
        self._grows_from = now
        if self._bucket is None:
            self._bucket = Bucket(rate, _SMALL * self._burst)
        self._bucket.rate = rate


class Ticket:
    """A call that was sent and has not ended."""

    __slots__ = ("at", "is_open", "requests", "tokens")

    def __init__(self, at: float, requests: Sent, tokens: Sent) -> None:
        self.at: float = at
        self.requests: Sent = requests
        self.tokens: Sent = tokens
        self.is_open: bool = True


class Pace:
    """Says when a call may be sent, from what is known and from how calls end.

    Args:
        requests: The calls a second; None if that is not known.
        tokens: The tokens a second; None if that is not known.
        max_in_flight: The most calls at once.
        adaptive: Whether rates are learnt.
        burst: The seconds of a rate that may be sent at once.
    """

    def __init__(
        self,
        requests: float | None,
        tokens: float | None,
        max_in_flight: int,
        *,
        adaptive: bool,
        burst: float,
    ) -> None:
        self._given = requests, tokens
        self._requests = None if requests is None else Bucket(requests, burst)
        self._tokens = None if tokens is None else Bucket(tokens, burst)
        self._learnt_requests = Learnt(burst, requests)
        self._learnt_tokens = Learnt(burst, tokens)
        self._most = max_in_flight
        self._adaptive = adaptive
        is_unknown = adaptive and requests is None and tokens is None
        self._window = min(_FIRST_WINDOW, max_in_flight) if is_unknown else max_in_flight
        self._paused_until = -math.inf
        self._halved_at = -math.inf
        self._unanswered_since: float | None = None
        self.in_flight = 0
        self.refused = 0

    def scale(self, now: float, part: float) -> None:
        """Keep to a part of the given rates, from 0 to 1. Rates that are learnt stay."""
        for bucket, rate in zip((self._requests, self._tokens), self._given, strict=True):
            if bucket is not None and rate is not None:
                bucket.set_rate(now, max(_NO_RATE, rate * part))

    def paused(self, now: float) -> float:
        """The seconds for which nothing is sent."""
        return max(0.0, self._paused_until - now)

    def rates(self, now: float) -> tuple[float | None, float | None]:
        """The calls and the tokens a second that may be sent; None where nothing is known."""
        requests, tokens = self._learnt_requests.rate(now), self._learnt_tokens.rate(now)
        return _least(self._requests, requests), _least(self._tokens, tokens)

    def wait(self, now: float, tokens: float, *, beside: bool = False) -> float:
        """The seconds until a call may be sent; infinite while only the end of another one makes room.

        Args:
            now: The time.
            tokens: The tokens that the call is taken for.
            beside: Whether it goes beside a stream of its own task, which would never end otherwise.
        """
        if self.in_flight >= self._window and not (beside and self.in_flight):
            return math.inf
        wait = self._paused_until - now
        if self._requests is not None:
            wait = max(wait, self._requests.wait(now, 1.0))
        if self._tokens is not None:
            wait = max(wait, self._tokens.wait(now, tokens))
        if self._adaptive:
            wait = max(wait, self._learnt_requests.wait(now, 1.0), self._learnt_tokens.wait(now, tokens))
        return max(0.0, wait)

    def send(self, now: float, tokens: float) -> Ticket:
        """Count a call that is sent now."""
        self.in_flight += 1
        if self._requests is not None:
            self._requests.take(1.0)
        if self._tokens is not None:
            self._tokens.take(tokens)
        return Ticket(now, self._learnt_requests.send(now, 1.0), self._learnt_tokens.send(now, tokens))

    def answer(self, ticket: Ticket, tokens: float | None) -> None:
        """End a call that was admitted; `tokens` are those that it took, where they are known."""
        if not self._end(ticket):
            return
        self._unanswered_since = None
        self._learnt_requests.admit()
        self._learnt_tokens.admit()
        self._window = min(self._most, self._window + 1)
        if tokens is not None:
            self._settle(tokens - ticket.tokens.units)

    def fail(self, ticket: Ticket) -> None:
        """End a call of which it is not known whether it took room: it counts."""
        self._end(ticket)

    def give_back(self, ticket: Ticket) -> None:
        """End a call that was not sent."""
        if self._end(ticket):
            if self._requests is not None:
                self._requests.take(-1.0)
            self._learnt_requests.correct(-1.0)
            self._settle(-ticket.tokens.units)

    def refuse(self, now: float, ticket: Ticket, wait: float, *, of_tokens: bool | None) -> bool:
        """End a call that was refused.

        Args:
            now: The time.
            ticket: The call.
            wait: The seconds that the server asks for.
            of_tokens: Whether a limit of tokens refused it, not one of requests; None if the server is
                overloaded, which says nothing of a limit.

        Returns:
            Whether something was learnt.
        """
        if not self._end(ticket):
            return False
        self.refused += 1
        if self._unanswered_since is None:
            self._unanswered_since = now
        if self._tokens is not None:
            self._tokens.take(-ticket.tokens.units)
        is_lesson = False
        if of_tokens is not None and self._adaptive:
            lane, sent = (
                (self._learnt_tokens, ticket.tokens)
                if of_tokens
                else (self._learnt_requests, ticket.requests)
            )
            is_lesson = lane.refuse(now, sent)
            wait = lane.backoff(wait)
        if is_lesson:
            self._window = self._most
        elif ticket.at > self._halved_at:
            # Nothing is known that would spread the calls after the pause.
            self._window = max(1, self._window // 2)
            self._halved_at = now
        until = now + max(wait, _AN_INSTANT)
        if until > self._paused_until:
            began = max(now, self._paused_until)
            self._learnt_requests.pause(began, until)
            self._learnt_tokens.pause(began, until)
            for bucket in (self._requests, self._tokens):
                if bucket is not None:
                    bucket.drain(now, until)
            self._paused_until = until
        return is_lesson

    def seed(self, now: float, rate: float, *, of_tokens: bool) -> None:
        """Begin with a rate that the server has named. It is tried and learnt from like any other."""
        (self._learnt_tokens if of_tokens else self._learnt_requests).seed(now, rate)
        self._window = self._most

    def seconds_without_answer(self, now: float) -> float:
        """The seconds for which every call was refused."""
        return 0.0 if self._unanswered_since is None else now - self._unanswered_since

    def _settle(self, tokens: float) -> None:
        if self._tokens is not None:
            self._tokens.take(tokens)
        self._learnt_tokens.correct(tokens)

    def _end(self, ticket: Ticket) -> bool:
        if not ticket.is_open:
            return False
        ticket.is_open = False
        self.in_flight -= 1
        return True


def _least(known: Bucket | None, learnt: float | None) -> float | None:
    if known is None or learnt is None:
        return learnt if known is None else known.rate
    return min(known.rate, learnt)
