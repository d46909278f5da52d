"""Faults on demand, seen from the wire."""

import copy
import http.client
import json
import pickle
import socket
from http import HTTPStatus
from typing import Any

import pytest
from endpoint_client import ask, connected, exchange, read_all, request_bytes, text_of

from executionkit.testing import Fault, LocalEndpoint
from executionkit.types import TokenUsage

# For the mistakes that a type checker would find.
UNCHECKED: Any = Fault


def test_any_status_headers_and_body() -> None:
    script = [
        Fault.status(503),
        Fault.status(418, headers={"X-Why": "tea"}, body={"detail": "no"}),
        Fault.status(299, body=["list"]),
        Fault.status(200, headers={"Content-Type": "text/html"}, body='"text"'),
        Fault.status(502, body=b'"bytes"'),
        Fault.status(204, body="dropped"),
    ]
    with LocalEndpoint(script) as endpoint:
        plain, tea, unknown, text, data, empty = (ask(endpoint) for _ in script)
        assert endpoint.ledger.statuses == (503, 418, 299, 200, 502, 204)
        assert endpoint.ledger.usage == TokenUsage(0, 0, 6)
    assert plain.body["error"]["message"] == "Simulated failure 503."
    assert plain.body["error"]["type"] == "server_error"
    assert (tea.body, tea.headers["x-why"]) == ({"detail": "no"}, "tea")
    assert unknown.body == ["list"]
    assert (text.body, text.headers["content-type"]) == ("text", "text/html")
    assert data.body == "bytes"
    assert empty.body is None


def test_the_connection_stays_open_after_a_status() -> None:
    with LocalEndpoint([Fault.status(500), "ok"]) as endpoint:
        assert b"ok" in exchange(endpoint, request_bytes(close=False) + request_bytes())
        assert endpoint.ledger.connections == 1


@pytest.mark.parametrize(
    ("given", "sent"), [(0, "0"), (0.5, "0.5"), ("Wed, 21 Oct 2037 07:28:00 GMT",) * 2, ("soon",) * 2]
)
def test_rate_limits_carry_retry_after(given: Any, sent: str) -> None:
    with LocalEndpoint([Fault.rate_limited(given)]) as endpoint:
        status, headers, body = ask(endpoint)
    assert (status, headers["retry-after"]) == (429, sent)
    assert body["error"]["type"] == "rate_limit_error"


def test_a_rate_limit_without_retry_after() -> None:
    with LocalEndpoint([Fault.rate_limited(None)]) as endpoint:
        assert "retry-after" not in ask(endpoint).headers


def test_usage_in_a_verbatim_success_is_counted_as_reported() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": "7"}
    script = [
        Fault.status(200, body={"choices": [], "usage": usage}),
        Fault.status(200, body={"usage": None}),
        Fault.status(500, body={"usage": usage}),
    ]
    with LocalEndpoint(script) as endpoint:
        for _ in script:
            ask(endpoint)
        assert endpoint.ledger.usage == TokenUsage(5, 7, 3)


def test_malformed_json_is_whole_on_the_wire() -> None:
    with LocalEndpoint([Fault.malformed()]) as endpoint, pytest.raises(json.JSONDecodeError):
        ask(endpoint)


@pytest.mark.parametrize(("sent", "arrives"), [(None, "half"), (0, 0), (5, 5)])
def test_a_cut_body_is_shorter_than_declared_and_then_the_connection_closes(
    sent: int | None, arrives: Any
) -> None:
    with LocalEndpoint([Fault.cut_body("a long enough answer", sent=sent)]) as endpoint:
        head, _, body = exchange(endpoint, request_bytes(close=False)).partition(b"\r\n\r\n")
        ledger = endpoint.ledger
    declared = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert len(body) == (declared // 2 if arrives == "half" else arrives)
    assert ledger.usage == TokenUsage(0, 0, 1)
    assert (ledger.statuses, ledger.in_flight, ledger.undelivered) == ((200,), 0, 0)
    with LocalEndpoint([Fault.cut_body(sent=sent)]) as endpoint, pytest.raises(http.client.IncompleteRead):
        ask(endpoint)


def read_into(received: bytearray, sock: socket.socket) -> None:
    while chunk := sock.recv(65536):
        received += chunk


@pytest.mark.parametrize(("at", "statuses"), [("start", ()), ("headers", (200,)), ("body", (200,))])
def test_a_reset_is_one(at: Any, statuses: tuple[int, ...]) -> None:
    received = bytearray()
    with LocalEndpoint([Fault.reset(at, reply="x" * 100)]) as endpoint:
        with connected(endpoint) as sock:
            sock.sendall(request_bytes())
            with pytest.raises(ConnectionResetError):
                read_into(received, sock)
        assert endpoint.ledger.statuses == statuses
        assert endpoint.ledger.usage == TokenUsage(0, 0, 1)
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    assert bool(head) == (at != "start")
    assert bool(body) == (at == "body")


def test_faults_nest() -> None:
    script = [
        Fault.delay(0.01, then=Fault.delay(0.01, then="late")),
        Fault.delay(0.01, then=Fault.status(503)),
        Fault.cut_body(Fault.status(500), sent=3),
    ]
    with LocalEndpoint(script) as endpoint:
        assert text_of(ask(endpoint)) == "late"
        assert ask(endpoint).status == 503
        answered = exchange(endpoint, request_bytes())
        assert answered.startswith(b"HTTP/1.1 500 ")
        assert answered.endswith(b'\r\n\r\n{"e')
        assert endpoint.ledger.statuses == (200, 503, 500)


def test_a_hanging_call_goes_on_when_released_and_later_ones_hang_again() -> None:
    with LocalEndpoint([Fault.hang(then="at last"), Fault.hang()]) as endpoint:
        for expected in (b"at last", b'"content":""'):
            with connected(endpoint) as sock:
                sock.sendall(request_bytes())
                endpoint.wait_in_flight_sync(1)
                endpoint.settle_sync()
                assert endpoint.ledger.in_flight == 1
                endpoint.release_hung()
                assert expected in read_all(sock)


def test_a_client_that_leaves_a_hanging_call() -> None:
    with LocalEndpoint([Fault.hang()]) as endpoint:
        with connected(endpoint) as sock:
            sock.sendall(request_bytes())
            endpoint.wait_in_flight_sync(1)
        ledger = endpoint.wait_until_sync(lambda ledger: ledger.in_flight == 0)
        assert (ledger.calls, ledger.undelivered, ledger.statuses) == (1, 1, ())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fault.status(199), r"code must be an integer in \[200, 599\], got 199"),
        (lambda: Fault.status(600), r"code must be an integer in \[200, 599\], got 600"),
        (lambda: Fault.delay(-1), "seconds must be a finite number >= 0, got -1"),
        (lambda: Fault.delay(float("nan")), "seconds must be a finite number >= 0, got nan"),
        (lambda: Fault.delay(float("inf")), "seconds must be a finite number >= 0, got inf"),
        (lambda: Fault.cut_body(sent=-1), "sent must be an integer >= 0, got -1"),
        (lambda: Fault.status(200, headers={"a": "b\r\nc: d"}), "a header must be one line"),
        (lambda: UNCHECKED.status("503"), r"code must be an integer in \[200, 599\], got '503'"),
        (lambda: UNCHECKED.status(503.0), r"code must be an integer in \[200, 599\], got 503.0"),
        (
            lambda: UNCHECKED.status(200, headers={1: "b"}),
            "a header must be one line of printable text, got 1",
        ),
        (lambda: UNCHECKED.delay("1"), "seconds must be a finite number >= 0, got '1'"),
        (lambda: UNCHECKED.reset("middle"), "at must be one of 'start', 'headers', 'body', got 'middle'"),
        (lambda: UNCHECKED(breaks="end"), "breaks must be one of 'start', 'headers', 'body', got 'end'"),
        (lambda: UNCHECKED.stall(after="1"), "after must be an integer >= 0, got '1'"),
    ],
)
def test_faults_check_themselves(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: UNCHECKED.status(200, headers=[("a", "b")]),
            r"headers must be a mapping .*\[\('a', 'b'\)\]",
        ),
        (lambda: UNCHECKED.status(200, headers=[]), r"headers must be a mapping of names to texts, got \[\]"),
        (lambda: UNCHECKED.status(200, body=5), "body must be text, bytes, a mapping, a list or None, got 5"),
        (lambda: UNCHECKED.delay(0, then=5), "a reply must be a str, an LLMResponse or a Fault, got 5"),
        (lambda: UNCHECKED.cut_body(None), "a reply must be a str, an LLMResponse or a Fault, got None"),
        (lambda: UNCHECKED.error_event(error="down"), "error must be a mapping or None, got 'down'"),
    ],
)
def test_a_fault_of_other_types_is_refused(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


def test_a_status_may_be_given_by_its_name() -> None:
    with LocalEndpoint([Fault.status(HTTPStatus.BAD_GATEWAY)]) as endpoint:
        assert ask(endpoint).status == 502


@pytest.mark.parametrize(
    "fault", [Fault.rate_limited(2), Fault.delay(0.1, then=Fault.status(503, headers={"a": "b"}))]
)
def test_a_fault_is_a_value_like_any_other(fault: Fault) -> None:
    assert pickle.loads(pickle.dumps(fault)) == fault
    assert copy.deepcopy(fault) == fault
    with pytest.raises(TypeError):
        fault.headers["x"] = "y"  # type: ignore[index]  # it is read-only
