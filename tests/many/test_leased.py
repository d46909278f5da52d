"""Workers whose calls spend what one coordinator lends: the ceiling over all of them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from executionkit import BudgetExhaustedError, LLMResponse, MockProvider, Rates, TextDelta, TokenUsage
from executionkit.many._cluster.leased import Leased
from executionkit.many._cluster.leases import Amounts, Lease, Ledger, StaleAttemptError
from executionkit.many._cluster.pocket import Pocket

QUESTION = [{"role": "user", "content": "Well?"}]


class Server(MockProvider):
    """It writes three quarters of what it may, and no more than 40 tokens."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.usage = TokenUsage()
        self.allowed: list[int] = []

    async def complete(self, messages: Any, **kwargs: Any) -> LLMResponse:
        await asyncio.sleep(0)
        most = kwargs.get("max_tokens") or 100
        self.allowed.append(most)
        tokens = min(40, -(-most * 3 // 4))
        self.usage += TokenUsage(8, tokens, 1)
        return LLMResponse("x", usage={"prompt_tokens": 8, "completion_tokens": tokens})


def asking(ledger: Ledger, shard: int) -> Callable[[Amounts], Awaitable[Lease]]:
    async def ask(need: Amounts) -> Lease:
        await asyncio.sleep(0)
        try:
            return ledger.lend(shard, 1, need)
        except StaleAttemptError as exc:
            return Lease({}, is_last=False, refusal=str(exc))

    return ask


async def work(server: Server, ledger: Ledger, shard: int, *, at_once: int, **options: Any) -> str:
    """Call until the budget refuses; returns the refusal."""
    ledger.begin(shard, 1, {}, is_alone=True)
    provider = Leased(server, Pocket(asking(ledger, shard), ledger.limits))
    refusals = []

    async def calling() -> None:
        while True:
            try:
                await provider.complete(QUESTION, **options)
            except BudgetExhaustedError as exc:
                refusals.append(str(exc))
                return

    await asyncio.gather(*(calling() for _ in range(at_once)))
    assert len(refusals) == at_once
    return refusals[0]


@pytest.mark.parametrize("workers", [1, 2, 5])
async def test_workers_together_make_every_call_that_the_ceiling_allows(workers: int) -> None:
    server, ledger = Server(), Ledger(TokenUsage(llm_calls=1000), workers)
    refusals = await asyncio.gather(*(work(server, ledger, shard, at_once=16) for shard in range(workers)))
    assert server.usage.llm_calls == 1000
    assert "no llm_calls left" in refusals[0]
    assert "max_cost=" in refusals[0]


async def test_output_tokens_never_exceed_the_ceiling_and_the_last_reply_is_cut() -> None:
    server, ledger = Server(), Ledger(TokenUsage(output_tokens=3000), workers=2)
    both = [work(server, ledger, shard, at_once=8, max_tokens=100) for shard in range(2)]
    await asyncio.gather(*both)
    assert 2800 <= server.usage.output_tokens <= 3000
    assert set(server.allowed) == {100}  # while another worker may give something back, nothing is cut
    ledger.end(0, 1, {"output_tokens": ledger.spent_by_others(1)["output_tokens"] * 0})
    ledger = Ledger(TokenUsage(output_tokens=3000), workers=1)
    server = Server()
    await work(server, ledger, 0, at_once=8, max_tokens=100)
    assert server.usage.output_tokens == 3000
    assert server.allowed[-1] < 100


async def test_dollars_hold_over_workers() -> None:
    server = Server(prices=Rates(0, "0.01", per=1))  # a cent a token
    ledger = Ledger(TokenUsage(usd="5"), workers=2)
    await asyncio.gather(*(work(server, ledger, shard, at_once=4, max_tokens=50) for shard in range(2)))
    assert 400 <= server.usage.output_tokens <= 500


async def test_a_call_that_was_not_sent_is_given_back_and_one_that_failed_is_not() -> None:
    ledger = Ledger(TokenUsage(llm_calls=3), workers=1)
    ledger.begin(0, 1, {}, is_alone=True)
    unsent = ConnectionError()
    unsent.dispatched = False  # type: ignore[attr-defined]
    pocket = Pocket(asking(ledger, 0), ledger.limits)
    for _ in range(9):
        with pytest.raises(ConnectionError):
            await Leased(MockProvider(exception=unsent), pocket).complete(QUESTION)
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"):
            await Leased(MockProvider(exception=ValueError("broken")), pocket).complete(QUESTION)
    with pytest.raises(BudgetExhaustedError):
        await Leased(MockProvider(["x"]), pocket).complete(QUESTION)


async def test_streams_spend_leases_too() -> None:
    ledger = Ledger(TokenUsage(output_tokens=60), workers=1)
    ledger.begin(0, 1, {}, is_alone=True)
    reply = LLMResponse("one two", usage={"prompt_tokens": 1, "completion_tokens": 20})
    provider = Leased(MockProvider([reply]), Pocket(asking(ledger, 0), ledger.limits))
    for _ in range(3):
        async with provider.stream(QUESTION, max_tokens=20) as events:
            assert any([isinstance(event, TextDelta) async for event in events])
    with pytest.raises(BudgetExhaustedError):
        async with provider.stream(QUESTION, max_tokens=20):
            pass


async def test_a_call_does_not_wait_for_a_stream_that_its_own_task_reads() -> None:
    ledger = Ledger(TokenUsage(output_tokens=30), workers=1)
    ledger.begin(0, 1, {}, is_alone=True)
    server = Server()
    provider = Leased(server, Pocket(asking(ledger, 0), ledger.limits))
    async with provider.stream(QUESTION, max_tokens=20):
        await asyncio.wait_for(provider.complete(QUESTION, max_tokens=20), 5)
    assert server.allowed == [10]  # what the stream leaves


async def test_an_overtaken_attempt_is_told_and_asks_no_more() -> None:
    ledger = Ledger(TokenUsage(llm_calls=1000), workers=1)
    ledger.begin(0, 1, {}, is_alone=True)
    server = Server()
    provider = Leased(server, Pocket(asking(ledger, 0), ledger.limits))
    await provider.complete(QUESTION)
    ledger.begin(0, 2, {}, is_alone=False)
    for _ in range(63):
        await provider.complete(QUESTION)
    for _ in range(2):
        with pytest.raises(BudgetExhaustedError, match="overtaken by attempt 2"):
            await provider.complete(QUESTION)
    assert server.usage.llm_calls == 64
