"""The books are exact, at every moment, and the test decides what happens when."""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from endpoint_client import ask, connected, payload, read_all, request_bytes, text_of

from executionkit.testing import Fault, Ledger, LocalEndpoint, count_prompt_tokens, count_tokens
from executionkit.types import TokenUsage


def test_what_was_replied_is_in_the_books_when_the_client_has_it() -> None:
    with LocalEndpoint(["two words"]) as endpoint:
        for number in range(1, 4):
            usage = ask(endpoint, payload("three words here")).body["usage"]
            ledger = endpoint.ledger
            assert ledger.usage == TokenUsage(number * 6, number * 2, number)
            assert (usage["prompt_tokens"], usage["completion_tokens"]) == (6, 2)
            assert (ledger.in_flight, ledger.peak_in_flight, ledger.connections) == (0, 1, number)
            assert ledger.statuses == (200,) * number
            assert [request.number for request in ledger.requests] == list(range(1, number + 1))


def test_a_ledger_is_a_picture() -> None:
    with LocalEndpoint() as endpoint:
        before = endpoint.ledger
        ask(endpoint)
        assert before == Ledger(0, 0, 0, 0, 0, (), 0, 0, ())


def test_a_call_counts_once_it_has_arrived_whole() -> None:
    whole = request_bytes()
    with LocalEndpoint([Fault.hang()]) as endpoint:
        with connected(endpoint) as sock:
            sock.sendall(whole[:-1])
            assert endpoint.settle_sync().calls == 0
            sock.sendall(whole[-1:])
            ledger = endpoint.settle_sync()
            assert (ledger.calls, ledger.in_flight) == (1, 1)
            assert ledger.requests[0].body is not None
        ledger = endpoint.settle_sync()
        assert (ledger.calls, ledger.in_flight, ledger.undelivered) == (1, 0, 1)
        assert (ledger.statuses, ledger.usage) == ((), TokenUsage(0, 0, 1))


def test_a_request_broken_off_is_no_call() -> None:
    with LocalEndpoint() as endpoint:
        with connected(endpoint) as sock:
            sock.sendall(request_bytes()[:-1])
        ledger = endpoint.settle_sync()
        assert (ledger.calls, ledger.in_flight, ledger.undelivered, ledger.connections) == (0, 0, 0, 1)


def test_held_calls_wait_and_are_released_in_order_of_arrival() -> None:
    with LocalEndpoint(["first", "second", "third"]) as endpoint, ThreadPoolExecutor() as pool:
        with endpoint.hold() as gate:
            asked = []
            for number in range(1, 4):
                asked.append(pool.submit(ask, endpoint))
                ledger = endpoint.wait_in_flight_sync(number)
                assert (ledger.statuses, ledger.in_flight) == ((), number)
            gate.release(1)
            assert text_of(asked[0].result()) == "first"
            assert endpoint.settle_sync().in_flight == 2
            gate.release(1)
            assert text_of(asked[1].result()) == "second"
            assert not gate.is_open
        assert text_of(asked[2].result()) == "third"
        assert gate.is_open
        assert text_of(ask(endpoint)) == "first"
        assert endpoint.ledger.peak_in_flight == 3


def test_released_in_advance() -> None:
    with LocalEndpoint(["x"]) as endpoint, ThreadPoolExecutor() as pool:
        gate = endpoint.hold()
        gate.release(2)
        assert [text_of(ask(endpoint)) for _ in range(2)] == ["x", "x"]
        third = pool.submit(ask, endpoint)
        endpoint.wait_in_flight_sync(1)
        assert endpoint.settle_sync().in_flight == 1
        gate.release()
        assert text_of(third.result()) == "x"


def test_a_held_client_that_leaves_takes_no_other_ones_turn() -> None:
    with LocalEndpoint(["first", "second"]) as endpoint, ThreadPoolExecutor() as pool:
        gate = endpoint.hold()
        with connected(endpoint) as sock:
            sock.sendall(request_bytes())
            endpoint.wait_in_flight_sync(1)
        endpoint.wait_until_sync(lambda ledger: ledger.undelivered == 1)
        second = pool.submit(ask, endpoint)
        endpoint.wait_in_flight_sync(1)
        gate.release(1)
        assert text_of(second.result()) == "second"


def test_one_hold_at_a_time() -> None:
    with LocalEndpoint() as endpoint:
        gate = endpoint.hold()
        with pytest.raises(RuntimeError, match="held already"):
            endpoint.hold()
        gate.release()
        assert endpoint.hold() is not gate
        with pytest.raises(ValueError, match="count must be >= 1 or None, got 0"):
            gate.release(0)
    gate.release()


async def test_waiting_from_a_loop() -> None:
    async with LocalEndpoint(["x"]) as endpoint:
        gate = endpoint.hold()
        asked = [asyncio.create_task(asyncio.to_thread(ask, endpoint)) for _ in range(3)]
        assert (await endpoint.wait_in_flight(3)).in_flight == 3
        gate.release()
        assert [text_of(await task) for task in asked] == ["x"] * 3
        assert (await endpoint.settle()).statuses == (200, 200, 200)
        assert (await endpoint.wait_until(lambda ledger: ledger.calls == 3)).in_flight == 0


async def test_waiting_in_vain_says_what_is() -> None:
    with LocalEndpoint() as endpoint:
        message = r"not met after 0\.01 s: 0 calls, 0 in flight, statuses \(\)"
        with pytest.raises(TimeoutError, match=message):
            await endpoint.wait_in_flight(1, timeout=0.01)
        with pytest.raises(TimeoutError, match=message):
            endpoint.wait_in_flight_sync(1, timeout=0.01)


def test_waiting_ends_in_time_though_things_change() -> None:
    looked = threading.Event()

    def never(ledger: Ledger) -> bool:
        looked.set()
        return False

    with LocalEndpoint() as endpoint, ThreadPoolExecutor() as pool:
        waiting = pool.submit(endpoint.wait_until_sync, never, timeout=0.3)
        assert looked.wait(10)
        ask(endpoint)
        with pytest.raises(TimeoutError, match="1 calls, 0 in flight"):
            waiting.result(10)


def test_a_condition_that_raises_raises_where_one_waits() -> None:
    with LocalEndpoint() as endpoint:
        with pytest.raises(ZeroDivisionError):
            endpoint.wait_until_sync(lambda ledger: 1 // ledger.calls > 0)
        assert ask(endpoint).status == 200


def test_a_model_that_goes_on_without_its_client() -> None:
    async def stubborn(_: object) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "too late"

    with LocalEndpoint(stubborn) as endpoint:
        with connected(endpoint) as sock:
            sock.sendall(request_bytes() + request_bytes())
            endpoint.wait_in_flight_sync(1)
        ledger = endpoint.settle_sync()
        assert (ledger.calls, ledger.in_flight, ledger.undelivered) == (1, 0, 1)
        assert (ledger.usage, ledger.statuses) == (TokenUsage(0, 0, 1), ())


def test_a_request_sent_while_another_is_answered_waits() -> None:
    with LocalEndpoint(["first", "second"]) as endpoint, connected(endpoint) as sock:
        gate = endpoint.hold()
        sock.sendall(request_bytes(close=False))
        endpoint.wait_in_flight_sync(1)
        sock.sendall(request_bytes())
        assert endpoint.settle_sync().calls == 1
        gate.release()
        assert read_all(sock).count(b"200 OK") == 2
        assert endpoint.ledger.peak_in_flight == 1


def test_many_connections_at_once() -> None:
    clients, rounds = 300, 3
    with LocalEndpoint(["a reply"]) as endpoint:
        reply_tokens, prompt_tokens = count_tokens("a reply"), count_prompt_tokens(payload()["messages"])

        async def client() -> None:
            host, port = endpoint.base_url.removeprefix("http://").removesuffix("/v1").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            for number in range(rounds):
                writer.write(request_bytes(close=number == rounds - 1))
            assert (await reader.read()).count(b"a reply") == rounds
            writer.close()
            await writer.wait_closed()

        async def all_clients() -> None:
            async with asyncio.TaskGroup() as group:
                gate = endpoint.hold()
                for _ in range(clients):
                    group.create_task(client())
                await endpoint.wait_in_flight(clients)
                gate.release()

        asyncio.run(all_clients())
        ledger = endpoint.ledger
    calls = clients * rounds
    assert ledger.usage == TokenUsage(calls * prompt_tokens, calls * reply_tokens, calls)
    assert (ledger.connections, ledger.peak_in_flight, ledger.undelivered) == (clients, clients, 0)
    assert ledger.statuses == (200,) * calls


def test_settling_sees_everything_sent_before() -> None:
    with LocalEndpoint(["x"]) as endpoint:
        for number in range(1, 101):
            with connected(endpoint) as sock:
                sock.sendall(request_bytes(payload("y" * 1_000_000 if number == 50 else "y")))
            assert endpoint.settle_sync().calls == number
            assert endpoint.ledger.in_flight == 0
