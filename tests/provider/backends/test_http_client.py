"""A caller's own client: used as it is, never closed."""

import asyncio
import contextlib
import copy
import gc
import gzip
import importlib
import json
import pickle
from typing import Any

import pytest
from loopback import BACKENDS, HEAD, HELLO, USER, Connection, Request, Server, completion, frames, http, piece

from executionkit import TextDelta
from executionkit.provider import PermanentError, Provider, ProviderError, RateLimitError

LIBRARIES = [name for name in BACKENDS if name.startswith("httpx")]


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(str(request.param))


async def whole(provider: Provider) -> None:
    await provider.complete(USER)


async def streamed(provider: Provider) -> None:
    async with provider.stream(USER) as events:
        async for _ in events:
            pass


async def test_it_is_used_and_left_open(server: Server, library: Any) -> None:
    async with library.AsyncClient(headers={"X-Mine": "1", "User-Agent": "theirs"}) as client:
        async with Provider(server.url, "m", "sk-1234567890", http_client=client) as provider:
            assert (await provider.complete(USER)).content == "hi"
        assert not client.is_closed
        await Provider(server.url, "m", http_client=client).complete(USER)
    assert server.connections == 1
    first = server.requests[0].headers
    assert first["x-mine"] == "1"
    assert first["authorization"] == "Bearer sk-1234567890"
    assert first["content-length"] == str(len(server.requests[0].body))
    assert "transfer-encoding" not in first


async def test_aclose_ends_requests_under_way_and_leaves_it_open(server: Server, library: Any) -> None:
    gate = server.hold()
    async with library.AsyncClient() as client:
        provider = Provider(server.url, "m", http_client=client)
        call = asyncio.ensure_future(provider.complete(USER))
        await server.until(lambda: server.held == 1)
        await provider.aclose()
        with pytest.raises(ProviderError, match="the provider was closed"):
            await call
        gate.open()
        assert (await provider.complete(USER)).content == "hi"


async def test_its_own_redirect_setting_is_overruled(server: Server, library: Any) -> None:
    server.script = http("", "307 Temporary Redirect", "Location: /elsewhere")
    async with library.AsyncClient(follow_redirects=True) as client:
        with pytest.raises(PermanentError, match="redirects are not followed"):
            await Provider(server.url, "m", http_client=client).complete(USER)
    assert len(server.requests) == 1


async def test_hooks_may_read_the_reply_and_raise(server: Server, library: Any) -> None:
    async def read(response: Any) -> None:
        await response.aread()

    async def insist(response: Any) -> None:
        response.raise_for_status()

    async with library.AsyncClient(event_hooks={"response": [read]}) as client:
        assert (await Provider(server.url, "m", http_client=client).complete(USER)).content == "hi"
    async with library.AsyncClient(event_hooks={"response": [insist]}) as client:
        server.script = http("", "401 Unauthorized")
        with pytest.raises(PermanentError) as caught:
            await Provider(server.url, "m", http_client=client).complete(USER)
    assert caught.value.status_code == 401


@pytest.mark.parametrize("ask", [whole, streamed])
async def test_a_status_that_a_hook_raises_keeps_the_servers_words(
    server: Server, library: Any, ask: Any
) -> None:
    async def insist(response: Any) -> None:
        await response.aread()
        response.raise_for_status()

    body = gzip.compress(b'{"error": {"message": "slow down, please"}}')
    server.script = http(body, "429 Too Many Requests", "Retry-After: 7", "Content-Encoding: gzip")
    async with library.AsyncClient(event_hooks={"response": [insist]}) as client:
        provider = Provider(server.url, "m", http_client=client)
        with pytest.raises(RateLimitError, match="slow down, please") as caught:
            await ask(provider)
    assert caught.value.retry_after == 7


@pytest.mark.parametrize("ask", [whole, streamed])
async def test_a_hook_that_raises_a_cancellation_cancels_nobody(
    server: Server, library: Any, ask: Any
) -> None:
    async def give_up(_: Any) -> None:
        raise asyncio.CancelledError

    async with library.AsyncClient(event_hooks={"request": [give_up]}) as client:
        provider = Provider(server.url, "m", http_client=client)
        with pytest.raises(ProviderError, match=r"the http_client failed \(CancelledError") as caught:
            await ask(provider)
    assert not caught.value.dispatched


async def test_a_request_stays_of_the_clients_kind_and_can_be_copied(server: Server, library: Any) -> None:
    seen: list[Any] = []

    class Signed(library.Request):  # type: ignore[misc]  # the base is known at run time only
        def signature(self) -> str:
            return str(len(self.content))

    class Client(library.AsyncClient):  # type: ignore[misc]  # as above
        def build_request(self, *args: Any, **kwargs: Any) -> Any:
            request = super().build_request(*args, **kwargs)
            request.__class__ = Signed
            return request

    async def look(request: Any) -> None:
        request.headers["X-Signature"] = request.signature()
        seen.append(copy.copy(request))

    async def keep(request: Any) -> None:
        seen.append(pickle.loads(pickle.dumps(request)))

    async with Client(event_hooks={"request": [look]}) as client:
        assert (await Provider(server.url, "m", http_client=client).complete(USER)).content == "hi"
    async with library.AsyncClient(event_hooks={"request": [keep]}) as client:
        assert (await Provider(server.url, "m", http_client=client).complete(USER)).content == "hi"
    assert server.requests[0].headers["x-signature"] == server.requests[0].headers["content-length"]
    assert [type(each) for each in seen] == [Signed, library.Request]
    assert seen[1].content == server.requests[1].body


async def test_a_mock_transport(library: Any) -> None:
    def handler(request: Any) -> Any:
        assert json.loads(request.content)["messages"] == USER
        return library.Response(200, json=completion("mocked"))

    async with library.AsyncClient(transport=library.MockTransport(handler)) as client:
        response = await Provider("https://llm.example/v1", "m", http_client=client).complete(USER)
    assert response.content == "mocked"


async def test_what_the_client_raises_is_a_provider_error(library: Any) -> None:
    def handler(request: Any) -> Any:
        raise RuntimeError("sk-1234567890 is broken")

    async with library.AsyncClient(transport=library.MockTransport(handler)) as client:
        provider = Provider("https://llm.example/v1", "m", "sk-1234567890", http_client=client)
        with pytest.raises(ProviderError, match=r"RuntimeError: \[REDACTED\] is broken") as caught:
            await provider.complete(USER)
    assert caught.value.__context__ is None


async def test_its_limit_on_connections_holds_and_waiting_ends_with_the_deadline(
    server: Server, library: Any
) -> None:
    gate = server.hold()
    async with library.AsyncClient(limits=library.Limits(max_connections=1)) as client:
        provider = Provider(server.url, "m", http_client=client, timeout=0.3, deadline=20)
        patient = asyncio.ensure_future(provider.complete(USER))
        await server.until(lambda: server.held == 1)
        with pytest.raises(ProviderError, match=r"no complete reply within 0\.1 s") as caught:
            await Provider(server.url, "m", http_client=client, deadline=0.1).complete(USER)
        assert not caught.value.dispatched
        gate.open()
        assert (await patient).content == "hi"
    assert server.peak == 1


async def test_its_streams_are_read_as_they_arrive(server: Server, library: Any) -> None:
    async def begin(_: Request, connection: Connection) -> None:
        await connection.send(HEAD + piece(frames(*HELLO[:2])))
        await connection.reader.read()  # until the client hangs up

    server.script = begin
    async with (
        library.AsyncClient() as client,
        Provider(server.url, "m", http_client=client).stream(USER) as events,
    ):
        event = await anext(aiter(events))
    assert isinstance(event, TextDelta)
    assert event.text == "Hel"


async def test_an_endless_reply_is_refused_while_it_arrives(server: Server, library: Any) -> None:
    async def endless(_: Request, connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                await connection.send(piece("x" * 65_536))

    server.script = endless
    async with library.AsyncClient() as client:
        provider = Provider(server.url, "m", http_client=client, max_response_bytes=200_000)
        with pytest.raises(ProviderError, match="larger than max_response_bytes"):
            await provider.complete(USER)


@pytest.mark.parametrize("reads", [False, True])
async def test_an_auth_may_send_the_request_again(server: Server, library: Any, reads: bool) -> None:
    class Renewing(library.Auth):  # type: ignore[misc]  # the base is known at run time only
        requires_request_body = reads

        def auth_flow(self, request: Any) -> Any:
            request.headers["Authorization"] = "Bearer old"
            response = yield request
            if response.status_code == 401:
                request.headers["Authorization"] = "Bearer new"
                yield request

    async def script(request: Request, connection: Connection) -> None:
        is_new = request.headers["authorization"] == "Bearer new"
        await connection.send(
            http(json.dumps(completion()) if is_new else "{}", "200 OK" if is_new else "401 No")
        )

    server.script = script
    text = "x" * 600_000
    async with library.AsyncClient(auth=Renewing()) as client:
        provider = Provider(server.url, "m", http_client=client)
        assert (await provider.complete([{"role": "user", "content": text}])).content == "hi"
    assert [request.json["messages"][0]["content"] == text for request in server.requests] == [True, True]


async def test_parameters_of_the_client_and_of_the_url_are_sent(server: Server, library: Any) -> None:
    server.script = http(json.dumps(completion()))
    async with library.AsyncClient(params={"tenant": "t"}) as client:
        provider = Provider(f"{server.url}?api-version=1", "m", http_client=client)
        await provider.complete(USER, extra_query={"trace": "on"})
    (request,) = server.requests
    assert {"tenant=t", "api-version=1", "trace=on"} == set(request.target.partition("?")[2].split("&"))


async def test_a_failure_in_the_moment_of_a_cancellation_is_not_logged(server: Server, library: Any) -> None:
    logged: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
    begun, ended = asyncio.Event(), asyncio.Event()

    class Failing(library.AsyncBaseTransport):  # type: ignore[misc]  # the base is known at run time only
        async def handle_async_request(self, request: Any) -> Any:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.set()
                raise library.ReadTimeout("late", request=request) from None

    async with library.AsyncClient(transport=Failing()) as client:
        call = asyncio.ensure_future(Provider(server.url, "m", http_client=client).complete(USER))
        await begun.wait()
        call.cancel()
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises((asyncio.CancelledError, ProviderError)):
            await call
        del call
        await ended.wait()
        await asyncio.sleep(0)
    gc.collect()
    assert logged == []


async def test_a_transport_may_send_the_request_again(server: Server, library: Any) -> None:
    class Retrying(library.AsyncHTTPTransport):  # type: ignore[misc]  # the base is known at run time only
        async def handle_async_request(self, request: Any) -> Any:
            response = await super().handle_async_request(request)
            if response.status_code == 503:
                await response.aclose()
                response = await super().handle_async_request(request)
            return response

    server.script = [http("{}", "503 Busy"), http(json.dumps(completion()))]
    async with library.AsyncClient(transport=Retrying()) as client:
        assert (await Provider(server.url, "m", http_client=client).complete(USER)).content == "hi"
    assert server.requests[0].body == server.requests[1].body


async def test_a_request_hook_may_read_the_content_and_raise(server: Server, library: Any) -> None:
    seen: list[bytes] = []

    async def read(request: Any) -> None:
        seen.append(request.content)

    async def refuse(_: Any) -> None:
        raise LookupError("no route for this team")

    async with library.AsyncClient(event_hooks={"request": [read]}) as client:
        assert (await Provider(server.url, "m", http_client=client).complete(USER)).content == "hi"
        unused = Provider("http://127.0.0.1:9/v1", "m", http_client=client)
        with pytest.raises(ProviderError, match="could not connect") as caught:
            await unused.complete(USER)
        assert not caught.value.dispatched
    assert seen[0] == server.requests[0].body
    async with library.AsyncClient(event_hooks={"request": [refuse]}) as client:
        with pytest.raises(ProviderError, match=r"the http_client failed \(LookupError: no route") as caught:
            await Provider(server.url, "m", http_client=client).complete(USER)
    assert not caught.value.dispatched


@pytest.mark.parametrize("status", [None, "401 Unauthorized"], ids=["unreachable", "refused"])
@pytest.mark.parametrize("way", ["hook", "auth"])
async def test_a_request_of_a_hooks_own_is_not_taken_for_ours(
    server: Server, library: Any, way: str, status: str | None
) -> None:
    tokens = "http://127.0.0.1:9/" if status is None else server.url
    if status is not None:
        server.script = http("{}", status)

    async def ask_for_a_token(_: Any) -> None:
        async with library.AsyncClient() as other:
            (await other.get(tokens)).raise_for_status()

    class Tokens(library.Auth):  # type: ignore[misc]  # the base is known at run time only
        def auth_flow(self, request: Any) -> Any:
            response = yield library.Request("GET", tokens)
            response.raise_for_status()
            yield request

    options = {"event_hooks": {"request": [ask_for_a_token]}} if way == "hook" else {"auth": Tokens()}
    async with library.AsyncClient(**options) as client:
        provider = Provider(server.url, "m", http_client=client)
        with pytest.raises(ProviderError, match="the http_client failed") as caught:
            await whole(provider)
    assert (caught.value.status_code, caught.value.dispatched) == (None, False)
    assert caught.value.__context__ is None


async def test_a_hook_that_reads_the_content_sends_nothing(server: Server, library: Any) -> None:
    """Our count is the server's, whenever calls are cancelled."""

    async def read(request: Any) -> None:
        assert request.content

    counted = 0

    async def ask() -> None:
        nonlocal counted
        try:
            await whole(provider)
        except BaseException as exc:
            counted += getattr(exc, "dispatched", True)
            raise
        counted += 1

    async with library.AsyncClient(event_hooks={"request": [read]}) as client:
        provider = Provider(server.url, "m", http_client=client)
        for turns in range(40):
            call = asyncio.ensure_future(ask())
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
    await server.until(lambda: server.open == 0)
    # Cancelled while the pool tidies up, a call that left nothing is counted; never the other way round.
    assert 0 <= counted - len(server.requests) <= 4


async def test_a_transport_of_another_kind_has_sent_what_it_read(library: Any) -> None:
    def handler(request: Any) -> Any:
        assert request.content
        raise LookupError("lost")

    async with library.AsyncClient(transport=library.MockTransport(handler)) as client:
        with pytest.raises(ProviderError, match="lost") as caught:
            await Provider("https://llm.example/v1", "m", http_client=client).complete(USER)
    assert caught.value.dispatched
