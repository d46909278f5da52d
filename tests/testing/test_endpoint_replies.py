"""What the endpoint replies: script, model, the shape of a completion, tokens, `max_tokens`."""

import asyncio
import json
import socket
from typing import Any

import pytest
from endpoint_client import address, ask, exchange, payload, request_bytes, text_of

from executionkit.responses import LLMResponse, ToolCall
from executionkit.testing import ChatRequest, Fault, LocalEndpoint
from executionkit.types import TokenUsage

TWO_CALLS = LLMResponse("", [ToolCall("c1", "add", {"a": 1, "b": 2}), ToolCall("", "now", {})])


def test_a_script_is_played_in_order_and_starts_over() -> None:
    with LocalEndpoint(["a", LLMResponse("b"), lambda request: f"call {request.number}"]) as endpoint:
        assert [text_of(ask(endpoint)) for _ in range(4)] == ["a", "b", "call 3", "a"]


def test_without_a_script_replies_are_empty() -> None:
    with LocalEndpoint() as endpoint:
        assert [text_of(ask(endpoint)) for _ in range(2)] == ["", ""]


def test_the_shape_of_a_completion() -> None:
    with LocalEndpoint(["one, two"]) as endpoint:
        status, headers, body = ask(endpoint, payload("three words here", model="tiny"))
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert isinstance(body.pop("created"), int)
    assert body == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "one, two", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 6, "completion_tokens": 3, "total_tokens": 9},
    }


def test_alternatives_are_further_choices_and_count() -> None:
    others = [LLMResponse("four, five, six"), LLMResponse("", finish_reason="content_filter")]
    with LocalEndpoint([LLMResponse("one, two", alternatives=others)]) as endpoint:
        _, _, body = ask(endpoint, payload("three words here", max_tokens=3))
        assert endpoint.ledger.output_tokens == 6
    choices = [
        (choice["index"], choice["message"]["content"], choice["finish_reason"]) for choice in body["choices"]
    ]
    assert choices == [(0, "one, two", "stop"), (1, "four, five", "length"), (2, "", "content_filter")]
    assert body["usage"]["completion_tokens"] == 6


def test_tool_calls_carry_their_arguments_as_json_text() -> None:
    with LocalEndpoint([TWO_CALLS]) as endpoint:
        choice = ask(endpoint).body["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    first, second = choice["message"]["tool_calls"]
    assert first == {
        "id": "c1",
        "type": "function",
        "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'},
    }
    assert "id" not in second


def test_everything_a_response_says_is_sent() -> None:
    response = LLMResponse(
        "text",
        [ToolCall("c", "f", {}, invalid_arguments='{"x": 1,}')],
        "content_filter",
        {"input_tokens": 70, "output_tokens": 8, "extra": {"deep": 1}},
        reasoning="because",
        refusal="no",
    )
    with LocalEndpoint([response]) as endpoint:
        body = ask(endpoint).body
        usage = endpoint.ledger.usage
    choice = body["choices"][0]
    assert choice["finish_reason"] == "content_filter"
    assert choice["message"]["content"] == "text"
    assert choice["message"]["reasoning_content"] == "because"
    assert choice["message"]["refusal"] == "no"
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"x": 1,}'
    assert body["usage"] == {"input_tokens": 70, "output_tokens": 8, "extra": {"deep": 1}}
    assert usage == TokenUsage(70, 8, 1)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(
    ("limit", "content", "finish_reason"),
    [(1, "one", "length"), (2, "one,", "length"), (3, "one, two", "stop"), (None, "one, two", "stop")],
)
def test_max_tokens_cuts_the_text(name: str, limit: int | None, content: str, finish_reason: str) -> None:
    with LocalEndpoint(["one, two"]) as endpoint:
        body = ask(endpoint, payload("q", **{name: limit})).body
    assert body["choices"][0]["message"]["content"] == content
    assert body["choices"][0]["finish_reason"] == finish_reason
    assert body["usage"]["completion_tokens"] == (limit or 3)


@pytest.mark.parametrize(
    ("limit", "calls", "used"),
    [
        # name 1 + arguments {"a": 1, "b": 2} 13 tokens; then name 1 + {} 2 tokens
        (17, [("add", '{"a": 1, "b": 2}'), ("now", "{}")], 17),
        (16, [("add", '{"a": 1, "b": 2}'), ("now", "{")], 16),
        (15, [("add", '{"a": 1, "b": 2}'), ("now", "")], 15),
        (14, [("add", '{"a": 1, "b": 2}')], 14),
        (6, [("add", '{"a":')], 6),
    ],
)
def test_max_tokens_cuts_tool_calls(limit: int, calls: list[tuple[str, str]], used: int) -> None:
    with LocalEndpoint([TWO_CALLS]) as endpoint:
        body = ask(endpoint, payload(max_tokens=limit)).body
    choice = body["choices"][0]
    sent = [
        (call["function"]["name"], call["function"]["arguments"]) for call in choice["message"]["tool_calls"]
    ]
    assert sent == calls
    assert body["usage"]["completion_tokens"] == used
    assert choice["finish_reason"] == ("tool_calls" if limit == 17 else "length")


def test_tool_calls_go_first_when_the_text_alone_is_too_long() -> None:
    with LocalEndpoint([LLMResponse("a b c", [ToolCall("1", "f", {})])]) as endpoint:
        choice = ask(endpoint, payload(max_tokens=2)).body["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "a b", "refusal": None}


def test_a_model_is_given_the_request() -> None:
    seen: list[ChatRequest] = []

    def model(request: ChatRequest) -> str:
        seen.append(request)
        return request.prompt.upper()

    tools = [{"type": "function", "function": {"name": "add"}}]
    with LocalEndpoint(model) as endpoint:
        body = payload("hi", max_tokens=9, temperature=0.5, tools=tools, seed=3)
        answered = ask(endpoint, body, path="/chat/completions?api-version=2", headers={"X-Test": "yes"})
        assert text_of(answered) == "HI"
        assert endpoint.ledger.requests == tuple(seen)
    (request,) = seen
    assert (request.number, request.model, request.prompt, request.max_tokens) == (1, "m", "hi", 9)
    assert request.messages == [{"role": "user", "content": "hi"}]
    assert request.tools == tools
    assert request.field("seed") == 3
    assert request.field("missing") is None
    assert request.target == "/v1/chat/completions?api-version=2"
    assert request.headers["x-test"] == "yes"
    assert request.body == body


@pytest.mark.parametrize("body", [None, 3, [], {"messages": "text", "tools": 1, "max_tokens": "x"}])
def test_a_request_of_any_shape_can_be_read(body: Any) -> None:
    request = ChatRequest(1, "/", {}, body)
    assert (request.model, request.messages, request.tools, request.prompt) == ("", [], [], "")
    assert request.max_tokens is None


def test_an_async_model_and_faults_from_functions() -> None:
    async def model(request: ChatRequest) -> Fault | LLMResponse:
        await asyncio.sleep(0)
        return Fault.status(503) if request.number == 1 else LLMResponse("ok")

    with LocalEndpoint(model) as endpoint:
        assert ask(endpoint).status == 503
        assert text_of(ask(endpoint)) == "ok"


def test_a_model_that_fails_is_reported_to_the_client() -> None:
    def broken(request: ChatRequest) -> str:
        raise KeyError("gone")

    wrong: Any = lambda _: 3  # noqa: E731  # the mistake under test, unseen by the type checkers
    unsendable = LLMResponse("", [ToolCall("", "f", {"x": object()})])
    with LocalEndpoint([broken, wrong, unsendable]) as endpoint:
        answers = [ask(endpoint) for _ in range(3)]
        assert endpoint.ledger.statuses == (400, 400, 400)
    messages = [answer.body["error"]["message"] for answer in answers]
    assert messages[0] == "The reply failed with KeyError: 'gone'"
    assert (
        messages[1]
        == "The reply failed with TypeError: a reply must be a str, an LLMResponse or a Fault, got 3"
    )
    assert "not JSON serializable" in messages[2]


def test_a_strict_script_runs_out() -> None:
    with LocalEndpoint(["a"], strict=True) as endpoint:
        assert text_of(ask(endpoint)) == "a"
        status, _, body = ask(endpoint)
    assert status == 400
    assert body["error"]["code"] == "script_exhausted"


@pytest.mark.parametrize("script", ["text", {"q": "a"}, 5, LLMResponse("x"), Fault.malformed()])
def test_the_script_must_be_a_list_or_a_function(script: Any) -> None:
    with pytest.raises(TypeError, match="script must be a list of replies or a function"):
        LocalEndpoint(script)


def test_what_is_no_reply_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="a reply must be a str, an LLMResponse or a Fault, got 3"):
        LocalEndpoint(["fine", 3])  # type: ignore[list-item]  # the mistake under test
    with pytest.raises(ValueError, match="strict=True needs a list of replies"):
        LocalEndpoint(lambda _: "a", strict=True)


def test_pipelined_requests_are_answered_in_turn_on_one_connection() -> None:
    with LocalEndpoint(["first", "second"]) as endpoint:
        data = exchange(endpoint, request_bytes(close=False) + request_bytes())
        assert endpoint.ledger.connections == 1
    assert 0 < data.index(b"first") < data.index(b"second")
    assert data.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert data.count(b"connection: close\r\n") == 1


def test_http_1_0_closes_unless_asked_to_stay() -> None:
    with LocalEndpoint(["x"]) as endpoint:
        assert b"connection: close" in exchange(endpoint, request_bytes(close=False, version="1.0"))
        stays = request_bytes(close=False, version="1.0", extra="Connection: keep-alive\r\n")
        assert exchange(endpoint, stays + request_bytes()).count(b"200 OK") == 2


def test_a_request_may_arrive_byte_by_byte() -> None:
    with LocalEndpoint(["whole"]) as endpoint, socket.create_connection(address(endpoint)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request_bytes():
            sock.sendall(bytes([byte]))
            endpoint.settle_sync()
        assert (
            json.loads(sock.recv(65536).partition(b"\r\n\r\n")[2])["choices"][0]["message"]["content"]
            == "whole"
        )
