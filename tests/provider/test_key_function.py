"""An api_key that is a function: asked before each request, once more after a 401, and never shown."""

import asyncio
import dataclasses
import json
import pickle
from functools import partial
from typing import Any

import pytest
from loopback import DONE, USER, Connection, MakeProvider, Request, Server, chunk, completion, frames, http

from executionkit.errors import PermanentError, ProviderError
from executionkit.provider import Provider


async def whole(provider: Provider, **options: Any) -> str:
    return (await provider.complete(USER, **options)).content


async def streamed(provider: Provider, **options: Any) -> str:
    async with provider.stream(USER, **options) as events:
        async for _ in events:
            pass
    return events.response.content


WAYS = pytest.mark.parametrize("ask", [whole, streamed])


def accept(server: Server, token: str) -> None:
    """Answer 401 to every other token."""

    async def script(request: Request, connection: Connection) -> None:
        if request.headers.get("authorization") != f"Bearer {token}":
            given = request.headers.get("authorization")
            await connection.send(
                http(json.dumps({"error": {"message": f"bad: {given}"}}), "401 Unauthorized")
            )
        elif request.json.get("stream"):
            body = frames(chunk(content="hi"), chunk("stop")) + DONE
            await connection.send(http(body, "200 OK", "Content-Type: text/event-stream"))
        else:
            await connection.send(http(json.dumps(completion("hi"))))

    server.script = script


@WAYS
@pytest.mark.parametrize("is_async", [False, True])
async def test_it_is_asked_before_each_request_and_after_a_401(
    server: Server, make: MakeProvider, ask: Any, is_async: bool
) -> None:
    tokens = iter(["first-token-1", "second-token-2\n", "second-token-2"])

    def plain() -> str:
        return next(tokens)

    async def coroutine() -> str:
        return next(tokens)

    accept(server, "second-token-2")
    async with make(api_key=coroutine if is_async else plain) as provider:
        assert await ask(provider) == "hi"
        assert await ask(provider) == "hi"
    assert [request.headers["authorization"][7:12] for request in server.requests] == [
        "first",
        "secon",
        "secon",
    ]


@WAYS
async def test_the_same_token_again_is_not_tried_and_never_shown(
    server: Server, make_one: MakeProvider, ask: Any
) -> None:
    asked: list[str] = []

    def token() -> str:
        asked.append("a-plain-token")
        return asked[-1]

    accept(server, "other")
    async with make_one(api_key=token) as provider:
        with pytest.raises(PermanentError, match="401") as caught:
            await ask(provider)
    assert (len(asked), len(server.requests)) == (2, 1)
    assert "a-plain-token" not in repr(caught.value) + str(vars(caught.value))


@WAYS
async def test_a_function_that_fails_is_retryable_and_nothing_was_sent(
    server: Server, make_one: MakeProvider, ask: Any
) -> None:
    def broken() -> str:
        raise LookupError("no identity")

    async with make_one(api_key=broken) as provider:
        with pytest.raises(ProviderError, match=r"api_key failed \(LookupError: no identity\)") as caught:
            await ask(provider)
    assert not caught.value.dispatched
    assert not server.requests


@WAYS
async def test_a_function_that_fails_after_a_401_does_not_take_back_the_request(
    server: Server, make_one: MakeProvider, ask: Any
) -> None:
    tokens = iter(["first-token-1"])
    accept(server, "other")
    async with make_one(api_key=lambda: next(tokens)) as provider:
        with pytest.raises(ProviderError, match="api_key failed") as caught:
            await ask(provider)
    assert (caught.value.dispatched, len(server.requests)) == (True, 1)


@WAYS
async def test_a_function_that_never_answers_ends_with_the_timeout(
    server: Server, make_one: MakeProvider, ask: Any
) -> None:
    async def hang() -> str:
        await asyncio.Event().wait()
        return ""

    async with make_one(api_key=hang, timeout=0.1) as provider:
        with pytest.raises(ProviderError, match=r"no key within 0\.1 s") as caught:
            await ask(provider)
    assert not caught.value.dispatched
    assert not server.requests


@WAYS
async def test_a_call_with_a_key_of_its_own_does_not_ask(
    server: Server, make_one: MakeProvider, ask: Any
) -> None:
    accept(server, "own")
    async with make_one(api_key=lambda: pytest.fail("was asked")) as provider:
        assert await ask(provider, extra_headers={"authorization": "Bearer own"}) == "hi"


def get_token(secret: str) -> str:
    return secret


async def test_it_is_kept_in_copies_and_left_out_of_pickles() -> None:
    provider = Provider("https://llm.example/v1", "m", partial(get_token, "hidden-value"))
    assert "hidden" not in repr(provider)
    assert "api_key='***'" in repr(provider)
    assert dataclasses.replace(provider, model="n") != provider == dataclasses.replace(provider)
    lost = pickle.loads(pickle.dumps(provider))
    with pytest.raises(PermanentError, match="a pickle leaves its api_key out"):
        await lost.complete(USER)
    with pytest.raises(ValueError, match="Authorization beside api_key"):
        dataclasses.replace(provider, headers={"Authorization": "x"})
