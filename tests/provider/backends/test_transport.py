"""The wire, on every back end: what is sent, what comes of each ugly thing a server does, who closes what."""

import asyncio
import contextlib
import gc
import gzip
import json
import threading
import weakref
import zlib
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback import USER, Connection, MakeProvider, Request, Server, completion, http, reply, serving
from ugly import MALFORMED

from executionkit.provider import LLMError, PermanentError, Provider, ProviderError

KEY = "sk-very-secret-key-0123456789"


async def failure(provider: Provider) -> LLMError:
    async with provider:
        with pytest.raises(LLMError) as caught:
            await provider.complete(USER)
    return caught.value


async def all_at_once(server: Server, provider: Provider, count: int) -> None:
    """Let so many calls be in flight together, then answer them."""
    gate = server.hold()
    calls = [asyncio.ensure_future(provider.complete(USER)) for _ in range(count)]
    await server.until(lambda: server.held == count)
    gate.open()
    await asyncio.gather(*calls)


# What is sent


async def test_a_request_as_the_server_sees_it(server: Server, make: MakeProvider) -> None:
    async with make(api_key=f"  {KEY}\n") as provider:
        response = await provider.complete(USER, stop=["x"])
    assert response.content == "hi"
    assert (response.input_tokens, response.output_tokens) == (3, 2)
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("executionkit/")
    assert request.headers["accept-encoding"] == "gzip"
    assert request.headers["content-length"] == str(len(request.body))
    assert "transfer-encoding" not in request.headers
    assert request.json == {
        "model": "m",
        "messages": USER,
        "temperature": 0.7,
        "max_tokens": 4096,
        "stop": ["x"],
    }


async def test_no_key_sends_no_authorization(server: Server, make: MakeProvider) -> None:
    async with make() as provider:
        await provider.complete(USER)
    assert "authorization" not in server.requests[0].headers


async def test_extra_headers_are_sent_and_may_replace_ours(server: Server, make: MakeProvider) -> None:
    async with make(headers={"api-key": "azure-key-1", "User-Agent": "mine/1"}) as provider:
        await provider.complete(USER)
    headers = server.requests[0].headers
    assert headers["api-key"] == "azure-key-1"
    assert headers["user-agent"] == "mine/1"


async def test_a_header_in_latin_1_is_sent_as_such_or_refused(
    server: Server, make: MakeProvider, backend: str
) -> None:
    async with make(headers={"X-Title": "Café"}) as provider:
        if backend == "aiohttp":  # which would send it in UTF-8
            with pytest.raises(PermanentError, match="header values beyond ASCII"):
                await provider.complete(USER)
        else:
            await provider.complete(USER)
            assert server.requests[0].headers["x-title"] == "Café"


async def test_the_query_and_the_path_of_base_url_survive(server: Server, make: MakeProvider) -> None:
    base_url = f"http://127.0.0.1:{server.port}/openai/deployments/a%20b/é/?api-version=2024-10-21&x=ü"
    async with make(base_url=base_url) as provider:
        await provider.complete(USER)
    target = "/openai/deployments/a%20b/%C3%A9/chat/completions?api-version=2024-10-21&x=%C3%BC"
    assert server.requests[0].target == target


async def test_a_large_request_arrives_whole(server: Server, make: MakeProvider) -> None:
    text = "ä1" * 1_500_000
    async with make() as provider:
        await provider.complete([{"role": "user", "content": text}])
    assert server.requests[0].json["messages"][0]["content"] == text


# What comes back


async def test_gzip_is_undone(server: Server, make: MakeProvider) -> None:
    body = gzip.compress(json.dumps(completion("packed")).encode())
    server.script = http(body, "200 OK", "Content-Encoding: gzip")
    async with make() as provider:
        assert (await provider.complete(USER)).content == "packed"


async def test_a_chunked_reply(server: Server, make: MakeProvider) -> None:
    body = json.dumps(completion("in chunks")).encode()
    pieces = [body[i : i + 7] for i in range(0, len(body), 7)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    server.script = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    async with make() as provider:
        assert (await provider.complete(USER)).content == "in chunks"
        assert (await provider.complete(USER)).content == "in chunks"
    assert server.connections == 1


async def test_a_reply_that_ends_with_the_connection(server: Server, make: MakeProvider) -> None:
    async def script(request: Request, connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(completion("to the end")).encode())
        connection.close()

    server.script = script
    async with make() as provider:
        assert (await provider.complete(USER)).content == "to the end"
        assert (await provider.complete(USER)).content == "to the end"
    assert server.connections == 2


async def test_an_http_1_0_reply(server: Server, make: MakeProvider) -> None:
    async def script(request: Request, connection: Connection) -> None:
        await connection.send(reply("old").replace(b"HTTP/1.1", b"HTTP/1.0"))
        connection.close()

    server.script = script
    async with make() as provider:
        assert (await provider.complete(USER)).content == "old"
        assert (await provider.complete(USER)).content == "old"


async def test_what_an_error_takes_from_a_reply(server: Server, make: MakeProvider) -> None:
    body = json.dumps({"error": {"message": f"no good, {KEY}", "code": "the_code"}})
    server.script = http(body, "503 Whatever", "X-Request-Id: req_1", "Retry-After: 7")
    error = await failure(make(api_key=KEY))
    assert type(error) is ProviderError
    assert (error.status_code, error.code, error.request_id) == (503, "the_code", "req_1")
    assert error.retry_after == 7.0
    assert error.dispatched
    assert "no good, [REDACTED]" in str(error)
    assert len(server.requests) == 1


async def test_redirects_are_not_followed(server: Server, make: MakeProvider) -> None:
    with serving() as other:
        server.script = http("", "307 Temporary Redirect", f"Location: {other.url}/x?token=abc")
        error = await failure(make(api_key=KEY))
        assert type(error) is PermanentError
        assert f"127.0.0.1:{other.port}/v1/x" in str(error)
        assert "abc" not in str(error)
        assert not other.connections


async def test_whatever_bytes_come_back_as_a_body(server: Server, make: MakeProvider) -> None:
    async with make() as provider:

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.binary(max_size=300))
        def check(body: bytes) -> None:
            bodies.append(body)

        bodies: list[bytes] = []
        check()
        for body in bodies:
            server.script = http(body)
            with pytest.raises(ProviderError):
                await provider.complete(USER)


async def test_a_malformed_header_is_refused_at_once(
    server: Server, make: MakeProvider, backend: str
) -> None:
    status, rest = reply().split(b"\r\n", 1)
    async with make() as provider:
        for case, before in product(MALFORMED, (b"", b"X-Good: yes\r\n")):
            if backend == "stdlib" and case in ("a bare CR", "the first line of a mailbox"):
                continue  # http.client takes them for headers
            server.script = b"%b\r\n%b%b\r\n%b" % (status, before, MALFORMED[case], rest)
            for call in (provider.complete, lambda messages: provider.stream(messages).__aenter__()):
                with pytest.raises(ProviderError, match="the connection broke before the reply") as caught:
                    await call(USER)
                assert caught.value.dispatched
    await server.until(lambda: server.open == 0)


async def test_odd_headers_that_are_well_formed(server: Server, make: MakeProvider) -> None:
    odd = (b"x_y: 1", b"X-Foo:", b"X-Foo:bar", b"X-Foo: a\r\n b", b"X-Foo: \xe9\xff", b"From: me")
    status, rest = reply().split(b"\r\n", 1)
    server.script = b"\r\n".join((status, *odd, rest))
    async with make() as provider:
        assert (await provider.complete(USER)).content == "hi"


async def test_as_large_a_head_as_the_manual_says(server: Server, make: MakeProvider) -> None:
    lines = [f"X-{number}: {'x' * 300}" for number in range(97)]
    server.script = http(json.dumps(completion()), "200 OK", "X-Large: " + "x" * 60_000, *lines)
    async with make() as provider:
        assert (await provider.complete(USER)).content == "hi"


async def test_a_connection_reset_before_it_reads(server: Server, make: MakeProvider) -> None:
    async def refuse(connection: Connection) -> bool:
        connection.reset()
        return False

    server.on_connect = refuse
    error = await failure(make())
    assert type(error) is ProviderError
    assert not server.requests


async def test_connection_refused_was_not_dispatched(server: Server, make: MakeProvider) -> None:
    error = await failure(make(base_url="http://127.0.0.1:1/v1"))
    assert type(error) is ProviderError
    assert not error.dispatched
    assert "127.0.0.1:1: could not connect" in str(error)
    assert "ConnectionRefusedError" in str(error)


async def test_an_unknown_host_was_not_dispatched(make: MakeProvider) -> None:
    error = await failure(make(base_url="http://nowhere.invalid/v1"))
    assert type(error) is ProviderError
    assert not error.dispatched
    assert "nowhere.invalid: could not connect (gaierror" in str(error)


async def test_tls_to_a_server_that_has_none(server: Server, make: MakeProvider) -> None:
    async def greet(connection: Connection) -> bool:
        await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        return False

    server.on_connect = greet
    error = await failure(make(base_url=f"https://127.0.0.1:{server.port}/v1"))
    assert type(error) is ProviderError
    assert not error.dispatched
    assert str(error) == (
        f"127.0.0.1:{server.port}: could not connect (no TLS is spoken on this port: "
        "a URL that begins with https:// may have to begin with http://)"
    )


# Limits


async def test_a_declared_size_above_the_limit(server: Server, make: MakeProvider) -> None:
    server.script = http("{", length=10**9)
    error = await failure(make(max_response_bytes=1000))
    assert type(error) is ProviderError
    assert "max_response_bytes (1000)" in str(error)


async def test_an_endless_reply(server: Server, make: MakeProvider) -> None:
    async def script(request: Request, connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await connection.send(b"x" * 10_000)

    server.script = script
    error = await failure(make(max_response_bytes=100_000))
    assert type(error) is ProviderError
    assert "max_response_bytes (100000)" in str(error)
    await server.until(lambda: server.open == 0)


async def test_a_reply_of_exactly_the_limit(server: Server, make: MakeProvider) -> None:
    body = json.dumps(completion())
    server.script = http(body)
    async with make(max_response_bytes=len(body)) as provider:
        assert (await provider.complete(USER)).content == "hi"
    assert "max_response_bytes" in str(await failure(make(max_response_bytes=len(body) - 1)))


async def test_a_zip_bomb(server: Server, make: MakeProvider) -> None:
    server.script = http(gzip.compress(b"0" * 50_000_000), "200 OK", "Content-Encoding: gzip")
    error = await failure(make(max_response_bytes=1_000_000))
    assert type(error) is ProviderError
    assert "max_response_bytes" in str(error)


async def test_zlib_and_several_gzip_members_are_undone(server: Server, make: MakeProvider) -> None:
    body = json.dumps(completion("both")).encode()
    members = gzip.compress(body[:20]) + gzip.compress(body[20:]) + b"\0\0"
    async with make() as provider:
        server.script = http(zlib.compress(body), "200 OK", "Content-Encoding: deflate")
        assert (await provider.complete(USER)).content == "both"
        server.script = http(members, "200 OK", "Content-Encoding: x-gzip")
        assert (await provider.complete(USER)).content == "both"


async def test_a_server_that_says_nothing(server: Server, make: MakeProvider) -> None:
    server.hold()
    error = await failure(make(timeout=0.2))
    assert type(error) is ProviderError
    assert error.dispatched
    assert error.status_code is None
    assert "0.2 s (timeout)" in str(error)


@pytest.mark.parametrize("where", ["head", "body"])
async def test_a_trickling_server_does_not_pass_the_total_limit(
    server: Server, make: MakeProvider, where: str
) -> None:
    async def script(request: Request, connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\n" + (b"" if where == "head" else b"\r\n"))
        while not connection.writer.is_closing():
            await connection.send(b"X-Y: z\r\n" if where == "head" else b" ")
            await asyncio.sleep(0.01)

    server.script = script
    error = await failure(make(timeout=0.15))
    assert type(error) is ProviderError
    assert "no complete reply within 0.15 s (timeout)" in str(error)
    await server.until(lambda: server.open == 0)
    error = await failure(make(timeout=20, deadline=0.15))
    assert "no complete reply within 0.15 s (deadline)" in str(error)


async def test_a_deadline_beyond_timeout_lets_slow_answers_through(
    server: Server, make: MakeProvider
) -> None:
    body = json.dumps(completion("at last")).encode()

    async def script(request: Request, connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for i in range(0, len(body), 40):
            await asyncio.sleep(0.1)
            await connection.send(body[i : i + 40])

    server.script = script
    async with make(timeout=0.4, deadline=30) as provider:
        assert (await provider.complete(USER)).content == "at last"
    server.hold()
    assert "nothing was heard for 0.4 s (timeout)" in str(await failure(make(timeout=0.4, deadline=30)))


# Connections


async def test_connections_are_reused(server: Server, make: MakeProvider) -> None:
    async with make() as provider:
        for _ in range(5):
            await provider.complete(USER)
    assert server.connections == 1
    await server.until(lambda: server.open == 0)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_kept_connection_closed_between_calls_is_mended(
    server: Server, make: MakeProvider, how: str
) -> None:
    async def script(request: Request, connection: Connection) -> None:
        await connection.send(reply())
        # Only when the client has read the reply: a reset would take it away.
        await gate.wait()
        getattr(connection, how)()

    server.script = script
    async with make() as provider:
        for count in range(1, 4):
            gate = server.gate()
            await provider.complete(USER)
            gate.open()
            await server.until(lambda: server.open == 0)
            assert len(server.requests) == count
    assert server.connections == 3


async def test_a_kept_connection_closed_while_the_loop_was_busy_is_mended(
    server: Server, make: MakeProvider
) -> None:
    closed = threading.Event()

    async def script(request: Request, connection: Connection) -> None:
        await connection.send(reply())
        await gate.wait()
        connection.shut()
        closed.set()

    server.script = script
    async with make() as provider:
        for count in range(1, 4):
            closed.clear()
            gate = server.gate()
            await provider.complete(USER)
            gate.open()
            closed.wait()  # holding up the loop, so that it hears of the end when it writes
            assert len(server.requests) == count
    assert server.connections == 3


async def test_a_server_that_announces_the_close(server: Server, make: MakeProvider) -> None:
    server.script = http(json.dumps(completion()), "200 OK", "Connection: close")
    async with make() as provider:
        await provider.complete(USER)
        await provider.complete(USER)
    assert server.connections == 2


async def test_as_many_at_once_as_asked_on_as_many_connections(server: Server, make: MakeProvider) -> None:
    async with make() as provider:
        await all_at_once(server, provider, 100)
        await all_at_once(server, provider, 20)
    assert server.peak == 100
    assert server.connections == 100


async def test_five_hundred_at_once_without_any_library(server: Server) -> None:
    async with Provider(server.url, "m", backend="stdlib") as provider:
        await all_at_once(server, provider, 500)
    assert server.connections == 500


async def test_a_limited_number_at_once_needs_no_more_connections(server: Server, make: MakeProvider) -> None:
    places = asyncio.Semaphore(10)

    async def call(provider: Provider) -> None:
        async with places:
            await provider.complete(USER)

    async with make() as provider:
        await asyncio.gather(*(call(provider) for _ in range(100)))
    assert server.connections <= 10


# Cancellation


async def test_cancelling_ends_the_request_and_its_connection(server: Server, make: MakeProvider) -> None:
    server.hold()
    async with make() as provider:
        call = asyncio.ensure_future(provider.complete(USER))
        await server.until(lambda: server.held == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await call
        assert getattr(caught.value, "dispatched", True)

        async def watch(request: Request, connection: Connection) -> None:
            await connection.send(reply())

        server.script = watch
        assert (await provider.complete(USER)).content == "hi"
    assert server.connections == 2


async def test_the_server_sees_a_cancelled_request_end(server: Server, make: MakeProvider) -> None:
    ended = threading.Event()

    async def script(request: Request, connection: Connection) -> None:
        assert await connection.reader.read() == b""
        ended.set()

    server.script = script
    async with make() as provider:
        call = asyncio.ensure_future(provider.complete(USER))
        await server.until(lambda: server.held == 1)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        await asyncio.to_thread(ended.wait)


async def test_cancelled_before_it_was_sent(server: Server, make: MakeProvider) -> None:
    async with make() as provider:
        call = asyncio.ensure_future(provider.complete(USER))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await call
        if not getattr(caught.value, "dispatched", True):
            assert not server.requests


@pytest.mark.parametrize("size", [10, 30_000, 300_000])
async def test_our_count_is_the_servers_whenever_calls_are_cancelled(
    server: Server, make: MakeProvider, size: int
) -> None:
    messages = [{"role": "user", "content": "x" * size}]
    sent = 0

    async def call(provider: Provider, turns: int) -> None:
        nonlocal sent
        task = asyncio.ensure_future(provider.complete(messages))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError as exc:
            sent += getattr(exc, "dispatched", True) is not False
        else:
            sent += 1

    async with make() as provider:
        await provider.complete(messages)
        for turns in range(1, 60, 2):
            await asyncio.gather(*(call(provider, turns + extra) for extra in range(4)))
    # Connections are accepted in order: when one more has come and gone, the server has seen all others.
    async with make() as last:
        await last.complete(messages)
    await server.until(lambda: server.open == 0)
    counted, seen = sent + 2, len(server.requests)
    assert counted >= seen
    if size <= 30_000:
        assert counted == seen


async def test_cancelling_at_any_moment_leaves_no_connection(server: Server, make: MakeProvider) -> None:
    async def storm(provider: Provider, start: int) -> None:
        for turns in range(start, start + 30):
            task = asyncio.ensure_future(provider.complete(USER))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async with make() as provider:
        await asyncio.gather(*(storm(provider, start) for start in range(1, 37, 6)))
        # As many again as there were: the free connections are all taken into use, and no others are open.
        gate = server.hold()
        calls = [asyncio.ensure_future(provider.complete(USER)) for _ in range(180)]
        await server.until(lambda: server.held == 180 == server.open)
        gate.open()
        await asyncio.gather(*calls)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


# Loops, threads and closing


def test_one_provider_in_one_loop_after_another(server: Server, make: MakeProvider) -> None:
    provider = make()
    for _ in range(3):
        assert asyncio.run(provider.complete(USER)).content == "hi"
    server.wait_until(lambda: server.open == 0)
    assert server.connections == 3


def test_one_provider_in_several_threads_at_once(server: Server, make: MakeProvider) -> None:
    provider = make()
    gate = server.hold()
    answers: list[str] = []

    def work() -> None:
        answers.append(asyncio.run(provider.complete(USER)).content)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    server.wait_until(lambda: server.held == 8)
    gate.open()
    for thread in threads:
        thread.join()
    assert answers == ["hi"] * 8
    server.wait_until(lambda: server.open == 0)


def test_nothing_is_left_of_a_loop_that_ended(server: Server, make: MakeProvider) -> None:
    provider = make()
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def main() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await provider.complete(USER)

    for _ in range(3):
        asyncio.run(main())
    gc.collect()
    assert [loop() for loop in loops] == [None] * 3
    assert not [thread for thread in threading.enumerate() if thread.name == "executionkit-http"]


def test_a_loop_closed_without_ceremony_is_forgotten(server: Server, make: MakeProvider) -> None:
    provider = make()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(provider.complete(USER))
    loop.run_until_complete(provider.aclose())
    loop.close()
    # This one doesn't even get an aclose(): what it held is let go of when the next loop asks.
    careless = asyncio.new_event_loop()
    careless.run_until_complete(provider._session._transports.get())
    careless.close()
    gone = weakref.ref(careless)
    del careless
    assert asyncio.run(provider.complete(USER)).content == "hi"
    gc.collect()
    assert gone() is None


async def test_dropping_the_provider_closes_its_connections(server: Server, make: MakeProvider) -> None:
    provider = make()
    await provider.complete(USER)
    assert server.open == 1
    del provider
    await server.until(lambda: server.open == 0)


async def test_aclose_may_be_repeated_and_a_later_call_reconnects(server: Server, make: MakeProvider) -> None:
    provider = make()
    await provider.aclose()
    await provider.complete(USER)
    await provider.aclose()
    await server.until(lambda: server.open == 0)
    await provider.aclose()
    await provider.complete(USER)
    assert server.connections == 2
    await provider.aclose()


async def test_each_request_has_its_own_time(server: Server, make: MakeProvider) -> None:
    gate = server.hold()
    async with make(timeout=30) as provider:
        patient = asyncio.ensure_future(provider.complete(USER))
        await server.until(lambda: server.held == 1)
        for seconds in (0.1, 0.05, 0.1):
            with pytest.raises(ProviderError, match=f"no complete reply within {seconds:g} s"):
                await provider.complete(USER, timeout=seconds)
        later = [asyncio.ensure_future(provider.complete(USER, timeout=after)) for after in (0.2, 0.1)]
        for call in later:
            with pytest.raises(ProviderError, match="no complete reply within"):
                await call
        gate.open()
        assert (await patient).content == "hi"


async def test_aclose_fails_requests_under_way(server: Server, make: MakeProvider) -> None:
    gate = server.hold()
    provider = make()
    events = provider.stream(USER)
    calls = [asyncio.ensure_future(call) for call in (provider.complete(USER), events.__aenter__())]
    await server.until(lambda: server.held == 2)
    await provider.aclose()
    for call in calls:
        with pytest.raises(ProviderError, match="the provider was closed while the request was under way"):
            await call
    await server.until(lambda: server.open == 0)
    gate.open()


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_an_aclose_that_is_cancelled_has_closed_all(
    server: Server, make: MakeProvider, turns: int
) -> None:
    provider = make()
    gate = server.hold()
    calls = [asyncio.ensure_future(provider.complete(USER)) for _ in range(6)]
    await server.until(lambda: server.held == 6)
    gate.open()
    await asyncio.gather(*calls)
    closing = asyncio.ensure_future(provider.aclose())
    await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    await server.until(lambda: server.open == 0)


async def test_aclose_and_a_cancellation_at_once(server: Server, make: MakeProvider) -> None:
    """Who is cancelled is cancelled, whoever else ends the request; and nothing of the end stays with him."""
    server.hold()
    provider = make()
    cancelled, closed = (asyncio.ensure_future(provider.complete(USER)) for _ in range(2))
    await server.until(lambda: server.held == 2)
    cancelled.cancel()
    await provider.aclose()
    with pytest.raises(asyncio.CancelledError):
        await cancelled

    async def goes_on() -> int:
        with pytest.raises(ProviderError, match="the provider was closed"):
            await closed
        return asyncio.current_task().cancelling()  # type: ignore[union-attr]  # in a task

    assert await asyncio.ensure_future(goes_on()) == 0
    assert closed.cancelling() == 0


async def test_a_copy_shares_no_connection(server: Server, make: MakeProvider) -> None:
    import copy

    async with make(api_key=KEY) as one, copy.copy(one) as two:
        await one.complete(USER)
        await two.complete(USER)
    assert server.connections == 2
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


# Secrets


async def test_the_key_is_in_no_chain_of_exceptions(server: Server, make: MakeProvider) -> None:
    async def echo(request: Request, connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 " + request.headers["authorization"].encode() + b"\r\n\r\n")
        connection.close()

    for script in (echo, http("", "500 Oops"), http(KEY), http("{", length=9), http(KEY, f"400 {KEY}")):
        server.script = script
        error: BaseException | None = await failure(make(api_key=KEY, timeout=0.3))
        assert error is not None
        assert error.__cause__ is None
        assert error.__context__ is None
        assert KEY not in repr(error)
        assert KEY not in repr(vars(error))
        frame = error.__traceback__
        while frame is not None:
            if "executionkit" in frame.tb_frame.f_code.co_filename:
                assert KEY not in repr(frame.tb_frame.f_locals)
            frame = frame.tb_next
