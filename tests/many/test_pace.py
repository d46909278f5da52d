"""The decisions of a pace, in virtual time, where there is always a next call."""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from executionkit.many._limits.pace import Pace, Ticket

RATE = 50.0


class Server(Protocol):
    rate: float

    def ask(self, now: float, units: float) -> float:
        """Take room; else the seconds until there is some."""
        ...


class Bucket:
    """A server whose room fills steadily, up to that of `burst` seconds."""

    def __init__(self, rate: float, burst: float = 1.0) -> None:
        self.rate, self._burst = rate, burst
        self._level, self._at = rate * burst, 0.0

    def ask(self, now: float, units: float) -> float:
        size = max(1.0, self.rate * self._burst)
        self._level = min(size, self._level + (now - self._at) * self.rate)
        self._at = now
        missing = min(units, size) - self._level
        if missing > 1e-9:
            return missing / self.rate
        self._level -= units
        return 0.0


class Windows:
    """A server that admits its share in each window of some seconds."""

    def __init__(self, rate: float, seconds: float) -> None:
        self.rate, self._seconds = rate, seconds
        self._window, self._used = -1, 0.0

    def ask(self, now: float, units: float) -> float:
        window = int(now // self._seconds)
        if window != self._window:
            self._window, self._used = window, 0.0
        if self._used + units > self.rate * self._seconds:
            return (window + 1) * self._seconds - now
        self._used += units
        return 0.0


class Sliding:
    """A server that admits its share in any stretch of some seconds."""

    def __init__(self, rate: float, seconds: float) -> None:
        self.rate, self._seconds = rate, seconds
        self._admitted = deque[float]()

    def ask(self, now: float, units: float) -> float:
        while self._admitted and self._admitted[0] <= now - self._seconds:
            self._admitted.popleft()
        if len(self._admitted) >= self.rate * self._seconds:
            return self._admitted[0] + self._seconds - now
        self._admitted.append(now)
        return 0.0


class Outcome(NamedTuple):
    admitted: list[tuple[float, float]]
    refused: int

    def share(self, begin: float, end: float, rate: float) -> float:
        """The part of the allowed units that were admitted."""
        return sum(units for at, units in self.admitted if begin <= at < end) / (rate * (end - begin))

    @property
    def refused_share(self) -> float:
        return self.refused / (self.refused + len(self.admitted))


def played(
    pace: Pace,
    server: Server,
    seconds: float,
    *,
    latency: float = 0.4,
    refusal: float = 0.01,
    whole_seconds: bool = True,
    size: Callable[[random.Random], float] = lambda _: 1.0,
    of_tokens: bool = False,
    changes: Iterable[tuple[float, float]] = (),
    seed: int = 1,
) -> Outcome:
    """Let the pace decide for so many seconds."""
    chance = random.Random(seed)
    events: list[tuple[float, int, str, Any]] = []
    admitted: list[tuple[float, float]] = []
    again: deque[float] = deque()
    following, refused, number, looks_at, now = size(chance), 0, 0, math.inf, 0.0

    def plan(at: float, kind: str, what: Any = None) -> None:
        nonlocal number
        number += 1
        heapq.heappush(events, (at, number, kind, what))

    for at, rate in changes:
        plan(at, "change", rate)
    while now < seconds:
        while (wait := pace.wait(now, again[0] if again else following)) <= 0:
            units = again.popleft() if again else following
            following = size(chance)
            plan(now + 0.004 * chance.random(), "arrives", (pace.send(now, units), units))
        if now + wait < looks_at or looks_at <= now:
            looks_at = now + wait
            plan(looks_at, "looks")
        assert events, "the pace has stalled"
        now, _, kind, what = heapq.heappop(events)
        if kind == "change":
            server.rate = what
        elif kind == "arrives":
            asked = server.ask(now, what[1])
            if asked:
                refused += 1
                plan(
                    now + refusal * (0.5 + chance.random()),
                    "refused",
                    (*what, math.ceil(asked) if whole_seconds else asked),
                )
            else:
                admitted.append((now, what[1]))
                plan(now + latency * (0.5 + chance.random()), "answered", what)
        elif kind == "answered":
            pace.answer(*what)
        elif kind == "refused":
            pace.refuse(now, what[0], what[2], of_tokens=of_tokens)
            again.append(what[1])
    return Outcome(admitted, refused)


def paced(requests: float | None = None, tokens: float | None = None, at_once: int = 64) -> Pace:
    return Pace(requests, tokens, at_once, adaptive=True, burst=0.25)


def prompts(chance: random.Random) -> float:
    """Tokens from 10 to 10,000; 1,447 on average."""
    return math.exp(chance.uniform(math.log(10), math.log(10_000)))


def test_a_known_limit_is_used_whole_and_nothing_is_refused() -> None:
    outcome = played(paced(RATE), Bucket(RATE), 20)
    assert outcome.share(0, 20, RATE) >= 0.97
    assert outcome.refused == 0


@pytest.mark.parametrize("whole_seconds", [True, False])
def test_an_unknown_limit_is_learnt(whole_seconds: bool) -> None:
    outcome = played(paced(), Bucket(RATE), 45, whole_seconds=whole_seconds)
    assert outcome.share(0, 45, RATE) >= 0.95
    assert outcome.refused_share <= 0.03


@pytest.mark.parametrize(("requests", "factor"), [(None, 0.5), (RATE, 0.5), (None, 2.0)])
def test_a_limit_that_changes_is_followed(requests: float | None, factor: float) -> None:
    outcome = played(paced(requests), Bucket(RATE), 120, changes=[(60, factor * RATE)])
    assert outcome.share(0, 60, RATE) >= 0.9
    assert outcome.share(60, 120, factor * RATE) >= 0.9
    assert outcome.refused_share <= 0.03


@pytest.mark.parametrize(("requests", "window"), [(RATE, 1.0), (RATE, 10.0), (None, 10.0)])
def test_a_server_that_counts_by_windows(requests: float | None, window: float) -> None:
    outcome = played(paced(requests), Windows(RATE, window), 40)
    assert outcome.share(0, 40, RATE) >= 0.9
    assert outcome.refused_share <= 0.03


@pytest.mark.parametrize("server", [Bucket(RATE, 0.1), Windows(RATE, 1.0), Sliding(RATE, 1.0)])
def test_a_known_limit_is_used_though_the_server_holds_little(server: Server) -> None:
    outcome = played(paced(RATE), server, 60)
    assert outcome.share(0, 60, RATE) >= 0.95
    assert outcome.refused_share <= 0.004


def test_a_minute_that_was_used_up_at_once_does_not_make_the_rate_small_afterwards() -> None:
    outcome = played(paced(), Sliding(RATE, 60), 300)
    assert outcome.share(0, 300, RATE) >= 0.98


def test_calls_that_take_a_minute_are_sent_at_the_learnt_rate_not_as_many_at_once_as_at_first() -> None:
    outcome = played(paced(at_once=100), Bucket(1.0), 600, latency=60)
    assert outcome.share(0, 600, 1.0) >= 0.7


def test_refusals_that_come_late_are_not_taken_for_admitted_calls() -> None:
    outcome = played(paced(), Bucket(RATE), 45, refusal=0.4)
    assert outcome.share(0, 45, RATE) >= 0.93
    assert outcome.refused_share <= 0.04


@pytest.mark.parametrize("is_known", [True, False])
def test_a_limit_of_tokens_with_prompts_of_all_sizes(is_known: bool) -> None:
    rate = RATE * 1_447
    pace = paced(None, rate if is_known else None)
    outcome = played(pace, Bucket(rate), 45, size=prompts, of_tokens=True)
    assert outcome.share(0, 45, rate) >= 0.9
    assert outcome.refused_share <= 0.03


@given(
    rate=st.floats(0.2, 200),
    at_once=st.integers(1, 128),
    is_known=st.booleans(),
    whole_seconds=st.booleans(),
    window=st.none() | st.sampled_from([1.0, 10.0, 60.0]),
    seed=st.integers(0, 99),
)
@example(rate=1.5, at_once=10, is_known=False, whole_seconds=False, window=None, seed=0)
@settings(max_examples=20, deadline=None)
def test_calls_go_on_whatever_the_limit_is(
    rate: float, at_once: int, is_known: bool, whole_seconds: bool, window: float | None, seed: int
) -> None:
    """Never a stall: a third of the possible is admitted, whatever the limit, the pauses and the latency."""
    server = Bucket(rate) if window is None else Windows(max(rate, 1.0), window)
    rate = server.rate
    pace = paced(rate if is_known else None, at_once=at_once)
    seconds = max(60.0, 40 / rate)
    outcome = played(pace, server, seconds, whole_seconds=whole_seconds, seed=seed)
    possible = min(rate, at_once / 0.4)
    assert outcome.share(0, seconds, possible) > 1 / 3


@given(
    rate=st.floats(0.5, 500),
    burst=st.floats(0.05, 2.0),
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 40)), min_size=1, max_size=30),
)
def test_no_stretch_of_time_sends_more_than_the_rate_and_a_burst(
    rate: float, burst: float, steps: list[tuple[float, int]]
) -> None:
    pace = Pace(rate, None, 10**6, adaptive=True, burst=burst)
    now, sent = 0.0, list[float]()
    for passed, wanted in steps:
        now += passed
        for _ in range(wanted):
            if pace.wait(now, 1.0) <= 0:
                pace.send(now, 1.0)
                sent.append(now)
    for first, begin in enumerate(sent):
        for last in range(first, len(sent)):
            assert last - first + 1 <= (sent[last] - begin) * rate + max(1.0, burst * rate) + 1e-6


def refusals(pace: Pace, now: float, count: int, wait: float) -> None:
    tickets: list[Ticket] = [pace.send(now, 1.0) for _ in range(count)]
    for ticket in tickets:
        pace.refuse(now + 0.01, ticket, wait, of_tokens=False)


def test_a_pause_is_as_long_as_the_server_asks_and_those_who_waited_don_t_go_at_once() -> None:
    pace = paced(RATE)
    refusals(pace, 0.0, 3, 5.0)
    assert pace.wait(5.0, 1.0) == pytest.approx(0.01)
    assert pace.wait(5.02, 1.0) == 0.0
    assert (pace.refused, pace.in_flight) == (3, 0)
    pace.send(5.02, 1.0)
    assert pace.wait(5.02, 1.0) > 0.01


def test_refusals_one_after_the_other_make_the_pauses_longer_though_the_server_names_none() -> None:
    pace, now, pauses = paced(), 0.0, list[float]()
    for _ in range(8):
        refusals(pace, now, 1, 0.0)
        pauses.append(pace.paused(now + 0.01))
        now += pauses[-1] + 1
    assert pauses == sorted(pauses)
    assert pauses[-1] > 1


def test_a_call_that_was_not_sent_gives_its_room_back() -> None:
    pace = Pace(None, 6_000.0, 8, adaptive=True, burst=1.0)
    ticket = pace.send(0.0, 6_000.0)
    assert pace.wait(0.0, 1_000.0) > 0
    pace.give_back(ticket)
    pace.give_back(ticket)  # a second time it does nothing
    assert pace.wait(0.0, 1_000.0) == 0.0
    assert pace.in_flight == 0


def test_real_figures_take_the_place_of_the_estimate() -> None:
    pace = Pace(None, 100.0, 8, adaptive=True, burst=1.0)
    pace.answer(pace.send(0.0, 10.0), 600.0)
    assert pace.wait(0.0, 50.0) == pytest.approx(5.5)
