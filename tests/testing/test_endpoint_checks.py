"""What the endpoint refuses, with the status and the error object a real server sends."""

from typing import Any

import pytest
from endpoint_client import ask, exchange, payload, request_bytes, text_of

from executionkit.testing import LocalEndpoint

USER = {"role": "user", "content": "q"}
CALLS = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1"}, {"id": "c2"}]}


def result(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "r"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": [USER]}, "model"),
        (payload(model=""), "model"),
        (payload(model=3), "model"),
        ({"model": "m"}, "messages"),
        (payload(messages=[]), "messages"),
        (payload(messages="hello"), "messages"),
        (payload(messages=["hello"]), "messages"),
        (payload(messages=[{"content": "x"}]), "messages[0].role"),
        (payload(messages=[USER, {"role": "user"}]), "messages[1].content"),
        (payload(messages=[USER, result("c1")]), "messages[1].tool_call_id"),
        (payload(messages=[USER, CALLS, result("other")]), "messages[2].tool_call_id"),
        (payload(messages=[USER, CALLS, result("c1"), USER]), "messages[3]"),
        (payload(messages=[USER, CALLS, result("c1")]), "messages"),
        (payload(max_tokens=0), "max_tokens"),
        (payload(max_tokens=True), "max_tokens"),
        (payload(max_completion_tokens=1.5), "max_completion_tokens"),
        (payload(temperature=2.1), "temperature"),
        (payload(temperature="hot"), "temperature"),
        (payload(tools=[]), "tools"),
        (payload(tools=[3]), "tools"),
        (payload(tools=[{"function": {}}]), "tools"),
        (payload(tools="add"), "tools"),
        (payload(stream="yes"), "stream"),
        (payload(stream_options={"include_usage": True}), "stream_options"),
    ],
)
def test_bad_fields_are_named(body: dict[str, Any], param: str) -> None:
    with LocalEndpoint(["never"], strict=True) as endpoint:
        status, _, answer = ask(endpoint, body)
        assert status == 400
        assert answer["error"]["param"] == param
        assert answer["error"]["type"] == "invalid_request_error"
        assert endpoint.ledger.calls == 1
        # A refused request uses up no reply.
        assert text_of(ask(endpoint)) == "never"


@pytest.mark.parametrize(
    "body",
    [
        payload(messages=[USER, CALLS, result("c2"), result("c1"), USER]),
        payload(
            messages=[{"role": "system", "content": ""}, {"role": "developer", "content": [{"text": "x"}]}]
        ),
        payload(max_tokens=1, temperature=2, stream=False, tools=[{"function": {"name": "f"}}]),
        payload(max_tokens=None, temperature=None),
    ],
)
def test_good_requests_are_taken(body: dict[str, Any]) -> None:
    with LocalEndpoint(["ok"]) as endpoint:
        assert text_of(ask(endpoint, body)) == "ok"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_the_body_must_be_a_json_object(body: bytes) -> None:
    with LocalEndpoint() as endpoint:
        status, _, answer = ask(endpoint, body)
    assert (status, answer["error"]["code"]) == (400, "invalid_json")


def test_the_key_is_required_when_there_is_one() -> None:
    with LocalEndpoint(["in"], api_key="s3cret") as endpoint:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "s3cret"},
            {"api-key": "wrong"},
        ):
            assert ask(endpoint, headers=headers).status == 401
        assert ask(endpoint, method="GET", path="/models").status == 401
        assert text_of(ask(endpoint, headers={"Authorization": "Bearer s3cret"})) == "in"
        assert text_of(ask(endpoint, headers={"api-key": "s3cret"})) == "in"
        assert "s3cret" not in repr(endpoint.ledger)
        assert endpoint.ledger.requests[-1].headers["api-key"] == "***"


def test_paths_and_methods() -> None:
    with LocalEndpoint(["ok"]) as endpoint:
        assert ask(endpoint, path="/completions").status == 404
        assert ask(endpoint, method="GET").status == 405
        assert ask(endpoint, path="/models").status == 405
        assert text_of(ask(endpoint, path="/chat/completions?api-version=1")) == "ok"
        # Whatever its path, a POST is a call.
        assert (endpoint.ledger.calls, endpoint.ledger.statuses) == (3, (404, 405, 200))


def test_models() -> None:
    with LocalEndpoint(["ok"], models=["a", "b"]) as endpoint:
        _, _, listed = ask(endpoint, method="GET", path="/models")
        assert [card["id"] for card in listed["data"]] == ["a", "b"]
        status, _, answer = ask(endpoint, payload(model="c"))
        assert (status, answer["error"]["code"]) == (404, "model_not_found")
        assert text_of(ask(endpoint, payload(model="b"))) == "ok"
    with LocalEndpoint() as endpoint:
        assert [card["id"] for card in ask(endpoint, method="GET", path="/models").body["data"]] == [
            "simulated"
        ]
        assert endpoint.ledger.calls == 0


@pytest.mark.parametrize("models", ["gpt-4", None, 4])
def test_models_must_be_a_list(models: Any) -> None:
    with pytest.raises(TypeError, match=f"models must be a list of names, got {models!r}"):
        LocalEndpoint(["ok"], models=models)


def test_names_and_keys_must_be_texts() -> None:
    with pytest.raises(ValueError, match=r"models\[1\] must be a str, got 4"):
        LocalEndpoint(["ok"], models=["gpt", 4])  # type: ignore[list-item]  # the mistake under test
    with pytest.raises(ValueError, match="api_key must be a str, got 5"):
        LocalEndpoint(["ok"], api_key=5)  # type: ignore[arg-type]  # the mistake under test


@pytest.mark.parametrize("name", ["temperature", "max_tokens"])
def test_a_reasoning_model_refuses_what_such_models_refuse(name: str) -> None:
    with LocalEndpoint(["ok"], reasoning_model=True) as endpoint:
        status, _, answer = ask(endpoint, payload("q", **{name: 1}))
        assert (status, answer["error"]["param"]) == (400, name)
        assert answer["error"]["code"] == "unsupported_parameter"
        assert text_of(ask(endpoint, payload(max_completion_tokens=5))) == "ok"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"hello\r\n\r\n", "not an HTTP/1.1 request line"),
        (b"GET /v1/models HTTP/2\r\n\r\n", "not an HTTP/1.1 request line"),
        (b"GET /v1/models HTTP/1.1\r\nno colon\r\n\r\n", "not a header line"),
        (b"GET /v1/models HTTP/1.1\r\n folded: x\r\n\r\n", "not a header line"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "not a Content-Length"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "with a Content-Length only"),
        (b"GET /v1/models HTTP/1.1\r\nx: " + b"y" * 66_000, "the headers are too long"),
        (b"GET /v1/models HTTP/1.1\r\nx: " + b"y" * 66_000 + b"\r\n\r\n", "the headers are too long"),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(data: bytes, message: str) -> None:
    with LocalEndpoint() as endpoint:
        answered = exchange(endpoint, data)
        assert endpoint.ledger.calls == 0
    assert answered.startswith(b"HTTP/1.1 400 ")
    assert message.encode() in answered


def test_repeated_headers_are_joined() -> None:
    with LocalEndpoint(["x"]) as endpoint:
        exchange(endpoint, request_bytes(extra="X-A: 1\r\nX-A:  2 \r\n"))
        assert endpoint.ledger.requests[0].headers["x-a"] == "1, 2"
