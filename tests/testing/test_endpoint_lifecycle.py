"""Starting and closing: nothing is left behind, whatever was under way."""

import asyncio
import socket
import threading

import pytest
from endpoint_client import address, ask, connected, read_all, request_bytes, text_of

from executionkit.testing import ChatRequest, Fault, LocalEndpoint


def endpoint_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "executionkit-endpoint"]


def test_closing_ends_the_thread_and_frees_the_port() -> None:
    with LocalEndpoint(["x"]) as endpoint:
        where = address(endpoint)
        assert len(endpoint_threads()) == 1
        assert text_of(ask(endpoint)) == "x"
    assert endpoint_threads() == []
    with pytest.raises(ConnectionRefusedError), socket.create_connection(where, timeout=5):
        pass
    endpoint.close()


def test_closing_breaks_what_is_under_way() -> None:
    cleaned_up = threading.Event()

    async def never(_: ChatRequest) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.set()
        return ""

    with LocalEndpoint([Fault.hang(), Fault.delay(3600), never]) as endpoint:
        with (
            connected(endpoint) as one,
            connected(endpoint) as two,
            connected(endpoint) as three,
            connected(endpoint),
        ):
            for number, sock in enumerate((one, two, three), 1):
                sock.sendall(request_bytes())
                endpoint.wait_in_flight_sync(number)
            endpoint.settle_sync()
            endpoint.close()
            for sock in (one, two, three):
                assert read_all(sock) == b""
        assert cleaned_up.is_set()
        assert (endpoint.ledger.in_flight, endpoint.ledger.undelivered) == (0, 3)
    assert endpoint_threads() == []


def test_closing_with_connections_not_yet_accepted() -> None:
    for _ in range(20):
        endpoint = LocalEndpoint(["x"])
        endpoint.start()
        sockets = [socket.create_connection(address(endpoint)) for _ in range(10)]
        endpoint.close()
        for sock in sockets:
            sock.close()
    assert endpoint_threads() == []


def test_the_ledger_outlives_the_endpoint() -> None:
    with LocalEndpoint(["x"]) as endpoint:
        ask(endpoint)
    assert endpoint.ledger.calls == 1


def test_outside_its_life() -> None:
    endpoint = LocalEndpoint()
    endpoint.close()
    with pytest.raises(RuntimeError, match="isn't running"):
        _ = endpoint.base_url
    with endpoint:
        pass
    with pytest.raises(RuntimeError, match="isn't running"):
        endpoint.hold()
    with pytest.raises(RuntimeError, match="started before"):
        endpoint.start()


async def test_as_an_async_context_manager() -> None:
    async with LocalEndpoint(["x"]) as endpoint:
        assert text_of(await asyncio.to_thread(ask, endpoint)) == "x"
    assert endpoint_threads() == []


def test_no_port_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no port")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(OSError, match="no port"), LocalEndpoint():
        pass
    assert endpoint_threads() == []


def test_used_from_several_loops_and_threads_at_once() -> None:
    with LocalEndpoint(lambda request: request.prompt) as endpoint:
        failures: list[BaseException] = []

        def script(name: str) -> None:
            try:
                for number in range(20):
                    text = f"{name} {number}"
                    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
                    assert text_of(ask(endpoint, body)) == text
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=script, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert endpoint.ledger.calls == 80
