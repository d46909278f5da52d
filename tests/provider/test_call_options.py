"""The options of one call that are no body fields, as OpenAI's client has them."""

import json
from typing import Any

import pytest
from loopback import USER, MakeProvider, Server, http, stream

from executionkit.errors import PermanentError, ProviderError
from executionkit.provider import Provider

HELLO = stream({"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]})


async def whole(provider: Provider, **options: Any) -> str:
    return (await provider.complete(USER, **options)).content


async def streamed(provider: Provider, **options: Any) -> str:
    async with provider.stream(USER, **options) as events:
        async for _ in events:
            pass
    return events.response.content


WAYS = pytest.mark.parametrize("ask", [whole, streamed])


@WAYS
async def test_all_of_them_work_for_that_call_alone(server: Server, make: MakeProvider, ask: Any) -> None:
    if ask is streamed:
        server.script = HELLO
    provider = make(
        base_url=f"{server.url}?api-version=1&keep=a%2Fb",
        api_key="sk-first-key-123456",
        headers={"X-Team": "red"},
        extra_body={"seed": 1},
    )
    options: dict[str, Any] = {
        "timeout": 20,
        "extra_headers": {"x-team": "blue", "authorization": "Bearer other", "X-New": "caf\xe9"},
        "extra_query": {"api-version": "2", "tags": ["a", "b"], "deep": {"x": True}, "q": "a b&c"},
        "extra_body": {"seed": None, "top_k": 5},
        "top_k": 4,
    }
    if provider.backend == "aiohttp":
        options["extra_headers"]["X-New"] = "cafe"
    async with provider:
        assert await ask(provider, **options) == "hi"
        assert (
            await ask(provider, timeout=None, extra_headers=None, extra_query=None, extra_body=None) == "hi"
        )
    changed, plain = server.requests
    assert changed.connection == plain.connection
    assert changed.target == (
        "/v1/chat/completions?keep=a%2Fb&api-version=2&tags[]=a&tags[]=b&deep[x]=true&q=a%20b%26c"
    )
    assert changed.headers["x-new"].startswith("caf")
    assert (changed.headers["x-team"], changed.headers["authorization"]) == ("blue", "Bearer other")
    assert (changed.json["seed"], changed.json["top_k"]) == (None, 5)
    assert changed.json.keys() - plain.json.keys() == {"top_k"}
    assert (plain.target, plain.json["seed"]) == ("/v1/chat/completions?api-version=1&keep=a%2Fb", 1)
    assert (plain.headers["x-team"], plain.headers["authorization"]) == ("red", "Bearer sk-first-key-123456")


@WAYS
async def test_a_time_limit_ends_that_call(server: Server, make: MakeProvider, ask: Any) -> None:
    gate = server.hold()
    async with make(deadline=60.0) as provider:
        with pytest.raises(ProviderError, match=r"0\.2 s \(timeout\)"):
            await ask(provider, timeout=0.2)
    gate.open()


@WAYS
async def test_the_values_of_its_headers_are_secrets(
    server: Server, make_one: MakeProvider, ask: Any
) -> None:
    server.script = http(json.dumps({"error": {"message": "no such team: plain-words"}}), "400 Bad Request")
    async with make_one() as provider:
        with pytest.raises(PermanentError) as caught:
            await ask(provider, extra_headers={"X-Team": "plain-words"})
    assert "plain-words" not in repr(caught.value) + str(vars(caught.value))
    assert "no such team: [REDACTED]" in str(caught.value)


REFUSED: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"timeout": "1"}, TypeError),
    ({"timeout": True}, TypeError),
    ({"timeout": 0}, ValueError),
    ({"extra_headers": [("a", "b")]}, TypeError),
    ({"extra_headers": {"X-A": 1}}, TypeError),
    ({"extra_headers": {"X-A": "a\r\nb"}}, ValueError),
    ({"extra_headers": {"Content-Length": "1"}}, TypeError),
    ({"extra_query": "a=b"}, TypeError),
    ({"extra_query": {"a": object()}}, TypeError),
    ({"extra_body": [1]}, TypeError),
    ({"extra_body": {"model": "other"}}, TypeError),
    ({"extra_body": {"x": float("nan")}}, ValueError),
    *(
        ({name: "a"}, TypeError)
        for name in ("headers", "api_key", "max_retries", "request_timeout", "max_cost", "api_version")
    ),
]


@WAYS
@pytest.mark.parametrize(("options", "kind"), REFUSED)
async def test_what_can_t_be_sent_is_refused_before_it(
    server: Server, make_one: MakeProvider, ask: Any, options: dict[str, Any], kind: type[Exception]
) -> None:
    async with make_one() as provider:
        with pytest.raises(kind) as caught:
            await ask(provider, **options)
    assert vars(caught.value)["dispatched"] is False
    assert not server.requests


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "max_tokens_field": "max_completion_tokens",
            "omit": {"temperature"},
            "null_content": "",
            "system_messages": False,
            "extra_body": {"reasoning_effort": "low"},
        },
    ],
)
async def test_a_body_is_the_one_that_would_be_sent(
    server: Server, make: MakeProvider, settings: dict[str, Any]
) -> None:
    provider = make(**settings)
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": None, "tool_calls": []},
        *USER,
    ]
    tools = [{"type": "function", "function": {"name": "now", "parameters": {}}}]
    call: dict[str, Any] = {"temperature": 0.5, "max_tokens": 9, "tools": tools, "seed": 3, "stop": None}
    options: dict[str, Any] = {"timeout": 5, "extra_headers": {"X-A": "1"}, "extra_body": {"top_p": None}}
    await provider.complete(messages, **call, **options)
    assert provider.body_of(messages, **call, **options) == server.requests[0].body
    with pytest.raises(ValueError, match="temperature must be in"):
        provider.body_of(USER, temperature=3.0)
    with pytest.raises(TypeError, match=r"body_of\(\) must not set 'model'"):
        provider.body_of(USER, model="other")


async def test_a_body_asks_for_a_whole_reply_where_replies_are_streamed(make: MakeProvider) -> None:
    body = json.loads(make(stream_always=True).body_of(USER))
    assert body.keys() == {"model", "messages", "temperature", "max_tokens"}
