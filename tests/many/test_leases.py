"""Pieces of a budget and shares of a rate, lent to workers that may die or be taken for dead."""

from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from executionkit import TokenUsage
from executionkit.many._cluster.leases import PIECE, Ledger, Limit, Shares, StaleAttemptError, fair_parts

CEILING = TokenUsage(llm_calls=400, output_tokens=5000)
ONE: dict[Limit, Decimal] = {"llm_calls": Decimal(1)}
ONE_CALL: dict[Limit, Decimal] = {"llm_calls": Decimal(1), "output_tokens": Decimal(10)}


class Attempt:
    """A virtual worker's attempt at a shard: it spends what it was lent, and writes down what it spends."""

    def __init__(self, shard: int, number: int, before: dict[str, int]) -> None:
        self.shard, self.number = shard, number
        self.before = before  # what the journals said when it began
        self.own = {"llm_calls": 0, "output_tokens": 0}
        self.free = {"llm_calls": 0, "output_tokens": 0}

    @property
    def journal(self) -> dict[str, Decimal]:
        return {limit: Decimal(self.before[limit] + self.own[limit]) for limit in self.own}


class Lending(RuleBasedStateMachine):
    """Three workers on four shards; some die, some are only taken for dead and go on with what they hold."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(CEILING, workers=3)
        self.attempts: dict[int, Attempt] = {}
        self.numbers = dict.fromkeys(range(4), 0)
        self.written = {shard: {"llm_calls": 0, "output_tokens": 0} for shard in range(4)}
        self.lost: list[Attempt] = []
        self.server = {"llm_calls": 0, "output_tokens": 0}

    @rule(shard=st.integers(0, 3))
    def begin(self, shard: int) -> None:
        if shard not in self.attempts:
            self._begin(shard, is_alone=True)

    def _begin(self, shard: int, *, is_alone: bool) -> None:
        self.numbers[shard] += 1
        attempt = Attempt(shard, self.numbers[shard], dict(self.written[shard]))
        self.ledger.begin(shard, attempt.number, attempt.journal, is_alone=is_alone)  # type: ignore[arg-type]
        self.attempts[shard] = attempt

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), calls=st.integers(1, 90), tokens=st.integers(0, 10))
    def call(self, data: st.DataObject, calls: int, tokens: int) -> None:
        attempt = self.attempts[data.draw(st.sampled_from(sorted(self.attempts)))]
        for _ in range(calls):
            if attempt.free["llm_calls"] < 1 or attempt.free["output_tokens"] < 10:
                lease = self.ledger.lend(attempt.shard, attempt.number, ONE_CALL)
                if not lease.amounts:
                    return
                for limit in attempt.free:
                    attempt.free[limit] += int(lease.amounts[limit])  # type: ignore[index]
            self._send(attempt, min(tokens, attempt.free["output_tokens"]))

    def _send(self, attempt: Attempt, tokens: int) -> None:
        for limit, amount in (("llm_calls", 1), ("output_tokens", tokens)):
            attempt.free[limit] -= amount
            attempt.own[limit] += amount
            self.server[limit] += amount
            if attempt.number == self.numbers[attempt.shard]:
                self.written[attempt.shard][limit] += amount

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        attempt = self.attempts.pop(data.draw(st.sampled_from(sorted(self.attempts))))
        self.ledger.end(attempt.shard, attempt.number, attempt.journal)  # type: ignore[arg-type]

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), is_dead=st.booleans())
    def lose(self, data: st.DataObject, is_dead: bool) -> None:
        attempt = self.attempts.pop(data.draw(st.sampled_from(sorted(self.attempts))))
        if not is_dead:
            self.lost.append(attempt)
        self._begin(attempt.shard, is_alone=is_dead)

    @precondition(lambda self: self.lost)
    @rule(tokens=st.integers(0, 10))
    def a_lost_one_goes_on(self, tokens: int) -> None:
        attempt = self.lost[0]
        if attempt.free["llm_calls"] < 1 or attempt.free["output_tokens"] < tokens:
            with pytest.raises(StaleAttemptError, match="overtaken"):
                self.ledger.lend(attempt.shard, attempt.number, ONE_CALL)
            with pytest.raises(StaleAttemptError):
                self.ledger.end(attempt.shard, attempt.number, attempt.journal)  # type: ignore[arg-type]
            self.lost.pop(0)
        else:
            self._send(attempt, tokens)

    @invariant()
    def the_ceiling_holds(self) -> None:
        assert self.server["llm_calls"] <= CEILING.llm_calls
        assert self.server["output_tokens"] <= CEILING.output_tokens
        assert all(rest >= 0 for rest in self.ledger.left.values())

    @invariant()
    def little_is_idle(self) -> None:
        for attempt in self.attempts.values():
            assert attempt.free["llm_calls"] <= PIECE


TestLending = Lending.TestCase
TestLending.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("workers", [2, 8])
def test_hardly_any_call_lies_with_others_when_the_first_is_refused(workers: int) -> None:
    ledger, chance = Ledger(TokenUsage(llm_calls=2000), workers), Random(workers)
    for worker in range(workers):
        ledger.begin(worker, 1, {}, is_alone=True)
    idle, pieces = [0] * workers, 0
    while True:
        worker = chance.randrange(workers)
        if not idle[worker]:
            idle[worker] = int(ledger.lend(worker, 1, ONE).amounts.get("llm_calls", 0))
            pieces += 1
            if not idle[worker]:
                break
        idle[worker] -= 1
    assert sum(idle) <= PIECE
    assert pieces < 2000 / 8  # and the coordinator is not asked for each call


def test_what_a_lost_attempt_holds_counts_as_spent_until_its_journal_is_read() -> None:
    ledger = Ledger(TokenUsage(llm_calls=100), workers=1)
    ledger.begin(0, 1, {}, is_alone=True)
    lent = ledger.lend(0, 1, {"llm_calls": Decimal(1)}).amounts["llm_calls"]
    ledger.begin(0, 2, {"llm_calls": Decimal(10)}, is_alone=False)
    assert ledger.left["llm_calls"] == 100 - lent
    with pytest.raises(StaleAttemptError, match="attempt 2 at shard 0"):
        ledger.begin(0, 2, {}, is_alone=True)
    ledger.end(0, 2, {"llm_calls": Decimal(10)})
    assert ledger.left["llm_calls"] == 100 - lent
    ledger.settle(0, {"llm_calls": Decimal(13)})  # the lost one went on for three calls
    assert ledger.left["llm_calls"] == 87


def test_a_ceiling_of_nothing_lends_nothing() -> None:
    ledger = Ledger(TokenUsage(llm_calls=-1), workers=2)
    ledger.begin(0, 1, {}, is_alone=True)
    assert not ledger.lend(0, 1, {"llm_calls": Decimal(1)}).amounts


def test_fields_without_a_limit_are_neither_lent_nor_counted() -> None:
    ledger = Ledger(TokenUsage(), workers=2)
    ledger.begin(0, 1, {}, is_alone=True)
    assert ledger.lend(0, 1, {}).amounts == {}
    assert ledger.left == {}


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 4), st.floats(0, 1), st.floats(0, 2), st.booleans()), min_size=1, max_size=60
    )
)
def test_shares_that_are_valid_together_never_exceed_the_whole(
    steps: list[tuple[int, float, float, bool]],
) -> None:
    shares, now = Shares(workers=5, seconds=3.0), 0.0
    held: dict[int, tuple[float, float]] = {}
    for worker, wanted, wait, leaves in steps:
        now += wait
        if leaves:
            shares.leave(worker)
            held.pop(worker, None)
        else:
            held[worker] = (shares.renew(worker, wanted, now), now + 3.0)
        assert sum(part for part, until in held.values() if until > now) <= 1.0 + 1e-9


def test_busy_workers_share_what_idle_ones_leave() -> None:
    shares = Shares(workers=4, seconds=3.0)
    parts: list[float] = []
    for now in (0.0, 1.0, 2.0):
        parts = [shares.renew(worker, wanted, now) for worker, wanted in enumerate((1.0, 1.0, 0.1, 0.0))]
    assert parts[0] == parts[1] == pytest.approx((1 - parts[2] - parts[3]) / 2)
    assert sum(parts) == pytest.approx(1.0)
    shares.leave(1)
    assert shares.renew(0, 1.0, 3.0) == pytest.approx(1 - parts[2] - parts[3])


def test_a_worker_that_comes_later_waits_until_the_first_has_given_a_part_back() -> None:
    shares = Shares(workers=2, seconds=3.0)
    assert shares.renew(0, 1.0, 0.0) == 0.5  # the other may be about to begin
    assert shares.renew(0, 1.0, 1.0) == 1.0
    assert shares.renew(1, 1.0, 1.1) == 0.0
    assert shares.renew(0, 1.0, 2.0) == 0.5
    assert shares.renew(1, 1.0, 2.1) == 0.5


def test_a_worker_that_is_not_heard_of_keeps_its_part_for_its_time() -> None:
    shares = Shares(workers=2, seconds=3.0)
    shares.renew(0, 1.0, 0.0)
    shares.renew(1, 1.0, 0.0)
    assert shares.renew(0, 1.0, 2.9) == pytest.approx(0.5)
    assert shares.renew(0, 1.0, 3.1) == pytest.approx(1.0)


def test_fair_parts_meet_small_wishes_whole() -> None:
    assert fair_parts({1: 0.1, 2: 1.0, 3: 1.0}) == pytest.approx({1: 0.1, 2: 0.45, 3: 0.45})
